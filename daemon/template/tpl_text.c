/* SPDX-License-Identifier: MIT */
/* tpl_text.c: strings by characters: counting, stripping, searching. */
#include "tpl_priv.h"

#include <utf8proc.h>

uint32_t tpl_decode(const char *text, size_t bytes, size_t *used)
{
	const unsigned char *t = (const unsigned char *)text;
	size_t n = t[0] < 0x80 ? 1 : t[0] < 0xe0 ? 2 : t[0] < 0xf0 ? 3 : 4;
	uint32_t c = n == 1 ? t[0] : t[0] & (0xffu >> (n + 1));

	if (n > bytes)		/* cannot be: all text is checked where it comes in */
		n = bytes;
	for (size_t i = 1; i < n; i++)
		c = c << 6 | (t[i] & 0x3f);
	*used = n;
	return c;
}

size_t tpl_encode(uint32_t c, char out[4])
{
	return (size_t)utf8proc_encode_char((utf8proc_int32_t)c, (utf8proc_uint8_t *)out);
}

bool tpl_utf8_ok(const char *text, size_t bytes)
{
	utf8proc_int32_t c;

	for (size_t i = 0; i < bytes;) {
		utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text + i,
						      (utf8proc_ssize_t)(bytes - i), &c);

		if (n <= 0)
			return false;
		i += (size_t)n;
	}
	return true;
}

int64_t tpl_chars(const char *text, size_t bytes)
{
	int64_t count = 0;

	for (size_t i = 0; i < bytes; i++)
		count += ((unsigned char)text[i] & 0xc0) != 0x80;
	return count;
}

size_t tpl_offset(const char *text, size_t bytes, int64_t chars)
{
	size_t i = 0;

	for (; chars > 0 && i < bytes; chars--)
		for (i++; i < bytes && ((unsigned char)text[i] & 0xc0) == 0x80; i++)
			;
	return i;
}

bool tpl_is_space(uint32_t c)
{
	return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
	       c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
	       c == 0x202f || c == 0x205f || c == 0x3000;
}

bool tpl_is_printable(uint32_t c)
{
	switch (utf8proc_category((utf8proc_int32_t)c)) {
	case UTF8PROC_CATEGORY_CN:
	case UTF8PROC_CATEGORY_CC:
	case UTF8PROC_CATEGORY_CF:
	case UTF8PROC_CATEGORY_CS:
	case UTF8PROC_CATEGORY_CO:
	case UTF8PROC_CATEGORY_ZL:
	case UTF8PROC_CATEGORY_ZP:
		return false;
	case UTF8PROC_CATEGORY_ZS:
		return c == ' ';
	default:
		return true;
	}
}

static bool is_digit(uint32_t c)
{
	return utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_ND;
}

static bool is_alpha(uint32_t c)
{
	utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);

	return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

static bool is_numeric(uint32_t c)
{
	utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);

	return k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO;
}

/* Does @c belong to what str.@method() asks for? */
bool tpl_class(uint32_t c, const char *method)
{
	if (!strcmp(method, "isspace"))
		return tpl_is_space(c);
	if (!strcmp(method, "isdigit"))
		return is_digit(c) || c == 0xb2 || c == 0xb3 || c == 0xb9;
	if (!strcmp(method, "isdecimal"))
		return is_digit(c);
	if (!strcmp(method, "isnumeric"))
		return is_numeric(c);
	if (!strcmp(method, "isalpha"))
		return is_alpha(c);
	if (!strcmp(method, "isalnum"))
		return is_alpha(c) || is_numeric(c);
	if (!strcmp(method, "isidentifier"))
		return is_alpha(c) || is_digit(c) || c == '_';
	return tpl_is_printable(c);
}

const char *tpl_find(const char *text, size_t bytes, const char *what, size_t what_bytes)
{
	if (!what_bytes)
		return text;
	return bytes < what_bytes ? NULL : memmem(text, bytes, what, what_bytes);
}

/* ---- stripping ---------------------------------------------------------------------------- */

static bool strips(uint32_t c, const char *at, size_t used, const struct tpl_value *chars)
{
	if (!chars)
		return tpl_is_space(c);
	for (size_t i = 0, n; i < chars->bytes; i += n) {
		tpl_decode(chars->text + i, chars->bytes - i, &n);
		if (n == used && !memcmp(chars->text + i, at, n))
			return true;
	}
	return false;
}

