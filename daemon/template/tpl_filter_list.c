/* SPDX-License-Identifier: MIT */
/* tpl_filter_list.c: filters on lists. Where jinja2 gives a generator, so do these. */
#include "tpl_priv.h"

#define FILTER(name) static struct tpl_value filter_##name(struct tpl_run *r, struct tpl_value in, \
							   struct tpl_value *arg)

static bool flag(struct tpl_run *r, const struct tpl_value *arg)
{
	return arg->kind != TPL_MISSING && tpl_truth(r, arg);
}

/* What sorting and grouping look at: text in lower case, unless told otherwise. */
static struct tpl_value key_of(struct tpl_run *r, const struct tpl_value *item,
			       const struct tpl_value *path, const struct tpl_value *otherwise,
			       bool case_sensitive)
{
	struct tpl_value key = tpl_get_path(r, item, path, otherwise);

	return key.kind == TPL_STRING && !case_sensitive ? tpl_recase(r, key, TPL_LOWER) : key;
}

/* The keys of all items; several paths with commas between them make lists. */
static struct tpl_value keys_of(struct tpl_run *r, const struct tpl_list *list,
				const struct tpl_value *path, const struct tpl_value *otherwise,
				bool case_sensitive, bool several)
{
	struct tpl_value keys = tpl_list_new(r, TPL_LIST, list->count);

	several = several && path->kind == TPL_STRING && memchr(path->text, ',', path->bytes);
	for (uint32_t i = 0; i < list->count; i++) {
		struct tpl_value parts = tpl_list_new(r, TPL_LIST, 0);
		const char *from = several ? path->text : NULL, *end = from ? from + path->bytes : NULL;

		while (from && from <= end) {
			const char *comma = memchr(from, ',', (size_t)(end - from));
			struct tpl_value one = tpl_text(from, (size_t)((comma ? comma : end) - from));

			tpl_list_add(r, parts.list, key_of(r, &list->items[i], &one, NULL,
							   case_sensitive));
			from = comma ? comma + 1 : end + 1;
		}
		tpl_list_add(r, keys.list, several ? parts :
			     key_of(r, &list->items[i], path, otherwise, case_sensitive));
	}
	return keys;
}

FILTER(list)
{
	return tpl_to_list(r, &in, TPL_LIST);
}

FILTER(first)
{
	struct tpl_cursor cursor;
	struct tpl_value item;

	tpl_cursor_init(r, &cursor, &in);
	if (tpl_cursor_next(r, &cursor, &item))
		return item;
	return tpl_undefined(r, NULL, tpl_cstr("the first item of an empty sequence"));
}

static struct tpl_value reversed(struct tpl_run *r, const struct tpl_value *in)
{
	struct tpl_value list = tpl_to_list(r, in, TPL_LIST);

	for (uint32_t i = 0; i < list.list->count / 2; i++) {
		struct tpl_value *a = &list.list->items[i];
		struct tpl_value *b = &list.list->items[list.list->count - 1 - i], spare = *a;

		*a = *b;
		*b = spare;
	}
	return list;
}

FILTER(last)
{
	struct tpl_value list;

	if (in.kind == TPL_ITER)
		tpl_throw(&r->heap, TPL_FAILED, "'generator' object is not reversible");
	list = reversed(r, &in);
	if (list.list->count)
		return list.list->items[0];
	return tpl_undefined(r, NULL, tpl_cstr("the last item of an empty sequence"));
}

FILTER(reverse)
{
	static const struct tpl_value none = { .kind = TPL_NONE };
	struct tpl_value backward[3] = { none, none, tpl_int(-1) }, list;

	if (in.kind == TPL_STRING)
		return tpl_slice(r, &in, backward);
	list = reversed(r, &in);
	return in.kind == TPL_ITER ? list : tpl_iter_of(r, list.list);
}

