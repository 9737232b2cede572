/* SPDX-License-Identifier: MIT */
/*
 * eng_attention.c: one row and one head see the keys of positions 0..own in order, page by page,
 * whoever else shares the pass; so the result depends on the row's position and content alone.
 *
 * A page holds, for each layer and KV head, a plane of K and a plane of V (eng_kernels.h).
 */
#include "eng_priv.h"

#include <math.h>
#include <string.h>

/* So many units of work a thread make the split even enough. */
#define UNITS_EVEN	4u

/* The queries of one pass: heads [head, head + heads) of the rows of one group, rows outermost. */
struct pass {
	const struct eng_kernels *kernels;
	const struct eng_config *config;
	const struct eng_row *rows;
	uint32_t row_count, heads;
	size_t plane_offset;		/* of K in a page; V follows */
	size_t plane_bytes;
	const float *q[ENG_QUERIES];
	float *scores[ENG_QUERIES];
	float *out[ENG_QUERIES];
};

static size_t plane_offset(const struct eng_config *c, uint32_t layer, uint32_t kv_head)
{
	return ((size_t)layer * c->kv_head_count + kv_head) * 2 *
	       eng_kv_plane_bytes(c->kv_f32, c->head_dim);
}

static unsigned char *page_at(const struct eng_row *row, uint32_t page)
{
	return row->pages[page];
}

/* Rotate q and k of one KV head of one row; store its k and v. */
static void store_row(struct eng *eng, uint32_t layer, uint32_t kv_head, uint32_t r)
{
	const struct eng_step *step = &eng->step;
	const struct eng_buffers *buf = &step->buf;
	const struct eng_config *c = &step->model->config;
	const struct eng_row *row = &step->rows[r];
	uint32_t heads = c->head_count / c->kv_head_count, half = c->head_dim / 2;
	float *q = buf->qkv + r * buf->qkv_stride + (size_t)kv_head * heads * c->head_dim;
	float *k = buf->qkv + r * buf->qkv_stride + buf->k_offset + (size_t)kv_head * c->head_dim;
	const float *v = k + (buf->v_offset - buf->k_offset);
	const float *cosine = buf->cosine + r * buf->half_stride;
	const float *sine = buf->sine + r * buf->half_stride;
	unsigned char *plane = page_at(row, row->position / ENG_PAGE_TOKENS) +
			       plane_offset(c, layer, kv_head);

	for (uint32_t h = 0; h < heads; h++)
		eng->kernels->rope(q + (size_t)h * c->head_dim, cosine, sine, half);
	eng->kernels->rope(k, cosine, sine, half);
	eng->kernels->kv_put(c->kv_f32, k, v, c->head_dim, row->position % ENG_PAGE_TOKENS, plane,
			     plane + eng_kv_plane_bytes(c->kv_f32, c->head_dim));
}

static void store(struct eng *eng, uint32_t thread, uint32_t layer)
{
	uint32_t rows = eng->step.row_count, begin, end;

	/* KV heads outermost: neighbouring tokens of a K plane share cache lines. */
	eng_split(eng->step.model->config.kv_head_count * rows, thread, eng->threads, &begin,
		  &end);
	for (uint32_t i = begin; i < end; i++)
		store_row(eng, layer, i / rows, i % rows);
}

static void store_own_rows(struct eng *eng, struct eng_range rows, uint32_t layer)
{
	uint32_t kv_heads = eng->step.model->config.kv_head_count;

	for (uint32_t i = 0; i < kv_heads * rows.count; i++)
		store_row(eng, layer, i / rows.count, rows.first + i % rows.count);
}

/*
 * Planes of one head lie a whole page apart, too far for the CPU to guess: ask for the next one while
 * the present one is worked on.
 */
static void fetch_plane(const struct pass *p, uint32_t page, size_t offset)
{
	const unsigned char *plane = page_at(p->rows, page) + offset;

	for (size_t i = 0; i < p->plane_bytes; i += 64)
		__builtin_prefetch(plane + i, 0, 3);
}

