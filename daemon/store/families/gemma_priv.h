/* SPDX-License-Identifier: MIT */
/* gemma_priv.h: what Gemma 2 and 3 have in common. */
#ifndef GEMMA_PRIV_H
#define GEMMA_PRIV_H

#include <math.h>

#include "import_gguf_priv.h"
#include "sto_hf_priv.h"

#define GEMMA_FLAGS	(MHS_SHAPE_GELU | MHS_SHAPE_POST_NORMS)

/* Norms that transformers stores less 1, and that stand around each block. */
#define GEMMA_NAMES										\
	{ MHS_ROLE_ATTN_NORM, NULL, NULL, STO_PLUS_ONE },					\
	{ MHS_ROLE_ATTN_POST_NORM, NULL, NULL, STO_PLUS_ONE },					\
	{ MHS_ROLE_FFN_NORM, NULL, "model.layers.%u.pre_feedforward_layernorm.weight", STO_PLUS_ONE },	\
	{ MHS_ROLE_FFN_POST_NORM, NULL, NULL, STO_PLUS_ONE },					\
	{ MHS_ROLE_OUTPUT_NORM, NULL, NULL, STO_PLUS_ONE }

/* Numbers of both; the caps where the file is silent. */
static inline int gemma_hf(struct sto_hf *h, float attn_cap, float logit_cap)
{
	struct mhs_image_shape *s = &h->model->shape;
	float scalar;
	int err = hf_activation(h, "hidden_activation", "gelu_pytorch_tanh", "gelu_new");

	s->flags |= GEMMA_FLAGS;
	s->embed_scale = sqrtf((float)h->model->config.hidden);
	if (!err)
		err = hf_check_false(h, "use_bidirectional_attention");
	if (!err)
		err = hf_flag_if(h, "attention_bias", MHS_SHAPE_QKV_BIAS | MHS_SHAPE_O_BIAS);
	if (!err)
		err = hf_f32_or(h, "query_pre_attn_scalar", 256, &scalar);
	if (!err && !(scalar >= 1e-6f && scalar <= 1e6f))
		return hf_unsupported(h->json, "query_pre_attn_scalar", "out of range", "1e-6..1e6");
	if (!err)
		err = hf_f32_or(h, "attn_logit_softcapping", attn_cap, &s->attn_cap);
	if (!err)
		err = hf_f32_or(h, "final_logit_softcapping", logit_cap, &s->logit_cap);
	if (!err && !(s->attn_cap >= 0 && s->attn_cap <= 1e6f && s->logit_cap >= 0 && s->logit_cap <= 1e6f))
		return hf_unsupported(h->json, "attn_logit_softcapping, final_logit_softcapping",
				      "out of range", "0..1e6");
	if (!err)
		s->attn_scale = 1.0f / sqrtf(scalar);
	return err;
}

/* @large: layers of the one size whose scores are scaled by the heads' share of hidden. */
static inline int gemma_gguf(struct gguf_config *g, uint32_t large, float attn_cap, float logit_cap)
{
	const struct mhs_image_config *c = &g->model->config;
	struct mhs_image_shape *s = &g->model->shape;
	int err;

	s->flags |= GEMMA_FLAGS;
	s->embed_scale = sqrtf((float)c->hidden);
	if (c->layer_count == large && c->head_count)
		s->attn_scale = 1.0f / sqrtf((float)(c->hidden / c->head_count));
	s->attn_cap = attn_cap;
	s->logit_cap = logit_cap;
	err = gguf_maybe_f32(g, "attn_logit_softcapping", &s->attn_cap);
	if (!err)
		err = gguf_maybe_f32(g, "final_logit_softcapping", &s->logit_cap);
	if (!err && !(s->attn_cap >= 0 && s->attn_cap <= 1e6f && s->logit_cap >= 0 && s->logit_cap <= 1e6f))
		return gguf_unsupported(g, "final_logit_softcapping", "out of range", "0..1e6");
	return err;
}

#endif
