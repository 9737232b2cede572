/* SPDX-License-Identifier: MIT */
/* sup_judge_priv.h: between the judge's files. */
#ifndef SUP_JUDGE_PRIV_H
#define SUP_JUDGE_PRIV_H

#include "sup_judge.h"

/* The simulation is also built with one mistake at a time, and must notice each. */
#ifndef JUDGE_MUTANT
#define JUDGE_MUTANT 0
#endif
enum {
	MUTANT_LOOKS = 1,	/* every look has all of alpha */
	MUTANT_MINIMUM,		/* any number of samples will do */
	MUTANT_TIES,		/* equal values count as slower */
	MUTANT_TOLERANCE,	/* whatever is significant fails */
	MUTANT_TIME,		/* requests of all times are compared */
	MUTANT_BANDS,		/* prompts of all lengths are compared */
	MUTANT_SESSIONS,	/* requests of one session count as independent */
};
#define MUTANT(name)	(JUDGE_MUTANT == (name))

/* One-sided tail of the normal distribution above @z. */
double judge_normal_tail(double z);

/* A time and whose it was. */
struct judge_item {
	float ns;
	uint16_t session;
};

/* sup_judge_rank.c: the stratified rank test. Items are sorted. */
void judge_sort(struct judge_item *items, uint32_t count);
void judge_rank_fold(struct judge_rank *rank, const double *ratios, const struct judge_item *candidate,
		     uint32_t n, const struct judge_item *stable, uint32_t m);
/* Standardised statistic against the slowdown ratios[@at]; positive: the candidate is slower. */
double judge_rank_z(const struct judge_rank *rank, uint32_t at);
/* The slowdown at which both cohorts would rank alike (Hodges and Lehmann); NAN: no values. */
double judge_rank_ratio(const struct judge_rank *rank, const double *ratios);

/* sup_judge_session.c: requests of one session go to one cohort and are alike. */
void judge_cluster_ranks(struct judge_cluster *cluster, const struct judge_item *candidate, uint32_t n,
			 const struct judge_item *stable, uint32_t m);
/* One request of a stratum with @candidate and @stable requests: it has the event or not. */
void judge_cluster_event(struct judge_cluster *cluster, uint16_t session, enum sup_judge_cohort cohort,
			 bool event, struct judge_count candidate, struct judge_count stable);
/* @z of a sum whose variance would be @var without sessions. */
double judge_cluster_z(const struct judge_cluster *cluster, double z, double var);

/* sup_judge_share.c: shares of requests. */
void judge_share_init(struct judge_share *share);
void judge_share_fold(struct judge_share *share, struct judge_count candidate, struct judge_count stable);
/* Chance of as many events of the candidate, or more, when both versions are equal. */
double judge_share_p(const struct judge_share *share);
/* Chance of count.x or more of count.n at a rate of @rate. */
double judge_binomial_p(struct judge_count count, double rate);

#define EXCLUDED_Z	1.645	/* one-sided 5 % */

/* One look while it is made. */
struct judge_look {
	struct sup_judge *judge;
	const struct judge_sums *sums;
	struct sup_judge_verdict *verdict;
	uint32_t flags;			/* SUP_JUDGE_FULL, SUP_JUDGE_ALONE */
};

/* sup_judge_weigh.c */
/*
 * The p below which this look may reject in @test (times first, then shares); 0: it may not. @info: what
 * the pairs so far are worth.
 */
double judge_alpha_now(struct judge_look *look, uint32_t test, double info);
bool judge_enough(const struct judge_look *look, uint64_t candidate, uint64_t stable);
/* With sessions taken into account: z against the slowdown ratios[@ratio]; ... */
double judge_time_z(const struct judge_look *look, enum sup_judge_time time, uint32_t ratio);
/* ... of a difference of rates less @excluded; and the chance of as many events. */
double judge_look_share_z(const struct judge_look *look, enum sup_judge_share_kind kind, double excluded);
double judge_look_share_p(const struct judge_look *look, enum sup_judge_share_kind kind);
/* ms below which a share @q of a cohort's requests since the cut lie; NAN: none. */
double judge_quantile(const struct sup_judge *judge, uint32_t histogram, uint32_t cohort, double q);
double judge_rate(struct judge_count count);
/* Set p and append it to the text; append a reason. */
void judge_say_p(struct sup_judge_finding *finding, double p, double p_limit);
void judge_say_more(struct sup_judge_finding *finding, const char *why);

/* sup_judge_time.c */
void judge_look_time(struct judge_look *look, enum sup_judge_time time);
void judge_look_tail(struct judge_look *look, enum sup_judge_share_kind kind, const char *name,
		     const char *words);

/* sup_judge.c */
/* The block's evidence goes into @sums. */
void judge_block_fold(const struct sup_judge *judge, struct judge_sums *sums);

/* sup_judge_shadow.c: findings of comparisons and hooks. */
struct sup_judge_finding *judge_finding(struct sup_judge_verdict *verdict, const char *metric,
					enum sup_judge_verdict_kind kind, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void judge_shadow_look(const struct sup_judge *judge, bool needed, struct sup_judge_verdict *verdict);
void judge_hooks_look(const struct sup_judge *judge, struct sup_judge_verdict *verdict);

#endif
