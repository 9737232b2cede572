/* SPDX-License-Identifier: MIT */
/*
 * sup_judge.h: is the candidate of a release as good as the stable version? A pure calculation over
 * the requests that ended: no I/O, no clock, no globals. JUDGE.md has the formulas, the papers and
 * the measured operating characteristics.
 *
 *	sup_judge_init(judge, &conf);			at the start of the release
 *	sup_judge_cut(judge, now);			at each step, after the split changed
 *	sup_judge_add(judge, &sample);			for each request of either cohort
 *	sup_judge_look(judge, flags, &verdict);		once per interval; only PASS promotes
 *
 * Measured by tests/judge/sim.c with the defaults, steps 1, 5, 25, 50, 100 % and eight kinds of traffic:
 * 0.24 % of 10,000 equal versions are rolled back; of versions 10 % slower (in all, per token only, to the
 * first token only) 99.96, 99.9 and 99.7 %, and all with 3 points more errors. Few requests always hold.
 */
#ifndef SUP_JUDGE_H
#define SUP_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#define SUP_JUDGE_BLOCK		4096u	/* samples of the present block */
#define SUP_JUDGE_RATIOS	7u	/* slowdowns at which ranks are compared */
#define SUP_JUDGE_EXACT		512u	/* events up to which shares are compared exactly */
#define SUP_JUDGE_SESSIONS	1024u	/* counters of sessions; those beyond share them */
#define SUP_JUDGE_HOOKS		8u
#define SUP_JUDGE_FINDINGS	32u
#define SUP_JUDGE_NAME_BYTES	32u
#define SUP_JUDGE_TEXT_BYTES	224u

enum sup_judge_cohort { SUP_JUDGE_STABLE, SUP_JUDGE_CANDIDATE };
enum sup_judge_verdict_kind { SUP_JUDGE_PASS, SUP_JUDGE_INCONCLUSIVE, SUP_JUDGE_FAIL };
enum sup_judge_outcome { SUP_JUDGE_OK, SUP_JUDGE_FAILED, SUP_JUDGE_CANCELLED };
enum sup_judge_hard { SUP_JUDGE_NAN, SUP_JUDGE_CRASH, SUP_JUDGE_HASH, SUP_JUDGE_HARDS };

/* Flags of a sample. */
#define SUP_JUDGE_S_EMPTY	1u	/* a reply without a token */
#define SUP_JUDGE_S_REPEATING	2u	/* it repeated itself to the end */
#define SUP_JUDGE_S_NAN		4u	/* NaN or infinite logits */

/* Flags of a look. */
#define SUP_JUDGE_FULL		1u	/* a pass moves all traffic: the full evidence is needed */
#define SUP_JUDGE_ALONE		2u	/* all traffic is on the candidate: only limits are tested */
#define SUP_JUDGE_UNROUTED	4u	/* none is: only comparisons, and those are needed */

/* Rates are shares of requests, 0..1. */
struct sup_judge_conf {
	double alpha;			/* chance of a false rollback in a whole release, all tests */
	double spend_power;		/* of the spending function: 1 linear; more: later */
	double hold_p;			/* a plain p below this holds, when the tolerance is exceeded */
	uint32_t samples_min;		/* per cohort: below, nothing is decided */
	uint32_t samples_full;		/* worth in pairs before all traffic moves: 2nm/(n+m) */
	/*
	 * Compare latencies too. Versions that share a worker wait for each other's steps: the one with
	 * less traffic waits more, and a slow one makes both slow. Only where each has its own workers.
	 */
	bool wall_times;
	double slowdown_tolerated;	/* ratio; what is significant but smaller is no failure */
	double slowdown_excluded;	/* ratio; what must be excluded before all traffic moves */
	double tail_tolerated;		/* share of requests that may be slow so, yet rare */
	double first_token_p95_ms;	/* limit; 0: none */
	double error_rate_max, error_rate_tolerated;	/* limit; difference to stable */
	double error_rate_excluded;	/* difference to be excluded before all traffic moves */
	double empty_rate_max, empty_rate_tolerated;
	double repeating_rate_max, repeating_rate_tolerated;
	uint32_t shadow_samples_min;	/* comparisons; below, they decide nothing */
	bool shadow_required;		/* without as many comparisons nothing passes */
	double kl_max;			/* mean, nats per token */
	double top1_min;		/* share of tokens on which both agree */
	double perplexity_ratio_max;	/* candidate's over stable's, on the live tokens */
	uint64_t block_ns;		/* requests this near in time are compared with each other... */
	uint32_t block_samples;		/* ... or these many, when fewer come */
};

