/* SPDX-License-Identifier: MIT */
/* tpl_parse.c: statements. */
#include "tpl_parse_priv.h"

static struct tpl_node *parse_until(struct tpl_parser *p, const char *const *ends);

static void block_end(struct tpl_parser *p)
{
	if (p->at->type != T_BLOCK_END)
		tpl_unexpected(p, "the end of the tag");
	p->at++;
}

/* The rest of a tag, a body, and the tag that ends it, up to its name. */
static struct tpl_node *body_until(struct tpl_parser *p, const char *const *ends)
{
	struct tpl_node *body;

	tpl_op_skip(p, ":");
	block_end(p);
	body = parse_until(p, ends);
	if (p->at->type == T_EOF) {
		p->heap->line = p->at->line;
		tpl_throw(p->heap, TPL_SYNTAX, "{%% %s %%} expected, the template ends", ends[0]);
	}
	return body;
}

static struct tpl_node *body_to(struct tpl_parser *p, const char *end)
{
	struct tpl_node *body = body_until(p, (const char *const []){ end, NULL });

	p->at++;
	return body;
}

/* N_IF: a: condition, b: body, c: else, which is another N_IF for elif. */
static struct tpl_node *parse_if(struct tpl_parser *p)
{
	static const char *const ends[] = { "endif", "elif", "else", NULL };
	struct tpl_node *first = NULL, **to = &first;

	for (;;) {
		struct tpl_node *node = *to = tpl_node_new(p, N_IF);

		node->a = tpl_parse_tuple(p, false);
		node->b = body_until(p, ends);
		to = &node->c;
		if (tpl_name_skip(p, "elif"))
			continue;
		if (tpl_name_skip(p, "else"))
			node->c = body_to(p, "endif");
		else
			p->at++;
		return first;
	}
}

/* N_FOR: a: target, b: what is iterated with the condition as its value next, c: body, d: else. */
static struct tpl_node *parse_for(struct tpl_parser *p)
{
	struct tpl_node *node = tpl_node_new(p, N_FOR);

	node->a = tpl_parse_target(p, false);
	if (!tpl_name_skip(p, "in"))
		tpl_unexpected(p, "in");
	node->b = tpl_parse_tuple(p, false);
	if (tpl_name_skip(p, "if"))
		node->b->next = tpl_parse_expression(p);
	node->recursive = tpl_name_skip(p, "recursive");
	p->loops++;
	node->c = body_until(p, (const char *const []){ "endfor", "else", NULL });
	p->loops--;
	if (tpl_name_skip(p, "else"))
		node->d = body_to(p, "endfor");
	else
		p->at++;
	return node;
}

/* N_SET: a = b. N_SET_BLOCK: a = the text of c, through the filters b. */
static struct tpl_node *parse_set(struct tpl_parser *p)
{
	struct tpl_node *node = tpl_node_new(p, N_SET);

	node->a = tpl_parse_target(p, true);
	if (tpl_op_skip(p, "=")) {
		node->b = tpl_parse_tuple(p, true);
		return node;
	}
	node->type = N_SET_BLOCK;
	node->b = tpl_parse_filters(p, NULL, false);
	node->c = body_to(p, "endset");
	return node;
}

/* Parameters: N_NAME, each with its default in a. */
static struct tpl_node *parse_parameters(struct tpl_parser *p)
{
	struct tpl_node *list = NULL, **end = &list;
	bool defaults = false;

	tpl_op_expect(p, "(");
	while (!tpl_op_is(p, ")")) {
		if (list)
			tpl_op_expect(p, ",");
		*end = tpl_node_new(p, N_NAME);
		(*end)->name = tpl_name_expect(p);
		if (tpl_op_skip(p, "="))
			(*end)->a = tpl_parse_expression(p);
		else if (defaults)
			tpl_unexpected(p, "a default");
		defaults = defaults || (*end)->a;
		end = &(*end)->next;
	}
	tpl_op_expect(p, ")");
	return list;
}

/* N_MACRO: name, a: parameters, c: body. */
static void macro_body(struct tpl_parser *p, struct tpl_node *node, const char *end)
{
	struct tpl_node *outer = p->macro;
	uint32_t loops = p->loops;

	p->macro = node;
	p->loops = 0;
	node->c = body_to(p, end);
	p->macro = outer;
	p->loops = loops;
	if (!outer)
		return;
	outer->uses_caller |= node->uses_caller;
	outer->uses_varargs |= node->uses_varargs;
	outer->uses_kwargs |= node->uses_kwargs;
}

static struct tpl_node *parse_macro(struct tpl_parser *p)
{
	struct tpl_node *node = tpl_node_new(p, N_MACRO);

	node->name = tpl_name_expect(p);
	node->a = parse_parameters(p);
	macro_body(p, node, "endmacro");
	return node;
}

/* N_CALL_BLOCK: a: the N_CALL, b: the N_MACRO that it gets as caller. */
static struct tpl_node *parse_call_block(struct tpl_parser *p)
{
	struct tpl_node *node = tpl_node_new(p, N_CALL_BLOCK);

