/* SPDX-License-Identifier: MIT */
/*
 * eng_blas.c: prompts of float models through OpenBLAS. Every call has the same shape for a given number
 * of columns: TILE_ROWS rows, TILE_PANELS panels, operands copied to the same aligned places with the same
 * strides. A panel always has the same place in its tile; rows may have any, and zeros fill the rest.
 */
#include <cblas.h>
#include <string.h>

#include "eng_model.h"
#include "eng_kernels.h"

#define TILE_ROWS	32u
#define TILE_PANELS	4u
#define TILE_OUTPUTS	(TILE_PANELS * ENG_PANEL_ROWS)

static const struct eng_kernels *kernels;	/* widening gives the same bits on any ISA */

/* One call's tiles; all lie in the caller's scratch. */
struct tiles {
	float *weights;		/* [cols][TILE_OUTPUTS] */
	float *x;		/* [TILE_ROWS][cols] */
	float *out;		/* [TILE_ROWS][TILE_OUTPUTS] */
};

void eng_blas_init(void)
{
	openblas_set_num_threads(1);
	kernels = eng_kernels_get(eng_isa_best());
}

size_t eng_blas_scratch_bytes(uint32_t cols)
{
	return sizeof(float) * ((size_t)cols * (TILE_OUTPUTS + TILE_ROWS) + TILE_ROWS * TILE_OUTPUTS);
}

/* Panels [from, to) of the group that begins at panel @group; the others' place is zero. */
static void fill_weights(const struct eng_matrix *m, uint32_t group, uint32_t from, uint32_t to,
			 float *weights)
{
	const uint64_t bytes = eng_panel_bytes(m->type, m->cols);

	memset(weights, 0, sizeof(float) * m->cols * TILE_OUTPUTS);
	for (uint32_t p = from; p < to; p++)
		kernels->widen(m->type, (const uint8_t *)m->data + p * bytes, m->cols,
			       weights + (p - group) * ENG_PANEL_ROWS, TILE_OUTPUTS);
}

static void fill_rows(const float *x, size_t x_stride, uint32_t rows, uint32_t cols, float *out)
{
	for (uint32_t r = 0; r < TILE_ROWS; r++, out += cols) {
		if (r < rows)
			memcpy(out, x + r * x_stride, sizeof(float) * cols);
		else
			memset(out, 0, sizeof(float) * cols);
	}
}

/* All rows against one group: its outputs [skip, skip + outputs) go to @out. */
static void run_group(const struct tiles *t, uint32_t cols, uint32_t skip, uint32_t outputs,
		      const float *x, size_t x_stride, uint32_t row_count, float *out, size_t out_stride)
{
	for (uint32_t row = 0; row < row_count; row += TILE_ROWS) {
		const uint32_t rows = row_count - row < TILE_ROWS ? row_count - row : TILE_ROWS;

		fill_rows(x + row * x_stride, x_stride, rows, cols, t->x);
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, TILE_ROWS, TILE_OUTPUTS, (int)cols,
			    1.0f, t->x, (int)cols, t->weights, TILE_OUTPUTS, 0.0f, t->out, TILE_OUTPUTS);
		for (uint32_t r = 0; r < rows; r++)
			memcpy(out + (row + r) * out_stride, t->out + r * TILE_OUTPUTS + skip,
			       sizeof(float) * outputs);
	}
}

void eng_blas_matmul(const struct eng_matrix *m, uint32_t first_panel, uint32_t panel_count,
		     const float *x, size_t x_stride, uint32_t row_count, float *out,
		     size_t out_stride, void *scratch)
{
	const uint32_t end = first_panel + panel_count;
	struct tiles t = { .weights = scratch };

	t.x = t.weights + (size_t)m->cols * TILE_OUTPUTS;
	t.out = t.x + (size_t)m->cols * TILE_ROWS;
	for (uint32_t p = first_panel; p < end;) {
		const uint32_t group = p / TILE_PANELS * TILE_PANELS;
		const uint32_t stop = group + TILE_PANELS < end ? group + TILE_PANELS : end;
		const uint32_t limit = stop * ENG_PANEL_ROWS < m->rows ? stop * ENG_PANEL_ROWS : m->rows;

		fill_weights(m, group, p, stop, t.weights);
		run_group(&t, m->cols, (p - group) * ENG_PANEL_ROWS, limit - p * ENG_PANEL_ROWS, x,
			  x_stride, row_count, out + p * ENG_PANEL_ROWS, out_stride);
		p = stop;
	}
}
