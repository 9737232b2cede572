/* SPDX-License-Identifier: MIT */
/* tpl_string.c: the methods of Python's str. */
#include "tpl_priv.h"

#define METHOD(name) static struct tpl_value str_##name(struct tpl_run *r, struct tpl_value self, \
							struct tpl_value *arg)

static bool given(const struct tpl_value *arg)
{
	return arg->kind != TPL_MISSING && arg->kind != TPL_NONE;
}

/* A part of @whole, with its flags. */
static struct tpl_value part(const struct tpl_value *whole, const char *from, const char *to)
{
	struct tpl_value v = tpl_text(from, (size_t)(to - from));

	v.flags = whole->flags;
	return v;
}

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
			   given(&arg[2]) ? tpl_as_int(r, &arg[2], "replace") : -1);
}

METHOD(splitlines)
{
	return tpl_lines(r, self, arg[0].kind != TPL_MISSING && tpl_truth(r, &arg[0]));
}

METHOD(removeprefix)
{
	struct tpl_value p = tpl_as_string(r, &arg[0], "removeprefix");
	bool has = self.bytes >= p.bytes && !memcmp(self.text, p.text, p.bytes);

	return part(&self, self.text + (has ? p.bytes : 0), self.text + self.bytes);
}

METHOD(removesuffix)
{
	struct tpl_value s = tpl_as_string(r, &arg[0], "removesuffix");
	bool has = self.bytes >= s.bytes && !memcmp(self.text + self.bytes - s.bytes, s.text, s.bytes);

	return part(&self, self.text, self.text + self.bytes - (has ? s.bytes : 0));
}

/* ---- searching ---------------------------------------------------------------------------- */

/* The part of self that start and end name; false: none, not even an empty one. */
static bool window(struct tpl_run *r, const struct tpl_value *self, const struct tpl_value *bounds,
		   struct tpl_value *found, int64_t *start)
{
	int64_t count = tpl_length(r, self), end = count;

	*start = given(&bounds[0]) ? tpl_as_int(r, &bounds[0], "start") : 0;
	if (given(&bounds[1]))
		end = tpl_as_int(r, &bounds[1], "end");
	*start += *start < 0 ? count : 0;
	end += end < 0 ? count : 0;
	*start = *start < 0 ? 0 : *start;
	end = end > count ? count : end;
	if (*start > end)
		return false;
	*found = *self;
	found->text += tpl_offset(self->text, self->bytes, *start);
	found->bytes = (uint32_t)tpl_offset(found->text, self->bytes - (size_t)(found->text - self->text),
					    end - *start);
	return true;
}

static const char *find_last(const struct tpl_value *in, const struct tpl_value *what)
{
	for (int64_t at = (int64_t)in->bytes - what->bytes; at >= 0; at--)
		if (!memcmp(in->text + at, what->text, what->bytes))
			return in->text + at;
	return NULL;
}

static int64_t locate(struct tpl_run *r, const struct tpl_value *self, const struct tpl_value *arg,
		      bool last)
{
	struct tpl_value what = tpl_as_string(r, &arg[0], "find"), in;
	const char *at = NULL;
	int64_t start;

	if (!window(r, self, arg + 1, &in, &start))
		return -1;
	tpl_step(r, last ? (uint64_t)in.bytes * (8 + what.bytes / 4) : in.bytes);
	at = last ? find_last(&in, &what) : tpl_find(in.text, in.bytes, what.text, what.bytes);
	return at ? start + tpl_chars(in.text, (size_t)(at - in.text)) : -1;
}

METHOD(find)
{
	return tpl_int(locate(r, &self, arg, false));
}

METHOD(rfind)
{
	return tpl_int(locate(r, &self, arg, true));
}

static struct tpl_value index_of(struct tpl_run *r, int64_t at)
{
	if (at < 0)
		tpl_throw(&r->heap, TPL_FAILED, "substring not found");
	return tpl_int(at);
}

METHOD(index)
{
	return index_of(r, locate(r, &self, arg, false));
}

METHOD(rindex)
{
	return index_of(r, locate(r, &self, arg, true));
}

