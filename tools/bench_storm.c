/* SPDX-License-Identifier: MIT */
/*
 * bench_storm.c: the time between tokens of running streams while nothing else happens, and while
 * another thread flips the active version 1,000 times a second; windows of the one and of the
 * other in turns. The streams name their version, so that the flips change nothing for them but
 * the noise.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#include "bench.h"

#define STREAMS		4u
#define PAIRS		20u
#define WINDOW_S	0.4
#define FLIP_NS		1000000
#define CONNS		32u	/* one flip each at a time: an answer waits for every worker */
#define GAPS_MAX	65536u	/* of one window */
#define PROMPT		16u

struct flipper {
	pthread_t thread;
	FILE *conns[CONNS];
	bool busy[CONNS];
	char lines[2][256];
	_Atomic int on, quit;			/* relaxed: they only start and end loops */
	/* relaxed counters; late: every connection was busy */
	_Atomic uint64_t flips, late, refused;
};

struct storm {
	struct bench *b;
	struct mhost *session;
	struct flipper flipper;
	uint32_t prompt[PROMPT], max_tokens;
	uint64_t ids[STREAMS];
	double last_s[STREAMS];			/* 0: no token in this window yet */
	double *gaps[2];			/* milliseconds: steady, storm */
	size_t count[2], window_at;
	double ratio[PAIRS], p99[2];
};

/* ---- flips ---------------------------------------------------------------------------------- */

/* Take what was answered: one line a request. */
static void answers_take(struct flipper *f)
{
	char line[4096];

	for (uint32_t i = 0; i < CONNS; i++) {
		ssize_t n = f->busy[i] ? recv(fileno(f->conns[i]), line, sizeof(line), MSG_DONTWAIT) : 0;

		if (n <= 0 || line[n - 1] != '\n')
			continue;
		f->busy[i] = false;
		if (!memmem(line, (size_t)n, "\"ok\":true", 9))
			atomic_fetch_add_explicit(&f->refused, 1, memory_order_relaxed);
	}
}

static void flip_send(struct flipper *f, uint64_t turn)
{
	const char *line = f->lines[turn % 2];
	uint32_t at = 0;

	while (at < CONNS && f->busy[at])
		at++;
	if (at == CONNS ||
	    send(fileno(f->conns[at]), line, strlen(line), MSG_NOSIGNAL) < 0) {
		atomic_fetch_add_explicit(&f->late, 1, memory_order_relaxed);
		return;
	}
	f->busy[at] = true;
	atomic_fetch_add_explicit(&f->flips, 1, memory_order_relaxed);
}

static void *flipper_main(void *arg)
{
	struct flipper *f = arg;
	struct timespec due;

	prctl(PR_SET_TIMERSLACK, 1000);
	clock_gettime(CLOCK_MONOTONIC, &due);
	for (uint64_t turn = 0; !atomic_load_explicit(&f->quit, memory_order_relaxed); turn++) {
		due.tv_nsec += FLIP_NS;
		due.tv_sec += due.tv_nsec / 1000000000;
		due.tv_nsec %= 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
		if (turn % 4 == 0)
			answers_take(f);
		if (atomic_load_explicit(&f->on, memory_order_relaxed))
			flip_send(f, turn);
	}
	return NULL;
}

static int flipper_start(struct flipper *f, const struct bench *b)
{
	const char *versions[2] = { b->other, b->active };

	for (int i = 0; i < 2; i++)
		snprintf(f->lines[i], sizeof(f->lines[i]),
			 "{\"command\":\"activate\",\"model\":\"%s\",\"version\":\"%s\"}\n", b->model,
			 versions[i]);
	for (uint32_t i = 0; i < CONNS; i++) {
		f->conns[i] = ctl_open(b->cmd);
		if (!f->conns[i])
			return CMD_FAILED;
	}
	return pthread_create(&f->thread, NULL, flipper_main, f) ?
	       cmd_fail(b->cmd, CMD_FAILED, "no thread for the storm") : CMD_OK;
}

static void flipper_stop(struct flipper *f)
{
	atomic_store_explicit(&f->quit, 1, memory_order_relaxed);
	if (f->thread)
		pthread_join(f->thread, NULL);
	for (uint32_t i = 0; i < CONNS; i++)
		if (f->conns[i])
			fclose(f->conns[i]);
}

/* ---- streams -------------------------------------------------------------------------------- */

static int stream_begin(struct storm *st, uint32_t which)
{
	struct mhost_request rq = MHOST_REQUEST_INIT;

	rq.model = st->b->model;
	rq.version = st->b->active;
	rq.tokens = st->prompt;
	rq.token_count = PROMPT;
	rq.max_tokens = st->max_tokens;
	rq.flags = MHOST_IGNORE_EOS;
	rq.temperature = 0.8f;
	rq.seed = which + 1;
	st->last_s[which] = 0;
	return mhost_submit(st->session, &rq, &st->ids[which]);
}

static void token_came(struct storm *st, uint32_t which, int kind)
{
	double now = bench_now_s();

	if (st->last_s[which] > 0 && st->count[kind] - st->window_at < GAPS_MAX)
		st->gaps[kind][st->count[kind]++] = (now - st->last_s[which]) * 1e3;
	st->last_s[which] = now;
}

