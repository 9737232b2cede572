/* SPDX-License-Identifier: MIT */
/*
 * eng_float_impl.h: float weights times float rows; included once per ISA after its eng_lanes_*.h.
 * Order of one output: products of even columns in one sum, of odd columns in another, then both.
 */
#ifndef ENG_FLOAT_IMPL_H
#define ENG_FLOAT_IMPL_H

#include "eng_panel.h"
#include "eng_unroll.h"

struct float_job {
	const struct eng_matrix *m;
	const float *x;			/* of the tile's first row */
	size_t x_stride;
	float *out;
	size_t out_stride;
};

ENG_INLINE struct lanes weights_load(uint32_t type, const void *panel, size_t col)
{
	if (type == ENG_F32)
		return lanes_load((const float *)panel + col * ENG_PANEL_ROWS);
	if (type == ENG_F16)
		return lanes_load_f16((const uint16_t *)panel + col * ENG_PANEL_ROWS);
	return lanes_load_bf16((const uint16_t *)panel + col * ENG_PANEL_ROWS);
}

ENG_INLINE void float_column(uint32_t type, uint32_t rows, const struct float_job *job,
			     const void *panel, size_t col, struct lanes *sum)
{
	const struct lanes w = weights_load(type, panel, col);

	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		sum[r] = lanes_fma(lanes_set(job->x[r * job->x_stride + col]), w, sum[r]);
}

/* @rows (constant) rows of one panel. */
ENG_INLINE void float_tile(uint32_t type, uint32_t rows, const struct float_job *job,
			   uint32_t panel)
{
	const size_t cols = job->m->cols;
	const uint32_t first = panel * ENG_PANEL_ROWS;
	const uint32_t valid = job->m->rows - first < 16 ? job->m->rows - first : 16;
	const uint8_t *w = (const uint8_t *)job->m->data + panel * eng_panel_bytes(type, cols);
	struct lanes even[LANES_ROWS], odd[LANES_ROWS];
	size_t col;

	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		even[r] = odd[r] = lanes_set(0);
	for (col = 0; col + 2 <= cols; col += 2) {
		float_column(type, rows, job, w, col, even);
		float_column(type, rows, job, w, col + 1, odd);
	}
	if (col < cols)
		float_column(type, rows, job, w, col, even);
	ENG_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		lanes_store_n(job->out + r * job->out_stride + first, lanes_add(even[r], odd[r]),
			      valid);
}

ENG_INLINE void float_rows(uint32_t type, uint32_t rows, const struct float_job *job,
			   uint32_t panel)
{
	switch (rows) {
	case 1:
		float_tile(type, 1, job, panel);
		break;
	case 2:
		float_tile(type, 2, job, panel);
		break;
#if LANES_ROWS > 2
	case 3:
		float_tile(type, 3, job, panel);
		break;
#endif
#if LANES_ROWS > 3
	case 4:
		float_tile(type, 4, job, panel);
		break;
	case 5:
		float_tile(type, 5, job, panel);
		break;
	case 6:
		float_tile(type, 6, job, panel);
		break;
	case 7:
		float_tile(type, 7, job, panel);
		break;
	case 8:
		float_tile(type, 8, job, panel);
		break;
#endif
	}
}

static void matmul_f(const struct eng_matrix *m, uint32_t first_panel, uint32_t panel_count,
		     const float *x, size_t x_stride, uint32_t row_count, float *out,
		     size_t out_stride)
{
	for (uint32_t panel = first_panel; panel < first_panel + panel_count; panel++) {
		for (uint32_t row = 0; row < row_count; row += LANES_ROWS) {
			const uint32_t rows =
				row_count - row < LANES_ROWS ? row_count - row : LANES_ROWS;
			const struct float_job job = { m, x + row * x_stride, x_stride,
						       out + row * out_stride, out_stride };

			if (m->type == ENG_F32)
				float_rows(ENG_F32, rows, &job, panel);
			else if (m->type == ENG_F16)
				float_rows(ENG_F16, rows, &job, panel);
			else
				float_rows(ENG_BF16, rows, &job, panel);
		}
	}
}

static void widen(uint32_t type, const void *panel, uint32_t cols, float *out, size_t out_stride)
{
	for (uint32_t col = 0; col < cols; col++) {
		struct lanes w;

		if (type == ENG_F32)
			w = weights_load(ENG_F32, panel, col);
		else if (type == ENG_F16)
			w = weights_load(ENG_F16, panel, col);
		else
			w = weights_load(ENG_BF16, panel, col);
		lanes_store(out + col * out_stride, w);
	}
}

#endif
