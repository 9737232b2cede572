/* SPDX-License-Identifier: MIT */
/* tpl_json.c: values from JSON, and JSON of values as Python's json.dumps writes it. */
#include <math.h>
#include <stdio.h>

#include "tpl_priv.h"

static struct tpl_value array_from(struct tpl_run *r, const json_t *json)
{
	size_t count = json_array_size(json);
	struct tpl_value list = tpl_list_new(r, TPL_LIST, (uint32_t)count);

	for (size_t i = 0; i < count; i++)
		tpl_list_add(r, list.list, tpl_from_json(r, json_array_get(json, i)));
	return list;
}

static struct tpl_value object_from(struct tpl_run *r, const json_t *json)
{
	struct tpl_value dict = tpl_dict_new(r, (uint32_t)json_object_size(json));
	json_t *object = (json_t *)(uintptr_t)json, *value;	/* jansson reads it only */
	const char *key;

	json_object_foreach(object, key, value)
		tpl_dict_set(r, dict.dict, tpl_cstr(key), tpl_from_json(r, value));
	return dict;
}

/* Strings stay where they are: @json must outlive the rendering. */
struct tpl_value tpl_from_json(struct tpl_run *r, const json_t *json)
{
	struct tpl_value v;

	tpl_step(r, 0);
	switch (json_typeof(json)) {
	case JSON_TRUE:
	case JSON_FALSE:
		return tpl_bool(json_is_true(json));
	case JSON_INTEGER:
		return tpl_int(json_integer_value(json));
	case JSON_REAL:
		return tpl_float(json_real_value(json));
	case JSON_STRING:
		return tpl_text(json_string_value(json), json_string_length(json));
	case JSON_ARRAY:
	case JSON_OBJECT:
		tpl_enter(&r->heap);
		v = json_is_array(json) ? array_from(r, json) : object_from(r, json);
		tpl_leave(&r->heap);
		return v;
	default:
		return tpl_none();
	}
}

/* ---- json.dumps --------------------------------------------------------------------------- */

struct dump {
	bool ascii, sort;
	struct tpl_value indent;	/* MISSING: all on one line */
	struct tpl_value between, colon;
	uint32_t level;
};

static void dump_value(struct tpl_run *r, struct dump *d, const struct tpl_value *v);

static void put_unit(struct tpl_run *r, uint32_t unit)
{
	char text[16];

	snprintf(text, sizeof(text), "\\u%04x", unit);
	tpl_puts(r, text);
}

static void put_escaped(struct tpl_run *r, uint32_t c)
{
	static const char from[] = "\"\\\n\r\t\f\b", to[] = "\"\\nrtfb";
	const char *which = c && c < 0x80 ? strchr(from, (int)c) : NULL;

	if (which) {
		tpl_puts(r, "\\");
		tpl_put(r, &to[which - from], 1);
	} else if (c > 0xffff) {
		put_unit(r, 0xd800 + ((c - 0x10000) >> 10));
		put_unit(r, 0xdc00 + ((c - 0x10000) & 0x3ff));
	} else {
		put_unit(r, c);
	}
}

static void dump_string(struct tpl_run *r, const struct dump *d, const struct tpl_value *v)
{
	size_t plain = 0, used;

	tpl_step(r, v->bytes * (uint64_t)2);
	tpl_puts(r, "\"");
	for (size_t at = 0; at < v->bytes; at += used) {
		uint32_t c = tpl_decode(v->text + at, v->bytes - at, &used);

		if (c >= ' ' && c != '"' && c != '\\' && !(d->ascii && c > 0x7e))
			continue;
		tpl_put(r, v->text + plain, at - plain);
		put_escaped(r, c);
		plain = at + used;
	}
	tpl_put(r, v->text + plain, v->bytes - plain);
	tpl_puts(r, "\"");
}

static void dump_number(struct tpl_run *r, const struct tpl_value *v)
{
	if (v->kind == TPL_BOOL)
		tpl_puts(r, v->truth ? "true" : "false");
	else if (v->kind == TPL_FLOAT && isnan(v->real))
		tpl_puts(r, "NaN");
	else if (v->kind == TPL_FLOAT && isinf(v->real))
		tpl_puts(r, v->real < 0 ? "-Infinity" : "Infinity");
	else
		tpl_put_repr(r, v);
}

static void new_line(struct tpl_run *r, const struct dump *d)
{
	if (d->indent.kind == TPL_MISSING)
		return;
	tpl_puts(r, "\n");
	for (uint32_t i = 0; i < d->level; i++)
		tpl_put(r, d->indent.text, d->indent.bytes);
}

static void dump_list(struct tpl_run *r, struct dump *d, const struct tpl_list *list)
{
	if (!list->count) {
		tpl_puts(r, "[]");
		return;
	}
	tpl_puts(r, "[");
	d->level++;
	for (uint32_t i = 0; i < list->count; i++) {
		if (i)
			tpl_put(r, d->between.text, d->between.bytes);
		new_line(r, d);
		dump_value(r, d, &list->items[i]);
	}
	d->level--;
	new_line(r, d);
	tpl_puts(r, "]");
}

