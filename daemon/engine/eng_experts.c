/* SPDX-License-Identifier: MIT */
/*
 * eng_experts.c: a feed-forward that is a mixture of experts (Shazeer et al. 2017, Fedus et al. 2021):
 * each row goes through the few experts that its router picks, and takes their outputs by weight.
 *
 * Rows are grouped by expert, so that its weights are read once for all of them. A row's bits do not
 * depend on its company: products are those of a row alone, and a row takes outputs in rising order of
 * expert. The router's products are floats of the own kernel for prompts too, or else the same token
 * could go other ways in a prompt than when it is generated.
 */
#include <string.h>

#include "eng_decoder_priv.h"

/* What an expert costs beside its rows, in rows: its weights are read for however few. */
#define READ_COST	4u

static struct eng_matrix expert_of(const struct eng_matrix *all, uint32_t expert, uint32_t rows)
{
	size_t bytes = eng_panel_bytes(all->type, all->cols) * (rows / ENG_PANEL_ROWS);

	return (struct eng_matrix){ all->type, rows, all->cols, (const char *)all->data + expert * bytes };
}

/* ---- routing --------------------------------------------------------------------------------- */

/* The router's products of all rows, by panels. */
static void score(const struct worker *w, const struct eng_matrix *router, const struct eng_operand *in)
{
	const struct eng_experts *experts = &w->eng->step.buf.experts;
	struct eng_range panels = share_of_panels(w, eng_panels(router));

	w->kernels->matmul_f(router, panels.first, panels.count, in->x, in->stride, w->rows.count,
			     experts->scores, experts->score_stride);
	meet(w);
}

/* The @used greatest of @shares, the greatest first; of equal ones the lower number. */
static void pick_best(const float *shares, uint32_t count, uint32_t used, struct eng_pick *picks)
{
	uint32_t n = 0;

	for (uint32_t e = 0; e < count; e++) {
		uint32_t at;

		if (n == used && !(shares[e] > picks[n - 1].weight))
			continue;
		n += n < used;
		for (at = n - 1; at && shares[e] > picks[at - 1].weight; at--)
			picks[at] = picks[at - 1];
		picks[at] = (struct eng_pick){ e, shares[e] };
	}
}

static void pick_row(const struct worker *w, const float *scores, struct eng_pick *picks)
{
	const struct eng_config *c = &w->model->config;
	float *shares = w->eng->step.buf.own[w->thread].experts.shares, most, sum, of_used = 0;

	memcpy(shares, scores, c->expert_count * sizeof(*shares));
	sum = w->kernels->softmax_part(shares, c->expert_count, &most);
	for (uint32_t e = 0; e < c->expert_count; e++)
		shares[e] /= sum;
	pick_best(shares, c->expert_count, c->expert_used, picks);
	if (!c->experts_normed)
		return;
	for (uint32_t i = 0; i < c->expert_used; i++)
		of_used += picks[i].weight;
	for (uint32_t i = 0; i < c->expert_used; i++)
		picks[i].weight /= of_used;
}

/* Of few rows each thread picks for all. */
static const struct eng_pick *pick(const struct worker *w)
{
	const struct eng_buffers *buf = &w->eng->step.buf;
	struct eng_pick *picks = w->few ? buf->own[w->thread].experts.picks : buf->experts.picks;
	struct eng_range rows = share_of_rows(w);

	for (uint32_t r = rows.first; r < rows.first + rows.count; r++)
		pick_row(w, buf->experts.scores + r * buf->experts.score_stride,
			 picks + r * w->model->config.expert_used);
	if (!w->few)
		meet(w);
	return picks;
}

/* ---- grouping -------------------------------------------------------------------------------- */

static void group(const struct worker *w, const struct eng_pick *picks)
{
	const struct eng_config *c = &w->model->config;
	const struct eng_own_experts *own = &w->eng->step.buf.own[w->thread].experts;
	uint32_t all = w->rows.count * c->expert_used, at = 0;

	memset(own->end, 0, c->expert_count * sizeof(*own->end));
	for (uint32_t i = 0; i < all; i++)
		own->end[picks[i].expert]++;
	for (uint32_t e = 0; e < c->expert_count; e++) {
		uint32_t count = own->end[e];

		own->begin[e] = own->end[e] = at;
		at += count;
	}
	for (uint32_t i = 0; i < all; i++)
		own->passes[own->end[picks[i].expert]++] =
			(struct eng_pass){ i / c->expert_used, picks[i].weight };
}

