/* SPDX-License-Identifier: MIT */
/*
 * eng_k_avx512.c: AVX-512 with VNNI. vpdpbusd multiplies unsigned by signed bytes and adds four
 * products to an int32 without saturation: |255 * 127 * 32| is far below 2^31. Signed weights are
 * read as q plus an offset, and the sum starts at -offset * sum(activations), which makes it exact
 * again.
 */
#include <immintrin.h>
#include <math.h>

#include "eng_model.h"
#include "eng_tables.h"

#include "eng_bits_avx512.h"
#include "eng_lanes_avx512.h"

#include "eng_act.h"
#include "eng_attention_impl.h"
#include "eng_diverge_impl.h"
#include "eng_float_impl.h"
#include "eng_lora_impl.h"
#include "eng_vector_impl.h"

#ifdef ENG_CHECKED
#define TILE_ROWS	3u
#define TILE_FEW	3u
#define TILE_CASES(type)	TILE_CASE(type, 1) TILE_CASE(type, 2) TILE_CASE(type, 3)
#else
#define TILE_ROWS	16u
#define TILE_FEW	8u
#define TILE_CASES(type)								\
	TILE_CASE(type, 1) TILE_CASE(type, 2) TILE_CASE(type, 3) TILE_CASE(type, 4)	\
	TILE_CASE(type, 5) TILE_CASE(type, 6) TILE_CASE(type, 7) TILE_CASE(type, 8)	\
	TILE_CASE(type, 16)
#endif

#define TURN_ROWS	2u	/* whose dot products take turns: 1, 3 and 4 are slower */

#include "eng_tiles.h"

struct scales {
	__m512 scale[2];		/* of columns 0..15 and 16..31; one without halves */
	__m512 min[2];			/* the same */
};

ENG_INLINE __m512 half_floats(const uint8_t *p)
{
	return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)p));
}

/* 16-bit scales of @type as floats. */
ENG_INLINE __m512 scale_floats(uint32_t type, const uint8_t *p)
{
	const __m512i wide = _mm512_cvtepu16_epi32(_mm256_load_si256((const __m256i *)p));

	return type == ENG_E4 ? _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16)) : half_floats(p);
}

ENG_INLINE __m512 byte_floats(const uint8_t *p, bool is_signed)
{
	const __m128i bytes = _mm_load_si128((const __m128i *)p);

	return _mm512_cvtepi32_ps(is_signed ? _mm512_cvtepi8_epi32(bytes)
					    : _mm512_cvtepu8_epi32(bytes));
}

/* Q2K: a scale below and a minimum above in each byte; that by 32, as the sums of halves are. */
ENG_INLINE void load_pairs(const uint8_t *sub, struct scales *s)
{
	const __m512 d = s->scale[0], m = _mm512_mul_ps(s->min[0], _mm512_set1_ps(0x1p-5f));

	ENG_UNROLL
	for (int i = 0; i < 2; i++) {
		const __m512i both = _mm512_cvtepu8_epi32(
			_mm_load_si128((const __m128i *)(sub + 16 * i)));

		s->scale[i] = _mm512_mul_ps(d, _mm512_cvtepi32_ps(
			_mm512_and_si512(both, _mm512_set1_epi32(15))));
		s->min[i] = _mm512_mul_ps(m, _mm512_cvtepi32_ps(_mm512_srli_epi32(both, 4)));
	}
}

ENG_INLINE void load_scales(uint32_t type, const uint8_t *panel, uint32_t block, struct scales *s)
{
	const uint8_t *head = panel + eng_panel_scales(type, block);
	const uint8_t *sub = panel + eng_panel_sub(type, block);	/* K types only */

	s->scale[0] = scale_floats(type, head);
	if (eng_type_has_min(type))
		s->min[0] = half_floats(head + 32);
	if (type == ENG_Q4K || type == ENG_Q5K) {
		const __m512 sign = _mm512_set1_ps(-0.0f);

		s->scale[0] = _mm512_mul_ps(s->scale[0], byte_floats(sub, false));
		s->min[0] = _mm512_xor_ps(sign,
					  _mm512_mul_ps(s->min[0], byte_floats(sub + 16, false)));
	} else if (type == ENG_Q2K) {
		load_pairs(sub, s);
	} else if (eng_type_is_k(type)) {
		if (eng_type_has_halves(type))
			s->scale[1] = _mm512_mul_ps(s->scale[0], byte_floats(sub + 16, true));
		s->scale[0] = _mm512_mul_ps(s->scale[0], byte_floats(sub, true));
	}
}

