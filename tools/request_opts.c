/* SPDX-License-Identifier: MIT */
/* request_opts.c: the options of verbs that send a request made of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "request_opts.h"

#define MESSAGES_MAX	(512u << 10)	/* what a request takes */

enum { OPT_TOKENS = 256, OPT_TEMPERATURE, OPT_TOP_K, OPT_TOP_P, OPT_MIN_P, OPT_PENALTY, OPT_LAST,
       OPT_SEED, OPT_STOP, OPT_IGNORE_EOS, OPT_NO_SPECIAL, OPT_LOGPROBS, OPT_DEADLINE, OPT_KEY,
       OPT_NO_SPECULATE, OPT_ADAPTER, OPT_MESSAGES, OPT_SYSTEM, OPT_GRAMMAR,
       OPT_REGEX, OPT_SCHEMA, OPT_JSON_OBJECT, OPT_CHOICES, OPT_BEST_OF, OPT_ECHO, OPT_PARSE, OPT_SAMPLING };

static const struct option options[] = {
	{ "adapter", required_argument, NULL, OPT_ADAPTER },
	{ "best-of", required_argument, NULL, OPT_BEST_OF },
	{ "choices", required_argument, NULL, OPT_CHOICES },
	{ "echo", no_argument, NULL, OPT_ECHO },
	{ "grammar", required_argument, NULL, OPT_GRAMMAR },
	{ "json-object", no_argument, NULL, OPT_JSON_OBJECT },
	{ "parse", required_argument, NULL, OPT_PARSE },
	{ "regex", required_argument, NULL, OPT_REGEX },
	{ "schema", required_argument, NULL, OPT_SCHEMA },
	CMD_SAMPLING_OPTIONS(OPT_SAMPLING),
	{ "tokens", required_argument, NULL, OPT_TOKENS },
	{ "messages", required_argument, NULL, OPT_MESSAGES },
	{ "system", required_argument, NULL, OPT_SYSTEM },
	{ "max-tokens", required_argument, NULL, 'n' },
	{ "temperature", required_argument, NULL, OPT_TEMPERATURE },
	{ "top-k", required_argument, NULL, OPT_TOP_K },
	{ "top-p", required_argument, NULL, OPT_TOP_P },
	{ "min-p", required_argument, NULL, OPT_MIN_P },
	{ "repeat-penalty", required_argument, NULL, OPT_PENALTY },
	{ "repeat-last", required_argument, NULL, OPT_LAST },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "stop", required_argument, NULL, OPT_STOP },
	{ "ignore-eos", no_argument, NULL, OPT_IGNORE_EOS },
	{ "no-special", no_argument, NULL, OPT_NO_SPECIAL },
	{ "logprobs", required_argument, NULL, OPT_LOGPROBS },
	{ "deadline-ms", required_argument, NULL, OPT_DEADLINE },
	{ "session-key", required_argument, NULL, OPT_KEY },
	{ "no-speculate", no_argument, NULL, OPT_NO_SPECULATE },
	{ 0 },
};

/* What an option takes, for people. */
static const char *limit_of(int opt)
{
	switch (opt) {
	case 'n':
		return "1..2147483647";
	case OPT_TOKENS:
		return "ids with commas between them";
	case OPT_TEMPERATURE:
		return "0..100";
	case OPT_TOP_P:
		return "0.000001..1";
	case OPT_MIN_P:
		return "0..0.999999";
	case OPT_PENALTY:
		return "0.01..100";
	case OPT_SEED:
	case OPT_KEY:
		return "0..18446744073709551615";
	case OPT_STOP:
		return "1..256 bytes, 16 of them";
	case OPT_CHOICES:
	case OPT_BEST_OF:
		return "1..64";
	case OPT_PARSE:
		return "auto, none, hermes, llama3, mistral, deepseek, function, list, command";
	case OPT_LOGPROBS:
		return "0..64";
	case OPT_DEADLINE:
		return "1..4294967295";
	default:
		return opt >= OPT_SAMPLING ? cmd_sampling_limit(opt - OPT_SAMPLING) : "0..4294967295";
	}
}

static int refuse_value(const struct cmd *cmd, int opt)
{
	const struct option *o = options;

	while (o->val != opt)
		o++;
	return cmd_fail(cmd, CMD_USAGE, "%s%s %.40s: limit %s; correct it", opt == 'n' ? "-" : "--",
			opt == 'n' ? "n" : o->name, optarg, limit_of(opt));
}

static bool take_u32(const char *text, uint64_t low, uint64_t high, uint32_t *to)
{
	uint64_t value;

	if (!cmd_parse_u64(text, low, high, &value))
		return false;
	*to = (uint32_t)value;
	return true;
}

static bool take_stop(struct request_opts *a)
{
	if (a->rq.stop_count == 16 || !optarg[0] || strlen(optarg) > 256)
		return false;
	a->stops[a->rq.stop_count++] = optarg;
	return true;
}

/* Marks may be special tokens, which the text must then have. */
static bool take_form(struct request_opts *a)
{
	int form = mhost_form(optarg);
	bool own = !strcmp(optarg, "auto");

	a->parsed = true;
	a->form = own ? MESSAGE_FORM_AUTO : (uint32_t)form;
	a->rq.flags |= MHOST_SHOW_SPECIAL;
	return own || form >= 0;
}

