/* SPDX-License-Identifier: MIT */
/*
 * eng_quantize_impl.h: rows of activations; included once per ISA after its quantize_block(); where
 * QUANTIZE_STRIP is defined, also after quantize_strip(), which does that many blocks, or refuses
 * when one of them is unusual.
 */
#ifndef ENG_QUANTIZE_IMPL_H
#define ENG_QUANTIZE_IMPL_H

static void quantize_blocks(const float *x, struct eng_act_block *b, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		quantize_block(x + i * ENG_BLOCK_COLS, b + i);
}

#ifndef QUANTIZE_STRIP
#define QUANTIZE_STRIP	UINT32_MAX
static bool quantize_strip(const float *x, struct eng_act_block *b)
{
	return false;
}
#endif

static void quantize(const struct eng_act *act, uint32_t first_row, uint32_t row_count,
		     const float *x, size_t x_stride)
{
	const uint32_t blocks = act->cols / ENG_BLOCK_COLS;
	const uint32_t stride = eng_act_stride(act->cols);
	struct eng_act_block *b = act->block + (size_t)first_row * stride;

	for (uint32_t row = 0; row < row_count; row++, x += x_stride, b += stride) {
		uint32_t i = 0;

		for (; blocks - i >= QUANTIZE_STRIP; i += QUANTIZE_STRIP)
			if (!quantize_strip(x + i * ENG_BLOCK_COLS, b + i))
				quantize_blocks(x + i * ENG_BLOCK_COLS, b + i, QUANTIZE_STRIP);
		quantize_blocks(x + i * ENG_BLOCK_COLS, b + i, blocks - i);
	}
}

#endif
