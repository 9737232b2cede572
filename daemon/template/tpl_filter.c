/* SPDX-License-Identifier: MIT */
/* tpl_filter.c: filters on text and on single values, and finding them by name. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tpl_priv.h"

#define FILTER(name) static struct tpl_value filter_##name(struct tpl_run *r, struct tpl_value in, \
							   struct tpl_value *arg)

static bool given(const struct tpl_value *arg)
{
	return arg->kind != TPL_MISSING;
}

static bool flag(struct tpl_run *r, const struct tpl_value *arg)
{
	return given(arg) && tpl_truth(r, arg);
}

/* ---- text --------------------------------------------------------------------------------- */

FILTER(upper)
{
	return tpl_recase(r, tpl_soft_str(r, &in), TPL_UPPER);
}

FILTER(lower)
{
	return tpl_recase(r, tpl_soft_str(r, &in), TPL_LOWER);
}

FILTER(title)
{
	return tpl_recase(r, tpl_soft_str(r, &in), TPL_WORDS);
}

FILTER(capitalize)
{
	return tpl_recase(r, tpl_soft_str(r, &in), TPL_CAPITALIZE);
}

FILTER(trim)
{
	return tpl_strip(r, tpl_soft_str(r, &in), &arg[0], TPL_STRIP_BOTH);
}

FILTER(string)
{
	return tpl_soft_str(r, &in);
}

FILTER(safe)
{
	struct tpl_value text = tpl_soft_str(r, &in);

	text.flags |= TPL_MARKUP;
	return text;
}

FILTER(escape)
{
	return tpl_escape(r, tpl_soft_str(r, &in));
}

FILTER(forceescape)
{
	return tpl_escape(r, tpl_str(r, &in));
}

FILTER(replace)
{
	bool all = !given(&arg[2]) || arg[2].kind == TPL_NONE;

	return tpl_replace(r, tpl_str(r, &in), tpl_str(r, &arg[0]), tpl_str(r, &arg[1]),
			   all ? -1 : tpl_as_int(r, &arg[2], "replace"));
}

FILTER(length)
{
	int64_t length = tpl_length(r, &in);

	if (length < 0) {
		tpl_need_defined(r, &in);
		tpl_throw(&r->heap, TPL_FAILED, "object of type '%s' has no len()", tpl_type_name(&in));
	}
	return tpl_int(length);
}

static struct tpl_value filter_format(struct tpl_run *r, struct tpl_value in,
				      const struct tpl_args *args)
{
	struct tpl_value given_args = tpl_list_new(r, TPL_TUPLE, 0);

	if (args->count && args->kw_count)
		tpl_throw(&r->heap, TPL_FAILED, "format takes positional or keyword arguments, not both");
	if (args->kw_count) {
		given_args = tpl_dict_new(r, 0);
		for (uint32_t i = 0; i < args->kw_count; i++)
			tpl_dict_set(r, given_args.dict, args->kw[i].name, args->kw[i].value);
	}
	for (uint32_t i = 0; i < args->count; i++)
		tpl_list_add(r, given_args.list, args->v[i]);
	return tpl_percent(r, tpl_soft_str(r, &in), &given_args);
}

static struct tpl_value spaces(struct tpl_run *r, int64_t count)
{
	if (count > (1 << 20))
		tpl_throw(&r->heap, TPL_LIMIT, "more than %d blanks", 1 << 20);
	count = count < 0 ? 0 : count;
	return tpl_text(memset(tpl_alloc(&r->heap, (size_t)count + 1), ' ', (size_t)count), (size_t)count);
}

