/* SPDX-License-Identifier: MIT */
/*
 * sup_judge_look.c: verdicts. Alpha is split evenly over the tests, and over looks by a spending
 * function of the information so far (Lan and DeMets, Biometrika 70, 1983; the power family of Kim and
 * DeMets, Biometrika 74, 1987): a look may use only what its new information adds. The union bound over
 * looks and tests is kept, so dependence between them cannot break it.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sup_judge_priv.h"

#define RESERVE		0.25	/* of alpha: for looks past the planned information */
#define GROWTH		1.5	/* a test waits until this cut's evidence grew as much: few looks cost little */
#define EXCLUDED_Z	1.645	/* one-sided 5 % */

struct look {
	struct sup_judge *judge;
	const struct judge_sums *sums;
	struct sup_judge_verdict *verdict;
	uint32_t flags;
};

static const struct share_rule {
	const char *name, *words;
	bool strict;		/* over the limit it never passes, even when stable is as bad */
} share_rules[JUDGE_COUNTED] = {
	[JUDGE_ERRORS] = { "errors", "failed requests", true },
	[JUDGE_EMPTY] = { "empty", "empty replies", false },
	[JUDGE_REPEATING] = { "repeating", "repeating replies", false },
	[JUDGE_LATE] = { "first_token_p95", "first tokens over the limit", false },
};

const char *sup_judge_verdict_name(enum sup_judge_verdict_kind kind)
{
	static const char *const names[] = { "pass", "inconclusive", "fail" };

	return names[kind];
}

/* ---- what may be spent ----------------------------------------------------------------------- */

/* The p below which this look may reject; 0: it may not. @info: pairs' worth so far. */
static double alpha_now(struct look *look, uint32_t test, double info)
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

/* ---- words ----------------------------------------------------------------------------------- */

/* ms below which a share @q of a cohort's requests since the cut lie; NAN: none. */
static double quantile(const struct sup_judge *judge, uint32_t histogram, uint32_t cohort, double q)
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
static void say_p(struct sup_judge_finding *f, double p, double p_limit)
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

static void say_more(struct sup_judge_finding *f, const char *why)
{
	size_t used = strlen(f->text);

	snprintf(f->text + used, sizeof(f->text) - used, "; %s", why);
}

/* ---- times ----------------------------------------------------------------------------------- */

static bool enough(const struct look *look, uint64_t candidate, uint64_t stable)
{
	uint64_t least = look->judge->conf.samples_min;

	return MUTANT(MUTANT_MINIMUM) || (candidate >= least && stable >= least);
}

static enum sup_judge_verdict_kind weigh_time(const struct look *look, const struct judge_rank *rank, double p,
					      double p_limit, const char **why)
{
	const struct sup_judge *judge = look->judge;
	bool over = rank->t[judge->ratio_tolerated] > 0 || MUTANT(MUTANT_TOLERANCE);

	*why = NULL;
	if (over && p < p_limit)
		return SUP_JUDGE_FAIL;
	if (over && p < judge->conf.hold_p) {
		*why = "looks slower: more requests will tell";
		return SUP_JUDGE_INCONCLUSIVE;
	}
	if ((look->flags & SUP_JUDGE_FULL) && !MUTANT(MUTANT_MINIMUM) &&
	    judge_rank_z(rank, judge->ratio_excluded) > -EXCLUDED_Z) {
		*why = "more requests are needed to exclude a slowdown that matters";
		return SUP_JUDGE_INCONCLUSIVE;
	}
	return SUP_JUDGE_PASS;
}

