/* SPDX-License-Identifier: MIT */
/*
 * eng_sample.c: choosing without sorting. Only the tokens that may be needed are gathered
 * (eng_sample_scan.c): for top-k those above a bound; for top-p, tokens that together weigh less
 * than 1 - p cannot be. What remains goes into a heap, and the best are taken from it one by one
 * until the prefix is complete. Top-k, top-p and min-p each keep a prefix of that order.
 */
#include "eng_sample_priv.h"

#include <errno.h>
#include <math.h>
#include <string.h>

void eng_rng_init(struct eng_rng *rng, uint64_t seed)
{
	*rng = (struct eng_rng){ .state = seed };
}

/* In [0, 1). splitmix64 (Steele, Lea, Flood 2014): the state counts, the output scrambles it. */
static double rng_next(struct eng_rng *rng)
{
	uint64_t z = (rng->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* No cut at all: draw from the whole vocabulary, block first. @logits are rescaled. */
static uint32_t draw_all(struct eng_sampler *s, const float *logits, double u)
{
	double left = u * sample_weigh_all(s, logits, 0);
	uint32_t b = 0, last = s->max_token;

	while (b + 1 < s->block_count && left >= s->block_sum[b])
		left -= s->block_sum[b++];
	for (uint32_t i = b * SAMPLE_BLOCK; i < b * SAMPLE_BLOCK + sample_block_length(s, b); i++) {
		double weight = (double)s->kernels->sum_exp(logits + i, 1, 0);

		if (!(weight > 0))
			continue;
		last = i;
		if (left < weight)
			break;
		left -= weight;
	}
	return last;
}

static double weight_of(struct candidate c)
{
	return exp((double)c.logit);
}

/*
 * Tokens that top-p may need, as a heap, when the whole vocabulary weighs *@total. Those below the
 * bound weigh less than (1 - p) * total together, so the others reach p * total.
 */
static uint32_t gather_top_p(struct eng_sampler *s, const float *logits, float top_p, double *total)
{
	double rest;

	*total = sample_weigh_all(s, logits, 0);
	rest = (1.0 - (double)top_p) * *total / s->vocab_count;
	/* The margin covers the rounding of float exponentials. */
	return sample_gather(s, logits, (float)(log(rest) - 0.01));
}

/* From @count candidates on a heap: the shortest prefix that weighs @target, cut by min-p. */
static struct chosen pop_prefix(struct eng_sampler *s, uint32_t count, double target, float min_p)
{
	struct chosen chosen = { .end = s->candidates + count };
	double sum = 0;

	while (chosen.count < count && (chosen.count == 0 || sum < target)) {
		double weight;

		heap_pop(s->candidates, count - chosen.count);
		weight = weight_of(s->candidates[count - chosen.count - 1]);
		if (weight < (double)min_p && chosen.count)
			break;
		sum += weight;
		chosen.count++;
	}
	return chosen;
}

/* Shorten candidates already in order in the same way. */
static void cut_prefix(struct chosen *chosen, float top_p, float min_p)
{
	double total = 0, sum = 0, weight;
	uint32_t count = 0;

	for (uint32_t i = 1; i <= chosen->count; i++)
		total += weight_of(*(chosen->end - i));
	total = top_p < 1.0f ? (double)top_p * total : INFINITY;
	while (count < chosen->count && (count == 0 || sum < total)) {
		weight = weight_of(*(chosen->end - count - 1));
		if (weight < (double)min_p && count)
			break;
		sum += weight;
		count++;
	}
	chosen->count = count;
}

static struct chosen choose(struct eng_sampler *s, const struct eng_sampling *params,
			    const float *logits)
{
	struct chosen chosen;
	double total;
	uint32_t count;

	if (params->top_k && params->top_k < s->vocab_count) {
		chosen = sample_best_k(s, logits, params->top_k);
		cut_prefix(&chosen, params->top_p, params->min_p);
		return chosen;
	}
	if (params->top_p < 1.0f) {
		count = gather_top_p(s, logits, params->top_p, &total);
		return pop_prefix(s, count, (double)params->top_p * total, params->min_p);
	}
	count = sample_gather(s, logits, logf(params->min_p) - 0.01f);
	return pop_prefix(s, count, INFINITY, params->min_p);
}

static uint32_t draw(struct chosen chosen, double u)
{
	uint32_t last = chosen.end[-1].token;
	double left = 0;

	for (uint32_t i = 1; i <= chosen.count; i++)
		left += weight_of(*(chosen.end - i));
	left *= u;
	for (uint32_t i = 1; i <= chosen.count; i++) {
		double weight = weight_of(*(chosen.end - i));

		if (!(weight > 0))
			break;		/* so are all that follow */
		last = (chosen.end - i)->token;
		if (left < weight)
			break;
		left -= weight;
	}
	return last;
}

int64_t eng_sample(struct eng_sampler *s, const struct eng_sampling *params, float *logits,
		   const uint32_t *history, uint32_t history_count, struct eng_rng *rng)
{
	/* One step of the generator a token, whether it is used or not. */
	double u = rng_next(rng), xtc = params->xtc_probability > 0 ? rng_next(rng) : 1;
	int ret;

	sample_penalise(s, params, logits, history, history_count);
	ret = sample_scan(s, logits);
	if (ret)
		return ret;
	if (!(params->temperature > 0) || params->top_k == 1)
		return s->max_token;
	sample_rescale(s, logits, sample_temperature(s, params, logits));
	if (sample_is_rare(params))
		return sample_rarely(s, params, logits, u, xtc, rng);
	if ((!params->top_k || params->top_k >= s->vocab_count) && params->top_p >= 1.0f &&
	    !(params->min_p > 0))
		return draw_all(s, logits, u);
	return draw(choose(s, params, logits), u);
}

int eng_logprobs(struct eng_sampler *s, const float *logits, uint32_t token, float *logprob,
		 struct eng_top *top, uint32_t top_count)
{
	struct chosen chosen;
	double log_total;
	int ret;

	if (token >= s->vocab_count || top_count > s->vocab_count)
		return -EINVAL;
	ret = sample_scan(s, logits);
	if (ret)
		return ret;
	log_total = log(sample_weigh_all(s, logits, s->max));
	*logprob = (float)((double)logits[token] - (double)s->max - log_total);
	if (!top_count)
		return 0;
	chosen = sample_best_k(s, logits, top_count);
	for (uint32_t i = 0; i < top_count; i++) {
		struct candidate c = *(chosen.end - 1 - i);

		top[i].token = c.token;
		top[i].logprob = (float)((double)c.logit - (double)s->max - log_total);
	}
	return 0;
}
