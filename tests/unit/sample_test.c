/* SPDX-License-Identifier: MIT */
/* sample_test.c: the sampler against a naive one that sorts the vocabulary, and in distribution. */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sample_naive.h"
#include "t.h"

static const struct eng_sampling PLAIN = { .temperature = 1, .top_p = 1, .repeat_penalty = 1 };

static float logits[VOCAB_MAX], work[VOCAB_MAX];
static struct eng_sampler *sampler;

/* -- helpers ----------------------------------------------------------------------------------- */

static void random_logits(uint32_t vocab, uint64_t seed, float spread)
{
	for (uint32_t i = 0; i < vocab; i++) {
		float a = t_random_float(&seed), b = t_random_float(&seed);

		logits[i] = spread * (a + b * b * b);
	}
}

static int64_t sample(const struct eng_sampling *params, uint32_t vocab, struct eng_rng *rng)
{
	memcpy(work, logits, vocab * sizeof(*work));
	return eng_sample(sampler, params, work, NULL, 0, rng);
}

static bool remake(uint32_t vocab)
{
	eng_sampler_free(&sampler);
	return t_ok(eng_sampler_new(&sampler, vocab) == 0);
}

/* Draw often: only tokens of the naive set come, and, being few, each of them does. */
static void same_set(uint32_t vocab, const struct eng_sampling *params, uint64_t seed)
{
	static uint32_t hits[VOCAB_MAX];
	uint32_t draws = 1500, outside = 0, missed = 0;
	struct eng_rng rng;
	double total;

	if (!naive_run(logits, vocab, params))
		return;
	memset(hits, 0, sizeof(hits));
	eng_rng_init(&rng, seed);
	for (uint32_t i = 0; i < draws; i++)
		hits[sample(params, vocab, &rng)]++;
	total = head_sum(naive.count);
	for (uint32_t i = 0; i < naive.count; i++) {
		/* Less than one chance in 10^8 to miss it. */
		missed += !hits[naive.token[i]] && naive.p[i] / total * draws > 20;
		hits[naive.token[i]] = 0;
	}
	for (uint32_t i = 0; i < vocab; i++)
		outside += hits[i];
	t_eq(outside, 0);
	t_eq(missed, 0);
}

/* -- cases ------------------------------------------------------------------------------------- */

static void cuts_match_naive(void)
{
	static const uint32_t vocabs[] = { 1, 3, 63, 64, 65, 500, VOCAB_MAX };
	static const uint32_t ks[] = { 0, 1, 2, 40, 200 };
	static const float ps[] = { 1.0f, 0.9f, 0.5f, 0.05f };
	static const float mins[] = { 0.0f, 0.05f, 0.5f };
	uint64_t seed = 7;

	for (uint32_t v = 0; v < 7; v++) {
		t_need(remake(vocabs[v]));
		for (uint32_t i = 0; i < 60; i++) {
			struct eng_sampling params = PLAIN;

			params.top_k = ks[i % 5];
			params.top_p = ps[i / 5 % 4];
			params.min_p = mins[i / 20];
			params.temperature = 0.3f + 0.2f * (float)(i % 7);
			random_logits(vocabs[v], t_random(&seed), 8);
			if (i % 3)	/* the bulk out of reach, as in a trained model */
				for (uint32_t j = 20; j < vocabs[v]; j++)
					logits[j] -= 12;
			same_set(vocabs[v], &params, t_random(&seed));
		}
	}
}

/* Ties at the cut: the lowest ids stay. */
static void top_k_keeps_exactly_k(void)
{
	struct eng_sampling params = PLAIN;
	uint32_t hits[300] = { 0 }, seen = 0;
	struct eng_rng rng;

	t_need(remake(300));
	for (uint32_t i = 0; i < 300; i++)
		logits[i] = i % 3 ? 1.0f : 0.0f;	/* 200 tie at the top */
	params.top_k = 17;
	eng_rng_init(&rng, 3);
	for (uint32_t i = 0; i < 4000; i++)
		hits[sample(&params, 300, &rng)]++;
	for (uint32_t i = 0; i < 300; i++)
		seen += hits[i] > 0;
	t_eq(seen, 17);
	/* the lowest ids of the tie: 1, 2, 4, 5, ... */
	t_ok(hits[1] && hits[2] && hits[4] && hits[25] && !hits[26] && !hits[0]);
}

