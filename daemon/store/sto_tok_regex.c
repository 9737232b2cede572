/* SPDX-License-Identifier: MIT */
/* sto_tok_regex.c: one pass over the pattern, by recursive descent. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sto_tok_regex_priv.h"

#define PATTERN_MAX	16384

static void parse_alternatives(struct regex *r);

void rx_fail(struct regex *r, const char *what)
{
	if (r->err)
		return;
	r->err = -EINVAL;
	snprintf(r->error, r->error_bytes, "pattern: %s at byte %zu", what,
		 (size_t)(r->at - r->start));
}

void rx_add(struct regex *r, struct text *to, const char *data, size_t bytes)
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

void rx_add_str(struct regex *r, struct text *to, const char *string)
{
	rx_add(r, to, string, strlen(string));
}

/* A character that stands for itself, inside or outside of a class. */
void rx_add_literal(struct regex *r, struct text *to, const char *character, size_t bytes)
{
	unsigned char c = (unsigned char)*character;
	char control[8];

	if (c < 0x20 || c == 0x7f) {
		snprintf(control, sizeof(control), "\\x{%x}", c);
		rx_add_str(r, to, control);
		return;
	}
	if (c < 0x80 && ispunct(c))
		rx_add_str(r, to, "\\");
	rx_add(r, to, character, bytes);
}

bool rx_more(const struct regex *r)
{
	return !r->err && r->at < r->end;
}

bool rx_next_is(const struct regex *r, const char *string)
{
	size_t bytes = strlen(string);

	return rx_more(r) && (size_t)(r->end - r->at) >= bytes && !memcmp(r->at, string, bytes);
}

bool rx_take(struct regex *r, const char *string)
{
	if (!rx_next_is(r, string))
		return false;
	r->at += strlen(string);
	return true;
}

/* The file's reader has made sure that the pattern is UTF-8; ends are checked all the same. */
size_t rx_character_bytes(const struct regex *r)
{
	unsigned char lead = (unsigned char)*r->at;
	size_t bytes = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

	return bytes <= (size_t)(r->end - r->at) ? bytes : 1;
}

/* A set outside of a class. A lone property needs no class, and is faster without. */
static void add_set(struct regex *r, const struct text *set, const struct text *complex)
{
	bool lone = set->bytes && memchr(set->data, '}', set->bytes) == set->data + set->bytes - 1;

	if (complex->bytes)
		return rx_add(r, &r->out, complex->data, complex->bytes);
	rx_add_str(r, &r->out, lone ? "" : "[");
	rx_add(r, &r->out, set->data, set->bytes);
	rx_add_str(r, &r->out, lone ? "" : "]");
}

static void parse_escape(struct regex *r)
{
	static const char *const other[][2] = {
		{"w", "[" STO_TOK_WORD "]"}, {"W", "[^" STO_TOK_WORD "]"}, {"A", "\\A"},
		{"z", "\\z"}, {"G", "\\G"},
		{"Z", "\\Z"},
		{"R", "(?>\\r\\n|[\\n-\\r\\x{85}\\x{2028}\\x{2029}])"},
		{"b", "(?:(?<=[" STO_TOK_WORD "])(?![" STO_TOK_WORD "])|(?<![" STO_TOK_WORD
		      "])(?=[" STO_TOK_WORD "]))"},
		{"B", "(?:(?<=[" STO_TOK_WORD "])(?=[" STO_TOK_WORD "])|(?<![" STO_TOK_WORD
		      "])(?![" STO_TOK_WORD "]))"},
	};
	struct text set = {0}, complex = {0};

	if (!rx_more(r))
		return rx_fail(r, "backslash at the end");
	for (size_t i = 0; i < sizeof(other) / sizeof(*other); i++)
		if (rx_take(r, other[i][0]))
			return rx_add_str(r, &r->out, other[i][1]);
	if (rx_set_escape(r, &set, &complex)) {
		if (!r->err)
			add_set(r, &set, &complex);
	} else if (isdigit((unsigned char)*r->at) && *r->at != '0') {
		rx_fail(r, "back references are not supported");
	} else if (!rx_character_escape(r, &r->out)) {
		rx_fail(r, "unknown escape");
	}
	free(set.data);
	free(complex.data);
}

