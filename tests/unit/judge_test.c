/* SPDX-License-Identifier: MIT */
/* judge_test.c: the release analysis on small cases whose answers are known by hand or by counting. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t.h"
#include "../../daemon/supervisor/sup_judge_priv.h"

static const double ratios[SUP_JUDGE_RATIOS] = { 0.7, 1, 1.05, 1.1, 1.3, 1.7, 4 };
#define ONE	1		/* where ratios[] is 1 */

/* ---- ranks ----------------------------------------------------------------------------------- */

static void fold(struct judge_rank *rank, const float *candidate, uint32_t n, const float *stable, uint32_t m)
{
	struct judge_item c[200], s[200];

	for (uint32_t i = 0; i < n; i++)
		c[i] = (struct judge_item){ candidate[i], 0 };
	for (uint32_t i = 0; i < m; i++)
		s[i] = (struct judge_item){ stable[i], 0 };
	judge_rank_fold(rank, ratios, c, n, s, m);
}

static void ranks_by_hand(void)
{
	const float slow[] = { 4, 5, 6 }, fast[] = { 1, 2, 3 }, a[] = { 2, 3, 3 }, b[] = { 1, 2, 3 };
	struct judge_rank rank = { 0 };

	fold(&rank, slow, 3, fast, 3);	/* U 9 of 9, variance 21/4 */
	t_near(rank.t[ONE] * 7, 4.5, 1e-12);
	t_near(rank.var[ONE] * 49, 5.25, 1e-12);
	t_near(judge_rank_z(&rank, ONE), 4 / sqrt(5.25), 1e-12);
	t_near(judge_normal_tail(judge_rank_z(&rank, ONE)), 0.0404, 1e-4);
	memset(&rank, 0, sizeof(rank));
	fold(&rank, a, 3, b, 3);		/* U 6.5; ties of 2 and of 3 */
	t_near(rank.t[ONE] * 7, 2, 1e-12);
	t_near(rank.var[ONE] * 49, 4.5, 1e-12);
	t_near(judge_rank_z(&rank, ONE), 1.5 / sqrt(4.5), 1e-12);
	fold(&rank, a, 3, b, 0);		/* nobody to compare with */
	t_near(rank.t[ONE] * 7, 2, 1e-12);
	t_near(rank.info, 9 / 7.0, 1e-12);
}

/* Splits @values, sorted, by the bits of @pick. */
static void split(const float *values, uint32_t all, uint32_t pick, float *c, float *s)
{
	for (uint32_t i = 0; i < all; i++)
		*((pick >> i & 1) ? c++ : s++) = values[i];
}

/*
 * Every way to choose which 7 of 14 are the candidate's: the formula's mean and variance are those of
 * the count, ties or not, and the normal tail is near the exact one.
 */
static void ranks_by_counting(void)
{
	static const float plain[14] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 };
	static const float tied[14] = { 1, 1, 1, 2, 2, 3, 4, 4, 4, 4, 4, 9, 9, 10 };

	for (int ties = 0; ties < 2; ties++) {
		double sum = 0, sum2 = 0, var = 0, t[3432], z[3432], worst = 0;
		uint32_t count = 0;
		float c[14], s[14];

		for (uint32_t pick = 0; pick < 1u << 14; pick++) {
			struct judge_rank rank = { 0 };

			if (__builtin_popcount(pick) != 7)
				continue;
			split(ties ? tied : plain, 14, pick, c, s);
			fold(&rank, c, 7, s, 7);
			sum += t[count] = rank.t[ONE];
			sum2 += rank.t[ONE] * rank.t[ONE];
			var = rank.var[ONE];
			z[count++] = judge_rank_z(&rank, ONE);
		}
		t_eq(count, 3432);
		t_near(sum, 0, 1e-9);
		t_near(sum2 / count, var, 1e-9);
		for (uint32_t i = 0; i < count; i += 37) {
			uint32_t above = 0;

			for (uint32_t k = 0; k < count; k++)
				above += t[k] >= t[i] - 1e-9;
			if (t[i] > 0)
				worst = fmax(worst, fabs((double)above / count - judge_normal_tail(z[i])));
		}
		if (!t_ok(worst < (ties ? 0.03 : 0.01)))
			printf("# ties %d: %.4f apart\n", ties, worst);
	}
}