typedef int32_t __attribute__((may_alias)) four_bytes;

/* Four columns: gcc has no pattern for the broadcast inside the instruction. */
ENG_INLINE __m512i dot4(__m512i sum, __m512i w, const int8_t *q)
{
	__asm__("vpdpbusd %2%{1to16%}, %1, %0"
		: "+v"(sum) : "v"(w), "m"(*(const four_bytes *)q));
	return sum;
}

/* Rows of activations that take turns; @stride bytes from one to the next. */
struct turn {
	const uint8_t *a;
	size_t stride;
};

ENG_INLINE const struct eng_act_block *turn_row(const struct turn *t, uint32_t r)
{
	return (const struct eng_act_block *)(const void *)(t->a + r * t->stride);
}

ENG_INLINE int32_t start_of(uint32_t type, const struct eng_act_block *a, int half)
{
	const int offset = unsigned_offset(type);

	if (type == ENG_Q6K || type == ENG_Q3K)
		return a->neg32_half[half] / (32 / offset);
	return offset == 8 ? a->neg8_sum :
	       offset == 16 ? a->neg16_sum :
	       offset == 128 ? a->neg128_sum : 0;
}

/*
 * The dot products of @count groups of four columns, @from on. The rows take turns: additions to
 * one sum follow each other slowly, and the core looks ahead only so far.
 */
ENG_INLINE void dots(uint32_t type, uint32_t rows, const __m512i *w, const struct turn *t, int part,
		     int count, __m512i *sum)
{
	const int from = part * count;

	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		sum[r] = _mm512_set1_epi32(start_of(type, turn_row(t, r), part));
	ENG_UNROLL
	for (int i = from; i < from + count; i++)
		ENG_UNROLL
		for (uint32_t r = 0; r < rows; r++)
			sum[r] = dot4(sum[r], w[i], turn_row(t, r)->q + 4 * i);
}

/* Minima times sums of activations; those of halves come as -32 times themselves. */
ENG_INLINE __m512 add_min(uint32_t type, const struct scales *s, const struct eng_act_block *a,
			  __m512 acc)
{
	if (type != ENG_Q2K)
		return _mm512_fmadd_ps(s->min[0], _mm512_set1_ps(a->scaled_sum), acc);
	ENG_UNROLL
	for (int half = 0; half < 2; half++)
		acc = _mm512_fmadd_ps(s->min[half],
				      _mm512_set1_ps(a->scale * (float)a->neg32_half[half]), acc);
	return acc;
}

/* One block of @rows (at most TURN_ROWS) rows onto @acc. */
ENG_INLINE void step(uint32_t type, uint32_t rows, const __m512i *w, const struct scales *s,
		     const struct turn *t, __m512 *acc)
{
	const int parts = eng_type_has_halves(type) ? 2 : 1;
	__m512i sum[TURN_ROWS];

	ENG_UNROLL
	for (int part = 0; part < parts; part++) {
		dots(type, rows, w, t, part, 8 / parts, sum);
		ENG_UNROLL
		for (uint32_t r = 0; r < rows; r++) {
			const __m512 scale = _mm512_set1_ps(turn_row(t, r)->scale);

			acc[r] = _mm512_fmadd_ps(_mm512_mul_ps(s->scale[part], scale),
						 _mm512_cvtepi32_ps(sum[r]), acc[r]);
		}
	}
	if (!eng_type_has_min(type))
		return;
	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		acc[r] = add_min(type, s, turn_row(t, r), acc[r]);
}