static void look_time(struct look *look, enum sup_judge_time time)
{
	static const char *const names[JUDGE_TIMES] = { "first_token", "token_time", "total_per_token" };
	static const char *const words[JUDGE_TIMES] = { "first token", "time per token", "total per token" };
	const struct judge_rank *rank = &look->sums->rank[time];
	const struct sup_judge *judge = look->judge;
	double stable = quantile(judge, time, SUP_JUDGE_STABLE, 0.5);
	double candidate = quantile(judge, time, SUP_JUDGE_CANDIDATE, 0.5);
	double ratio = judge_rank_ratio(rank, judge->ratios), p, p_limit;
	struct sup_judge_finding *f;
	const char *why;

	/* a time that few requests have (replies of one token, say) tells nothing */
	if (judge->time_counts[time] * 10 < judge->counts[0] + judge->counts[1])
		return;
	if (isnan(stable) || isnan(candidate))
		return;		/* nothing at this step; "samples" says so */
	if (!enough(look, rank->n[SUP_JUDGE_CANDIDATE], rank->n[SUP_JUDGE_STABLE])) {
		judge_finding(look->verdict, names[time], SUP_JUDGE_INCONCLUSIVE,
			      "%s: %llu requests to compare with %llu, %u needed", words[time],
			      (unsigned long long)rank->n[SUP_JUDGE_CANDIDATE],
			      (unsigned long long)rank->n[SUP_JUDGE_STABLE], judge->conf.samples_min);
		return;
	}
	p = judge_normal_tail(judge_rank_z(rank, judge->ratio_one));
	p_limit = alpha_now(look, time, rank->info);
	f = judge_finding(look->verdict, names[time], weigh_time(look, rank, p, p_limit, &why),
			  "%s: median %.3g ms against %.3g ms, like with like %.3g x, tolerated %.3g x, rank test",
			  words[time], candidate, stable, ratio, judge->conf.slowdown_tolerated);
	f->stable = stable;
	f->candidate = candidate;
	f->statistic = ratio;
	f->limit = judge->conf.slowdown_tolerated;
	say_p(f, p, p_limit);
	if (why)
		say_more(f, why);
}

/* ---- shares ---------------------------------------------------------------------------------- */

static double rate(struct judge_count count)
{
	return count.n ? (double)count.x / (double)count.n : NAN;
}

/*
 * Of the slowest twentieth, does the candidate have more than its part? It matters when it still has so
 * once its times are divided by the tolerated slowdown.
 */
static void look_tail(struct look *look, enum sup_judge_share_kind kind, const char *name, const char *words)
{
	const struct judge_share *share = &look->sums->share[kind];
	const struct sup_judge_conf *conf = &look->judge->conf;
	enum sup_judge_verdict_kind verdict = SUP_JUDGE_PASS;
	double over, p, p_limit;
	struct sup_judge_finding *f;

	if (!enough(look, share->all[SUP_JUDGE_CANDIDATE].n, share->all[SUP_JUDGE_STABLE].n) || share->info == 0)
		return;		/* the time itself says so */
	over = look->sums->tail_over[kind - JUDGE_COUNTED] / share->info;
	p = judge_share_p(share);
	p_limit = alpha_now(look, JUDGE_TIMES + kind, share->info);
	if (over > conf->tail_tolerated || MUTANT(MUTANT_TOLERANCE))
		verdict = p < p_limit ? SUP_JUDGE_FAIL : p < conf->hold_p ? SUP_JUDGE_INCONCLUSIVE : SUP_JUDGE_PASS;
	f = judge_finding(look->verdict, name, verdict,
			  "%s: %.3g %% of the candidate's and %.3g %% of stable's are in the slowest 5 %%, "
			  "exact test", words, 100 * rate(share->all[SUP_JUDGE_CANDIDATE]),
			  100 * rate(share->all[SUP_JUDGE_STABLE]));
	f->stable = rate(share->all[SUP_JUDGE_STABLE]);
	f->candidate = rate(share->all[SUP_JUDGE_CANDIDATE]);
	f->statistic = over;
	f->limit = conf->tail_tolerated;
	say_p(f, p, p_limit);
}

struct share_bounds {
	double limit, tolerated;	/* of the candidate's rate; of the difference */
};

static struct share_bounds share_bounds(const struct sup_judge_conf *conf, enum sup_judge_share_kind kind)
{
	switch (kind) {
	case JUDGE_ERRORS:
		return (struct share_bounds){ conf->error_rate_max, conf->error_rate_tolerated };
	case JUDGE_EMPTY:
		return (struct share_bounds){ conf->empty_rate_max, conf->empty_rate_tolerated };
	case JUDGE_REPEATING:
		return (struct share_bounds){ conf->repeating_rate_max, conf->repeating_rate_tolerated };
	default:
		return (struct share_bounds){ 0.05, 1 };	/* p95; the ranks compare it with stable */
	}
}

/* A finding's figures before words. */
struct share_case {
	struct share_bounds bounds;
	struct judge_count now[2];	/* since the cut */
	double diff, p, p_limit;	/* against stable, in the whole release */
	double p_over;			/* against the limit, since the cut */
	bool strict;
	bool compared;		/* with stable, earlier in this release */
};

