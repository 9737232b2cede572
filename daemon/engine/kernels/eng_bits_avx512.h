/* SPDX-License-Identifier: MIT */
/* eng_bits_avx512.h: the weights of a block as bytes, for AVX-512 and AMX. */
#ifndef ENG_BITS_AVX512_H
#define ENG_BITS_AVX512_H

#include <immintrin.h>

#include "eng_panel.h"
#include "eng_unroll.h"

/* Bit @bit of 32 columns: group i of them is bit i of each byte. */
ENG_INLINE void add_bits(const uint8_t *plane, int bit, __m512i *w)
{
	const __m512i mask = _mm512_set1_epi8((char)(1 << bit)), bits = _mm512_load_si512(plane);

	ENG_UNROLL
	for (int i = 0; i < 8; i++) {
		const __m512i there = i < bit ? _mm512_slli_epi16(bits, (uint32_t)(bit - i))
					      : _mm512_srli_epi16(bits, (uint32_t)(i - bit));

		/* w | (there & mask) */
		w[i] = _mm512_ternarylogic_epi32(w[i], there, mask, 0xf8);
	}
}

/* What load_weights() adds to a quant. */
ENG_INLINE int unsigned_offset(uint32_t type)
{
	return eng_type_bits(type) == 8 || eng_type_table(type) ? 128 : eng_type_offset(type);
}

/* The numbers of indices, 128 higher. */
ENG_INLINE void look_up(uint32_t type, __m512i *w)
{
	const __m128i bytes = _mm_loadu_si128((const __m128i *)eng_type_table(type));
	const __m512i table = _mm512_broadcast_i32x4(_mm_xor_si128(bytes, _mm_set1_epi8((char)0x80)));

	ENG_UNROLL
	for (int i = 0; i < 8; i++)
		w[i] = _mm512_shuffle_epi8(table, w[i]);
}

/* 32 columns of 16 rows as unsigned bytes, four columns to a register. */
ENG_INLINE void load_weights(uint32_t type, const uint8_t *weights, __m512i *w)
{
	const __m512i top = _mm512_set1_epi8((char)0x80);
	const int bits = (int)eng_type_bits(type), low = (int)eng_low_bits((uint32_t)bits);
	const __m512i mask = _mm512_set1_epi8((char)((1 << low) - 1));

	if (bits == 8) {
		ENG_UNROLL
		for (int i = 0; i < 8; i++)
			w[i] = _mm512_xor_si512(_mm512_load_si512(weights + 64 * i), top);
		return;
	}
	ENG_UNROLL
	for (int i = 0; i < 8; i++) {
		const __m512i all = _mm512_load_si512(weights + 64 * (i % low));
		const uint32_t shift = (uint32_t)(i / low * low);

		w[i] = _mm512_and_si512(shift ? _mm512_srli_epi16(all, shift) : all, mask);
	}
	ENG_UNROLL
	for (int bit = low; bit < bits; bit++)
		add_bits(weights + (uint32_t)bit * ENG_PLANE_BYTES, bit, w);
	if (eng_type_table(type))
		look_up(type, w);
}

#endif
