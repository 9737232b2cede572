/* SPDX-License-Identifier: MIT */
/* tpl_string.c: the methods of Python's str but those that search. */
#include "tpl_string_priv.h"

METHOD(strip)
{
	return tpl_strip(r, self, &arg[0], TPL_STRIP_BOTH);
}

METHOD(lstrip)
{
	return tpl_strip(r, self, &arg[0], TPL_STRIP_LEFT);
}

METHOD(rstrip)
{
	return tpl_strip(r, self, &arg[0], TPL_STRIP_RIGHT);
}

METHOD(upper)
{
	return tpl_recase(r, self, TPL_UPPER);
}

METHOD(lower)
{
	return tpl_recase(r, self, TPL_LOWER);
}

METHOD(title)
{
	return tpl_recase(r, self, TPL_TITLE);
}

METHOD(capitalize)
{
	return tpl_recase(r, self, TPL_CAPITALIZE);
}

METHOD(swapcase)
{
	return tpl_recase(r, self, TPL_SWAP);
}

METHOD(casefold)
{
	return tpl_recase(r, self, TPL_FOLD);
}

METHOD(replace)
{
	return tpl_replace(r, self, tpl_as_string(r, &arg[0], "replace"),
			   tpl_as_string(r, &arg[1], "replace"),
			   tpl_given(&arg[2]) ? tpl_as_int(r, &arg[2], "replace") : -1);
}

METHOD(splitlines)
{
	return tpl_lines(r, self, arg[0].kind != TPL_MISSING && tpl_truth(r, &arg[0]));
}

METHOD(removeprefix)
{
	struct tpl_value p = tpl_as_string(r, &arg[0], "removeprefix");
	bool has = self.bytes >= p.bytes && !memcmp(self.text, p.text, p.bytes);

	return tpl_part(&self, self.text + (has ? p.bytes : 0), self.text + self.bytes);
}

METHOD(removesuffix)
{
	struct tpl_value s = tpl_as_string(r, &arg[0], "removesuffix");
	bool has = self.bytes >= s.bytes && !memcmp(self.text + self.bytes - s.bytes, s.text, s.bytes);

	return tpl_part(&self, self.text, self.text + self.bytes - (has ? s.bytes : 0));
}

METHOD(join)
{
	struct tpl_buffer buffer, *outer = tpl_capture(r, &buffer);
	struct tpl_cursor cursor;
	struct tpl_value item;
	bool more = false;

	tpl_cursor_init(r, &cursor, &arg[0]);
	for (; tpl_cursor_next(r, &cursor, &item); more = true) {
		if (more)
			tpl_put_str(r, &self);
		item = tpl_as_string(r, &item, "join: sequence item");
		item = self.flags & TPL_MARKUP ? tpl_escape(r, item) : item;
		tpl_put_str(r, &item);
	}
	item = tpl_capture_end(r, outer);
	item.flags = self.flags;
	return item;
}

/* ---- padding ------------------------------------------------------------------------------ */

static struct tpl_value pad(struct tpl_run *r, struct tpl_value self, const struct tpl_value *arg,
			    char align)
{
	int64_t missing = tpl_as_int(r, &arg[0], "width"), left, length = tpl_length(r, &self);
	struct tpl_value fill = tpl_given(&arg[1]) ? tpl_as_string(r, &arg[1], "fill") : tpl_text(" ", 1);
	struct tpl_buffer buffer, *outer;

	missing -= missing > length ? length : missing;
	if (tpl_length(r, &fill) != 1)
		tpl_throw(&r->heap, TPL_FAILED, "The fill character must be exactly one character long");
	tpl_step(r, (uint64_t)missing * 8);
	left = align == '<' ? 0 : align == '>' ? missing : missing / 2 + (missing & (missing + length) & 1);
	outer = tpl_capture(r, &buffer);
	for (int64_t i = 0; i < left; i++)
		tpl_put(r, fill.text, fill.bytes);
	tpl_put(r, self.text, self.bytes);
	for (int64_t i = left; i < missing; i++)
		tpl_put(r, fill.text, fill.bytes);
	fill = tpl_capture_end(r, outer);
	fill.flags = self.flags;
	return fill;
}

METHOD(center)
{
	return pad(r, self, arg, '^');
}

METHOD(ljust)
{
	return pad(r, self, arg, '<');
}

METHOD(rjust)
{
	return pad(r, self, arg, '>');
}

METHOD(zfill)
{
	struct tpl_value how[2] = { arg[0], tpl_text("0", 1) }, sign = self, rest = self;

	sign.bytes = self.bytes && (*self.text == '-' || *self.text == '+');
	rest.text += sign.bytes;
	rest.bytes -= sign.bytes;
	how[0] = tpl_int(tpl_as_int(r, &arg[0], "width") - sign.bytes);
	rest = pad(r, rest, how, '>');
	return tpl_join(r, &sign, &rest);
}

