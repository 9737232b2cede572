/* SPDX-License-Identifier: MIT */
/*
 * eng_panel.h: where things lie inside a panel of 16 rows (part of the image ABI, see eng_pack.h).
 *
 * Per block of 32 columns the 16-bit scales of the 16 rows, then weights W (128 bytes as 2 bits, 192
 * as 3, 256 as 4, 320 as 5, 384 as 6, 512 as int8):
 *   Q4 Q5 Q8   pairs of blocks: d[16] of the first, d[16] of the second, W, W; a lone last block
 *   N4 E4      keeps the 64 bytes of scales, so that every weight group stands on a cache line
 *   Q4M Q5M    d[16], m[16], W
 * per 256 columns:
 *   Q4K Q5K    d[16], dm[16], 8 x { uint8 s[16], uint8 m[16] }, 8 x W
 *   Q2K        d[16], dm[16], 16 x { uint8 s[16]: s low, m high half }, 8 x W
 *   Q3K Q6K    d[16], 32 zero bytes, 16 x { int8 s[16] }, 8 x W
 *   N4K        d[16], 32 zero bytes, 8 x { int8 s[16] }, 8 x W
 * W as int8: byte (col / 4) * 64 + row * 4 + col % 4. W as 4 bits: the same for columns 0..15 in
 * the low and 16..31 in the high half of each byte; as 2 bits: for 8 columns in each quarter, lowest
 * first. The bits above (the third, or the fifth and sixth) follow in 64 bytes each: bit (col / 4) of
 * byte row * 4 + col % 4. Float types: element col * 16 + row.
 */
#ifndef ENG_PANEL_H
#define ENG_PANEL_H

#include <stdbool.h>

#include "eng_half.h"
#include "eng_pack.h"

#define ENG_SUPER_COLS	256u		/* columns under one f16 scale in the K types */
#define ENG_SCALE_BYTES	64u

static inline bool eng_type_is_float(uint32_t type)
{
	return type == ENG_F32 || type == ENG_F16 || type == ENG_BF16;
}

static inline bool eng_type_is_k(uint32_t type)
{
	return type == ENG_Q2K || type == ENG_Q3K || type == ENG_Q4K || type == ENG_Q5K ||
	       type == ENG_Q6K || type == ENG_N4K;
}

static inline bool eng_type_is_quant(uint32_t type)
{
	return type >= ENG_Q8 && type < ENG_TYPE_COUNT;
}

static inline bool eng_type_has_min(uint32_t type)
{
	return type == ENG_Q5M || type == ENG_Q4M || type == ENG_Q4K || type == ENG_Q5K ||
	       type == ENG_Q2K;
}

/* Each 16 columns of a block have a scale (and a minimum) of their own. */
static inline bool eng_type_has_halves(uint32_t type)
{
	return type == ENG_Q2K || type == ENG_Q3K || type == ENG_Q6K;
}

/* Weights are indices of this table of 16; NULL: they are numbers. */
static inline const int8_t *eng_type_table(uint32_t type)
{
	static const int8_t normal[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
					   1, 13, 25, 38, 53, 69, 89, 113 };
	/* floats of 4 bits (E2M1), twice their value */
	static const int8_t float4[16] = { 0, 1, 2, 3, 4, 6, 8, 12,
					   0, -1, -2, -3, -4, -6, -8, -12 };

	if (type == ENG_N4 || type == ENG_N4K)
		return normal;
	return type == ENG_E4 ? float4 : NULL;
}

/* Bits of one weight of a quantised type. */
static inline uint32_t eng_type_bits(uint32_t type)
{
	if (type == ENG_Q2K || type == ENG_Q3K)
		return type == ENG_Q2K ? 2 : 3;
	if (type == ENG_Q4 || type == ENG_Q4M || type == ENG_Q4K || eng_type_table(type))
		return 4;
	if (type == ENG_Q5 || type == ENG_Q5M || type == ENG_Q5K)
		return 5;
	return type == ENG_Q6K ? 6 : 8;
}

/* What is added to a quant, so that its bits are never negative; int8 stays signed. */
static inline int eng_type_offset(uint32_t type)
{
	return type == ENG_Q4 ? 8 : type == ENG_Q5 ? 16 : type == ENG_Q6K ? 32 : type == ENG_Q3K ? 4 : 0;
}

/* Bytes of the weights of one block of 32 columns. */
static inline size_t eng_block_bytes(uint32_t type)
{
	return ENG_BLOCK_COLS * ENG_PANEL_ROWS / 8 * eng_type_bits(type);
}

/* Bytes of scales in front of 256 columns of a K type. */
static inline size_t eng_super_head(uint32_t type)
{
	return ENG_SCALE_BYTES + (type == ENG_N4K ? 8 : 16) * ENG_PANEL_ROWS;
}