/* Some passes of one expert: its next ENG_EXPERT_ROWS at most. */
struct bunch {
	uint32_t first, count;
	uint32_t prompts;		/* of them; they come first */
	const struct eng_pass *passes;
};

static struct bunch bunch_at(const struct worker *w, uint32_t expert, uint32_t first)
{
	const struct eng_own_experts *own = &w->eng->step.buf.own[w->thread].experts;
	uint32_t left = own->end[expert] - first;
	struct bunch b = { first, left < ENG_EXPERT_ROWS ? left : ENG_EXPERT_ROWS, 0, own->passes + first };

	while (b.prompts < b.count && b.passes[b.prompts].row < w->eng->step.prompt_count)
		b.prompts++;
	return b;
}

/* Rows of @in of the bunch side by side: where they are, or copies of what is @round ed or not. */
static struct eng_operand gather(const struct worker *w, const struct bunch *b, const struct eng_operand *in,
				 bool round, bool plain)
{
	const struct eng_own_experts *own = &w->eng->step.buf.own[w->thread].experts;
	uint32_t row = b->passes[0].row, cols = w->model->config.hidden;
	struct eng_operand out = { in->x + row * in->stride, in->stride, eng_act_from(&in->act, row) };
	size_t act_bytes = eng_act_bytes(1, cols);

	if (b->passes[b->count - 1].row - row + 1 == b->count)
		return out;
	out = (struct eng_operand){ own->x, in->stride, { own->act, cols } };
	for (uint32_t i = 0; i < b->count; i++) {
		row = b->passes[i].row;
		if (plain)
			memcpy(own->x + i * in->stride, in->x + row * in->stride, cols * sizeof(*in->x));
		if (round)
			memcpy(eng_act_from(&out.act, i).block, eng_act_from(&in->act, row).block, act_bytes);
	}
	return out;
}

/* ---- gate and up ----------------------------------------------------------------------------- */

/* Pairs of panels before cost @at, in an expert that begins at @base and whose pairs cost @each. */
static uint32_t pairs_before(uint64_t at, uint64_t base, uint64_t each, uint32_t pairs)
{
	uint64_t n = at > base ? (at - base + each - 1) / each : 0;

	return n < pairs ? (uint32_t)n : pairs;
}

static void inner(const struct worker *w, const struct eng_layer *l, uint32_t expert,
		  struct eng_range panels, const struct eng_operand *in)
{
	const struct eng_buffers *buf = &w->eng->step.buf;
	const struct eng_own_experts *own = &buf->own[w->thread].experts;
	size_t stride = buf->experts.stride;
	uint32_t rows = w->model->config.expert_intermediate;
	const struct eng_matrix gate = expert_of(&l->expert_gate, expert, rows);
	const struct eng_matrix up = expert_of(&l->expert_up, expert, rows);
	bool round = eng_quantized(&gate) || eng_quantized(&up);
	bool plain = !eng_quantized(&gate) || !eng_quantized(&up);
	struct bunch b;

	for (uint32_t at = own->begin[expert]; at < own->end[expert]; at += b.count) {
		struct eng_operand some;

		b = bunch_at(w, expert, at);
		some = gather(w, &b, in, round, plain);
		eng_apply_rows(w->eng, w->thread, &gate, panels, b.count, b.prompts, &some,
			       buf->gate + at * stride, stride);
		eng_apply_rows(w->eng, w->thread, &up, panels, b.count, b.prompts, &some,
			       buf->up + at * stride, stride);
		eng_activate(w, &l->expert_down, (struct eng_range){ at, b.count }, stride,
			     columns_of(&gate, panels));
	}
}

