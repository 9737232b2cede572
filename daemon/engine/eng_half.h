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

/* No branch, so that a loop over it becomes vectors. */
static inline float eng_f16_float(uint16_t h)
{
	const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
	const uint32_t exponent = h & 0x7c00, fraction = h & 1023;
	const uint32_t normal = ((uint32_t)(h & 0x7fff) << 13) + (112u << 23);
	const uint32_t denormal = eng_float_bits((float)(int)fraction * 0x1p-24f);
	const uint32_t quiet = fraction ? 0x400000 : 0;	/* a NaN's, as in hardware */
	uint32_t bits = exponent ? normal : denormal;

	bits = exponent == 0x7c00 ? (bits + (112u << 23)) | quiet : bits;
	return eng_bits_float(sign | bits);
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
