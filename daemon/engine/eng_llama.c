/* SPDX-License-Identifier: MIT */
/*
 * eng_llama.c: the layers of a Llama, as every thread runs them. The threads of a step share
 *  - few rows by panels: each norms and rounds all rows for itself. Barriers after q/k/v, after
 *    storing k and v (unless each owns its KV heads), after attention, o, gate/up and down;
 *  - more rows by panels too, but norms and rounding are shared as well: three barriers more;
 *  - many rows by rows: one barrier, after storing k and v.
 * Adapters: the first half of each goes with norms and rounding, by rows, the second half with the
 * product, by panels; where more rows than few are shared, down (and o, unless rounded) meets once more.
 */
#include "eng_priv.h"

#include <math.h>
#include <string.h>

struct worker {
	struct eng *eng;
	const struct eng_model *model;
	const struct eng_kernels *kernels;
	uint32_t thread;
	struct eng_range rows;	/* that this thread multiplies */
	bool few;		/* it norms and rounds them into memory of its own */
	bool own_rows;		/* no other thread has a part in them */
};

/* Between phases: own rows need nobody. */
static void meet(const struct worker *w)
{
	if (!w->own_rows)
		eng_pool_barrier(w->eng->pool, w->thread);
}

/* The panels, or pairs of them, that this thread multiplies. */
static struct eng_range share_of_panels(const struct worker *w, uint32_t panels)
{
	if (w->own_rows)
		return (struct eng_range){ 0, panels };
	return eng_share(panels, w->thread, w->eng->threads);
}

/* The rows that this thread norms and rounds. */
static struct eng_range share_of_rows(const struct worker *w)
{
	if (w->few || w->own_rows)
		return w->rows;
	return eng_share(w->rows.count, w->thread, w->eng->threads);
}

static void round_rows(const struct worker *w, const struct eng_operand *in)
{
	struct eng_range rows = share_of_rows(w);

	if (rows.count)
		w->kernels->quantize(&in->act, rows.first, rows.count,
				     in->x + rows.first * in->stride, in->stride);
}

/* -- adapters ---------------------------------------------------------------------------------- */

static struct eng_lora_pass pass_of(const struct worker *w, uint32_t layer, struct eng_range rows)
{
	struct eng_step *step = &w->eng->step;
	const struct eng_lora_scratch *scratch = &w->eng->lora;

	return (struct eng_lora_pass){
		.uses = layer < w->model->config.layer_count ? &step->uses : &step->logits_uses,
		.rows = rows,
		.layer = layer,
		.z = w->few ? scratch->own[w->thread] : scratch->z,
	};
}

/* Of the adapters of @targets, for the rows that this thread norms and rounds. */
static void shrink(const struct worker *w, uint32_t layer, struct eng_range targets,
		   const struct eng_operand *in)
{
	const struct eng_lora_pass pass = pass_of(w, layer, share_of_rows(w));

	if (pass.uses->use_count)
		eng_lora_shrink(w->eng, &pass, targets, in);
}

/* Rows of x, or those listed in @list, normed and, if @round, rounded, for the @targets. */
static struct eng_operand normed(const struct worker *w, const float *weight,
				 const uint32_t *list, bool round, uint32_t layer,
				 struct eng_range targets)
{
	const struct eng_config *c = &w->model->config;
	struct eng_buffers *buf = &w->eng->step.buf;
	struct eng_own *own = &buf->own[w->thread];
	struct eng_range rows = share_of_rows(w);
	float *norm = w->few ? own->norm : buf->norm;
	struct eng_operand in = {
		.x = norm,
		.stride = buf->hidden_stride,
		.act = { w->few ? own->act : buf->act, c->hidden },
	};

	for (uint32_t r = rows.first; r < rows.first + rows.count; r++)
		w->kernels->rms_norm(norm + r * in.stride,
				     buf->x + (list ? list[r] : r) * buf->hidden_stride, weight,
				     c->hidden, c->rms_eps);
	if (round)
		round_rows(w, &in);
	shrink(w, layer, targets, &in);
	if (!w->few)
		meet(w);
	return in;
}

