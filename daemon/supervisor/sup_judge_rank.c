/* SPDX-License-Identifier: MIT */
/*
 * sup_judge_rank.c: Mann and Whitney's rank test (Ann. Math. Stat. 18, 1947), over strata by van
 * Elteren (Bull. ISI 37, 1960): each stratum's U, less its mean, weighs 1/(N+1). The same sums under
 * an assumed slowdown r (is candidate / r still slower?) give Hodges and Lehmann's estimate of the
 * ratio (Ann. Math. Stat. 34, 1963): it exceeds r exactly when the sum at r is positive. Strata are
 * folded in one by one, so no request is kept.
 */
#include <math.h>
#include <stdlib.h>

#include "sup_judge_priv.h"

static int compare(const void *a, const void *b)
{
	float x = ((const struct judge_item *)a)->ns, y = ((const struct judge_item *)b)->ns;

	return (x > y) - (x < y);
}

void judge_sort(struct judge_item *items, uint32_t count)
{
	qsort(items, count, sizeof(items[0]), compare);
}

/* Both sorted. U counts the pairs in which the candidate is slower than @ratio times stable; equal: half. */
static double pairs_slower(const struct judge_item *candidate, uint32_t n, const struct judge_item *stable,
			   uint32_t m, double ratio, double *ties)
{
	uint32_t i = 0, j = 0;
	double u = 0;

	*ties = 0;
	while (i < n || j < m) {
		double next_c = i < n ? (double)candidate[i].ns : INFINITY;
		double next_s = j < m ? (double)stable[j].ns * ratio : INFINITY;
		double value = next_c < next_s ? next_c : next_s;
		uint32_t a = 0, b = 0;

		while (i + a < n && (double)candidate[i + a].ns <= value)
			a++;
		while (j + b < m && (double)stable[j + b].ns * ratio <= value)
			b++;
		u += a * (j + (MUTANT(MUTANT_TIES) ? b : b / 2.0));
		if (a + b > 1) {
			double t = a + b;

			*ties += t * t * t - t;
		}
		i += a;
		j += b;
	}
	return u;
}

void judge_rank_fold(struct judge_rank *rank, const double *ratios, const struct judge_item *candidate,
		     uint32_t n, const struct judge_item *stable, uint32_t m)
{
	double pairs = (double)n * m, all = (double)n + m, weight = 1 / (all + 1);

	if (n == 0 || m == 0)
		return;
	for (uint32_t i = 0; i < SUP_JUDGE_RATIOS; i++) {
		double ties, u = pairs_slower(candidate, n, stable, m, ratios[i], &ties);

		rank->t[i] += weight * (u - pairs / 2);
		rank->var[i] += weight * weight * pairs / 12 * (all + 1 - ties / (all * (all - 1)));
	}
	rank->info += pairs * weight;
	if (rank->step == 0 || weight < rank->step)
		rank->step = weight;
	rank->n[SUP_JUDGE_CANDIDATE] += n;
	rank->n[SUP_JUDGE_STABLE] += m;
}

double judge_normal_tail(double z)
{
	return erfc(z / M_SQRT2) / 2;
}

double judge_rank_z(const struct judge_rank *rank, uint32_t at)
{
	double t = rank->t[at], half = rank->step / 2;	/* continuity: T moves in steps */

	if (!(rank->var[at] > 0) || fabs(t) <= half)
		return 0;
	return (t > 0 ? t - half : t + half) / sqrt(rank->var[at]);
}

double judge_rank_ratio(const struct judge_rank *rank, const double *ratios)
{
	uint32_t i = 0;

	if (rank->info == 0)
		return NAN;
	while (i < SUP_JUDGE_RATIOS && rank->t[i] > 0)
		i++;
	if (i == 0 || i == SUP_JUDGE_RATIOS)
		return ratios[i ? i - 1 : 0];	/* this far or further */
	return exp(log(ratios[i - 1]) + log(ratios[i] / ratios[i - 1]) * rank->t[i - 1] /
		   (rank->t[i - 1] - rank->t[i]));
}
