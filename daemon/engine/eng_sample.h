/* SPDX-License-Identifier: MIT */
/*
 * eng_sample.h: from logits to a token. Order of the steps:
 *	bias of single tokens
 *	penalties: repetition (Keskar et al. 2019), frequency and presence (as in OpenAI's interface), of
 *	tokens among the last repeat_last; DRY (p-e-w 2024: what would go on with a repeated sequence)
 *	temperature, dynamic when a range is given (kalomaze 2024: by the entropy at temperature 1)
 *	top-k, top-n-sigma (Tang et al. 2024), typical (Meister et al. 2022), top-p (Holtzman et al. 2020),
 *	min-p (Nguyen et al. 2024), XTC (p-e-w 2024: the likeliest but one of those above a threshold go)
 *	or, in place of all these cuts, mirostat 2 (Basu et al. 2020)
 *	draw
 * Temperature 0 is greedy: the highest logit after the penalties, the lowest id on a tie.
 */
#ifndef ENG_SAMPLE_H
#define ENG_SAMPLE_H

#include <stdint.h>

struct eng_bias {
	uint32_t token;
	float bias;		/* -infinity: never */
};

/* Zero is off unless said otherwise. */
struct eng_sampling {
	float temperature;	/* >= 0 */
	uint32_t top_k;		/* 0: off */
	float top_p;		/* (0, 1] */
	float min_p;		/* [0, 1) */
	float repeat_penalty;	/* > 0; 1: off */
	uint32_t repeat_last;	/* tokens looked back at */
	float frequency_penalty, presence_penalty;
	float dry_multiplier, dry_base;	/* penalty of a match n tokens long: multiplier * base^(n - allowed) */
	uint32_t dry_allowed;
	uint32_t dry_last;	/* tokens looked back at */
	const uint64_t *dry_breakers;	/* bit i of word i / 64: token i ends a sequence; NULL: none does */
	float dynatemp_range, dynatemp_exponent;
	float top_n_sigma;
	float typical_p;	/* 0 or 1: off */
	float xtc_probability, xtc_threshold;
	float mirostat_tau, mirostat_eta;	/* tau 0: off */
	const struct eng_bias *bias;	/* [bias_count] tokens beyond the vocabulary are skipped */
	uint32_t bias_count;
};

struct eng_top {
	uint32_t token;
	float logprob;
};

/* Private to one request: draws depend on the seed and the index of the token alone. */
struct eng_rng {
	uint64_t state;
	float mirostat_mu;	/* 0: 2 tau, at the beginning */
};

void eng_rng_init(struct eng_rng *rng, uint64_t seed);

struct eng_sampler;	/* scratch for one vocabulary size; one per thread that samples */

int eng_sampler_new(struct eng_sampler **sampler, uint32_t vocab_count);	/* 0 or -ENOMEM */
void eng_sampler_free(struct eng_sampler **sampler);

/*
 * Choose the next token. @logits [vocab_count] may be overwritten. @history: prompt and output so
 * far. Returns the token id, or -EDOM when a logit is NaN or +infinite or all are -infinite. Never
 * allocates. Each call takes one step of @rng, or two with XTC, greedy or not. Ids in @history beyond the vocabulary
 * are skipped.
 */
int64_t eng_sample(struct eng_sampler *sampler, const struct eng_sampling *params,
		   float *logits, const uint32_t *history, uint32_t history_count,
		   struct eng_rng *rng);

/*
 * Log-probability of @token and the @top_count best (descending, lowest id first on a tie) under
 * the plain softmax of @logits. Call before eng_sample(), which overwrites. 0, -EDOM as above, or
 * -EINVAL: @token or @top_count beyond the vocabulary.
 */
int eng_logprobs(struct eng_sampler *sampler, const float *logits, uint32_t token, float *logprob,
		 struct eng_top *top, uint32_t top_count);

#endif
