/* SPDX-License-Identifier: MIT */
/*
 * eng_vector_impl.h: norms, softmax and the like over 16 lanes; included once per ISA after its
 * eng_lanes_*.h, so every ISA runs the same operations in the same order. Sums: element i goes to
 * lane i % 16 in the order of i, then lanes are added i + (i+8), then 4, 2, 1.
 */
#ifndef ENG_VECTOR_IMPL_H
#define ENG_VECTOR_IMPL_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "eng_unroll.h"

/* exp(x) = 2^n * (1 + r + r^2 g(r)), r = x - n ln 2, |r| <= ln(2)/2; g is a minimax fit (3e-9). */
/* 2^n must stay a normal number, and times a value too: denormal products cost CPUs dearly */
#define EXP_LEAST	-64.0f
#define EXP_MOST	88.0f
#define EXP_MAGIC	0x1.8p23f	/* adding it leaves round(x) in the low mantissa bits */
#define EXP_LOG2E	0x1.715476p+0f
#define EXP_LN2_HIGH	0x1.63p-1f
#define EXP_LN2_LOW	-0x1.bd0106p-13f

static inline struct lanes lanes_exp(struct lanes x)
{
	static const float g[] = { 0x1.6a1a72p-10f, 0x1.123fc6p-7f, 0x1.555916p-5f, 0x1.55548ap-3f,
				   0x1.fffffcp-2f };
	struct lanes t, n, r, p;

	x = lanes_min(lanes_set(EXP_MOST), x);		/* this order keeps a NaN */
	x = lanes_max(lanes_set(EXP_LEAST), x);
	t = lanes_fma(x, lanes_set(EXP_LOG2E), lanes_set(EXP_MAGIC));
	n = lanes_sub(t, lanes_set(EXP_MAGIC));
	r = lanes_fma(n, lanes_set(-EXP_LN2_HIGH), x);
	r = lanes_fma(n, lanes_set(-EXP_LN2_LOW), r);
	p = lanes_set(g[0]);
	ENG_UNROLL
	for (int i = 1; i < 5; i++)
		p = lanes_fma(p, r, lanes_set(g[i]));
	p = lanes_fma(lanes_mul(r, r), p, r);
	return lanes_mul(lanes_add(p, lanes_set(1.0f)), lanes_pow2(t));
}

static inline float lanes_most(struct lanes a)
{
	float f[16];

	lanes_store(f, a);
	for (int half = 8; half; half /= 2)
		for (int i = 0; i < half; i++)
			f[i] = f[i] > f[i + half] ? f[i] : f[i + half];
	return f[0];
}

static void rms_norm(float *out, const float *x, const float *weight, uint32_t n, float eps)
{
	struct lanes sum = lanes_set(0), factor, v;
	uint32_t i;

	for (i = 0; i + 16 <= n; i += 16) {
		v = lanes_load(x + i);
		sum = lanes_fma(v, v, sum);
	}
	if (i < n) {
		v = lanes_load_n(x + i, n - i);
		sum = lanes_fma(v, v, sum);
	}
	factor = lanes_set(1.0f / sqrtf(lanes_sum(sum) / (float)n + eps));
	for (i = 0; i + 16 <= n; i += 16)
		lanes_store(out + i, lanes_mul(lanes_mul(lanes_load(x + i), factor),
					       lanes_load(weight + i)));
	if (i < n) {
		v = lanes_mul(lanes_load_n(x + i, n - i), factor);
		lanes_store_n(out + i, lanes_mul(v, lanes_load_n(weight + i, n - i)), n - i);
	}
}

/* Sum of (x - mean)^2. */
static inline float spread_of(const float *x, struct lanes mean, uint32_t n)
{
	struct lanes sum = lanes_set(0), v;
	uint32_t i;

	for (i = 0; i + 16 <= n; i += 16) {
		v = lanes_sub(lanes_load(x + i), mean);
		sum = lanes_fma(v, v, sum);
	}
	if (i < n) {
		v = lanes_cut(lanes_sub(lanes_load_n(x + i, n - i), mean), n - i, 0);
		sum = lanes_fma(v, v, sum);
	}
	return lanes_sum(sum);
}

