/* SPDX-License-Identifier: MIT */
/*
 * tpl_expr.c: expressions, by precedence, lowest first: if-else, or, and, not, comparisons, + and -,
 * ~, * and its like, **, signs, then what follows an operand: attributes, calls, filters, tests.
 */
#include <stdlib.h>

#include "tpl_parse_priv.h"

static struct tpl_node *parse_or(struct tpl_parser *p);
static struct tpl_node *parse_unary(struct tpl_parser *p, bool filters);
static struct tpl_node *parse_args(struct tpl_parser *p);

void tpl_unexpected(struct tpl_parser *p, const char *wanted)
{
	p->heap->line = p->at->line;
	if (p->at->type == T_EOF)
		tpl_throw(p->heap, TPL_SYNTAX, "%s expected, the template ends", wanted);
	tpl_throw(p->heap, TPL_SYNTAX, "%s expected before \"%.*s\"", wanted,
		  p->at->bytes < 40 ? (int)p->at->bytes : 40, p->at->text);
}

bool tpl_op_is(const struct tpl_parser *p, const char *op)
{
	return p->at->type == T_OP && !strncmp(p->at->op, op, sizeof(p->at->op));
}

bool tpl_op_skip(struct tpl_parser *p, const char *op)
{
	bool is = tpl_op_is(p, op);

	p->at += is;
	return is;
}

void tpl_op_expect(struct tpl_parser *p, const char *op)
{
	if (!tpl_op_skip(p, op))
		tpl_unexpected(p, op);
}

static bool token_is(const struct tpl_token *t, const char *name)
{
	return t->type == T_NAME && t->bytes == strlen(name) && !memcmp(t->text, name, t->bytes);
}

bool tpl_name_is(const struct tpl_parser *p, const char *name)
{
	return token_is(p->at, name);
}

bool tpl_name_skip(struct tpl_parser *p, const char *name)
{
	bool is = tpl_name_is(p, name);

	p->at += is;
	return is;
}

uint32_t tpl_name_expect(struct tpl_parser *p)
{
	if (p->at->type != T_NAME)
		tpl_unexpected(p, "a name");
	p->at++;
	return tpl_intern(p->tpl, p->at[-1].text, p->at[-1].bytes);
}

static struct tpl_node *pair(struct tpl_parser *p, enum tpl_node_type type, struct tpl_node *a,
			     struct tpl_node *b)
{
	struct tpl_node *node = tpl_node_new(p, type);

	node->a = a;
	node->b = b;
	return node;
}

/* ---- operands ----------------------------------------------------------------------------- */

static const char *hex_read(struct tpl_parser *p, const char *at, const char *end, int digits,
			    uint32_t *c)
{
	char text[9] = { 0 }, *stop;

	if (end - at < digits)
		tpl_throw(p->heap, TPL_SYNTAX, "an escape in a string is cut");
	memcpy(text, at, (size_t)digits);
	*c = (uint32_t)strtoul(text, &stop, 16);
	if (*stop || text[0] == '-' || text[0] == '+' || text[0] == ' ')
		tpl_throw(p->heap, TPL_SYNTAX, "an escape in a string is not hexadecimal");
	return at + digits;
}

static const char *octal_read(const char *at, const char *end, uint32_t *c)
{
	*c = 0;
	for (int i = 0; i < 3 && at < end && *at >= '0' && *at <= '7'; i++)
		*c = *c * 8 + (uint32_t)(*at++ - '0');
	return at;
}

/* After a backslash. Where the string goes on; *@c: the character, UINT32_MAX for none. */
static const char *escape_read(struct tpl_parser *p, const char *at, const char *end, uint32_t *c)
{
	static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
	const char *which = at < end ? strchr(from, *at) : NULL;

	*c = UINT32_MAX;
	if (*at == '\n')
		return at + 1;
	if (which && *which) {
		*c = (unsigned char)to[which - from];
		return at + 1;
	}
	if (*at == 'x' || *at == 'u' || *at == 'U')
		return hex_read(p, at + 1, end, *at == 'x' ? 2 : *at == 'u' ? 4 : 8, c);
	if (*at >= '0' && *at <= '7')
		return octal_read(at, end, c);
	if (*at == 'N')
		tpl_throw(p->heap, TPL_UNSUPPORTED, "the escape \\N{...} is not supported");
	*c = '\\';
	return at;
}

/* The value of string tokens that stand side by side. */
static struct tpl_value string_value(struct tpl_parser *p)
{
	size_t bytes = 0, n = 0;
	char *text;

	for (const struct tpl_token *t = p->at; t->type == T_STRING; t++)
		bytes += t->bytes;
	text = tpl_alloc(p->heap, bytes + 1);
	for (; p->at->type == T_STRING; p->at++) {
		const char *at = p->at->text, *end = at + p->at->bytes;

		while (at < end) {
			uint32_t c;

			if (*at != '\\') {
				text[n++] = *at++;
				continue;
			}
			at = escape_read(p, at + 1, end, &c);
			if (c == UINT32_MAX)
				continue;
			if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
				tpl_throw(p->heap, TPL_UNSUPPORTED,
					  "an escape in a string is no character of Unicode");
			n += tpl_encode(c, text + n);
		}
	}
	return tpl_text(text, n);
}

