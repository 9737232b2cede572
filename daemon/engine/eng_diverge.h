/* SPDX-License-Identifier: MIT */
/*
 * eng_diverge.h: how far one model's next-token distribution is from another's. All in double: a
 * divergence of 1e-6 nats is still right to a few digits.
 */
#ifndef ENG_DIVERGE_H
#define ENG_DIVERGE_H

#include <stdint.h>

struct eng_diverge {
	/* KL(first || second) in nats (Kullback & Leibler 1951), never below 0 */
	double kl;
	double logprob[2];	/* of the token, under each; natural logarithm */
	uint32_t top1[2];	/* the likeliest token of each, the lowest id on a tie */
};

/*
 * Compare the plain softmax of two rows of logits [vocab_count]. 0; -EINVAL: @token is beyond the
 * vocabulary; -EDOM, with bit 0 of *@bad for the first and bit 1 for the second: a logit is NaN or
 * infinite. Never allocates.
 */
int eng_diverge(const float *first, const float *second, uint32_t vocab_count, uint32_t token,
		struct eng_diverge *result, uint32_t *bad);

#endif
