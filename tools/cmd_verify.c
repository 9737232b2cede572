/* SPDX-License-Identifier: MIT */
/* cmd_verify.c: `mhost verify`: hash the store again, and put golden cases. Needs no daemon. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "sto_adapter.h"
#include "sto_verify.h"
#include "verify_golden.h"

static const char synopsis[] = "[MODEL[@VERSION] | MODEL/ADAPTER[@VERSION]] [--no-golden] [--store DIR] [--json]";

struct run {
	const struct cmd *cmd;
	struct sto_verify verify;
	/* asked for; empty: all */
	char model[MHS_NAME_BYTES], adapter[MHS_NAME_BYTES], version[MHS_SEMVER_BYTES];
	char name[2 * MHS_NAME_BYTES + MHS_SEMVER_BYTES + 8];	/* at hand */
	json_t *list, *problems;
	struct verify_golden golden;
	bool no_golden;
	uint64_t bytes;
	uint32_t damaged, unasked;
	int shown;		/* of the bar; -1: nothing */
	int err;
	struct sto_error error;
};

static void note_problem(void *arg, const char *text)
{
	struct run *run = arg;

	cmd_bar_clear(&run->shown);
	if (!run->cmd->json)
		printf("%s DAMAGED: %s\n", run->name, text);
	json_array_append_new(run->problems, json_string(text) ?: json_string("(not UTF-8)"));
}

static void draw(void *arg, uint64_t done, uint64_t all)
{
	struct run *run = arg;

	cmd_bar(&run->shown, run->name, done, all);
}

/* A version without problems, and who answered its golden cases. */
static void show_good(const struct run *run, uint32_t cases)
{
	if (run->cmd->json || json_array_size(run->problems))
		return;
	if (cases)
		printf("%s good, %u golden cases (%s)\n", run->name, cases, run->golden.isa);
	else
		printf("%s good\n", run->name);
}

/* @adapter: NULL for a version of the model itself. */
static int verify(struct run *run, const char *model, const char *adapter, const char *version)
{
	uint64_t bytes = 0;
	uint32_t cases = 0;

	if (run->version[0] && strcmp(run->version, version))
		return 0;
	snprintf(run->name, sizeof(run->name), "%s%s%s@%s", model, adapter ? "/" : "",
		 adapter ? adapter : "", version);
	run->problems = json_array();
	run->err = adapter ? sto_verify_adapter(&run->verify, model, adapter, version, &bytes, &run->error) :
			     sto_verify_version(&run->verify, model, version, &bytes, &run->error);
	cmd_bar_clear(&run->shown);
	if (run->err) {
		json_decref(run->problems);
		return 1;
	}
	/* what is damaged is not loaded */
	if (!adapter && !run->no_golden && json_array_size(run->problems) == 0)
		run->unasked += verify_golden(&run->golden, model, version, &cases, note_problem, run) != CMD_OK;
	show_good(run, cases);
	run->damaged += json_array_size(run->problems) > 0;
	run->bytes += bytes;
	return json_array_append_new(run->list, json_pack("{s:s, s:s*, s:s, s:b, s:I, s:I, s:o}", "model", model,
				     "adapter", adapter, "version", version, "good", json_array_size(run->problems) == 0,
				     "bytes", (json_int_t)bytes, "golden_cases", (json_int_t)cases, "problems",
				     run->problems)) ? 1 : 0;
}

static int verify_version(void *arg, const char *model, const char *version)
{
	return verify(arg, model, NULL, version);
}

static int verify_adapter(void *arg, const char *model, const char *adapter, const char *version)
{
	struct run *run = arg;

	if (run->adapter[0] && strcmp(run->adapter, adapter))
		return 0;
	return verify(run, model, adapter, version);
}

/* Its versions, then its adapters; one of the two when that was asked for. */
static int each_model(void *arg, const char *model)
{
	struct run *run = arg;
	int err = 0;

	if (!run->adapter[0])
		err = sto_entries_each(run->verify.store, model, verify_version, run, &run->error);
	if (!err && !run->err && (run->adapter[0] || !run->version[0]))
		err = sto_adapter_entries_each(run->verify.store, model, verify_adapter, run, &run->error);
	if (err && !run->err)
		run->err = err;
	return run->err;
}

static int parse(struct run *run, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "no-golden", no_argument, NULL, 'g' }, { "store", required_argument, NULL, 's' }, { 0 }
	};
	const char *store = NULL;
	int opt;

	while ((opt = cmd_getopt(run->cmd, argc, argv, ":", longs)) != -1) {
		if (opt == 'g')
			run->no_golden = true;
		else if (opt == 's')
			store = optarg;
		else
			return CMD_USAGE;
	}
	if (argc - optind > 1)
		return cmd_usage(run->cmd, synopsis);
	if (argv[optind] && (sto_ref_is_adapter(argv[optind]) ?
			     sto_adapter_ref_parse(argv[optind], 1, run->model, run->adapter, run->version,
						   &run->error) :
			     sto_ref_parse(argv[optind], 1, run->model, run->version, &run->error)))
		return cmd_fail(run->cmd, CMD_USAGE, "%s", run->error.text);
	run->verify.store = cmd_store(run->cmd, store);
	return run->verify.store ? CMD_OK : CMD_USAGE;
}

static int report(struct run *run)
{
	size_t count = json_array_size(run->list);

	if (run->err)
		return cmd_fail(run->cmd, CMD_FAILED, "%s", run->error.text);
	if (count == 0 && run->model[0])
		return cmd_fail(run->cmd, CMD_FAILED, "%s%s%s%s%s is not in the store %s; see mhost verify alone",
				run->model, run->adapter[0] ? "/" : "", run->adapter, run->version[0] ? "@" : "", run->version, run->verify.store);
	if (run->cmd->json)
		cmd_json_print(json_pack("{s:O, s:i, s:I}", "versions", run->list, "damaged", run->damaged,
					 "bytes", (json_int_t)run->bytes));
	else
		printf("%zu versions, %.1f MB hashed\n", count, (double)run->bytes / 1e6);
	fflush(stdout);
	if (run->unasked)
		cmd_fail(run->cmd, CMD_FAILED, "golden cases of %u versions could not be asked; see above, or leave "
			 "them out with --no-golden", run->unasked);
	if (run->damaged)
		return cmd_fail(run->cmd, CMD_FAILED, "%u of %zu versions are damaged; import them again "
				"under new numbers", run->damaged, count);
	return run->unasked ? CMD_FAILED : CMD_OK;
}

int cmd_verify(struct cmd *cmd, int argc, char **argv)
{
	struct run run = { .cmd = cmd, .shown = -1 };
	int status = parse(&run, argc, argv);

	if (status)
		return status;
	run.verify.problem = note_problem;
	run.verify.progress = isatty(STDERR_FILENO) ? draw : NULL;
	run.verify.arg = &run;
	run.verify.stop = cmd_catch_signals();
	run.verify.verified = sto_verified_new();
	run.golden = (struct verify_golden){ .cmd = cmd, .store = run.verify.store, .stop = run.verify.stop };
	run.list = json_array();
	if (!run.verify.verified)
		status = cmd_fail(cmd, CMD_FAILED, "out of memory; free some");
	else if (run.model[0])
		each_model(&run, run.model);
	else
		run.err = sto_models_each(run.verify.store, each_model, &run, &run.error);
	if (!status)
		status = report(&run);
	verify_golden_end(&run.golden);
	sto_verified_free(&run.verify.verified);
	json_decref(run.list);
	return status;
}
