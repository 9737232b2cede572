/* SPDX-License-Identifier: MIT */
/*
 * sup_judge.c: what ended goes into the present block; a full or old block is folded into sums, stratum
 * by stratum, and forgotten. Requests are compared only within a block, so what moves with time (load,
 * drift, a split that grows) touches both versions alike.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "sup_judge_priv.h"

void sup_judge_defaults(struct sup_judge_conf *conf)
{
	*conf = (struct sup_judge_conf){
		.alpha = 0.01, .spend_power = 1, .hold_p = 0.01,
		.samples_min = 50, .samples_full = 2000,
		.slowdown_tolerated = 1.05, .slowdown_excluded = 1.10, .tail_tolerated = 0.01,
		.first_token_p95_ms = 500,
		.error_rate_max = 0.05, .error_rate_tolerated = 0.01,
		.empty_rate_max = 0.05, .empty_rate_tolerated = 0.02,
		.repeating_rate_max = 0.05, .repeating_rate_tolerated = 0.02,
		.shadow_samples_min = 50, .kl_max = 1.0, .top1_min = 0.5, .perplexity_ratio_max = 2.0,
		.block_ns = UINT64_C(10000000000), .block_samples = 256,
	};
}

static const char *wrong_field(const struct sup_judge_conf *c)
{
	const struct {
		const char *name;
		double value, least, most;
	} fields[] = {
		{ "alpha", c->alpha, 1e-9, 0.5 },
		{ "spend_power", c->spend_power, 0.25, 8 },
		{ "hold_p", c->hold_p, 0, 0.5 },
		{ "samples_min", c->samples_min, 5, 1e9 },
		{ "samples_full", c->samples_full, c->samples_min, 1e9 },
		{ "slowdown_tolerated", c->slowdown_tolerated, 1, 3 },
		{ "slowdown_excluded", c->slowdown_excluded, c->slowdown_tolerated, 3 },
		{ "tail_tolerated", c->tail_tolerated, 0, 1 },
		{ "first_token_p95_ms", c->first_token_p95_ms, 0, 1e9 },
		{ "error_rate_max", c->error_rate_max, 0, 1 },
		{ "error_rate_tolerated", c->error_rate_tolerated, 0, 1 },
		{ "empty_rate_max", c->empty_rate_max, 0, 1 },
		{ "empty_rate_tolerated", c->empty_rate_tolerated, 0, 1 },
		{ "repeating_rate_max", c->repeating_rate_max, 0, 1 },
		{ "repeating_rate_tolerated", c->repeating_rate_tolerated, 0, 1 },
		{ "shadow_samples_min", c->shadow_samples_min, 5, 1e9 },
		{ "kl_max", c->kl_max, 0, 1e3 },
		{ "top1_min", c->top1_min, 0, 1 },
		{ "perplexity_ratio_max", c->perplexity_ratio_max, 1, 1e6 },
		{ "block_ns", (double)c->block_ns, 1e6, 1e15 },
		{ "block_samples", c->block_samples, 16, SUP_JUDGE_BLOCK },
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (!(fields[i].value >= fields[i].least && fields[i].value <= fields[i].most))
			return fields[i].name;
	return NULL;
}

/* The fixed ratios, in order, and the two of the configuration among them. */
static void set_ratios(struct sup_judge *judge)
{
	static const double fixed[SUP_JUDGE_RATIOS - 2] =
		{ 0.5, 0.7, 0.85, 0.93, 1, 1.02, 1.07, 1.2, 1.5, 2, 4 };
	const double ours[2] = { judge->conf.slowdown_tolerated, judge->conf.slowdown_excluded };
	uint32_t at[2], i = 0, k = 0;

	for (uint32_t f = 0; f < SUP_JUDGE_RATIOS - 2; f++) {
		while (k < 2 && ours[k] < fixed[f]) {
			at[k] = i;
			judge->ratios[i++] = ours[k++];
		}
		if (fixed[f] == 1)
			judge->ratio_one = i;
		judge->ratios[i++] = fixed[f];
	}
	judge->ratio_tolerated = at[0];
	judge->ratio_excluded = at[1];
}

int sup_judge_init(struct sup_judge *judge, const struct sup_judge_conf *conf, const char **field)
{
	*field = wrong_field(conf);
	if (*field)
		return -EINVAL;
	memset(judge, 0, sizeof(*judge));
	judge->conf = *conf;
	set_ratios(judge);
	for (uint32_t i = 0; i < JUDGE_SHARES; i++)
		judge_share_init(&judge->sums.share[i]);
	return 0;
}

