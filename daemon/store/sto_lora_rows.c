/* SPDX-License-Identifier: MIT */
/* sto_lora_rows.c: rows of A and B, as PEFT stores them, looked at and brought into panels. */
#include <stdlib.h>
#include <string.h>

#include "eng_source.h"
#include "sto_lora.h"

/* ---- finite ------------------------------------------------------------------------------------ */

/* No early end: the loops become vectors. */
static bool finite32(const uint8_t *in, uint64_t count)
{
	const uint32_t *words = (const void *)in;
	uint32_t bad = 0;

	for (uint64_t i = 0; i < count; i++)
		bad |= (words[i] & 0x7f800000u) == 0x7f800000u;
	return !bad;
}

static bool finite16(const uint8_t *in, uint64_t count, uint16_t exponent)
{
	const uint16_t *words = (const void *)in;
	uint16_t bad = 0;

	for (uint64_t i = 0; i < count; i++)
		bad |= (words[i] & exponent) == exponent;
	return !bad;
}

static bool is_finite(uint32_t source, const uint8_t *in, uint64_t count)
{
	if (source == ENG_SRC_F32)
		return finite32(in, count);
	return finite16(in, count, source == ENG_SRC_F16 ? 0x7c00u : 0x7f80u);
}

bool sto_lora_finite(uint32_t source, const void *in, uint64_t rows, uint64_t cols, uint64_t *bad_row)
{
	const uint8_t *row = in;

	if (is_finite(source, in, rows * cols))
		return true;
	for (*bad_row = 0; *bad_row < rows; ++*bad_row, row += cols * eng_source_block_bytes(source))
		if (!is_finite(source, row, cols))
			break;
	return false;
}

/* ---- panels ------------------------------------------------------------------------------------ */

/* [rows][rank] to [rank][16 rows], what is missing of the 16 zeros. */
#define PANEL(name, type) \
	static void name(const type *in, uint32_t rows, uint64_t rank, type *out) \
	{ \
		if (rows < ENG_PANEL_ROWS) \
			memset(out, 0, rank * ENG_PANEL_ROWS * sizeof(*out)); \
		for (uint32_t i = 0; i < rows; i++) \
			for (uint64_t k = 0; k < rank; k++) \
				out[k * ENG_PANEL_ROWS + i] = in[i * rank + k]; \
	}
PANEL(panel32, uint32_t)
PANEL(panel16, uint16_t)

/* The same of a source of 16 bits into floats. */
static void panel_wide(uint32_t source, const uint8_t *in, uint32_t rows, uint64_t rank, float *out)
{
	memset(out, 0, rank * ENG_PANEL_ROWS * sizeof(*out));
	for (uint32_t i = 0; i < rows; i++)
		for (uint64_t k = 0; k < rank; k++)
			out[k * ENG_PANEL_ROWS + i] = eng_source_float(source, in, i * rank + k);
}

void sto_lora_panels(uint32_t source, uint32_t type, const void *in, uint64_t rows, uint64_t rank,
		     void *out)
{
	const uint8_t *from = in;
	uint8_t *to = out;

	for (uint64_t row = 0; row < rows; row += ENG_PANEL_ROWS) {
		uint32_t part = rows - row < ENG_PANEL_ROWS ? (uint32_t)(rows - row) : ENG_PANEL_ROWS;

		if (eng_type_of_source(source) != type)
			panel_wide(source, from, part, rank, (float *)(void *)to);
		else if (source == ENG_SRC_F32)
			panel32((const void *)from, part, rank, (void *)to);
		else
			panel16((const void *)from, part, rank, (void *)to);
		from += ENG_PANEL_ROWS * rank * eng_source_block_bytes(source);
		to += eng_panel_bytes(type, rank);
	}
}