/* All pairs of all experts that have rows lie in one line, which threads cut by cost. */
static void inner_all(const struct worker *w, const struct eng_layer *l, const struct eng_operand *in)
{
	const struct eng_config *c = &w->model->config;
	const struct eng_own_experts *own = &w->eng->step.buf.own[w->thread].experts;
	uint32_t panels = c->expert_intermediate / ENG_PANEL_ROWS, pairs = (panels + 1) / 2;
	uint64_t total = 0, base = 0, from, to;

	for (uint32_t e = 0; e < c->expert_count; e++)
		if (own->end[e] > own->begin[e])
			total += (uint64_t)(own->end[e] - own->begin[e] + READ_COST) * pairs;
	from = total * w->thread / w->eng->threads;
	to = total * (w->thread + 1) / w->eng->threads;
	for (uint32_t e = 0; e < c->expert_count && base < to; e++) {
		uint64_t each = own->end[e] - own->begin[e] + READ_COST;
		uint32_t first = pairs_before(from, base, each, pairs) * 2;
		uint32_t end = pairs_before(to, base, each, pairs) * 2;

		if (own->end[e] == own->begin[e])
			continue;
		end = end < panels ? end : panels;
		if (first < end)
			inner(w, l, e, (struct eng_range){ first, end - first }, in);
		base += each * pairs;
	}
	meet(w);
}

/* ---- down ------------------------------------------------------------------------------------ */

/* What a bunch takes of the expert's output, which is in @out. */
static void take(const struct worker *w, const struct bunch *b, float *out, struct eng_range columns)
{
	const struct eng_buffers *buf = &w->eng->step.buf;

	for (uint32_t i = 0; i < b->count; i++) {
		float *from = out + i * buf->hidden_stride + columns.first;

		w->kernels->scale(from, b->passes[i].weight, columns.count);
		w->kernels->add(buf->delta + b->passes[i].row * buf->hidden_stride + columns.first, from,
				columns.count);
	}
}

static void outer(const struct worker *w, const struct eng_layer *l, uint32_t expert, struct eng_range panels)
{
	const struct eng_buffers *buf = &w->eng->step.buf;
	const struct eng_own_experts *own = &buf->own[w->thread].experts;
	const struct eng_matrix down = expert_of(&l->expert_down, expert, w->model->config.hidden);
	const struct eng_act act = { buf->ffn_act, down.cols };
	size_t stride = buf->experts.stride;
	struct bunch b;

	for (uint32_t at = own->begin[expert]; at < own->end[expert]; at += b.count) {
		const struct eng_operand in = { buf->gate + at * stride, stride, eng_act_from(&act, at) };

		b = bunch_at(w, expert, at);
		eng_apply_rows(w->eng, w->thread, &down, panels, b.count, b.prompts, &in, buf->experts.out,
			       buf->hidden_stride);
		take(w, &b, buf->experts.out, columns_of(&down, panels));
	}
}

/* By panels: a thread adds up what it has computed. */
static void outer_all(const struct worker *w, const struct eng_layer *l)
{
	const struct eng_config *c = &w->model->config;
	const struct eng_buffers *buf = &w->eng->step.buf;
	struct eng_range panels = share_of_panels(w, c->hidden / ENG_PANEL_ROWS);
	size_t first = (size_t)panels.first * ENG_PANEL_ROWS, n = (size_t)panels.count * ENG_PANEL_ROWS;

	for (uint32_t r = 0; r < w->rows.count; r++)
		memset(buf->delta + r * buf->hidden_stride + first, 0, n * sizeof(float));
	for (uint32_t e = 0; e < c->expert_count && panels.count; e++)
		outer(w, l, e, panels);
	for (uint32_t r = 0; r < w->rows.count; r++)
		w->kernels->add(buf->x + r * buf->hidden_stride + first,
				buf->delta + r * buf->hidden_stride + first, n);
	meet(w);
}

/* ---- all of it ------------------------------------------------------------------------------- */

void eng_feed_experts(const struct worker *w, uint32_t layer)
{
	const struct eng_layer *l = &w->model->layers[layer];
	bool round = eng_quantized(&l->expert_gate) || eng_quantized(&l->expert_up);
	struct eng_operand in = eng_normed(w, (struct norm){ l->ffn_norm, l->ffn_norm_bias }, NULL, round,
					   layer, (struct eng_range){ ENG_LORA_GATE, 0 });
	struct worker all = *w;

	if (w->own_rows) {
		all.own_rows = false;
		all.rows = (struct eng_range){ 0, w->eng->step.row_count };
		meet(&all);
	}
	score(&all, &l->router, &in);
	group(&all, pick(&all));
	inner_all(&all, l, &in);
	outer_all(&all, l);
}
