/* SPDX-License-Identifier: MIT */
/* sto_tok_regex.c: one pass over the pattern, by recursive descent. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sto_tok_regex.h"

#define DEPTH_MAX	50
#define PATTERN_MAX	16384

struct text {
	char *data;
	size_t bytes, cap;
};

struct regex {
	const char *at, *start, *end;
	struct text out;
	int depth;
	int err;
	char *error;
	size_t error_bytes;
};

static void parse_alternatives(struct regex *r);

static void fail(struct regex *r, const char *what)
{
	if (r->err)
		return;
	r->err = -EINVAL;
	snprintf(r->error, r->error_bytes, "pattern: %s at byte %zu", what,
		 (size_t)(r->at - r->start));
}

static void add(struct regex *r, struct text *to, const char *data, size_t bytes)
{
	size_t cap = to->cap ? to->cap : 256;
	char *grown;

	while (cap < to->bytes + bytes + 1)
		cap *= 2;
	if (cap != to->cap) {
		grown = realloc(to->data, cap);
		if (!grown) {
			r->err = -ENOMEM;
			return;
		}
		to->data = grown;
		to->cap = cap;
	}
	memcpy(to->data + to->bytes, data, bytes);
	to->bytes += bytes;
	to->data[to->bytes] = 0;
}

static void add_str(struct regex *r, struct text *to, const char *string)
{
	add(r, to, string, strlen(string));
}

/* A character that stands for itself, inside or outside of a class. */
static void add_literal(struct regex *r, struct text *to, const char *character, size_t bytes)
{
	unsigned char c = (unsigned char)*character;
	char control[8];

	if (c < 0x20 || c == 0x7f) {
		snprintf(control, sizeof(control), "\\x{%x}", c);
		add_str(r, to, control);
		return;
	}
	if (c < 0x80 && ispunct(c))
		add_str(r, to, "\\");
	add(r, to, character, bytes);
}

static bool more(const struct regex *r)
{
	return !r->err && r->at < r->end;
}

static bool next_is(const struct regex *r, const char *string)
{
	size_t bytes = strlen(string);

	return more(r) && (size_t)(r->end - r->at) >= bytes && !memcmp(r->at, string, bytes);
}

static bool take(struct regex *r, const char *string)
{
	if (!next_is(r, string))
		return false;
	r->at += strlen(string);
	return true;
}

/* The file's reader has made sure that the pattern is UTF-8; ends are checked all the same. */
static size_t character_bytes(const struct regex *r)
{
	unsigned char lead = (unsigned char)*r->at;
	size_t bytes = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

	return bytes <= (size_t)(r->end - r->at) ? bytes : 1;
}

/* Properties that PCRE2 calls by the same name; a script needs a word before it there. */
static const char *const same_names[] = {
	"L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No", "P", "Pc",
	"Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S", "Sm", "Sc", "Sk", "So", "Z", "Zs", "Zl", "Zp", "C",
	"Cc", "Cf", "Cn", "Co", "Alphabetic", "Uppercase", "Lowercase", "Emoji",
	"Emoji_Presentation", "Extended_Pictographic", "Ideographic",
};

static const char *const other_names[][2] = {
	{"Letter", "L"}, {"Mark", "M"}, {"Number", "N"}, {"Punctuation", "P"}, {"Symbol", "S"},
	{"Separator", "Z"}, {"Alpha", "Alphabetic"}, {"Digit", "Nd"}, {"Upper", "Uppercase"},
	{"Lower", "Lowercase"}, {"Uppercase_Letter", "Lu"}, {"Lowercase_Letter", "Ll"},
	{"Decimal_Number", "Nd"}, {"Punct", "P"}, {"Space", "White_Space"},
	{"White_Space", "White_Space"},
};

static const char *property_name(const char *name, bool *script)
{
	*script = false;
	for (size_t i = 0; i < sizeof(same_names) / sizeof(*same_names); i++)
		if (!strcmp(name, same_names[i]))
			return name;
	for (size_t i = 0; i < sizeof(other_names) / sizeof(*other_names); i++)
		if (!strcasecmp(name, other_names[i][0]))
			return other_names[i][1];
	*script = true;
	return name;
}

