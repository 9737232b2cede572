/* SPDX-License-Identifier: MIT */
/*
 * eng_lora.h: low-rank adapters (Hu et al. 2021) on top of a model, applied per row of a step:
 * y = W x + scale * B (A x), where x are the activations in F32 before they are rounded for W.
 * Adapters of a row are added in the order of its list. All sums are F32 in one fixed order, so a
 * row keeps its bits whatever other rows, adapters, threads and ISAs do. Prompts and generated rows
 * take the same path.
 *
 * Layout of a pair, in the type that it came in (F32, F16 or BF16 for both halves):
 *   A [rank x cols]   row after row, without padding, as a safetensors file has it
 *   B [rows x rank]   packed as a float matrix of eng_pack.h (eng_pack_panel): panels of 16 rows,
 *                     [panel][rank][16 rows], the last panel padded with zero rows;
 *                     eng_packed_bytes(type, rows, rank)
 * Rows of B stand where the model's own rows stand: for q and k in the image's order, in which
 * halves of a head rotate together. A checkpoint whose q and k were permuted at import needs the
 * same permutation of the rows of B; A is not touched. Columns of A never move.
 */
#ifndef ENG_LORA_H
#define ENG_LORA_H

#include "eng_model.h"

#define ENG_ADAPTERS_MAX	8u		/* of one row */
#define ENG_LORA_RANK_MAX	(1u << 16)

enum eng_lora_target {
	ENG_LORA_Q = 0, ENG_LORA_K, ENG_LORA_V, ENG_LORA_O, ENG_LORA_GATE, ENG_LORA_UP,
	ENG_LORA_DOWN,
	ENG_LORA_TARGETS,			/* of a layer */
	ENG_LORA_OUTPUT = ENG_LORA_TARGETS,	/* of the model */
	ENG_LORA_EMBED,
};

/* Borrowed memory, 64-byte aligned. */
struct eng_lora_pair {
	uint32_t rank;		/* 0: absent; >= 1 otherwise */
	uint32_t type;		/* ENG_F32, ENG_F16 or ENG_BF16 */
	uint32_t rows, cols;	/* the target's outputs and inputs */
	float scale;		/* alpha / rank or alpha / sqrt(rank), whatever the adapter says */
	const void *a;
	const void *b;
};

struct eng_lora_layer {
	struct eng_lora_pair pair[ENG_LORA_TARGETS];
};

/* Any subset of the pairs may be absent. The caller fills it and keeps the memory. */
struct eng_lora {
	uint32_t layer_count;			/* the model's */
	uint32_t width;				/* set by eng_lora_check(): see eng_lora_prepare() */
	const struct eng_lora_layer *layers;	/* [layer_count]; NULL: none has a pair */
	/*
	 * The token's embedding gets scale * B A[:, token]: rows = hidden, cols = vocab. It does not
	 * touch the output of a model whose embedding is tied to it (nor does PEFT's).
	 */
	struct eng_lora_pair embed;
	struct eng_lora_pair output;		/* added to logits: rows = vocab, cols = hidden */
};

/* One of a row's adapters. @scale multiplies that of each pair; finite. */
struct eng_adapter {
	const struct eng_lora *lora;
	float scale;
};

/*
 * 0, or -EINVAL with *@field naming the first thing that does not fit @model (static text: "attn_q",
 * "ffn_down", "output", "embed", "layer_count"), and *@layer, unless NULL, where. Must come before
 * eng_lora_prepare().
 */
int eng_lora_check(struct eng_lora *lora, const struct eng_model *model, const char **field,
		   uint32_t *layer);

/*
 * Reserve scratch for steps with @lora. Call once per adapter before its first step, between steps.
 * Scratch grows with the greatest sum of ranks that share an input, about 2,100 x 4 bytes each. 0;
 * -EINVAL: not checked; -ENOMEM (the engine is as before).
 */
int eng_lora_prepare(struct eng *eng, const struct eng_lora *lora);

#endif
