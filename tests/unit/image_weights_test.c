/* SPDX-License-Identifier: MIT */
/* image_weights_test.c: every weight of the source is in the image, or rounded as asked. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mhs_attach.h"
#include "t.h"
#include "t_imported.h"

#define HEAD_DIM	32u

/* The row of the source that the image's row @row must hold. */
static uint64_t rotated(uint32_t role, uint64_t row)
{
	uint64_t i = row % HEAD_DIM;

	if (role != MHS_ROLE_ATTN_Q && role != MHS_ROLE_ATTN_K)
		return row;
	return row - i + (i < HEAD_DIM / 2 ? 2 * i : 2 * i - HEAD_DIM + 1);
}

static void compare_rows(const struct t_imported *image, struct t_gguf *g, uint32_t role,
			 const char *source)
{
	const struct mhs_image_tensor *t = t_imported_find(image, role);
	const struct t_gguf_tensor *from = t_gguf_tensor(g, source);
	uint64_t row_bytes = from->bytes / from->dims[1];
	float want[128], have[128];
	struct eng_matrix m;

	t_need(t && t->rows == from->dims[1] && t->cols == from->dims[0]);
	t_eq(t->type, eng_type_of_source(from->type));
	m = t_imported_matrix(image, t);
	for (uint32_t row = 0; row < t->rows; row++) {
		const uint8_t *source_row = from->data + rotated(role, row) * row_bytes;

		t_eq(eng_dequant_row(from->type, source_row, t->cols, want), 0);
		eng_unpack_row(&m, row, have);
		t_mem_eq(want, have, t->cols * sizeof(float));
	}
}

static void keeps_every_weight(void)
{
	static const uint32_t types[] = { ENG_SRC_F32, ENG_SRC_F16, ENG_SRC_BF16, ENG_SRC_Q8_0,
		ENG_SRC_Q4_0, ENG_SRC_Q4_1, ENG_SRC_Q5_0, ENG_SRC_Q5_1 };
	struct t_imported image;
	struct t_gguf g;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		t_gguf_init(&g, types[i], 7 + i);
		t_need(t_imported_open(&image, &g, 0) == 0);
		compare_rows(&image, &g, MHS_ROLE_EMBED, "token_embd");
		compare_rows(&image, &g, MHS_ROLE_ATTN_Q, "blk.0.attn_q");
		compare_rows(&image, &g, MHS_ROLE_ATTN_K, "blk.0.attn_k");
		compare_rows(&image, &g, MHS_ROLE_ATTN_V, "blk.0.attn_v");
		compare_rows(&image, &g, MHS_ROLE_ATTN_O, "blk.0.attn_output");
		compare_rows(&image, &g, MHS_ROLE_FFN_GATE, "blk.0.ffn_gate");
		compare_rows(&image, &g, MHS_ROLE_FFN_UP, "blk.0.ffn_up");
		compare_rows(&image, &g, MHS_ROLE_FFN_DOWN, "blk.0.ffn_down");
		t_mem_eq(image.base + t_imported_find(&image, MHS_ROLE_FFN_NORM)->offset_bytes,
			 t_gguf_tensor(&g, "blk.0.ffn_norm")->data, 64 * sizeof(float));
		t_eq(image.head.config.float_weights, types[i] <= 1 || types[i] == ENG_SRC_BF16);
		t_imported_close(&image);
		t_gguf_free(&g);
	}
}

static void takes_a_separate_output(void)
{
	struct t_gguf_tensor *out;
	struct t_imported image;
	struct t_gguf g;

	t_gguf_init(&g, ENG_SRC_Q8_0, 3);
	out = t_gguf_tensor(&g, "output");
	out->bytes = out->dims[1] * 2 * 34;
	t_need(t_imported_open(&image, &g, 0) == 0);
	t_eq(image.head.config.tied, 0);
	compare_rows(&image, &g, MHS_ROLE_OUTPUT, "output");
	t_imported_close(&image);
	t_gguf_free(&g);
}

/* Largest error over the largest weight of its block of 32. */
static double worst_error(const struct t_imported *image, struct t_gguf *g, uint32_t role,
			  const char *source)
{
	const struct mhs_image_tensor *t = t_imported_find(image, role);
	const struct t_gguf_tensor *from = t_gguf_tensor(g, source);
	struct eng_matrix m = t_imported_matrix(image, t);
	uint64_t row_bytes = from->bytes / from->dims[1];
	float want[128], have[128];
	double worst = 0;

	for (uint32_t row = 0; row < t->rows; row++) {
		eng_dequant_row(from->type, from->data + rotated(role, row) * row_bytes, t->cols,
				want);
		eng_unpack_row(&m, row, have);
		for (uint32_t b = 0; b < t->cols; b += 32) {
			double peak = 0, off = 0;

			for (uint32_t i = b; i < b + 32; i++) {
				peak = fmax(peak, fabs((double)want[i]));
				off = fmax(off, fabs((double)want[i] - (double)have[i]));
			}
			worst = fmax(worst, off / peak);
		}
	}
	return worst;
}