/* One request that ended. Times run from its submission; first_token_ns 0: there was none. */
struct sup_judge_sample {
	enum sup_judge_cohort cohort;
	enum sup_judge_outcome outcome;
	uint32_t flags;			/* SUP_JUDGE_S_* */
	uint64_t session;		/* hash of the key that its cohort stuck to; 0: none */
	uint64_t ended_ns;		/* when; any clock that only grows */
	uint64_t queue_ns, first_token_ns, total_ns;
	/* engine time of its steps, and what stable's take for the same at that time; 0: unknown */
	uint64_t own_ns, usual_ns;
	uint32_t prompt_count, cached_count, output_count;	/* tokens */
};

/* One live reply that the candidate scored in shadow. */
struct sup_judge_comparison {
	uint32_t tokens, top1_agree, first_divergence;
	double kl_sum, kl_max;		/* nats */
	double stable_logprob_sum, candidate_logprob_sum;	/* of the live tokens; nats */
	uint64_t stable_ns, candidate_ns;
};

/* Bounds of a hook's value; NAN: none. */
struct sup_judge_limits {
	double min, max;
};

struct sup_judge_finding {
	char metric[SUP_JUDGE_NAME_BYTES];
	enum sup_judge_verdict_kind verdict;
	bool hard;
	double stable, candidate;	/* medians in ms, rates, or means; NAN: unknown */
	double statistic;		/* ratio of times, difference of rates */
	double limit;			/* of the statistic, or of the candidate's value */
	double p, p_limit;		/* NAN: no test; p_limit 0: not tested at this look */
	char text[SUP_JUDGE_TEXT_BYTES];	/* for people */
};

struct sup_judge_verdict {
	enum sup_judge_verdict_kind kind;
	bool hard;
	uint64_t stable_count, candidate_count;		/* counted in this release */
	uint32_t finding_count;
	struct sup_judge_finding findings[SUP_JUDGE_FINDINGS];	/* the worst first */
};

/* ---- state; for the judge's own files only --------------------------------------------------- */

/* JUDGE_STEP is a ratio (1e6: as fast as usual); from JUDGE_FIRST on: what passed on the wall. */
enum sup_judge_time { JUDGE_STEP, JUDGE_FIRST, JUDGE_TOKEN, JUDGE_TOTAL, JUDGE_TIMES };
enum sup_judge_share_kind {
	JUDGE_ERRORS, JUDGE_EMPTY, JUDGE_REPEATING, JUDGE_LATE, JUDGE_TAIL_FIRST, JUDGE_TAIL_TOKEN,
	JUDGE_SHARES
};
#define JUDGE_COUNTED	(JUDGE_LATE + 1)	/* shares that single requests count towards */
#define JUDGE_TESTS	(JUDGE_TIMES + JUDGE_SHARES)
#define JUDGE_BUCKETS	640u
#define JUDGE_HISTOGRAMS (JUDGE_TIMES + 1)	/* of each time, and of the first token with the queue */

/* A request in the present block. */
struct judge_value {
	float ns[JUDGE_TIMES];		/* below 0: none */
	uint8_t band[JUDGE_TIMES];
	uint8_t cohort;
	uint8_t counts, events;		/* bit k: it counts towards share k; it has the event */
	uint16_t session;
};

/* Requests and those with the event, of one cohort. */
struct judge_count {
	uint64_t n, x;
};

struct judge_rank {
	double t[SUP_JUDGE_RATIOS], var[SUP_JUDGE_RATIOS];	/* per assumed slowdown */
	double info, step;		/* sum of nm/(N+1); smallest weight of a stratum */
	uint64_t n[2];			/* values in strata that had both cohorts */
};

