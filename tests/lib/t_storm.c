/* SPDX-License-Identifier: MIT */
#include "t_storm.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "t.h"

/* By the route; @adapter is the memory of the request's. */
static struct mhost_request request_of(const struct storm *storm, uint32_t prompt,
				       struct mhost_adapter *adapter)
{
	struct mhost_request rq = MHOST_REQUEST_INIT;

	rq.model = storm->model;
	if (storm->adapter) {
		rq.adapters = adapter;
		rq.adapter_count = 1;
		*adapter = (struct mhost_adapter){ storm->adapter, NULL, 1 };
	}
	rq.tokens = storm->prompts[prompt];
	rq.token_count = 8;
	rq.max_tokens = STORM_TOKENS;
	rq.flags = MHOST_IGNORE_EOS;
	/* Half of the prompts are sampled, so that the seed's path is part of the answer. */
	rq.temperature = prompt % 2 ? 0.8f : 0.0f;
	rq.seed = prompt + 1;
	return rq;
}

/* The version that the storm is about: the adapter's, if there is one. */
static void stamp(struct storm_reply *reply, const struct mhost_event *ev)
{
	bool adapted = ev->adapter_count;

	snprintf(reply->version, sizeof(reply->version), "%s",
		 adapted ? ev->adapters[0].version : ev->version);
	memcpy(reply->hash, adapted ? ev->adapters[0].content_hash : ev->content_hash, 32);
}

/* Run one request to its END. 0, or the error of the END or of the session. */
static int collect(struct mhost *s, const struct mhost_request *rq, struct storm_reply *reply,
		   uint64_t *submitted)
{
	const struct mhost_event *ev;
	uint64_t id;
	int err;

	memset(reply, 0, sizeof(*reply));
	while ((err = mhost_submit(s, rq, &id)) == MHOST_E_BUSY)
		usleep(1000);	/* all workers are being restarted */
	if (err)
		return err;
	++*submitted;
	while ((err = mhost_next(s, 30000, &ev)) == 0) {
		if (ev->type == MHOST_EVENT_BEGIN) {
			stamp(reply, ev);
		} else if (ev->type == MHOST_EVENT_TOKEN && reply->count < STORM_TOKENS) {
			reply->tokens[reply->count++] = ev->token;
		} else if (ev->type == MHOST_EVENT_END) {
			return ev->error;
		}
	}
	return err;
}

static bool is_same(const struct storm_reply *a, const struct storm_reply *b)
{
	return a->count == b->count && !strcmp(a->version, b->version) &&
	       !memcmp(a->hash, b->hash, 32) &&
	       !memcmp(a->tokens, b->tokens, a->count * sizeof(a->tokens[0]));
}

static void complain(struct storm_client *c, const char *what, int err, uint32_t prompt,
		     const struct storm_reply *reply)
{
	if (c->wrong++)
		return;
	printf("# client: %s: %s (%d), prompt %u, version %s, %u tokens\n", what, mhost_strerror(err),
	       err, prompt, reply->version, reply->count);
	fflush(stdout);
}

static void judge(struct storm_client *c, int err, uint32_t prompt, const struct storm_reply *reply)
{
	const struct storm *storm = c->storm;

	if (err == MHOST_E_WORKER_LOST && storm->may_lose) {
		c->ended++;
		c->lost++;
		return;
	}
	if (err) {
		complain(c, "request failed", err, prompt, reply);
		return;
	}
	c->ended++;
	for (int v = 0; v < 2; v++) {
		if (strcmp(reply->version, storm->versions[v]))
			continue;
		c->replies[v]++;
		if (is_same(reply, &storm->reference[v][prompt])) {
			c->exact++;
			return;
		}
	}
	complain(c, "reply is not that of its version", 0, prompt, reply);
}