/* First row of the pass that sees page @page. */
static uint32_t first_seeing(const struct pass *p, uint32_t page)
{
	uint32_t r = 0;

	while (r < p->row_count && p->rows[r].position / ENG_PAGE_TOKENS < page)
		r++;
	return r;
}

static void score_pages(struct pass *p)
{
	const struct eng_config *c = p->config;
	uint32_t queries = p->row_count * p->heads;
	uint32_t pages = p->rows[p->row_count - 1].position / ENG_PAGE_TOKENS + 1;
	float scale = 1.0f / sqrtf((float)c->head_dim);
	float *at[ENG_QUERIES];

	for (uint32_t page = 0; page < pages; page++) {
		uint32_t first = first_seeing(p, page) * p->heads;

		if (page + 1 < pages)
			fetch_plane(p, page + 1, p->plane_offset);
		for (uint32_t i = first; i < queries; i++)
			at[i] = p->scores[i] + (size_t)page * ENG_PAGE_TOKENS;
		p->kernels->attn_scores(c->kv_f32, p->q + first, queries - first, c->head_dim,
					page_at(p->rows, page) + p->plane_offset, scale,
					at + first);
	}
}

/* Rows that end inside the page see fewer tokens of it: each apart, then all others at once. */
static void mix_page(struct pass *p, uint32_t page)
{
	const struct eng_config *c = p->config;
	const unsigned char *v = page_at(p->rows, page) + p->plane_offset + p->plane_bytes;
	uint32_t r = first_seeing(p, page), queries = p->row_count * p->heads;
	const float *at[ENG_QUERIES];

	for (uint32_t i = r * p->heads; i < queries; i++)
		at[i] = p->scores[i] + (size_t)page * ENG_PAGE_TOKENS;
	for (; r < p->row_count && p->rows[r].position / ENG_PAGE_TOKENS == page; r++) {
		uint32_t i = r * p->heads;

		p->kernels->attn_mix(c->kv_f32, at + i, p->heads, c->head_dim, v,
				     p->rows[r].position % ENG_PAGE_TOKENS + 1, p->out + i);
	}
	if (r < p->row_count)
		p->kernels->attn_mix(c->kv_f32, at + r * p->heads, queries - r * p->heads,
				     c->head_dim, v, ENG_PAGE_TOKENS, p->out + r * p->heads);
}

static void run_pass(struct pass *p)
{
	uint32_t pages = p->rows[p->row_count - 1].position / ENG_PAGE_TOKENS + 1;

	score_pages(p);
	fetch_plane(p, 0, p->plane_offset + p->plane_bytes);
	for (uint32_t i = 0; i < p->row_count * p->heads; i++) {
		p->kernels->softmax(p->scores[i], p->rows[i / p->heads].position + 1);
		memset(p->out[i], 0, p->config->head_dim * sizeof(float));
	}
	for (uint32_t page = 0; page < pages; page++) {
		if (page + 1 < pages)
			fetch_plane(p, page + 1, p->plane_offset + p->plane_bytes);
		mix_page(p, page);
	}
}

/* Heads [first, first + count) of one KV head for the rows of one group. */
static void attend(struct eng *eng, uint32_t thread, uint32_t layer, const struct eng_range *group,
		   uint32_t kv_head, uint32_t first, uint32_t count)
{
	const struct eng_step *step = &eng->step;
	const struct eng_buffers *buf = &step->buf;
	const struct eng_config *c = &step->model->config;
	uint32_t head = kv_head * (c->head_count / c->kv_head_count) + first;
	struct pass p = {
		.kernels = eng->kernels, .config = c, .rows = step->rows + group->first,
		.row_count = group->count, .heads = count,
		.plane_offset = plane_offset(c, layer, kv_head),
		.plane_bytes = eng_kv_plane_bytes(c->kv_f32, c->head_dim),
	};

	for (uint32_t i = 0; i < group->count * count; i++) {
		size_t row = group->first + i / count;
		size_t column = (size_t)(head + i % count) * c->head_dim;

		p.q[i] = buf->qkv + row * buf->qkv_stride + column;
		p.out[i] = buf->heads + row * buf->heads_stride + column;
		p.scores[i] = buf->own[thread].scores + i * buf->score_stride;
	}
	run_pass(&p);
}

