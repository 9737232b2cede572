/* SPDX-License-Identifier: MIT */
/*
 * eng_lora_apply.c: the two halves of the adapters of a step. An adapter's matrices are too short for
 * the CPU to see streams in them, so they are asked for before their turn: each half by the one
 * before it in the list, the first of a list during the product before.
 */
#include "eng_priv.h"

#include "eng_half.h"

/* Addresses of the entries that a pass takes, as kernels want them. */
struct gathered {
	uint32_t count;
	const float *x[ENG_ROWS_MAX];
	float *y[ENG_ROWS_MAX];
	float scale[ENG_ROWS_MAX];
};

static const struct eng_lora_pair *pair_of(const struct eng_lora *lora, uint32_t layer,
					   uint32_t target)
{
	if (target == ENG_LORA_OUTPUT)
		return &lora->output;
	return lora->layers ? &lora->layers[layer].pair[target] : NULL;
}

static uint32_t rank_of(const struct eng_lora *lora, uint32_t layer, uint32_t target)
{
	const struct eng_lora_pair *p = pair_of(lora, layer, target);

	return p ? p->rank : 0;
}

/* Entries of @use whose rows are in the pass: [*begin, *end). */
static void entries_of(const struct eng_lora_pass *pass, const struct eng_lora_use *use,
		       uint32_t *begin, uint32_t *end)
{
	const struct eng_lora_entry *entry = pass->uses->entry;
	uint32_t last = use->first + use->count;

	*begin = use->first;
	while (*begin < last && entry[*begin].row < pass->rows.first)
		++*begin;
	*end = *begin;
	while (*end < last && entry[*end].row < pass->rows.first + pass->rows.count)
		++*end;
}

/* To the second-level cache. */
static void ask(const void *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += 64)
		__builtin_prefetch((const char *)p + i, 0, 2);
}

static void ask_a(const struct eng_lora_pass *pass, uint32_t use, uint32_t layer,
		  struct eng_range targets)
{
	const struct eng_lora *lora = pass->uses->use[use].lora;

	for (uint32_t i = 0; i < targets.count; i++) {
		const struct eng_lora_pair *p = pair_of(lora, layer, targets.first + i);

		if (p && p->rank)
			ask(p->a, (size_t)p->rank * p->cols * (p->type == ENG_F32 ? 4 : 2));
	}
}

static void ask_b(const struct eng_lora_pass *pass, uint32_t use, uint32_t target,
		  struct eng_range panels)
{
	const struct eng_lora_pair *p = pair_of(pass->uses->use[use].lora, pass->layer, target);
	size_t bytes;

	if (!p || !p->rank)
		return;
	bytes = eng_panel_bytes(p->type, p->rank);
	ask((const char *)p->b + panels.first * bytes, panels.count * bytes);
}

void eng_lora_ask(const struct eng_lora_pass *pass, uint32_t target, struct eng_range panels)
{
	if (pass->uses->use_count)
		ask_b(pass, 0, target, panels);
}

/* The A that follow those of use @u and @targets. */
static void ask_next_a(const struct eng *eng, const struct eng_lora_pass *pass, uint32_t u,
		       struct eng_range targets)
{
	static const struct eng_range next[ENG_LORA_TARGETS] = {
		[ENG_LORA_Q] = { ENG_LORA_O, 1 }, [ENG_LORA_O] = { ENG_LORA_GATE, 2 },
		[ENG_LORA_GATE] = { ENG_LORA_DOWN, 1 }, [ENG_LORA_UP] = { ENG_LORA_DOWN, 1 },
		[ENG_LORA_DOWN] = { ENG_LORA_Q, 3 },
	};
	uint32_t layer = pass->layer + (targets.first == ENG_LORA_DOWN);

	if (u + 1 < pass->uses->use_count)
		ask_a(pass, u + 1, pass->layer, targets);
	else if (layer < eng->step.model->config.layer_count)
		ask_a(pass, 0, layer, next[targets.first]);
}

