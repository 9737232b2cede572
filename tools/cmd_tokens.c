/* SPDX-License-Identifier: MIT */
/* cmd_tokens.c: `mhost score`, `mhost tokenize`, `mhost detokenize`: what needs no generation. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd.h"

struct text_args {
	struct mhost_request rq;
	struct cmd_adapters adapters;
	uint32_t *ids;
	char *text;
};

static int parse(struct cmd *cmd, int argc, char **argv, struct text_args *a, const char *synopsis)
{
	static const struct option options[] = {
		{ "adapter", required_argument, NULL, 'a' },
		{ "tokens", required_argument, NULL, 't' },
		{ "no-special", no_argument, NULL, 's' },
		{ 0 },
	};
	int opt;

	while ((opt = cmd_getopt(cmd, argc, argv, ":", options)) != -1) {
		if (opt == 's')
			a->rq.flags |= MHOST_NO_SPECIAL;
		else if (opt == 'a' && a->rq.kind == MHOST_SCORE) {
			if (cmd_take_adapter(cmd, optarg, &a->adapters))
				return CMD_USAGE;
		} else if (opt == 'a')
			return cmd_usage(cmd, synopsis);
		else if (opt != 't')
			return CMD_USAGE;
		else if (!cmd_parse_ids(optarg, &a->ids, &a->rq.token_count))
			return cmd_fail(cmd, CMD_USAGE, "--tokens %.40s: ids must be numbers with commas "
					"between them", optarg);
	}
	if (argc - optind < 1 || argc - optind > (a->ids ? 1 : 2))
		return cmd_usage(cmd, synopsis);
	if (cmd_split_ref(cmd, argv[optind], &a->rq.model, &a->rq.version))
		return CMD_USAGE;
	cmd_adapters_set(&a->adapters, &a->rq);
	a->rq.tokens = a->ids;
	if (a->ids)
		return CMD_OK;
	if (a->rq.kind == MHOST_DETOKENIZE)
		return cmd_usage(cmd, synopsis);
	a->text = cmd_text(cmd, argc - optind - 1, argv + optind + 1, &a->rq.text_bytes);
	a->rq.text = a->text;
	return a->text ? CMD_OK : CMD_FAILED;
}

static void print_score(const struct cmd *cmd, const struct reply *r)
{
	json_t *list = json_array();
	double sum = 0;

	for (uint32_t i = 0; i < r->prompt_count; i++) {
		bool known = i > 0 && isfinite(r->scores[i]);

		sum += known ? (double)r->scores[i] : 0;
		json_array_append_new(list, known ? json_real((double)r->scores[i]) : json_null());
		if (!cmd->json && known)
			printf("%u\t%.6f\n", r->prompt[i], (double)r->scores[i]);
		else if (!cmd->json)
			printf("%u\t-\n", r->prompt[i]);
	}
	if (cmd->json)
		cmd_json_print(json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:f}", "model", r->model, "version",
					 r->version, "content_hash", r->hash, "adapters",
					 cmd_json_adapters(r), "tokens",
					 cmd_json_ids(r->prompt, r->prompt_count), "logprobs", list,
					 "sum_logprob", sum));
	else
		printf("sum\t%.6f\n", sum);
	if (!cmd->json)
		json_decref(list);
}

static void print_ids(const struct cmd *cmd, const struct reply *r)
{
	if (cmd->json) {
		cmd_json_print(json_pack("{s:s, s:s, s:o}", "model", r->model, "version", r->version,
					 "tokens", cmd_json_ids(r->prompt, r->prompt_count)));
		return;
	}
	for (uint32_t i = 0; i < r->prompt_count; i++)
		printf("%s%u", i ? "," : "", r->prompt[i]);
	putchar('\n');
}

static void print_text(const struct cmd *cmd, const struct reply *r)
{
	const char *text = r->text ? r->text : "";

	if (cmd->json) {
		cmd_json_print(json_pack("{s:s, s:s, s:o}", "model", r->model, "version", r->version,
					 "text", cmd_json_text(text, r->text_bytes)));
		return;
	}
	fwrite(text, 1, r->text_bytes, stdout);	/* may hold NUL */
	putchar('\n');
}

typedef void (*print_fn)(const struct cmd *cmd, const struct reply *r);

static int run(struct cmd *cmd, int argc, char **argv, uint32_t kind, const char *synopsis,
	       print_fn print)
{
	struct text_args a = { .rq = MHOST_REQUEST_INIT };
	struct reply reply = { 0 };
	int status;

	a.rq.kind = kind;
	status = parse(cmd, argc, argv, &a, synopsis);
	if (status == CMD_OK)
		status = reply_run(cmd, &a.rq, NULL, &reply);
	if (status == CMD_OK)
		print(cmd, &reply);
	reply_free(&reply);
	free(a.ids);
	free(a.text);
	return status;
}

int cmd_score(struct cmd *cmd, int argc, char **argv)
{
	return run(cmd, argc, argv, MHOST_SCORE,
		   "MODEL[@VERSION] [TEXT | --tokens 1,2,3] [--adapter NAME[@V][:SCALE]]... [--no-special]",
		   print_score);
}

int cmd_tokenize(struct cmd *cmd, int argc, char **argv)
{
	return run(cmd, argc, argv, MHOST_TOKENIZE, "MODEL[@VERSION] [TEXT] [--no-special]", print_ids);
}

int cmd_detokenize(struct cmd *cmd, int argc, char **argv)
{
	return run(cmd, argc, argv, MHOST_DETOKENIZE, "MODEL[@VERSION] --tokens 1,2,3", print_text);
}
