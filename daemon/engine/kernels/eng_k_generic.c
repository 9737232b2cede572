/* SPDX-License-Identifier: MIT */
/*
 * eng_k_generic.c: the kernels in plain C. They are the specification: the order of the float
 * operations here is what every ISA repeats.
 */
#include "eng_kernels.h"

#include <math.h>
#include <string.h>

#include "eng_model.h"
#include "eng_panel.h"
#include "eng_tables.h"

#include "eng_lanes_generic.h"

#include "eng_act.h"
#include "eng_attention_impl.h"
#include "eng_diverge_impl.h"
#include "eng_float_impl.h"
#include "eng_lora_impl.h"
#include "eng_vector_impl.h"

/* Nearest integer, halves to even, as the CPUs' conversions round. |x| < 2^22. */
static int32_t round_even(float x)
{
	return (int32_t)(x + 0x1.8p23f - 0x1.8p23f);
}

static void quantize_block(const float *x, struct eng_act_block *b)
{
	uint32_t amax_bits = 0;
	int32_t sums[2] = { 0, 0 };
	float inverse;

	for (int i = 0; i < 32; i++) {
		uint32_t bits = eng_float_bits(x[i]) & 0x7fffffff;

		amax_bits = bits > amax_bits ? bits : amax_bits;
	}
	if (!eng_act_block_start(b, amax_bits, &inverse))
		return;
	for (int i = 0; i < 32; i++) {
		b->q[i] = (int8_t)round_even(x[i] * inverse);
		sums[i / 16] += b->q[i];
	}
	eng_act_block_finish(b, sums[0], sums[1]);
}

#include "eng_quantize_impl.h"

#define TILE_ROWS	16u	/* that share the unpacking of a block */

/* A block of one panel, its weights by columns, so that the compiler can use vectors. */
struct block {
	int16_t q[32][ENG_PANEL_ROWS];
	struct eng_scales scales[ENG_PANEL_ROWS];
};

static void unpack_block(uint32_t type, const uint8_t *panel, uint32_t block, struct block *to)
{
	const uint8_t *weights = panel + eng_panel_weights(type, block);

	for (uint32_t col = 0; col < ENG_BLOCK_COLS; col++)
		for (uint32_t lane = 0; lane < ENG_PANEL_ROWS; lane++)
			to->q[col][lane] = (int16_t)eng_quant_get(type, weights, lane, col);
	for (uint32_t lane = 0; lane < ENG_PANEL_ROWS; lane++)
		to->scales[lane] = eng_scales_get(type, panel, block, lane);
}

/* Dot products over 16 columns from @col on. */
static void dot16(const struct block *w, const int8_t *q, uint32_t col,
		  int32_t sums[ENG_PANEL_ROWS])
{
	memset(sums, 0, ENG_PANEL_ROWS * sizeof(*sums));
	for (uint32_t i = col; i < col + 16; i++)
		for (uint32_t lane = 0; lane < ENG_PANEL_ROWS; lane++)
			sums[lane] += w->q[i][lane] * (int16_t)q[i];
}

/* The minimum of 16 columns. Their sum comes as -32 times itself: powers of two lose nothing. */
static float add_half_min(const struct eng_scales *s, const struct eng_act_block *a, uint32_t half,
			  float acc)
{
	return fmaf(s->min[half] * -0x1p-5f, a->scale * (float)a->neg32_half[half], acc);
}

/* One block of one row of activations onto the 16 outputs. */
static void add_block(uint32_t type, const struct block *w, const struct eng_act_block *a,
		      float acc[ENG_PANEL_ROWS])
{
	int32_t low[ENG_PANEL_ROWS], high[ENG_PANEL_ROWS];

	dot16(w, a->q, 0, low);
	dot16(w, a->q, 16, high);
	for (uint32_t i = 0; i < ENG_PANEL_ROWS; i++) {
		const struct eng_scales *s = &w->scales[i];

		if (eng_type_has_halves(type)) {
			acc[i] = fmaf(s->scale[0] * a->scale, (float)low[i], acc[i]);
			acc[i] = fmaf(s->scale[1] * a->scale, (float)high[i], acc[i]);
		} else {
			acc[i] = fmaf(s->scale[0] * a->scale, (float)(low[i] + high[i]), acc[i]);
		}
		if (type == ENG_Q2K) {
			acc[i] = add_half_min(s, a, 0, acc[i]);
			acc[i] = add_half_min(s, a, 1, acc[i]);
		} else if (eng_type_has_min(type)) {
			acc[i] = fmaf(s->min[0], a->scaled_sum, acc[i]);
		}
	}
}

/* @rows (at most TILE_ROWS) rows of activations against one panel. */
static void tile(uint32_t type, const uint8_t *panel, struct eng_act act, uint32_t rows,
		 uint32_t valid, float *out, size_t out_stride)
{
	float acc[TILE_ROWS][ENG_PANEL_ROWS] = { { 0 } };
	struct block w;

	for (uint32_t b = 0; b < act.cols / ENG_BLOCK_COLS; b++) {
		unpack_block(type, panel, b, &w);
		for (uint32_t r = 0; r < rows; r++)
			add_block(type, &w, eng_act_from(&act, r).block + b, acc[r]);
	}
	for (uint32_t r = 0; r < rows; r++)
		memcpy(out + r * out_stride, acc[r], valid * sizeof(*out));
}

static void matmul_q(const struct eng_matrix *m, uint32_t first_panel, uint32_t panel_count,
		     const struct eng_act *act, uint32_t row_count, float *out, size_t out_stride)
{
	const uint64_t panel_bytes = eng_panel_bytes(m->type, m->cols);

	for (uint32_t p = first_panel; p < first_panel + panel_count; p++) {
		const uint8_t *panel = (const uint8_t *)m->data + p * panel_bytes;
		const uint32_t left = m->rows - p * ENG_PANEL_ROWS;

		for (uint32_t row = 0; row < row_count; row += TILE_ROWS)
			tile(m->type, panel, eng_act_from(act, row),
			     row_count - row < TILE_ROWS ? row_count - row : TILE_ROWS,
			     left < ENG_PANEL_ROWS ? left : ENG_PANEL_ROWS,
			     out + row * out_stride + p * ENG_PANEL_ROWS, out_stride);
	}
}

const struct eng_kernels eng_kernels_generic = {
	.isa = ENG_ISA_GENERIC, .quantize = quantize, .matmul_q = matmul_q, .matmul_f = matmul_f,
	.rms_norm = rms_norm, .layer_norm = layer_norm, .rope = rope, .silu_mul = silu_mul,
	.gelu_mul = gelu_mul, .add = add, .scale = scale_all, .soft_cap = soft_cap,
	.softmax_part = softmax_part, .max = max, .sum_exp = sum_exp, .widen = widen, .kv_put = kv_put,
	.attn_scores = attn_scores, .attn_mix = attn_mix, .attn_merge = attn_merge,
	.diverge = diverge, .lora_shrink = lora_shrink, .lora_expand = lora_expand,
};
