/* SPDX-License-Identifier: MIT */
/*
 * tpl_chat.c: a request for chat into the variables of a template, and its text out of it, as
 * transformers' apply_chat_template does both.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tpl_priv.h"

/* Put behind the message that is to be continued; where it ends up is where the text is cut. */
static const char tag[] = "CONTINUE_FINAL_MESSAGE_TAG ";

struct chat {
	const json_t *request;
	const struct tpl_host *host;
	struct tpl_value messages;
	struct tpl_value final;		/* MISSING: nothing is to be continued */
};

static void refuse(struct tpl_run *r, const char *what)
{
	r->heap.line = 0;
	tpl_throw(&r->heap, TPL_REQUEST, "%s", what);
}

/* ---- what the request says ---------------------------------------------------------------- */

static void set_by_name(struct tpl_run *r, const char *name, struct tpl_value v)
{
	for (uint32_t i = 0; i < r->tpl->name_count; i++)
		if (r->tpl->names[i].bytes == strlen(name) &&
		    !memcmp(r->tpl->names[i].text, name, r->tpl->names[i].bytes))
			r->scope->values[i] = v;
}

static const char *const words[TPL_WORD_COUNT] = {
	[TPL_BOS] = "bos_token", [TPL_EOS] = "eos_token", [TPL_UNK] = "unk_token", [TPL_SEP] = "sep_token",
	[TPL_PAD] = "pad_token", [TPL_CLS] = "cls_token", [TPL_MASK] = "mask_token",
};

static void set_token(struct tpl_run *r, const struct chat *chat, const char *name, const char *host)
{
	const json_t *given = json_object_get(chat->request, name);

	if (given && !json_is_string(given) && !json_is_null(given))
		tpl_throw(&r->heap, TPL_REQUEST, "%s: must be a string", name);
	if (json_is_string(given))
		set_by_name(r, name, tpl_from_json(r, given));
	else if (host && !given)
		set_by_name(r, name, tpl_cstr(host));
}

/* Absent and null: None, as the template sees it. */
static struct tpl_value objects_of(struct tpl_run *r, const struct chat *chat, const char *name)
{
	const json_t *given = json_object_get(chat->request, name);
	const json_t *item;
	size_t i;

	if (!given || json_is_null(given))
		return tpl_none();
	if (!json_is_array(given))
		tpl_throw(&r->heap, TPL_REQUEST, "%s: must be a list of objects", name);
	json_array_foreach(given, i, item)
		if (!json_is_object(item))
			tpl_throw(&r->heap, TPL_REQUEST, "%s: item %zu is not an object", name, i);
	return tpl_from_json(r, given);
}

static bool is_own(const char *name)
{
	static const char *const own[] = { "messages", "tools", "documents", "now",
					   "continue_final_message", "add_generation_prompt" };

	for (size_t w = 0; w < TPL_WORD_COUNT; w++)
		if (!strcmp(name, words[w]))
			return true;

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (!strcmp(name, own[i]))
			return true;
	return false;
}

static void set_others(struct tpl_run *r, const struct chat *chat)
{
	json_t *request = (json_t *)(uintptr_t)chat->request, *value;	/* jansson reads it only */
	const char *name;

	json_object_foreach(request, name, value)
		if (!is_own(name))
			set_by_name(r, name, tpl_from_json(r, value));
}

static void set_now(struct tpl_run *r, const struct chat *chat)
{
	const json_t *given = json_object_get(chat->request, "now");
	const char *text = json_string_value(given);
	struct tm *t = &r->now;
	int n = 0;

	localtime_r(&chat->host->now, t);
	if (!given || json_is_null(given))
		return;
	memset(t, 0, sizeof(*t));
	if (!text || sscanf(text, "%4d-%2d-%2d%*1[T ]%2d:%2d:%2d%n", &t->tm_year, &t->tm_mon, &t->tm_mday,
			    &t->tm_hour, &t->tm_min, &t->tm_sec, &n) < 6 || !n ||
	    t->tm_mon < 1 || t->tm_mon > 12 || t->tm_mday < 1 || t->tm_mday > 31)
		refuse(r, "now: must be a time like \"2024-07-06T09:08:07\"");
	t->tm_year -= 1900;
	t->tm_mon--;
	t->tm_isdst = -1;
	timegm(t);	/* finds the day of the week and of the year */
}

