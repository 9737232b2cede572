/* SPDX-License-Identifier: MIT */
/* tpl_operand.c: operands, and what follows them: attributes, items, calls, filters, tests. */
#include "tpl_parse_priv.h"

static struct tpl_node *parse_args(struct tpl_parser *p);

static struct tpl_node *constant(struct tpl_parser *p, struct tpl_value value)
{
	struct tpl_node *node = tpl_node_new(p, N_CONST);

	node->value = value;
	return node;
}

struct tpl_node *tpl_parse_name(struct tpl_parser *p, bool members)
{
	struct tpl_node *node;

	for (int i = 0; i < 2; i++)
		if (tpl_name_skip(p, i ? "True" : "true"))
			return constant(p, tpl_bool(true));
		else if (tpl_name_skip(p, i ? "False" : "false"))
			return constant(p, tpl_bool(false));
		else if (tpl_name_skip(p, i ? "None" : "none"))
			return constant(p, tpl_none());
	node = tpl_node_new(p, N_NAME);
	if (p->macro) {
		p->macro->uses_varargs |= tpl_name_is(p, "varargs");
		p->macro->uses_kwargs |= tpl_name_is(p, "kwargs");
		p->macro->uses_caller |= tpl_name_is(p, "caller");
	}
	node->name = tpl_name_expect(p);
	if (!members || !tpl_op_skip(p, "."))
		return node;
	node = tpl_node_pair(p, N_MEMBER, node, NULL);
	node->name = tpl_name_expect(p);
	return node;
}

/* Items up to @close; a dictionary's are keys and values in turn. */
static struct tpl_node *parse_items(struct tpl_parser *p, enum tpl_node_type type, const char *close)
{
	struct tpl_node *node = tpl_node_new(p, type), **end = &node->a;

	while (!tpl_op_is(p, close)) {
		if (node->a) {
			tpl_op_expect(p, ",");
			if (tpl_op_is(p, close))
				break;
		}
		*end = tpl_parse_expression(p);
		end = &(*end)->next;
		if (type != N_DICT)
			continue;
		tpl_op_expect(p, ":");
		*end = tpl_parse_expression(p);
		end = &(*end)->next;
	}
	tpl_op_expect(p, close);
	return node;
}

static struct tpl_node *parse_parentheses(struct tpl_parser *p)
{
	struct tpl_node *node;

	if (tpl_op_skip(p, ")"))
		return tpl_node_new(p, N_TUPLE);
	node = tpl_parse_tuple(p, true);
	tpl_op_expect(p, ")");
	return node;
}

static struct tpl_node *parse_primary(struct tpl_parser *p, bool members)
{
	if (p->at->type == T_NAME)
		return tpl_parse_name(p, members);
	if (p->at->type == T_STRING)
		return constant(p, tpl_parse_string(p));
	if (p->at->type == T_NUMBER)
		return constant(p, (p->at++)->value);
	if (tpl_op_skip(p, "("))
		return parse_parentheses(p);
	if (tpl_op_skip(p, "["))
		return parse_items(p, N_LIST, "]");
	if (tpl_op_skip(p, "{"))
		return parse_items(p, N_DICT, "}");
	tpl_unexpected(p, "an expression");
}

/* ---- what follows an operand -------------------------------------------------------------- */

static struct tpl_node *slice_part(struct tpl_parser *p)
{
	if (tpl_op_is(p, ":") || tpl_op_is(p, "]") || tpl_op_is(p, ","))
		return NULL;
	return tpl_parse_expression(p);
}

/* N_SLICE: a, b, c are start, stop and step, each or NULL. */
static struct tpl_node *parse_index(struct tpl_parser *p)
{
	struct tpl_node *first = tpl_op_is(p, ":") ? NULL : tpl_parse_expression(p), *node;

	if (!tpl_op_skip(p, ":"))
		return first;
	node = tpl_node_pair(p, N_SLICE, first, slice_part(p));
	if (tpl_op_skip(p, ":"))
		node->c = slice_part(p);
	return node;
}

/* N_ITEM: b of a. */
static struct tpl_node *parse_subscript(struct tpl_parser *p, struct tpl_node *of)
{
	struct tpl_node *node = tpl_node_pair(p, N_ITEM, of, NULL), *items;

	node->b = parse_index(p);
	if (tpl_op_is(p, ",")) {
		items = tpl_node_pair(p, N_TUPLE, node->b, NULL);
		for (struct tpl_node *last = node->b; tpl_op_skip(p, ","); last = last->next)
			last->next = parse_index(p);
		node->b = items;
	}
	tpl_op_expect(p, "]");
	return node;
}

/* N_ATTR: the value is the name, as text. */
static struct tpl_node *parse_attr(struct tpl_parser *p, struct tpl_node *of)
{
	struct tpl_node *node;

	if (p->at->type == T_NUMBER && p->at->value.kind == TPL_INT)
		return tpl_node_pair(p, N_ITEM, of, constant(p, (p->at++)->value));
	node = tpl_node_pair(p, N_ATTR, of, NULL);
	if (p->at->type != T_NAME)
		tpl_unexpected(p, "a name");
	node->value = tpl_text(p->at->text, p->at->bytes);
	p->at++;
	return node;
}

static struct tpl_node *parse_postfix(struct tpl_parser *p, struct tpl_node *node)
{
	for (;;) {
		if (tpl_op_skip(p, "."))
			node = parse_attr(p, node);
		else if (tpl_op_skip(p, "["))
			node = parse_subscript(p, node);
		else if (tpl_op_is(p, "("))
			node = tpl_node_pair(p, N_CALL, node, parse_args(p));
		else
			return node;
	}
}

