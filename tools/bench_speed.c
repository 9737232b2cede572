/* SPDX-License-Identifier: MIT */
/* bench_speed.c: decode and prompt speed, one stream and many; and the load that other parts run under. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define STREAMS_MAX	16u
#define FIRSTS_MAX	4096u
#define PROMPT		512u
#define OUTPUT		96u
#define STREAMS_SECONDS	5u

struct stream {
	pthread_t thread;
	struct bench_load *load;
	uint32_t *prompt;
	uint64_t requests, failed, tokens;
	double first_ms[FIRSTS_MAX];
	uint32_t first_count;
};

struct bench_load {
	const struct bench *b;
	uint32_t stream_count, prompt_tokens, max_tokens;
	double start;
	_Atomic int stop;	/* relaxed: it only ends loops */
	struct stream streams[STREAMS_MAX];
};

/* Ids that any vocabulary has, the same in every run. */
static void fill_prompt(uint32_t *ids, uint32_t count, uint32_t vocab, uint32_t salt)
{
	uint32_t x = 2463534242u + salt;

	for (uint32_t i = 0; i < count; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		ids[i] = x % vocab;
	}
}

static struct mhost_request request_of(const struct bench *b, const uint32_t *prompt,
				       uint32_t prompt_tokens, uint32_t max_tokens)
{
	struct mhost_request rq = MHOST_REQUEST_INIT;

	rq.model = b->model;
	rq.tokens = prompt;
	rq.token_count = prompt_tokens;
	rq.max_tokens = max_tokens;
	rq.flags = MHOST_IGNORE_EOS;
	return rq;
}

/* One request to its end: *first_ms after submit, the END's figures. False when it failed. */
static bool run_one(struct mhost *s, const struct mhost_request *rq, double *first_ms,
		    double *prefill_ms, double *decode_ms, uint64_t *tokens)
{
	const struct mhost_event *ev;
	double start = bench_now_s();
	uint64_t id, n = 0;

	if (mhost_submit(s, rq, &id))
		return false;
	while (mhost_next(s, -1, &ev) == 0) {
		if (ev->type == MHOST_EVENT_TOKEN && n++ == 0)
			*first_ms = (bench_now_s() - start) * 1e3;
		if (ev->type != MHOST_EVENT_END)
			continue;
		*prefill_ms = (double)ev->prefill_ns / 1e6;
		*decode_ms = (double)ev->decode_ns / 1e6;
		*tokens = n;
		return !ev->error;
	}
	return false;
}

static void *stream_main(void *arg)
{
	struct stream *st = arg;
	struct bench_load *load = st->load;
	struct mhost_request rq = request_of(load->b, st->prompt, load->prompt_tokens,
					     load->max_tokens);
	double first = 0, prefill, decode;
	struct mhost *s;
	uint64_t tokens;

	if (mhost_connect(&s, load->b->cmd->socket))
		st->failed++;
	while (!st->failed && !atomic_load_explicit(&load->stop, memory_order_relaxed)) {
		if (!run_one(s, &rq, &first, &prefill, &decode, &tokens)) {
			st->failed++;
			break;
		}
		st->requests++;
		st->tokens += tokens;
		if (st->first_count < FIRSTS_MAX)
			st->first_ms[st->first_count++] = first;
	}
	mhost_close(&s);
	return NULL;
}

int bench_one_token(const struct bench *b, const char *version)
{
	const uint32_t prompt = 0;
	struct mhost_request rq = request_of(b, &prompt, 1, 1);
	double first, prefill, decode;
	struct mhost *s = NULL;
	bool good = mhost_connect(&s, b->cmd->socket) == 0;
	uint64_t tokens;

	rq.version = version;
	good = good && run_one(s, &rq, &first, &prefill, &decode, &tokens);
	mhost_close(&s);
	return good ? CMD_OK : cmd_fail(b->cmd, CMD_FAILED, "%s@%s: a request failed", b->model, version);
}

