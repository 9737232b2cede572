/* SPDX-License-Identifier: MIT */
/* sup_command.c: one request, checked key by key, then done (CONTROL.md). */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "sup_trial.h"

/* Keys that a command takes, one bit each. */
enum key { KEY_MODEL = 1, KEY_VERSION = 2, KEY_TO = 4, KEY_MODE = 8, KEY_STEPS = 16, KEY_INTERVAL = 32,
	   KEY_SHADOW = 64, KEY_WHY = 128, KEY_FORCE = 256,
	   KEY_CONFIG = 512, KEY_KEEP = 1024, KEY_ROUTE = 2048 };

struct args {
	/* NULL: not given */
	const char *model, *version, *to, *mode, *steps, *interval, *shadow, *why, *force, *config, *keep, *route;
};

typedef void (*command_fn)(struct sup *sup, struct sup_conn *conn, const struct args *args);

static void do_status(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	(void)args;
	sup_conn_answer(conn, sup_status(sup));
}

static void do_workers(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	(void)args;
	sup_conn_answer(conn, sup_status_workers(sup));
}

static void do_list(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	struct sto_error error;
	json_t *answer = sup_status_list(sup, &error);

	(void)args;
	if (answer)
		sup_conn_answer(conn, answer);
	else
		sup_conn_refuse(conn, "%s", error.text);
}

static void do_show(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	struct sto_error error;
	json_t *answer = NULL;

	if (sup_target_is_adapter(args->model))
		sto_fail(&error, "show: models alone; mhost show %s@%s needs no host", args->model, args->version);
	else
		answer = sup_status_show(sup, args->model, args->version, &error);
	if (answer)
		sup_conn_answer(conn, answer);
	else
		sup_conn_refuse(conn, "%s", error.text);
}

static bool is_yes(const char *value)
{
	return value && strcmp(value, "yes") == 0;
}

/* An adapter may be asked for without a version: that of its route (@routed), or the latest. */
static const char *version_of(struct sup *sup, struct sup_conn *conn, const struct args *args, bool routed)
{
	static char semver[MHS_SEMVER_BYTES];
	struct sto_error error;

	if (args->version)
		return args->version;
	if (sup_adapter_resolve(sup, args->model, routed, semver, &error) == 0)
		return semver;
	sup_conn_refuse(conn, "%s", error.text);
	return NULL;
}

static void do_load(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	const char *version = version_of(sup, conn, args, true);

	if (version)
		sup_op_load(sup, conn, args->model, version);
}

static void do_unload(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	sup_op_unload(sup, conn, args->model, args->version);
}

static void do_activate(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	const char *version = version_of(sup, conn, args, false);

	if (version)
		sup_op_activate(sup, conn, args->model, version, is_yes(args->force));
}

static void do_push(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	int fd = sup_conn_take_fd(conn);
	struct sto_error error;
	struct sup_push *push;

	if (fd < 0 || !sup_target_is_adapter(args->model)) {
		sup_conn_refuse(conn, "push: %s", fd < 0 ? "no descriptor came with it; send the weights in a "
				"sealed memfd" : "only adapters can be pushed; name MODEL/ADAPTER");
		if (fd >= 0)
			close(fd);
		return;
	}
	push = sup_push_new(fd, args->config, sup->conf.adapter_bytes, is_yes(args->keep), &error);
	if (push)
		sup_op_push(sup, conn, args->model, args->version, push,
			    args->route && !is_yes(args->route));
	else
		sup_conn_refuse(conn, "%s: %s", args->model, error.text);
}

static void do_rollback(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	sup_op_rollback(sup, conn, args->model, args->to);
}

static void do_stop(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	(void)args;
	sup_conn_answer(conn, json_object());
	sup_stop(sup, 0);
}

static const char *why_of(const struct args *args)
{
	return args->why ? args->why : "asked for";
}

/* The release in progress; NULL: refused. */
static struct sup_trial *trial_of(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	struct sup_model *model = sup_model_find(sup, args->model);

	if (model && model->trial)
		return model->trial;
	sup_conn_refuse(conn, "%s: no release is in progress", args->model);
	return NULL;
}

