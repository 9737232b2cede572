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
#include "eng_float_impl.h"
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

/* Scale and minimum of one row over 32 columns: value = scale[half] * q + min. All are exact. */
struct scales {
	float scale[2];			/* of columns 0..15 and 16..31 */
	float min;
};

static float half_at(const uint8_t *p)
{
	uint16_t bits;

	memcpy(&bits, p, sizeof(bits));
	return eng_f16_float(bits);
}

static struct scales scales_at(uint32_t type, const uint8_t *panel, uint32_t block, uint32_t lane)
{
	const uint8_t *head = panel + eng_panel_scales(type, block);
	const uint8_t *sub = head + ENG_SCALE_BYTES + block % 8 * 32 + lane;	/* K types only */
	const float d = half_at(head + 2 * lane);
	struct scales s = { { d, d }, 0 };

	if (eng_type_has_min(type))
		s.min = half_at(head + 32 + 2 * lane);
	if (type == ENG_Q4K || type == ENG_Q5K) {
		s.scale[0] = s.scale[1] = d * (float)sub[0];
		s.min = -(s.min * (float)sub[16]);
	} else if (type == ENG_Q6K) {
		s.scale[0] = d * (float)(int8_t)sub[0];
		s.scale[1] = d * (float)(int8_t)sub[16];
	}
	return s;
}

static int32_t dot16(uint32_t type, const uint8_t *weights, uint32_t lane, const int8_t *q,
		     uint32_t col)
{
	const uint8_t *w = weights + eng_weight_byte(type, lane, col);
	const int shift = col / 16 * 4;
	int32_t sum = 0;

	for (uint32_t i = 0; i < 16; i++) {
		uint8_t byte = w[i / 4 * 64 + i % 4];

		if (!eng_type_is_4bit(type))
			sum += (int8_t)byte * q[col + i];
		else
			sum += ((byte >> shift & 15) - (type == ENG_Q4 ? 8 : 0)) * q[col + i];
	}
	return sum;
}

/* One product of a row of weights and a row of activations. */
static float dot_row(uint32_t type, const uint8_t *panel, uint32_t lane,
		     const struct eng_act_block *act, uint32_t blocks)
{
	float acc = 0;

	for (uint32_t b = 0; b < blocks; b++) {
		const uint8_t *weights = panel + eng_panel_weights(type, b);
		const struct scales s = scales_at(type, panel, b, lane);
		const int32_t low = dot16(type, weights, lane, act[b].q, 0);
		const int32_t high = dot16(type, weights, lane, act[b].q, 16);

		if (type == ENG_Q6K) {
			acc = fmaf(s.scale[0] * act[b].scale, (float)low, acc);
			acc = fmaf(s.scale[1] * act[b].scale, (float)high, acc);
		} else {
			acc = fmaf(s.scale[0] * act[b].scale, (float)(low + high), acc);
		}
		if (eng_type_has_min(type))
			acc = fmaf(s.min, act[b].scaled_sum, acc);
	}
	return acc;
}

static void matmul_q(const struct eng_matrix *m, uint32_t first_panel, uint32_t panel_count,
		     const struct eng_act *act, uint32_t row_count, float *out, size_t out_stride)
{
	const uint64_t panel_bytes = eng_panel_bytes(m->type, m->cols);
	const uint32_t blocks = m->cols / ENG_BLOCK_COLS;
	uint32_t end = (first_panel + panel_count) * ENG_PANEL_ROWS;

	end = end < m->rows ? end : m->rows;
	for (uint32_t i = first_panel * ENG_PANEL_ROWS; i < end; i++) {
		const uint8_t *panel = (const uint8_t *)m->data + i / ENG_PANEL_ROWS * panel_bytes;

		for (uint32_t row = 0; row < row_count; row++)
			out[row * out_stride + i] =
				dot_row(m->type, panel, i % ENG_PANEL_ROWS,
					act->block + (size_t)row * blocks, blocks);
	}
}

const struct eng_kernels eng_kernels_generic = {
	.isa = ENG_ISA_GENERIC, .quantize = quantize, .matmul_q = matmul_q, .matmul_f = matmul_f,
	.rms_norm = rms_norm, .rope = rope, .silu_mul = silu_mul, .add = add,
	.softmax_part = softmax_part, .max = max, .sum_exp = sum_exp, .widen = widen, .kv_put = kv_put,
	.attn_scores = attn_scores, .attn_mix = attn_mix, .attn_merge = attn_merge,
};