/* -- phases ------------------------------------------------------------------------------------ */

static void embed_row(const struct worker *w, uint32_t r)
{
	const struct eng_config *c = &w->model->config;
	struct eng_buffers *buf = &w->eng->step.buf;
	const struct eng_row *row = &w->eng->step.rows[r];

	eng_unpack_row(&w->model->embed, row->token, buf->x + r * buf->hidden_stride);
	eng_lora_embed(w->eng, row, w->eng->lora.own[w->thread], buf->x + r * buf->hidden_stride);
	for (uint32_t i = 0; i < c->head_dim / 2; i++) {
		/* The product in float, as the reference implementations have it. */
		float angle = (float)row->position * w->model->inv_freq[i];
		size_t at = r * buf->half_stride + i;

		buf->cosine[at] = (float)cos((double)angle) * c->rope_attn_scale;
		buf->sine[at] = (float)sin((double)angle) * c->rope_attn_scale;
	}
}

static void embed(const struct worker *w)
{
	struct eng_range rows = w->own_rows ? w->rows :
				eng_share(w->rows.count, w->thread, w->eng->threads);

	for (uint32_t r = rows.first; r < rows.first + rows.count; r++)
		embed_row(w, r);
	meet(w);
}

/* @panels of one target for this thread's rows, adapters included; @first: of those with its input. */
static void multiply(const struct worker *w, uint32_t layer, uint32_t first, uint32_t target,
		     struct eng_range panels, const struct eng_operand *in, float *out,
		     size_t out_stride)
{
	const struct eng_layer *l = &w->model->layers[layer];
	const struct eng_matrix *const m[ENG_LORA_TARGETS] = {
		&l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down,
	};
	const struct eng_lora_pass pass = pass_of(w, layer, w->rows);

	eng_lora_ask(&pass, target, panels);
	eng_apply(w->eng, w->thread, m[target], panels, w->rows, in, out, out_stride);
	eng_lora_expand(w->eng, &pass, first, target, panels, out, out_stride, NULL);
}

/* q, k and v as one row of panels, cut evenly. */
static void project_qkv(const struct worker *w, uint32_t layer)
{
	const struct eng_layer *l = &w->model->layers[layer];
	const struct eng_buffers *buf = &w->eng->step.buf;
	const struct eng_matrix *m[3] = { &l->q, &l->k, &l->v };
	const size_t column[3] = { 0, buf->k_offset, buf->v_offset };
	bool round = eng_quantized(&l->q) || eng_quantized(&l->k) || eng_quantized(&l->v);
	struct eng_operand in = normed(w, l->attn_norm, NULL, round, layer,
				       (struct eng_range){ ENG_LORA_Q, 3 });
	struct eng_range share =
		share_of_panels(w, eng_panels(&l->q) + eng_panels(&l->k) + eng_panels(&l->v));
	uint32_t begin = share.first, end = share.first + share.count, base = 0;

	for (uint32_t i = 0; i < 3; i++) {
		uint32_t n = eng_panels(m[i]);
		uint32_t from = begin > base ? begin - base : 0, to = end > base ? end - base : 0;

		if (to > n)
			to = n;
		if (from < to)
			multiply(w, layer, ENG_LORA_Q, ENG_LORA_Q + i,
				 (struct eng_range){ from, to - from }, &in, buf->qkv + column[i],
				 buf->qkv_stride);
		base += n;
	}
	meet(w);
}

/* Columns that @panels cover; the last panel of a matrix may be short. */
static struct eng_range columns_of(const struct eng_matrix *m, struct eng_range panels)
{
	uint32_t first = panels.first * ENG_PANEL_ROWS;
	uint32_t end = first + panels.count * ENG_PANEL_ROWS;

	end = end < m->rows ? end : m->rows;
	return (struct eng_range){ first, panels.count ? end - first : 0 };
}

