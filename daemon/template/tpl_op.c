/* SPDX-License-Identifier: MIT */
/* tpl_op.c: arithmetic, comparison and membership, as Python's operators. */
#include <math.h>

#include "tpl_priv.h"

static void wrong(struct tpl_run *r, const char *op, const struct tpl_value *a,
		  const struct tpl_value *b)
{
	tpl_need_defined(r, a);
	tpl_need_defined(r, b);
	tpl_throw(&r->heap, TPL_FAILED, "unsupported operand type(s) for %s: '%s' and '%s'", op,
		  tpl_type_name(a), tpl_type_name(b));
}

static int64_t whole(const struct tpl_value *v)
{
	return v->kind == TPL_BOOL ? v->truth : v->integer;
}

static struct tpl_value in_range(struct tpl_run *r, bool overflow, int64_t result)
{
	if (overflow)
		tpl_throw(&r->heap, TPL_UNSUPPORTED, "an integer outside of 64 bits");
	return tpl_int(result);
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b && (a < 0) != (b < 0));
}

static struct tpl_value int_pow(struct tpl_run *r, int64_t a, int64_t b)
{
	int64_t result = 1;
	bool overflow = false;

	if (b < 0 && !a)
		tpl_throw(&r->heap, TPL_FAILED, "0.0 cannot be raised to a negative power");
	if (b < 0)
		return tpl_float(pow((double)a, (double)b));
	if (a == 0 || a == 1 || a == -1)
		return tpl_int(!b ? 1 : a == -1 && b % 2 == 0 ? 1 : a);
	for (; b && !overflow; b--)	/* 63 rounds at most: |a| is 2 or more */
		overflow = __builtin_mul_overflow(result, a, &result);
	return in_range(r, overflow, result);
}

static struct tpl_value on_ints(struct tpl_run *r, enum tpl_op op, int64_t a, int64_t b)
{
	int64_t result = 0;
	bool overflow = false;

	if (!b && (op == OP_DIV || op == OP_FLOOR || op == OP_MOD))
		tpl_throw(&r->heap, TPL_FAILED, "division by zero");
	if (op == OP_DIV)
		return tpl_float((double)((long double)a / (long double)b));
	if (op == OP_POW)
		return int_pow(r, a, b);
	if (op == OP_ADD)
		overflow = __builtin_add_overflow(a, b, &result);
	else if (op == OP_SUB)
		overflow = __builtin_sub_overflow(a, b, &result);
	else if (op == OP_MUL)
		overflow = __builtin_mul_overflow(a, b, &result);
	else if (b == -1)
		overflow = op == OP_FLOOR && __builtin_sub_overflow((int64_t)0, a, &result);
	else
		result = op == OP_FLOOR ? floor_div(a, b) : a - floor_div(a, b) * b;
	return in_range(r, overflow, result);
}

static double float_mod(double a, double b)
{
	double m = fmod(a, b);

	return m != 0 && (m < 0) != (b < 0) ? m + b : m == 0 ? copysign(0.0, b) : m;
}

static double float_floor(double a, double b)
{
	double m = fmod(a, b), div = (a - m) / b, down;

	if (m != 0 && (m < 0) != (b < 0))
		div -= 1.0;
	if (div == 0)
		return copysign(0.0, a / b);
	down = floor(div);
	return div - down > 0.5 ? down + 1.0 : down;
}

static struct tpl_value on_floats(struct tpl_run *r, enum tpl_op op, double a, double b)
{
	if (b == 0 && (op == OP_DIV || op == OP_FLOOR || op == OP_MOD))
		tpl_throw(&r->heap, TPL_FAILED, "float division by zero");
	switch (op) {
	case OP_ADD:
		return tpl_float(a + b);
	case OP_SUB:
		return tpl_float(a - b);
	case OP_MUL:
		return tpl_float(a * b);
	case OP_DIV:
		return tpl_float(a / b);
	case OP_FLOOR:
		return tpl_float(float_floor(a, b));
	case OP_MOD:
		return tpl_float(float_mod(a, b));
	default:
		if ((a < 0 && b != floor(b)) || (a == 0 && b < 0) || isinf(pow(a, b)))
			tpl_throw(&r->heap, TPL_FAILED, "** has no such result");
		return tpl_float(pow(a, b));
	}
}

static struct tpl_value add_texts(struct tpl_run *r, const struct tpl_value *a,
				  const struct tpl_value *b)
{
	struct tpl_value x = *a, y = *b, joined;

	if ((a->flags | b->flags) & TPL_MARKUP) {
		x = tpl_escape(r, x);
		y = tpl_escape(r, y);
	}
	joined = tpl_join(r, &x, &y);
	joined.flags = (a->flags | b->flags) & TPL_MARKUP;
	return joined;
}

static struct tpl_value add_lists(struct tpl_run *r, const struct tpl_value *a,
				  const struct tpl_value *b)
{
	uint64_t count = (uint64_t)a->list->count + b->list->count;
	struct tpl_value sum;

	tpl_step(r, count * sizeof(sum));
	sum = tpl_list_new(r, a->kind, (uint32_t)count);
	if (a->list->count)
		memcpy(sum.list->items, a->list->items, a->list->count * sizeof(sum));
	if (b->list->count)
		memcpy(sum.list->items + a->list->count, b->list->items, b->list->count * sizeof(sum));
	sum.list->count = (uint32_t)count;
	return sum;
}

