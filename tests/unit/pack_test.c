/* SPDX-License-Identifier: MIT */
/* Packing against blocks and floats made by an independent reader (make_pack_vectors.py). */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eng_half.h"
#include "eng_pack.h"
#include "kernels_lib.h"
#include "pack_vectors.h"
#include "t.h"

#define VECTOR(type) { #type, ENG_SRC_##type, read_##type, sizeof(read_##type), floats_##type, \
		       sizeof(floats_##type) / 4 }

static const struct {
	const char *name;
	uint32_t source;
	const uint8_t *raw;
	size_t raw_bytes;
	const uint32_t *floats;
	uint32_t count;
} vectors[] = {
	VECTOR(F32),  VECTOR(F16),  VECTOR(BF16), VECTOR(Q4_0), VECTOR(Q4_1), VECTOR(Q5_0),
	VECTOR(Q5_1), VECTOR(Q8_0), VECTOR(Q2_K), VECTOR(Q3_K), VECTOR(Q4_K), VECTOR(Q5_K),
	VECTOR(Q6_K), VECTOR(IQ4_NL), VECTOR(IQ4_XS), VECTOR(MXFP4),
};
#define VECTORS (sizeof(vectors) / sizeof(vectors[0]))

static void test_tables(void)
{
	for (uint32_t i = 0; i < VECTORS; i++) {
		uint32_t source = vectors[i].source, values = eng_source_block_values(source);

		t_str_eq(eng_source_name(source), vectors[i].name);
		t_eq(vectors[i].count / values * eng_source_block_bytes(source),
		     vectors[i].raw_bytes);
		t_ok(eng_type_of_source(source) > ENG_VEC_F32);
	}
	t_ok(!eng_source_name(4) && !eng_source_name(9999) && !eng_source_name(UINT32_MAX));
	t_eq(eng_source_block_bytes(4), 0);
	t_eq(eng_type_of_source(29), ENG_NONE);
	t_str_eq(eng_type_name(ENG_Q4M), "Q4M");
	t_str_eq(eng_type_name(ENG_TYPE_COUNT), "?");
}

static void test_sizes(void)
{
	t_eq(eng_packed_bytes(ENG_VEC_F32, 1, 7), 28);
	t_eq(eng_packed_bytes(ENG_VEC_F32, 2, 7), 0);
	t_eq(eng_packed_bytes(ENG_F32, 17, 3), 2 * 3 * 16 * 4);
	t_eq(eng_packed_bytes(ENG_BF16, 16, 3), 3 * 16 * 2);
	t_eq(eng_packed_bytes(ENG_Q4, 1, 64), 64 + 512);
	t_eq(eng_packed_bytes(ENG_Q4, 1, 96), 64 + 512 + 64 + 256);
	t_eq(eng_packed_bytes(ENG_Q8, 16, 32), 64 + 512);
	t_eq(eng_packed_bytes(ENG_Q4M, 33, 64), 3 * 2 * 320);
	t_eq(eng_packed_bytes(ENG_Q5M, 1, 64), 2 * 384);
	t_eq(eng_packed_bytes(ENG_Q5, 1, 96), 64 + 640 + 64 + 320);
	t_eq(eng_packed_bytes(ENG_Q4K, 1, 512), 2 * (320 + 2048));
	t_eq(eng_packed_bytes(ENG_Q6K, 1, 256), 320 + 8 * 384);
	t_eq(eng_packed_bytes(ENG_Q2K, 1, 256), 320 + 8 * 128);
	t_eq(eng_packed_bytes(ENG_Q3K, 17, 512), 2 * 2 * (320 + 8 * 192));
	t_eq(eng_packed_bytes(ENG_N4, 1, 96), 64 + 512 + 64 + 256);
	t_eq(eng_packed_bytes(ENG_N4K, 16, 512), 2 * (192 + 2048));
	t_eq(eng_packed_bytes(ENG_E4, 1, 64), 64 + 512);
	t_eq(eng_packed_bytes(ENG_N4K, 1, 32), 0);
	t_eq(eng_packed_bytes(ENG_Q4K, 1, 128), 0);
	t_eq(eng_packed_bytes(ENG_Q8, 1, 33), 0);
	t_eq(eng_packed_bytes(ENG_Q8, 0, 32), 0);
	t_eq(eng_packed_bytes(ENG_Q8, 1, 0), 0);
	t_eq(eng_packed_bytes(ENG_NONE, 16, 32), 0);
	t_eq(eng_packed_bytes(ENG_TYPE_COUNT, 16, 32), 0);
	t_eq(eng_packed_bytes(ENG_F32, 1ull << 32, 1), 0);
	t_eq(eng_packed_bytes(ENG_F32, 1, 1ull << 58), 0);
	t_eq(eng_packed_bytes(ENG_F32, UINT32_MAX, UINT32_MAX), 0);
}

static void test_dequant(void)
{
	for (uint32_t i = 0; i < VECTORS; i++) {
		float *out = malloc(vectors[i].count * sizeof(*out));

		t_need(out);
		t_eq(eng_dequant_row(vectors[i].source, vectors[i].raw, vectors[i].count, out), 0);
		t_mem_eq(out, vectors[i].floats, vectors[i].count * sizeof(*out));
		free(out);
	}
	t_eq(eng_dequant_row(ENG_SRC_Q4_K, read_Q4_K, 128, (float[256]){ 0 }), -EINVAL);
	t_eq(eng_dequant_row(4, read_Q4_K, 32, (float[32]){ 0 }), -EINVAL);
}

/* Rows that differ: row r begins r source blocks further on, round and round. */
static void *rotated_row(uint32_t vector, uint32_t row)
{
	const size_t bytes = vectors[vector].raw_bytes;
	const size_t shift = row * eng_source_block_bytes(vectors[vector].source) % bytes;
	uint8_t *out = malloc(bytes);

	if (!out)
		abort();
	memcpy(out, vectors[vector].raw + shift, bytes - shift);
	memcpy(out + bytes - shift, vectors[vector].raw, shift);
	return out;
}

static void check_panel(uint32_t vector, uint32_t type, uint32_t rows)
{
	const uint32_t source = vectors[vector].source, cols = vectors[vector].count;
	const size_t bytes = eng_panel_bytes(type, cols);
	struct eng_matrix m = { type, rows, cols, NULL };
	void *src[16], *panel = aligned_alloc(64, (bytes + 63) / 64 * 64);
	float *want = malloc(cols * sizeof(*want)), *got = malloc(cols * sizeof(*got));

	for (uint32_t row = 0; row < rows; row++)
		src[row] = rotated_row(vector, row);
	memset(panel, 0xa5, bytes);
	t_eq(eng_pack_panel(type, source, (const void *const *)src, rows, cols, panel), 0);
	m.data = panel;
	for (uint32_t row = 0; row < rows; row++) {
		t_eq(eng_dequant_row(source, src[row], cols, want), 0);
		eng_unpack_row(&m, row, got);
		for (uint32_t i = 0; i < cols; i++)	/* == : a zero's sign may differ */
			if (!t_ok(got[i] == want[i]))
				break;
		free(src[row]);
	}
	free(panel);
	free(want);
	free(got);
}

static void test_pack(void)
{
	for (uint32_t i = 0; i < VECTORS; i++) {
		check_panel(i, eng_type_of_source(vectors[i].source), 16);
		check_panel(i, eng_type_of_source(vectors[i].source), 5);
	}
	check_panel(1, ENG_F32, 16);
	check_panel(2, ENG_F32, 3);
	check_panel(0, ENG_VEC_F32, 1);
	check_panel(2, ENG_VEC_F32, 1);
}

/* Padding rows are zero and every byte is written: two packs over different rubbish are equal. */
static void test_padding(void)
{
	uint8_t a[5000], b[5000];

	for (uint32_t i = 0; i < VECTORS; i++) {
		const uint32_t type = eng_type_of_source(vectors[i].source);
		const uint32_t cols = vectors[i].count;
		const void *src[1] = { vectors[i].raw };

		t_need(eng_panel_bytes(type, cols) <= sizeof(a));
		memset(a, 1, sizeof(a));
		memset(b, 2, sizeof(b));
		t_eq(eng_pack_panel(type, vectors[i].source, src, 1, cols, a), 0);
		t_eq(eng_pack_panel(type, vectors[i].source, src, 1, cols, b), 0);
		t_mem_eq(a, b, eng_panel_bytes(type, cols));
		t_ok(a[eng_panel_bytes(type, cols)] == 1);
	}
}

static void test_refused(void)
{
	static const uint16_t bad[] = { 0x7c00, 0xfc00, 0x7e00, 0x7c01 };
	uint8_t panel[5000], raw[256];
	const void *src[1] = { raw };

	for (uint32_t i = 3; i < VECTORS; i++) {
		const uint32_t source = vectors[i].source, values = eng_source_block_values(source);
		const uint32_t type = eng_type_of_source(source);
		int at[2];

		klib_scales(source, &at[0], &at[1]);
		for (uint32_t k = 0; k < 8; k++) {
			if (at[k / 4] < 0)
				continue;
			memcpy(raw, vectors[i].raw, eng_source_block_bytes(source));
			memcpy(raw + at[k / 4], &bad[k % 4], 2);
			t_eq(eng_pack_panel(type, source, src, 1, values, panel), -EDOM);
		}
		t_eq(eng_pack_panel(ENG_F32, source, src, 1, values, panel), -EINVAL);
		t_eq(eng_pack_panel(type, source, src, 1, values - 1, panel), -EINVAL);
		t_eq(eng_pack_panel(type, source, src, 0, values, panel), -EINVAL);
		t_eq(eng_pack_panel(type, source, src, 17, values, panel), -EINVAL);
		t_eq(eng_pack_panel(type, ENG_SRC_F32, src, 1, values, panel), -EINVAL);
	}
	memset(raw, 0x77, 17);
	raw[0] = 252;		/* 12 times it is a float yet */
	t_eq(eng_pack_panel(ENG_E4, ENG_SRC_MXFP4, src, 1, 32, panel), 0);
	raw[0] = 253;
	t_eq(eng_pack_panel(ENG_E4, ENG_SRC_MXFP4, src, 1, 32, panel), -EDOM);
	raw[0] = 255;
	t_eq(eng_pack_panel(ENG_E4, ENG_SRC_MXFP4, src, 1, 32, panel), -EDOM);
	memcpy(raw, &(float){ INFINITY }, 4);
	t_eq(eng_pack_panel(ENG_F32, ENG_SRC_F32, src, 1, 1, panel), -EDOM);
	t_eq(eng_pack_panel(ENG_VEC_F32, ENG_SRC_F32, src, 1, 1, panel), -EDOM);
	memcpy(raw, &bad[3], 2);
	t_eq(eng_pack_panel(ENG_F16, ENG_SRC_F16, src, 1, 1, panel), -EDOM);
	t_eq(eng_pack_panel(ENG_F32, ENG_SRC_F16, src, 1, 1, panel), -EDOM);
	t_eq(eng_pack_panel(ENG_BF16, ENG_SRC_BF16, src, 1, 1, panel), 0);
	memcpy(raw, &(uint16_t){ 0xff81 }, 2);
	t_eq(eng_pack_panel(ENG_BF16, ENG_SRC_BF16, src, 1, 1, panel), -EDOM);
	t_eq(eng_pack_panel(ENG_F16, ENG_SRC_F32, src, 1, 1, panel), -EINVAL);
}

static void check_quant(uint32_t source, const uint8_t *want, size_t bytes)
{
	uint8_t got[1000];
	float in[160];

	memcpy(in, write_floats, sizeof(in));
	t_need(bytes <= sizeof(got));
	t_eq(eng_quant_row(source, in, 160, got), 0);
	t_mem_eq(got, want, bytes);
}

static void test_quant(void)
{
	check_quant(ENG_SRC_Q8_0, write_Q8_0, sizeof(write_Q8_0));
	check_quant(ENG_SRC_Q4_0, write_Q4_0, sizeof(write_Q4_0));
	check_quant(ENG_SRC_Q4_1, write_Q4_1, sizeof(write_Q4_1));
	check_quant(ENG_SRC_F16, write_F16, sizeof(write_F16));
	check_quant(ENG_SRC_BF16, write_BF16, sizeof(write_BF16));
}

/* Halves go away from zero; what is just below one does not. */
static void test_quant_halves(void)
{
	static const float in[32] = { 127, 0.5f, -0.5f, 1.5f, -1.5f, 2.5f, 0x1.fffffep-2f, -0x1.fffffep-2f,
				      0x1.7ffffep+0f, 126.5f, -126.5f };
	static const int8_t want[11] = { 127, 1, -1, 2, -2, 3, 0, 0, 1, 127, -127 };
	uint8_t out[34];

	t_eq(eng_quant_row(ENG_SRC_Q8_0, in, 32, out), 0);
	t_eq(out[0] | out[1] << 8, 0x3c00);
	t_mem_eq(out + 2, want, sizeof(want));
}

/* Of values equally far from zero the first gives the sign of a scale, of zeros the first that of a minimum. */
static void test_quant_ties(void)
{
	float in[32] = { 1, 8, -8, 8 };
	uint8_t out[20];

	t_eq(eng_quant_row(ENG_SRC_Q4_0, in, 32, out), 0);
	t_eq(out[0] | out[1] << 8, 0xbc00);
	in[1] = -8;
	t_eq(eng_quant_row(ENG_SRC_Q4_0, in, 32, out), 0);
	t_eq(out[0] | out[1] << 8, 0x3c00);
	for (uint32_t i = 0; i < 32; i++)
		in[i] = i % 3 ? 0.0f : 15.0f;
	in[11] = -0.0f;
	t_eq(eng_quant_row(ENG_SRC_Q4_1, in, 32, out), 0);
	t_eq(out[2] | out[3] << 8, 0);
	in[1] = -0.0f;
	in[11] = 0.0f;
	t_eq(eng_quant_row(ENG_SRC_Q4_1, in, 32, out), 0);
	t_eq(out[2] | out[3] << 8, 0x8000);
}

static void test_quant_refused(void)
{
	static const uint32_t quants[] = { ENG_SRC_Q8_0, ENG_SRC_Q4_0, ENG_SRC_Q4_1 };
	float in[32] = { 0 };
	uint8_t out[64];

	for (uint32_t i = 0; i < 3; i++) {
		in[7] = NAN;
		t_eq(eng_quant_row(quants[i], in, 32, out), -EDOM);
		in[7] = -INFINITY;
		t_eq(eng_quant_row(quants[i], in, 32, out), -EDOM);
		in[7] = 1e20f;		/* finite, but its scale is beyond f16 */
		t_eq(eng_quant_row(quants[i], in, 32, out), -EDOM);
		in[7] = 1e-40f;
		t_eq(eng_quant_row(quants[i], in, 32, out), 0);
		t_eq(eng_quant_row(quants[i], in, 31, out), -EINVAL);
	}
	t_eq(eng_quant_row(ENG_SRC_Q4_K, in, 32, out), -EINVAL);
	in[7] = 65520;
	t_eq(eng_quant_row(ENG_SRC_F16, in, 32, out), -EDOM);
	t_eq(eng_quant_row(ENG_SRC_BF16, in, 32, out), 0);
}

/* Every f16 there is survives the way to float and back, and midpoints go to even. */
static void test_half(void)
{
	for (uint32_t h = 0; h < 0x10000; h++) {
		float f = eng_f16_float((uint16_t)h);

		if (!eng_f16_finite((uint16_t)h)) {
			t_ok(!isfinite(f));
			continue;
		}
		t_eq(eng_float_f16(f), h);
		if ((h & 0x7fff) < 0x7bff) {
			float next = eng_f16_float((uint16_t)(h + 1));

			t_eq(eng_float_f16((f + next) / 2), h + (h & 1));
		}
	}
	t_eq(eng_float_f16(65519.9f), 0x7bff);
	t_eq(eng_float_f16(1e-30f), 0);
	t_eq(eng_float_bf16(1.00390625f), 0x3f80);	/* a midpoint, to even */
	t_eq(eng_float_bf16(1.01171875f), 0x3f82);
}

int main(void)
{
	T_RUN(test_tables);
	T_RUN(test_sizes);
	T_RUN(test_dequant);
	T_RUN(test_pack);
	T_RUN(test_padding);
	T_RUN(test_refused);
	T_RUN(test_quant);
	T_RUN(test_quant_halves);
	T_RUN(test_quant_ties);
	T_RUN(test_quant_refused);
	T_RUN(test_half);
	return t_done();
}
