/* SPDX-License-Identifier: MIT */
/* t_model_reference.c: the forward pass in double precision. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "t_lora.h"
#include "t_model_priv.h"

struct state {
	const struct t_model *t;
	const struct eng_config *c;
	double *k, *v;		/* [layer][position][kv_heads * head_dim] */
	double *x, *norm, *q, *heads, *gate, *up, *delta;
	uint32_t count;
	const struct t_adapter *adapters;
	uint32_t adapter_count;
};

static double *doubles(size_t count)
{
	return t_model_must(calloc(count, sizeof(double)));
}

static const float *values_of(const struct t_model *t, const struct eng_matrix *m)
{
	for (uint32_t i = 0; i < t->part_count; i++)
		if (t->parts[i].packed == m->data)
			return t->parts[i].values;
	t_model_die("unknown matrix", -1);
	return NULL;
}

/* int8 per block of 32, as eng_pack.h has it. */
static void round_blocks(double *x, uint32_t count)
{
	for (uint32_t b = 0; b < count; b += ENG_BLOCK_COLS) {
		double max = 0;

		for (uint32_t i = b; i < b + ENG_BLOCK_COLS; i++)
			max = fmax(max, fabs(x[i]));
		for (uint32_t i = b; i < b + ENG_BLOCK_COLS && max > 0; i++)
			x[i] = nearbyint(x[i] / max * 127) * (max / 127);
	}
}

/* Adapters take their input as it is, not rounded. */
static void multiply(const struct state *s, uint32_t layer, uint32_t target,
		     const struct eng_matrix *m, const float *bias, const double *x, double *out)
{
	const float *w = values_of(s->t, m);
	double *in = doubles(m->cols);

	memcpy(in, x, m->cols * sizeof(*in));
	if (m->type >= ENG_Q8)
		round_blocks(in, m->cols);
	for (uint32_t r = 0; r < m->rows; r++) {
		out[r] = 0;
		for (uint32_t i = 0; i < m->cols; i++)
			out[r] += (double)w[(size_t)r * m->cols + i] * in[i];
		out[r] += bias ? (double)bias[r] : 0;
	}
	free(in);
	t_lora_add(s->adapters, s->adapter_count, layer, target, x, out);
}

/* With a bias a LayerNorm, without an RMSNorm. */
static void norm(const struct state *s, const double *x, const float *weight, const float *bias,
		 uint32_t count, double *out)
{
	double sum = 0, mean = 0;

	for (uint32_t i = 0; bias && i < count; i++)
		mean += x[i] / count;
	for (uint32_t i = 0; i < count; i++)
		sum += (x[i] - mean) * (x[i] - mean);
	sum = 1 / sqrt(sum / count + (double)s->c->rms_eps);
	for (uint32_t i = 0; i < count; i++)
		out[i] = (x[i] - mean) * sum * (double)weight[i] + (bias ? (double)bias[i] : 0);
}

static void rotate(const struct state *s, double *x, const float *inv_freq, uint32_t position)
{
	uint32_t half = eng_rotary_dim(s->c) / 2;

	for (uint32_t i = 0; inv_freq && i < half; i++) {
		double *a = x + i, *b = a + half, first = *a;
		double angle = position * (double)inv_freq[i];

		*a = first * cos(angle) - *b * sin(angle);
		*b = *b * cos(angle) + first * sin(angle);
	}
}

static void turn(const struct state *s, const struct eng_layer *l, double *x, uint32_t heads,
		 const float *weight, uint32_t position)
{
	const struct eng_model *m = &s->t->model;

	for (uint32_t h = 0; h < heads; h++, x += s->c->head_dim) {
		if (weight)
			norm(s, x, weight, NULL, s->c->head_dim, x);
		if (!l->still)
			rotate(s, x, l->local_rope ? m->local_inv_freq : m->inv_freq, position);
	}
}

static void round_f16(double *x, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		float value = (float)x[i];
		uint16_t half;

		if (eng_quant_row(ENG_SRC_F16, &value, 1, &half) ||
		    eng_dequant_row(ENG_SRC_F16, &half, 1, &value))
			t_model_die("f16", -1);
		x[i] = (double)value;
	}
}

