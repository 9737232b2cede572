/* SPDX-License-Identifier: MIT */
/* tpl_test.c: what may follow "is". */
#include "tpl_priv.h"

#define TEST(name) static bool test_##name(struct tpl_run *r, const struct tpl_value *v, \
					   const struct tpl_value *arg)

TEST(defined)
{
	return v->kind != TPL_UNDEFINED;
}

TEST(undefined)
{
	return v->kind == TPL_UNDEFINED;
}

TEST(none)
{
	return v->kind == TPL_NONE;
}

TEST(string)
{
	return v->kind == TPL_STRING;
}

TEST(number)
{
	return tpl_is_number(v);
}

TEST(integer)
{
	return v->kind == TPL_INT;
}

TEST(float)
{
	return v->kind == TPL_FLOAT;
}

TEST(boolean)
{
	return v->kind == TPL_BOOL;
}

TEST(true)
{
	return v->kind == TPL_BOOL && v->truth;
}

TEST(false)
{
	return v->kind == TPL_BOOL && !v->truth;
}

TEST(mapping)
{
	return v->kind == TPL_DICT;
}

TEST(iterable)
{
	return tpl_iterable(v);
}

TEST(sequence)
{
	return v->kind == TPL_STRING || v->kind == TPL_LIST || v->kind == TPL_TUPLE ||
	       v->kind == TPL_DICT || v->kind == TPL_RANGE ||
	       (v->kind == TPL_UNDEFINED && !(v->flags & TPL_UNSAFE));
}

TEST(callable)
{
	return v->kind == TPL_MACRO || v->kind == TPL_METHOD || v->kind == TPL_LOOP ||
	       v->kind == TPL_JOINER || v->kind == TPL_UNDEFINED;
}

TEST(escaped)
{
	return v->kind == TPL_STRING && v->flags & TPL_MARKUP;
}

TEST(sameas)
{
	return tpl_same(v, arg);
}

TEST(in)
{
	return tpl_contains(r, arg, v);
}

TEST(eq)
{
	return tpl_compare(r, OP_EQ, v, arg);
}

TEST(ne)
{
	return tpl_compare(r, OP_NE, v, arg);
}

TEST(lt)
{
	return tpl_compare(r, OP_LT, v, arg);
}

TEST(le)
{
	return tpl_compare(r, OP_LE, v, arg);
}

TEST(gt)
{
	return tpl_compare(r, OP_GT, v, arg);
}

TEST(ge)
{
	return tpl_compare(r, OP_GE, v, arg);
}

static bool remainder_is(struct tpl_run *r, const struct tpl_value *v, const struct tpl_value *by,
			 int64_t wanted)
{
	struct tpl_value rest = tpl_binary(r, OP_MOD, v, by), want = tpl_int(wanted);

	return tpl_equal(r, &rest, &want);
}

TEST(odd)
{
	struct tpl_value two = tpl_int(2);

	return remainder_is(r, v, &two, 1);
}

TEST(even)
{
	struct tpl_value two = tpl_int(2);

	return remainder_is(r, v, &two, 0);
}

TEST(divisibleby)
{
	return remainder_is(r, v, arg, 0);
}

static bool cased(struct tpl_run *r, const struct tpl_value *v, const char *method)
{
	struct tpl_value text = tpl_str(r, v), result;
	struct tpl_args none = { 0 };

	result = tpl_invoke(r, tpl_row_find(tpl_string_methods, method, 7), text, &none);
	return result.truth;
}

TEST(lower)
{
	return cased(r, v, "islower");
}

TEST(upper)
{
	return cased(r, v, "isupper");
}

TEST(filter)
{
	return v->kind == TPL_STRING && tpl_filter_find(v->text, v->bytes);
}

TEST(test)
{
	struct tpl_test found;

	return v->kind == TPL_STRING && tpl_test_find(v->text, v->bytes, &found);
}

static const struct tpl_test tests[] = {
	{ "!=", test_ne, 1 }, { "<", test_lt, 1 }, { "<=", test_le, 1 }, { "==", test_eq, 1 },
	{ ">", test_gt, 1 }, { ">=", test_ge, 1 }, { "boolean", test_boolean, 0 },
	{ "callable", test_callable, 0 }, { "defined", test_defined, 0 },
	{ "divisibleby", test_divisibleby, 1 }, { "eq", test_eq, 1 }, { "equalto", test_eq, 1 },
	{ "escaped", test_escaped, 0 }, { "even", test_even, 0 }, { "false", test_false, 0 },
	{ "filter", test_filter, 0 }, { "float", test_float, 0 }, { "ge", test_ge, 1 },
	{ "greaterthan", test_gt, 1 }, { "gt", test_gt, 1 }, { "in", test_in, 1 },
	{ "integer", test_integer, 0 }, { "iterable", test_iterable, 0 }, { "le", test_le, 1 },
	{ "lessthan", test_lt, 1 }, { "lower", test_lower, 0 }, { "lt", test_lt, 1 },
	{ "mapping", test_mapping, 0 }, { "ne", test_ne, 1 }, { "none", test_none, 0 },
	{ "number", test_number, 0 }, { "odd", test_odd, 0 }, { "sameas", test_sameas, 1 },
	{ "sequence", test_sequence, 0 }, { "string", test_string, 0 }, { "test", test_test, 0 },
	{ "true", test_true, 0 }, { "undefined", test_undefined, 0 }, { "upper", test_upper, 0 },
};

bool tpl_test_find(const char *name, uint32_t bytes, struct tpl_test *found)
{
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		if (strlen(tests[i].name) == bytes && !memcmp(tests[i].name, name, bytes)) {
			*found = tests[i];
			return true;
		}
	return false;
}

bool tpl_test_run(struct tpl_run *r, const struct tpl_test *test, const struct tpl_value *v,
		  const struct tpl_args *args)
{
	if (!test->fn)
		tpl_throw(&r->heap, TPL_UNSUPPORTED, "the test %s is not supported", test->name);
	if (args->count + args->kw_count != test->arg_count)
		tpl_throw(&r->heap, TPL_FAILED, "the test %s takes %u arguments, %u are given", test->name,
			  test->arg_count, args->count + args->kw_count);
	return test->fn(r, v, args->count ? args->v : args->kw_count ? &args->kw[0].value : NULL);
}
