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
};
#define MUTANT(name)	(JUDGE_MUTANT == (name))

/* One-sided tail of the normal distribution above @z. */
double judge_normal_tail(double z);

/* sup_judge_rank.c: the stratified rank test. */
void judge_rank_fold(struct judge_rank *rank, const double *ratios, const float *candidate, uint32_t n,
		     const float *stable, uint32_t m);
/* Standardised statistic against the slowdown ratios[@at]; positive: the candidate is slower. */
double judge_rank_z(const struct judge_rank *rank, uint32_t at);
/* The slowdown at which both cohorts would rank alike (Hodges and Lehmann); NAN: no values. */
double judge_rank_ratio(const struct judge_rank *rank, const double *ratios);
void judge_sort(float *values, uint32_t count);

/* sup_judge_share.c: shares of requests. */
void judge_share_init(struct judge_share *share);
void judge_share_fold(struct judge_share *share, struct judge_count candidate, struct judge_count stable);
/* Chance of as many events of the candidate, or more, when both versions are equal. */
double judge_share_p(const struct judge_share *share);
/* Chance of count.x or more of count.n at a rate of @rate. */
double judge_binomial_p(struct judge_count count, double rate);

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