static void shrink_pair(const struct eng *eng, const struct eng_lora_pass *pass,
			const struct eng_lora_pair *p, uint32_t begin, uint32_t end, uint32_t at,
			const struct eng_operand *in)
{
	struct gathered g;

	g.count = 0;	/* the rest stays as it is: this runs often */
	for (uint32_t e = begin; e < end; e++, g.count++) {
		const struct eng_lora_entry *entry = &pass->uses->entry[e];

		g.x[g.count] = in->x + entry->row * in->stride;
		g.y[g.count] = pass->z + (size_t)e * eng->lora.stride + at;
		g.scale[g.count] = p->scale * entry->scale;
	}
	eng->kernels->lora_shrink(p->type, p->a, p->rank, p->cols, g.x, g.scale, g.count, g.y);
}

void eng_lora_shrink(const struct eng *eng, const struct eng_lora_pass *pass,
		     struct eng_range targets, const struct eng_operand *in)
{
	for (uint32_t u = 0; u < pass->uses->use_count; u++) {
		const struct eng_lora_use *use = &pass->uses->use[u];
		uint32_t begin, end, at = 0;

		entries_of(pass, use, &begin, &end);
		ask_next_a(eng, pass, u, targets);
		for (uint32_t i = 0; i < targets.count && begin < end; i++) {
			const struct eng_lora_pair *p =
				pair_of(use->lora, pass->layer, targets.first + i);

			if (!p || !p->rank)
				continue;
			shrink_pair(eng, pass, p, begin, end, at, in);
			at += p->rank;
		}
	}
}

static void expand_pair(const struct eng *eng, const struct eng_lora_pair *p,
			struct eng_range panels, const struct gathered *g)
{
	const struct eng_matrix b = { p->type, p->rows, p->rank, p->b };

	if (g->count)
		eng->kernels->lora_expand(&b, panels.first, panels.count, g->x, g->count,
					  g->y);
}

void eng_lora_expand(const struct eng *eng, const struct eng_lora_pass *pass, uint32_t first,
		     uint32_t target, struct eng_range panels, float *out, size_t out_stride,
		     const uint32_t *index)
{
	for (uint32_t u = 0; panels.count && u < pass->uses->use_count; u++) {
		const struct eng_lora_use *use = &pass->uses->use[u];
		uint32_t begin, end, at = 0;
		struct gathered g;

		if (u + 1 < pass->uses->use_count)
			ask_b(pass, u + 1, target, panels);
		if (!rank_of(use->lora, pass->layer, target))
			continue;
		for (uint32_t t = first; t < target; t++)
			at += rank_of(use->lora, pass->layer, t);
		entries_of(pass, use, &begin, &end);
		g.count = 0;
		for (uint32_t e = begin; e < end; e++, g.count++) {
			uint32_t row = pass->uses->entry[e].row;

			g.x[g.count] = pass->z + (size_t)e * eng->lora.stride + at;
			g.y[g.count] = out + (index ? index[row] : row) * out_stride;
		}
		expand_pair(eng, pair_of(use->lora, pass->layer, target), panels, &g);
	}
}

static float element(uint32_t type, const void *p, size_t at)
{
	if (type == ENG_F32)
		return ((const float *)p)[at];
	if (type == ENG_F16)
		return eng_f16_float(((const uint16_t *)p)[at]);
	return eng_bf16_float(((const uint16_t *)p)[at]);
}

void eng_lora_embed(const struct eng *eng, const struct eng_row *row, float *z, float *x)
{
	for (uint32_t i = 0; i < row->adapter_count; i++) {
		const struct eng_lora_pair *p = &row->adapters[i].lora->embed;
		const float scale = p->scale * row->adapters[i].scale;
		const struct eng_range all = {
			0, (p->rows + ENG_PANEL_ROWS - 1) / ENG_PANEL_ROWS,
		};
		struct gathered g;

		for (uint32_t r = 0; r < p->rank; r++)
			z[r] = element(p->type, p->a, (size_t)r * p->cols + row->token) * scale;
		g.count = 1;
		g.x[0] = z;
		g.y[0] = x;
		if (p->rank)
			expand_pair(eng, p, all, &g);
	}
}
