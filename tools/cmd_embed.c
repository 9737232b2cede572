/* SPDX-License-Identifier: MIT */
/*
 * cmd_embed.c: `mhost embed`: one vector for each text. Many are under way at a time, so that workers
 * batch them; they are printed in the order in which they were given.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd.h"

#define WINDOW		64u		/* texts under way */
#define TRIES		3u		/* of one that may succeed elsewhere or later */
#define FILE_MAX	(512u << 10)	/* of --messages: what a request takes */
#define SYNOPSIS	"MODEL[@VERSION] [TEXT... | --lines FILE | --tokens 1,2,3 | --messages FILE] " \
			"[--pooling mean|last|cls] [--raw] [--adapter NAME[@V][:SCALE]]... [--deadline-ms N] [--no-special]"

enum { OPT_ADAPTER = 256, OPT_DEADLINE, OPT_LINES, OPT_MESSAGES, OPT_NO_SPECIAL, OPT_POOLING, OPT_RAW, OPT_TOKENS };

static const char *const poolings[] = {
	[MHOST_POOL_MEAN] = "mean", [MHOST_POOL_LAST] = "last", [MHOST_POOL_FIRST] = "cls",
};

/* A text, from its submission until it is printed. */
struct place {
	uint64_t id;			/* 0: it is to be submitted */
	uint32_t tries;
	bool ended;
	struct reply reply;
};

struct embed {
	struct cmd *cmd;
	struct mhost_request rq;
	struct cmd_adapters adapters;
	const char *lines;
	char *content;			/* of a file or of standard input */
	uint32_t *ids;
	char **texts;			/* NULL: rq has tokens or messages */
	size_t *bytes;			/* of each text */
	size_t count, sent, printed;
	size_t window;			/* 1..WINDOW: texts under way, fewer on a busy host */
	struct place places[WINDOW];	/* text i has i % WINDOW */
	struct reply first;		/* stamp of what was printed first */
};

/* -- what to embed ------------------------------------------------------------------------------ */

static int take_pooling(const struct cmd *cmd, struct embed *e)
{
	for (uint32_t i = 0; i < sizeof(poolings) / sizeof(poolings[0]); i++)
		if (!strcmp(optarg, poolings[i])) {
			e->rq.pooling = i;
			return CMD_OK;
		}
	return cmd_fail(cmd, CMD_USAGE, "--pooling %.40s: must be mean, last or cls", optarg);
}

static int take_option(struct cmd *cmd, int opt, struct embed *e)
{
	switch (opt) {
	case OPT_ADAPTER:
		return cmd_take_adapter(cmd, optarg, &e->adapters);
	case OPT_DEADLINE:
		return cmd_take_u32(cmd, "deadline-ms", 1, UINT32_MAX, &e->rq.deadline_ms);
	case OPT_LINES:
		e->lines = optarg;
		return CMD_OK;
	case OPT_MESSAGES:
		free(e->content);
		e->content = cmd_read_file(cmd, optarg, FILE_MAX, &e->rq.messages_bytes);
		e->rq.messages = e->content;
		return e->content ? CMD_OK : CMD_FAILED;
	case OPT_NO_SPECIAL:
		e->rq.flags |= MHOST_NO_SPECIAL;
		return CMD_OK;
	case OPT_POOLING:
		return take_pooling(cmd, e);
	case OPT_RAW:
		e->rq.flags |= MHOST_RAW;
		return CMD_OK;
	case OPT_TOKENS:
		if (cmd_parse_ids(optarg, &e->ids, &e->rq.token_count))
			return CMD_OK;
		return cmd_fail(cmd, CMD_USAGE, "--tokens %.40s: ids must be numbers with commas between them", optarg);
	default:
		return CMD_USAGE;
	}
}

static int text_add(struct embed *e, char *text, size_t bytes)
{
	char **texts = realloc(e->texts, (e->count + 1) * sizeof(*texts));
	size_t *lengths = realloc(e->bytes, (e->count + 1) * sizeof(*lengths));

	e->texts = texts ? texts : e->texts;
	e->bytes = lengths ? lengths : e->bytes;
	if (!texts || !lengths)
		return cmd_fail(e->cmd, CMD_FAILED, "out of memory for the texts");
	e->texts[e->count] = text;
	e->bytes[e->count++] = bytes;
	return CMD_OK;
}