static enum sup_judge_verdict_kind weigh_share(const struct look *look, const struct share_case *c,
					       const char **why)
{
	double hold_p = look->judge->conf.hold_p, mine = rate(c->now[SUP_JUDGE_CANDIDATE]);
	bool alone = look->flags & SUP_JUDGE_ALONE;
	bool worse = c->diff > c->bounds.tolerated || MUTANT(MUTANT_TOLERANCE);

	*why = NULL;
	/* more load makes all slow: what was as fast as stable before is not blamed now */
	if (c->p_over < hold_p && alone && c->compared && !c->strict) {
		*why = "over the limit, with nothing to compare";
		return SUP_JUDGE_INCONCLUSIVE;
	}
	/* over the limit and not because all are: with nothing to compare, the limit alone */
	if (c->p_over < c->p_limit && (alone || c->p < c->p_limit)) {
		*why = "over the limit";
		return SUP_JUDGE_FAIL;
	}
	if (!alone && worse && c->p < c->p_limit) {
		*why = "worse than stable";
		return SUP_JUDGE_FAIL;
	}
	if (!alone && worse && c->p < hold_p) {
		*why = "looks worse: more requests will tell";
		return SUP_JUDGE_INCONCLUSIVE;
	}
	if (mine > c->bounds.limit && (c->strict || !(rate(c->now[SUP_JUDGE_STABLE]) > c->bounds.limit))) {
		*why = "over the limit, perhaps by chance or as stable is";
		return c->strict || c->p_over < hold_p ? SUP_JUDGE_INCONCLUSIVE : SUP_JUDGE_PASS;
	}
	if (mine > c->bounds.limit)
		*why = "stable is over the limit too: only the comparison counts";
	return SUP_JUDGE_PASS;
}

static void say_share(struct look *look, enum sup_judge_share_kind kind, const struct share_case *c,
		      enum sup_judge_verdict_kind verdict, const char *why)
{
	double stable = rate(c->now[SUP_JUDGE_STABLE]), candidate = rate(c->now[SUP_JUDGE_CANDIDATE]);
	const struct share_rule *rule = &share_rules[kind];
	double limit = c->bounds.limit;
	struct sup_judge_finding *f;
	char against[32] = "";

	if (kind == JUDGE_LATE) {
		stable = quantile(look->judge, JUDGE_TIMES, SUP_JUDGE_STABLE, 0.95);
		candidate = quantile(look->judge, JUDGE_TIMES, SUP_JUDGE_CANDIDATE, 0.95);
		limit = look->judge->conf.first_token_p95_ms;
		if (!isnan(stable))
			snprintf(against, sizeof(against), " against %.4g ms", stable);
		f = judge_finding(look->verdict, rule->name, verdict,
				  "first token p95 %.4g ms%s, limit %.4g ms", candidate, against, limit);
	} else {
		if (!isnan(stable))
			snprintf(against, sizeof(against), " against %.3g %%", 100 * stable);
		f = judge_finding(look->verdict, rule->name, verdict, "%s %.3g %%%s, limit %.3g %%", rule->words,
				  100 * candidate, against, 100 * limit);
	}
	f->stable = stable;
	f->candidate = candidate;
	f->statistic = c->diff;
	f->limit = limit;
	say_p(f, (look->flags & SUP_JUDGE_ALONE) ? c->p_over : c->p, c->p_limit);
	if (why)
		say_more(f, why);
}

static void look_share(struct look *look, enum sup_judge_share_kind kind)
{
	const struct judge_share *share = &look->sums->share[kind];
	const struct sup_judge *judge = look->judge;
	bool alone = look->flags & SUP_JUDGE_ALONE;
	struct share_case c = { .bounds = share_bounds(&judge->conf, kind), .strict = share_rules[kind].strict };
	enum sup_judge_verdict_kind verdict;
	const char *why;

	memcpy(c.now, judge->cut_shares[kind], sizeof(c.now));
	if (c.now[SUP_JUDGE_CANDIDATE].n == 0)
		return;
	if (alone ? c.now[SUP_JUDGE_CANDIDATE].n < judge->conf.samples_min :
	    !enough(look, share->all[SUP_JUDGE_CANDIDATE].n, share->all[SUP_JUDGE_STABLE].n))
		return;		/* "samples" says so */
	c.compared = share->info > 0;
	c.diff = c.compared ? share->diff / share->info : 0;
	c.p = judge_share_p(share);
	c.p_over = judge_binomial_p(c.now[SUP_JUDGE_CANDIDATE], c.bounds.limit);
	c.p_limit = alpha_now(look, JUDGE_TIMES + kind, share->info);
	verdict = weigh_share(look, &c, &why);
	say_share(look, kind, &c, verdict, why);
}