METHOD(count)
{
	struct tpl_value what = tpl_as_string(r, &arg[0], "count"), in;
	int64_t count = 0, start;
	const char *at, *end;

	if (!window(r, &self, arg + 1, &in, &start))
		return tpl_int(0);
	if (!what.bytes)
		return tpl_int(tpl_length(r, &in) + 1);
	tpl_step(r, in.bytes);
	end = in.text + in.bytes;
	for (at = in.text; (at = tpl_find(at, (size_t)(end - at), what.text, what.bytes)); count++)
		at += what.bytes;
	return tpl_int(count);
}

static bool has_end(struct tpl_run *r, const struct tpl_value *in, const struct tpl_value *what,
		    bool last)
{
	if (what->kind == TPL_TUPLE) {
		for (uint32_t i = 0; i < what->list->count; i++) {
			struct tpl_value one = tpl_as_string(r, &what->list->items[i], "startswith");

			if (has_end(r, in, &one, last))
				return true;
		}
		return false;
	}
	tpl_step(r, tpl_as_string(r, what, last ? "endswith" : "startswith").bytes);
	return in->bytes >= what->bytes &&
	       !memcmp(in->text + (last ? in->bytes - what->bytes : 0), what->text, what->bytes);
}

METHOD(startswith)
{
	struct tpl_value in;
	int64_t start;

	return tpl_bool(window(r, &self, arg + 1, &in, &start) && has_end(r, &in, &arg[0], false));
}

METHOD(endswith)
{
	struct tpl_value in;
	int64_t start;

	return tpl_bool(window(r, &self, arg + 1, &in, &start) && has_end(r, &in, &arg[0], true));
}

/* ---- splitting ---------------------------------------------------------------------------- */

static struct tpl_value separator(struct tpl_run *r, const struct tpl_value *arg)
{
	struct tpl_value sep = tpl_as_string(r, arg, "separator");

	if (!sep.bytes)
		tpl_throw(&r->heap, TPL_FAILED, "empty separator");
	return sep;
}

static void list_reverse(struct tpl_list *list)
{
	for (uint32_t i = 0; i < list->count / 2; i++) {
		struct tpl_value spare = list->items[i];

		list->items[i] = list->items[list->count - 1 - i];
		list->items[list->count - 1 - i] = spare;
	}
}

/* At runs of whitespace; @most < 0: at all of them. */
static void split_space(struct tpl_run *r, const struct tpl_value *self, struct tpl_list *list,
			int64_t most)
{
	struct tpl_value rest = tpl_strip(r, *self, NULL, TPL_STRIP_LEFT);
	const char *at = rest.text, *end = rest.text + rest.bytes;
	size_t used;

	while (at < end) {
		const char *from = at;

		if (!most) {
			tpl_list_add(r, list, part(self, at, end));
			return;
		}
		while (at < end && !tpl_is_space(tpl_decode(at, (size_t)(end - at), &used)))
			at += used;
		tpl_list_add(r, list, part(self, from, at));
		most--;
		while (at < end && tpl_is_space(tpl_decode(at, (size_t)(end - at), &used)))
			at += used;
	}
}

/* The same from the right, with parts from last to first. */
static void split_space_right(struct tpl_run *r, const struct tpl_value *self, struct tpl_list *list,
			      int64_t most)
{
	struct tpl_value rest = tpl_strip(r, *self, NULL, TPL_STRIP_RIGHT), word;

	for (; rest.bytes && most; most--) {
		const char *at = rest.text + rest.bytes;
		size_t used;

		while (at > rest.text) {
			const char *before = at - 1;

			while (((unsigned char)*before & 0xc0) == 0x80)
				before--;
			if (tpl_is_space(tpl_decode(before, (size_t)(at - before), &used)))
				break;
			at = before;
		}
		word = part(self, at, rest.text + rest.bytes);
		tpl_list_add(r, list, word);
		rest = tpl_strip(r, part(self, rest.text, at), NULL, TPL_STRIP_RIGHT);
	}
	if (rest.bytes)
		tpl_list_add(r, list, rest);
}

