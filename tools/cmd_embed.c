/* SPDX-License-Identifier: MIT */
/* cmd_embed.c: `mhost embed`: texts as vectors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

#define SYNOPSIS "MODEL[@VERSION] [TEXT... | --lines FILE | --tokens 1,2,3] [--pooling mean|last|cls] [--raw] " \
	"[--adapter NAME[@V][:SCALE]]... [--no-special]"
#define LINES_MAX	(64u << 20)

struct embed {
	struct cmd *cmd;
	struct mhost_request rq;
	struct cmd_adapters adapters;
	uint32_t *ids;
	char *lines;
	size_t lines_bytes;
};

static int take_pooling(const struct cmd *cmd, const char *text, uint32_t *pooling)
{
	static const char *const names[] = { "mean", "last", "cls" };

	for (uint32_t i = 0; i < 3; i++)
		if (!strcmp(text, names[i])) {
			*pooling = i;
			return CMD_OK;
		}
	return cmd_fail(cmd, CMD_USAGE, "--pooling %.40s: must be mean, last or cls", text);
}

static int take_option(struct embed *e, int opt)
{
	switch (opt) {
	case 'a':
		return cmd_take_adapter(e->cmd, optarg, &e->adapters);
	case 'l':
		e->lines = cmd_read_file(e->cmd, optarg, LINES_MAX, &e->lines_bytes);
		return e->lines ? CMD_OK : CMD_FAILED;
	case 'p':
		return take_pooling(e->cmd, optarg, &e->rq.pooling);
	case 'r':
		e->rq.flags |= MHOST_RAW;
		return CMD_OK;
	case 's':
		e->rq.flags |= MHOST_NO_SPECIAL;
		return CMD_OK;
	case 't':
		if (cmd_parse_ids(optarg, &e->ids, &e->rq.token_count))
			return CMD_OK;
		return cmd_fail(e->cmd, CMD_USAGE, "--tokens %.40s: ids must be numbers with commas between them",
				optarg);
	default:
		return CMD_USAGE;
	}
}

static int parse(struct embed *e, int argc, char **argv)
{
	static const struct option options[] = {
		{ "adapter", required_argument, NULL, 'a' }, { "lines", required_argument, NULL, 'l' },
		{ "no-special", no_argument, NULL, 's' }, { "pooling", required_argument, NULL, 'p' },
		{ "raw", no_argument, NULL, 'r' }, { "tokens", required_argument, NULL, 't' }, { 0 },
	};
	int opt, status;

	while ((opt = cmd_getopt(e->cmd, argc, argv, ":", options)) != -1) {
		status = take_option(e, opt);
		if (status)
			return status;
	}
	if (argc - optind < 1 || (argc - optind > 1) + !!e->lines + !!e->ids > 1)
		return cmd_usage(e->cmd, SYNOPSIS);
	cmd_adapters_set(&e->adapters, &e->rq);
	return cmd_split_ref(e->cmd, argv[optind], &e->rq.model, &e->rq.version);
}

static json_t *values_of(const struct reply *r)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < r->vector_count; i++)
		json_array_append_new(list, json_real((double)r->vector[i]));
	return list;
}

static void print_vector(const struct cmd *cmd, const struct reply *r)
{
	if (cmd->json) {
		cmd_json_print(json_pack("{s:s, s:s, s:s, s:o, s:I, s:o}", "model", r->model, "version", r->version,
					 "content_hash", r->hash, "adapters", cmd_json_adapters(r), "prompt_tokens",
					 (json_int_t)r->prompt_count, "embedding", values_of(r)));
		return;
	}
	for (uint32_t i = 0; i < r->vector_count; i++)
		printf("%s%.9g", i ? " " : "", (double)r->vector[i]);
	putchar('\n');
}

static int embed(struct embed *e, const char *text, size_t bytes)
{
	struct reply reply = { 0 };
	int status;

	e->rq.text = text;
	e->rq.text_bytes = bytes;
	status = reply_run(e->cmd, &e->rq, NULL, &reply);
	if (!status)
		print_vector(e->cmd, &reply);
	reply_free(&reply);
	return status;
}

/* Empty ones have no vector. */
static int embed_lines(struct embed *e)
{
	const char *at = e->lines, *end = e->lines + e->lines_bytes;
	int status = CMD_OK;

	while (at < end && !status) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t bytes = (size_t)((stop ? stop : end) - at);

		if (bytes)
			status = embed(e, at, bytes);
		at += bytes + 1;
	}
	return status;
}

static int embed_all(struct embed *e, int count, char **texts)
{
	size_t bytes;
	int status = CMD_OK;
	char *text;

	e->rq.tokens = e->ids;
	if (e->ids)
		return embed(e, NULL, 0);
	if (e->lines)
		return embed_lines(e);
	for (int i = 0; i < count && !status; i++)
		status = embed(e, texts[i], strlen(texts[i]));
	if (count)
		return status;
	text = cmd_text(e->cmd, 0, texts, &bytes);
	status = text ? embed(e, text, bytes) : CMD_FAILED;
	free(text);
	return status;
}

int cmd_embed(struct cmd *cmd, int argc, char **argv)
{
	struct embed e = { .cmd = cmd, .rq = MHOST_REQUEST_INIT };
	int status;

	e.rq.kind = MHOST_EMBED;
	status = parse(&e, argc, argv);
	if (!status)
		status = embed_all(&e, argc - optind - 1, argv + optind + 1);
	free(e.ids);
	free(e.lines);
	return status;
}