static void requantises(void)
{
	static const struct {
		uint32_t from, to, type;
		double limit;	/* half a step, and a little for the scale's own rounding */
	} cases[] = {
		{ ENG_SRC_F16, ENG_SRC_Q8_0, ENG_Q8, 0.5 / 127 + 0.001 },
		{ ENG_SRC_F32, ENG_SRC_Q4_0, ENG_Q4, 1.0 / 8 + 0.002 },
		{ ENG_SRC_BF16, ENG_SRC_Q4_1, ENG_Q4M, 1.0 / 15 + 0.002 },
		{ ENG_SRC_Q5_1, ENG_SRC_Q8_0, ENG_Q8, 0.5 / 127 + 0.001 },
		{ ENG_SRC_Q8_0, ENG_SRC_Q4_0, ENG_Q4, 1.0 / 8 + 0.002 },
	};
	struct t_imported image;
	struct t_gguf g;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		double error;

		t_gguf_init(&g, cases[i].from, i);
		t_need(t_imported_open(&image, &g, cases[i].to) == 0);
		t_eq(t_imported_find(&image, MHS_ROLE_EMBED)->type, cases[i].type);
		t_eq(t_imported_find(&image, MHS_ROLE_FFN_NORM)->type, ENG_VEC_F32);
		t_eq(image.head.config.float_weights, 0);
		error = fmax(worst_error(&image, &g, MHS_ROLE_ATTN_Q, "blk.0.attn_q"),
			     worst_error(&image, &g, MHS_ROLE_FFN_DOWN, "blk.0.ffn_down"));
		if (!t_ok(error > 0 && error <= cases[i].limit))
			printf("# case %zu: error %g, limit %g\n", i, error, cases[i].limit);
		t_imported_close(&image);
		t_gguf_free(&g);
	}
}

/* Already in the wanted type: not rounded twice. Rows that no block fits: kept. */
static void requantises_only_what_it_can(void)
{
	struct t_gguf_tensor *t;
	struct t_imported image;
	struct t_gguf g;

	t_gguf_init(&g, ENG_SRC_Q8_0, 5);
	t = t_gguf_tensor(&g, "blk.0.attn_k");
	for (uint64_t i = 0; i < t->bytes; i++)	/* quants that do not use the whole scale */
		t->data[i] = i % 34 < 2 ? t->data[i] : t->data[i] & 31;
	t_need(t_imported_open(&image, &g, ENG_SRC_Q8_0) == 0);
	compare_rows(&image, &g, MHS_ROLE_ATTN_K, "blk.0.attn_k");
	t_imported_close(&image);
	t_gguf_free(&g);

	t_gguf_init(&g, ENG_SRC_F16, 6);
	g.intermediate = 72;
	t = t_gguf_tensor(&g, "blk.0.ffn_down");
	t->dims[0] = 72;
	t->bytes = 72 * 64 * 2;
	for (int i = 0; i < 2; i++) {
		t = t_gguf_tensor(&g, i ? "blk.0.ffn_up" : "blk.0.ffn_gate");
		t->dims[1] = 72;
		t->bytes = 72 * 64 * 2;
	}
	t_need(t_imported_open(&image, &g, ENG_SRC_Q8_0) == 0);
	compare_rows(&image, &g, MHS_ROLE_FFN_DOWN, "blk.0.ffn_down");
	t_eq(t_imported_find(&image, MHS_ROLE_FFN_UP)->type, ENG_Q8);
	t_imported_close(&image);
	t_gguf_free(&g);
}

static void refuses_weights_that_are_no_numbers(void)
{
	static const uint16_t nan_f16 = 0x7e01, inf_f16 = 0xfc00, nan_bf16 = 0x7fc0;
	struct t_gguf g;

	t_gguf_init(&g, ENG_SRC_F16, 1);
	memcpy(t_gguf_tensor(&g, "blk.0.ffn_up")->data + 100, &nan_f16, 2);
	t_imported_refused(&g, 0, "tensor blk.0.ffn_up.weight: has a weight or scale that is NaN");
	t_imported_refused(&g, ENG_SRC_Q4_0,
			   "tensor blk.0.ffn_up.weight: has a weight or scale that is NaN");
	t_gguf_free(&g);
	t_gguf_init(&g, ENG_SRC_Q8_0, 1);
	memcpy(t_gguf_tensor(&g, "blk.0.attn_q")->data + 34, &inf_f16, 2);
	t_imported_refused(&g, 0, "tensor blk.0.attn_q.weight");
	t_gguf_free(&g);
	t_gguf_init(&g, ENG_SRC_BF16, 1);
	memcpy(t_gguf_tensor(&g, "token_embd")->data, &nan_bf16, 2);
	t_imported_refused(&g, 0, "tensor token_embd.weight");
	t_gguf_free(&g);
	t_gguf_init(&g, ENG_SRC_F32, 1);
	memcpy(t_gguf_tensor(&g, "output_norm")->data, &(float){ INFINITY }, 4);
	t_imported_refused(&g, 0, "tensor output_norm.weight");
	t_gguf_free(&g);
}

int main(void)
{
	T_RUN(keeps_every_weight);
	T_RUN(takes_a_separate_output);
	T_RUN(requantises);
	T_RUN(requantises_only_what_it_can);
	T_RUN(refuses_weights_that_are_no_numbers);
	return t_done();
}
