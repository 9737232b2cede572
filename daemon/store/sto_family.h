/* SPDX-License-Identifier: MIT */
/*
 * sto_family.h: what importers know of a family of models: its names in the sources, and functions
 * that read what its configuration has besides the sizes that all have. One file in families/ each, a
 * row in sto_family.c; the engine knows no families, only the shape that they fill in
 * (mhs_image_shape). daemon/engine/README.md says how to add one.
 */
#ifndef STO_FAMILY_H
#define STO_FAMILY_H

#include "sto_model.h"

struct sto_hf;		/* sto_hf_priv.h */
struct gguf_config;	/* import_gguf_priv.h */

/* Which layers have a slot. */
enum sto_layers { STO_ANY_LAYER, STO_DENSE_LAYER, STO_EXPERT_LAYER };

/* A place in the image that a role fills. */
struct sto_slot {
	uint32_t role;
	uint32_t when, unless;	/* only with, and without, these flags of the shape */
	bool per_layer;
	bool vector;
	const char *gguf;	/* "blk.%u.attn_q.weight" */
	const char *hf;		/* "model.layers.%u.self_attn.q_proj.weight"; of an expert: its number too */
	enum sto_layers in;
	const char *hf_stacked;	/* of all experts in one tensor, NULL: there is no such name */
};

enum sto_name_how {
	STO_FUSED = 1,		/* one tensor holds q, k, v or gate, up, one behind the other */
	STO_TRANSPOSED = 2,	/* Hugging Face: [inputs x outputs] */
	STO_PLUS_ONE = 4,	/* Hugging Face: stored less 1 */
};

/* Other names than those of the slot; NULL: the slot's. */
struct sto_name {
	uint32_t role;		/* 0 ends a list */
	const char *gguf, *hf;
	uint32_t how;
};

/* What transformers takes where config.json is silent. */
struct sto_defaults {
	uint32_t context_max;
	uint32_t head_dim, kv_heads;	/* 0: hidden / heads, heads */
	float rms_eps, rope_base;
	bool tied;
};

struct sto_family {
	uint32_t arch;				/* enum mhs_image_arch */
	const char *hf_class, *hf_type;		/* "LlamaForCausalLM", "llama" */
	const char *gguf;			/* general.architecture; NULL: it has none of its own */
	const struct sto_config_names *hf_keys;	/* NULL: those of Llama; a NULL key: not a field */
	const char *gguf_eps;			/* NULL: attention.layer_norm_rms_epsilon */
	struct sto_defaults defaults;
	const struct sto_name *names;		/* NULL: all as in the slots */
	bool partial_rope;			/* a part of each head may rotate */
	bool fan_in_fan_out;			/* PEFT: its matrices are transposed, adapters are not */
	bool gguf_pairs;			/* GGUF: neighbouring rows of q and k rotate together */
	bool gguf_experts;			/* GGUF: layers may be mixtures of experts */
	const char *hf_prefix;			/* of tensors, which may be missing */
	const char *hf_buffers;			/* ends of names of no weights, each with a NUL; or NULL */
	const char *peft_targets[2];		/* without target_modules; NULL: they must be given */
	/* The shape and the rope. 0 or negative errno with the error's text. */
	int (*hf)(struct sto_hf *hf);
	int (*gguf_read)(struct gguf_config *g);
};

extern const struct sto_family sto_family_gemma2, sto_family_gemma3, sto_family_gpt2, sto_family_llama,
	sto_family_mistral, sto_family_mixtral, sto_family_phi3, sto_family_qwen2, sto_family_qwen3,
	sto_family_qwen3_moe, sto_family_smollm3;

extern const struct sto_family *const sto_families[];
extern const uint32_t sto_family_count;
const struct sto_family *sto_family_of_arch(uint32_t arch);
/* "LlamaForCausalLM, ..." for messages; @what: offsetof the name in struct sto_family. */
const char *sto_family_list(size_t what, char *text, size_t bytes);

extern const struct sto_slot sto_slots[];
extern const uint32_t sto_slot_count;
/* Whether a model of @shape has it. */
bool sto_slot_present(const struct sto_slot *slot, const struct mhs_image_shape *shape);
/* The same of one of its layers; of a slot outside of the layers: true. */
bool sto_slot_in_layer(const struct sto_slot *slot, const struct mhs_image_experts *experts, uint32_t layer);
/* Whether it holds one matrix for each expert, one behind the other. */
bool sto_slot_is_stacked(const struct sto_slot *slot);
/* Its names in @family, all set. */
struct sto_name sto_slot_name(const struct sto_slot *slot, const struct sto_family *family);
/* Rows and columns that @slot must have. Vectors: 1 x cols. */
void sto_slot_shape(const struct sto_slot *slot, const struct sto_model *model, uint64_t *rows,
		    uint64_t *cols);
/* Where in a fused tensor the rows (of vectors: columns) of @slot begin, and how many it has in all. */
void sto_slot_fused(const struct sto_slot *slot, const struct mhs_image_config *config, uint64_t *first,
		    uint64_t *total);

/*
 * Let layers from @from on have a window of @window tokens (0: none), each but every @every-th (0: each). A
 * window that no position reaches is left out, unless its layers rotate by their own frequencies.
 */
void sto_model_set_windows(struct sto_model *model, uint32_t window, uint32_t from, uint32_t every);
/* All layers are mixtures of experts. */
void sto_model_set_experts(struct sto_model *model, uint32_t count, uint32_t used, uint32_t intermediate,
			   uint32_t flags);

#endif
