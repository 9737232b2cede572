/* SPDX-License-Identifier: MIT */
#include "sup_trial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define TICK_NS		(100 * SUP_NS_PER_MS)	/* between looks at the rings */

static void trial_tick(struct sup_timer *timer);

/* ---- route ---------------------------------------------------------------------------------- */

uint32_t sup_trial_weight(const struct sup_trial *trial)
{
	return trial->in_shadow ? trial->plan.shadow_weight : trial->plan.steps.weights[trial->step];
}

uint64_t sup_trial_spent_ns(const struct sup_trial *trial)
{
	return trial->spent_ns + (trial->held ? 0 : sup_now_ns() - trial->step_begin_ns);
}

static void trial_event(struct sup_trial *trial, const char *name, uint32_t uid, const char *why)
{
	json_t *more = json_pack("{s:s, s:s, s:f, s:i}", "stable", trial->model->active->semver, "mode",
				 trial->in_shadow ? "shadow" : "canary", "weight",
				 sup_trial_weight(trial) / 100.0, "step", (int)trial->step);

	if (trial->weighed)
		json_object_set_new(more, "verdict", sup_verdict_show(&trial->verdict));
	sup_event(trial->sup, name, trial->model->name, trial->version->semver, uid, why, more);
}

static void next_look(struct sup_trial *trial)
{
	trial->look_ns = sup_now_ns() + trial->plan.interval_s * SUP_NS_PER_S;
}

/* Traffic as the step says; figures begin anew. */
static void step_enter(struct sup_trial *trial, const char *why)
{
	struct sup_trial *t = trial;

	sup_model_route(t->model, t->version, sup_trial_weight(t),
			t->in_shadow ? MHS_MODE_SHADOW : MHS_MODE_CANARY);
	t->step_begin_ns = sup_now_ns();
	t->spent_ns = 0;
	sup_judge_cut(&t->judge, t->step_begin_ns);
	sup_trial_clear(t);
	next_look(t);
	log_info("%s@%s: %s at %g %% of the requests%s", t->model->name, t->version->semver,
		 t->in_shadow ? "shadow" : "canary", sup_trial_weight(t) / 100.0, t->held ? ", held" : "");
	trial_event(t, "step", SUP_UID_SELF, why);
	sup_keep_model(t->model);
	sup_trial_measure_anew(t);
}

/* ---- ends ----------------------------------------------------------------------------------- */

void sup_trial_close(struct sup_trial *trial)
{
	struct sup *sup = trial->sup;

	sup_timer_off(&sup->loop, &trial->timer);
	sup_child_drop(&trial->metric);
	sup_child_drop(&trial->probe);
	trial->model->trial = NULL;
	free(trial);
}

/* The route first, all else after it. */
static void trial_back(struct sup_trial *trial, const char *event, uint32_t uid, const char *why)
{
	struct sup_model *model = trial->model;

	sup_model_route(model, NULL, 0, MHS_MODE_NONE);
	log_notice("%s@%s: %s, all traffic is on %s: %s", model->name, trial->version->semver, event,
		   model->active->semver, why);
	trial_event(trial, event, uid, why);
	sup_trial_close(trial);
	sup_keep_model(model);
	sup_model_trim(model->active->sup, model);
}

void sup_trial_fail(struct sup_trial *trial, const char *why)
{
	trial_back(trial, "fail", SUP_UID_SELF, why);
}

void sup_trial_abort(struct sup_trial *trial, uint32_t uid, const char *why)
{
	trial_back(trial, "abort", uid, why && *why ? why : "asked for");
}

void sup_trial_overtaken(struct sup_trial *trial, uint32_t uid, const char *why)
{
	trial_event(trial, "abort", uid, why);
	sup_trial_close(trial);
}

/* ---- verdicts ------------------------------------------------------------------------------- */

static bool is_last_step(const struct sup_trial *trial)
{
	return trial->step + 1 == trial->plan.steps.count;
}

static uint32_t next_weight(const struct sup_trial *trial)
{
	return is_last_step(trial) ? 0 : trial->plan.steps.weights[trial->step + 1];
}

/* All traffic: not a step of its own, there would be nothing left to compare with. */
void sup_trial_promote(struct sup_trial *trial, struct sup_conn *conn, uint32_t uid, const char *why)
{
	struct sup *sup = trial->sup;
	char model[SUP_NAME_BYTES], semver[MHS_SEMVER_BYTES];

	memcpy(model, trial->model->name, sizeof(model));
	memcpy(semver, trial->version->semver, sizeof(semver));
	trial_event(trial, "promote", uid, why);
	sup_trial_close(trial);
	sup_op_promote(sup, conn, model, semver, uid, why);
}

static void shadow_passed(struct sup_trial *trial, const char *why)
{
	if (!trial->plan.canary) {
		trial_back(trial, "pass", SUP_UID_SELF, why);
		return;
	}
	trial->in_shadow = false;
	step_enter(trial, why);
}

