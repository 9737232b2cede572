/* SPDX-License-Identifier: MIT */
/* sto_tok_regex_set.c: escapes, properties and classes of a pattern. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sto_tok_regex_priv.h"

/* A property as PCRE2 calls it, and what newer Unicode has added to it. */
struct property {
	const char *name, *known, *added;
};

static const struct property properties[] = {
	{"L", "L", TOK_NEW_L},
	{"Lu", "Lu", TOK_NEW_LU},
	{"Ll", "Ll", TOK_NEW_LL},
	{"Lt", "Lt", ""},
	{"Lm", "Lm", TOK_NEW_LM},
	{"Lo", "Lo", TOK_NEW_LO},
	{"M", "M", TOK_NEW_M},
	{"Mn", "Mn", TOK_NEW_MN},
	{"Mc", "Mc", TOK_NEW_MC},
	{"Me", "Me", ""},
	{"N", "N", TOK_NEW_N},
	{"Nd", "Nd", TOK_NEW_ND},
	{"Nl", "Nl", ""},
	{"No", "No", TOK_NEW_NO},
	{"P", "P", TOK_NEW_P},
	{"Pc", "Pc", ""},
	{"Pd", "Pd", TOK_NEW_PD},
	{"Ps", "Ps", ""},
	{"Pe", "Pe", ""},
	{"Pi", "Pi", ""},
	{"Pf", "Pf", ""},
	{"Po", "Po", TOK_NEW_PO},
	{"S", "S", TOK_NEW_S},
	{"Sm", "Sm", TOK_NEW_SM},
	{"Sc", "Sc", ""},
	{"Sk", "Sk", ""},
	{"So", "So", TOK_NEW_SO},
	{"Z", "Z", ""},
	{"Zs", "Zs", ""},
	{"Zl", "Zl", ""},
	{"Zp", "Zp", ""},
	{"C", "C", ""},
	{"Cc", "Cc", ""},
	{"Cf", "Cf", TOK_NEW_CF},
	{"Cn", "Cn", ""},
	{"Co", "Co", ""},
	{"Letter", "L", TOK_NEW_L},
	{"Mark", "M", TOK_NEW_M},
	{"Number", "N", TOK_NEW_N},
	{"Punctuation", "P", TOK_NEW_P},
	{"Symbol", "S", TOK_NEW_S},
	{"Separator", "Z", ""},
	{"Uppercase_Letter", "Lu", TOK_NEW_LU},
	{"Lowercase_Letter", "Ll", TOK_NEW_LL},
	{"Decimal_Number", "Nd", TOK_NEW_ND},
	{"Digit", "Nd", TOK_NEW_ND},
	{"Alphabetic", "Alphabetic", TOK_NEW_ALPHABETIC},
	{"Alpha", "Alphabetic", TOK_NEW_ALPHABETIC},
	{"Uppercase", "Uppercase", TOK_NEW_UPPERCASE},
	{"Upper", "Uppercase", TOK_NEW_UPPERCASE},
	{"Lowercase", "Lowercase", TOK_NEW_LOWERCASE},
	{"Lower", "Lowercase", TOK_NEW_LOWERCASE},
	{"White_Space", "White_Space", ""},
	{"Space", "White_Space", ""},
	{"Emoji", "Emoji", ""},
	{"Emoji_Presentation", "Emoji_Presentation", ""},
	{"Ideographic", "Ideographic", TOK_NEW_HAN},
	{"Extended_Pictographic", "Extended_Pictographic", ""},
	{"Han", "sc:Han", TOK_NEW_HAN},
	{"Hiragana", "sc:Hiragana", TOK_NEW_HIRAGANA},
	{"Katakana", "sc:Katakana", TOK_NEW_KATAKANA},
	{"Latin", "sc:Latin", TOK_NEW_LATIN},
	{"Cyrillic", "sc:Cyrillic", TOK_NEW_CYRILLIC},
	{"Arabic", "sc:Arabic", TOK_NEW_ARABIC},
};

/* A name that is not in the list may be that of a script; if not, PCRE2 refuses it. */
static void add_property(struct regex *r, struct text *to, struct text *complex, const char *name,
			 bool negated)
{
	const struct property *found = NULL;
	char made[64];

	for (size_t i = 0; i < sizeof(properties) / sizeof(*properties); i++)
		if (!strcasecmp(name, properties[i].name))
			found = &properties[i];
	snprintf(made, sizeof(made), "\\%c{%s%s}", negated && !(found && *found->added) ? 'P' : 'p',
		 found ? "" : "sc:", found ? found->known : name);
	if (!negated || !found || !*found->added) {
		rx_add_str(r, to, made);
		if (found && !negated)
			rx_add_str(r, to, found->added);
		return;
	}
	rx_add_str(r, complex, complex->bytes ? "|[^" : "[^");
	rx_add_str(r, complex, made);
	rx_add_str(r, complex, found->added);
	rx_add_str(r, complex, "]");
}

