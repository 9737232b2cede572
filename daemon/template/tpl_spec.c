/* SPDX-License-Identifier: MIT */
/* tpl_spec.c: values written by a format specification, with the widths and kinds that Python has. */
#include <stdio.h>

#include "tpl_spec_priv.h"

#define WIDTH_MAX	100000

void tpl_spec_bad(struct tpl_run *r, const char *what)
{
	tpl_throw(&r->heap, TPL_FAILED, "format: %s", what);
}

int tpl_spec_number(struct tpl_run *r, const char **at, const char *end)
{
	int n = -1;

	for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
		n = (n < 0 ? 0 : n) * 10 + (**at - '0');
		if (n > WIDTH_MAX)
			tpl_spec_bad(r, "a width is too large");
	}
	return n;
}

static void put_fill(struct tpl_run *r, uint32_t c, int64_t count)
{
	for (; count > 0; count--)
		tpl_put_char(r, c);
}

/* @text with @spec's width; a sign in front of zeros stays in front. */
void tpl_spec_pad(struct tpl_run *r, const struct tpl_spec *s, const char *text, size_t bytes,
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

void tpl_spec_text(struct tpl_run *r, const struct tpl_spec *s, struct tpl_value v, char align)
{
	if (s->precision >= 0)
		v.bytes = (uint32_t)tpl_offset(v.text, v.bytes, s->precision);
	tpl_spec_pad(r, s, v.text, v.bytes, align);
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

void tpl_spec_int(struct tpl_run *r, const struct tpl_spec *s, int64_t v)
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
	tpl_spec_pad(r, s, text, n, s->zero ? '=' : '>');
}

void tpl_spec_float(struct tpl_run *r, const struct tpl_spec *s, double v, bool none_is_repr)
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
			tpl_spec_bad(r, "a number is too long");
	}
	n = strlen(text);
	if (s->comma)
		n = add_commas(text, n, ',');
	if (s->kind == '%')
		text[n++] = '%';
	tpl_spec_pad(r, s, text, n, s->zero ? '=' : '>');
}