static struct tpl_node *constant(struct tpl_parser *p, struct tpl_value value)
{
	struct tpl_node *node = tpl_node_new(p, N_CONST);

	node->value = value;
	return node;
}

static struct tpl_node *name_node(struct tpl_parser *p, bool members)
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
	node = pair(p, N_MEMBER, node, NULL);
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
		return name_node(p, members);
	if (p->at->type == T_STRING)
		return constant(p, string_value(p));
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
	node = pair(p, N_SLICE, first, slice_part(p));
	if (tpl_op_skip(p, ":"))
		node->c = slice_part(p);
	return node;
}

/* N_ITEM: b of a. */
static struct tpl_node *parse_subscript(struct tpl_parser *p, struct tpl_node *of)
{
	struct tpl_node *node = pair(p, N_ITEM, of, NULL), *items;

	node->b = parse_index(p);
	if (tpl_op_is(p, ",")) {
		items = pair(p, N_TUPLE, node->b, NULL);
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
		return pair(p, N_ITEM, of, constant(p, (p->at++)->value));
	node = pair(p, N_ATTR, of, NULL);
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
			node = pair(p, N_CALL, node, parse_args(p));
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

		node = pair(p, N_FILTER, node, NULL);
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
	struct tpl_node *node = pair(p, N_TEST, of, NULL);
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
	return negated ? pair(p, N_NOT, node, NULL) : node;
}

static struct tpl_node *parse_suffixes(struct tpl_parser *p, struct tpl_node *node)
{
	for (;;) {
		if (tpl_op_is(p, "|"))
			node = tpl_parse_filters(p, node, false);
		else if (tpl_name_skip(p, "is"))
			node = parse_test(p, node);
		else if (tpl_op_is(p, "("))
			node = pair(p, N_CALL, node, parse_args(p));
		else
			return node;
	}
}

/* ---- operators ---------------------------------------------------------------------------- */

static struct tpl_node *parse_unary(struct tpl_parser *p, bool filters)
{
	struct tpl_node *node;

	tpl_enter(p->heap);
	if (tpl_op_skip(p, "-"))
		node = pair(p, N_NEG, parse_unary(p, false), NULL);
	else if (tpl_op_skip(p, "+"))
		node = pair(p, N_POS, parse_unary(p, false), NULL);
	else
		node = parse_primary(p, false);
	node = parse_postfix(p, node);
	if (filters)
		node = parse_suffixes(p, node);
	tpl_leave(p->heap);
	return node;
}

static struct tpl_node *binary(struct tpl_parser *p, enum tpl_op op, struct tpl_node *a,
			       struct tpl_node *b)
{
	struct tpl_node *node = pair(p, N_BINARY, a, b);

	node->op = (uint8_t)op;
	return node;
}

static struct tpl_node *parse_pow(struct tpl_parser *p)
{
	struct tpl_node *node = parse_unary(p, true);

	while (tpl_op_skip(p, "**"))
		node = binary(p, OP_POW, node, parse_unary(p, true));
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
	node = pair(p, N_CONCAT, node, NULL);
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
	if (!tpl_name_is(p, "not") || !token_is(p->at + 1, "in"))
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
			chain = pair(p, N_COMPARE, node, NULL);
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
	node = pair(p, N_NOT, parse_not(p), NULL);
	tpl_leave(p->heap);
	return node;
}

static struct tpl_node *parse_and(struct tpl_parser *p)
{
	struct tpl_node *node = parse_not(p);

	while (tpl_name_skip(p, "and"))
		node = pair(p, N_AND, node, parse_not(p));
	return node;
}

static struct tpl_node *parse_or(struct tpl_parser *p)
{
	struct tpl_node *node = parse_and(p);

	while (tpl_name_skip(p, "or"))
		node = pair(p, N_OR, node, parse_and(p));
	return node;
}

/* N_COND: a if b else c; c may be NULL. */
struct tpl_node *tpl_parse_expression(struct tpl_parser *p)
{
	struct tpl_node *node;

	tpl_enter(p->heap);
	node = parse_or(p);
	while (tpl_name_skip(p, "if")) {
		node = pair(p, N_COND, node, parse_or(p));
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
	node = pair(p, N_TUPLE, node, NULL);
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
			*end = p->at->type == T_NAME ? name_node(p, members) : NULL;
		}
		if (!*end || (*end)->type == N_CONST)
			tpl_unexpected(p, "a name to assign to");
		end = &(*end)->next;
		tuple |= tpl_op_is(p, ",");
	} while (tpl_op_skip(p, ","));
	tpl_leave(p->heap);
	return tuple ? pair(p, N_TUPLE, list, NULL) : list;
}
