/* SPDX-License-Identifier: MIT */
/* tpl_format.c: "%s" % x and "{}".format(x), with the widths and kinds that Python has. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "tpl_priv.h"

#define WIDTH_MAX	100000

struct spec {
	uint32_t fill;
	char align, sign, kind;		/* 0: as the kind of value has it */
	bool alternate, zero, comma;
	int width, precision;		/* -1: none */
};

static void bad(struct tpl_run *r, const char *what)
{
	tpl_throw(&r->heap, TPL_FAILED, "format: %s", what);
}

static int read_number(struct tpl_run *r, const char **at, const char *end)
{
	int n = -1;

	for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
		n = (n < 0 ? 0 : n) * 10 + (**at - '0');
		if (n > WIDTH_MAX)
			bad(r, "a width is too large");
	}
	return n;
}

static void put_fill(struct tpl_run *r, uint32_t c, int64_t count)
{
	for (; count > 0; count--)
		tpl_put_char(r, c);
}

/* @text with @spec's width; a sign in front of zeros stays in front. */
static void put_padded(struct tpl_run *r, const struct spec *s, const char *text, size_t bytes,
		       char align)
{
	int64_t missing = s->width - tpl_chars(text, bytes);
	size_t sign = bytes && (*text == '-' || *text == '+' || *text == ' ');

	tpl_step(r, bytes + (missing > 0 ? (uint64_t)missing : 0));
	if (s->align)
		align = s->align;
	if (align == '=') {
		tpl_put(r, text, sign);
		put_fill(r, s->fill, missing);
		tpl_put(r, text + sign, bytes - sign);
		return;
	}
	put_fill(r, s->fill, align == '>' ? missing : align == '^' ? missing / 2 : 0);
	tpl_put(r, text, bytes);
	put_fill(r, s->fill, align == '<' ? missing : align == '^' ? missing - missing / 2 : 0);
}

static void put_text(struct tpl_run *r, const struct spec *s, struct tpl_value v, char align)
{
	if (s->precision >= 0)
		v.bytes = (uint32_t)tpl_offset(v.text, v.bytes, s->precision);
	put_padded(r, s, v.text, v.bytes, align);
}

/* Thousands between the digits that @text begins with. */
static size_t add_commas(char *text, size_t bytes, char sep)
{
	char copy[400];
	size_t from = *text == '-' || *text == '+' || *text == ' ', digits, n = 0;

	digits = strspn(text + from, "0123456789");
	memcpy(copy, text, bytes + 1);
	for (size_t i = 0; i < bytes; i++) {
		text[n++] = copy[i];
		if (i >= from && i + 1 < from + digits && (from + digits - i - 1) % 3 == 0)
			text[n++] = sep;
	}
	text[n] = 0;
	return n;
}

