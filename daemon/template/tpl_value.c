/* SPDX-License-Identifier: MIT */
/* tpl_value.c: values, their truth, equality and order, as Python has them. */
#include <math.h>

#include "tpl_priv.h"

void tpl_step(struct tpl_run *r, uint64_t bytes)
{
	uint64_t cost = 1 + bytes / 32;

	if (r->steps_left < cost)
		tpl_throw(&r->heap, TPL_LIMIT, "the template takes more steps than its limit; shorten the request");
	r->steps_left -= cost;
}

const char *tpl_type_name(const struct tpl_value *v)
{
	static const char *const names[] = {
		[TPL_MISSING] = "missing", [TPL_UNDEFINED] = "Undefined", [TPL_NONE] = "NoneType",
		[TPL_BOOL] = "bool", [TPL_INT] = "int", [TPL_FLOAT] = "float", [TPL_STRING] = "str",
		[TPL_LIST] = "list", [TPL_TUPLE] = "tuple", [TPL_DICT] = "dict",
		[TPL_VIEW] = "dict view", [TPL_RANGE] = "range", [TPL_ITER] = "generator",
		[TPL_NAMESPACE] = "Namespace", [TPL_MACRO] = "Macro", [TPL_METHOD] = "function",
		[TPL_LOOP] = "LoopContext", [TPL_CYCLER] = "Cycler", [TPL_JOINER] = "Joiner",
	};

	return names[v->kind];
}

struct tpl_value tpl_bool(bool truth)
{
	return (struct tpl_value){ .kind = TPL_BOOL, .truth = truth };
}

struct tpl_value tpl_int(int64_t integer)
{
	return (struct tpl_value){ .kind = TPL_INT, .integer = integer };
}

struct tpl_value tpl_float(double real)
{
	return (struct tpl_value){ .kind = TPL_FLOAT, .real = real };
}

struct tpl_value tpl_none(void)
{
	return (struct tpl_value){ .kind = TPL_NONE };
}

struct tpl_value tpl_text(const char *text, size_t bytes)
{
	return (struct tpl_value){ .kind = TPL_STRING, .text = text, .bytes = (uint32_t)bytes };
}

struct tpl_value tpl_cstr(const char *text)
{
	return tpl_text(text, strlen(text));
}

struct tpl_value tpl_undefined(struct tpl_run *r, const char *owner, struct tpl_value name)
{
	struct tpl_hint *hint = tpl_alloc(&r->heap, sizeof(*hint));

	*hint = (struct tpl_hint){ .owner = owner, .name = name };
	return (struct tpl_value){ .kind = TPL_UNDEFINED, .hint = hint };
}

bool tpl_is(const struct tpl_value *v, const char *text)
{
	return v->kind == TPL_STRING && v->bytes == strlen(text) && !memcmp(v->text, text, v->bytes);
}

bool tpl_is_number(const struct tpl_value *v)
{
	return v->kind == TPL_BOOL || v->kind == TPL_INT || v->kind == TPL_FLOAT;
}

static int64_t whole(const struct tpl_value *v)
{
	return v->kind == TPL_BOOL ? v->truth : v->integer;
}

double tpl_real(const struct tpl_value *v)
{
	return v->kind == TPL_FLOAT ? v->real : (double)whole(v);
}

void tpl_fail_undefined(struct tpl_run *r, const struct tpl_value *v)
{
	const struct tpl_hint *hint = v->hint;
	struct tpl_value name = hint ? hint->name : tpl_cstr("value");
	int bytes = name.kind != TPL_STRING ? 0 : name.bytes < 80 ? (int)name.bytes : 80;

	if (v->flags & TPL_UNSAFE)
		tpl_throw(&r->heap, TPL_FAILED, "access to attribute '%.*s' of '%s' object is unsafe",
			  bytes, name.text, hint->owner);
	if (hint && hint->owner && name.kind == TPL_STRING)
		tpl_throw(&r->heap, TPL_FAILED, "'%s object' has no attribute '%.*s'", hint->owner,
			  bytes, name.text);
	if (hint && hint->owner && name.kind == TPL_INT)
		tpl_throw(&r->heap, TPL_FAILED, "%s object has no element %lld", hint->owner,
			  (long long)name.integer);
	if (hint && hint->owner)
		tpl_throw(&r->heap, TPL_FAILED, "%s object has no such element", hint->owner);
	tpl_throw(&r->heap, TPL_FAILED, "'%.*s' is undefined", bytes, name.text);
}

void tpl_need_defined(struct tpl_run *r, const struct tpl_value *v)
{
	if (v->kind == TPL_UNDEFINED)
		tpl_fail_undefined(r, v);
}

int64_t tpl_as_int(struct tpl_run *r, const struct tpl_value *v, const char *what)
{
	if (v->kind == TPL_INT || v->kind == TPL_BOOL)
		return whole(v);
	tpl_need_defined(r, v);
	tpl_throw(&r->heap, TPL_FAILED, "%s: '%s' object cannot be interpreted as an integer", what,
		  tpl_type_name(v));
}