METHOD(split)
{
	struct tpl_value list = tpl_list_new(r, TPL_LIST, 0), sep;
	int64_t most = given(&arg[1]) ? tpl_as_int(r, &arg[1], "split") : -1;
	const char *at = self.text, *end = self.text + self.bytes, *hit;

	tpl_step(r, self.bytes * (uint64_t)2);
	if (!given(&arg[0])) {
		split_space(r, &self, list.list, most);
		return list;
	}
	sep = separator(r, &arg[0]);
	for (; most && (hit = tpl_find(at, (size_t)(end - at), sep.text, sep.bytes)); most--) {
		tpl_list_add(r, list.list, part(&self, at, hit));
		at = hit + sep.bytes;
	}
	tpl_list_add(r, list.list, part(&self, at, end));
	return list;
}

METHOD(rsplit)
{
	struct tpl_value list = tpl_list_new(r, TPL_LIST, 0), sep, rest = self;
	int64_t most = given(&arg[1]) ? tpl_as_int(r, &arg[1], "rsplit") : -1;
	const char *hit;

	if (!given(&arg[0])) {
		tpl_step(r, self.bytes * (uint64_t)4);
		split_space_right(r, &self, list.list, most);
	} else {
		sep = separator(r, &arg[0]);
		tpl_step(r, (uint64_t)self.bytes * (8 + sep.bytes / 4));
		for (; most && (hit = find_last(&rest, &sep)); most--) {
			tpl_list_add(r, list.list, part(&self, hit + sep.bytes, rest.text + rest.bytes));
			rest.bytes = (uint32_t)(hit - rest.text);
		}
		tpl_list_add(r, list.list, part(&self, rest.text, rest.text + rest.bytes));
	}
	list_reverse(list.list);
	return list;
}

static struct tpl_value three(struct tpl_run *r, const struct tpl_value *self, const char *hit,
			      const struct tpl_value *sep, bool last)
{
	struct tpl_value list = tpl_list_new(r, TPL_TUPLE, 3);
	const char *end = self->text + self->bytes, *none = last ? self->text : end;

	tpl_list_add(r, list.list, part(self, self->text, hit ? hit : none));
	tpl_list_add(r, list.list, hit ? *sep : tpl_text("", 0));
	tpl_list_add(r, list.list, part(self, hit ? hit + sep->bytes : none, end));
	return list;
}

METHOD(partition)
{
	struct tpl_value sep = separator(r, &arg[0]);

	tpl_step(r, self.bytes);
	return three(r, &self, tpl_find(self.text, self.bytes, sep.text, sep.bytes), &sep, false);
}

METHOD(rpartition)
{
	struct tpl_value sep = separator(r, &arg[0]);

	tpl_step(r, (uint64_t)self.bytes * (8 + sep.bytes / 4));
	return three(r, &self, find_last(&self, &sep), &sep, true);
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
	struct tpl_value fill = given(&arg[1]) ? tpl_as_string(r, &arg[1], "fill") : tpl_text(" ", 1);
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
	int64_t size = given(&arg[0]) ? tpl_as_int(r, &arg[0], "tabsize") : 8, column = 0;
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
	{ "count", str_count, "sub! start end", NULL },
	{ "endswith", str_endswith, "suffix! start end", NULL },
	{ "expandtabs", str_expandtabs, "tabsize", NULL },
	{ "find", str_find, "sub! start end", NULL },
	{ "format", NULL, NULL, tpl_format },
	{ "index", str_index, "sub! start end", NULL },
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
	{ "partition", str_partition, "sep!", NULL },
	{ "removeprefix", str_removeprefix, "prefix!", NULL },
	{ "removesuffix", str_removesuffix, "suffix!", NULL },
	{ "replace", str_replace, "old! new! count", NULL },
	{ "rfind", str_rfind, "sub! start end", NULL },
	{ "rindex", str_rindex, "sub! start end", NULL },
	{ "rjust", str_rjust, "width! fillchar", NULL },
	{ "rpartition", str_rpartition, "sep!", NULL },
	{ "rsplit", str_rsplit, "sep maxsplit", NULL },
	{ "rstrip", str_rstrip, "chars", NULL },
	{ "split", str_split, "sep maxsplit", NULL },
	{ "splitlines", str_splitlines, "keepends", NULL },
	{ "startswith", str_startswith, "prefix! start end", NULL },
	{ "strip", str_strip, "chars", NULL },
	{ "swapcase", str_swapcase, "", NULL },
	{ "title", str_title, "", NULL },
	{ "upper", str_upper, "", NULL },
	{ "zfill", str_zfill, "width!", NULL },
	{ 0 },
};