static void put_int(struct tpl_run *r, const struct spec *s, int64_t v)
{
	char text[200], digits[70];
	uint64_t rest = v < 0 ? -(uint64_t)v : (uint64_t)v;
	unsigned int base = s->kind == 'x' || s->kind == 'X' ? 16 : s->kind == 'o' ? 8 :
			    s->kind == 'b' ? 2 : 10;
	size_t n = sizeof(digits) - 1;
	const char *mark = "";

	digits[n] = 0;
	do {
		digits[--n] = (s->kind == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[rest % base];
		rest /= base;
	} while (rest);
	if (s->alternate && base != 10)
		mark = s->kind == 'X' ? "0X" : base == 16 ? "0x" : base == 8 ? "0o" : "0b";
	while (sizeof(digits) - 1 - n < (size_t)(s->precision > 60 ? 60 : s->precision < 0 ? 0 :
						 s->precision))
		digits[--n] = '0';
	snprintf(text, sizeof(text), "%s%s%s", v < 0 ? "-" : s->sign == '+' ? "+" : s->sign == ' ' ?
		 " " : "", mark, digits + n);
	n = strlen(text);
	if (s->comma)
		n = add_commas(text, n, ',');
	put_padded(r, s, text, n, s->zero ? '=' : '>');
}

static void put_float(struct tpl_run *r, const struct spec *s, double v, bool none_is_repr)
{
	int precision = s->precision < 0 ? 6 : s->precision > 60 ? 60 : s->precision;
	char text[800], form[16];
	size_t n;

	if (!s->kind && s->precision < 0 && none_is_repr) {
		n = tpl_float_text(v, text + 1);
		text[0] = s->sign && v >= 0 ? s->sign : 0;
		memmove(text, text + !text[0], n + 1);
	} else {
		snprintf(form, sizeof(form), "%%%s%s.%d%c", s->sign == '+' ? "+" : s->sign == ' ' ? " " : "",
			 s->alternate ? "#" : "", precision, s->kind == '%' ? 'f' : s->kind ? s->kind : 'g');
		n = (size_t)snprintf(text, 400, form, s->kind == '%' ? v * 100 : v);
		if (n >= 400)
			bad(r, "a number is too long");
	}
	n = strlen(text);
	if (s->comma)
		n = add_commas(text, n, ',');
	if (s->kind == '%')
		text[n++] = '%';
	put_padded(r, s, text, n, s->zero ? '=' : '>');
}

/* ---- % ------------------------------------------------------------------------------------ */

struct percent {
	const struct tpl_value *given;
	uint32_t next;
	bool by_name, safe;
};

static struct tpl_value next_arg(struct tpl_run *r, struct percent *p)
{
	bool tuple = p->given->kind == TPL_TUPLE;

	if (p->next >= (tuple ? p->given->list->count : 1))
		bad(r, "not enough arguments for format string");
	return tuple ? p->given->list->items[p->next++] : (p->next++, *p->given);
}

static struct tpl_value named_arg(struct tpl_run *r, struct percent *p, const char **at,
				  const char *end)
{
	const char *close = memchr(*at, ')', (size_t)(end - *at));
	const struct tpl_value *found;
	struct tpl_value key;

	if (!close)
		bad(r, "incomplete format key");
	if (p->given->kind != TPL_DICT)
		bad(r, "format requires a mapping");
	key = tpl_text(*at, (size_t)(close - *at));
	found = tpl_dict_get(r, p->given->dict, &key);
	if (!found)
		tpl_throw(&r->heap, TPL_FAILED, "format: no key '%.*s'", (int)key.bytes, key.text);
	*at = close + 1;
	p->by_name = true;
	return *found;
}

/* A text of one character, or a code point. */
static void put_percent_char(struct tpl_run *r, const struct spec *s, const struct tpl_value *v)
{
	char text[4];
	int64_t c;

	if (v->kind == TPL_STRING && tpl_chars(v->text, v->bytes) == 1) {
		put_padded(r, s, v->text, v->bytes, '>');
		return;
	}
	if (v->kind != TPL_INT && v->kind != TPL_BOOL)
		bad(r, "%c requires int or char");
	c = tpl_as_int(r, v, "format");
	if (c < 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		bad(r, "%c: the number is no character");
	put_padded(r, s, text, tpl_encode((uint32_t)c, text), '>');
}

/* @safe: the format is marked safe, so what is put into it is escaped. */
static void put_percent(struct tpl_run *r, struct spec *s, const struct tpl_value *v, bool safe)
{
	struct tpl_buffer buffer, *outer;
	struct tpl_value text;

	if (s->kind == 's' || s->kind == 'r') {
		outer = tpl_capture(r, &buffer);
		if (s->kind == 's')
			tpl_put_str(r, v);
		else
			tpl_put_repr(r, v);
		text = tpl_capture_end(r, outer);
		text.flags = v->kind == TPL_STRING && s->kind == 's' ? v->flags : 0;
		put_text(r, s, safe ? tpl_escape(r, text) : text, s->align ? s->align : '>');
	} else if (s->kind == 'c') {
		put_percent_char(r, s, v);
	} else if (!tpl_is_number(v)) {
		tpl_need_defined(r, v);
		tpl_throw(&r->heap, TPL_FAILED, "%%%c format: a real number is required, not %s",
			  s->kind, tpl_type_name(v));
	} else if (tpl_one_of("dixXo", s->kind)) {
		if (v->kind == TPL_FLOAT && (!tpl_one_of("di", s->kind) || !(fabs(v->real) < 9e18)))
			bad(r, "an integer is required");
		put_int(r, s, v->kind == TPL_FLOAT ? (int64_t)v->real : tpl_as_int(r, v, "format"));
	} else {
		put_float(r, s, tpl_real(v), false);
	}
}

static void percent_flags(struct spec *s, const char **at, const char *end)
{
	for (; *at < end && tpl_one_of("-+ 0#", **at); (*at)++) {
		if (**at == '-')
			s->align = '<';
		else if (**at == '0')
			s->zero = true;
		else if (**at == '#')
			s->alternate = true;
		else if (s->sign != '+')
			s->sign = **at;
	}
}

static void percent_one(struct tpl_run *r, struct percent *p, const char **at, const char *end)
{
	struct spec s = { .fill = ' ', .width = -1, .precision = -1 };
	struct tpl_value v = { .kind = TPL_MISSING };

	if (*at < end && **at == '(') {
		(*at)++;
		v = named_arg(r, p, at, end);
	}
	percent_flags(&s, at, end);
	s.width = read_number(r, at, end);
	if (*at < end && **at == '.') {
		(*at)++;
		s.precision = read_number(r, at, end);
		s.precision = s.precision < 0 ? 0 : s.precision;
	}
	if (*at >= end)
		bad(r, "incomplete format");
	s.kind = *(*at)++;
	if (s.kind == '%') {
		tpl_puts(r, "%");
		return;
	}
	if (!tpl_one_of("srcdixXoeEfFgG", s.kind))
		tpl_throw(&r->heap, TPL_UNSUPPORTED, "the format %%%c is not supported", s.kind);
	if (v.kind == TPL_MISSING)
		v = next_arg(r, p);
	if (s.align == '<')
		s.zero = false;
	s.fill = s.zero && tpl_one_of("dixXoeEfFgG", s.kind) ? '0' : ' ';
	put_percent(r, &s, &v, p->safe);
}

struct tpl_value tpl_percent(struct tpl_run *r, struct tpl_value format, const struct tpl_value *given)
{
	struct tpl_buffer buffer, *outer = tpl_capture(r, &buffer);
	const char *at = format.text, *end = format.text + format.bytes, *mark;
	struct percent p = { .given = given, .safe = format.flags & TPL_MARKUP };
	struct tpl_value result;

	while ((mark = memchr(at, '%', (size_t)(end - at)))) {
		tpl_step(r, 0);
		tpl_put(r, at, (size_t)(mark - at));
		at = mark + 1;
		percent_one(r, &p, &at, end);
	}
	tpl_put(r, at, (size_t)(end - at));
	if (!p.by_name && given->kind != TPL_DICT &&
	    p.next < (given->kind == TPL_TUPLE ? given->list->count : 1))
		bad(r, "not all arguments converted during string formatting");
	result = tpl_capture_end(r, outer);
	result.flags = format.flags;
	return result;
}

/* ---- str.format --------------------------------------------------------------------------- */

static void read_spec(struct tpl_run *r, struct spec *s, const char *at, const char *end)
{
	size_t used = 0;
	uint32_t first = at < end ? tpl_decode(at, (size_t)(end - at), &used) : 0;

	*s = (struct spec){ .fill = ' ', .width = -1, .precision = -1 };
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
	s->width = read_number(r, &at, end);
	s->comma = at < end && *at == ',' && at++;
	if (at < end && *at == '.') {
		at++;
		s->precision = read_number(r, &at, end);
		if (s->precision < 0)
			bad(r, "format specifier missing precision");
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
	struct spec s;

	read_spec(r, &s, at, end);
	if (s.kind && !tpl_one_of("sdbxXoeEfFgG%", s.kind))
		tpl_throw(&r->heap, TPL_UNSUPPORTED, "the format kind %c is not supported", s.kind);
	if (at == end || v->kind == TPL_STRING) {
		if (s.kind && s.kind != 's')
			bad(r, "unknown format code for object of type 'str'");
		text = tpl_str(r, v);
		put_text(r, &s, text, '<');
	} else if (v->kind == TPL_FLOAT || (tpl_is_number(v) && s.kind && tpl_one_of("eEfFgG%", s.kind))) {
		if (s.kind && !tpl_one_of("eEfFgG%", s.kind))
			bad(r, "unknown format code for object of type 'float'");
		put_float(r, &s, tpl_real(v), true);
	} else if (tpl_is_number(v)) {
		if (s.kind == 's' || s.precision >= 0)
			bad(r, "unknown format code for object of type 'int'");
		put_int(r, &s, tpl_as_int(r, v, "format"));
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
			bad(r, "replacement index out of range for positional args");
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
				bad(r, "missing ']' in format string");
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
				bad(r, "a single brace in format string");
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
