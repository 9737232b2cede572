/* SPDX-License-Identifier: MIT */
/*
 * wrk_admit.c: from the queue into the batch. In order: pin a version and its adapters, turn the prompt into tokens,
 * check it against the limits, take what the prefix cache has, see whether there is room for the
 * rest.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mhs_form.h"
#include "probe.h"
#include "wrk.h"

static void refuse(struct wrk *w, struct wrk_request *r, uint32_t error, const char *what)
{
	wrk_request_end(w, r, MHS_END_ERROR, error, "%s", what);
}

/* The route's choice, pinned; negative errno. */
static int pin_routed(struct wrk *w, struct wrk_request *r)
{
	int model = wrk_board_find(w, r->rq.model, ""), index;
	struct mhs_route route;

	if (model < 0)
		return model;
	index = mhs_pin_route(w->board, w->slot, (uint32_t)model,
			      wrk_trial_point(w, r, (uint32_t)model), &route);
	r->place.candidate = index > 0 && (uint32_t)index != route.active;
	return index;
}

/* The version alone; as pin(). */
static struct wrk_version *pin_version(struct wrk *w, struct wrk_request *r)
{
	const char *model = r->rq.model;
	struct wrk_version *v;
	int index;

	if (r->rq.semver[0]) {
		v = wrk_version_by_name(w, model, r->rq.semver);
		if (v && mhs_pin_version(w->board, w->slot, v->index) == 0)
			return v;
		wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_NO_VERSION,
				"%s@%s is not resident: load it first", model, r->rq.semver);
		return NULL;
	}
	index = pin_routed(w, r);
	if (index == -EAGAIN)
		return NULL;
	if (index < 0) {
		wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_NO_MODEL,
				"model \"%s\" is unknown or has no active version: activate one",
				model);
		return NULL;
	}
	v = wrk_version_by_index(w, (uint32_t)index);
	if (!v) {
		mhs_unpin(w->slot, (uint32_t)index);
		refuse(w, r, MHS_ERR_BUSY, "this worker has not attached the version yet");
	}
	return v;
}

static void unpin(struct wrk *w, struct wrk_request *r, const struct wrk_version *v)
{
	wrk_set_unpin(w, r);
	mhs_unpin(w->slot, v->index);
}

/*
 * Pins all. NULL with r ended or waiting, or NULL with r still queued when the next turn may see a new
 * route.
 */
static struct wrk_version *pin(struct wrk *w, struct wrk_request *r)
{
	struct wrk_version *v = pin_version(w, r);

	if (!v || wrk_set_pin(w, r, v))
		return v;
	mhs_unpin(w->slot, v->index);
	return NULL;
}

/* Ids of @text; r->tokens gets room for @extra more. 0 or negative errno. */
static int encode(struct wrk_request *r, struct wrk_version *v, const char *text, size_t bytes,
		  uint32_t extra, uint32_t limit)
{
	bool whole = r->rq.flags & (MHS_REQ_NO_SPECIAL | MHS_REQ_MESSAGES);
	uint32_t flags = whole ? 0 : ENG_ENCODE_AFFIXES;
	int64_t n = eng_tok_encode(v->tok, text, bytes, flags, NULL, 0);

	if (n < 0)
		return (int)n;
	r->prompt_count = (uint32_t)n;
	if (n > limit)
		return -E2BIG;
	r->tokens = malloc(((size_t)n + extra + 1) * sizeof(*r->tokens));
	if (!r->tokens)
		return -ENOMEM;
	eng_tok_encode(v->tok, text, bytes, flags, r->tokens, (size_t)n);
	return 0;
}

/* The same of a chat request: special tokens are the template's, none is added. */
static int encode_messages(struct wrk *w, struct wrk_request *r, struct wrk_version *v, uint32_t extra,
			   uint32_t limit)
{
	const char *json = (const char *)r->payload + r->rq.stop_bytes;
	char message[MHS_MESSAGE_BYTES], *text;
	size_t bytes;
	int err = wrk_messages_render(v, json, r->rq.prompt_bytes, &text, &bytes, message);

	if (err) {
		refuse(w, r, err == -ENOMEM ? MHS_ERR_INTERNAL : MHS_ERR_INVALID, message);
		return err;
	}
	r->form = wrk_messages_form(v);
	r->form_flags = mhs_form_flags(text, bytes);
	err = encode(r, v, text, bytes, extra, limit);
	free(text);
	return err;
}

