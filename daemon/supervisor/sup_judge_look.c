/* SPDX-License-Identifier: MIT */
/* sup_judge_look.c: findings on shares of requests, and the verdict over all findings. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sup_judge_priv.h"

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

/* ---- shares ---------------------------------------------------------------------------------- */

struct share_bounds {
	double limit, tolerated, excluded;	/* of the candidate's rate; of the difference */
};

static struct share_bounds share_bounds(const struct sup_judge_conf *conf, enum sup_judge_share_kind kind)
{
	switch (kind) {
	case JUDGE_ERRORS:
		return (struct share_bounds){ conf->error_rate_max, conf->error_rate_tolerated, conf->error_rate_excluded };
	case JUDGE_EMPTY:
		return (struct share_bounds){ conf->empty_rate_max, conf->empty_rate_tolerated, 1 };
	case JUDGE_REPEATING:
		return (struct share_bounds){ conf->repeating_rate_max, conf->repeating_rate_tolerated, 1 };
	default:
		return (struct share_bounds){ 0.05, 1, 1 };	/* p95; the ranks compare it with stable */
	}
}

/* A finding's figures before words. */
struct share_case {
	struct share_bounds bounds;
	struct judge_count now[2];	/* since the cut */
	double diff, p, p_limit;	/* against stable, in the whole release */
	double p_over;			/* against the limit, since the cut */
	double z_excluded;		/* of the difference, against the one to be excluded */
	bool strict;
	bool compared;		/* with stable, earlier in this release */
};

static enum sup_judge_verdict_kind weigh_share(const struct judge_look *look, const struct share_case *c,
					       const char **why)
{
	double hold_p = look->judge->conf.hold_p, mine = judge_rate(c->now[SUP_JUDGE_CANDIDATE]);
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
	if (!alone && (look->flags & SUP_JUDGE_FULL) && c->z_excluded > -EXCLUDED_Z && !MUTANT(MUTANT_MINIMUM)) {
		*why = "more requests are needed to exclude an increase that matters";
		return SUP_JUDGE_INCONCLUSIVE;
	}
	if (mine > c->bounds.limit && (c->strict || !(judge_rate(c->now[SUP_JUDGE_STABLE]) > c->bounds.limit))) {
		*why = "over the limit, perhaps by chance or as stable is";
		return c->strict || c->p_over < hold_p ? SUP_JUDGE_INCONCLUSIVE : SUP_JUDGE_PASS;
	}
	if (mine > c->bounds.limit)
		*why = "stable is over the limit too: only the comparison counts";
	return SUP_JUDGE_PASS;
}

static void say_share(struct judge_look *look, enum sup_judge_share_kind kind, const struct share_case *c,
		      enum sup_judge_verdict_kind verdict, const char *why)
{
	double stable = judge_rate(c->now[SUP_JUDGE_STABLE]), candidate = judge_rate(c->now[SUP_JUDGE_CANDIDATE]);
	const struct share_rule *rule = &share_rules[kind];
	double limit = c->bounds.limit;
	struct sup_judge_finding *f;
	char against[32] = "";

	if (kind == JUDGE_LATE) {
		stable = judge_quantile(look->judge, JUDGE_TIMES, SUP_JUDGE_STABLE, 0.95);
		candidate = judge_quantile(look->judge, JUDGE_TIMES, SUP_JUDGE_CANDIDATE, 0.95);
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
	judge_say_p(f, (look->flags & SUP_JUDGE_ALONE) ? c->p_over : c->p, c->p_limit);
	if (why)
		judge_say_more(f, why);
}

static void look_share(struct judge_look *look, enum sup_judge_share_kind kind)
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
	    !judge_enough(look, share->all[SUP_JUDGE_CANDIDATE].n, share->all[SUP_JUDGE_STABLE].n))
		return;		/* "samples" says so */
	c.compared = share->info > 0;
	c.diff = c.compared ? share->diff / share->info : 0;
	c.z_excluded = judge_look_share_z(look, kind, c.bounds.excluded);
	c.p = judge_look_share_p(look, kind);
	c.p_over = judge_binomial_p(c.now[SUP_JUDGE_CANDIDATE], c.bounds.limit);
	c.p_limit = judge_alpha_now(look, JUDGE_TIMES + kind, share->info);
	verdict = weigh_share(look, &c, &why);
	say_share(look, kind, &c, verdict, why);
}

/* ---- all ------------------------------------------------------------------------------------- */

static void look_hard(struct judge_look *look)
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

static void look_samples(struct judge_look *look)
{
	const struct sup_judge *judge = look->judge;
	const struct judge_count *now = judge->cut_shares[JUDGE_ERRORS];
	bool alone = look->flags & SUP_JUDGE_ALONE;
	double worth = 2 * look->sums->share[JUDGE_ERRORS].info;

	if (!judge_enough(look, now[SUP_JUDGE_CANDIDATE].n, alone ? UINT64_MAX : now[SUP_JUDGE_STABLE].n))
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
static void look_traffic(struct judge_look *look)
{
	const struct sup_judge_conf *conf = &look->judge->conf;

	look_samples(look);
	for (uint32_t k = 0; k < JUDGE_COUNTED; k++)
		if (k != JUDGE_LATE || conf->first_token_p95_ms > 0)
			look_share(look, k);
	if (look->flags & SUP_JUDGE_ALONE)
		return;
	judge_look_time(look, JUDGE_STEP);
	if (!conf->wall_times)
		return;
	for (uint32_t t = JUDGE_FIRST; t < JUDGE_TIMES; t++)
		judge_look_time(look, t);
	judge_look_tail(look, JUDGE_TAIL_FIRST, "first_token_tail", "first token");
	judge_look_tail(look, JUDGE_TAIL_TOKEN, "token_time_tail", "time per token");
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
	struct judge_look look = { judge, &judge->scratch, verdict, flags };

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