/* One event. A stream that ends begins anew, and its first gap is not counted. */
static int event_take(struct storm *st, int kind)
{
	const struct mhost_event *ev;
	int err = mhost_next(st->session, 10000, &ev);

	for (uint32_t i = 0; !err && i < STREAMS; i++) {
		if (ev->id != st->ids[i])
			continue;
		if (ev->type == MHOST_EVENT_TOKEN)
			token_came(st, i, kind);
		else if (ev->type == MHOST_EVENT_END)
			return ev->error ? ev->error : stream_begin(st, i);
		break;
	}
	return err;
}

/*
 * Kind 0: steady, 1: storm. The first tenth of a window is left out: the storm begins or dies down.
 */
static int window(struct storm *st, int kind)
{
	double begin = bench_now_s();
	int err = 0;

	atomic_store_explicit(&st->flipper.on, kind, memory_order_relaxed);
	st->window_at = st->count[kind];
	while (!err && bench_now_s() < begin + WINDOW_S / 10)
		err = event_take(st, kind);
	st->count[kind] = st->window_at;
	memset(st->last_s, 0, sizeof(st->last_s));
	while (!err && bench_now_s() < begin + WINDOW_S)
		err = event_take(st, kind);
	st->p99[kind] = bench_spread(st->gaps[kind] + st->window_at,
				     st->count[kind] - st->window_at).p99;
	return err;
}

static int windows(struct storm *st)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < STREAMS; i++)
		err = stream_begin(st, i);
	if (!err)
		err = window(st, 0);	/* prompts */
	st->count[0] = 0;
	for (uint32_t i = 0; !err && i < PAIRS; i++) {
		/* The second half of a pair is not always the same: what drifts cancels out. */
		err = window(st, (int)i % 2);
		if (!err)
			err = window(st, 1 - (int)i % 2);
		st->ratio[i] = st->p99[0] > 0 ? st->p99[1] / st->p99[0] : 0;
	}
	atomic_store_explicit(&st->flipper.on, 0, memory_order_relaxed);
	return err;
}

/* ---- the part ------------------------------------------------------------------------------- */

static void results(struct storm *st, json_t *out)
{
	struct spread steady = bench_spread(st->gaps[0], st->count[0]);
	struct spread storm = bench_spread(st->gaps[1], st->count[1]);
	struct spread ratio = bench_spread(st->ratio, PAIRS);
	struct flipper *f = &st->flipper;

	json_object_set_new(out, "streams", json_integer(STREAMS));
	json_object_set_new(out, "flips_per_s", json_real((double)f->flips / (PAIRS * WINDOW_S)));
	json_object_set_new(out, "flips_refused", json_integer((json_int_t)f->refused));
	json_object_set_new(out, "steady_ms", bench_spread_json(&steady));
	json_object_set_new(out, "storm_ms", bench_spread_json(&storm));
	json_object_set_new(out, "p50_over_steady", json_real(storm.p50 / steady.p50));
	json_object_set_new(out, "p99_over_steady", json_real(storm.p99 / steady.p99));
	json_object_set_new(out, "p99_over_steady_by_pair", bench_spread_json(&ratio));
}

static int storm_run(struct storm *st, json_t *out)
{
	const struct cmd *cmd = st->b->cmd;
	int err = mhost_connect(&st->session, cmd->socket);

	if (!err && flipper_start(&st->flipper, st->b))
		return CMD_FAILED;
	if (!err)
		err = windows(st);
	if (err)
		return cmd_fail(cmd, CMD_FAILED, "streams in the storm: %s (%s)", mhost_strerror(err),
				mhost_errmsg(st->session));
	results(st, out);
	return CMD_OK;
}

int bench_part_storm(struct bench *b)
{
	struct storm *st = calloc(1, sizeof(*st));
	json_t *out = json_object(), *done;
	int err = CMD_FAILED;

	json_object_set_new(b->out, "storm", out);
	if (!b->other[0]) {
		json_object_set_new(out, "skipped", json_string("only one version in the store"));
		free(st);
		return CMD_OK;
	}
	for (int i = 0; st && i < 2; i++)
		st->gaps[i] = calloc((size_t)GAPS_MAX * PAIRS, sizeof(double));
	done = bench_call(b, "load", b->other);
	if (done && st && st->gaps[0] && st->gaps[1]) {
		st->b = b;
		st->max_tokens = b->context / 2 < 1024 ? b->context / 2 : 1024;
		for (uint32_t i = 0; i < PROMPT; i++)
			st->prompt[i] = (i * 7919u + 13u) % b->vocab;
		err = storm_run(st, out);
		flipper_stop(&st->flipper);
		mhost_close(&st->session);
	}
	json_decref(done);
	/* The storm leaves either version active. */
	done = err ? NULL : bench_call(b, "activate", b->active);
	err = err ? err : done ? CMD_OK : CMD_FAILED;
	json_decref(done);
	for (int i = 0; st && i < 2; i++)
		free(st->gaps[i]);
	free(st);
	return err;
}
