/* SPDX-License-Identifier: MIT */
/*
 * eng_panel.h: where things lie inside a panel of 16 rows (part of the image ABI, see eng_pack.h).
 *
 * Per block of 32 columns the f16 scales of the 16 rows, then weights W (512 bytes as int8, 256 as
 * 4 bits):
 *   Q4 Q8      pairs of blocks: d[16] of the first, d[16] of the second, W, W; a lone last block
 *              keeps the 64 bytes of scales, so that every weight group stands on a cache line
 *   Q4M Q8M    d[16], m[16], W
 * per 256 columns:
 *   Q4K Q5K    d[16], dm[16], 8 x { uint8 s[16], uint8 m[16] }, 8 x W
 *   Q6K        d[16], 32 zero bytes, 16 x { int8 s[16] }, 8 x W
 * W as int8: byte (col / 4) * 64 + row * 4 + col % 4. W as 4 bits: the same for columns 0..15 in
 * the low and 16..31 in the high half of each byte. Float types: element col * 16 + row.
 */
#ifndef ENG_PANEL_H
#define ENG_PANEL_H

#include <stdbool.h>

#include "eng_pack.h"

#define ENG_SUPER_COLS	256u		/* columns under one f16 scale in the K types */
#define ENG_SUPER_HEAD	320u		/* bytes of scales in front of 256 columns */
#define ENG_SCALE_BYTES	64u

static inline bool eng_type_is_float(uint32_t type)
{
	return type == ENG_F32 || type == ENG_F16 || type == ENG_BF16;
}

static inline bool eng_type_is_k(uint32_t type)
{
	return type == ENG_Q4K || type == ENG_Q5K || type == ENG_Q6K;
}

static inline bool eng_type_is_quant(uint32_t type)
{
	return type >= ENG_Q8 && type <= ENG_Q6K;
}

static inline bool eng_type_has_min(uint32_t type)
{
	return type == ENG_Q8M || type == ENG_Q4M || type == ENG_Q4K || type == ENG_Q5K;
}

static inline bool eng_type_is_4bit(uint32_t type)
{
	return type == ENG_Q4 || type == ENG_Q4M || type == ENG_Q4K;
}

/* Bytes of the weights of one block of 32 columns. */
static inline size_t eng_block_bytes(uint32_t type)
{
	return eng_type_is_4bit(type) ? 256 : 512;
}

/* Offset of the scales that serve block @b: d[16] first, for K types those of its 256 columns. */
static inline size_t eng_panel_scales(uint32_t type, size_t b)
{
	const size_t w = eng_block_bytes(type);

	if (eng_type_is_k(type))
		return b / 8 * (ENG_SUPER_HEAD + 8 * w);
	if (eng_type_has_min(type))
		return b * (ENG_SCALE_BYTES + w);
	return b / 2 * (ENG_SCALE_BYTES + 2 * w) + b % 2 * (ENG_SCALE_BYTES / 2);
}

/* Offset of the weights of block @b. */
static inline size_t eng_panel_weights(uint32_t type, size_t b)
{
	const size_t w = eng_block_bytes(type);

	if (eng_type_is_k(type))
		return b / 8 * (ENG_SUPER_HEAD + 8 * w) + ENG_SUPER_HEAD + b % 8 * w;
	if (eng_type_has_min(type))
		return b * (ENG_SCALE_BYTES + w) + ENG_SCALE_BYTES;
	return b / 2 * (ENG_SCALE_BYTES + 2 * w) + ENG_SCALE_BYTES + b % 2 * w;
}

/* Offset inside a block's weights of the byte with @col (0..31) of @row. */
static inline size_t eng_weight_byte(uint32_t type, uint32_t row, uint32_t col)
{
	if (eng_type_is_4bit(type))
		col %= 16;
	return (size_t)(col / 4) * 64 + row * 4 + col % 4;
}

#endif
