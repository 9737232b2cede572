/* SPDX-License-Identifier: MIT */
/*
 * eng_quant.c: floats to Q8_0, Q4_0, Q4_1, F16 and BF16 rows. Scales and rounding follow ggml's
 * reference quantisers, so that a file made by either reads the same.
 */
#include <errno.h>
#include <float.h>
#include <string.h>

#include "eng_half.h"
#include "eng_pack.h"

#define BLOCK	ENG_BLOCK_COLS

static void put16(uint8_t *out, uint16_t bits)
{
	out[0] = (uint8_t)bits;
	out[1] = (uint8_t)(bits >> 8);
}

static float inverse(float d)
{
	return d != 0 ? 1.0f / d : 0;
}

/* Scale max|x| / 127, quants to nearest, halves away from zero. */
static void quant_q8_0(const float *in, uint8_t *out)
{
	float most = 0, d, id;

	for (uint32_t i = 0; i < BLOCK; i++)
		most = fmaxf(most, fabsf(in[i]));
	d = most / 127;
	id = inverse(d);
	put16(out, eng_float_f16(d));
	for (uint32_t i = 0; i < BLOCK; i++)
		out[2 + i] = (uint8_t)(int8_t)roundf(in[i] * id);
}

/* Two quants to a byte: value i below, value i + 16 above. */
static void put_nibbles(uint8_t *out, const int *q)
{
	for (uint32_t i = 0; i < BLOCK / 2; i++)
		out[i] = (uint8_t)(q[i] | q[i + BLOCK / 2] << 4);
}

/* The value farthest from zero becomes exactly -8, whatever its sign. */
static void quant_q4_0(const float *in, uint8_t *out)
{
	float most = 0, d, id;
	int q[BLOCK];

	for (uint32_t i = 0; i < BLOCK; i++)
		if (fabsf(in[i]) > fabsf(most))
			most = in[i];
	d = most / -8;
	id = inverse(d);
	put16(out, eng_float_f16(d));
	for (uint32_t i = 0; i < BLOCK; i++) {
		q[i] = (int)((double)in[i] * id + 8.5);	/* unrounded product, as with fma */
		q[i] = q[i] > 15 ? 15 : q[i];
	}
	put_nibbles(out + 2, q);
}

/* From the least value up in 15 steps. */
static void quant_q4_1(const float *in, uint8_t *out)
{
	float least = in[0], most = in[0], d, id;
	int q[BLOCK];

	for (uint32_t i = 1; i < BLOCK; i++) {
		least = fminf(least, in[i]);
		most = fmaxf(most, in[i]);
	}
	d = (most - least) / 15;
	id = inverse(d);
	put16(out, eng_float_f16(d));
	put16(out + 2, eng_float_f16(least));
	for (uint32_t i = 0; i < BLOCK; i++) {
		q[i] = (int)((in[i] - least) * id + 0.5f);
		q[i] = q[i] > 15 ? 15 : q[i];
	}
	put_nibbles(out + 4, q);
}

static uint16_t read16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

/* Blocks too small for any f16 scale count as zero, so that no quotient overflows. */
static int quant_block(uint32_t source, const float *in, uint8_t *out)
{
	static const float zero[BLOCK];
	float most = 0;

	for (uint32_t i = 0; i < BLOCK; i++) {
		if (!(fabsf(in[i]) < 1e30f))
			return -EDOM;
		most = fmaxf(most, fabsf(in[i]));
	}
	if (most < 1e-30f)
		in = zero;
	if (source == ENG_SRC_Q8_0)
		quant_q8_0(in, out);
	else if (source == ENG_SRC_Q4_0)
		quant_q4_0(in, out);
	else
		quant_q4_1(in, out);
	if (!eng_f16_finite(read16(out)))
		return -EDOM;
	return source == ENG_SRC_Q4_1 && !eng_f16_finite(read16(out + 2)) ? -EDOM : 0;
}

static int quant_float(uint32_t source, const float *in, uint64_t cols, uint8_t *out)
{
	for (uint64_t i = 0; i < cols; i++) {
		uint16_t bits =
			source == ENG_SRC_F16 ? eng_float_f16(in[i]) : eng_float_bf16(in[i]);

		if (!(source == ENG_SRC_F16 ? eng_f16_finite(bits) : eng_bf16_finite(bits)))
			return -EDOM;
		put16(out + 2 * i, bits);
	}
	return 0;
}

int eng_quant_row(uint32_t source, const float *in, uint64_t cols, void *out)
{
	uint8_t *p = out;
	int err = 0;

	if (source == ENG_SRC_F16 || source == ENG_SRC_BF16)
		return quant_float(source, in, cols, out);
	if ((source != ENG_SRC_Q8_0 && source != ENG_SRC_Q4_0 && source != ENG_SRC_Q4_1) ||
	    cols % BLOCK)
		return -EINVAL;
	for (uint64_t at = 0; at < cols && !err; at += BLOCK, p += eng_source_block_bytes(source))
		err = quant_block(source, in + at, p);
	return err;
}
