/* SPDX-License-Identifier: MIT */
/* tpl_attr.c: x.name, x[key] and slices, by the rules of jinja2's sandbox. */
#include "tpl_priv.h"

static struct tpl_value none_such(struct tpl_run *r, const struct tpl_value *v,
				  const struct tpl_value *name)
{
	return tpl_undefined(r, v->kind == TPL_NONE ? "None" : tpl_type_name(v), *name);
}

static struct tpl_value unsafe(struct tpl_run *r, const struct tpl_value *v,
			       const struct tpl_value *name)
{
	struct tpl_value undefined = none_such(r, v, name);

	undefined.flags = TPL_UNSAFE;
	return undefined;
}

/* Methods that change what they belong to; the sandbox keeps them back. */
static bool changes(const struct tpl_value *v, const struct tpl_value *name)
{
	static const char *const of_list[] = { "append", "clear", "extend", "insert", "pop", "remove",
					       "reverse", "sort", NULL };
	static const char *const of_dict[] = { "clear", "pop", "popitem", "setdefault", "update",
					       NULL };
	const char *const *names = v->kind == TPL_LIST ? of_list : v->kind == TPL_DICT ? of_dict :
				   NULL;

	for (; names && *names; names++)
		if (tpl_is(name, *names))
			return true;
	return false;
}

/* What Python's getattr() finds; false: nothing. */
static bool attribute(struct tpl_run *r, const struct tpl_value *v, const struct tpl_value *name,
		      struct tpl_value *found)
{
	const struct tpl_method_row *row;
	struct tpl_method *method;
	bool known;

	if (v->kind == TPL_TUPLE && v->flags & TPL_GROUP &&
	    (tpl_is(name, "grouper") || tpl_is(name, "list"))) {
		*found = v->list->items[tpl_is(name, "list")];
		return true;
	}
	if (changes(v, name) || (name->bytes > 4 && !memcmp(name->text, "__", 2) &&
				 !memcmp(name->text + name->bytes - 2, "__", 2))) {
		*found = unsafe(r, v, name);
		return true;
	}
	row = tpl_method_find(v, name->text, name->bytes, &known);
	if (!row && known)
		tpl_throw(&r->heap, TPL_UNSUPPORTED, "the attribute %.*s of %s is not supported",
			  (int)name->bytes, name->text, tpl_type_name(v));
	if (!row)
		return false;
	method = tpl_alloc(&r->heap, sizeof(*method));
	*method = (struct tpl_method){ .row = row, .self = *v };
	*found = (struct tpl_value){ .kind = TPL_METHOD, .method = method };
	return true;
}

static struct tpl_value cycler_attr(struct tpl_run *r, const struct tpl_value *v,
				    const struct tpl_value *name)
{
	struct tpl_value found;

	if (tpl_is(name, "current") && v->cycler->list->count)
		return v->cycler->list->items[v->cycler->next];
	return attribute(r, v, name, &found) ? found : none_such(r, v, name);
}

struct tpl_value tpl_get_attr(struct tpl_run *r, const struct tpl_value *v, struct tpl_value name)
{
	const struct tpl_value *item;
	struct tpl_value found;

	tpl_step(r, 0);
	switch (v->kind) {
	case TPL_UNDEFINED:
		tpl_fail_undefined(r, v);
	case TPL_NAMESPACE:
		item = tpl_dict_get(r, v->dict, &name);
		return item ? *item : none_such(r, v, &name);
	case TPL_LOOP:
		return tpl_loop_attr(r, v->loop, &name);
	case TPL_CYCLER:
		return cycler_attr(r, v, &name);
	case TPL_MACRO:
		if (tpl_is(&name, "name"))
			return tpl_text(r->tpl->names[v->macro->node->name].text,
					r->tpl->names[v->macro->node->name].bytes);
		return none_such(r, v, &name);
	default:
		break;
	}
	if (attribute(r, v, &name, &found))
		return found;
	item = v->kind == TPL_DICT ? tpl_dict_get(r, v->dict, &name) : NULL;
	return item ? *item : none_such(r, v, &name);
}

