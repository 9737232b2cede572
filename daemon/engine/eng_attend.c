/* SPDX-License-Identifier: MIT */
/*
 * eng_attend.c: queries against one part of a sequence. One row and one head see the tokens from
 * the part's first, or the window's, to their own in order, whoever else shares the pass; parts begin at multiples of
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
	uint32_t window;		/* of the layer */
	float scale;			/* of scores */
	size_t plane_offset;		/* of K in a page; V follows */
	size_t plane_bytes;
	size_t part_stride;
	const float *q[ENG_QUERIES];
	float *scores[ENG_QUERIES];
	float *parts[ENG_QUERIES];	/* part 0 of each query */
};

/* What a pass does in one part. */
struct part {
	uint32_t base;			/* its first page, where scores begin */
	uint32_t page, end;		/* pages that somebody sees */
	float *out[ENG_QUERIES];
};

static uint32_t last_page(const struct pass *p)
{
	return p->rows[p->row_count - 1].position / ENG_PAGE_TOKENS;
}

/* Which of the @count tokens from @begin on row @r sees. */
static struct eng_range seen(const struct pass *p, uint32_t r, uint32_t begin, uint32_t count)
{
	uint32_t first = eng_first_seen(p->rows[r].position, p->window);
	uint32_t end = p->rows[r].position + 1;

	first = first > begin ? first - begin : 0;
	end = end > begin ? end - begin : 0;
	end = end < count ? end : count;
	return (struct eng_range){ first, end > first ? end - first : 0 };
}

/* The rows that see any of these tokens: neighbours, as their positions rise. */
static struct eng_range seeing(const struct pass *p, uint32_t begin, uint32_t count)
{
	uint32_t first = 0, end = p->row_count;

	while (first < end && p->rows[first].position < begin)
		first++;
	while (end > first && !seen(p, end - 1, begin, count).count)
		end--;
	return (struct eng_range){ first, end - first };
}

/* Meanwhile the values are fetched. */
static void score_pages(const struct pass *p, const struct part *part)
{
	const struct eng_config *c = p->config;
	float *at[ENG_QUERIES];

	for (uint32_t page = part->page; page < part->end; page++) {
		const unsigned char *k = p->rows->pages[page];
		struct eng_range rows = seeing(p, page * ENG_PAGE_TOKENS, ENG_PAGE_TOKENS);
		uint32_t first = rows.first * p->heads, queries = rows.count * p->heads;

		for (uint32_t i = first; i < first + queries; i++)
			at[i] = p->scores[i] + (size_t)(page - part->base) * ENG_PAGE_TOKENS;
		p->kernels->attn_scores(c->kv_f32, p->q + first, queries, c->head_dim,
					k + p->plane_offset, p->scale, at + first,
					k + p->plane_offset + p->plane_bytes);
	}
}

/* Scores to weights; an empty sum for each query. */
static void weigh(const struct pass *p, struct part *part)
{
	const uint32_t head_dim = p->config->head_dim, begin = part->base * ENG_PAGE_TOKENS;
	const struct eng_range rows = seeing(p, begin, ENG_PART_TOKENS);

	for (uint32_t i = rows.first * p->heads; i < (rows.first + rows.count) * p->heads; i++) {
		struct eng_range tokens = seen(p, i / p->heads, begin, ENG_PART_TOKENS);
		float *out = p->parts[i] + begin / ENG_PART_TOKENS * p->part_stride;
		float *scores = p->scores[i] + tokens.first;

		if (p->config->attn_cap > 0)
			p->kernels->soft_cap(scores, p->config->attn_cap, tokens.count);
		memset(out, 0, head_dim * sizeof(*out));
		out[head_dim + 1] = p->kernels->softmax_part(scores, tokens.count, &out[head_dim]);
		part->out[i] = out;
	}
}

/* The values of @page to @rows, which see the same @tokens of it. */
static void mix_rows(const struct pass *p, const struct part *part, uint32_t page,
		     struct eng_range rows, struct eng_range tokens, const unsigned char *next)
{
	const struct eng_config *c = p->config;
	const unsigned char *k = p->rows->pages[page];
	const unsigned char *v = k + p->plane_offset + p->plane_bytes;
	const size_t offset = (size_t)(page - part->base) * ENG_PAGE_TOKENS + tokens.first;
	uint32_t first = rows.first * p->heads, queries = rows.count * p->heads;
	const float *at[ENG_QUERIES];

