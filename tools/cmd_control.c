/* SPDX-License-Identifier: MIT */
/* cmd_control.c: the verbs that are one request on the control socket and one thing to print. */
#include <stdio.h>
#include <string.h>

#include "cmd_adapter.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "-";
}

static double number_of(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

/* No arguments but the verb. */
static int call_plain(struct cmd *cmd, int argc, ctl_print_fn print)
{
	if (argc != 1)
		return cmd_usage(cmd, "[--json]");
	return ctl_show(cmd, json_pack("{s:s}", "command", cmd->verb), print);
}

/* One MODEL@VERSION. */
static int call_version(struct cmd *cmd, int argc, char **argv, ctl_print_fn print)
{
	const char *model, *version;

	if (argc != 2 || argv[1][0] == '-' || !strchr(argv[1], '@'))
		return cmd_usage(cmd, "MODEL@VERSION");
	if (cmd_split_ref(cmd, argv[1], &model, &version))
		return CMD_USAGE;
	return ctl_show(cmd, json_pack("{s:s, s:s, s:s}", "command", cmd->verb, "model", model,
				   "version", version), print);
}

static void print_list(const json_t *answer)
{
	const json_t *row;
	size_t i;

	printf("%-32s %-10s %12s\n", "VERSION", "STATE", "BYTES");
	json_array_foreach(json_object_get(answer, "versions"), i, row) {
		char name[128];

		snprintf(name, sizeof(name), "%s@%s", text_of(row, "model"), text_of(row, "version"));
		printf("%-32s %-10s %12.0f\n", name, text_of(row, "state"), number_of(row, "bytes"));
	}
}

static void print_object(const json_t *answer)
{
	json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	putchar('\n');
}

static void print_load(const json_t *answer)
{
	double bytes = number_of(answer, "read_bytes"), ns = number_of(answer, "load_ns");
	char subject[CMD_SUBJECT_BYTES];

	cmd_subject(answer, subject);
	if (json_is_true(json_object_get(answer, "already"))) {
		printf("%s was resident already\n", subject);
		return;
	}
	printf("%s loaded: %.1f MB in %.1f ms (%.2f GB/s, %s, %s pages), attached in %.1f ms\n", subject,
	       bytes / 1e6, ns / 1e6,
	       ns > 0 ? bytes / ns : 0, text_of(answer, "method"), text_of(answer, "rung"),
	       number_of(answer, "attach_ns") / 1e6);
}

void cmd_print_unload(const json_t *answer)
{
	printf("unloaded, %.1f MB given back after %.1f ms of grace\n",
	       number_of(answer, "freed_bytes") / 1e6, number_of(answer, "wait_ns") / 1e6);
}

void cmd_print_flip(const json_t *answer)
{
	const json_t *name;
	size_t i;

	printf("%s -> %s (epoch %.0f): %.1f us until every worker had it, %.0f bytes read\n",
	       text_of(answer, "from"), text_of(answer, "version"), number_of(answer, "epoch"),
	       number_of(answer, "flip_ns") / 1e3, number_of(answer, "read_bytes"));
	json_array_foreach(json_object_get(answer, "stranded"), i, name)
		printf("left behind: %s does not fit it\n", json_string_value(name));
}

static void print_models(const json_t *models)
{
	const json_t *model, *version;
	size_t i, j;

	printf("%-20s %-12s %-12s %7s  %s\n", "MODEL", "ACTIVE", "CANDIDATE", "WEIGHT", "RESIDENT");
	json_array_foreach(models, i, model) {
		printf("%-20s %-12s %-12s %7.0f  ", text_of(model, "name"), text_of(model, "active"),
		       text_of(model, "candidate"), number_of(model, "weight"));
		json_array_foreach(json_object_get(model, "resident"), j, version)
			printf("%s ", json_string_value(version));
		putchar('\n');
	}
}

static void print_status(const json_t *a)
{
	const json_t *pages = json_object_get(a, "pages"), *memory = json_object_get(a, "memory");
	const json_t *loader = json_object_get(a, "loader"), *numa = json_object_get(a, "numa");
	const json_t *adapters = json_object_get(a, "adapters");

	printf("mhostd %s, pid %.0f, up %.0f s, store %s\n", text_of(a, "version"),
	       number_of(a, "pid"), number_of(a, "uptime_s"), text_of(a, "store"));
	printf("workers %.0f x %.0f threads, %s; clients %.0f; epoch %.0f\n", number_of(a, "workers"),
	       number_of(a, "threads"), text_of(a, "isa"), number_of(a, "clients"),
	       number_of(a, "epoch"));
	printf("pages   %s (%s) %s\n", text_of(pages, "rung"), text_of(pages, "wanted"),
	       text_of(pages, "note"));
	printf("loader  %s %s\n", text_of(loader, "method"), text_of(loader, "note"));
	printf("numa    %s %s\n", text_of(numa, "mode"), text_of(numa, "note"));
	printf("adapters %.0f in memory, %.0f routed: %.1f MB of %.0f MB\n", number_of(adapters, "resident"),
	       number_of(adapters, "routed"), number_of(adapters, "bytes") / 1e6,
	       number_of(adapters, "budget_bytes") / 1e6);
	printf("memory  arenas %.1f MB for %.1f MB of images, control %.1f MB\n\n",
	       number_of(memory, "arena_bytes") / 1e6, number_of(memory, "image_bytes") / 1e6,
	       number_of(memory, "control_bytes") / 1e6);
	print_models(json_object_get(a, "models"));
}

static void print_workers(const json_t *answer)
{
	const json_t *worker, *pins, *n;
	const char *name;
	size_t i;

	printf("%8s %-9s %5s %8s %8s %9s  %s\n", "PID", "STATE", "NODE", "RUNNING", "QUEUED",
	       "RESTARTS", "PINS");
	json_array_foreach(json_object_get(answer, "workers"), i, worker) {
		printf("%8.0f %-9s %5.0f %8.0f %8.0f %9.0f  ", number_of(worker, "pid"),
		       text_of(worker, "state"), number_of(worker, "node"),
		       number_of(worker, "running"), number_of(worker, "queued"),
		       number_of(worker, "restarts"));
		pins = json_object_get(worker, "pins");
		json_object_foreach((json_t *)(uintptr_t)pins, name, n)
			printf("%s:%.0f ", name, json_number_value(n));
		putchar('\n');
	}
}

int cmd_list(struct cmd *cmd, int argc, char **argv)
{
	if (argc > 1)
		return cmd_adapter_list(cmd, argc, argv);
	return call_plain(cmd, argc, print_list);
}

int cmd_status(struct cmd *cmd, int argc, char **argv)
{
	return call_plain(cmd, argc, print_status);
}

/* As JSON the list alone. */
int cmd_workers(struct cmd *cmd, int argc, char **argv)
{
	json_t *answer;

	if (!cmd->json || argc != 1)
		return call_plain(cmd, argc, print_workers);
	answer = ctl_call(cmd, json_pack("{s:s}", "command", cmd->verb));
	if (!answer)
		return CMD_FAILED;
	cmd_json_print(json_incref(json_object_get(answer, "workers")));
	json_decref(answer);
	return CMD_OK;
}

int cmd_show(struct cmd *cmd, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (argv[i][0] != '-' && strchr(argv[i], '/') && strchr(argv[i], '@'))
			return cmd_adapter_show(cmd, argc, argv);
	return call_version(cmd, argc, argv, print_object);
}

int cmd_load(struct cmd *cmd, int argc, char **argv)
{
	return call_version(cmd, argc, argv, print_load);
}

int cmd_unload(struct cmd *cmd, int argc, char **argv)
{
	return call_version(cmd, argc, argv, cmd_print_unload);
}

int cmd_activate(struct cmd *cmd, int argc, char **argv)
{
	static const struct option options[] = { { "force", no_argument, NULL, 'f' }, { 0 } };
	const char *model, *version;
	json_t *request;
	int opt, force = 0;

	while ((opt = cmd_getopt(cmd, argc, argv, ":", options)) != -1) {
		if (opt != 'f')
			return CMD_USAGE;
		force = 1;
	}
	if (argc - optind != 1 || !strchr(argv[optind], '@'))
		return cmd_usage(cmd, "MODEL@VERSION [--force]");
	if (cmd_split_ref(cmd, argv[optind], &model, &version))
		return CMD_USAGE;
	request = json_pack("{s:s, s:s, s:s}", "command", cmd->verb, "model", model, "version", version);
	if (force)
		json_object_set_new(request, "force", json_string("yes"));
	return ctl_show(cmd, request, cmd_print_flip);
}

int cmd_rollback(struct cmd *cmd, int argc, char **argv)
{
	static const struct option options[] = { { "to", required_argument, NULL, 't' }, { 0 } };
	const char *to = NULL;
	json_t *request;
	int opt;

	while ((opt = cmd_getopt(cmd, argc, argv, ":", options)) != -1) {
		if (opt != 't')
			return CMD_USAGE;
		to = optarg;
	}
	if (argc - optind != 1)
		return cmd_usage(cmd, "MODEL [--to VERSION]");
	request = json_pack("{s:s, s:s}", "command", cmd->verb, "model", argv[optind]);
	if (to)
		json_object_set_new(request, "to", json_string(to));
	return ctl_show(cmd, request, cmd_print_flip);
}

/* One MODEL and perhaps a reason. */
static int call_model(struct cmd *cmd, int argc, char **argv, ctl_print_fn print)
{
	static const struct option options[] = { { "why", required_argument, NULL, 'y' }, { 0 } };
	const char *why = NULL;
	json_t *request;
	int opt;

	while ((opt = cmd_getopt(cmd, argc, argv, ":", options)) != -1) {
		if (opt != 'y')
			return CMD_USAGE;
		why = optarg;
	}
	if (argc - optind != 1 || strchr(argv[optind], '@'))
		return cmd_usage(cmd, "MODEL [--why TEXT]");
	request = json_pack("{s:s, s:s}", "command", cmd->verb, "model", argv[optind]);
	if (why)
		json_object_set_new(request, "why", json_string(why));
	return ctl_show(cmd, request, print);
}

static void print_abort(const json_t *answer)
{
	char subject[CMD_SUBJECT_BYTES];

	printf("%s: release ended, all traffic is on %s\n", cmd_subject(answer, subject),
	       text_of(answer, "active"));
}

static void print_state(const json_t *answer)
{
	char subject[CMD_SUBJECT_BYTES];

	printf("%s: %s at %g %%, %s\n", cmd_subject(answer, subject),
	       text_of(answer, "mode"), number_of(answer, "weight"), text_of(answer, "state"));
}

int cmd_abort(struct cmd *cmd, int argc, char **argv)
{
	return call_model(cmd, argc, argv, print_abort);
}

int cmd_hold(struct cmd *cmd, int argc, char **argv)
{
	return call_model(cmd, argc, argv, print_state);
}

int cmd_resume(struct cmd *cmd, int argc, char **argv)
{
	return call_model(cmd, argc, argv, print_state);
}

int cmd_promote(struct cmd *cmd, int argc, char **argv)
{
	return call_model(cmd, argc, argv, cmd_print_flip);
}