ENG_INLINE void tile(uint32_t type, uint32_t rows, const struct tile_job *job)
{
	const __mmask16 valid = lanes_first(job->valid);
	__m512 acc[TILE_ROWS];

	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		acc[r] = _mm512_setzero_ps();
	for (uint32_t b = 0; b < job->blocks; b++) {
		const uint8_t *weights = job->panel + eng_panel_weights(type, b);
		struct turn t = { (const uint8_t *)(job->act + b),
				  job->act_stride * sizeof(*job->act) };
		struct scales s;
		__m512i w[8];

		tile_prefetch(type, rows, job, b);
		load_scales(type, job->panel, b, &s);
		load_weights(type, weights, w);
		ENG_UNROLL
		for (uint32_t r = 0; r < rows; r += TURN_ROWS) {
			step(type, rows - r < TURN_ROWS ? rows - r : TURN_ROWS, w, &s, &t, acc + r);
			t.a += TURN_ROWS * t.stride;
			/* Not sixteen addresses at once: there are no registers for them. */
			__asm__("" : "+r"(t.a));
		}
	}
	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		_mm512_mask_storeu_ps(job->out + r * job->out_stride, valid, acc[r]);
}

#define STRIP	8u		/* blocks that share their sums over lanes and divisions */

/* out[k] = the greatest lane of v[k], all of them positive floats. */
static __m256i most_of_each(const __m512i v[STRIP])
{
	__m256i half[STRIP];
	__m512i quarter[STRIP / 2];

	ENG_UNROLL
	for (uint32_t k = 0; k < STRIP; k++)
		half[k] = _mm256_max_epu32(_mm512_castsi512_si256(v[k]),
					   _mm512_extracti64x4_epi64(v[k], 1));
	/* v[k] and v[k + 4] side by side, then pairs of neighbours. */
	ENG_UNROLL
	for (uint32_t k = 0; k < STRIP / 2; k++)
		quarter[k] = _mm512_inserti64x4(_mm512_castsi256_si512(half[k]), half[k + 4], 1);
	ENG_UNROLL
	for (uint32_t k = 0; k < STRIP / 2; k += 2)
		quarter[k] = _mm512_max_epu32(_mm512_unpacklo_epi32(quarter[k], quarter[k + 1]),
					      _mm512_unpackhi_epi32(quarter[k], quarter[k + 1]));
	quarter[0] = _mm512_max_epu32(_mm512_unpacklo_epi64(quarter[0], quarter[2]),
				      _mm512_unpackhi_epi64(quarter[0], quarter[2]));
	/* Per 128 bits: four blocks; two such parts for v[0..3], two for v[4..7]. */
	quarter[0] = _mm512_max_epu32(quarter[0], _mm512_shuffle_i32x4(quarter[0], quarter[0],
								       0xb1));
	return _mm512_castsi512_si256(_mm512_shuffle_i32x4(quarter[0], quarter[0], 0x08));
}

/* Rounded values of two blocks as bytes, in order. */
static __m512i round_pair(const float *x, float inverse0, float inverse1)
{
	const __m512 by0 = _mm512_set1_ps(inverse0), by1 = _mm512_set1_ps(inverse1);
	const __m512i a = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), by0));
	const __m512i b = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 16), by0));
	const __m512i c = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 32), by1));
	const __m512i d = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 48), by1));
	/* The packs work within 128 bits. */
	const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11,
						15);

	return _mm512_permutexvar_epi32(order, _mm512_packs_epi16(_mm512_packs_epi32(a, b),
								  _mm512_packs_epi32(c, d)));
}

/* Sums of 16 bytes each: [k] the first half of blocks 2k, then their second, then of 2k + 1. */
static __m512i sums_of_pairs(const __m512i q[STRIP / 2])
{
	const __m512i ones = _mm512_set1_epi8(1), zero = _mm512_setzero_si512();
	__m512i s[STRIP / 2];

	ENG_UNROLL
	for (uint32_t k = 0; k < STRIP / 2; k++)
		s[k] = _mm512_dpbusd_epi32(zero, ones, q[k]);
	ENG_UNROLL
	for (uint32_t k = 0; k < STRIP / 2; k += 2)
		s[k] = _mm512_add_epi32(_mm512_unpacklo_epi32(s[k], s[k + 1]),
					_mm512_unpackhi_epi32(s[k], s[k + 1]));
	return _mm512_add_epi32(_mm512_unpacklo_epi64(s[0], s[2]), _mm512_unpackhi_epi64(s[0], s[2]));
}

/* All blocks of a strip are ordinary: finite, and not all but zero. */
static bool are_ordinary(__m256i amax_bits)
{
	const __m256i least = _mm256_set1_epi32((int32_t)eng_float_bits(LEAST_AMAX));
	const __m256i infinite = _mm256_set1_epi32(0x7f800000);

	return _mm256_cmpge_epu32_mask(amax_bits, least) == 0xff &&
	       _mm256_cmplt_epu32_mask(amax_bits, infinite) == 0xff;
}