	node->b = tpl_node_new(p, N_MACRO);
	node->b->name = tpl_intern(p->tpl, "caller", 6);
	if (tpl_op_is(p, "("))
		node->b->a = parse_parameters(p);
	node->a = tpl_parse_expression(p);
	if (node->a->type != N_CALL)
		tpl_unexpected(p, "a call");
	macro_body(p, node->b, "endcall");
	return node;
}

/* N_FILTER_BLOCK: the text of c through the filters b. */
static struct tpl_node *parse_filter_block(struct tpl_parser *p)
{
	struct tpl_node *node = tpl_node_new(p, N_FILTER_BLOCK);

	node->b = tpl_parse_filters(p, NULL, true);
	node->c = body_to(p, "endfilter");
	return node;
}

/* N_WITH: a: a list of N_SET, c: body. */
static struct tpl_node *parse_with(struct tpl_parser *p)
{
	struct tpl_node *node = tpl_node_new(p, N_WITH), **end = &node->a;

	while (p->at->type != T_BLOCK_END) {
		if (node->a)
			tpl_op_expect(p, ",");
		*end = tpl_node_new(p, N_SET);
		(*end)->a = tpl_parse_target(p, false);
		tpl_op_expect(p, "=");
		(*end)->b = tpl_parse_expression(p);
		end = &(*end)->next;
	}
	node->c = body_to(p, "endwith");
	return node;
}

/* N_SCOPE: c: body. What a generation block is without a tracker of tokens. */
static struct tpl_node *parse_generation(struct tpl_parser *p)
{
	struct tpl_node *node = tpl_node_new(p, N_SCOPE);
	uint32_t loops = p->loops;

	p->loops = 0;
	node->c = body_to(p, "endgeneration");
	p->loops = loops;
	return node;
}

static struct tpl_node *parse_print(struct tpl_parser *p)
{
	struct tpl_node *list = NULL, **end = &list;

	while (p->at->type != T_BLOCK_END) {
		if (list)
			tpl_op_expect(p, ",");
		*end = tpl_node_new(p, N_PRINT);
		(*end)->a = tpl_parse_expression(p);
		end = &(*end)->next;
	}
	return list;
}

static struct tpl_node *parse_jump(struct tpl_parser *p, enum tpl_node_type type)
{
	if (!p->loops) {
		p->at--;
		tpl_unexpected(p, "a loop");
	}
	return tpl_node_new(p, type);
}

static struct tpl_node *parse_break(struct tpl_parser *p)
{
	return parse_jump(p, N_BREAK);
}

static struct tpl_node *parse_continue(struct tpl_parser *p)
{
	return parse_jump(p, N_CONTINUE);
}

static struct tpl_node *parse_statement(struct tpl_parser *p)
{
	static const struct {
		const char *name;
		struct tpl_node *(*parse)(struct tpl_parser *p);
	} statements[] = {
		{ "break", parse_break },
		{ "call", parse_call_block },
		{ "continue", parse_continue },
		{ "filter", parse_filter_block },
		{ "for", parse_for },
		{ "generation", parse_generation },
		{ "if", parse_if },
		{ "macro", parse_macro },
		{ "print", parse_print },
		{ "set", parse_set },
		{ "with", parse_with },
	};

	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++)
		if (tpl_name_skip(p, statements[i].name))
			return statements[i].parse(p);
	p->heap->line = p->at->line;
	if (p->at->type != T_NAME)
		tpl_unexpected(p, "a statement");
	tpl_throw(p->heap, TPL_UNSUPPORTED, "the statement {%% %.*s %%} is not supported",
		  p->at->bytes < 40 ? (int)p->at->bytes : 40, p->at->text);
}

static struct tpl_node *data_node(struct tpl_parser *p)
{
	struct tpl_node *node = tpl_node_new(p, N_DATA);

	node->value = tpl_text(p->at->text, p->at->bytes);
	p->at++;
	return node;
}

static struct tpl_node *print_node(struct tpl_parser *p)
{
	struct tpl_node *node;

	p->at++;
	node = tpl_node_new(p, N_PRINT);
	node->a = tpl_parse_tuple(p, true);
	if (p->at->type != T_PRINT_END)
		tpl_unexpected(p, "the end of the tag");
	p->at++;
	return node;
}

static bool at_end(const struct tpl_parser *p, const char *const *ends)
{
	for (size_t i = 0; ends && ends[i]; i++)
		if (tpl_name_is(p, ends[i]))
			return true;
	return false;
}

/* Statements, up to the name of a tag of @ends (NULL: of none), which is then current. */
static struct tpl_node *parse_until(struct tpl_parser *p, const char *const *ends)
{
	struct tpl_node *list = NULL, **end = &list;

	tpl_enter(p->heap);
	while (p->at->type != T_EOF) {
		if (p->at->type == T_DATA) {
			*end = data_node(p);
		} else if (p->at->type == T_PRINT_BEGIN) {
			*end = print_node(p);
		} else {
			p->at++;
			if (at_end(p, ends))
				break;
			*end = parse_statement(p);
			block_end(p);
		}
		while (*end)
			end = &(*end)->next;
	}
	tpl_leave(p->heap);
	return list;
}

struct tpl_node *tpl_parse(struct tpl *tpl)
{
	struct tpl_parser p = { .tpl = tpl, .heap = &tpl->heap };

	p.at = tpl_lex(tpl).list;
	return parse_until(&p, NULL);
}
