/* SPDX-License-Identifier: MIT */
/*
 * crowd.c: many clients with long prompts that begin alike, answers, scores and cancellations, on two versions
 * of a model. The right replies are recorded first, one at a time on a host that is never short of memory;
 * every later one must have the same bits, whatever the host shares, evicts or computes twice.
 *	crowd SOCKET MODEL VERSION_A VERSION_B VOCAB FILE record
 *	crowd SOCKET MODEL VERSION_A VERSION_B VOCAB FILE CLIENTS REPLIES	(of each client)
 *	crowd SOCKET MODEL VERSION_A VERSION_B VOCAB FILE CLIENTS REPLIES QUEUE
 * With QUEUE, the host's limit, greedy clients send far more than fits until all others are done, who ask for one
 * thing at a time: what is over the limit is refused at once and by name, and only the greedy ever are.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mhost.h"
#include "t.h"

#define PROMPTS		40u
#define LENGTH_MAX	256u
#define OPEN_USUAL	3u		/* requests of one client at a time */
#define OPEN_MAX	100u		/* of a greedy one; two have more than run and wait together */
#define GREEDY		2u
#define GREEDY_SERVED	500u		/* then it is plain that nobody is refused */
#define CLIENTS_MAX	64u

struct reply {
	uint32_t count;
	uint64_t hash;
};

struct open {
	uint64_t id;
	uint32_t prompt;
	bool begun, cancelled;
	uint64_t start_ns;
	struct reply reply;
};

/* How requests ended, and after how long all together. */
struct tally {
	uint64_t count, ns;
};

struct client {
	pthread_t thread;
	bool greedy;
	uint32_t open_most;
	uint64_t seed, submitted, cancelled, wrong, cached;
	struct tally exact, refused;
	struct open open[OPEN_MAX];
};

static const char *socket_path, *model, *versions[2];
static uint32_t prompts[PROMPTS][LENGTH_MAX], lengths[PROMPTS];
static struct reply wanted[PROMPTS];
static uint64_t replies_each;
static char refusal[64];		/* words of it; empty: nobody may be refused */
/* Clients that are not greedy and not done. Relaxed, in threads that share nothing else: it only ends loops. */
static atomic_uint modest;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Five families; each begins with the same tokens and goes on in its own way. */
static void make_prompts(uint32_t vocab)
{
	static const uint32_t heads[] = { 96, 70, 160, 33, 0 };

	for (uint32_t i = 0; i < PROMPTS; i++) {
		uint64_t family = 1 + i % 5, own = 100 + i;
		uint32_t head = heads[i % 5];

		lengths[i] = head + 1 + i * 13 % 90;
		for (uint32_t j = 0; j < lengths[i]; j++)
			prompts[i][j] = (uint32_t)(t_random(j < head ? &family : &own) % vocab);
	}
}

static struct mhost_request request_of(uint32_t i)
{
	struct mhost_request rq = MHOST_REQUEST_INIT;

	rq.kind = i % 8 == 7 ? MHOST_SCORE : MHOST_GENERATE;
	rq.model = model;
	rq.version = versions[i / 5 % 2];
	rq.tokens = prompts[i];
	rq.token_count = lengths[i];
	rq.max_tokens = i % 8 == 7 ? 0 : 8 + i * 29 % 150;
	rq.flags = MHOST_IGNORE_EOS;
	rq.temperature = i % 3 == 2 ? 0.8f : 0.0f;
	rq.seed = i + 1;
	return rq;
}

static void add(struct reply *reply, const void *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		reply->hash = (reply->hash ^ ((const uint8_t *)bytes)[i]) * UINT64_C(0x100000001b3);
}

static void collect(struct reply *reply, const struct mhost_event *ev)
{
	if (ev->type == MHOST_EVENT_TOKEN) {
		add(reply, &ev->token, sizeof(ev->token));
		reply->count++;
	} else if (ev->type == MHOST_EVENT_SCORES) {
		uint32_t skip = ev->first == 0;		/* a NaN, of any bits */

		add(reply, ev->logprobs + skip, (ev->count - skip) * sizeof(*ev->logprobs));
		reply->count += ev->count;
	}
}

