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

/* 32 columns of 16 rows as unsigned bytes, four columns to a register. */
ENG_INLINE void load_weights(uint32_t type, const uint8_t *weights, __m512i *w)
{
	const __m512i low = _mm512_set1_epi8(15), top = _mm512_set1_epi8((char)0x80);

	if (eng_type_bits(type) == 8) {
		ENG_UNROLL
		for (int i = 0; i < 8; i++)
			w[i] = _mm512_xor_si512(_mm512_load_si512(weights + 64 * i), top);
		return;
	}
	ENG_UNROLL
	for (int i = 0; i < 4; i++) {
		const __m512i both = _mm512_load_si512(weights + 64 * i);

		w[i] = _mm512_and_si512(both, low);
		w[i + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
	}
	ENG_UNROLL
	for (int bit = 4; bit < (int)eng_type_bits(type); bit++)
		add_bits(weights + ENG_PLANE_AT + (uint32_t)(bit - 4) * ENG_PLANE_BYTES, bit, w);
}

#endif
