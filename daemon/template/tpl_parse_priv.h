/* SPDX-License-Identifier: MIT */
/* tpl_parse_priv.h: tokens, and what the parts of the parser share. */
#ifndef TPL_PARSE_PRIV_H
#define TPL_PARSE_PRIV_H

#include "tpl_priv.h"

enum tpl_token_type {
	T_DATA, T_PRINT_BEGIN, T_PRINT_END, T_BLOCK_BEGIN, T_BLOCK_END, T_NAME, T_STRING, T_NUMBER,
	T_OP, T_EOF,
};

struct tpl_token {
	uint8_t type;
	char op[3];			/* T_OP, padded with NUL */
	uint32_t line;
	const char *text;		/* DATA, NAME, STRING (between its quotes) */
	uint32_t bytes;
	struct tpl_value value;		/* NUMBER */
};

struct tpl_tokens {
	struct tpl_token *list;
	uint32_t count, cap;
};

struct tpl_parser {
	struct tpl *tpl;
	struct tpl_heap *heap;
	const struct tpl_token *at;
	struct tpl_node *macro;		/* the macro that is being parsed, or NULL */
	uint32_t loops;			/* loops around, inside of that macro */
};

/* Turns newlines into \n, drops one at the end, and gives all tokens. */
struct tpl_tokens tpl_lex(struct tpl *tpl);

/* tpl_token.c */
struct tpl_node *tpl_node_new(struct tpl_parser *p, enum tpl_node_type type);
struct tpl_node *tpl_node_pair(struct tpl_parser *p, enum tpl_node_type type, struct tpl_node *a,
			       struct tpl_node *b);
bool tpl_token_is(const struct tpl_token *t, const char *name);
bool tpl_op_is(const struct tpl_parser *p, const char *op);
bool tpl_op_skip(struct tpl_parser *p, const char *op);
void tpl_op_expect(struct tpl_parser *p, const char *op);
bool tpl_name_is(const struct tpl_parser *p, const char *name);
bool tpl_name_skip(struct tpl_parser *p, const char *name);
uint32_t tpl_name_expect(struct tpl_parser *p);
void tpl_unexpected(struct tpl_parser *p, const char *wanted) __attribute__((noreturn));

/* tpl_expr.c. A tuple without parentheses; @condition: "a if b" may stand in it. */
struct tpl_node *tpl_parse_tuple(struct tpl_parser *p, bool condition);
struct tpl_node *tpl_parse_expression(struct tpl_parser *p);
struct tpl_node *tpl_parse_target(struct tpl_parser *p, bool members);

/* tpl_operand.c. An operand with its signs and what follows it; @filters: filters and tests too. */
struct tpl_node *tpl_parse_unary(struct tpl_parser *p, bool filters);
/* A name or constant; @members: NAME.NAME too. */
struct tpl_node *tpl_parse_name(struct tpl_parser *p, bool members);
/* A chain of filters on @node (NULL: on a block's text); @named: the first '|' was left out. */
struct tpl_node *tpl_parse_filters(struct tpl_parser *p, struct tpl_node *node, bool named);

/* tpl_literal.c: the value of string tokens that stand side by side. */
struct tpl_value tpl_parse_string(struct tpl_parser *p);

#endif
