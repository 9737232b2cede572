/* SPDX-License-Identifier: MIT */
/* cmd_run.c: `mhost run`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "cmd_sampling.h"

#define SYNOPSIS "MODEL[@VERSION] [PROMPT | --tokens 1,2,3] [OPTION]...; mhost(1) lists the options"

struct run_args {
	struct mhost_request rq;
	struct cmd_adapters adapters;
	struct cmd_sampling sampling;
	const char *stops[16];
	uint32_t *ids;
	char *text, *grammar;
};

enum { OPT_TOKENS = 256, OPT_TEMPERATURE, OPT_TOP_K, OPT_TOP_P, OPT_MIN_P, OPT_PENALTY, OPT_LAST,
       OPT_SEED, OPT_STOP, OPT_IGNORE_EOS, OPT_NO_SPECIAL, OPT_LOGPROBS, OPT_DEADLINE, OPT_KEY,
       OPT_NO_SPECULATE, OPT_ADAPTER, OPT_GRAMMAR, OPT_REGEX, OPT_SCHEMA, OPT_JSON_OBJECT, OPT_SAMPLING };

static const struct option options[] = {
	{ "adapter", required_argument, NULL, OPT_ADAPTER },
	{ "grammar", required_argument, NULL, OPT_GRAMMAR },
	{ "json-object", no_argument, NULL, OPT_JSON_OBJECT },
	{ "regex", required_argument, NULL, OPT_REGEX },
	{ "schema", required_argument, NULL, OPT_SCHEMA },
	{ "tokens", required_argument, NULL, OPT_TOKENS },
	{ "max-tokens", required_argument, NULL, 'n' },
	{ "temperature", required_argument, NULL, OPT_TEMPERATURE },
	{ "top-k", required_argument, NULL, OPT_TOP_K },
	{ "top-p", required_argument, NULL, OPT_TOP_P },
	{ "min-p", required_argument, NULL, OPT_MIN_P },
	{ "repeat-penalty", required_argument, NULL, OPT_PENALTY },
	{ "repeat-last", required_argument, NULL, OPT_LAST },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "stop", required_argument, NULL, OPT_STOP },
	CMD_SAMPLING_OPTIONS(OPT_SAMPLING),
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

static bool take_stop(struct run_args *a)
{
	if (a->rq.stop_count == 16 || !optarg[0] || strlen(optarg) > 256)
		return false;
	a->stops[a->rq.stop_count++] = optarg;
	return true;
}

static bool take_grammar(struct run_args *a, uint32_t kind, const char *text)
{
	a->rq.grammar_kind = kind;
	a->rq.grammar = text;
	return kind == MHOST_GRAMMAR_JSON || (text && text[0]);
}

/* From a file; whatever is wrong with that is said here. */
static int read_grammar(const struct cmd *cmd, struct run_args *a, int opt)
{
	free(a->grammar);
	a->grammar = cmd_file_text(cmd, optarg, &a->rq.grammar_bytes);
	if (!a->grammar)
		return CMD_FAILED;
	if (take_grammar(a, opt == OPT_SCHEMA ? MHOST_GRAMMAR_SCHEMA : MHOST_GRAMMAR_GBNF, a->grammar))
		return CMD_OK;
	return cmd_fail(cmd, CMD_FAILED, "%s: it is empty", optarg);
}

/* One option; false when its value is out of range. */
static bool take_option(struct run_args *a, int opt)
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
	case OPT_REGEX:
		return take_grammar(a, MHOST_GRAMMAR_REGEX, optarg);
	case OPT_JSON_OBJECT:
		return take_grammar(a, MHOST_GRAMMAR_JSON, NULL);
	default:
		return opt >= OPT_SAMPLING && cmd_sampling_take(&a->sampling, rq, opt - OPT_SAMPLING, optarg);
	}
}

static int parse(struct cmd *cmd, int argc, char **argv, struct run_args *a)
{
	int opt, status;

	while ((opt = cmd_getopt(cmd, argc, argv, ":n:", options)) != -1) {
		if (opt == '?')
			return CMD_USAGE;
		if (opt == OPT_ADAPTER && cmd_take_adapter(cmd, optarg, &a->adapters))
			return CMD_USAGE;
		if ((opt == OPT_GRAMMAR || opt == OPT_SCHEMA) && (status = read_grammar(cmd, a, opt)))
			return status;
		if (opt != OPT_ADAPTER && opt != OPT_GRAMMAR && opt != OPT_SCHEMA && !take_option(a, opt))
			return refuse_value(cmd, opt);
	}
	if (argc - optind < 1 || argc - optind > (a->ids ? 1 : 2))
		return cmd_usage(cmd, SYNOPSIS);
	if (cmd_split_ref(cmd, argv[optind], &a->rq.model, &a->rq.version))
		return CMD_USAGE;
	cmd_adapters_set(&a->adapters, &a->rq);
	cmd_sampling_set(&a->sampling, &a->rq);
	a->rq.stops = a->stops;
	a->rq.tokens = a->ids;
	if (a->ids)
		return CMD_OK;
	a->text = cmd_text(cmd, argc - optind - 1, argv + optind + 1, &a->rq.text_bytes);
	a->rq.text = a->text;
	return a->text ? CMD_OK : CMD_FAILED;
}

static void print_text(const char *text, size_t bytes)
{
	fwrite(text, 1, bytes, stdout);
	fflush(stdout);
}

static void print_json(struct reply *r)
{
	json_t *o = json_object();
	double tokens_per_s = r->decode_ms > 0 && r->token_count > 1 ?
			      (r->token_count - 1) * 1e3 / r->decode_ms : 0;

	json_object_set_new(o, "model", json_string(r->model));
	json_object_set_new(o, "version", json_string(r->version));
	json_object_set_new(o, "content_hash", json_string(r->hash));
	json_object_set_new(o, "adapters", cmd_json_adapters(r));
	json_object_set_new(o, "prompt_tokens", cmd_json_ids(r->prompt, r->prompt_count));
	json_object_set_new(o, "tokens", cmd_json_ids(r->tokens, r->token_count));
	json_object_set_new(o, "text", cmd_json_text(r->text ? r->text : "", r->text_bytes));
	json_object_set_new(o, "finish_reason", json_string(reply_finish_name(r->finish)));
	if (r->logprobs)
		json_object_set(o, "logprobs", r->logprobs);
	json_object_set_new(o, "timings", json_pack(
				    "{s:f, s:f, s:f, s:f, s:I, s:I, s:I}", "queue_ms", r->queue_ms,
				    "prefill_ms", r->prefill_ms, "decode_ms", r->decode_ms,
				    "tokens_per_s", tokens_per_s, "cached_tokens",
				    (json_int_t)r->cached_count, "drafted", (json_int_t)r->drafted,
				    "accepted", (json_int_t)r->accepted));
	cmd_json_print(o);
}

int cmd_run(struct cmd *cmd, int argc, char **argv)
{
	struct run_args a = { .rq = MHOST_REQUEST_INIT };
	struct reply reply = { 0 };
	int status = parse(cmd, argc, argv, &a);

	if (status == CMD_OK) {
		status = reply_run(cmd, &a.rq, cmd->json ? NULL : print_text, &reply);
		if (cmd->json && reply.begun)
			print_json(&reply);
		else if (reply.text_bytes && reply.text[reply.text_bytes - 1] != '\n')
			putchar('\n');
	}
	reply_free(&reply);
	free(a.ids);
	free(a.text);
	free(a.grammar);
	return status;
}