/* ---- the present block ----------------------------------------------------------------------- */

/*
 * How many of each cohort are at or above the value that cuts off a stratum's slowest twentieth, were
 * the candidate's times divided by @ratio.
 */
static void count_tail(const float *candidate, uint32_t n, const float *stable, uint32_t m, double ratio,
		       struct judge_count *c, struct judge_count *s)
{
	uint32_t tail = (n + m + 10) / 20, i = n, j = m;
	double cut = INFINITY;

	*c = (struct judge_count){ n, 0 };
	*s = (struct judge_count){ m, 0 };
	while (tail--)
		cut = i && (!j || (double)candidate[i - 1] > (double)stable[j - 1] * ratio) ?
		      (double)candidate[--i] : (double)stable[--j] * ratio;
	while (c->x < n && (double)candidate[n - c->x - 1] >= cut)
		c->x++;
	while (s->x < m && (double)stable[m - s->x - 1] * ratio >= cut)
		s->x++;
}

/* What single requests are to the shares that are counted, the slowest twentieth is to these. */
static void fold_tail(const struct sup_judge *judge, struct judge_sums *sums, enum sup_judge_share_kind kind,
		      float values[2][SUP_JUDGE_BLOCK], const uint32_t n[2])
{
	const float *candidate = values[SUP_JUDGE_CANDIDATE], *stable = values[SUP_JUDGE_STABLE];
	uint32_t nc = n[SUP_JUDGE_CANDIDATE], ns = n[SUP_JUDGE_STABLE];
	double tolerated = judge->ratios[judge->ratio_tolerated];
	struct judge_count c, s;

	if (nc + ns < 10)
		return;
	count_tail(candidate, nc, stable, ns, 1, &c, &s);
	judge_share_fold(&sums->share[kind], c, s);
	count_tail(candidate, nc, stable, ns, tolerated, &c, &s);
	sums->tail_over[kind - JUDGE_COUNTED] +=
		((double)c.x * ns - (double)s.x * nc) / ((double)nc + ns);
}

static void fold_time(const struct sup_judge *judge, enum sup_judge_time time, struct judge_sums *sums)
{
	float values[2][SUP_JUDGE_BLOCK];

	for (uint32_t band = 0; band < 32; band++) {
		uint32_t n[2] = { 0, 0 };

		for (uint32_t i = 0; i < judge->block_count; i++) {
			const struct judge_value *v = &judge->block[i];

			if (v->band[time] == band && v->ns[time] >= 0)
				values[v->cohort][n[v->cohort]++] = v->ns[time];
		}
		if (n[0] == 0 || n[1] == 0)
			continue;
		judge_sort(values[0], n[0]);
		judge_sort(values[1], n[1]);
		judge_rank_fold(&sums->rank[time], judge->ratios, values[SUP_JUDGE_CANDIDATE],
				n[SUP_JUDGE_CANDIDATE], values[SUP_JUDGE_STABLE], n[SUP_JUDGE_STABLE]);
		if (time != JUDGE_TOTAL)
			fold_tail(judge, sums, time == JUDGE_FIRST ? JUDGE_TAIL_FIRST : JUDGE_TAIL_TOKEN,
				  values, n);
	}
}

void judge_block_fold(const struct sup_judge *judge, struct judge_sums *sums)
{
	for (uint32_t t = 0; t < JUDGE_TIMES; t++)
		fold_time(judge, t, sums);
	for (uint32_t k = 0; k < JUDGE_COUNTED; k++)
		judge_share_fold(&sums->share[k], judge->block_shares[k][SUP_JUDGE_CANDIDATE],
				 judge->block_shares[k][SUP_JUDGE_STABLE]);
}

static void block_close(struct sup_judge *judge)
{
	judge_block_fold(judge, &judge->sums);
	judge->block_count = 0;
	memset(judge->block_shares, 0, sizeof(judge->block_shares));
}

static bool block_over(const struct sup_judge *judge, uint64_t now)
{
	if (judge->block_count == SUP_JUDGE_BLOCK)
		return true;
	return !MUTANT(MUTANT_TIME) && judge->block_count >= judge->conf.block_samples &&
	       now - judge->block_begin_ns >= judge->conf.block_ns;
}

void sup_judge_cut(struct sup_judge *judge, uint64_t now_ns)
{
	if (!MUTANT(MUTANT_TIME))
		block_close(judge);
	judge->block_begin_ns = judge->cut_ns = now_ns;
	memset(judge->cut_shares, 0, sizeof(judge->cut_shares));
	memset(judge->buckets, 0, sizeof(judge->buckets));
	for (uint32_t i = 0; i < JUDGE_TESTS; i++)
		judge->spend[i].tested = 0;
}

