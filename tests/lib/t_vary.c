/* SPDX-License-Identifier: MIT */
/* t_vary.c: from a Llama to a model with the blocks of other families. */
#include <math.h>
#include <stdlib.h>

#include "t_model_priv.h"

struct vary {
	struct t_model *t;
	const struct t_variant *how;
	uint64_t seed;
};

static const float *around(struct vary *v, uint32_t count, float middle)
{
	return t_model_vector(v->t, count, middle, &v->seed);
}

static void add_biases(struct vary *v, struct eng_layer *l)
{
	if (!v->how->qkv_bias && !v->how->bias)
		return;
	l->q_bias = around(v, l->q.rows, 0);
	l->k_bias = around(v, l->k.rows, 0);
	l->v_bias = around(v, l->v.rows, 0);
	if (!v->how->bias)
		return;
	l->o_bias = around(v, l->o.rows, 0);
	l->up_bias = around(v, l->up.rows, 0);
	l->down_bias = around(v, l->down.rows, 0);
	if (!v->how->plain_ffn)
		l->gate_bias = around(v, l->gate.rows, 0);
}

static uint32_t source_of(uint32_t type)
{
	uint32_t source = 0;

	while (!eng_source_name(source) || eng_type_of_source(source) != type)
		source++;
	return source;
}

static void mix(struct vary *v, struct eng_layer *l)
{
	const struct eng_config *c = &v->t->model.config;
	uint32_t source = source_of(l->up.type), inner = c->expert_count * c->expert_intermediate;

	t_model_matrix(v->t, &l->router, ENG_SRC_F32, c->expert_count, c->hidden, &v->seed);
	t_model_matrix(v->t, &l->expert_gate, source, inner, c->hidden, &v->seed);
	t_model_matrix(v->t, &l->expert_up, source, inner, c->hidden, &v->seed);
	t_model_matrix(v->t, &l->expert_down, source, c->expert_count * c->hidden, c->expert_intermediate,
		       &v->seed);
	l->gate = l->up = l->down = (struct eng_matrix){ ENG_NONE, 0, 0, NULL };
}

static void vary_layer(struct vary *v, struct eng_layer *l, uint32_t index)
{
	const struct eng_config *c = &v->t->model.config;

	if (v->how->plain_ffn)
		l->gate = (struct eng_matrix){ ENG_NONE, 0, 0, NULL };
	if (v->how->experts && !(v->how->first_dense && index == 0))
		mix(v, l);
	add_biases(v, l);
	if (v->how->layer_norm) {
		l->attn_norm_bias = around(v, c->hidden, 0);
		l->ffn_norm_bias = around(v, c->hidden, 0);
	}
	if (v->how->qk_norm) {
		l->q_norm = around(v, c->head_dim, 1);
		l->k_norm = around(v, c->head_dim, 1);
	}
	if (v->how->post_norms) {
		l->attn_post_norm = around(v, c->hidden, 1);
		l->ffn_post_norm = around(v, c->hidden, 1);
	}
	l->still = v->how->still_every && (index + 1) % v->how->still_every == 0;
	if (v->how->window && !(v->how->every && (index + 1) % v->how->every == 0)) {
		l->window = v->how->window;
		l->local_rope = v->how->local;
	}
}

static const float *frequencies(struct vary *v, float base)
{
	uint32_t dims = eng_rotary_dim(&v->t->model.config);
	float *f = (float *)(uintptr_t)around(v, dims / 2, 1);

	for (uint32_t i = 0; i < dims / 2; i++)
		f[i] = powf(base, -2.0f * (float)i / (float)dims);
	return f;
}

void t_model_vary(struct t_model *t, const struct t_variant *how, uint64_t seed)
{
	struct vary v = { t, how, seed };
	struct eng_model *m = &t->model;
	struct eng_config *c = &m->config;

	c->rotary_dim = how->rotary_dim;
	c->embed_scale = how->embed_scale;
	c->attn_scale = how->attn_scale;
	c->attn_cap = how->attn_cap;
	c->logit_cap = how->logit_cap;
	c->gelu = how->gelu;
	c->plain_ffn = how->plain_ffn;
	c->expert_count = how->experts;
	c->expert_used = how->used;
	c->expert_intermediate = how->expert_width;
	c->experts_normed = how->normed;
	m->inv_freq = how->positions ? NULL : frequencies(&v, 10000);
	if (how->local)
		m->local_inv_freq = frequencies(&v, 100);
	if (how->positions)
		t_model_matrix(t, &m->positions, ENG_SRC_F32, c->context_max, c->hidden, &v.seed);
	if (how->layer_norm)
		m->output_norm_bias = around(&v, c->hidden, 0);
	for (uint32_t i = 0; i < c->layer_count; i++)
		vary_layer(&v, &m->layers[i], i);
}