static inline float sum_of(const float *x, uint32_t n)
{
	struct lanes sum = lanes_set(0);
	uint32_t i;

	for (i = 0; i + 16 <= n; i += 16)
		sum = lanes_add(sum, lanes_load(x + i));
	if (i < n)
		sum = lanes_add(sum, lanes_load_n(x + i, n - i));
	return lanes_sum(sum);
}

static void layer_norm(float *out, const float *x, const float *weight, const float *bias, uint32_t n,
		       float eps)
{
	const struct lanes mean = lanes_set(sum_of(x, n) / (float)n);
	const struct lanes factor =
		lanes_set(1.0f / sqrtf(spread_of(x, mean, n) / (float)n + eps));

	for (uint32_t i = 0; i < n; i += 16) {
		const uint32_t some = n - i < 16 ? n - i : 16;
		const struct lanes v = lanes_sub(lanes_load_n(x + i, some), mean);

		lanes_store_n(out + i, lanes_fma(lanes_mul(v, factor), lanes_load_n(weight + i, some),
						 lanes_load_n(bias + i, some)), some);
	}
}

static void rope_some(float *x, float *y, const float *cosine, const float *sine, uint32_t n)
{
	const struct lanes c = lanes_load_n(cosine, n), s = lanes_load_n(sine, n);
	const struct lanes a = lanes_load_n(x, n), b = lanes_load_n(y, n);
	const struct lanes minus_s = lanes_mul(s, lanes_set(-1.0f));

	lanes_store_n(x, lanes_fma(a, c, lanes_mul(b, minus_s)), n);
	lanes_store_n(y, lanes_fma(b, c, lanes_mul(a, s)), n);
}

static void rope(float *x, const float *cosine, const float *sine, uint32_t half)
{
	for (uint32_t i = 0; i < half; i += 16)
		rope_some(x + i, x + half + i, cosine + i, sine + i, half - i < 16 ? half - i : 16);
}

static inline struct lanes lanes_silu_mul(struct lanes gate, struct lanes up)
{
	const struct lanes one = lanes_set(1.0f);
	const struct lanes e = lanes_exp(lanes_mul(gate, lanes_set(-1.0f)));

	return lanes_mul(lanes_div(gate, lanes_add(one, e)), up);
}

static void silu_mul(float *out, const float *gate, const float *up, size_t n)
{
	size_t i;

	for (i = 0; i + 16 <= n; i += 16)
		lanes_store(out + i, lanes_silu_mul(lanes_load(gate + i), lanes_load(up + i)));
	if (i < n)
		lanes_store_n(out + i, lanes_silu_mul(lanes_load_n(gate + i, n - i),
						      lanes_load_n(up + i, n - i)), n - i);
}

/* sqrt(2 / pi) * 2 and the same * 0.044715: x (1 + tanh(u)) / 2 is x / (1 + exp(-2u)). */
#define GELU_X		0x1.9884533d43651p+0f
#define GELU_X3		0x1.2444f2a4d8b4bp-4f

static inline struct lanes lanes_gelu(struct lanes x)
{
	const struct lanes square = lanes_mul(x, x);
	const struct lanes u = lanes_mul(x, lanes_fma(square, lanes_set(-GELU_X3), lanes_set(-GELU_X)));

	return lanes_div(x, lanes_add(lanes_set(1.0f), lanes_exp(u)));
}

static void gelu_mul(float *out, const float *gate, const float *up, size_t n)
{
	for (size_t i = 0; i < n; i += 16) {
		const size_t some = n - i < 16 ? n - i : 16;
		struct lanes g = lanes_gelu(lanes_load_n(gate + i, some));

		if (up)
			g = lanes_mul(g, lanes_load_n(up + i, some));
		lanes_store_n(out + i, g, some);
	}
}

static void scale_all(float *x, float by, size_t n)
{
	for (size_t i = 0; i < n; i += 16) {
		const size_t some = n - i < 16 ? n - i : 16;

		lanes_store_n(x + i, lanes_mul(lanes_load_n(x + i, some), lanes_set(by)), some);
	}
}