/* x += m * in, by panels; the same thread adds what it has computed. */
static void project_add(const struct worker *w, const struct eng_matrix *m,
			const struct eng_operand *in, uint32_t layer, uint32_t target)
{
	const struct eng_buffers *buf = &w->eng->step.buf;
	struct eng_range panels = share_of_panels(w, eng_panels(m));
	struct eng_range columns = columns_of(m, panels);

	multiply(w, layer, target, target, panels, in, buf->delta, buf->hidden_stride);
	for (uint32_t r = w->rows.first; r < w->rows.first + w->rows.count; r++) {
		size_t at = r * buf->hidden_stride + columns.first;

		w->kernels->add(buf->x + at, buf->delta + at, columns.count);
	}
	meet(w);
}

static void project_o(const struct worker *w, uint32_t layer)
{
	const struct eng_layer *l = &w->model->layers[layer];
	const struct eng_buffers *buf = &w->eng->step.buf;
	const struct eng_own *own = &buf->own[w->thread];
	struct eng_operand in = {
		.x = w->eng->step.split_parts ? own->heads : buf->heads,
		.stride = buf->heads_stride,
		.act = { w->few ? own->act : buf->heads_act, l->o.cols },
	};

	if (w->eng->step.split_parts)
		eng_attention_merge(w->eng, own->heads);
	if (eng_quantized(&l->o))
		round_rows(w, &in);
	shrink(w, layer, (struct eng_range){ ENG_LORA_O, 1 }, &in);
	if (!w->few && (eng_quantized(&l->o) || w->eng->step.uses.use_count))
		meet(w);
	project_add(w, &l->o, &in, layer, ENG_LORA_O);
}

/* silu(gate) * up of whole blocks of columns, and their rounding for down. */
static void activate(const struct worker *w, const struct eng_layer *l, struct eng_range columns)
{
	const struct eng_buffers *buf = &w->eng->step.buf;
	size_t stride = eng_act_stride(l->down.cols);

	for (uint32_t r = w->rows.first; r < w->rows.first + w->rows.count; r++) {
		size_t at = r * buf->ffn_stride + columns.first;
		struct eng_act act = {
			.block = buf->ffn_act + r * stride + columns.first / ENG_BLOCK_COLS,
			.cols = columns.count,
		};

		w->kernels->silu_mul(buf->gate + at, buf->gate + at, buf->up + at,
				     columns.count);
		if (eng_quantized(&l->down))
			w->kernels->quantize(&act, 0, 1, buf->gate + at, buf->ffn_stride);
	}
}

/* Units of two panels, so that a block of 32 columns has one thread. */
static void project_gate_up(const struct worker *w, uint32_t layer)
{
	const struct eng_layer *l = &w->model->layers[layer];
	const struct eng_buffers *buf = &w->eng->step.buf;
	bool round = eng_quantized(&l->gate) || eng_quantized(&l->up);
	struct eng_operand in = normed(w, l->ffn_norm, NULL, round, layer,
				       (struct eng_range){ ENG_LORA_GATE, 2 });
	uint32_t all = eng_panels(&l->gate);
	struct eng_range pairs = share_of_panels(w, (all + 1) / 2);
	struct eng_range panels = { pairs.first * 2, pairs.count * 2 };

	if (panels.count) {
		if (panels.first + panels.count > all)
			panels.count--;
		multiply(w, layer, ENG_LORA_GATE, ENG_LORA_GATE, panels, &in, buf->gate,
			 buf->ffn_stride);
		multiply(w, layer, ENG_LORA_GATE, ENG_LORA_UP, panels, &in, buf->up,
			 buf->ffn_stride);
		activate(w, l, columns_of(&l->gate, panels));
	}
	meet(w);
}

