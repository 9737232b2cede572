/* SPDX-License-Identifier: MIT */
/*
 * mhs_stat.h: counters and latency histograms of one worker, per version and adapter. Written by
 * the worker with relaxed stores (single writer), read by anyone without locks: a reader may see
 * one counter a little ahead of another, never a torn one.
 */
#ifndef MHS_STAT_H
#define MHS_STAT_H

#include "mhs_layout.h"

/*
 * Row of (version index, serial), claimed if new; when full the one claimed first is reused. Adapters
 * have rows of their own: however many come, they push no version of a model out.
 */
struct mhs_stats_row *mhs_stats_row(struct mhs_stats *stats, uint32_t version, uint64_t serial);
struct mhs_stats_row *mhs_stats_adapter_row(struct mhs_stats *stats, uint32_t version, uint64_t serial);
void mhs_stats_add(_Atomic uint64_t *counter, uint64_t n);
/*
 * Any reader: load one counter. A copy of a row is of one version when version_serial, read with
 * this too, is the same before and after.
 */
uint64_t mhs_stats_get(const _Atomic uint64_t *counter);
/* Count one duration. Buckets are half-octaves of microseconds; bucket 0 holds < 1 us. */
void mhs_hist_add(_Atomic uint64_t *hist, uint64_t ns);
uint32_t mhs_hist_bucket(uint64_t ns);
uint64_t mhs_hist_bucket_limit_ns(uint32_t bucket);	/* exclusive upper limit */
/* The q quantile (0..1) of a private copy of one histogram, in ns; 0 when empty. */
uint64_t mhs_hist_quantile_ns(const uint64_t counts[MHS_HIST_BUCKETS], double q);

/*
 * The ring of replies: one writer that never waits, any readers. Number n is the n-th record, from 1.
 */
void mhs_reply_put(struct mhs_replies *replies, const struct mhs_reply *reply);
/* Records ever written. A hostile writer may say anything. */
uint64_t mhs_reply_count(const struct mhs_replies *replies);
/* 0; -ESTALE: written over, or not there. */
int mhs_reply_get(const struct mhs_replies *replies, uint64_t number, struct mhs_reply *reply);

#endif
