/* SPDX-License-Identifier: MIT */
/* mhc_parse_call.c: the bodies of tool calls, form by form, as the chat templates of the models ask for them. */
#include <stdlib.h>
#include <string.h>

#include "mhc_parse.h"
#include "mhs_form.h"

#define CALLS_MAX	64u

struct calls {
	uint32_t count;
	struct mhc_span names[CALLS_MAX], arguments[CALLS_MAX];
	char *made[CALLS_MAX];		/* arguments that had to be written; or NULL */
};

static bool begins(struct mhc_span text, const char *with)
{
	size_t n = strlen(with);

	return text.bytes >= n && !memcmp(text.at, with, n);
}

/* Cut @text at the first @mark: what is before it, and behind. */
static bool cut(struct mhc_span text, const char *mark, struct mhc_span *before, struct mhc_span *after)
{
	size_t n = strlen(mark);
	const char *at = memmem(text.at, text.bytes, mark, n);

	if (!at)
		return false;
	*before = (struct mhc_span){ text.at, (size_t)(at - text.at) };
	*after = (struct mhc_span){ at + n, text.bytes - before->bytes - n };
	return true;
}

static bool add(struct calls *c, struct mhc_span name, struct mhc_span arguments)
{
	name = mhc_trim(name);
	if (c->count == CALLS_MAX || !name.bytes || !arguments.bytes)
		return false;
	c->names[c->count] = name;
	c->arguments[c->count++] = arguments;
	return true;
}

/* {"name": ..., "arguments": {...}}, under the names that models give them. */
static bool add_object(struct calls *c, struct mhc_span object)
{
	static const char *const names[] = { "name", "tool_name", "function" };
	static const char *const keys[] = { "arguments", "parameters" };
	struct mhc_span name, plain, arguments;
	bool found = false;

	for (size_t i = 0; i < 3 && !found; i++)
		found = mhc_json_get(object, names[i], &name) && mhc_json_plain(name, &plain);
	if (!found)
		return false;
	for (size_t i = 0; i < 2; i++)
		if (mhc_json_get(object, keys[i], &arguments) && arguments.at[0] == '{')
			return add(c, plain, arguments);
	return false;
}

/* One object, several apart, or a list of them. */
static bool add_json(struct calls *c, struct mhc_span body)
{
	struct mhc_span value, rest = mhc_trim(body);

	if (begins(rest, "[")) {
		struct mhc_span items;

		if (!mhc_json_value(&rest, &value) || mhc_trim(rest).bytes)
			return false;
		items = mhc_trim((struct mhc_span){ value.at + 1, value.bytes - 2 });
		rest = items;
	}
	while (rest.bytes) {
		if (!mhc_json_value(&rest, &value) || !add_object(c, value))
			return false;
		rest = mhc_trim(rest);
		if (begins(rest, ",") || begins(rest, ";"))
			rest = mhc_trim((struct mhc_span){ rest.at + 1, rest.bytes - 1 });
	}
	return c->count > 0;
}

/* Inside of ```json ... ```, if it is fenced. */
static struct mhc_span unfenced(struct mhc_span text)
{
	struct mhc_span before, after = mhc_trim(text);

	if (!begins(after, "```"))
		return after;
	after = (struct mhc_span){ after.at + 3, after.bytes - 3 };
	if (begins(after, "json"))
		after = (struct mhc_span){ after.at + 4, after.bytes - 4 };
	return mhc_trim(cut(after, "```", &before, &text) ? before : after);
}

static bool add_named(struct calls *c, struct mhc_span name, struct mhc_span json)
{
	struct mhc_span value, rest = unfenced(json);

	return mhc_json_value(&rest, &value) && !mhc_trim(rest).bytes && value.at[0] == '{' && add(c, name, value);
}

/* ---- <parameter=key>value</parameter>, of Qwen3-Coder ---------------------------------------- */

struct writer {
	char *data;
	size_t bytes, cap;
	bool failed;
};

static void put(struct writer *w, const char *text, size_t bytes)
{
	if (w->bytes + bytes > w->cap) {
		size_t cap = 2 * (w->cap + bytes);
		char *grown = w->failed ? NULL : realloc(w->data, cap);

		w->failed = !grown;
		if (!grown)
			return;
		w->data = grown;
		w->cap = cap;
	}
	memcpy(w->data + w->bytes, text, bytes);
	w->bytes += bytes;
}

static void put_string(struct writer *w, struct mhc_span text)
{
	static const char digits[] = "0123456789abcdef";

	put(w, "\"", 1);
	for (size_t i = 0; i < text.bytes; i++) {
		unsigned char b = (unsigned char)text.at[i];
		const char code[] = { '\\', 'u', '0', '0', digits[b >> 4], digits[b & 15] };

		if (b == '"' || b == '\\')
			put(w, "\\", 1);
		if (b < 0x20)
			put(w, code, 6);
		else
			put(w, text.at + i, 1);
	}
	put(w, "\"", 1);
}

