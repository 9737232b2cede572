/* SPDX-License-Identifier: MIT */
/* mhc_request.c: from struct mhost_request to a record in a ring, and the list of open requests. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mhc_priv.h"

#define BODY_MAX	(512u << 10)	/* what a worker takes in one record */
#define SIZE_MIN	offsetof(struct mhost_request, adapters)	/* of ABI 2 */
#define FLAGS_ALL	((MHOST_SHOW_SPECIAL << 1) - 1)

static const uint32_t record_types[] = {
	[MHOST_GENERATE] = MHS_REC_GENERATE,
	[MHOST_SCORE] = MHS_REC_SCORE,
	[MHOST_TOKENIZE] = MHS_REC_TOKENIZE,
	[MHOST_DETOKENIZE] = MHS_REC_DETOKENIZE,
	[MHOST_PING] = MHS_REC_PING,
	[MHOST_EMBED] = MHS_REC_EMBED,
};

static int check_lists(struct mhost *s, const struct mhost_request *rq)
{
	if (rq->bias_count > MHS_BIAS_MAX || rq->stop_token_count > MHS_STOP_TOKENS_MAX)
		return mhc_fail(s, MHOST_E_INVALID, "%u biases and %u stop tokens, at most %u and %u",
				rq->bias_count, rq->stop_token_count, MHS_BIAS_MAX, MHS_STOP_TOKENS_MAX);
	if ((rq->bias_count && !rq->bias) || (rq->stop_token_count && !rq->stop_tokens))
		return mhc_fail(s, MHOST_E_INVALID, "biases or stop tokens are counted, but not given");
	return 0;
}

static int check_adapters(struct mhost *s, const struct mhost_request *rq)
{
	if (rq->adapter_count > MHS_ADAPTERS_MAX)
		return mhc_fail(s, MHOST_E_INVALID, "%u adapters, at most %u", rq->adapter_count,
				MHS_ADAPTERS_MAX);
	if (rq->adapter_count && !rq->adapters)
		return mhc_fail(s, MHOST_E_INVALID, "%u adapters, but no list of them",
				rq->adapter_count);
	for (uint32_t i = 0; i < rq->adapter_count; i++) {
		const struct mhost_adapter *a = &rq->adapters[i];

		if (!a->name || !a->name[0] || strlen(a->name) >= MHS_NAME_BYTES)
			return mhc_fail(s, MHOST_E_INVALID, "adapter %u: its name must have 1..%u bytes",
					i + 1, MHS_NAME_BYTES - 1);
		if (a->version && strlen(a->version) >= MHS_SEMVER_BYTES)
			return mhc_fail(s, MHOST_E_INVALID, "adapter \"%s\": version is longer than %u bytes",
					a->name, MHS_SEMVER_BYTES - 1);
	}
	return 0;
}

/* A program built with an earlier header has a shorter structure: the rest is as its INIT would be. */
static int request_take(struct mhost *s, const struct mhost_request *from, struct mhost_request *to)
{
	static const struct mhost_request init = MHOST_REQUEST_INIT;

	if (from->size < SIZE_MIN || from->size > sizeof(*to))
		return mhc_fail(s, MHOST_E_INVALID, "request size is %zu, this library takes %zu to %zu: start from "
				"MHOST_REQUEST_INIT", from->size, SIZE_MIN, sizeof(*to));
	*to = init;
	memcpy(to, from, from->size);
	return 0;
}

static int check_embed(struct mhost *s, const struct mhost_request *rq)
{
	if (rq->kind == MHOST_EMBED && s->host_minor < 1)
		return mhc_fail(s, MHOST_E_PROTOCOL, "the host speaks ABI %u.%u, embeddings need 2.1: use one release",
				MHS_ABI_MAJOR, s->host_minor);
	if (rq->pooling > MHOST_POOL_FIRST || rq->reserved0)
		return mhc_fail(s, MHOST_E_INVALID, "pooling %u is not known", rq->pooling);
	if (rq->kind != MHOST_EMBED && (rq->pooling || rq->flags & MHOST_RAW))
		return mhc_fail(s, MHOST_E_INVALID, "pooling and MHOST_RAW are for MHOST_EMBED");
	return 0;
}

static int check_prompt(struct mhost *s, const struct mhost_request *rq)
{
	if (rq->kind != MHOST_PING && !rq->model)
		return mhc_fail(s, MHOST_E_INVALID, "model is not given");
	if (!!rq->text + !!rq->tokens + !!rq->messages > 1)
		return mhc_fail(s, MHOST_E_INVALID, "prompt is given as more than one of text, tokens and "
				"messages");
	if (rq->stop_count > MHS_STOP_MAX)
		return mhc_fail(s, MHOST_E_INVALID, "%u stop strings, at most %u", rq->stop_count,
				MHS_STOP_MAX);
	for (uint32_t i = 0; i < rq->stop_count; i++)
		if (!rq->stops[i][0] || strlen(rq->stops[i]) > MHS_STOP_BYTES)
			return mhc_fail(s, MHOST_E_INVALID, "stop string %u: must have 1..%u bytes",
					i + 1, MHS_STOP_BYTES);
	return 0;
}

