/* SPDX-License-Identifier: MIT */
/* eng_sample_priv.h: what choosing (eng_sample.c) asks of one look (eng_sample_scan.c). */
#ifndef ENG_SAMPLE_PRIV_H
#define ENG_SAMPLE_PRIV_H

#include <stdbool.h>

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
	uint32_t *times;		/* [vocab]: so often, if stamped */
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

/* eng_sample_penalty.c: bias, repetition, DRY */
void sample_penalise(struct eng_sampler *s, const struct eng_sampling *params, float *logits,
		     const uint32_t *history, uint32_t count);

/* eng_sample_rare.c: cuts that need all likely tokens in order */
bool sample_is_rare(const struct eng_sampling *params);
/* That of this token, after sample_scan(). */
float sample_temperature(struct eng_sampler *s, const struct eng_sampling *params, const float *logits);
/* After sample_rescale(). @u and @xtc: draws in [0, 1). */
uint32_t sample_rarely(struct eng_sampler *s, const struct eng_sampling *params, const float *logits,
		       double u, double xtc, struct eng_rng *rng);

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