/* Each line of --lines that is not empty. */
static int take_lines(struct embed *e)
{
	FILE *file = strcmp(e->lines, "-") ? fopen(e->lines, "rb") : stdin;
	size_t cap = 0, all = 0;
	ssize_t n = file ? getdelim(&e->content, &cap, EOF, file) : -1;
	int status = CMD_OK;

	if (!file || ferror(file))
		status = cmd_fail(e->cmd, CMD_FAILED, "%s: cannot be read: %s; check the path", e->lines, strerror(errno));
	else if (n <= 0)
		status = cmd_fail(e->cmd, CMD_FAILED, "%s: it is empty", e->lines);
	all = n > 0 ? (size_t)n : 0;
	for (char *at = e->content, *end; !status && at < e->content + all; at = end + 1) {
		end = memchr(at, '\n', (size_t)(e->content + all - at));
		end = end ? end : e->content + all;
		if (end > at)
			status = text_add(e, at, (size_t)(end - at));
	}
	if (file && file != stdin)
		fclose(file);
	return status;
}

/* One of the ways in which prompts may be given. */
static int take_prompts(struct embed *e, int argc, char **argv)
{
	int status = CMD_OK;

	if ((argc > 0) + !!e->lines + !!e->ids + !!e->rq.messages > 1)
		return cmd_usage(e->cmd, SYNOPSIS);
	e->count = e->ids || e->rq.messages;
	if (e->count)
		return CMD_OK;
	if (e->lines)
		return take_lines(e);
	if (argc)
		for (int i = 0; !status && i < argc; i++)
			status = text_add(e, argv[i], strlen(argv[i]));
	else {
		e->content = cmd_text(e->cmd, 0, NULL, &e->rq.text_bytes);
		status = e->content ? text_add(e, e->content, e->rq.text_bytes) : CMD_FAILED;
	}
	return status;
}

static int parse(struct embed *e, int argc, char **argv)
{
	static const struct option options[] = {
		{ "adapter", required_argument, NULL, OPT_ADAPTER },
		{ "deadline-ms", required_argument, NULL, OPT_DEADLINE },
		{ "lines", required_argument, NULL, OPT_LINES },
		{ "messages", required_argument, NULL, OPT_MESSAGES },
		{ "no-special", no_argument, NULL, OPT_NO_SPECIAL },
		{ "pooling", required_argument, NULL, OPT_POOLING },
		{ "raw", no_argument, NULL, OPT_RAW },
		{ "tokens", required_argument, NULL, OPT_TOKENS },
		{ 0 },
	};
	int opt, status = CMD_OK;

	while (!status && (opt = cmd_getopt(e->cmd, argc, argv, ":", options)) != -1)
		status = take_option(e->cmd, opt, e);
	if (status)
		return status;
	if (argc - optind < 1)
		return cmd_usage(e->cmd, SYNOPSIS);
	if (cmd_split_ref(e->cmd, argv[optind], &e->rq.model, &e->rq.version))
		return CMD_USAGE;
	cmd_adapters_set(&e->adapters, &e->rq);
	e->rq.tokens = e->ids;
	return take_prompts(e, argc - optind - 1, argv + optind + 1);
}

/* -- under way ----------------------------------------------------------------------------------- */

static struct place *place_of(struct embed *e, size_t i)
{
	return &e->places[i % WINDOW];
}

/* 0, MHOST_E_BUSY or another negative code. */
static int submit(struct embed *e, struct mhost *s, size_t i)
{
	struct mhost_request rq = e->rq;

	if (e->texts) {
		rq.text = e->texts[i];
		rq.text_bytes = e->bytes[i];
	}
	return mhost_submit(s, &rq, &place_of(e, i)->id);
}

/* As many as the window and the rings take; those first that are to be sent again. */
static int submit_more(struct embed *e, struct mhost *s)
{
	size_t end = e->printed + e->window;
	int err = 0;

	for (size_t i = e->printed; !err && i < e->count && i < end; i++) {
		if (i < e->sent && (place_of(e, i)->id || place_of(e, i)->ended))
			continue;
		err = submit(e, s, i);
		e->sent += !err && i == e->sent;
	}
	return err == MHOST_E_BUSY && mhost_open_count(s) ? 0 : err;
}

static void event_take(struct embed *e, const struct mhost_event *ev)
{
	struct place *p = NULL;

	for (uint32_t i = 0; i < WINDOW; i++)
		if (e->places[i].id == ev->id)
			p = &e->places[i];
	if (!p)
		return;
	reply_take(&p->reply, ev, NULL, NULL);
	if (ev->type != MHOST_EVENT_END)
		return;
	p->id = 0;
	if (ev->error == MHOST_E_BUSY && e->window > 1)
		e->window /= 2;
	else
		p->ended = !ev->retriable || ++p->tries == TRIES;
}

