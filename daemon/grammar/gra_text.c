/* SPDX-License-Identifier: MIT */
/* gra_text.c: grammar text, literals and classes in it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gra_text.h"

void gra_error_tidy(struct gra_error *error)
{
	for (char *p = error->text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

static bool reserve(struct gra_text *t, size_t more)
{
	size_t need = t->bytes + more + 1, cap = t->cap ? t->cap : 256;
	char *data;

	if (t->failed || need <= t->cap)
		return !t->failed;
	while (cap < need)
		cap *= 2;
	data = need > GRA_TEXT_BYTES_MAX + 1 ? NULL : realloc(t->data, cap);
	t->failed = !data;
	if (!data)
		return false;
	t->data = data;
	t->cap = cap;
	return true;
}

void gra_text_put(struct gra_text *t, const char *format, ...)
{
	va_list args, again;
	int n;

	va_start(args, format);
	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, args);
	if (n >= 0 && reserve(t, (size_t)n))
		t->bytes += (size_t)vsnprintf(t->data + t->bytes, t->cap - t->bytes, format, again);
	va_end(again);
	va_end(args);
}

void gra_text_literal(struct gra_text *t, const void *bytes, size_t count)
{
	const uint8_t *p = bytes;

	gra_text_put(t, "\"");
	for (size_t i = 0; i < count && !t->failed; i++) {
		if (p[i] == '"' || p[i] == '\\')
			gra_text_put(t, "\\%c", p[i]);
		else if (p[i] < 0x20 || p[i] >= 0x7f)
			gra_text_put(t, "\\x%02X", p[i]);
		else
			gra_text_put(t, "%c", p[i]);
	}
	gra_text_put(t, "\"");
}

void gra_class_add(struct gra_class *c, uint32_t first, uint32_t last)
{
	if (c->count == c->cap) {
		uint32_t cap = c->cap ? 2 * c->cap : 16;
		struct gra_range *ranges = realloc(c->ranges, cap * sizeof(*ranges));

		c->failed |= !ranges;
		if (!ranges)
			return;
		c->ranges = ranges;
		c->cap = cap;
	}
	c->ranges[c->count++] = (struct gra_range){ first, last };
}

static int by_first(const void *a, const void *b)
{
	const struct gra_range *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

static void join(struct gra_class *c)
{
	struct gra_range *r = c->ranges;
	uint32_t count = 0;

	for (uint32_t i = 0; i < c->count; i++) {
		if (count && r[i].first <= r[count - 1].last + 1) {
			if (r[i].last > r[count - 1].last)
				r[count - 1].last = r[i].last;
		} else {
			r[count++] = r[i];
		}
	}
	c->count = count;
}

void gra_class_order(struct gra_class *c, bool not)
{
	uint32_t from = 0, count;

	if (c->count)
		qsort(c->ranges, c->count, sizeof(*c->ranges), by_first);
	join(c);
	if (!not)
		return;
	count = c->count;
	c->count = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct gra_range taken = c->ranges[i];

		if (taken.first > from)
			c->ranges[c->count++] = (struct gra_range){ from, taken.first - 1 };
		from = taken.last + 1;
	}
	if (from <= GRA_CODE_MAX)
		gra_class_add(c, from, GRA_CODE_MAX);
}

bool gra_class_has(const struct gra_class *c, uint32_t code)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (c->ranges[i].first <= code && code <= c->ranges[i].last)
			return true;
	return false;
}

/* [@first, @last] without what a JSON string does not hold as it is. */
static uint32_t put_plain(struct gra_text *t, uint32_t first, uint32_t last, bool json)
{
	static const struct gra_range plain[] = { { 0x20, 0x21 }, { 0x23, 0x5b }, { 0x5d, GRA_CODE_MAX } };
	uint32_t put = 0;

	for (uint32_t i = 0; i < (json ? 3 : 1); i++) {
		uint32_t a = first, b = last;

		if (json && a < plain[i].first)
			a = plain[i].first;
		if (json && b > plain[i].last)
			b = plain[i].last;
		if (a > b)
			continue;
		gra_text_put(t, "\\U%08X-\\U%08X", a, b);
		put++;
	}
	return put;
}

void gra_text_class(struct gra_text *t, const struct gra_class *c, bool json)
{
	static const char must[] = "\"\\\b\f\n\r\t", as[] = "\"\\bfnrt";
	const char *or = "";
	bool bare;
	uint32_t put = 0;
	size_t begin;

	t->failed |= c->failed;
	gra_text_put(t, "(");
	begin = t->bytes;
	gra_text_put(t, "[");
	for (uint32_t i = 0; i < c->count; i++)
		put += put_plain(t, c->ranges[i].first, c->ranges[i].last, json);
	if (put) {
		gra_text_put(t, "]");
		or = " | ";
	} else if (!t->failed) {
		t->bytes = begin;
	}
	for (uint32_t i = 0; json && must[i]; i++) {
		if (!gra_class_has(c, (uint8_t)must[i]))
			continue;
		gra_text_put(t, "%s\"\\\\%s%c\"", or, as[i] == '"' || as[i] == '\\' ? "\\" : "", as[i]);
		or = " | ";
	}
	bare = !*or;
	for (uint32_t code = 0; json && bare && code < 0x20; code++)
		if (gra_class_has(c, code)) {
			gra_text_put(t, "%s\"\\\\u%04x\"", or, code);
			or = " | ";
		}
	gra_text_put(t, ")");
}