/* Item @at of @count, counted from the end when negative; -1: none. */
static int64_t index_of(int64_t at, int64_t count)
{
	if (at < 0)
		at += count;
	return at >= 0 && at < count ? at : -1;
}

static struct tpl_value char_at(struct tpl_run *r, const struct tpl_value *s, int64_t at)
{
	int64_t index = index_of(at, tpl_length(r, s));
	struct tpl_value c, name = tpl_int(at);
	size_t from, used;

	if (index < 0)
		return none_such(r, s, &name);
	from = tpl_offset(s->text, s->bytes, index);
	tpl_decode(s->text + from, s->bytes - from, &used);
	c = tpl_text(s->text + from, used);
	c.flags = s->flags;
	return c;
}

static struct tpl_value item_at(struct tpl_run *r, const struct tpl_value *v,
				const struct tpl_value *key)
{
	int64_t at = key->kind == TPL_BOOL ? key->truth : key->integer;

	if (v->kind == TPL_STRING)
		return char_at(r, v, at);
	if (v->kind == TPL_RANGE) {
		at = index_of(at, v->range->count);
		return at < 0 ? none_such(r, v, key) : tpl_int(v->range->start + at * v->range->step);
	}
	if (v->kind != TPL_LIST && v->kind != TPL_TUPLE)
		return none_such(r, v, key);
	at = index_of(at, v->list->count);
	return at < 0 ? none_such(r, v, key) : v->list->items[at];
}

struct tpl_value tpl_get_item(struct tpl_run *r, const struct tpl_value *v,
			      const struct tpl_value *key)
{
	const struct tpl_value *item;
	struct tpl_value found;

	tpl_step(r, 0);
	if (v->kind == TPL_UNDEFINED)
		tpl_fail_undefined(r, v);
	if (v->kind == TPL_DICT && key->kind != TPL_LIST && key->kind != TPL_DICT) {
		item = tpl_dict_get(r, v->dict, key);
		if (item)
			return *item;
	}
	if (key->kind == TPL_INT || key->kind == TPL_BOOL)
		return item_at(r, v, key);
	if (key->kind != TPL_STRING)
		return none_such(r, v, key);
	if (v->kind == TPL_NAMESPACE || v->kind == TPL_LOOP)
		return tpl_get_attr(r, v, *key);
	return attribute(r, v, key, &found) ? found : none_such(r, v, key);
}

/* ---- slices ------------------------------------------------------------------------------- */

/* Python's bounds of a slice: start, stop and step, cut to what is there. */
static int64_t slice_bounds(struct tpl_run *r, const struct tpl_value given[3], int64_t count,
			    int64_t *start, int64_t *stop)
{
	int64_t step = given[2].kind == TPL_NONE ? 1 : tpl_as_int(r, &given[2], "slice");
	int64_t low = step < 0 ? -1 : 0, high = step < 0 ? count - 1 : count;
	int64_t *bounds[] = { start, stop };

	if (!step)
		tpl_throw(&r->heap, TPL_FAILED, "slice step cannot be zero");
	for (int i = 0; i < 2; i++) {
		int64_t at;

		if (given[i].kind == TPL_NONE) {
			*bounds[i] = (i == 0) == (step > 0) ? low : high;
			continue;
		}
		at = tpl_as_int(r, &given[i], "slice");
		at += at < 0 ? count : 0;
		*bounds[i] = at < low ? low : at > high ? high : at;
	}
	return step;
}

/* One character after the other: [count] their first bytes. */
static uint32_t *char_offsets(struct tpl_run *r, const struct tpl_value *s)
{
	uint32_t *offsets = tpl_alloc(&r->heap, ((size_t)s->bytes + 1) * sizeof(*offsets)), n = 0;

	tpl_step(r, s->bytes * (uint64_t)8);
	for (uint32_t i = 0; i < s->bytes; i++)
		if (((unsigned char)s->text[i] & 0xc0) != 0x80)
			offsets[n++] = i;
	return offsets;
}

