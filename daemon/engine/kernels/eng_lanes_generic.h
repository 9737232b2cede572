/* SPDX-License-Identifier: MIT */
/* eng_lanes_generic.h: 16 floats in plain C; the meaning of the same names in the other headers. */
#ifndef ENG_LANES_H
#define ENG_LANES_H

#include "eng_half.h"
#include "eng_unroll.h"

#ifdef ENG_CHECKED
#define LANES_CALL	static __attribute__((noinline, unused))
#else
#define LANES_CALL	static inline
#endif

/* Queries that share one pass over K and over V, and groups of 16 dims in the latter. */
#define LANES_SCORES	2
#define LANES_MIX	2
#define LANES_WIDTH	1
#define SCORES_CASES	SCORES_CASE(1) SCORES_CASE(2)
#define MIX_CASES	MIX_CASE(1) MIX_CASE(2)
#define LANES_ROWS	2	/* rows that share one pass over float weights */

struct lanes {
	float f[16];
};

LANES_CALL struct lanes lanes_set(float x)
{
	struct lanes r;

	for (int i = 0; i < 16; i++)
		r.f[i] = x;
	return r;
}

/* The first @n from memory, zeros after them. */
LANES_CALL struct lanes lanes_load_n(const float *p, size_t n)
{
	struct lanes r = lanes_set(0);

	for (size_t i = 0; i < n; i++)
		r.f[i] = p[i];
	return r;
}

LANES_CALL struct lanes lanes_load(const float *p)
{
	return lanes_load_n(p, 16);
}

LANES_CALL struct lanes lanes_load_f16_n(const uint16_t *p, size_t n)
{
	struct lanes r = lanes_set(0);

	for (size_t i = 0; i < n; i++)
		r.f[i] = eng_f16_float(p[i]);
	return r;
}

LANES_CALL struct lanes lanes_load_f16(const uint16_t *p)
{
	return lanes_load_f16_n(p, 16);
}

LANES_CALL struct lanes lanes_load_bf16(const uint16_t *p)
{
	struct lanes r;

	for (int i = 0; i < 16; i++)
		r.f[i] = eng_bf16_float(p[i]);
	return r;
}

LANES_CALL struct lanes lanes_of_int(const int32_t *p)
{
	struct lanes r;

	for (int i = 0; i < 16; i++)
		r.f[i] = (float)p[i];
	return r;
}

LANES_CALL void lanes_store_n(float *p, struct lanes a, size_t n)
{
	memcpy(p, a.f, n * sizeof(*p));
}

LANES_CALL void lanes_store(float *p, struct lanes a)
{
	lanes_store_n(p, a, 16);
}

LANES_CALL void lanes_store_f16(uint16_t *p, struct lanes a)
{
	for (int i = 0; i < 16; i++)
		p[i] = eng_float_f16(a.f[i]);
}

/* Lanes from @n on become @fill. */
LANES_CALL struct lanes lanes_cut(struct lanes a, size_t n, float fill)
{
	for (size_t i = n; i < 16; i++)
		a.f[i] = fill;
	return a;
}

#define LANES_OP(name, expression)						\
LANES_CALL struct lanes lanes_##name(struct lanes a, struct lanes b)	\
{										\
	for (int i = 0; i < 16; i++)						\
		a.f[i] = expression;						\
	return a;								\
}

LANES_OP(add, a.f[i] + b.f[i])
LANES_OP(sub, a.f[i] - b.f[i])
LANES_OP(mul, a.f[i] * b.f[i])
LANES_OP(div, a.f[i] / b.f[i])
LANES_OP(max, a.f[i] > b.f[i] ? a.f[i] : b.f[i])	/* b when either is NaN */
LANES_OP(min, a.f[i] < b.f[i] ? a.f[i] : b.f[i])

/* a * b + c, rounded once. */
LANES_CALL struct lanes lanes_fma(struct lanes a, struct lanes b, struct lanes c)
{
	for (int i = 0; i < 16; i++)
		a.f[i] = fmaf(a.f[i], b.f[i], c.f[i]);
	return a;
}

/* 2^n where n stands in the low mantissa bits (see lanes_exp). */
LANES_CALL struct lanes lanes_pow2(struct lanes t)
{
	for (int i = 0; i < 16; i++)
		t.f[i] = eng_bits_float((eng_float_bits(t.f[i]) << 23) + 0x3f800000);
	return t;
}

/* i + (i+8), then 4, 2, 1. */
LANES_CALL float lanes_sum(struct lanes a)
{
	for (int half = 8; half; half /= 2)
		for (int i = 0; i < half; i++)
			a.f[i] += a.f[i + half];
	return a.f[0];
}

#endif
