/* SPDX-License-Identifier: MIT */
/* eng_quantize_impl.h: rows of activations; included once per ISA after its quantize_block(). */
#ifndef ENG_QUANTIZE_IMPL_H
#define ENG_QUANTIZE_IMPL_H

static void quantize(const struct eng_act *act, uint32_t first_row, uint32_t row_count,
		     const float *x, size_t x_stride)
{
	const uint32_t blocks = act->cols / ENG_BLOCK_COLS;
	struct eng_act_block *b = act->block + (size_t)first_row * blocks;

	for (uint32_t row = 0; row < row_count; row++)
		for (uint32_t i = 0; i < blocks; i++)
			quantize_block(x + row * x_stride + i * ENG_BLOCK_COLS, b++);
}

#endif