static bool submit(struct mhost *s, struct open *open, uint32_t prompt)
{
	struct mhost_request rq = request_of(prompt);

	*open = (struct open){ .prompt = prompt, .start_ns = now_ns() };
	return mhost_submit(s, &rq, &open->id) == 0;
}

static void tally_add(struct tally *tally, const struct open *open)
{
	tally->count++;
	tally->ns += now_ns() - open->start_ns;
}

static bool is_refused(const struct client *c, const struct open *open, const struct mhost_event *ev)
{
	return c->greedy && ev->error == MHOST_E_BUSY && !open->begun && strstr(ev->message, refusal);
}

static void judge(struct client *c, const struct open *open, const struct mhost_event *ev)
{
	const struct reply *right = &wanted[open->prompt];

	c->cached += ev->cached_count;
	if (ev->finish == MHOST_FINISH_CANCELLED && open->cancelled) {
		c->cancelled++;
	} else if (is_refused(c, open, ev)) {
		tally_add(&c->refused, open);
	} else if (!ev->error && open->reply.count == right->count &&
		   open->reply.hash == right->hash) {
		tally_add(&c->exact, open);
	} else {
		if (!c->wrong++)
			printf("# prompt %u: %u tokens, %u wanted: %s\n", open->prompt,
			       open->reply.count, right->count, ev->error ? ev->message : "other bits");
	}
}

static struct open *find(struct client *c, uint64_t id)
{
	for (uint32_t i = 0; i < c->open_most; i++)
		if (c->open[i].id == id)
			return &c->open[i];
	return NULL;
}

static void take(struct client *c, struct mhost *s, const struct mhost_event *ev)
{
	struct open *open = find(c, ev->id);

	if (!open) {
		c->wrong++;
		return;
	}
	collect(&open->reply, ev);
	open->begun |= ev->type == MHOST_EVENT_BEGIN;
	if (ev->type == MHOST_EVENT_TOKEN && ev->index == 5 && t_random(&c->seed) % 8 == 0) {
		open->cancelled = true;
		mhost_cancel(s, open->id);
	}
	if (ev->type != MHOST_EVENT_END)
		return;
	judge(c, open, ev);
	open->id = 0;
}

static bool wants_more(const struct client *c)
{
	if (!c->greedy)
		return c->submitted < replies_each;
	return c->refused.count ? atomic_load_explicit(&modest, memory_order_relaxed) != 0 :
				  c->exact.count < GREEDY_SERVED;
}

static void submit_all(struct client *c, struct mhost *s)
{
	for (uint32_t i = 0; i < c->open_most && wants_more(c); i++) {
		if (c->open[i].id)
			continue;
		if (!submit(s, &c->open[i], (uint32_t)(t_random(&c->seed) % PROMPTS)))
			return;
		c->submitted++;
	}
}

static void *client_main(void *arg)
{
	struct client *c = arg;
	const struct mhost_event *ev;
	struct mhost *s;
	int err = mhost_connect(&s, socket_path);

	while (!err && !c->wrong) {
		submit_all(c, s);
		err = mhost_next(s, 60000, &ev);
		if (!err)
			take(c, s, ev);
		if (t_random(&c->seed) % 4096 == 0)
			usleep(20000);		/* a slow reader */
	}
	if (err != -ENODATA) {
		printf("# client: %s\n", mhost_errmsg(s));
		c->wrong++;
	}
	if (!c->greedy)
		atomic_fetch_sub_explicit(&modest, 1, memory_order_relaxed);
	mhost_close(&s);
	return NULL;
}

