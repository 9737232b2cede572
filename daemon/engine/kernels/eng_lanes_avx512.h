/* SPDX-License-Identifier: MIT */
/* eng_lanes_avx512.h: 16 floats in one register. Meaning: eng_lanes_generic.h. */
#ifndef ENG_LANES_H
#define ENG_LANES_H

#include <immintrin.h>
#include <stdint.h>

#include "eng_unroll.h"

#ifdef ENG_CHECKED
#define LANES_SCORES	2
#define LANES_MIX	2
#define LANES_WIDTH	2
#define SCORES_CASES	SCORES_CASE(1) SCORES_CASE(2)
#define MIX_CASES	MIX_CASE(1) MIX_CASE(2)
#define LANES_ROWS	2
#else
#define LANES_SCORES	8
#define LANES_MIX	6
#define LANES_WIDTH	4
#define SCORES_CASES	SCORES_CASE(1) SCORES_CASE(2) SCORES_CASE(3) SCORES_CASE(4)	\
			SCORES_CASE(5) SCORES_CASE(6) SCORES_CASE(7) SCORES_CASE(8)
#define MIX_CASES	MIX_CASE(1) MIX_CASE(2) MIX_CASE(3) MIX_CASE(4) MIX_CASE(5) MIX_CASE(6)
#define LANES_ROWS	8
#endif

struct lanes {
	__m512 v;
};

static inline __mmask16 lanes_first(size_t n)
{
	return (__mmask16)((1u << n) - 1);
}

static inline struct lanes lanes_set(float x)
{
	return (struct lanes){ _mm512_set1_ps(x) };
}

static inline struct lanes lanes_load(const float *p)
{
	return (struct lanes){ _mm512_loadu_ps(p) };
}

static inline struct lanes lanes_load_n(const float *p, size_t n)
{
	return (struct lanes){ _mm512_maskz_loadu_ps(lanes_first(n), p) };
}

static inline struct lanes lanes_load_f16(const uint16_t *p)
{
	return (struct lanes){ _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i_u *)p)) };
}

static inline struct lanes lanes_load_f16_n(const uint16_t *p, size_t n)
{
	return (struct lanes){ _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes_first(n), p)) };
}

static inline struct lanes lanes_load_bf16(const uint16_t *p)
{
	const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i_u *)p));

	return (struct lanes){ _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16)) };
}

static inline struct lanes lanes_of_int(const int32_t *p)
{
	return (struct lanes){ _mm512_cvtepi32_ps(_mm512_loadu_si512(p)) };
}

static inline void lanes_store(float *p, struct lanes a)
{
	_mm512_storeu_ps(p, a.v);
}

static inline void lanes_store_n(float *p, struct lanes a, size_t n)
{
	_mm512_mask_storeu_ps(p, lanes_first(n), a.v);
}

static inline void lanes_store_f16(uint16_t *p, struct lanes a)
{
	_mm256_storeu_si256((__m256i_u *)p, _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}

static inline struct lanes lanes_cut(struct lanes a, size_t n, float fill)
{
	return (struct lanes){ _mm512_mask_mov_ps(_mm512_set1_ps(fill), lanes_first(n), a.v) };
}

#define LANES_OP(name, op)							\
static inline struct lanes lanes_##name(struct lanes a, struct lanes b)	\
{										\
	return (struct lanes){ op(a.v, b.v) };					\
}

LANES_OP(add, _mm512_add_ps)
LANES_OP(sub, _mm512_sub_ps)
LANES_OP(mul, _mm512_mul_ps)
LANES_OP(div, _mm512_div_ps)
LANES_OP(max, _mm512_max_ps)
LANES_OP(min, _mm512_min_ps)

static inline struct lanes lanes_fma(struct lanes a, struct lanes b, struct lanes c)
{
	return (struct lanes){ _mm512_fmadd_ps(a.v, b.v, c.v) };
}

static inline struct lanes lanes_pow2(struct lanes t)
{
	const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(t.v), 23);

	return (struct lanes){ _mm512_castsi512_ps(
		_mm512_add_epi32(exponent, _mm512_set1_epi32(0x3f800000))) };
}

static inline float lanes_sum(struct lanes a)
{
	const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v),
					   _mm512_extractf32x8_ps(a.v, 1));
	__m128 s = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));

	s = _mm_add_ps(s, _mm_movehl_ps(s, s));
	return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

#endif