FILTER(join)
{
	struct tpl_value between = arg[0].kind == TPL_MISSING ? tpl_text("", 0) : tpl_str(r, &arg[0]);
	struct tpl_value item;
	struct tpl_buffer buffer, *outer;
	struct tpl_cursor cursor;
	bool more = false;

	tpl_cursor_init(r, &cursor, &in);
	outer = tpl_capture(r, &buffer);
	for (; tpl_cursor_next(r, &cursor, &item); more = true) {
		if (more)
			tpl_put_str(r, &between);
		item = tpl_get_path(r, &item, &arg[1], NULL);
		tpl_put_str(r, &item);
	}
	return tpl_capture_end(r, outer);
}

FILTER(items)
{
	if (in.kind == TPL_UNDEFINED)
		return tpl_iter_of(r, tpl_list_new(r, TPL_LIST, 0).list);
	if (in.kind != TPL_DICT)
		tpl_throw(&r->heap, TPL_FAILED, "Can only get item pairs from a mapping.");
	return tpl_iter_of(r, tpl_view(r, in.dict, 'i').list);
}

FILTER(dictsort)
{
	bool by_value = tpl_is(&arg[1], "value");
	struct tpl_value list, keys, path = tpl_int(by_value);

	if (arg[1].kind != TPL_MISSING && !by_value && !tpl_is(&arg[1], "key"))
		tpl_throw(&r->heap, TPL_FAILED, "You can only sort by either \"key\" or \"value\"");
	if (in.kind != TPL_DICT) {
		tpl_need_defined(r, &in);
		tpl_throw(&r->heap, TPL_FAILED, "'%s' object has no attribute 'items'",
			  tpl_type_name(&in));
	}
	list = tpl_view(r, in.dict, 'i');
	list.kind = TPL_LIST;
	list.flags = 0;
	keys = keys_of(r, list.list, &path, NULL, flag(r, &arg[0]), false);
	tpl_sort(r, list.list->items, keys.list->items, list.list->count, flag(r, &arg[2]));
	return list;
}

FILTER(sort)
{
	struct tpl_value list = tpl_to_list(r, &in, TPL_LIST);
	struct tpl_value keys = keys_of(r, list.list, &arg[2], NULL, flag(r, &arg[1]), true);

	tpl_sort(r, list.list->items, keys.list->items, list.list->count, flag(r, &arg[0]));
	return list;
}

FILTER(unique)
{
	struct tpl_value list = tpl_to_list(r, &in, TPL_LIST), seen = tpl_dict_new(r, 0);
	struct tpl_value keys = keys_of(r, list.list, &arg[1], NULL, flag(r, &arg[0]), false);
	struct tpl_value once = tpl_list_new(r, TPL_LIST, 0);

	for (uint32_t i = 0; i < list.list->count; i++) {
		if (tpl_dict_get(r, seen.dict, &keys.list->items[i]))
			continue;
		tpl_dict_set(r, seen.dict, keys.list->items[i], tpl_none());
		tpl_list_add(r, once.list, list.list->items[i]);
	}
	return tpl_iter_of(r, once.list);
}

static struct tpl_value extreme(struct tpl_run *r, struct tpl_value in, struct tpl_value *arg,
				enum tpl_op op)
{
	struct tpl_value list = tpl_to_list(r, &in, TPL_LIST);
	struct tpl_value keys = keys_of(r, list.list, &arg[1], NULL, flag(r, &arg[0]), false);
	uint32_t best = 0;

	if (!list.list->count)
		return tpl_undefined(r, NULL, tpl_cstr("an aggregate of an empty sequence"));
	for (uint32_t i = 1; i < list.list->count; i++)
		if (tpl_compare(r, op, &keys.list->items[i], &keys.list->items[best]))
			best = i;
	return list.list->items[best];
}

FILTER(min)
{
	return extreme(r, in, arg, OP_LT);
}

FILTER(max)
{
	return extreme(r, in, arg, OP_GT);
}

FILTER(sum)
{
	struct tpl_value sum = arg[1].kind == TPL_MISSING ? tpl_int(0) : arg[1], item;
	struct tpl_cursor cursor;

	if (sum.kind == TPL_STRING)
		tpl_throw(&r->heap, TPL_FAILED, "sum() can't sum strings [use ''.join(seq) instead]");
	tpl_cursor_init(r, &cursor, &in);
	while (tpl_cursor_next(r, &cursor, &item)) {
		item = tpl_get_path(r, &item, &arg[0], NULL);
		sum = tpl_binary(r, OP_ADD, &sum, &item);
	}
	return sum;
}

