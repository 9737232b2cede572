/* SPDX-License-Identifier: MIT */
/* tpl_eval.c: the value of an expression. */
#include "tpl_priv.h"

static struct tpl_value eval_name(struct tpl_run *r, const struct tpl_node *node)
{
	const struct tpl_value *found = tpl_lookup(r, node->name);
	const struct tpl_name *name = &r->tpl->names[node->name];

	return found ? *found : tpl_undefined(r, NULL, tpl_text(name->text, name->bytes));
}

static struct tpl_value eval_items(struct tpl_run *r, const struct tpl_node *node, enum tpl_kind kind)
{
	struct tpl_value list = tpl_list_new(r, kind, 0);

	for (const struct tpl_node *item = node->a; item; item = item->next)
		tpl_list_add(r, list.list, tpl_eval(r, item));
	return list;
}

static struct tpl_value eval_dict(struct tpl_run *r, const struct tpl_node *node)
{
	struct tpl_value dict = tpl_dict_new(r, 0);

	for (const struct tpl_node *key = node->a; key; key = key->next->next) {
		struct tpl_value k = tpl_eval(r, key);

		tpl_dict_set(r, dict.dict, k, tpl_eval(r, key->next));
	}
	return dict;
}

static struct tpl_value eval_cond(struct tpl_run *r, const struct tpl_node *node)
{
	struct tpl_value test = tpl_eval(r, node->b);

	if (tpl_truth(r, &test))
		return tpl_eval(r, node->a);
	return node->c ? tpl_eval(r, node->c) :
	       tpl_undefined(r, NULL, tpl_cstr("the inline if-expression without else"));
}

/* and, or: the operand that decided. */
static struct tpl_value eval_logic(struct tpl_run *r, const struct tpl_node *node)
{
	struct tpl_value a = tpl_eval(r, node->a);

	return tpl_truth(r, &a) == (node->type == N_OR) ? a : tpl_eval(r, node->b);
}

static struct tpl_value eval_compare(struct tpl_run *r, const struct tpl_node *node)
{
	struct tpl_value a = tpl_eval(r, node->a), b;

	for (const struct tpl_node *next = node->b; next; next = next->next) {
		b = tpl_eval(r, next->a);
		if (!tpl_compare(r, (enum tpl_op)next->op, &a, &b))
			return tpl_bool(false);
		a = b;
	}
	return tpl_bool(true);
}

static struct tpl_value eval_binary(struct tpl_run *r, const struct tpl_node *node)
{
	struct tpl_value a = tpl_eval(r, node->a), b = tpl_eval(r, node->b);

	r->heap.line = node->line;
	return tpl_binary(r, (enum tpl_op)node->op, &a, &b);
}

static struct tpl_value eval_concat(struct tpl_run *r, const struct tpl_node *node)
{
	struct tpl_value sum = tpl_text("", 0), item;

	for (const struct tpl_node *next = node->a; next; next = next->next) {
		item = tpl_eval(r, next);
		item = tpl_str(r, &item);
		sum = next == node->a ? item : tpl_join(r, &sum, &item);
	}
	return sum;
}

static struct tpl_value eval_item(struct tpl_run *r, const struct tpl_node *node)
{
	const struct tpl_node *part[3] = { node->b->a, node->b->b, node->b->c };
	struct tpl_value of = tpl_eval(r, node->a), key[3];

	if (node->b->type != N_SLICE) {
		key[0] = tpl_eval(r, node->b);
		return tpl_get_item(r, &of, &key[0]);
	}
	for (int i = 0; i < 3; i++)
		key[i] = part[i] ? tpl_eval(r, part[i]) : tpl_none();
	return tpl_slice(r, &of, key);
}

static void add_star(struct tpl_run *r, const struct tpl_value *v, struct tpl_args *args)
{
	struct tpl_cursor cursor;
	struct tpl_value item;

	tpl_cursor_init(r, &cursor, v);
	while (tpl_cursor_next(r, &cursor, &item))
		tpl_args_add(r, args, item);
}

