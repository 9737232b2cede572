/* SPDX-License-Identifier: MIT */
/*
 * eng_sample_scan.c: the vocabulary is looked at in blocks of 64 logits: the k-th largest block
 * maximum bounds the k-th largest logit from below, so only the blocks above it are opened.
 */
#include "eng_sample_priv.h"

#include "eng_model.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_LANES	8u
#define SCALE_MAX	1e30f	/* for 1 / temperature: 0 times it stays 0 */

int eng_sampler_new(struct eng_sampler **out, uint32_t vocab_count)
{
	struct eng_sampler *s = calloc(1, sizeof(*s));

	*out = NULL;
	if (!s)
		return -ENOMEM;
	s->kernels = eng_kernels_get(eng_isa_best());
	s->vocab_count = vocab_count;
	s->block_count = (vocab_count + SAMPLE_BLOCK - 1) / SAMPLE_BLOCK;
	s->stamps = calloc(vocab_count, sizeof(*s->stamps));
	s->times = calloc(vocab_count, sizeof(*s->times));
	s->block_max = calloc(s->block_count, sizeof(*s->block_max));
	s->block_sum = calloc(s->block_count, sizeof(*s->block_sum));
	s->candidates = calloc(vocab_count, sizeof(*s->candidates));
	if (!s->stamps || !s->times || !s->block_max || !s->block_sum || !s->candidates) {
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
	free(s->times);
	free(s->block_max);
	free(s->block_sum);
	free(s->candidates);
	free(s);
}

/* -- one look at all logits -------------------------------------------------------------------- */

/* Maximum of a whole block; independent lanes, so that the compiler can use vectors. */
static float block_scan(const float *logits, int32_t *bad)
{
	float lanes[BLOCK_LANES];
	int32_t odd[BLOCK_LANES] = { 0 };
	float max;

	memcpy(lanes, logits, sizeof(lanes));
	for (uint32_t i = 0; i < SAMPLE_BLOCK; i += BLOCK_LANES)
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

int sample_scan(struct eng_sampler *s, const float *logits)
{
	uint32_t best = 0;
	int32_t bad = 0;

	for (uint32_t b = 0; b < s->block_count; b++) {
		const float *p = logits + (size_t)b * SAMPLE_BLOCK;
		uint32_t n = sample_block_length(s, b);

		s->block_max[b] = n == SAMPLE_BLOCK ? block_scan(p, &bad) :
						      block_scan_short(p, n, &bad);
		if (s->block_max[b] > s->block_max[best])
			best = b;
	}
	if (bad || s->block_max[best] == -INFINITY)
		return -EDOM;
	s->max = s->block_max[best];
	s->max_token = best * SAMPLE_BLOCK;
	while (logits[s->max_token] != s->max)
		s->max_token++;
	return 0;
}

double sample_weigh_all(struct eng_sampler *s, const float *logits, float shift)
{
	double total = 0;

	for (uint32_t b = 0; b < s->block_count; b++) {
		const float *p = logits + (size_t)b * SAMPLE_BLOCK;

		s->block_sum[b] = (double)s->kernels->sum_exp(p, sample_block_length(s, b), shift);
		total += s->block_sum[b];
	}
	return total;
}

void sample_rescale(struct eng_sampler *s, float *logits, float temperature)
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

uint32_t sample_gather(struct eng_sampler *s, const float *logits, float bound)
{
	uint32_t count = 0;

	for (uint32_t b = 0; b < s->block_count; b++) {
		uint32_t begin = b * SAMPLE_BLOCK, end = begin + sample_block_length(s, b);

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

struct chosen sample_best_k(struct eng_sampler *s, const float *logits, uint32_t k)
{
	uint32_t count;

	count = sample_gather(s, logits, top_k_bound(s, k));
	for (uint32_t i = 0; i < k; i++)
		heap_pop(s->candidates, count - i);
	return (struct chosen){ .end = s->candidates + count, .count = k };
}
