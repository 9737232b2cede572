/* SPDX-License-Identifier: MIT */
/*
 * tpl_method.c: methods of values that are no text, and what templates find as global names. A
 * method that Python has and this does not is known by name, so that it is refused and no key of a
 * dictionary takes its place.
 */
#include <stdio.h>

#include "tpl_priv.h"

#define METHOD(name) static struct tpl_value name(struct tpl_run *r, struct tpl_value self, \
						  struct tpl_value *arg)
#define ARGS_METHOD(name) static struct tpl_value name(struct tpl_run *r, struct tpl_value self, \
						       const struct tpl_args *args)
#define RANGE_MAX	100000	/* items, as jinja2's sandbox has it */

static bool given(const struct tpl_value *arg)
{
	return arg->kind != TPL_MISSING;
}

METHOD(dict_get)
{
	const struct tpl_value *found = tpl_dict_get(r, self.dict, &arg[0]);

	return found ? *found : given(&arg[1]) ? arg[1] : tpl_none();
}

METHOD(dict_items)
{
	return tpl_view(r, self.dict, 'i');
}

METHOD(dict_keys)
{
	return tpl_view(r, self.dict, 'k');
}

METHOD(dict_values)
{
	return tpl_view(r, self.dict, 'v');
}

static void dict_copy_into(struct tpl_run *r, struct tpl_dict *to, const struct tpl_dict *from)
{
	for (uint32_t i = 0; i < from->count; i++)
		tpl_dict_set(r, to, from->entries[i].key, from->entries[i].value);
}

METHOD(dict_copy)
{
	struct tpl_value copy = tpl_dict_new(r, self.dict->count);

	dict_copy_into(r, copy.dict, self.dict);
	return copy;
}

METHOD(list_copy)
{
	return tpl_to_list(r, &self, TPL_LIST);
}

METHOD(list_count)
{
	int64_t count = 0;

	for (uint32_t i = 0; i < self.list->count; i++)
		count += tpl_equal(r, &self.list->items[i], &arg[0]);
	return tpl_int(count);
}

METHOD(list_index)
{
	int64_t count = self.list->count, from = given(&arg[1]) ? tpl_as_int(r, &arg[1], "index") : 0;
	int64_t to = given(&arg[2]) ? tpl_as_int(r, &arg[2], "index") : count;

	from += from < 0 ? count : 0;
	to += to < 0 ? count : 0;
	for (int64_t i = from < 0 ? 0 : from; i < to && i < count; i++)
		if (tpl_equal(r, &self.list->items[i], &arg[0]))
			return tpl_int(i);
	tpl_throw(&r->heap, TPL_FAILED, "the value is not in the list");
}

METHOD(cycler_next)
{
	struct tpl_cycler *c = self.cycler;
	uint32_t at = c->next;

	c->next = (at + 1) % c->list->count;
	return c->list->items[at];
}

METHOD(cycler_reset)
{
	self.cycler->next = 0;
	return tpl_none();
}

METHOD(float_is_integer)
{
	return tpl_bool(self.real == (double)(int64_t)self.real);
}

static const struct tpl_method_row dict_methods[] = {
	{ "copy", dict_copy, "", NULL },
	{ "get", dict_get, "key! default", NULL },
	{ "items", dict_items, "", NULL },
	{ "keys", dict_keys, "", NULL },
	{ "values", dict_values, "", NULL },
	{ 0 },
};
static const struct tpl_method_row list_methods[] = {
	{ "copy", list_copy, "", NULL },
	{ "count", list_count, "value!", NULL },
	{ "index", list_index, "value! start stop", NULL },
	{ 0 },
};
static const struct tpl_method_row tuple_methods[] = {
	{ "count", list_count, "value!", NULL },
	{ "index", list_index, "value! start stop", NULL },
	{ 0 },
};
static const struct tpl_method_row cycler_methods[] = {
	{ "next", cycler_next, "", NULL },
	{ "reset", cycler_reset, "", NULL },
	{ 0 },
};
static const struct tpl_method_row float_methods[] = {
	{ "is_integer", float_is_integer, "", NULL },
	{ 0 },
};
static const struct tpl_method_row no_methods[] = { { 0 } };

static const char integer_methods[] = " as_integer_ratio bit_count bit_length conjugate denominator "
				      "from_bytes imag is_integer numerator real to_bytes ";

