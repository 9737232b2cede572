/* SPDX-License-Identifier: MIT */
/* eng_lanes_avx2.h: 16 floats in two registers. Meaning: eng_lanes_generic.h. */
#ifndef ENG_LANES_H
#define ENG_LANES_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define LANES_SCORES	3
#define LANES_MIX	3
#define LANES_WIDTH	2
#define SCORES_CASES	SCORES_CASE(1) SCORES_CASE(2) SCORES_CASE(3)
#define MIX_CASES	MIX_CASE(1) MIX_CASE(2) MIX_CASE(3)
#define LANES_ROWS	3

struct lanes {
	__m256 a, b;
};

static inline struct lanes lanes_set(float x)
{
	return (struct lanes){ _mm256_set1_ps(x), _mm256_set1_ps(x) };
}

static inline struct lanes lanes_load(const float *p)
{
	return (struct lanes){ _mm256_loadu_ps(p), _mm256_loadu_ps(p + 8) };
}

/* The first @n of 8; all of them from 8 on, none below 1. */
static inline __m256i lanes_first(int n)
{
	return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline struct lanes lanes_load_n(const float *p, size_t n)
{
	if (n == 16)
		return lanes_load(p);
	return (struct lanes){ _mm256_maskload_ps(p, lanes_first((int)n)),
			       _mm256_maskload_ps(p + 8, lanes_first((int)n - 8)) };
}

static inline struct lanes lanes_load_f16(const uint16_t *p)
{
	const __m256i h = _mm256_loadu_si256((const __m256i_u *)p);

	return (struct lanes){ _mm256_cvtph_ps(_mm256_castsi256_si128(h)),
			       _mm256_cvtph_ps(_mm256_extracti128_si256(h, 1)) };
}

static inline struct lanes lanes_load_f16_n(const uint16_t *p, size_t n)
{
	uint16_t full[16] = { 0 };

	memcpy(full, p, n * sizeof(*p));
	return lanes_load_f16(full);
}

static inline __m256 lanes_widen_bf16(__m128i h)
{
	return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

static inline struct lanes lanes_load_bf16(const uint16_t *p)
{
	return (struct lanes){ lanes_widen_bf16(_mm_loadu_si128((const __m128i_u *)p)),
			       lanes_widen_bf16(_mm_loadu_si128((const __m128i_u *)(p + 8))) };
}

static inline void lanes_store(float *p, struct lanes x)
{
	_mm256_storeu_ps(p, x.a);
	_mm256_storeu_ps(p + 8, x.b);
}

static inline void lanes_store_n(float *p, struct lanes x, size_t n)
{
	if (n == 16) {
		lanes_store(p, x);
		return;
	}
	_mm256_maskstore_ps(p, lanes_first((int)n), x.a);
	_mm256_maskstore_ps(p + 8, lanes_first((int)n - 8), x.b);
}

static inline void lanes_store_f16(uint16_t *p, struct lanes x)
{
	_mm_storeu_si128((__m128i_u *)p, _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
	_mm_storeu_si128((__m128i_u *)(p + 8), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
}

static inline struct lanes lanes_cut(struct lanes x, size_t n, float fill)
{
	float full[16];

	lanes_store(full, x);
	for (size_t i = n; i < 16; i++)
		full[i] = fill;
	return lanes_load(full);
}

#define LANES_OP(name, op)							\
static inline struct lanes lanes_##name(struct lanes x, struct lanes y)	\
{										\
	return (struct lanes){ op(x.a, y.a), op(x.b, y.b) };			\
}

LANES_OP(add, _mm256_add_ps)
LANES_OP(sub, _mm256_sub_ps)
LANES_OP(mul, _mm256_mul_ps)
LANES_OP(div, _mm256_div_ps)
LANES_OP(max, _mm256_max_ps)
LANES_OP(min, _mm256_min_ps)

static inline struct lanes lanes_fma(struct lanes x, struct lanes y, struct lanes z)
{
	return (struct lanes){ _mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b) };
}

static inline __m256 lanes_pow2_half(__m256 t)
{
	const __m256i one = _mm256_set1_epi32(0x3f800000);

	return _mm256_castsi256_ps(
		_mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(t), 23), one));
}

static inline struct lanes lanes_pow2(struct lanes t)
{
	return (struct lanes){ lanes_pow2_half(t.a), lanes_pow2_half(t.b) };
}

static inline float lanes_sum(struct lanes x)
{
	const __m256 eight = _mm256_add_ps(x.a, x.b);
	__m128 s = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));

	s = _mm_add_ps(s, _mm_movehl_ps(s, s));
	return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

#endif