/* Chi-square over the likely tokens and the pooled rest; the seed is fixed, so is the outcome. */
static void distribution_fits(const struct eng_sampling *params, uint32_t vocab, uint32_t seed)
{
	static uint32_t hits[VOCAB_MAX];
	const uint32_t draws = 60000;
	double chi = 0, total, rest_p = 0, rest_hits = 0;
	uint32_t cells = 0;
	struct eng_rng rng;

	t_need(remake(vocab));
	random_logits(vocab, seed, 5);
	t_need(naive_run(logits, vocab, params));
	memset(hits, 0, sizeof(hits));
	eng_rng_init(&rng, seed);
	for (uint32_t i = 0; i < draws; i++)
		hits[sample(params, vocab, &rng)]++;
	total = head_sum(naive.count);
	for (uint32_t i = 0; i < naive.count; i++) {
		double expected = naive.p[i] / total * draws, off = hits[naive.token[i]] - expected;

		if (expected < 10) {
			rest_p += expected;
			rest_hits += hits[naive.token[i]];
			continue;
		}
		chi += off * off / expected;
		cells++;
	}
	if (rest_p >= 10) {
		chi += (rest_hits - rest_p) * (rest_hits - rest_p) / rest_p;
		cells++;
	}
	/* mean cells - 1, deviation sqrt(2 cells): four deviations */
	t_ok(cells > 5);
	t_near(chi, cells - 1, 4 * sqrt(2.0 * cells));
}

static void distributions_fit(void)
{
	struct eng_sampling params = PLAIN;

	distribution_fits(&params, 200, 1);
	distribution_fits(&params, VOCAB_MAX, 2);
	params.temperature = 0.5f;
	distribution_fits(&params, 333, 3);
	params.top_k = 30;
	distribution_fits(&params, 1000, 4);
	params = PLAIN;
	params.top_p = 0.8f;
	distribution_fits(&params, 1000, 5);
	params = PLAIN;
	params.min_p = 0.1f;
	distribution_fits(&params, 1000, 6);
}

static void greedy_and_ties(void)
{
	struct eng_sampling params = PLAIN;
	struct eng_rng rng;

	eng_rng_init(&rng, 1);
	params.temperature = 0;
	for (uint32_t vocab = 1; vocab < 200; vocab += 7) {
		t_need(remake(vocab));
		for (uint32_t i = 0; i < vocab; i++)
			logits[i] = -1;
		t_eq(sample(&params, vocab, &rng), 0);
		logits[vocab - 1] = 2;
		t_eq(sample(&params, vocab, &rng), vocab - 1);
		logits[vocab / 2] = 2;
		t_eq(sample(&params, vocab, &rng), vocab / 2);
	}
	/* so do a tiny temperature and a top-k of one */
	t_need(remake(100));
	random_logits(100, 5, 3);
	naive_run(logits, 100, &PLAIN);
	params.temperature = 1e-40f;
	t_eq(sample(&params, 100, &rng), naive.token[0]);
	params = PLAIN;
	params.top_k = 1;
	t_eq(sample(&params, 100, &rng), naive.token[0]);
}

/* A draw depends on seed and index alone: not on what was sampled before, nor how. */
static void draws_depend_on_seed_and_index(void)
{
	struct eng_sampling params = PLAIN, greedy = PLAIN;
	struct eng_rng a, b;
	uint32_t same = 0;

	greedy.temperature = 0;
	t_need(remake(1000));
	random_logits(1000, 9, 2);
	for (uint32_t i = 0; i < 50; i++) {
		eng_rng_init(&a, 77);
		eng_rng_init(&b, 77);
		for (uint32_t j = 0; j < i; j++) {
			sample(&params, 1000, &a);
			sample(&greedy, 1000, &b);
		}
		t_eq(sample(&params, 1000, &a), sample(&params, 1000, &b));
	}
	for (uint64_t seed = 0; seed < 50; seed++) {
		eng_rng_init(&a, seed);
		eng_rng_init(&b, seed + 1);
		same += sample(&params, 1000, &a) == sample(&params, 1000, &b);
	}
	t_ok(same < 10);
}

