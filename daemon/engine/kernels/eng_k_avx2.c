/* SPDX-License-Identifier: MIT */
/*
 * eng_k_avx2.c: AVX2 with FMA and F16C. vpmaddubsw multiplies unsigned by signed bytes and adds two products
 * to an int16, saturating; no sum here can reach 2^15 (activations are within +-127):
 *   4 bits    q 0..15, 8 groups in one int16:        2 * 8 *  15 * 127 = 30480
 *   Q5K       q 0..31, 4 groups in one int16:        2 * 4 *  31 * 127 = 31496
 *   Q6K       |q| <= 32, 4 groups in one int16:      2 * 4 *  32 * 127 = 32512
 *   Q8, Q8M   |q| <= 128, widened after every group: 2     * 128 * 127 = 32512
 * Signed weights go in as |q|, the activations as a with the sign of q: exact, since |-128| as an unsigned
 * byte is 128 and an activation is never -128.
 */
#include <immintrin.h>
#include <math.h>

#include "eng_model.h"
#include "eng_tables.h"

#include "eng_lanes_avx2.h"

#include "eng_act.h"
#include "eng_attention_impl.h"
#include "eng_float_impl.h"
#include "eng_vector_impl.h"

#define TILE_ROWS	4u
#define TILE_CASES(type) \
	TILE_CASE(type, 1) TILE_CASE(type, 2) TILE_CASE(type, 3) TILE_CASE(type, 4)

#include "eng_tiles.h"

#define PREFETCH_AHEAD	2048u

/* Of 8 rows of a panel. */
struct scales {
	__m256 scale[2];		/* of columns 0..15 and 16..31; one unless Q6K */
	__m256 min;
};

ENG_INLINE __m256 half_floats(const uint8_t *p)
{
	return _mm256_cvtph_ps(_mm_load_si128((const __m128i *)p));
}

ENG_INLINE __m256 byte_floats(const uint8_t *p, bool is_signed)
{
	const __m128i bytes = _mm_loadl_epi64((const __m128i *)p);

	return _mm256_cvtepi32_ps(is_signed ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes));
}

/* @half 0: rows 0..7, 1: rows 8..15 of the panel. */
ENG_INLINE void load_scales(uint32_t type, const uint8_t *panel, uint32_t block, uint32_t half,
			    struct scales *s)
{
	const uint8_t *head = panel + eng_panel_scales(type, block);
	const uint8_t *sub = head + ENG_SCALE_BYTES + block % 8 * 32 + half * 8;	/* K types only */

	s->scale[0] = half_floats(head + half * 16);
	if (eng_type_has_min(type))
		s->min = half_floats(head + 32 + half * 16);
	if (type == ENG_Q4K || type == ENG_Q5K) {
		const __m256 sign = _mm256_set1_ps(-0.0f);

		s->scale[0] = _mm256_mul_ps(s->scale[0], byte_floats(sub, false));
		s->min = _mm256_xor_ps(sign, _mm256_mul_ps(s->min, byte_floats(sub + 16, false)));
	}
	if (type == ENG_Q6K) {
		s->scale[1] = _mm256_mul_ps(s->scale[0], byte_floats(sub + 16, true));
		s->scale[0] = _mm256_mul_ps(s->scale[0], byte_floats(sub, true));
	}
}

/* Four activations, in every row's place. */
ENG_INLINE __m256i four(const struct eng_act_block *a, int group)
{
	int32_t bytes;

	__builtin_memcpy(&bytes, a->q + 4 * group, sizeof(bytes));
	return _mm256_set1_epi32(bytes);
}

ENG_INLINE __m256i widen_pairs(__m256i pairs)
{
	return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

/* 4-bit weights, 8 panel rows: sum[r] of 32 columns as int32. */
ENG_INLINE void dots_4bit(uint32_t type, uint32_t rows, const uint8_t *weights,
			  const struct eng_act_block *a, size_t blocks, __m256i *sum)
{
	const __m256i low = _mm256_set1_epi8(15);

	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		sum[r] = _mm256_setzero_si256();
	ENG_UNROLL
	for (int i = 0; i < 4; i++) {
		const __m256i both = _mm256_load_si256((const __m256i *)(weights + 64 * i));
		const __m256i w0 = _mm256_and_si256(both, low);
		const __m256i w1 = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);

		ENG_UNROLL
		for (uint32_t r = 0; r < rows; r++) {
			const struct eng_act_block *row = a + r * blocks;

			sum[r] = _mm256_add_epi16(sum[r], _mm256_maddubs_epi16(w0, four(row, i)));
			sum[r] = _mm256_add_epi16(sum[r], _mm256_maddubs_epi16(w1, four(row, i + 4)));
		}
	}
	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++) {
		sum[r] = widen_pairs(sum[r]);
		if (type == ENG_Q4)
			sum[r] = _mm256_add_epi32(sum[r], _mm256_set1_epi32(a[r * blocks].neg8_sum));
	}
}

