/* SPDX-License-Identifier: MIT */
/*
 * eng_kernels.h: the inner loops, one table of functions per ISA.
 *
 * Every function gives the same bits on every ISA: eng_k_generic.c is the specification (fmaf()
 * where it says fma, one fixed order), the others repeat its order lane by lane. A row's result
 * depends on that row alone, never on row_count or on how panels are cut. No function allocates or
 * locks. Pointers marked 64 need 64-byte alignment; all others the alignment of their element.
 */
#ifndef ENG_KERNELS_H
#define ENG_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eng_pack.h"

/*
 * 32 activations: value = scale * q, q in -127..127. One cache line; rows are arrays of blocks. A
 * value that is not finite makes the scale NaN, so that it shows in every output that it reaches.
 */
struct eng_act_block {
	int8_t q[32];
	float scale;
	float scaled_sum;		/* scale * sum of q */
	int32_t sum;			/* of q, exact */
	int32_t neg8_sum;		/* -8 * sum: for weights stored as q + 8 */
	int32_t neg16_sum;		/* the same for q + 16 */
	int32_t neg128_sum;		/* and for signed bytes read as q + 128 */
	int32_t neg32_half[2];		/* -32 * the sums of 16 values each */
};
_Static_assert(sizeof(struct eng_act_block) == 64, "one block, one line");

/* Quantised rows: row r begins at block[r * eng_act_stride(cols)]. */
struct eng_act {
	struct eng_act_block *block;	/* 64 */
	uint32_t cols;			/* a multiple of 32 */
};

/* Blocks from row to row: never a multiple of 1 KiB, or rows side by side would share cache sets. */
static inline uint32_t eng_act_stride(uint32_t cols)
{
	const uint32_t blocks = cols / ENG_BLOCK_COLS;

	return blocks % 16 ? blocks : blocks + 1;
}

static inline size_t eng_act_bytes(uint32_t rows, uint32_t cols)
{
	return (size_t)rows * eng_act_stride(cols) * sizeof(struct eng_act_block);
}

/* The rows of @act from @row on. */
static inline struct eng_act eng_act_from(const struct eng_act *act, uint32_t row)
{
	return (struct eng_act){ act->block + (size_t)row * eng_act_stride(act->cols),
				 act->cols };
}

struct eng_kernels {
	uint32_t isa;			/* enum eng_isa */

	/* Rows @first_row.. of @act from x[i * x_stride]; rows may be split over threads. */
	void (*quantize)(const struct eng_act *act, uint32_t first_row, uint32_t row_count,
			 const float *x, size_t x_stride);

	/*
	 * out[row * out_stride + panel * 16 + i] for the panels [first_panel, +panel_count) and all
	 * rows of @act: quantised types only. Columns of @out beyond m->rows are not written.
	 */
	void (*matmul_q)(const struct eng_matrix *m, uint32_t first_panel, uint32_t panel_count,
			 const struct eng_act *act, uint32_t row_count, float *out,
			 size_t out_stride);
	/* The same for F32, F16 and BF16 weights and float activations x[row * x_stride]. */
	void (*matmul_f)(const struct eng_matrix *m, uint32_t first_panel, uint32_t panel_count,
			 const float *x, size_t x_stride, uint32_t row_count, float *out,
			 size_t out_stride);

	/* One panel of float weights as floats: 16 at out[col * out_stride]. */
	void (*widen)(uint32_t type, const void *panel, uint32_t cols, float *out,
		      size_t out_stride);

	/* out = x / sqrt(mean(x^2) + eps) * weight. @out may be @x. */
	void (*rms_norm)(float *out, const float *x, const float *weight, uint32_t n, float eps);
	/* out = (x - mean) / sqrt(variance + eps) * weight + bias. @out may be @x. */
	void (*layer_norm)(float *out, const float *x, const float *weight, const float *bias,
			   uint32_t n, float eps);
	/* Half-split rotation of one head: (x[i], x[half+i]) by the angle i. */
	void (*rope)(float *x, const float *cosine, const float *sine, uint32_t half);
	/* out = gate / (1 + exp(-gate)) * up. @out may be either. */
	void (*silu_mul)(float *out, const float *gate, const float *up, size_t n);
	/* The same with gelu (its tanh form) of gate; @up may be NULL: nothing is multiplied. */
	void (*gelu_mul)(float *out, const float *gate, const float *up, size_t n);
	void (*add)(float *x, const float *y, size_t n);		/* x += y */
	void (*scale)(float *x, float by, size_t n);			/* x *= by */
	void (*soft_cap)(float *x, float cap, size_t n);		/* x = cap * tanh(x / cap) */
	/* x = exp(x - max), in place; n >= 1. Returns the sum; the maximum goes to *@most. */
	float (*softmax_part)(float *x, size_t n, float *most);
	float (*max)(const float *x, size_t n);				/* n >= 1 */
	float (*sum_exp)(const float *x, size_t n, float shift);	/* sum of exp(x - shift) */

