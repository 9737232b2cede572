/* SPDX-License-Identifier: MIT */
/* sup_judge_time.c: findings on times: the rank test, and who makes up the slowest twentieth. */
#include <math.h>
#include <stddef.h>

#include "sup_judge_priv.h"

static enum sup_judge_verdict_kind weigh_time(const struct judge_look *look, enum sup_judge_time time,
					      double p, double p_limit, const char **why)
{
	const struct judge_rank *rank = &look->sums->rank[time];
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
	    judge_time_z(look, time, judge->ratio_excluded) > -EXCLUDED_Z) {
		*why = "more requests are needed to exclude a slowdown that matters";
		return SUP_JUDGE_INCONCLUSIVE;
	}
	return SUP_JUDGE_PASS;
}

void judge_look_time(struct judge_look *look, enum sup_judge_time time)
{
	static const char *const names[JUDGE_TIMES] = {
		"engine_time", "first_token", "token_time", "total_per_token",
	};
	static const char *const words[JUDGE_TIMES] = {
		"engine time", "first token", "time per token", "total per token",
	};
	const struct judge_rank *rank = &look->sums->rank[time];
	const struct sup_judge *judge = look->judge;
	double stable = judge_quantile(judge, time, SUP_JUDGE_STABLE, 0.5);
	double candidate = judge_quantile(judge, time, SUP_JUDGE_CANDIDATE, 0.5);
	double ratio = judge_rank_ratio(rank, judge->ratios), p, p_limit;
	struct sup_judge_finding *f;
	const char *why;

	/* a time that few requests have (replies of one token, say) tells nothing */
	if (judge->time_counts[time] * 10 < judge->counts[0] + judge->counts[1]) {
		if (time == JUDGE_STEP && look->flags & SUP_JUDGE_FULL && !judge->conf.wall_times)
			judge_finding(look->verdict, names[time], SUP_JUDGE_INCONCLUSIVE,
				      "engine time: too few steps of both versions beside each other to compare");
		return;
	}
	if (isnan(candidate) && !isnan(stable) && judge->cut_shares[JUDGE_ERRORS][SUP_JUDGE_CANDIDATE].n)
		judge_finding(look->verdict, names[time], SUP_JUDGE_INCONCLUSIVE,
			      "%s: no reply of the candidate has one, unlike stable's", words[time]);
	if (isnan(stable) || isnan(candidate))
		return;		/* "samples" says so, or the line above */
	if (!judge_enough(look, rank->n[SUP_JUDGE_CANDIDATE], rank->n[SUP_JUDGE_STABLE])) {
		judge_finding(look->verdict, names[time], SUP_JUDGE_INCONCLUSIVE,
			      "%s: %llu requests to compare with %llu, %u needed", words[time],
			      (unsigned long long)rank->n[SUP_JUDGE_CANDIDATE],
			      (unsigned long long)rank->n[SUP_JUDGE_STABLE], judge->conf.samples_min);
		return;
	}
	p = judge_normal_tail(judge_time_z(look, time, judge->ratio_one));
	p_limit = judge_alpha_now(look, time, rank->info);
	f = judge_finding(look->verdict, names[time], weigh_time(look, time, p, p_limit, &why),
			  time == JUDGE_STEP ?
			  "%s: median %.3g x and %.3g x what stable usually takes, slower %.3g x, tolerated %.3g x, rank test" :
			  "%s: median %.3g ms against %.3g ms, like with like %.3g x, tolerated %.3g x, rank test",
			  words[time], candidate, stable, ratio, judge->conf.slowdown_tolerated);
	f->stable = stable;
	f->candidate = candidate;
	f->statistic = ratio;
	f->limit = judge->conf.slowdown_tolerated;
	judge_say_p(f, p, p_limit);
	if (why)
		judge_say_more(f, why);
}

/*
 * Of the slowest twentieth, does the candidate have more than its part? It matters when it still has so
 * once its times are divided by the tolerated slowdown.
 */
void judge_look_tail(struct judge_look *look, enum sup_judge_share_kind kind, const char *name,
		     const char *words)
{
	const struct judge_share *share = &look->sums->share[kind];
	const struct sup_judge_conf *conf = &look->judge->conf;
	enum sup_judge_verdict_kind verdict = SUP_JUDGE_PASS;
	double over, p, p_limit;
	struct sup_judge_finding *f;

	if (share->info == 0 ||
	    !judge_enough(look, share->all[SUP_JUDGE_CANDIDATE].n, share->all[SUP_JUDGE_STABLE].n))
		return;		/* the time itself says so */
	over = look->sums->tail_over[kind - JUDGE_COUNTED] / share->info;
	p = judge_look_share_p(look, kind);
	p_limit = judge_alpha_now(look, JUDGE_TIMES + kind, share->info);
	if (over > conf->tail_tolerated || MUTANT(MUTANT_TOLERANCE))
		verdict = p < p_limit ? SUP_JUDGE_FAIL :
			  p < conf->hold_p ? SUP_JUDGE_INCONCLUSIVE : SUP_JUDGE_PASS;
	f = judge_finding(look->verdict, name, verdict,
			  "%s: %.3g %% of the candidate's and %.3g %% of stable's are in the slowest 5 %%, "
			  "exact test", words, 100 * judge_rate(share->all[SUP_JUDGE_CANDIDATE]),
			  100 * judge_rate(share->all[SUP_JUDGE_STABLE]));
	f->stable = judge_rate(share->all[SUP_JUDGE_STABLE]);
	f->candidate = judge_rate(share->all[SUP_JUDGE_CANDIDATE]);
	f->statistic = over;
	f->limit = conf->tail_tolerated;
	judge_say_p(f, p, p_limit);
}
