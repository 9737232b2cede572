/* SPDX-License-Identifier: MIT */
/*
 * eng_k_avx2.c: AVX2 with FMA and F16C. vpmaddubsw multiplies unsigned by signed bytes and adds two
 * products to an int16, saturating; no sum here can reach 2^15 (activations are within +-127):
 *   4 bits    q 0..15, 8 groups in one int16:        2 * 8 *  15 * 127 = 30480
 *   5 bits    q 0..31, 4 groups in one int16:        2 * 4 *  31 * 127 = 31496 (and 2, 3 bits, E4)
 *   6 bits    q 0..63, 2 groups in one int16:        2 * 2 *  63 * 127 = 32004
 *   8 bits    |q| <= 128, widened after every group: 2     * 128 * 127 = 32512
 * Signed bytes (N4's out of their table, too) go in as |q|, the activations as a with the sign of q:
 * exact, since |-128| as an unsigned byte is 128 and an activation is never -128.
 */
#include <immintrin.h>
#include <math.h>

#include "eng_model.h"
#include "eng_tables.h"

#include "eng_lanes_avx2.h"

#include "eng_act.h"
#include "eng_attention_impl.h"
#include "eng_diverge_impl.h"
#include "eng_float_impl.h"
#include "eng_lora_impl.h"
#include "eng_vector_impl.h"

#ifdef ENG_CHECKED
#define TILE_FEW	2u
#define TILE_CASES(type)	TILE_CASE(type, 1) TILE_CASE(type, 2) TILE_CASE(type, 16)
#else
#define TILE_FEW	4u
#define TILE_CASES(type)								\
	TILE_CASE(type, 1) TILE_CASE(type, 2) TILE_CASE(type, 3) TILE_CASE(type, 4)	\
	TILE_CASE(type, 16)
#endif
#define TILE_ROWS	16u	/* TILE_FEW at a time, over weights that are bytes already */

#include "eng_tiles.h"

/* Sums must grow one by one: gcc would rather collect their terms, and run out of registers. */
#define KEEP_ORDER(sum)	__asm__("" : "+x"(sum))

/* Of 8 rows of a panel. */
struct scales {
	__m256 scale[2];		/* of columns 0..15 and 16..31; one without halves */
	__m256 min[2];			/* the same */
};

ENG_INLINE __m256 half_floats(const uint8_t *p)
{
	return _mm256_cvtph_ps(_mm_load_si128((const __m128i *)p));
}

/* 16-bit scales of @type as floats. */
ENG_INLINE __m256 scale_floats(uint32_t type, const uint8_t *p)
{
	const __m256i wide = _mm256_cvtepu16_epi32(_mm_load_si128((const __m128i *)p));

	return type == ENG_E4 ? _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16)) : half_floats(p);
}

ENG_INLINE __m256 byte_floats(const uint8_t *p, bool is_signed)
{
	const __m128i bytes = _mm_loadl_epi64((const __m128i *)p);

	return _mm256_cvtepi32_ps(is_signed ? _mm256_cvtepi8_epi32(bytes)
					    : _mm256_cvtepu8_epi32(bytes));
}

/* Q2K: a scale below and a minimum above in each byte; that by 32, as the sums of halves are. */
ENG_INLINE void load_pairs(const uint8_t *sub, struct scales *s)
{
	const __m256 d = s->scale[0], m = _mm256_mul_ps(s->min[0], _mm256_set1_ps(0x1p-5f));

	ENG_UNROLL
	for (int i = 0; i < 2; i++) {
		const __m256i both = _mm256_cvtepu8_epi32(
			_mm_loadl_epi64((const __m128i *)(sub + 16 * i)));

		s->scale[i] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(
			_mm256_and_si256(both, _mm256_set1_epi32(15))));
		s->min[i] = _mm256_mul_ps(m, _mm256_cvtepi32_ps(_mm256_srli_epi32(both, 4)));
	}
}

/* @half 0: rows 0..7, 1: rows 8..15 of the panel. */
ENG_INLINE void load_scales(uint32_t type, const uint8_t *panel, uint32_t block, uint32_t half,
			    struct scales *s)
{
	const uint8_t *head = panel + eng_panel_scales(type, block);
	const uint8_t *sub = panel + eng_panel_sub(type, block) + half * 8;	/* K types only */

