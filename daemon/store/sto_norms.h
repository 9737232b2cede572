/* SPDX-License-Identifier: MIT */
/* sto_norms.h: how far apart the values of two tensors are, whatever types hold them. */
#ifndef STO_NORMS_H
#define STO_NORMS_H

#include "sto_version.h"

struct sto_norms {
	double sum_a;		/* of squares of A's values; its Frobenius norm squared */
	double sum_diff;	/* of squares of B - A */
	double max_abs;		/* the largest |B - A| */
	uint64_t not_finite;	/* places where either is NaN or infinite, left out above */
};

/*
 * Compare tensor @i of @a with tensor @j of @b, of the same rows and columns, panel by panel. 0, or
 * negative errno with @error (-EBADMSG: length and shape of a tensor do not fit its type; -ENOMEM).
 */
int sto_norms(struct sto_version *a, uint32_t i, struct sto_version *b, uint32_t j,
	      struct sto_norms *norms, struct sto_error *error);
/* ||B - A|| / ||A||; negative when A is zero. */
double sto_norms_relative(const struct sto_norms *norms);

#endif