struct bench_load *bench_load_start(const struct bench *b, uint32_t streams, uint32_t prompt_tokens,
				    uint32_t max_tokens)
{
	struct bench_load *load = calloc(1, sizeof(*load));

	if (!load)
		return NULL;
	load->b = b;
	load->prompt_tokens = prompt_tokens;
	load->max_tokens = max_tokens;
	load->start = bench_now_s();
	for (uint32_t i = 0; i < streams && i < STREAMS_MAX; i++) {
		struct stream *st = &load->streams[i];

		st->load = load;
		st->prompt = calloc(prompt_tokens, sizeof(*st->prompt));
		if (!st->prompt)
			break;
		fill_prompt(st->prompt, prompt_tokens, b->vocab, i);
		if (pthread_create(&st->thread, NULL, stream_main, st))
			break;
		load->stream_count++;
	}
	return load;
}

struct bench_totals bench_load_stop(struct bench_load **loadp)
{
	struct bench_totals t = { 0 };
	struct bench_load *load = *loadp;
	double *firsts = calloc((size_t)STREAMS_MAX * FIRSTS_MAX, sizeof(*firsts));
	size_t n = 0;

	atomic_store_explicit(&load->stop, 1, memory_order_relaxed);
	for (uint32_t i = 0; i < load->stream_count; i++) {
		struct stream *st = &load->streams[i];

		pthread_join(st->thread, NULL);
		t.requests += st->requests;
		t.failed += st->failed;
		t.tokens += st->tokens;
		for (uint32_t j = 0; firsts && j < st->first_count; j++)
			firsts[n++] = st->first_ms[j];
		free(st->prompt);
	}
	t.seconds = bench_now_s() - load->start;
	t.first_token_ms = bench_spread(firsts, firsts ? n : 0);
	free(firsts);
	free(load);
	*loadp = NULL;
	return t;
}

static int single(struct bench *b, struct mhost *s, json_t *out)
{
	uint32_t n = PROMPT + OUTPUT < b->context ? PROMPT : b->context / 2;
	uint32_t *prompt = calloc(n, sizeof(*prompt));
	double decode_rate[1000], prompt_rate[1000], first, prefill, decode;
	uint64_t tokens;
	bool ok = prompt;

	for (uint32_t i = 0; ok && i < b->repeat; i++) {
		struct mhost_request rq;

		fill_prompt(prompt, n, b->vocab, i);
		rq = request_of(b, prompt, n, 1);
		ok = run_one(s, &rq, &first, &prefill, &decode, &tokens);
		prompt_rate[i] = n * 1e3 / prefill;
		rq = request_of(b, prompt, 16, OUTPUT < b->context / 2 ? OUTPUT : b->context / 2);
		ok = ok && run_one(s, &rq, &first, &prefill, &decode, &tokens);
		decode_rate[i] = (double)(tokens - 1) * 1e3 / decode;
	}
	if (ok) {
		struct spread d = bench_spread(decode_rate, b->repeat);
		struct spread p = bench_spread(prompt_rate, b->repeat);

		json_object_set_new(out, "decode_tokens_per_s", bench_spread_json(&d));
		json_object_set_new(out, "prompt_tokens_per_s", bench_spread_json(&p));
	}
	free(prompt);
	return ok ? CMD_OK : CMD_FAILED;
}

static int many(struct bench *b, json_t *out, uint32_t streams)
{
	struct bench_load *load = bench_load_start(b, streams, 32, 64);
	struct bench_totals t;
	char key[64];

	if (!load)
		return CMD_FAILED;
	sleep(STREAMS_SECONDS);
	t = bench_load_stop(&load);
	snprintf(key, sizeof(key), "streams_%u_tokens_per_s", streams);
	json_object_set_new(out, key, json_real((double)t.tokens / t.seconds));
	snprintf(key, sizeof(key), "streams_%u_first_token_ms", streams);
	json_object_set_new(out, key, bench_spread_json(&t.first_token_ms));
	return t.failed ? cmd_fail(b->cmd, CMD_FAILED, "%llu streams failed",
				   (unsigned long long)t.failed) : CMD_OK;
}

int bench_part_speed(struct bench *b)
{
	json_t *out = json_object();
	struct mhost *s;
	int err;

	json_object_set_new(b->out, "speed", out);
	err = mhost_connect(&s, b->cmd->socket);
	if (err)
		cmd_fail(b->cmd, CMD_FAILED, "%s", mhost_errmsg(s));
	else if ((err = single(b, s, out)))
		cmd_fail(b->cmd, CMD_FAILED, "%s", mhost_errmsg(s));
	mhost_close(&s);
	if (!err)
		err = many(b, out, 4);
	if (!err)
		err = many(b, out, 16);
	return err ? CMD_FAILED : CMD_OK;
}