FILTER(indent)
{
	struct tpl_value text = tpl_as_string(r, &in, "indent"), newline = tpl_text("\n", 1), lines;
	struct tpl_value by = arg[0].kind == TPL_STRING ? arg[0] :
			      spaces(r, given(&arg[0]) ? tpl_as_int(r, &arg[0], "indent") : 4);
	bool first = flag(r, &arg[1]), blank = flag(r, &arg[2]);
	struct tpl_buffer buffer, *outer;

	text = tpl_join(r, &text, &newline);
	lines = tpl_lines(r, text, false);
	outer = tpl_capture(r, &buffer);
	for (uint32_t i = 0; i < lines.list->count; i++) {
		const struct tpl_value *line = &lines.list->items[i];

		if (i)
			tpl_puts(r, "\n");
		if (i ? blank || line->bytes : first)
			tpl_put(r, by.text, by.bytes);
		tpl_put_str(r, line);
	}
	text = tpl_capture_end(r, outer);
	text.flags = in.flags;
	return text;
}

FILTER(center)
{
	struct tpl_value width = given(&arg[0]) ? arg[0] : tpl_int(80);
	struct tpl_args args = { .v = &width, .count = 1 };

	return tpl_invoke(r, tpl_row_find(tpl_string_methods, "center", 6), tpl_soft_str(r, &in), &args);
}

FILTER(wordcount)
{
	struct tpl_value text = tpl_soft_str(r, &in);
	bool inside = false;
	int64_t count = 0;
	size_t used;

	tpl_step(r, text.bytes * (uint64_t)4);
	for (size_t at = 0; at < text.bytes; at += used) {
		uint32_t c = tpl_decode(text.text + at, text.bytes - at, &used);
		bool word = c == '_' || tpl_class(c, "isalnum");

		count += word && !inside;
		inside = word;
	}
	return tpl_int(count);
}

FILTER(truncate)
{
	struct tpl_value text = tpl_as_string(r, &in, "truncate"), part;
	struct tpl_value end = given(&arg[2]) ? tpl_as_string(r, &arg[2], "truncate") : tpl_cstr("...");
	int64_t most = given(&arg[0]) ? tpl_as_int(r, &arg[0], "truncate") : 255, end_chars;
	int64_t leeway = given(&arg[3]) && arg[3].kind != TPL_NONE ? tpl_as_int(r, &arg[3], "truncate") :
								    5;
	char *blank;

	end_chars = tpl_length(r, &end);
	if (most < end_chars || leeway < 0)
		tpl_throw(&r->heap, TPL_FAILED, "truncate: length is less than its end");
	if (tpl_length(r, &text) - leeway <= most)
		return text;
	part = tpl_text(text.text, tpl_offset(text.text, text.bytes, most - end_chars));
	blank = flag(r, &arg[1]) ? NULL : memrchr(part.text, ' ', part.bytes);
	if (blank)
		part.bytes = (uint32_t)(blank - part.text);
	return tpl_join(r, &part, &end);
}

FILTER(urlencode)
{
	struct tpl_value text = tpl_str(r, &in);
	struct tpl_buffer buffer, *outer;
	char code[4];

	if (in.kind != TPL_STRING && tpl_iterable(&in))
		tpl_throw(&r->heap, TPL_UNSUPPORTED, "urlencode of a '%s' is not supported",
			  tpl_type_name(&in));
	outer = tpl_capture(r, &buffer);
	for (uint32_t i = 0; i < text.bytes; i++) {
		unsigned char c = (unsigned char)text.text[i];
		bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
			     tpl_one_of("_.-~/", (char)c);

		snprintf(code, sizeof(code), plain ? "%c" : "%%%02X", c);
		tpl_put(r, code, plain ? 1 : 3);
	}
	return tpl_capture_end(r, outer);
}

