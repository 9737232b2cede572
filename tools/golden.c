/* SPDX-License-Identifier: MIT */
#include "golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sto_store.h"

#define BUSY_TRIES	100
#define BUSY_WAIT_MS	50
#define LOST_TRIES	2	/* workers that died on the same question: no third is risked */

int golden_open(struct golden *g)
{
	if (!mhost_connect(&g->session, g->cmd->socket))
		return CMD_OK;
	return cmd_fail(g->cmd, CMD_FAILED, "%s", mhost_errmsg(g->session));
}

void golden_close(struct golden *g)
{
	mhost_close(&g->session);
}

void golden_clear(struct reply *reply)
{
	reply_free(reply);
	*reply = (struct reply){ 0 };
}

int golden_parse_ref(const struct cmd *cmd, const char *ref, char model[64], char version[48])
{
	struct sto_error error;

	if (sto_ref_parse(ref, 0, model, version, &error))
		return cmd_fail(cmd, CMD_USAGE, "%s", error.text);
	return CMD_OK;
}

int golden_store(const struct cmd *cmd, char *store, size_t bytes)
{
	json_t *status = ctl_call(cmd, json_pack("{s:s}", "command", "status"));
	const char *text = json_string_value(json_object_get(status, "store"));
	int err = status ? CMD_OK : CMD_FAILED;

	if (status && (!text || snprintf(store, bytes, "%s", text) >= (int)bytes))
		err = cmd_fail(cmd, CMD_FAILED, "the host does not say where its store is; see mhost status");
	json_decref(status);
	return err;
}

/* ---- asking --------------------------------------------------------------------------------- */

/* No other case would fare better. */
static bool is_hopeless(int error)
{
	return error == MHOST_E_NO_MODEL || error == MHOST_E_NO_VERSION || error == MHOST_E_BUSY ||
	       error == MHOST_E_WORKER_LOST || error == MHOST_E_STOPPING ||
	       error == MHOST_E_REFUSED || error == MHOST_E_GONE;
}

static int ask(struct golden *g, struct mhost_request *rq, struct reply *reply)
{
	const struct timespec wait = { .tv_nsec = BUSY_WAIT_MS * 1000000L };
	int err, busy = 0, lost = 0;

	rq->model = g->model;
	rq->version = g->version;
	rq->flags |= MHOST_NO_REPLAY;
	do {
		golden_clear(reply);
		err = reply_collect(g->session, rq, stop_is_over, NULL, NULL, reply);
		if (err == MHOST_E_BUSY || reply->error == MHOST_E_BUSY) {
			nanosleep(&wait, NULL);
			if (++busy < BUSY_TRIES)
				continue;
		}
		if (reply->error != MHOST_E_WORKER_LOST || ++lost == LOST_TRIES)
			break;
	} while (!stop_is_over());
	if (stop_is_over())
		return stop_fail(g->cmd);
	if (err)
		return cmd_fail(g->cmd, CMD_FAILED, "%s@%s: %s", g->model, g->version,
				mhost_errmsg(g->session));
	if (is_hopeless(reply->error))
		return cmd_fail(g->cmd, CMD_FAILED, "%s@%s: %s", g->model, g->version,
				reply->message);
	if (reply->begun)
		memcpy(g->hash, reply->hash, sizeof(g->hash));
	return CMD_OK;
}

static void set_prompt(struct mhost_request *rq, const struct prompt_part *part)
{
	rq->text = part->text;
	rq->text_bytes = part->text_bytes;
	rq->tokens = part->ids;
	rq->token_count = part->id_count;
}

int golden_generate(struct golden *g, const struct prompt_part *prompt, uint32_t max_tokens,
		    struct reply *reply)
{
	struct mhost_request rq = MHOST_REQUEST_INIT;

	set_prompt(&rq, prompt);
	rq.max_tokens = max_tokens;
	return ask(g, &rq, reply);
}

int golden_score(struct golden *g, const uint32_t *ids, uint32_t count, struct reply *reply)
{
	struct mhost_request rq = MHOST_REQUEST_INIT;

	rq.kind = MHOST_SCORE;
	rq.tokens = ids;
	rq.token_count = count;
	return ask(g, &rq, reply);
}

static int copy_ids(struct golden *g, const struct prompt_part *part, struct reply *reply)
{
	golden_clear(reply);
	reply->prompt = calloc(part->id_count + 1, sizeof(*reply->prompt));
	if (!reply->prompt)
		return cmd_fail(g->cmd, CMD_FAILED, "out of memory; free some");
	memcpy(reply->prompt, part->ids, part->id_count * sizeof(*part->ids));
	reply->prompt_count = part->id_count;
	return CMD_OK;
}

int golden_tokenize(struct golden *g, const struct prompt_part *part, bool is_start,
		    struct reply *reply)
{
	struct mhost_request rq = MHOST_REQUEST_INIT;

	if (part->ids)
		return copy_ids(g, part, reply);
	rq.kind = MHOST_TOKENIZE;
	rq.flags = is_start ? 0 : MHOST_NO_SPECIAL;
	set_prompt(&rq, part);
	return ask(g, &rq, reply);
}

int golden_score_reply(struct golden *g, const struct reply *reply, struct reply *scored)
{
	uint32_t count = reply->prompt_count + reply->token_count;
	uint32_t *ids = calloc(count + 1, sizeof(*ids));
	int err = ids ? CMD_OK : cmd_fail(g->cmd, CMD_FAILED, "out of memory; free some");

	if (!err) {
		memcpy(ids, reply->prompt, reply->prompt_count * sizeof(*ids));
		memcpy(ids + reply->prompt_count, reply->tokens, reply->token_count * sizeof(*ids));
		err = golden_score(g, ids, count, scored);
	}
	free(ids);
	return err;
}