/* Eight-bit weights, 16 columns of 8 panel rows from group @from (0 or 4): added to sum[r]. */
ENG_INLINE void dots_8bit(uint32_t type, uint32_t rows, const uint8_t *weights,
			  const struct eng_act_block *a, size_t blocks, int from, __m256i *sum)
{
	const bool wide = type == ENG_Q8 || type == ENG_Q8M;
	__m256i pairs[TILE_ROWS];

	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		pairs[r] = _mm256_setzero_si256();
	ENG_UNROLL
	for (int i = from; i < from + 4; i++) {
		const __m256i w = _mm256_load_si256((const __m256i *)(weights + 64 * i));
		const __m256i magnitude = _mm256_abs_epi8(w);

		ENG_UNROLL
		for (uint32_t r = 0; r < rows; r++) {
			const __m256i q = four(a + r * blocks, i);
			const __m256i p = type == ENG_Q5K ? _mm256_maddubs_epi16(w, q) :
					  _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(q, w));

			if (wide)
				sum[r] = _mm256_add_epi32(sum[r], widen_pairs(p));
			else
				pairs[r] = _mm256_add_epi16(pairs[r], p);
		}
	}
	if (wide)
		return;
	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		sum[r] = _mm256_add_epi32(sum[r], widen_pairs(pairs[r]));
}

ENG_INLINE void add_scaled(uint32_t rows, const struct eng_act_block *a, size_t blocks, __m256 scale,
			   const __m256i *sum, __m256 *acc)
{
	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++) {
		const __m256 both = _mm256_mul_ps(scale, _mm256_set1_ps(a[r * blocks].scale));

		acc[r] = _mm256_fmadd_ps(both, _mm256_cvtepi32_ps(sum[r]), acc[r]);
	}
}

/* One block of 32 columns, 8 panel rows. */
ENG_INLINE void step(uint32_t type, uint32_t rows, const uint8_t *weights, const struct scales *s,
		     const struct eng_act_block *a, size_t blocks, __m256 *acc)
{
	__m256i sum[TILE_ROWS];

	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		sum[r] = _mm256_setzero_si256();
	if (eng_type_is_4bit(type)) {
		dots_4bit(type, rows, weights, a, blocks, sum);
	} else {
		dots_8bit(type, rows, weights, a, blocks, 0, sum);
		if (type == ENG_Q6K) {
			add_scaled(rows, a, blocks, s->scale[0], sum, acc);
			ENG_UNROLL
			for (uint32_t r = 0; r < rows; r++)
				sum[r] = _mm256_setzero_si256();
		}
		dots_8bit(type, rows, weights, a, blocks, 4, sum);
	}
	add_scaled(rows, a, blocks, s->scale[type == ENG_Q6K], sum, acc);
	if (!eng_type_has_min(type))
		return;
	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		acc[r] = _mm256_fmadd_ps(s->min, _mm256_set1_ps(a[r * blocks].scaled_sum), acc[r]);
}

ENG_INLINE void tile(uint32_t type, uint32_t rows, const struct tile_job *job)
{
	__m256 acc[2][TILE_ROWS];

	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		acc[0][r] = acc[1][r] = _mm256_setzero_ps();
	for (uint32_t b = 0; b < job->blocks; b++) {
		const uint8_t *weights = job->panel + eng_panel_weights(type, b);

		if (rows == 1) {
			ENG_UNROLL
			for (uint32_t i = 0; i < eng_block_bytes(type) + ENG_SCALE_BYTES; i += 64)
				_mm_prefetch((const char *)weights + PREFETCH_AHEAD + i, _MM_HINT_T0);
		}
		ENG_UNROLL
		for (uint32_t half = 0; half < 2; half++) {
			struct scales s;

			load_scales(type, job->panel, b, half, &s);
			step(type, rows, weights + half * 32, &s, job->act + b, job->blocks, acc[half]);
		}
	}
	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		lanes_store_n(job->out + r * job->out_stride, (struct lanes){ acc[0][r], acc[1][r] },
			      job->valid);
}

static int32_t sum_lanes(__m256i a)
{
	__m128i s = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));

	s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
	return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

static uint32_t most_lane(__m256i a)
{
	__m128i s = _mm_max_epu32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));

	s = _mm_max_epu32(s, _mm_shuffle_epi32(s, 0x4e));
	return (uint32_t)_mm_cvtsi128_si32(_mm_max_epu32(s, _mm_shuffle_epi32(s, 0xb1)));
}

static void quantize_block(const float *x, struct eng_act_block *b)
{
	const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
	__m256i most = _mm256_setzero_si256(), q[4], low, high;
	float inverse;

	for (int i = 0; i < 4; i++)
		most = _mm256_max_epu32(most, _mm256_and_si256(magnitude,
				_mm256_castps_si256(_mm256_loadu_ps(x + 8 * i))));
	if (!eng_act_block_start(b, most_lane(most), &inverse))
		return;
	for (int i = 0; i < 4; i++)
		q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i),
							_mm256_set1_ps(inverse)));
	/* The packs work within 128-bit halves; one permutation puts the quarters in order. */
	low = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
	low = _mm256_permutevar8x32_epi32(low, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
	_mm256_store_si256((__m256i *)b->q, low);
	low = _mm256_add_epi32(q[0], q[1]);
	high = _mm256_add_epi32(q[2], q[3]);
	eng_act_block_finish(b, sum_lanes(low), sum_lanes(high));
}

#include "eng_quantize_impl.h"

const struct eng_kernels eng_kernels_avx2 = {
	.isa = ENG_ISA_AVX2, .quantize = quantize, .matmul_q = matmul_q, .matmul_f = matmul_f,
	.rms_norm = rms_norm, .rope = rope, .silu_mul = silu_mul, .add = add, .softmax = softmax,
	.max = max, .sum_exp = sum_exp, .widen = widen, .kv_put = kv_put,
	.attn_scores = attn_scores, .attn_mix = attn_mix,
};