METHOD(expandtabs)
{
	int64_t size = tpl_given(&arg[0]) ? tpl_as_int(r, &arg[0], "tabsize") : 8, column = 0;
	struct tpl_buffer buffer, *outer = tpl_capture(r, &buffer);
	size_t used;

	size = size > 1000 ? 1000 : size;
	for (size_t at = 0; at < self.bytes; at += used) {
		uint32_t c = tpl_decode(self.text + at, self.bytes - at, &used);
		int64_t n = size > 0 ? size - column % size : 0;

		tpl_step(r, 0);
		if (c != '\t') {
			tpl_put(r, self.text + at, used);
			column = c == '\n' || c == '\r' ? 0 : column + 1;
			continue;
		}
		for (column += n; n > 0; n--)
			tpl_puts(r, " ");
	}
	return tpl_capture_end(r, outer);
}

/* ---- classes of characters ---------------------------------------------------------------- */

static struct tpl_value all_of(struct tpl_run *r, const struct tpl_value *self, const char *method)
{
	bool empty_is = !strcmp(method, "isprintable");
	size_t used;

	tpl_step(r, self->bytes * (uint64_t)4);
	for (size_t at = 0; at < self->bytes; at += used)
		if (!tpl_class(tpl_decode(self->text + at, self->bytes - at, &used), method))
			return tpl_bool(false);
	return tpl_bool(self->bytes || empty_is);
}

#define CLASS(name) METHOD(name) \
{ \
	return all_of(r, &self, #name); \
}

CLASS(isspace)
CLASS(isdigit)
CLASS(isdecimal)
CLASS(isnumeric)
CLASS(isalpha)
CLASS(isalnum)
CLASS(isprintable)

METHOD(isidentifier)
{
	bool digit = self.bytes && *self.text >= '0' && *self.text <= '9';

	return digit ? tpl_bool(false) : all_of(r, &self, "isidentifier");
}

METHOD(isascii)
{
	for (uint32_t i = 0; i < self.bytes; i++)
		if ((unsigned char)self.text[i] >= 0x80)
			return tpl_bool(false);
	return tpl_bool(true);
}

/* Unchanged by @how, and not by its opposite: then there is a letter that has a case. */
static struct tpl_value is_case(struct tpl_run *r, struct tpl_value self, enum tpl_case how,
				enum tpl_case other)
{
	struct tpl_value same = tpl_recase(r, self, how), differs = tpl_recase(r, self, other);

	return tpl_bool(tpl_same(&same, &self) && !tpl_same(&differs, &self));
}

METHOD(islower)
{
	return is_case(r, self, TPL_LOWER, TPL_UPPER);
}

METHOD(isupper)
{
	return is_case(r, self, TPL_UPPER, TPL_LOWER);
}

METHOD(istitle)
{
	return is_case(r, self, TPL_TITLE, TPL_SWAP);
}

const struct tpl_method_row tpl_string_methods[] = {
	{ "capitalize", str_capitalize, "", NULL },
	{ "casefold", str_casefold, "", NULL },
	{ "center", str_center, "width! fillchar", NULL },
	{ "expandtabs", str_expandtabs, "tabsize", NULL },
	{ "format", NULL, NULL, tpl_format },
	{ "isalnum", str_isalnum, "", NULL },
	{ "isalpha", str_isalpha, "", NULL },
	{ "isascii", str_isascii, "", NULL },
	{ "isdecimal", str_isdecimal, "", NULL },
	{ "isdigit", str_isdigit, "", NULL },
	{ "isidentifier", str_isidentifier, "", NULL },
	{ "islower", str_islower, "", NULL },
	{ "isnumeric", str_isnumeric, "", NULL },
	{ "isprintable", str_isprintable, "", NULL },
	{ "isspace", str_isspace, "", NULL },
	{ "istitle", str_istitle, "", NULL },
	{ "isupper", str_isupper, "", NULL },
	{ "join", str_join, "iterable!", NULL },
	{ "ljust", str_ljust, "width! fillchar", NULL },
	{ "lower", str_lower, "", NULL },
	{ "lstrip", str_lstrip, "chars", NULL },
	{ "removeprefix", str_removeprefix, "prefix!", NULL },
	{ "removesuffix", str_removesuffix, "suffix!", NULL },
	{ "replace", str_replace, "old! new! count", NULL },
	{ "rjust", str_rjust, "width! fillchar", NULL },
	{ "rstrip", str_rstrip, "chars", NULL },
	{ "splitlines", str_splitlines, "keepends", NULL },
	{ "strip", str_strip, "chars", NULL },
	{ "swapcase", str_swapcase, "", NULL },
	{ "title", str_title, "", NULL },
	{ "upper", str_upper, "", NULL },
	{ "zfill", str_zfill, "width!", NULL },
	{ 0 },
};