/* Two strata add up: T and its variance over all pairs of choices. */
static void strata_by_counting(void)
{
	static const float first[6] = { 1, 2, 2, 3, 5, 8 }, second[5] = { 100, 200, 200, 200, 500 };
	double sum = 0, sum2 = 0, var = 0;
	uint32_t count = 0;
	float c[6], s[6];

	for (uint32_t one = 0; one < 1u << 6; one++) {
		for (uint32_t two = 0; two < 1u << 5; two++) {
			struct judge_rank rank = { 0 };

			if (__builtin_popcount(one) != 2 || __builtin_popcount(two) != 3)
				continue;
			split(first, 6, one, c, s);
			fold(&rank, c, 2, s, 4);
			split(second, 5, two, c, s);
			fold(&rank, c, 3, s, 2);
			sum += rank.t[ONE];
			sum2 += rank.t[ONE] * rank.t[ONE];
			var = rank.var[ONE];
			count++;
		}
	}
	t_eq(count, 150);
	t_near(sum, 0, 1e-9);
	t_near(sum2 / count, var, 1e-9);
}

static void the_ratio_is_found(void)
{
	static const double slower[] = { 0.8, 0.97, 1, 1.03, 1.08, 1.2, 1.5 };
	float c[200], s[200];

	for (size_t k = 0; k < sizeof(slower) / sizeof(slower[0]); k++) {
		struct judge_rank rank = { 0 };

		for (uint32_t i = 0; i < 200; i++) {
			s[i] = 100.0f + (float)i;
			c[i] = (float)(slower[k] * (100.4 + i));
		}
		fold(&rank, c, 200, s, 200);
		t_near(judge_rank_ratio(&rank, ratios) / slower[k], 1, 0.04);
		for (uint32_t i = 0; i < SUP_JUDGE_RATIOS; i++)
			t_ok((rank.t[i] > 0) == (slower[k] * 1.0016 > ratios[i]));
	}
}

/* ---- sessions -------------------------------------------------------------------------------- */

static double cluster_sum2(const struct judge_cluster *cluster)
{
	double sum2 = 0;

	for (uint32_t i = 0; i < SUP_JUDGE_SESSIONS; i++)
		sum2 += cluster->q[i] * cluster->q[i];
	return sum2;
}

/*
 * 10 sessions of 3 like requests each; every way to give 5 of them to the candidate. T varies by far more
 * than the plain variance says, and as much as the sum over sessions does.
 */
static void sessions_by_counting(void)
{
	double t2 = 0, sums2 = 0, plain = 0;
	uint32_t count = 0;

	for (uint32_t pick = 0; pick < 1u << 10; pick++) {
		static struct judge_cluster cluster;
		struct judge_item items[2][30];
		struct judge_rank rank = { 0 };
		uint32_t n[2] = { 0, 0 };

		if (__builtin_popcount(pick) != 5)
			continue;
		memset(&cluster, 0, sizeof(cluster));
		for (uint32_t i = 0; i < 30; i++) {
			uint32_t session = i / 3, cohort = pick >> session & 1;

			items[cohort][n[cohort]++] = (struct judge_item){ (float)i, (uint16_t)(7 * session) };
		}
		judge_rank_fold(&rank, ratios, items[1], n[1], items[0], n[0]);
		judge_cluster_ranks(&cluster, items[1], n[1], items[0], n[0]);
		t2 += rank.t[ONE] * rank.t[ONE];
		sums2 += cluster_sum2(&cluster);
		plain = rank.var[ONE];
		count++;
	}
	t_eq(count, 252);
	t_ok(t2 / count > 2.5 * plain);
	t_near(sums2 / t2, 1, 0.15);
}

/* Student's 97.5 % point for 10 degrees of freedom is 2.228, the normal one 1.960. */
static void few_sessions_are_uncertain(void)
{
	static struct judge_cluster cluster;

	t_near(judge_cluster_z(&cluster, 2, 1), 2, 1e-12);	/* none known */
	for (uint32_t i = 0; i < 10; i++)
		cluster.q[i * 100] = i % 2 ? 3 : -3;
	t_near(judge_cluster_z(&cluster, 2.228, 90), 1.960, 0.005);
	t_near(judge_cluster_z(&cluster, -2.228, 1000), -1.960, 0.005);
	t_near(judge_cluster_z(&cluster, 2 * 2.228, 22.5), 1.960, 0.005);	/* a quarter of 90 */
}