const struct tpl_method_row tpl_text_filters[] = {
	{ "capitalize", filter_capitalize, "", NULL },
	{ "center", filter_center, "width", NULL },
	{ "count", filter_length, "", NULL },
	{ "e", filter_escape, "", NULL },
	{ "escape", filter_escape, "", NULL },
	{ "forceescape", filter_forceescape, "", NULL },
	{ "format", NULL, NULL, filter_format },
	{ "indent", filter_indent, "width first blank", NULL },
	{ "length", filter_length, "", NULL },
	{ "lower", filter_lower, "", NULL },
	{ "replace", filter_replace, "old! new! count", NULL },
	{ "safe", filter_safe, "", NULL },
	{ "string", filter_string, "", NULL },
	{ "title", filter_title, "", NULL },
	{ "tojson", tpl_to_json, "ensure_ascii indent separators sort_keys", NULL },
	{ "trim", filter_trim, "chars", NULL },
	{ "truncate", filter_truncate, "length killwords end leeway", NULL },
	{ "upper", filter_upper, "", NULL },
	{ "urlencode", filter_urlencode, "", NULL },
	{ "wordcount", filter_wordcount, "", NULL },
	{ 0 },
};

/* ---- single values ------------------------------------------------------------------------ */

FILTER(default)
{
	if (in.kind != TPL_UNDEFINED && !(flag(r, &arg[1]) && !tpl_truth(r, &in)))
		return in;
	return given(&arg[0]) ? arg[0] : tpl_text("", 0);
}

FILTER(abs)
{
	struct tpl_value zero = tpl_int(0);

	if (in.kind == TPL_FLOAT)
		return tpl_float(fabs(in.real));
	return tpl_order(r, &in, &zero, "abs") < 0 ? tpl_negate(r, &in, true) : tpl_negate(r, &in, false);
}

FILTER(attr)
{
	struct tpl_value name = tpl_as_string(r, &arg[0], "attr"), found;

	if (in.kind != TPL_DICT)
		return tpl_get_attr(r, &in, name);
	found = tpl_dict_new(r, 0);	/* methods of dictionaries, and none of its keys */
	found = tpl_get_attr(r, &found, name);
	if (found.kind == TPL_METHOD)
		found.method->self = in;
	return found;
}

/* Digits as Python's int() takes them; false: it does not. */
static bool parse_int(struct tpl_run *r, struct tpl_value text, int64_t base, int64_t *value)
{
	char digits[80], *end;
	size_t n = 0;

	text = tpl_strip(r, text, NULL, TPL_STRIP_BOTH);
	for (uint32_t i = 0; i < text.bytes && n < sizeof(digits) - 1; i++) {
		bool between = i && i + 1 < text.bytes && text.text[i - 1] != '_' &&
			       text.text[i + 1] != '_';

		if (text.text[i] == '_' && !between)
			return false;
		if (text.text[i] != '_')
			digits[n++] = text.text[i];
	}
	digits[n] = 0;
	if ((base == 2 || base == 8) && n > 2 && digits[0] == '0' &&
	    (digits[1] | 32) == (base == 2 ? 'b' : 'o'))
		memmove(digits, digits + 2, n - 1);
	errno = 0;
	*value = strtoll(digits, &end, (int)base);
	if (!n || *end || tpl_is_space((unsigned char)digits[0]))
		return false;
	if (errno || n == sizeof(digits) - 1)
		tpl_throw(&r->heap, TPL_UNSUPPORTED, "an integer outside of 64 bits");
	return true;
}

static bool parse_float(struct tpl_run *r, struct tpl_value text, double *value)
{
	char copy[400], *end;

	text = tpl_strip(r, text, NULL, TPL_STRIP_BOTH);
	if (!text.bytes || text.bytes >= sizeof(copy) || memchr(text.text, 'x', text.bytes) ||
	    memchr(text.text, 'X', text.bytes) || memchr(text.text, '(', text.bytes) ||
	    memchr(text.text, '_', text.bytes) || tpl_is_space((unsigned char)text.text[0]))
		return false;
	memcpy(copy, text.text, text.bytes);
	copy[text.bytes] = 0;
	*value = strtod(copy, &end);
	return end == copy + text.bytes;
}