static struct tpl_value slice_text(struct tpl_run *r, const struct tpl_value *s,
				   const struct tpl_value given[3])
{
	int64_t start, stop, step = slice_bounds(r, given, tpl_length(r, s), &start, &stop);
	struct tpl_buffer buffer, *outer;
	struct tpl_value part;
	uint32_t *offsets;
	size_t from, used;

	tpl_step(r, s->bytes);
	if (step == 1) {
		from = tpl_offset(s->text, s->bytes, start);
		used = stop <= start ? 0 : tpl_offset(s->text + from, s->bytes - from, stop - start);
		part = tpl_text(s->text + from, used);
		part.flags = s->flags;
		return part;
	}
	offsets = char_offsets(r, s);
	outer = tpl_capture(r, &buffer);
	for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
		tpl_decode(s->text + offsets[i], s->bytes - offsets[i], &used);
		tpl_put(r, s->text + offsets[i], used);
		if (__builtin_add_overflow(i, step, &i))
			break;
	}
	part = tpl_capture_end(r, outer);
	part.flags = s->flags;
	return part;
}

static struct tpl_value slice_list(struct tpl_run *r, const struct tpl_value *v,
				   const struct tpl_value given[3])
{
	int64_t start, stop, step = slice_bounds(r, given, v->list->count, &start, &stop);
	struct tpl_value part = tpl_list_new(r, v->kind, 0);

	for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
		tpl_list_add(r, part.list, v->list->items[i]);
		if (__builtin_add_overflow(i, step, &i))
			break;
	}
	return part;
}

struct tpl_value tpl_slice(struct tpl_run *r, const struct tpl_value *v,
			   const struct tpl_value bound[3])
{
	struct tpl_value list;

	tpl_step(r, 0);
	if (v->kind == TPL_STRING)
		return slice_text(r, v, bound);
	if (v->kind == TPL_LIST || v->kind == TPL_TUPLE)
		return slice_list(r, v, bound);
	if (v->kind == TPL_RANGE) {
		list = tpl_to_list(r, v, TPL_LIST);
		return slice_list(r, &list, bound);
	}
	tpl_need_defined(r, v);
	tpl_throw(&r->heap, TPL_FAILED, "'%s' object is not subscriptable by a slice",
		  tpl_type_name(v));
}

/* ---- paths of filters --------------------------------------------------------------------- */

static bool all_digits(const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (text[i] < '0' || text[i] > '9')
			return false;
	return bytes && bytes < 18;
}

static struct tpl_value path_key(const char *text, size_t bytes)
{
	int64_t number = 0;

	if (!all_digits(text, bytes))
		return tpl_text(text, bytes);
	for (size_t i = 0; i < bytes; i++)
		number = number * 10 + (text[i] - '0');
	return tpl_int(number);
}

struct tpl_value tpl_get_path(struct tpl_run *r, const struct tpl_value *v,
			      const struct tpl_value *path, const struct tpl_value *otherwise)
{
	struct tpl_value at = *v, key;
	const char *from, *end, *dot;

	if (!path || path->kind == TPL_MISSING || path->kind == TPL_NONE)
		return at;
	from = path->kind == TPL_STRING ? path->text : NULL;
	end = from ? from + path->bytes : NULL;
	do {
		dot = from ? memchr(from, '.', (size_t)(end - from)) : NULL;
		key = from ? path_key(from, (size_t)((dot ? dot : end) - from)) : *path;
		at = tpl_get_item(r, &at, &key);
		if (at.kind == TPL_UNDEFINED && otherwise && otherwise->kind != TPL_MISSING &&
		    otherwise->kind != TPL_NONE)
			at = *otherwise;
		from = dot ? dot + 1 : NULL;
	} while (from);
	return at;
}