/* Of each kind: what is here, and the names of what is not. */
static const struct {
	const struct tpl_method_row *rows;
	const char *others;
	const struct tpl_method_row *more;	/* rows too, or NULL */
} kinds[] = {
	[TPL_BOOL] = { .rows = no_methods, .others = integer_methods },
	[TPL_INT] = { .rows = no_methods, .others = integer_methods },
	[TPL_FLOAT] = { .rows = float_methods, .others = " as_integer_ratio conjugate fromhex hex imag real " },
	[TPL_STRING] = { .rows = tpl_string_methods, .more = tpl_search_methods,
			 .others = " encode format_map maketrans translate striptags unescape escape " },
	[TPL_LIST] = { .rows = list_methods, .others = " " },
	[TPL_TUPLE] = { .rows = tuple_methods, .others = " " },
	[TPL_DICT] = { .rows = dict_methods, .others = " fromkeys " },
	[TPL_VIEW] = { .rows = no_methods, .others = " isdisjoint mapping " },
	[TPL_RANGE] = { .rows = no_methods, .others = " count index start stop step " },
	[TPL_ITER] = { .rows = no_methods, .others = " close send throw " },
	[TPL_CYCLER] = { .rows = cycler_methods, .others = " " },
};

/* @names: each between blanks. */
static bool listed(const char *names, const char *name, uint32_t bytes)
{
	const char *at = names;

	while (bytes && !memchr(name, ' ', bytes) && (at = memmem(at, strlen(at), name, bytes))) {
		if (at[-1] == ' ' && at[bytes] == ' ')
			return true;
		at += bytes;
	}
	return false;
}

const struct tpl_method_row *tpl_method_find(const struct tpl_value *v, const char *name,
					     uint32_t bytes, bool *known)
{
	const struct tpl_method_row *row;

	*known = false;
	if (v->kind >= sizeof(kinds) / sizeof(kinds[0]) || !kinds[v->kind].rows)
		return NULL;
	row = tpl_row_find(kinds[v->kind].rows, name, bytes);
	if (!row && kinds[v->kind].more)
		row = tpl_row_find(kinds[v->kind].more, name, bytes);
	*known = row || listed(kinds[v->kind].others, name, bytes);
	/* Only text that is marked safe has these. */
	if (!row && v->kind == TPL_STRING && !(v->flags & TPL_MARKUP) &&
	    listed(" striptags unescape escape ", name, bytes))
		*known = false;
	return row;
}

/* ---- global names ------------------------------------------------------------------------- */

METHOD(global_raise)
{
	struct tpl_value text = tpl_str(r, &arg[0]);

	tpl_throw(&r->heap, TPL_RAISED, "%.*s", text.bytes < 300 ? (int)text.bytes : 300, text.text);
}

METHOD(global_strftime)
{
	struct tpl_value format = tpl_as_string(r, &arg[0], "strftime_now");
	char text[1024], copy[512];
	size_t n = 0;

	for (uint32_t i = 0; i < format.bytes; i++) {
		bool micro = format.text[i] == '%' && i + 1 < format.bytes && format.text[i + 1] == 'f';

		if (n + 7 > sizeof(copy))
			tpl_throw(&r->heap, TPL_LIMIT, "strftime_now: the format is too long");
		if (micro) {
			memcpy(copy + n, "000000", 6);
			n += 6;
			i++;
			continue;
		}
		copy[n++] = format.text[i];
		if (format.text[i] == '%' && i + 1 < format.bytes)
			copy[n++] = format.text[++i];
	}
	copy[n] = 0;
	n = strftime(text, sizeof(text), copy, &r->now);
	return tpl_text(memcpy(tpl_alloc(&r->heap, n + 1), text, n), n);
}