/* ---- all ------------------------------------------------------------------------------------- */

static void look_hard(struct look *look)
{
	static const char *const names[SUP_JUDGE_HARDS] = { "nan", "crash", "hash" };
	static const char *const words[SUP_JUDGE_HARDS] = {
		"replies with NaN or infinite logits", "crashes of a worker while the candidate ran",
		"weights with a wrong hash",
	};

	for (uint32_t i = 0; i < SUP_JUDGE_HARDS; i++) {
		struct sup_judge_finding *f;

		if (look->judge->hards[i] == 0)
			continue;
		f = judge_finding(look->verdict, names[i], SUP_JUDGE_FAIL, "%s: %llu", words[i],
				  (unsigned long long)look->judge->hards[i]);
		f->hard = true;
		f->candidate = f->statistic = (double)look->judge->hards[i];
		f->limit = 0;
	}
}

static void look_samples(struct look *look)
{
	const struct sup_judge *judge = look->judge;
	const struct judge_count *now = judge->cut_shares[JUDGE_ERRORS];
	bool alone = look->flags & SUP_JUDGE_ALONE;
	double worth = 2 * look->sums->share[JUDGE_ERRORS].info;

	if (!enough(look, now[SUP_JUDGE_CANDIDATE].n, alone ? UINT64_MAX : now[SUP_JUDGE_STABLE].n))
		judge_finding(look->verdict, "samples", SUP_JUDGE_INCONCLUSIVE,
			      "%llu requests of the candidate and %llu of stable at this step, %u needed",
			      (unsigned long long)now[SUP_JUDGE_CANDIDATE].n,
			      (unsigned long long)now[SUP_JUDGE_STABLE].n, judge->conf.samples_min);
	else if ((look->flags & SUP_JUDGE_FULL) && worth < judge->conf.samples_full && !MUTANT(MUTANT_MINIMUM))
		judge_finding(look->verdict, "samples", SUP_JUDGE_INCONCLUSIVE,
			      "requests worth %.0f on each side compared, %u needed before all traffic moves",
			      worth, judge->conf.samples_full);
}

/* What the requests that were routed tell. */
static void look_traffic(struct look *look)
{
	look_samples(look);
	for (uint32_t k = 0; k < JUDGE_COUNTED; k++)
		if (k != JUDGE_LATE || look->judge->conf.first_token_p95_ms > 0)
			look_share(look, k);
	if (!(look->flags & SUP_JUDGE_ALONE)) {
		for (uint32_t t = 0; t < JUDGE_TIMES; t++)
			look_time(look, t);
		look_tail(look, JUDGE_TAIL_FIRST, "first_token_tail", "first token");
		look_tail(look, JUDGE_TAIL_TOKEN, "token_time_tail", "time per token");
	}
}

static int worse_first(const void *a, const void *b)
{
	const struct sup_judge_finding *x = a, *y = b;

	if (x->verdict != y->verdict)
		return (int)y->verdict - (int)x->verdict;
	return (int)y->hard - (int)x->hard;
}

void sup_judge_look(struct sup_judge *judge, uint32_t flags, struct sup_judge_verdict *verdict)
{
	struct look look = { judge, &judge->scratch, verdict, flags };

	*verdict = (struct sup_judge_verdict){ .stable_count = judge->counts[SUP_JUDGE_STABLE],
					       .candidate_count = judge->counts[SUP_JUDGE_CANDIDATE] };
	judge->scratch = judge->sums;
	judge_block_fold(judge, &judge->scratch);
	look_hard(&look);
	if (!(flags & SUP_JUDGE_UNROUTED))
		look_traffic(&look);
	judge_shadow_look(judge, flags & SUP_JUDGE_UNROUTED, verdict);
	judge_hooks_look(judge, verdict);
	qsort(verdict->findings, verdict->finding_count, sizeof(verdict->findings[0]), worse_first);
	if (verdict->finding_count) {
		verdict->kind = verdict->findings[0].verdict;
		verdict->hard = verdict->findings[0].hard;
	}
}
