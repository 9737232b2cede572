/* SPDX-License-Identifier: MIT */
/*
 * eng_attention_impl.h: queries against one KV page; included once per ISA after its eng_lanes_*.h.
 * K lies [dim][token], so a score is a lane of its own: even dims in one sum, odd dims in another,
 * then their sum times scale. V lies [token][dim], so an output is a lane of its own, tokens in
 * order.
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

/* @queries (constant) queries, 16 tokens from @token on. */
ENG_INLINE void scores_tile(bool f32, uint32_t queries, const float *const *q, uint32_t head_dim,
			    const void *k, uint32_t token, float scale, float *const *scores)
{
	struct lanes even[LANES_QUERIES], odd[LANES_QUERIES], key;
	uint32_t d;

	ENG_UNROLL
	for (uint32_t i = 0; i < queries; i++)
		even[i] = odd[i] = lanes_set(0);
	for (d = 0; d + 2 <= head_dim; d += 2) {
		key = kv_load(f32, k, d * PAGE_TOKENS + token);
		ENG_UNROLL
		for (uint32_t i = 0; i < queries; i++)
			even[i] = lanes_fma(lanes_set(q[i][d]), key, even[i]);
		key = kv_load(f32, k, (d + 1) * PAGE_TOKENS + token);
		ENG_UNROLL
		for (uint32_t i = 0; i < queries; i++)
			odd[i] = lanes_fma(lanes_set(q[i][d + 1]), key, odd[i]);
	}
	if (d < head_dim) {
		key = kv_load(f32, k, d * PAGE_TOKENS + token);
		ENG_UNROLL
		for (uint32_t i = 0; i < queries; i++)
			even[i] = lanes_fma(lanes_set(q[i][d]), key, even[i]);
	}
	ENG_UNROLL
	for (uint32_t i = 0; i < queries; i++)
		lanes_store(scores[i] + token,
			    lanes_mul(lanes_add(even[i], odd[i]), lanes_set(scale)));
}

ENG_INLINE void scores_page(bool f32, const float *const *q, uint32_t query_count,
			    uint32_t head_dim, const void *k, float scale, float *const *scores)
{
	for (uint32_t token = 0; token < PAGE_TOKENS; token += 16) {
		uint32_t i = 0;

		for (; i + LANES_QUERIES <= query_count; i += LANES_QUERIES)
			scores_tile(f32, LANES_QUERIES, q + i, head_dim, k, token, scale,
				    scores + i);
#if LANES_QUERIES > 2
		if (query_count - i == 3) {
			scores_tile(f32, 3, q + i, head_dim, k, token, scale, scores + i);
			continue;
		}
		if (query_count - i == 2) {
			scores_tile(f32, 2, q + i, head_dim, k, token, scale, scores + i);
			continue;
		}
#endif
		if (i < query_count)
			scores_tile(f32, 1, q + i, head_dim, k, token, scale, scores + i);
	}
}

static void attn_scores(bool f32, const float *const *q, uint32_t query_count, uint32_t head_dim,
			const void *k_page, float scale, float *const *scores)
{
	if (f32)
		scores_page(true, q, query_count, head_dim, k_page, scale, scores);
	else
		scores_page(false, q, query_count, head_dim, k_page, scale, scores);
}

/* @queries (constant) queries, 32 dims from @d on. */
ENG_INLINE void mix_tile(bool f32, uint32_t queries, const float *const *probs, uint32_t head_dim,
			 const void *v, uint32_t token_count, uint32_t d, float *const *out)
{
	struct lanes a[LANES_QUERIES], b[LANES_QUERIES];

	ENG_UNROLL
	for (uint32_t i = 0; i < queries; i++) {
		a[i] = lanes_load(out[i] + d);
		b[i] = lanes_load(out[i] + d + 16);
	}
	for (uint32_t t = 0; t < token_count; t++) {
		const struct lanes va = kv_load(f32, v, t * head_dim + d);
		const struct lanes vb = kv_load(f32, v, t * head_dim + d + 16);

		ENG_UNROLL
		for (uint32_t i = 0; i < queries; i++) {
			const struct lanes p = lanes_set(probs[i][t]);

			a[i] = lanes_fma(p, va, a[i]);
			b[i] = lanes_fma(p, vb, b[i]);
		}
	}
	ENG_UNROLL
	for (uint32_t i = 0; i < queries; i++) {
		lanes_store(out[i] + d, a[i]);
		lanes_store(out[i] + d + 16, b[i]);
	}
}

/* The last 1..31 dims of one query. */
static void mix_rest(bool f32, const float *probs, uint32_t head_dim, const void *v,
		     uint32_t token_count, uint32_t d, float *out)
{
	for (; d < head_dim; d += 16) {
		const uint32_t n = head_dim - d < 16 ? head_dim - d : 16;
		struct lanes sum = lanes_load_n(out + d, n);

		for (uint32_t t = 0; t < token_count; t++)
			sum = lanes_fma(lanes_set(probs[t]), kv_load_n(f32, v, t * head_dim + d, n),
					sum);
		lanes_store_n(out + d, sum, n);
	}
}

ENG_INLINE void mix_page(bool f32, const float *const *probs, uint32_t query_count,
			 uint32_t head_dim, const void *v, uint32_t token_count, float *const *out)
{
	uint32_t d = 0, i;

	for (; d + 32 <= head_dim; d += 32) {
		for (i = 0; i + LANES_QUERIES <= query_count; i += LANES_QUERIES)
			mix_tile(f32, LANES_QUERIES, probs + i, head_dim, v, token_count, d,
				 out + i);
#if LANES_QUERIES > 2
		if (query_count - i == 3) {
			mix_tile(f32, 3, probs + i, head_dim, v, token_count, d, out + i);
			continue;
		}
#endif
		for (; i < query_count; i++)
			mix_tile(f32, 1, probs + i, head_dim, v, token_count, d, out + i);
	}
	for (i = 0; d < head_dim && i < query_count; i++)
		mix_rest(f32, probs[i], head_dim, v, token_count, d, out[i]);
}

static void attn_mix(bool f32, const float *const *probs, uint32_t query_count, uint32_t head_dim,
		     const void *v_page, uint32_t token_count, float *const *out)
{
	if (f32)
		mix_page(true, probs, query_count, head_dim, v_page, token_count, out);
	else
		mix_page(false, probs, query_count, head_dim, v_page, token_count, out);
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
