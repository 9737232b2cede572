/* SPDX-License-Identifier: MIT */
/* cmd_golden.c: `mhost golden check`: whether a version answers its cases. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"
#include "sto_golden.h"

#define EXCERPT_BYTES	48

struct options {
	const char *file;
	uint32_t limit_s;
	char model[MHS_NAME_BYTES], version[MHS_SEMVER_BYTES];
};

/* ---- arguments ------------------------------------------------------------------------------ */

static int parse(const struct cmd *cmd, int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "file", required_argument, NULL, 'f' },
		{ "limit", required_argument, NULL, 'l' },
		{ 0 },
	};
	int opt, err = CMD_OK;

	*o = (struct options){ .limit_s = STOP_LIMIT_DEFAULT_S };
	while (!err && (opt = cmd_getopt(cmd, argc, argv, ":", longs)) != -1) {
		if (opt == 'f')
			o->file = optarg;
		else
			err = opt == 'l' ? stop_parse_limit(cmd, optarg, &o->limit_s) : CMD_USAGE;
	}
	if (err)
		return err;
	if (argc - optind != 1)
		return cmd_usage(cmd, GOLDEN_SYNOPSIS);
	return golden_parse_ref(cmd, argv[optind], o->model, o->version);
}

/* ---- check ---------------------------------------------------------------------------------- */

struct check {
	struct golden golden;
	json_t *failures;
	uint32_t cases, done, failed;
};

/* The start of a prompt, for people: one line of printable text. */
static const char *excerpt(const struct prompt_part *part, char out[2 * EXCERPT_BYTES])
{
	size_t n = 0;

	if (!part->text) {
		snprintf(out, 2 * EXCERPT_BYTES, "%u tokens", part->id_count);
		return out;
	}
	out[n++] = '"';
	for (size_t i = 0; i < part->text_bytes && i < EXCERPT_BYTES; i++) {
		unsigned char c = (unsigned char)part->text[i];

		out[n++] = c < ' ' || c == 0x7f ? ' ' : (char)c;
	}
	/* Not in the middle of a character. */
	while (part->text_bytes > EXCERPT_BYTES && n > 1 &&
	       ((unsigned char)part->text[n - 1] & 0xc0) == 0x80)
		n--;
	snprintf(out + n, 2 * EXCERPT_BYTES - n, part->text_bytes > EXCERPT_BYTES ? "...\"" : "\"");
	return out;
}

static json_t *id_or_null(int64_t id)
{
	return id < 0 ? json_null() : json_integer(id);
}

static json_t *number_or_null(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

/* What differs, by the kind of check. */
static void add_details(json_t *o, const struct prompt *p, const struct golden_failure *f)
{
	if (!strcmp(f->check, "expect")) {
		json_object_set_new(o, "at", json_integer(f->at));
		json_object_set_new(o, "expected", id_or_null(f->expected));
		json_object_set_new(o, "got", id_or_null(f->got));
	} else if (!strcmp(f->check, "logprobs")) {
		json_object_set_new(o, "at", json_integer(f->at));
		json_object_set_new(o, "expected", json_real((double)p->logprobs[f->at]));
		json_object_set_new(o, "got", number_or_null(f->logprob));
	} else if (!strcmp(f->check, "min_logprob")) {
		json_object_set_new(o, "mean_logprob", number_or_null(f->logprob));
		json_object_set_new(o, "min_logprob", json_real(p->min_logprob));
	}
}

static void note_failure(struct check *c, const struct prompt *p, const struct golden_failure *f)
{
	char label[80], text[2 * EXCERPT_BYTES];
	json_t *o;

	c->failed++;
	if (!c->golden.cmd->json) {
		cmd_fail(c->golden.cmd, CMD_FAILED, "%s@%s: %s (%s): %s", c->golden.model,
			 c->golden.version, prompt_label(p, label), excerpt(&p->prompt, text),
			 f->message);
		return;
	}
	o = json_pack("{s:I, s:s?, s:s, s:s}", "line", (json_int_t)p->line, "name", p->name, "check",
		      f->check, "message", f->message);
	add_details(o, p, f);
	json_array_append_new(c->failures, o);
}

static int check_all(struct check *c, const struct prompts *prompts)
{
	struct golden_failure failure;
	int err = golden_open(&c->golden);

	for (; !err && c->done < prompts->count; c->done += !err) {
		const struct prompt *p = &prompts->list[c->done];

		err = golden_check_case(&c->golden, p, &failure);
		if (!err && failure.check)
			note_failure(c, p, &failure);
	}
	golden_close(&c->golden);
	return err;
}

static void print_check(const struct check *c, const char *file)
{
	const struct golden *g = &c->golden;

	if (g->cmd->json)
		cmd_json_print(json_pack("{s:s, s:s, s:s?, s:s?, s:I, s:I, s:I, s:O}", "model", g->model,
					 "version", g->version, "content_hash",
					 g->hash[0] ? g->hash : NULL, "file", file, "cases",
					 (json_int_t)c->cases, "passed",
					 (json_int_t)(c->done - c->failed), "failed",
					 (json_int_t)c->failed, "failures", c->failures));
	else if (!c->cases)
		printf("%s@%s: no golden cases\n", g->model, g->version);
	else
		printf("%s@%s: %u of %u golden cases passed\n", g->model, g->version,
		       c->done - c->failed, c->cases);
}

/* The version's own file, where the host says its store is; *path is "" when it has none. */
static int own_file(const struct cmd *cmd, const struct options *o, char *path, uint32_t bytes)
{
	struct sto_error error;
	char store[4096];
	int err = golden_store(cmd, store, sizeof(store));

	if (!err && sto_golden_find(store, o->model, o->version, path, bytes, &error))
		err = cmd_fail(cmd, CMD_FAILED, "%s@%s: %s", o->model, o->version, error.text);
	return err;
}

static int check_verb(const struct cmd *cmd, int argc, char **argv)
{
	struct check c = { .golden.cmd = cmd };
	char path[4096] = "", error[PROMPTS_ERROR_BYTES];
	struct prompts prompts = { 0 };
	struct options o;
	int err = parse(cmd, argc, argv, &o);

	if (err)
		return err;
	stop_begin(o.limit_s);
	if (!o.file)
		err = own_file(cmd, &o, path, sizeof(path));
	if (!o.file && path[0])
		o.file = path;
	if (!err && o.file && prompts_read(o.file, PROMPTS_GOLDEN, &prompts, error))
		err = cmd_fail(cmd, CMD_FAILED, "%s", error);
	c.golden.model = o.model;
	c.golden.version = o.version;
	c.failures = json_array();
	c.cases = prompts.count;
	if (!err && prompts.count)
		err = check_all(&c, &prompts);
	if (!err)
		print_check(&c, o.file);
	json_decref(c.failures);
	prompts_free(&prompts);
	return err || c.failed ? err ? err : CMD_FAILED : CMD_OK;
}

int cmd_golden(struct cmd *cmd, int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "check"))
		return check_verb(cmd, argc - 1, argv + 1);
	if (argc > 1 && !strcmp(argv[1], "make"))
		return golden_make(cmd, argc - 1, argv + 1);
	return cmd_usage(cmd, GOLDEN_SYNOPSIS);
}