	/*
	 * Attention over one KV page (32 tokens) of one KV head, elements F32 or F16 (@f32). K of a
	 * page is [head_dim][32 tokens], V is [32 tokens][head_dim]; eng_kv_plane_bytes() each.
	 * Token @slot (0..31) of a page: store K and V, rounded to nearest when F16.
	 */
	void (*kv_put)(bool f32, const float *k, const float *v, uint32_t head_dim, uint32_t slot,
		       void *k_page, void *v_page);
	/*
	 * scores[i][t] = scale * dot(q[i], K[t]) for all 32 tokens t (slots never filled give
	 * rubbish that the caller ignores). Queries may be heads of a group, rows of a prompt, or
	 * both. Meanwhile the plane at @next is asked for.
	 */
	void (*attn_scores)(bool f32, const float *const *q, uint32_t query_count,
			    uint32_t head_dim, const void *k_page, float scale,
			    float *const *scores, const void *next);
	/*
	 * out[i][d] += sum over t < token_count of probs[i][t] * V[t][d], in the order of t. The
	 * caller zeroes out first; pages in order give one order for all of them, however rows are
	 * batched.
	 */
	void (*attn_mix)(bool f32, const float *const *probs, uint32_t query_count,
			 uint32_t head_dim, const void *v_page, uint32_t token_count,
			 float *const *out, const void *next);
	/*
	 * A sequence is attended in parts of equal length, each with its own maximum. Part p at
	 * parts[p * part_stride]: head_dim weighted sums of V, the maximum, the sum of weights.
	 * out = the attention over all of them, merged in order.
	 */
	void (*attn_merge)(const float *parts, size_t part_stride, uint32_t part_count,
			   uint32_t head_dim, float *out);

	/*
	 * The halves of a low-rank adapter, for any rows (eng_lora.h has the layouts, and what the
	 * elements may be). z[i][r] = scale[i] * dot(A[r], x[i]) for r < rank.
	 */
	void (*lora_shrink)(uint32_t type, const void *a, uint32_t rank, uint32_t cols,
			    const float *const *x, const float *scale, uint32_t row_count,
			    float *const *z);
	/* out[i][o] += sum over ranks of B[o] * z[i], for the outputs o of these panels of B. */
	void (*lora_expand)(const struct eng_matrix *b, uint32_t first_panel, uint32_t panel_count,
			    const float *const *z, uint32_t row_count, float *const *out);

	/*
	 * In double, with p = exp(a - a_most) and q = exp(b - b_most), no exponent above 0: the
	 * sums of p, of q, and of p (log p - log q). The last is finite only if all numbers are.
	 */
	void (*diverge)(const float *a, const float *b, size_t n, double a_most, double b_most,
			double sums[3]);
};

/* Bytes of the K (or V) plane of one head in one page. */
static inline size_t eng_kv_plane_bytes(bool f32, uint32_t head_dim)
{
	return (size_t)head_dim * 32 * (f32 ? 4 : 2);
}

/*
 * The table for @isa (enum eng_isa, not AUTO), NULL when this CPU or kernel cannot run it. AMX
 * asks the kernel for the tiles and tries them once before it counts as usable.
 * eng_dispatch.c also has eng_isa_name, _parse, _usable and _best of eng_model.h.
 */
const struct eng_kernels *eng_kernels_get(uint32_t isa);

/*
 * F32, F16 and BF16 weights times prompt rows through OpenBLAS, on tiles of one fixed shape padded
 * with zeros, so that a row's bits depend neither on its neighbours nor on its place. They differ
 * from matmul_f's. @scratch (64): eng_blas_scratch_bytes(cols), one per thread. Call eng_blas_init
 * once before; false: this OpenBLAS does not keep rows apart, and eng_blas_matmul() uses the best
 * matmul_f instead.
 */
bool eng_blas_init(void);
size_t eng_blas_scratch_bytes(uint32_t cols);
void eng_blas_matmul(const struct eng_matrix *m, uint32_t first_panel, uint32_t panel_count,
		     const float *x, size_t x_stride, uint32_t row_count, float *out,
		     size_t out_stride, void *scratch);

#endif
