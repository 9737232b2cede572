/* SPDX-License-Identifier: MIT */
/* t_lora.h: random adapters for a t_model, with their values as floats for the reference pass. */
#ifndef T_LORA_H
#define T_LORA_H

#include "eng_lora.h"
#include "t_model.h"

#define T_TARGET(t)	(1u << (t))		/* enum eng_lora_target, in a mask */
#define T_TARGETS_LAYER	(T_TARGET(ENG_LORA_TARGETS) - 1)
#define T_TARGETS_ALL	(T_TARGETS_LAYER | T_TARGET(ENG_LORA_OUTPUT) | T_TARGET(ENG_LORA_EMBED))

/* Values of a pair: a [rank][cols], b [rows][rank]. */
struct t_lora_values {
	const struct eng_lora_pair *pair;
	float *a, *b;
};

struct t_lora {
	struct eng_lora lora;		/* checked against the model */
	struct eng_lora_layer *layers;
	struct t_lora_values *values;
	uint32_t value_count;
};

struct t_adapter {
	const struct t_lora *lora;
	float scale;
};

/* @source: ENG_SRC_F32, F16 or BF16. Layers whose bit in @skip_layers is set have no pairs. */
struct t_lora *t_lora_new(const struct t_model *t, uint32_t source, uint32_t rank,
			  uint32_t targets, uint32_t skip_layers, uint64_t seed);
void t_lora_free(struct t_lora **lora);
/* out[rows] += the adapters' part of one product, in double. @layer: of the pair; 0 for OUTPUT. */
void t_lora_add(const struct t_adapter *adapters, uint32_t count, uint32_t layer, uint32_t target,
		const double *x, double *out);
/* x[hidden] += their part of an embedding. */
void t_lora_embed(const struct t_adapter *adapters, uint32_t count, uint32_t token, double *x);
/* t_model_reference() with adapters on all tokens. */
void t_lora_reference(const struct t_model *model, const struct t_adapter *adapters,
		      uint32_t adapter_count, const uint32_t *tokens, uint32_t count,
		      double *logits);

#endif