/* Behind "(?": options, as (?i:...) or (?i)... up to the end of the group around. */
static void parse_options(struct regex *r)
{
	bool off = false;

	rx_add_str(r, &r->out, "(?");
	for (; rx_more(r) && *r->at != ':' && *r->at != ')'; r->at++) {
		if (*r->at == '-' && !off)
			off = true;
		else if (*r->at != 'i' && *r->at != 'm')
			return rx_fail(r, "unknown or unsupported option of a group");
		rx_add_str(r, &r->out, *r->at == 'm' ? "s" : *r->at == 'i' ? "i" : "-");
	}
	rx_add_str(r, &r->out, ":");
	if (rx_take(r, ":")) {
		parse_alternatives(r);
		if (!rx_take(r, ")"))
			rx_fail(r, "group without )");
	} else if (rx_take(r, ")")) {
		parse_alternatives(r);
	} else {
		rx_fail(r, "group without )");
	}
	rx_add_str(r, &r->out, ")");
}

static void skip_name(struct regex *r)
{
	while (rx_more(r) && *r->at != '>')
		r->at++;
	if (!rx_take(r, ">"))
		rx_fail(r, "group name without >");
	rx_add_str(r, &r->out, "(?:");
}

static void parse_group(struct regex *r)
{
	static const char *const heads[] = {"?:", "?=", "?!", "?>", "?<=", "?<!"};
	size_t i;

	if (rx_take(r, "?#")) {
		while (rx_more(r) && *r->at != ')')
			r->at++;
		if (!rx_take(r, ")"))
			rx_fail(r, "comment without )");
		return rx_add_str(r, &r->out, "(?:)");
	}
	for (i = 0; i < sizeof(heads) / sizeof(*heads); i++)
		if (rx_take(r, heads[i]))
			break;
	if (i < sizeof(heads) / sizeof(*heads)) {
		rx_add_str(r, &r->out, "(");
		rx_add_str(r, &r->out, heads[i]);
	} else if (rx_take(r, "?<")) {
		skip_name(r);
	} else if (rx_take(r, "?")) {
		return parse_options(r);
	} else {
		rx_add_str(r, &r->out, "(?:");
	}
	parse_alternatives(r);
	if (!rx_take(r, ")"))
		rx_fail(r, "group without )");
	rx_add_str(r, &r->out, ")");
}

static void parse_atom(struct regex *r)
{
	size_t bytes = rx_character_bytes(r);

	if (strchr("*+?", *r->at))
		return rx_fail(r, "nothing to repeat");
	if (rx_take(r, "("))
		return parse_group(r);
	if (rx_take(r, "["))
		return rx_class(r, &r->out);
	if (rx_take(r, "\\"))
		return parse_escape(r);
	if (strchr(".^$", *r->at))
		rx_add(r, &r->out, r->at, 1);
	else
		rx_add_literal(r, &r->out, r->at, bytes);
	r->at += bytes;
}

/* {n}, {n,}, {,m}, {n,m}: rewritten to @made; anything else is plain text. */
static bool take_interval(struct regex *r, char *made, size_t made_bytes, bool *exact)
{
	unsigned int low = 0, high = 0;
	const char *at = r->at + 1;
	bool have_low = false, have_high = false, comma = false;

	if (!rx_next_is(r, "{"))
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

	rx_add_str(r, &r->out, "(?:)");
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
	while (rx_more(r)) {
		char c = *r->at;
		bool is_interval = take_interval(r, interval, sizeof(interval), &exact);

		if (!is_interval && c != '*' && c != '+' && c != '?')
			break;
		if (repeated)
			wrap(r, from);
		repeated = true;
		if (is_interval) {
			/* Ruby has no possessive intervals, and {n}? repeats {n}. */
			rx_add_str(r, &r->out, interval);
			if (!exact && rx_take(r, "?"))
				rx_add_str(r, &r->out, "?");
			continue;
		}
		rx_add(r, &r->out, r->at++, 1);
		if (rx_more(r) && (*r->at == '?' || *r->at == '+'))
			rx_add(r, &r->out, r->at++, 1);
	}
}

static void parse_alternatives(struct regex *r)
{
	if (++r->depth > RX_DEPTH_MAX)
		rx_fail(r, "nested too deeply");
	while (rx_more(r) && *r->at != ')') {
		if (rx_take(r, "|"))
			rx_add_str(r, &r->out, "|");
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
	rx_add_str(&r, &r.out, "");
	if (bytes > PATTERN_MAX)
		rx_fail(&r, "over 16384 bytes");
	if (memchr(pattern, 0, bytes))
		rx_fail(&r, "NUL");
	while (literal && rx_more(&r)) {
		size_t step = rx_character_bytes(&r);

		rx_add_literal(&r, &r.out, r.at, step);
		r.at += step;
	}
	if (!literal)
		parse_alternatives(&r);
	if (rx_more(&r))
		rx_fail(&r, ") without (");
	if (r.err) {
		free(r.out.data);
		return r.err;
	}
	*made = r.out.data;
	return 0;
}
