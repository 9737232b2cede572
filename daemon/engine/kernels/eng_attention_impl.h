/* SPDX-License-Identifier: MIT */
/*
 * eng_attention_impl.h: queries against one KV page; included once per ISA after its eng_lanes_*.h.
 * K lies [dim][token], so a score is a lane of its own: dims in order, then times scale. V lies
 * [token][dim], so an output is a lane of its own, tokens in order.
 */
#ifndef ENG_ATTENTION_IMPL_H
#define ENG_ATTENTION_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eng_unroll.h"

#define PAGE_TOKENS	32u

ENG_INLINE struct lanes kv_load(bool f32, const void *p, size_t at)
{
	return f32 ? lanes_load((const float *)p + at) : lanes_load_f16((const uint16_t *)p + at);
}

ENG_INLINE struct lanes kv_load_n(bool f32, const void *p, size_t at, size_t n)
{
	return f32 ? lanes_load_n((const float *)p + at, n) :
		     lanes_load_f16_n((const uint16_t *)p + at, n);
}

/* The next plane is asked for bit by bit: all at once would hold up the loads behind it. */
ENG_INLINE void fetch(bool f32, const uint8_t *next, size_t at, uint32_t count)
{
	const uint32_t bytes = f32 ? 4 : 2;

	for (uint32_t i = 0; i < count * bytes; i += 64)
		__builtin_prefetch(next + at * bytes + i, 0, 2);
}

/* @queries (constant) queries against all tokens of the page. */
ENG_INLINE void scores_tile(bool f32, uint32_t queries, const float *const *q, uint32_t head_dim,
			    const void *k, float scale, float *const *scores,
			    const uint8_t *next)
{
	struct lanes low[LANES_SCORES], high[LANES_SCORES];

	ENG_UNROLL
	for (uint32_t i = 0; i < queries; i++)
		low[i] = high[i] = lanes_set(0);
	for (uint32_t d = 0; d < head_dim; d++) {
		const struct lanes first = kv_load(f32, k, d * PAGE_TOKENS);
		const struct lanes second = kv_load(f32, k, d * PAGE_TOKENS + 16);

		fetch(f32, next, d * PAGE_TOKENS, PAGE_TOKENS);
		ENG_UNROLL
		for (uint32_t i = 0; i < queries; i++) {
			const struct lanes x = lanes_set(q[i][d]);

			low[i] = lanes_fma(x, first, low[i]);
			high[i] = lanes_fma(x, second, high[i]);
		}
	}
	ENG_UNROLL
	for (uint32_t i = 0; i < queries; i++) {
		lanes_store(scores[i], lanes_mul(low[i], lanes_set(scale)));
		lanes_store(scores[i] + 16, lanes_mul(high[i], lanes_set(scale)));
	}
}

#define WIDE_DIM	128u	/* up to 16 KB of floats stay in the first-level cache */

/* So many passes over a plane of F16 that it pays to widen it once. */
static inline bool is_worth_widening(bool f32, uint32_t query_count, uint32_t at_once,
				     uint32_t head_dim)
{
	return !f32 && query_count > 2 * at_once && head_dim <= WIDE_DIM;
}

static void widen_plane(const void *plane, uint32_t head_dim, float *wide)
{
	for (uint32_t i = 0; i < head_dim * PAGE_TOKENS; i += 16)
		lanes_store(wide + i, lanes_load_f16((const uint16_t *)plane + i));
}

/* One copy of the tile for each number of queries that fits the registers. */
#define SCORES_CASE(n)								\
	case n:									\
		scores_tile(f32, n, q, head_dim, k, scale, scores, next);	\
		break;

ENG_INLINE void scores_page(bool f32, const float *const *q, uint32_t query_count,
			    uint32_t head_dim, const void *k, float scale, float *const *scores,
			    const void *next)
{
	while (query_count) {
		const uint32_t n = query_count < LANES_SCORES ? query_count : LANES_SCORES;

		switch (n) {
		SCORES_CASES
		}
		q += n;
		scores += n;
		next = k;
		query_count -= n;
	}
}

static void attn_scores(bool f32, const float *const *q, uint32_t query_count, uint32_t head_dim,
			const void *k_page, float scale, float *const *scores, const void *next)
{
	_Alignas(64) float wide[WIDE_DIM * PAGE_TOKENS];

	if (is_worth_widening(f32, query_count, LANES_SCORES, head_dim)) {
		widen_plane(k_page, head_dim, wide);
		scores_page(true, q, query_count, head_dim, wide, scale, scores, wide);
	} else if (f32)
		scores_page(true, q, query_count, head_dim, k_page, scale, scores, next);
	else
		scores_page(false, q, query_count, head_dim, k_page, scale, scores, next);
}

