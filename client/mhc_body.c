/* SPDX-License-Identifier: MIT */
/* mhc_body.c: a request as it lies in a ring. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mhc_priv.h"

size_t mhc_prompt_bytes(const struct mhost_request *rq)
{
	if (rq->tokens)
		return (size_t)rq->token_count * sizeof(uint32_t);
	if (rq->messages)
		return rq->messages_bytes ? rq->messages_bytes : strlen(rq->messages);
	if (!rq->text)
		return 0;
	return rq->text_bytes ? rq->text_bytes : strlen(rq->text);
}

static size_t stop_bytes(const struct mhost_request *rq)
{
	size_t total = 0;

	for (uint32_t i = 0; i < rq->stop_count; i++)
		total += sizeof(uint32_t) + strlen(rq->stops[i]);
	return total;
}

static size_t adapter_bytes(const struct mhost_request *rq)
{
	return rq->adapter_count * sizeof(struct mhs_adapter_ref);
}

size_t mhc_grammar_bytes(const struct mhost_request *rq)
{
	if (!rq->grammar || rq->grammar_kind == MHOST_GRAMMAR_NONE)
		return 0;
	return rq->grammar_bytes ? rq->grammar_bytes : strlen(rq->grammar);
}

static size_t bias_bytes(const struct mhost_request *rq)
{
	_Static_assert(sizeof(struct mhost_bias) == sizeof(struct mhs_bias), "the same two words");
	return rq->bias_count * sizeof(struct mhs_bias);
}

/* All but the lists, whose counts are bounded. */
size_t mhc_body_bytes(const struct mhost_request *rq)
{
	return sizeof(struct mhs_request) + mhc_prompt_bytes(rq) + stop_bytes(rq) + adapter_bytes(rq) +
	       mhc_grammar_bytes(rq);
}

static int name_copy(struct mhost *s, char *to, size_t cap, const char *from, const char *what)
{
	if (from && strlen(from) >= cap)
		return mhc_fail(s, MHOST_E_INVALID, "%s: longer than %zu bytes", what, cap - 1);
	if (from)
		strcpy(to, from);
	return 0;
}

static uint32_t wire_flags(const struct mhost_request *rq)
{
	return (rq->tokens ? MHS_REQ_TOKENS : 0u) | (rq->messages ? MHS_REQ_MESSAGES : 0u) |
	       (rq->flags & MHOST_IGNORE_EOS ? MHS_REQ_IGNORE_EOS : 0u) |
	       (rq->flags & MHOST_NO_SPECIAL ? MHS_REQ_NO_SPECIAL : 0u) |
	       (rq->flags & MHOST_LOGPROBS ? MHS_REQ_LOGPROBS : 0u) |
	       (rq->flags & MHOST_NO_SPECULATE ? MHS_REQ_NO_DRAFT : 0u) |
	       (rq->flags & MHOST_RAW ? MHS_REQ_RAW : 0u) |
	       (rq->flags & MHOST_SHOW_SPECIAL ? MHS_REQ_SHOW_SPECIAL : 0u);
}

static void numbers_copy(struct mhs_request *to, const struct mhost_request *rq)
{
	to->session_key = rq->session_key;
	to->seed = rq->seed;
	to->flags = wire_flags(rq);
	to->max_tokens = rq->max_tokens;
	to->top_k = rq->top_k;
	to->top_count = rq->top_count;
	to->stop_count = rq->stop_count;
	to->stop_bytes = (uint32_t)stop_bytes(rq);
	to->prompt_bytes = (uint32_t)mhc_prompt_bytes(rq);
	to->deadline_ms = rq->deadline_ms;
	to->temperature = rq->temperature;
	to->top_p = rq->top_p;
	to->min_p = rq->min_p;
	to->repeat_penalty = rq->repeat_penalty;
	to->repeat_last = rq->repeat_last;
	to->adapter_count = rq->adapter_count;
	to->grammar = rq->grammar_kind;
	to->grammar_bytes = (uint32_t)mhc_grammar_bytes(rq);
	to->frequency_penalty = rq->frequency_penalty;
	to->presence_penalty = rq->presence_penalty;
	to->dry_multiplier = rq->dry_multiplier;
	to->dry_base = rq->dry_base;
	to->dry_allowed = rq->dry_allowed;
	to->dry_last = rq->dry_last;
	to->dynatemp_range = rq->dynatemp_range;
	to->dynatemp_exponent = rq->dynatemp_exponent;
	to->top_n_sigma = rq->top_n_sigma;
	to->typical_p = rq->typical_p;
	to->xtc_probability = rq->xtc_probability;
	to->xtc_threshold = rq->xtc_threshold;
	to->mirostat_tau = rq->mirostat_tau;
	to->mirostat_eta = rq->mirostat_eta;
	to->min_tokens = rq->min_tokens;
	to->bias_count = rq->bias_count;
	to->stop_token_count = rq->stop_token_count;
	to->pooling = rq->pooling;
}

static uint8_t *put(uint8_t *at, const void *data, size_t bytes)
{
	if (bytes)
		memcpy(at, data, bytes);
	return at + bytes;
}

static void payload_copy(uint8_t *at, const struct mhost_request *rq)
{
	for (uint32_t i = 0; i < rq->stop_count; i++) {
		uint32_t n = (uint32_t)strlen(rq->stops[i]);

		at = put(at, &n, sizeof(n));
		at = put(at, rq->stops[i], n);
	}
	at = put(at, rq->tokens ? (const void *)rq->tokens : rq->messages ? rq->messages : rq->text, mhc_prompt_bytes(rq));
	for (uint32_t i = 0; i < rq->adapter_count; i++) {
		struct mhs_adapter_ref ref = { .scale = rq->adapters[i].scale };

		strcpy(ref.name, rq->adapters[i].name);
		strcpy(ref.semver, rq->adapters[i].version ? rq->adapters[i].version : "");
		at = put(at, &ref, sizeof(ref));
	}
	at = put(at, rq->grammar, mhc_grammar_bytes(rq));
	at = put(at, rq->bias, bias_bytes(rq));
	put(at, rq->stop_tokens, rq->stop_token_count * sizeof(uint32_t));
}

int mhc_body_make(struct mhost *s, struct mhc_request *r, const struct mhost_request *rq)
{
	struct mhs_request head = { .request_id = r->id };
	int err;

	if (rq->kind == MHOST_PING) {
		r->ping.request_id = r->id;
		r->body = (uint8_t *)&r->ping;
		r->body_bytes = sizeof(r->ping);
		return 0;
	}
	numbers_copy(&head, rq);
	err = name_copy(s, head.model, sizeof(head.model), rq->model, "model");
	if (!err)
		err = name_copy(s, head.semver, sizeof(head.semver), rq->version, "version");
	if (err)
		return err;
	r->body_bytes = (uint32_t)(mhc_body_bytes(rq) + bias_bytes(rq) + rq->stop_token_count * sizeof(uint32_t));
	r->body = malloc(r->body_bytes);
	if (!r->body)
		return mhc_fail(s, -ENOMEM, "out of memory");
	memcpy(r->body, &head, sizeof(head));
	payload_copy(r->body + sizeof(head), rq);
	return 0;
}
