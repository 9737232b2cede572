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

static int check_rows(const struct eng *eng, const struct eng_config *c,
		      const struct eng_row *rows, uint32_t count)
{
	bool used[ENG_ROWS_MAX] = { false };

	if (!count || count > ENG_ROWS_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < count; i++) {
		if (!row_fits(&rows[i], c) || !eng_lora_fits(eng, &rows[i]))
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

/* Roughly the products of one row in one layer; those of attention run at half the speed. */
static uint64_t row_cost(const struct eng_config *c, uint32_t position)
{
	uint64_t heads = (uint64_t)c->head_count * c->head_dim;
	uint64_t kv = (uint64_t)c->kv_head_count * c->head_dim;

	uint64_t inner = c->expert_count ? (uint64_t)c->expert_used * c->expert_intermediate : c->intermediate;

	return (2 * heads + 2 * kv + 3 * inner) * c->hidden +
	       4 * heads * (position + 1);
}

/* Cut the rows into one run a thread, of about equal cost and of whole tiles. */
static void share_rows(struct eng_step *step, uint32_t threads)
{
	const struct eng_config *c = &step->model->config;
	uint64_t total = 0, done = 0;
	uint32_t row = 0;

	step->own_rows = step->row_count >= ENG_OWN_ROWS * threads;
	step->split_parts = step->row_count <= ENG_FEW_ROWS && !step->own_rows &&
			    c->kv_head_count % threads;
	if (!step->own_rows)
		return;
	for (uint32_t r = 0; r < step->row_count; r++)
		total += row_cost(c, step->rows[r].position);
	for (uint32_t t = 0; t < threads; t++) {
		struct eng_range *rows = &step->row_share[t];
		uint64_t end = total * (t + 1) / threads;

		*rows = (struct eng_range){ .first = row };
		/* To the tile's end that is nearer to @end. */
		while (row < step->row_count && (row % ENG_TILE_ROWS || done < end)) {
			uint64_t cost = row_cost(c, step->rows[row].position);

			if (row % ENG_TILE_ROWS == 0 && row > rows->first && t + 1 < threads &&
			    done + cost * (ENG_TILE_ROWS / 2) > end)
				break;
			done += cost;
			row++;
		}
		rows->count = row - rows->first;
	}
}

/* Neighbours of one sequence with ascending positions share passes over its pages. */
static bool follows(const struct eng_row *row, const struct eng_row *previous)
{
	return row->pages == previous->pages && row->position > previous->position;
}

static void group_range(struct eng_step *step, struct eng_range rows, uint32_t max)
{
	struct eng_range *group = NULL;

	for (uint32_t i = rows.first; i < rows.first + rows.count; i++) {
		if (group && group->count < max &&
		    follows(&step->rows[i], &step->rows[i - 1])) {
			group->count++;
			continue;
		}
		group = &step->groups[step->group_count++];
		*group = (struct eng_range){ .first = i, .count = 1 };
	}
}

/* No group has rows of two threads. */
static void group_rows(struct eng_step *step, uint32_t heads, uint32_t threads)
{
	uint32_t max = heads < ENG_QUERIES ? ENG_QUERIES / heads : 1;

	step->group_count = 0;
	if (!step->own_rows) {
		group_range(step, (struct eng_range){ 0, step->row_count }, max);
		return;
	}
	for (uint32_t t = 0; t < threads; t++) {
		struct eng_range *groups = &step->group_share[t];

		groups->first = step->group_count;
		group_range(step, step->row_share[t], max);
		groups->count = step->group_count - groups->first;
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
	for (uint32_t i = 0; i < ENG_ROWS_MAX; i++) {
		if (row_of[i] < 0)
			continue;
		step->logits_index[step->logits_count] = i;
		step->logits_rows[step->logits_count++] = (uint32_t)row_of[i];
	}
}

static void count_wanted(struct eng_step *step)
{
	step->wanted_count = 0;
	for (uint32_t i = 0; i < step->row_count; i++)
		step->wanted_count += eng_row_wants(&step->rows[i]);
}

int eng_step(struct eng *eng, const struct eng_model *model, const struct eng_row *rows,
	     uint32_t row_count, float *logits)
{
	const struct eng_config *c = &model->config;
	struct eng_step *step = &eng->step;
	int ret = check_rows(eng, c, rows, row_count);

	if (ret)
		return ret;
	/* Not prepared for this model. */
	if (eng_buffers_place(&step->buf, c, eng->threads, eng->arena) > eng->arena_bytes)
		return -EINVAL;
	step->model = model;
	step->logits = logits;
	order_rows(step, rows, row_count);
	share_rows(step, eng->threads);
	group_rows(step, c->head_count / c->kv_head_count, eng->threads);
	order_logits(step);
	count_wanted(step);
	eng_lora_group(step, NULL, row_count, &step->uses);
	eng_lora_group(step, step->logits_rows, step->logits_count, &step->logits_uses);
	step->thin = step->wanted_count < row_count && !step->split_parts;
	eng_pool_run(eng->pool, eng_decoder_run, eng);
	return 0;
}