static int copy_ids(struct wrk_request *r, uint32_t vocab, uint32_t extra, uint32_t limit)
{
	r->prompt_count = r->rq.prompt_bytes / (uint32_t)sizeof(uint32_t);
	if (r->prompt_count > limit)
		return -E2BIG;
	r->tokens = malloc(((size_t)r->prompt_count + extra + 1) * sizeof(*r->tokens));
	if (!r->tokens)
		return -ENOMEM;
	memcpy(r->tokens, r->payload + r->rq.stop_bytes, r->rq.prompt_bytes);
	for (uint32_t i = 0; i < r->prompt_count; i++)
		if (r->tokens[i] >= vocab)
			return -ERANGE;
	return 0;
}

static uint32_t context_of(const struct wrk *w, const struct wrk_version *v)
{
	uint32_t most = v->model.config.context_max;

	return w->limits.context && w->limits.context < most ? w->limits.context : most;
}

/* Tokenizing alone is not bound by the context. */
static bool prompt_take(struct wrk *w, struct wrk_request *r, struct wrk_version *v)
{
	bool runs = wrk_takes_steps(r->kind);
	uint32_t context = context_of(w, v), vocab = v->model.config.vocab_count;
	uint32_t limit = runs ? context : UINT32_MAX, extra = runs ? context : 0;
	const char *text = (const char *)r->payload + r->rq.stop_bytes;
	int err = r->rq.flags & MHS_REQ_TOKENS ? copy_ids(r, vocab, extra, limit) :
		  r->rq.flags & MHS_REQ_MESSAGES ? encode_messages(w, r, v, extra, limit) :
		  encode(r, v, text, r->rq.prompt_bytes, extra, limit);

	r->token_count = r->prompt_count;
	if (r->state == WRK_ENDED)
		return false;
	if (err == -E2BIG)
		wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_TOO_LONG,
				"prompt has %u tokens, the context holds %u: shorten it", r->prompt_count,
				context);
	else if (err == -ERANGE)
		wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_INVALID,
				"prompt: a token id is outside the vocabulary: limit 0..%u", vocab - 1);
	else if (err == -EINVAL)
		refuse(w, r, MHS_ERR_INVALID, "prompt: the tokenizer gave up (match limit)");
	else if (err)
		refuse(w, r, MHS_ERR_INTERNAL, "out of memory for the prompt");
	else if (runs && !r->prompt_count)
		refuse(w, r, MHS_ERR_INVALID, "prompt is empty: give at least one token");
	return r->state != WRK_ENDED;
}

static bool lengths_fit(struct wrk *w, struct wrk_request *r, struct wrk_version *v)
{
	uint32_t context = context_of(w, v), left = context - r->prompt_count;
	uint32_t most = w->limits.max_tokens;

	if (wrk_only_reads(r->kind))
		return true;
	r->max_tokens = r->rq.max_tokens ? r->rq.max_tokens : left;
	if (most && r->rq.max_tokens > most)
		wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_INVALID,
				"max_tokens is %u, the host allows %u", r->rq.max_tokens, most);
	else if (!left || r->max_tokens > left)
		wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_TOO_LONG,
				"prompt of %u and max_tokens of %u exceed the context of %u tokens",
				r->prompt_count, r->rq.max_tokens, context);
	else if (most && r->max_tokens > most)
		r->max_tokens = most;
	return r->state != WRK_ENDED;
}

/* Ids do not change while the request waits, unless the route does. */
static bool prompt_keep(struct wrk *w, struct wrk_request *r, struct wrk_version *v)
{
	if (r->tokens && r->tokens_of == v->serial)
		return true;
	free(r->tokens);
	r->tokens = NULL;
	r->tokens_of = v->serial;
	return prompt_take(w, r, v);
}

