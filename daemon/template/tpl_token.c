/* SPDX-License-Identifier: MIT */
/* tpl_token.c: takes tokens one by one, makes nodes. */
#include "tpl_parse_priv.h"

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

bool tpl_token_is(const struct tpl_token *t, const char *name)
{
	return t->type == T_NAME && t->bytes == strlen(name) && !memcmp(t->text, name, t->bytes);
}

bool tpl_name_is(const struct tpl_parser *p, const char *name)
{
	return tpl_token_is(p->at, name);
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

struct tpl_node *tpl_node_new(struct tpl_parser *p, enum tpl_node_type type)
{
	struct tpl_node *node = tpl_zalloc(p->heap, sizeof(*node));

	node->type = (uint8_t)type;
	node->line = p->heap->line = p->at->line;
	return node;
}

struct tpl_node *tpl_node_pair(struct tpl_parser *p, enum tpl_node_type type, struct tpl_node *a,
			       struct tpl_node *b)
{
	struct tpl_node *node = tpl_node_new(p, type);

	node->a = a;
	node->b = b;
	return node;
}
