/* SPDX-License-Identifier: MIT */
/*
 * eng_attend.c: queries against one part of a sequence. One row and one head see the tokens from
 * the part's first to their own in order, whoever else shares the pass; parts begin at multiples of
 * ENG_PART_TOKENS and are merged in order. So the result depends on the row's position and content
 * alone, and neither the scores nor the work of one unit grow with the context.
 *
 * A page holds, for each layer and KV head, a plane of K and a plane of V (eng_kernels.h).
 */
#include "eng_priv.h"

#include <math.h>
#include <string.h>

/* The queries of one pass: some heads of one KV head for the rows of one group, rows outermost. */
struct pass {
	const struct eng_kernels *kernels;
	const struct eng_config *config;
	const struct eng_row *rows;
	uint32_t row_count, heads;
	size_t plane_offset;		/* of K in a page; V follows */
	size_t plane_bytes;
	size_t part_stride;
	const float *q[ENG_QUERIES];
	float *scores[ENG_QUERIES];
	float *parts[ENG_QUERIES];	/* part 0 of each query */
};

/* What a pass does in one part. */
struct part {
	uint32_t page, end;		/* pages */
	float *out[ENG_QUERIES];
};

static uint32_t last_page(const struct pass *p)
{
	return p->rows[p->row_count - 1].position / ENG_PAGE_TOKENS;
}

/* First row of the pass that sees page @page. */
static uint32_t first_seeing(const struct pass *p, uint32_t page)
{
	uint32_t r = 0;

	while (r < p->row_count && p->rows[r].position / ENG_PAGE_TOKENS < page)
		r++;
	return r;
}

/* Meanwhile the values are fetched. */
static void score_pages(const struct pass *p, const struct part *part)
{
	const struct eng_config *c = p->config;
	uint32_t queries = p->row_count * p->heads;
	float scale = 1.0f / sqrtf((float)c->head_dim);
	float *at[ENG_QUERIES];

	for (uint32_t page = part->page; page < part->end; page++) {
		const unsigned char *k = p->rows->pages[page];
		uint32_t first = first_seeing(p, page) * p->heads;

		for (uint32_t i = first; i < queries; i++)
			at[i] = p->scores[i] + (size_t)(page - part->page) * ENG_PAGE_TOKENS;
		p->kernels->attn_scores(c->kv_f32, p->q + first, queries - first, c->head_dim,
					k + p->plane_offset, scale, at + first,
					k + p->plane_offset + p->plane_bytes);
	}
}

/* Scores to weights; an empty sum for each query. */
static void weigh(const struct pass *p, struct part *part, uint32_t first)
{
	const uint32_t head_dim = p->config->head_dim;
	const uint32_t begin = part->page * ENG_PAGE_TOKENS;

	for (uint32_t i = first * p->heads; i < p->row_count * p->heads; i++) {
		uint32_t tokens = p->rows[i / p->heads].position + 1 - begin;
		float *out = p->parts[i] + begin / ENG_PART_TOKENS * p->part_stride;

		tokens = tokens < ENG_PART_TOKENS ? tokens : ENG_PART_TOKENS;
		memset(out, 0, head_dim * sizeof(*out));
		out[head_dim + 1] = p->kernels->softmax_part(p->scores[i], tokens, &out[head_dim]);
		part->out[i] = out;
	}
}

/* Rows that end inside the page see fewer tokens of it: each apart, then all others at once. */
static void mix_page(const struct pass *p, const struct part *part, uint32_t page,
		     const unsigned char *next)
{
	const struct eng_config *c = p->config;
	const unsigned char *k = p->rows->pages[page];
	const unsigned char *v = k + p->plane_offset + p->plane_bytes;
	uint32_t r = first_seeing(p, page), queries = p->row_count * p->heads;
	const float *at[ENG_QUERIES];

	for (uint32_t i = r * p->heads; i < queries; i++)
		at[i] = p->scores[i] + (size_t)(page - part->page) * ENG_PAGE_TOKENS;
	for (; r < p->row_count && p->rows[r].position / ENG_PAGE_TOKENS == page; r++) {
		uint32_t i = r * p->heads;

		p->kernels->attn_mix(c->kv_f32, at + i, p->heads, c->head_dim, v,
				     p->rows[r].position % ENG_PAGE_TOKENS + 1, part->out + i, next);
	}
	if (r < p->row_count)
		p->kernels->attn_mix(c->kv_f32, at + r * p->heads, queries - r * p->heads,
				     c->head_dim, v, ENG_PAGE_TOKENS, part->out + r * p->heads,
				     next);
}