static void add_star_star(struct tpl_run *r, const struct tpl_value *v, struct tpl_args *args)
{
	if (v->kind != TPL_DICT)
		tpl_throw(&r->heap, TPL_FAILED, "argument after ** must be a mapping, not %s",
			  tpl_type_name(v));
	for (uint32_t i = 0; i < v->dict->count; i++)
		tpl_args_name(r, args, tpl_as_string(r, &v->dict->entries[i].key, "keywords"),
			      v->dict->entries[i].value);
}

void tpl_eval_args(struct tpl_run *r, const struct tpl_node *list, struct tpl_args *args)
{
	for (; list; list = list->next) {
		bool plain = list->type != N_KEYWORD && list->type != N_STAR &&
			     list->type != N_STAR_STAR;
		struct tpl_value v = tpl_eval(r, plain ? list : list->a);

		if (plain)
			tpl_args_add(r, args, v);
		else if (list->type == N_KEYWORD)
			tpl_args_name(r, args, list->value, v);
		else if (list->type == N_STAR)
			add_star(r, &v, args);
		else
			add_star_star(r, &v, args);
	}
}

static struct tpl_value eval_call(struct tpl_run *r, const struct tpl_node *node)
{
	struct tpl_value callee = tpl_eval(r, node->a);
	struct tpl_args args = { 0 };

	tpl_eval_args(r, node->b, &args);
	r->heap.line = node->line;
	return tpl_call(r, &callee, &args);
}

static struct tpl_value eval_filter(struct tpl_run *r, const struct tpl_node *node)
{
	struct tpl_value in = tpl_eval(r, node->a);
	struct tpl_args args = { 0 };

	tpl_eval_args(r, node->b, &args);
	r->heap.line = node->line;
	if (!node->filter->row)
		tpl_throw(&r->heap, TPL_UNSUPPORTED, "the filter %s is not supported",
			  node->filter->name);
	return tpl_invoke(r, node->filter->row, in, &args);
}

static struct tpl_value eval_test(struct tpl_run *r, const struct tpl_node *node)
{
	struct tpl_value v = tpl_eval(r, node->a);
	struct tpl_args args = { 0 };

	tpl_eval_args(r, node->b, &args);
	r->heap.line = node->line;
	return tpl_bool(tpl_test_run(r, node->test, &v, &args));
}

static struct tpl_value eval_node(struct tpl_run *r, const struct tpl_node *node)
{
	struct tpl_value v;

	switch (node->type) {
	case N_TUPLE:
	case N_LIST:
		return eval_items(r, node, node->type == N_LIST ? TPL_LIST : TPL_TUPLE);
	case N_DICT:
		return eval_dict(r, node);
	case N_COND:
		return eval_cond(r, node);
	case N_OR:
	case N_AND:
		return eval_logic(r, node);
	case N_NOT:
		v = tpl_eval(r, node->a);
		return tpl_bool(!tpl_truth(r, &v));
	case N_COMPARE:
		return eval_compare(r, node);
	case N_BINARY:
		return eval_binary(r, node);
	case N_CONCAT:
		return eval_concat(r, node);
	case N_NEG:
	case N_POS:
		v = tpl_eval(r, node->a);
		return tpl_negate(r, &v, node->type == N_NEG);
	case N_ATTR:
		v = tpl_eval(r, node->a);
		return tpl_get_attr(r, &v, node->value);
	case N_ITEM:
		return eval_item(r, node);
	case N_CALL:
		return eval_call(r, node);
	case N_FILTER:
		return eval_filter(r, node);
	case N_TEST:
		return eval_test(r, node);
	default:
		tpl_throw(&r->heap, TPL_FAILED, "a slice stands where a value is expected");
	}
}

struct tpl_value tpl_eval(struct tpl_run *r, const struct tpl_node *node)
{
	struct tpl_value v;

	if (node->type == N_CONST)
		return node->value;
	tpl_step(r, 0);
	r->heap.line = node->line;
	if (node->type == N_NAME)
		return eval_name(r, node);
	tpl_enter(&r->heap);
	v = eval_node(r, node);
	tpl_leave(&r->heap);
	return v;
}
