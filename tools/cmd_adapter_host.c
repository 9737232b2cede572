/* SPDX-License-Identifier: MIT */
/*
 * cmd_adapter_host.c: `mhost adapter`: a host's adapters. What it does to one MODEL NAME other verbs do
 * to MODEL/NAME: there is one way to name a version, and two to write it.
 */
#include <stdlib.h>
#include <string.h>

#include "cmd_adapter.h"

#define TARGET_BYTES	160u

/* What is asked for. */
struct ask {
	char target[TARGET_BYTES];	/* MODEL/NAME */
	const char *version;		/* NULL: none was given */
};

static double number_of(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* MODEL NAME[@VERSION] or MODEL/NAME[@VERSION] from optind on. CMD_OK, or CMD_USAGE and told. */
static int take_target(struct cmd *cmd, int argc, char **argv, const char *synopsis, struct ask *ask)
{
	const char *model = argc - optind == 2 ? argv[optind] : "", *name;
	bool whole = argc - optind == 1 && strchr(argv[optind], '/');

	if (!whole && argc - optind != 2)
		return cmd_usage(cmd, synopsis);
	if (cmd_split_ref(cmd, argv[argc - 1], &name, &ask->version))
		return CMD_USAGE;
	if (snprintf(ask->target, TARGET_BYTES, "%s%s%s", model, whole ? "" : "/", name) >= (int)TARGET_BYTES)
		return cmd_fail(cmd, CMD_USAGE, "%.40s: the name is too long, limit 63 characters", name);
	return CMD_OK;
}

static json_t *request_of(const struct ask *ask, const char *command)
{
	return json_pack("{s:s, s:s, s:s*}", "command", command, "model", ask->target, "version",
			 ask->version);
}

/* ---- load, swap, unload, rollback ------------------------------------------------------------- */

static void print_load(const json_t *answer)
{
	char subject[CMD_SUBJECT_BYTES];
	bool already = json_is_true(json_object_get(answer, "already"));

	printf("%s %s", cmd_subject(answer, subject), already ? "was in memory already" : "is in memory");
	if (!already)
		printf(" (%.2f MB in %.2f ms, attached in %.2f ms)", number_of(answer, "bytes") / 1e6,
		       number_of(answer, "load_ns") / 1e6, number_of(answer, "attach_ns") / 1e6);
	printf(json_is_true(json_object_get(answer, "active")) ? " and is the active version\n" :
	       "; another version is active\n");
}

static const char one[] = "MODEL NAME[@VERSION] [--json]";

/* One that has no options. */
static int call_one(struct cmd *cmd, int argc, char **argv, const char *command, ctl_print_fn print)
{
	static const struct option none[] = { { 0 } };
	struct ask ask;

	if (cmd_getopt(cmd, argc, argv, ":", none) != -1 || take_target(cmd, argc, argv, one, &ask))
		return CMD_USAGE;
	return ctl_show(cmd, request_of(&ask, command), print);
}

static int do_load(struct cmd *cmd, int argc, char **argv)
{
	return call_one(cmd, argc, argv, "load", print_load);
}

static int do_swap(struct cmd *cmd, int argc, char **argv)
{
	return call_one(cmd, argc, argv, "activate", cmd_print_flip);
}

static int do_unload(struct cmd *cmd, int argc, char **argv)
{
	return call_one(cmd, argc, argv, "unload", cmd_print_unload);
}

static int do_rollback(struct cmd *cmd, int argc, char **argv)
{
	static const struct option longs[] = { { "to", required_argument, NULL, 't' }, { 0 } };
	static const char synopsis[] = "MODEL NAME [--to VERSION] [--json]";
	const char *to = NULL;
	struct ask ask;
	json_t *request;
	int opt;

	while ((opt = cmd_getopt(cmd, argc, argv, ":", longs)) != -1) {
		if (opt != 't')
			return CMD_USAGE;
		to = optarg;
	}
	if (take_target(cmd, argc, argv, synopsis, &ask))
		return CMD_USAGE;
	if (ask.version)
		return cmd_usage(cmd, synopsis);
	request = request_of(&ask, "rollback");
	if (to)
		json_object_set_new(request, "to", json_string(to));
	return ctl_show(cmd, request, cmd_print_flip);
}

/* ---- list --------------------------------------------------------------------------------------- */

static bool is_same(const json_t *a, const json_t *b)
{
	return !strcmp(text_of(a, "adapter"), text_of(b, "adapter")) &&
	       !strcmp(text_of(a, "version"), text_of(b, "version")) &&
	       !strcmp(text_of(a, "model"), text_of(b, "model"));
}

/* What the store knows of a version that the host has or routes, or a row of its own. */
static void add_stored(json_t *rows, json_t *stored)
{
	const json_t *ranks = json_object_get(stored, "ranks");
	json_t *row, *facts;
	size_t i;

	facts = json_pack("{s:O*, s:O*, s:O*, s:O*}", "rank_min", json_array_get(ranks, 0), "rank_max",
			  json_array_get(ranks, json_array_size(ranks) ? json_array_size(ranks) - 1 : 0),
			  "bytes", json_object_get(stored, "bytes"), "problem",
			  json_object_get(stored, "problem"));
	json_object_set_new(facts, "in_store", json_true());
	json_array_foreach(rows, i, row) {
		if (!is_same(row, stored))
			continue;
		json_object_update_missing(row, facts);
		json_decref(facts);
		return;
	}
	row = json_pack("{s:O, s:O, s:O, s:s, s:b}", "model", json_object_get(stored, "model"), "adapter",
			json_object_get(stored, "adapter"), "version", json_object_get(stored, "version"),
			"state", "stored", "routed", 0);
	json_object_update(row, facts);
	json_decref(facts);
	json_array_append_new(rows, row);
}

/* The host says where its store is; who may not read it sees what is in memory alone. */
static void merge_store(const struct cmd *cmd, json_t *answer, const char *model, const char *name)
{
	json_t *stored = json_array(), *row;
	struct sto_error error;
	size_t i;

	if (cmd_adapter_rows(text_of(answer, "store"), model, stored, &error))
		cmd_fail(cmd, 0, "warning: in memory alone: %s", error.text);
	json_array_foreach(stored, i, row)
		if (!name || !strcmp(text_of(row, "adapter"), name))
			add_stored(json_object_get(answer, "adapters"), row);
	json_decref(stored);
}

static void print_adapters(const json_t *answer)
{
	const json_t *row, *bytes;
	char subject[CMD_SUBJECT_BYTES], rank[32];
	size_t i;

	printf("%-40s %-10s %-6s %7s %9s %8s %9s\n", "ADAPTER", "STATE", "ROUTE", "RANK", "MB", "USES",
	       "UNUSED S");
	json_array_foreach(json_object_get(answer, "adapters"), i, row) {
		double low = number_of(row, "rank_min"), high = number_of(row, "rank_max");

		snprintf(rank, sizeof(rank), low < high ? "%.0f-%.0f" : high > 0 ? "%.0f" : "-", low, high);
		bytes = json_object_get(row, "bytes");
		printf("%-40s %-10s %-6s %7s %9.2f", cmd_subject(row, subject), text_of(row, "state"),
		       json_is_true(json_object_get(row, "routed")) ? "yes" : "-", rank,
		       json_number_value(bytes) / 1e6);
		if (json_object_get(row, "uses"))
			printf(" %8.0f %9.1f", number_of(row, "uses"), number_of(row, "unused_s"));
		if (json_is_true(json_object_get(row, "pushed")))
			printf("  in memory alone");
		printf("%s%s\n", *text_of(row, "problem") ? "  DAMAGED: " : "", text_of(row, "problem"));
	}
	printf("in memory: %.2f MB of %.0f MB (adapter_bytes)\n", number_of(answer, "bytes") / 1e6,
	       number_of(answer, "budget_bytes") / 1e6);
}

static int do_list(struct cmd *cmd, int argc, char **argv)
{
	const char *model = argc > 1 ? argv[1] : NULL, *name = argc > 2 ? argv[2] : NULL;
	json_t *request = json_pack("{s:s}", "command", "adapters"), *answer;
	char target[TARGET_BYTES];

	if (argc > 3 || (model && model[0] == '-')) {
		json_decref(request);
		return cmd_usage(cmd, "[MODEL [NAME]] [--json]");
	}
	snprintf(target, sizeof(target), "%.63s%s%.63s", model ? model : "", name ? "/" : "", name ? name : "");
	if (model)
		json_object_set_new(request, "model", json_string(target));
	answer = ctl_call(cmd, request);
	if (!answer)
		return CMD_FAILED;
	json_object_del(answer, "ok");
	merge_store(cmd, answer, model, name);
	if (cmd->json)
		cmd_json_print(json_incref(answer));
	else
		print_adapters(answer);
	json_decref(answer);
	return CMD_OK;
}

/* ---- the group ------------------------------------------------------------------------------------ */

static int do_merge(struct cmd *cmd, int argc, char **argv)
{
	return cmd_adapter_merge(cmd, argc, argv);
}

static const struct {
	const char *name, *verb;
	cmd_fn fn;
} verbs[] = {
	{ "list", "adapter list", do_list },
	{ "load", "adapter load", do_load },
	{ "merge", "adapter", do_merge },
	{ "push", "adapter push", cmd_adapter_push },
	{ "rollback", "adapter rollback", do_rollback },
	{ "swap", "adapter swap", do_swap },
	{ "unload", "adapter unload", do_unload },
};

int cmd_adapter(struct cmd *cmd, int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(argv[1], verbs[i].name))
			continue;
		cmd->verb = verbs[i].verb;
		return verbs[i].fn(cmd, argc - 1, argv + 1);
	}
	return cmd_usage(cmd, "list | load | merge | push | rollback | swap | unload ...; see mhost(1)");
}
