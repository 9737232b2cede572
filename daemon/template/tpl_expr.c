/* SPDX-License-Identifier: MIT */
/*
 * tpl_expr.c: expressions, by precedence, lowest first: if-else, or, and, not, comparisons, + and -,
 * ~, * and its like, **, and then the operands of tpl_operand.c with their signs.
 */
#include "tpl_parse_priv.h"

static struct tpl_node *binary(struct tpl_parser *p, enum tpl_op op, struct tpl_node *a,
			       struct tpl_node *b)
{
	struct tpl_node *node = tpl_node_pair(p, N_BINARY, a, b);

	node->op = (uint8_t)op;
	return node;
}

static struct tpl_node *parse_pow(struct tpl_parser *p)
{
	struct tpl_node *node = tpl_parse_unary(p, true);

	while (tpl_op_skip(p, "**"))
		node = binary(p, OP_POW, node, tpl_parse_unary(p, true));
	return node;
}

static struct tpl_node *parse_product(struct tpl_parser *p)
{
	static const struct { const char *text; enum tpl_op op; } ops[] = {
		{ "*", OP_MUL }, { "/", OP_DIV }, { "//", OP_FLOOR }, { "%", OP_MOD },
	};
	struct tpl_node *node = parse_pow(p);

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (tpl_op_skip(p, ops[i].text)) {
			node = binary(p, ops[i].op, node, parse_pow(p));
			i = (size_t)-1;
		}
	return node;
}

static struct tpl_node *parse_concat(struct tpl_parser *p)
{
	struct tpl_node *node = parse_product(p), **end;

	if (!tpl_op_is(p, "~"))
		return node;
	end = &node->next;
	node = tpl_node_pair(p, N_CONCAT, node, NULL);
	while (tpl_op_skip(p, "~")) {
		*end = parse_product(p);
		end = &(*end)->next;
	}
	return node;
}

static struct tpl_node *parse_sum(struct tpl_parser *p)
{
	struct tpl_node *node = parse_concat(p);

	for (;;) {
		if (tpl_op_skip(p, "+"))
			node = binary(p, OP_ADD, node, parse_concat(p));
		else if (tpl_op_skip(p, "-"))
			node = binary(p, OP_SUB, node, parse_concat(p));
		else
			return node;
	}
}

static int compare_op(struct tpl_parser *p)
{
	static const struct { const char *text; enum tpl_op op; } ops[] = {
		{ "==", OP_EQ }, { "!=", OP_NE }, { "<", OP_LT }, { "<=", OP_LE }, { ">", OP_GT },
		{ ">=", OP_GE },
	};

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (tpl_op_skip(p, ops[i].text))
			return ops[i].op;
	if (tpl_name_skip(p, "in"))
		return OP_IN;
	if (!tpl_name_is(p, "not") || !tpl_token_is(p->at + 1, "in"))
		return -1;
	p->at += 2;
	return OP_NOT_IN;
}

/* N_COMPARE: a, then each of the list b by its op, as Python chains them. */
static struct tpl_node *parse_compare(struct tpl_parser *p)
{
	struct tpl_node *node = parse_sum(p), *chain = NULL, **end = NULL;
	int op;

	while ((op = compare_op(p)) >= 0) {
		if (!chain) {
			chain = tpl_node_pair(p, N_COMPARE, node, NULL);
			end = &chain->b;
		}
		*end = binary(p, (enum tpl_op)op, parse_sum(p), NULL);
		end = &(*end)->next;
	}
	return chain ? chain : node;
}

static struct tpl_node *parse_not(struct tpl_parser *p)
{
	struct tpl_node *node;

	if (!tpl_name_skip(p, "not"))
		return parse_compare(p);
	tpl_enter(p->heap);
	node = tpl_node_pair(p, N_NOT, parse_not(p), NULL);
	tpl_leave(p->heap);
	return node;
}

static struct tpl_node *parse_and(struct tpl_parser *p)
{
	struct tpl_node *node = parse_not(p);

	while (tpl_name_skip(p, "and"))
		node = tpl_node_pair(p, N_AND, node, parse_not(p));
	return node;
}

static struct tpl_node *parse_or(struct tpl_parser *p)
{
	struct tpl_node *node = parse_and(p);

	while (tpl_name_skip(p, "or"))
		node = tpl_node_pair(p, N_OR, node, parse_and(p));
	return node;
}

/* N_COND: a if b else c; c may be NULL. */
struct tpl_node *tpl_parse_expression(struct tpl_parser *p)
{
	struct tpl_node *node;

	tpl_enter(p->heap);
	node = parse_or(p);
	while (tpl_name_skip(p, "if")) {
		node = tpl_node_pair(p, N_COND, node, parse_or(p));
		if (tpl_name_skip(p, "else"))
			node->c = tpl_parse_expression(p);
	}
	tpl_leave(p->heap);
	return node;
}

static bool tuple_ends(const struct tpl_parser *p)
{
	return p->at->type == T_PRINT_END || p->at->type == T_BLOCK_END || tpl_op_is(p, ")") ||
	       tpl_name_is(p, "in") || tpl_name_is(p, "recursive");
}

struct tpl_node *tpl_parse_tuple(struct tpl_parser *p, bool condition)
{
	struct tpl_node *node = condition ? tpl_parse_expression(p) : parse_or(p), **end;

	if (!tpl_op_is(p, ","))
		return node;
	end = &node->next;
	node = tpl_node_pair(p, N_TUPLE, node, NULL);
	while (tpl_op_skip(p, ",") && !tuple_ends(p)) {
		*end = condition ? tpl_parse_expression(p) : parse_or(p);
		end = &(*end)->next;
	}
	return node;
}

/* Names alone or in tuples; @members: NAME.NAME too, of a namespace. */
struct tpl_node *tpl_parse_target(struct tpl_parser *p, bool members)
{
	struct tpl_node *list = NULL, **end = &list;
	bool tuple = false;

	tpl_enter(p->heap);
	do {
		if (list && (tuple_ends(p) || tpl_op_is(p, "=")))
			break;
		if (tpl_op_skip(p, "(")) {
			*end = tpl_parse_target(p, members);
			tpl_op_expect(p, ")");
		} else {
			*end = p->at->type == T_NAME ? tpl_parse_name(p, members) : NULL;
		}
		if (!*end || (*end)->type == N_CONST)
			tpl_unexpected(p, "a name to assign to");
		end = &(*end)->next;
		tuple |= tpl_op_is(p, ",");
	} while (tpl_op_skip(p, ","));
	tpl_leave(p->heap);
	return tuple ? tpl_node_pair(p, N_TUPLE, list, NULL) : list;
}