static void dump_key(struct tpl_run *r, struct dump *d, const struct tpl_value *key)
{
	if (key->kind == TPL_STRING) {
		dump_string(r, d, key);
		return;
	}
	if (key->kind != TPL_NONE && !tpl_is_number(key))
		tpl_throw(&r->heap, TPL_FAILED, "tojson: keys must be str, int, float, bool or None, "
			  "not %s", tpl_type_name(key));
	tpl_puts(r, "\"");
	dump_value(r, d, key);
	tpl_puts(r, "\"");
}

static struct tpl_dict *sorted(struct tpl_run *r, const struct tpl_dict *dict)
{
	struct tpl_value list = tpl_view(r, dict, 'i'), keys = tpl_view(r, dict, 'k');
	struct tpl_value copy = tpl_dict_new(r, dict->count);

	tpl_sort(r, list.list->items, keys.list->items, dict->count, false);
	for (uint32_t i = 0; i < dict->count; i++) {
		const struct tpl_value *pair = list.list->items[i].list->items;

		tpl_dict_set(r, copy.dict, pair[0], pair[1]);
	}
	return copy.dict;
}

static void dump_dict(struct tpl_run *r, struct dump *d, const struct tpl_dict *dict)
{
	if (!dict->count) {
		tpl_puts(r, "{}");
		return;
	}
	if (d->sort)
		dict = sorted(r, dict);
	tpl_puts(r, "{");
	d->level++;
	for (uint32_t i = 0; i < dict->count; i++) {
		if (i)
			tpl_put(r, d->between.text, d->between.bytes);
		new_line(r, d);
		dump_key(r, d, &dict->entries[i].key);
		tpl_put(r, d->colon.text, d->colon.bytes);
		dump_value(r, d, &dict->entries[i].value);
	}
	d->level--;
	new_line(r, d);
	tpl_puts(r, "}");
}

static void dump_value(struct tpl_run *r, struct dump *d, const struct tpl_value *v)
{
	tpl_step(r, 0);
	tpl_enter(&r->heap);
	if (v->kind == TPL_STRING)
		dump_string(r, d, v);
	else if (v->kind == TPL_NONE)
		tpl_puts(r, "null");
	else if (tpl_is_number(v))
		dump_number(r, v);
	else if (v->kind == TPL_LIST || v->kind == TPL_TUPLE)
		dump_list(r, d, v->list);
	else if (v->kind == TPL_DICT)
		dump_dict(r, d, v->dict);
	else if (v->kind == TPL_UNDEFINED && v->hint)
		tpl_fail_undefined(r, v);
	else
		tpl_throw(&r->heap, TPL_FAILED, "tojson: object of type %s is not JSON serializable",
			  tpl_type_name(v));
	tpl_leave(&r->heap);
}

static void dump_options(struct tpl_run *r, struct dump *d, const struct tpl_value *arg)
{
	const struct tpl_value *indent = &arg[1], *separators = &arg[2];
	int64_t width;

	d->ascii = arg[0].kind && tpl_truth(r, &arg[0]);
	d->sort = arg[3].kind && tpl_truth(r, &arg[3]);
	d->between = tpl_cstr(", ");
	d->colon = tpl_cstr(": ");
	if (indent->kind != TPL_MISSING && indent->kind != TPL_NONE) {
		d->between = tpl_cstr(",");
		if (indent->kind == TPL_STRING) {
			d->indent = *indent;
		} else {
			width = tpl_as_int(r, indent, "tojson: indent");
			width = width < 0 ? 0 : width > 1024 ? 1024 : width;
			d->indent = tpl_text(memset(tpl_alloc(&r->heap, (size_t)width + 1), ' ',
						    (size_t)width), (size_t)width);
		}
	}
	if (separators->kind == TPL_MISSING || separators->kind == TPL_NONE)
		return;
	if ((separators->kind != TPL_TUPLE && separators->kind != TPL_LIST) ||
	    separators->list->count != 2)
		tpl_throw(&r->heap, TPL_FAILED, "tojson: separators are a tuple of two strings");
	d->between = tpl_as_string(r, &separators->list->items[0], "tojson: separators");
	d->colon = tpl_as_string(r, &separators->list->items[1], "tojson: separators");
}

/* @arg: ensure_ascii, indent, separators, sort_keys. */
struct tpl_value tpl_to_json(struct tpl_run *r, struct tpl_value v, struct tpl_value *arg)
{
	struct tpl_buffer buffer, *outer;
	struct dump d = { 0 };

	dump_options(r, &d, arg);
	outer = tpl_capture(r, &buffer);
	dump_value(r, &d, &v);
	return tpl_capture_end(r, outer);
}
