/* SPDX-License-Identifier: MIT */
/*
 * speculate.c: each case is one request, run with speculation and without, while other cases run beside it.
 * Every token, its text, log-probability and alternatives, and the end must be the same to the bit. Some
 * cases read late, so that the ring fills, and some cancel: then what came is the beginning of the other.
 *	speculate SOCKET MODEL VOCAB CASES CLIENTS
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mhost.h"
#include "t.h"

#define PROMPT_MAX	200u
#define CLIENTS_MAX	16u
#define LOG_BYTES	(1u << 20)	/* a reply with all its alternatives */

struct log {
	uint8_t *bytes;		/* what came, in order; then the end */
	size_t count, end;	/* all; where the END begins */
	char text[1024];	/* the beginning of the text */
	uint32_t tokens, ahead, drafted;
	bool stopped_ahead;	/* a stop ended it with a token that was guessed */
};

struct result {
	_Atomic uint32_t next;	/* case; relaxed: only deals them out */
	uint32_t cases, vocab;
	const char *socket, *model;
	_Atomic uint32_t differ, cancelled, stopped, ahead, drafted, tokens;	/* relaxed: sums */
};

struct prompt {
	uint32_t ids[PROMPT_MAX], count;
};

/* Pieces that come back, noise, or one token over and over. */
static void prompt_make(struct prompt *p, uint32_t number, uint32_t vocab)
{
	uint64_t state = number / 3;
	uint32_t period = 2 + (uint32_t)(t_random(&state) % 40);

	p->count = 10 + (uint32_t)(t_random(&state) % (PROMPT_MAX - 10));
	for (uint32_t i = 0; i < p->count; i++)
		p->ids[i] = number % 4 != 3 && i >= period ? p->ids[i - period] :
			    (uint32_t)(t_random(&state) % vocab);
}

/* One of the ways that few ask for, for half of the requests. */
static void rare(struct mhost_request *rq, uint32_t n)
{
	static const struct mhost_bias bias[] = { { 3, -INFINITY }, { 5, 2 } };

	rq->frequency_penalty = n % 16 == 1 ? 0.4f : 0;
	rq->dry_multiplier = n % 16 == 3 ? 0.8f : 0;
	rq->dynatemp_range = n % 16 == 5 ? 0.3f : 0;
	rq->typical_p = n % 16 == 7 ? 0.7f : 1;
	rq->xtc_probability = n % 16 == 9 ? 0.5f : 0;
	rq->mirostat_tau = n % 16 == 11 ? 3 : 0;
	rq->top_n_sigma = n % 16 == 13 ? 1 : 0;
	rq->bias = bias;
	rq->bias_count = n % 16 == 15 ? 2 : 0;
	rq->min_tokens = n % 32 == 15 ? 20 : 0;
}

static struct mhost_request request_of(const struct result *all, const struct prompt *p, uint32_t n)
{
	static const float temperatures[] = { 0, 0.3f, 0.8f, 1.2f }, penalties[] = { 1, 1, 1.1f, 1.5f };
	struct mhost_request rq = MHOST_REQUEST_INIT;

	rq.model = all->model;
	rq.tokens = p->ids;
	rq.token_count = p->count;
	rq.max_tokens = n % 7 ? 1 + n * 13 % 150 : 300;
	rq.temperature = temperatures[n % 4];
	rq.top_k = n % 3 == 1 ? 1 + n % 50 : 0;
	rq.top_p = n % 5 == 2 ? 0.9f : 1;
	rq.min_p = n % 6 == 5 ? 0.05f : 0;
	rq.repeat_penalty = penalties[n / 4 % 4];
	rare(&rq, n);
	rq.repeat_last = n % 8 ? 64 : UINT32_MAX;
	rq.seed = n;
	rq.flags = n % 5 ? MHOST_IGNORE_EOS : 0;
	if (n % 3 == 0) {
		rq.flags |= MHOST_LOGPROBS;
		rq.top_count = n % 9 == 0 ? 64 : n % 9;
	}
	return rq;
}

static void put(struct log *log, const void *data, size_t bytes)
{
	if (log->count + bytes > LOG_BYTES)
		return;
	memcpy(log->bytes + log->count, data, bytes);
	log->count += bytes;
}

static void take_token(struct log *log, const struct mhost_event *ev)
{
	size_t used = strlen(log->text);

	if (used + ev->text_bytes < sizeof(log->text) && !memchr(ev->text, 0, ev->text_bytes))
		memcpy(log->text + used, ev->text, ev->text_bytes);
	put(log, &ev->index, sizeof(ev->index));
	put(log, &ev->token, sizeof(ev->token));
	put(log, &ev->logprob, sizeof(ev->logprob));
	put(log, ev->top, ev->top_count * sizeof(*ev->top));
	put(log, ev->text, ev->text_bytes);
	log->tokens++;
	log->ahead += ev->ahead;
	log->stopped_ahead = ev->ahead;
	log->drafted += ev->drafted_count;
}

static void take_end(struct log *log, const struct mhost_event *ev)
{
	log->end = log->count;
	log->stopped_ahead = log->stopped_ahead && ev->finish == MHOST_FINISH_STOP;
	put(log, &ev->finish, sizeof(ev->finish));
	put(log, &ev->error, sizeof(ev->error));
	put(log, &ev->output_count, sizeof(ev->output_count));
	put(log, ev->message, strlen(ev->message));
}