static void attend_head(const struct state *s, uint32_t layer, uint32_t head, uint32_t position)
{
	uint32_t dim = s->c->head_dim, kv = s->c->kv_head_count * dim;
	uint32_t kv_head = head / (s->c->head_count / s->c->kv_head_count);
	size_t base = (size_t)layer * s->count * kv + kv_head * dim;
	double *p = doubles(position + 1), sum = 0, max = -INFINITY, cap = (double)s->c->attn_cap;
	uint32_t window = s->t->model.layers[layer].window;
	uint32_t begin = window && position >= window ? position - window + 1 : 0;

	for (uint32_t t = begin; t <= position; t++) {
		for (uint32_t i = 0; i < dim; i++)
			p[t] += s->q[head * dim + i] * s->k[base + (size_t)t * kv + i];
		p[t] *= s->c->attn_scale != 0 ? (double)s->c->attn_scale : 1 / sqrt(dim);
		p[t] = cap > 0 ? cap * tanh(p[t] / cap) : p[t];
		max = fmax(max, p[t]);
	}
	for (uint32_t t = begin; t <= position; t++)
		sum += p[t] = exp(p[t] - max);
	memset(s->heads + head * dim, 0, dim * sizeof(double));
	for (uint32_t t = begin; t <= position; t++)
		for (uint32_t i = 0; i < dim; i++)
			s->heads[head * dim + i] += p[t] / sum * s->v[base + (size_t)t * kv + i];
	free(p);
}

static void attention(const struct state *s, uint32_t layer, uint32_t position)
{
	const struct eng_layer *l = &s->t->model.layers[layer];
	uint32_t kv = s->c->kv_head_count * s->c->head_dim;
	double *k = s->k + ((size_t)layer * s->count + position) * kv;
	double *v = s->v + ((size_t)layer * s->count + position) * kv;

	norm(s, s->x, l->attn_norm, l->attn_norm_bias, s->c->hidden, s->norm);
	multiply(s, layer, ENG_LORA_Q, &l->q, l->q_bias, s->norm, s->q);
	multiply(s, layer, ENG_LORA_K, &l->k, l->k_bias, s->norm, k);
	multiply(s, layer, ENG_LORA_V, &l->v, l->v_bias, s->norm, v);
	turn(s, l, s->q, s->c->head_count, l->q_norm, position);
	turn(s, l, k, s->c->kv_head_count, l->k_norm, position);
	if (!s->c->kv_f32) {
		round_f16(k, kv);
		round_f16(v, kv);
	}
	for (uint32_t h = 0; h < s->c->head_count; h++)
		attend_head(s, layer, h, position);
	multiply(s, layer, ENG_LORA_O, &l->o, l->o_bias, s->heads, s->delta);
}

static double activation(const struct state *s, double x)
{
	if (s->c->gelu)
		return x / 2 * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
	return x / (1 + exp(-x));
}

/* W[rows x cols] of rows from @first on. */
static void multiply_part(const struct state *s, const struct eng_matrix *m, uint32_t first, uint32_t rows,
			  const double *x, double *out)
{
	const float *w = values_of(s->t, m) + (size_t)first * m->cols;
	double *in = doubles(m->cols);

	memcpy(in, x, m->cols * sizeof(*in));
	if (m->type >= ENG_Q8)
		round_blocks(in, m->cols);
	for (uint32_t r = 0; r < rows; r++) {
		out[r] = 0;
		for (uint32_t i = 0; i < m->cols; i++)
			out[r] += (double)w[(size_t)r * m->cols + i] * in[i];
	}
	free(in);
}

static void one_expert(const struct state *s, const struct eng_layer *l, uint32_t expert, double weight)
{
	uint32_t n = s->c->expert_intermediate, hidden = s->c->hidden;
	double *gate = doubles(n), *up = doubles(n), *out = doubles(hidden);

	multiply_part(s, &l->expert_gate, expert * n, n, s->norm, gate);
	multiply_part(s, &l->expert_up, expert * n, n, s->norm, up);
	for (uint32_t i = 0; i < n; i++)
		gate[i] = activation(s, gate[i]) * up[i];
	multiply_part(s, &l->expert_down, expert * hidden, hidden, gate, out);
	for (uint32_t i = 0; i < hidden; i++)
		s->delta[i] += weight * out[i];
	free(gate);
	free(up);
	free(out);
}

/* The best not yet taken, which is marked by -1. */
static uint32_t take_best(double *shares, uint32_t count, double *share)
{
	uint32_t best = 0;

	for (uint32_t e = 1; e < count; e++)
		if (shares[e] > shares[best])
			best = e;
	*share = shares[best];
	shares[best] = -1;
	return best;
}

static void mixture(const struct state *s, const struct eng_layer *l)
{
	uint32_t count = s->c->expert_count, used = s->c->expert_used, *expert = t_model_must(calloc(used, 4));
	double *shares = doubles(count), *weight = doubles(used), sum = 0, of_used = 0;

	multiply_part(s, &l->router, 0, count, s->norm, shares);
	for (uint32_t e = 0; e < count; e++)
		sum += shares[e] = exp(shares[e]);
	for (uint32_t i = 0; i < used; i++) {
		expert[i] = take_best(shares, count, &weight[i]);
		of_used += weight[i];
	}
	memset(s->delta, 0, s->c->hidden * sizeof(double));
	for (uint32_t i = 0; i < used; i++)
		one_expert(s, l, expert[i], weight[i] / (s->c->experts_normed ? of_used : sum));
	free(expert);
	free(shares);
	free(weight);
}