/* Offset of the scales that serve block @b: d[16] first, for K types those of its 256 columns. */
static inline size_t eng_panel_scales(uint32_t type, size_t b)
{
	const size_t w = eng_block_bytes(type);

	if (eng_type_is_k(type))
		return b / 8 * (eng_super_head(type) + 8 * w);
	if (eng_type_has_min(type))
		return b * (ENG_SCALE_BYTES + w);
	return b / 2 * (ENG_SCALE_BYTES + 2 * w) + b % 2 * (ENG_SCALE_BYTES / 2);
}

/* K types: offset of the sub-scales of block @b, 16 or twice 16. */
static inline size_t eng_panel_sub(uint32_t type, size_t b)
{
	return eng_panel_scales(type, b) + ENG_SCALE_BYTES +
	       b % 8 * (type == ENG_N4K ? 1 : 2) * ENG_PANEL_ROWS;
}

/* Offset of the weights of block @b. */
static inline size_t eng_panel_weights(uint32_t type, size_t b)
{
	const size_t w = eng_block_bytes(type), head = eng_super_head(type);

	if (eng_type_is_k(type))
		return b / 8 * (head + 8 * w) + head + b % 8 * w;
	if (eng_type_has_min(type))
		return b * (ENG_SCALE_BYTES + w) + ENG_SCALE_BYTES;
	return b / 2 * (ENG_SCALE_BYTES + 2 * w) + ENG_SCALE_BYTES + b % 2 * w;
}

/* Bits that lie beside each other in a byte; those above have planes of their own. */
static inline uint32_t eng_low_bits(uint32_t bits)
{
	return bits < 4 ? 2 : 4;
}

#define ENG_PLANE_BYTES	64u	/* bit b has its plane at b times this */

/* What is stored of a weight, @v, for (@row, @col 0..31) into a block's weights, zero there. */
static inline void eng_bits_put(uint32_t bits, uint8_t *weights, uint32_t row, uint32_t col,
				uint32_t v)
{
	const uint32_t at = row * 4 + col % 4, group = col / 4, low = eng_low_bits(bits);

	if (bits == 8) {
		weights[group * 64 + at] = (uint8_t)v;
		return;
	}
	weights[(group & (low - 1)) * 64 + at] |= (uint8_t)((v & ((1u << low) - 1)) << (group & -low));
	for (uint32_t bit = low; bit < bits; bit++)
		weights[bit * ENG_PLANE_BYTES + at] |= (uint8_t)((v >> bit & 1) << group);
}

/* The quant of (@row, @col 0..31): what a scale multiplies. */
static inline int eng_quant_get(uint32_t type, const uint8_t *weights, uint32_t row, uint32_t col)
{
	const uint32_t bits = eng_type_bits(type), low = eng_low_bits(bits);
	const uint32_t at = row * 4 + col % 4, group = col / 4;
	const int8_t *table = eng_type_table(type);
	uint32_t v;

	if (bits == 8)
		return (int8_t)weights[group * 64 + at];
	v = weights[(group & (low - 1)) * 64 + at] >> (group & -low) & ((1u << low) - 1);
	for (uint32_t bit = low; bit < bits; bit++)
		v |= (weights[bit * ENG_PLANE_BYTES + at] >> group & 1u) << bit;
	return table ? table[v] : (int)v - eng_type_offset(type);
}

/* A 16-bit scale as it stands in a panel. */
static inline float eng_scale_float(uint32_t type, const uint8_t *p)
{
	uint16_t bits;

	memcpy(&bits, p, sizeof(bits));
	return type == ENG_E4 ? eng_bf16_float(bits) : eng_f16_float(bits);
}

/* The scales of one row over 32 columns: value = scale[half] * q + min[half]. All are exact. */
struct eng_scales {
	float scale[2];			/* of columns 0..15 and 16..31 */
	float min[2];
};

static inline struct eng_scales eng_scales_get(uint32_t type, const uint8_t *panel, uint32_t block,
					       uint32_t row)
{
	const uint8_t *head = panel + eng_panel_scales(type, block);
	const uint8_t *sub = panel + eng_panel_sub(type, block) + row;	/* K types only */
	const float d = eng_scale_float(type, head + 2 * row);
	const float m = eng_type_has_min(type) ? eng_scale_float(type, head + 32 + 2 * row) : 0;
	struct eng_scales s = { { d, d }, { m, m } };

	for (uint32_t half = 0; half < 2; half++) {
		const uint8_t *own = sub + (eng_type_has_halves(type) ? half * 16 : 0);

		if (type == ENG_Q4K || type == ENG_Q5K) {
			s.scale[half] = d * (float)sub[0];
			s.min[half] = -(m * (float)sub[16]);
		} else if (type == ENG_Q2K) {
			s.scale[half] = d * (float)(own[0] & 15);
			s.min[half] = -(m * (float)(own[0] >> 4));
		} else if (eng_type_is_k(type)) {
			s.scale[half] = d * (float)(int8_t)own[0];
		}
	}
	return s;
}

#endif