/* 0; -EBUSY: stays queued; other: ended. */
static int room_take(struct wrk *w, struct wrk_request *r, struct wrk_version *v)
{
	uint32_t tokens = r->prompt_count + r->max_tokens;
	int err;

	if (!wrk_pool_holds(w, v->pool, wrk_pages_for(tokens))) {
		wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_TOO_LONG,
				"%u tokens need %llu bytes of KV cache, kv_bytes is %llu", tokens,
				(unsigned long long)wrk_pages_for(tokens) *
				eng_kv_page_bytes(&v->model.config),
				(unsigned long long)w->limits.kv_bytes);
		return -ENOMEM;
	}
	err = wrk_room_init(r, tokens);
	if (err) {
		refuse(w, r, MHS_ERR_INTERNAL, "out of memory for the page table");
		return err;
	}
	r->version = v;
	r->space = wrk_space_get(w, v, r->set, r->lane->uid);
	wrk_prefix_follow(w, r);
	if (!w->running_count || (!wrk_room_waited(w) && wrk_room_for(w, r, v)))
		return 0;
	wrk_room_drop(r);
	wrk_space_put(&r->space);
	r->computed = r->cached_count = 0;
	r->version = NULL;
	return -EBUSY;
}

static void begin_fill(struct wrk *w, struct wrk_request *r, const struct wrk_version *v)
{
	r->begin = (struct mhs_begin){
		.request_id = r->rq.request_id,
		.epoch = w->epoch,
		.version_index = v->index,
		.prompt_count = r->prompt_count,
		.adapter_count = r->set ? r->set->count : 0,
		.form = (uint16_t)r->form,
		.form_flags = (uint16_t)r->form_flags,
	};
	memcpy(r->begin.model, v->image->model, sizeof(r->begin.model));
	memcpy(r->begin.semver, v->image->semver, sizeof(r->begin.semver));
	memcpy(r->begin.content_hash, v->image->content_hash, sizeof(r->begin.content_hash));
	r->begin_epoch = w->epoch;
}

/* All of the text at once into private memory; the flush sends it as the ring has room. */
static void detokenize(struct wrk *w, struct wrk_request *r, struct wrk_version *v)
{
	size_t cap = 2 * ENG_TOK_FLUSH_MAX;
	uint32_t bytes;
	int64_t n;

	for (uint32_t i = 0; i < r->prompt_count; i++)
		cap += eng_tok_bytes(v->tok, r->tokens[i], &bytes) ? bytes * (size_t)3 : 0;
	r->text = cap > UINT32_MAX ? NULL : malloc(cap);
	if (!r->text) {
		refuse(w, r, MHS_ERR_INTERNAL, "out of memory for the text");
		return;
	}
	eng_tok_stream_init(&r->stream, false);
	for (uint32_t i = 0; i < r->prompt_count; i++) {
		n = eng_tok_stream_push(v->tok, &r->stream, r->tokens[i], r->text + r->text_bytes,
					cap - r->text_bytes);
		r->text_bytes += n > 0 ? (uint32_t)n : 0;
	}
	n = eng_tok_stream_finish(&r->stream, r->text + r->text_bytes, cap - r->text_bytes);
	r->text_bytes += n > 0 ? (uint32_t)n : 0;
	wrk_request_end(w, r, MHS_END_STOP, MHS_ERR_NONE, "%s", "");
}

/* What needs no engine step is answered here, under the pin. */
static void answer_now(struct wrk *w, struct wrk_request *r, struct wrk_version *v)
{
	if (r->kind == MHS_REC_DETOKENIZE)
		detokenize(w, r, v);
	else
		wrk_request_end(w, r, MHS_END_STOP, MHS_ERR_NONE, "%s", "");
}

