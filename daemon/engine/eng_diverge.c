/* SPDX-License-Identifier: MIT */
/*
 * eng_diverge.c: with s = log-softmax, KL = sum of exp(s1) (s1 - s2). One pass over both rows, their
 * maxima taken out, gives the three sums that it is made of.
 */
#include "eng_diverge.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>

#include "eng_kernels.h"
#include "eng_model.h"

static bool all_finite(const float *x, uint32_t n)
{
	uint32_t i = 0;

	while (i < n && isfinite(x[i]))
		i++;
	return i == n;
}

/* The first of the largest; any when some are not finite. */
static uint32_t best(const struct eng_kernels *k, const float *x, uint32_t n)
{
	const float most = k->max(x, n);
	uint32_t i = 0;

	while (i < n - 1 && x[i] != most)
		i++;
	return i;
}

int eng_diverge(const float *first, const float *second, uint32_t vocab_count, uint32_t token,
		struct eng_diverge *d, uint32_t *bad)
{
	const struct eng_kernels *k = eng_kernels_get(eng_isa_best());
	double most[2], sums[3];

	*bad = 0;
	if (token >= vocab_count)
		return -EINVAL;
	d->top1[0] = best(k, first, vocab_count);
	d->top1[1] = best(k, second, vocab_count);
	most[0] = (double)first[d->top1[0]];
	most[1] = (double)second[d->top1[1]];
	k->diverge(first, second, vocab_count, most[0], most[1], sums);
	/* what is not finite comes into the third sum, from either row */
	if (!isfinite(sums[2])) {
		*bad = (all_finite(first, vocab_count) ? 0 : 1) | (all_finite(second, vocab_count) ? 0 : 2);
		return -EDOM;
	}
	d->logprob[0] = (double)first[token] - most[0] - log(sums[0]);
	d->logprob[1] = (double)second[token] - most[1] - log(sums[1]);
	d->kl = fmax(0, sums[2] / sums[0] - (log(sums[0]) - log(sums[1])));
	return 0;
}
