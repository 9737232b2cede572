/* SPDX-License-Identifier: MIT */
/*
 * mhc_parse.c: chat replies in parts: content, reasoning, tool calls. Text comes in any pieces. What may be the
 * beginning of a mark is held back, and so are blanks, which are dropped beside a mark; the inside of a call is kept
 * until it ends.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mhc_parse.h"
#include "mhc_priv.h"
#include "mhs_form.h"

#define HELD_MAX	(1u << 20)	/* of a call; a longer one is content */
#define BAR	"\xef\xbd\x9c"
#define LOW	"\xe2\x96\x81"

static const struct mhc_form forms[MHS_FORM_COUNT] = {
	[MHS_FORM_NONE] = { .name = "none" },
	[MHS_FORM_HERMES] = { "hermes", "<think>", "</think>", { "<tool_call>" }, { "</tool_call>" }, { NULL }, false },
	[MHS_FORM_LLAMA3] = { "llama3", "<think>", "</think>", { "<|python_tag|>" }, { "" }, { NULL }, true },
	[MHS_FORM_MISTRAL] = { "mistral", "[THINK]", "[/THINK]", { "[TOOL_CALLS]" }, { "" }, { NULL }, false },
	[MHS_FORM_DEEPSEEK] = { "deepseek", "<think>", "</think>",
				{ "<" BAR "tool" LOW "calls" LOW "begin" BAR ">" },
				{ "<" BAR "tool" LOW "calls" LOW "end" BAR ">" }, { NULL }, false },
	[MHS_FORM_FUNCTION] = { "function", "<think>", "</think>", { "<function=" }, { "</function>" }, { NULL }, false },
	[MHS_FORM_LIST] = { "list", "<think>", "</think>", { "<|tool_call|>" }, { "" },
			    { "<response>", "</response>" }, false },
	[MHS_FORM_COMMAND] = { "command", "<|START_THINKING|>", "<|END_THINKING|>",
			       { "<|START_ACTION|>", "Action: ```json", "Action:```json" },
			       { "<|END_ACTION|>", "```", "```" },
			       { "<|START_RESPONSE|>", "<|END_RESPONSE|>" }, false },
};

const struct mhc_form *mhc_form_get(uint32_t form)
{
	return form < MHS_FORM_COUNT ? &forms[form] : NULL;
}

enum place { CONTENT, REASONING, CALL };

/* What a mark does that was found. */
enum mark_kind { MARK_NONE, MARK_THINK, MARK_THOUGHT, MARK_CALL, MARK_DROP };

struct mhost_parser {
	const struct mhc_form *form;
	uint32_t form_id;
	mhost_part_fn fn;
	void *arg;
	enum place place;
	uint32_t call;			/* CALL: which open, and MHC_MARKS: none, the reply began with { */
	bool fresh;			/* nothing but blanks since the last mark */
	bool begun;			/* something but blanks came at all */
	bool after_mark;		/* blanks go, for a mark is before them */
	char *held;
	size_t bytes, cap;
	int err;
};

static int give(struct mhost_parser *p, uint32_t kind, struct mhc_span name, struct mhc_span text)
{
	const struct mhost_part part = { kind, text.at, text.bytes, name.at, name.bytes };

	if (!p->err && (text.bytes || name.bytes))
		p->err = p->fn(p->arg, &part);
	return p->err;
}

static int give_call(void *arg, struct mhc_span name, struct mhc_span arguments)
{
	return give(arg, MHOST_PART_CALL, name, arguments);
}

/* Give out the first @bytes of what is held, and forget them; @mark: one follows, so blanks at the end go. */
static void give_text(struct mhost_parser *p, size_t bytes, bool mark)
{
	struct mhc_span text = { p->held, bytes }, trimmed = mhc_trim(text);
	size_t lead = (size_t)(trimmed.at - text.at);

	if (trimmed.bytes && p->fresh && p->after_mark)
		text = (struct mhc_span){ trimmed.at, bytes - lead };
	else if (!trimmed.bytes && (mark || (p->fresh && p->after_mark)))
		text.bytes = 0;
	if (mark && trimmed.bytes)
		text.bytes = (size_t)(trimmed.at + trimmed.bytes - text.at);
	if (trimmed.bytes) {
		p->fresh = false;
		p->begun = true;
	}
	give(p, p->place == REASONING ? MHOST_PART_REASONING : MHOST_PART_CONTENT, (struct mhc_span){ NULL, 0 }, text);
}

