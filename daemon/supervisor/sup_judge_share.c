/* SPDX-License-Identifier: MIT */
/*
 * sup_judge_share.c: shares of requests, such as errors. Given how many of a block's requests failed,
 * the candidate's part of them is hypergeometric when both versions are equal (Fisher, 1935). Over
 * blocks it is the sum of such, whose distribution is computed exactly while it is short: the exact
 * form of Mantel and Haenszel's test (J. Natl. Cancer Inst. 22, 1959), right at any small count. Past
 * SUP_JUDGE_EXACT possible values, their normal form with the correction for continuity serves.
 */
#include <math.h>
#include <string.h>

#include "sup_judge_priv.h"

static double log_choose(double n, double k)
{
	int sign;

	return lgamma_r(n + 1, &sign) - lgamma_r(k + 1, &sign) - lgamma_r(n - k + 1, &sign);
}

void judge_share_init(struct judge_share *share)
{
	memset(share, 0, sizeof(*share));
	share->pmf[0] = 1;
	share->pmf_count = 1;
}

/*
 * pmf of what one block adds: from @first on, @count values; @n of @all are the candidate's, @x have
 * the event. Outwards from the mode, since the ends may be too small for a double.
 */
static void block_pmf(double *pmf, uint64_t first, uint32_t count, double n, double all, double x)
{
	uint32_t mode = (uint32_t)(floor((n + 1) * (x + 1) / (all + 2)) - (double)first), i;
	double k;

	if (mode >= count)
		mode = count - 1;
	k = (double)first + mode;
	pmf[mode] = exp(log_choose(x, k) + log_choose(all - x, n - k) - log_choose(all, n));
	for (i = mode + 1; i < count; i++, k++)
		pmf[i] = pmf[i - 1] * (x - k) * (n - k) / ((k + 1) * (all - x - n + k + 1));
	for (i = mode, k = (double)first + mode; i-- > 0; k--)
		pmf[i] = pmf[i + 1] * k * (all - x - n + k) / ((x - k + 1) * (n - k + 1));
}

static void convolve(struct judge_share *share, uint64_t n, uint64_t all, uint64_t x)
{
	uint64_t first = n + x > all ? n + x - all : 0, last = x < n ? x : n;
	double block[SUP_JUDGE_EXACT], sum[SUP_JUDGE_EXACT] = { 0 };
	uint64_t count = last - first + 1;

	if (share->pmf_count == 0 || count == 1) {
		share->pmf_first += first;
		return;
	}
	if (share->pmf_count + count - 1 > SUP_JUDGE_EXACT) {
		share->pmf_count = 0;
		return;
	}
	block_pmf(block, first, (uint32_t)count, (double)n, (double)all, (double)x);
	for (uint32_t i = 0; i < share->pmf_count; i++)
		for (uint32_t j = 0; j < count; j++)
			sum[i + j] += share->pmf[i] * block[j];
	share->pmf_count += (uint32_t)count - 1;
	share->pmf_first += first;
	memcpy(share->pmf, sum, share->pmf_count * sizeof(sum[0]));
}

void judge_share_fold(struct judge_share *share, struct judge_count candidate, struct judge_count stable)
{
	double n = (double)candidate.n, m = (double)stable.n, all = n + m;
	double x = (double)(candidate.x + stable.x);

	if (candidate.n == 0 || stable.n == 0)
		return;
	convolve(share, candidate.n, candidate.n + stable.n, candidate.x + stable.x);
	share->mean += n * x / all;
	share->var += n * m * x * (all - x) / (all * all * (all - 1));
	share->info += n * m / all;
	share->diff += ((double)candidate.x * m - (double)stable.x * n) / all;
	share->all[SUP_JUDGE_CANDIDATE].n += candidate.n;
	share->all[SUP_JUDGE_CANDIDATE].x += candidate.x;
	share->all[SUP_JUDGE_STABLE].n += stable.n;
	share->all[SUP_JUDGE_STABLE].x += stable.x;
}

double judge_share_p(const struct judge_share *share)
{
	uint64_t x = share->all[SUP_JUDGE_CANDIDATE].x;
	double p = 0;

	if (share->pmf_count == 0)
		return share->var > 0 ? judge_normal_tail(((double)x - share->mean - 0.5) / sqrt(share->var)) : 1;
	for (uint32_t i = share->pmf_count; i-- && share->pmf_first + i >= x; )
		p += share->pmf[i];
	return p < 1 ? p : 1;
}

double judge_binomial_p(struct judge_count count, double rate)
{
	double n = (double)count.n, k = (double)count.x, p = 0, term;

	if (k <= n * rate || rate <= 0)
		return rate <= 0 && count.x ? 0 : 1;	/* at or below the mean: no evidence */
	if (rate >= 1)
		return 1;
	term = exp(log_choose(n, k) + k * log(rate) + (n - k) * log1p(-rate));
	for (; k <= n && term > p * 1e-12; k++) {
		p += term;
		term *= (n - k) / (k + 1) * rate / (1 - rate);
	}
	return p < 1 ? p : 1;
}
