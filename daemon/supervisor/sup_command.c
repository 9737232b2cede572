/* SPDX-License-Identifier: MIT */
/* sup_command.c: one request, checked key by key, then done (CONTROL.md). */
#include <string.h>

#include "log.h"
#include "sup_control.h"

struct args {
	const char *model, *version, *to;	/* NULL: not given */
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
	json_t *answer = sup_status_show(sup, args->model, args->version, &error);

	if (answer)
		sup_conn_answer(conn, answer);
	else
		sup_conn_refuse(conn, "%s", error.text);
}

static void do_load(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	sup_op_load(sup, conn, args->model, args->version);
}

static void do_unload(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	sup_op_unload(sup, conn, args->model, args->version);
}

static void do_activate(struct sup *sup, struct sup_conn *conn, const struct args *args)
{
	sup_op_activate(sup, conn, args->model, args->version);
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

static const struct command {
	const char *name;
	command_fn fn;
	bool model, version, to;	/* keys it takes; model and version are then required */
} commands[] = {
	{ "activate", do_activate, true, true, false },
	{ "list", do_list, false, false, false },
	{ "load", do_load, true, true, false },
	{ "rollback", do_rollback, true, false, true },
	{ "show", do_show, true, true, false },
	{ "status", do_status, false, false, false },
	{ "stop", do_stop, false, false, false },
	{ "unload", do_unload, true, true, false },
	{ "workers", do_workers, false, false, false },
};

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* Where the value of @key goes; NULL: @command has no such key. */
static const char **arg_of(const struct command *command, struct args *args, const char *key)
{
	if (command->model && strcmp(key, "model") == 0)
		return &args->model;
	if (command->version && strcmp(key, "version") == 0)
		return &args->version;
	if (command->to && strcmp(key, "to") == 0)
		return &args->to;
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
	if ((command->model && !args->model) || (command->version && !args->version)) {
		sto_fail(error, "%s: needs model%s", command->name, command->version ? " and version" : "");
		return -1;
	}
	if (args->model && sto_name_check(args->model, error))
		return -1;
	return version_check(args->version, error) || version_check(args->to, error) ? -1 : 0;
}

void sup_command(struct sup *sup, struct sup_conn *conn, const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "command"));
	const struct command *command = name ? command_find(name) : NULL;
	struct args args = { NULL, NULL, NULL };
	struct sto_error error = { "" };

	if (!command) {
		sup_conn_refuse(conn, "request: %s \"%.60s\"; there are activate, list, load, rollback, show, "
				"status, stop, unload and workers", name ? "unknown command" :
				"no text under \"command\"", name ? name : "");
		return;
	}
	if (args_read(command, request, &args, &error)) {
		sup_conn_refuse(conn, "%s", error.text);
		return;
	}
	if (sup->state == SUP_STOPPING && command->model) {
		sup_conn_refuse(conn, "the host is shutting down");
		return;
	}
	log_debug("control: %s %s %s", name, args.model ? args.model : "", args.version ? args.version : "");
	command->fn(sup, conn, &args);
}
