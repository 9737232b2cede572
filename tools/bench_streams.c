/* SPDX-License-Identifier: MIT */
/* bench_streams.c: requests on many streams at once, of mhost or of another server. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"

#define FIRSTS_MAX	4096u

struct bench_load {
	struct bench_stream streams[BENCH_STREAMS_MAX];
	pthread_t threads[BENCH_STREAMS_MAX];
	const struct bench_source *source;
	uint32_t stream_count;
	double start;
	_Atomic int stop;	/* relaxed: it only ends loops */
};

/*
 * Ids that any vocabulary has; others in each process: the host may still have those of an earlier
 * one.
 */
void bench_prompt(uint32_t *ids, uint32_t count, uint32_t vocab, uint32_t salt)
{
	uint32_t x = (2463534242u + salt * 2654435761u) ^ ((uint32_t)getpid() << 8);

	for (uint32_t i = 0; i < count; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		ids[i] = x % vocab;
	}
}

static _Atomic uint32_t prompt_serial = 1u << 20;	/* of all streams; below are single prompts' */

bool bench_stream_token(struct bench_stream *st, uint64_t count)
{
	struct bench_load *load = st->load;

	if (!st->request_tokens && count && st->first_count < FIRSTS_MAX)
		st->first_ms[st->first_count++] = (bench_now_s() - st->request_start) * 1e3;
	st->request_tokens += count;
	atomic_fetch_add_explicit(&st->tokens, count, memory_order_relaxed);
	return !atomic_load_explicit(&load->stop, memory_order_relaxed);
}

static void *stream_main(void *arg)
{
	struct bench_stream *st = arg;
	const struct bench_source *source = st->load->source;

	st->failed = !source->open(st);
	while (!st->failed && !atomic_load_explicit(&st->load->stop, memory_order_relaxed)) {
		/*
		 * No two prompts alike, in none of the loads: what is measured is work, not a
		 * prefix cache. relaxed: a number each, in any order.
		 */
		bench_prompt(st->prompt, st->prompt_tokens, st->b->vocab,
			     atomic_fetch_add_explicit(&prompt_serial, 1, memory_order_relaxed));
		st->request_start = bench_now_s();
		st->request_tokens = 0;
		if (source->request(st))
			st->requests++;
		else
			st->failed = !atomic_load_explicit(&st->load->stop, memory_order_relaxed);
	}
	source->close(st);
	return NULL;
}

struct bench_load *bench_load_start_on(const struct bench *b, const struct bench_source *source,
				       uint32_t streams, uint32_t prompt_tokens,
				       uint32_t max_tokens)
{
	struct bench_load *load = calloc(1, sizeof(*load));

	if (!load)
		return NULL;
	load->source = source;
	load->start = bench_now_s();
	for (uint32_t i = 0; i < streams && i < BENCH_STREAMS_MAX; i++) {
		struct bench_stream *st = &load->streams[i];

		*st = (struct bench_stream){ .b = b, .load = load, .index = i,
					     .prompt_tokens = prompt_tokens,
					     .max_tokens = max_tokens };
		st->prompt = calloc(prompt_tokens, sizeof(*st->prompt));
		st->first_ms = calloc(FIRSTS_MAX, sizeof(*st->first_ms));
		load->stream_count++;
		if (!st->prompt || !st->first_ms ||
		    pthread_create(&load->threads[i], NULL, stream_main, st)) {
			load->threads[i] = 0;
			st->failed = 1;
			break;
		}
	}
	return load;
}

uint64_t bench_load_tokens(const struct bench_load *load)
{
	uint64_t tokens = 0;

	for (uint32_t i = 0; i < load->stream_count; i++)
		tokens += atomic_load_explicit(&load->streams[i].tokens, memory_order_relaxed);
	return tokens;
}

struct bench_totals bench_load_stop(struct bench_load **loadp)
{
	struct bench_load *load = *loadp;
	struct bench_totals t = { .tokens = bench_load_tokens(load),
				  .seconds = bench_now_s() - load->start };
	double *firsts = calloc((size_t)BENCH_STREAMS_MAX * FIRSTS_MAX, sizeof(*firsts));
	size_t n = 0;

