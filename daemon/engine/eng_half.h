/* SPDX-License-Identifier: MIT */
/* eng_half.h: 16-bit floats in plain C, rounding to nearest even as the CPU's instructions do. */
#ifndef ENG_HALF_H
#define ENG_HALF_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t eng_float_bits(float f)
{
	uint32_t bits;

	memcpy(&bits, &f, sizeof(bits));
	return bits;
}

static inline float eng_bits_float(uint32_t bits)
{
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static inline float eng_f16_float(uint16_t h)
{
	const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
	const uint32_t exponent = h >> 10 & 31, fraction = h & 1023;

	if (exponent == 31)	/* NaN becomes quiet, as in hardware */
		return eng_bits_float(sign | 0x7f800000 | fraction << 13 |
				      (fraction ? 0x400000 : 0));
	if (exponent == 0)
		return eng_bits_float(sign | eng_float_bits((float)fraction * 0x1p-24f));
	return eng_bits_float(sign | (exponent + 112) << 23 | fraction << 13);
}

static inline uint16_t eng_float_f16(float f)
{
	const uint32_t bits = eng_float_bits(f), magnitude = bits & 0x7fffffff;
	const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
	uint32_t rounded;

	if (magnitude > 0x7f800000)
		return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x1ff));
	if (magnitude >= 0x477ff000)	/* 65520 and above */
		return sign | 0x7c00;
	if (magnitude < 0x38800000)	/* denormal: the sum with 0.5 rounds at the right bit */
		return (uint16_t)(sign |
				  (eng_float_bits(eng_bits_float(magnitude) + 0.5f) & 0x7ff));
	rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
	return (uint16_t)(sign | (rounded - 0x38000000) >> 13);
}

static inline float eng_bf16_float(uint16_t h)
{
	return eng_bits_float((uint32_t)h << 16);
}

static inline uint16_t eng_float_bf16(float f)
{
	const uint32_t bits = eng_float_bits(f);

	if ((bits & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(bits >> 16 | 64);
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Whether 16-bit scales and weights are ordinary numbers. */
static inline bool eng_f16_finite(uint16_t h)
{
	return (h & 0x7c00) != 0x7c00;
}

static inline bool eng_bf16_finite(uint16_t h)
{
	return (h & 0x7f80) != 0x7f80;
}

#endif
