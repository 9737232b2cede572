/* SPDX-License-Identifier: MIT */
/*
 * bench_mixed.c: what running streams feel of prompts that arrive: the time from token to token of
 * STREAMS streams, in turns without anything else and with one prompt after the other, of 512 to
 * 2048 tokens.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define STREAMS		4u
#define STREAM_PROMPT	32u
/* short: a step takes longer as what is attended to grows */
#define STREAM_OUTPUT	256u
#define GAPS_MAX	262144u
#define SALT		0x40000000u	/* of prompts that no other part uses */
#define TURN_S		2.0

struct gaps {
	double *ms;
	size_t count;
};

struct mixed {
	struct bench *b;
	struct mhost *streams, *prompts;
	uint64_t ids[STREAMS];
	double last_s[STREAMS];		/* 0: no token yet in this turn */
	uint32_t *stream_ids, *prompt_ids;
	uint32_t prompt_most;
	uint64_t prompt_tokens, salt;
	double prompt_s;
	pthread_t thread;
	_Atomic int arrive;		/* relaxed: these two only end loops */
	_Atomic int arriving;
	bool failed;
	double p50[2][1000], p95[2][1000], p99[2][1000];
};

static bool stream_submit(struct mixed *m, uint32_t i)
{
	struct mhost_request rq = MHOST_REQUEST_INIT;

	rq.model = m->b->model;
	rq.tokens = m->stream_ids;
	rq.token_count = STREAM_PROMPT;
	rq.max_tokens = STREAM_OUTPUT;
	rq.flags = MHOST_IGNORE_EOS | MHOST_NO_SPECULATE;	/* guesses come in bursts */
	bench_prompt(m->stream_ids, STREAM_PROMPT, m->b->vocab, i);
	m->last_s[i] = 0;
	return mhost_submit(m->streams, &rq, &m->ids[i]) == 0;
}

static void gap_add(struct mixed *m, struct gaps *gaps, uint32_t i)
{
	double now = bench_now_s();

	if (m->last_s[i] > 0 && gaps && gaps->count < GAPS_MAX)
		gaps->ms[gaps->count++] = (now - m->last_s[i]) * 1e3;
	m->last_s[i] = now;
}

/* One event of the streams; one that ends begins again. */
static bool stream_event(struct mixed *m, struct gaps *gaps)
{
	const struct mhost_event *ev;

	if (mhost_next(m->streams, 30000, &ev))
		return false;
	for (uint32_t i = 0; i < STREAMS; i++) {
		if (ev->id != m->ids[i])
			continue;
		if (ev->type == MHOST_EVENT_TOKEN)
			gap_add(m, gaps, i);
		if (ev->type == MHOST_EVENT_END)
			return !ev->error && stream_submit(m, i);
	}
	return true;
}