	atomic_store_explicit(&load->stop, 1, memory_order_relaxed);
	for (uint32_t i = 0; i < load->stream_count; i++) {
		struct bench_stream *st = &load->streams[i];

		if (load->threads[i])
			pthread_join(load->threads[i], NULL);
		t.requests += st->requests;
		t.failed += st->failed;
		for (uint32_t j = 0; firsts && j < st->first_count; j++)
			firsts[n++] = st->first_ms[j];
		free(st->prompt);
		free(st->first_ms);
	}
	t.first_token_ms = bench_spread(firsts, n);
	free(firsts);
	free(load);
	*loadp = NULL;
	return t;
}

/* ---- mhost as a source ---------------------------------------------------------------------- */

static struct mhost_request request_of(const struct bench *b, const uint32_t *prompt,
				       uint32_t prompt_tokens, uint32_t max_tokens)
{
	struct mhost_request rq = MHOST_REQUEST_INIT;

	rq.model = b->model;
	rq.tokens = prompt;
	rq.token_count = prompt_tokens;
	rq.max_tokens = max_tokens;
	/* What a model says to noise repeats itself: guessing ahead would flatter. */
	rq.flags = MHOST_IGNORE_EOS | MHOST_NO_SPECULATE;
	return rq;
}

static bool lane_open(struct bench_stream *st)
{
	struct mhost *s;
	int err = mhost_connect(&s, st->b->cmd->socket);

	st->state = s;
	return !err;
}

static void lane_close(struct bench_stream *st)
{
	struct mhost *s = st->state;

	mhost_close(&s);
}

static bool lane_request(struct bench_stream *st)
{
	struct mhost_request rq = request_of(st->b, st->prompt, st->prompt_tokens, st->max_tokens);
	struct mhost *s = st->state;
	const struct mhost_event *ev;
	uint64_t id;

	rq.version = st->b->stream_versions ? st->b->stream_versions[st->index] : NULL;
	if (mhost_submit(s, &rq, &id))
		return false;
	while (mhost_next(s, -1, &ev) == 0) {
		if (ev->type == MHOST_EVENT_END)
			return !ev->error;
		if (ev->type == MHOST_EVENT_TOKEN && !bench_stream_token(st, 1))
			return false;
	}
	return false;
}

struct bench_load *bench_load_start(const struct bench *b, uint32_t streams, uint32_t prompt_tokens,
				    uint32_t max_tokens)
{
	static const struct bench_source lanes = { lane_open, lane_request, lane_close };

	return bench_load_start_on(b, &lanes, streams, prompt_tokens, max_tokens);
}

/* A client that wakes late sees several tokens at once: its clock alone would flatter. */
static double decode_rate(const struct bench_run *run, double last_ms)
{
	double seen_ms = last_ms - run->first_ms;
	double ms = seen_ms > run->decode_ms ? seen_ms : run->decode_ms;

	return ms > 0 ? (double)(run->tokens - 1) * 1e3 / ms : 0;
}

static bool run_request(struct mhost *s, const struct mhost_request *rq, struct bench_run *run)
{
	const struct mhost_event *ev;
	double start = bench_now_s(), last_ms = 0;
	uint64_t id;

	*run = (struct bench_run){ 0 };
	if (mhost_submit(s, rq, &id))
		return false;
	while (mhost_next(s, -1, &ev) == 0) {
		if (ev->type == MHOST_EVENT_END) {
			run->prefill_ms = (double)ev->prefill_ns / 1e6;
			run->decode_ms = (double)ev->decode_ns / 1e6;
			run->decode_rate = decode_rate(run, last_ms);
			return !ev->error && run->tokens;
		}
		if (ev->type != MHOST_EVENT_TOKEN)
			continue;
		last_ms = (bench_now_s() - start) * 1e3;
		if (!run->tokens++)
			run->first_ms = last_ms;
	}
	return false;
}

bool bench_run(const struct bench *b, struct mhost *s, const uint32_t *prompt,
	       uint32_t prompt_tokens, uint32_t max_tokens, struct bench_run *run)
{
	struct mhost_request rq = request_of(b, prompt, prompt_tokens, max_tokens);

	return run_request(s, &rq, run);
}

int bench_one_token(const struct bench *b, const char *version)
{
	const uint32_t prompt = 0;
	struct mhost_request rq = request_of(b, &prompt, 1, 1);
	struct mhost *s = NULL;
	struct bench_run run;
	bool good = mhost_connect(&s, b->cmd->socket) == 0;

	rq.version = version;
	good = good && run_request(s, &rq, &run);
	mhost_close(&s);
	return good ? CMD_OK
		    : cmd_fail(b->cmd, CMD_FAILED, "%s@%s: a request failed", b->model, version);
}