struct tpl_value tpl_as_string(struct tpl_run *r, const struct tpl_value *v, const char *what)
{
	if (v->kind == TPL_STRING)
		return *v;
	tpl_need_defined(r, v);
	tpl_throw(&r->heap, TPL_FAILED, "%s: must be str, not %s", what, tpl_type_name(v));
}

int64_t tpl_length(struct tpl_run *r, const struct tpl_value *v)
{
	switch (v->kind) {
	case TPL_UNDEFINED:
		return v->flags & TPL_UNSAFE ? -1 : 0;
	case TPL_STRING:
		tpl_step(r, v->bytes);
		return tpl_chars(v->text, v->bytes);
	case TPL_LIST:
	case TPL_TUPLE:
	case TPL_VIEW:
		return v->list->count;
	case TPL_DICT:
		return v->dict->count;
	case TPL_RANGE:
		return v->range->count;
	default:
		return -1;
	}
}

bool tpl_truth(struct tpl_run *r, const struct tpl_value *v)
{
	switch (v->kind) {
	case TPL_UNDEFINED:
	case TPL_NONE:
		return false;
	case TPL_BOOL:
	case TPL_INT:
		return whole(v) != 0;
	case TPL_FLOAT:
		return v->real != 0;
	case TPL_STRING:
		return v->bytes != 0;
	default:
		return tpl_length(r, v) != 0;
	}
}

static bool lists_equal(struct tpl_run *r, const struct tpl_list *a, const struct tpl_list *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++)
		if (!tpl_equal(r, &a->items[i], &b->items[i]))
			return false;
	return true;
}

static bool dicts_equal(struct tpl_run *r, const struct tpl_dict *a, const struct tpl_dict *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++) {
		const struct tpl_value *other = tpl_dict_get(r, b, &a->entries[i].key);

		if (!other || !tpl_equal(r, &a->entries[i].value, other))
			return false;
	}
	return true;
}

static int numbers_order(const struct tpl_value *a, const struct tpl_value *b)
{
	/* 64 bits of mantissa: exact for both kinds. */
	long double x = a->kind == TPL_FLOAT ? (long double)a->real : (long double)whole(a);
	long double y = b->kind == TPL_FLOAT ? (long double)b->real : (long double)whole(b);

	return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
}

bool tpl_same(const struct tpl_value *a, const struct tpl_value *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == TPL_UNDEFINED || a->kind == TPL_NONE)
		return true;
	if (tpl_is_number(a))
		return !numbers_order(a, b);
	if (a->kind == TPL_STRING)
		return a->bytes == b->bytes && !memcmp(a->text, b->text, a->bytes);
	return a->list == b->list;
}

bool tpl_equal(struct tpl_run *r, const struct tpl_value *a, const struct tpl_value *b)
{
	bool equal;

	tpl_step(r, a->kind == TPL_STRING ? a->bytes : 0);
	if (tpl_is_number(a) && tpl_is_number(b))
		return !numbers_order(a, b);
	if (a->kind != b->kind)
		return false;
	tpl_enter(&r->heap);
	if (a->kind == TPL_LIST || a->kind == TPL_TUPLE || a->kind == TPL_VIEW)
		equal = lists_equal(r, a->list, b->list);
	else if (a->kind == TPL_DICT)
		equal = dicts_equal(r, a->dict, b->dict);
	else
		equal = tpl_same(a, b);
	tpl_leave(&r->heap);
	return equal;
}

static int lists_order(struct tpl_run *r, const struct tpl_list *a, const struct tpl_list *b,
		       const char *op)
{
	for (uint32_t i = 0; i < a->count && i < b->count; i++)
		if (!tpl_equal(r, &a->items[i], &b->items[i]))
			return tpl_order(r, &a->items[i], &b->items[i], op);
	return a->count < b->count ? -1 : a->count > b->count;
}

static int texts_order(const struct tpl_value *a, const struct tpl_value *b)
{
	uint32_t bytes = a->bytes < b->bytes ? a->bytes : b->bytes;
	int order = memcmp(a->text, b->text, bytes);	/* UTF-8: as by characters */

	if (order)
		return order < 0 ? -1 : 1;
	return a->bytes < b->bytes ? -1 : a->bytes > b->bytes;
}

int tpl_order(struct tpl_run *r, const struct tpl_value *a, const struct tpl_value *b,
	      const char *op)
{
	int order;

	tpl_step(r, a->kind == TPL_STRING ? a->bytes : 0);
	if (tpl_is_number(a) && tpl_is_number(b))
		return numbers_order(a, b);
	if (a->kind == TPL_STRING && b->kind == TPL_STRING)
		return texts_order(a, b);
	tpl_need_defined(r, a);
	tpl_need_defined(r, b);
	if (a->kind != b->kind || (a->kind != TPL_LIST && a->kind != TPL_TUPLE))
		tpl_throw(&r->heap, TPL_FAILED, "'%s' not supported between instances of '%s' and '%s'",
			  op, tpl_type_name(a), tpl_type_name(b));
	tpl_enter(&r->heap);
	order = lists_order(r, a->list, b->list, op);
	tpl_leave(&r->heap);
	return order;
}
