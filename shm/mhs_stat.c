/* SPDX-License-Identifier: MIT */
/* mhs_stat.c: one writer, so a load and a store make an increment. */
#include "mhs_stat.h"

#include <errno.h>
#include <string.h>

#define US_NS	UINT64_C(1000)

void mhs_stats_add(_Atomic uint64_t *counter, uint64_t n)
{
	uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, now + n, memory_order_relaxed);
}

uint64_t mhs_stats_get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_acquire);	/* T3 pairs with T2 */
}

static void counter_clear(_Atomic uint64_t *counter)
{
	/* T2 after T1; pairs with T3 */
	atomic_store_explicit(counter, 0, memory_order_release);
}

/*
 * Give the row to @id. T1 hides the row before a counter changes, T4 shows it after all are zero. A
 * reader that reads T3 from the new row finds another version_serial when it looks again.
 */
static void row_claim(struct mhs_stats_row *row, uint64_t id, uint64_t claim)
{
	atomic_store_explicit(&row->version_serial, 0, memory_order_relaxed);	/* T1 */
	counter_clear(&row->requests);
	counter_clear(&row->completed);
	counter_clear(&row->cancelled);
	counter_clear(&row->failed);
	counter_clear(&row->prompt_tokens);
	counter_clear(&row->output_tokens);
	counter_clear(&row->nan_logits);
	counter_clear(&row->drafted_tokens);
	counter_clear(&row->accepted_tokens);
	counter_clear(&row->prefill_ns);
	counter_clear(&row->decode_ns);
	counter_clear(&row->cached_tokens);
	counter_clear(&row->preemptions);
	counter_clear(&row->shadow_dropped);
	for (unsigned int h = 0; h < MHS_HIST_COUNT; h++)
		for (unsigned int b = 0; b < MHS_HIST_BUCKETS; b++)
			counter_clear(&row->hist[h][b]);
	atomic_store_explicit(&row->claim, claim, memory_order_relaxed);
	atomic_store_explicit(&row->version_serial, id, memory_order_release);	/* T4 */
}

/* Among the @count rows from @rows on. */
static struct mhs_stats_row *row_get(struct mhs_stats_row *rows, uint32_t count, uint32_t version,
				     uint64_t serial)
{
	uint64_t id = serial << 12 | (version & MHS_ROUTE_INDEX_MASK);
	uint64_t claim, last = 0, oldest = UINT64_MAX;
	struct mhs_stats_row *row, *reuse = rows;

	for (row = rows; row < rows + count; row++) {
		if (atomic_load_explicit(&row->version_serial, memory_order_relaxed) == id)
			return row;
		claim = atomic_load_explicit(&row->claim, memory_order_relaxed);
		if (claim < oldest) {	/* 0: never claimed */
			oldest = claim;
			reuse = row;
		}
		if (claim > last)
			last = claim;
	}
	row_claim(reuse, id, last + 1);
	return reuse;
}

#define VERSION_ROWS	(MHS_STATS_ROWS - MHS_STATS_ADAPTER_ROWS)

struct mhs_stats_row *mhs_stats_row(struct mhs_stats *stats, uint32_t version, uint64_t serial)
{
	return row_get(stats->rows, VERSION_ROWS, version, serial);
}

struct mhs_stats_row *mhs_stats_adapter_row(struct mhs_stats *stats, uint32_t version, uint64_t serial)
{
	return row_get(stats->rows + VERSION_ROWS, MHS_STATS_ADAPTER_ROWS, version, serial);
}

/* bucket 0: [0, 1 us); bucket b: up to 2^(b/2) us, the odd ones by sqrt(2) to 10 digits */
uint64_t mhs_hist_bucket_limit_ns(uint32_t bucket)
{
	if (bucket >= MHS_HIST_BUCKETS - 1)
		return UINT64_MAX;
	if (bucket % 2 == 0)
		return US_NS << (bucket / 2);
	return (UINT64_C(14142135624) << (bucket / 2)) / 10000000u;
}

