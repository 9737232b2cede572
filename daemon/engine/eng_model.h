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
 * Decoders in the manner of Llama (Touvron et al. 2023): RMSNorm (Zhang & Sennrich 2019), RoPE (Su et
 * al. 2021) in half-split form, grouped-query attention (Ainslie et al. 2023), SwiGLU (Shazeer 2020).
 * What other families have instead or besides is data: numbers of the configuration and pointers of
 * the layers, where zero and NULL mean what Llama does. README.md lists the blocks.
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
	float rms_eps;		/* of LayerNorm too */
	float rope_attn_scale;	/* multiplies cos and sin of inv_freq */
	bool kv_f32;		/* KV cache in F32 (float weights), else F16 */
	/* Zero, where a family is as Llama: */
	uint32_t rotary_dim;	/* dims of a head that rotate, from its first; even; 0: all */
	float embed_scale;	/* multiplies embeddings; 0: 1 */
	float attn_scale;	/* of scores; 0: 1 / sqrt(head_dim) */
	float attn_cap;		/* scores become cap * tanh(score / cap); 0: stay */
	float logit_cap;	/* logits, the same */
	bool gelu;		/* in its tanh form, instead of SiLU */
	bool plain_ffn;		/* down(gelu(up)), without a gate */
	uint32_t expert_count;	/* of a layer that has a router */
	uint32_t expert_used;	/* by each row */
	uint32_t expert_intermediate;
	bool experts_normed;	/* weights of those used are divided by their sum */
};

struct eng_layer {
	const float *attn_norm;		/* [hidden] */
	const float *ffn_norm;		/* [hidden] */
	/* q [heads*head_dim x hidden], o [hidden x heads*head_dim] */
	struct eng_matrix q, k, v, o;
	struct eng_matrix gate, up, down;	/* absent in a layer with a router */
	/*
	 * Or a mixture of experts, which lie one behind the other: router [experts x hidden], F32; gate and
	 * up [experts * expert_intermediate x hidden], down [experts * hidden x expert_intermediate].
	 */
	struct eng_matrix router, expert_gate, expert_up, expert_down;
	/* NULL, where a family is as Llama: */
	const float *attn_norm_bias, *ffn_norm_bias;	/* [hidden]: the norm is a LayerNorm */
	const float *q_bias, *k_bias, *v_bias, *o_bias, *gate_bias, *up_bias, *down_bias;
	const float *q_norm, *k_norm;	/* [head_dim]: RMSNorm of each head before it rotates */
	/* [hidden]: RMSNorm of what attention and feed-forward add */
	const float *attn_post_norm, *ffn_post_norm;
	uint32_t window;		/* tokens seen, the own one included; 0: all */
	bool local_rope;		/* rotates by local_inv_freq */
	bool still;			/* rotates nothing */
};

/* Borrowed pointers into a mapped image; the caller fills it and keeps the memory. */
struct eng_model {
	struct eng_config config;
	const float *inv_freq;		/* [rotary_dim / 2]; NULL: nothing rotates, positions is there */
	const float *local_inv_freq;	/* the same of layers with local_rope; or NULL */
	const float *output_norm;	/* [hidden] */
	const float *output_norm_bias;	/* [hidden]: it is a LayerNorm; or NULL */
	struct eng_matrix positions;	/* [context_max x hidden], added to embeddings; or absent */
	struct eng_matrix embed;	/* [vocab x hidden] */
	struct eng_matrix output;	/* [vocab x hidden]; equal to embed when tied */
	struct eng_layer *layers;	/* [layer_count] */
};

/* Dims of a head that rotate, if any do. */
static inline uint32_t eng_rotary_dim(const struct eng_config *c)
{
	return c->rotary_dim ? c->rotary_dim : c->head_dim;
}

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
	float *hidden;			/* [hidden] to fill: what the output matrix multiplies; or NULL */
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
 * vocab_count; for those with @hidden their state behind the last norm. No allocation, no system call
 * but a futex wake when threads sleep. Returns 0;
 * -EINVAL: a row is out of range, or the model or an adapter was not prepared (nothing was computed).
 */
int eng_step(struct eng *eng, const struct eng_model *model, const struct eng_row *rows,
	     uint32_t row_count, float *logits);

/* Let the helper threads sleep at once instead of after their spin (nothing to do for a while). */
void eng_rest(struct eng *eng);

#endif
