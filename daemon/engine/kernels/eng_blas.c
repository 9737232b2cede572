/* SPDX-License-Identifier: MIT */
/*
 * eng_blas.c: prompts of float models through OpenBLAS. Every call has the same shape for a given
 * number of columns: TILE_OUTPUTS outputs times TILE_ROWS rows. A panel always has the same place
 * in its tile; rows may have any, and zeros fill the rest.
 *
 * Shape and sides were chosen by test: OpenBLAS for Haswell and Zen rounds differently from place
 * to place once rows are the second side, or when there are more than 16 (blas_test under each
 * OPENBLAS_CORETYPE tells). Since another release may do so here too, eng_blas_init() tries it out,
 * and the own kernels, which are as fast, step in when places differ.
 */
#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "eng_model.h"
#include "eng_kernels.h"

#define TILE_ROWS	16u
#define TILE_PANELS	4u
#define TILE_OUTPUTS	(TILE_PANELS * ENG_PANEL_ROWS)

static const struct eng_kernels *kernels;	/* widening gives the same bits on any ISA */
static bool places_alike;

/* One call's operands; all lie in the caller's scratch. */
struct tiles {
	float *weights;		/* [cols][TILE_OUTPUTS] */
	float *x;		/* [TILE_ROWS][cols], for the last rows */
	float *out;		/* [TILE_OUTPUTS][TILE_ROWS] */
};

static struct tiles place_tiles(void *scratch, uint32_t cols)
{
	struct tiles t = { .weights = scratch };

	t.x = t.weights + (size_t)cols * TILE_OUTPUTS;
	t.out = t.x + (size_t)cols * TILE_ROWS;
	return t;
}

size_t eng_blas_scratch_bytes(uint32_t cols)
{
	return sizeof(float) *
	       ((size_t)cols * (TILE_OUTPUTS + TILE_ROWS) + TILE_ROWS * TILE_OUTPUTS);
}

static void multiply(const struct tiles *t, uint32_t cols, const float *x, size_t x_stride)
{
	cblas_sgemm(CblasRowMajor, CblasTrans, CblasTrans, TILE_OUTPUTS, TILE_ROWS, (int)cols, 1.0f,
		    t->weights, TILE_OUTPUTS, x, (int)x_stride, 0.0f, t->out, TILE_ROWS);
}

/* A row alone, and the same row in all places at once: are all results equal? */
static bool try_places(void *scratch, uint32_t cols)
{
	const struct tiles t = place_tiles(scratch, cols);
	float alone[TILE_OUTPUTS];
	uint32_t state = 1;

	memset(t.x, 0, sizeof(float) * cols * TILE_ROWS);
	for (uint32_t i = 0; i < cols * (TILE_OUTPUTS + 1); i++) {
		state = state * 1664525 + 1013904223;
		t.weights[i] =
			(float)(state >> 8) * 0x1p-23f - 1; /* the last cols are row 0 of x */
	}
	multiply(&t, cols, t.x, cols);
	for (uint32_t i = 0; i < TILE_OUTPUTS; i++)
		alone[i] = t.out[i * TILE_ROWS];
	for (uint32_t r = 1; r < TILE_ROWS; r++)
		memcpy(t.x + r * cols, t.x, sizeof(float) * cols);
	multiply(&t, cols, t.x, cols);
	for (uint32_t i = 0; i < TILE_OUTPUTS * TILE_ROWS; i++)
		if (t.out[i] != alone[i / TILE_ROWS])
			return false;
	return true;
}

bool eng_blas_init(void)
{
	static const uint32_t some[] = { 33, 64, 576, 1100 };
	void *scratch = malloc(eng_blas_scratch_bytes(some[3]));

	openblas_set_num_threads(1);
	kernels = eng_kernels_get(eng_isa_best());
	places_alike = scratch;
	for (uint32_t i = 0; i < 4 && places_alike; i++)
		places_alike = try_places(scratch, some[i]);
	free(scratch);
	return places_alike;
}

/* Panels [from, to) of the group that begins at panel @group; the others' place is zero. */
static void fill_weights(const struct eng_matrix *m, uint32_t group, uint32_t from, uint32_t to,
			 float *weights)
{
	const uint64_t bytes = eng_panel_bytes(m->type, m->cols);

	if (to - from < TILE_PANELS)
		memset(weights, 0, sizeof(float) * m->cols * TILE_OUTPUTS);
	for (uint32_t p = from; p < to; p++)
		kernels->widen(m->type, (const uint8_t *)m->data + p * bytes, m->cols,
			       weights + (p - group) * ENG_PANEL_ROWS, TILE_OUTPUTS);
}

/* All rows against one group: its outputs [skip, skip + outputs) go to @out. */
static void run_group(const struct tiles *t, uint32_t cols, uint32_t skip, uint32_t outputs,
		      const float *x, size_t x_stride, uint32_t row_count, float *out,
		      size_t out_stride)
{
	for (uint32_t row = 0; row < row_count; row += TILE_ROWS) {
		const uint32_t rows = row_count - row < TILE_ROWS ? row_count - row : TILE_ROWS;

		if (rows == TILE_ROWS) {
			multiply(t, cols, x + row * x_stride, x_stride);
		} else {
			memset(t->x, 0, sizeof(float) * cols * TILE_ROWS);
			for (uint32_t r = 0; r < rows; r++)
				memcpy(t->x + r * cols, x + (row + r) * x_stride,
				       sizeof(float) * cols);
			multiply(t, cols, t->x, cols);
		}
		for (uint32_t r = 0; r < rows; r++)
			for (uint32_t i = 0; i < outputs; i++)
				out[(row + r) * out_stride + i] =
					t->out[(skip + i) * TILE_ROWS + r];
	}
}

void eng_blas_matmul(const struct eng_matrix *m, uint32_t first_panel, uint32_t panel_count,
		     const float *x, size_t x_stride, uint32_t row_count, float *out,
		     size_t out_stride, void *scratch)
{
	const uint32_t end = first_panel + panel_count;
	const struct tiles t = place_tiles(scratch, m->cols);

	if (!places_alike) {
		kernels->matmul_f(m, first_panel, panel_count, x, x_stride, row_count, out,
				  out_stride);
		return;
	}
	for (uint32_t p = first_panel; p < end;) {
		const uint32_t group = p / TILE_PANELS * TILE_PANELS;
		const uint32_t stop = group + TILE_PANELS < end ? group + TILE_PANELS : end;
		const uint32_t limit =
			stop * ENG_PANEL_ROWS < m->rows ? stop * ENG_PANEL_ROWS : m->rows;

		fill_weights(m, group, p, stop, t.weights);
		run_group(&t, m->cols, (p - group) * ENG_PANEL_ROWS, limit - p * ENG_PANEL_ROWS, x,
			  x_stride, row_count, out + p * ENG_PANEL_ROWS, out_stride);
		p = stop;
	}
}
