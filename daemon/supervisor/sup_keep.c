/* SPDX-License-Identifier: MIT */
/*
 * sup_keep.c: STORE/state/MODEL.json, what is routed, so that a restart goes on where we ended. It
 * and STORE/state/adapters/MODEL/ADAPTER.json. Written after each change, by the scribe: a supervisor killed between a change and its line
 * starts from the one before.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "sup_trial.h"

/* ---- out ------------------------------------------------------------------------------------ */

static json_t *steps_json(const struct sup_steps *steps)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < steps->count; i++)
		json_array_append_new(list, json_integer(steps->weights[i]));
	return list;
}

static json_t *trial_json(const struct sup_trial *t)
{
	return json_pack("{s:s, s:b, s:b, s:i, s:o, s:i, s:o, s:b, s:b, s:i, s:f, s:I}",
		"version", t->version->semver, "shadow", t->plan.shadow, "canary", t->plan.canary,
		"shadow_weight", (int)t->plan.shadow_weight, "steps", steps_json(&t->plan.steps),
		"interval_s", (int)t->plan.interval_s, "why", sup_json_text(t->plan.why),
		"in_shadow", t->in_shadow, "held", t->held, "step", (int)t->step,
		"spent_s", (double)sup_trial_spent_ns(t) / 1e9, "uid", (json_int_t)t->uid);
}

static const char *configured(const struct sup *sup, const char *model)
{
	const struct sup_model_conf *conf = sup_conf_model_find(&sup->conf, model);

	return conf ? conf->active : "";
}

/* An adapter's route outlives its version's stay in memory, and goes when it is withdrawn. */
void sup_keep_model(struct sup_model *model)
{
	const char *active = sup_model_current(model);
	struct sup *sup = model->sup;
	json_t *state, *history;

	if (!active[0]) {
		if (model->is_adapter)
			sup_scribe_state(&sup->scribe, model->name, json_null());
		return;
	}
	history = json_array();
	for (uint32_t i = 0; i < model->history_count; i++)
		json_array_append_new(history, json_string(model->history[i]));
	state = json_pack("{s:s, s:s, s:o}", "active", active, "configured",
			  configured(sup, model->name), "history", history);
	if (model->last_push[0])
		json_object_set_new(state, "last_push", json_string(model->last_push));
	if (model->trial)
		json_object_set_new(state, "release", trial_json(model->trial));
	sup_scribe_state(&sup->scribe, model->name, state);
}

/* ---- in ------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static bool is_version(const char *text)
{
	const char *prerelease;
	uint32_t parts[3];

	return strlen(text) < MHS_SEMVER_BYTES && sto_semver_parse(text, parts, &prerelease) == 0;
}

static void history_restore(struct sup_model *model, const json_t *state)
{
	const json_t *history = json_object_get(state, "history");

	for (size_t i = 0; i < json_array_size(history); i++) {
		const char *semver = json_string_value(json_array_get(history, i));

		if (semver && is_version(semver))
			sup_history_push(model, semver);
	}
}

static bool is_stored(const struct sup *sup, const char *name, const char *semver)
{
	char path[4096];

	return sup_target_path(sup, name, semver, STO_IMAGE_NAME, path, sizeof(path)) == 0 &&
	       access(path, F_OK) == 0;
}

/* What was pushed into memory alone is lost, or somebody removed it: back to what was routed before, if the store has it. */
static void adapter_fall_back(struct sup *sup, struct sup_model *model, const char *lost)
{
	char why[128];

	while (model->history_count) {
		const char *before = model->history[--model->history_count];

		if (!is_stored(sup, model->name, before))
			continue;
		memcpy(model->chosen, before, sizeof(model->chosen));
		break;
	}
	snprintf(why, sizeof(why), "%s is not in the store: pushed into memory and lost, or removed", lost);
	log_warning("%s: %s; routed is %s", model->name, why, model->chosen[0] ? model->chosen : "nothing");
	sup_event(sup, "lost", model->name, model->chosen, SUP_UID_SELF, why, NULL);
	sup_keep_model(model);
}

/* Of an adapter without a release the route is enough: its version comes when it is used. */
static void adapter_restore(struct sup *sup, const char *name, json_t *state)
{
	struct sto_error error;
	struct sup_model *model = sup_model_get(sup, name, &error);
	const char *active = text_of(state, "active"), *last_push = text_of(state, "last_push");
	bool stored = is_stored(sup, name, active);

	if (!model) {
		log_error("%s", error.text);
	} else if (stored && json_object_get(state, "release")) {
		json_object_set(sup->kept, name, state);
		sup_op_activate_at_start(sup, name, active, false);
	} else {
		history_restore(model, state);
		if (stored)
			snprintf(model->chosen, sizeof(model->chosen), "%s", active);
		else
			adapter_fall_back(sup, model, active);
	}
	if (model && is_version(last_push))
		snprintf(model->last_push, sizeof(model->last_push), "%s", last_push);
	json_decref(state);
}

