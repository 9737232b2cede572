/* SPDX-License-Identifier: MIT */
/* eng_sample_priv.h: what choosing (eng_sample.c) asks of one look (eng_sample_scan.c). */
#ifndef ENG_SAMPLE_PRIV_H
#define ENG_SAMPLE_PRIV_H

#include "eng_heap_priv.h"
#include "eng_kernels.h"
#include "eng_sample.h"

#define SAMPLE_BLOCK	64u

struct eng_sampler {
	const struct eng_kernels *kernels;
	uint32_t vocab_count;
	uint32_t block_count;
	uint32_t stamp;			/* of the present look at the history */
	uint32_t *stamps;		/* [vocab]: token seen at this stamp */
	float *block_max;		/* [blocks] */
	double *block_sum;		/* [blocks], of weights */
	struct candidate *candidates;	/* [vocab] */
	float max;
	uint32_t max_token;
};

/* The best @count of the candidates, best first, stand before @end. */
struct chosen {
	const struct candidate *end;
	uint32_t count;
};

static inline uint32_t sample_block_length(const struct eng_sampler *s, uint32_t block)
{
	uint32_t left = s->vocab_count - block * SAMPLE_BLOCK;

	return left < SAMPLE_BLOCK ? left : SAMPLE_BLOCK;
}

/* Block maxima, the highest logit and the lowest id that has it. 0 or -EDOM. */
int sample_scan(struct eng_sampler *s, const float *logits);
/* Sum of exp(logit - shift) over all tokens, and by blocks. */
double sample_weigh_all(struct eng_sampler *s, const float *logits, float shift);
/* Logits to (logit - max) / temperature: the highest becomes 0. */
void sample_rescale(struct eng_sampler *s, float *logits, float temperature);
/* Collect the tokens whose logit reaches @bound, as a heap. */
uint32_t sample_gather(struct eng_sampler *s, const float *logits, float bound);
/* The @k best tokens in order, 1 <= k <= vocabulary. */
struct chosen sample_best_k(struct eng_sampler *s, const float *logits, uint32_t k);

#endif
