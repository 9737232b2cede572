/* SPDX-License-Identifier: MIT */
/*
 * sup_judge_shadow.c: findings from replies that the candidate scored in shadow, and from an
 * operator's hooks. Means per token are ratios of sums over requests, with the usual linear variance
 * (Cochran, Sampling Techniques, 3rd ed. 1977, section 6.4): tokens of one reply are not independent.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sup_judge_priv.h"

#define CERTAIN_Z	3.0	/* one-sided p 0.00135: beyond a limit for sure */

void sup_judge_compare_add(struct sup_judge *judge, const struct sup_judge_comparison *c)
{
	struct judge_shadow *sh = &judge->shadow;
	double gap = c->stable_logprob_sum - c->candidate_logprob_sum;
	double tokens = c->tokens, agree = c->top1_agree;

	if (c->tokens == 0)
		return;
	sh->n++;
	if (!isfinite(c->kl_sum) || !isfinite(c->kl_max) || !isfinite(gap)) {
		sh->broken = true;
		return;
	}
	sh->tokens += tokens;
	sh->tokens2 += tokens * tokens;
	sh->kl += c->kl_sum;
	sh->kl2 += c->kl_sum * c->kl_sum;
	sh->kl_tokens += c->kl_sum * tokens;
	sh->agree += agree;
	sh->agree2 += agree * agree;
	sh->agree_tokens += agree * tokens;
	sh->gap += gap;
	sh->gap2 += gap * gap;
	sh->gap_tokens += gap * tokens;
}

/* Mean per token of what sums to @sum, and its standard error. */
static double ratio_mean(const struct judge_shadow *sh, double sum, double sum2, double sum_tokens, double *se)
{
	double r = sum / sh->tokens, n = (double)sh->n;
	double residue = sum2 - 2 * r * sum_tokens + r * r * sh->tokens2;

	*se = residue > 0 ? sqrt(residue * n / (n - 1)) / sh->tokens : 0;
	return r;
}

struct sup_judge_finding *judge_finding(struct sup_judge_verdict *verdict, const char *metric,
					enum sup_judge_verdict_kind kind, const char *format, ...)
{
	struct sup_judge_finding *f;
	va_list args;

	if (verdict->finding_count == SUP_JUDGE_FINDINGS)
		return &verdict->findings[SUP_JUDGE_FINDINGS - 1];
	f = &verdict->findings[verdict->finding_count++];
	*f = (struct sup_judge_finding){ .verdict = kind, .stable = NAN, .candidate = NAN, .statistic = NAN,
					 .limit = NAN, .p = NAN, .p_limit = NAN };
	snprintf(f->metric, sizeof(f->metric), "%s", metric);
	va_start(args, format);
	vsnprintf(f->text, sizeof(f->text), format, args);
	va_end(args);
	return f;
}

/* @value must stay below @limit; with @sign -1, above it. */
static void weigh(struct sup_judge_verdict *verdict, const char *metric, const char *words, double value,
		  double se, double limit, double sign)
{
	double over = sign * (value - limit);
	enum sup_judge_verdict_kind kind = SUP_JUDGE_PASS;
	struct sup_judge_finding *f;

	if (over > CERTAIN_Z * se)
		kind = SUP_JUDGE_FAIL;
	else if (over > 0)
		kind = SUP_JUDGE_INCONCLUSIVE;
	f = judge_finding(verdict, metric, kind, "shadow: %s %.4g (+- %.2g), limit %.4g", words, value, se, limit);
	f->candidate = f->statistic = value;
	f->limit = limit;
}

void judge_shadow_look(const struct sup_judge *judge, bool needed, struct sup_judge_verdict *verdict)
{
	const struct judge_shadow *sh = &judge->shadow;
	const struct sup_judge_conf *conf = &judge->conf;
	double value, se;

	needed = needed || conf->shadow_required;
	if (sh->broken)
		judge_finding(verdict, "shadow_nan", SUP_JUDGE_FAIL,
			      "shadow: a divergence or log-probability is NaN or infinite")->hard = true;
	if (sh->n < conf->shadow_samples_min) {
		if (sh->n || needed)
			judge_finding(verdict, "shadow", needed ? SUP_JUDGE_INCONCLUSIVE : SUP_JUDGE_PASS,
				      "shadow: %llu replies compared, %u needed", (unsigned long long)sh->n,
				      conf->shadow_samples_min);
		return;
	}
	if (!(sh->tokens > 0))
		return;
	value = ratio_mean(sh, sh->kl, sh->kl2, sh->kl_tokens, &se);
	weigh(verdict, "shadow_kl", "mean KL divergence per token", value, se, conf->kl_max, 1);
	value = ratio_mean(sh, sh->agree, sh->agree2, sh->agree_tokens, &se);
	weigh(verdict, "shadow_top1", "share of tokens with the same best token", value, se, conf->top1_min, -1);
	value = ratio_mean(sh, sh->gap, sh->gap2, sh->gap_tokens, &se);
	weigh(verdict, "shadow_perplexity", "perplexity against the stable version's", exp(value),
	      exp(value) * se, conf->perplexity_ratio_max, 1);
}

void sup_judge_metrics_clear(struct sup_judge *judge)
{
	judge->hook_count = 0;
}

int sup_judge_metric(struct sup_judge *judge, const char *name, double value, struct sup_judge_limits limits)
{
	uint32_t i = 0;

	if (!*name || strlen(name) >= SUP_JUDGE_NAME_BYTES)
		return -EINVAL;
	while (i < judge->hook_count && strcmp(judge->hooks[i].name, name))
		i++;
	if (i == SUP_JUDGE_HOOKS)
		return -ENOSPC;
	if (i == judge->hook_count) {
		strcpy(judge->hooks[i].name, name);
		judge->hook_count++;
	}
	judge->hooks[i].value = value;
	judge->hooks[i].limits = limits;
	return 0;
}

void judge_hooks_look(const struct sup_judge *judge, struct sup_judge_verdict *verdict)
{
	for (uint32_t i = 0; i < judge->hook_count; i++) {
		double value = judge->hooks[i].value, min = judge->hooks[i].limits.min, max = judge->hooks[i].limits.max;
		const char *name = judge->hooks[i].name;
		struct sup_judge_finding *f;

		if (isnan(value))
			f = judge_finding(verdict, name, SUP_JUDGE_INCONCLUSIVE, "%s: the hook gave no value", name);
		else if (value < min || value > max)
			f = judge_finding(verdict, name, SUP_JUDGE_FAIL, "%s %.6g, %s limit %.6g", name, value,
					  value < min ? "lower" : "upper", value < min ? min : max);
		else
			f = judge_finding(verdict, name, SUP_JUDGE_PASS, "%s %.6g", name, value);
		f->candidate = f->statistic = value;
		f->limit = value < min ? min : max;
		f->hard = f->verdict == SUP_JUDGE_FAIL;
	}
}
