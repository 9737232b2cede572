/* SPDX-License-Identifier: MIT */
/*
 * eng_llama.c: the layers of a Llama, as every thread runs them. Barriers of a layer, few rows:
 * after q/k/v, after storing k and v (unless each thread owns its KV heads), after attention, o,
 * gate/up and down. With many rows norms and rounding are split too: three more.
 */
#include "eng_priv.h"

#include <math.h>

struct worker {
	struct eng *eng;
	const struct eng_model *model;
	const struct eng_kernels *kernels;
	uint32_t thread;
	bool few;		/* rows: norm and round them alone */
};

static void meet(const struct worker *w)
{
	eng_pool_barrier(w->eng->pool, w->thread);
}

/* The rows that this thread prepares: its share, or all of them into memory of its own. */
static void share_of_rows(const struct worker *w, uint32_t rows, uint32_t *begin, uint32_t *end)
{
	if (w->few) {
		*begin = 0;
		*end = rows;
		return;
	}
	eng_split(rows, w->thread, w->eng->threads, begin, end);
}

static struct eng_operand norm_operand(const struct worker *w)
{
	struct eng_buffers *buf = &w->eng->step.buf;
	struct eng_own *own = &buf->own[w->thread];

	return (struct eng_operand){
		.x = w->few ? own->norm : buf->norm,
		.stride = buf->hidden_stride,
		.act = { w->few ? own->act : buf->act, w->model->config.hidden },
	};
}

/* Rows of x, or those listed in @rows, normed and, if @round, rounded. */
static struct eng_operand normed(const struct worker *w, const float *weight,
				 const uint32_t *rows, uint32_t row_count, bool round)
{
	const struct eng_config *c = &w->model->config;
	struct eng_buffers *buf = &w->eng->step.buf;
	struct eng_operand in = norm_operand(w);
	float *norm = w->few ? buf->own[w->thread].norm : buf->norm;
	uint32_t begin, end;

	share_of_rows(w, row_count, &begin, &end);
	for (uint32_t r = begin; r < end; r++)
		w->kernels->rms_norm(norm + r * in.stride,
				     buf->x + (rows ? rows[r] : r) * buf->hidden_stride, weight,
				     c->hidden, c->rms_eps);
	if (round && begin < end)
		w->kernels->quantize(&in.act, begin, end - begin, norm + begin * in.stride,
				     in.stride);
	if (!w->few)
		meet(w);
	return in;
}

/* -- phases ------------------------------------------------------------------------------------ */

static void embed(const struct worker *w)
{
	const struct eng_config *c = &w->model->config;
	struct eng_step *step = &w->eng->step;
	struct eng_buffers *buf = &step->buf;
	uint32_t begin, end;

	eng_split(step->row_count, w->thread, w->eng->threads, &begin, &end);
	for (uint32_t r = begin; r < end; r++) {
		const struct eng_row *row = &step->rows[r];

		eng_unpack_row(&w->model->embed, row->token, buf->x + r * buf->hidden_stride);
		for (uint32_t i = 0; i < c->head_dim / 2; i++) {
			/* The product in float, as the reference implementations have it. */
			float angle = (float)row->position * w->model->inv_freq[i];
			size_t at = r * buf->half_stride + i;

			buf->cosine[at] = (float)cos((double)angle) * c->rope_attn_scale;
			buf->sine[at] = (float)sin((double)angle) * c->rope_attn_scale;
		}
	}
	meet(w);
}

/* q, k and v as one row of panels, cut evenly. */
static void project_qkv(const struct worker *w, const struct eng_layer *l)
{
	const struct eng_buffers *buf = &w->eng->step.buf;
	const struct eng_matrix *m[3] = { &l->q, &l->k, &l->v };
	const size_t column[3] = { 0, buf->k_offset, buf->v_offset };
	bool round = eng_quantized(&l->q) || eng_quantized(&l->k) || eng_quantized(&l->v);
	struct eng_operand in =
		normed(w, l->attn_norm, NULL, w->eng->step.row_count, round);
	uint32_t panels = eng_panels(&l->q) + eng_panels(&l->k) + eng_panels(&l->v);
	uint32_t begin, end, base = 0;

	eng_split(panels, w->thread, w->eng->threads, &begin, &end);
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t n = eng_panels(m[i]);
		uint32_t from = begin > base ? begin - base : 0, to = end > base ? end - base : 0;

		if (to > n)
			to = n;
		if (from < to)
			eng_apply(w->eng, w->thread, m[i], from, to - from, &in,
				  buf->qkv + column[i], buf->qkv_stride);
		base += n;
	}
	meet(w);
}