/* ---- messages ----------------------------------------------------------------------------- */

static const char *const reasoning[] = { "reasoning_content", "thinking", "reasoning" };

#define REASONING_COUNT	(sizeof(reasoning) / sizeof(reasoning[0]))

/* Reasoning goes by several names; templates read the first, one family the second. */
static void alias_reasoning(struct tpl_run *r, struct tpl_value *message)
{
	const struct tpl_value *found = NULL;
	struct tpl_value copy, text;

	for (size_t i = 0; i < REASONING_COUNT && !found; i++)
		found = tpl_dict_find(r, message->dict, reasoning[i]);
	if (!found)
		return;
	text = *found;
	copy = tpl_dict_new(r, 0);
	tpl_dict_set(r, copy.dict, tpl_cstr("thinking"), text);
	for (uint32_t i = 0; i < message->dict->count; i++)
		tpl_dict_set(r, copy.dict, message->dict->entries[i].key,
			     message->dict->entries[i].value);
	tpl_dict_set(r, copy.dict, tpl_cstr("reasoning_content"), text);
	*message = copy;
}

/* Templates handle a key that is missing better than one that is null. */
static void drop_nulls(struct tpl_dict *message)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < message->count; i++)
		if (message->entries[i].value.kind != TPL_NONE)
			message->entries[kept++] = message->entries[i];
	if (kept == message->count)
		return;
	message->count = kept;
	message->slots = NULL;
}

static void messages_set(struct tpl_run *r, struct chat *chat)
{
	if (!json_object_get(chat->request, "messages"))
		refuse(r, "messages: is missing");
	chat->messages = objects_of(r, chat, "messages");
	if (chat->messages.kind == TPL_NONE || !chat->messages.list->count)
		refuse(r, "messages: must be a list of objects, one at least");
	for (uint32_t i = 0; i < chat->messages.list->count; i++) {
		drop_nulls(chat->messages.list->items[i].dict);
		alias_reasoning(r, &chat->messages.list->items[i]);
	}
}

static struct tpl_value tagged(struct tpl_run *r, const struct tpl_value *text)
{
	struct tpl_value end = tpl_cstr(tag);

	if (text->kind != TPL_STRING)
		refuse(r, "continue_final_message: what is to be continued is not text");
	return tpl_join(r, text, &end);
}

/* The last part of a message in parts that has text. */
static void tag_parts(struct tpl_run *r, struct chat *chat, const struct tpl_list *parts)
{
	for (uint32_t i = parts->count; i-- > 0;) {
		const struct tpl_value *part = &parts->items[i], *text = NULL;

		if (part->kind == TPL_DICT)
			text = tpl_dict_find(r, part->dict, "text");
		if (!text)
			continue;
		chat->final = *text;
		tpl_dict_set(r, part->dict, tpl_cstr("text"), tagged(r, text));
		return;
	}
	refuse(r, "continue_final_message: the final message has no text to continue");
}

static bool is_reasoning(const char *field)
{
	for (size_t i = 0; i < REASONING_COUNT; i++)
		if (!strcmp(field, reasoning[i]))
			return true;
	return false;
}

/* Tag the field, and those that are other names of it. */
static void tag_fields(struct tpl_run *r, struct chat *chat, struct tpl_dict *message,
		       const char *field)
{
	struct tpl_value end = tagged(r, &chat->final);
	bool read = strstr(r->tpl->source, field);

	tpl_dict_set(r, message, tpl_cstr(field), end);
	for (size_t i = 0; is_reasoning(field) && i < REASONING_COUNT; i++) {
		const struct tpl_value *other = tpl_dict_find(r, message, reasoning[i]);

		if (!other || !tpl_equal(r, other, &chat->final))
			continue;
		tpl_dict_set(r, message, tpl_cstr(reasoning[i]), end);
		read = read || strstr(r->tpl->source, reasoning[i]);
	}
	if (!read)
		refuse(r, "continue_final_message: the template does not read that field");
}

