/* SPDX-License-Identifier: MIT */
/* prompts_golden.c: what a case wants back. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "prompts_priv.h"

static int take_expect(const struct prompts_place *at, const json_t *value, struct prompt *p)
{
	int err = value ? prompts_take_ids(at, "expect", value, &p->expect, &p->expect_count) : 0;

	if (!err && p->max_tokens && p->expect_count > p->max_tokens)
		return prompts_refuse(at, "expect: has %u tokens, max_tokens is %u; raise max_tokens",
			      p->expect_count, p->max_tokens);
	return err;
}

/* What "tolerance" says, else the default. */
static int take_tolerance(const struct prompts_place *at, const json_t *value, struct prompt *p)
{
	p->tolerance = value ? json_is_number(value) ? json_number_value(value) : -1 : PROMPTS_TOLERANCE;
	if (!(p->tolerance >= 0 && p->tolerance <= 100))
		return prompts_refuse(at, "tolerance: is no number from 0 to 100; correct it");
	return value && !p->logprobs ? prompts_refuse(at, "tolerance: without logprobs; remove it") : 0;
}

static int take_logprobs(const struct prompts_place *at, const json_t *list, struct prompt *p)
{
	if (!list)
		return 0;
	if (!json_is_array(list) || !p->expect || json_array_size(list) != p->expect_count)
		return prompts_refuse(at, "logprobs: is not a list of one number for each token of expect; correct it");
	p->logprobs = calloc(p->expect_count, sizeof(*p->logprobs));
	if (!p->logprobs)
		return prompts_out_of_memory(at->error);
	for (uint32_t i = 0; i < p->expect_count; i++) {
		const json_t *value = json_array_get(list, i);
		double number = json_is_number(value) ? json_number_value(value) : NAN;

		if (!(number >= -1e6 && number <= 0))
			return prompts_refuse(at, "logprobs: entry %u is no number from -1000000 to 0; correct it", i);
		p->logprobs[i] = (float)number;
	}
	return 0;
}

static int take_bound(const struct prompts_place *at, const json_t *object, struct prompt *p)
{
	const json_t *bound = json_object_get(object, "min_logprob");
	bool found;
	int err = prompts_take_part(at, object, "continuation", "continuation_tokens", &p->continuation,
			    &found);

	if (err)
		return err;
	if (found != !!bound)
		return prompts_refuse(at, "%s: is missing; a bound is a continuation with a min_logprob",
			      found ? "min_logprob" : "continuation");
	if (!bound)
		return 0;
	p->min_logprob = json_is_number(bound) ? json_number_value(bound) : NAN;
	if (!isfinite(p->min_logprob) || p->min_logprob > 0)
		return prompts_refuse(at, "min_logprob: is no number up to 0; correct it");
	return 0;
}

int prompts_take_checks(const struct prompts_place *at, const json_t *object, struct prompt *p)
{
	int err = take_expect(at, json_object_get(object, "expect"), p);

	if (!err)
		err = take_logprobs(at, json_object_get(object, "logprobs"), p);
	if (!err)
		err = take_tolerance(at, json_object_get(object, "tolerance"), p);
	return err ? err : take_bound(at, object, p);
}