static void finish_pair(struct eng_act_block *b, __m512i q, const float *scale, const int32_t *sums)
{
	_mm256_store_si256((__m256i *)b[0].q, _mm512_castsi512_si256(q));
	_mm256_store_si256((__m256i *)b[1].q, _mm512_extracti64x4_epi64(q, 1));
	for (uint32_t i = 0; i < 2; i++) {
		b[i].scale = scale[i];
		eng_act_block_finish(&b[i], sums[8 * i], sums[8 * i + 4]);
	}
}

/* STRIP blocks at once; false when one of them needs a look of its own. */
static bool quantize_strip(const float *x, struct eng_act_block *b)
{
	const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
	_Alignas(64) float scale[STRIP], inverse[STRIP];
	_Alignas(64) int32_t sums[16];
	__m512i most[STRIP], q[STRIP / 2];
	__m256i amax_bits;

	ENG_UNROLL
	for (uint32_t k = 0; k < STRIP; k++)
		most[k] = _mm512_max_epu32(
			_mm512_and_si512(_mm512_loadu_si512(x + 32 * k), magnitude),
			_mm512_and_si512(_mm512_loadu_si512(x + 32 * k + 16), magnitude));
	amax_bits = most_of_each(most);
	if (!are_ordinary(amax_bits))
		return false;
	_mm256_store_ps(scale, _mm256_div_ps(_mm256_castsi256_ps(amax_bits),
					     _mm256_set1_ps(127.0f)));
	_mm256_store_ps(inverse, _mm256_div_ps(_mm256_set1_ps(127.0f),
					       _mm256_castsi256_ps(amax_bits)));
	ENG_UNROLL
	for (uint32_t k = 0; k < STRIP / 2; k++)
		q[k] = round_pair(x + 64 * k, inverse[2 * k], inverse[2 * k + 1]);
	_mm512_store_si512(sums, sums_of_pairs(q));
	ENG_UNROLL
	for (uint32_t k = 0; k < STRIP / 2; k++)
		finish_pair(b + 2 * k, q[k], scale + 2 * k, sums + k);
	return true;
}

static void quantize_block(const float *x, struct eng_act_block *b)
{
	const __m512 low = _mm512_loadu_ps(x), high = _mm512_loadu_ps(x + 16);
	const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
	const uint32_t amax_bits = _mm512_reduce_max_epu32(
		_mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(low), magnitude),
				 _mm512_and_si512(_mm512_castps_si512(high), magnitude)));
	__m512i q_low, q_high;
	float inverse;

	if (!eng_act_block_start(b, amax_bits, &inverse))
		return;
	q_low = _mm512_cvtps_epi32(_mm512_mul_ps(low, _mm512_set1_ps(inverse)));
	q_high = _mm512_cvtps_epi32(_mm512_mul_ps(high, _mm512_set1_ps(inverse)));
	_mm_store_si128((__m128i *)b->q, _mm512_cvtepi32_epi8(q_low));
	_mm_store_si128((__m128i *)(b->q + 16), _mm512_cvtepi32_epi8(q_high));
	eng_act_block_finish(b, _mm512_reduce_add_epi32(q_low), _mm512_reduce_add_epi32(q_high));
}

#define QUANTIZE_STRIP	STRIP
#include "eng_quantize_impl.h"

const struct eng_kernels eng_kernels_avx512 = {
	.isa = ENG_ISA_AVX512, .quantize = quantize, .matmul_q = matmul_q, .matmul_f = matmul_f,
	.rms_norm = rms_norm, .layer_norm = layer_norm, .rope = rope, .silu_mul = silu_mul,
	.gelu_mul = gelu_mul, .add = add, .scale = scale_all, .soft_cap = soft_cap,
	.softmax_part = softmax_part, .max = max, .sum_exp = sum_exp, .widen = widen, .kv_put = kv_put,
	.attn_scores = attn_scores, .attn_mix = attn_mix, .attn_merge = attn_merge,
	.diverge = diverge, .lora_shrink = lora_shrink, .lora_expand = lora_expand,
};
