/* SPDX-License-Identifier: MIT */
/* eng_unpack.c: one row of a packed matrix back to floats. */
#include <string.h>

#include "eng_half.h"
#include "eng_panel.h"

static void unpack_float(const struct eng_matrix *m, uint32_t row, float *out)
{
	const uint64_t first = (uint64_t)(row / ENG_PANEL_ROWS) * ENG_PANEL_ROWS * m->cols;
	const uint32_t lane = row % ENG_PANEL_ROWS;

	for (uint64_t col = 0; col < m->cols; col++) {
		uint64_t at = first + col * ENG_PANEL_ROWS + lane;

		if (m->type == ENG_F32)
			out[col] = ((const float *)m->data)[at];
		else if (m->type == ENG_F16)
			out[col] = eng_f16_float(((const uint16_t *)m->data)[at]);
		else
			out[col] = eng_bf16_float(((const uint16_t *)m->data)[at]);
	}
}

static void unpack_block(uint32_t type, const uint8_t *panel, uint32_t block, uint32_t lane,
			 float *out)
{
	const uint8_t *weights = panel + eng_panel_weights(type, block);
	const struct eng_scales s = eng_scales_get(type, panel, block, lane);

	for (uint32_t col = 0; col < ENG_BLOCK_COLS; col++) {
		out[col] = s.scale[col / 16] * (float)eng_quant_get(type, weights, lane, col);
		if (eng_type_has_min(type))
			out[col] += s.min[col / 16];
	}
}

void eng_unpack_row(const struct eng_matrix *m, uint32_t row, float *out)
{
	const uint8_t *panel = m->data;

	if (m->type == ENG_VEC_F32) {
		memcpy(out, m->data, (size_t)m->cols * sizeof(*out));
		return;
	}
	if (eng_type_is_float(m->type)) {
		unpack_float(m, row, out);
		return;
	}
	panel += row / ENG_PANEL_ROWS * eng_panel_bytes(m->type, m->cols);
	for (uint32_t block = 0; block < m->cols / ENG_BLOCK_COLS; block++)
		unpack_block(m->type, panel, block, row % ENG_PANEL_ROWS,
			     out + block * ENG_BLOCK_COLS);
}
