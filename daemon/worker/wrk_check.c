/* SPDX-License-Identifier: MIT */
/* wrk_check.c: the rules of a request's fields, one table for numbers, then strings and payload. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "wrk.h"

struct float_rule {
	const char *name;
	size_t offset;
	float low, high;	/* inclusive */
};

#define RULE(field, low, high) { #field, offsetof(struct mhs_request, field), low, high }
#define TINY	1e-6f		/* stands for "above zero" */

static const struct float_rule float_rules[] = {
	RULE(temperature, 0.0f, 100.0f),
	RULE(top_p, TINY, 1.0f),
	RULE(min_p, 0.0f, 1.0f - TINY),
	RULE(repeat_penalty, 0.01f, 100.0f),
	RULE(frequency_penalty, -100.0f, 100.0f),
	RULE(presence_penalty, -100.0f, 100.0f),
	RULE(dry_multiplier, 0.0f, 100.0f),
	RULE(dry_base, 0.0f, 100.0f),
	RULE(dynatemp_range, 0.0f, 100.0f),
	RULE(dynatemp_exponent, 0.0f, 100.0f),
	RULE(top_n_sigma, 0.0f, 100.0f),
	RULE(typical_p, 0.0f, 1.0f),
	RULE(xtc_probability, 0.0f, 1.0f),
	RULE(xtc_threshold, 0.0f, 1.0f),
	RULE(mirostat_tau, 0.0f, 100.0f),
	RULE(mirostat_eta, 0.0f, 1.0f),
};

static const char *check_floats(const struct mhs_request *rq, char *text)
{
	for (size_t i = 0; i < sizeof(float_rules) / sizeof(float_rules[0]); i++) {
		const struct float_rule *rule = &float_rules[i];
		float value;

		memcpy(&value, (const char *)rq + rule->offset, sizeof(value));
		if (value >= rule->low && value <= rule->high)	/* false for NaN */
			continue;
		snprintf(text, MHS_MESSAGE_BYTES, "%s is %g, must be in %g..%g", rule->name,
			 (double)value, (double)rule->low, (double)rule->high);
		return text;
	}
	return NULL;
}

bool wrk_name_ok(const char *name, size_t cap)
{
	const char *end = memchr(name, 0, cap);

	if (!end)
		return false;
	for (const char *at = end; at < name + cap; at++)
		if (*at)
			return false;
	return true;
}

static const char *check_counts(const struct mhs_request *rq, char *text)
{
	if (rq->bias_count > MHS_BIAS_MAX || rq->stop_token_count > MHS_STOP_TOKENS_MAX) {
		snprintf(text, MHS_MESSAGE_BYTES, "%u biases and %u stop tokens given, at most %u and %u",
			 rq->bias_count, rq->stop_token_count, MHS_BIAS_MAX, MHS_STOP_TOKENS_MAX);
		return text;
	}
	if (rq->top_count > MHS_TOP_MAX || rq->stop_count > MHS_STOP_MAX) {
		snprintf(text, MHS_MESSAGE_BYTES, "%u alternatives and %u stop strings asked for, "
			 "at most %u and %u", rq->top_count, rq->stop_count, MHS_TOP_MAX,
			 MHS_STOP_MAX);
		return text;
	}
	if (rq->flags & ~(uint32_t)MHS_REQ_ALL)
		return "flags: unknown bits are set";
	if (rq->top_count && !(rq->flags & MHS_REQ_LOGPROBS))
		return "top_count without the logprobs flag";
	return NULL;
}

/* Each stop: uint32_t length, then that many bytes. */
static const char *check_stops(const struct mhs_request *rq, const uint8_t *at)
{
	uint32_t left = rq->stop_bytes;

	for (uint32_t i = 0; i < rq->stop_count; i++) {
		uint32_t bytes;

		if (left < sizeof(bytes))
			return "stop strings are cut";
		memcpy(&bytes, at, sizeof(bytes));
		left -= sizeof(bytes);
		if (!bytes || bytes > MHS_STOP_BYTES)
			return "a stop string is empty or longer than 256 bytes";
		if (bytes > left)
			return "stop strings are cut";
		left -= bytes;
		at += sizeof(bytes) + bytes;
	}
	return left ? "stop strings are followed by something else" : NULL;
}

static const char *check_prompt(const struct mhs_request *rq, uint32_t kind)
{
	bool tokens = rq->flags & MHS_REQ_TOKENS;

	if (kind == MHS_REC_TOKENIZE && tokens)
		return "tokenize takes text";
	if (tokens && rq->flags & MHS_REQ_MESSAGES)
		return "the prompt is tokens and messages";
	if (kind == MHS_REC_DETOKENIZE && !tokens)
		return "detokenize takes tokens";
	if (tokens && rq->prompt_bytes % sizeof(uint32_t))
		return "prompt tokens are cut";
	return NULL;
}

/* These say that the client does not speak the protocol: the lane ends. */
static bool framing_ok(const struct mhs_request *rq, uint32_t payload_bytes)
{
	static const uint8_t zero[sizeof(rq->reserved0)];

	return rq->request_id && !memcmp(rq->reserved0, zero, sizeof(zero)) &&
	       (uint64_t)rq->stop_bytes + rq->prompt_bytes +
	       (uint64_t)rq->adapter_count * sizeof(struct mhs_adapter_ref) + rq->grammar_bytes +
	       (uint64_t)rq->bias_count * sizeof(struct mhs_bias) +
	       (uint64_t)rq->stop_token_count * sizeof(uint32_t) == payload_bytes && rq->grammar < MHS_GRAMMAR_COUNT &&
	       wrk_name_ok(rq->model, MHS_NAME_BYTES) && wrk_name_ok(rq->semver, MHS_SEMVER_BYTES);
}

const char *wrk_request_check(const struct mhs_request *rq, uint32_t kind, uint32_t payload_bytes,
			      const uint8_t *payload, char text[MHS_MESSAGE_BYTES])
{
	const char *wrong;

	if (!framing_ok(rq, payload_bytes))
		return "";
	wrong = wrk_set_check(rq, kind, payload, text);
	if (!wrong)
		wrong = check_floats(rq, text);
	if (!wrong)
		wrong = check_counts(rq, text);
	if (!wrong)
		wrong = wrk_sampling_check(rq, payload, text);
	if (!wrong)
		wrong = check_stops(rq, payload);
	if (!wrong)
		wrong = check_prompt(rq, kind);
	if (!wrong && kind != MHS_REC_EMBED && (rq->pooling || rq->flags & MHS_REQ_RAW))
		wrong = "pooling: only embed pools";
	if (!wrong && rq->pooling >= MHS_POOL_COUNT)
		wrong = "pooling: must be mean, last or first";
	if (!wrong && kind == MHS_REC_EMBED && !rq->prompt_bytes)
		wrong = "prompt is empty: an embedding needs at least one token";
	if (!wrong && rq->grammar && kind != MHS_REC_GENERATE)
		wrong = "grammar: only generate follows one";
	return wrong;
}
