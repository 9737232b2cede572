/* SPDX-License-Identifier: MIT */
/* cmd_sampling.c: options of further ways to choose tokens. */
#include "cmd_sampling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NUMBERS_MAX	4

struct number {
	size_t offset;			/* in struct mhost_request; a float unless whole */
	bool whole;
	double low, high;
};

#define FLOAT(field, low, high)	{ offsetof(struct mhost_request, field), false, low, high }
#define WHOLE(field)		{ offsetof(struct mhost_request, field), true, 0, UINT32_MAX }

/* The numbers of each option; all but the first may be left out. */
static const struct {
	const char *limit;
	struct number numbers[NUMBERS_MAX];
	uint32_t count;
} options[] = {
	{ "-100..100", { FLOAT(frequency_penalty, -100, 100) }, 1 },
	{ "-100..100", { FLOAT(presence_penalty, -100, 100) }, 1 },
	{ "0..100", { FLOAT(top_n_sigma, 0, 100) }, 1 },
	{ "0..1", { FLOAT(typical_p, 0, 1) }, 1 },
	{ "0..4294967295", { WHOLE(min_tokens) }, 1 },
	{ "MULTIPLIER[,BASE[,ALLOWED[,LAST]]], 0..100, 0..100, tokens",
	  { FLOAT(dry_multiplier, 0, 100), FLOAT(dry_base, 0, 100), WHOLE(dry_allowed), WHOLE(dry_last) }, 4 },
	{ "RANGE[,EXPONENT], each 0..100", { FLOAT(dynatemp_range, 0, 100), FLOAT(dynatemp_exponent, 0, 100) }, 2 },
	{ "PROBABILITY[,THRESHOLD], each 0..1", { FLOAT(xtc_probability, 0, 1), FLOAT(xtc_threshold, 0, 1) }, 2 },
	{ "TAU[,ETA], 0..100 and 0..1", { FLOAT(mirostat_tau, 0, 100), FLOAT(mirostat_eta, 0, 1) }, 2 },
	{ "TOKEN:BIAS, up to 1000000 or -inf, 64 of them", { { 0 } }, 0 },
	{ "ids with commas between them, 64 in all", { { 0 } }, 0 },
};

enum { OPTION_BIAS = 9, OPTION_STOP = 10 };

const char *cmd_sampling_limit(int which)
{
	return options[which].limit;
}

static bool take_number(const struct number *n, struct mhost_request *rq, const char *text)
{
	void *to = (char *)rq + n->offset;
	uint64_t whole;

	if (!n->whole)
		return cmd_parse_float(text, n->low, n->high, to);
	if (!cmd_parse_u64(text, 0, UINT32_MAX, &whole))
		return false;
	*(uint32_t *)to = (uint32_t)whole;
	return true;
}

static bool take_numbers(struct mhost_request *rq, int which, const char *text)
{
	char copy[128], *at = copy, *one;
	uint32_t n = 0;

	if (strlen(text) >= sizeof(copy))
		return false;
	strcpy(copy, text);
	while ((one = strsep(&at, ",")))
		if (n == options[which].count || !take_number(&options[which].numbers[n++], rq, one))
			return false;
	return true;
}

static bool take_bias(struct cmd_sampling *s, struct mhost_request *rq, const char *text)
{
	struct mhost_bias *bias = &s->bias[rq->bias_count];
	char id[16];
	const char *colon = strchr(text, ':');
	uint64_t token;

	if (!colon || (size_t)(colon - text) >= sizeof(id) || rq->bias_count == CMD_BIAS_MAX)
		return false;
	memcpy(id, text, (size_t)(colon - text));
	id[colon - text] = 0;
	bias->bias = -INFINITY;
	if (!cmd_parse_u64(id, 0, UINT32_MAX, &token) ||
	    (strcmp(colon + 1, "-inf") && !cmd_parse_float(colon + 1, -1e6, 1e6, &bias->bias)))
		return false;
	bias->token = (uint32_t)token;
	rq->bias_count++;
	return true;
}

static bool take_stop_tokens(struct cmd_sampling *s, struct mhost_request *rq, const char *text)
{
	uint32_t *ids = NULL, count = 0;
	bool good = cmd_parse_ids(text, &ids, &count) && count <= CMD_STOP_TOKENS_MAX - rq->stop_token_count;

	if (good)
		memcpy(s->stop_tokens + rq->stop_token_count, ids, count * sizeof(*ids));
	rq->stop_token_count += good ? count : 0;
	free(ids);
	return good;
}

bool cmd_sampling_take(struct cmd_sampling *s, struct mhost_request *rq, int which, const char *text)
{
	if (which == OPTION_BIAS)
		return take_bias(s, rq, text);
	if (which == OPTION_STOP)
		return take_stop_tokens(s, rq, text);
	return take_numbers(rq, which, text);
}

void cmd_sampling_set(const struct cmd_sampling *s, struct mhost_request *rq)
{
	rq->bias = s->bias;
	rq->stop_tokens = s->stop_tokens;
}
