/* SPDX-License-Identifier: MIT */
/*
 * t_model.h: small random Llamas in any mix of weight formats, and a plain forward pass in double
 * precision to hold the engine against. The pass takes its weights from the source rows, not from
 * the packed ones, and rounds activations and KV only where the engine's formats do.
 */
#ifndef T_MODEL_H
#define T_MODEL_H

#include "eng_model.h"

#define T_TIED	UINT32_MAX	/* as output source: the embedding is used */

struct t_shape {
	uint32_t layers, hidden, intermediate, heads, kv_heads, head_dim, vocab, context;
};

/* Source formats (enum eng_source) of the parts. */
struct t_sources {
	uint32_t embed, attention, v, ffn, down, output;
};

struct t_matrix;

struct t_model {
	struct eng_model model;		/* ready for eng_step() */
	struct t_matrix *parts;		/* what it points into, with the same weights as floats */
	uint32_t part_count;
	bool tied;
};

/* One source for all parts, output tied. */
struct t_sources t_sources_all(uint32_t source);
/* Exits the program when memory is short or packing fails. */
struct t_model *t_model_new(const struct t_shape *shape, const struct t_sources *sources,
			    uint64_t seed);
void t_model_free(struct t_model **model);
/* What other families have besides or instead; all zero is a Llama. */
struct t_variant {
	const char *name;
	bool layer_norm, plain_ffn, gelu, positions, qk_norm, post_norms;
	bool qkv_bias, bias;		/* of q, k, v; of all matrices */
	bool local;			/* the window's layers rotate by other frequencies */
	uint32_t rotary_dim;
	uint32_t still_every;		/* each so many-th layer rotates nothing */
	uint32_t window, every;		/* each layer but every @every-th has it; 0: each */
	float embed_scale, attn_scale, attn_cap, logit_cap;
	uint32_t experts, used, expert_width;	/* 0: no mixture */
	bool normed, first_dense;	/* the first layer has one feed-forward */
};
/* Make @model one. */
void t_model_vary(struct t_model *model, const struct t_variant *variant, uint64_t seed);

/* Logits after each of @count tokens, [count][vocab]. */
void t_model_reference(const struct t_model *model, const uint32_t *tokens, uint32_t count,
		       double *logits);

#endif