	s->scale[0] = scale_floats(type, head + half * 16);
	if (eng_type_has_min(type))
		s->min[0] = half_floats(head + 32 + half * 16);
	if (type == ENG_Q4K || type == ENG_Q5K) {
		const __m256 sign = _mm256_set1_ps(-0.0f);

		s->scale[0] = _mm256_mul_ps(s->scale[0], byte_floats(sub, false));
		s->min[0] = _mm256_xor_ps(sign,
					  _mm256_mul_ps(s->min[0], byte_floats(sub + 16, false)));
	} else if (type == ENG_Q2K) {
		load_pairs(sub, s);
	} else if (eng_type_is_k(type)) {
		if (eng_type_has_halves(type))
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

/* Eight panel rows, four columns: as int16 pairs onto @sum. */
ENG_INLINE __m256i add_pairs(__m256i sum, __m256i weights, __m256i q)
{
	sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(weights, q));
	KEEP_ORDER(sum);
	return sum;
}

/* Groups of four columns that fit into int16 pairs. */
ENG_INLINE int groups_at_once(uint32_t type)
{
	const uint32_t bits = eng_type_bits(type);

	if (type == ENG_E4)
		return 4;
	return bits == 4 ? 8 : bits < 6 ? 4 : 2;
}

/* E4's numbers go from -12 to 12; so much more makes them bytes without a sign. */
#define E4_OFFSET	12

ENG_INLINE __m256i look_up(uint32_t type, __m256i w)
{
	const __m128i table = _mm_loadu_si128((const __m128i *)eng_type_table(type));
	const __m256i bytes = _mm256_broadcastsi128_si256(table);

	return _mm256_shuffle_epi8(type == ENG_E4 ? _mm256_add_epi8(bytes, _mm256_set1_epi8(E4_OFFSET))
						  : bytes, w);
}

/*
 * Group @i of four columns of eight rows as bytes, signed in N4 and N4K, else with what start_of()
 * takes off again. @bytes: they are.
 */
ENG_INLINE __m256i load_group(uint32_t type, bool bytes, const uint8_t *weights, int i)
{
	const int bits = (int)eng_type_bits(type), low = (int)eng_low_bits((uint32_t)bits);
	__m256i w;

	if (bytes)
		return _mm256_load_si256((const __m256i *)(weights + 64 * i));
	w = _mm256_load_si256((const __m256i *)(weights + 64 * (i % low)));
	w = _mm256_and_si256(i < low ? w : _mm256_srli_epi16(w, i / low * low),
			     _mm256_set1_epi8((char)((1 << low) - 1)));
	if (eng_type_table(type))
		return look_up(type, w);
	ENG_UNROLL
	for (int bit = low; bit < bits; bit++) {
		const uint8_t *at = weights + (uint32_t)bit * ENG_PLANE_BYTES;
		const __m256i plane = _mm256_load_si256((const __m256i *)at);
		const __m256i there = i < bit ? _mm256_slli_epi16(plane, bit - i)
					      : _mm256_srli_epi16(plane, i - bit);

		w = _mm256_or_si256(w, _mm256_and_si256(there, _mm256_set1_epi8((char)(1 << bit))));
	}
	return w;
}

/* Groups [from, from + count): int32 sums of both halves of the panel onto @sum. */
ENG_INLINE void add_groups(uint32_t type, bool bytes, uint32_t rows, const uint8_t *weights,
			   const struct eng_act_block *a, size_t stride, int from, int count,
			   __m256i sum[2][TILE_FEW])
{
	__m256i pairs[2][TILE_FEW];

	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		pairs[0][r] = pairs[1][r] = _mm256_setzero_si256();
	ENG_UNROLL
	for (int i = from; i < from + count; i++) {
		const __m256i w0 = load_group(type, bytes, weights, i);
		const __m256i w1 = load_group(type, bytes, weights + 32, i);

		ENG_UNROLL
		for (uint32_t r = 0; r < rows; r++) {
			const __m256i q = four(a + r * stride, i);

			pairs[0][r] = add_pairs(pairs[0][r], w0, q);
			pairs[1][r] = add_pairs(pairs[1][r], w1, q);
		}
	}
	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++) {
		sum[0][r] = _mm256_add_epi32(sum[0][r], widen_pairs(pairs[0][r]));
		sum[1][r] = _mm256_add_epi32(sum[1][r], widen_pairs(pairs[1][r]));
	}
}

/* What makes the sum of the groups from @from on exact again, for weights stored with an offset. */
ENG_INLINE int32_t start_of(uint32_t type, const struct eng_act_block *a, int from)
{
	if (type == ENG_Q6K || type == ENG_Q3K)
		return a->neg32_half[from / 4] / (32 / eng_type_offset(type));
	if (type == ENG_E4)
		return -E4_OFFSET * a->sum;
	return type == ENG_Q4 ? a->neg8_sum : type == ENG_Q5 ? a->neg16_sum : 0;
}