/* @cancel_at: after so many tokens; UINT32_MAX: never. False with the reason printed. */
static bool collect(struct mhost *s, const struct mhost_request *rq, uint32_t late_us,
		    uint32_t cancel_at, struct log *log)
{
	const struct mhost_event *ev;
	uint8_t *bytes = log->bytes;
	uint64_t id;

	memset(log, 0, sizeof(*log));
	log->bytes = bytes;
	if (mhost_submit(s, rq, &id)) {
		printf("# submit: %s\n", mhost_errmsg(s));
		return false;
	}
	usleep(late_us);
	while (mhost_next(s, 60000, &ev) == 0) {
		if (ev->type == MHOST_EVENT_TOKEN)
			take_token(log, ev);
		if (ev->type == MHOST_EVENT_TOKEN && log->tokens == cancel_at)
			mhost_cancel(s, id);
		if (ev->type != MHOST_EVENT_END)
			continue;
		take_end(log, ev);
		return true;
	}
	printf("# the reply stopped: %s\n", mhost_errmsg(s));
	return false;
}

/* A cancelled reply is the beginning of the other; what it says at its end is its own. */
static bool is_same(const struct log *plain, const struct log *fast, bool cancelled)
{
	if (cancelled)
		return fast->end <= plain->end && !memcmp(plain->bytes, fast->bytes, fast->end);
	return plain->count == fast->count && plain->end == fast->end &&
	       !memcmp(plain->bytes, fast->bytes, plain->count);
}

/* Up to 6 bytes that the reply has, late rather than early: likely in a stretch that repeats itself. */
static const char *stop_make(const struct log *log, uint32_t n, char text[8])
{
	size_t length = strlen(log->text), at = length - length * (n % 7) / 8;

	snprintf(text, 8, "%.*s", (int)(1 + n % 6), log->text + (at > 6 ? at - 6 : 0));
	return text;
}

static void case_run(struct result *all, struct mhost *s, uint32_t n, struct log logs[2])
{
	uint32_t cancel_at = n % 10 == 4 ? 1 + n % 60 : UINT32_MAX;
	struct prompt p;
	struct mhost_request rq;
	char text[8];
	const char *stop;
	bool ok;

	prompt_make(&p, n, all->vocab);
	rq = request_of(all, &p, n);
	rq.flags |= MHOST_NO_SPECULATE;
	ok = collect(s, &rq, 0, UINT32_MAX, &logs[0]);
	stop = stop_make(&logs[0], n, text);
	if (n % 8 < 2 && *stop) {
		rq.stops = &stop;
		rq.stop_count = 1;
		ok = ok && collect(s, &rq, 0, UINT32_MAX, &logs[0]);
	}
	rq.flags &= ~MHOST_NO_SPECULATE;
	ok = ok && collect(s, &rq, n % 27 == 0 ? 300000 : 0, cancel_at, &logs[1]);
	if (!ok || logs[0].ahead || logs[0].drafted ||
	    !is_same(&logs[0], &logs[1], cancel_at != UINT32_MAX)) {
		printf("# case %u differs: %u tokens without, %u with, %u of them ahead\n", n,
		       logs[0].tokens, logs[1].tokens, logs[1].ahead);
		atomic_fetch_add_explicit(&all->differ, 1, memory_order_relaxed);
	}
	atomic_fetch_add_explicit(&all->cancelled, logs[1].tokens < logs[0].tokens,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&all->stopped, logs[1].stopped_ahead, memory_order_relaxed);
	atomic_fetch_add_explicit(&all->ahead, logs[1].ahead, memory_order_relaxed);
	atomic_fetch_add_explicit(&all->drafted, logs[1].drafted, memory_order_relaxed);
	atomic_fetch_add_explicit(&all->tokens, logs[1].tokens, memory_order_relaxed);
}

static void *client_main(void *arg)
{
	struct result *all = arg;
	struct log logs[2] = { { .bytes = malloc(LOG_BYTES) }, { .bytes = malloc(LOG_BYTES) } };
	struct mhost *s;
	uint32_t n;

	if (!logs[0].bytes || !logs[1].bytes || mhost_connect(&s, all->socket)) {
		printf("# a client cannot connect\n");
		atomic_fetch_add_explicit(&all->differ, 1, memory_order_relaxed);
		return NULL;
	}
	while ((n = atomic_fetch_add_explicit(&all->next, 1, memory_order_relaxed)) < all->cases)
		case_run(all, s, n, logs);
	mhost_close(&s);
	free(logs[0].bytes);
	free(logs[1].bytes);
	return NULL;
}

int main(int argc, char **argv)
{
	static struct result all;
	pthread_t threads[CLIENTS_MAX];
	uint32_t clients;

	if (argc != 6)
		return 2;
	all.socket = argv[1];
	all.model = argv[2];
	all.vocab = (uint32_t)strtoul(argv[3], NULL, 10);
	all.cases = (uint32_t)strtoul(argv[4], NULL, 10);
	clients = (uint32_t)strtoul(argv[5], NULL, 10);
	for (uint32_t i = 0; i < clients && i < CLIENTS_MAX; i++)
		if (pthread_create(&threads[i], NULL, client_main, &all))
			return 1;
	for (uint32_t i = 0; i < clients && i < CLIENTS_MAX; i++)
		pthread_join(threads[i], NULL);
	printf("%u cases, %u differ; %u tokens, %u drafted, %u of them right; %u cut by a cancel, %u by a "
	       "stop in a guess\n", all.cases, all.differ, all.tokens, all.drafted, all.ahead,
	       all.cancelled, all.stopped);
	return all.differ ? 1 : 0;
}