static void events_of_sessions(void)
{
	static struct judge_cluster cluster;
	const struct judge_count c = { 4, 2 }, s = { 4, 0 };

	judge_cluster_event(&cluster, 1, SUP_JUDGE_CANDIDATE, true, (struct judge_count){ 9, 9 },
			    (struct judge_count){ 0, 0 });
	t_ok(cluster_sum2(&cluster) == 0);
	judge_cluster_event(&cluster, 1, SUP_JUDGE_CANDIDATE, true, c, s);
	judge_cluster_event(&cluster, 2, SUP_JUDGE_STABLE, false, c, s);
	t_near(cluster.q[1], sqrt(8 / 7.0) * 0.75 / 2, 1e-12);
	t_near(cluster.q[2], sqrt(8 / 7.0) * 0.25 / 2, 1e-12);
}

/* ---- shares ---------------------------------------------------------------------------------- */

static double fisher(uint64_t n, uint64_t x, uint64_t m, uint64_t y)
{
	struct judge_share share;

	judge_share_init(&share);
	judge_share_fold(&share, (struct judge_count){ n, x }, (struct judge_count){ m, y });
	return judge_share_p(&share);
}

static void shares_by_hand(void)
{
	struct judge_share share;

	t_near(fisher(4, 4, 4, 0), 1 / 70.0, 1e-12);		/* the lady who tasted tea */
	t_near(fisher(4, 3, 4, 1), 17 / 70.0, 1e-12);
	t_near(fisher(10, 0, 10, 0), 1, 1e-12);
	t_near(fisher(10, 10, 10, 10), 1, 1e-12);
	t_near(fisher(5, 1, 5, 0), 0.5, 1e-12);
	judge_share_init(&share);				/* two tastings: both right */
	for (int i = 0; i < 2; i++)
		judge_share_fold(&share, (struct judge_count){ 4, 4 }, (struct judge_count){ 4, 0 });
	t_near(judge_share_p(&share), 1 / 4900.0, 1e-12);
	judge_share_fold(&share, (struct judge_count){ 9, 9 }, (struct judge_count){ 0, 0 });
	t_near(judge_share_p(&share), 1 / 4900.0, 1e-12);
	t_near(judge_binomial_p((struct judge_count){ 10, 3 }, 0.1), 0.0701908264, 1e-9);
	t_near(judge_binomial_p((struct judge_count){ 10, 1 }, 0.05), 1 - pow(0.95, 10), 1e-9);
	t_ok(judge_binomial_p((struct judge_count){ 10, 0 }, 0.05) == 1);
	t_ok(judge_binomial_p((struct judge_count){ 10, 1 }, 0) == 0);
	t_ok(judge_binomial_p((struct judge_count){ 1000000, 60000 }, 0.05) < 1e-100);
}

/* Parts so unequal that the ends of the distribution are no doubles; and the normal form beyond. */
static void shares_of_many(void)
{
	struct judge_share share;
	double p, exact;

	p = fisher(3596, 449, 500, 62);		/* expected: 448.6 */
	t_ok(p > 0.4 && p < 0.6);
	p = fisher(3596, 470, 500, 41);
	t_ok(p > 1e-4 && p < 0.01);
	exact = fisher(2000, 260, 2000, 240);
	judge_share_init(&share);
	share.pmf_count = 0;
	judge_share_fold(&share, (struct judge_count){ 2000, 260 }, (struct judge_count){ 2000, 240 });
	t_near(judge_share_p(&share) / exact, 1, 0.01);
	t_near(share.diff / share.info, 0.01, 1e-12);
	judge_share_init(&share);
	for (int i = 0; i < 20; i++)
		judge_share_fold(&share, (struct judge_count){ 100, 51 }, (struct judge_count){ 100, 49 });
	t_eq(share.pmf_count, 0);
	t_near(judge_share_p(&share), judge_normal_tail((20 - 0.5) / sqrt(share.var)), 1e-12);
}

/* ---- verdicts -------------------------------------------------------------------------------- */

static struct sup_judge judge;
static struct sup_judge_verdict verdict;
static struct sup_judge_conf conf;
static uint64_t now, seed;