FILTER(batch)
{
	int64_t size = tpl_as_int(r, &arg[0], "batch");
	struct tpl_value rows = tpl_list_new(r, TPL_LIST, 0), row = rows, item;
	struct tpl_cursor cursor;

	tpl_cursor_init(r, &cursor, &in);
	while (tpl_cursor_next(r, &cursor, &item)) {
		if (!rows.list->count || row.list->count == size) {
			row = tpl_list_new(r, TPL_LIST, 0);
			tpl_list_add(r, rows.list, row);
		}
		tpl_list_add(r, row.list, item);
	}
	if (rows.list->count && arg[1].kind != TPL_MISSING && arg[1].kind != TPL_NONE)
		while (row.list->count < size)
			tpl_list_add(r, row.list, arg[1]);
	return tpl_iter_of(r, rows.list);
}

FILTER(slice)
{
	int64_t slices = tpl_as_int(r, &arg[0], "slice"), at = 0, length, more;
	struct tpl_value all = tpl_to_list(r, &in, TPL_LIST), rows = tpl_list_new(r, TPL_LIST, 0), row;

	if (slices < 1)
		tpl_throw(&r->heap, TPL_FAILED, "slice: integer division or modulo by zero");
	length = all.list->count / slices;
	more = all.list->count % slices;
	for (int64_t i = 0; i < slices; i++) {
		row = tpl_list_new(r, TPL_LIST, 0);
		for (int64_t n = length + (i < more); n > 0; n--)
			tpl_list_add(r, row.list, all.list->items[at++]);
		if (arg[1].kind != TPL_MISSING && arg[1].kind != TPL_NONE && i >= more)
			tpl_list_add(r, row.list, arg[1]);
		tpl_list_add(r, rows.list, row);
	}
	return tpl_iter_of(r, rows.list);
}

FILTER(groupby)
{
	bool exact = flag(r, &arg[2]);
	struct tpl_value list = tpl_to_list(r, &in, TPL_LIST), groups = tpl_list_new(r, TPL_LIST, 0);
	struct tpl_value keys = keys_of(r, list.list, &arg[0], &arg[1], exact, false), group = groups;

	tpl_sort(r, list.list->items, keys.list->items, list.list->count, false);
	for (uint32_t i = 0; i < list.list->count; i++) {
		const struct tpl_value *item = &list.list->items[i], *key = keys.list->items;

		if (!i || !tpl_equal(r, &key[i - 1], &key[i])) {
			group = tpl_pair(r, tpl_get_path(r, item, &arg[0], &arg[1]),
					 tpl_list_new(r, TPL_LIST, 0));
			group.flags = TPL_GROUP;
			tpl_list_add(r, groups.list, group);
		}
		tpl_list_add(r, group.list->items[1].list, *item);
	}
	return groups;
}

/* ---- filters that apply others ------------------------------------------------------------ */

static struct tpl_value map_one(struct tpl_run *r, const struct tpl_method_row *row,
				const struct tpl_value *item, const struct tpl_args *args)
{
	struct tpl_args rest = *args;

	if (!row)
		return tpl_get_path(r, item, tpl_args_find(args, "attribute"),
				    tpl_args_find(args, "default"));
	rest.v++;
	rest.count--;
	return tpl_invoke(r, row, *item, &rest);
}

static struct tpl_value filter_map(struct tpl_run *r, struct tpl_value in, const struct tpl_args *args)
{
	bool by_attribute = !args->count && tpl_args_find(args, "attribute");
	struct tpl_value mapped = tpl_list_new(r, TPL_LIST, 0), name, item;
	const struct tpl_method_row *row = NULL;
	struct tpl_cursor cursor;

