/* SPDX-License-Identifier: MIT */
/*
 * eng_priv.h: the inside of an engine. A step is one function that all threads run; between its
 * phases they meet at barriers. Every element of every buffer has one writer in each phase.
 */
#ifndef ENG_PRIV_H
#define ENG_PRIV_H

#include "eng_kernels.h"
#include "eng_lora.h"
#include "eng_model.h"
#include "eng_threads.h"

/* Up to so many rows each thread computes norms and rounds activations for itself: dearer than
 * once, cheaper than a barrier. The bits are the same. */
#define ENG_FEW_ROWS	4u
/*
 * From so many rows a thread on, each thread takes rows of its own through a layer instead of
 * panels for all rows: what it computes stays in its cache, and one barrier a layer is left. Every
 * thread reads all weights then, which so many rows pay for.
 */
#define ENG_OWN_ROWS	32u
/* Shares of rows are multiples of what kernels take at once. */
#define ENG_TILE_ROWS	16u
/* Queries (rows x heads) that share one pass over a KV page. */
#define ENG_QUERIES	32u
/* Attention goes in parts of so many pages: scores that stay in the first-level cache. */
#define ENG_PART_PAGES	8u
#define ENG_PART_TOKENS	(ENG_PART_PAGES * ENG_PAGE_TOKENS)
/* 16 more: rows of a power of two would share cache sets. */
#define ENG_SCORE_STRIDE	(ENG_PART_TOKENS + 16)

struct eng_range {
	uint32_t first, count;
};

/* Inputs of a matmul: the float rows, and the same rounded when a quantised matrix needs them. */
struct eng_operand {
	const float *x;
	size_t stride;
	struct eng_act act;
};

/* Rows of one expert that go through it at once. */
#define ENG_EXPERT_ROWS	64u

/* An expert that a row goes through, and how much of its output the row takes. */
struct eng_pick {
	uint32_t expert;
	float weight;
};

/* The same, once picks are grouped by expert: within one, rows rise. */
struct eng_pass {
	uint32_t row;
	float weight;
};

/* What each thread makes of all picks, and rows of one expert that do not stand side by side. */
struct eng_own_experts {
	float *shares;			/* [experts] of one row */
	struct eng_pick *picks;		/* [ENG_FEW_ROWS][used] */
	struct eng_pass *passes;	/* [rows][used] */
	uint32_t *begin, *end;		/* [experts]: an expert's passes are [begin, end) */
	float *x;			/* [ENG_EXPERT_ROWS][hidden] */
	struct eng_act_block *act;	/* the same, rounded */
};

/* Scratch of one thread. */
struct eng_own {
	float *norm;			/* [ENG_FEW_ROWS][hidden] */
	struct eng_act_block *act;	/* ENG_FEW_ROWS rows */
	float *heads;			/* [ENG_FEW_ROWS][heads_stride] merged attention */
	float *scores;			/* [ENG_QUERIES][ENG_SCORE_STRIDE] */
	float *parts;			/* [ENG_QUERIES][parts_stride] */
	void *blas;
	struct eng_own_experts experts;
};

/* Of the mixture of experts, for all threads. */
struct eng_experts {
	size_t stride, score_stride;	/* of a row of gate and up; of scores */
	float *scores;			/* [rows][experts] products of the router */
	struct eng_pick *picks;		/* [rows][used] */
	float *out;			/* [ENG_EXPERT_ROWS][hidden] of one expert; each thread has its columns */
};