/* The file's word, unless the configuration was changed since. */
static void model_restore(struct sup *sup, const char *name)
{
	const char *conf = configured(sup, name);
	struct sto_error error;
	json_t *state = sup_scribe_read(sup->conf.store, name, &error);

	if (error.text[0])
		log_warning("%s", error.text);
	if (!state || !is_version(text_of(state, "active")) ||
	    (conf[0] && strcmp(conf, text_of(state, "configured")) != 0)) {
		json_decref(state);
		return;
	}
	if (sup_target_is_adapter(name)) {
		adapter_restore(sup, name, state);
		return;
	}
	json_object_set_new(sup->kept, name, state);
	sup_op_activate_at_start(sup, name, text_of(state, "active"), false);
}

/* The state files in @path; their names stand behind @prefix. */
static void folder_restore(struct sup *sup, const char *path, const char *prefix)
{
	DIR *dir = opendir(path);
	char name[SUP_NAME_BYTES];
	struct sto_error error;
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		size_t n = strlen(entry->d_name);

		if (n < 6 || n - 5 >= MHS_NAME_BYTES || strcmp(entry->d_name + n - 5, ".json"))
			continue;
		snprintf(name, sizeof(name), "%.64s%.*s", prefix, (int)(n - 5), entry->d_name);
		if (sup_target_check(name, &error) == 0)
			model_restore(sup, name);
	}
	if (dir)
		closedir(dir);
}

static void adapters_restore(struct sup *sup, const char *path)
{
	char below[SUP_PATH_BYTES + 100], prefix[MHS_NAME_BYTES + 1];
	DIR *dir = opendir(path);
	struct sto_error error;
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		if (sto_name_check(entry->d_name, &error))
			continue;
		snprintf(below, sizeof(below), "%s/%.63s", path, entry->d_name);
		snprintf(prefix, sizeof(prefix), "%.63s/", entry->d_name);
		folder_restore(sup, below, prefix);
	}
	if (dir)
		closedir(dir);
}

void sup_keep_restore(struct sup *sup)
{
	char path[SUP_PATH_BYTES + 20];

	sup->kept = json_object();
	snprintf(path, sizeof(path), "%s/state", sup->conf.store);
	if (sup->conf.restore)
		folder_restore(sup, path, "");
	strcat(path, "/adapters");
	if (sup->conf.restore)
		adapters_restore(sup, path);
	for (uint32_t i = 0; i < sup->conf.model_count; i++) {
		const struct sup_model_conf *conf = &sup->conf.models[i];

		if (conf->active[0] && !json_object_get(sup->kept, conf->name))
			sup_op_activate_at_start(sup, conf->name, conf->active, true);
	}
}

/* UINT32_MAX: none, or out of range. */
static uint32_t number_in(const json_t *number)
{
	json_int_t value = json_integer_value(number);

	return json_is_integer(number) && value >= 0 && value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

static uint32_t number_of(const json_t *object, const char *key)
{
	return number_in(json_object_get(object, key));
}

static void plan_read(const json_t *from, struct sup_trial_plan *plan)
{
	const json_t *list = json_object_get(from, "steps");
	double spent_s = json_number_value(json_object_get(from, "spent_s"));

	plan->resumed = true;
	plan->shadow = json_is_true(json_object_get(from, "shadow"));
	plan->canary = json_is_true(json_object_get(from, "canary"));
	plan->in_shadow = json_is_true(json_object_get(from, "in_shadow"));
	plan->held = json_is_true(json_object_get(from, "held"));
	plan->shadow_weight = number_of(from, "shadow_weight");
	plan->interval_s = number_of(from, "interval_s");
	plan->step = number_of(from, "step");
	if (spent_s > 0 && spent_s < UINT32_MAX)
		plan->spent_ns = (uint64_t)(spent_s * 1e9);
	snprintf(plan->why, sizeof(plan->why), "%s", text_of(from, "why"));
	for (size_t i = 0; i < json_array_size(list) && i < SUP_STEPS_MAX; i++)
		plan->steps.weights[plan->steps.count++] = number_in(json_array_get(list, i));
}

/* Numbers from a file that anybody may have edited. */
static bool plan_good(const struct sup_trial_plan *plan)
{
	uint32_t last = 0;

	if (!(plan->in_shadow ? plan->shadow : plan->canary))
		return false;
	for (uint32_t i = 0; i < plan->steps.count; i++) {
		if (plan->steps.weights[i] <= last || plan->steps.weights[i] > MHS_ROUTE_WEIGHT_MAX)
			return false;
		last = plan->steps.weights[i];
	}
	return plan->steps.count && plan->step < plan->steps.count && plan->interval_s &&
	       plan->interval_s <= SUP_INTERVAL_MAX_S && plan->shadow_weight &&
	       plan->shadow_weight <= MHS_ROUTE_WEIGHT_MAX;
}

void sup_keep_apply(struct sup *sup, const char *name)
{
	const json_t *state = json_object_get(sup->kept, name), *release;
	struct sup_model *model = sup_model_find(sup, name);
	struct sup_trial_plan plan = { .shadow = false };

	if (!model)
		return;
	if (!state) {
		sup_keep_model(model);
		return;
	}
	history_restore(model, state);
	release = json_object_get(state, "release");
	plan_read(release, &plan);
	/* With a release the file stays as it is until that has begun again. */
	if (release && is_version(text_of(release, "version")) && plan_good(&plan)) {
		sup_op_release(sup, NULL, name, text_of(release, "version"), &plan);
	} else {
		if (release)
			log_warning("%s: the release in its state is damaged and does not go on", name);
		sup_keep_model(model);
	}
	json_object_del(sup->kept, name);
}