static void forget(struct mhost_parser *p, size_t bytes)
{
	p->bytes -= bytes;
	memmove(p->held, p->held + bytes, p->bytes);
}

/* The earliest mark; *@at is its place, *@bytes its length, *@which of the calls. */
static void look(const struct mhost_parser *p, const char *mark, enum mark_kind kind, uint32_t index,
		 enum mark_kind *found, size_t *at, size_t *bytes, uint32_t *which)
{
	const char *seen = mark && *mark ? memmem(p->held, p->bytes, mark, strlen(mark)) : NULL;

	if (!seen || (*found != MARK_NONE && (size_t)(seen - p->held) >= *at))
		return;
	*found = kind;
	*at = (size_t)(seen - p->held);
	*bytes = strlen(mark);
	*which = index;
}

static enum mark_kind find_mark(const struct mhost_parser *p, size_t *at, size_t *bytes, uint32_t *which)
{
	enum mark_kind found = MARK_NONE;

	if (p->place == REASONING) {
		look(p, p->form->think_close, MARK_THOUGHT, 0, &found, at, bytes, which);
		return found;
	}
	look(p, p->form->think_open, MARK_THINK, 0, &found, at, bytes, which);
	for (uint32_t i = 0; i < MHC_MARKS; i++) {
		look(p, p->form->call_open[i], MARK_CALL, i, &found, at, bytes, which);
		look(p, p->form->dropped[i], MARK_DROP, i, &found, at, bytes, which);
	}
	return found;
}

static size_t overlap(const struct mhost_parser *p, const char *mark)
{
	size_t n = mark ? strlen(mark) : 0;

	for (n = n ? n - 1 : 0; n; n--)
		if (n <= p->bytes && !memcmp(p->held + p->bytes - n, mark, n))
			return n;
	return 0;
}

/* Bytes at the end that may be the beginning of a mark, and blanks before them. */
static size_t undecided(const struct mhost_parser *p)
{
	const struct mhc_form *f = p->form;
	size_t most = overlap(p, p->place == REASONING ? f->think_close : f->think_open), n;

	for (uint32_t i = 0; i < MHC_MARKS && p->place == CONTENT; i++) {
		n = overlap(p, f->call_open[i]);
		most = n > most ? n : most;
		n = overlap(p, f->dropped[i]);
		most = n > most ? n : most;
	}
	while (most < p->bytes && p->held[p->bytes - most - 1] && strchr(" \t\r\n", p->held[p->bytes - most - 1]))
		most++;
	return most;
}

static void mark_pass(struct mhost_parser *p, enum mark_kind kind, uint32_t which)
{
	p->fresh = p->after_mark = p->begun = true;
	if (kind == MARK_THINK)
		p->place = REASONING;
	else if (kind == MARK_THOUGHT)
		p->place = CONTENT;
	else if (kind == MARK_CALL) {
		p->place = CALL;
		p->call = which;
	}
}

/* The call is held whole: @body of it, and @bytes with its close. What is no call is content. */
static void call_end(struct mhost_parser *p, size_t body, size_t bytes)
{
	const char *open = p->call < MHC_MARKS ? p->form->call_open[p->call] : "";
	struct mhc_span none = { NULL, 0 }, text = { p->held, body };

	p->place = CONTENT;
	if (mhc_calls(p->form_id, text, give_call, p)) {
		p->fresh = p->after_mark = true;
	} else {
		give(p, MHOST_PART_CONTENT, none, (struct mhc_span){ open, strlen(open) });
		give(p, MHOST_PART_CONTENT, none, (struct mhc_span){ p->held, bytes });
		p->fresh = p->after_mark = false;
	}
	forget(p, bytes);
}

