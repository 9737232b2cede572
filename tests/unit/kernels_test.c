/* SPDX-License-Identifier: MIT */
/* Matrix products: every ISA gives the bits of plain C, whatever the batch and the cut. */
#include <math.h>

#include "eng_panel.h"
#include "kernels_lib.h"

#define ROWS_MAX	40u
#define FILL		0x7fbadbadu	/* a NaN that no kernel makes */

static const struct eng_kernels *generic;
static const uint32_t quant_types[] = {
	ENG_Q8, ENG_Q5M, ENG_Q4, ENG_Q4M, ENG_Q4K, ENG_Q5K, ENG_Q6K, ENG_Q5, ENG_Q2K, ENG_Q3K,
	ENG_N4, ENG_N4K, ENG_E4
};
static const uint32_t float_types[] = { ENG_F32, ENG_F16, ENG_BF16 };
static const struct { uint32_t rows, cols; } shapes[] = {
	{ 16, 256 }, { 1, 512 }, { 17, 256 }, { 50, 768 }, { 64, 1024 },
};

#define EACH(i, array)	(size_t i = 0; i < sizeof(array) / sizeof((array)[0]); i++)

static float *filled(size_t n)
{
	float *out = klib_alloc(n * sizeof(*out));

	for (size_t i = 0; i < n; i++)
		out[i] = eng_bits_float(FILL);
	return out;
}

/* Rows of @x times @m by @k; outputs are @stride apart. */
static void product(const struct eng_kernels *k, const struct eng_matrix *m, uint32_t first,
		    uint32_t count, const float *x, uint32_t rows, float *out, size_t stride)
{
	if (m->type == ENG_F32 || m->type == ENG_F16 || m->type == ENG_BF16) {
		k->matmul_f(m, first, count, x, m->cols, rows, out, stride);
	} else {
		struct eng_act act = klib_act(k, x, rows, m->cols);

		k->matmul_q(m, first, count, &act, rows, out, stride);
		free(act.block);
	}
}

/* @rows rows at once against the plain C result @want, one row more of @out left untouched. */
static void check_batch(const struct eng_kernels *k, const struct eng_matrix *m, const float *x,
			uint32_t rows, const float *want)
{
	const uint32_t panels = (m->rows + 15) / 16;
	const size_t stride = m->rows + 3;
	float *out = filled((rows + 1) * stride);

	product(k, m, 0, panels, x, rows, out, stride);
	for (uint32_t r = 0; r < rows; r++) {
		if (!t_mem_eq(out + r * stride, want + (size_t)r * m->rows, m->rows * sizeof(*out)))
			printf("# %s %s %ux%u, row %u of %u\n", eng_isa_name(k->isa),
			       eng_type_name(m->type), m->rows, m->cols, r, rows);
		for (uint32_t i = m->rows; i < stride; i++)
			t_eq(eng_float_bits(out[r * stride + i]), FILL);
	}
	for (uint32_t i = 0; i < stride; i++)
		t_eq(eng_float_bits(out[rows * stride + i]), FILL);
	free(out);
}

/* Panel by panel, and from the middle on. */
static void check_cuts(const struct eng_kernels *k, const struct eng_matrix *m, const float *x,
		       uint32_t rows, const float *want)
{
	const uint32_t panels = (m->rows + 15) / 16;
	float *out = filled((size_t)rows * m->rows);

	for (uint32_t p = 0; p < panels; p++)
		product(k, m, p, 1, x, rows, out, m->rows);
	t_mem_eq(out, want, (size_t)rows * m->rows * sizeof(*out));
	for (uint32_t r = 0; r < rows; r++)
		out[(size_t)r * m->rows] = 77;
	product(k, m, panels / 2, panels - panels / 2, x, rows, out, m->rows);
	if (panels > 1) {
		t_ok(out[0] == 77);
		out[0] = want[0];
		t_mem_eq(out, want, m->rows * sizeof(*out));
	}
	free(out);
}

