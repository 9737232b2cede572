/* SPDX-License-Identifier: MIT */
/* The BLAS path: right, and a row's bits depend on no place, neighbour or cut. */
#include <math.h>

#include "kernels_lib.h"

#define ROWS	70u

static void *scratch;

/* As eng_blas_matmul, from a scratch full of rubbish. */
static void run(const struct eng_matrix *m, uint32_t first, uint32_t count, const float *x,
		uint32_t stride, uint32_t rows, float *out)
{
	memset(scratch, 0xff, eng_blas_scratch_bytes(m->cols));
	eng_blas_matmul(m, first, count, x, stride, rows, out, m->rows, scratch);
}

static void check_values(const struct eng_matrix *m, const float *x, const float *out)
{
	float *w = klib_alloc(m->cols * sizeof(*w));

	for (uint32_t i = 0; i < m->rows; i++) {
		double sum = 0, size = 0;

		eng_unpack_row(m, i, w);
		for (uint32_t c = 0; c < m->cols; c++) {
			sum += (double)x[c] * w[c];
			size += fabs((double)x[c] * w[c]);
		}
		t_near(out[i], sum, size * 2e-6);
	}
	free(w);
}

/* Each row alone, and each row at every place among other rows. */
static void check_places(const struct eng_matrix *m, const float *x, const float *want)
{
	const size_t row = m->cols * sizeof(float);
	float *moved = klib_floats((size_t)ROWS * m->cols, 99);
	float *out = klib_alloc((size_t)ROWS * m->rows * sizeof(*out));
	const uint32_t panels = (m->rows + 15) / 16;

	for (uint32_t place = 0; place < ROWS; place++) {
		const uint32_t from = place * 7 % ROWS, count = place + 1 + place % 3 * 5;

		memcpy(moved + place * m->cols, x + from * m->cols, row);
		run(m, 0, panels, moved, m->cols, count > ROWS ? ROWS : count, out);
		if (!t_mem_eq(out + place * m->rows, want + from * m->rows, m->rows * sizeof(*out)))
			printf("# row %u at place %u of %u, %ux%u\n", from, place, count, m->rows,
			       m->cols);
		run(m, 0, panels, x + from * m->cols, m->cols, 1, out);
		t_mem_eq(out, want + from * m->rows, m->rows * sizeof(*out));
	}
	free(moved);
	free(out);
}

static void check_cuts(const struct eng_matrix *m, const float *x, const float *want)
{
	const uint32_t panels = (m->rows + 15) / 16;
	float *out = klib_alloc((size_t)ROWS * m->rows * sizeof(*out));

	for (uint32_t step = 1; step < 7; step++) {
		memset(out, 0xff, (size_t)ROWS * m->rows * sizeof(*out));
		for (uint32_t p = 0; p < panels; p += step)
			run(m, p, panels - p < step ? panels - p : step, x, m->cols, ROWS, out);
		t_mem_eq(out, want, (size_t)ROWS * m->rows * sizeof(*out));
	}
	free(out);
}

static void check(uint32_t type, uint32_t rows, uint32_t cols)
{
	struct eng_matrix m = klib_matrix(type, rows, cols, rows + cols);
	float *x = klib_floats((size_t)ROWS * cols, 5);
	float *want = klib_alloc((size_t)ROWS * rows * sizeof(*want));

	scratch = klib_alloc(eng_blas_scratch_bytes(cols));
	run(&m, 0, (rows + 15) / 16, x, cols, ROWS, want);
	check_values(&m, x, want);
	check_values(&m, x + 41 * cols, want + 41 * rows);
	check_places(&m, x, want);
	check_cuts(&m, x, want);
	free(scratch);
	free(want);
	free(x);
	klib_free(&m);
}

static void test_f32(void)
{
	check(ENG_F32, 16, 64);
	check(ENG_F32, 100, 576);
	check(ENG_F32, 33, 1536);
	check(ENG_F32, 1, 1);
	check(ENG_F32, 70, 37);
}

static void test_16bit(void)
{
	check(ENG_F16, 90, 256);
	check(ENG_BF16, 90, 130);
	check(ENG_BF16, 64, 576);
}

int main(void)
{
	printf("# %s\n", eng_blas_init() ? "OpenBLAS" : "OpenBLAS rounds by place: own kernels");
	T_RUN(test_f32);
	T_RUN(test_16bit);
	return t_done();
}
