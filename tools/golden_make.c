/* SPDX-License-Identifier: MIT */
/* golden_make.c: `mhost golden make`: cases out of what a version answers now. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"
#include "sto_golden.h"

#define MAX_TOKENS_DEFAULT	16u
#define MARGIN_DEFAULT		0.05f	/* log-probability per token */

/* Where none are given: short ones of several kinds, so that damage of any part is likely to show. */
static const char usual_prompts[] =
	"The capital of France is\n"
	"Once upon a time, in a village by the sea,\n"
	"Water boils at 100 degrees because\n"
	"1, 2, 3, 5, 8, 13,\n"
	"def fibonacci(n):\n"
	"The user as JSON: {\"name\": \"Ada\", \"born\": 18\n"
	"Der schnelle braune Fuchs springt\n"
	"\xe4\xbb\x8a\xe5\xa4\xa9\xe5\xa4\xa9\xe6\xb0\x94\n";

struct make {
	const char *file;		/* NULL: the usual prompts */
	uint32_t max_tokens;
	float margin, tolerance;
	bool print, no_expect;
	uint32_t limit_s;
	char model[64], version[48];
	struct prompts prompts;
	struct golden golden;
	json_t *cases;
};

static int take_float(const struct cmd *cmd, const char *option, float *to)
{
	if (cmd_parse_float(optarg, 0, 100, to))
		return CMD_OK;
	return cmd_fail(cmd, CMD_USAGE, "--%s %.40s: limit 0..100; correct it", option, optarg);
}

static int take(const struct cmd *cmd, int opt, struct make *m)
{
	switch (opt) {
	case 'f':
		m->file = optarg;
		return CMD_OK;
	case 'n':
		return cmd_take_u32(cmd, "--max-tokens", 1, INT32_MAX, &m->max_tokens);
	case 'm':
		return take_float(cmd, "margin", &m->margin);
	case 't':
		return take_float(cmd, "tolerance", &m->tolerance);
	case 'e':
		m->no_expect = true;
		return CMD_OK;
	case 'p':
		m->print = true;
		return CMD_OK;
	case 'l':
		return stop_parse_limit(cmd, optarg, &m->limit_s);
	default:
		return CMD_USAGE;
	}
}

static int parse(const struct cmd *cmd, int argc, char **argv, struct make *m)
{
	static const struct option longs[] = {
		{ "limit", required_argument, NULL, 'l' },
		{ "margin", required_argument, NULL, 'm' },
		{ "max-tokens", required_argument, NULL, 'n' },
		{ "no-expect", no_argument, NULL, 'e' },
		{ "print", no_argument, NULL, 'p' },
		{ "prompts", required_argument, NULL, 'f' },
		{ "tolerance", required_argument, NULL, 't' },
		{ 0 },
	};
	int opt, err = CMD_OK;

	while (!err && (opt = cmd_getopt(cmd, argc, argv, ":", longs)) != -1)
		err = take(cmd, opt, m);
	if (err)
		return err;
	if (argc - optind != 1)
		return cmd_usage(cmd, GOLDEN_SYNOPSIS);
	return golden_parse_ref(cmd, argv[optind], m->model, m->version);
}

static int read_prompts(struct make *m)
{
	char error[PROMPTS_ERROR_BYTES];
	int err = m->file ? prompts_read(m->file, PROMPTS_ANY, &m->prompts, error) :
		  prompts_parse("usual prompts", usual_prompts, sizeof(usual_prompts) - 1, PROMPTS_ANY,
				&m->prompts, error);

	return err ? cmd_fail(m->golden.cmd, CMD_FAILED, "%s", error) : CMD_OK;
}

/* ---- cases ---------------------------------------------------------------------------------- */

/* Exactly this reply, with these log-probabilities. */
static void add_reply(const struct make *m, json_t *object, const struct reply *reply,
		      const struct reply *scored, uint32_t max_tokens)
{
	const float *scores = golden_scores(scored, reply->token_count);
	json_t *list = json_array();

	for (uint32_t i = 0; i < reply->token_count; i++)
		json_array_append_new(list, json_real(fmin(round((double)scores[i] * 1e6) / 1e6, 0)));
	json_object_set_new(object, "max_tokens", json_integer(max_tokens));
	json_object_set_new(object, "expect", cmd_json_ids(reply->tokens, reply->token_count));
	json_object_set_new(object, "logprobs", list);
	json_object_set_new(object, "tolerance", json_real(round((double)m->tolerance * 1e6) / 1e6));
}

/* A reply that this version must find likely. */
static void add_bound(const struct make *m, json_t *object, const struct reply *reply,
		      const struct reply *scored)
{
	double mean = golden_mean(scored, reply->token_count);
	double bound = floor((mean - (double)m->margin) * 1e4) / 1e4;

	json_object_set_new(object, "continuation_tokens",
			    cmd_json_ids(reply->tokens, reply->token_count));
	json_object_set_new(object, "min_logprob", json_real(fmin(bound, 0)));
}

