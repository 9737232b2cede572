/* SPDX-License-Identifier: MIT */
/* eng_act.h: the scalar part of quantising a block of activations, the same on every ISA. */
#ifndef ENG_ACT_H
#define ENG_ACT_H

#include <string.h>

#include "eng_half.h"
#include "eng_kernels.h"
#include "eng_unroll.h"

/* Below this a block counts as zero, so that 127 / amax stays finite. */
#define LEAST_AMAX	1e-30f

/*
 * Scale of a block whose greatest magnitude has the bits @amax_bits (NaN and infinity are the
 * greatest). False: the block is complete, all quants zero.
 */
ENG_INLINE bool eng_act_block_start(struct eng_act_block *b, uint32_t amax_bits, float *inverse)
{
	const float amax = eng_bits_float(amax_bits);

	if (amax_bits >= 0x7f800000 || amax < LEAST_AMAX) {
		memset(b, 0, sizeof(*b));
		if (amax_bits >= 0x7f800000)
			b->scale = b->scaled_sum = eng_bits_float(0x7fc00000);
		return false;
	}
	b->scale = amax / 127.0f;
	*inverse = 127.0f / amax;
	return true;
}

/* The sums, from those of the two halves. */
ENG_INLINE void eng_act_block_finish(struct eng_act_block *b, int32_t low, int32_t high)
{
	b->sum = low + high;
	b->scaled_sum = b->scale * (float)b->sum;
	b->neg8_sum = -8 * b->sum;
	b->neg16_sum = -16 * b->sum;
	b->neg128_sum = -128 * b->sum;
	b->neg32_half[0] = -32 * low;
	b->neg32_half[1] = -32 * high;
}

#endif