/* What was asked for, over the defaults of the configuration. */
static int plan_make(const struct sup_release_conf *conf, const struct args *args,
		     struct sup_trial_plan *plan, struct sto_error *error)
{
	const char *mode = args->mode ? args->mode : "canary";
	uint64_t seconds = conf->interval_s;

	plan->shadow = strncmp(mode, "shadow", 6) == 0;
	plan->canary = strcmp(mode, "shadow") != 0;
	plan->forced = is_yes(args->force);
	plan->steps = conf->steps;
	plan->shadow_weight = conf->shadow_weight;
	snprintf(plan->why, sizeof(plan->why), "%s", args->why ? args->why : "");
	if (strcmp(mode, "shadow") && strcmp(mode, "canary") && strcmp(mode, "shadow,canary"))
		sto_fail(error, "mode \"%.40s\" is none of canary, shadow, shadow,canary", mode);
	else if (args->interval && (sup_duration_parse(args->interval, &seconds) || seconds < 1 ||
				    seconds > SUP_INTERVAL_MAX_S))
		sto_fail(error, "interval \"%.40s\": give 1s to 168h", args->interval);
	else if (args->steps && sup_steps_parse(args->steps, &plan->steps, error))
		return -1;
	else if (args->shadow && sup_weight_parse(args->shadow, &plan->shadow_weight, error))
		return -1;
	else
		return plan->interval_s = (uint32_t)seconds, 0;
	return -1;
}

static void do_release(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	struct sup_trial_plan plan = { .shadow = false };
	struct sto_error error;

	if (plan_make(&sup->conf.release, args, &plan, &error))
		sup_conn_refuse(conn, "release: %s", error.text);
	else
		sup_op_release(sup, conn, args->model, args->version, &plan);
}

static void do_adapters(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	sup_conn_answer(conn, sup_adapters_show(sup, args->model));
}

static void do_hold(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	struct sup_trial *trial = trial_of(sup, conn, args);

	if (!trial)
		return;
	sup_trial_hold(trial, true, sup_conn_uid(conn), why_of(args));
	sup_conn_answer(conn, sup_trial_show(trial));
}

static void do_resume(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	struct sup_trial *trial = trial_of(sup, conn, args);

	if (!trial)
		return;
	sup_trial_hold(trial, false, sup_conn_uid(conn), why_of(args));
	sup_conn_answer(conn, sup_trial_show(trial));
}

static void do_abort(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	struct sup_trial *trial = trial_of(sup, conn, args);
	json_t *answer;

	if (!trial)
		return;
	answer = json_pack("{s:s, s:s}", "version", trial->version->semver, "active",
			   trial->model->active->semver);
	answer = sup_target_show(answer, args->model);
	sup_trial_abort(trial, sup_conn_uid(conn), why_of(args));
	sup_conn_answer(conn, answer);
}

static void do_promote(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	struct sup_trial *trial = trial_of(sup, conn, args);

	if (trial)
		sup_trial_promote(trial, conn, sup_conn_uid(conn), why_of(args));
}

static void do_releases(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < sup->model_count; i++)
		if (sup->models[i].trial &&
		    (!args->model || strcmp(args->model, sup->models[i].name) == 0))
			json_array_append_new(list, sup_trial_show(sup->models[i].trial));
	sup_conn_answer(conn, json_pack("{s:o}", "releases", list));
}

#define KEYS_VERSION	(KEY_MODEL | KEY_VERSION)

