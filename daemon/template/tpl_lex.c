/* SPDX-License-Identifier: MIT */
/*
 * tpl_lex.c: the source into tokens. Whitespace control happens here: '-' and '+' at the ends of
 * tags, the newline after a block, and blanks before a block that begins its line.
 */
#include <errno.h>
#include <stdlib.h>

#include "tpl_parse_priv.h"

struct lexer {
	struct tpl *tpl;
	struct tpl_tokens tokens;
	const char *at, *end;
	uint32_t line;
	bool line_starts;	/* what was read last ended with a newline */
	char closers[TPL_DEPTH_MAX];
	uint32_t open;
};

static void fail(struct lexer *x, const char *what)
{
	x->tpl->heap.line = x->line;
	tpl_throw(&x->tpl->heap, TPL_SYNTAX, "%s", what);
}

static struct tpl_token *add(struct lexer *x, enum tpl_token_type type, const char *text, size_t bytes)
{
	struct tpl_tokens *t = &x->tokens;
	struct tpl_token *old = t->list;

	if (t->count == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 256;
		t->list = tpl_alloc(&x->tpl->heap, t->cap * sizeof(*t->list));
		if (t->count)
			memcpy(t->list, old, t->count * sizeof(*old));
	}
	t->list[t->count] = (struct tpl_token){ .type = type, .line = x->line, .text = text,
						.bytes = (uint32_t)bytes };
	return &t->list[t->count++];
}

/* Go on to @to, counting lines. */
static void move(struct lexer *x, const char *to)
{
	x->line_starts = to > x->at && to[-1] == '\n';
	for (; x->at < to; x->at++)
		x->line += *x->at == '\n';
}

static const char *skip_space(const struct lexer *x, const char *at)
{
	size_t used;

	while (at < x->end && tpl_is_space(tpl_decode(at, (size_t)(x->end - at), &used)))
		at += used;
	return at;
}

static bool starts(const struct lexer *x, const char *at, const char *text)
{
	size_t bytes = strlen(text);

	return (size_t)(x->end - at) >= bytes && !memcmp(at, text, bytes);
}

/*
 * The end of a tag at @at, @close being its last two bytes: where the source goes on after it, or
 * NULL. @trim: a newline after it is the tag's.
 */
static const char *tag_end(const struct lexer *x, const char *at, const char *close, bool trim)
{
	char sign = at < x->end ? *at : 0;

	if (starts(x, at, close)) {
		at += 2;
		return trim && at < x->end && *at == '\n' ? at + 1 : at;
	}
	if ((sign == '-' || (sign == '+' && trim)) && starts(x, at + 1, close))
		return sign == '-' ? skip_space(x, at + 3) : at + 3;
	return NULL;
}

/* Text before a tag: what its sign and the blanks before a block leave of it. */
static void add_data(struct lexer *x, const char *text, const char *end, char sign, bool block)
{
	const char *blank = end;
	size_t used;

	while (blank > text) {
		const char *before = blank - 1;

		while (before > text && ((unsigned char)*before & 0xc0) == 0x80)
			before--;
		if (!tpl_is_space(tpl_decode(before, (size_t)(blank - before), &used)) ||
		    (sign != '-' && *before == '\n'))
			break;
		blank = before;
	}
	if (sign == '-')
		end = blank;
	else if (sign != '+' && block && (blank > text ? blank[-1] == '\n' : x->line_starts))
		end = blank;
	if (end > text)
		add(x, T_DATA, text, (size_t)(end - text));
}

/* After "{%" and a sign: "raw %}"? Where its text begins, or NULL. */
static const char *raw_begin(const struct lexer *x, const char *at)
{
	at = skip_space(x, at);
	if (!starts(x, at, "raw"))
		return NULL;
	return tag_end(x, skip_space(x, at + 3), "%}", false);
}

static bool is_sign(const struct lexer *x, const char *at)
{
	return at < x->end && (*at == '-' || *at == '+');
}

static void lex_raw(struct lexer *x)
{
	for (const char *at = x->at; at + 2 <= x->end; at++) {
		char sign = is_sign(x, at + 2) ? at[2] : 0;
		const char *name, *after;

		if (!starts(x, at, "{%"))
			continue;
		name = skip_space(x, at + 2 + !!sign);
		if (!starts(x, name, "endraw"))
			continue;
		after = tag_end(x, skip_space(x, name + 6), "%}", true);
		if (!after)
			continue;
		add_data(x, x->at, at, sign, true);
		move(x, after);
		return;
	}
	if (x->at < x->end)
		fail(x, "{% raw %} has no end");
}

