/* SPDX-License-Identifier: MIT */
/* gra_regex.c: an expression is written as it is read; only the order of nothing changes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gra_regex.h"

struct regex {
	struct gra_text *t;
	const char *begin, *at, *end;
	uint32_t depth;
	bool search, json;
	struct gra_error *error;
};

static int choice(struct regex *x);

static int wrong(struct regex *x, const char *what)
{
	snprintf(x->error->text, sizeof(x->error->text), "pattern, character %zu: %s",
		 (size_t)(x->at - x->begin) + 1, what);
	return -EINVAL;
}

static bool see(const struct regex *x, char c)
{
	return x->at < x->end && *x->at == c;
}

static bool take(struct regex *x, char c)
{
	if (!see(x, c))
		return false;
	x->at++;
	return true;
}

static int hex(struct regex *x, uint32_t digits, uint32_t *code)
{
	*code = 0;
	for (uint32_t i = 0; i < digits; i++, x->at++) {
		char c = x->at < x->end ? *x->at : 0;

		if (c >= '0' && c <= '9')
			*code = *code << 4 | (uint32_t)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			*code = *code << 4 | (uint32_t)((c | 32) - 'a' + 10);
		else
			return wrong(x, "hexadecimal digits are missing");
	}
	return 0;
}

static int unicode(struct regex *x, uint32_t *code)
{
	uint32_t low;

	if (take(x, '{')) {
		const char *close = memchr(x->at, '}', (size_t)(x->end - x->at));
		size_t digits = close ? (size_t)(close - x->at) : 0;

		if (!digits || digits > 6 || hex(x, (uint32_t)digits, code) || *code > GRA_CODE_MAX)
			return wrong(x, "\\u{...} is not a code point");
		x->at++;
		return 0;
	}
	if (hex(x, 4, code))
		return -EINVAL;
	if (*code < 0xd800 || *code > 0xdbff)
		return 0;
	if (x->end - x->at < 6 || x->at[0] != '\\' || x->at[1] != 'u')
		return wrong(x, "half of a surrogate pair");
	x->at += 2;
	if (hex(x, 4, &low))
		return -EINVAL;
	if (low < 0xdc00 || low > 0xdfff)
		return wrong(x, "half of a surrogate pair");
	*code = 0x10000 + ((*code - 0xd800) << 10 | (low - 0xdc00));
	return 0;
}

/*
 * Engines differ on which other characters are digits, words and space; here none is either, so that
 * what is written matches in all of them. @c gets the set, or what is surely outside of it.
 */
static void add_set(struct gra_class *c, char name)
{
	struct gra_class set = { 0 };

	if ((name | 32) != 's')
		gra_class_add(&set, '0', '9');
	if ((name | 32) == 'w') {
		gra_class_add(&set, 'A', 'Z');
		gra_class_add(&set, '_', '_');
		gra_class_add(&set, 'a', 'z');
	}
	if ((name | 32) == 's') {
		gra_class_add(&set, 9, 13);
		gra_class_add(&set, ' ', ' ');
	}
	if (name == 'S')
		gra_class_add(&set, 0x1c, 0x1f);
	if (!(name & 32))
		gra_class_add(&set, 0x80, GRA_CODE_MAX);
	gra_class_order(&set, !(name & 32));
	for (uint32_t i = 0; i < set.count; i++)
		gra_class_add(c, set.ranges[i].first, set.ranges[i].last);
	c->failed |= set.failed;
	free(set.ranges);
}

/* Behind a backslash: one character in *@code, or a set added to @c (then *@code is GRA_NONE). */
static int escape(struct regex *x, struct gra_class *c, bool in_class, uint32_t *code)
{
	static const char from[] = "nrtfv0", to[] = "\n\r\t\f\v";
	char e = x->at < x->end ? *x->at++ : 0;
	const char *known = e ? strchr(from, e) : NULL;

	*code = GRA_NONE;
	if (e && strchr("dDwWsS", e)) {
		add_set(c, e);
		return 0;
	}
	if (e == 'x')
		return hex(x, 2, code);
	if (e == 'u')
		return unicode(x, code);
	if (e == 'b' && in_class) {
		*code = '\b';
		return 0;
	}
	if (known)
		*code = (uint8_t)to[known - from];
	else if (e && ((e >= '0' && e <= '9') || (e >= 'a' && e <= 'z') || (e >= 'A' && e <= 'Z')))
		return wrong(x, e == 'b' || e == 'B' ? "\\b looks around: not supported" :
			     e == 'p' || e == 'P' ? "\\p{...} is not supported" :
			     e >= '1' && e <= '9' ? "references back are not supported" :
			     "unknown escape");
	else if (e && (uint8_t)e < 0x80)
		*code = (uint8_t)e;
	else
		return wrong(x, "it ends in a backslash");
	return 0;
}

static int decode(struct regex *x, uint32_t *code)
{
	uint32_t bytes = gra_utf8_get(x->at, x->end, code);

	x->at += bytes;
	return bytes ? 0 : wrong(x, "not UTF-8");
}

static int class_item(struct regex *x, struct gra_class *c, uint32_t *code)
{
	if (x->at == x->end)
		return wrong(x, "a class is not closed");
	return take(x, '\\') ? escape(x, c, true, code) : decode(x, code);
}

/* *@sets: some came by name. */
static int class_items(struct regex *x, struct gra_class *c, bool *sets)
{
	uint32_t first, last;

	while (!take(x, ']')) {
		if (class_item(x, c, &first))
			return -EINVAL;
		*sets |= first == GRA_NONE;
		if (first == GRA_NONE)
			continue;
		last = first;
		if (see(x, '-') && x->at + 1 < x->end && x->at[1] != ']') {
			x->at++;
			if (class_item(x, c, &last))
				return -EINVAL;
			if (last == GRA_NONE || last < first)
				return wrong(x, "a range in a class must rise");
		}
		gra_class_add(c, first, last);
	}
	return 0;
}