static const struct command {
	const char *name;
	command_fn fn;
	uint32_t needs, takes;		/* enum key */
} commands[] = {
	{ "abort", do_abort, KEY_MODEL, KEY_WHY },
	{ "activate", do_activate, KEYS_VERSION, KEY_FORCE },
	{ "adapters", do_adapters, 0, KEY_MODEL },
	{ "hold", do_hold, KEY_MODEL, KEY_WHY },
	{ "list", do_list, 0, 0 },
	{ "load", do_load, KEYS_VERSION, 0 },
	{ "promote", do_promote, KEY_MODEL, KEY_WHY },
	{ "push", do_push, KEY_MODEL | KEY_CONFIG, KEY_VERSION | KEY_KEEP | KEY_ROUTE },
	{ "release", do_release, KEYS_VERSION,
	  KEY_MODE | KEY_STEPS | KEY_INTERVAL | KEY_SHADOW | KEY_WHY | KEY_FORCE },
	{ "releases", do_releases, 0, KEY_MODEL },
	{ "resume", do_resume, KEY_MODEL, KEY_WHY },
	{ "rollback", do_rollback, KEY_MODEL, KEY_TO },
	{ "show", do_show, KEYS_VERSION, 0 },
	{ "status", do_status, 0, 0 },
	{ "stop", do_stop, 0, 0 },
	{ "unload", do_unload, KEYS_VERSION, 0 },
	{ "workers", do_workers, 0, 0 },
};

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* Where the value of the key goes; NULL: @command has no such key. */
static const char **arg_of(const struct command *command, struct args *args, const char *name)
{
	const struct {
		const char *name;
		uint32_t key;
		const char **value;
	} places[] = {
		{ "model", KEY_MODEL, &args->model }, { "version", KEY_VERSION, &args->version },
		{ "to", KEY_TO, &args->to }, { "mode", KEY_MODE, &args->mode },
		{ "steps", KEY_STEPS, &args->steps }, { "interval", KEY_INTERVAL, &args->interval },
		{ "shadow", KEY_SHADOW, &args->shadow }, { "why", KEY_WHY, &args->why },
		{ "force", KEY_FORCE, &args->force }, { "config", KEY_CONFIG, &args->config },
		{ "keep", KEY_KEEP, &args->keep }, { "route", KEY_ROUTE, &args->route },
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (strcmp(places[i].name, name) == 0)
			return (command->needs | command->takes) & places[i].key ? places[i].value : NULL;
	return NULL;
}

static int version_check(const char *version, struct sto_error *error)
{
	const char *prerelease;
	uint32_t parts[3];

	if (!version || (strlen(version) < MHS_SEMVER_BYTES &&
			 sto_semver_parse(version, parts, &prerelease) == 0))
		return 0;
	sto_fail(error, "\"%.60s\" is no version; give MAJOR.MINOR.PATCH", version);
	return -1;
}

static bool may_lack_version(const struct command *command, const struct args *args)
{
	return sup_target_is_adapter(args->model) && (command->fn == do_load || command->fn == do_unload ||
						      command->fn == do_activate);
}

/* 0, or -1 with text. */
static int args_read(const struct command *command, const json_t *request, struct args *args,
		     struct sto_error *error)
{
	json_t *object = (json_t *)(uintptr_t)request, *value;	/* the macro wants it so */
	const char *key, **arg;

	json_object_foreach(object, key, value) {
		if (strcmp(key, "command") == 0)
			continue;
		arg = arg_of(command, args, key);
		if (!arg || !json_is_string(value)) {
			sto_fail(error, "%s: %s \"%.60s\"", command->name, arg ? "not a text:" :
				 "unknown key", key);
			return -1;
		}
		*arg = json_string_value(value);
	}
	if ((command->needs & KEY_MODEL && !args->model) ||
	    (command->needs & KEY_CONFIG && !args->config) ||
	    (command->needs & KEY_VERSION && !args->version && !may_lack_version(command, args))) {
		sto_fail(error, "%s: needs model%s", command->name, command->needs & KEY_VERSION ?
			 " and version" : command->needs & KEY_CONFIG ? " and config" : "");
		return -1;
	}
	if (args->model && sup_target_check(args->model, error))
		return -1;
	return version_check(args->version, error) || version_check(args->to, error) ? -1 : 0;
}

void sup_command(struct sup *sup, struct sup_conn *conn, const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "command"));
	const struct command *command = name ? command_find(name) : NULL;
	struct args args = { .model = NULL };
	struct sto_error error = { "" };

	if (!command) {
		sup_conn_refuse(conn, "request: %s \"%.60s\"; there are abort, activate, adapters, hold, list, load, "
				"promote, push, release, releases, resume, rollback, show, status, stop, unload "
				"and workers", name ? "unknown command" :
				"no text under \"command\"", name ? name : "");
		return;
	}
	if (args_read(command, request, &args, &error)) {
		sup_conn_refuse(conn, "%s", error.text);
		return;
	}
	if (sup->state == SUP_STOPPING && command->needs) {
		sup_conn_refuse(conn, "the host is shutting down");
		return;
	}
	log_debug("control: %s %s %s", name, args.model ? args.model : "", args.version ? args.version : "");
	command->fn(sup, conn, &args);
}