/* Behind \p or \P. */
static void parse_property(struct regex *r, struct text *to, bool negated)
{
	char name[40], made[64];
	const char *known;
	size_t bytes = 0;
	bool script;

	if (!take(r, "{"))
		return fail(r, "\\p without {name}");
	if (take(r, "^"))
		negated = !negated;
	while (more(r) && *r->at != '}' && bytes < sizeof(name) - 1) {
		if (!isalnum((unsigned char)*r->at) && *r->at != '_')
			return fail(r, "bad character in the name of a property");
		name[bytes++] = *r->at++;
	}
	name[bytes] = 0;
	if (!bytes || !take(r, "}"))
		return fail(r, "bad name of a property");
	known = property_name(name, &script);
	snprintf(made, sizeof(made), "\\%c{%s%s}", negated ? 'P' : 'p', script ? "sc:" : "", known);
	add_str(r, to, made);
}

static int hex_value(char c)
{
	return isdigit((unsigned char)c)    ? c - '0'
	       : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
					    : -1;
}

/* @least to @most hexadecimal digits; above all they must name a character. */
static void parse_hex(struct regex *r, struct text *to, int least, int most, unsigned int limit)
{
	unsigned int code = 0;
	char made[16];
	int digits = 0;

	while (more(r) && digits < most && hex_value(*r->at) >= 0) {
		code = code << 4 | (unsigned int)hex_value(*r->at++);
		digits++;
	}
	if (digits < least || code > limit || (code >= 0xd800 && code <= 0xdfff))
		return fail(r, "bad character number");
	snprintf(made, sizeof(made), "\\x{%x}", code);
	add_str(r, to, made);
}

/* Behind a backslash: a single character. False when it is none of those. */
static bool parse_character_escape(struct regex *r, struct text *to)
{
	static const char *const plain[][2] = {
		{"t", "\\t"},    {"n", "\\n"},    {"r", "\\r"},     {"f", "\\f"},
		{"v", "\\x{b}"}, {"a", "\\x{7}"}, {"e", "\\x{1b}"}, {"0", "\\x{0}"},
	};
	size_t bytes;

	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++) {
		if (!take(r, plain[i][0]))
			continue;
		if (plain[i][0][0] == '0' && more(r) && isdigit((unsigned char)*r->at))
			fail(r, "octal character numbers are not supported");
		add_str(r, to, plain[i][1]);
		return true;
	}
	if (take(r, "x{")) {
		parse_hex(r, to, 1, 8, 0x10ffff);
		if (!take(r, "}"))
			fail(r, "bad character number");
		return true;
	}
	if (take(r, "x")) {
		parse_hex(r, to, 1, 2, 0x7f);
		return true;
	}
	if (take(r, "u")) {
		parse_hex(r, to, 4, 4, 0xffff);
		return true;
	}
	if (!more(r) || isalnum((unsigned char)*r->at))
		return false;
	bytes = character_bytes(r);
	add_literal(r, to, r->at, bytes);
	r->at += bytes;
	return true;
}

/* Behind a backslash: a set of characters, as it is written inside of a class. */
static bool parse_set_escape(struct regex *r, struct text *to, struct text *complex)
{
	char c = *r->at;
	const char *set = c == 'd'   ? "\\p{Nd}"
			  : c == 'D' ? "\\P{Nd}"
			  : c == 's' ? STO_TOK_SPACE
			  : c == 'S' ? STO_TOK_NOT_SPACE
			  : c == 'w' ? STO_TOK_WORD
			  : c == 'h' ? "0-9a-fA-F"
				     : NULL;

	if (set) {
		r->at++;
		add_str(r, to, set);
		return true;
	}
	if (c == 'p' || c == 'P') {
		r->at++;
		parse_property(r, to, c == 'P');
		return true;
	}
	if (c != 'W' && c != 'H')
		return false;
	r->at++;
	if (complex->bytes)
		add_str(r, complex, "|");
	add_str(r, complex, c == 'W' ? "[^" STO_TOK_WORD "]" : "[^0-9a-fA-F]");
	return true;
}

static void parse_class(struct regex *r, struct text *to);

