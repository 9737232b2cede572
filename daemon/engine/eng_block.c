/* SPDX-License-Identifier: MIT */
/* eng_block.c: attention's projections and the feed-forward of one layer, as every thread runs them. */
#include "eng_decoder_priv.h"

static void round_rows(const struct worker *w, const struct eng_operand *in)
{
	struct eng_range rows = share_of_rows(w);

	if (rows.count)
		w->kernels->quantize(&in->act, rows.first, rows.count,
				     in->x + rows.first * in->stride, in->stride);
}

/* -- adapters ---------------------------------------------------------------------------------- */

struct eng_lora_pass eng_worker_pass(const struct worker *w, uint32_t layer, struct eng_range rows)
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
	const struct eng_lora_pass pass = eng_worker_pass(w, layer, share_of_rows(w));

	if (pass.uses->use_count)
		eng_lora_shrink(w->eng, &pass, targets, in);
}

void eng_norm_row(const struct worker *w, struct norm norm, const float *x, float *out)
{
	const struct eng_config *c = &w->model->config;

	if (norm.bias)
		w->kernels->layer_norm(out, x, norm.weight, norm.bias, c->hidden, c->rms_eps);
	else
		w->kernels->rms_norm(out, x, norm.weight, c->hidden, c->rms_eps);
}

struct eng_operand eng_normed(const struct worker *w, struct norm norm, const uint32_t *list, bool round,
			      uint32_t layer, struct eng_range targets)
{
	const struct eng_config *c = &w->model->config;
	struct eng_buffers *buf = &w->eng->step.buf;
	struct eng_own *own = &buf->own[w->thread];
	struct eng_range rows = share_of_rows(w);
	float *to = w->few ? own->norm : buf->norm;
	struct eng_operand in = {
		.x = to,
		.stride = buf->hidden_stride,
		.act = { w->few ? own->act : buf->act, c->hidden },
	};

	for (uint32_t r = rows.first; r < rows.first + rows.count; r++)
		eng_norm_row(w, norm, buf->x + (list ? list[r] : r) * buf->hidden_stride,
			     to + r * in.stride);
	if (round)
		round_rows(w, &in);
	shrink(w, layer, targets, &in);
	if (!w->few)
		meet(w);
	return in;
}

/* -- blocks ------------------------------------------------------------------------------------ */

static void add_bias(const struct worker *w, const struct eng_matrix *m, struct eng_range panels,
		     const float *bias, float *out, size_t out_stride)
{
	struct eng_range columns = columns_of(m, panels);

	for (uint32_t r = w->rows.first; r < w->rows.first + w->rows.count; r++)
		w->kernels->add(out + r * out_stride + columns.first, bias + columns.first,
				columns.count);
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
	const float *const bias[ENG_LORA_TARGETS] = {
		l->q_bias, l->k_bias, l->v_bias, l->o_bias, l->gate_bias, l->up_bias, l->down_bias,
	};
	const struct eng_lora_pass pass = eng_worker_pass(w, layer, w->rows);

	eng_lora_ask(&pass, target, panels);
	eng_apply(w->eng, w->thread, m[target], panels, w->rows, in, out, out_stride);
	if (bias[target])
		add_bias(w, m[target], panels, bias[target], out, out_stride);
	eng_lora_expand(w->eng, &pass, first, target, panels, out, out_stride, NULL);
}