uint32_t mhs_hist_bucket(uint64_t ns)
{
	uint64_t us = ns / US_NS;
	uint32_t bucket;

	if (us == 0)
		return 0;
	bucket = 2 * (63 - (uint32_t)__builtin_clzll(us)) + 1;
	if (bucket >= MHS_HIST_BUCKETS - 1)
		return MHS_HIST_BUCKETS - 1;
	return ns < mhs_hist_bucket_limit_ns(bucket) ? bucket : bucket + 1;
}

void mhs_hist_add(_Atomic uint64_t *hist, uint64_t ns)
{
	mhs_stats_add(&hist[mhs_hist_bucket(ns)], 1);
}

/* Where the @rank-th of @count values lies in @bucket, were they spread evenly. */
static uint64_t bucket_value(uint32_t bucket, double rank, uint64_t count)
{
	uint64_t low = bucket ? mhs_hist_bucket_limit_ns(bucket - 1) : 0;
	double width;

	if (bucket == MHS_HIST_BUCKETS - 1)
		return low;	/* no upper limit */
	width = (double)(mhs_hist_bucket_limit_ns(bucket) - low);
	return low + (uint64_t)(width * rank / (double)count);
}

uint64_t mhs_hist_quantile_ns(const uint64_t counts[MHS_HIST_BUCKETS], double q)
{
	double total = 0, below = 0, rank;
	uint32_t last = 0;

	for (uint32_t b = 0; b < MHS_HIST_BUCKETS; b++) {
		total += (double)counts[b];
		if (counts[b])
			last = b;
	}
	if (total == 0)
		return 0;
	if (!(q > 0))	/* NaN too */
		q = 0;
	rank = (q < 1 ? q : 1) * total;
	for (uint32_t b = 0; b < last; b++) {
		if (counts[b] && rank <= below + (double)counts[b])
			return bucket_value(b, rank - below, counts[b]);
		below += (double)counts[b];
	}
	return bucket_value(last, rank - below, counts[last]);
}

/*
 * T1 to T4 as for a row: the number 0 hides the slot before a word changes, the new one shows it when
 * all are there.
 */
void mhs_reply_put(struct mhs_replies *replies, const struct mhs_reply *reply)
{
	uint64_t number = atomic_load_explicit(&replies->count, memory_order_relaxed) + 1;
	struct mhs_reply_slot *slot = &replies->slots[(number - 1) % MHS_REPLY_COUNT];
	uint64_t words[MHS_REPLY_WORDS];

	memcpy(words, reply, sizeof(words));
	atomic_store_explicit(&slot->number, 0, memory_order_relaxed);	/* T1 */
	for (uint32_t i = 0; i < MHS_REPLY_WORDS; i++)
		atomic_store_explicit(&slot->words[i], words[i], memory_order_release);	/* T2 */
	atomic_store_explicit(&slot->number, number, memory_order_release);	/* T4 */
	/* T5 after T4; pairs with T6: a number below the count can be read */
	atomic_store_explicit(&replies->count, number, memory_order_release);
}

uint64_t mhs_reply_count(const struct mhs_replies *replies)
{
	return atomic_load_explicit(&replies->count, memory_order_acquire);	/* T6 pairs with T5 */
}

int mhs_reply_get(const struct mhs_replies *replies, uint64_t number, struct mhs_reply *reply)
{
	const struct mhs_reply_slot *slot = &replies->slots[(number - 1) % MHS_REPLY_COUNT];
	uint64_t words[MHS_REPLY_WORDS];

	/* acquire pairs with T4 */
	if (number == 0 || atomic_load_explicit(&slot->number, memory_order_acquire) != number)
		return -ESTALE;
	for (uint32_t i = 0; i < MHS_REPLY_WORDS; i++)
		words[i] = mhs_stats_get(&slot->words[i]);	/* T3 pairs with T2 */
	/* After a T3 that read a newer word, T1 is seen here. */
	if (atomic_load_explicit(&slot->number, memory_order_relaxed) != number)
		return -ESTALE;
	memcpy(reply, words, sizeof(*reply));
	return 0;
}