static bool take_grammar(struct request_opts *a, uint32_t kind, const char *text)
{
	a->rq.grammar_kind = kind;
	a->rq.grammar = text;
	return kind == MHOST_GRAMMAR_JSON || (text && text[0]);
}

/* From a file; whatever is wrong with that is said here. */
static int read_grammar(const struct cmd *cmd, struct request_opts *a, int opt)
{
	free(a->grammar);
	a->grammar = cmd_read_file(cmd, optarg, MESSAGES_MAX, &a->rq.grammar_bytes);
	if (!a->grammar)
		return CMD_FAILED;
	if (take_grammar(a, opt == OPT_SCHEMA ? MHOST_GRAMMAR_SCHEMA : MHOST_GRAMMAR_GBNF, a->grammar))
		return CMD_OK;
	return cmd_fail(cmd, CMD_FAILED, "%s: it is empty", optarg);
}

/* One option; false when its value is out of range. */
static bool take_option(struct request_opts *a, int opt)
{
	struct mhost_request *rq = &a->rq;

	switch (opt) {
	case 'n':
		return take_u32(optarg, 1, INT32_MAX, &rq->max_tokens);
	case OPT_TOKENS:
		return cmd_parse_ids(optarg, &a->ids, &rq->token_count);
	case OPT_TEMPERATURE:
		return cmd_parse_float(optarg, 0, 100, &rq->temperature);
	case OPT_TOP_K:
		return take_u32(optarg, 0, UINT32_MAX, &rq->top_k);
	case OPT_TOP_P:
		return cmd_parse_float(optarg, 1e-6, 1, &rq->top_p);
	case OPT_MIN_P:
		return cmd_parse_float(optarg, 0, 0.999999, &rq->min_p);
	case OPT_PENALTY:
		return cmd_parse_float(optarg, 0.01, 100, &rq->repeat_penalty);
	case OPT_LAST:
		return take_u32(optarg, 0, UINT32_MAX, &rq->repeat_last);
	case OPT_SEED:
		return cmd_parse_u64(optarg, 0, UINT64_MAX, &rq->seed);
	case OPT_STOP:
		return take_stop(a);
	case OPT_IGNORE_EOS:
		rq->flags |= MHOST_IGNORE_EOS;
		return true;
	case OPT_NO_SPECIAL:
		rq->flags |= MHOST_NO_SPECIAL;
		return true;
	case OPT_LOGPROBS:
		rq->flags |= MHOST_LOGPROBS;
		return take_u32(optarg, 0, 64, &rq->top_count);
	case OPT_DEADLINE:
		return take_u32(optarg, 1, UINT32_MAX, &rq->deadline_ms);
	case OPT_KEY:
		return cmd_parse_u64(optarg, 0, UINT64_MAX, &rq->session_key);
	case OPT_NO_SPECULATE:
		rq->flags |= MHOST_NO_SPECULATE;
		return true;
	case OPT_CHOICES:
		return take_u32(optarg, 1, MHOST_MANY_MAX, &a->choices);
	case OPT_BEST_OF:
		return take_u32(optarg, 1, MHOST_MANY_MAX, &a->best_of);
	case OPT_ECHO:
		a->echo = true;
		return true;
	case OPT_PARSE:
		return take_form(a);
	case OPT_REGEX:
		return take_grammar(a, MHOST_GRAMMAR_REGEX, optarg);
	case OPT_JSON_OBJECT:
		return take_grammar(a, MHOST_GRAMMAR_JSON, NULL);
	default:
		return opt >= OPT_SAMPLING && cmd_sampling_take(&a->sampling, rq, opt - OPT_SAMPLING, optarg);
	}
}

static int take_one(struct cmd *cmd, int opt, struct request_opts *o)
{
	if (opt == '?')
		return CMD_USAGE;
	if (opt == OPT_ADAPTER)
		return cmd_take_adapter(cmd, optarg, &o->adapters);
	if (opt == OPT_SYSTEM) {
		o->system = optarg;
		return CMD_OK;
	}
	if (opt == OPT_GRAMMAR || opt == OPT_SCHEMA)
		return read_grammar(cmd, o, opt);
	if (opt != OPT_MESSAGES)
		return take_option(o, opt) ? CMD_OK : refuse_value(cmd, opt);
	free(o->messages);
	o->messages = cmd_read_file(cmd, optarg, MESSAGES_MAX, &o->rq.messages_bytes);
	return o->messages ? CMD_OK : CMD_FAILED;
}

int request_opts_take(struct cmd *cmd, int argc, char **argv, struct request_opts *o)
{
	int opt, status = CMD_OK;

	o->rq = (struct mhost_request)MHOST_REQUEST_INIT;
	while (!status && (opt = cmd_getopt(cmd, argc, argv, ":n:", options)) != -1)
		status = take_one(cmd, opt, o);
	cmd_adapters_set(&o->adapters, &o->rq);
	cmd_sampling_set(&o->sampling, &o->rq);
	o->rq.stops = o->stops;
	o->rq.tokens = o->ids;
	o->rq.messages = o->messages;
	return status;
}

void request_opts_free(struct request_opts *o)
{
	free(o->ids);
	free(o->messages);
	free(o->grammar);
	o->ids = NULL;
	o->messages = o->grammar = NULL;
}
