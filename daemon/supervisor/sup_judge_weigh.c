/* SPDX-License-Identifier: MIT */
/*
 * sup_judge_weigh.c: what a look may reject on, and how findings are worded. Alpha is split evenly over
 * the tests, and over looks by a spending function of the information so far (Lan and DeMets, Biometrika
 * 70, 1983; the power family of Kim and DeMets, Biometrika 74, 1987): a look may use only what its new
 * information adds. The union bound over looks and tests is kept, so dependence cannot break it.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sup_judge_priv.h"

#define RESERVE		0.25	/* of alpha: for looks past the planned information */
#define GROWTH		1.5	/* a test waits until this cut's evidence grew as much: few looks cost little */

/* The p below which this look may reject; 0: it may not. @info: pairs' worth so far. */
double judge_alpha_now(struct judge_look *look, uint32_t test, double info)
{
	struct sup_judge *judge = look->judge;
	struct judge_spend *spend = &judge->spend[test];
	double share = judge->conf.alpha / JUDGE_TESTS, power = judge->conf.spend_power;
	double evidence = (double)judge->cut_shares[JUDGE_ERRORS][SUP_JUDGE_CANDIDATE].n;
	double t = info / (judge->conf.samples_full / 2.0), alpha;

	if (MUTANT(MUTANT_LOOKS))
		return judge->conf.alpha;
	if (spend->tested > 0 && evidence < GROWTH * spend->tested)
		return 0;
	t = t < 1 ? t : 1;
	if (t > spend->t) {
		alpha = (1 - RESERVE) * share * (pow(t, power) - pow(spend->t, power));
		spend->t = t;
	} else if (t >= 1 || (look->flags & SUP_JUDGE_ALONE)) {
		spend->after++;		/* 1/2 + 1/6 + 1/12 + ... = 1, however many follow */
		alpha = RESERVE * share / ((double)spend->after * (spend->after + 1));
	} else {
		return 0;
	}
	spend->tested = evidence;
	return alpha;
}

bool judge_enough(const struct judge_look *look, uint64_t candidate, uint64_t stable)
{
	uint64_t least = look->judge->conf.samples_min;

	return MUTANT(MUTANT_MINIMUM) || (candidate >= least && stable >= least);
}

/* @z with what sessions add to the uncertainty of test @test. */
static double session_z(const struct judge_look *look, uint32_t test, double z, double var)
{
	if (!look->judge->sessions || MUTANT(MUTANT_SESSIONS))
		return z;
	return judge_cluster_z(&look->sums->cluster[test], z, var);
}

double judge_time_z(const struct judge_look *look, enum sup_judge_time time, uint32_t ratio)
{
	const struct judge_rank *rank = &look->sums->rank[time];

	return session_z(look, time, judge_rank_z(rank, ratio), rank->var[look->judge->ratio_one]);
}

/* Of the difference less @excluded. No events at all: their variance is that of one. */
double judge_look_share_z(const struct judge_look *look, enum sup_judge_share_kind kind, double excluded)
{
	const struct judge_share *share = &look->sums->share[kind];
	double var = share->var > 0.25 ? share->var : 0.25;

	return session_z(look, JUDGE_TIMES + kind, (share->diff - excluded * share->info) / sqrt(var), var);
}

/* The exact chance, or the one that sessions leave, whichever says less. */
double judge_look_share_p(const struct judge_look *look, enum sup_judge_share_kind kind)
{
	const struct judge_share *share = &look->sums->share[kind];
	double p = judge_share_p(share), z;

	if (!look->judge->sessions || MUTANT(MUTANT_SESSIONS) || !(share->var > 0))
		return p;
	z = ((double)share->all[SUP_JUDGE_CANDIDATE].x - share->mean - 0.5) / sqrt(share->var);
	z = judge_normal_tail(session_z(look, JUDGE_TIMES + kind, z, share->var));
	return p > z ? p : z;
}

/* ---- words ----------------------------------------------------------------------------------- */

/* ms below which a share @q of a cohort's requests since the cut lie; NAN: none. */
double judge_quantile(const struct sup_judge *judge, uint32_t histogram, uint32_t cohort, double q)
{
	const uint32_t *buckets = judge->buckets[histogram][cohort];
	double all = 0, below = 0;

	for (uint32_t i = 0; i < JUDGE_BUCKETS; i++)
		all += buckets[i];
	for (uint32_t i = 0; i < JUDGE_BUCKETS; below += buckets[i++])
		if (buckets[i] && below + buckets[i] >= q * all)
			return exp2((i + (q * all - below) / buckets[i]) / 16) / 1e6;
	return NAN;
}

/* " p 0.0003 < 0.0011": appended to what a finding says. */
void judge_say_p(struct sup_judge_finding *f, double p, double p_limit)
{
	size_t used = strlen(f->text);

	f->p = p;
	f->p_limit = p_limit;
	if (p_limit > 0)
		snprintf(f->text + used, sizeof(f->text) - used, ", p %.2g %s %.2g", p,
			 p < p_limit ? "<" : ">=", p_limit);
	else
		snprintf(f->text + used, sizeof(f->text) - used, ", p %.2g", p);
}

void judge_say_more(struct sup_judge_finding *f, const char *why)
{
	size_t used = strlen(f->text);

	snprintf(f->text + used, sizeof(f->text) - used, "; %s", why);
}

double judge_rate(struct judge_count count)
{
	return count.n ? (double)count.x / (double)count.n : NAN;
}
