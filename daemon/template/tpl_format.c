/* SPDX-License-Identifier: MIT */
/* tpl_format.c: "{}".format(x). */
#include "tpl_spec_priv.h"

static void read_spec(struct tpl_run *r, struct tpl_spec *s, const char *at, const char *end)
{
	size_t used = 0;
	uint32_t first = at < end ? tpl_decode(at, (size_t)(end - at), &used) : 0;

	*s = (struct tpl_spec){ .fill = ' ', .width = -1, .precision = -1 };
	if (used && at + used < end && tpl_one_of("<>^=", at[used])) {
		s->fill = first;
		s->align = at[used];
		at += used + 1;
	} else if (at < end && tpl_one_of("<>^=", *at)) {
		s->align = *at++;
	}
	if (at < end && tpl_one_of("+- ", *at))
		s->sign = *at == '-' ? 0 : *at, at++;
	s->alternate = at < end && *at == '#' && at++;
	if (at < end && *at == '0') {
		s->zero = !s->align;
		s->fill = s->align && s->fill != ' ' ? s->fill : '0';
		at++;
	}
	s->width = tpl_spec_number(r, &at, end);
	s->comma = at < end && *at == ',' && at++;
	if (at < end && *at == '.') {
		at++;
		s->precision = tpl_spec_number(r, &at, end);
		if (s->precision < 0)
			tpl_spec_bad(r, "format specifier missing precision");
	}
	if (at < end)
		s->kind = *at++;
	if (at < end)
		tpl_throw(&r->heap, TPL_UNSUPPORTED, "the format specifier \"%.*s\" is not supported",
			  (int)(end - at), at);
}

static void put_formatted(struct tpl_run *r, const struct tpl_value *v, const char *at,
			  const char *end)
{
	struct tpl_value text;
	struct tpl_spec s;

	read_spec(r, &s, at, end);
	if (s.kind && !tpl_one_of("sdbxXoeEfFgG%", s.kind))
		tpl_throw(&r->heap, TPL_UNSUPPORTED, "the format kind %c is not supported", s.kind);
	if (at == end || v->kind == TPL_STRING) {
		if (s.kind && s.kind != 's')
			tpl_spec_bad(r, "unknown format code for object of type 'str'");
		text = tpl_str(r, v);
		tpl_spec_text(r, &s, text, '<');
	} else if (v->kind == TPL_FLOAT || (tpl_is_number(v) && s.kind && tpl_one_of("eEfFgG%", s.kind))) {
		if (s.kind && !tpl_one_of("eEfFgG%", s.kind))
			tpl_spec_bad(r, "unknown format code for object of type 'float'");
		tpl_spec_float(r, &s, tpl_real(v), true);
	} else if (tpl_is_number(v)) {
		if (s.kind == 's' || s.precision >= 0)
			tpl_spec_bad(r, "unknown format code for object of type 'int'");
		tpl_spec_int(r, &s, tpl_as_int(r, v, "format"));
	} else {
		tpl_need_defined(r, v);
		tpl_throw(&r->heap, TPL_FAILED, "unsupported format string passed to %s.__format__",
			  tpl_type_name(v));
	}
}

static int64_t digits_value(const char *at, size_t bytes)
{
	int64_t value = 0;

	for (size_t i = 0; i < bytes; i++)
		value = value * 10 + (at[i] - '0');
	return value;
}

/* All digits, and few enough for a number. */
static bool is_index(const char *at, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (at[i] < '0' || at[i] > '9')
			return false;
	return bytes && bytes < 10;
}

/* The argument that begins a field's name: empty: the next one. */
static struct tpl_value field_first(struct tpl_run *r, const struct tpl_args *args, const char *at,
				    size_t bytes, uint32_t *next)
{
	int64_t index;

	if (!bytes || is_index(at, bytes)) {
		index = bytes ? digits_value(at, bytes) : (*next)++;
		if (index >= args->count)
			tpl_spec_bad(r, "replacement index out of range for positional args");
		return args->v[index];
	}
	for (uint32_t i = 0; i < args->kw_count; i++)
		if (args->kw[i].name.bytes == bytes && !memcmp(args->kw[i].name.text, at, bytes))
			return args->kw[i].value;
	tpl_throw(&r->heap, TPL_FAILED, "format: no argument '%.*s'", (int)bytes, at);
}

/* The rest of a field's name: .attribute and [key]. */
static struct tpl_value field_rest(struct tpl_run *r, struct tpl_value v, const char *at,
				   const char *end)
{
	while (at < end) {
		const char *from = at + 1, *to = from;
		struct tpl_value key;

		if (*at == '[') {
			to = memchr(from, ']', (size_t)(end - from));
			if (!to)
				tpl_spec_bad(r, "missing ']' in format string");
			key = tpl_text(from, (size_t)(to - from));
			if (is_index(from, key.bytes))
				key = tpl_int(digits_value(from, key.bytes));
			v = tpl_get_item(r, &v, &key);
			at = to + 1;
			continue;
		}
		while (to < end && *to != '.' && *to != '[')
			to++;
		v = tpl_get_attr(r, &v, tpl_text(from, (size_t)(to - from)));
		at = to;
	}
	return v;
}

static void put_field(struct tpl_run *r, const struct tpl_args *args, const char *at,
		      const char *end, uint32_t *next, bool safe)
{
	const char *colon = memchr(at, ':', (size_t)(end - at)), *name = colon ? colon : end, *first = at;
	struct tpl_buffer buffer, *outer;
	struct tpl_value v, text;
	char conversion = 0;

	if (name - at >= 2 && name[-2] == '!') {
		conversion = name[-1];
		name -= 2;
	}
	while (first < name && *first != '.' && *first != '[')
		first++;
	v = field_first(r, args, at, (size_t)(first - at), next);
	v = field_rest(r, v, first, name);
	if (conversion) {
		outer = tpl_capture(r, &buffer);
		if (conversion == 's')
			tpl_put_str(r, &v);
		else
			tpl_put_repr(r, &v);
		v = tpl_capture_end(r, outer);
	}
	outer = safe ? tpl_capture(r, &buffer) : NULL;
	put_formatted(r, &v, colon ? colon + 1 : end, end);
	if (!safe)
		return;
	text = tpl_capture_end(r, outer);
	text.flags = v.kind == TPL_STRING ? v.flags : 0;
	text = tpl_escape(r, text);
	tpl_put_str(r, &text);
}

struct tpl_value tpl_format(struct tpl_run *r, struct tpl_value format, const struct tpl_args *args)
{
	struct tpl_buffer buffer, *outer = tpl_capture(r, &buffer);
	const char *at = format.text, *end = at + format.bytes, *close;
	struct tpl_value result;
	uint32_t next = 0;

	for (; at < end; at++) {
		tpl_step(r, 0);
		if (*at != '{' && *at != '}') {
			tpl_put(r, at, 1);
		} else if (at + 1 < end && at[1] == *at) {
			tpl_put(r, at++, 1);
		} else {
			close = *at == '{' ? memchr(at, '}', (size_t)(end - at)) : NULL;
			if (!close)
				tpl_spec_bad(r, "a single brace in format string");
			if (memchr(at + 1, '{', (size_t)(close - at - 1)))
				tpl_throw(&r->heap, TPL_UNSUPPORTED,
					  "nested fields in a format string are not supported");
			put_field(r, args, at + 1, close, &next, format.flags & TPL_MARKUP);
			at = close;
		}
	}
	result = tpl_capture_end(r, outer);
	result.flags = format.flags;
	return result;
}