static void project_down(const struct worker *w, uint32_t layer)
{
	const struct eng_layer *l = &w->model->layers[layer];
	const struct eng_buffers *buf = &w->eng->step.buf;
	struct eng_operand in = {
		.x = buf->gate,
		.stride = buf->ffn_stride,
		.act = { buf->ffn_act, l->down.cols },
	};

	shrink(w, layer, (struct eng_range){ ENG_LORA_DOWN, 1 }, &in);
	if (!w->few && w->eng->step.uses.use_count)
		meet(w);
	project_add(w, &l->down, &in, layer, ENG_LORA_DOWN);
}

/* Rows that want logits close up; the prompts among them come first, as all rows did. */
static void close_up(struct eng_step *step)
{
	struct eng_buffers *buf = &step->buf;
	uint32_t place[ENG_ROWS_MAX], n = 0, prompts = 0;

	for (uint32_t r = 0; r < step->row_count; r++) {
		if (step->rows[r].logits < 0)
			continue;
		prompts += r < step->prompt_count;
		place[r] = n;
		memmove(buf->x + n * buf->hidden_stride, buf->x + r * buf->hidden_stride,
			buf->hidden_stride * sizeof(*buf->x));
		memmove(buf->heads + n * buf->heads_stride, buf->heads + r * buf->heads_stride,
			buf->heads_stride * sizeof(*buf->heads));
		step->rows[n++] = step->rows[r];
	}
	for (uint32_t i = 0; i < n; i++)
		step->logits_rows[i] = place[step->logits_rows[i]];
	step->prompt_count = prompts;
	eng_lora_group(step, NULL, n, &step->uses);
}

/*
 * In the last layer, once all keys and values are stored, the other rows have nothing left to say.
 * By panels again: few rows are left.
 */
static void keep_wanted(struct worker *w)
{
	struct eng_step *step = &w->eng->step;

	w->own_rows = false;
	meet(w);
	if (w->thread == 0)
		close_up(step);
	meet(w);
	w->rows = (struct eng_range){ 0, step->logits_count };
	w->few = step->logits_count <= ENG_FEW_ROWS;
}

/* By panels again: few rows are left. */
static void read_out(struct worker *w)
{
	const struct eng_step *step = &w->eng->step;
	struct eng_lora_pass pass;
	struct eng_operand in;
	uint32_t layers = w->model->config.layer_count;

	if (!step->logits_count)
		return;
	if (w->own_rows) {
		w->own_rows = false;
		meet(w);
	}
	w->rows = (struct eng_range){ 0, step->logits_count };
	w->few = step->logits_count <= ENG_FEW_ROWS;
	in = normed(w, w->model->output_norm, step->logits_rows,
		    eng_quantized(&w->model->output), layers,
		    (struct eng_range){ ENG_LORA_OUTPUT, 1 });
	eng_apply_logits(w->eng, w->thread, &in);
	pass = pass_of(w, layers, w->rows);
	eng_lora_expand(w->eng, &pass, ENG_LORA_OUTPUT, ENG_LORA_OUTPUT,
			eng_share(eng_panels(&w->model->output), w->thread, w->eng->threads),
			step->logits, w->model->config.vocab_count, step->logits_index);
}

void eng_llama_run(void *arg, uint32_t thread)
{
	struct eng *eng = arg;
	const struct eng_step *step = &eng->step;
	struct worker w = {
		.eng = eng,
		.model = step->model,
		.kernels = eng->kernels,
		.thread = thread,
		.rows = { 0, step->row_count },
		.few = step->row_count <= ENG_FEW_ROWS,
		.own_rows = step->own_rows,
	};

	if (w.own_rows)
		w.rows = step->row_share[thread];
	embed(&w);
	for (uint32_t i = 0; i < w.model->config.layer_count; i++) {
		project_qkv(&w, i);
		eng_attention(eng, thread, i);
		if (step->thin && i + 1 == w.model->config.layer_count) {
			if (!step->logits_count)
				return;
			keep_wanted(&w);
		} else {
			meet(&w);
		}
		project_o(&w, i);
		project_gate_up(&w, i);
		project_down(&w, i);
	}
	read_out(&w);
}