/* -- output -------------------------------------------------------------------------------------- */

static void print(const struct embed *e, const struct reply *r)
{
	json_t *list;

	for (uint32_t i = 0; !e->cmd->json && i < r->vector_count; i++)
		printf("%.9g%c", (double)r->vector[i], i + 1 < r->vector_count ? ' ' : '\n');
	if (!e->cmd->json)
		return;
	list = json_array();
	for (uint32_t i = 0; i < r->vector_count; i++)
		json_array_append_new(list, json_real((double)r->vector[i]));
	cmd_json_print(json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:b, s:o}", "model", r->model, "version", r->version,
				 "content_hash", r->hash, "adapters", cmd_json_adapters(r), "prompt_tokens",
				 cmd_json_ids(r->prompt, r->prompt_count),
				 "pooling", poolings[e->rq.pooling], "normalized", !(e->rq.flags & MHOST_RAW),
				 "embedding", list));
}

static bool same_weights(const struct reply *a, const struct reply *b)
{
	bool same = !strcmp(a->hash, b->hash) && a->adapter_count == b->adapter_count;

	for (uint32_t i = 0; same && i < a->adapter_count; i++)
		same = !strcmp(a->adapters[i].hash, b->adapters[i].hash);
	return same;
}

/* Vectors of two versions have nothing to do with each other, and bare ones do not say whose they are. */
static int print_next(struct embed *e)
{
	struct place *p = place_of(e, e->printed);
	int status = CMD_OK;

	if (!e->printed)
		e->first = p->reply;	/* of which only words are looked at */
	if (p->reply.error)
		status = cmd_fail(e->cmd, CMD_FAILED, "%s: text %zu of %zu: %s", e->rq.model, e->printed + 1, e->count,
				  p->reply.message);
	else if (!p->reply.vector_count)
		status = cmd_fail(e->cmd, CMD_FAILED, "out of memory for an embedding");
	else if (!e->cmd->json && !same_weights(&p->reply, &e->first))
		status = cmd_fail(e->cmd, CMD_FAILED, "%s: text %zu of %zu was answered by other weights (%s) than those "
				  "before (%s): ask again, name a version, or use --json", e->rq.model, e->printed + 1,
				  e->count, p->reply.version, e->first.version);
	else
		print(e, &p->reply);
	reply_free(&p->reply);
	*p = (struct place){ 0 };
	e->printed++;
	return status;
}

static int run(struct embed *e, struct mhost *s)
{
	const struct mhost_event *ev;
	int status = CMD_OK;

	while (!status && e->printed < e->count) {
		int err = submit_more(e, s);

		if (!err)
			err = mhost_next(s, 100, &ev);
		if (err && err != -EAGAIN && err != -ENODATA)
			return cmd_fail(e->cmd, CMD_FAILED, "%s: text %zu of %zu: %s", e->rq.model, e->sent + 1, e->count,
					mhost_errmsg(s));
		if (!err)
			event_take(e, ev);
		while (!status && e->printed < e->count && place_of(e, e->printed)->ended)
			status = print_next(e);
	}
	return status;
}

static void embed_free(struct embed *e)
{
	for (uint32_t i = 0; i < WINDOW; i++)
		reply_free(&e->places[i].reply);
	free(e->content);
	free(e->ids);
	free(e->texts);
	free(e->bytes);
	free(e);
}

int cmd_embed(struct cmd *cmd, int argc, char **argv)
{
	struct embed *e = calloc(1, sizeof(*e));
	struct timespec now;
	struct mhost *s;
	int status;

	if (!e)
		return cmd_fail(cmd, CMD_FAILED, "out of memory");
	e->cmd = cmd;
	e->rq = (struct mhost_request)MHOST_REQUEST_INIT;
	e->rq.kind = MHOST_EMBED;
	e->window = WINDOW;
	/* All of them on one side of a split. */
	clock_gettime(CLOCK_REALTIME, &now);
	e->rq.session_key = (uint64_t)now.tv_sec << 30 ^ (uint64_t)now.tv_nsec;
	status = parse(e, argc, argv);
	if (status == CMD_OK) {
		status = mhost_connect(&s, cmd->socket) ? cmd_fail(cmd, CMD_FAILED, "%s", mhost_errmsg(s)) : run(e, s);
		mhost_close(&s);
	}
	embed_free(e);
	return status;
}