static void check_type(uint32_t type, uint32_t rows, uint32_t cols)
{
	struct eng_matrix m = klib_matrix(type, rows, cols, type * 1000 + rows);
	float *x = klib_floats((size_t)ROWS_MAX * cols, rows + cols);
	float *want = filled((size_t)ROWS_MAX * rows);

	product(generic, &m, 0, (rows + 15) / 16, x, ROWS_MAX, want, rows);
	for (uint32_t isa = ENG_ISA_GENERIC; isa < ENG_ISA_COUNT; isa++) {
		const struct eng_kernels *k = eng_kernels_get(isa);

		for (uint32_t n = 1; k && n <= ROWS_MAX; n += k == generic ? 13 : 1)
			check_batch(k, &m, x, n, want);
		if (k)
			check_cuts(k, &m, x, 5, want);
	}
	free(want);
	free(x);
	klib_free(&m);
}

static void test_quant_bits(void)
{
	for EACH(t, quant_types)
		for EACH(s, shapes)
			check_type(quant_types[t], shapes[s].rows, shapes[s].cols);
	for EACH(t, quant_types) {		/* odd numbers of blocks */
		if (eng_type_is_k(quant_types[t]))
			continue;
		check_type(quant_types[t], 33, 32);
		check_type(quant_types[t], 33, 96);
		check_type(quant_types[t], 20, 576);
	}
}

static void test_float_bits(void)
{
	for EACH(t, float_types) {
		for EACH(s, shapes)
			check_type(float_types[t], shapes[s].rows, shapes[s].cols);
		check_type(float_types[t], 19, 1);
		check_type(float_types[t], 3, 33);
	}
}

/* The plain C kernels against doubles: the rounded activations times the exact weights. */
static void check_accuracy(uint32_t type, uint32_t rows, uint32_t cols)
{
	struct eng_matrix m = klib_matrix(type, rows, cols, 5);
	float *x = klib_floats(cols, 6), *w = klib_alloc(cols * sizeof(*w)), *out = filled(rows);
	struct eng_act act = { NULL, cols };

	if (type >= ENG_Q8)
		act = klib_act(generic, x, 1, cols);
	product(generic, &m, 0, (rows + 15) / 16, x, 1, out, rows);
	for (uint32_t i = 0; i < rows; i++) {
		double sum = 0, size = 0;

		eng_unpack_row(&m, i, w);
		for (uint32_t col = 0; col < cols; col++) {
			const struct eng_act_block *b = act.block ? &act.block[col / 32] : NULL;
			double a = b ? (double)b->scale * b->q[col % 32] : x[col];

			t_near(a, x[col], b ? b->scale * 0.501 : 0);
			sum += a * w[col];
			size += fabs(a * w[col]);
		}
		t_near(out[i], sum, size * 1e-6);
	}
	free(act.block);
	free(out);
	free(w);
	free(x);
	klib_free(&m);
}

static void test_accuracy(void)
{
	for EACH(t, quant_types)
		check_accuracy(quant_types[t], 40, 512);
	for EACH(t, float_types)
		check_accuracy(float_types[t], 40, 512);
}

/* All quants at their least or greatest, scale 1. */
static void extreme_block(uint32_t source, int quant, uint8_t *raw)
{
	int scale, min;

	memset(raw, quant ? 0xff : 0, eng_source_block_bytes(source));
	klib_scales(source, &scale, &min);
	if (scale >= 0)
		memcpy(raw + scale, &(uint16_t){ 0x3c00 }, 2);	/* d = 1 */
	else
		raw[0] = 128;
	if (min >= 0)
		memset(raw + min, 0, 2);
	if (source == ENG_SRC_Q8_0)
		memset(raw + 2, quant ? 127 : 0x80, 32);
	if (source == ENG_SRC_Q6_K)
		memset(raw + 192, 0x80, 16);
	if (source == ENG_SRC_MXFP4)
		memset(raw + 1, quant ? 0xff : 0x77, 16);	/* -12 and 12 */
	if (source == ENG_SRC_Q2_K && !quant)
		memset(raw, 0x0f, 16);
}

