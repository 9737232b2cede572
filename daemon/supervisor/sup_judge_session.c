/* SPDX-License-Identifier: MIT */
/*
 * sup_judge_session.c: with sticky sessions it is sessions, not requests, that are dealt out to the
 * versions, and one user's requests are alike. So the variance of a test's sum is also estimated from
 * what each session adds to it (Liang and Zeger, Biometrika 73, 1986), and the larger one counts. When
 * few sessions carry the sum, the estimate is uncertain itself: Student's distribution with Satterthwaite's
 * degrees of freedom (Biometrics Bull. 2, 1946) stands for the normal one.
 */
#include <math.h>

#include "sup_judge_priv.h"

/* Centred ranks, as in judge_rank_fold(), with the candidate's share of the stratum taken off. */
void judge_cluster_ranks(struct judge_cluster *cluster, const struct judge_item *candidate, uint32_t n,
			 const struct judge_item *stable, uint32_t m)
{
	double all = (double)n + m, share = n / all, scale = sqrt(all / (all - 1)) / (all + 1);
	uint32_t i = 0, j = 0;

	while (i < n || j < m) {
		float value = j == m || (i < n && candidate[i].ns < stable[j].ns) ? candidate[i].ns : stable[j].ns;
		uint32_t from_i = i, from_j = j;
		double score;

		while (i < n && candidate[i].ns <= value)
			i++;
		while (j < m && stable[j].ns <= value)
			j++;
		score = scale * ((from_i + from_j + i + j + 1) / 2.0 - (all + 1) / 2);
		while (from_i < i)
			cluster->q[candidate[from_i++].session] += score * (1 - share);
		while (from_j < j)
			cluster->q[stable[from_j++].session] -= score * share;
	}
}

void judge_cluster_event(struct judge_cluster *cluster, uint16_t session, enum sup_judge_cohort cohort,
			 bool event, struct judge_count candidate, struct judge_count stable)
{
	double all = (double)candidate.n + (double)stable.n, share = (double)candidate.n / all, score;

	if (candidate.n == 0 || stable.n == 0)
		return;
	score = sqrt(all / (all - 1)) * (event - (double)(candidate.x + stable.x) / all);
	cluster->q[session] += score * (cohort == SUP_JUDGE_CANDIDATE ? 1 - share : -share);
}

/* The z as far out in the normal distribution as @t is in Student's (Wallace, Ann. Math. Stat. 30, 1959). */
static double normal_of_student(double t, double freedom)
{
	double z = sqrt(freedom * log1p(t * t / freedom)) * (8 * freedom + 1) / (8 * freedom + 3);

	return t < 0 ? -z : z;
}

double judge_cluster_z(const struct judge_cluster *cluster, double z, double var)
{
	double sum2 = 0, sum4 = 0;

	for (uint32_t i = 0; i < SUP_JUDGE_SESSIONS; i++) {
		double q2 = cluster->q[i] * cluster->q[i];

		sum2 += q2;
		sum4 += q2 * q2;
	}
	if (!(sum4 > 0))
		return z;
	if (sum2 > var)
		z *= sqrt(var / sum2);
	return normal_of_student(z, sum2 * sum2 / sum4);
}
