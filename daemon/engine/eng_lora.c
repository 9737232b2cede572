/* SPDX-License-Identifier: MIT */
/* eng_lora.c: does an adapter fit its model, memory for it, and which rows of a step share one. */
#include "eng_priv.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_float_type(uint32_t type)
{
	return type == ENG_F32 || type == ENG_F16 || type == ENG_BF16;
}

static bool is_absent(const struct eng_lora_pair *p)
{
	return !p->rank && !p->a && !p->b;
}

static bool is_aligned(const void *p)
{
	return p && (uintptr_t)p % 64 == 0;
}

static bool pair_fits(const struct eng_lora_pair *p, uint32_t rows, uint32_t cols)
{
	return is_absent(p) ||
	       (p->rank >= 1 && p->rank <= ENG_LORA_RANK_MAX && is_float_type(p->type) &&
		p->rows == rows && p->cols == cols && isfinite(p->scale) && is_aligned(p->a) &&
		is_aligned(p->b));
}

/* The target that does not fit, or ENG_LORA_TARGETS. */
static uint32_t find_misfit(const struct eng_lora_layer *l, const struct eng_layer *base)
{
	const struct eng_matrix *m[ENG_LORA_TARGETS] = {
		&base->q, &base->k, &base->v, &base->o, &base->gate, &base->up, &base->down,
	};
	uint32_t i = 0;

	while (i < ENG_LORA_TARGETS && pair_fits(&l->pair[i], m[i]->rows, m[i]->cols))
		i++;
	return i;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* The greatest sum of ranks behind one input; at least 1, as 0 says not checked. */
static uint32_t width_of(const struct eng_lora *lora)
{
	uint32_t width = larger(1, larger(lora->embed.rank, lora->output.rank));

	for (uint32_t i = 0; lora->layers && i < lora->layer_count; i++) {
		const struct eng_lora_pair *p = lora->layers[i].pair;

		width = larger(width, p[ENG_LORA_Q].rank + p[ENG_LORA_K].rank + p[ENG_LORA_V].rank);
		width = larger(width, p[ENG_LORA_GATE].rank + p[ENG_LORA_UP].rank);
		width = larger(width, larger(p[ENG_LORA_O].rank, p[ENG_LORA_DOWN].rank));
	}
	return width;
}

static int refuse(const char *name, const char **field)
{
	*field = name;
	return -EINVAL;
}

int eng_lora_check(struct eng_lora *lora, const struct eng_model *model, const char **field,
		   uint32_t *layer)
{
	static const char *const names[ENG_LORA_TARGETS] = {
		"attn_q", "attn_k", "attn_v", "attn_o", "ffn_gate", "ffn_up", "ffn_down",
	};
	const struct eng_config *c = &model->config;
	uint32_t unused;

	layer = layer ? layer : &unused;
	*layer = 0;
	lora->width = 0;
	if (lora->layer_count != c->layer_count)
		return refuse("layer_count", field);
	if (!pair_fits(&lora->embed, c->hidden, c->vocab_count))
		return refuse("embed", field);
	if (!pair_fits(&lora->output, c->vocab_count, c->hidden))
		return refuse("output", field);
	for (; lora->layers && *layer < c->layer_count; ++*layer) {
		uint32_t i = find_misfit(&lora->layers[*layer], &model->layers[*layer]);

		if (i < ENG_LORA_TARGETS)
			return refuse(names[i], field);
	}
	lora->width = width_of(lora);
	return 0;
}

int eng_lora_prepare(struct eng *eng, const struct eng_lora *lora)
{
	const size_t own = ENG_FEW_ROWS * ENG_ADAPTERS_MAX, all = ENG_ROWS_MAX * ENG_ADAPTERS_MAX;
	size_t stride = ((size_t)lora->width + 15) / 16 * 16, bytes;
	float *z;

	if (!lora->width)
		return -EINVAL;
	if (stride <= eng->lora.stride)
		return 0;
	bytes = (all + eng->threads * own) * stride * sizeof(*z);
	z = aligned_alloc(64, bytes);
	if (!z)
		return -ENOMEM;
	memset(z, 0, bytes);		/* no page fault in a step */
	free(eng->lora.z);
	eng->lora.stride = (uint32_t)stride;
	eng->lora.z = z;
	for (uint32_t i = 0; i < eng->threads; i++)
		eng->lora.own[i] = z + (all + i * own) * stride;
	return 0;
}

bool eng_lora_fits(const struct eng *eng, const struct eng_row *row)
{
	if (row->adapter_count > ENG_ADAPTERS_MAX || (row->adapter_count && !row->adapters))
		return false;
	for (uint32_t i = 0; i < row->adapter_count; i++) {
		const struct eng_adapter *a = &row->adapters[i];

		if (!a->lora || !isfinite(a->scale) || !a->lora->width ||
		    a->lora->width > eng->lora.stride)
			return false;
	}
	return true;
}

static const struct eng_row *row_at(const struct eng_step *step, const uint32_t *list, uint32_t i)
{
	return &step->rows[list ? list[i] : i];
}

/* The use of @lora from @first on; neighbours mostly have the same. */
static uint32_t find_use(struct eng_lora_uses *uses, uint32_t first, uint32_t guess,
			 const struct eng_lora *lora)
{
	if (guess < uses->use_count && uses->use[guess].lora == lora)
		return guess;
	for (uint32_t u = first; u < uses->use_count; u++)
		if (uses->use[u].lora == lora)
			return u;
	uses->use[uses->use_count] = (struct eng_lora_use){ .lora = lora };
	return uses->use_count++;
}

/* Adapter number @level of each row that has so many. Returns how many have. */
static uint32_t group_level(const struct eng_step *step, const uint32_t *list, uint32_t count,
			    uint32_t level, struct eng_lora_uses *uses)
{
	uint32_t first = uses->use_count, use_of[ENG_ROWS_MAX], u = first, n = 0;

	for (uint32_t i = 0; i < count; i++) {
		const struct eng_row *row = row_at(step, list, i);

		if (row->adapter_count <= level)
			continue;
		u = find_use(uses, first, u, row->adapters[level].lora);
		uses->use[u].count++;
		use_of[i] = u;
		n++;
	}
	for (u = first; u < uses->use_count; u++) {
		uses->use[u].first = uses->entry_count;
		uses->entry_count += uses->use[u].count;
		uses->use[u].count = 0;
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct eng_row *row = row_at(step, list, i);
		struct eng_lora_use *use;

		if (row->adapter_count <= level)
			continue;
		use = &uses->use[use_of[i]];
		uses->entry[use->first + use->count++] =
			(struct eng_lora_entry){ i, row->adapters[level].scale };
	}
	return n;
}

void eng_lora_group(const struct eng_step *step, const uint32_t *list, uint32_t count,
		    struct eng_lora_uses *uses)
{
	uint32_t level = 0;

	uses->use_count = uses->entry_count = 0;
	while (level < ENG_ADAPTERS_MAX && group_level(step, list, count, level, uses))
		level++;
}
