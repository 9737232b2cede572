/* SPDX-License-Identifier: MIT */
/*
 * crowd.c: many clients with long prompts that begin alike, answers, scores and cancellations, on two versions
 * of a model. The right replies are recorded first, one at a time on a host that is never short of memory;
 * every later one must have the same bits, whatever the host shares, evicts or computes twice.
 *	crowd SOCKET MODEL VERSION_A VERSION_B VOCAB FILE record
 *	crowd SOCKET MODEL VERSION_A VERSION_B VOCAB FILE CLIENTS REPLIES	(of each client)
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mhost.h"
#include "t.h"

#define PROMPTS		40u
#define LENGTH_MAX	256u
#define OPEN_MAX	3u		/* requests of one client at a time */
#define CLIENTS_MAX	64u

struct reply {
	uint32_t count;
	uint64_t hash;
};

struct open {
	uint64_t id;
	uint32_t prompt;
	bool cancelled;
	struct reply reply;
};

struct client {
	pthread_t thread;
	uint64_t seed, exact, cancelled, wrong, cached;
	struct open open[OPEN_MAX];
};

static const char *socket_path, *model, *versions[2];
static uint32_t prompts[PROMPTS][LENGTH_MAX], lengths[PROMPTS];
static struct reply wanted[PROMPTS];
static uint64_t replies_each;

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

	*open = (struct open){ .prompt = prompt };
	return mhost_submit(s, &rq, &open->id) == 0;
}

static void judge(struct client *c, const struct open *open, const struct mhost_event *ev)
{
	const struct reply *right = &wanted[open->prompt];

	c->cached += ev->cached_count;
	if (ev->finish == MHOST_FINISH_CANCELLED && open->cancelled) {
		c->cancelled++;
	} else if (!ev->error && open->reply.count == right->count &&
		   open->reply.hash == right->hash) {
		c->exact++;
	} else {
		if (!c->wrong++)
			printf("# prompt %u: %u tokens, %u wanted: %s\n", open->prompt,
			       open->reply.count, right->count, ev->error ? ev->message : "other bits");
	}
}

static struct open *find(struct client *c, uint64_t id)
{
	for (uint32_t i = 0; i < OPEN_MAX; i++)
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
	if (ev->type == MHOST_EVENT_TOKEN && ev->index == 5 && t_random(&c->seed) % 8 == 0) {
		open->cancelled = true;
		mhost_cancel(s, open->id);
	}
	if (ev->type != MHOST_EVENT_END)
		return;
	judge(c, open, ev);
	open->id = 0;
}

static void *client_main(void *arg)
{
	struct client *c = arg;
	const struct mhost_event *ev;
	uint64_t submitted = 0;
	struct mhost *s;
	int err = mhost_connect(&s, socket_path);

	while (!err && !c->wrong) {
		for (uint32_t i = 0; i < OPEN_MAX && submitted < replies_each; i++) {
			if (c->open[i].id)
				continue;
			if (!submit(s, &c->open[i], (uint32_t)(t_random(&c->seed) % PROMPTS)))
				break;
			submitted++;
		}
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

static bool crowd(uint32_t count)
{
	static struct client clients[CLIENTS_MAX];
	struct client all = { 0 };
	uint32_t started = 0;

	for (; started < count && started < CLIENTS_MAX; started++) {
		clients[started].seed = 77 + started;
		if (pthread_create(&clients[started].thread, NULL, client_main, &clients[started]))
			break;
	}
	for (uint32_t i = 0; i < started; i++) {
		pthread_join(clients[i].thread, NULL);
		all.exact += clients[i].exact;
		all.cancelled += clients[i].cancelled;
		all.wrong += clients[i].wrong;
		all.cached += clients[i].cached;
	}
	printf("%llu exact, %llu cancelled, %llu wrong, %llu prompt tokens from the cache\n",
	       (unsigned long long)all.exact, (unsigned long long)all.cancelled,
	       (unsigned long long)all.wrong, (unsigned long long)all.cached);
	return !all.wrong && all.exact + all.cancelled == started * replies_each;
}

int main(int argc, char **argv)
{
	bool records = argc == 8 && !strcmp(argv[7], "record");
	FILE *f;
	int err;

	if (!records && argc != 9)
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
	return crowd((uint32_t)strtoul(argv[7], NULL, 10)) ? 0 : 1;
}
