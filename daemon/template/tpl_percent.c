/* SPDX-License-Identifier: MIT */
/* tpl_percent.c: "%s" % x. */
#include <math.h>

#include "tpl_spec_priv.h"

struct percent {
	const struct tpl_value *given;
	uint32_t next;
	bool by_name, safe;
};

static struct tpl_value next_arg(struct tpl_run *r, struct percent *p)
{
	bool tuple = p->given->kind == TPL_TUPLE;

	if (p->next >= (tuple ? p->given->list->count : 1))
		tpl_spec_bad(r, "not enough arguments for format string");
	return tuple ? p->given->list->items[p->next++] : (p->next++, *p->given);
}

static struct tpl_value named_arg(struct tpl_run *r, struct percent *p, const char **at,
				  const char *end)
{
	const char *close = memchr(*at, ')', (size_t)(end - *at));
	const struct tpl_value *found;
	struct tpl_value key;

	if (!close)
		tpl_spec_bad(r, "incomplete format key");
	if (p->given->kind != TPL_DICT)
		tpl_spec_bad(r, "format requires a mapping");
	key = tpl_text(*at, (size_t)(close - *at));
	found = tpl_dict_get(r, p->given->dict, &key);
	if (!found)
		tpl_throw(&r->heap, TPL_FAILED, "format: no key '%.*s'", (int)key.bytes, key.text);
	*at = close + 1;
	p->by_name = true;
	return *found;
}

/* A text of one character, or a code point. */
static void put_percent_char(struct tpl_run *r, const struct tpl_spec *s, const struct tpl_value *v)
{
	char text[4];
	int64_t c;

	if (v->kind == TPL_STRING && tpl_chars(v->text, v->bytes) == 1) {
		tpl_spec_pad(r, s, v->text, v->bytes, '>');
		return;
	}
	if (v->kind != TPL_INT && v->kind != TPL_BOOL)
		tpl_spec_bad(r, "%c requires int or char");
	c = tpl_as_int(r, v, "format");
	if (c < 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		tpl_spec_bad(r, "%c: the number is no character");
	tpl_spec_pad(r, s, text, tpl_encode((uint32_t)c, text), '>');
}

/* @safe: the format is marked safe, so what is put into it is escaped. */
static void put_percent(struct tpl_run *r, struct tpl_spec *s, const struct tpl_value *v, bool safe)
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
		tpl_spec_text(r, s, safe ? tpl_escape(r, text) : text, s->align ? s->align : '>');
	} else if (s->kind == 'c') {
		put_percent_char(r, s, v);
	} else if (!tpl_is_number(v)) {
		tpl_need_defined(r, v);
		tpl_throw(&r->heap, TPL_FAILED, "%%%c format: a real number is required, not %s",
			  s->kind, tpl_type_name(v));
	} else if (tpl_one_of("dixXo", s->kind)) {
		if (v->kind == TPL_FLOAT && (!tpl_one_of("di", s->kind) || !(fabs(v->real) < 9e18)))
			tpl_spec_bad(r, "an integer is required");
		tpl_spec_int(r, s, v->kind == TPL_FLOAT ? (int64_t)v->real : tpl_as_int(r, v, "format"));
	} else {
		tpl_spec_float(r, s, tpl_real(v), false);
	}
}

static void percent_flags(struct tpl_spec *s, const char **at, const char *end)
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
	struct tpl_spec s = { .fill = ' ', .width = -1, .precision = -1 };
	struct tpl_value v = { .kind = TPL_MISSING };

	if (*at < end && **at == '(') {
		(*at)++;
		v = named_arg(r, p, at, end);
	}
	percent_flags(&s, at, end);
	s.width = tpl_spec_number(r, at, end);
	if (*at < end && **at == '.') {
		(*at)++;
		s.precision = tpl_spec_number(r, at, end);
		s.precision = s.precision < 0 ? 0 : s.precision;
	}
	if (*at >= end)
		tpl_spec_bad(r, "incomplete format");
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
		tpl_spec_bad(r, "not all arguments converted during string formatting");
	result = tpl_capture_end(r, outer);
	result.flags = format.flags;
	return result;
}