static void begin(void)
{
	const char *field;

	if (conf.alpha == 0) {
		sup_judge_defaults(&conf);
		conf.wall_times = true;
	}
	now = 1000000000000;
	seed = 3;
	t_eq(sup_judge_init(&judge, &conf, &field), 0);
	sup_judge_cut(&judge, now);
	now += 100000000000;
}

static double uniform(void)
{
	return ((double)(t_random(&seed) >> 11) + 0.5) / 9007199254740992.0;
}

/* A reply of 20 tokens, @slow times as long as usual; fails at @rate. */
static struct sup_judge_sample sample(enum sup_judge_cohort cohort, double slow, double rate)
{
	struct sup_judge_sample s = { .cohort = cohort, .prompt_count = 100, .output_count = 20 };
	double noise = 0.8 + 0.4 * uniform();

	now += 10000000;
	s.ended_ns = now;
	s.queue_ns = 1000000;
	s.first_token_ns = s.queue_ns + (uint64_t)(100e6 * slow * noise);
	s.total_ns = s.first_token_ns + (uint64_t)(19 * 10e6 * slow * noise);
	s.outcome = uniform() < rate ? SUP_JUDGE_FAILED : SUP_JUDGE_OK;
	return s;
}

static void traffic(uint32_t pairs, double slow, double rate)
{
	for (uint32_t i = 0; i < pairs; i++) {
		struct sup_judge_sample s = sample(SUP_JUDGE_STABLE, 1, 0);

		sup_judge_add(&judge, &s);
		s = sample(SUP_JUDGE_CANDIDATE, slow, rate);
		sup_judge_add(&judge, &s);
	}
}

static enum sup_judge_verdict_kind look(uint32_t flags)
{
	sup_judge_look(&judge, flags, &verdict);
	for (uint32_t i = 0; i < verdict.finding_count; i++)
		printf("# %-12s %s\n", sup_judge_verdict_name(verdict.findings[i].verdict), verdict.findings[i].text);
	return verdict.kind;
}

static const struct sup_judge_finding *finding(const char *metric)
{
	for (uint32_t i = 0; i < verdict.finding_count; i++)
		if (strcmp(verdict.findings[i].metric, metric) == 0)
			return &verdict.findings[i];
	return NULL;
}

static void good_and_bad(void)
{
	begin();
	t_eq(look(0), SUP_JUDGE_INCONCLUSIVE);
	traffic(49, 1, 0);
	t_eq(look(0), SUP_JUDGE_INCONCLUSIVE);
	traffic(100, 1, 0);
	t_eq(look(0), SUP_JUDGE_PASS);
	t_eq(look(SUP_JUDGE_FULL), SUP_JUDGE_INCONCLUSIVE);
	t_str_eq(verdict.findings[0].metric, "samples");
	traffic(2000, 1, 0);
	t_eq(look(SUP_JUDGE_FULL), SUP_JUDGE_PASS);
	begin();
	traffic(200, 1.3, 0);
	t_eq(look(0), SUP_JUDGE_FAIL);
	t_need(finding("first_token"));
	t_near(finding("first_token")->statistic, 1.3, 0.05);
	t_eq(finding("first_token")->verdict, SUP_JUDGE_FAIL);
	t_eq(finding("errors")->verdict, SUP_JUDGE_PASS);
	begin();
	traffic(300, 1, 0.1);
	t_eq(look(0), SUP_JUDGE_FAIL);
	t_str_eq(verdict.findings[0].metric, "errors");
	t_ok(!verdict.hard);
}

/* Certain, but too small to matter. */
static void a_trifle_is_tolerated(void)
{
	begin();
	traffic(4000, 1.02, 0);
	t_eq(look(SUP_JUDGE_FULL), SUP_JUDGE_PASS);
	t_need(finding("token_time"));
	t_ok(finding("token_time")->p < 1e-4);
}

