/* SPDX-License-Identifier: MIT */
/* eng_decoder.c: a step from embeddings to logits, as every thread runs it. */
#include "eng_decoder_priv.h"

#include <math.h>
#include <string.h>

/* Angles of one row for @inv_freq, @scale times, at place @at of the tables. */
static void set_angles(const struct worker *w, uint32_t position, const float *inv_freq, float scale,
		       size_t at)
{
	struct eng_buffers *buf = &w->eng->step.buf;

	at *= buf->half_stride;
	for (uint32_t i = 0; i < eng_rotary_dim(&w->model->config) / 2; i++) {
		/* The product in float, as the reference implementations have it. */
		float angle = (float)position * inv_freq[i];

		buf->cosine[at + i] = (float)cos((double)angle) * scale;
		buf->sine[at + i] = (float)sin((double)angle) * scale;
	}
}

static void embed_row(const struct worker *w, uint32_t r)
{
	const struct eng_model *m = w->model;
	struct eng_buffers *buf = &w->eng->step.buf;
	const struct eng_row *row = &w->eng->step.rows[r];
	float *x = buf->x + r * buf->hidden_stride, *other = buf->delta + r * buf->hidden_stride;

	eng_unpack_row(&m->embed, row->token, x);
	eng_lora_embed(w->eng, row, w->eng->lora.own[w->thread], x);
	if (m->config.embed_scale != 0)
		w->kernels->scale(x, m->config.embed_scale, m->config.hidden);
	if (m->positions.type != ENG_NONE) {
		eng_unpack_row(&m->positions, row->position, other);
		w->kernels->add(x, other, m->config.hidden);
	}
	if (m->inv_freq)
		set_angles(w, row->position, m->inv_freq, m->config.rope_attn_scale, r);
	if (m->local_inv_freq)
		set_angles(w, row->position, m->local_inv_freq, 1, ENG_ROWS_MAX + r);
}

static void embed(const struct worker *w)
{
	struct eng_range rows = share_of_whole_rows(w);

	for (uint32_t r = rows.first; r < rows.first + rows.count; r++)
		embed_row(w, r);
	meet(w);
}

/* Rows that want something close up; the prompts among them come first, as all rows did. */
static void close_up(struct eng_step *step)
{
	struct eng_buffers *buf = &step->buf;
	uint32_t place[ENG_ROWS_MAX], n = 0, prompts = 0;

	for (uint32_t r = 0; r < step->row_count; r++) {
		if (!eng_row_wants(&step->rows[r]))
			continue;
		prompts += r < step->prompt_count;
		place[r] = n;
		memmove(buf->x + n * buf->hidden_stride, buf->x + r * buf->hidden_stride,
			buf->hidden_stride * sizeof(*buf->x));
		memmove(buf->heads + n * buf->heads_stride, buf->heads + r * buf->heads_stride,
			buf->heads_stride * sizeof(*buf->heads));
		step->rows[n++] = step->rows[r];
	}
	for (uint32_t i = 0; i < step->logits_count; i++)
		step->logits_rows[i] = place[step->logits_rows[i]];
	step->row_count = n;
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
	w->rows = (struct eng_range){ 0, step->wanted_count };
	w->few = step->wanted_count <= ENG_FEW_ROWS;
}

/* By rows, all of which are whole. */
static void read_hidden(const struct worker *w)
{
	const struct eng_step *step = &w->eng->step;
	const struct norm norm = { w->model->output_norm, w->model->output_norm_bias };
	struct eng_range rows = eng_share(step->row_count, w->thread, w->eng->threads);

	for (uint32_t r = rows.first; r < rows.first + rows.count; r++)
		if (step->rows[r].hidden)
			eng_norm_row(w, norm, step->buf.x + r * step->buf.hidden_stride,
				     step->rows[r].hidden);
}

static void cap_logits(const struct worker *w, struct eng_range columns)
{
	const struct eng_step *step = &w->eng->step;
	const struct eng_config *c = &w->model->config;

	for (uint32_t i = 0; i < step->logits_count && columns.count; i++)
		w->kernels->soft_cap(step->logits + (size_t)step->logits_index[i] * c->vocab_count +
				     columns.first, c->logit_cap, columns.count);
}

/* By panels again: few rows are left. */
static void read_logits(struct worker *w)
{
	const struct eng_step *step = &w->eng->step;
	const struct eng_model *m = w->model;
	struct eng_range panels = eng_share(eng_panels(&m->output), w->thread, w->eng->threads);
	struct eng_lora_pass pass;
	struct eng_operand in;
	uint32_t layers = m->config.layer_count;

	w->rows = (struct eng_range){ 0, step->logits_count };
	w->few = step->logits_count <= ENG_FEW_ROWS;
	in = eng_normed(w, (struct norm){ m->output_norm, m->output_norm_bias }, step->logits_rows,
			eng_quantized(&m->output), layers, (struct eng_range){ ENG_LORA_OUTPUT, 1 });
	eng_apply_logits(w->eng, w->thread, &in);
	pass = eng_worker_pass(w, layers, w->rows);
	eng_lora_expand(w->eng, &pass, ENG_LORA_OUTPUT, ENG_LORA_OUTPUT, panels, step->logits,
			m->config.vocab_count, step->logits_index);
	if (m->config.logit_cap > 0)
		cap_logits(w, columns_of(&m->output, panels));
}

static void read_out(struct worker *w)
{
	const struct eng_step *step = &w->eng->step;

	if (!step->wanted_count)
		return;
	if (w->own_rows) {
		w->own_rows = false;
		meet(w);
	}
	read_hidden(w);
	if (step->logits_count)
		read_logits(w);
}

void eng_decoder_run(void *arg, uint32_t thread)
{
	struct eng *eng = arg;
	const struct eng_step *step = &eng->step;
	const struct eng_config *c = &step->model->config;
	struct worker w = {
		.eng = eng,
		.model = step->model,
		.kernels = eng->kernels,
		.thread = thread,
		.rows = { 0, step->row_count },
		.few = step->row_count <= ENG_FEW_ROWS,
		.own_rows = step->own_rows,
		.feed_forward = c->plain_ffn ? eng_feed_plain : eng_feed_gated,
		.activate = c->gelu ? eng->kernels->gelu_mul : eng->kernels->silu_mul,
	};

	if (w.own_rows)
		w.rows = step->row_share[thread];
	embed(&w);
	for (uint32_t i = 0; i < c->layer_count; i++) {
		eng_project_qkv(&w, i);
		eng_attention(eng, thread, i);
		if (step->thin && i + 1 == c->layer_count) {
			if (!step->wanted_count)
				return;
			keep_wanted(&w);
		} else {
			meet(&w);
		}
		eng_project_o(&w, i);
		if (w.model->layers[i].router.type != ENG_NONE)
			eng_feed_experts(&w, i);
		else
			w.feed_forward(&w, i);
	}
	read_out(&w);
}