static void parse_posix(struct regex *r, struct text *to)
{
	static const char *const sets[][2] = {
		{"alpha:]", "\\p{Alphabetic}"}, {"digit:]", "\\p{Nd}"},
		{"space:]", STO_TOK_SPACE},     {"upper:]", "\\p{Uppercase}"},
		{"lower:]", "\\p{Lowercase}"},  {"alnum:]", "\\p{Alphabetic}\\p{Nd}"},
		{"word:]", STO_TOK_WORD},       {"xdigit:]", "0-9a-fA-F"},
	};

	for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
		if (!take(r, sets[i][0]))
			continue;
		add_str(r, to, sets[i][1]);
		return;
	}
	fail(r, "unknown [: :] set");
}

/* One character of a class, or a range of two. */
static void parse_class_range(struct regex *r, struct text *simple)
{
	for (int ends = 0; more(r); ends++) {
		if (take(r, "\\")) {
			if (take(r, "b"))
				add_str(r, simple, "\\x{8}");
			else if (!parse_character_escape(r, simple))
				return fail(r, "unknown escape in a class");
		} else {
			size_t bytes = character_bytes(r);

			add_literal(r, simple, r->at, bytes);
			r->at += bytes;
		}
		/* A range needs a plain character behind the dash. */
		if (ends || !next_is(r, "-") || next_is(r, "-]") || next_is(r, "-[") ||
		    next_is(r, "-&&"))
			return;
		if (r->end - r->at > 2 && r->at[1] == '\\' && strchr("dDsSwWhHpP", r->at[2]))
			return;
		r->at++;
		add_str(r, simple, "-");
	}
}

static void parse_class_item(struct regex *r, struct text *simple, struct text *complex)
{
	if (take(r, "[:"))
		return parse_posix(r, simple);
	if (next_is(r, "[")) {
		if (complex->bytes)
			add_str(r, complex, "|");
		r->at++;
		return parse_class(r, complex);
	}
	if (next_is(r, "\\") && r->end - r->at > 1) {
		r->at++;
		if (parse_set_escape(r, simple, complex))
			return;
		r->at--;
	}
	parse_class_range(r, simple);
}

/* What was read up to && or ]: one character of a union, as an expression. */
static void add_union(struct regex *r, struct text *to, const struct text *simple,
		      const struct text *complex)
{
	if (!simple->bytes && !complex->bytes)
		return fail(r, "empty class");
	add_str(r, to, "(?:");
	if (simple->bytes) {
		add_str(r, to, "[");
		add(r, to, simple->data, simple->bytes);
		add_str(r, to, complex->bytes ? "]|" : "]");
	}
	if (complex->bytes)
		add(r, to, complex->data, complex->bytes);
	add_str(r, to, ")");
}

static void add_class(struct regex *r, struct text *to, bool negated, const struct text *before,
		      const struct text *simple, const struct text *complex)
{
	if (!before->bytes && !complex->bytes) {
		if (!simple->bytes)
			return fail(r, "empty class");
		add_str(r, to, negated ? "[^" : "[");
		add(r, to, simple->data, simple->bytes);
		return add_str(r, to, "]");
	}
	add_str(r, to, negated ? "(?:(?!" : "(?:");
	if (before->bytes)
		add(r, to, before->data, before->bytes);
	add_union(r, to, simple, complex);
	add_str(r, to, negated ? ")(?s:.))" : ")");
}

/* Behind [. Unions and intersections of classes become look-aheads on one character. */
static void parse_class(struct regex *r, struct text *to)
{
	struct text before = {0}, simple = {0}, complex = {0};
	bool negated = take(r, "^"), closed = false;

	if (++r->depth > DEPTH_MAX)
		fail(r, "nested too deeply");
	if (take(r, "]"))
		add_str(r, &simple, "\\]");
	while (more(r) && !(closed = take(r, "]"))) {
		if (!take(r, "&&")) {
			parse_class_item(r, &simple, &complex);
			continue;
		}
		add_str(r, &before, "(?=");
		add_union(r, &before, &simple, &complex);
		add_str(r, &before, ")");
		simple.bytes = complex.bytes = 0;
	}
	if (!closed)
		fail(r, "class without ]");
	if (!r->err)
		add_class(r, to, negated, &before, &simple, &complex);
	r->depth--;
	free(before.data);
	free(simple.data);
	free(complex.data);
}

