/* SPDX-License-Identifier: MIT */
/* cmd_chat.c: `mhost chat`: a conversation, through the chat template of the version that answers. */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chat_lines.h"
#include "chat_show.h"
#include "message.h"
#include "request_opts.h"

#define SYNOPSIS "MODEL[@VERSION] [--system TEXT] [OPTION]...; mhost(1) lists the options"

struct chat {
	const struct cmd *cmd;
	struct request_opts opts;
	struct mhost *session;		/* NULL: not connected */
	struct chat_lines *lines;
	json_t *messages;
	bool terminal, failed;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
	interrupted = 1;
}

static bool is_interrupted(void)
{
	return interrupted;
}

static void catch_interrupt(void)
{
	struct sigaction sa = { .sa_handler = on_interrupt };	/* reads are broken off */

	sigaction(SIGINT, &sa, NULL);
}

/* ---- the conversation --------------------------------------------------------------------- */

static bool add_message(struct chat *c, const char *role, const char *text, size_t bytes)
{
	json_t *content = json_stringn(text, bytes);

	if (!content) {
		cmd_fail(c->cmd, CMD_FAILED, "what was typed is not UTF-8; set the terminal to it");
		return false;
	}
	return !json_array_append_new(c->messages, json_pack("{s:s, s:o}", "role", role, "content", content));
}

static bool has_system(const struct chat *c)
{
	const char *role = json_string_value(json_object_get(json_array_get(c->messages, 0), "role"));

	return role && !strcmp(role, "system");
}

/* Put in front of all; empty: none. */
static void set_system(struct chat *c, const char *text)
{
	json_t *content = json_string(text);

	if (has_system(c))
		json_array_remove(c->messages, 0);
	if (content && *text)
		json_array_insert_new(c->messages, 0, json_pack("{s:s, s:O}", "role", "system", "content",
								content));
	else if (!content)
		cmd_fail(c->cmd, CMD_FAILED, "the system message is not UTF-8");
	json_decref(content);
}

static void clear(struct chat *c)
{
	size_t keep = has_system(c);

	while (json_array_size(c->messages) > keep)
		json_array_remove(c->messages, keep);
}

/* ---- a reply ------------------------------------------------------------------------------ */

static void show_text(void *show, const struct reply *r, const char *text, size_t bytes)
{
	chat_show_text(show, r, text, bytes);
}

static void print_reply(const struct reply *r)
{
	cmd_json_print(json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:s}", "model", r->model, "version", r->version,
				 "content_hash", r->hash, "adapters", cmd_json_adapters(r), "text",
				 cmd_json_text(r->text ? r->text : "", r->text_bytes), "message",
				 message_of(r, MESSAGE_FORM_AUTO), "finish_reason", reply_finish_name(r->finish)));
	fflush(stdout);
}

/* Submit the conversation; what came stands in @r, and was shown by @show. CMD_OK, or CMD_FAILED with the reason printed. */
static int ask(struct chat *c, struct chat_show *show, struct reply *r)
{
	json_t *request = json_pack("{s:O, s:b}", "messages", c->messages, "add_generation_prompt", 1);
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	int err = text ? 0 : -ENOMEM;

	json_decref(request);
	if (!err && !c->session)
		err = mhost_connect(&c->session, c->cmd->socket);
	c->opts.rq.messages = text;
	c->opts.rq.flags |= MHOST_SHOW_SPECIAL;
	if (!err)
		err = reply_collect(c->session, &c->opts.rq, is_interrupted,
				    c->cmd->json ? NULL : show_text, show, r);
	free(text);
	if (err)
		cmd_fail(c->cmd, CMD_FAILED, "%s", c->session ? mhost_errmsg(c->session) :
			 mhost_strerror(err));
	else if (r->error)
		cmd_fail(c->cmd, CMD_FAILED, "%s%s", r->message, r->error == MHOST_E_TOO_LONG ?
			 "; /clear begins a new conversation" : "");
	if (err)	/* the next message connects again */
		mhost_close(&c->session);
	return err || r->error ? CMD_FAILED : CMD_OK;
}