/* tanh(y) = 1 - 2 / (exp(2y) + 1) */
static void soft_cap(float *x, float cap, size_t n)
{
	const struct lanes twice = lanes_set(2.0f / cap), one = lanes_set(1.0f), by = lanes_set(cap);

	for (size_t i = 0; i < n; i += 16) {
		const size_t some = n - i < 16 ? n - i : 16;
		const struct lanes e = lanes_exp(lanes_mul(lanes_load_n(x + i, some), twice));
		const struct lanes t = lanes_sub(one, lanes_div(lanes_set(2.0f), lanes_add(e, one)));

		lanes_store_n(x + i, lanes_mul(t, by), some);
	}
}

static void add(float *x, const float *y, size_t n)
{
	size_t i;

	for (i = 0; i + 16 <= n; i += 16)
		lanes_store(x + i, lanes_add(lanes_load(x + i), lanes_load(y + i)));
	if (i < n)
		lanes_store_n(x + i,
			      lanes_add(lanes_load_n(x + i, n - i), lanes_load_n(y + i, n - i)),
			      n - i);
}

static float max(const float *x, size_t n)
{
	struct lanes most = lanes_set(-INFINITY);
	size_t i;

	for (i = 0; i + 16 <= n; i += 16)
		most = lanes_max(most, lanes_load(x + i));
	if (i < n)
		most = lanes_max(most, lanes_cut(lanes_load_n(x + i, n - i), n - i, -INFINITY));
	return lanes_most(most);
}

/* exp(x - shift) into @out (NULL: only summed). Returns the sum. */
static inline float exp_shifted(const float *x, size_t n, float shift, float *out)
{
	const struct lanes by = lanes_set(shift);
	struct lanes sum = lanes_set(0), e;
	size_t i;

	for (i = 0; i + 16 <= n; i += 16) {
		e = lanes_exp(lanes_sub(lanes_load(x + i), by));
		if (out)
			lanes_store(out + i, e);
		sum = lanes_add(sum, e);
	}
	if (i < n) {
		e = lanes_exp(lanes_sub(lanes_load_n(x + i, n - i), by));
		if (out)
			lanes_store_n(out + i, e, n - i);
		sum = lanes_add(sum, lanes_cut(e, n - i, 0));
	}
	return lanes_sum(sum);
}

static float sum_exp(const float *x, size_t n, float shift)
{
	return exp_shifted(x, n, shift, NULL);
}

static float softmax_part(float *x, size_t n, float *most)
{
	*most = max(x, n);
	return exp_shifted(x, n, *most, x);
}

/* out[i] = part[i] * weight, added to what is there unless @first. */
static inline void merge_one(float *out, const float *part, struct lanes weight, bool first,
			     uint32_t n)
{
	for (uint32_t i = 0; i < n; i += 16) {
		const uint32_t some = n - i < 16 ? n - i : 16;
		const struct lanes sum = first ? lanes_set(0) : lanes_load_n(out + i, some);

		lanes_store_n(out + i, lanes_fma(weight, lanes_load_n(part + i, some), sum), some);
	}
}

static void attn_merge(const float *parts, size_t part_stride, uint32_t part_count,
		       uint32_t head_dim, float *out)
{
	struct lanes total = lanes_set(0), factor;
	float most = parts[head_dim];

	for (uint32_t p = 1; p < part_count; p++) {
		const float m = parts[p * part_stride + head_dim];

		most = m > most ? m : most;
	}
	for (uint32_t p = 0; p < part_count; p++) {
		const float *part = parts + p * part_stride;
		const struct lanes weight = lanes_exp(lanes_set(part[head_dim] - most));

		total = lanes_fma(weight, lanes_set(part[head_dim + 1]), total);
		merge_one(out, part, weight, p == 0, head_dim);
	}
	factor = lanes_div(lanes_set(1.0f), total);
	for (uint32_t i = 0; i < head_dim; i += 16) {
		const uint32_t some = head_dim - i < 16 ? head_dim - i : 16;

		lanes_store_n(out + i, lanes_mul(lanes_load_n(out + i, some), factor), some);
	}
}

#endif