/* Behind \p or \P. */
static void parse_property(struct regex *r, struct text *to, struct text *complex, bool negated)
{
	size_t bytes = 0;
	char name[40];

	if (!rx_take(r, "{"))
		return rx_fail(r, "\\p without {name}");
	if (rx_take(r, "^"))
		negated = !negated;
	while (rx_more(r) && *r->at != '}' && bytes < sizeof(name) - 1) {
		if (!isalnum((unsigned char)*r->at) && *r->at != '_')
			return rx_fail(r, "bad character in the name of a property");
		name[bytes++] = *r->at++;
	}
	name[bytes] = 0;
	if (!bytes || !rx_take(r, "}"))
		return rx_fail(r, "bad name of a property");
	add_property(r, to, complex, name, negated);
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

	while (rx_more(r) && digits < most && hex_value(*r->at) >= 0) {
		code = code << 4 | (unsigned int)hex_value(*r->at++);
		digits++;
	}
	if (digits < least || code > limit || (code >= 0xd800 && code <= 0xdfff))
		return rx_fail(r, "bad character number");
	snprintf(made, sizeof(made), "\\x{%x}", code);
	rx_add_str(r, to, made);
}

/* Behind a backslash: a single character. False when it is none of those. */
bool rx_character_escape(struct regex *r, struct text *to)
{
	static const char *const plain[][2] = {
		{"t", "\\t"},    {"n", "\\n"},    {"r", "\\r"},     {"f", "\\f"},
		{"v", "\\x{b}"}, {"a", "\\x{7}"}, {"e", "\\x{1b}"}, {"0", "\\x{0}"},
	};
	size_t bytes;

	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++) {
		if (!rx_take(r, plain[i][0]))
			continue;
		if (plain[i][0][0] == '0' && rx_more(r) && isdigit((unsigned char)*r->at))
			rx_fail(r, "octal character numbers are not supported");
		rx_add_str(r, to, plain[i][1]);
		return true;
	}
	if (rx_take(r, "x{")) {
		parse_hex(r, to, 1, 8, 0x10ffff);
		if (!rx_take(r, "}"))
			rx_fail(r, "bad character number");
		return true;
	}
	if (rx_take(r, "x")) {
		parse_hex(r, to, 1, 2, 0x7f);
		return true;
	}
	if (rx_take(r, "u")) {
		parse_hex(r, to, 4, 4, 0xffff);
		return true;
	}
	if (!rx_more(r) || isalnum((unsigned char)*r->at))
		return false;
	bytes = rx_character_bytes(r);
	rx_add_literal(r, to, r->at, bytes);
	r->at += bytes;
	return true;
}

bool rx_set_escape(struct regex *r, struct text *to, struct text *complex)
{
	static const struct {
		char letter;
		bool inside;	/* of a class; else an alternative to it */
		const char *set;
	} sets[] = {
		{'d', true, "\\p{Nd}" TOK_NEW_ND}, {'D', false, "[^\\p{Nd}" TOK_NEW_ND "]"},
		{'s', true, STO_TOK_SPACE}, {'S', true, STO_TOK_NOT_SPACE},
		{'w', true, STO_TOK_LETTERS}, {'W', false, "[^" STO_TOK_LETTERS "]"},
		{'h', true, "0-9a-fA-F"}, {'H', false, "[^0-9a-fA-F]"},
	};
	char c = *r->at;

	if (c == 'p' || c == 'P') {
		r->at++;
		parse_property(r, to, complex, c == 'P');
		return true;
	}
	for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
		if (sets[i].letter != c)
			continue;
		r->at++;
		if (!sets[i].inside && complex->bytes)
			rx_add_str(r, complex, "|");
		rx_add_str(r, sets[i].inside ? to : complex, sets[i].set);
		return true;
	}
	return false;
}