static void lex_comment(struct lexer *x)
{
	for (const char *at = x->at; at < x->end; at++) {
		const char *after = tag_end(x, at, "#}", true);

		if (!after)
			continue;
		move(x, after);
		return;
	}
	if (x->at < x->end)
		fail(x, "a comment has no end");
}

/* ---- inside of a tag ---------------------------------------------------------------------- */

static bool is_digit(const struct lexer *x, const char *at, int base)
{
	int c = at < x->end ? *at | 32 : 0;

	if (base == 16 && c >= 'a' && c <= 'f')
		return true;
	return at < x->end && *at >= '0' && *at < '0' + (base < 10 ? base : 10);
}

/* Digits with single underscores between them. */
static const char *skip_digits(const struct lexer *x, const char *at, int base)
{
	if (!is_digit(x, at, base))
		return at;
	while (is_digit(x, at, base) ||
	       (at < x->end && *at == '_' && is_digit(x, at + 1, base)))
		at++;
	return at;
}

/* The end of a float that begins at @at, or NULL. */
static const char *float_end(const struct lexer *x, const char *at)
{
	const char *end = skip_digits(x, at, 10), *more, *power;

	if (at > x->tpl->source && at[-1] == '.')
		return NULL;
	more = end < x->end && *end == '.' && is_digit(x, end + 1, 10) ?
	       skip_digits(x, end + 1, 10) : end;
	if (more < x->end && (*more | 32) == 'e') {
		power = more + 1 + is_sign(x, more + 1);
		if (is_digit(x, power, 10))
			return skip_digits(x, power, 10);
	}
	return more > end ? more : NULL;
}

static const char *int_end(const struct lexer *x, const char *at, int *base)
{
	char mark = at[0] == '0' && at + 1 < x->end ? (char)(at[1] | 32) : 0;
	const char *from = at + 2 + (at + 2 < x->end && at[2] == '_');

	*base = mark == 'b' ? 2 : mark == 'o' ? 8 : mark == 'x' ? 16 : 10;
	if (*base != 10 && is_digit(x, from, *base))
		return skip_digits(x, from, *base);
	*base = 10;
	if (*at != '0')
		return skip_digits(x, at, 10);
	while (at < x->end && (*at == '0' || (*at == '_' && at + 1 < x->end && at[1] == '0')))
		at++;
	return at;
}

static void lex_number(struct lexer *x)
{
	int base = 10;
	const char *end = float_end(x, x->at);
	bool real = end;
	char text[400];
	struct tpl_token *t;
	size_t n = 0;

	if (!real)
		end = int_end(x, x->at, &base);
	for (const char *at = x->at + (base == 10 ? 0 : 2); at < end && n < sizeof(text) - 1; at++)
		if (*at != '_')
			text[n++] = *at;
	text[n] = 0;
	t = add(x, T_NUMBER, x->at, (size_t)(end - x->at));
	errno = 0;
	t->value = real ? tpl_float(strtod(text, NULL)) : tpl_int(strtoll(text, NULL, base));
	x->tpl->heap.line = x->line;
	if (n == sizeof(text) - 1 || (!real && errno))
		tpl_throw(&x->tpl->heap, TPL_UNSUPPORTED, "a number is outside of 64 bits");
	move(x, end);
}

static void lex_string(struct lexer *x)
{
	const char *at = x->at + 1;

	while (at < x->end && *at != *x->at)
		at += *at == '\\' ? 2 : 1;
	if (at >= x->end)
		fail(x, "a string has no end");
	add(x, T_STRING, x->at + 1, (size_t)(at - x->at - 1));
	move(x, at + 1);
}