static int scratch_new(struct wrk *w, struct wrk_request *r, const struct wrk_version *v)
{
	/* What a stop string holds back, then the largest token, then what the stream holds. */
	r->text_cap = MHS_STOP_BYTES + v->token_bytes_max * 3 + 2 * ENG_TOK_FLUSH_MAX;
	r->text = malloc(r->text_cap);
	if (r->kind == MHS_REC_SCORE)
		r->scores = malloc(r->prompt_count * sizeof(*r->scores));
	if (!r->text || (r->kind == MHS_REC_SCORE && !r->scores) || wrk_embed_begin(w, r, v))
		return -ENOMEM;
	if (wrk_only_reads(r->kind) || !w->limits.speculate || r->rq.flags & MHS_REQ_NO_DRAFT)
		return 0;
	return wrk_draft_init(&r->draft, r->tokens, r->prompt_count,
			      r->prompt_count + r->max_tokens);
}

static void count_start(struct wrk *w, const struct wrk_request *r)
{
	struct wrk_part parts[WRK_PARTS_MAX];
	uint32_t count = wrk_set_parts(r, parts);

	for (uint32_t i = 0; i < count; i++) {
		struct mhs_stats_row *row = wrk_part_row(w, &parts[i]);

		mhs_slot_use(w->slot, parts[i].index, r->admitted_ns);
		mhs_stats_add(&row->requests, 1);
		mhs_stats_add(&row->prompt_tokens, r->prompt_count);
		mhs_hist_add(row->hist[MHS_HIST_QUEUE], r->admitted_ns - r->arrived_ns);
	}
}

static void start(struct wrk *w, struct wrk_request *r, struct wrk_version *v)
{
	wrk_queue_remove(w, r);
	w->running[w->running_count++] = r;
	r->state = WRK_PREFILL;
	eng_rng_init(&r->rng, r->rq.seed);
	eng_tok_stream_init(&r->stream, !(r->rq.flags & MHS_REQ_SHOW_SPECIAL));
	count_start(w, r);
	probe_admit(r->rq.request_id, v->index, r->prompt_count, r->admitted_ns - r->arrived_ns);
	if (r->kind != MHS_REC_SCORE)
		return;
	r->scores[r->scores_done++] = NAN;	/* nothing comes before the first token */
	if (r->prompt_count > 1)
		return;
	wrk_trial_show(w, r);
	wrk_request_end(w, r, MHS_END_STOP, MHS_ERR_NONE, "%s", "");
}

/* Undo room_take() of a request that ends before it starts. */
static void room_give(struct wrk_request *r)
{
	wrk_room_drop(r);
	wrk_space_put(&r->space);
	r->version = NULL;
}

bool wrk_admit_one(struct wrk *w, struct wrk_request *r)
{
	bool runs = wrk_takes_steps(r->kind);
	struct wrk_version *v;
	int err = 0;

	if (!mhs_ring_has_room(&r->lane->event, sizeof(struct mhs_begin) + r->rq.adapter_count *
			       (uint32_t)sizeof(struct mhs_adapter_used)))
		return true;
	v = pin(w, r);
	if (!v)
		return true;
	if (prompt_keep(w, r, v) && runs && lengths_fit(w, r, v))
		err = room_take(w, r, v);
	if (err == -EBUSY) {
		unpin(w, r, v);
		return false;
	}
	r->admitted_ns = wrk_now_ns();
	if (r->state != WRK_ENDED)
		begin_fill(w, r, v);
	r->on_trial = (r->place.candidate || wrk_set_is_candidate(r->set)) && runs && wrk_trial_may_hold(r);
	if (r->state != WRK_ENDED && !r->on_trial)
		wrk_request_flush(w, r);
	if (r->state != WRK_ENDED && !runs)
		answer_now(w, r, v);
	if (r->state != WRK_ENDED && (scratch_new(w, r, v) || wrk_sampling_begin(r, v)))
		refuse(w, r, MHS_ERR_INTERNAL, "out of memory");
	if (r->state != WRK_ENDED && r->grammar)
		wrk_grammar_begin(w, r, v);
	if (r->state == WRK_ENDED) {
		room_give(r);
		unpin(w, r, v);
	} else {
		start(w, r, v);
	}
	return true;
}