static int check(struct mhost *s, const struct mhost_request *rq)
{
	int err;

	if (rq->kind > MHOST_EMBED)
		return mhc_fail(s, MHOST_E_INVALID, "kind %u is not known", rq->kind);
	if (rq->flags & ~FLAGS_ALL)
		return mhc_fail(s, MHOST_E_INVALID, "flags %#x: %#x are not known", rq->flags,
				rq->flags & ~FLAGS_ALL);
	if (check_prompt(s, rq) || check_adapters(s, rq) || check_lists(s, rq))
		return MHOST_E_INVALID;
	err = check_embed(s, rq);
	if (err)
		return err;
	if (rq->grammar_kind > MHOST_GRAMMAR_JSON ||
	    (rq->grammar_kind && rq->grammar_kind != MHOST_GRAMMAR_JSON && !rq->grammar))
		return mhc_fail(s, MHOST_E_INVALID, "grammar kind %u is not known, or its text is missing",
				rq->grammar_kind);
	if (mhc_body_bytes(rq) > BODY_MAX)
		return mhc_fail(s, MHOST_E_TOO_LONG, "prompt has %zu bytes and grammar %zu, at most %zu fit",
				mhc_prompt_bytes(rq), mhc_grammar_bytes(rq), BODY_MAX - sizeof(struct mhs_request));
	return 0;
}

/* On @lane; NULL: the least loaded one. */
static int request_put(struct mhost *s, struct mhc_request *r, struct mhc_lane *lane)
{
	struct mhs_piece piece = { r->body, r->body_bytes };

	if (!lane)
		lane = mhc_lane_least(s);
	if (!lane) {
		mhc_socket_poll(s);	/* one may have come since the last look */
		lane = mhc_lane_least(s);
	}
	if (!lane)
		return mhc_fail(s, MHOST_E_BUSY, "no worker is ready now: try again");
	if (mhs_ring_put(&lane->submit, r->type, &piece, 1))
		return mhc_fail(s, MHOST_E_BUSY, "the ring to the worker is full: read events, "
				"then try again");
	lane->open_count++;
	r->lane = lane;
	if (mhs_ring_should_wake(&lane->submit))
		mhc_lane_ring(s, lane);
	return 0;
}

int mhc_request_put(struct mhost *s, struct mhc_request *r)
{
	return request_put(s, r, NULL);
}

/* A checked request, queued on @lane; *@made is it. */
static int submit_one(struct mhost *s, const struct mhost_request *rq, struct mhc_lane *lane,
		      struct mhc_request **made)
{
	struct mhc_request *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return mhc_fail(s, -ENOMEM, "out of memory");
	r->id = s->next_id;
	r->type = record_types[rq->kind];
	r->flags = rq->flags;
	err = mhc_body_make(s, r, rq);
	if (!err)
		err = request_put(s, r, lane);
	if (err) {
		mhc_request_free(&r);
		return err;
	}
	s->next_id++;
	r->next = s->requests;
	s->requests = r;
	s->open_count++;
	*made = r;
	return 0;
}

/* @rq is @given as this library knows it, checked. */
static int begin(struct mhost *s, const struct mhost_request *given, struct mhost_request *rq)
{
	int err;

	mhc_socket_glance(s, mhc_now_ns());
	if (s->host_gone)
		return mhc_fail(s, MHOST_E_GONE, "the host is gone: connect again");
	err = request_take(s, given, rq);
	return err ? err : check(s, rq);
}

MHC_PUBLIC int mhost_submit(struct mhost *s, const struct mhost_request *given, uint64_t *id)
{
	struct mhost_request rq;
	struct mhc_request *r;
	int err = begin(s, given, &rq);

	if (!err)
		err = submit_one(s, &rq, NULL, &r);
	if (!err)
		*id = r->id;
	return err;
}

MHC_PUBLIC int mhost_submit_many(struct mhost *s, const struct mhost_request *given, uint32_t count, uint64_t *ids)
{
	struct mhc_lane *lane = NULL;
	struct mhost_request rq;
	struct mhc_request *r;
	int err = begin(s, given, &rq);

	if (!err && (!count || count > MHOST_MANY_MAX || rq.kind != MHOST_GENERATE))
		err = mhc_fail(s, MHOST_E_INVALID, "%u replies wanted, limit 1 to %u, and MHOST_GENERATE", count,
			       MHOST_MANY_MAX);
	if (!err && !rq.session_key)	/* all on one side of a split */
		rq.session_key = mhc_now_ns() << 16 | 1;
	for (uint32_t i = 0; !err && i < count; i++, rq.seed++) {
		err = submit_one(s, &rq, lane, &r);
		if (err)
			return i ? (int)i : err;
		lane = r->lane;
		ids[i] = r->id;
	}
	return err ? err : (int)count;
}

struct mhc_request *mhc_request_find(struct mhost *s, uint64_t id)
{
	for (struct mhc_request *r = s->requests; r; r = r->next)
		if (r->id == id)
			return r;
	return NULL;
}

MHC_PUBLIC int mhost_cancel(struct mhost *s, uint64_t id)
{
	struct mhc_request *r = mhc_request_find(s, id);
	struct mhs_ref ref = { id };
	struct mhs_piece piece = { &ref, sizeof(ref) };

	if (!r)
		return mhc_fail(s, -ENOENT, "request %llu is not open", (unsigned long long)id);
	r->flags |= MHOST_NO_REPLAY;
	if (!r->lane)
		return 0;
	if (mhs_ring_put(&r->lane->submit, MHS_REC_CANCEL, &piece, 1))
		return mhc_fail(s, MHOST_E_BUSY, "the ring to the worker is full: try again");
	if (mhs_ring_should_wake(&r->lane->submit))
		mhc_lane_ring(s, r->lane);
	return 0;
}

void mhc_request_free(struct mhc_request **r)
{
	if (!*r)
		return;
	if ((*r)->body != (uint8_t *)&(*r)->ping)
		free((*r)->body);
	free(*r);
	*r = NULL;
}

/* The caller may still read the event that this request owns: free it at the next call. */
void mhc_request_close(struct mhost *s, struct mhc_request *r)
{
	struct mhc_request **at = &s->requests;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	if (r->lane)
		r->lane->open_count--;
	r->lane = NULL;
	s->open_count--;
	mhc_request_free(&s->finished);
	s->finished = r;
}