static bool is_word(const struct lexer *x, const char *at)
{
	unsigned char c = at < x->end ? (unsigned char)*at : 0;

	return c >= 0x80 || c == '_' || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

static void lex_name(struct lexer *x)
{
	const char *end = x->at;

	while (is_word(x, end))
		end++;
	add(x, T_NAME, x->at, (size_t)(end - x->at));
	move(x, end);
}

/* Brackets must match, so that "}}" inside of them ends nothing. */
static void balance(struct lexer *x, char c)
{
	const char *open = "([{", *close = ")]}", *which;

	which = strchr(open, c);
	if (which) {
		if (x->open == sizeof(x->closers))
			fail(x, "brackets are nested too deep");
		x->closers[x->open++] = close[which - open];
		return;
	}
	if (!strchr(close, c))
		return;
	if (!x->open || x->closers[--x->open] != c)
		fail(x, "a closing bracket has no partner");
}

static void lex_operator(struct lexer *x)
{
	static const char *const two[] = { "//", "**", "==", "!=", ">=", "<=" };
	size_t bytes = 1;
	struct tpl_token *t;

	for (size_t i = 0; i < sizeof(two) / sizeof(two[0]); i++)
		if (starts(x, x->at, two[i]))
			bytes = 2;
	if (bytes == 1 && !tpl_one_of("+-/*%~[](){}<>=.:|,;", *x->at))
		fail(x, "a character that no expression has");
	if (bytes == 1)
		balance(x, *x->at);
	t = add(x, T_OP, x->at, bytes);
	memcpy(t->op, x->at, bytes);
	move(x, x->at + bytes);
}

static void lex_inside(struct lexer *x, bool block)
{
	for (;;) {
		const char *after = x->open ? NULL : tag_end(x, x->at, block ? "%}" : "}}", block);

		if (after) {
			add(x, block ? T_BLOCK_END : T_PRINT_END, x->at, 0);
			move(x, after);
			return;
		}
		move(x, skip_space(x, x->at));
		if (x->at == x->end)
			fail(x, "a tag has no end");
		if (!x->open && tag_end(x, x->at, block ? "%}" : "}}", block))
			continue;
		if (is_digit(x, x->at, 10))
			lex_number(x);
		else if (is_word(x, x->at))
			lex_name(x);
		else if (*x->at == '\'' || *x->at == '"')
			lex_string(x);
		else
			lex_operator(x);
	}
}

/* ---- outside of tags ---------------------------------------------------------------------- */

static const char *next_tag(const struct lexer *x)
{
	for (const char *at = x->at; at + 1 < x->end; at++)
		if (*at == '{' && (at[1] == '{' || at[1] == '%' || at[1] == '#'))
			return at;
	return NULL;
}

static void lex_tag(struct lexer *x, const char *tag)
{
	char sign = is_sign(x, tag + 2) ? tag[2] : 0, kind = tag[1];
	const char *inside = tag + 2 + !!sign, *raw = kind == '%' ? raw_begin(x, inside) : NULL;

	add_data(x, x->at, tag, sign, kind != '{');
	move(x, raw ? raw : inside);
	if (raw) {
		lex_raw(x);
	} else if (kind == '#') {
		lex_comment(x);
	} else {
		add(x, kind == '%' ? T_BLOCK_BEGIN : T_PRINT_BEGIN, tag, 0);
		x->open = 0;
		lex_inside(x, kind == '%');
	}
}

static void source_set(struct tpl *tpl, const char *text, size_t bytes)
{
	char *to = tpl_alloc(&tpl->heap, bytes + 1);
	size_t n = 0;

	for (size_t i = 0; i < bytes; i++) {
		if (text[i] == '\r' && i + 1 < bytes && text[i + 1] == '\n')
			continue;
		to[n++] = text[i] == '\r' ? '\n' : text[i];
	}
	n -= n && to[n - 1] == '\n';
	to[n] = 0;
	tpl->source = to;
	tpl->source_bytes = n;
}

struct tpl_tokens tpl_lex(struct tpl *tpl)
{
	struct lexer x = { .tpl = tpl, .line = 1, .line_starts = true };
	const char *tag;

	if (!tpl_utf8_ok(tpl->source, tpl->source_bytes))
		fail(&x, "is not UTF-8");
	source_set(tpl, tpl->source, tpl->source_bytes);
	x.at = tpl->source;
	x.end = x.at + tpl->source_bytes;
	while ((tag = next_tag(&x)))
		lex_tag(&x, tag);
	if (x.at < x.end)
		add(&x, T_DATA, x.at, (size_t)(x.end - x.at));
	add(&x, T_EOF, x.end, 0);
	return x.tokens;
}
