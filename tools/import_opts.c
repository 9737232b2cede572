/* SPDX-License-Identifier: MIT */
/* import_opts.c: options of the verbs that make versions, and the making. */
#include "import_opts.h"

#include <string.h>
#include <unistd.h>

#include "prompts.h"
#include "template.h"

#define WHY_BYTES_MAX	512u

int import_parse_bump(const struct cmd *cmd, const char *text, enum sto_bump *bump)
{
	static const char *const parts[] = { NULL, "major", "minor", "patch" };

	for (uint32_t i = STO_BUMP_MAJOR; i <= STO_BUMP_PATCH; i++) {
		if (strcmp(text, parts[i]))
			continue;
		*bump = i;
		return CMD_OK;
	}
	return cmd_fail(cmd, CMD_USAGE, "--bump %.40s: limit major, minor, patch; choose one of them", text);
}

int import_parse_why(const struct cmd *cmd, const char *text, const char **why)
{
	if (strlen(text) > WHY_BYTES_MAX || !sto_utf8_valid(text, strlen(text), true))
		return cmd_fail(cmd, CMD_USAGE, "--why: limit %u bytes of UTF-8 text; shorten it",
				WHY_BYTES_MAX);
	*why = text;
	return CMD_OK;
}

int import_load_golden(const struct cmd *cmd, const char *path, struct sto_import *import)
{
	char error[PROMPTS_ERROR_BYTES], *data;
	struct prompts cases = { 0 };
	int err;

	if (!path)
		return CMD_OK;
	err = prompts_load(path, &data, &import->golden.bytes, error);
	import->golden.data = data;
	if (!err)
		err = prompts_parse(path, data, import->golden.bytes, PROMPTS_GOLDEN, &cases, error);
	import->golden.count = cases.count;
	prompts_free(&cases);
	return err ? cmd_fail(cmd, CMD_FAILED, "%s", error) : CMD_OK;
}

static void draw(void *arg, const char *step, uint64_t done, uint64_t all)
{
	cmd_bar(arg, step, done, all);
}

int import_run(const struct cmd *cmd, struct sto_import *import, struct sto_import_result *result)
{
	struct sto_error error = { "" };
	int err, shown = -1;

	import->stop = cmd_catch_signals();
	if (isatty(STDERR_FILENO)) {
		import->progress = draw;
		import->progress_arg = &shown;
	}
	err = sto_import(import, result, &error);
	cmd_bar_clear(&shown);
	if (err)
		return cmd_fail(cmd, CMD_FAILED, "%s", error.text);
	if (sto_import_log(import, result, &error))
		cmd_fail(cmd, 0, "warning: imported, but not in the history: %s", error.text);
	template_warn(cmd, import->store, import->model, result->version);
	return CMD_OK;
}
