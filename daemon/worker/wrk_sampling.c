/* SPDX-License-Identifier: MIT */
/* wrk_sampling.c: what a request says of the choice of tokens, for the sampler. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wrk.h"

/* ---- what comes with the request -------------------------------------------------------------------- */

static const uint8_t *biases_at(const struct mhs_request *rq, const uint8_t *payload)
{
	return payload + rq->stop_bytes + rq->prompt_bytes +
	       rq->adapter_count * sizeof(struct mhs_adapter_ref) + rq->grammar_bytes;
}

const char *wrk_sampling_check(const struct mhs_request *rq, const uint8_t *payload,
			       char text[MHS_MESSAGE_BYTES])
{
	const uint8_t *at = biases_at(rq, payload);

	for (uint32_t i = 0; i < rq->bias_count; i++, at += sizeof(struct mhs_bias)) {
		struct mhs_bias bias;

		memcpy(&bias, at, sizeof(bias));
		if (isnan(bias.bias) || bias.bias > 1e6f) {
			snprintf(text, MHS_MESSAGE_BYTES, "bias of token %u is %g, must be -inf..1000000", bias.token,
				 (double)bias.bias);
			return text;
		}
	}
	return NULL;
}

int wrk_sampling_init(struct wrk_request *r)
{
	const struct mhs_request *rq = &r->rq;
	const uint8_t *at = biases_at(rq, r->payload);
	size_t bytes = rq->bias_count * sizeof(*r->bias);

	_Static_assert(sizeof(struct eng_bias) == sizeof(struct mhs_bias), "the same two words");
	if (!rq->bias_count && !rq->stop_token_count)
		return 0;
	r->bias = malloc(bytes + 1);
	r->stop_tokens = malloc(rq->stop_token_count * sizeof(*r->stop_tokens) + 1);
	if (!r->bias || !r->stop_tokens)
		return -ENOMEM;
	memcpy(r->bias, at, bytes);
	memcpy(r->stop_tokens, at + bytes, rq->stop_token_count * sizeof(*r->stop_tokens));
	return 0;
}

/* ---- for the sampler ---------------------------------------------------------------------------------- */

static bool is_breaker(const struct wrk_version *v, uint32_t token)
{
	uint32_t bytes = 0;
	const char *text = eng_tok_bytes(v->tok, token, &bytes);

	for (uint32_t i = 0; text && i < bytes; i++)
		if (strchr("\n:\"*", text[i]) && text[i])
			return true;
	return eng_tok_is_special(v->tok, token) || wrk_version_ends(v, token);
}

/* Tokens that end a sequence for DRY: what p-e-w and llama.cpp take, line breaks, colons, quotes and stars. */
static int breakers_make(struct wrk_version *v)
{
	uint32_t vocab = v->model.config.vocab_count;

	v->breakers = calloc((vocab + 63) / 64, sizeof(*v->breakers));
	for (uint32_t token = 0; v->breakers && token < vocab; token++)
		if (is_breaker(v, token))
			v->breakers[token / 64] |= UINT64_C(1) << (token % 64);
	return v->breakers ? 0 : -ENOMEM;
}

int wrk_sampling_begin(struct wrk_request *r, struct wrk_version *v)
{
	return r->rq.dry_multiplier > 0 && !v->breakers ? breakers_make(v) : 0;
}

struct eng_sampling wrk_sampling_of(const struct wrk_request *r)
{
	const struct mhs_request *rq = &r->rq;

	return (struct eng_sampling){
		.temperature = rq->temperature,
		.top_k = rq->top_k,
		.top_p = rq->top_p,
		.min_p = rq->min_p,
		.repeat_penalty = rq->repeat_penalty,
		.repeat_last = rq->repeat_last,
		.frequency_penalty = rq->frequency_penalty,
		.presence_penalty = rq->presence_penalty,
		.dry_multiplier = rq->dry_multiplier,
		.dry_base = rq->dry_base,
		.dry_allowed = rq->dry_allowed,
		.dry_last = rq->dry_last,
		.dry_breakers = r->version->breakers,
		.dynatemp_range = rq->dynatemp_range,
		.dynatemp_exponent = rq->dynatemp_exponent,
		.top_n_sigma = rq->top_n_sigma,
		.typical_p = rq->typical_p,
		.xtc_probability = rq->xtc_probability,
		.xtc_threshold = rq->xtc_threshold,
		.mirostat_tau = rq->mirostat_tau,
		.mirostat_eta = rq->mirostat_eta,
		.bias = r->bias,
		.bias_count = rq->bias_count,
	};
}

bool wrk_sampling_ends(const struct wrk_request *r, uint32_t token)
{
	for (uint32_t i = 0; i < r->rq.stop_token_count; i++)
		if (r->stop_tokens[i] == token)
			return true;
	return !(r->rq.flags & MHS_REQ_IGNORE_EOS) && wrk_version_ends(r->version, token);
}

void wrk_sampling_hold(const struct wrk_request *r, float *logits)
{
	const struct mhs_image_header *image = r->version->image;
	uint32_t vocab = r->version->model.config.vocab_count;

	if (r->token_count - r->prompt_count >= r->rq.min_tokens)
		return;
	for (uint32_t i = 0; i < image->eos_count; i++)
		if (image->eos_ids[i] < vocab)
			logits[image->eos_ids[i]] = -INFINITY;
	for (uint32_t i = 0; i < r->rq.stop_token_count; i++)
		if (r->stop_tokens[i] < vocab)
			logits[r->stop_tokens[i]] = -INFINITY;
}
