/* SPDX-License-Identifier: MIT */
/*
 * sup_trial.h: a release in progress: one candidate beside the active version of one model, in shadow,
 * then as a canary whose weight grows step by step. Evidence comes from the reply rings of the
 * workers, is weighed by sup_judge, and moves the route: on a pass, to the next step and in the end
 * to the candidate wholly; on a failure, back to the active version at once.
 *
 *	begin	loaded, attached, through the golden gate (sup_release.c)
 *	shadow	a share of replies is compared; PASS: on to the canary, or the end
 *	step	weight of steps[i] for an interval at least; PASS: steps[i + 1]; 100 %: promoted
 *	held	the weight stays, only failures act
 *	end	promoted, failed, aborted, or passed (shadow alone)
 */
#ifndef SUP_TRIAL_H
#define SUP_TRIAL_H

#include "sup_child.h"
#include "sup_control.h"
#include "sup_judge.h"

/* What was asked for. */
struct sup_trial_plan {
	bool shadow, canary, forced;	/* forced: though adapters do not fit it */
	uint32_t shadow_weight;		/* basis points */
	struct sup_steps steps;
	uint32_t interval_s;
	char why[200];
	/* of a release that a restart interrupted */
	bool resumed, held, in_shadow;
	uint32_t step;
	uint64_t spent_ns;
};

/* One cohort in numbers, for people. */
struct sup_cohort {
	uint64_t requests, failed, cancelled, empty, repeating, output_tokens, decode_ns;
	uint64_t first_token[MHS_HIST_BUCKETS], total[MHS_HIST_BUCKETS];
};

struct sup_trial {
	struct sup *sup;
	struct sup_model *model;
	struct sup_version *version;	/* the candidate */
	uint32_t uid;			/* who began it */
	struct sup_trial_plan plan;
	bool in_shadow, held;
	uint32_t step;
	uint64_t step_begin_ns, spent_ns;	/* of this step, before it was held or interrupted */
	uint64_t look_ns;			/* next weighing */
	struct sup_timer timer;
	struct {
		uint64_t life, next;		/* record to read next, of that life of the worker */
	} read[MHS_WORKER_MAX];
	struct sup_cohort cohorts[2];		/* enum sup_judge_cohort, of this step */
	uint64_t compared, missed;		/* comparisons; records written over before we came */
	struct sup_child *metric, *probe;
	struct sup_judge_verdict verdict;	/* of the last weighing */
	bool weighed;
	struct sup_judge judge;
};

/* sup_trial.c */
int sup_trial_begin(struct sup_model *model, struct sup_version *version, uint32_t uid,
		    const struct sup_trial_plan *plan, struct sto_error *error);
void sup_trial_fail(struct sup_trial *trial, const char *why);
/* Off: the operator's word. False with text: not now. */
bool sup_trial_hold(struct sup_trial *trial, bool held, uint32_t uid, const char *why);
/* The flip answers @conn. */
void sup_trial_promote(struct sup_trial *trial, struct sup_conn *conn, uint32_t uid, const char *why);
void sup_trial_abort(struct sup_trial *trial, uint32_t uid, const char *why);
/* The same for a flip that the caller does now: route and memory are as they were until then. */
void sup_trial_overtaken(struct sup_trial *trial, uint32_t uid, const char *why);
/* Ends the trial; the flip is the caller's. */
void sup_trial_close(struct sup_trial *trial);
/* Time spent in this step. */
uint64_t sup_trial_spent_ns(const struct sup_trial *trial);
uint32_t sup_trial_weight(const struct sup_trial *trial);

/* sup_trial_read.c */
void sup_trial_read_from_now(struct sup_trial *trial);
void sup_trial_read(struct sup_trial *trial);
void sup_trial_clear(struct sup_trial *trial);		/* figures of the last step */

/* sup_trial_help.c: commands that bring evidence: the operator's metric, probes */
void sup_trial_measure(struct sup_trial *trial);
/* At a new step, or when the metric's keys have changed. */
void sup_trial_measure_anew(struct sup_trial *trial);
void sup_trial_probe(struct sup_trial *trial);

/* sup_trial_show.c */
json_t *sup_trial_show(const struct sup_trial *trial);
json_t *sup_verdict_show(const struct sup_judge_verdict *verdict);
/* The worst finding in one line. */
void sup_verdict_line(const struct sup_judge_verdict *verdict, char *line, size_t bytes);

#endif