/* Strides in floats, each a multiple of 16, so that no two threads write one cache line. */
struct eng_buffers {
	size_t hidden_stride, qkv_stride, heads_stride, ffn_stride, half_stride;
	size_t part_stride;		/* one part of attention, see attn_merge */
	size_t parts_stride;		/* all parts of one head */
	size_t k_offset, v_offset;	/* in a row of qkv */
	float *x;			/* [rows][hidden] residual stream */
	float *norm;			/* [rows][hidden] */
	float *delta;			/* [rows][hidden] what a block adds to x */
	float *qkv;
	float *heads;			/* [rows][head_count * head_dim] output of attention */
	float *parts;			/* [ENG_FEW_ROWS][head_count][parts_stride] */
	float *gate, *up;		/* [rows][intermediate], or of experts [rows * used][experts.stride] */
	/* [2 * rows][rotary_dim / 2]: of inv_freq, then of local_inv_freq */
	float *cosine, *sine;
	/* Rounded inputs; one buffer a width, so that a row has one place whatever the phase. */
	struct eng_act_block *act;	/* of q/k/v, gate/up, output */
	struct eng_act_block *heads_act;	/* of o */
	struct eng_act_block *ffn_act;	/* of down */
	struct eng_experts experts;
	struct eng_own own[ENG_THREADS_MAX];
};

/* A row that has the adapter of a use. */
struct eng_lora_entry {
	uint32_t row;
	float scale;
};

/* Rows that share an adapter, so that it is read once for them: some entries. */
struct eng_lora_use {
	const struct eng_lora *lora;
	uint32_t first, count;
};

/*
 * All adapters of all rows. The first ones of all rows come first, then the second ones and so on:
 * a row's order of adding is its own. Entries of a use stand in order of row.
 */
struct eng_lora_uses {
	uint32_t use_count, entry_count;
	struct eng_lora_use use[ENG_ROWS_MAX * ENG_ADAPTERS_MAX];
	struct eng_lora_entry entry[ENG_ROWS_MAX * ENG_ADAPTERS_MAX];
};

/* Between the halves: values of A x, one line of @stride floats an entry. */
struct eng_lora_scratch {
	uint32_t stride;		/* 0: no adapter was prepared */
	float *z;			/* of all entries */
	float *own[ENG_THREADS_MAX];	/* of a thread, for ENG_FEW_ROWS rows */
};

/* Rows in computing order: prompts first, so that BLAS sees them in one piece. */
struct eng_step {
	const struct eng_model *model;
	float *logits;
	uint32_t row_count, prompt_count;
	uint32_t group_count;
	uint32_t logits_count;
	uint32_t wanted_count;			/* rows that want logits or their hidden state */
	struct eng_row rows[ENG_ROWS_MAX];
	/*
	 * Consecutive rows of one sequence, at most ENG_QUERIES / (heads per KV head), at least
	 * one.
	 */
	struct eng_range groups[ENG_ROWS_MAX];
	bool split_parts;			/* attention leaves parts, to be merged later */
	bool thin;				/* rows that want nothing end in the last layer */
	bool own_rows;				/* each thread has rows of its own: */
	struct eng_range group_share[ENG_THREADS_MAX];
	struct eng_range row_share[ENG_THREADS_MAX];
	/* Rows that want logits, by their index; once they are all that is left, their new place. */
	uint32_t logits_rows[ENG_ROWS_MAX];
	uint32_t logits_index[ENG_ROWS_MAX];	/* and which these are */
	struct eng_lora_uses uses;		/* of the step's rows */
	struct eng_lora_uses logits_uses;	/* of logits_rows, by place in it */
	struct eng_buffers buf;
};

struct eng {
	const struct eng_kernels *kernels;
	struct eng_pool *pool;
	uint32_t threads;
	unsigned char *arena;
	size_t arena_bytes;
	struct eng_lora_scratch lora;	/* memory of its own, at z */
	struct eng_step step;
};

static inline bool eng_row_wants(const struct eng_row *row)
{
	return row->logits >= 0 || row->hidden;
}

static inline bool eng_quantized(const struct eng_matrix *m)
{
	return m->type >= ENG_Q8;
}

static inline uint32_t eng_panels(const struct eng_matrix *m)
{
	return (m->rows + ENG_PANEL_ROWS - 1) / ENG_PANEL_ROWS;
}

/* The first token that a row at @position sees in a layer with @window. */
static inline uint32_t eng_first_seen(uint32_t position, uint32_t window)
{
	return window && position >= window ? position + 1 - window : 0;
}

