/* SPDX-License-Identifier: MIT */
/* eng_pack.c: source rows into panels, losing nothing. */
#include <errno.h>
#include <string.h>

#include "eng_half.h"
#include "eng_panel.h"
#include "eng_source.h"

const char *eng_type_name(uint32_t type)
{
	static const char *const names[ENG_TYPE_COUNT] = {
		"none", "vector", "F32", "F16", "BF16", "Q8",  "Q5M", "Q4", "Q4M",
		"Q4K",	"Q5K",	  "Q6K", "Q5",	"Q2K",	"Q3K", "N4",  "N4K", "E4",
	};

	return type < ENG_TYPE_COUNT ? names[type] : "?";
}

uint64_t eng_panel_bytes(uint32_t type, uint64_t cols)
{
	if (!cols || cols > UINT32_MAX)
		return 0;
	if (type == ENG_VEC_F32)
		return cols * 4;
	if (eng_type_is_float(type))
		return cols * ENG_PANEL_ROWS * (type == ENG_F32 ? 4 : 2);
	if (!eng_type_is_quant(type) ||
	    cols % (eng_type_is_k(type) ? ENG_SUPER_COLS : ENG_BLOCK_COLS))
		return 0;
	if (eng_type_is_k(type) || eng_type_has_min(type))
		return eng_panel_scales(type, cols / ENG_BLOCK_COLS);
	return eng_panel_weights(type, cols / ENG_BLOCK_COLS - 1) + eng_block_bytes(type);
}

uint64_t eng_packed_bytes(uint32_t type, uint64_t rows, uint64_t cols)
{
	const uint64_t panel = eng_panel_bytes(type, cols);
	uint64_t bytes;

	if (!rows || rows > UINT32_MAX || (type == ENG_VEC_F32 && rows != 1))
		return 0;
	if (__builtin_mul_overflow((rows + ENG_PANEL_ROWS - 1) / ENG_PANEL_ROWS, panel, &bytes))
		return 0;
	return bytes;
}

static int pack_vector(uint32_t source, const void *src, uint64_t cols, float *out)
{
	for (uint64_t i = 0; i < cols; i++) {
		out[i] = eng_source_float(source, src, i);
		if (!isfinite(out[i]))
			return -EDOM;
	}
	return 0;
}

static int pack_f32_row(uint32_t source, const void *src, uint64_t cols, float *out)
{
	for (uint64_t i = 0; i < cols; i++) {
		float value = eng_source_float(source, src, i);

		if (!isfinite(value))
			return -EDOM;
		out[i * ENG_PANEL_ROWS] = value;
	}
	return 0;
}

static int pack_16bit_row(uint32_t source, const uint8_t *src, uint64_t cols, uint16_t *out)
{
	for (uint64_t i = 0; i < cols; i++) {
		uint16_t bits = (uint16_t)(src[2 * i] | src[2 * i + 1] << 8);

		if (!(source == ENG_SRC_F16 ? eng_f16_finite(bits) : eng_bf16_finite(bits)))
			return -EDOM;
		out[i * ENG_PANEL_ROWS] = bits;
	}
	return 0;
}

/* Sub-scales of 256 columns: 16 per row (with a minimum in Q2K), 8, or 8 and 8 minima. */
static void pack_k_scales(uint32_t type, const struct eng_source_block *b, uint32_t row,
			  uint8_t *head)
{
	uint8_t *sub = head + ENG_SCALE_BYTES + row;

	for (uint32_t i = 0; i < (type == ENG_N4K ? 8 : 16); i++) {
		if (type == ENG_Q2K)
			sub[i * 16] = (uint8_t)(b->s[i] | b->sm[i] << 4);
		else if (type == ENG_Q4K || type == ENG_Q5K)
			sub[i * 16] = i % 2 ? b->sm[i / 2] : (uint8_t)b->s[i / 2];
		else
			sub[i * 16] = (uint8_t)b->s[i];
	}
}

/* 32 quants of one row; the panel is zero there. */
static void pack_quants(uint32_t type, const int8_t *q, uint32_t row, uint8_t *weights)
{
	const uint32_t bits = eng_type_bits(type);
	const int offset = eng_type_offset(type);

	for (uint32_t col = 0; col < ENG_BLOCK_COLS; col++)
		eng_bits_put(bits, weights, row, col, (uint32_t)(q[col] + offset));
}

/* Twelve times the largest scales of E4 that are finite would not be. */
static bool scales_are_sound(uint32_t type, const struct eng_source_block *b)
{
	if (type == ENG_E4)
		return isfinite(12 * eng_bf16_float(b->d));
	return eng_f16_finite(b->d) && eng_f16_finite(b->m);
}

static int pack_quant_row(uint32_t type, uint32_t source, const uint8_t *src, uint32_t row,
			  uint64_t cols, uint8_t *panel)
{
	const uint32_t values = eng_source_block_values(source);
	struct eng_source_block b;

	for (uint64_t at = 0; at < cols; at += values, src += eng_source_block_bytes(source)) {
		uint64_t block = at / ENG_BLOCK_COLS;
		uint8_t *head = panel + eng_panel_scales(type, block);

		eng_source_read(source, src, &b);
		if (!scales_are_sound(type, &b))
			return -EDOM;
		memcpy(head + 2 * row, &b.d, 2);
		if (eng_type_has_min(type))
			memcpy(head + 32 + 2 * row, &b.m, 2);
		if (eng_type_is_k(type))
			pack_k_scales(type, &b, row, head);
		for (uint32_t i = 0; i < values / ENG_BLOCK_COLS; i++)
			pack_quants(type, b.q + i * ENG_BLOCK_COLS, row,
				    panel + eng_panel_weights(type, block + i));
	}
	return 0;
}

static int pack_row(uint32_t type, uint32_t source, const void *src, uint32_t row, uint64_t cols,
		    void *panel)
{
	if (type == ENG_VEC_F32)
		return pack_vector(source, src, cols, panel);
	if (type == ENG_F32)
		return pack_f32_row(source, src, cols, (float *)panel + row);
	if (eng_type_is_float(type))
		return pack_16bit_row(source, src, cols, (uint16_t *)panel + row);
	return pack_quant_row(type, source, src, row, cols, panel);
}

/* Floats of any kind may become F32 (widening is exact); all else only its own type. */
static bool source_fits(uint32_t type, uint32_t source)
{
	if (!eng_source_name(source))
		return false;
	if (type == ENG_VEC_F32 || type == ENG_F32)
		return eng_source_is_float(source);
	return type == eng_type_of_source(source);
}

int eng_pack_panel(uint32_t type, uint32_t source, const void *const *src, uint32_t rows,
		   uint64_t cols, void *panel)
{
	const uint64_t bytes = eng_panel_bytes(type, cols);
	int err = 0;

	if (!bytes || !source_fits(type, source) || !rows ||
	    rows > (type == ENG_VEC_F32 ? 1 : ENG_PANEL_ROWS))
		return -EINVAL;
	memset(panel, 0, bytes);
	for (uint32_t row = 0; row < rows && !err; row++)
		err = pack_row(type, source, src[row], row, cols, panel);
	return err;
}
