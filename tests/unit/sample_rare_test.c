/* SPDX-License-Identifier: MIT */
/*
 * sample_rare_test.c: bias, penalties and the cuts that few ask for, against their definitions written down
 * naively: only tokens of the right set are drawn, and, being few, each of them is.
 */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "eng_sample.h"
#include "t.h"

#define VOCAB	300u
#define DRAWS	3000u

static const struct eng_sampling PLAIN = { .temperature = 1, .top_p = 1, .repeat_penalty = 1, .repeat_last = 64 };

static float logits[VOCAB];
static double p[VOCAB];			/* softmax at the temperature, by token */
static uint32_t order[VOCAB];		/* best first */
static bool kept[VOCAB];
static struct eng_sampler *sampler;

static int by_p(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return p[x] != p[y] ? (p[x] > p[y] ? -1 : 1) : (x > y) - (x < y);
}

static void fresh(uint64_t seed, float spread, double temperature)
{
	double total = 0;

	for (uint32_t i = 0; i < VOCAB; i++) {
		logits[i] = spread * t_random_float(&seed) * t_random_float(&seed);
		order[i] = i;
		kept[i] = false;
		total += p[i] = exp((double)logits[i] / temperature);
	}
	for (uint32_t i = 0; i < VOCAB; i++)
		p[i] /= total;
	qsort(order, VOCAB, sizeof(order[0]), by_p);
}

/* Draws give tokens that are kept, each in its share. */
static void draws_fit(const struct eng_sampling *params, uint64_t seed)
{
	uint32_t hits[VOCAB] = { 0 }, outside = 0;
	struct eng_rng rng;
	double total = 0;
	float work[VOCAB];

	eng_rng_init(&rng, seed);
	for (uint32_t i = 0; i < DRAWS; i++) {
		memcpy(work, logits, sizeof(work));
		hits[eng_sample(sampler, params, work, NULL, 0, &rng)]++;
	}
	for (uint32_t i = 0; i < VOCAB; i++)
		total += kept[i] ? p[i] : 0;
	for (uint32_t i = 0; i < VOCAB; i++) {
		double wanted = kept[i] ? p[i] / total * DRAWS : 0;

		outside += kept[i] ? 0 : hits[i];
		t_ok(fabs(hits[i] - wanted) <= 6 * sqrt(wanted) + 6);	/* six deviations */
	}
	t_eq(outside, 0);
}

static void typical(void)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct eng_sampling params = PLAIN;
		double entropy = 0, sum = 0, far[VOCAB];

		params.typical_p = seed % 2 ? 0.9f : 0.3f;
		fresh(seed, 6, 1);
		for (uint32_t i = 0; i < VOCAB; i++)
			entropy -= p[i] * log(p[i]);
		for (uint32_t i = 0; i < VOCAB; i++)
			far[i] = fabs(-log(p[i]) - entropy);
		while (sum < (double)params.typical_p) {
			uint32_t best = VOCAB;

			for (uint32_t i = 0; i < VOCAB; i++)
				if (!kept[i] && (best == VOCAB || far[i] < far[best]))
					best = i;
			kept[best] = true;
			sum += p[best];
		}
		draws_fit(&params, seed);
	}
}

static void sigma(void)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct eng_sampling params = PLAIN;
		double sum = 0, squares = 0, deviation;

		params.top_n_sigma = seed % 2 ? 1 : 0.5f;
		params.temperature = seed % 3 ? 1 : 2;
		fresh(seed, 9, (double)params.temperature);
		for (uint32_t i = 0; i < VOCAB; i++) {
			sum += (double)logits[i];
			squares += (double)logits[i] * (double)logits[i];
		}
		deviation = sqrt(squares / VOCAB - sum / VOCAB * (sum / VOCAB));
		for (uint32_t i = 0; i < VOCAB; i++)
			kept[i] = (double)logits[i] >= (double)logits[order[0]] - (double)params.top_n_sigma * deviation;
		draws_fit(&params, seed);
	}
}

/* With min-p before it, so that the order of both is seen. */
static void xtc(void)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct eng_sampling params = PLAIN;
		uint32_t above = 0;
		double left = 0;

		params.xtc_probability = 1;
		params.xtc_threshold = 0.03f;
		params.min_p = 0.05f;
		fresh(seed, 9, 1);
		for (uint32_t i = 0; i < VOCAB; i++)
			left += p[i] >= 0.05 * p[order[0]] ? p[i] : 0;
		for (uint32_t i = 0; i < VOCAB; i++)
			above += p[i] >= 0.05 * p[order[0]] && p[i] / left >= (double)params.xtc_threshold;
		for (uint32_t i = above > 1 ? above - 1 : 0; i < VOCAB; i++)
			kept[order[i]] = p[order[i]] >= 0.05 * p[order[0]];
		draws_fit(&params, seed);
	}
}

/* Half of the time: the best token comes in that half alone. */
static void xtc_by_chance(void)
{
	struct eng_sampling params = PLAIN;
	uint32_t best = 0;
	struct eng_rng rng;
	float work[VOCAB];

	params.xtc_probability = 0.5f;
	params.xtc_threshold = 0.1f;
	fresh(3, 1, 1);
	logits[7] = 8;
	logits[9] = 7.9f;
	eng_rng_init(&rng, 1);
	for (uint32_t i = 0; i < DRAWS; i++) {
		memcpy(work, logits, sizeof(work));
		best += eng_sample(sampler, &params, work, NULL, 0, &rng) == 7;
	}
	t_near(best / (double)DRAWS, 0.24, 0.04);
}