const float *golden_scores(const struct reply *reply, uint32_t count)
{
	if (!count || !reply->scores || count >= reply->prompt_count)
		return NULL;
	return reply->scores + reply->prompt_count - count;
}

double golden_mean(const struct reply *reply, uint32_t count)
{
	const float *scores = golden_scores(reply, count);
	double sum = 0;

	for (uint32_t i = 0; scores && i < count; i++)
		sum += (double)scores[i];
	return scores ? sum / count : NAN;
}

/* ---- one case ------------------------------------------------------------------------------- */

static int fail_error(struct golden_failure *f, const struct reply *reply)
{
	f->check = "error";
	snprintf(f->message, sizeof(f->message), "no reply: %s", reply->message);
	return CMD_OK;
}

/* "token 17", or what stands for none. */
static const char *token_name(int64_t token, char out[32])
{
	if (token < 0)
		snprintf(out, 32, "the end of the reply");
	else
		snprintf(out, 32, "token %lld", (long long)token);
	return out;
}

static void compare(const struct prompt *p, const struct reply *reply, struct golden_failure *f)
{
	char expected[32], got[32];
	uint32_t i = 0;

	while (i < p->expect_count && i < reply->token_count && p->expect[i] == reply->tokens[i])
		i++;
	if (i == p->expect_count && i == reply->token_count)
		return;
	f->check = "expect";
	f->at = i;
	f->expected = i < p->expect_count ? (int64_t)p->expect[i] : -1;
	f->got = i < reply->token_count ? (int64_t)reply->tokens[i] : -1;
	snprintf(f->message, sizeof(f->message), "the reply differs at token %u: expected %s, got %s",
		 i, token_name(f->expected, expected), token_name(f->got, got));
}

static void compare_scores(const struct prompt *p, const struct reply *scored, struct golden_failure *f)
{
	const float *scores = golden_scores(scored, p->expect_count);

	for (uint32_t i = 0; i < p->expect_count; i++) {
		f->logprob = scores ? (double)scores[i] : NAN;
		if (fabs(f->logprob - (double)p->logprobs[i]) <= p->tolerance)	/* false for NaN too */
			continue;
		f->check = "logprobs";
		f->at = i;
		snprintf(f->message, sizeof(f->message),
			 "the log-probability of token %u of the reply is %.6f, expected %.6f within %g", i,
			 f->logprob, (double)p->logprobs[i], p->tolerance);
		return;
	}
}

static int check_scores(struct golden *g, const struct prompt *p, const struct reply *reply,
			struct golden_failure *f)
{
	struct reply scored = { 0 };
	int err = golden_score_reply(g, reply, &scored);

	if (!err && scored.error)
		err = fail_error(f, &scored);
	else if (!err)
		compare_scores(p, &scored, f);
	reply_free(&scored);
	return err;
}

static int check_reply(struct golden *g, const struct prompt *p, struct golden_failure *f)
{
	struct reply reply = { 0 };
	int err = golden_generate(g, &p->prompt, p->max_tokens ? p->max_tokens : p->expect_count,
				  &reply);

	if (!err && reply.error)
		err = fail_error(f, &reply);
	else if (!err)
		compare(p, &reply, f);
	if (!err && !f->check && p->logprobs)
		err = check_scores(g, p, &reply, f);
	reply_free(&reply);
	return err;
}

static void compare_mean(const struct prompt *p, const struct reply *reply, uint32_t count,
			 struct golden_failure *f)
{
	f->logprob = golden_mean(reply, count);
	if (f->logprob >= p->min_logprob)	/* false for NaN too */
		return;
	f->check = "min_logprob";
	snprintf(f->message, sizeof(f->message),
		 "the mean log-probability of %u tokens is %.6f, the bound is %.6f", count, f->logprob,
		 p->min_logprob);
}

/* @start becomes the prompt's ids with the continuation's behind them. */
static int join(struct golden *g, struct reply *start, const struct reply *rest)
{
	uint32_t count = start->prompt_count + rest->prompt_count;
	uint32_t *ids = reallocarray(start->prompt, count, sizeof(*ids));

	if (!ids)
		return cmd_fail(g->cmd, CMD_FAILED, "out of memory; free some");
	memcpy(ids + start->prompt_count, rest->prompt, rest->prompt_count * sizeof(*ids));
	start->prompt = ids;
	start->prompt_count = count;
	return CMD_OK;
}

static int check_bound(struct golden *g, const struct prompt *p, struct golden_failure *f)
{
	struct reply ids = { 0 }, rest = { 0 }, scored = { 0 };
	int err = golden_tokenize(g, &p->prompt, true, &ids);

	if (!err && !ids.error)
		err = golden_tokenize(g, &p->continuation, false, &rest);
	if (!err && (ids.error || rest.error)) {
		err = fail_error(f, ids.error ? &ids : &rest);
		goto out;
	}
	if (!err)
		err = join(g, &ids, &rest);
	if (!err)
		err = golden_score(g, ids.prompt, ids.prompt_count, &scored);
	if (!err && scored.error)
		err = fail_error(f, &scored);
	else if (!err)
		compare_mean(p, &scored, rest.prompt_count, f);
out:
	reply_free(&ids);
	reply_free(&rest);
	reply_free(&scored);
	return err;
}

int golden_check_case(struct golden *g, const struct prompt *prompt, struct golden_failure *failure)
{
	int err = CMD_OK;

	*failure = (struct golden_failure){ 0 };
	if (prompt->expect)
		err = check_reply(g, prompt, failure);
	if (!err && !failure->check && (prompt->continuation.text || prompt->continuation.ids))
		err = check_bound(g, prompt, failure);
	return err;
}