static struct tpl_value repeat(struct tpl_run *r, const struct tpl_value *v, int64_t times)
{
	struct tpl_buffer buffer, *outer;
	struct tpl_value result;

	if (v->kind != TPL_STRING) {
		result = tpl_list_new(r, v->kind, 0);
		for (; times > 0 && v->list->count; times--)
			for (uint32_t i = 0; i < v->list->count; i++)
				tpl_list_add(r, result.list, v->list->items[i]);
		return result;
	}
	outer = tpl_capture(r, &buffer);
	for (; times > 0 && v->bytes; times--) {
		tpl_step(r, v->bytes);
		tpl_put(r, v->text, v->bytes);
	}
	result = tpl_capture_end(r, outer);
	result.flags = v->flags;
	return result;
}

static bool is_sequence(const struct tpl_value *v)
{
	return v->kind == TPL_STRING || v->kind == TPL_LIST || v->kind == TPL_TUPLE;
}

static bool is_int(const struct tpl_value *v)
{
	return v->kind == TPL_INT || v->kind == TPL_BOOL;
}

struct tpl_value tpl_binary(struct tpl_run *r, enum tpl_op op, const struct tpl_value *a,
			    const struct tpl_value *b)
{
	static const char *const names[] = { "+", "-", "*", "/", "//", "%", "**" };

	if (is_int(a) && is_int(b))
		return on_ints(r, op, whole(a), whole(b));
	if (tpl_is_number(a) && tpl_is_number(b))
		return on_floats(r, op, tpl_real(a), tpl_real(b));
	if (op == OP_ADD && a->kind == TPL_STRING && b->kind == TPL_STRING)
		return add_texts(r, a, b);
	if (op == OP_ADD && a->kind == b->kind && is_sequence(a))
		return add_lists(r, a, b);
	if (op == OP_MUL && is_sequence(a) && is_int(b))
		return repeat(r, a, whole(b));
	if (op == OP_MUL && is_int(a) && is_sequence(b))
		return repeat(r, b, whole(a));
	if (op == OP_MOD && a->kind == TPL_STRING)
		return tpl_percent(r, *a, b);
	wrong(r, names[op], a, b);
	return *a;
}

struct tpl_value tpl_negate(struct tpl_run *r, const struct tpl_value *v, bool minus)
{
	int64_t result = 0;
	bool overflow;

	if (v->kind == TPL_FLOAT)
		return tpl_float(minus ? -v->real : v->real);
	if (!is_int(v)) {
		tpl_need_defined(r, v);
		tpl_throw(&r->heap, TPL_FAILED, "bad operand type for unary %c: '%s'", minus ? '-' : '+',
			  tpl_type_name(v));
	}
	if (!minus)
		return tpl_int(whole(v));
	overflow = __builtin_sub_overflow((int64_t)0, whole(v), &result);
	return in_range(r, overflow, result);
}

/* ---- membership and comparison ------------------------------------------------------------ */

static bool range_contains(const struct tpl_range *range, const struct tpl_value *what)
{
	double at, real = tpl_is_number(what) ? tpl_real(what) : NAN;

	at = (real - (double)range->start) / (double)range->step;
	return at >= 0 && at < (double)range->count && at == floor(at);
}

bool tpl_contains(struct tpl_run *r, const struct tpl_value *where, const struct tpl_value *what)
{
	struct tpl_cursor cursor;
	struct tpl_value item;

	if (where->kind == TPL_STRING) {
		if (what->kind != TPL_STRING) {
			tpl_need_defined(r, what);
			tpl_throw(&r->heap, TPL_FAILED, "'in <string>' requires string as left operand, "
				  "not %s", tpl_type_name(what));
		}
		tpl_step(r, where->bytes);
		return tpl_find(where->text, where->bytes, what->text, what->bytes);
	}
	if (where->kind == TPL_DICT)
		return tpl_dict_get(r, where->dict, what);
	if (where->kind == TPL_RANGE)
		return range_contains(where->range, what);
	if (!tpl_iterable(where)) {
		tpl_need_defined(r, where);
		tpl_throw(&r->heap, TPL_FAILED, "argument of type '%s' is not iterable",
			  tpl_type_name(where));
	}
	tpl_cursor_init(r, &cursor, where);
	while (tpl_cursor_next(r, &cursor, &item))
		if (tpl_equal(r, &item, what))
			return true;
	return false;
}

bool tpl_compare(struct tpl_run *r, enum tpl_op op, const struct tpl_value *a,
		 const struct tpl_value *b)
{
	int order;

	switch (op) {
	case OP_EQ:
		return tpl_equal(r, a, b);
	case OP_NE:
		return !tpl_equal(r, a, b);
	case OP_IN:
		return tpl_contains(r, b, a);
	case OP_NOT_IN:
		return !tpl_contains(r, b, a);
	case OP_LT:
		return tpl_order(r, a, b, "<") == -1;
	case OP_GT:
		return tpl_order(r, a, b, ">") == 1;
	case OP_LE:
		order = tpl_order(r, a, b, "<=");
		return order == -1 || order == 0;
	default:
		order = tpl_order(r, a, b, ">=");
		return order == 1 || order == 0;
	}
}
