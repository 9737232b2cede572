/* SPDX-License-Identifier: MIT */
/* eng_source.h: one quantised source block, taken apart. */
#ifndef ENG_SOURCE_H
#define ENG_SOURCE_H

#include <stdbool.h>

#include "eng_pack.h"

/*
 * Value i: d*s[i/..]*q[i] (+ m, or - m*sm[i/..] in the K types). What a format lacks of the scales
 * is zero.
 */
struct eng_source_block {
	uint16_t d, m;			/* f16; of MXFP4 bfloat16 */
	int8_t s[16];			/* per 32 values (Q4_K, Q5_K, IQ4_XS) or per 16 */
	uint8_t sm[16];			/* per 32 values (Q4_K, Q5_K) or per 16 (Q2_K) */
	/* as many as a block has; centred in Q4_0, Q5_0, Q8_0, Q3_K, Q6_K; else from 0, */
	int8_t q[256];			/* in the IQ4 types and MXFP4 indices of eng_type_table() */
};

/* Take one block of a quantised @source apart; any alignment. */
void eng_source_read(uint32_t source, const void *src, struct eng_source_block *b);
bool eng_source_is_float(uint32_t source);
/* Element @i of a row of a float source, any alignment. */
float eng_source_float(uint32_t source, const void *src, uint64_t i);

#endif