/* Unsigned weights: @count groups from @from on, int32 sums of both halves. */
ENG_INLINE void dots(uint32_t type, bool bytes, uint32_t rows, const uint8_t *weights,
		     const struct eng_act_block *a, size_t stride, int from, int count,
		     __m256i sum[2][TILE_FEW])
{
	const int some = groups_at_once(type);

	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		sum[0][r] = sum[1][r] = _mm256_set1_epi32(start_of(type, a + r * stride, from));
	ENG_UNROLL
	for (int i = from; i < from + count; i += some)
		add_groups(type, bytes, rows, weights, a, stride, i, some, sum);
}

/* |w| times q with the sign of w. */
ENG_INLINE __m256i signed_pairs(__m256i w, __m256i magnitude, __m256i q)
{
	return _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(q, w));
}

/* Signed weights: 32 columns, int32 sums of both halves. */
ENG_INLINE void dots_signed(uint32_t type, bool bytes, uint32_t rows, const uint8_t *weights,
			    const struct eng_act_block *a, size_t stride,
			    __m256i sum[2][TILE_FEW])
{
	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		sum[0][r] = sum[1][r] = _mm256_setzero_si256();
	ENG_UNROLL
	for (int i = 0; i < 8; i++) {
		const __m256i w0 = load_group(type, bytes, weights, i);
		const __m256i w1 = load_group(type, bytes, weights + 32, i);
		const __m256i m0 = _mm256_abs_epi8(w0), m1 = _mm256_abs_epi8(w1);

		ENG_UNROLL
		for (uint32_t r = 0; r < rows; r++) {
			const __m256i q = four(a + r * stride, i);

			sum[0][r] =
				_mm256_add_epi32(sum[0][r], widen_pairs(signed_pairs(w0, m0, q)));
			KEEP_ORDER(sum[0][r]);
			sum[1][r] =
				_mm256_add_epi32(sum[1][r], widen_pairs(signed_pairs(w1, m1, q)));
			KEEP_ORDER(sum[1][r]);
		}
	}
}

/* acc += scale * activation scale * sum. @which: of the two scales of a block with halves. */
ENG_INLINE void add_scaled(uint32_t rows, const struct eng_act_block *a, size_t stride,
			   const struct scales *s, int which, __m256i sum[2][TILE_FEW],
			   __m256 acc[2][TILE_FEW])
{
	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++) {
		const __m256 scale = _mm256_set1_ps(a[r * stride].scale);

		acc[0][r] = _mm256_fmadd_ps(_mm256_mul_ps(s[0].scale[which], scale),
					    _mm256_cvtepi32_ps(sum[0][r]), acc[0][r]);
		acc[1][r] = _mm256_fmadd_ps(_mm256_mul_ps(s[1].scale[which], scale),
					    _mm256_cvtepi32_ps(sum[1][r]), acc[1][r]);
	}
}

/* The same with minima and sums of activations; those of a half come as -32 times themselves. */
ENG_INLINE void add_min(uint32_t type, uint32_t rows, const struct eng_act_block *a, size_t stride,
			const struct scales *s, int which, __m256 acc[2][TILE_FEW])
{
	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++) {
		const struct eng_act_block *row = a + r * stride;
		__m256 sum = _mm256_set1_ps(row->scaled_sum);

		if (type == ENG_Q2K)
			sum = _mm256_set1_ps(row->scale * (float)row->neg32_half[which]);
		acc[0][r] = _mm256_fmadd_ps(s[0].min[which], sum, acc[0][r]);
		acc[1][r] = _mm256_fmadd_ps(s[1].min[which], sum, acc[1][r]);
	}
}

/* Bytes with a sign: the numbers of Q8, and those out of N4's table. */
ENG_INLINE bool is_signed(uint32_t type)
{
	return eng_type_bits(type) == 8 || type == ENG_N4 || type == ENG_N4K;
}

