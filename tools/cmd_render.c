/* SPDX-License-Identifier: MIT */
/* cmd_render.c: `mhost render`: a chat request through a chat template. Needs no daemon. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd.h"
#include "sto_model.h"
#include "template.h"
#include "tpl.h"

static const char synopsis[] = "MODEL[@VERSION] REQUEST.json [--template FILE] [--store DIR]";

struct run {
	const struct cmd *cmd;
	const char *store, *file, *request;	/* file: --template */
	char model[MHS_NAME_BYTES], version[MHS_SEMVER_BYTES];
	struct template template;
};

static json_t *load_request(const struct run *run)
{
	json_error_t where;
	json_t *request = strcmp(run->request, "-") ? json_load_file(run->request, JSON_ALLOW_NUL, &where) :
						      json_loadf(stdin, JSON_ALLOW_NUL, &where);

	if (!request)
		cmd_fail(run->cmd, CMD_FAILED, "%s: line %d, column %d: %s; correct it", run->request,
			 where.line, where.column, where.text);
	else if (!json_is_object(request))
		cmd_fail(run->cmd, CMD_FAILED, "%s: is not an object; limit {\"messages\": [...], ...}",
			 run->request);
	if (json_is_object(request))
		return request;
	json_decref(request);
	return NULL;
}

static int render(const struct run *run, const json_t *request)
{
	const struct template *t = &run->template;
	struct tpl_host host = { .now = time(NULL) };
	struct tpl_limits limits = TPL_LIMITS_INIT;
	struct tpl_error error;
	struct tpl *tpl;
	char *text = NULL;
	size_t bytes;
	int err = tpl_compile(&tpl, t->text, t->bytes, &error);

	for (int w = 0; w < TPL_WORD_COUNT; w++)
		host.words[w] = t->words[w];
	if (!err)
		err = tpl_chat(tpl, request, &host, &limits, &text, &bytes, &error);
	tpl_free(&tpl);
	if (err)
		return cmd_fail(run->cmd, CMD_FAILED, "%s: %s", error.fault == TPL_REQUEST ? run->request :
				run->file ? run->file : "chat template", error.text);
	fwrite(text, 1, bytes, stdout);
	free(text);
	return CMD_OK;
}

static int parse(struct run *run, int argc, char **argv)
{
	static const struct option longs[] = { { "store", required_argument, NULL, 's' },
					       { "template", required_argument, NULL, 't' }, { 0 } };
	struct sto_error error;
	int opt, given;

	while ((opt = cmd_getopt(run->cmd, argc, argv, ":", longs)) != -1) {
		if (opt != 's' && opt != 't')
			return CMD_USAGE;
		*(opt == 's' ? &run->store : &run->file) = optarg;
	}
	given = argc - optind;
	if (given != 2 && !(given == 1 && run->file))
		return cmd_usage(run->cmd, synopsis);
	run->request = argv[argc - 1];
	if (given == 2 && sto_ref_parse(argv[optind], 1, run->model, run->version, &error))
		return cmd_fail(run->cmd, CMD_USAGE, "%s", error.text);
	run->store = cmd_store(run->cmd, run->store);
	return run->store ? CMD_OK : CMD_USAGE;
}

/* The template of the file goes before that of the version, which then gives its tokens alone. */
static int take_template(struct run *run)
{
	struct template *t = &run->template;
	int status = run->model[0] ? template_load(run->cmd, run->store, run->model, run->version, t) : CMD_OK;

	if (!status && run->file) {
		free(t->text);
		t->text = cmd_read_file(run->cmd, run->file, STO_TEMPLATE_MAX, &t->bytes);
		status = t->text ? CMD_OK : CMD_FAILED;
	} else if (!status && !t->text) {
		status = cmd_fail(run->cmd, CMD_FAILED, "%s@%s has no chat template; give one with --template",
				  run->model, run->version);
	}
	return status;
}

int cmd_render(struct cmd *cmd, int argc, char **argv)
{
	struct run run = { .cmd = cmd };
	json_t *request = NULL;
	int status = parse(&run, argc, argv);

	if (!status)
		status = take_template(&run);
	if (!status)
		request = load_request(&run);
	if (!status)
		status = request ? render(&run, request) : CMD_FAILED;
	json_decref(request);
	template_free(&run.template);
	return status;
}