static int record(FILE *f)
{
	const struct mhost_event *ev;
	struct mhost *s;
	int err = mhost_connect(&s, socket_path);

	for (uint32_t i = 0; !err && i < PROMPTS; i++) {
		struct open open;

		err = submit(s, &open, i) ? 0 : -EIO;
		while (!err && (err = mhost_next(s, 60000, &ev)) == 0) {
			collect(&open.reply, ev);
			if (ev->type == MHOST_EVENT_END)
				break;
		}
		err = err ? err : ev->error;
		fprintf(f, "%u %llx\n", open.reply.count, (unsigned long long)open.reply.hash);
	}
	if (err)
		printf("# record: %s: %s\n", mhost_strerror(err), mhost_errmsg(s));
	mhost_close(&s);
	return err;
}

static int recall(FILE *f)
{
	for (uint32_t i = 0; i < PROMPTS; i++) {
		unsigned long long hash;

		if (fscanf(f, "%u %llx", &wanted[i].count, &hash) != 2 || !wanted[i].count)
			return -EINVAL;
		wanted[i].hash = hash;
	}
	return 0;
}

static void client_make(struct client *c, uint32_t i, bool greedy)
{
	c->seed = 77 + i;
	c->greedy = greedy;
	c->open_most = greedy ? OPEN_MAX : refusal[0] ? 1 : OPEN_USUAL;
}

/* Whether each of them had what it was to have; all is added to @all. */
static bool client_end(const struct client *c, struct client *all)
{
	all->submitted += c->submitted;
	all->exact.count += c->exact.count;
	all->exact.ns += c->exact.ns;
	all->refused.count += c->refused.count;
	all->refused.ns += c->refused.ns;
	all->cancelled += c->cancelled;
	all->wrong += c->wrong;
	all->cached += c->cached;
	return !c->wrong && c->exact.count + c->cancelled + c->refused.count == c->submitted &&
	       (c->greedy ? c->refused.count && c->exact.count : c->submitted == replies_each);
}

/* A refused request hears of it while others wait: on average in a part of the time of a reply. */
static bool refused_at_once(const struct client *all)
{
	return all->refused.ns / all->refused.count * 4 < all->exact.ns / all->exact.count;
}

static bool crowd(uint32_t count)
{
	static struct client clients[CLIENTS_MAX];
	uint32_t greedy = refusal[0] ? GREEDY : 0, started = 0;
	struct client all = { 0 };
	bool good = true;

	atomic_init(&modest, count);
	for (; started < count + greedy && started < CLIENTS_MAX; started++) {
		client_make(&clients[started], started, started < greedy);
		if (pthread_create(&clients[started].thread, NULL, client_main, &clients[started]))
			break;
	}
	for (uint32_t i = 0; i < started; i++) {
		pthread_join(clients[i].thread, NULL);
		good &= client_end(&clients[i], &all);
	}
	printf("%llu exact, %llu cancelled, %llu refused, %llu wrong, %llu prompt tokens from the cache\n",
	       (unsigned long long)all.exact.count, (unsigned long long)all.cancelled,
	       (unsigned long long)all.refused.count, (unsigned long long)all.wrong,
	       (unsigned long long)all.cached);
	return good && started == count + greedy && (!greedy || refused_at_once(&all));
}

int main(int argc, char **argv)
{
	bool records = argc == 8 && !strcmp(argv[7], "record");
	FILE *f;
	int err;

	if (!records && argc != 9 && argc != 10)
		return 2;
	socket_path = argv[1];
	model = argv[2];
	versions[0] = argv[3];
	versions[1] = argv[4];
	make_prompts((uint32_t)strtoul(argv[5], NULL, 10));
	f = fopen(argv[6], records ? "w" : "r");
	err = !f ? -ENOENT : records ? record(f) : recall(f);
	if (f)
		fclose(f);
	if (err || records)
		return err ? 1 : 0;
	replies_each = strtoull(argv[8], NULL, 10);
	if (argc == 10)
		snprintf(refusal, sizeof(refusal), "the limit is %s: try again later", argv[9]);
	return crowd((uint32_t)strtoul(argv[7], NULL, 10)) ? 0 : 1;
}
