/* SPDX-License-Identifier: MIT */
/* import_gguf_priv.h: between the files that read a GGUF model. All return 0 or negative errno. */
#ifndef IMPORT_GGUF_PRIV_H
#define IMPORT_GGUF_PRIV_H

#include "sto_family.h"
#include "sto_gguf.h"
#include "sto_import.h"

#define CONVERT	"convert the model again"

/* A configuration on its way into a model. Keys are given without the architecture in front. */
struct gguf_config {
	const struct sto_gguf *gguf;
	const char *arch;		/* "llama" */
	struct sto_model *model;
	struct sto_rope rope, local;
	bool far;			/* the divisors for long texts hold */
	struct sto_error *error;
};

/* @value keeps its default when the key is absent. */
int gguf_maybe_u32(const struct gguf_config *g, const char *key, uint32_t *value);
int gguf_maybe_f32(const struct gguf_config *g, const char *key, float *value);
/* A key that must have one value, or be absent, because another would change the results. */
int gguf_demand_u32(const struct gguf_config *g, const char *key, uint32_t only);
int gguf_demand_f32(const struct gguf_config *g, const char *key, float only);
/* -ENOTSUP: the key is @is, limit @limit. */
int gguf_unsupported(const struct gguf_config *g, const char *key, const char *is, const char *limit);

/* Experts in all layers; none, where there is no expert_count. */
int gguf_experts(struct gguf_config *g);

/* The family by general.architecture, into the model. */
int import_gguf_architecture(const struct sto_gguf *gguf, struct sto_model *model,
			     struct sto_error *error);
/* Sizes and floats, checked together, the shape, and rotary frequencies. */
int import_gguf_config(const struct sto_gguf *gguf, struct sto_model *model,
		       struct sto_error *error);
/* import_gguf_rope.c: how the rope is scaled, and its divisors. */
int import_gguf_rope(struct gguf_config *g);

#endif
