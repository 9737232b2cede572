/* SPDX-License-Identifier: MIT */
/* cmd_golden.c: `mhost golden check` and `mhost golden make`: cases that a version must answer. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "golden.h"
#include "sto_store.h"

#define SYNOPSIS "check MODEL@VERSION [--file FILE] [--limit SECONDS] [--json]\n" \
	"       mhost golden make MODEL@VERSION --prompts FILE [--max-tokens N] [--margin X]\n" \
	"                         [--no-expect] [--limit SECONDS]"

#define MAX_TOKENS_DEFAULT	16u
#define MARGIN_DEFAULT		0.05f	/* log-probability per token */
#define EXCERPT_BYTES		48

struct options {
	const char *file;	/* --file or --prompts */
	uint32_t max_tokens;
	float margin;
	bool no_expect;
	uint32_t limit_s;
	char model[MHS_NAME_BYTES], version[MHS_SEMVER_BYTES];
};

/* ---- arguments ------------------------------------------------------------------------------ */

static int take(const struct cmd *cmd, int opt, struct options *o)
{
	uint64_t value;

	switch (opt) {
	case 'f':
		o->file = optarg;
		return CMD_OK;
	case 'n':
		if (!cmd_parse_u64(optarg, 1, INT32_MAX, &value))
			return cmd_fail(cmd, CMD_USAGE, "--max-tokens %.40s: limit 1..2147483647; "
					"correct it", optarg);
		o->max_tokens = (uint32_t)value;
		return CMD_OK;
	case 'm':
		if (!cmd_parse_float(optarg, 0, 100, &o->margin))
			return cmd_fail(cmd, CMD_USAGE, "--margin %.40s: limit 0..100; correct it", optarg);
		return CMD_OK;
	case 'e':
		o->no_expect = true;
		return CMD_OK;
	case 'l':
		return stop_parse_limit(cmd, optarg, &o->limit_s);
	default:
		return CMD_USAGE;
	}
}

static int parse(const struct cmd *cmd, int argc, char **argv, const struct option *longs,
		 struct options *o)
{
	struct sto_error error;
	int opt, err;

	*o = (struct options){ .max_tokens = MAX_TOKENS_DEFAULT, .margin = MARGIN_DEFAULT,
			       .limit_s = STOP_LIMIT_DEFAULT_S };
	while ((opt = cmd_getopt(cmd, argc, argv, ":", longs)) != -1) {
		err = take(cmd, opt, o);
		if (err)
			return err;
	}
	if (argc - optind != 1)
		return cmd_usage(cmd, SYNOPSIS);
	if (sto_ref_parse(argv[optind], 0, o->model, o->version, &error))
		return cmd_fail(cmd, CMD_USAGE, "%s", error.text);
	return CMD_OK;
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
	if (!strcmp(f->check, "expect")) {
		json_object_set_new(o, "at", json_integer(f->at));
		json_object_set_new(o, "expected", id_or_null(f->expected));
		json_object_set_new(o, "got", id_or_null(f->got));
	} else if (!strcmp(f->check, "min_logprob")) {
		json_object_set_new(o, "mean_logprob", isfinite(f->mean) ? json_real(f->mean) :
				    json_null());
		json_object_set_new(o, "min_logprob", json_real(p->min_logprob));
	}
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
static int own_file(const struct cmd *cmd, const struct options *o, char *path, size_t bytes)
{
	json_t *status = ctl_call(cmd, json_pack("{s:s}", "command", "status"));
	const char *store = json_string_value(json_object_get(status, "store"));
	int err = CMD_OK;

	if (!status)
		return CMD_FAILED;
	if (!store || sto_version_path(store, o->model, o->version, NULL, path, (uint32_t)bytes))
		err = cmd_fail(cmd, CMD_FAILED, "the host does not say where its store is; give --file");
	else if (access(path, X_OK))
		err = cmd_fail(cmd, CMD_FAILED, "%s@%s: %s: %s; import it first", o->model, o->version,
			       path, strerror(errno));
	if (!err) {
		sto_version_path(store, o->model, o->version, STO_GOLDEN_NAME, path,
				 (uint32_t)bytes);
		if (access(path, F_OK) && errno == ENOENT)
			path[0] = '\0';
	}
	json_decref(status);
	return err;
}

static int check_verb(const struct cmd *cmd, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "file", required_argument, NULL, 'f' },
		{ "limit", required_argument, NULL, 'l' },
		{ 0 },
	};
	struct check c = { .golden.cmd = cmd };
	char path[4096] = "", error[PROMPTS_ERROR_BYTES];
	struct prompts prompts = { 0 };
	struct options o;
	int err = parse(cmd, argc, argv, longs, &o);

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