/*
 * Activations at +-127: no intermediate sum may saturate. The results are whole numbers that the
 * test can count itself.
 */
static void check_extremes(uint32_t type, int quant, float sign)
{
	const uint32_t source = klib_source(type), cols = 512;
	const uint32_t blocks = cols / eng_source_block_values(source);
	const uint32_t bytes = eng_source_block_bytes(source);
	const uint64_t panel_bytes = eng_panel_bytes(type, cols);
	uint8_t *panel = klib_alloc(panel_bytes), *raw = klib_alloc((size_t)blocks * bytes);
	const void *src[16];
	struct eng_matrix m = { type, 16, cols, panel };
	float x[512], out[16], w[512];
	double want = 0;

	for (uint32_t i = 0; i < blocks; i++)
		extreme_block(source, quant, raw + i * bytes);
	for (uint32_t i = 0; i < 16; i++)
		src[i] = raw;
	t_eq(eng_pack_panel(type, source, src, 16, cols, panel), 0);
	eng_unpack_row(&m, 7, w);
	for (uint32_t i = 0; i < cols; i++) {
		x[i] = i % 3 ? 127 * sign : -127 * sign;
		x[i] = fabsf(sign) > 1 ? 127 * sign / 2 : x[i];
		want += (double)x[i] * w[i];
	}
	for (uint32_t isa = ENG_ISA_GENERIC; isa < ENG_ISA_COUNT; isa++) {
		if (!eng_kernels_get(isa))
			continue;
		product(eng_kernels_get(isa), &m, 0, 1, x, 1, out, 16);
		for (uint32_t i = 0; i < 16; i++)
			t_near(out[i], want, fabs(want) * 1e-6);
	}
	free(panel);
	free(raw);
}

static void test_extremes(void)
{
	for EACH(t, quant_types)
		for (int quant = 0; quant < 2; quant++) {
			check_extremes(quant_types[t], quant, 1);
			check_extremes(quant_types[t], quant, -1);
			check_extremes(quant_types[t], quant, 2);	/* all of one sign */
			check_extremes(quant_types[t], quant, -2);
		}
}

/* Every int8 there is against activations of +127 and -127, Q8: the abs and sign trick at -128. */
static void test_all_bytes(void)
{
	const uint32_t cols = 256;
	uint8_t raw[8 * 34], *panel = klib_alloc(eng_panel_bytes(ENG_Q8, cols));
	const void *src[1] = { raw };
	struct eng_matrix m = { ENG_Q8, 1, cols, panel };
	float x[256], out;

	for (uint32_t i = 0; i < 8; i++) {
		raw[34 * i] = 0;
		raw[34 * i + 1] = 0x3c;
		for (uint32_t k = 0; k < 32; k++)
			raw[34 * i + 2 + k] = (uint8_t)(32 * i + k);
	}
	t_eq(eng_pack_panel(ENG_Q8, ENG_SRC_Q8_0, src, 1, cols, panel), 0);
	for (uint32_t at = 0; at < cols; at++)
		for (int sign = -1; sign <= 1; sign += 2) {
			memset(x, 0, sizeof(x));
			x[at] = 127 * (float)sign;
			for (uint32_t isa = ENG_ISA_GENERIC; isa < ENG_ISA_COUNT; isa++) {
				if (!eng_kernels_get(isa))
					continue;
				product(eng_kernels_get(isa), &m, 0, 1, x, 1, &out, 1);
				t_eq(out, 127 * sign * (int8_t)at);
			}
		}
	free(panel);
}