	if (!by_attribute) {
		if (!args->count)
			tpl_throw(&r->heap, TPL_FAILED, "map requires a filter argument");
		name = tpl_as_string(r, &args->v[0], "map");
		row = tpl_filter_find(name.text, name.bytes);
		if (!row)
			tpl_throw(&r->heap, TPL_UNSUPPORTED, "the filter %.*s is not supported",
				  (int)name.bytes, name.text);
	}
	tpl_cursor_init(r, &cursor, &in);
	while (tpl_cursor_next(r, &cursor, &item))
		tpl_list_add(r, mapped.list, map_one(r, row, &item, args));
	return tpl_iter_of(r, mapped.list);
}

/* The test that args name from @from on; none: truth. */
static void test_of(struct tpl_run *r, const struct tpl_args *args, uint32_t from,
		    struct tpl_test *test)
{
	struct tpl_value name;

	if (args->count <= from)
		return;
	name = tpl_as_string(r, &args->v[from], "select");
	if (!tpl_test_find(name.text, name.bytes, test))
		tpl_throw(&r->heap, TPL_UNSUPPORTED, "the test %.*s is not supported", (int)name.bytes,
			  name.text);
}

static struct tpl_value choose(struct tpl_run *r, const struct tpl_value *in,
			       const struct tpl_args *args, bool wanted, bool by_attribute)
{
	struct tpl_value chosen = tpl_list_new(r, TPL_LIST, 0), item, v;
	uint32_t from = by_attribute;
	struct tpl_args rest = *args;
	struct tpl_test test = { 0 };
	struct tpl_cursor cursor;

	if (!tpl_truth(r, in))
		return tpl_iter_of(r, chosen.list);
	if (args->count < from)
		tpl_throw(&r->heap, TPL_FAILED, "Missing parameter for attribute name");
	test_of(r, args, from, &test);
	rest.v += test.fn ? from + 1 : 0;
	rest.count -= test.fn ? from + 1 : 0;
	tpl_cursor_init(r, &cursor, in);
	while (tpl_cursor_next(r, &cursor, &item)) {
		v = by_attribute ? tpl_get_path(r, &item, &args->v[0], NULL) : item;
		if ((test.fn ? tpl_test_run(r, &test, &v, &rest) : tpl_truth(r, &v)) == wanted)
			tpl_list_add(r, chosen.list, item);
	}
	return tpl_iter_of(r, chosen.list);
}

static struct tpl_value filter_select(struct tpl_run *r, struct tpl_value in, const struct tpl_args *a)
{
	return choose(r, &in, a, true, false);
}

static struct tpl_value filter_reject(struct tpl_run *r, struct tpl_value in, const struct tpl_args *a)
{
	return choose(r, &in, a, false, false);
}

static struct tpl_value filter_selectattr(struct tpl_run *r, struct tpl_value in,
					  const struct tpl_args *a)
{
	return choose(r, &in, a, true, true);
}

static struct tpl_value filter_rejectattr(struct tpl_run *r, struct tpl_value in,
					  const struct tpl_args *a)
{
	return choose(r, &in, a, false, true);
}

const struct tpl_method_row tpl_list_filters[] = {
	{ "batch", filter_batch, "linecount! fill_with", NULL },
	{ "dictsort", filter_dictsort, "case_sensitive by reverse", NULL },
	{ "first", filter_first, "", NULL },
	{ "groupby", filter_groupby, "attribute! default case_sensitive", NULL },
	{ "items", filter_items, "", NULL },
	{ "join", filter_join, "d attribute", NULL },
	{ "last", filter_last, "", NULL },
	{ "list", filter_list, "", NULL },
	{ "map", NULL, NULL, filter_map },
	{ "max", filter_max, "case_sensitive attribute", NULL },
	{ "min", filter_min, "case_sensitive attribute", NULL },
	{ "reject", NULL, NULL, filter_reject },
	{ "rejectattr", NULL, NULL, filter_rejectattr },
	{ "reverse", filter_reverse, "", NULL },
	{ "select", NULL, NULL, filter_select },
	{ "selectattr", NULL, NULL, filter_selectattr },
	{ "slice", filter_slice, "slices! fill_with", NULL },
	{ "sort", filter_sort, "reverse case_sensitive attribute", NULL },
	{ "sum", filter_sum, "attribute start", NULL },
	{ "unique", filter_unique, "case_sensitive attribute", NULL },
	{ 0 },
};