static void penalty_counts_once_and_looks_back_so_far(void)
{
	const uint32_t history[] = { 3, 1, 1, 2, 9999 };
	struct eng_sampling params = PLAIN;
	struct eng_rng rng;

	eng_rng_init(&rng, 1);
	t_need(remake(5));
	params.temperature = 0;
	params.repeat_penalty = 2;
	params.repeat_last = 4;		/* not the 3 */
	for (uint32_t i = 0; i < 5; i++)
		logits[i] = 1;
	logits[1] = 3.9f;
	logits[2] = -1;
	logits[3] = 1.9f;
	memcpy(work, logits, sizeof(work));
	t_eq(eng_sample(sampler, &params, work, history, 5, &rng), 1);
	t_near(work[1], 1.95, 1e-6);	/* once, though twice in the history */
	t_near(work[2], -2, 0);
	t_near(work[3], 1.9, 1e-6);
	logits[3] = 1.96f;
	memcpy(work, logits, sizeof(work));
	t_eq(eng_sample(sampler, &params, work, history, 5, &rng), 3);
	params.repeat_last = 5;
	memcpy(work, logits, sizeof(work));
	t_eq(eng_sample(sampler, &params, work, history, 5, &rng), 1);
	t_near(work[3], 0.98, 1e-6);
}

static void broken_logits_refused(void)
{
	const float bad[] = { NAN, INFINITY, -NAN };
	struct eng_sampling params = PLAIN;
	struct eng_rng rng;
	float logprob;

	eng_rng_init(&rng, 1);
	t_need(remake(200));
	for (uint32_t i = 0; i < 200 * 3; i++) {
		random_logits(200, i, 4);
		logits[i % 200] = bad[i / 200];
		t_need(sample(&params, 200, &rng) == -EDOM);
		t_need(eng_logprobs(sampler, logits, 0, &logprob, NULL, 0) == -EDOM);
	}
	for (uint32_t i = 0; i < 200; i++)
		logits[i] = -INFINITY;
	t_eq(sample(&params, 200, &rng), -EDOM);
	params.temperature = 0;
	t_eq(sample(&params, 200, &rng), -EDOM);
	/* one token left: it is the answer on each path */
	logits[150] = -3;
	t_eq(sample(&params, 200, &rng), 150);
	params.temperature = 1;
	t_eq(sample(&params, 200, &rng), 150);
	params.top_k = 20;
	t_eq(sample(&params, 200, &rng), 150);
	params.top_k = 0;
	params.top_p = 0.9f;
	t_eq(sample(&params, 200, &rng), 150);
	params.top_p = 1;
	params.min_p = 0.1f;
	t_eq(sample(&params, 200, &rng), 150);
}

static void logprobs_match_naive(void)
{
	static const uint32_t vocabs[] = { 1, 64, 100, VOCAB_MAX };
	struct eng_top top[100];
	float logprob;

	for (uint32_t v = 0; v < 4; v++) {
		uint32_t vocab = vocabs[v], count = vocab < 100 ? vocab : 100;
		double log_total;

		t_need(remake(vocab));
		random_logits(vocab, v, 6);
		for (uint32_t i = 0; i < vocab; i += 5)
			logits[i] = floorf(logits[i]);	/* ties */
		naive_run(logits, vocab, &PLAIN);
		log_total = log(head_sum(vocab)) + (double)logits[naive.token[0]];
		t_need(eng_logprobs(sampler, logits, vocab / 2, &logprob, top, count) == 0);
		t_near(logprob, (double)logits[vocab / 2] - log_total, 2e-6);
		for (uint32_t i = 0; i < count; i++) {
			t_eq(top[i].token, naive.token[i]);
			t_near(top[i].logprob, (double)logits[naive.token[i]] - log_total, 2e-6);
		}
	}
	t_eq(eng_logprobs(sampler, logits, VOCAB_MAX, &logprob, NULL, 0), -EINVAL);
	t_eq(eng_logprobs(sampler, logits, 0, &logprob, top, VOCAB_MAX + 1), -EINVAL);
}

/* Logits far from zero must not overflow on the way. */
static void large_logits(void)
{
	struct eng_sampling params = PLAIN;
	struct eng_rng rng;
	float logprob;

	eng_rng_init(&rng, 5);
	t_need(remake(128));
	for (uint32_t i = 0; i < 128; i++)
		logits[i] = -3e38f;
	logits[100] = 3e38f;
	for (uint32_t i = 0; i < 20; i++)
		t_eq(sample(&params, 128, &rng), 100);
	t_eq(eng_logprobs(sampler, logits, 100, &logprob, NULL, 0), 0);
	t_near(logprob, 0, 1e-7);
}

int main(void)
{
	T_RUN(greedy_and_ties);
	T_RUN(cuts_match_naive);
	T_RUN(top_k_keeps_exactly_k);
	T_RUN(distributions_fit);
	T_RUN(draws_depend_on_seed_and_index);
	T_RUN(penalty_counts_once_and_looks_back_so_far);
	T_RUN(broken_logits_refused);
	T_RUN(logprobs_match_naive);
	T_RUN(large_logits);
	eng_sampler_free(&sampler);
	return t_done();
}
