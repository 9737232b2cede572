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
		     const struct eng_matrix *m, const double *x, double *out)
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
	}
	free(in);
	t_lora_add(s->adapters, s->adapter_count, layer, target, x, out);
}

static void norm(const struct state *s, const float *weight)
{
	double sum = 0;

	for (uint32_t i = 0; i < s->c->hidden; i++)
		sum += s->x[i] * s->x[i];
	sum = 1 / sqrt(sum / s->c->hidden + (double)s->c->rms_eps);
	for (uint32_t i = 0; i < s->c->hidden; i++)
		s->norm[i] = s->x[i] * sum * (double)weight[i];
}

static void rotate(const struct state *s, double *x, uint32_t heads, uint32_t position)
{
	uint32_t half = s->c->head_dim / 2;

	for (uint32_t h = 0; h < heads; h++)
		for (uint32_t i = 0; i < half; i++) {
			double *a = x + h * s->c->head_dim + i, *b = a + half, first = *a;
			double angle = position * (double)s->t->model.inv_freq[i];

			*a = first * cos(angle) - *b * sin(angle);
			*b = *b * cos(angle) + first * sin(angle);
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
	double *p = doubles(position + 1), sum = 0, max = -INFINITY;

	for (uint32_t t = 0; t <= position; t++) {
		for (uint32_t i = 0; i < dim; i++)
			p[t] += s->q[head * dim + i] * s->k[base + (size_t)t * kv + i];
		p[t] /= sqrt(dim);
		max = fmax(max, p[t]);
	}
	for (uint32_t t = 0; t <= position; t++)
		sum += p[t] = exp(p[t] - max);
	memset(s->heads + head * dim, 0, dim * sizeof(double));
	for (uint32_t t = 0; t <= position; t++)
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

	norm(s, l->attn_norm);
	multiply(s, layer, ENG_LORA_Q, &l->q, s->norm, s->q);
	multiply(s, layer, ENG_LORA_K, &l->k, s->norm, k);
	multiply(s, layer, ENG_LORA_V, &l->v, s->norm, v);
	rotate(s, s->q, s->c->head_count, position);
	rotate(s, k, s->c->kv_head_count, position);
	if (!s->c->kv_f32) {
		round_f16(k, kv);
		round_f16(v, kv);
	}
	for (uint32_t h = 0; h < s->c->head_count; h++)
		attend_head(s, layer, h, position);
	multiply(s, layer, ENG_LORA_O, &l->o, s->heads, s->delta);
}

static void feed_forward(const struct state *s, uint32_t layer)
{
	const struct eng_layer *l = &s->t->model.layers[layer];

	norm(s, l->ffn_norm);
	multiply(s, layer, ENG_LORA_GATE, &l->gate, s->norm, s->gate);
	multiply(s, layer, ENG_LORA_UP, &l->up, s->norm, s->up);
	for (uint32_t i = 0; i < s->c->intermediate; i++)
		s->gate[i] = s->gate[i] / (1 + exp(-s->gate[i])) * s->up[i];
	multiply(s, layer, ENG_LORA_DOWN, &l->down, s->gate, s->delta);
}

static void add_delta(const struct state *s)
{
	for (uint32_t i = 0; i < s->c->hidden; i++)
		s->x[i] += s->delta[i];
}

static void forward(const struct state *s, uint32_t token, uint32_t position, double *logits)
{
	const float *embed = values_of(s->t, &s->t->model.embed) + (size_t)token * s->c->hidden;

	for (uint32_t i = 0; i < s->c->hidden; i++)
		s->x[i] = (double)embed[i];
	t_lora_embed(s->adapters, s->adapter_count, token, s->x);
	for (uint32_t layer = 0; layer < s->c->layer_count; layer++) {
		attention(s, layer, position);
		add_delta(s);
		feed_forward(s, layer);
		add_delta(s);
	}
	norm(s, s->t->model.output_norm);
	multiply(s, 0, ENG_LORA_OUTPUT, &s->t->model.output, s->norm, logits);
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
