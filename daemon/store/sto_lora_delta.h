/* SPDX-License-Identifier: MIT */
/*
 * sto_lora_delta.h: what an adapter adds to one matrix of the base, row by row: B A, without its
 * scale. Rows are those of the matrix, of the embedding too, whose rows are A's columns.
 */
#ifndef STO_LORA_DELTA_H
#define STO_LORA_DELTA_H

#include <stdbool.h>

#include "mhs_adapter.h"

struct sto_lora_delta {
	struct mhs_adapter_target target;
	uint32_t rows, cols;		/* of the matrix */
	float *across;			/* [rank x cols]: A, or of the embedding B transposed */
};

/*
 * Of the matrix of @role and @layer, for a checked image whose memory stays. 0; -ENOENT: it is not
 * adapted; -ENOMEM. Closed only after 0.
 */
int sto_lora_delta_open(struct sto_lora_delta *delta, const struct mhs_image_header *image,
			const void *base, uint32_t role, uint32_t layer);
/* Row @row into @out of cols values, in F32, from the first rank to the last. */
void sto_lora_delta_row(const struct sto_lora_delta *delta, uint64_t row, float *out);
void sto_lora_delta_close(struct sto_lora_delta *delta);

#endif
