/* SPDX-License-Identifier: MIT */
/*
 * eng_sample_rare.c: dynamic temperature, and the cuts that look at all likely tokens in order: top-n-sigma,
 * typical, XTC, mirostat 2. Tokens more than RANGE below the best weigh 10^-10 of it and are left out.
 */
#include <math.h>
#include <stdlib.h>

#include "eng_sample_priv.h"

#define RANGE	23.0f

/* Candidates in order, best first, with what they weigh. */
struct ranked {
	struct candidate *list;
	uint32_t count;
};

bool sample_is_rare(const struct eng_sampling *p)
{
	return p->top_n_sigma > 0 || (p->typical_p > 0 && p->typical_p < 1) || p->xtc_probability > 0 ||
	       p->mirostat_tau > 0;
}

/* Of the whole distribution at temperature 1, as a share of the greatest there could be. */
static double entropy_share(struct eng_sampler *s, const float *logits)
{
	double total = sample_weigh_all(s, logits, s->max), sum = 0;

	for (uint32_t i = 0; i < s->vocab_count; i++) {
		double x = (double)logits[i] - (double)s->max;

		if (x > -(double)RANGE)
			sum += exp(x) * x;
	}
	return s->vocab_count > 1 ? (log(total) - sum / total) / log(s->vocab_count) : 0;
}

float sample_temperature(struct eng_sampler *s, const struct eng_sampling *p, const float *logits)
{
	float low = fmaxf(p->temperature - p->dynatemp_range, 0), high = p->temperature + p->dynatemp_range;
	double share;

	if (!(p->dynatemp_range > 0))
		return p->temperature;
	share = fmax(entropy_share(s, logits), 0);
	return fmaxf(low + (high - low) * (float)pow(share, (double)p->dynatemp_exponent), 1e-3f);
}

static int by_rank(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->logit != y->logit)
		return x->logit > y->logit ? -1 : 1;
	return (x->token > y->token) - (x->token < y->token);
}

static double weight(const struct candidate *c)
{
	return exp((double)c->logit);
}

static double weigh(const struct ranked *r)
{
	double total = 0;

	for (uint32_t i = 0; i < r->count; i++)
		total += weight(&r->list[i]);
	return total;
}

/* Logits below the best by more than @n standard deviations of all that are finite. */
static float sigma_bound(const struct eng_sampler *s, const float *logits, float n)
{
	double sum = 0, squares = 0, mean;
	uint32_t count = 0;

	for (uint32_t i = 0; i < s->vocab_count; i++) {
		if (logits[i] == -INFINITY)
			continue;
		sum += (double)logits[i];
		squares += (double)logits[i] * (double)logits[i];
		count++;
	}
	mean = sum / count;
	return -n * (float)sqrt(fmax(squares / count - mean * mean, 0));
}

static struct ranked rank(struct eng_sampler *s, const struct eng_sampling *p, const float *logits)
{
	float bound = -RANGE;
	struct ranked r;

	if (p->top_n_sigma > 0)
		bound = fmaxf(bound, sigma_bound(s, logits, p->top_n_sigma));
	r.count = sample_gather(s, logits, bound);
	r.list = s->candidates;
	qsort(r.list, r.count, sizeof(*r.list), by_rank);
	if (p->top_k && p->top_k < r.count)
		r.count = p->top_k;
	return r;
}

/*
 * Keep those whose surprise is nearest to the entropy until they weigh @typical_p of all. Nearness falls
 * from one token on to both sides, so the kept ones are a run of the ranks; it grows on the nearer side.
 */
static void cut_typical(struct ranked *r, float typical_p)
{
	double total = weigh(r), entropy = 0, sum = 0;
	uint32_t low = 0, high;

	for (uint32_t i = 0; i < r->count; i++) {
		double q = weight(&r->list[i]) / total;

		entropy -= q > 0 ? q * log(q) : 0;
	}
	while (low < r->count && log(total) - (double)r->list[low].logit < entropy)
		low++;
	for (high = low; sum < (double)typical_p * total && (low > 0 || high < r->count);) {
		double before = low > 0 ? entropy - (log(total) - (double)r->list[low - 1].logit) : INFINITY;
		double behind = high < r->count ? log(total) - (double)r->list[high].logit - entropy : INFINITY;

		sum += weight(before <= behind ? &r->list[--low] : &r->list[high++]);
	}
	r->list += low;
	r->count = high - low;
}

static void cut_head(struct ranked *r, float top_p, float min_p)
{
	double limit = top_p < 1.0f ? (double)top_p * weigh(r) : INFINITY, sum = 0;
	double least = (double)min_p * weight(&r->list[0]);
	uint32_t n = 0;

	while (n < r->count && (n == 0 || (sum < limit && weight(&r->list[n]) >= least)))
		sum += weight(&r->list[n++]);
	r->count = n;
}

static void cut_xtc(struct ranked *r, float threshold)
{
	double least = (double)threshold * weigh(r);
	uint32_t above = 0;

	while (above < r->count && weight(&r->list[above]) >= least)
		above++;
	if (above < 2)
		return;
	r->list += above - 1;
	r->count -= above - 1;
}

static uint32_t draw(const struct ranked *r, double u)
{
	double left = u * weigh(r);
	uint32_t i = 0;

	while (i + 1 < r->count && left >= weight(&r->list[i]))
		left -= weight(&r->list[i++]);
	return i;
}

static uint32_t draw_mirostat(struct ranked *r, const struct eng_sampling *p, double u, struct eng_rng *rng)
{
	double mu = rng->mirostat_mu > 0 ? (double)rng->mirostat_mu : 2 * (double)p->mirostat_tau;
	double total = weigh(r), log2_e = 1.4426950408889634;
	uint32_t n = 1, chosen;

	while (n < r->count && (log(total) - (double)r->list[n].logit) * log2_e <= mu)
		n++;
	r->count = n;
	chosen = draw(r, u);
	/* its surprise among those that were left */
	mu -= (double)p->mirostat_eta *
	      ((log(weigh(r)) - (double)r->list[chosen].logit) * log2_e - (double)p->mirostat_tau);
	rng->mirostat_mu = fmaxf((float)mu, 1e-3f);
	return r->list[chosen].token;
}

uint32_t sample_rarely(struct eng_sampler *s, const struct eng_sampling *p, const float *logits, double u,
		       double xtc, struct eng_rng *rng)
{
	struct ranked r = rank(s, p, logits);

	if (p->mirostat_tau > 0)
		return draw_mirostat(&r, p, u, rng);
	if (p->typical_p > 0 && p->typical_p < 1)
		cut_typical(&r, p->typical_p);
	cut_head(&r, p->top_p, p->min_p);
	if (xtc < (double)p->xtc_probability)
		cut_xtc(&r, p->xtc_threshold);
	return r.list[draw(&r, u)].token;
}
