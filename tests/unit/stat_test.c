/* SPDX-License-Identifier: MIT */
#include "mhs_stat.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "t.h"

#define VERSION_ROWS	(MHS_STATS_ROWS - MHS_STATS_ADAPTER_ROWS)

static struct mhs_stats stats;

static uint64_t counter(const _Atomic uint64_t *c)
{
	return mhs_stats_get(c);
}

static void bucket_limits(void)
{
	t_eq(mhs_hist_bucket_limit_ns(0), 1000);
	t_eq(mhs_hist_bucket_limit_ns(1), 1414);
	t_eq(mhs_hist_bucket_limit_ns(2), 2000);
	t_eq(mhs_hist_bucket_limit_ns(3), 2828);
	t_eq(mhs_hist_bucket_limit_ns(20), 1024000);
	t_ok(mhs_hist_bucket_limit_ns(MHS_HIST_BUCKETS - 1) == UINT64_MAX);
	t_ok(mhs_hist_bucket_limit_ns(1000) == UINT64_MAX);
	for (uint32_t b = 0; b < MHS_HIST_BUCKETS - 1; b++) {
		double want = 1000 * pow(2, b / 2.0);

		t_near((double)mhs_hist_bucket_limit_ns(b) / want, 1, 1e-3);
		t_ok(mhs_hist_bucket_limit_ns(b) < mhs_hist_bucket_limit_ns(b + 1));
	}
}

static void bucket_edges(void)
{
	t_eq(mhs_hist_bucket(0), 0);
	t_eq(mhs_hist_bucket(UINT64_MAX), MHS_HIST_BUCKETS - 1);
	for (uint32_t b = 0; b < MHS_HIST_BUCKETS - 1; b++) {
		uint64_t limit = mhs_hist_bucket_limit_ns(b);

		t_eq(mhs_hist_bucket(limit - 1), b);
		t_eq(mhs_hist_bucket(limit), b + 1);
	}
}

static void bucket_by_search(void)
{
	uint64_t seed = 3;

	for (int i = 0; i < 100000; i++) {
		uint64_t ns = t_random(&seed);
		uint32_t b = 0;

		ns >>= t_random(&seed) % 64;
		while (b < MHS_HIST_BUCKETS - 1 && ns >= mhs_hist_bucket_limit_ns(b))
			b++;
		t_need(mhs_hist_bucket(ns) == b);
	}
}

static void quantiles(void)
{
	uint64_t counts[MHS_HIST_BUCKETS] = { 0 };

	t_eq(mhs_hist_quantile_ns(counts, 0.5), 0);
	counts[10] = 100;	/* [22627, 32000) */
	t_eq(mhs_hist_quantile_ns(counts, 0), 22627);
	t_eq(mhs_hist_quantile_ns(counts, 1), 32000);
	t_eq(mhs_hist_quantile_ns(counts, 7), 32000);
	t_eq(mhs_hist_quantile_ns(counts, -1), 22627);
	t_eq(mhs_hist_quantile_ns(counts, NAN), 22627);
	t_near((double)mhs_hist_quantile_ns(counts, 0.5), (22627 + 32000) / 2.0, 1);
	counts[20] = 100;	/* [724077, 1024000) */
	t_ok(mhs_hist_quantile_ns(counts, 0.5) <= 32000);
	t_ok(mhs_hist_quantile_ns(counts, 0.51) >= 724077);
	t_eq(mhs_hist_quantile_ns(counts, 1), 1024000);
	counts[63] = 1000;
	t_eq(mhs_hist_quantile_ns(counts, 0.99), mhs_hist_bucket_limit_ns(62));
}

/* Against the exact quantiles of the data: never off by more than one bucket's width. */
static void quantiles_of_data(void)
{
	static _Atomic uint64_t hist[MHS_HIST_BUCKETS];
	uint64_t counts[MHS_HIST_BUCKETS], last = 0;

	for (uint64_t i = 1; i <= 10000; i++)
		mhs_hist_add(hist, i * 1000);
	for (uint32_t b = 0; b < MHS_HIST_BUCKETS; b++)
		counts[b] = counter(&hist[b]);
	for (int q = 0; q <= 100; q++) {
		uint64_t got = mhs_hist_quantile_ns(counts, q / 100.0);

		t_ok(got >= last);
		last = got;
		if (q > 0)
			t_ok((double)got > q * 1e5 / 1.42 && (double)got < q * 1e5 * 1.42);
	}
}

static void row_found_again(void)
{
	struct mhs_stats_row *a, *b;

	memset(&stats, 0, sizeof(stats));
	a = mhs_stats_row(&stats, 1, 1);
	mhs_stats_add(&a->requests, 3);
	b = mhs_stats_row(&stats, 1, 2);	/* the same index used again */
	t_ok(a != b);
	t_ok(mhs_stats_row(&stats, 1, 1) == a);
	t_eq(counter(&a->requests), 3);
	t_eq(counter(&b->requests), 0);
	t_eq(counter(&a->version_serial), 1 << 12 | 1);
	t_eq(counter(&b->version_serial), 2 << 12 | 1);
}

