/* SPDX-License-Identifier: MIT */
/* wrk_bind.c: from the tensors of an image to what the engine takes. */
#include <errno.h>
#include <stdlib.h>

#include "wrk.h"

/* What the image must have, by its shape, and has not: the first such thing. */
struct bind {
	struct wrk_version *v;
	const struct mhs_image_shape *shape;
	const char *absent;
};

static struct eng_matrix matrix_of(const struct bind *b, uint32_t role, uint32_t layer)
{
	const struct wrk_version *v = b->v;
	const struct mhs_image_tensor *t = mhs_image_tensor_find(v->image, v->map.addr, role, layer);
	struct eng_matrix m = { .type = ENG_NONE };

	/* Lengths were fixed at import; a table that lies is caught here, before any use. */
	if (!t || t->rows > UINT32_MAX || t->cols > UINT32_MAX ||
	    eng_packed_bytes(t->type, t->rows, t->cols) != t->length_bytes)
		return m;
	m.data = wrk_image_at(v, t->offset_bytes, t->length_bytes);
	if (!m.data)
		return m;
	m.type = t->type;
	m.rows = (uint32_t)t->rows;
	m.cols = (uint32_t)t->cols;
	return m;
}

static const float *vector_of(const struct bind *b, uint32_t role, uint32_t layer, uint32_t count)
{
	struct eng_matrix m = matrix_of(b, role, layer);

	return m.type == ENG_VEC_F32 && m.rows == 1 && m.cols == count ? m.data : NULL;
}

/* One that is there when @flag is. */
static const float *vector_if(struct bind *b, uint32_t flag, uint32_t role, uint32_t layer,
			      uint32_t count, const char *name)
{
	const float *data = b->shape->flags & flag ? vector_of(b, role, layer, count) : NULL;

	if (b->shape->flags & flag && !data && !b->absent)
		b->absent = name;
	return data;
}

static void bind_config(struct eng_config *to, const struct mhs_image_header *h)
{
	const struct mhs_image_config *c = &h->config;
	const struct mhs_image_shape *s = &h->shape;
	const struct mhs_image_experts *x = &h->experts;

	*to = (struct eng_config){
		.layer_count = c->layer_count, .hidden = c->hidden, .intermediate = c->intermediate,
		.head_count = c->head_count, .kv_head_count = c->kv_head_count,
		.head_dim = c->head_dim, .vocab_count = c->vocab_count,
		.context_max = c->context_max, .rms_eps = c->rms_eps,
		.rope_attn_scale = c->rope_attn_scale, .kv_f32 = c->float_weights,
		.rotary_dim = s->rotary_dim, .embed_scale = s->embed_scale,
		.attn_scale = s->attn_scale, .attn_cap = s->attn_cap, .logit_cap = s->logit_cap,
		.gelu = s->flags & MHS_SHAPE_GELU, .plain_ffn = s->flags & MHS_SHAPE_PLAIN_FFN,
		.expert_count = x->count, .expert_used = x->used, .expert_intermediate = x->intermediate,
		.experts_normed = x->flags & MHS_EXPERTS_NORMED,
	};
}

static void bind_biases(struct bind *b, struct eng_layer *l, uint32_t i)
{
	bool gated = !(b->shape->flags & MHS_SHAPE_PLAIN_FFN);

	l->q_bias = vector_if(b, MHS_SHAPE_QKV_BIAS, MHS_ROLE_ATTN_Q_BIAS, i, l->q.rows, "attn_q bias");
	l->k_bias = vector_if(b, MHS_SHAPE_QKV_BIAS, MHS_ROLE_ATTN_K_BIAS, i, l->k.rows, "attn_k bias");
	l->v_bias = vector_if(b, MHS_SHAPE_QKV_BIAS, MHS_ROLE_ATTN_V_BIAS, i, l->v.rows, "attn_v bias");
	l->o_bias = vector_if(b, MHS_SHAPE_O_BIAS, MHS_ROLE_ATTN_O_BIAS, i, l->o.rows, "attn_o bias");
	l->up_bias = vector_if(b, MHS_SHAPE_FFN_BIAS, MHS_ROLE_FFN_UP_BIAS, i, l->up.rows, "ffn_up bias");
	l->down_bias = vector_if(b, MHS_SHAPE_FFN_BIAS, MHS_ROLE_FFN_DOWN_BIAS, i, l->down.rows,
				 "ffn_down bias");
	if (gated)
		l->gate_bias = vector_if(b, MHS_SHAPE_FFN_BIAS, MHS_ROLE_FFN_GATE_BIAS, i,
					 l->gate.rows, "ffn_gate bias");
}

