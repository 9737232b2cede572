/* SPDX-License-Identifier: MIT */
/* message.c: reasoning and tool calls out of a reply's text. */
#include "message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text {
	char *data;
	size_t bytes;
};

struct parts {
	struct text content, reasoning;
	json_t *calls;
};

static int add_text(struct text *t, const struct mhost_part *part)
{
	char *grown = realloc(t->data, t->bytes + part->bytes + 1);

	if (!grown)
		return -ENOMEM;
	memcpy(grown + t->bytes, part->text, part->bytes);
	t->data = grown;
	t->bytes += part->bytes;
	return 0;
}

static int add_call(struct parts *p, const struct mhost_part *part)
{
	char id[24];

	snprintf(id, sizeof(id), "call_%zu", json_array_size(p->calls));
	return json_array_append_new(p->calls, json_pack("{s:s, s:s, s:{s:o, s:o}}", "id", id, "type", "function",
							 "function", "name", cmd_json_text(part->name, part->name_bytes),
							 "arguments", cmd_json_text(part->text, part->bytes)));
}

static int take(void *arg, const struct mhost_part *part)
{
	struct parts *p = arg;

	if (part->kind == MHOST_PART_CALL)
		return add_call(p, part);
	return add_text(part->kind == MHOST_PART_REASONING ? &p->reasoning : &p->content, part);
}

static int parse(struct parts *p, const struct reply *reply, uint32_t form)
{
	struct mhost_parser *parser;
	bool own = form == MESSAGE_FORM_AUTO;
	int err = mhost_parser_new(&parser, own ? reply->form : form, reply->form_flags, take, p);

	if (!err)
		err = mhost_parser_feed(parser, reply->text ? reply->text : "", reply->text_bytes);
	if (!err)
		err = mhost_parser_end(parser);
	mhost_parser_free(&parser);
	return err;
}

json_t *message_of(const struct reply *reply, uint32_t form)
{
	struct parts p = { .calls = json_array() };
	int err = p.calls ? parse(&p, reply, form) : -ENOMEM;
	json_t *message = err ? NULL : json_pack("{s:s, s:o}", "role", "assistant", "content",
						 cmd_json_text(p.content.data ? p.content.data : "", p.content.bytes));

	if (message && p.reasoning.bytes)
		json_object_set_new(message, "reasoning_content", cmd_json_text(p.reasoning.data, p.reasoning.bytes));
	if (message && json_array_size(p.calls))
		json_object_set(message, "tool_calls", p.calls);
	free(p.content.data);
	free(p.reasoning.data);
	json_decref(p.calls);
	return message;
}
