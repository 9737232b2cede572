/* SPDX-License-Identifier: MIT */
/* tpl_literal.c: what a string in a template says, by Python's escapes. */
#include <stdlib.h>

#include "tpl_parse_priv.h"

static const char *hex_read(struct tpl_parser *p, const char *at, const char *end, int digits,
			    uint32_t *c)
{
	char text[9] = { 0 }, *stop;

	if (end - at < digits)
		tpl_throw(p->heap, TPL_SYNTAX, "an escape in a string is cut");
	memcpy(text, at, (size_t)digits);
	*c = (uint32_t)strtoul(text, &stop, 16);
	if (*stop || text[0] == '-' || text[0] == '+' || text[0] == ' ')
		tpl_throw(p->heap, TPL_SYNTAX, "an escape in a string is not hexadecimal");
	return at + digits;
}

static const char *octal_read(const char *at, const char *end, uint32_t *c)
{
	*c = 0;
	for (int i = 0; i < 3 && at < end && *at >= '0' && *at <= '7'; i++)
		*c = *c * 8 + (uint32_t)(*at++ - '0');
	return at;
}

/* After a backslash. Where the string goes on; *@c: the character, UINT32_MAX for none. */
static const char *escape_read(struct tpl_parser *p, const char *at, const char *end, uint32_t *c)
{
	static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
	const char *which = at < end ? strchr(from, *at) : NULL;

	*c = UINT32_MAX;
	if (*at == '\n')
		return at + 1;
	if (which && *which) {
		*c = (unsigned char)to[which - from];
		return at + 1;
	}
	if (*at == 'x' || *at == 'u' || *at == 'U')
		return hex_read(p, at + 1, end, *at == 'x' ? 2 : *at == 'u' ? 4 : 8, c);
	if (*at >= '0' && *at <= '7')
		return octal_read(at, end, c);
	if (*at == 'N')
		tpl_throw(p->heap, TPL_UNSUPPORTED, "the escape \\N{...} is not supported");
	*c = '\\';
	return at;
}

struct tpl_value tpl_parse_string(struct tpl_parser *p)
{
	size_t bytes = 0, n = 0;
	char *text;

	for (const struct tpl_token *t = p->at; t->type == T_STRING; t++)
		bytes += t->bytes;
	text = tpl_alloc(p->heap, bytes + 1);
	for (; p->at->type == T_STRING; p->at++) {
		const char *at = p->at->text, *end = at + p->at->bytes;

		while (at < end) {
			uint32_t c;

			if (*at != '\\') {
				text[n++] = *at++;
				continue;
			}
			at = escape_read(p, at + 1, end, &c);
			if (c == UINT32_MAX)
				continue;
			if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
				tpl_throw(p->heap, TPL_UNSUPPORTED,
					  "an escape in a string is no character of Unicode");
			n += tpl_encode(c, text + n);
		}
	}
	return tpl_text(text, n);
}