/* Meanwhile the next part's keys are fetched. */
static void run_part(const struct pass *p, uint32_t index)
{
	const uint32_t last = last_page(p);
	struct part part = { .page = index * ENG_PART_PAGES };

	part.end = part.page + ENG_PART_PAGES;
	part.end = part.end <= last ? part.end : last + 1;
	score_pages(p, &part);
	weigh(p, &part, first_seeing(p, part.page));
	for (uint32_t page = part.page; page < part.end; page++) {
		const uint32_t next = page + ENG_PART_PAGES;
		const unsigned char *k = p->rows->pages[next <= last ? next : page];

		mix_page(p, &part, page, k + p->plane_offset);
	}
}

static struct pass pass_of(struct eng *eng, uint32_t thread, uint32_t layer,
			   const struct eng_range *group, struct eng_range heads)
{
	const struct eng_step *step = &eng->step;
	const struct eng_buffers *buf = &step->buf;
	const struct eng_config *c = &step->model->config;
	const struct eng_own *own = &buf->own[thread];
	uint32_t kv_head = heads.first / (c->head_count / c->kv_head_count);
	struct pass p = {
		.kernels = eng->kernels, .config = c, .rows = step->rows + group->first,
		.row_count = group->count, .heads = heads.count,
		.plane_offset = eng_plane_offset(c, layer, kv_head),
		.plane_bytes = eng_kv_plane_bytes(c->kv_f32, c->head_dim),
		.part_stride = buf->part_stride,
	};

	for (uint32_t i = 0; i < group->count * heads.count; i++) {
		size_t row = group->first + i / heads.count;
		size_t head = heads.first + i % heads.count;

		p.q[i] = buf->qkv + row * buf->qkv_stride + head * c->head_dim;
		p.scores[i] = own->scores + i * ENG_SCORE_STRIDE;
		p.parts[i] = step->split_parts ?
			     buf->parts + (row * c->head_count + head) * buf->parts_stride :
			     own->parts + i * buf->parts_stride;
	}
	return p;
}

void eng_attend_part(struct eng *eng, uint32_t thread, uint32_t layer,
		     const struct eng_range *group, struct eng_range heads, uint32_t part)
{
	struct pass p = pass_of(eng, thread, layer, group, heads);

	run_part(&p, part);
}

static uint32_t parts_of(const struct eng_row *row)
{
	return row->position / ENG_PART_TOKENS + 1;
}

void eng_attend(struct eng *eng, uint32_t thread, uint32_t layer, const struct eng_range *group,
		struct eng_range heads)
{
	const struct eng_buffers *buf = &eng->step.buf;
	struct pass p = pass_of(eng, thread, layer, group, heads);

	for (uint32_t i = 0; i < parts_of(&p.rows[p.row_count - 1]); i++)
		run_part(&p, i);
	for (uint32_t i = 0; i < p.row_count * p.heads; i++) {
		size_t row = group->first + i / p.heads;
		size_t column = (size_t)(heads.first + i % p.heads) * p.config->head_dim;

		p.kernels->attn_merge(p.parts[i], p.part_stride, parts_of(&p.rows[i / p.heads]),
				      p.config->head_dim,
				      buf->heads + row * buf->heads_stride + column);
	}
}

void eng_attention_merge(struct eng *eng, float *heads)
{
	const struct eng_step *step = &eng->step;
	const struct eng_buffers *buf = &step->buf;
	const struct eng_config *c = &step->model->config;

	for (uint32_t r = 0; r < step->row_count; r++)
		for (uint32_t h = 0; h < c->head_count; h++)
			eng->kernels->attn_merge(
				buf->parts + ((size_t)r * c->head_count + h) * buf->parts_stride,
				buf->part_stride, parts_of(&step->rows[r]), c->head_dim,
				heads + r * buf->heads_stride + (size_t)h * c->head_dim);
}