static void trial_passed(struct sup_trial *trial, const char *why)
{
	if (trial->in_shadow) {
		shadow_passed(trial, why);
	} else if (next_weight(trial) == MHS_ROUTE_WEIGHT_MAX ||
		   sup_trial_weight(trial) == MHS_ROUTE_WEIGHT_MAX) {
		sup_trial_promote(trial, NULL, SUP_UID_SELF, why);
	} else if (is_last_step(trial)) {
		sup_trial_hold(trial, true, SUP_UID_SELF, "the last step has passed; promote or abort");
	} else {
		trial->step++;
		step_enter(trial, why);
	}
}

/* A pass moves everything, or what follows has no stable cohort beside it. */
static uint32_t look_flags(const struct sup_trial *trial)
{
	bool whole = sup_trial_weight(trial) == MHS_ROUTE_WEIGHT_MAX;

	if (trial->in_shadow)
		return SUP_JUDGE_UNROUTED;
	if (whole || is_last_step(trial) || next_weight(trial) == MHS_ROUTE_WEIGHT_MAX)
		return SUP_JUDGE_FULL | (whole ? SUP_JUDGE_ALONE : 0u);
	return 0;
}

/*
 * Without enough requests of a cohort nothing is decided: the step goes on, and probes are sent for
 * the next look.
 */
static void undecided(struct sup_trial *trial, enum sup_judge_verdict_kind before)
{
	char line[SUP_JUDGE_TEXT_BYTES + 64];

	if (before != SUP_JUDGE_INCONCLUSIVE) {
		sup_verdict_line(&trial->verdict, line, sizeof(line));
		trial_event(trial, "verdict", SUP_UID_SELF, line);
	}
	sup_trial_probe(trial);
}

static void trial_weigh(struct sup_trial *trial)
{
	enum sup_judge_verdict_kind before = trial->weighed ? trial->verdict.kind : SUP_JUDGE_PASS;
	char line[SUP_JUDGE_TEXT_BYTES + 64];

	sup_judge_look(&trial->judge, look_flags(trial), &trial->verdict);
	trial->weighed = true;
	next_look(trial);
	sup_verdict_line(&trial->verdict, line, sizeof(line));
	if (trial->verdict.kind == SUP_JUDGE_FAIL) {
		sup_trial_fail(trial, line);
	} else if (trial->verdict.kind == SUP_JUDGE_PASS && !trial->held) {
		trial_passed(trial, line);
	} else {
		if (trial->verdict.kind == SUP_JUDGE_INCONCLUSIVE)
			undecided(trial, before);
		sup_trial_measure(trial);
	}
}

static void trial_tick(struct sup_timer *timer)
{
	struct sup_trial *trial = sup_owner(timer, struct sup_trial, timer);

	sup_timer_set(&trial->sup->loop, timer, TICK_NS, trial_tick);
	sup_trial_read(trial);
	if (sup_now_ns() >= trial->look_ns)
		trial_weigh(trial);
}

/* ---- beginnings and the operator's word -------------------------------------------------------- */

bool sup_trial_hold(struct sup_trial *trial, bool held, uint32_t uid, const char *why)
{
	if (trial->held == held)
		return false;
	trial->spent_ns = sup_trial_spent_ns(trial);
	trial->step_begin_ns = sup_now_ns();
	trial->held = held;
	trial_event(trial, held ? "hold" : "resume", uid, why);
	sup_keep_model(trial->model);
	return true;
}

int sup_trial_begin(struct sup_model *model, struct sup_version *version, uint32_t uid,
		    const struct sup_trial_plan *plan, struct sto_error *error)
{
	struct sup_trial *trial = calloc(1, sizeof(*trial));
	const char *field = "";
	int err = trial ? 0 : -ENOMEM;

	if (!err)
		err = sup_judge_init(&trial->judge, &version->sup->conf.release.judge, &field);
	if (err) {
		sto_fail(error, "%s@%s: the release cannot begin: %s%s", model->name, version->semver,
			 err == -ENOMEM ? "out of memory" : "[release] ", field);
		free(trial);
		return err;
	}
	trial->sup = version->sup;
	trial->model = model;
	trial->version = version;
	trial->uid = uid;
	trial->plan = *plan;
	trial->in_shadow = plan->resumed ? plan->in_shadow : plan->shadow;
	trial->held = plan->held;
	trial->step = plan->step;
	model->trial = trial;
	sup_trial_read_from_now(trial);
	trial_event(trial, "release", uid, plan->resumed ? "goes on after a restart" : plan->why);
	step_enter(trial, plan->resumed ? "the step that it was on" : "");
	trial->spent_ns = plan->spent_ns;
	sup_timer_set(&trial->sup->loop, &trial->timer, TICK_NS, trial_tick);
	return 0;
}