/* All heads of a KV head, in as many passes as needed. */
static void attend_all(struct eng *eng, uint32_t thread, uint32_t layer,
		       const struct eng_range *group, uint32_t kv_head)
{
	const struct eng_config *c = &eng->step.model->config;
	uint32_t heads = c->head_count / c->kv_head_count, n;

	for (uint32_t h = 0; h < heads; h += n) {
		n = heads - h < ENG_QUERIES ? heads - h : ENG_QUERIES;
		attend(eng, thread, layer, group, kv_head, h, n);
	}
}

/* Each thread keeps the KV heads that it has stored: no barrier needed in between. */
static void attend_own_heads(struct eng *eng, uint32_t thread, uint32_t layer)
{
	const struct eng_step *step = &eng->step;
	uint32_t begin, end;

	eng_split(step->model->config.kv_head_count, thread, eng->threads, &begin, &end);
	for (uint32_t kv_head = begin; kv_head < end; kv_head++)
		for (uint32_t g = 0; g < step->group_count; g++)
			attend_all(eng, thread, layer, &step->groups[g], kv_head);
}

/* Groups and KV heads dealt in turn, as later groups of a prompt cost more. */
static void attend_dealt(struct eng *eng, uint32_t thread, uint32_t layer)
{
	const struct eng_step *step = &eng->step;
	uint32_t kv_heads = step->model->config.kv_head_count;

	for (uint32_t u = thread; u < step->group_count * kv_heads; u += eng->threads)
		attend_all(eng, thread, layer, &step->groups[u / kv_heads], u % kv_heads);
}

/* Too few of those: an even share of single heads, in passes over what they have in common. */
static void attend_heads(struct eng *eng, uint32_t thread, uint32_t layer)
{
	const struct eng_step *step = &eng->step;
	const struct eng_config *c = &step->model->config;
	uint32_t heads = c->head_count / c->kv_head_count, begin, end, n;

	eng_split(step->group_count * c->head_count, thread, eng->threads, &begin, &end);
	for (uint32_t u = begin; u < end; u += n) {
		uint32_t head = u % c->head_count, first = head % heads;

		n = heads - first < end - u ? heads - first : end - u;
		n = n < ENG_QUERIES ? n : ENG_QUERIES;
		attend(eng, thread, layer, &step->groups[u / c->head_count], head / heads, first,
		       n);
	}
}

/* Keys come from any thread's rows, so all are stored before any is read. */
static void attend_own_rows(struct eng *eng, uint32_t thread, uint32_t layer)
{
	const struct eng_step *step = &eng->step;
	struct eng_range groups = step->group_share[thread];
	uint32_t kv_heads = step->model->config.kv_head_count;

	store_own_rows(eng, step->row_share[thread], layer);
	eng_pool_barrier(eng->pool, thread);
	for (uint32_t kv_head = 0; kv_head < kv_heads; kv_head++)
		for (uint32_t g = groups.first; g < groups.first + groups.count; g++)
			attend_all(eng, thread, layer, &step->groups[g], kv_head);
}

void eng_attention(struct eng *eng, uint32_t thread, uint32_t layer)
{
	uint32_t kv_heads = eng->step.model->config.kv_head_count;

	if (eng->step.own_rows) {
		attend_own_rows(eng, thread, layer);
		return;
	}
	store(eng, thread, layer);
	if (kv_heads % eng->threads == 0) {
		attend_own_heads(eng, thread, layer);
		return;
	}
	eng_pool_barrier(eng->pool, thread);
	if (eng->step.group_count * kv_heads < UNITS_EVEN * eng->threads)
		attend_heads(eng, thread, layer);
	else
		attend_dealt(eng, thread, layer);
}
