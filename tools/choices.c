/* SPDX-License-Identifier: MIT */
/* choices.c: `mhost run --choices`, `--best-of`. */
#include "choices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct choices {
	const struct cmd *cmd;
	const struct mhost_request *rq;
	struct mhost *session;
	uint32_t count, queued, ended;
	uint64_t ids[MHOST_MANY_MAX];
	struct reply replies[MHOST_MANY_MAX];
	uint32_t order[MHOST_MANY_MAX];		/* best first, or as they are */
};

static double mean_logprob(const struct reply *r)
{
	return r->token_count ? r->logprob_sum / r->token_count : -1e30;
}

/* The rest of them; later ones when the ring is full now. */
static int submit(struct choices *c)
{
	struct mhost_request rq = *c->rq;
	int n;

	if (c->queued == c->count)
		return 0;
	rq.seed += c->queued;
	n = mhost_submit_many(c->session, &rq, c->count - c->queued, c->ids + c->queued);
	if (n == MHOST_E_BUSY && c->ended < c->queued)
		return 0;
	c->queued += n > 0 ? (uint32_t)n : 0;
	return n < 0 ? n : 0;
}

static void take(struct choices *c, const struct mhost_event *ev)
{
	for (uint32_t i = 0; i < c->queued; i++)
		if (c->ids[i] == ev->id) {
			reply_take(&c->replies[i], ev, NULL, NULL);
			c->ended += ev->type == MHOST_EVENT_END;
		}
}

static void cancel(struct choices *c)
{
	for (uint32_t i = 0; i < c->queued; i++)
		mhost_cancel(c->session, c->ids[i]);
	c->count = c->queued;
}

static int collect(struct choices *c)
{
	const struct mhost_event *ev;
	bool cancelled = false;
	int err = submit(c);

	while (!err && c->ended < c->count) {
		if (reply_is_interrupted() && !cancelled) {
			cancel(c);
			cancelled = true;
		}
		err = mhost_next(c->session, 100, &ev);
		if (!err)
			take(c, ev);
		if (!err || err == -EAGAIN)
			err = submit(c);
	}
	return err;
}

/* The first that failed, in words. */
static int tell_failure(const struct choices *c)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (c->replies[i].error)
			return cmd_fail(c->cmd, CMD_FAILED, "%s: reply %u: %s", c->rq->model, i + 1,
					c->replies[i].message);
	return CMD_OK;
}

/* By mean log-probability, the earlier one of equals first. */
static void rank(struct choices *c)
{
	for (uint32_t i = 1; i < c->count; i++)
		for (uint32_t k = i; k && mean_logprob(&c->replies[c->order[k]]) >
				     mean_logprob(&c->replies[c->order[k - 1]]); k--) {
			uint32_t other = c->order[k];

			c->order[k] = c->order[k - 1];
			c->order[k - 1] = other;
		}
}

static json_t *choice_json(const struct choices *c, uint32_t i, bool ranked)
{
	const struct reply *r = &c->replies[i];
	json_t *o = json_pack("{s:I, s:I, s:s, s:s, s:o, s:o, s:s, s:I}", "index", (json_int_t)i, "seed",
			      (json_int_t)(c->rq->seed + i), "version", r->version, "content_hash", r->hash, "tokens",
			      cmd_json_ids(r->tokens, r->token_count), "text",
			      cmd_json_text(r->text ? r->text : "", r->text_bytes), "finish_reason",
			      reply_finish_name(r->finish), "cached_tokens", (json_int_t)r->cached_count);

	if (ranked)
		json_object_set_new(o, "mean_logprob", json_real(mean_logprob(r)));
	if (r->logprobs)
		json_object_set(o, "logprobs", r->logprobs);
	return o;
}

static void print_json(const struct choices *c, uint32_t shown, bool ranked)
{
	const struct reply *first = &c->replies[0];
	json_t *list = json_array();

	for (uint32_t i = 0; i < shown; i++)
		json_array_append_new(list, choice_json(c, c->order[i], ranked));
	cmd_json_print(json_pack("{s:s, s:o, s:o, s:o}", "model", first->model, "adapters", cmd_json_adapters(first),
				 "prompt_tokens", cmd_json_ids(first->prompt, first->prompt_count), "choices", list));
}

static void print_texts(const struct choices *c, uint32_t shown)
{
	for (uint32_t i = 0; i < shown; i++) {
		const struct reply *r = &c->replies[c->order[i]];

		printf("== %u of %u, seed %llu\n", i + 1, shown, (unsigned long long)(c->rq->seed + c->order[i]));
		fwrite(r->text ? r->text : "", 1, r->text_bytes, stdout);
		putchar('\n');
	}
}

static int run(struct choices *c, uint32_t shown, bool ranked)
{
	int err, status;

	reply_catch_interrupt();
	err = mhost_connect(&c->session, c->cmd->socket);
	err = err ? err : collect(c);
	if (err)
		return cmd_fail(c->cmd, CMD_FAILED, "%s", mhost_errmsg(c->session));
	status = tell_failure(c);
	if (status)
		return status;
	if (ranked)
		rank(c);
	shown = shown < c->count ? shown : c->count;
	if (c->cmd->json)
		print_json(c, shown, ranked);
	else
		print_texts(c, shown);
	return CMD_OK;
}

int choices_run(const struct cmd *cmd, struct request_opts *o)
{
	struct choices *c = calloc(1, sizeof(*c));
	uint32_t shown = o->choices ? o->choices : 1;
	bool told = o->rq.flags & MHOST_LOGPROBS;
	int status;

	if (!c)
		return cmd_fail(cmd, CMD_FAILED, "out of memory; free some");
	if (o->best_of)
		o->rq.flags |= MHOST_LOGPROBS;
	*c = (struct choices){ .cmd = cmd, .rq = &o->rq, .count = o->best_of ? o->best_of : shown };
	for (uint32_t i = 0; i < c->count; i++) {
		c->order[i] = i;
		c->replies[i].logprobs = told ? json_array() : NULL;
	}
	status = run(c, shown, o->best_of);
	for (uint32_t i = 0; i < MHOST_MANY_MAX; i++)
		reply_free(&c->replies[i]);
	mhost_close(&c->session);
	free(c);
	return status;
}