/* Prompts of 1/4, 2/4, 3/4 and all of the most, none of them seen before. */
static void *prompts_main(void *arg)
{
	struct mixed *m = arg;

	while (!m->failed && atomic_load_explicit(&m->arrive, memory_order_relaxed)) {
		uint32_t n = m->prompt_most * (1 + (uint32_t)(m->salt % 4)) / 4;
		double start = bench_now_s();
		struct bench_run one;

		bench_prompt(m->prompt_ids, n, m->b->vocab, SALT + (uint32_t)m->salt++);
		if (!bench_run(m->b, m->prompts, m->prompt_ids, n, 1, &one)) {
			m->failed = true;
			break;
		}
		m->prompt_s += bench_now_s() - start;
		m->prompt_tokens += n;
	}
	atomic_store_explicit(&m->arriving, 0, memory_order_relaxed);
	return NULL;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static bool arrivals_begin(struct mixed *m)
{
	atomic_store_explicit(&m->arrive, 1, memory_order_relaxed);
	atomic_store_explicit(&m->arriving, 1, memory_order_relaxed);
	return pthread_create(&m->thread, NULL, prompts_main, m) == 0;
}

/* The streams are read on meanwhile: what waits in the ring has no time of its own. */
static bool arrivals_end(struct mixed *m)
{
	bool ok = true;

	atomic_store_explicit(&m->arrive, 0, memory_order_relaxed);
	while (ok && atomic_load_explicit(&m->arriving, memory_order_relaxed))
		ok = stream_event(m, NULL);
	pthread_join(m->thread, NULL);
	return ok && !m->failed;
}

/* One turn; the first token of each stream in it only starts the clock. */
static bool turn(struct mixed *m, bool arriving, uint32_t round, struct gaps *gaps)
{
	double end;
	bool ok = true;

	if (arriving && !arrivals_begin(m))
		return false;
	memset(m->last_s, 0, sizeof(m->last_s));
	gaps->count = 0;
	for (end = bench_now_s() + TURN_S; ok && bench_now_s() < end;)
		ok = stream_event(m, gaps);
	if (arriving)
		ok = arrivals_end(m) && ok;
	if (!ok || !gaps->count)
		return false;
	qsort(gaps->ms, gaps->count, sizeof(*gaps->ms), compare);
	m->p50[arriving][round] = gaps->ms[gaps->count / 2];
	m->p95[arriving][round] = gaps->ms[gaps->count * 95 / 100];
	m->p99[arriving][round] = gaps->ms[gaps->count * 99 / 100];
	return true;
}

static void put(json_t *out, const char *key, double *values, size_t n)
{
	struct spread s = bench_spread(values, n);

	json_object_set_new(out, key, bench_spread_json(&s));
}

static void report(struct mixed *m, json_t *out)
{
	static const char *const names[] = { "steady", "with_prompts" };
	uint32_t n = m->b->repeat;
	double ratio[1000];
	char key[64];

	for (uint32_t i = 0; i < n; i++)
		ratio[i] = m->p95[1][i] / m->p95[0][i];
	for (int a = 0; a < 2; a++) {
		snprintf(key, sizeof(key), "inter_token_p50_ms_%s", names[a]);
		put(out, key, m->p50[a], n);
		snprintf(key, sizeof(key), "inter_token_p95_ms_%s", names[a]);
		put(out, key, m->p95[a], n);
		snprintf(key, sizeof(key), "inter_token_p99_ms_%s", names[a]);
		put(out, key, m->p99[a], n);
	}
	put(out, "inter_token_p95_ratio", ratio, n);
	json_object_set_new(out, "prompt_tokens_per_s_beside",
			    json_real((double)m->prompt_tokens / m->prompt_s));
}

static bool run(struct mixed *m, struct gaps *gaps)
{
	bool ok = true;

	for (uint32_t i = 0; ok && i < STREAMS; i++)
		ok = stream_submit(m, i);
	for (uint32_t i = 0; ok && i < 64 * STREAMS; i++)
		ok = stream_event(m, NULL);		/* all of them run */
	for (uint32_t i = 0; ok && i < m->b->repeat; i++)
		ok = turn(m, false, i, gaps) && turn(m, true, i, gaps);
	return ok;
}

int bench_part_mixed(struct bench *b)
{
	struct mixed *m = calloc(1, sizeof(*m));
	struct gaps gaps = { .ms = calloc(GAPS_MAX, sizeof(double)) };
	int err = CMD_FAILED;

	if (!m || !gaps.ms)
		goto out;
	m->b = b;
	m->prompt_most = b->context > 2048 ? 2048 : b->context - 1;
	m->stream_ids = calloc(STREAM_PROMPT, sizeof(uint32_t));
	m->prompt_ids = calloc(m->prompt_most, sizeof(uint32_t));
	if (!m->stream_ids || !m->prompt_ids)
		goto out;
	if (mhost_connect(&m->streams, b->cmd->socket) || mhost_connect(&m->prompts, b->cmd->socket) ||
	    !run(m, &gaps)) {
		cmd_fail(b->cmd, CMD_FAILED, "a stream failed: %s",
			 mhost_errmsg(m->failed ? m->prompts : m->streams));
		goto out;
	}
	json_object_set_new(b->out, "mixed", json_object());
	report(m, json_object_get(b->out, "mixed"));
	err = CMD_OK;
out:
	if (m) {
		mhost_close(&m->streams);
		mhost_close(&m->prompts);
		free(m->stream_ids);
		free(m->prompt_ids);
	}
	free(gaps.ms);
	free(m);
	return err;
}