/* ---- one request ----------------------------------------------------------------------------- */

/* Octave of a number of tokens. */
static uint8_t band_of(uint64_t tokens)
{
	uint8_t band = 0;

	if (MUTANT(MUTANT_BANDS))
		return 0;
	while (tokens > 1 && band < 31) {
		tokens >>= 1;
		band++;
	}
	return band;
}

static void count(struct sup_judge *judge, enum sup_judge_share_kind kind, enum sup_judge_cohort cohort,
		  bool event)
{
	judge->block_shares[kind][cohort].n++;
	judge->block_shares[kind][cohort].x += event;
	judge->cut_shares[kind][cohort].n++;
	judge->cut_shares[kind][cohort].x += event;
}

/* 16 buckets per octave of ns. */
static uint32_t bucket_of(double ns)
{
	double at = ns < 1 ? 0 : log2(ns) * 16;

	return at < JUDGE_BUCKETS - 1 ? (uint32_t)at : JUDGE_BUCKETS - 1;
}

static void set_time(struct sup_judge *judge, struct judge_value *value, enum sup_judge_time time,
		     uint64_t begin, uint64_t end, uint32_t per, uint64_t band)
{
	double ns = end > begin ? (double)(end - begin) / per : 0;

	value->ns[time] = (float)ns;
	value->band[time] = band_of(band);
	judge->time_counts[time]++;
	judge->buckets[time][value->cohort][bucket_of(ns)]++;
}

/*
 * The wait in the queue is the crowd's doing, not the version's: ranks go by what came after it; the
 * limit on the first token is what users feel, so it counts. Bands: prompts of like length, where
 * the time of a prompt, a step or a reply is alike.
 */
static void add_times(struct sup_judge *judge, const struct sup_judge_sample *s)
{
	struct judge_value *value = &judge->block[judge->block_count++];
	uint64_t fresh = s->prompt_count > s->cached_count ? s->prompt_count - s->cached_count : 1;
	double limit_ns = judge->conf.first_token_p95_ms * 1e6;

	*value = (struct judge_value){ { -1, -1, -1 }, { 0 }, (uint8_t)s->cohort };
	if (s->first_token_ns == 0)
		return;
	set_time(judge, value, JUDGE_FIRST, s->queue_ns, s->first_token_ns, 1, fresh);
	judge->buckets[JUDGE_TIMES][s->cohort][bucket_of((double)s->first_token_ns)]++;
	if (limit_ns > 0)
		count(judge, JUDGE_LATE, s->cohort, (double)s->first_token_ns > limit_ns);
	if (s->output_count > 1)
		set_time(judge, value, JUDGE_TOKEN, s->first_token_ns, s->total_ns, s->output_count - 1,
			 (uint64_t)s->prompt_count + s->output_count / 2);
	if (s->output_count > 0)
		set_time(judge, value, JUDGE_TOTAL, s->queue_ns, s->total_ns, s->output_count,
			 s->output_count);
}

void sup_judge_add(struct sup_judge *judge, const struct sup_judge_sample *s)
{
	uint64_t begun = s->ended_ns > s->total_ns ? s->ended_ns - s->total_ns : 0;

	if (s->cohort == SUP_JUDGE_CANDIDATE && (s->flags & SUP_JUDGE_S_NAN))
		judge->hards[SUP_JUDGE_NAN]++;
	if (begun < judge->cut_ns)
		return;
	if (s->outcome == SUP_JUDGE_CANCELLED) {
		judge->cancelled[s->cohort]++;
		return;
	}
	if (block_over(judge, s->ended_ns)) {
		block_close(judge);
		judge->block_begin_ns = s->ended_ns;
	}
	judge->counts[s->cohort]++;
	count(judge, JUDGE_ERRORS, s->cohort, s->outcome == SUP_JUDGE_FAILED);
	if (s->outcome == SUP_JUDGE_FAILED) {
		/* a place in the block, so that it fills with failures too */
		judge->block[judge->block_count++] = (struct judge_value){ { -1, -1, -1 }, { 0 },
									   (uint8_t)s->cohort };
		return;
	}
	count(judge, JUDGE_EMPTY, s->cohort, s->flags & SUP_JUDGE_S_EMPTY);
	count(judge, JUDGE_REPEATING, s->cohort, s->flags & SUP_JUDGE_S_REPEATING);
	add_times(judge, s);
}

void sup_judge_hard(struct sup_judge *judge, enum sup_judge_hard hard, uint64_t times)
{
	judge->hards[hard] += times;
}
