/* SPDX-License-Identifier: MIT */
/* cmd_prune.c: `mhost prune`: remove old versions that nobody needs. Works with and without a host. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd.h"
#include "sto_adapter.h"
#include "sto_history.h"
#include "sto_prune.h"

#define KEEP_MAX	1000000u

static const char synopsis[] = "MODEL[/ADAPTER] --keep N [--dry-run] [--store DIR] [--json]";

struct prune {
	const struct cmd *cmd;
	const char *store;
	const char *target;		/* "smol" or "smol/tone", as it is said */
	char model[MHS_NAME_BYTES], adapter[MHS_NAME_BYTES];	/* adapter empty: the model itself */
	char folder[STO_ADAPTER_FOLDER_BYTES];
	uint64_t keep;
	bool dry_run;
	json_t *protect;		/* version: why it stays */
	json_t *remove, *spared;	/* versions */
	json_t *removed;		/* for the answer */
	uint64_t freed;
};

/* ---- what the host needs ----------------------------------------------------------------- */

static bool same_place(const char *a, const char *b)
{
	struct stat x, y;

	return a && stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static void protect(struct prune *p, const json_t *version, const char *why)
{
	const char *text = json_string_value(version);

	if (text && !json_object_get(p->protect, text))
		json_object_set_new(p->protect, text, json_string(why));
}

static void protect_routes(struct prune *p, const json_t *status)
{
	const json_t *model, *version;
	size_t i, j;

	json_array_foreach(json_object_get(status, "models"), i, model) {
		if (strcmp(json_string_value(json_object_get(model, "name")) ?: "", p->model))
			continue;
		protect(p, json_object_get(model, "active"), "active");
		protect(p, json_object_get(model, "candidate"), "candidate");
		json_array_foreach(json_object_get(model, "history"), j, version)
			protect(p, version, "in the rollback history");
		json_array_foreach(json_object_get(model, "resident"), j, version)
			protect(p, version, "resident");
	}
}

/* Those that are just being loaded are in no route yet. @answer: ctl_call()'s. */
static int protect_states(struct prune *p, json_t *answer, const char *rows)
{
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(answer, rows), i, row) {
		const char *model = json_string_value(json_object_get(row, "model"));
		const char *state = json_string_value(json_object_get(row, "state"));

		if (json_is_true(json_object_get(row, "routed")))
			protect(p, json_object_get(row, "version"), "active");
		else if (model && state && !strcmp(model, p->model) && strcmp(state, "stored"))
			protect(p, json_object_get(row, "version"), state);
	}
	json_decref(answer);
	return answer ? CMD_OK : CMD_FAILED;
}

/* What the host that serves this store says; of an adapter's rollbacks it writes all down. */
static int protect_live(struct prune *p, const json_t *status)
{
	struct sto_error error;

	if (!p->adapter[0]) {
		protect_routes(p, status);
		return protect_states(p, ctl_call(p->cmd, json_pack("{s:s}", "command", "list")), "versions");
	}
	if (sto_prune_state(p->store, p->target, p->protect, &error))
		return cmd_fail(p->cmd, CMD_FAILED, "%s", error.text);
	return protect_states(p, ctl_call(p->cmd, json_pack("{s:s, s:s}", "command", "adapters", "model",
							    p->target)), "adapters");
}

/* The host that serves this store knows; without one, the history file does. */
static int find_protected(struct prune *p)
{
	json_t *status = NULL;
	struct sto_error error;
	int result;

	if (!ctl_absent(p->cmd)) {
		status = ctl_call(p->cmd, json_pack("{s:s}", "command", "status"));
		if (!status)
			return CMD_FAILED;
	}
	if (same_place(json_string_value(json_object_get(status, "store")), p->store)) {
		result = protect_live(p, status);
	} else if (sto_prune_history(p->store, p->target, p->protect, &error)) {
		result = cmd_fail(p->cmd, CMD_FAILED, "%s", error.text);
	} else {
		result = CMD_OK;
	}
	json_decref(status);
	return result;
}

/* ---- the work ---------------------------------------------------------------------------- */

static int choose(struct prune *p)
{
	struct sto_error error;
	uint32_t count;

	if (sto_prune_choose(p->store, p->folder, (uint32_t)p->keep, p->protect, p->remove, p->spared,
			     &count, &error))
		return cmd_fail(p->cmd, CMD_FAILED, "%s", error.text);
	if (count == 0)
		return cmd_fail(p->cmd, CMD_FAILED, "%s is not in the store %s; see mhost verify for what "
				"is", p->target, p->store);
	return CMD_OK;
}

