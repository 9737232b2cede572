/* SPDX-License-Identifier: MIT */
/* lora_kernels_test.c: both halves of an adapter: right against doubles, and the same bits on every ISA. */
#include <math.h>

#include "kernels_lib.h"

static const struct eng_kernels *generic;

#define EACH_ISA(k)								\
	(uint32_t isa_ = ENG_ISA_GENERIC; isa_ < ENG_ISA_COUNT; isa_++)		\
		for (const struct eng_kernels *k = eng_kernels_get(isa_); k; k = NULL)

#define LORA_ROWS	9u
#define LORA_WIDTH	70u

static const float scale[LORA_ROWS] = { 1, -2, 0.3f, 0, 5, 1, 0.7f, 1e-3f, -1 };

/* Rows in places of their own, and what stands behind each of them stays. */
struct lora_rows {
	float *x[LORA_ROWS], z[LORA_ROWS][LORA_WIDTH + 1], out[LORA_ROWS][LORA_WIDTH + 1];
};

static void lora_run(const struct eng_kernels *k, const struct eng_matrix *b, const void *a,
		     uint32_t cols, uint32_t rows, struct lora_rows *to)
{
	const float *x[LORA_ROWS], *z_in[LORA_ROWS];
	float *z[LORA_ROWS], *out[LORA_ROWS];

	for (uint32_t i = 0; i < rows; i++) {
		x[i] = to->x[i];
		z_in[i] = z[i] = to->z[i];
		out[i] = to->out[i];
		for (uint32_t o = 0; o <= LORA_WIDTH; o++)
			z[i][o] = out[i][o] = (float)(i + o);
	}
	k->lora_shrink(b->type, a, b->cols, cols, x, scale, rows, z);
	/* the first panel alone, as a thread may have it */
	k->lora_expand(b, 0, 1, z_in, rows, out);
	k->lora_expand(b, 1, (b->rows + 15) / 16 - 1, z_in, rows, out);
}

static void lora_check_z(const struct eng_matrix *b, const void *a, uint32_t cols,
			 const struct lora_rows *got, uint32_t rows)
{
	for (uint32_t i = 0; i < rows; i++)
		for (uint32_t r = 0; r < b->cols; r++) {
			const size_t bytes = b->type == ENG_F32 ? 4 : 2;
			double sum = 0, size = 0;
			float w[LORA_WIDTH];

			t_eq(eng_dequant_row(klib_source(b->type),
					     (const char *)a + r * cols * bytes, cols, w), 0);
			for (uint32_t c = 0; c < cols; c++) {
				sum += (double)w[c] * got->x[i][c];
				size += fabs((double)w[c] * got->x[i][c]);
			}
			t_near(got->z[i][r], sum * scale[i], size * fabsf(scale[i]) * 1e-6);
		}
}

static void lora_check_out(const struct eng_matrix *b, const struct lora_rows *got, uint32_t rows)
{
	float w[LORA_WIDTH];

	for (uint32_t o = 0; o < b->rows; o++) {
		eng_unpack_row(b, o, w);
		for (uint32_t i = 0; i < rows; i++) {
			double sum = i + o, size = sum;

			for (uint32_t r = 0; r < b->cols; r++) {
				sum += (double)w[r] * got->z[i][r];
				size += fabs((double)w[r] * got->z[i][r]);
			}
			t_near(got->out[i][o], sum, size * 1e-6);
		}
	}
	for (uint32_t i = 0; i < rows; i++) {
		t_ok(got->z[i][b->cols] == (float)(i + b->cols));
		t_ok(got->out[i][b->rows] == (float)(i + b->rows));
	}
}

/* @outputs: so many rows of B. */
static void check_lora(uint32_t type, uint32_t rank, uint32_t cols, uint32_t outputs, uint32_t rows)
{
	const size_t bytes = (size_t)rank * cols * (type == ENG_F32 ? 4 : 2);
	struct eng_matrix b = klib_matrix(type, outputs, rank, rank + cols);
	float *values = klib_floats((size_t)rank * cols, 3);
	static struct lora_rows want, got;
	void *a = malloc(bytes);	/* not a byte more, for checked builds */

	t_need(a != NULL);
	memcpy(a, values, bytes);
	if (type != ENG_F32)
		t_eq(eng_quant_row(klib_source(type), values, (size_t)rank * cols, a), 0);
	for (uint32_t i = 0; i < rows; i++)
		got.x[i] = want.x[i] = klib_floats(cols, i);
	lora_run(generic, &b, a, cols, rows, &want);
	lora_check_z(&b, a, cols, &want, rows);
	lora_check_out(&b, &want, rows);
	for EACH_ISA(k) {
		lora_run(k, &b, a, cols, rows, &got);
		t_mem_eq(got.z, want.z, sizeof(got.z));
		t_mem_eq(got.out, want.out, sizeof(got.out));
	}
	for (uint32_t i = 0; i < rows; i++)
		free(want.x[i]);
	free(a);
	free(values);
	klib_free(&b);
}

static void test_lora(void)
{
	static const uint32_t types[] = { ENG_F32, ENG_F16, ENG_BF16 };
	static const uint32_t ranks[] = { 1, 2, 5, 16, 33 };

	for (uint32_t t = 0; t < 3; t++)
		for (uint32_t r = 0; r < 5; r++)
			for (uint32_t rows = 1; rows <= LORA_ROWS; rows += 2) {
				check_lora(types[t], ranks[r], 32, 64, rows);
				check_lora(types[t], ranks[r], 5, 21, rows);
				check_lora(types[t], ranks[r], 61, 69, rows);
			}
}

int main(void)
{
	generic = eng_kernels_get(ENG_ISA_GENERIC);
	T_RUN(test_lora);
	return t_done();
}