/* ---- make ----------------------------------------------------------------------------------- */

static int score_reply(struct golden *g, const struct reply *reply, double *mean)
{
	uint32_t count = reply->prompt_count + reply->token_count;
	uint32_t *ids = calloc(count, sizeof(*ids));
	struct reply scored = { 0 };
	int err = ids ? CMD_OK : cmd_fail(g->cmd, CMD_FAILED, "out of memory; free some");

	if (!err) {
		memcpy(ids, reply->prompt, reply->prompt_count * sizeof(*ids));
		memcpy(ids + reply->prompt_count, reply->tokens, reply->token_count * sizeof(*ids));
		err = golden_score(g, ids, count, &scored);
	}
	*mean = golden_mean(&scored, reply->token_count);
	if (!err && (scored.error || !isfinite(*mean)))
		err = cmd_fail(g->cmd, CMD_FAILED, "the reply has no score: %s", scored.message);
	reply_free(&scored);
	free(ids);
	return err;
}

static json_t *case_object(const struct options *o, const struct prompt *p,
			   const struct reply *reply, uint32_t max_tokens, double mean)
{
	double bound = floor((mean - (double)o->margin) * 1e4) / 1e4;
	json_t *object = json_object();

	if (p->name)
		json_object_set_new(object, "name", json_string(p->name));
	if (p->prompt.text)
		json_object_set_new(object, "prompt",
				    json_stringn(p->prompt.text, p->prompt.text_bytes));
	else
		json_object_set_new(object, "tokens", cmd_json_ids(p->prompt.ids, p->prompt.id_count));
	if (!o->no_expect) {
		json_object_set_new(object, "max_tokens", json_integer(max_tokens));
		json_object_set_new(object, "expect", cmd_json_ids(reply->tokens, reply->token_count));
	}
	json_object_set_new(object, "continuation_tokens",
			    cmd_json_ids(reply->tokens, reply->token_count));
	json_object_set_new(object, "min_logprob", json_real(fmin(bound, 0)));
	return object;
}

static int make_case(struct golden *g, const struct options *o, const struct prompt *p,
		     json_t *cases)
{
	uint32_t max_tokens = p->max_tokens ? p->max_tokens : o->max_tokens;
	struct reply reply = { 0 };
	char label[80];
	double mean;
	int err = golden_generate(g, &p->prompt, max_tokens, &reply);

	if (!err && (reply.error || !reply.token_count))
		err = cmd_fail(g->cmd, CMD_FAILED, "%s: %s: no reply: %s", o->file,
			       prompt_label(p, label), reply.message);
	if (!err)
		err = score_reply(g, &reply, &mean);
	if (!err)
		json_array_append_new(cases, case_object(o, p, &reply, max_tokens, mean));
	reply_free(&reply);
	return err;
}

static int make_verb(const struct cmd *cmd, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "limit", required_argument, NULL, 'l' },
		{ "margin", required_argument, NULL, 'm' },
		{ "max-tokens", required_argument, NULL, 'n' },
		{ "no-expect", no_argument, NULL, 'e' },
		{ "prompts", required_argument, NULL, 'f' },
		{ 0 },
	};
	char error[PROMPTS_ERROR_BYTES];
	struct prompts prompts;
	struct golden g = { .cmd = cmd };
	struct options o;
	json_t *cases, *one;
	size_t i;
	int err = parse(cmd, argc, argv, longs, &o);

	if (err)
		return err;
	if (!o.file)
		return cmd_fail(cmd, CMD_USAGE, "--prompts: is missing; give a file with one a line");
	if (prompts_read(o.file, PROMPTS_ANY, &prompts, error)) {
		prompts_free(&prompts);
		return cmd_fail(cmd, CMD_FAILED, "%s", error);
	}
	stop_begin(o.limit_s);
	g.model = o.model;
	g.version = o.version;
	cases = json_array();
	err = golden_open(&g);
	for (uint32_t j = 0; !err && j < prompts.count; j++)
		err = make_case(&g, &o, &prompts.list[j], cases);
	golden_close(&g);
	if (!err)
		json_array_foreach(cases, i, one)
			cmd_json_print(json_incref(one));
	json_decref(cases);
	prompts_free(&prompts);
	return err;
}

int cmd_golden(struct cmd *cmd, int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "check"))
		return check_verb(cmd, argc - 1, argv + 1);
	if (argc > 1 && !strcmp(argv[1], "make"))
		return make_verb(cmd, argc - 1, argv + 1);
	return cmd_usage(cmd, SYNOPSIS);
}