static void exchange(struct chat *c, const char *text)
{
	struct chat_show show = { .terminal = c->terminal };
	struct reply r = { 0 };
	int status;

	if (!add_message(c, "user", text, strlen(text))) {
		c->failed = true;
		return;
	}
	interrupted = 0;
	status = ask(c, &show, &r);
	if (r.begun && c->cmd->json)
		print_reply(&r);
	else if (r.begun)
		chat_show_end(&show);
	interrupted = 0;
	/* A question without an answer is forgotten, so that it can be asked again. */
	if (status || json_array_append_new(c->messages, message_of(&r, MESSAGE_FORM_AUTO)))
		json_array_remove(c->messages, json_array_size(c->messages) - 1);
	c->failed = c->failed || status;
	reply_free(&r);
}

/* ---- commands ----------------------------------------------------------------------------- */

static void help(void)
{
	fprintf(stderr, "/clear         forget the conversation, not the system message\n"
			"/system TEXT   set the system message; without a text there is none\n"
			"/undo          forget the last question and its answer\n"
			"/quit          end; so does Ctrl-D\n"
			"A line that ends with \\ goes on. \"\"\" alone on a line begins and ends text of many lines.\n"
			"Ctrl-C ends the reply, or drops what is being typed.\n");
}

/* False: the conversation is over. */
static bool command(struct chat *c, const char *text)
{
	size_t bytes = strcspn(text, " "), count = json_array_size(c->messages);
	const char *rest = text + bytes + strspn(text + bytes, " ");

	if (!strcmp(text, "/quit") || !strcmp(text, "/exit"))
		return false;
	if (!strcmp(text, "/clear")) {
		clear(c);
	} else if (bytes == 7 && !strncmp(text, "/system", bytes)) {
		set_system(c, rest);
	} else if (!strcmp(text, "/undo")) {
		for (int i = 0; i < 2 && count > (size_t)has_system(c); i++)
			json_array_remove(c->messages, --count);
	} else {
		if (strcmp(text, "/help"))
			cmd_fail(c->cmd, CMD_USAGE, "%.40s is no command", text);
		help();
	}
	return true;
}

static void converse(struct chat *c)
{
	enum chat_line line;
	char *text;
	bool on = true;

	while (on && (line = chat_lines_read(c->lines, &text)) != CHAT_END) {
		interrupted = 0;
		if (line == CHAT_INTERRUPTED) {
			putchar('\n');
			continue;
		}
		if (*text == '/')
			on = command(c, text);
		else if (*text)
			exchange(c, text);
		free(text);
		on = on && (c->terminal || !c->failed);
	}
	if (c->terminal && on)
		putchar('\n');
}

/* ---- the verb ----------------------------------------------------------------------------- */

static int parse(struct cmd *cmd, int argc, char **argv, struct request_opts *o)
{
	int status = request_opts_take(cmd, argc, argv, o);

	if (status)
		return status;
	if (o->parsed || o->choices || o->best_of || o->echo || o->ids || o->messages || o->rq.flags & (MHOST_LOGPROBS | MHOST_NO_SPECIAL))
		return cmd_fail(cmd, CMD_USAGE, "--tokens, --messages, --parse, --choices, --best-of, --echo, --logprobs and --no-special are for "
				"mhost run; leave them out");
	if (argc - optind != 1)
		return cmd_usage(cmd, SYNOPSIS);
	return cmd_split_ref(cmd, argv[optind], &o->rq.model, &o->rq.version);
}

int cmd_chat(struct cmd *cmd, int argc, char **argv)
{
	struct chat c = { .cmd = cmd, .terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) };
	int status = parse(cmd, argc, argv, &c.opts);

	if (status == CMD_OK && mhost_connect(&c.session, cmd->socket))
		status = cmd_fail(cmd, CMD_FAILED, "%s", mhost_errmsg(c.session));
	if (status == CMD_OK) {
		setlocale(LC_CTYPE, "") ?: setlocale(LC_CTYPE, "C.UTF-8");
		catch_interrupt();
		c.lines = chat_lines_new(c.terminal);
		c.messages = json_array();
		if (c.opts.system)
			set_system(&c, c.opts.system);
		if (!c.lines || !c.messages)
			status = cmd_fail(cmd, CMD_FAILED, "out of memory; free some");
		else
			converse(&c);
	}
	chat_lines_free(&c.lines);
	json_decref(c.messages);
	mhost_close(&c.session);
	request_opts_free(&c.opts);
	return status || (c.failed && !c.terminal) ? status ? status : CMD_FAILED : CMD_OK;
}
