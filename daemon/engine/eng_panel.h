/* SPDX-License-Identifier: MIT */
/*
 * eng_panel.h: where things lie inside a panel of 16 rows (part of the image ABI, see eng_pack.h).
 *
 * Per block of 32 columns the f16 scales of the 16 rows, then weights W (256 bytes as 4 bits, 320 as
 * 5, 384 as 6, 512 as int8):
 *   Q4 Q5 Q8   pairs of blocks: d[16] of the first, d[16] of the second, W, W; a lone last block
 *              keeps the 64 bytes of scales, so that every weight group stands on a cache line
 *   Q4M Q5M    d[16], m[16], W
 * per 256 columns:
 *   Q4K Q5K    d[16], dm[16], 8 x { uint8 s[16], uint8 m[16] }, 8 x W
 *   Q6K        d[16], 32 zero bytes, 16 x { int8 s[16] }, 8 x W
 * W as int8: byte (col / 4) * 64 + row * 4 + col % 4. W as 4 bits: the same for columns 0..15 in
 * the low and 16..31 in the high half of each byte. The fifth and sixth bit follow in 64 bytes each:
 * bit (col / 4) of byte row * 4 + col % 4. Float types: element col * 16 + row.
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
	return type >= ENG_Q8 && type < ENG_TYPE_COUNT;
}

static inline bool eng_type_has_min(uint32_t type)
{
	return type == ENG_Q5M || type == ENG_Q4M || type == ENG_Q4K || type == ENG_Q5K;
}

/* Bits of one weight of a quantised type. */
static inline uint32_t eng_type_bits(uint32_t type)
{
	if (type == ENG_Q4 || type == ENG_Q4M || type == ENG_Q4K)
		return 4;
	if (type == ENG_Q5 || type == ENG_Q5M || type == ENG_Q5K)
		return 5;
	return type == ENG_Q6K ? 6 : 8;
}

/* What is added to a quant, so that its bits are never negative; int8 stays signed. */
static inline int eng_type_offset(uint32_t type)
{
	return type == ENG_Q4 ? 8 : type == ENG_Q5 ? 16 : type == ENG_Q6K ? 32 : 0;
}

/* Bytes of the weights of one block of 32 columns. */
static inline size_t eng_block_bytes(uint32_t type)
{
	return ENG_BLOCK_COLS * ENG_PANEL_ROWS / 8 * eng_type_bits(type);
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

#define ENG_PLANE_AT	256u	/* offset of the fifth bits in a block's weights */
#define ENG_PLANE_BYTES	64u

/* Quant @q of (@row, @col 0..31) into a block's weights, which are zero there. */
static inline void eng_quant_put(uint32_t type, uint8_t *weights, uint32_t row, uint32_t col, int q)
{
	const uint32_t bits = eng_type_bits(type), at = row * 4 + col % 4, group = col / 4;
	const uint32_t v = (uint32_t)(q + eng_type_offset(type));

	if (bits == 8) {
		weights[group * 64 + at] = (uint8_t)v;
		return;
	}
	weights[group % 4 * 64 + at] |= (uint8_t)((v & 15) << (group / 4 * 4));
	for (uint32_t bit = 4; bit < bits; bit++)
		weights[ENG_PLANE_AT + (bit - 4) * ENG_PLANE_BYTES + at] |=
			(uint8_t)((v >> bit & 1) << group);
}

static inline int eng_quant_get(uint32_t type, const uint8_t *weights, uint32_t row, uint32_t col)
{
	const uint32_t bits = eng_type_bits(type), at = row * 4 + col % 4, group = col / 4;
	uint32_t v;

	if (bits == 8)
		return (int8_t)weights[group * 64 + at];
	v = weights[group % 4 * 64 + at] >> (group / 4 * 4) & 15;
	for (uint32_t bit = 4; bit < bits; bit++)
		v |= (weights[ENG_PLANE_AT + (bit - 4) * ENG_PLANE_BYTES + at] >> group & 1u) << bit;
	return (int)v - eng_type_offset(type);
}

#endif