static void hard_at_any_count(void)
{
	struct sup_judge_sample s;

	for (uint32_t i = 0; i < SUP_JUDGE_HARDS; i++) {
		begin();
		sup_judge_hard(&judge, i, 0);
		t_eq(look(0), SUP_JUDGE_INCONCLUSIVE);
		t_ok(!sup_judge_is_hard(&judge));
		sup_judge_hard(&judge, i, 1);
		t_ok(sup_judge_is_hard(&judge));
		t_eq(look(0), SUP_JUDGE_FAIL);
		t_ok(verdict.hard && verdict.findings[0].hard);
	}
	begin();
	s = sample(SUP_JUDGE_STABLE, 1, 0);
	s.flags = SUP_JUDGE_S_NAN;
	sup_judge_add(&judge, &s);
	t_eq(look(0), SUP_JUDGE_INCONCLUSIVE);
	s.cohort = SUP_JUDGE_CANDIDATE;
	s.outcome = SUP_JUDGE_FAILED;
	sup_judge_add(&judge, &s);
	t_eq(look(0), SUP_JUDGE_FAIL);
	t_str_eq(verdict.findings[0].metric, "nan");
}

/* A request that failed took no time of any kind: not even a very short one. */
static void failures_have_no_times(void)
{
	begin();
	for (uint32_t i = 0; i < 40; i++) {
		struct sup_judge_sample s = sample(i % 2, 1, 1);

		sup_judge_add(&judge, &s);
	}
	sup_judge_cut(&judge, now);
	t_eq(judge.counts[SUP_JUDGE_CANDIDATE], 20);
	for (uint32_t time = 0; time < JUDGE_TIMES; time++)
		t_eq(judge.sums.rank[time].n[0] + judge.sums.rank[time].n[1], 0);
}

static void what_does_not_count(void)
{
	struct sup_judge_sample s;

	begin();
	traffic(200, 1, 0);
	sup_judge_cut(&judge, now);
	s = sample(SUP_JUDGE_CANDIDATE, 1, 0);		/* began before the cut */
	for (int i = 0; i < 100; i++)
		sup_judge_add(&judge, &s);
	t_eq(look(0), SUP_JUDGE_INCONCLUSIVE);
	t_str_eq(verdict.findings[0].metric, "samples");
	t_eq(verdict.candidate_count, 200);
	now += 100000000000;
	for (int i = 0; i < 500; i++) {
		s = sample(SUP_JUDGE_CANDIDATE, 1, 0);
		s.outcome = SUP_JUDGE_CANCELLED;
		sup_judge_add(&judge, &s);
	}
	t_eq(look(0), SUP_JUDGE_INCONCLUSIVE);
	traffic(100, 1, 0);
	t_eq(look(0), SUP_JUDGE_PASS);
}

/* All traffic on the candidate: limits only, and they work. */
static void alone(void)
{
	struct sup_judge_sample s;

	begin();
	traffic(2000, 1, 0);
	t_eq(look(SUP_JUDGE_FULL), SUP_JUDGE_PASS);
	sup_judge_cut(&judge, now);
	now += 100000000000;
	t_eq(look(SUP_JUDGE_FULL | SUP_JUDGE_ALONE), SUP_JUDGE_INCONCLUSIVE);
	for (int i = 0; i < 200; i++) {
		s = sample(SUP_JUDGE_CANDIDATE, 1, 0.0);
		sup_judge_add(&judge, &s);
	}
	t_eq(look(SUP_JUDGE_FULL | SUP_JUDGE_ALONE), SUP_JUDGE_PASS);
	for (int i = 0; i < 200; i++) {
		s = sample(SUP_JUDGE_CANDIDATE, 1, 0.3);
		sup_judge_add(&judge, &s);
	}
	t_eq(look(SUP_JUDGE_FULL | SUP_JUDGE_ALONE), SUP_JUDGE_FAIL);
	t_str_eq(verdict.findings[0].metric, "errors");
}

/* First tokens past the limit: the candidate's fault only where stable does better. */
static void limits_and_stable(void)
{
	begin();
	judge.conf.first_token_p95_ms = 90;
	traffic(2000, 1, 0);
	t_eq(look(SUP_JUDGE_FULL), SUP_JUDGE_PASS);
	begin();
	judge.conf.first_token_p95_ms = 122;
	traffic(2000, 1.049, 0);
	t_eq(look(SUP_JUDGE_FULL), SUP_JUDGE_FAIL);
	t_str_eq(verdict.findings[0].metric, "first_token_p95");
}