static void tell_history(struct prune *p, const char *version, uint64_t bytes)
{
	struct sto_error error;
	char why[64];
	json_t *event;

	snprintf(why, sizeof(why), "older than the %u kept", (unsigned int)p->keep);
	event = json_pack("{s:s, s:s, s:s*, s:s, s:s, s:I}", "event", "prune", "model", p->model, "adapter",
			  p->adapter[0] ? p->adapter : NULL, "version", version, "why", why, "bytes",
			  (json_int_t)bytes);
	if (sto_history_append(p->store, event, &error))
		cmd_fail(p->cmd, 0, "warning: removed, but not in the history: %s", error.text);
	json_decref(event);
}

static int remove_one(struct prune *p, const char *version)
{
	struct sto_error error;
	uint64_t bytes = 0;

	if (!p->dry_run && sto_prune_remove(p->store, p->folder, version, &bytes, &error))
		return cmd_fail(p->cmd, CMD_FAILED, "%s@%s: %s", p->target, version, error.text);
	if (!p->dry_run)
		tell_history(p, version, bytes);
	p->freed += bytes;
	json_array_append_new(p->removed, json_pack("{s:s, s:I}", "version", version, "bytes",
						    (json_int_t)bytes));
	if (p->cmd->json)
		return CMD_OK;
	if (p->dry_run)
		printf("would remove %s@%s\n", p->target, version);
	else
		printf("removed %s@%s, %.1f MB\n", p->target, version, (double)bytes / 1e6);
	return CMD_OK;
}

static void report(const struct prune *p)
{
	json_t *spared = json_array(), *version;
	size_t i;

	json_array_foreach(p->spared, i, version) {
		const char *text = json_string_value(version);
		json_t *why = json_object_get(p->protect, text);

		if (!p->cmd->json)
			printf("kept %s@%s: %s\n", p->target, text, json_string_value(why));
		json_array_append_new(spared, json_pack("{s:s, s:O}", "version", text, "why", why));
	}
	if (p->cmd->json)
		cmd_json_print(json_pack("{s:s, s:s*, s:I, s:b, s:O, s:O, s:I}", "model", p->model, "adapter",
					 p->adapter[0] ? p->adapter : NULL, "keep",
					 (json_int_t)p->keep, "dry_run", p->dry_run, "removed", p->removed,
					 "protected", spared, "freed_bytes", (json_int_t)p->freed));
	else if (json_array_size(p->removed) == 0)
		printf("nothing to remove\n");
	json_decref(spared);
}

static int run(struct prune *p)
{
	int status = find_protected(p);
	json_t *version;
	size_t i;

	if (!status)
		status = choose(p);
	if (status)
		return status;
	json_array_foreach(p->remove, i, version)
		if (!status)
			status = remove_one(p, json_string_value(version));
	report(p);
	return status;
}

static int parse_target(struct prune *p, const char *target)
{
	char version[MHS_SEMVER_BYTES] = "";
	struct sto_error error;

	p->target = target;
	if (sto_ref_is_adapter(target) ?
	    sto_adapter_ref_parse(target, 1, p->model, p->adapter, version, &error) :
	    sto_name_check(target, &error))
		return cmd_fail(p->cmd, CMD_USAGE, "%s", error.text);
	if (version[0])
		return cmd_usage(p->cmd, synopsis);
	if (p->adapter[0])
		sto_adapter_folder(p->model, p->adapter, p->folder);
	else
		snprintf(p->folder, sizeof(p->folder), "%s", target);
	snprintf(p->model, sizeof(p->model), "%.*s", (int)strcspn(target, "/"), target);
	return CMD_OK;
}

static int parse(struct prune *p, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "keep", required_argument, NULL, 'k' },
		{ "dry-run", no_argument, NULL, 'd' },
		{ "store", required_argument, NULL, 's' },
		{ 0 },
	};
	int opt;

	while ((opt = cmd_getopt(p->cmd, argc, argv, ":", longs)) != -1) {
		if (opt == 'd')
			p->dry_run = true;
		else if (opt == 's')
			p->store = optarg;
		else if (opt != 'k')
			return CMD_USAGE;
		else if (!cmd_parse_u64(optarg, 1, KEEP_MAX, &p->keep))
			return cmd_fail(p->cmd, CMD_USAGE, "--keep %.40s: limit 1..%u; give how many of the "
					"highest versions stay", optarg, KEEP_MAX);
	}
	if (argc - optind != 1 || !p->keep)
		return cmd_usage(p->cmd, synopsis);
	if (parse_target(p, argv[optind]))
		return CMD_USAGE;
	p->store = cmd_store(p->cmd, p->store);
	return p->store ? CMD_OK : CMD_USAGE;
}

int cmd_prune(struct cmd *cmd, int argc, char **argv)
{
	struct prune p = { .cmd = cmd };
	int status = parse(&p, argc, argv);

	if (status)
		return status;
	p.protect = json_object();
	p.remove = json_array();
	p.spared = json_array();
	p.removed = json_array();
	status = run(&p);
	json_decref(p.removed);
	json_decref(p.spared);
	json_decref(p.remove);
	json_decref(p.protect);
	return status;
}
