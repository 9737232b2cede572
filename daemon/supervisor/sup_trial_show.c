/* SPDX-License-Identifier: MIT */
/* sup_trial_show.c: a release as JSON (CONTROL.md). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "mhs_stat.h"
#include "sup_trial.h"

static json_t *real(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *finding_show(const struct sup_judge_finding *finding)
{
	return json_pack("{s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "metric", finding->metric,
		"verdict", sup_judge_verdict_name(finding->verdict), "hard", finding->hard,
		"stable", real(finding->stable), "candidate", real(finding->candidate),
		"statistic", real(finding->statistic), "limit", real(finding->limit),
		"p", real(finding->p), "p_limit", real(finding->p_limit),
		"text", sup_json_text(finding->text));
}

json_t *sup_verdict_show(const struct sup_judge_verdict *verdict)
{
	json_t *findings = json_array();

	for (uint32_t i = 0; i < verdict->finding_count; i++)
		json_array_append_new(findings, finding_show(&verdict->findings[i]));
	return json_pack("{s:s, s:b, s:I, s:I, s:o}", "kind", sup_judge_verdict_name(verdict->kind),
		"hard", verdict->hard, "stable_count", (json_int_t)verdict->stable_count,
		"candidate_count", (json_int_t)verdict->candidate_count, "findings", findings);
}

void sup_verdict_line(const struct sup_judge_verdict *verdict, char *line, size_t bytes)
{
	if (verdict->kind == SUP_JUDGE_PASS || !verdict->finding_count)
		snprintf(line, bytes, "%u measures of %llu requests, %llu of them of the candidate: %s",
			 verdict->finding_count,
			 (unsigned long long)(verdict->stable_count + verdict->candidate_count),
			 (unsigned long long)verdict->candidate_count,
			 sup_judge_verdict_name(verdict->kind));
	else
		snprintf(line, bytes, "%s", verdict->findings[0].text);
}

static json_t *cohort_show(const struct sup_cohort *c)
{
	double ms = 1e-6;

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f}",
		"requests", (json_int_t)c->requests, "failed", (json_int_t)c->failed,
		"cancelled", (json_int_t)c->cancelled, "empty", (json_int_t)c->empty,
		"repeating", (json_int_t)c->repeating,
		"first_token_p50_ms", (double)mhs_hist_quantile_ns(c->first_token, 0.5) * ms,
		"first_token_p95_ms", (double)mhs_hist_quantile_ns(c->first_token, 0.95) * ms,
		"total_p50_ms", (double)mhs_hist_quantile_ns(c->total, 0.5) * ms,
		"total_p95_ms", (double)mhs_hist_quantile_ns(c->total, 0.95) * ms,
		"tokens_per_s", c->decode_ns ? (double)c->output_tokens * 1e9 / (double)c->decode_ns : 0.0);
}

json_t *sup_trial_show(const struct sup_trial *trial)
{
	const struct sup_trial *t = trial;
	json_t *steps = json_array();

	for (uint32_t i = 0; i < t->plan.steps.count; i++)
		json_array_append_new(steps, json_real(t->plan.steps.weights[i] / 100.0));
	return sup_target_show(json_pack("{s:s, s:s, s:s, s:s, s:i, s:f, s:o, s:i, s:f, s:I, s:I, s:o, s:o, s:o}",
		"stable", t->model->active->semver,
		"version", t->version->semver, "mode", t->in_shadow ? "shadow" : "canary",
		"state", t->held ? "held" : "running", "step", (int)t->step,
		"weight", sup_trial_weight(t) / 100.0, "steps", steps,
		"interval_s", (int)t->plan.interval_s,
		"spent_s", (double)sup_trial_spent_ns(t) / 1e9,
		"compared", (json_int_t)t->compared, "missed", (json_int_t)t->missed,
		"stable_cohort", cohort_show(&t->cohorts[SUP_JUDGE_STABLE]),
		"candidate_cohort", cohort_show(&t->cohorts[SUP_JUDGE_CANDIDATE]),
		"verdict", t->weighed ? sup_verdict_show(&t->verdict) : json_null()), t->model->name);
}