struct judge_share {
	double pmf[SUP_JUDGE_EXACT];	/* of the candidate's events, when both are equal */
	uint32_t pmf_count;		/* 0: too many for that; mean and var serve */
	uint64_t pmf_first;
	double mean, var, info, diff;	/* sums; info of nm/N, diff of it times the difference */
	struct judge_count all[2];	/* in strata that had both cohorts */
};

/* What each session adds to a test's sum: those who come often make it less certain. */
struct judge_cluster {
	double q[SUP_JUDGE_SESSIONS];
};

struct judge_sums {
	struct judge_cluster cluster[JUDGE_TESTS];	/* times, then shares; with sessions only */
	struct judge_rank rank[JUDGE_TIMES];
	struct judge_share share[JUDGE_SHARES];
	double tail_over[JUDGE_SHARES - JUDGE_COUNTED];	/* as diff, of what is slower than tolerated */
};

/* How much of its share of alpha a test has spent. */
struct judge_spend {
	double t;			/* information so far, 1: as planned */
	uint32_t after;			/* looks after that */
	double tested;			/* weight of this cut's evidence at the last test; 0: none */
};

struct judge_shadow {
	uint64_t n;
	double tokens, tokens2, kl, kl2, kl_tokens, agree, agree2, agree_tokens, gap, gap2, gap_tokens;
	bool broken;			/* not finite */
};

struct sup_judge {
	struct sup_judge_conf conf;
	double ratios[SUP_JUDGE_RATIOS];
	uint32_t ratio_one, ratio_tolerated, ratio_excluded;
	uint64_t cut_ns;
	/* the present block */
	uint64_t block_begin_ns;
	uint32_t block_count;
	struct judge_value block[SUP_JUDGE_BLOCK];
	struct judge_sums sums, scratch;	/* blocks before; with the present one */
	/* since the cut */
	struct judge_count cut_shares[JUDGE_COUNTED][2];
	uint32_t buckets[JUDGE_HISTOGRAMS][2][JUDGE_BUCKETS];
	/* whole release */
	uint64_t counts[2], time_counts[JUDGE_TIMES], hards[SUP_JUDGE_HARDS], cancelled[2];
	bool sessions;			/* some request had one */
	struct judge_spend spend[JUDGE_TESTS];
	struct judge_shadow shadow;
	uint32_t hook_count;
	struct {
		char name[SUP_JUDGE_NAME_BYTES];
		double value;
		struct sup_judge_limits limits;
	} hooks[SUP_JUDGE_HOOKS];
};

/* ---- the interface --------------------------------------------------------------------------- */

void sup_judge_defaults(struct sup_judge_conf *conf);
/*
 * Begin a release. @judge is the caller's memory, about 350 KiB; nothing is to be freed. 0, or
 * -EINVAL with the wrong field's name in *@field.
 */
int sup_judge_init(struct sup_judge *judge, const struct sup_judge_conf *conf, const char **field);
/* The split has changed at @now_ns (clock of ended_ns): requests that began before count no more. */
void sup_judge_cut(struct sup_judge *judge, uint64_t now_ns);
void sup_judge_add(struct sup_judge *judge, const struct sup_judge_sample *sample);
void sup_judge_compare_add(struct sup_judge *judge, const struct sup_judge_comparison *comparison);
/* The candidate did what no version may, @count times: any look fails from now on. */
void sup_judge_hard(struct sup_judge *judge, enum sup_judge_hard hard, uint64_t count);
/* Cheap, for after each request: is there reason to look, and roll back, at once? */
bool sup_judge_is_hard(const struct sup_judge *judge);
/*
 * The latest @value of an operator's hook; NAN: it gave none. A value outside fails, whatever the
 * traffic. 0; -ENOSPC after SUP_JUDGE_HOOKS names, -EINVAL for a name empty or too long.
 */
int sup_judge_metric(struct sup_judge *judge, const char *name, double value,
		     struct sup_judge_limits limits);
/* Hooks and their values are forgotten: others are asked from now on. */
void sup_judge_metrics_clear(struct sup_judge *judge);
/* Weigh all evidence. Each call may spend from alpha: call it once per interval. */
void sup_judge_look(struct sup_judge *judge, uint32_t flags, struct sup_judge_verdict *verdict);
const char *sup_judge_verdict_name(enum sup_judge_verdict_kind kind);

#endif
