/* SPDX-License-Identifier: MIT */
/* eng_attention.c: which thread stores which keys and values, and which attends for whom. */
#include "eng_priv.h"

/* So many units of work a thread make the split even enough. */
#define UNITS_EVEN	4u

size_t eng_plane_offset(const struct eng_config *c, uint32_t layer, uint32_t kv_head)
{
	return ((size_t)layer * c->kv_head_count + kv_head) * 2 *
	       eng_kv_plane_bytes(c->kv_f32, c->head_dim);
}

/* One head of q or k: normed if the family does, then rotated. */
static void turn_head(const struct eng *eng, const struct eng_layer *l, const float *norm,
		      uint32_t r, float *x)
{
	const struct eng_model *model = eng->step.model;
	const struct eng_buffers *buf = &eng->step.buf;
	const size_t at = (l->local_rope ? ENG_ROWS_MAX + r : r) * buf->half_stride;

	if (norm)
		eng->kernels->rms_norm(x, x, norm, model->config.head_dim, model->config.rms_eps);
	if (model->inv_freq && !l->still)
		eng->kernels->rope(x, buf->cosine + at, buf->sine + at,
				   eng_rotary_dim(&model->config) / 2);
}

/* Turn q and k of one KV head of one row; store its k and v. */
static void store_row(struct eng *eng, uint32_t layer, uint32_t kv_head, uint32_t r)
{
	const struct eng_step *step = &eng->step;
	const struct eng_buffers *buf = &step->buf;
	const struct eng_config *c = &step->model->config;
	const struct eng_layer *l = &step->model->layers[layer];
	const struct eng_row *row = &step->rows[r];
	uint32_t heads = c->head_count / c->kv_head_count;
	float *q = buf->qkv + r * buf->qkv_stride + (size_t)kv_head * heads * c->head_dim;
	float *k = buf->qkv + r * buf->qkv_stride + buf->k_offset + (size_t)kv_head * c->head_dim;
	const float *v = k + (buf->v_offset - buf->k_offset);
	unsigned char *page = row->pages[row->position / ENG_PAGE_TOKENS];
	unsigned char *plane = page + eng_plane_offset(c, layer, kv_head);

	for (uint32_t h = 0; h < heads; h++)
		turn_head(eng, l, l->q_norm, r, q + (size_t)h * c->head_dim);
	turn_head(eng, l, l->k_norm, r, k);
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

/* In the last layer: nobody asks for what these rows see. */
static bool is_unwanted(const struct eng_step *step, uint32_t layer, const struct eng_range *group)
{
	if (!step->thin || layer + 1 < step->model->config.layer_count)
		return false;
	for (uint32_t r = group->first; r < group->first + group->count; r++)
		if (eng_row_wants(&step->rows[r]))
			return false;
	return true;
}

/* All heads of a KV head, in as many passes as needed. */
static void attend_all(struct eng *eng, uint32_t thread, uint32_t layer,
		       const struct eng_range *group, uint32_t kv_head)
{
	const struct eng_config *c = &eng->step.model->config;
	uint32_t heads = c->head_count / c->kv_head_count, n;

	if (is_unwanted(&eng->step, layer, group))
		return;
	for (uint32_t h = 0; h < heads; h += n) {
		n = heads - h < ENG_QUERIES ? heads - h : ENG_QUERIES;
		eng_attend(eng, thread, layer, group,
			   (struct eng_range){ kv_head * heads + h, n });
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
		uint32_t head = u % c->head_count;

		n = heads - head % heads < end - u ? heads - head % heads : end - u;
		n = n < ENG_QUERIES ? n : ENG_QUERIES;
		eng_attend(eng, thread, layer, &step->groups[u / c->head_count],
			   (struct eng_range){ head, n });
	}
}

/* A share of the pages that the heads of all rows see, [begin, end) as they are counted off. */
struct pages {
	uint64_t begin, end, at;
};

/* The heads of @kv_head whose pages of one part begin in the share. */
static struct eng_range heads_in(struct pages *share, uint32_t kv_head, uint32_t heads,
				 uint32_t pages)
{
	struct eng_range in = { kv_head * heads, 0 };

	for (uint32_t h = 0; h < heads; h++, share->at += pages) {
		if (share->at >= share->begin && share->at < share->end)
			in.count++;
		else if (!in.count)
			in.first++;
	}
	return in;
}

/* The pages that rows of @group see in @layer. */
static struct eng_range pages_of(const struct eng_step *step, uint32_t layer,
				 const struct eng_range *group)
{
	const struct eng_row *row = &step->rows[group->first];
	uint32_t first = eng_first_seen(row->position, step->model->layers[layer].window);
	uint32_t last = row[group->count - 1].position;

	first /= ENG_PAGE_TOKENS;
	return (struct eng_range){ first, last / ENG_PAGE_TOKENS + 1 - first };
}

/* Few rows: their parts are shared, of equal numbers of pages. */
static void attend_parts(struct eng *eng, uint32_t thread, uint32_t layer,
			 const struct eng_range *group)
{
	const struct eng_config *c = &eng->step.model->config;
	const struct eng_range pages = pages_of(&eng->step, layer, group);
	uint32_t heads = c->head_count / c->kv_head_count, end = pages.first + pages.count, n, next;
	uint64_t all = (uint64_t)pages.count * c->head_count;
	struct pages share = { all * thread / eng->threads, all * (thread + 1) / eng->threads, 0 };

	for (uint32_t kv_head = 0; kv_head < c->kv_head_count; kv_head++)
		for (uint32_t page = pages.first; page < end; page = next) {
			struct eng_range in;

			next = (page / ENG_PART_PAGES + 1) * ENG_PART_PAGES;
			next = next < end ? next : end;
			in = heads_in(&share, kv_head, heads, next - page);
			for (; in.count; in.first += n, in.count -= n) {
				n = in.count < ENG_QUERIES ? in.count : ENG_QUERIES;
				eng_attend_part(eng, thread, layer, group,
						(struct eng_range){ in.first, n },
						page / ENG_PART_PAGES);
			}
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
	if (eng->step.split_parts)
		for (uint32_t g = 0; g < eng->step.group_count; g++)
			attend_parts(eng, thread, layer, &eng->step.groups[g]);
	else if (eng->step.group_count * kv_heads < UNITS_EVEN * eng->threads)
		attend_heads(eng, thread, layer);
	else
		attend_dealt(eng, thread, layer);
}