static size_t last_char(const char *text, size_t bytes)
{
	size_t at = bytes - 1;

	while (at && ((unsigned char)text[at] & 0xc0) == 0x80)
		at--;
	return at;
}

/* @chars: NULL, MISSING or None for whitespace. */
struct tpl_value tpl_strip(struct tpl_run *r, struct tpl_value s, const struct tpl_value *chars,
			   enum tpl_strip ends)
{
	size_t from = 0, to = s.bytes, used;
	struct tpl_value part;

	if (chars && (chars->kind == TPL_MISSING || chars->kind == TPL_NONE))
		chars = NULL;
	if (chars)
		tpl_as_string(r, chars, "strip");
	while (ends & TPL_STRIP_LEFT && from < to) {
		uint32_t c = tpl_decode(s.text + from, to - from, &used);

		if (!strips(c, s.text + from, used, chars))
			break;
		from += used;
	}
	while (ends & TPL_STRIP_RIGHT && to > from) {
		size_t at = last_char(s.text, to);
		uint32_t c = tpl_decode(s.text + at, to - at, &used);

		if (!strips(c, s.text + at, used, chars))
			break;
		to = at;
	}
	tpl_step(r, (s.bytes - (to - from)) * (chars ? 8 + 4 * (uint64_t)chars->bytes : 4));
	part = tpl_text(s.text + from, to - from);
	part.flags = s.flags;
	return part;
}

/* ---- pieces ------------------------------------------------------------------------------- */

struct tpl_value tpl_replace(struct tpl_run *r, struct tpl_value s, struct tpl_value old,
			     struct tpl_value new, int64_t most)
{
	struct tpl_buffer buffer, *outer = tpl_capture(r, &buffer);
	const char *at = s.text, *end = s.text + s.bytes, *hit;
	struct tpl_value result;
	size_t used;

	while (most && (hit = tpl_find(at, (size_t)(end - at), old.text, old.bytes))) {
		tpl_step(r, (uint64_t)(hit - at) + new.bytes);
		tpl_put(r, at, (size_t)(hit - at));
		tpl_put(r, new.text, new.bytes);
		at = hit + old.bytes;
		most -= most > 0;
		if (old.bytes)
			continue;
		if (at == end)
			break;
		tpl_decode(at, (size_t)(end - at), &used);
		tpl_put(r, at, used);
		at += used;
	}
	tpl_put(r, at, (size_t)(end - at));
	result = tpl_capture_end(r, outer);
	result.flags = s.flags;
	return result;
}

struct tpl_value tpl_escape(struct tpl_run *r, struct tpl_value s)
{
	static const char *const names[] = { ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;",
					     ['"'] = "&#34;", ['\''] = "&#39;" };
	struct tpl_buffer buffer, *outer;
	struct tpl_value result;

	if (s.flags & TPL_MARKUP)
		return s;
	outer = tpl_capture(r, &buffer);
	for (uint32_t i = 0; i < s.bytes; i++) {
		unsigned char c = (unsigned char)s.text[i];

		if (c < sizeof(names) / sizeof(names[0]) && names[c])
			tpl_puts(r, names[c]);
		else
			tpl_put(r, s.text + i, 1);
	}
	result = tpl_capture_end(r, outer);
	result.flags |= TPL_MARKUP;
	return result;
}

static bool ends_line(uint32_t c)
{
	return (c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
	       c == 0x2029;
}

struct tpl_value tpl_lines(struct tpl_run *r, struct tpl_value s, bool keep_ends)
{
	struct tpl_value list = tpl_list_new(r, TPL_LIST, 0), line;
	size_t from = 0, at = 0, used;

	tpl_step(r, s.bytes);
	while (at < s.bytes) {
		uint32_t c = tpl_decode(s.text + at, s.bytes - at, &used);
		size_t end = at;

		at += used;
		if (!ends_line(c) && at < s.bytes)
			continue;
		if (!ends_line(c))
			end = at;
		if (c == '\r' && at < s.bytes && s.text[at] == '\n')
			at++;
		line = tpl_text(s.text + from, (keep_ends ? at : end) - from);
		line.flags = s.flags;
		tpl_list_add(r, list.list, line);
		from = at;
	}
	return list;
}