/* False: the call goes on. */
static bool call_step(struct mhost_parser *p)
{
	const char *close = p->call < MHC_MARKS ? p->form->call_close[p->call] : "";
	const char *at = *close ? memmem(p->held, p->bytes, close, strlen(close)) : NULL;

	if (at)
		call_end(p, (size_t)(at - p->held), (size_t)(at - p->held) + strlen(close));
	else if (p->bytes > HELD_MAX)
		call_end(p, 0, p->bytes);
	else
		return false;
	return true;
}

/* A reply that begins with { may be a call to its end. */
static bool is_bare(struct mhost_parser *p)
{
	struct mhc_span text = mhc_trim((struct mhc_span){ p->held, p->bytes });

	return p->form->bare && p->place == CONTENT && !p->begun && text.bytes && text.at[0] == '{';
}

/* False: more text is needed. */
static bool step(struct mhost_parser *p, bool end)
{
	enum mark_kind kind;
	size_t at = 0, bytes = 0, keep;
	uint32_t which = 0;

	if (p->place == CALL)
		return call_step(p);
	if (is_bare(p)) {
		p->place = CALL;
		p->call = MHC_MARKS;
		return true;
	}
	kind = find_mark(p, &at, &bytes, &which);
	if (kind != MARK_NONE) {
		give_text(p, at, true);
		forget(p, at + bytes);
		mark_pass(p, kind, which);
		return true;
	}
	keep = end ? 0 : undecided(p);
	if (p->bytes > keep) {
		size_t out = p->bytes - keep;

		give_text(p, out, false);
		forget(p, out);
	}
	return false;
}

/* ---- the library's functions ------------------------------------------------------------------ */

MHC_PUBLIC int mhost_parser_new(struct mhost_parser **parser, uint32_t form, uint32_t flags, mhost_part_fn fn, void *arg)
{
	struct mhost_parser *p;

	*parser = NULL;
	if (!mhc_form_get(form) || flags & ~(uint32_t)MHOST_FORM_IN_REASONING)
		return MHOST_E_INVALID;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->form = mhc_form_get(form);
	p->form_id = form;
	p->fn = fn;
	p->arg = arg;
	p->fresh = true;
	if (flags && p->form->think_close) {
		p->place = REASONING;
		p->after_mark = true;
	}
	*parser = p;
	return 0;
}

MHC_PUBLIC int mhost_parser_feed(struct mhost_parser *p, const char *text, size_t bytes)
{
	if (p->err)
		return p->err;
	if (p->bytes + bytes > p->cap) {
		size_t cap = 2 * (p->bytes + bytes) + 64;
		char *grown = realloc(p->held, cap);

		if (!grown)
			return p->err = -ENOMEM;
		p->held = grown;
		p->cap = cap;
	}
	if (bytes)
		memcpy(p->held + p->bytes, text, bytes);
	p->bytes += bytes;
	while (!p->err && p->bytes && step(p, false))
		;
	return p->err;
}

MHC_PUBLIC int mhost_parser_end(struct mhost_parser *p)
{
	while (!p->err && p->bytes && step(p, true))
		;
	if (!p->err && p->place == CALL)
		call_end(p, p->bytes, p->bytes);
	return p->err;
}

MHC_PUBLIC void mhost_parser_free(struct mhost_parser **parser)
{
	if (*parser)
		free((*parser)->held);
	free(*parser);
	*parser = NULL;
}

MHC_PUBLIC int mhost_form(const char *name)
{
	for (uint32_t i = 0; i < MHS_FORM_COUNT; i++)
		if (!strcmp(forms[i].name, name))
			return (int)i;
	return MHOST_E_INVALID;
}

MHC_PUBLIC uint32_t mhost_form_of_template(const char *text, size_t bytes)
{
	return mhs_form_of_template(text, bytes);
}