static void check_quantized(const float *x, uint32_t cols)
{
	struct eng_act want = klib_act(generic, x, 1, cols);

	for (uint32_t i = 0; i < cols / 32; i++) {
		const struct eng_act_block *b = &want.block[i];
		int32_t low = 0, high = 0;

		for (int k = 0; k < 16; k++) {
			low += b->q[k];
			high += b->q[16 + k];
			t_ok(b->q[k] >= -127 && b->q[16 + k] >= -127);
		}
		t_ok(b->sum == low + high && b->neg8_sum == -8 * b->sum &&
		     b->neg128_sum == -128 * b->sum && b->neg16_sum == -16 * b->sum);
		t_ok(b->neg32_half[0] == -32 * low && b->neg32_half[1] == -32 * high);
	}
	for (uint32_t isa = ENG_ISA_AVX2; isa < ENG_ISA_COUNT; isa++) {
		const struct eng_kernels *k = eng_kernels_get(isa);

		if (k) {
			struct eng_act got = klib_act(k, x, 1, cols);

			t_mem_eq(got.block, want.block, eng_act_bytes(1, cols));
			free(got.block);
		}
	}
	free(want.block);
}

#define QUANTIZE_COLS	352u		/* more than any level takes at once, and a rest */

/* Blocks of very different size; halves, to be rounded to even; zeros; what is not finite. */
static void test_quantize(void)
{
	uint64_t seed = 9;
	float x[QUANTIZE_COLS];

	for (uint32_t round = 0; round < 2000; round++) {
		for (uint32_t i = 0; i < QUANTIZE_COLS; i += 32) {
			const float size = ldexpf(1, (int)(t_random(&seed) % 250) - 125);
			const uint32_t kind = (uint32_t)(t_random(&seed) % 64);

			for (uint32_t k = i; k < i + 32; k++) {
				x[k] = t_random_float(&seed) * (kind ? size : 0);
				if (kind % 3 == 1)
					x[k] = (float)((int)(t_random(&seed) % 253) - 126) + 0.5f;
			}
			if (kind % 3 == 1)
				x[i + 8] = round % 2 ? 127 : -127;
			if (kind == 2)
				x[i + 30] = INFINITY;
		}
		check_quantized(x, QUANTIZE_COLS);
	}
	memset(x, 0, sizeof(x));
	check_quantized(x, QUANTIZE_COLS);
	x[3] = 1e-44f;
	x[33] = 3.4e38f;
	x[300] = NAN;
	check_quantized(x, QUANTIZE_COLS);
}

/* One bad activation spoils all outputs of its row, and of no other. */
static void test_not_finite(void)
{
	static const float bad[] = { NAN, -NAN, INFINITY, -INFINITY };

	for EACH(t, quant_types) {
		struct eng_matrix m = klib_matrix(quant_types[t], 20, 256, 4);
		float out[3 * 20];

		for (uint32_t i = 0; i < 4 * ENG_ISA_COUNT; i++) {
			const struct eng_kernels *k = eng_kernels_get(i / 4);
			float *x = klib_floats(3 * 256, 5);

			x[256 + 7 + 31 * i % 200] = bad[i % 4];
			if (k)
				product(k, &m, 0, 2, x, 3, out, 20);
			for (uint32_t o = 0; k && o < 60; o++)
				t_ok(isnan(out[o]) == (o / 20 == 1));
			free(x);
		}
		klib_free(&m);
	}
}

/* More weights than one cache chunk, more rows than a tile. */
static void test_large(void)
{
	check_type(ENG_Q8, 520, 1024);
	check_type(ENG_Q4M, 24, 32 * 300);
}

int main(void)
{
	generic = eng_kernels_get(ENG_ISA_GENERIC);
	for (uint32_t isa = ENG_ISA_GENERIC; isa < ENG_ISA_COUNT; isa++)
		printf("# %s: %s\n", eng_isa_name(isa),
		       eng_kernels_get(isa) ? "tested" : "not on this CPU");
	T_RUN(test_quantize);
	T_RUN(test_accuracy);
	T_RUN(test_extremes);
	T_RUN(test_all_bytes);
	T_RUN(test_not_finite);
	T_RUN(test_quant_bits);
	T_RUN(test_float_bits);
	T_RUN(test_large);
	return t_done();
}