/* Share of @thread when @count units are split evenly. */
static inline struct eng_range eng_share(uint32_t count, uint32_t thread, uint32_t threads)
{
	uint32_t begin, end;

	eng_split(count, thread, threads, &begin, &end);
	return (struct eng_range){ begin, end - begin };
}

/* eng_scratch.c: point @buf into @base, or only measure when that is NULL. Returns bytes needed. */
size_t eng_buffers_place(struct eng_buffers *buf, const struct eng_config *c, uint32_t threads,
			 unsigned char *base);

/* eng_matmul.c */

/* @panels of @m for @rows of the step; @in and @out begin at the step's first row. */
void eng_apply(struct eng *eng, uint32_t thread, const struct eng_matrix *m,
	       struct eng_range panels, struct eng_range rows, const struct eng_operand *in,
	       float *out, size_t out_stride);
/* The same for any @rows that @in begins with, of which the first @prompts are of prompts. */
void eng_apply_rows(struct eng *eng, uint32_t thread, const struct eng_matrix *m, struct eng_range panels,
		    uint32_t rows, uint32_t prompts, const struct eng_operand *in, float *out,
		    size_t out_stride);
/* Logits of the rows that want them; @in holds those rows in the order of their index. */
void eng_apply_logits(struct eng *eng, uint32_t thread, const struct eng_operand *in);

/* eng_attention.c: rotate q and k, store k and v, attend. buf.qkv in, buf.heads (buf.parts when
 * these are split) out; may meet. With own rows it leaves the output of a thread's rows to that
 * thread alone. */
void eng_attention(struct eng *eng, uint32_t thread, uint32_t layer);
/* Where the K plane of a layer and KV head begins in a page. */
size_t eng_plane_offset(const struct eng_config *c, uint32_t layer, uint32_t kv_head);

/* eng_attend.c */

/* At most ENG_QUERIES / group->count @heads, all of one KV head, for the rows of @group. */
void eng_attend(struct eng *eng, uint32_t thread, uint32_t layer, const struct eng_range *group,
		struct eng_range heads);
/* One part of them, into buf.parts. */
void eng_attend_part(struct eng *eng, uint32_t thread, uint32_t layer,
		     const struct eng_range *group, struct eng_range heads, uint32_t part);
/* All rows and heads of buf.parts, as @layer left them, into @heads [rows][heads_stride]. */
void eng_attention_merge(struct eng *eng, uint32_t layer, float *heads);

/* eng_lora.c */

/* What eng_step() asks of a row's adapters. */
bool eng_lora_fits(const struct eng *eng, const struct eng_row *row);
/* Group the adapters of step->rows[list[0..count)] (NULL: the first @count) into @uses. */
void eng_lora_group(const struct eng_step *step, const uint32_t *list, uint32_t count,
		    struct eng_lora_uses *uses);

/* eng_lora_apply.c */

/* Which adapters of which rows, and where what they share lies. */
struct eng_lora_pass {
	const struct eng_lora_uses *uses;
	struct eng_range rows;		/* others are left out */
	uint32_t layer;
	float *z;
};

/* First half, for @targets, which have their input in common. */
void eng_lora_shrink(const struct eng *eng, const struct eng_lora_pass *pass,
		     struct eng_range targets, const struct eng_operand *in);
/* The product that the second half follows begins. */
void eng_lora_ask(const struct eng_lora_pass *pass, uint32_t target, struct eng_range panels);
/* Second half onto row r at @out + index[r] (NULL: r) * @out_stride; @first: of those targets. */
void eng_lora_expand(const struct eng *eng, const struct eng_lora_pass *pass, uint32_t first,
		     uint32_t target, struct eng_range panels, float *out, size_t out_stride,
		     const uint32_t *index);
/* Adapters of its embedding onto @x; @z: scratch of one line. */
void eng_lora_embed(const struct eng *eng, const struct eng_row *row, float *z, float *x);

/* eng_decoder.c: the whole step, run by every thread. */
void eng_decoder_run(void *eng, uint32_t thread);

#endif