static void feed_forward(const struct state *s, uint32_t layer)
{
	const struct eng_layer *l = &s->t->model.layers[layer];

	norm(s, s->x, l->ffn_norm, l->ffn_norm_bias, s->c->hidden, s->norm);
	if (l->router.type != ENG_NONE) {
		mixture(s, l);
		return;
	}
	multiply(s, layer, ENG_LORA_UP, &l->up, l->up_bias, s->norm, s->up);
	if (s->c->plain_ffn)
		memcpy(s->gate, s->up, s->c->intermediate * sizeof(double));
	else
		multiply(s, layer, ENG_LORA_GATE, &l->gate, l->gate_bias, s->norm, s->gate);
	for (uint32_t i = 0; i < s->c->intermediate; i++)
		s->gate[i] = activation(s, s->gate[i]) * (s->c->plain_ffn ? 1 : s->up[i]);
	multiply(s, layer, ENG_LORA_DOWN, &l->down, l->down_bias, s->gate, s->delta);
}

static void add_delta(const struct state *s, const float *post)
{
	if (post)
		norm(s, s->delta, post, NULL, s->c->hidden, s->delta);
	for (uint32_t i = 0; i < s->c->hidden; i++)
		s->x[i] += s->delta[i];
}

static void embed(const struct state *s, uint32_t token, uint32_t position)
{
	const struct eng_model *m = &s->t->model;
	const float *row = values_of(s->t, &m->embed) + (size_t)token * s->c->hidden, *at = NULL;

	if (m->positions.type != ENG_NONE)
		at = values_of(s->t, &m->positions) + (size_t)position * s->c->hidden;
	for (uint32_t i = 0; i < s->c->hidden; i++)
		s->x[i] = (double)row[i];
	t_lora_embed(s->adapters, s->adapter_count, token, s->x);
	for (uint32_t i = 0; i < s->c->hidden; i++) {
		s->x[i] *= s->c->embed_scale != 0 ? (double)s->c->embed_scale : 1;
		s->x[i] += at ? (double)at[i] : 0;
	}
}

static void forward(const struct state *s, uint32_t token, uint32_t position, double *logits)
{
	const struct eng_model *m = &s->t->model;
	double cap = (double)s->c->logit_cap;

	embed(s, token, position);
	for (uint32_t layer = 0; layer < s->c->layer_count; layer++) {
		attention(s, layer, position);
		add_delta(s, m->layers[layer].attn_post_norm);
		feed_forward(s, layer);
		add_delta(s, m->layers[layer].ffn_post_norm);
	}
	norm(s, s->x, m->output_norm, m->output_norm_bias, s->c->hidden, s->norm);
	multiply(s, 0, ENG_LORA_OUTPUT, &m->output, NULL, s->norm, logits);
	for (uint32_t i = 0; cap > 0 && i < s->c->vocab_count; i++)
		logits[i] = cap * tanh(logits[i] / cap);
}

void t_model_reference(const struct t_model *t, const uint32_t *tokens, uint32_t count,
		       double *logits)
{
	t_lora_reference(t, NULL, 0, tokens, count, logits);
}

void t_lora_reference(const struct t_model *t, const struct t_adapter *adapters,
		      uint32_t adapter_count, const uint32_t *tokens, uint32_t count,
		      double *logits)
{
	const struct eng_config *c = &t->model.config;
	uint32_t heads = c->head_count * c->head_dim, kv = c->kv_head_count * c->head_dim;
	struct state s = {
		.t = t, .c = c, .count = count,
		.adapters = adapters, .adapter_count = adapter_count,
		.k = doubles((size_t)c->layer_count * count * kv),
		.v = doubles((size_t)c->layer_count * count * kv),
		.x = doubles(c->hidden), .norm = doubles(c->hidden), .delta = doubles(c->hidden),
		.q = doubles(heads), .heads = doubles(heads),
		.gate = doubles(c->intermediate), .up = doubles(c->intermediate),
	};
	double *all[] = { s.k, s.v, s.x, s.norm, s.delta, s.q, s.heads, s.gate, s.up };

	for (uint32_t i = 0; i < count; i++)
		forward(&s, tokens[i], i, logits + (size_t)i * c->vocab_count);
	for (uint32_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		free(all[i]);
}