static void parse_escape(struct regex *r)
{
	static const char *const other[][2] = {
		{"W", "[^" STO_TOK_WORD "]"},
		{"H", "[^0-9a-fA-F]"},
		{"A", "\\A"},
		{"z", "\\z"},
		{"Z", "\\Z"},
		{"R", "(?>\\r\\n|[\\n-\\r\\x{85}\\x{2028}\\x{2029}])"},
		{"b", "(?:(?<=[" STO_TOK_WORD "])(?![" STO_TOK_WORD "])|(?<![" STO_TOK_WORD
		      "])(?=[" STO_TOK_WORD "]))"},
		{"B", "(?:(?<=[" STO_TOK_WORD "])(?=[" STO_TOK_WORD "])|(?<![" STO_TOK_WORD
		      "])(?![" STO_TOK_WORD "]))"},
	};
	struct text set = {0}, unused = {0};

	if (!more(r))
		return fail(r, "backslash at the end");
	for (size_t i = 0; i < sizeof(other) / sizeof(*other); i++)
		if (take(r, other[i][0]))
			return add_str(r, &r->out, other[i][1]);
	if (take(r, "p") || take(r, "P"))
		return parse_property(r, &r->out, r->at[-1] == 'P');
	if (parse_set_escape(r, &set, &unused)) {
		add_str(r, &r->out, "[");
		if (set.bytes)
			add(r, &r->out, set.data, set.bytes);
		add_str(r, &r->out, "]");
	} else if (isdigit((unsigned char)*r->at) && *r->at != '0') {
		fail(r, "back references are not supported");
	} else if (!parse_character_escape(r, &r->out)) {
		fail(r, "unknown escape");
	}
	free(set.data);
	free(unused.data);
}

/* Behind "(?": options, as (?i:...) or (?i)... up to the end of the group around. */
static void parse_options(struct regex *r)
{
	bool off = false;

	add_str(r, &r->out, "(?");
	for (; more(r) && *r->at != ':' && *r->at != ')'; r->at++) {
		if (*r->at == '-' && !off)
			off = true;
		else if (*r->at != 'i' && *r->at != 'm')
			return fail(r, "unknown or unsupported option of a group");
		add_str(r, &r->out, *r->at == 'm' ? "s" : *r->at == 'i' ? "i" : "-");
	}
	add_str(r, &r->out, ":");
	if (take(r, ":")) {
		parse_alternatives(r);
		if (!take(r, ")"))
			fail(r, "group without )");
	} else if (take(r, ")")) {
		parse_alternatives(r);
	} else {
		fail(r, "group without )");
	}
	add_str(r, &r->out, ")");
}

static void skip_name(struct regex *r)
{
	while (more(r) && *r->at != '>')
		r->at++;
	if (!take(r, ">"))
		fail(r, "group name without >");
	add_str(r, &r->out, "(?:");
}

static void parse_group(struct regex *r)
{
	static const char *const heads[] = {"?:", "?=", "?!", "?>", "?<=", "?<!"};
	size_t i;

	if (take(r, "?#")) {
		while (more(r) && *r->at != ')')
			r->at++;
		if (!take(r, ")"))
			fail(r, "comment without )");
		return add_str(r, &r->out, "(?:)");
	}
	for (i = 0; i < sizeof(heads) / sizeof(*heads); i++)
		if (take(r, heads[i]))
			break;
	if (i < sizeof(heads) / sizeof(*heads)) {
		add_str(r, &r->out, "(");
		add_str(r, &r->out, heads[i]);
	} else if (take(r, "?<")) {
		skip_name(r);
	} else if (take(r, "?")) {
		return parse_options(r);
	} else {
		add_str(r, &r->out, "(?:");
	}
	parse_alternatives(r);
	if (!take(r, ")"))
		fail(r, "group without )");
	add_str(r, &r->out, ")");
}