/* @queries queries, 16 * @width dims from @d on; both constant. */
ENG_INLINE void mix_tile(bool f32, uint32_t queries, uint32_t width, const float *const *probs,
			 uint32_t head_dim, const void *v, uint32_t token_count, uint32_t d,
			 float *const *out, const uint8_t *next)
{
	struct lanes sum[LANES_MIX][LANES_WIDTH], value[LANES_WIDTH];

	ENG_UNROLL
	for (uint32_t i = 0; i < queries; i++)
		ENG_UNROLL
		for (uint32_t k = 0; k < width; k++)
			sum[i][k] = lanes_load(out[i] + d + 16 * k);
	for (uint32_t t = 0; t < token_count; t++) {
		ENG_UNROLL
		for (uint32_t k = 0; k < width; k++)
			value[k] = kv_load(f32, v, t * head_dim + d + 16 * k);
		fetch(f32, next, t * head_dim + d, 16 * width);
		ENG_UNROLL
		for (uint32_t i = 0; i < queries; i++) {
			const struct lanes p = lanes_set(probs[i][t]);

			ENG_UNROLL
			for (uint32_t k = 0; k < width; k++)
				sum[i][k] = lanes_fma(p, value[k], sum[i][k]);
		}
	}
	ENG_UNROLL
	for (uint32_t i = 0; i < queries; i++)
		ENG_UNROLL
		for (uint32_t k = 0; k < width; k++)
			lanes_store(out[i] + d + 16 * k, sum[i][k]);
}

/* The last 1..15 dims of one query. */
static void mix_rest(bool f32, const float *probs, uint32_t head_dim, const void *v,
		     uint32_t token_count, uint32_t d, float *out)
{
	const uint32_t n = head_dim - d;
	struct lanes sum = lanes_load_n(out + d, n);

	for (uint32_t t = 0; t < token_count; t++)
		sum = lanes_fma(lanes_set(probs[t]), kv_load_n(f32, v, t * head_dim + d, n), sum);
	lanes_store_n(out + d, sum, n);
}

/* @queries (constant) queries, all dims. */
ENG_INLINE void mix_queries(bool f32, uint32_t queries, const float *const *probs,
			    uint32_t head_dim, const void *v, uint32_t token_count,
			    float *const *out, const void *next)
{
	uint32_t d = 0;

	for (; d + 16 * LANES_WIDTH <= head_dim; d += 16 * LANES_WIDTH)
		mix_tile(f32, queries, LANES_WIDTH, probs, head_dim, v, token_count, d, out,
			 next);
	for (; d + 16 <= head_dim; d += 16)
		mix_tile(f32, queries, 1, probs, head_dim, v, token_count, d, out, next);
	for (uint32_t i = 0; d < head_dim && i < queries; i++)
		mix_rest(f32, probs[i], head_dim, v, token_count, d, out[i]);
}

#define MIX_CASE(n)								\
	case n:									\
		mix_queries(f32, n, probs, head_dim, v, token_count, out, next);	\
		break;

ENG_INLINE void mix_page(bool f32, const float *const *probs, uint32_t query_count,
			 uint32_t head_dim, const void *v, uint32_t token_count, float *const *out,
			 const void *next)
{
	while (query_count) {
		const uint32_t n = query_count < LANES_MIX ? query_count : LANES_MIX;

		switch (n) {
		MIX_CASES
		}
		probs += n;
		out += n;
		next = v;
		query_count -= n;
	}
}

static void attn_mix(bool f32, const float *const *probs, uint32_t query_count, uint32_t head_dim,
		     const void *v_page, uint32_t token_count, float *const *out, const void *next)
{
	_Alignas(64) float wide[WIDE_DIM * PAGE_TOKENS];

	if (is_worth_widening(f32, query_count, LANES_MIX, head_dim)) {
		widen_plane(v_page, head_dim, wide);
		mix_page(true, probs, query_count, head_dim, wide, token_count, out, wide);
	} else if (f32)
		mix_page(true, probs, query_count, head_dim, v_page, token_count, out, next);
	else
		mix_page(false, probs, query_count, head_dim, v_page, token_count, out, next);
}

static void put_f16(const float *x, uint32_t n, uint16_t *out, size_t step)
{
	for (uint32_t i = 0; i < n; i += 16) {
		const uint32_t some = n - i < 16 ? n - i : 16;
		uint16_t half[16];

		lanes_store_f16(half, lanes_load_n(x + i, some));
		for (uint32_t k = 0; k < some; k++)
			out[(i + k) * step] = half[k];
	}
}

static void kv_put(bool f32, const float *k, const float *v, uint32_t head_dim, uint32_t slot,
		   void *k_page, void *v_page)
{
	if (!f32) {
		put_f16(k, head_dim, (uint16_t *)k_page + slot, PAGE_TOKENS);
		put_f16(v, head_dim, (uint16_t *)v_page + (size_t)slot * head_dim, 1);
		return;
	}
	for (uint32_t d = 0; d < head_dim; d++) {
		((float *)k_page)[d * PAGE_TOKENS + slot] = k[d];
		((float *)v_page)[(size_t)slot * head_dim + d] = v[d];
	}
}

#endif
