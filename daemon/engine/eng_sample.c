/* SPDX-License-Identifier: MIT */
/*
 * eng_sample.c: choosing without sorting. The vocabulary is looked at in blocks of 64 logits: the
 * k-th largest block maximum bounds the k-th largest logit from below, so only the blocks above it
 * are opened; for top-p, tokens that together weigh less than 1 - p cannot be needed. What
 * remains goes into a heap, and the best are taken from it one by one until the prefix is complete.
 * Top-k, top-p and min-p each keep a prefix of that order.
 */
#include "eng_sample.h"

#include "eng_heap_priv.h"
#include "eng_kernels.h"
#include "eng_model.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK		64u
#define BLOCK_LANES	8u
#define SCALE_MAX	1e30f	/* for 1 / temperature: 0 times it stays 0 */

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

void eng_rng_init(struct eng_rng *rng, uint64_t seed)
{
	rng->state = seed;
}

/* splitmix64 (Steele, Lea, Flood 2014): the state counts, the output scrambles it. */
static uint64_t rng_next(struct eng_rng *rng)
{
	uint64_t z = (rng->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

int eng_sampler_new(struct eng_sampler **out, uint32_t vocab_count)
{
	struct eng_sampler *s = calloc(1, sizeof(*s));

	*out = NULL;
	if (!s)
		return -ENOMEM;
	s->kernels = eng_kernels_get(eng_isa_best());
	s->vocab_count = vocab_count;
	s->block_count = (vocab_count + BLOCK - 1) / BLOCK;
	s->stamps = calloc(vocab_count, sizeof(*s->stamps));
	s->block_max = calloc(s->block_count, sizeof(*s->block_max));
	s->block_sum = calloc(s->block_count, sizeof(*s->block_sum));
	s->candidates = calloc(vocab_count, sizeof(*s->candidates));
	if (!s->stamps || !s->block_max || !s->block_sum || !s->candidates) {
		eng_sampler_free(&s);
		return -ENOMEM;
	}
	*out = s;
	return 0;
}

void eng_sampler_free(struct eng_sampler **sampler)
{
	struct eng_sampler *s = *sampler;

	*sampler = NULL;
	if (!s)
		return;
	free(s->stamps);
	free(s->block_max);
	free(s->block_sum);
	free(s->candidates);
	free(s);
}

/* -- one look at all logits -------------------------------------------------------------------- */

static uint32_t block_length(const struct eng_sampler *s, uint32_t block)
{
	uint32_t left = s->vocab_count - block * BLOCK;

	return left < BLOCK ? left : BLOCK;
}

/* Maximum of a whole block; independent lanes, so that the compiler can use vectors. */
static float block_scan(const float *logits, int32_t *bad)
{
	float lanes[BLOCK_LANES];
	int32_t odd[BLOCK_LANES] = { 0 };
	float max;

	memcpy(lanes, logits, sizeof(lanes));
	for (uint32_t i = 0; i < BLOCK; i += BLOCK_LANES)
		for (uint32_t j = 0; j < BLOCK_LANES; j++) {
			float x = logits[i + j];

			lanes[j] = x > lanes[j] ? x : lanes[j];
			odd[j] |= !(x < INFINITY);	/* NaN or +infinity */
		}
	max = lanes[0];
	for (uint32_t j = 0; j < BLOCK_LANES; j++) {
		max = lanes[j] > max ? lanes[j] : max;
		*bad |= odd[j];
	}
	return max;
}

static float block_scan_short(const float *logits, uint32_t count, int32_t *bad)
{
	float max = logits[0];

	for (uint32_t i = 0; i < count; i++) {
		max = logits[i] > max ? logits[i] : max;
		*bad |= !(logits[i] < INFINITY);
	}
	return max;
}

/* Block maxima, the highest logit and the lowest id that has it. 0 or -EDOM. */
static int scan(struct eng_sampler *s, const float *logits)
{
	uint32_t best = 0;
	int32_t bad = 0;

	for (uint32_t b = 0; b < s->block_count; b++) {
		const float *p = logits + (size_t)b * BLOCK;
		uint32_t n = block_length(s, b);

		s->block_max[b] = n == BLOCK ? block_scan(p, &bad) : block_scan_short(p, n, &bad);
		if (s->block_max[b] > s->block_max[best])
			best = b;
	}
	if (bad || s->block_max[best] == -INFINITY)
		return -EDOM;
	s->max = s->block_max[best];
	s->max_token = best * BLOCK;
	while (logits[s->max_token] != s->max)
		s->max_token++;
	return 0;
}

/* Sum of exp(logit - shift) over all tokens, and by blocks. */
static double weigh_all(struct eng_sampler *s, const float *logits, float shift)
{
	double total = 0;

	for (uint32_t b = 0; b < s->block_count; b++) {
		const float *p = logits + (size_t)b * BLOCK;

		s->block_sum[b] = (double)s->kernels->sum_exp(p, block_length(s, b), shift);
		total += s->block_sum[b];
	}
	return total;
}

/* Logits to (logit - max) / temperature: the highest becomes 0. */
static void rescale(struct eng_sampler *s, float *logits, float temperature)
{
	float scale = fminf(1.0f / temperature, SCALE_MAX);

	for (uint32_t i = 0; i < s->vocab_count; i++)
		logits[i] = (logits[i] - s->max) * scale;
	for (uint32_t b = 0; b < s->block_count; b++)
		s->block_max[b] = (s->block_max[b] - s->max) * scale;
	s->max = 0;
}

/* -- candidates -------------------------------------------------------------------------------- */

/* A bound that at least @k logits reach; -infinity when there are fewer blocks than that. */
static float top_k_bound(struct eng_sampler *s, uint32_t k)
{
	struct candidate *heap = s->candidates;
	uint32_t count = s->block_count;

	if (k > count)
		return -INFINITY;
	for (uint32_t b = 0; b < count; b++)
		heap[b] = (struct candidate){ .logit = s->block_max[b], .token = b };
	heapify(heap, count);
	for (uint32_t i = 0; i < k; i++)
		heap_pop(heap, count - i);
	return heap[count - k].logit;
}

/* Collect the tokens whose logit reaches @bound, as a heap. */
static uint32_t gather(struct eng_sampler *s, const float *logits, float bound)
{
	uint32_t count = 0;

	for (uint32_t b = 0; b < s->block_count; b++) {
		uint32_t begin = b * BLOCK, end = begin + block_length(s, b);

		if (s->block_max[b] < bound)
			continue;
		for (uint32_t i = begin; i < end; i++)
			if (logits[i] >= bound)
				s->candidates[count++] =
					(struct candidate){ .logit = logits[i], .token = i };
	}
	heapify(s->candidates, count);
	return count;
}

/* The @k best tokens in order, 1 <= k <= vocabulary. */
static struct chosen best_k(struct eng_sampler *s, const float *logits, uint32_t k)
{
	uint32_t count;

	count = gather(s, logits, top_k_bound(s, k));
	for (uint32_t i = 0; i < k; i++)
		heap_pop(s->candidates, count - i);
	return (struct chosen){ .end = s->candidates + count, .count = k };
}

/* -- sampling ---------------------------------------------------------------------------------- */

static void penalise(struct eng_sampler *s, const struct eng_sampling *params, float *logits,
		     const uint32_t *history, uint32_t count)
{
	uint32_t begin = count > params->repeat_last ? count - params->repeat_last : 0;

	if (params->repeat_penalty == 1.0f)
		return;
	if (++s->stamp == 0) {
		memset(s->stamps, 0, s->vocab_count * sizeof(*s->stamps));
		s->stamp = 1;
	}
	for (uint32_t i = begin; i < count; i++) {
		uint32_t token = history[i];

		if (token >= s->vocab_count || s->stamps[token] == s->stamp)
			continue;
		s->stamps[token] = s->stamp;
		if (logits[token] > 0)
			logits[token] /= params->repeat_penalty;
		else
			logits[token] *= params->repeat_penalty;
	}
}

/* No cut at all: draw from the whole vocabulary, block first. @logits are rescaled. */
static uint32_t draw_all(struct eng_sampler *s, const float *logits, double u)
{
	double left = u * weigh_all(s, logits, 0);
	uint32_t b = 0, last = s->max_token;

	while (b + 1 < s->block_count && left >= s->block_sum[b])
		left -= s->block_sum[b++];
	for (uint32_t i = b * BLOCK; i < b * BLOCK + block_length(s, b); i++) {
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

	*total = weigh_all(s, logits, 0);
	rest = (1.0 - (double)top_p) * *total / s->vocab_count;
	/* The margin covers the rounding of float exponentials. */
	return gather(s, logits, (float)(log(rest) - 0.01));
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
		chosen = best_k(s, logits, params->top_k);
		cut_prefix(&chosen, params->top_p, params->min_p);
		return chosen;
	}
	if (params->top_p < 1.0f) {
		count = gather_top_p(s, logits, params->top_p, &total);
		return pop_prefix(s, count, (double)params->top_p * total, params->min_p);
	}
	count = gather(s, logits, logf(params->min_p) - 0.01f);
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
	double u = (double)(rng_next(rng) >> 11) * 0x1p-53;
	int ret;

	penalise(s, params, logits, history, history_count);
	ret = scan(s, logits);
	if (ret)
		return ret;
	if (!(params->temperature > 0) || params->top_k == 1)
		return s->max_token;
	rescale(s, logits, params->temperature);
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
	ret = scan(s, logits);
	if (ret)
		return ret;
	log_total = log(weigh_all(s, logits, s->max));
	*logprob = (float)((double)logits[token] - (double)s->max - log_total);
	if (!top_count)
		return 0;
	chosen = best_k(s, logits, top_count);
	for (uint32_t i = 0; i < top_count; i++) {
		struct candidate c = *(chosen.end - 1 - i);

		top[i].token = c.token;
		top[i].logprob = (float)((double)c.logit - (double)s->max - log_total);
	}
	return 0;
}