static void bind_norms(struct bind *b, struct eng_layer *l, uint32_t i)
{
	const struct eng_config *c = &b->v->model.config;

	l->attn_norm = vector_of(b, MHS_ROLE_ATTN_NORM, i, c->hidden);
	l->ffn_norm = vector_of(b, MHS_ROLE_FFN_NORM, i, c->hidden);
	l->attn_norm_bias = vector_if(b, MHS_SHAPE_LAYER_NORM, MHS_ROLE_ATTN_NORM_BIAS, i, c->hidden,
				      "attn_norm bias");
	l->ffn_norm_bias = vector_if(b, MHS_SHAPE_LAYER_NORM, MHS_ROLE_FFN_NORM_BIAS, i, c->hidden,
				     "ffn_norm bias");
	l->q_norm = vector_if(b, MHS_SHAPE_QK_NORM, MHS_ROLE_ATTN_Q_NORM, i, c->head_dim, "attn_q norm");
	l->k_norm = vector_if(b, MHS_SHAPE_QK_NORM, MHS_ROLE_ATTN_K_NORM, i, c->head_dim, "attn_k norm");
	l->attn_post_norm = vector_if(b, MHS_SHAPE_POST_NORMS, MHS_ROLE_ATTN_POST_NORM, i, c->hidden,
				      "attn_post_norm");
	l->ffn_post_norm = vector_if(b, MHS_SHAPE_POST_NORMS, MHS_ROLE_FFN_POST_NORM, i, c->hidden,
				     "ffn_post_norm");
}

static void bind_feed_forward(struct bind *b, struct eng_layer *l, uint32_t i)
{
	if (!mhs_experts_in(&b->v->image->experts, i)) {
		l->gate = matrix_of(b, MHS_ROLE_FFN_GATE, i);
		l->up = matrix_of(b, MHS_ROLE_FFN_UP, i);
		l->down = matrix_of(b, MHS_ROLE_FFN_DOWN, i);
		return;
	}
	l->router = matrix_of(b, MHS_ROLE_EXPERT_ROUTER, i);
	l->expert_gate = matrix_of(b, MHS_ROLE_EXPERT_GATE, i);
	l->expert_up = matrix_of(b, MHS_ROLE_EXPERT_UP, i);
	l->expert_down = matrix_of(b, MHS_ROLE_EXPERT_DOWN, i);
	if (l->router.type == ENG_NONE && !b->absent)
		b->absent = "expert_router";
}

static void bind_layer(struct bind *b, uint32_t i)
{
	struct eng_layer *l = &b->v->model.layers[i];

	l->q = matrix_of(b, MHS_ROLE_ATTN_Q, i);
	l->k = matrix_of(b, MHS_ROLE_ATTN_K, i);
	l->v = matrix_of(b, MHS_ROLE_ATTN_V, i);
	l->o = matrix_of(b, MHS_ROLE_ATTN_O, i);
	bind_feed_forward(b, l, i);
	bind_biases(b, l, i);
	bind_norms(b, l, i);
	l->window = mhs_shape_window(b->shape, i);
	l->still = mhs_shape_is_still(b->shape, i);
	l->local_rope = l->window && b->shape->flags & MHS_SHAPE_LOCAL_ROPE;
}

static void bind_top(struct bind *b)
{
	struct eng_model *m = &b->v->model;
	const struct eng_config *c = &m->config;
	uint32_t turns = eng_rotary_dim(c) / 2;

	if (b->shape->flags & MHS_SHAPE_POSITIONS)
		m->positions = matrix_of(b, MHS_ROLE_POSITIONS, 0);
	else
		m->inv_freq = vector_of(b, MHS_ROLE_INV_FREQ, 0, turns);
	m->local_inv_freq = vector_if(b, MHS_SHAPE_LOCAL_ROPE, MHS_ROLE_INV_FREQ_LOCAL, 0, turns,
				      "local_inv_freq");
	m->output_norm = vector_of(b, MHS_ROLE_OUTPUT_NORM, 0, c->hidden);
	m->output_norm_bias = vector_if(b, MHS_SHAPE_LAYER_NORM, MHS_ROLE_OUTPUT_NORM_BIAS, 0, c->hidden,
					"output_norm bias");
	m->embed = matrix_of(b, MHS_ROLE_EMBED, 0);
	m->output = b->v->image->config.tied ? m->embed : matrix_of(b, MHS_ROLE_OUTPUT, 0);
}

static bool is_float(const struct eng_matrix *m)
{
	return m->type == ENG_F32 || m->type == ENG_F16 || m->type == ENG_BF16;
}

/*
 * What a row writes into the KV cache depends on matrices of the layers alone. Routers are floats, but
 * their products are the same in prompts.
 */
static bool layer_is_float(const struct eng_layer *layer)
{
	return is_float(&layer->q) || is_float(&layer->k) || is_float(&layer->v) ||
	       is_float(&layer->o) || is_float(&layer->gate) || is_float(&layer->up) ||
	       is_float(&layer->down) || is_float(&layer->expert_gate) || is_float(&layer->expert_up) ||
	       is_float(&layer->expert_down);
}

int wrk_bind_model(struct wrk_version *v, const char **field)
{
	struct bind b = { .v = v, .shape = &v->image->shape };
	struct eng_model *m = &v->model;

	bind_config(&m->config, v->image);
	m->layers = calloc(m->config.layer_count, sizeof(*m->layers));
	if (!m->layers) {
		*field = "layers";
		return -ENOMEM;
	}
	bind_top(&b);
	for (uint32_t i = 0; i < m->config.layer_count; i++) {
		bind_layer(&b, i);
		v->float_rows = v->float_rows || layer_is_float(&m->layers[i]);
	}
	*field = b.absent;
	return b.absent ? -EINVAL : eng_model_check(m, field);
}