/* x += m * in, by panels; the same thread adds what it has computed. */
static void project_add(const struct worker *w, const struct eng_matrix *m,
			const struct eng_operand *in)
{
	const struct eng_step *step = &w->eng->step;
	const struct eng_buffers *buf = &step->buf;
	uint32_t begin, end, last;

	eng_split(eng_panels(m), w->thread, w->eng->threads, &begin, &end);
	eng_apply(w->eng, w->thread, m, begin, end - begin, in, buf->delta, buf->hidden_stride);
	last = end * ENG_PANEL_ROWS < m->rows ? end * ENG_PANEL_ROWS : m->rows;
	for (uint32_t r = 0; r < step->row_count && begin < end; r++) {
		size_t at = r * buf->hidden_stride + (size_t)begin * ENG_PANEL_ROWS;

		w->kernels->add(buf->x + at, buf->delta + at, last - begin * ENG_PANEL_ROWS);
	}
	meet(w);
}

static void project_o(const struct worker *w, const struct eng_layer *l)
{
	const struct eng_buffers *buf = &w->eng->step.buf;
	struct eng_operand in = {
		.x = buf->heads,
		.stride = buf->heads_stride,
		.act = { w->few ? buf->own[w->thread].act : buf->act, l->o.cols },
	};
	uint32_t begin, end;

	if (eng_quantized(&l->o)) {
		share_of_rows(w, w->eng->step.row_count, &begin, &end);
		if (begin < end)
			w->kernels->quantize(&in.act, begin, end - begin,
					     in.x + begin * in.stride, in.stride);
		if (!w->few)
			meet(w);
	}
	project_add(w, &l->o, &in);
}

/* silu(gate) * up of the columns [first, first + count), whole blocks; their rounding for down. */
static void activate(const struct worker *w, const struct eng_layer *l, uint32_t first,
		     uint32_t count)
{
	const struct eng_step *step = &w->eng->step;
	const struct eng_buffers *buf = &step->buf;
	size_t blocks = l->down.cols / ENG_BLOCK_COLS;

	for (uint32_t r = 0; r < step->row_count; r++) {
		size_t at = r * buf->ffn_stride + first;
		struct eng_act act = {
			.block = buf->ffn_act + r * blocks + first / ENG_BLOCK_COLS,
			.cols = count,
		};

		w->kernels->silu_mul(buf->gate + at, buf->gate + at, buf->up + at, count);
		if (eng_quantized(&l->down))
			w->kernels->quantize(&act, 0, 1, buf->gate + at, buf->ffn_stride);
	}
}

/* Units of two panels, so that a block of 32 columns has one thread. */
static void project_gate_up(const struct worker *w, const struct eng_layer *l)
{
	const struct eng_buffers *buf = &w->eng->step.buf;
	bool round = eng_quantized(&l->gate) || eng_quantized(&l->up);
	struct eng_operand in = normed(w, l->ffn_norm, NULL, w->eng->step.row_count, round);
	uint32_t panels = eng_panels(&l->gate), rows = l->gate.rows;
	uint32_t begin, end, first, last;

	eng_split((panels + 1) / 2, w->thread, w->eng->threads, &begin, &end);
	begin *= 2;
	end = end * 2 < panels ? end * 2 : panels;
	if (begin < end) {
		eng_apply(w->eng, w->thread, &l->gate, begin, end - begin, &in, buf->gate,
			  buf->ffn_stride);
		eng_apply(w->eng, w->thread, &l->up, begin, end - begin, &in, buf->up,
			  buf->ffn_stride);
		first = begin * ENG_PANEL_ROWS;
		last = end * ENG_PANEL_ROWS < rows ? end * ENG_PANEL_ROWS : rows;
		activate(w, l, first, last - first);
	}
	meet(w);
}

static void project_down(const struct worker *w, const struct eng_layer *l)
{
	const struct eng_buffers *buf = &w->eng->step.buf;
	struct eng_operand in = {
		.x = buf->gate,
		.stride = buf->ffn_stride,
		.act = { buf->ffn_act, l->down.cols },
	};

	project_add(w, &l->down, &in);
}

static void read_out(struct worker *w)
{
	const struct eng_step *step = &w->eng->step;
	struct eng_operand in;

	if (!step->logits_count)
		return;
	w->few = step->logits_count <= ENG_FEW_ROWS;
	in = normed(w, w->model->output_norm, step->logits_rows, step->logits_count,
		    eng_quantized(&w->model->output));
	eng_apply_logits(w->eng, w->thread, &in);
}

void eng_llama_run(void *arg, uint32_t thread)
{
	struct eng *eng = arg;
	struct worker w = {
		.eng = eng,
		.model = eng->step.model,
		.kernels = eng->kernels,
		.thread = thread,
		.few = eng->step.row_count <= ENG_FEW_ROWS,
	};

	embed(&w);
	for (uint32_t i = 0; i < w.model->config.layer_count; i++) {
		const struct eng_layer *l = &w.model->layers[i];

		project_qkv(&w, l);
		eng_attention(eng, thread, i);
		meet(&w);
		project_o(&w, l);
		project_gate_up(&w, l);
		project_down(&w, l);
	}
	read_out(&w);
}