	for (uint32_t i = first; i < first + queries; i++)
		at[i] = p->scores[i] + offset;
	p->kernels->attn_mix(c->kv_f32, at + first, queries, c->head_dim,
			     v + tokens.first * (p->plane_bytes / ENG_PAGE_TOKENS), tokens.count,
			     part->out + first, next);
}

/* Rows that begin or end inside the page see fewer tokens of it: each apart, all others at once. */
static void mix_page(const struct pass *p, const struct part *part, uint32_t page,
		     const unsigned char *next)
{
	const uint32_t begin = page * ENG_PAGE_TOKENS;
	struct eng_range rows = seeing(p, begin, ENG_PAGE_TOKENS);
	uint32_t n;

	for (uint32_t r = rows.first; r < rows.first + rows.count; r += n) {
		struct eng_range tokens = seen(p, r, begin, ENG_PAGE_TOKENS);

		n = 1;
		while (tokens.count == ENG_PAGE_TOKENS && r + n < rows.first + rows.count &&
		       seen(p, r + n, begin, ENG_PAGE_TOKENS).count == ENG_PAGE_TOKENS)
			n++;
		mix_rows(p, part, page, (struct eng_range){ r, n }, tokens, next);
	}
}

/* Meanwhile the next part's keys are fetched. */
static void run_part(const struct pass *p, uint32_t index)
{
	const uint32_t last = last_page(p);
	const uint32_t first = eng_first_seen(p->rows->position, p->window) / ENG_PAGE_TOKENS;
	struct part part = { .base = index * ENG_PART_PAGES };

	part.page = part.base > first ? part.base : first;
	part.end = part.base + ENG_PART_PAGES;
	part.end = part.end <= last ? part.end : last + 1;
	score_pages(p, &part);
	weigh(p, &part);
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
		.window = step->model->layers[layer].window,
		.scale = c->attn_scale != 0 ? c->attn_scale : 1.0f / sqrtf((float)c->head_dim),
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

/* The parts in which @row sees something. */
static struct eng_range parts_of(const struct eng_row *row, uint32_t window)
{
	uint32_t first = eng_first_seen(row->position, window) / ENG_PART_TOKENS;

	return (struct eng_range){ first, row->position / ENG_PART_TOKENS + 1 - first };
}

void eng_attend(struct eng *eng, uint32_t thread, uint32_t layer, const struct eng_range *group,
		struct eng_range heads)
{
	const struct eng_buffers *buf = &eng->step.buf;
	struct pass p = pass_of(eng, thread, layer, group, heads);
	uint32_t last = p.rows[p.row_count - 1].position / ENG_PART_TOKENS;

	for (uint32_t i = parts_of(p.rows, p.window).first; i <= last; i++)
		run_part(&p, i);
	for (uint32_t i = 0; i < p.row_count * p.heads; i++) {
		size_t row = group->first + i / p.heads;
		size_t column = (size_t)(heads.first + i % p.heads) * p.config->head_dim;
		struct eng_range parts = parts_of(&p.rows[i / p.heads], p.window);

		p.kernels->attn_merge(p.parts[i] + parts.first * p.part_stride, p.part_stride,
				      parts.count, p.config->head_dim,
				      buf->heads + row * buf->heads_stride + column);
	}
}

void eng_attention_merge(struct eng *eng, uint32_t layer, float *heads)
{
	const struct eng_step *step = &eng->step;
	const struct eng_buffers *buf = &step->buf;
	const struct eng_config *c = &step->model->config;

	for (uint32_t r = 0; r < step->row_count; r++) {
		struct eng_range parts = parts_of(&step->rows[r], step->model->layers[layer].window);

		for (uint32_t h = 0; h < c->head_count; h++)
			eng->kernels->attn_merge(
				buf->parts + ((size_t)r * c->head_count + h) * buf->parts_stride +
					parts.first * buf->part_stride,
				buf->part_stride, parts.count, c->head_dim,
				heads + r * buf->heads_stride + (size_t)h * c->head_dim);
	}
}
