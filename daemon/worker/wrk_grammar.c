/* SPDX-License-Identifier: MIT */
/* wrk_grammar.c: compile a request's grammar, choose tokens by it. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gra_regex.h"
#include "gra_schema.h"
#include "wrk.h"

#define TRIES	16u		/* likeliest tokens, before all are looked through */

/* ---- reading -------------------------------------------------------------------------------------- */

/* The grammar as GBNF: @text itself, or written into @made. */
static int write_out(struct gra_text *made, uint32_t kind, const char *text, size_t bytes,
		     struct gra_error *error)
{
	int err;

	switch (kind) {
	case MHS_GRAMMAR_REGEX:
		gra_text_put(made, "root ::= ");
		err = gra_regex(made, text, bytes, false, false, error);
		gra_text_put(made, "\n");
		return err;
	case MHS_GRAMMAR_SCHEMA:
		return gra_schema(made, text, bytes, error);
	case MHS_GRAMMAR_JSON:
		return gra_schema_any_object(made, error);
	default:
		return 0;
	}
}

static int compile(struct wrk_grammar *grammar, uint32_t kind, const char *text, size_t bytes,
		   struct gra_error *error)
{
	struct gra_text made = { 0 };
	int err = write_out(&made, kind, text, bytes, error);

	if (!err)
		err = gra_compile(&grammar->grammar, made.data ? made.data : text,
				  made.data ? made.bytes : bytes, error);
	free(made.data);
	return err;
}

const char *wrk_grammar_read(struct wrk_request *r, char text[MHS_MESSAGE_BYTES])
{
	const char *source = (const char *)r->payload + r->rq.stop_bytes + r->rq.prompt_bytes +
			     r->rq.adapter_count * sizeof(struct mhs_adapter_ref);
	struct gra_error error = { "" };
	int err;

	r->grammar = calloc(1, sizeof(*r->grammar));
	if (!r->grammar)
		return "out of memory for the grammar";
	err = compile(r->grammar, r->rq.grammar, source, r->rq.grammar_bytes, &error);
	if (!err)
		return NULL;
	snprintf(text, MHS_MESSAGE_BYTES, "grammar: %s", error.text[0] ? error.text : strerror(-err));
	return text;
}

void wrk_grammar_reset(struct wrk_grammar *grammar)
{
	if (!grammar)
		return;
	gra_state_free(&grammar->state);
	free(grammar->logits);
	free(grammar->allowed);
	grammar->logits = NULL;
	grammar->allowed = NULL;
}

void wrk_grammar_free(struct wrk_grammar **grammar)
{
	if (!*grammar)
		return;
	wrk_grammar_reset(*grammar);
	gra_free(&(*grammar)->grammar);
	free(*grammar);
	*grammar = NULL;
}

/* ---- the reply ------------------------------------------------------------------------------------ */

static const void *token_bytes(const void *of, uint32_t id, uint32_t *bytes)
{
	const struct wrk_version *v = of;

	if (wrk_version_ends(v, id) || eng_tok_is_special(v->tok, id))
		return NULL;
	return eng_tok_bytes(v->tok, id, bytes);
}

static int begin(struct wrk_grammar *grammar, struct wrk_version *v)
{
	uint32_t vocab = v->model.config.vocab_count;

	wrk_grammar_reset(grammar);
	grammar->logits = malloc(vocab * sizeof(*grammar->logits));
	grammar->allowed = malloc((vocab + 63) / 64 * sizeof(*grammar->allowed));
	if (!grammar->logits || !grammar->allowed)
		return -ENOMEM;
	return gra_state_new(&grammar->state, grammar->grammar);
}

void wrk_grammar_begin(struct wrk *w, struct wrk_request *r, struct wrk_version *v)
{
	uint64_t least = gra_least_bytes(r->grammar->grammar);

	if (least > r->max_tokens)
		wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_INVALID,
				"max_tokens is %u, the shortest reply by the grammar has %llu bytes: ask for "
				"as many tokens", r->max_tokens, (unsigned long long)least);
	else if (begin(r->grammar, v))
		wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_INTERNAL, "out of memory for the grammar");
}

/* Tokens that may come after the one to be chosen: each is a byte of what is missing at least. */
static uint64_t room_of(const struct wrk_request *r)
{
	return r->max_tokens - (r->token_count - r->prompt_count) - 1;
}

static bool may_end(const struct wrk_request *r)
{
	return gra_may_end(r->grammar->state) && !(r->rq.flags & MHS_REQ_IGNORE_EOS);
}

static bool allows(struct wrk_request *r, uint32_t token)
{
	uint32_t bytes = 0;
	const void *text;

	if (wrk_version_ends(r->version, token))
		return may_end(r);
	text = token_bytes(r->version, token, &bytes);
	return text && gra_allows(r->grammar->state, text, bytes, room_of(r));
}

/* Without what the grammar does not allow. 0, -ENODATA or -ENOMEM. */
static int mask(struct wrk_request *r, float *logits)
{
	struct wrk_version *v = r->version;
	uint32_t vocab = v->model.config.vocab_count, count = eng_tok_count(v->tok);
	uint64_t *allowed = r->grammar->allowed;
	int64_t left;

	count = count < vocab ? count : vocab;
	if (!v->vocab && gra_vocab_new(&v->vocab, v, token_bytes, count))
		return -ENOMEM;
	left = gra_mask(r->grammar->state, v->vocab, room_of(r), allowed);
	if (left < 0)
		return (int)left;
	for (uint32_t id = 0; id < vocab; id++) {
		if (id < count && allowed[id / 64] >> (id % 64) & 1)
			continue;
		if (may_end(r) && wrk_version_ends(v, id))
			left++;
		else
			logits[id] = -INFINITY;
	}
	return left ? 0 : -ENODATA;
}

/* From a copy: the sampler overwrites what it is given. */
static int64_t draw(struct wrk_request *r, const struct eng_sampling *params, const float *logits)
{
	float *copy = r->grammar->logits;

	memcpy(copy, logits, r->version->model.config.vocab_count * sizeof(*copy));
	return eng_sample(r->version->sampler, params, copy, r->tokens, r->token_count, &r->rng);
}

static int64_t choose(struct wrk_request *r, const struct eng_sampling *params, float *logits)
{
	int64_t token;
	int err;

	for (uint32_t i = 0; i < TRIES; i++) {
		token = draw(r, params, logits);
		if (token < 0 && i)
			break;			/* none is left: the walk says so */
		if (token < 0 || allows(r, (uint32_t)token))
			return token;
		logits[token] = -INFINITY;
	}
	err = mask(r, logits);
	return err ? err : draw(r, params, logits);
}

int64_t wrk_grammar_sample(struct wrk_request *r, const struct eng_sampling *params, float *logits)
{
	int64_t token = choose(r, params, logits);
	const void *text;
	uint32_t bytes = 0;
	int err;

	if (token < 0 || wrk_version_ends(r->version, (uint32_t)token))
		return token;
	text = token_bytes(r->version, (uint32_t)token, &bytes);
	err = gra_push(r->grammar->state, text, bytes);
	return err ? err : token;
}

bool wrk_grammar_is_over(const struct wrk_grammar *grammar, bool full)
{
	return full ? gra_may_end(grammar->state) : gra_is_over(grammar->state);
}