static void parse_posix(struct regex *r, struct text *to)
{
	static const char *const sets[][2] = {
		{"punct:]", "\\p{P}\\p{S}" TOK_NEW_P TOK_NEW_S},
		{"alpha:]", "\\p{Alphabetic}" TOK_NEW_ALPHABETIC},
		{"digit:]", "\\p{Nd}" TOK_NEW_ND},
		{"space:]", STO_TOK_SPACE},
		{"upper:]", "\\p{Uppercase}" TOK_NEW_UPPERCASE},
		{"lower:]", "\\p{Lowercase}" TOK_NEW_LOWERCASE},
		{"alnum:]", "\\p{Alphabetic}\\p{Nd}" TOK_NEW_ALPHABETIC TOK_NEW_ND},
		{"word:]", STO_TOK_LETTERS},
		{"xdigit:]", "0-9a-fA-F"},
	};

	for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
		if (!rx_take(r, sets[i][0]))
			continue;
		rx_add_str(r, to, sets[i][1]);
		return;
	}
	rx_fail(r, "unknown [: :] set");
}

/* One character of a class, or a range of two. */
static void parse_class_range(struct regex *r, struct text *simple)
{
	for (int ends = 0; rx_more(r); ends++) {
		if (rx_take(r, "\\")) {
			if (rx_take(r, "b"))
				rx_add_str(r, simple, "\\x{8}");
			else if (!rx_character_escape(r, simple))
				return rx_fail(r, "unknown escape in a class");
		} else {
			size_t bytes = rx_character_bytes(r);

			rx_add_literal(r, simple, r->at, bytes);
			r->at += bytes;
		}
		/* A range needs a plain character behind the dash. */
		if (ends || !rx_next_is(r, "-") || rx_next_is(r, "-]") || rx_next_is(r, "-[") ||
		    rx_next_is(r, "-&&"))
			return;
		if (r->end - r->at > 2 && r->at[1] == '\\' && strchr("dDsSwWhHpP", r->at[2]))
			return;
		r->at++;
		rx_add_str(r, simple, "-");
	}
}

static void parse_class_item(struct regex *r, struct text *simple, struct text *complex)
{
	if (rx_take(r, "[:"))
		return parse_posix(r, simple);
	if (rx_next_is(r, "[")) {
		if (complex->bytes)
			rx_add_str(r, complex, "|");
		r->at++;
		return rx_class(r, complex);
	}
	if (rx_next_is(r, "\\") && r->end - r->at > 1) {
		r->at++;
		if (rx_set_escape(r, simple, complex))
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
		return rx_fail(r, "empty class");
	rx_add_str(r, to, "(?:");
	if (simple->bytes) {
		rx_add_str(r, to, "[");
		rx_add(r, to, simple->data, simple->bytes);
		rx_add_str(r, to, complex->bytes ? "]|" : "]");
	}
	if (complex->bytes)
		rx_add(r, to, complex->data, complex->bytes);
	rx_add_str(r, to, ")");
}

static void add_class(struct regex *r, struct text *to, bool negated, const struct text *before,
		      const struct text *simple, const struct text *complex)
{
	if (!before->bytes && !complex->bytes) {
		if (!simple->bytes)
			return rx_fail(r, "empty class");
		rx_add_str(r, to, negated ? "[^" : "[");
		rx_add(r, to, simple->data, simple->bytes);
		return rx_add_str(r, to, "]");
	}
	rx_add_str(r, to, negated ? "(?:(?!" : "(?:");
	if (before->bytes)
		rx_add(r, to, before->data, before->bytes);
	add_union(r, to, simple, complex);
	rx_add_str(r, to, negated ? ")(?s:.))" : ")");
}

/* Behind [. Unions and intersections of classes become look-aheads on one character. */
void rx_class(struct regex *r, struct text *to)
{
	struct text before = {0}, simple = {0}, complex = {0};
	bool negated = rx_take(r, "^"), closed = false;

	if (++r->depth > RX_DEPTH_MAX)
		rx_fail(r, "nested too deeply");
	if (rx_take(r, "]"))
		rx_add_str(r, &simple, "\\]");
	while (rx_more(r) && !(closed = rx_take(r, "]"))) {
		if (!rx_take(r, "&&")) {
			parse_class_item(r, &simple, &complex);
			continue;
		}
		rx_add_str(r, &before, "(?=");
		add_union(r, &before, &simple, &complex);
		rx_add_str(r, &before, ")");
		simple.bytes = complex.bytes = 0;
	}
	if (!closed)
		rx_fail(r, "class without ]");
	if (!r->err)
		add_class(r, to, negated, &before, &simple, &complex);
	r->depth--;
	free(before.data);
	free(simple.data);
	free(complex.data);
}

