/* SPDX-License-Identifier: MIT */
/* reply.c: one request from connect to END, with everything that came collected. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

#define RETRIES		3
#define CANCEL_MS	3000	/* a worker takes a token's time to cancel; then it is stuck */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
	interrupted = 1;
}

static void take_adapters(struct reply *r, const struct mhost_event *ev)
{
	r->adapter_count = ev->adapter_count;
	for (uint32_t i = 0; i < r->adapter_count; i++) {
		const struct mhost_adapter_used *from = &ev->adapters[i];
		struct reply_adapter *a = &r->adapters[i];

		snprintf(a->name, sizeof(a->name), "%s", from->name);
		snprintf(a->version, sizeof(a->version), "%s", from->version);
		cmd_hex(from->content_hash, 32, a->hash);
		a->scale = from->scale;
	}
}

static void take_begin(struct reply *r, const struct mhost_event *ev)
{
	r->begun = true;
	snprintf(r->model, sizeof(r->model), "%s", ev->model);
	snprintf(r->version, sizeof(r->version), "%s", ev->version);
	take_adapters(r, ev);
	cmd_hex(ev->content_hash, 32, r->hash);
	free(r->prompt);
	free(r->scores);
	r->vector_count = 0;
	r->form = ev->form;
	r->form_flags = ev->form_flags;
	r->prompt_count = ev->prompt_count;
	r->prompt = calloc(ev->prompt_count + 1, sizeof(*r->prompt));
	r->scores = calloc(ev->prompt_count + 1, sizeof(*r->scores));
}

static void take_chunk(struct reply *r, const struct mhost_event *ev)
{
	if (!r->prompt || !r->scores || ev->first > r->prompt_count ||
	    ev->count > r->prompt_count - ev->first)
		return;
	if (ev->tokens)
		memcpy(r->prompt + ev->first, ev->tokens, ev->count * sizeof(*ev->tokens));
	if (ev->logprobs)
		memcpy(r->scores + ev->first, ev->logprobs, ev->count * sizeof(*ev->logprobs));
}

static void take_vector(struct reply *r, const struct mhost_event *ev)
{
	float *grown;

	if (ev->first != r->vector_count)
		return;
	grown = realloc(r->vector, (r->vector_count + ev->count) * sizeof(*grown));
	if (!grown)
		return;
	memcpy(grown + r->vector_count, ev->values, ev->count * sizeof(*grown));
	r->vector = grown;
	r->vector_count += ev->count;
}

static void add_text(struct reply *r, const struct mhost_event *ev)
{
	if (r->text_bytes + ev->text_bytes + 1 > r->text_cap) {
		r->text_cap = 2 * r->text_cap + ev->text_bytes + 256;
		r->text = realloc(r->text, r->text_cap);
	}
	if (!r->text)
		return;
	memcpy(r->text + r->text_bytes, ev->text, ev->text_bytes);
	r->text_bytes += ev->text_bytes;
	r->text[r->text_bytes] = 0;
}

static json_t *token_logprobs(const struct mhost_event *ev)
{
	json_t *top = json_array();

	for (uint32_t i = 0; i < ev->top_count; i++)
		json_array_append_new(top, json_pack("{s:I, s:f}", "id", (json_int_t)ev->top[i].token,
						     "logprob", (double)ev->top[i].logprob));
	return json_pack("{s:I, s:f, s:o}", "id", (json_int_t)ev->token, "logprob",
			 (double)ev->logprob, "top", top);
}

static void take_token(struct reply *r, const struct mhost_event *ev)
{
	if (r->token_count == r->token_cap) {
		r->token_cap = 2 * r->token_cap + 64;
		r->tokens = realloc(r->tokens, r->token_cap * sizeof(*r->tokens));
	}
	if (r->tokens)
		r->tokens[r->token_count++] = ev->token;
	if (isfinite(ev->logprob))
		r->logprob_sum += (double)ev->logprob;
	r->drafted += ev->drafted_count;
	r->accepted += ev->ahead;
	if (r->logprobs)
		json_array_append_new(r->logprobs, token_logprobs(ev));
	add_text(r, ev);
}

