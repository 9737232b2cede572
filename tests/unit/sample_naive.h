/* SPDX-License-Identifier: MIT */
/* sample_naive.h: the sampler that sample_test.c compares with: it sorts the whole vocabulary. */
#ifndef SAMPLE_NAIVE_H
#define SAMPLE_NAIVE_H

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "eng_sample.h"

#define VOCAB_MAX	5000u

struct naive {
	uint32_t token[VOCAB_MAX];	/* best first */
	double p[VOCAB_MAX];		/* of the whole vocabulary at the start */
	uint32_t count;			/* tokens that may be drawn */
};

static struct naive naive;
static const float *sort_by;

static int by_logit(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	if (sort_by[x] != sort_by[y])
		return sort_by[x] > sort_by[y] ? -1 : 1;
	return x < y ? -1 : 1;
}

static double head_sum(uint32_t count)
{
	double sum = 0;

	for (uint32_t i = 0; i < count; i++)
		sum += naive.p[i];
	return sum;
}

/* True when the sets are well apart from a rounding error. */
static bool naive_run(const float *x, uint32_t vocab, const struct eng_sampling *s)
{
	double total, sum = 0;
	bool clear = true;

	for (uint32_t i = 0; i < vocab; i++)
		naive.token[i] = i;
	sort_by = x;
	qsort(naive.token, vocab, sizeof(naive.token[0]), by_logit);
	for (uint32_t i = 0; i < vocab; i++)
		naive.p[i] = exp(((double)x[naive.token[i]] - (double)x[naive.token[0]]) /
				 (double)s->temperature);
	naive.count = s->top_k && s->top_k < vocab ? s->top_k : vocab;
	total = head_sum(naive.count);
	if (s->top_p < 1) {
		uint32_t n = 0;

		while (n < naive.count && (n == 0 || sum < (double)s->top_p * total)) {
			sum += naive.p[n++];
			clear = clear && fabs(sum - (double)s->top_p * total) > 1e-5 * total;
		}
		naive.count = n;
	}
	while (naive.count > 1 && naive.p[naive.count - 1] < (double)s->min_p * (1 + 1e-6)) {
		clear = clear && naive.p[naive.count - 1] < (double)s->min_p * (1 - 1e-6);
		naive.count--;
	}
	return clear;
}

#endif