static void continue_final(struct tpl_run *r, struct chat *chat)
{
	const json_t *given = json_object_get(chat->request, "continue_final_message");
	const char *field = json_is_string(given) ? json_string_value(given) : "content";
	const struct tpl_list *messages = chat->messages.list;
	const struct tpl_value *found;

	if (!given || json_is_null(given) || json_is_false(given) || !*field)
		return;
	if (!json_is_true(given) && !json_is_string(given))
		refuse(r, "continue_final_message: must be true, false or the name of a field");
	if (json_is_true(json_object_get(chat->request, "add_generation_prompt")))
		refuse(r, "continue_final_message and add_generation_prompt exclude each other");
	found = tpl_dict_find(r, messages->items[messages->count - 1].dict, field);
	if (!found)
		refuse(r, "continue_final_message: the final message has no such field to continue");
	chat->final = *found;
	if (found->kind == TPL_LIST)
		tag_parts(r, chat, found->list);
	else
		tag_fields(r, chat, messages->items[messages->count - 1].dict, field);
}

static const char *find_last(struct tpl_value in, const char *what, size_t bytes)
{
	const char *at = in.text, *end = in.text + in.bytes, *last = NULL;

	for (; (at = tpl_find(at, (size_t)(end - at), what, bytes)); at++)
		last = at;
	return last;
}

/* Cut the text where the tag is, which may have lost its blank to the template's trimming. */
static struct tpl_value cut_final(struct tpl_run *r, const struct chat *chat, struct tpl_value text)
{
	struct tpl_value final = tpl_strip(r, chat->final, NULL, TPL_STRIP_BOTH), cut = text;
	const char *at = find_last(text, tag, sizeof(tag) - 2);

	if (!at || !tpl_find(text.text, text.bytes, final.text, final.bytes))
		refuse(r, "continue_final_message: the final message is not in the text that the "
		       "template makes");
	cut.bytes = (uint32_t)(at - text.text);
	if (text.bytes - cut.bytes >= sizeof(tag) - 1 && !memcmp(at, tag, sizeof(tag) - 1))
		return cut;
	return tpl_strip(r, cut, NULL, TPL_STRIP_RIGHT);
}

/* ---- rendering ---------------------------------------------------------------------------- */

static void variables_set(struct tpl_run *r, struct chat *chat)
{
	const json_t *prompt = json_object_get(chat->request, "add_generation_prompt");

	messages_set(r, chat);
	continue_final(r, chat);
	set_others(r, chat);
	for (size_t w = 0; w < TPL_WORD_COUNT; w++)
		set_token(r, chat, words[w], chat->host->words[w]);
	set_now(r, chat);
	set_by_name(r, "messages", chat->messages);
	set_by_name(r, "tools", objects_of(r, chat, "tools"));
	set_by_name(r, "documents", objects_of(r, chat, "documents"));
	set_by_name(r, "add_generation_prompt", prompt ? tpl_from_json(r, prompt) : tpl_bool(false));
}

static void render(struct tpl_run *r, struct chat *chat, char **text, size_t *bytes)
{
	struct tpl_buffer buffer;
	struct tpl_value result;

	r->scope = tpl_scope_new(r, NULL);
	r->scope->values = tpl_zalloc(&r->heap, (r->tpl->name_count + 1) * sizeof(*r->scope->values));
	variables_set(r, chat);
	tpl_capture(r, &buffer);
	tpl_exec(r, r->tpl->body);
	result = tpl_capture_end(r, NULL);
	if (chat->final.kind != TPL_MISSING)
		result = cut_final(r, chat, result);
	*text = malloc((size_t)result.bytes + 1);
	if (!*text)
		tpl_throw(&r->heap, TPL_MEMORY, "out of memory");
	memcpy(*text, result.text, result.bytes);
	(*text)[result.bytes] = 0;
	*bytes = result.bytes;
}

int tpl_chat(const struct tpl *tpl, const json_t *request, const struct tpl_host *host,
	     const struct tpl_limits *limits, char **text, size_t *bytes, struct tpl_error *error)
{
	struct tpl_run r = { .tpl = tpl, .steps_left = limits->steps,
			     .output_bytes = limits->output_bytes };
	struct chat chat = { .request = request, .host = host };

	*text = NULL;
	*bytes = 0;
	tpl_heap_init(&r.heap, limits->memory_bytes, error);
	if (!setjmp(r.heap.jump))
		render(&r, &chat, text, bytes);
	tpl_heap_fini(&r.heap);
	return *text ? 0 : error->fault == TPL_MEMORY ? -ENOMEM : -EINVAL;
}