static void take_end(struct reply *r, const struct mhost_event *ev)
{
	r->finish = ev->finish;
	r->error = ev->error;
	r->retriable = ev->retriable;
	snprintf(r->message, sizeof(r->message), "%s",
		 ev->message[0] ? ev->message : mhost_strerror(ev->error));
	r->queue_ms = (double)ev->queue_ns / 1e6;
	r->prefill_ms = (double)ev->prefill_ns / 1e6;
	r->decode_ms = (double)ev->decode_ns / 1e6;
	r->cached_count = ev->cached_count;
}

void reply_take(struct reply *r, const struct mhost_event *ev, reply_text_fn on_text, void *arg)
{
	switch (ev->type) {
	case MHOST_EVENT_BEGIN:
		take_begin(r, ev);
		break;
	case MHOST_EVENT_PROMPT:
	case MHOST_EVENT_SCORES:
		take_chunk(r, ev);
		break;
	case MHOST_EVENT_VECTOR:
		take_vector(r, ev);
		break;
	case MHOST_EVENT_TOKEN:
		take_token(r, ev);
		break;
	case MHOST_EVENT_TEXT:
		add_text(r, ev);
		break;
	case MHOST_EVENT_END:
		take_end(r, ev);
	}
	if (on_text && ev->text_bytes)
		on_text(arg, r, ev->text, ev->text_bytes);
}

int reply_collect(struct mhost *s, const struct mhost_request *rq, reply_over_fn is_over,
		  reply_text_fn on_text, void *arg, struct reply *reply)
{
	const struct mhost_event *ev;
	int cancelled_ms = -1;
	uint64_t id;
	int err = mhost_submit(s, rq, &id);

	while (!err) {
		if (is_over() && cancelled_ms < 0) {
			mhost_cancel(s, id);
			cancelled_ms = 0;
		}
		err = mhost_next(s, 100, &ev);
		if (err == -EAGAIN) {
			cancelled_ms += cancelled_ms < 0 ? 0 : 100;
			err = cancelled_ms < CANCEL_MS ? 0 : -ETIMEDOUT;
			continue;
		}
		if (err)
			break;
		if (ev->id != id)	/* of one that was given up */
			continue;
		reply_take(reply, ev, on_text, arg);
		if (ev->type == MHOST_EVENT_END)
			return 0;
	}
	return err;
}

bool reply_is_interrupted(void)
{
	return interrupted;
}

void reply_catch_interrupt(void)
{
	struct sigaction sa = { .sa_handler = on_interrupt, .sa_flags = SA_RESETHAND };

	sigaction(SIGINT, &sa, NULL);
}

int reply_run(const struct cmd *cmd, const struct mhost_request *rq, reply_text_fn on_text,
	      struct reply *reply)
{
	struct mhost *s;
	int err;

	memset(reply, 0, sizeof(*reply));
	if (rq->flags & MHOST_LOGPROBS)
		reply->logprobs = json_array();
	reply_catch_interrupt();
	err = mhost_connect(&s, cmd->socket);
	for (int i = 0; !err && i < RETRIES; i++) {
		err = reply_collect(s, rq, reply_is_interrupted, on_text, NULL, reply);
		if (err || reply->error != MHOST_E_WORKER_LOST || reply->token_count)
			break;
	}
	if (err)
		cmd_fail(cmd, CMD_FAILED, "%s", mhost_errmsg(s));
	else if (reply->error)
		cmd_fail(cmd, CMD_FAILED, "%s: %s", rq->model, reply->message);
	mhost_close(&s);
	return err || reply->error ? CMD_FAILED : CMD_OK;
}

void reply_free(struct reply *reply)
{
	free(reply->prompt);
	free(reply->tokens);
	free(reply->scores);
	free(reply->vector);
	free(reply->text);
	json_decref(reply->logprobs);
}

const char *reply_finish_name(uint32_t finish)
{
	static const char *const names[] = { "", "stop", "length", "cancelled", "error" };

	return finish < 5 ? names[finish] : "error";
}