static json_t *prompt_object(const struct prompt *p)
{
	json_t *object = json_object();

	if (p->name)
		json_object_set_new(object, "name", json_string(p->name));
	if (p->prompt.text)
		json_object_set_new(object, "prompt",
				    json_stringn(p->prompt.text, p->prompt.text_bytes));
	else
		json_object_set_new(object, "tokens", cmd_json_ids(p->prompt.ids, p->prompt.id_count));
	return object;
}

static int no_reply(const struct make *m, const struct prompt *p, const char *what, const char *why)
{
	char label[80];

	return cmd_fail(m->golden.cmd, CMD_FAILED, "%s: %s: no %s: %s", m->file ? m->file : "usual prompts",
			prompt_label(p, label), what, why[0] ? why : "it ends at once; take another prompt");
}

static int make_case(struct make *m, const struct prompt *p)
{
	uint32_t max_tokens = p->max_tokens ? p->max_tokens : m->max_tokens;
	struct reply reply = { 0 }, scored = { 0 };
	json_t *object;
	int err = golden_generate(&m->golden, &p->prompt, max_tokens, &reply);

	if (!err && (reply.error || !reply.token_count))
		err = no_reply(m, p, "reply", reply.message);
	if (!err)
		err = golden_score_reply(&m->golden, &reply, &scored);
	if (!err && (scored.error || !isfinite(golden_mean(&scored, reply.token_count))))
		err = no_reply(m, p, "score", scored.message);
	if (!err) {
		object = prompt_object(p);
		if (m->no_expect)
			add_bound(m, object, &reply, &scored);
		else
			add_reply(m, object, &reply, &scored, max_tokens);
		json_array_append_new(m->cases, object);
	}
	reply_free(&reply);
	reply_free(&scored);
	return err;
}

static int make_all(struct make *m)
{
	int err = golden_open(&m->golden);

	for (uint32_t i = 0; !err && i < m->prompts.count; i++)
		err = make_case(m, &m->prompts.list[i]);
	golden_close(&m->golden);
	return err;
}

/* ---- what becomes of them ------------------------------------------------------------------- */

/* As JSON lines; NULL: out of memory. The caller frees it. */
static char *lines_of(const json_t *cases, size_t *bytes)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, bytes);
	json_t *one;
	size_t i;

	if (!f)
		return NULL;
	json_array_foreach(cases, i, one) {
		json_dumpf(one, f, JSON_COMPACT | JSON_REAL_PRECISION(9));
		fputc('\n', f);
	}
	if (!fclose(f))
		return text;
	free(text);
	return NULL;
}

static int record(const struct make *m, const char *text, size_t bytes)
{
	const struct cmd *cmd = m->golden.cmd;
	struct sto_golden golden = { .data = text, .bytes = bytes, .count = m->prompts.count };
	struct sto_error error;
	char store[4096];
	int err = golden_store(cmd, store, sizeof(store));

	if (err)
		return err;
	if (sto_golden_put(store, m->model, m->version, &golden, &error))
		return cmd_fail(cmd, CMD_FAILED, "%s@%s: %s", m->model, m->version, error.text);
	if (cmd->json)
		cmd_json_print(json_pack("{s:s, s:s, s:s, s:I}", "model", m->model, "version", m->version,
					 "content_hash", m->golden.hash, "cases", (json_int_t)golden.count));
	else
		printf("%s@%s: %u golden cases recorded\n", m->model, m->version, golden.count);
	return CMD_OK;
}

int golden_make(const struct cmd *cmd, int argc, char **argv)
{
	struct make m = { .max_tokens = MAX_TOKENS_DEFAULT, .margin = MARGIN_DEFAULT,
			  .tolerance = (float)PROMPTS_TOLERANCE, .limit_s = STOP_LIMIT_DEFAULT_S };
	char *text = NULL;
	size_t bytes = 0;
	int err = parse(cmd, argc, argv, &m);

	if (err)
		return err;
	stop_begin(m.limit_s);
	m.golden = (struct golden){ .cmd = cmd, .model = m.model, .version = m.version };
	m.cases = json_array();
	err = read_prompts(&m);
	if (!err)
		err = make_all(&m);
	if (!err && !(text = lines_of(m.cases, &bytes)))
		err = cmd_fail(cmd, CMD_FAILED, "out of memory; free some");
	if (!err && m.print)
		fwrite(text, 1, bytes, stdout);
	else if (!err)
		err = record(&m, text, bytes);
	free(text);
	json_decref(m.cases);
	prompts_free(&m.prompts);
	return err;
}
