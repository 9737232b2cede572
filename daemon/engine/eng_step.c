/* SPDX-License-Identifier: MIT */
/* eng_step.c: look at the rows of a step, put them in order, run. */
#include "eng_priv.h"

#include <errno.h>
#include <string.h>

static bool row_fits(const struct eng_row *row, const struct eng_config *c)
{
	const void *page;

	if (row->token >= c->vocab_count || row->position >= c->context_max || !row->pages)
		return false;
	page = row->pages[row->position / ENG_PAGE_TOKENS];
	return page && (uintptr_t)page % 64 == 0 && row->logits >= -1 &&
	       row->logits < (int32_t)ENG_ROWS_MAX;
}

static int check_rows(const struct eng_config *c, const struct eng_row *rows, uint32_t count)
{
	bool used[ENG_ROWS_MAX] = { false };

	if (!count || count > ENG_ROWS_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < count; i++) {
		if (!row_fits(&rows[i], c))
			return -EINVAL;
		if (i && rows[i].pages == rows[i - 1].pages &&
		    rows[i].position <= rows[i - 1].position)
			return -EINVAL;
		if (rows[i].logits < 0)
			continue;
		if (used[rows[i].logits])
			return -EINVAL;
		used[rows[i].logits] = true;
	}
	return 0;
}

/* Prompts first; within a kind the caller's order. */
static void order_rows(struct eng_step *step, const struct eng_row *rows, uint32_t count)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < count; i++)
		if (rows[i].is_prompt)
			step->rows[n++] = rows[i];
	step->prompt_count = n;
	for (uint32_t i = 0; i < count; i++)
		if (!rows[i].is_prompt)
			step->rows[n++] = rows[i];
	step->row_count = n;
}

/* Neighbours of one sequence with ascending positions share passes over its pages. */
static bool follows(const struct eng_row *row, const struct eng_row *previous)
{
	return row->pages == previous->pages && row->position > previous->position;
}

static void group_rows(struct eng_step *step, uint32_t heads)
{
	uint32_t max = heads < ENG_QUERIES ? ENG_QUERIES / heads : 1;
	struct eng_range *group = NULL;

	step->group_count = 0;
	for (uint32_t i = 0; i < step->row_count; i++) {
		if (group && group->count < max &&
		    follows(&step->rows[i], &step->rows[i - 1])) {
			group->count++;
			continue;
		}
		group = &step->groups[step->group_count++];
		*group = (struct eng_range){ .first = i, .count = 1 };
	}
}

/* Roughly the products of one row in one layer; those of attention run at half the speed. */
static uint64_t row_cost(const struct eng_config *c, uint32_t position)
{
	uint64_t heads = (uint64_t)c->head_count * c->head_dim;
	uint64_t kv = (uint64_t)c->kv_head_count * c->head_dim;

	return (2 * heads + 2 * kv + 3 * (uint64_t)c->intermediate) * c->hidden +
	       4 * heads * (position + 1);
}

static uint64_t group_cost(const struct eng_step *step, const struct eng_range *group)
{
	uint64_t cost = 0;

	for (uint32_t r = group->first; r < group->first + group->count; r++)
		cost += row_cost(&step->model->config, step->rows[r].position);
	return cost;
}

/* Cut the groups into one run a thread, of about equal cost. */
static void share_rows(struct eng_step *step, uint32_t threads)
{
	uint64_t total = 0, done = 0;
	uint32_t g = 0, row = 0;

	step->own_rows = step->row_count >= ENG_OWN_ROWS * threads;
	step->split_parts = step->row_count <= ENG_FEW_ROWS && !step->own_rows &&
			    step->model->config.kv_head_count % threads;
	if (!step->own_rows)
		return;
	for (uint32_t i = 0; i < step->group_count; i++)
		total += group_cost(step, &step->groups[i]);
	for (uint32_t t = 0; t < threads; t++) {
		struct eng_range *groups = &step->group_share[t], *rows = &step->row_share[t];

		*groups = (struct eng_range){ .first = g };
		*rows = (struct eng_range){ .first = row };
		while (g < step->group_count && done < total * (t + 1) / threads) {
			done += group_cost(step, &step->groups[g]);
			row += step->groups[g++].count;
		}
		groups->count = g - groups->first;
		rows->count = row - rows->first;
	}
}

/* Rows that want logits, in the order of their index: neighbours are computed in one call. */
static void order_logits(struct eng_step *step)
{
	int32_t row_of[ENG_ROWS_MAX];

	memset(row_of, -1, sizeof(row_of));
	for (uint32_t i = 0; i < step->row_count; i++)
		if (step->rows[i].logits >= 0)
			row_of[step->rows[i].logits] = (int32_t)i;
	step->logits_count = 0;
	for (uint32_t i = 0; i < ENG_ROWS_MAX; i++)
		if (row_of[i] >= 0)
			step->logits_rows[step->logits_count++] = (uint32_t)row_of[i];
}

int eng_step(struct eng *eng, const struct eng_model *model, const struct eng_row *rows,
	     uint32_t row_count, float *logits)
{
	const struct eng_config *c = &model->config;
	struct eng_step *step = &eng->step;
	int ret = check_rows(c, rows, row_count);

	if (ret)
		return ret;
	/* Not prepared for this model. */
	if (eng_buffers_place(&step->buf, c, eng->threads, eng->arena) > eng->arena_bytes)
		return -EINVAL;
	step->model = model;
	step->logits = logits;
	order_rows(step, rows, row_count);
	group_rows(step, c->head_count / c->kv_head_count);
	order_logits(step);
	share_rows(step, eng->threads);
	eng_pool_run(eng->pool, eng_llama_run, eng);
	return 0;
}
