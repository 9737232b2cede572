/* SPDX-License-Identifier: MIT */
/*
 * eng_model.h: the forward pass. A pure library: no files, no IPC, no printing.
 *
 * One engine (threads, scratch, ISA) serves any number of models; a step runs rows of many
 * sequences through one model. A row's results have the same bits whatever else is in the batch,
 * however many threads run and however a prompt is cut: every output is computed by one thread in
 * one fixed order. Rows of a prompt and generated rows may differ in path only for float weights
 * (BLAS for prompts), and which path a row takes depends on the row alone (struct
 * eng_row.is_prompt).
 *
 * Llama after Touvron et al. (2023): RMSNorm (Zhang & Sennrich 2019), RoPE (Su et al. 2021) in
 * half-split form, grouped-query attention (Ainslie et al. 2023), SwiGLU (Shazeer 2020).
 */
#ifndef ENG_MODEL_H
#define ENG_MODEL_H

#include <stdbool.h>

#include "eng_pack.h"

#define ENG_PAGE_TOKENS		32u	/* tokens in one KV page (all layers, K and V) */
#define ENG_ROWS_MAX		256u	/* rows in one step */

enum eng_isa { ENG_ISA_AUTO = 0, ENG_ISA_GENERIC, ENG_ISA_AVX2, ENG_ISA_AVX512, ENG_ISA_AMX,
	       ENG_ISA_COUNT };

const char *eng_isa_name(uint32_t isa);
/* By name, as in the INI: auto, generic, avx2, avx512, amx. -EINVAL when unknown. */
int eng_isa_parse(const char *name);
/* Whether this CPU and kernel can run @isa. AUTO is resolved by eng_isa_best(). */
bool eng_isa_usable(uint32_t isa);
uint32_t eng_isa_best(void);

struct eng_config {
	uint32_t layer_count, hidden, intermediate, head_count, kv_head_count, head_dim;
	uint32_t vocab_count, context_max;
	float rms_eps;
	float rope_attn_scale;
	bool kv_f32;		/* KV cache in F32 (float weights), else F16 */
};

struct eng_layer {
	const float *attn_norm;		/* [hidden] */
	const float *ffn_norm;		/* [hidden] */
	/* q [heads*head_dim x hidden], o [hidden x heads*head_dim] */
	struct eng_matrix q, k, v, o;
	struct eng_matrix gate, up, down;
};

/* Borrowed pointers into a mapped image; the caller fills it and keeps the memory. */
struct eng_model {
	struct eng_config config;
	const float *inv_freq;		/* [head_dim / 2] */
	const float *output_norm;	/* [hidden] */
	struct eng_matrix embed;	/* [vocab x hidden] */
	struct eng_matrix output;	/* [vocab x hidden]; equal to embed when tied */
	struct eng_layer *layers;	/* [layer_count] */
};

/* 0, or -EINVAL with *@field naming the first thing that does not fit (static text). */
int eng_model_check(const struct eng_model *model, const char **field);

/*
 * KV of one sequence: page i holds positions [i*ENG_PAGE_TOKENS, ...). Pages are 64-byte aligned.
 */
size_t eng_kv_page_bytes(const struct eng_config *config);

struct eng_adapter;	/* eng_lora.h */

struct eng_row {
	uint32_t token;
	/* < context_max; earlier positions are in the pages already or earlier in the same step */
	uint32_t position;
	void *const *pages;		/* page table of the row's sequence, covers position */
	bool is_prompt;			/* part of a prompt, not generated */
	/* row of @logits to fill, < ENG_ROWS_MAX and no other row's; -1: none wanted */
	int32_t logits;
	/* low-rank adapters on top of the model, summed in this order, <= ENG_ADAPTERS_MAX */
	const struct eng_adapter *adapters;
	uint32_t adapter_count;		/* 0: none */
};

struct eng;

/*
 * @threads: computing threads, the caller's included, 1..64. Scratch for models up to the sizes
 * seen grows in eng_prepare(), never in a step. -EINVAL: ISA not usable here; -ENOMEM; -EAGAIN: no
 * thread.
 */
int eng_new(struct eng **eng, uint32_t isa, uint32_t threads);
void eng_free(struct eng **eng);
uint32_t eng_isa(const struct eng *eng);
uint32_t eng_threads(const struct eng *eng);
/* Reserve scratch for steps of @model. Call once per model before its first step. 0 or -ENOMEM. */
int eng_prepare(struct eng *eng, const struct eng_model *model);

/*
 * Run 1..ENG_ROWS_MAX rows; rows of one sequence stand in order of position. Writes their K and V
 * to the pages, and logits rows [vocab_count] for those that want them, row r at @logits + r *
 * vocab_count. No allocation, no system call but a futex wake when threads sleep. Returns 0;
 * -EINVAL: a row is out of range, or the model or an adapter was not prepared (nothing was computed).
 */
int eng_step(struct eng *eng, const struct eng_model *model, const struct eng_row *rows,
	     uint32_t row_count, float *logits);

/* Let the helper threads sleep at once instead of after their spin (nothing to do for a while). */
void eng_rest(struct eng *eng);

#endif