/* An argument: N_KEYWORD with name as text, N_STAR, N_STAR_STAR, each with a, or an expression. */
static struct tpl_node *parse_arg(struct tpl_parser *p)
{
	struct tpl_node *node;

	if (tpl_op_skip(p, "*")) {
		node = tpl_node_new(p, N_STAR);
	} else if (tpl_op_skip(p, "**")) {
		node = tpl_node_new(p, N_STAR_STAR);
	} else if (p->at->type == T_NAME && p->at[1].type == T_OP && !strcmp(p->at[1].op, "=")) {
		node = tpl_node_new(p, N_KEYWORD);
		node->value = tpl_text(p->at->text, p->at->bytes);
		p->at += 2;
	} else {
		return tpl_parse_expression(p);
	}
	node->a = tpl_parse_expression(p);
	return node;
}

static struct tpl_node *parse_args(struct tpl_parser *p)
{
	struct tpl_node *list = NULL, **end = &list;

	tpl_op_expect(p, "(");
	while (!tpl_op_is(p, ")")) {
		if (list) {
			tpl_op_expect(p, ",");
			if (tpl_op_is(p, ")"))
				break;
		}
		*end = parse_arg(p);
		end = &(*end)->next;
	}
	tpl_op_expect(p, ")");
	return list;
}

/* "a.b" as filters and tests may be called. */
static struct tpl_value dotted_name(struct tpl_parser *p)
{
	const struct tpl_token *first = p->at;

	tpl_name_expect(p);
	while (tpl_op_skip(p, "."))
		tpl_name_expect(p);
	return tpl_text(first->text, (size_t)(p->at[-1].text + p->at[-1].bytes - first->text));
}

static char *keep_name(struct tpl_parser *p, struct tpl_value name, const char *what)
{
	size_t bytes = strlen(what) + name.bytes + 2;
	char *text = tpl_alloc(p->heap, bytes);

	memcpy(text, what, strlen(what));
	memcpy(text + strlen(what), name.text, name.bytes);
	text[bytes - 2] = 0;
	if (*what && !p->tpl->unsupported)
		p->tpl->unsupported = text;
	return text;
}

/* N_FILTER: on a (NULL: on the text of a block), with the arguments b. */
struct tpl_node *tpl_parse_filters(struct tpl_parser *p, struct tpl_node *node, bool named)
{
	while (named || tpl_op_skip(p, "|")) {
		struct tpl_filter *filter = tpl_zalloc(p->heap, sizeof(*filter));
		struct tpl_value name;

		node = tpl_node_pair(p, N_FILTER, node, NULL);
		name = dotted_name(p);
		filter->name = keep_name(p, name, "");
		filter->row = tpl_filter_find(name.text, name.bytes);
		if (!filter->row)
			keep_name(p, name, "the filter ");
		node->filter = filter;
		if (tpl_op_is(p, "("))
			node->b = parse_args(p);
		named = false;
	}
	return node;
}

/* An argument without parentheses follows: "is divisibleby 3". */
static bool bare_arg(const struct tpl_parser *p)
{
	if (p->at->type == T_NAME)
		return !tpl_name_is(p, "else") && !tpl_name_is(p, "or") && !tpl_name_is(p, "and");
	return p->at->type == T_STRING || p->at->type == T_NUMBER || tpl_op_is(p, "[") ||
	       tpl_op_is(p, "{");
}

/* N_TEST: of a, with the arguments b. */
static struct tpl_node *parse_test(struct tpl_parser *p, struct tpl_node *of)
{
	bool negated = tpl_name_skip(p, "not");
	struct tpl_node *node = tpl_node_pair(p, N_TEST, of, NULL);
	struct tpl_test *test = tpl_zalloc(p->heap, sizeof(*test));
	struct tpl_value name = dotted_name(p);

	if (!tpl_test_find(name.text, name.bytes, test))
		keep_name(p, name, "the test ");
	test->name = keep_name(p, name, "");
	node->test = test;
	if (tpl_op_is(p, "(")) {
		node->b = parse_args(p);
	} else if (bare_arg(p)) {
		if (tpl_name_is(p, "is"))
			tpl_unexpected(p, "one test");
		node->b = parse_postfix(p, parse_primary(p, false));
	}
	return negated ? tpl_node_pair(p, N_NOT, node, NULL) : node;
}

static struct tpl_node *parse_suffixes(struct tpl_parser *p, struct tpl_node *node)
{
	for (;;) {
		if (tpl_op_is(p, "|"))
			node = tpl_parse_filters(p, node, false);
		else if (tpl_name_skip(p, "is"))
			node = parse_test(p, node);
		else if (tpl_op_is(p, "("))
			node = tpl_node_pair(p, N_CALL, node, parse_args(p));
		else
			return node;
	}
}

struct tpl_node *tpl_parse_unary(struct tpl_parser *p, bool filters)
{
	struct tpl_node *node;

	tpl_enter(p->heap);
	if (tpl_op_skip(p, "-"))
		node = tpl_node_pair(p, N_NEG, tpl_parse_unary(p, false), NULL);
	else if (tpl_op_skip(p, "+"))
		node = tpl_node_pair(p, N_POS, tpl_parse_unary(p, false), NULL);
	else
		node = parse_primary(p, false);
	node = parse_postfix(p, node);
	if (filters)
		node = parse_suffixes(p, node);
	tpl_leave(p->heap);
	return node;
}