/* A tenth of the candidate's replies take thrice as long: no median sees it. */
static void a_tail_is_seen(void)
{
	begin();
	for (int i = 0; i < 3000; i++) {
		struct sup_judge_sample s = sample(SUP_JUDGE_STABLE, 1, 0);

		sup_judge_add(&judge, &s);
		s = sample(SUP_JUDGE_CANDIDATE, i % 10 ? 1 : 3, 0);
		sup_judge_add(&judge, &s);
	}
	t_eq(look(0), SUP_JUDGE_FAIL);
	t_need(finding("token_time_tail"));
	t_eq(finding("token_time_tail")->verdict, SUP_JUDGE_FAIL);
}

/* 30 % slower, but all of the candidate's requests came from three users: that may be their doing. */
static void few_users_prove_little(void)
{
	for (int users = 3; users <= 300; users *= 100) {
		begin();
		for (int i = 0; i < 600; i++) {
			struct sup_judge_sample s = sample(i % 2, i % 2 ? 1.3 : 1, 0);

			s.session = 1 + (uint64_t)(i % 2 ? 1000 + i / 2 % users : i / 2 % 300);
			sup_judge_add(&judge, &s);
		}
		t_ok((look(0) == SUP_JUDGE_FAIL) == (users == 300));
		t_ok(look(SUP_JUDGE_FULL) != SUP_JUDGE_PASS);
	}
}

/* Its replies stop at one token: nothing to compare, and nothing that could pass. */
static void no_second_token(void)
{
	begin();
	for (int i = 0; i < 600; i++) {
		struct sup_judge_sample s = sample(i % 2, 1, 0);

		if (i % 2) {
			s.output_count = 1;
			s.total_ns = s.first_token_ns;
		}
		sup_judge_add(&judge, &s);
	}
	t_ok(look(0) != SUP_JUDGE_PASS);
	t_need(finding("token_time"));
	t_eq(finding("token_time")->verdict, SUP_JUDGE_INCONCLUSIVE);
}

static void empty_and_repeating(void)
{
	static const char *const names[] = { "empty", "repeating" };

	for (int k = 0; k < 2; k++) {
		begin();
		for (int i = 0; i < 600; i++) {
			struct sup_judge_sample s = sample(i % 2, 1, 0);

			if (i % 20 == 1)
				s.flags = k ? SUP_JUDGE_S_REPEATING : SUP_JUDGE_S_EMPTY;
			sup_judge_add(&judge, &s);
		}
		t_eq(look(0), SUP_JUDGE_FAIL);
		t_str_eq(verdict.findings[0].metric, names[k]);
	}
}

static void shadow(void)
{
	struct sup_judge_comparison c = { .tokens = 20, .top1_agree = 18, .kl_sum = 2, .kl_max = 0.4,
					  .stable_logprob_sum = -30, .candidate_logprob_sum = -31 };

	begin();
	traffic(200, 1, 0);
	for (int i = 0; i < 60; i++) {
		c.kl_sum = 1.5 + uniform();
		sup_judge_compare_add(&judge, &c);
	}
	t_eq(look(0), SUP_JUDGE_PASS);
	t_need(finding("shadow_kl"));
	t_near(finding("shadow_kl")->candidate, 0.1, 0.01);
	t_near(finding("shadow_top1")->candidate, 0.9, 1e-9);
	t_near(finding("shadow_perplexity")->candidate, exp(1 / 20.0), 1e-9);
	for (int i = 0; i < 600; i++) {
		c.kl_sum = 40;
		sup_judge_compare_add(&judge, &c);
	}
	t_eq(look(0), SUP_JUDGE_FAIL);
	t_str_eq(verdict.findings[0].metric, "shadow_kl");
	begin();
	c.kl_sum = NAN;
	sup_judge_compare_add(&judge, &c);
	t_ok(sup_judge_is_hard(&judge));
	t_eq(look(0), SUP_JUDGE_FAIL);
	t_ok(verdict.hard);
	begin();
	judge.conf.shadow_required = true;
	traffic(200, 1, 0);
	t_eq(look(0), SUP_JUDGE_INCONCLUSIVE);
}