/* q, k and v as one row of panels, cut evenly. */
void eng_project_qkv(const struct worker *w, uint32_t layer)
{
	const struct eng_layer *l = &w->model->layers[layer];
	const struct eng_buffers *buf = &w->eng->step.buf;
	const struct eng_matrix *m[3] = { &l->q, &l->k, &l->v };
	const size_t column[3] = { 0, buf->k_offset, buf->v_offset };
	bool round = eng_quantized(&l->q) || eng_quantized(&l->k) || eng_quantized(&l->v);
	struct eng_operand in = eng_normed(w, (struct norm){ l->attn_norm, l->attn_norm_bias }, NULL,
					   round, layer, (struct eng_range){ ENG_LORA_Q, 3 });
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

/* x += delta, normed, by rows. */
static void add_normed(const struct worker *w, const float *norm)
{
	const struct eng_config *c = &w->model->config;
	const struct eng_buffers *buf = &w->eng->step.buf;
	struct eng_range rows = share_of_whole_rows(w);

	for (uint32_t r = rows.first; r < rows.first + rows.count; r++) {
		float *delta = buf->delta + r * buf->hidden_stride;

		w->kernels->rms_norm(delta, delta, norm, c->hidden, c->rms_eps);
		w->kernels->add(buf->x + r * buf->hidden_stride, delta, c->hidden);
	}
}

/* x += m * in, by panels; the same thread adds what it has computed, unless that is @post normed. */
static void project_add(const struct worker *w, const struct eng_matrix *m, const float *post,
			const struct eng_operand *in, uint32_t layer, uint32_t target)
{
	const struct eng_buffers *buf = &w->eng->step.buf;
	struct eng_range panels = share_of_panels(w, eng_panels(m));
	struct eng_range columns = columns_of(m, panels);

	multiply(w, layer, target, target, panels, in, buf->delta, buf->hidden_stride);
	if (post) {
		meet(w);
		add_normed(w, post);
	}
	for (uint32_t r = w->rows.first; !post && r < w->rows.first + w->rows.count; r++) {
		size_t at = r * buf->hidden_stride + columns.first;

		w->kernels->add(buf->x + at, buf->delta + at, columns.count);
	}
	meet(w);
}

void eng_project_o(const struct worker *w, uint32_t layer)
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
		eng_attention_merge(w->eng, layer, own->heads);
	if (eng_quantized(&l->o))
		round_rows(w, &in);
	shrink(w, layer, (struct eng_range){ ENG_LORA_O, 1 }, &in);
	if (!w->few && (eng_quantized(&l->o) || w->eng->step.uses.use_count))
		meet(w);
	project_add(w, &l->o, l->attn_post_norm, &in, layer, ENG_LORA_O);
}

void eng_activate(const struct worker *w, const struct eng_matrix *down, struct eng_range rows,
		  size_t row_stride, struct eng_range columns)
{
	const struct eng_buffers *buf = &w->eng->step.buf;
	size_t stride = eng_act_stride(down->cols);
	bool gated = !w->model->config.plain_ffn;

	for (uint32_t r = rows.first; r < rows.first + rows.count; r++) {
		size_t at = r * row_stride + columns.first;
		struct eng_act act = {
			.block = buf->ffn_act + r * stride + columns.first / ENG_BLOCK_COLS,
			.cols = columns.count,
		};

		w->activate(buf->gate + at, buf->gate + at, gated ? buf->up + at : NULL,
			    columns.count);
		if (eng_quantized(down))
			w->kernels->quantize(&act, 0, 1, buf->gate + at, row_stride);
	}
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
	project_add(w, &l->down, l->ffn_post_norm, &in, layer, ENG_LORA_DOWN);
}

/* This thread's of @all panels, in pairs, so that a block of 32 columns has one thread. */
static struct eng_range share_of_pairs(const struct worker *w, uint32_t all)
{
	struct eng_range pairs = share_of_panels(w, (all + 1) / 2);
	struct eng_range panels = { pairs.first * 2, pairs.count * 2 };

	if (panels.count && panels.first + panels.count > all)
		panels.count--;
	return panels;
}

void eng_feed_gated(const struct worker *w, uint32_t layer)
{
	const struct eng_layer *l = &w->model->layers[layer];
	const struct eng_buffers *buf = &w->eng->step.buf;
	bool round = eng_quantized(&l->gate) || eng_quantized(&l->up);
	struct eng_operand in = eng_normed(w, (struct norm){ l->ffn_norm, l->ffn_norm_bias }, NULL, round,
					   layer, (struct eng_range){ ENG_LORA_GATE, 2 });
	struct eng_range panels = share_of_pairs(w, eng_panels(&l->gate));

	if (panels.count) {
		multiply(w, layer, ENG_LORA_GATE, ENG_LORA_GATE, panels, &in, buf->gate,
			 buf->ffn_stride);
		multiply(w, layer, ENG_LORA_GATE, ENG_LORA_UP, panels, &in, buf->up,
			 buf->ffn_stride);
		eng_activate(w, &l->down, w->rows, buf->ffn_stride, columns_of(&l->gate, panels));
	}
	meet(w);
	project_down(w, layer);
}

void eng_feed_plain(const struct worker *w, uint32_t layer)
{
	const struct eng_layer *l = &w->model->layers[layer];
	const struct eng_buffers *buf = &w->eng->step.buf;
	struct eng_operand in = eng_normed(w, (struct norm){ l->ffn_norm, l->ffn_norm_bias }, NULL,
					   eng_quantized(&l->up), layer,
					   (struct eng_range){ ENG_LORA_UP, 1 });
	struct eng_range panels = share_of_pairs(w, eng_panels(&l->up));

	if (panels.count) {
		multiply(w, layer, ENG_LORA_UP, ENG_LORA_UP, panels, &in, buf->gate,
			 buf->ffn_stride);
		eng_activate(w, &l->down, w->rows, buf->ffn_stride, columns_of(&l->up, panels));
	}
	meet(w);
	project_down(w, layer);
}