static bool as_float(struct tpl_run *r, const struct tpl_value *v, double *value)
{
	tpl_need_defined(r, v);
	if (v->kind == TPL_STRING)
		return parse_float(r, *v, value);
	if (!tpl_is_number(v))
		return false;
	*value = tpl_real(v);
	return true;
}

FILTER(int)
{
	int64_t base = given(&arg[1]) ? tpl_as_int(r, &arg[1], "int") : 10, value;
	double real;

	if (base < 0 || base == 1 || base > 36)
		tpl_throw(&r->heap, TPL_FAILED, "int() base must be >= 2 and <= 36, or 0");
	if (in.kind == TPL_STRING && parse_int(r, in, base, &value))
		return tpl_int(value);
	if (in.kind == TPL_INT || in.kind == TPL_BOOL)
		return tpl_int(tpl_as_int(r, &in, "int"));
	if (!as_float(r, &in, &real) || !isfinite(real))
		return given(&arg[0]) ? arg[0] : tpl_int(0);
	if (fabs(real) >= 9.2e18)
		tpl_throw(&r->heap, TPL_UNSUPPORTED, "an integer outside of 64 bits");
	return tpl_int((int64_t)real);
}

FILTER(float)
{
	double real;

	if (as_float(r, &in, &real))
		return tpl_float(real);
	return given(&arg[0]) ? arg[0] : tpl_float(0);
}

static struct tpl_value round_common(struct tpl_run *r, const struct tpl_value *v, int64_t digits)
{
	char text[400];
	double scale;

	if (v->kind != TPL_FLOAT && digits >= 0)
		return tpl_int(tpl_as_int(r, v, "round"));
	if (digits > 30 || !isfinite(tpl_real(v)))
		return *v;
	if (digits >= 0) {
		snprintf(text, sizeof(text), "%.*f", (int)digits, v->real);
		return tpl_float(strtod(text, NULL));
	}
	scale = pow(10, digits < -30 ? 30 : (double)-digits);
	scale *= nearbyint(tpl_real(v) / scale);
	return v->kind == TPL_FLOAT ? tpl_float(scale) : tpl_int((int64_t)scale);
}

FILTER(round)
{
	int64_t digits = given(&arg[0]) ? tpl_as_int(r, &arg[0], "round") : 0;
	double scale;

	if (!tpl_is_number(&in)) {
		tpl_need_defined(r, &in);
		tpl_throw(&r->heap, TPL_FAILED, "round of a '%s'", tpl_type_name(&in));
	}
	if (!given(&arg[1]) || tpl_is(&arg[1], "common"))
		return round_common(r, &in, digits);
	if (!tpl_is(&arg[1], "ceil") && !tpl_is(&arg[1], "floor"))
		tpl_throw(&r->heap, TPL_FAILED, "method must be common, ceil or floor");
	scale = pow(10, (double)digits);
	return tpl_float((tpl_is(&arg[1], "ceil") ? ceil(tpl_real(&in) * scale) :
			  floor(tpl_real(&in) * scale)) / scale);
}

const struct tpl_method_row tpl_value_filters[] = {
	{ "abs", filter_abs, "", NULL },
	{ "attr", filter_attr, "name!", NULL },
	{ "d", filter_default, "default_value boolean", NULL },
	{ "default", filter_default, "default_value boolean", NULL },
	{ "float", filter_float, "default", NULL },
	{ "int", filter_int, "default base", NULL },
	{ "round", filter_round, "precision method", NULL },
	{ 0 },
};

const struct tpl_method_row *tpl_filter_find(const char *name, uint32_t bytes)
{
	const struct tpl_method_row *tables[] = { tpl_text_filters, tpl_list_filters,
						  tpl_value_filters };
	const struct tpl_method_row *row = NULL;

	for (size_t i = 0; !row && i < sizeof(tables) / sizeof(tables[0]); i++)
		row = tpl_row_find(tables[i], name, bytes);
	return row;
}
