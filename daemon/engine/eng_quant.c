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

/*
 * roundf() for what fits an int, as one truncation, which is a vector instruction: the largest
 * float below 0.5 lifts halves and all above, and nothing below.
 */
static int round_int(float x)
{
	return (int)(x + copysignf(0x1.fffffep-2f, x));
}

/* Scale max|x| / 127, quants to nearest, halves away from zero. */
static void quant_q8_0(const float *in, float most, uint8_t *out)
{
	const float d = most / 127, id = inverse(d);
	int8_t q[BLOCK];

	put16(out, eng_float_f16(d));
	for (uint32_t i = 0; i < BLOCK; i++)
		q[i] = (int8_t)round_int(in[i] * id);
	memcpy(out + 2, q, sizeof(q));
}

/* Two quants to a byte: value i below, value i + 16 above. None is negative. */
static void put_nibbles(uint8_t *out, const int *q)
{
	uint8_t packed[BLOCK / 2];

	for (uint32_t i = 0; i < BLOCK / 2; i++) {
		int low = q[i] > 15 ? 15 : q[i], high = q[i + BLOCK / 2] > 15 ? 15 : q[i + BLOCK / 2];

		packed[i] = (uint8_t)(low | high << 4);
	}
	memcpy(out, packed, sizeof(packed));
}

/* The first of the values that are @most away from zero, with its sign. */
static float farthest(const float *in, float most)
{
	uint32_t i = 0;

	while (i < BLOCK - 1 && fabsf(in[i]) != most)
		i++;
	return in[i];
}

/* The value farthest from zero becomes exactly -8, whatever its sign. */
static void quant_q4_0(const float *in, float most, uint8_t *out)
{
	const float d = farthest(in, most) / -8, id = inverse(d);
	int q[BLOCK];

	put16(out, eng_float_f16(d));
	for (uint32_t i = 0; i < BLOCK; i++)
		q[i] = (int)((double)in[i] * id + 8.5);	/* unrounded product, as with fma */
	put_nibbles(out + 2, q);
}

/*
 * Least and greatest value: eight columns each by themselves, then those. Of zeros the first gives
 * the sign.
 */
static void extremes(const float *in, float *least, float *most)
{
	float low[8], high[8];

	memcpy(low, in, sizeof(low));
	memcpy(high, in, sizeof(high));
	for (uint32_t i = 8; i < BLOCK; i += 8) {
		for (uint32_t j = 0; j < 8; j++) {
			low[j] = low[j] < in[i + j] ? low[j] : in[i + j];
			high[j] = high[j] > in[i + j] ? high[j] : in[i + j];
		}
	}
	*least = low[0];
	*most = high[0];
	for (uint32_t j = 1; j < 8; j++) {
		*least = *least < low[j] ? *least : low[j];
		*most = *most > high[j] ? *most : high[j];
	}
	for (uint32_t i = BLOCK; *least == 0 && i > 0; i--)
		if (in[i - 1] == 0)
			*least = in[i - 1];
}

/* From the least value up in 15 steps. */
static void quant_q4_1(const float *in, uint8_t *out)
{
	float least, most, d, id;
	int q[BLOCK];

	extremes(in, &least, &most);
	d = (most - least) / 15;
	id = inverse(d);
	put16(out, eng_float_f16(d));
	put16(out + 2, eng_float_f16(least));
	for (uint32_t i = 0; i < BLOCK; i++)
		q[i] = (int)((in[i] - least) * id + 0.5f);
	put_nibbles(out + 4, q);
}

static uint16_t read16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

/* max|x|; NaN when one of them is: the bits of magnitudes are ordered as the magnitudes are. */
static float magnitude_max(const float *in)
{
	int most = 0;

	for (uint32_t i = 0; i < BLOCK; i++) {
		int bits = (int)(eng_float_bits(in[i]) & 0x7fffffff);

		most = bits > most ? bits : most;
	}
	return eng_bits_float((uint32_t)most);
}

/* Blocks too small for any f16 scale count as zero, so that no quotient overflows. */
static int quant_block(uint32_t source, const float *in, uint8_t *out)
{
	static const float zero[BLOCK];
	float most = magnitude_max(in);

	if (!(most < 1e30f))
		return -EDOM;
	if (most < 1e-30f) {
		in = zero;
		most = 0;
	}
	if (source == ENG_SRC_Q8_0)
		quant_q8_0(in, most, out);
	else if (source == ENG_SRC_Q4_0)
		quant_q4_0(in, most, out);
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