METHOD(global_range)
{
	struct tpl_range *range = tpl_zalloc(&r->heap, sizeof(*range));
	__int128 span;

	range->step = given(&arg[2]) ? tpl_as_int(r, &arg[2], "range") : 1;
	range->stop = tpl_as_int(r, &arg[given(&arg[1]) ? 1 : 0], "range");
	range->start = given(&arg[1]) ? tpl_as_int(r, &arg[0], "range") : 0;
	if (!range->step)
		tpl_throw(&r->heap, TPL_FAILED, "range() arg 3 must not be zero");
	span = range->step > 0 ? (__int128)range->stop - range->start : (__int128)range->start - range->stop;
	span = span <= 0 ? 0 : (span - 1) / (range->step > 0 ? range->step : -(__int128)range->step) + 1;
	if (span > RANGE_MAX)
		tpl_throw(&r->heap, TPL_FAILED, "Range too big. The sandbox blocks ranges larger than "
			  "MAX_RANGE (%d).", RANGE_MAX);
	range->count = (int64_t)span;
	return (struct tpl_value){ .kind = TPL_RANGE, .range = range };
}

/* What dict() is given: a mapping or pairs. */
static void add_pairs(struct tpl_run *r, struct tpl_dict *dict, const struct tpl_value *from)
{
	struct tpl_cursor cursor;
	struct tpl_value item, pair;

	if (from->kind == TPL_DICT) {
		dict_copy_into(r, dict, from->dict);
		return;
	}
	tpl_cursor_init(r, &cursor, from);
	while (tpl_cursor_next(r, &cursor, &item)) {
		pair = tpl_to_list(r, &item, TPL_LIST);
		if (pair.list->count != 2)
			tpl_throw(&r->heap, TPL_FAILED, "dict: an element has length %u; 2 is required",
				  pair.list->count);
		tpl_dict_set(r, dict, pair.list->items[0], pair.list->items[1]);
	}
}

ARGS_METHOD(global_dict)
{
	struct tpl_value dict = tpl_dict_new(r, 0);

	if (args->count > 1)
		tpl_throw(&r->heap, TPL_FAILED, "dict expected at most 1 argument, got %u", args->count);
	if (args->count)
		add_pairs(r, dict.dict, &args->v[0]);
	for (uint32_t i = 0; i < args->kw_count; i++)
		tpl_dict_set(r, dict.dict, args->kw[i].name, args->kw[i].value);
	return dict;
}

ARGS_METHOD(global_namespace)
{
	struct tpl_value space = global_dict(r, self, args);

	for (uint32_t i = 0; i < space.dict->count; i++) {
		const struct tpl_value *key = &space.dict->entries[i].key;

		if (key->kind == TPL_STRING && key->bytes && *key->text == '_')
			tpl_throw(&r->heap, TPL_FAILED, "a namespace has no attributes that begin with _");
	}
	space.kind = TPL_NAMESPACE;
	return space;
}

static struct tpl_value cycler_new(struct tpl_run *r, enum tpl_kind kind, const struct tpl_value *v,
				   uint32_t count)
{
	struct tpl_cycler *cycler = tpl_zalloc(&r->heap, sizeof(*cycler));

	cycler->list = tpl_list_new(r, TPL_LIST, count).list;
	for (uint32_t i = 0; i < count; i++)
		tpl_list_add(r, cycler->list, v[i]);
	return (struct tpl_value){ .kind = (uint8_t)kind, .cycler = cycler };
}

ARGS_METHOD(global_cycler)
{
	if (!args->count || args->kw_count)
		tpl_throw(&r->heap, TPL_FAILED, "at least one item has to be provided");
	return cycler_new(r, TPL_CYCLER, args->v, args->count);
}

METHOD(global_joiner)
{
	struct tpl_value sep = given(&arg[0]) ? arg[0] : tpl_text(", ", 2);

	return cycler_new(r, TPL_JOINER, &sep, 1);
}

ARGS_METHOD(global_lipsum)
{
	tpl_throw(&r->heap, TPL_UNSUPPORTED, "the function lipsum is not supported");
}

static const struct tpl_method_row globals[] = {
	{ "cycler", NULL, NULL, global_cycler },
	{ "dict", NULL, NULL, global_dict },
	{ "joiner", global_joiner, "sep", NULL },
	{ "lipsum", NULL, NULL, global_lipsum },
	{ "namespace", NULL, NULL, global_namespace },
	{ "raise_exception", global_raise, "message!", NULL },
	{ "range", global_range, "start! stop step", NULL },
	{ "strftime_now", global_strftime, "format!", NULL },
	{ 0 },
};

const struct tpl_method_row *tpl_global_find(const char *name, uint32_t bytes)
{
	return tpl_row_find(globals, name, bytes);
}