static void oldest_row_reused(void)
{
	struct mhs_stats_row *first, *again;

	memset(&stats, 0, sizeof(stats));
	first = mhs_stats_row(&stats, 1, 100);
	for (uint32_t i = 1; i < VERSION_ROWS; i++)
		t_need(mhs_stats_row(&stats, 1 + i, 100) != first);
	mhs_stats_add(&first->output_tokens, 5);
	mhs_stats_add(&first->decode_ns, 5);
	mhs_hist_add(first->hist[MHS_HIST_TOTAL], UINT64_MAX);
	again = mhs_stats_row(&stats, 9, 101);
	t_ok(again == first);
	t_eq(counter(&again->output_tokens), 0);
	t_eq(counter(&again->decode_ns), 0);
	t_eq(counter(&again->hist[MHS_HIST_TOTAL][MHS_HIST_BUCKETS - 1]), 0);
	t_ok(mhs_stats_row(&stats, 1, 100) != first);	/* evicts the next oldest */
	t_ok(mhs_stats_row(&stats, 9, 101) == first);
}

static void adapters_push_out_no_version(void)
{
	struct mhs_stats_row *version, *adapter;

	memset(&stats, 0, sizeof(stats));
	version = mhs_stats_row(&stats, 1, 1);
	adapter = mhs_stats_adapter_row(&stats, 2, 1);
	for (uint32_t i = 1; i < MHS_STATS_ADAPTER_ROWS; i++)
		t_need(mhs_stats_adapter_row(&stats, 2 + i, 1) != adapter);
	t_ok(mhs_stats_adapter_row(&stats, 2, 1) == adapter);
	for (uint32_t i = 0; i < 3 * MHS_STATS_ROWS; i++)
		mhs_stats_adapter_row(&stats, 2 + i, 2);
	t_ok(mhs_stats_row(&stats, 1, 1) == version);
	t_eq(counter(&version->version_serial), 1 << 12 | 1);
	t_ok(counter(&adapter->version_serial) != (1 << 12 | 2));
}

static void every_counter_cleared(void)
{
	struct mhs_stats_row *row;

	memset(&stats, 0, sizeof(stats));
	row = mhs_stats_row(&stats, 1, 1);
	for (_Atomic uint64_t *c = &row->requests; c <= &row->decode_ns; c++)
		mhs_stats_add(c, 1);
	for (uint32_t i = 1; i <= VERSION_ROWS; i++)
		mhs_stats_row(&stats, 1 + i, 1);
	for (const _Atomic uint64_t *c = &row->requests; c <= &row->decode_ns; c++)
		t_eq(counter(c), 0);
}

static struct mhs_replies replies;

static void reply_ring(void)
{
	struct mhs_reply in = { .version_serial = 1 << 12 | 7, .kind = MHS_REPLY_ENDED }, out;

	memset(&replies, 0, sizeof(replies));
	t_eq(mhs_reply_count(&replies), 0);
	t_eq(mhs_reply_get(&replies, 0, &out), -ESTALE);
	t_eq(mhs_reply_get(&replies, 1, &out), -ESTALE);
	for (uint32_t i = 1; i <= MHS_REPLY_COUNT + 3; i++) {
		in.output_count = i;
		in.kl_max = (float)i / 3;
		mhs_reply_put(&replies, &in);
		t_need(mhs_reply_get(&replies, i, &out) == 0);
		t_need(memcmp(&in, &out, sizeof(in)) == 0);
	}
	t_eq(mhs_reply_count(&replies), MHS_REPLY_COUNT + 3);
	t_eq(mhs_reply_get(&replies, 3, &out), -ESTALE);	/* written over */
	t_eq(mhs_reply_get(&replies, 4, &out), 0);
	t_eq(out.output_count, 4);
	t_eq(mhs_reply_get(&replies, MHS_REPLY_COUNT + 4, &out), -ESTALE);
}

#define STORM_READS	20000u	/* whole ones */

/* Each record says the same number in all its words. */
static void *reply_storm(void *arg)
{
	const atomic_bool *stop = arg;
	struct mhs_reply reply;
	uint64_t words[MHS_REPLY_WORDS];

	for (uint64_t n = 1; !atomic_load(stop); n++) {
		for (uint32_t i = 0; i < MHS_REPLY_WORDS; i++)
			words[i] = n;
		memcpy(&reply, words, sizeof(reply));
		mhs_reply_put(&replies, &reply);
	}
	return NULL;
}

static void replies_are_whole(void)
{
	atomic_bool stop = false;
	uint64_t words[MHS_REPLY_WORDS], got = 0;
	struct mhs_reply reply;
	pthread_t writer;

	memset(&replies, 0, sizeof(replies));
	t_need(pthread_create(&writer, NULL, reply_storm, &stop) == 0);
	for (uint64_t i = 0; got < STORM_READS; i++) {
		uint64_t count = mhs_reply_count(&replies), number = count - i % MHS_REPLY_COUNT;

		/* the oldest ones, which are being written over */
		if (count < MHS_REPLY_COUNT || mhs_reply_get(&replies, number, &reply))
			continue;
		got++;
		memcpy(words, &reply, sizeof(reply));
		for (uint32_t w = 0; w < MHS_REPLY_WORDS; w++)
			t_need(words[w] == number);
	}
	atomic_store(&stop, true);
	pthread_join(writer, NULL);
}

int main(void)
{
	T_RUN(bucket_limits);
	T_RUN(bucket_edges);
	T_RUN(bucket_by_search);
	T_RUN(quantiles);
	T_RUN(quantiles_of_data);
	T_RUN(row_found_again);
	T_RUN(oldest_row_reused);
	T_RUN(adapters_push_out_no_version);
	T_RUN(every_counter_cleared);
	T_RUN(reply_ring);
	T_RUN(replies_are_whole);
	return t_done();
}