static void *client_main(void *arg)
{
	struct storm_client *c = arg;
	struct mhost *s;
	int err = mhost_connect(&s, c->storm->cmd.socket);
	struct storm_reply reply = { 0 };

	if (err)
		complain(c, mhost_errmsg(s), err, 0, &reply);
	while (!err && !atomic_load_explicit(&c->storm->stop, memory_order_relaxed)) {
		uint32_t prompt = (uint32_t)(t_random(&c->seed) % STORM_PROMPTS);
		struct mhost_adapter adapter;
		struct mhost_request rq = request_of(c->storm, prompt, &adapter);
		uint64_t submitted = 0;
		int end = collect(s, &rq, &reply, &submitted);

		c->submitted += submitted;
		judge(c, end, prompt, &reply);
		if (end == MHOST_E_GONE || end == MHOST_E_PROTOCOL || c->wrong > 10)
			break;
	}
	mhost_close(&s);
	return NULL;
}

static bool take_references(struct storm *storm)
{
	struct mhost *s;
	uint64_t n = 0;
	int err = mhost_connect(&s, storm->cmd.socket);

	for (uint32_t i = 0; !err && i < 2 * STORM_PROMPTS; i++) {
		struct mhost_adapter adapter;
		struct mhost_request rq = request_of(storm, i / 2, &adapter);

		if (storm->adapter)
			adapter.version = storm->versions[i % 2];
		else
			rq.version = storm->versions[i % 2];
		err = collect(s, &rq, &storm->reference[i % 2][i / 2], &n);
	}
	if (err)
		printf("# references: %s: %s\n", mhost_strerror(err), mhost_errmsg(s));
	mhost_close(&s);
	return !err;
}

/* The oracle is worth something only if the versions answer differently. */
static bool references_differ(const struct storm *storm)
{
	uint32_t same = 0;

	for (uint32_t i = 0; i < STORM_PROMPTS; i++)
		same += !memcmp(storm->reference[0][i].tokens, storm->reference[1][i].tokens,
				sizeof(storm->reference[0][i].tokens));
	if (same > STORM_PROMPTS / 2)
		printf("# %u of %u prompts have the same answer from both versions\n", same,
		       STORM_PROMPTS);
	return same <= STORM_PROMPTS / 2;
}

void storm_target(struct storm *storm, char *target)
{
	storm->model = target;
	storm->adapter = cmd_cut_adapter(target);
}

bool storm_start(struct storm *storm, uint32_t vocab)
{
	uint64_t seed = 7;

	for (uint32_t i = 0; i < STORM_PROMPTS; i++)
		for (uint32_t j = 0; j < 8; j++)
			storm->prompts[i][j] = (uint32_t)(t_random(&seed) % vocab);
	if (!take_references(storm) || !references_differ(storm))
		return false;
	for (uint32_t i = 0; i < storm->client_count; i++) {
		storm->clients[i].storm = storm;
		storm->clients[i].seed = 1000 + i;
		if (pthread_create(&storm->clients[i].thread, NULL, client_main, &storm->clients[i]))
			return false;
	}
	return true;
}

bool storm_finish(struct storm *storm, struct storm_client *total)
{
	memset(total, 0, sizeof(*total));
	atomic_store_explicit(&storm->stop, 1, memory_order_relaxed);
	for (uint32_t i = 0; i < storm->client_count; i++) {
		struct storm_client *c = &storm->clients[i];

		pthread_join(c->thread, NULL);
		total->submitted += c->submitted;
		total->ended += c->ended;
		total->exact += c->exact;
		total->lost += c->lost;
		total->wrong += c->wrong;
		total->replies[0] += c->replies[0];
		total->replies[1] += c->replies[1];
	}
	return !total->wrong && total->submitted == total->ended &&
	       total->exact + total->lost == total->ended;
}

bool storm_control(struct storm *storm, const char *command, const char *version)
{
	json_t *request, *answer;
	char target[160];

	snprintf(target, sizeof(target), "%s%s%s", storm->model, storm->adapter ? "/" : "",
		 storm->adapter ? storm->adapter : "");
	request = json_pack("{s:s, s:s}", "command", command, "model", target);

	if (version)
		json_object_set_new(request, "version", json_string(version));
	answer = ctl_call(&storm->cmd, request);
	json_decref(answer);
	return answer != NULL;
}
