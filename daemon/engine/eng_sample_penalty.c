/* SPDX-License-Identifier: MIT */
/* eng_sample_penalty.c: what the history does to logits. */
#include <math.h>
#include <string.h>

#include "eng_sample_priv.h"

#define DRY_MATCH_MAX	64u		/* longer repetitions weigh no more */
#define DRY_PENALTY_MAX	1e9f

/* Marks the tokens of the history and counts them; calls for a fresh stamp. */
static void count_tokens(struct eng_sampler *s, const uint32_t *history, uint32_t count)
{
	if (++s->stamp == 0) {
		memset(s->stamps, 0, s->vocab_count * sizeof(*s->stamps));
		s->stamp = 1;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint32_t token = history[i];

		if (token >= s->vocab_count)
			continue;
		if (s->stamps[token] != s->stamp)
			s->times[token] = 0;
		s->stamps[token] = s->stamp;
		s->times[token]++;
	}
}

static void penalise_token(const struct eng_sampling *params, float *logit, uint32_t times)
{
	if (*logit > 0)
		*logit /= params->repeat_penalty;
	else
		*logit *= params->repeat_penalty;
	*logit -= params->frequency_penalty * (float)times + params->presence_penalty;
}

static void penalise_repeated(struct eng_sampler *s, const struct eng_sampling *params, float *logits,
			      const uint32_t *history, uint32_t count)
{
	uint32_t begin = count > params->repeat_last ? count - params->repeat_last : 0;

	if (params->repeat_penalty == 1.0f && params->frequency_penalty == 0.0f &&
	    params->presence_penalty == 0.0f)
		return;
	count_tokens(s, history + begin, count - begin);
	for (uint32_t i = begin; i < count; i++) {
		uint32_t token = history[i];

		if (token >= s->vocab_count || s->stamps[token] != s->stamp)
			continue;
		s->stamps[token] = s->stamp - 1;	/* once */
		penalise_token(params, &logits[token], s->times[token]);
	}
}

static bool breaks(const struct eng_sampling *params, const struct eng_sampler *s, uint32_t token)
{
	return token >= s->vocab_count ||
	       (params->dry_breakers && params->dry_breakers[token / 64] >> (token % 64) & 1);
}

/* How many tokens before @at are the same as the last ones of all @count. */
static uint32_t match_before(const struct eng_sampling *params, const struct eng_sampler *s,
			     const uint32_t *history, uint32_t begin, uint32_t at, uint32_t count)
{
	uint32_t n = 0;

	while (n < DRY_MATCH_MAX && at - n > begin && history[at - n - 1] == history[count - n - 1] &&
	       !breaks(params, s, history[count - n - 1]))
		n++;
	return n;
}

/* Of all places where the end of the text stood before: the token that followed there. */
static void penalise_sequences(struct eng_sampler *s, const struct eng_sampling *params, float *logits,
			       const uint32_t *history, uint32_t count)
{
	uint32_t begin = count > params->dry_last ? count - params->dry_last : 0;

	if (!(params->dry_multiplier > 0) || count < 2)
		return;
	count_tokens(s, NULL, 0);
	for (uint32_t at = begin + 1; at < count; at++) {
		uint32_t next = history[at], n;

		if (next >= s->vocab_count || breaks(params, s, next))
			continue;
		n = match_before(params, s, history, begin, at, count);
		if (s->stamps[next] != s->stamp)
			s->times[next] = 0;
		s->stamps[next] = s->stamp;
		if (n <= s->times[next] || n < params->dry_allowed)
			continue;
		/* the longest match counts alone: what a shorter one took comes back */
		for (uint32_t old = s->times[next], sign = 0; sign < 2; sign++, old = n) {
			float weight = old ? params->dry_multiplier *
				       powf(params->dry_base, (float)old - (float)params->dry_allowed) : 0;

			weight = fminf(weight, DRY_PENALTY_MAX);
			logits[next] += sign ? -weight : weight;
		}
		s->times[next] = n;
	}
}

void sample_penalise(struct eng_sampler *s, const struct eng_sampling *params, float *logits,
		     const uint32_t *history, uint32_t count)
{
	for (uint32_t i = 0; i < params->bias_count; i++)
		if (params->bias[i].token < s->vocab_count)
			logits[params->bias[i].token] += params->bias[i].bias;
	penalise_repeated(s, params, logits, history, count);
	penalise_sequences(s, params, logits, history, count);
}