/* The surprise of what is drawn follows tau: above it by what the cut takes off the distribution. */
static void mirostat(void)
{
	double last = 0;

	for (float tau = 1; tau < 4.5f; tau += 1.5f) {
		struct eng_sampling params = PLAIN;
		double surprise = 0;
		struct eng_rng rng;

		params.mirostat_tau = tau;
		params.mirostat_eta = 0.1f;
		eng_rng_init(&rng, 5);
		for (uint64_t i = 0; i < 4000; i++) {
			int64_t token;

			fresh(i % 50 + 1, 8, 1);
			token = eng_sample(sampler, &params, logits, NULL, 0, &rng);
			surprise += i < 1000 ? 0 : -log2(p[token]);
		}
		surprise /= 3000;
		t_ok(surprise > last + 0.5 && surprise < (double)tau + 2 && surprise > (double)tau - 0.5);
		last = surprise;
	}
}

/* Greedy shows the logits: the least bias that turns the choice. */
static void penalties(void)
{
	static const uint32_t history[] = { 4, 5, 5, 6, 400, 5 };
	struct eng_sampling params = PLAIN;
	struct eng_bias bias[] = { { 9, -INFINITY }, { 10, 2.5f }, { 5000, 1 } };
	struct eng_rng rng;

	params.temperature = 0;
	memset(logits, 0, sizeof(logits));
	params.bias = bias;
	params.bias_count = 3;
	logits[9] = 50;
	logits[11] = 2.4f;
	eng_rng_init(&rng, 1);
	t_eq(eng_sample(sampler, &params, logits, NULL, 0, &rng), 10);
	t_ok(logits[9] == -INFINITY);
	params = PLAIN;
	params.temperature = 0;
	params.frequency_penalty = 0.25f;
	params.presence_penalty = 0.5f;
	params.repeat_penalty = 2;
	for (uint32_t i = 0; i < VOCAB; i++)
		logits[i] = 1;
	eng_sample(sampler, &params, logits, history, 6, &rng);
	t_near((double)logits[4], 0.5 - 0.25 - 0.5, 1e-6);
	t_near((double)logits[5], 0.5 - 0.75 - 0.5, 1e-6);
	t_near((double)logits[7], 1, 0);
	params.repeat_last = 2;
	logits[5] = -1;
	logits[6] = 1;
	eng_sample(sampler, &params, logits, history, 6, &rng);
	t_near((double)logits[5], -2 - 0.25 - 0.5, 1e-6);
	t_near((double)logits[6], 1, 0);
}

static void sequences(void)
{
	/* 1 2 3 stood before 4 and, with a 9 before it, before 5; 2 3 before 6 */
	static const uint32_t history[] = { 7, 1, 2, 3, 4, 9, 1, 2, 3, 5, 0, 2, 3, 6, 9, 1, 2, 3 };
	struct eng_sampling params = PLAIN;
	uint64_t breakers[(VOCAB + 63) / 64] = { 0 };
	struct eng_rng rng;

	params.temperature = 0;
	params.dry_multiplier = 0.5f;
	params.dry_base = 2;
	params.dry_allowed = 2;
	params.dry_last = 100;
	eng_rng_init(&rng, 1);
	memset(logits, 0, sizeof(logits));
	eng_sample(sampler, &params, logits, history, 18, &rng);
	t_near((double)logits[4], -0.5 * 2, 1e-6);
	t_near((double)logits[5], -0.5 * 4, 1e-6);
	t_near((double)logits[6], -0.5, 1e-6);
	t_near((double)logits[1], 0, 0);
	memset(logits, 0, sizeof(logits));
	breakers[0] = 1u << 1;
	params.dry_breakers = breakers;		/* nothing reaches back over a 1 */
	eng_sample(sampler, &params, logits, history, 18, &rng);
	t_near((double)logits[5], -0.5, 1e-6);
	memset(logits, 0, sizeof(logits));
	params.dry_last = 8;
	params.dry_breakers = NULL;
	eng_sample(sampler, &params, logits, history, 18, &rng);
	t_near((double)logits[5], 0, 0);
	t_near((double)logits[6], -0.5, 1e-6);
}

/* One sure token: the low end; all alike: the high end. */
static void dynamic_temperature(void)
{
	struct eng_sampling params = PLAIN;

	params.dynatemp_range = 0.5f;
	params.dynatemp_exponent = 1;
	fresh(2, 0, 1.5);
	memset(kept, true, sizeof(kept));
	draws_fit(&params, 1);
	fresh(2, 0, 1);
	logits[0] = 12;				/* 300 to one: at 0.5 nothing else comes */
	memset(kept, false, sizeof(kept));
	kept[0] = true;
	draws_fit(&params, 1);
}

/* What is off takes the usual path, to the bit. */
static void off_is_off(void)
{
	struct eng_sampling params = PLAIN, off = PLAIN;
	float a[VOCAB], b[VOCAB];
	struct eng_rng x, y;

	off.typical_p = 1;
	off.dynatemp_exponent = 1;
	off.xtc_threshold = 0.5f;
	off.dry_base = 1.75f;
	fresh(4, 5, 1);
	eng_rng_init(&x, 9);
	eng_rng_init(&y, 9);
	for (uint32_t i = 0; i < 200; i++) {
		memcpy(a, logits, sizeof(a));
		memcpy(b, logits, sizeof(b));
		t_eq(eng_sample(sampler, &params, a, NULL, 0, &x), eng_sample(sampler, &off, b, NULL, 0, &y));
	}
}

int main(void)
{
	if (eng_sampler_new(&sampler, VOCAB))
		return 1;
	T_RUN(typical);
	T_RUN(sigma);
	T_RUN(xtc);
	T_RUN(xtc_by_chance);
	T_RUN(mirostat);
	T_RUN(penalties);
	T_RUN(sequences);
	T_RUN(dynamic_temperature);
	T_RUN(off_is_off);
	eng_sampler_free(&sampler);
	return t_done();
}