static int put_class(struct regex *x, struct gra_class *c, bool not)
{
	gra_class_order(c, not);
	if (!c->count && !c->failed)
		return wrong(x, "an empty class matches nothing");
	gra_text_class(x->t, c, x->json);
	return 0;
}

static int class(struct regex *x)
{
	struct gra_class c = { 0 };
	bool not = take(x, '^'), sets = false;
	int err = class_items(x, &c, &sets);

	if (not && sets)
		gra_class_add(&c, 0x80, GRA_CODE_MAX);	/* as in add_set() */
	if (!err)
		err = put_class(x, &c, not);
	free(c.ranges);
	return err;
}

static int any(struct regex *x)
{
	struct gra_class c = { 0 };
	int err;

	gra_class_add(&c, '\n', '\n');
	gra_class_add(&c, '\r', '\r');
	gra_class_add(&c, 0x2028, 0x2029);
	err = put_class(x, &c, true);
	free(c.ranges);
	return err;
}

static int group(struct regex *x)
{
	int err;

	if (++x->depth > GRA_DEPTH_MAX / 2)
		return wrong(x, "brackets are nested too deeply");
	if (take(x, '?')) {
		if (take(x, '<') && !see(x, '=') && !see(x, '!')) {
			while (x->at < x->end && *x->at != '>')
				x->at++;
			take(x, '>');
		} else if (x->at[-1] != '?' || !take(x, ':')) {
			return wrong(x, "what looks ahead or behind is not supported");
		}
	}
	err = choice(x);
	x->depth--;
	if (!err && !take(x, ')'))
		return wrong(x, "a bracket is not closed");
	return err;
}

static int one(struct regex *x)
{
	struct gra_class c = { 0 };
	uint32_t code;
	int err = take(x, '\\') ? escape(x, &c, false, &code) : decode(x, &code);

	if (!err && code != GRA_NONE)
		gra_class_add(&c, code, code);
	if (!err)
		err = put_class(x, &c, false);
	free(c.ranges);
	return err;
}

static int atom(struct regex *x)
{
	if (take(x, '('))
		return group(x);
	if (take(x, '['))
		return class(x);
	if (take(x, '.'))
		return any(x);
	if (see(x, '^') || see(x, '$'))
		return wrong(x, "^ and $ stand at the ends of an alternative alone");
	if (x->at < x->end && strchr("*+?{", *x->at))
		return wrong(x, "nothing to repeat");
	return one(x);
}

/* {n} {n,} {n,m}; the grammar has the same notation and checks the numbers. */
static int counted(struct regex *x)
{
	const char *close = memchr(x->at, '}', (size_t)(x->end - x->at));

	if (!close || close == x->at || close - x->at > 20 || *x->at == ',' ||
	    strspn(x->at, "0123456789,") < (size_t)(close - x->at))
		return wrong(x, "a repetition is {n}, {n,} or {n,m}");
	gra_text_put(x->t, "{%.*s}", (int)(close - x->at), x->at);
	x->at = close + 1;
	return 0;
}

static int repeated(struct regex *x)
{
	int err = atom(x);

	if (!err && x->at < x->end && strchr("*+?", *x->at))
		gra_text_put(x->t, "%c", *x->at++);
	else if (!err && take(x, '{'))
		err = counted(x);
	else
		return err;
	take(x, '?');			/* lazy: the same texts */
	if (!err && x->at < x->end && strchr("*+?{", *x->at))
		return wrong(x, "a repetition of a repetition: use brackets");
	return err;
}

static bool alternative_ends(const struct regex *x)
{
	return x->at == x->end || *x->at == '|' || *x->at == ')';
}

static void put_anything(struct regex *x)
{
	struct gra_class c = { 0 };

	gra_class_order(&c, true);
	gra_text_class(x->t, &c, x->json);
	gra_text_put(x->t, "* ");
	free(c.ranges);
}

/* Of the whole when @outer: then it may lie anywhere, unless anchored. */
static int alternative(struct regex *x, bool outer)
{
	bool anchored = false;
	int err = 0;

	if (take(x, '^')) {
		if (!outer)
			return wrong(x, "^ inside of brackets is not supported");
	} else if (outer && x->search) {
		put_anything(x);
	}
	while (!err && !alternative_ends(x)) {
		anchored = take(x, '$');
		if (anchored && (!outer || !alternative_ends(x)))
			return wrong(x, "$ in the middle is not supported");
		if (!anchored)
			err = repeated(x);
		gra_text_put(x->t, " ");
	}
	if (outer && x->search && !anchored)
		put_anything(x);
	return err;
}

static int choice(struct regex *x)
{
	bool outer = !x->depth;
	int err;

	gra_text_put(x->t, "(");
	err = alternative(x, outer);
	while (!err && take(x, '|')) {
		gra_text_put(x->t, " | ");
		err = alternative(x, outer);
	}
	gra_text_put(x->t, ")");
	return err;
}

int gra_regex(struct gra_text *t, const char *pattern, size_t bytes, bool search, bool json,
	      struct gra_error *error)
{
	struct regex x = {
		.t = t, .begin = pattern, .at = pattern, .end = pattern + bytes, .search = search,
		.json = json, .error = error,
	};
	int err = choice(&x);

	if (!err && x.at < x.end)
		err = wrong(&x, "a bracket is closed that was not opened");
	if (!err && t->failed) {
		snprintf(error->text, sizeof(error->text), "pattern: too long as a grammar, or no memory");
		err = -ENOMEM;
	}
	return err;
}