static void hooks(void)
{
	const struct sup_judge_limits most = { NAN, 10 }, least = { 1, NAN };
	char name[64] = "x";

	begin();
	traffic(200, 1, 0);
	t_eq(sup_judge_metric(&judge, "cost", 9, most), 0);
	t_eq(look(0), SUP_JUDGE_PASS);
	t_eq(sup_judge_metric(&judge, "cost", NAN, most), 0);
	t_eq(look(0), SUP_JUDGE_INCONCLUSIVE);
	t_eq(sup_judge_metric(&judge, "cost", 11, most), 0);
	t_eq(look(0), SUP_JUDGE_FAIL);
	t_eq(sup_judge_metric(&judge, "cost", 10, most), 0);
	t_eq(sup_judge_metric(&judge, "grade", 0.5, least), 0);
	t_eq(look(0), SUP_JUDGE_FAIL);
	t_str_eq(verdict.findings[0].metric, "grade");
	for (int i = 2; i < (int)SUP_JUDGE_HOOKS; i++) {
		name[1] = (char)('0' + i);
		t_eq(sup_judge_metric(&judge, name, 1, least), 0);
	}
	t_ok(sup_judge_metric(&judge, "one too many", 1, least) < 0);
	t_ok(sup_judge_metric(&judge, "", 1, least) < 0);
}

static void bad_thresholds(void)
{
	struct sup_judge_conf bad;
	const char *field;

	sup_judge_defaults(&bad);
	bad.alpha = NAN;
	t_ok(sup_judge_init(&judge, &bad, &field) < 0);
	t_str_eq(field, "alpha");
	sup_judge_defaults(&bad);
	bad.slowdown_excluded = 1.01;		/* below what is tolerated */
	t_ok(sup_judge_init(&judge, &bad, &field) < 0);
	t_str_eq(field, "slowdown_excluded");
	sup_judge_defaults(&bad);
	bad.error_rate_max = 5;			/* a percentage by mistake */
	t_ok(sup_judge_init(&judge, &bad, &field) < 0);
	t_str_eq(field, "error_rate_max");
	sup_judge_defaults(&bad);
	bad.slowdown_tolerated = 1;
	bad.slowdown_excluded = 3;
	t_eq(sup_judge_init(&judge, &bad, &field), 0);
	for (uint32_t i = 1; i < SUP_JUDGE_RATIOS; i++)
		t_ok(judge.ratios[i] >= judge.ratios[i - 1]);
	t_ok(judge.ratios[judge.ratio_one] == 1 && judge.ratios[judge.ratio_tolerated] == 1 &&
	     judge.ratios[judge.ratio_excluded] == 3);
}

/* A block never grows past its room, whatever the clock and the rate do. */
static void a_flood_is_bounded(void)
{
	struct sup_judge_sample s = { .total_ns = 1 };

	begin();
	for (uint32_t i = 0; i < 3 * SUP_JUDGE_BLOCK; i++) {
		s.cohort = i % 2;
		s.outcome = i % 3;
		s.ended_ns = judge.cut_ns + 1 + (i % 7 == 0 ? UINT64_MAX / 2 : 0);
		s.first_token_ns = i % 5 ? 1 : UINT64_MAX;
		s.output_count = i % 4 ? i : UINT32_MAX;
		s.prompt_count = UINT32_MAX - i;
		sup_judge_add(&judge, &s);
		t_ok(judge.block_count <= SUP_JUDGE_BLOCK);
	}
	look(0);
	t_ok(verdict.finding_count > 0);
}

int main(void)
{
	T_RUN(ranks_by_hand);
	T_RUN(ranks_by_counting);
	T_RUN(strata_by_counting);
	T_RUN(the_ratio_is_found);
	T_RUN(sessions_by_counting);
	T_RUN(few_sessions_are_uncertain);
	T_RUN(events_of_sessions);
	T_RUN(shares_by_hand);
	T_RUN(shares_of_many);
	T_RUN(good_and_bad);
	T_RUN(a_trifle_is_tolerated);
	T_RUN(hard_at_any_count);
	T_RUN(what_does_not_count);
	T_RUN(alone);
	T_RUN(limits_and_stable);
	T_RUN(a_tail_is_seen);
	T_RUN(few_users_prove_little);
	T_RUN(no_second_token);
	T_RUN(empty_and_repeating);
	T_RUN(shadow);
	T_RUN(hooks);
	T_RUN(failures_have_no_times);
	T_RUN(bad_thresholds);
	T_RUN(a_flood_is_bounded);
	return t_done();
}
