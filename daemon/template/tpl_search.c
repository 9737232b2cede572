/* SPDX-License-Identifier: MIT */
/* tpl_search.c: the methods of Python's str that search and split. */
#include "tpl_string_priv.h"

/* ---- searching ---------------------------------------------------------------------------- */

/* The part of self that start and end name; false: none, not even an empty one. */
static bool window(struct tpl_run *r, const struct tpl_value *self, const struct tpl_value *bounds,
		   struct tpl_value *found, int64_t *start)
{
	int64_t count = tpl_length(r, self), end = count;

	*start = tpl_given(&bounds[0]) ? tpl_as_int(r, &bounds[0], "start") : 0;
	if (tpl_given(&bounds[1]))
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
			tpl_list_add(r, list, tpl_part(self, at, end));
			return;
		}
		while (at < end && !tpl_is_space(tpl_decode(at, (size_t)(end - at), &used)))
			at += used;
		tpl_list_add(r, list, tpl_part(self, from, at));
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
		word = tpl_part(self, at, rest.text + rest.bytes);
		tpl_list_add(r, list, word);
		rest = tpl_strip(r, tpl_part(self, rest.text, at), NULL, TPL_STRIP_RIGHT);
	}
	if (rest.bytes)
		tpl_list_add(r, list, rest);
}

METHOD(split)
{
	struct tpl_value list = tpl_list_new(r, TPL_LIST, 0), sep;
	int64_t most = tpl_given(&arg[1]) ? tpl_as_int(r, &arg[1], "split") : -1;
	const char *at = self.text, *end = self.text + self.bytes, *hit;

	tpl_step(r, self.bytes * (uint64_t)2);
	if (!tpl_given(&arg[0])) {
		split_space(r, &self, list.list, most);
		return list;
	}
	sep = separator(r, &arg[0]);
	for (; most && (hit = tpl_find(at, (size_t)(end - at), sep.text, sep.bytes)); most--) {
		tpl_list_add(r, list.list, tpl_part(&self, at, hit));
		at = hit + sep.bytes;
	}
	tpl_list_add(r, list.list, tpl_part(&self, at, end));
	return list;
}

METHOD(rsplit)
{
	struct tpl_value list = tpl_list_new(r, TPL_LIST, 0), sep, rest = self;
	int64_t most = tpl_given(&arg[1]) ? tpl_as_int(r, &arg[1], "rsplit") : -1;
	const char *hit;

	if (!tpl_given(&arg[0])) {
		tpl_step(r, self.bytes * (uint64_t)4);
		split_space_right(r, &self, list.list, most);
	} else {
		sep = separator(r, &arg[0]);
		tpl_step(r, (uint64_t)self.bytes * (8 + sep.bytes / 4));
		for (; most && (hit = find_last(&rest, &sep)); most--) {
			tpl_list_add(r, list.list, tpl_part(&self, hit + sep.bytes, rest.text + rest.bytes));
			rest.bytes = (uint32_t)(hit - rest.text);
		}
		tpl_list_add(r, list.list, tpl_part(&self, rest.text, rest.text + rest.bytes));
	}
	list_reverse(list.list);
	return list;
}

static struct tpl_value three(struct tpl_run *r, const struct tpl_value *self, const char *hit,
			      const struct tpl_value *sep, bool last)
{
	struct tpl_value list = tpl_list_new(r, TPL_TUPLE, 3);
	const char *end = self->text + self->bytes, *none = last ? self->text : end;

	tpl_list_add(r, list.list, tpl_part(self, self->text, hit ? hit : none));
	tpl_list_add(r, list.list, hit ? *sep : tpl_text("", 0));
	tpl_list_add(r, list.list, tpl_part(self, hit ? hit + sep->bytes : none, end));
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

const struct tpl_method_row tpl_search_methods[] = {
	{ "count", str_count, "sub! start end", NULL },
	{ "endswith", str_endswith, "suffix! start end", NULL },
	{ "find", str_find, "sub! start end", NULL },
	{ "index", str_index, "sub! start end", NULL },
	{ "partition", str_partition, "sep!", NULL },
	{ "rfind", str_rfind, "sub! start end", NULL },
	{ "rindex", str_rindex, "sub! start end", NULL },
	{ "rpartition", str_rpartition, "sep!", NULL },
	{ "rsplit", str_rsplit, "sep maxsplit", NULL },
	{ "split", str_split, "sep maxsplit", NULL },
	{ "startswith", str_startswith, "prefix! start end", NULL },
	{ 0 },
};