static void parse_atom(struct regex *r)
{
	size_t bytes = character_bytes(r);

	if (strchr("*+?", *r->at))
		return fail(r, "nothing to repeat");
	if (take(r, "("))
		return parse_group(r);
	if (take(r, "["))
		return parse_class(r, &r->out);
	if (take(r, "\\"))
		return parse_escape(r);
	if (strchr(".^$", *r->at))
		add(r, &r->out, r->at, 1);
	else
		add_literal(r, &r->out, r->at, bytes);
	r->at += bytes;
}

/* {n}, {n,}, {,m}, {n,m}: rewritten to @made; anything else is plain text. */
static bool take_interval(struct regex *r, char *made, size_t made_bytes, bool *exact)
{
	unsigned int low = 0, high = 0;
	const char *at = r->at + 1;
	bool have_low = false, have_high = false, comma = false;

	if (!next_is(r, "{"))
		return false;
	for (; at < r->end && isdigit((unsigned char)*at) && low < 100000; at++, have_low = true)
		low = low * 10 + (unsigned int)(*at - '0');
	if (at < r->end && *at == ',') {
		comma = true;
		at++;
	}
	for (; comma && at < r->end && isdigit((unsigned char)*at) && high < 100000;
	     at++, have_high = true)
		high = high * 10 + (unsigned int)(*at - '0');
	if (at >= r->end || *at != '}' || !(have_low || have_high))
		return false;
	r->at = at + 1;
	*exact = !comma;
	if (!comma)
		snprintf(made, made_bytes, "{%u}", low);
	else if (have_high)
		snprintf(made, made_bytes, "{%u,%u}", low, high);
	else
		snprintf(made, made_bytes, "{%u,}", low);
	return true;
}

/* Everything from @from on becomes one group, so that it can be repeated once more. */
static void wrap(struct regex *r, size_t from)
{
	size_t bytes = r->out.bytes - from;

	add_str(r, &r->out, "(?:)");
	if (r->err)
		return;
	memmove(r->out.data + from + 3, r->out.data + from, bytes);
	memcpy(r->out.data + from, "(?:", 3);
	r->out.data[r->out.bytes - 1] = ')';
}

static void parse_quantified(struct regex *r)
{
	size_t from = r->out.bytes;
	bool repeated = false, exact = false;
	char interval[32];

	parse_atom(r);
	while (more(r)) {
		char c = *r->at;
		bool is_interval = take_interval(r, interval, sizeof(interval), &exact);

		if (!is_interval && c != '*' && c != '+' && c != '?')
			break;
		if (repeated)
			wrap(r, from);
		repeated = true;
		if (is_interval) {
			/* Ruby has no possessive intervals, and {n}? repeats {n}. */
			add_str(r, &r->out, interval);
			if (!exact && take(r, "?"))
				add_str(r, &r->out, "?");
			continue;
		}
		add(r, &r->out, r->at++, 1);
		if (more(r) && (*r->at == '?' || *r->at == '+'))
			add(r, &r->out, r->at++, 1);
	}
}

static void parse_alternatives(struct regex *r)
{
	if (++r->depth > DEPTH_MAX)
		fail(r, "nested too deeply");
	while (more(r) && *r->at != ')') {
		if (take(r, "|"))
			add_str(r, &r->out, "|");
		else
			parse_quantified(r);
	}
	r->depth--;
}

int sto_tok_regex(const char *pattern, size_t bytes, bool literal, char **made, char *error,
		  size_t error_bytes)
{
	struct regex r = {.at = pattern, .start = pattern, .end = pattern + bytes, .error = error,
			  .error_bytes = error_bytes};

	*made = NULL;
	add_str(&r, &r.out, "");
	if (bytes > PATTERN_MAX)
		fail(&r, "over 16384 bytes");
	if (memchr(pattern, 0, bytes))
		fail(&r, "NUL");
	while (literal && more(&r)) {
		size_t step = character_bytes(&r);

		add_literal(&r, &r.out, r.at, step);
		r.at += step;
	}
	if (!literal)
		parse_alternatives(&r);
	if (more(&r))
		fail(&r, ") without (");
	if (r.err) {
		free(r.out.data);
		return r.err;
	}
	*made = r.out.data;
	return 0;
}