/* One block of 32 columns. @s: of both halves. @bytes: the weights are unpacked. */
ENG_INLINE void step(uint32_t type, bool bytes, uint32_t rows, const uint8_t *weights,
		     const struct scales *s,
		     const struct eng_act_block *a, size_t stride, __m256 acc[2][TILE_FEW])
{
	__m256i sum[2][TILE_FEW];

	if (eng_type_has_halves(type)) {
		dots(type, bytes, rows, weights, a, stride, 0, 4, sum);
		add_scaled(rows, a, stride, s, 0, sum, acc);
		dots(type, bytes, rows, weights, a, stride, 4, 4, sum);
	} else if (is_signed(type)) {
		dots_signed(type, bytes, rows, weights, a, stride, sum);
	} else {
		dots(type, bytes, rows, weights, a, stride, 0, 8, sum);
	}
	add_scaled(rows, a, stride, s, eng_type_has_halves(type), sum, acc);
	if (eng_type_has_min(type))
		add_min(type, rows, a, stride, s, 0, acc);
	if (type == ENG_Q2K)
		add_min(type, rows, a, stride, s, 1, acc);
}

ENG_INLINE void clear(uint32_t rows, __m256 acc[2][TILE_FEW])
{
	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		acc[0][r] = acc[1][r] = _mm256_setzero_ps();
}

ENG_INLINE void store(uint32_t rows, const struct tile_job *job, uint32_t row,
		      __m256 acc[2][TILE_FEW])
{
	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		lanes_store_n(job->out + (row + r) * job->out_stride,
			      (struct lanes){ acc[0][r], acc[1][r] }, job->valid);
}

/* The scales of block @b, and what is to be fetched with it. */
ENG_INLINE void begin_block(uint32_t type, uint32_t rows, const struct tile_job *job, uint32_t b,
			    struct scales s[2])
{
	tile_prefetch(type, rows, job, b);
	load_scales(type, job->panel, b, 0, &s[0]);
	load_scales(type, job->panel, b, 1, &s[1]);
}

ENG_INLINE void tile_few(uint32_t type, uint32_t rows, const struct tile_job *job)
{
	__m256 acc[2][TILE_FEW];

	clear(rows, acc);
	for (uint32_t b = 0; b < job->blocks; b++) {
		struct scales s[2];

		begin_block(type, rows, job, b, s);
		step(type, eng_type_bits(type) == 8, rows, job->panel + eng_panel_weights(type, b), s, job->act + b,
		     job->act_stride, acc);
	}
	store(rows, job, 0, acc);
}

ENG_INLINE void unpack_weights(uint32_t type, const uint8_t *weights, uint8_t *bytes)
{
	ENG_UNROLL
	for (int i = 0; i < 8; i++) {
		const __m256i w0 = load_group(type, false, weights, i);
		const __m256i w1 = load_group(type, false, weights + 32, i);

		_mm256_store_si256((__m256i *)(bytes + 64 * i), w0);
		_mm256_store_si256((__m256i *)(bytes + 64 * i + 32), w1);
	}
}

/* Many rows: a block is unpacked once for all, and their sums wait in memory for their turn. */
ENG_INLINE void tile_many(uint32_t type, const struct tile_job *job)
{
	const bool unpack = eng_type_bits(type) < 8;
	_Alignas(32) uint8_t bytes[512];
	__m256 acc[TILE_ROWS / TILE_FEW][2][TILE_FEW];

	for (uint32_t t = 0; t < TILE_ROWS / TILE_FEW; t++)
		clear(TILE_FEW, acc[t]);
	for (uint32_t b = 0; b < job->blocks; b++) {
		const uint8_t *weights = job->panel + eng_panel_weights(type, b);
		const struct eng_act_block *a = job->act + b;
		struct scales s[2];

		begin_block(type, TILE_ROWS, job, b, s);
		if (unpack)
			unpack_weights(type, weights, bytes);
		for (uint32_t t = 0; t < TILE_ROWS / TILE_FEW; t++, a += TILE_FEW * job->act_stride)
			step(type, true, TILE_FEW, unpack ? bytes : weights, s, a, job->act_stride,
			     acc[t]);
	}
	for (uint32_t t = 0; t < TILE_ROWS / TILE_FEW; t++)
		store(TILE_FEW, job, t * TILE_FEW, acc[t]);
}

ENG_INLINE void tile(uint32_t type, uint32_t rows, const struct tile_job *job)
{
	if (rows == TILE_ROWS)
		tile_many(type, job);
	else
		tile_few(type, rows, job);
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
	.rms_norm = rms_norm, .layer_norm = layer_norm, .rope = rope, .silu_mul = silu_mul,
	.gelu_mul = gelu_mul, .add = add, .scale = scale_all, .soft_cap = soft_cap,
	.softmax_part = softmax_part, .max = max, .sum_exp = sum_exp, .widen = widen, .kv_put = kv_put,
	.attn_scores = attn_scores, .attn_mix = attn_mix, .attn_merge = attn_merge,
	.diverge = diverge, .lora_shrink = lora_shrink, .lora_expand = lora_expand,
};
