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

#define BANDS	24u		/* octaves of numbers of tokens */

void sup_judge_defaults(struct sup_judge_conf *conf)
{
	*conf = (struct sup_judge_conf){
		.alpha = 0.01, .spend_power = 1, .hold_p = 0.01,
		.samples_min = 50, .samples_full = 2000,
		.slowdown_tolerated = 1.05, .slowdown_excluded = 1.10, .tail_tolerated = 0.01,
		.first_token_p95_ms = 500,
		.error_rate_max = 0.05, .error_rate_tolerated = 0.01, .error_rate_excluded = 0.03,
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
		{ "error_rate_excluded", c->error_rate_excluded, c->error_rate_tolerated, 1 },
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
		{ 0.7, 1, 1.3, 1.7, 4 };
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

/* One stratum: sorted times of both cohorts. */
struct stratum {
	struct judge_item items[2][SUP_JUDGE_BLOCK];
	uint32_t n[2];
};

/*
 * Where a stratum's slowest twentieth begins, were the candidate's times divided by @ratio, and how many
 * of each cohort are in it. Times are as stable's.
 */
static double count_tail(const struct stratum *st, double ratio, struct judge_count count[2])
{
	uint32_t n = st->n[SUP_JUDGE_CANDIDATE], m = st->n[SUP_JUDGE_STABLE], tail = (n + m + 10) / 20;
	const struct judge_item *candidate = st->items[SUP_JUDGE_CANDIDATE];
	const struct judge_item *stable = st->items[SUP_JUDGE_STABLE];
	double cut = INFINITY;
	uint32_t i = n, j = m;

	while (tail--)
		cut = i && (!j || (double)candidate[i - 1].ns > (double)stable[j - 1].ns * ratio) ?
		      (double)candidate[--i].ns : (double)stable[--j].ns * ratio;
	while (i && (double)candidate[i - 1].ns >= cut)
		i--;
	while (j && (double)stable[j - 1].ns * ratio >= cut)
		j--;
	count[SUP_JUDGE_CANDIDATE] = (struct judge_count){ n, n - i };
	count[SUP_JUDGE_STABLE] = (struct judge_count){ m, m - j };
	return cut;
}

/* What a failure is to the errors, being among the slowest twentieth is to this share. */
static void fold_tail(const struct sup_judge *judge, struct judge_sums *sums, enum sup_judge_share_kind kind,
		      const struct stratum *st)
{
	struct judge_count count[2];
	double n = st->n[SUP_JUDGE_CANDIDATE], m = st->n[SUP_JUDGE_STABLE], cut;

	if (n + m < 10)
		return;
	cut = count_tail(st, 1, count);
	judge_share_fold(&sums->share[kind], count[SUP_JUDGE_CANDIDATE], count[SUP_JUDGE_STABLE]);
	for (uint32_t cohort = 0; judge->sessions && cohort < 2; cohort++)
		for (uint32_t i = 0; i < st->n[cohort]; i++)
			judge_cluster_event(&sums->cluster[JUDGE_TIMES + kind], st->items[cohort][i].session,
					    cohort, (double)st->items[cohort][i].ns >= cut,
					    count[SUP_JUDGE_CANDIDATE], count[SUP_JUDGE_STABLE]);
	count_tail(st, judge->ratios[judge->ratio_tolerated], count);
	sums->tail_over[kind - JUDGE_COUNTED] +=
		((double)count[SUP_JUDGE_CANDIDATE].x * m - (double)count[SUP_JUDGE_STABLE].x * n) / (n + m);
}

static void fold_stratum(const struct sup_judge *judge, enum sup_judge_time time, struct judge_sums *sums,
			 struct stratum *st)
{
	const struct judge_item *candidate = st->items[SUP_JUDGE_CANDIDATE];
	const struct judge_item *stable = st->items[SUP_JUDGE_STABLE];

	judge_sort(st->items[0], st->n[0]);
	judge_sort(st->items[1], st->n[1]);
	judge_rank_fold(&sums->rank[time], judge->ratios, candidate, st->n[SUP_JUDGE_CANDIDATE], stable,
			st->n[SUP_JUDGE_STABLE]);
	if (judge->sessions)
		judge_cluster_ranks(&sums->cluster[time], candidate, st->n[SUP_JUDGE_CANDIDATE], stable,
				    st->n[SUP_JUDGE_STABLE]);
	if (time == JUDGE_FIRST || time == JUDGE_TOKEN)
		fold_tail(judge, sums, time == JUDGE_FIRST ? JUDGE_TAIL_FIRST : JUDGE_TAIL_TOKEN, st);
}

static void fold_time(const struct sup_judge *judge, enum sup_judge_time time, struct judge_sums *sums)
{
	struct stratum st;
	uint32_t present = 0;

	for (uint32_t i = 0; i < judge->block_count; i++)
		present |= 1u << judge->block[i].band[time];
	for (uint32_t band = 0; band < BANDS; band++) {
		if (!(present >> band & 1))
			continue;
		st.n[0] = st.n[1] = 0;
		for (uint32_t i = 0; i < judge->block_count; i++) {
			const struct judge_value *v = &judge->block[i];

			if (v->band[time] == band && v->ns[time] >= 0)
				st.items[v->cohort][st.n[v->cohort]++] =
					(struct judge_item){ v->ns[time], v->session };
		}
		if (st.n[0] && st.n[1])
			fold_stratum(judge, time, sums, &st);
	}
}

static void fold_share(const struct sup_judge *judge, enum sup_judge_share_kind kind, struct judge_sums *sums)
{
	struct judge_count count[2] = { { 0 } };
	uint32_t i;

	for (i = 0; i < judge->block_count; i++) {
		const struct judge_value *v = &judge->block[i];

		count[v->cohort].n += v->counts >> kind & 1;
		count[v->cohort].x += v->events >> kind & 1;
	}
	judge_share_fold(&sums->share[kind], count[SUP_JUDGE_CANDIDATE], count[SUP_JUDGE_STABLE]);
	for (i = 0; judge->sessions && i < judge->block_count; i++) {
		const struct judge_value *v = &judge->block[i];

		if (v->counts >> kind & 1)
			judge_cluster_event(&sums->cluster[JUDGE_TIMES + kind], v->session, v->cohort,
					    v->events >> kind & 1, count[SUP_JUDGE_CANDIDATE],
					    count[SUP_JUDGE_STABLE]);
	}
}

void judge_block_fold(const struct sup_judge *judge, struct judge_sums *sums)
{
	for (uint32_t t = 0; t < JUDGE_TIMES; t++)
		fold_time(judge, t, sums);
	for (uint32_t k = 0; k < JUDGE_COUNTED; k++)
		fold_share(judge, k, sums);
}

static void block_close(struct sup_judge *judge)
{
	judge_block_fold(judge, &judge->sums);
	judge->block_count = 0;
}

static bool block_over(const struct sup_judge *judge, uint64_t now)
{
	if (judge->block_count == SUP_JUDGE_BLOCK)
		return true;
	return !MUTANT(MUTANT_TIME) && judge->block_count >= judge->conf.block_samples &&
	       now > judge->block_begin_ns && now - judge->block_begin_ns >= judge->conf.block_ns;
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
	while (tokens > 1 && band < BANDS - 1) {
		tokens >>= 1;
		band++;
	}
	return band;
}

static void count(struct sup_judge *judge, struct judge_value *value, enum sup_judge_share_kind kind,
		  bool event)
{
	value->counts |= (uint8_t)(1u << kind);
	value->events |= (uint8_t)((unsigned int)event << kind);
	judge->cut_shares[kind][value->cohort].n++;
	judge->cut_shares[kind][value->cohort].x += event;
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
static void add_times(struct sup_judge *judge, struct judge_value *value, const struct sup_judge_sample *s)
{
	uint64_t fresh = s->prompt_count > s->cached_count ? s->prompt_count - s->cached_count : 1;
	double limit_ns = judge->conf.first_token_p95_ms * 1e6;

	if (s->own_ns && s->usual_ns)
		set_time(judge, value, JUDGE_STEP, 0, (uint64_t)((double)s->own_ns / (double)s->usual_ns * 1e6),
			 1, 1);
	if (s->first_token_ns == 0)
		return;
	set_time(judge, value, JUDGE_FIRST, s->queue_ns, s->first_token_ns, 1, fresh);
	judge->buckets[JUDGE_TIMES][s->cohort][bucket_of((double)s->first_token_ns)]++;
	if (limit_ns > 0)
		count(judge, value, JUDGE_LATE, (double)s->first_token_ns > limit_ns);
	if (s->output_count > 1)
		set_time(judge, value, JUDGE_TOKEN, s->first_token_ns, s->total_ns, s->output_count - 1,
			 (uint64_t)s->prompt_count + s->output_count / 2);
	if (s->output_count > 0)
		set_time(judge, value, JUDGE_TOTAL, s->queue_ns, s->total_ns, s->output_count,
			 s->output_count);
}

/* Without a session each request stands for itself: any counter, but not the same for all. */
static uint16_t session_of(struct sup_judge *judge, const struct sup_judge_sample *s)
{
	uint64_t key = s->session ? s->session : judge->counts[0] + judge->counts[1];

	judge->sessions |= s->session != 0;
	return (uint16_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32) % SUP_JUDGE_SESSIONS;
}

void sup_judge_add(struct sup_judge *judge, const struct sup_judge_sample *s)
{
	uint64_t begun = s->ended_ns > s->total_ns ? s->ended_ns - s->total_ns : 0;
	struct judge_value *value;

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
	value = &judge->block[judge->block_count++];
	*value = (struct judge_value){ .ns = { -1, -1, -1, -1 }, .cohort = (uint8_t)s->cohort,
				       .session = session_of(judge, s) };
	count(judge, value, JUDGE_ERRORS, s->outcome == SUP_JUDGE_FAILED);
	if (s->outcome == SUP_JUDGE_FAILED)
		return;
	count(judge, value, JUDGE_EMPTY, s->flags & SUP_JUDGE_S_EMPTY);
	count(judge, value, JUDGE_REPEATING, s->flags & SUP_JUDGE_S_REPEATING);
	add_times(judge, value, s);
}

bool sup_judge_is_hard(const struct sup_judge *judge)
{
	for (uint32_t i = 0; i < SUP_JUDGE_HARDS; i++)
		if (judge->hards[i])
			return true;
	return judge->shadow.broken;
}

void sup_judge_hard(struct sup_judge *judge, enum sup_judge_hard hard, uint64_t times)
{
	judge->hards[hard] += times;
}