/* What is JSON, and no string of it, stays; the rest is text. */
static void put_value(struct writer *w, struct mhc_span text)
{
	struct mhc_span value, rest = mhc_trim(text);

	if (rest.bytes && rest.at[0] != '"' && mhc_json_value(&rest, &value) && !mhc_trim(rest).bytes) {
		put(w, value.at, value.bytes);
		return;
	}
	if (text.bytes && text.at[0] == '\n')
		text = (struct mhc_span){ text.at + 1, text.bytes - 1 };
	if (text.bytes && text.at[text.bytes - 1] == '\n')
		text.bytes--;
	put_string(w, text);
}

static bool parameters_write(struct writer *w, struct mhc_span rest)
{
	struct mhc_span before, key, value;

	put(w, "{", 1);
	while (cut(rest, "<parameter=", &before, &rest)) {
		if (!cut(rest, ">", &key, &rest) || !cut(rest, "</parameter>", &value, &rest))
			return false;
		if (w->bytes > 1)
			put(w, ", ", 2);
		put_string(w, mhc_trim(key));
		put(w, ": ", 2);
		put_value(w, value);
	}
	put(w, "}", 1);
	return !w->failed;
}

static bool add_tagged(struct calls *c, struct mhc_span body)
{
	struct mhc_span before, name, inside;
	struct writer w = { 0 };

	if (!cut(body, "<function=", &before, &body) || mhc_trim(before).bytes ||
	    !cut(body, ">", &name, &body) || !cut(body, "</function>", &inside, &body))
		return false;
	if (!parameters_write(&w, inside) || !add(c, name, (struct mhc_span){ w.data, w.bytes })) {
		free(w.data);
		return false;
	}
	c->made[c->count - 1] = w.data;
	return true;
}

/* ---- forms -------------------------------------------------------------------------------------- */

static bool add_mistral(struct calls *c, struct mhc_span body)
{
	struct mhc_span part, rest, name, value;
	bool more = true;

	while (more) {
		more = cut(body, "[TOOL_CALLS]", &part, &rest);
		part = mhc_trim(more ? part : body);
		if (begins(part, "[")) {
			if (!add_json(c, part))
				return false;
		} else {
			if (!cut(part, "[ARGS]", &name, &value) || !add_named(c, name, value))
				return false;
			if (memmem(name.at, name.bytes, "[CALL_ID]", 9))
				cut(name, "[CALL_ID]", &c->names[c->count - 1], &value);
		}
		body = more ? rest : body;
	}
	return c->count > 0;
}

#define BAR	"\xef\xbd\x9c"
#define LOW	"\xe2\x96\x81"

static bool add_deepseek(struct calls *c, struct mhc_span body)
{
	struct mhc_span before, call, head, tail, name;

	while (cut(body, "<" BAR "tool" LOW "call" LOW "begin" BAR ">", &before, &body)) {
		if (!cut(body, "<" BAR "tool" LOW "call" LOW "end" BAR ">", &call, &body) ||
		    !cut(call, "<" BAR "tool" LOW "sep" BAR ">", &head, &tail))
			return false;
		head = mhc_trim(head);
		if (head.bytes == 8 && begins(head, "function")) {
			if (!cut(tail, "\n", &name, &tail))
				return false;
			head = name;
		}
		if (!add_named(c, head, tail))
			return false;
	}
	return c->count > 0;
}

static bool add_body(struct calls *c, uint32_t form, struct mhc_span body)
{
	struct mhc_span name, rest, ignored;

	switch (form) {
	case MHS_FORM_MISTRAL:
		return add_mistral(c, body);
	case MHS_FORM_DEEPSEEK:
		return add_deepseek(c, body);
	case MHS_FORM_FUNCTION:
		return cut(body, ">", &name, &rest) && add_named(c, name, rest);
	case MHS_FORM_LIST:
		return add_json(c, cut(body, "<|/tool_call|>", &name, &ignored) ? name : body);
	case MHS_FORM_COMMAND:
		return add_json(c, unfenced(body));
	case MHS_FORM_HERMES:
		return begins(mhc_trim(body), "<function=") ? add_tagged(c, mhc_trim(body)) : add_json(c, body);
	default:
		return add_json(c, body);
	}
}

uint32_t mhc_calls(uint32_t form, struct mhc_span body, mhc_call_fn fn, void *arg)
{
	struct calls c = { 0 };
	bool sound = add_body(&c, form, body);
	uint32_t count = sound ? c.count : 0;
	int err = 0;

	for (uint32_t i = 0; i < count && !err; i++)
		err = fn(arg, c.names[i], c.arguments[i]);
	for (uint32_t i = 0; i < CALLS_MAX; i++)
		free(c.made[i]);
	return count;
}
