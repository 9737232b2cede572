/* SPDX-License-Identifier: MIT */
/* cmd_run.c: `mhost run`. */
#include <stdio.h>
#include <stdlib.h>

#include "choices.h"
#include "message.h"

#define SYNOPSIS "MODEL[@VERSION] [PROMPT | --tokens 1,2,3 | --messages FILE] [OPTION]...; mhost(1) lists the options"

static int parse(struct cmd *cmd, int argc, char **argv, struct request_opts *o, char **text)
{
	int status = request_opts_take(cmd, argc, argv, o);
	bool given = o->ids || o->messages;

	if (status)
		return status;
	if (o->system)
		return cmd_fail(cmd, CMD_USAGE, "--system: mhost chat takes it; put it into --messages here");
	if (o->best_of && o->best_of < (o->choices ? o->choices : 1))
		return cmd_fail(cmd, CMD_USAGE, "--best-of %u: limit --choices, %u, or more", o->best_of, o->choices);
	if (o->parsed && (!cmd->json || o->choices || o->best_of))
		return cmd_fail(cmd, CMD_USAGE, "--parse: limit one reply, with --json");
	if (o->echo && given)
		return cmd_fail(cmd, CMD_USAGE, "--echo: limit a PROMPT; mhost render and detokenize show others");
	if (argc - optind < 1 || argc - optind > (given ? 1 : 2))
		return cmd_usage(cmd, SYNOPSIS);
	if (cmd_split_ref(cmd, argv[optind], &o->rq.model, &o->rq.version))
		return CMD_USAGE;
	if (given)
		return CMD_OK;
	*text = cmd_text(cmd, argc - optind - 1, argv + optind + 1, &o->rq.text_bytes);
	o->rq.text = *text;
	return *text ? CMD_OK : CMD_FAILED;
}

static void print_text(void *arg, const struct reply *r, const char *text, size_t bytes)
{
	fwrite(text, 1, bytes, stdout);
	fflush(stdout);
}

static void print_json(struct reply *r, const struct request_opts *opts)
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
	if (opts->parsed)
		json_object_set_new(o, "message", message_of(r, opts->form));
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
	struct request_opts opts = { 0 };
	struct reply reply = { 0 };
	char *text = NULL;
	int status = parse(cmd, argc, argv, &opts, &text);

	if (status == CMD_OK && opts.echo && !cmd->json)
		print_text(NULL, NULL, text, opts.rq.text_bytes);
	if (status == CMD_OK && (opts.choices || opts.best_of)) {
		status = choices_run(cmd, &opts);
	} else if (status == CMD_OK) {
		status = reply_run(cmd, &opts.rq, cmd->json ? NULL : print_text, &reply);
		if (cmd->json && reply.begun)
			print_json(&reply, &opts);
		else if (reply.text_bytes && reply.text[reply.text_bytes - 1] != '\n')
			putchar('\n');
	}
	reply_free(&reply);
	request_opts_free(&opts);
	free(text);
	return status;
}
