/* SPDX-License-Identifier: MIT */
/*
 * eng_pack.h: matrices in kernel layout. One layout serves every ISA.
 *
 * A matrix W[rows x cols] is cut into panels of 16 rows (the last one padded with zero rows). A
 * panel holds, for each block of 32 columns (Q4, Q5, Q8, N4 and E4: for pairs of blocks, K types: for
 * 256 columns), the scales of the 16 rows and then the weights: groups of 64 bytes on a 64-byte line,
 * 16 rows x 4 consecutive columns, so the same bytes feed AVX2 maddubs (two halves), AVX-512 VNNI
 * and the AMX B tile (eng_panel.h has the offsets). Float matrices keep their type: [panel][col][16
 * rows].
 *
 * Products: activations are rounded to int8 per block of 32 (scale max|x|/127); integer dot
 * products are exact; the float steps then run in one fixed order per output, so a result has the
 * same bits at any batch size, thread count and ISA.
 */
#ifndef ENG_PACK_H
#define ENG_PACK_H

#include <stddef.h>
#include <stdint.h>

#define ENG_PANEL_ROWS	16u
#define ENG_BLOCK_COLS	32u

/* Numbers are part of the image ABI. Value of a weight with quant q: */
enum eng_type {
	ENG_NONE = 0,
	ENG_VEC_F32 = 1,	/* plain float vector (norms, frequencies): rows = 1 */
	ENG_F32 = 2,
	ENG_F16 = 3,
	ENG_BF16 = 4,
	ENG_Q8 = 5,		/* d*q, q int8, d f16 (Q8_0) */
	ENG_Q5M = 6,		/* d*q + m, q 5 bits, d and m f16 (Q5_1) */
	ENG_Q4 = 7,		/* d*(q-8), q 4 bits, d f16 (Q4_0) */
	ENG_Q4M = 8,		/* d*q + m, d and m f16 (Q4_1) */
	ENG_Q4K = 9,		/* d*s*q - dm*m per 32; s, m 6 bits; d, dm f16 per 256 (Q4_K) */
	ENG_Q5K = 10,		/* the same, q 5 bits (Q5_K) */
	ENG_Q6K = 11,		/* d*s*(q-32) per 16, q 6 bits; s int8; d f16 per 256 (Q6_K) */
	ENG_Q5 = 12,		/* d*(q-16), q 5 bits, d f16 (Q5_0) */
	ENG_Q2K = 13,		/* d*s*q - dm*m per 16; q 2, s, m 4 bits; d, dm f16 per 256 (Q2_K) */
	ENG_Q3K = 14,		/* d*s*(q-4) per 16, q 3 bits; s int8; d f16 per 256 (Q3_K) */
	ENG_N4 = 15,		/* d*t[q], q 4 bits, t 16 int8 (eng_panel.h), d f16 (IQ4_NL) */
	ENG_N4K = 16,		/* d*s*t[q] per 32, the same t; s int8; d f16 per 256 (IQ4_XS) */
	ENG_E4 = 17,		/* d*t[q], another t, d bfloat16, a power of two (MXFP4) */
	ENG_TYPE_COUNT
};

/* Source block formats, numbered as GGUF numbers them. */
enum eng_source {
	ENG_SRC_F32 = 0, ENG_SRC_F16 = 1, ENG_SRC_Q4_0 = 2, ENG_SRC_Q4_1 = 3, ENG_SRC_Q5_0 = 6,
	ENG_SRC_Q5_1 = 7, ENG_SRC_Q8_0 = 8, ENG_SRC_Q2_K = 10, ENG_SRC_Q3_K = 11,
	ENG_SRC_Q4_K = 12, ENG_SRC_Q5_K = 13, ENG_SRC_Q6_K = 14, ENG_SRC_IQ4_NL = 20,
	ENG_SRC_IQ4_XS = 23, ENG_SRC_BF16 = 30, ENG_SRC_MXFP4 = 39,
};

/* A packed matrix, borrowed memory. */
struct eng_matrix {
	uint32_t type;		/* enum eng_type; ENG_NONE: absent */
	uint32_t rows;		/* outputs */
	uint32_t cols;		/* inputs; a multiple of 32 (256 for K types) when quantised */
	const void *data;	/* 64-byte aligned */
};

const char *eng_type_name(uint32_t type);		/* "Q4M"; "?" when unknown */
const char *eng_source_name(uint32_t source);		/* "Q4_1"; NULL when not supported */
/* Bytes and values of one block; 0 when not supported. Row bytes = cols / values * bytes. */
uint32_t eng_source_block_bytes(uint32_t source);
uint32_t eng_source_block_values(uint32_t source);

/* The packed type that holds @source exactly. */
uint32_t eng_type_of_source(uint32_t source);
/* Bytes of a packed matrix; 0 when type, rows and cols do not fit together or overflow. */
uint64_t eng_packed_bytes(uint32_t type, uint64_t rows, uint64_t cols);
/* Bytes of one panel of 16 rows; packed_bytes = panels x this. */
uint64_t eng_panel_bytes(uint32_t type, uint64_t cols);

/*
 * Pack one panel: @rows (1..16) source rows of @cols values, row i at @src[i], into @panel
 * (panel_bytes, padding rows zeroed). No rounding: the packed values equal the source's. Returns 0,
 * or -EINVAL when the source does not fit the type, -EDOM when a scale or float is NaN or infinite.
 */
int eng_pack_panel(uint32_t type, uint32_t source, const void *const *src, uint32_t rows,
		   uint64_t cols, void *panel);

/* Source row to floats, exactly. cols a multiple of the block. 0 or -EINVAL. */
int eng_dequant_row(uint32_t source, const void *src, uint64_t cols, float *out);
/*
 * Floats to a source row in Q8_0, Q4_0, Q4_1, F16 or BF16, rounded to nearest. Returns 0; -EINVAL:
 * format or cols; -EDOM: a value is NaN, infinite or beyond what the format's 16-bit floats can
 * hold.
 */
int eng_quant_row(uint32_t source, const float *in, uint64_t cols, void *out);
/* Row @row of a packed matrix as floats (embedding lookup, tests). */
void eng_unpack_row(const struct eng_matrix *m, uint32_t row, float *out);

#endif
