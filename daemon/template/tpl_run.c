/* SPDX-License-Identifier: MIT */
/* tpl_run.c: statements, names and macros. */
#include "tpl_priv.h"

/* ---- names -------------------------------------------------------------------------------- */

struct tpl_scope *tpl_scope_new(struct tpl_run *r, struct tpl_scope *parent)
{
	struct tpl_scope *scope = tpl_zalloc(&r->heap, sizeof(*scope));

	scope->parent = parent;
	return scope;
}

static struct tpl_value *own(struct tpl_scope *scope, uint32_t name)
{
	if (scope->values)
		return scope->values[name].kind == TPL_MISSING ? NULL : &scope->values[name];
	for (uint32_t i = 0; i < scope->count; i++)
		if (scope->variables[i].name == name)
			return &scope->variables[i].value;
	return NULL;
}

const struct tpl_value *tpl_lookup(const struct tpl_run *r, uint32_t name)
{
	const struct tpl_value *found;

	for (struct tpl_scope *scope = r->scope; scope; scope = scope->parent) {
		found = own(scope, name);
		if (found)
			return found;
	}
	return r->tpl->globals[name].kind == TPL_MISSING ? NULL : &r->tpl->globals[name];
}

void tpl_set(struct tpl_run *r, uint32_t name, struct tpl_value value)
{
	struct tpl_scope *scope = r->scope;
	struct tpl_variable *old = scope->variables;
	struct tpl_value *found = scope->values ? &scope->values[name] : own(scope, name);

	tpl_step(r, scope->count);
	if (found) {
		*found = value;
		return;
	}
	if (scope->count == scope->cap) {
		scope->cap = scope->cap ? scope->cap * 2 : 4;
		scope->variables = tpl_alloc(&r->heap, scope->cap * sizeof(*old));
		if (scope->count)
			memcpy(scope->variables, old, scope->count * sizeof(*old));
	}
	scope->variables[scope->count++] = (struct tpl_variable){ name, value };
}

static void assign_member(struct tpl_run *r, const struct tpl_node *target,
			  const struct tpl_value *value)
{
	const struct tpl_value *space = tpl_lookup(r, target->a->name);
	const struct tpl_name *name = &r->tpl->names[target->name];

	if (!space || space->kind != TPL_NAMESPACE)
		tpl_throw(&r->heap, TPL_FAILED, "cannot assign attribute on non-namespace object");
	if (name->text[0] == '_')
		tpl_throw(&r->heap, TPL_FAILED, "a namespace has no attributes that begin with _");
	tpl_dict_set(r, space->dict, tpl_text(name->text, name->bytes), *value);
}

static void assign_tuple(struct tpl_run *r, const struct tpl_node *target,
			 const struct tpl_value *value)
{
	struct tpl_value list = tpl_to_list(r, value, TPL_LIST);
	uint32_t i = 0;

	for (const struct tpl_node *t = target->a; t; t = t->next, i++) {
		if (i >= list.list->count)
			tpl_throw(&r->heap, TPL_FAILED, "not enough values to unpack, got %u",
				  list.list->count);
		tpl_assign(r, t, &list.list->items[i]);
	}
	if (i < list.list->count)
		tpl_throw(&r->heap, TPL_FAILED, "too many values to unpack, expected %u", i);
}

void tpl_assign(struct tpl_run *r, const struct tpl_node *target, const struct tpl_value *value)
{
	if (target->type == N_TUPLE)
		assign_tuple(r, target, value);
	else if (target->type == N_MEMBER)
		assign_member(r, target, value);
	else
		tpl_set(r, target->name, *value);
}

/* ---- blocks ------------------------------------------------------------------------------- */

/* @body in a scope of its own; break and continue pass through. */
static enum tpl_flow exec_inside(struct tpl_run *r, const struct tpl_node *body)
{
	struct tpl_scope *outer = r->scope;
	enum tpl_flow flow;

	r->scope = tpl_scope_new(r, outer);
	flow = tpl_exec(r, body);
	r->scope = outer;
	return flow;
}

/* What @body writes, through @filters, whose innermost is on nothing. */
static struct tpl_value through(struct tpl_run *r, const struct tpl_node *filter,
				struct tpl_value text)
{
	struct tpl_args args = { 0 };

	if (!filter)
		return text;
	tpl_enter(&r->heap);
	text = through(r, filter->a, text);
	tpl_leave(&r->heap);
	tpl_eval_args(r, filter->b, &args);
	if (!filter->filter->row)
		tpl_throw(&r->heap, TPL_UNSUPPORTED, "the filter %s is not supported",
			  filter->filter->name);
	return tpl_invoke(r, filter->filter->row, text, &args);
}

static enum tpl_flow exec_captured(struct tpl_run *r, const struct tpl_node *node)
{
	struct tpl_buffer buffer, *outer = tpl_capture(r, &buffer);
	enum tpl_flow flow = exec_inside(r, node->c);
	struct tpl_value text = tpl_capture_end(r, outer);

	if (flow != FLOW_ON)
		return flow;
	text = through(r, node->b, text);
	if (node->type == N_SET_BLOCK)
		tpl_assign(r, node->a, &text);
	else
		tpl_put_str(r, &text);
	return FLOW_ON;
}

static enum tpl_flow exec_with(struct tpl_run *r, const struct tpl_node *node)
{
	struct tpl_scope *outer = r->scope, *inner = tpl_scope_new(r, outer);
	enum tpl_flow flow;

	for (const struct tpl_node *set = node->a; set; set = set->next) {
		struct tpl_value v = tpl_eval(r, set->b);

		r->scope = inner;
		tpl_assign(r, set->a, &v);
		r->scope = outer;
	}
	r->scope = inner;
	flow = tpl_exec(r, node->c);
	r->scope = outer;
	return flow;
}

static enum tpl_flow exec_if(struct tpl_run *r, const struct tpl_node *node)
{
	for (;;) {
		struct tpl_value test = tpl_eval(r, node->a);

		if (tpl_truth(r, &test))
			return tpl_exec(r, node->b);
		if (!node->c || node->c->type != N_IF || node->c->next)
			return tpl_exec(r, node->c);
		node = node->c;
	}
}

/* ---- macros ------------------------------------------------------------------------------- */

static struct tpl_value macro_of(struct tpl_run *r, const struct tpl_node *node)
{
	struct tpl_macro *macro = tpl_alloc(&r->heap, sizeof(*macro));

	*macro = (struct tpl_macro){ .node = node, .scope = r->scope };
	return (struct tpl_value){ .kind = TPL_MACRO, .macro = macro };
}

static enum tpl_flow exec_call_block(struct tpl_run *r, const struct tpl_node *node)
{
	struct tpl_value callee = tpl_eval(r, node->a->a), text;
	struct tpl_args args = { 0 };

	tpl_eval_args(r, node->a->b, &args);
	tpl_args_name(r, &args, tpl_cstr("caller"), macro_of(r, node->b));
	text = tpl_call(r, &callee, &args);
	tpl_put_str(r, &text);
	return FLOW_ON;
}

/* Take the keyword @name out of @used; MISSING: it was not given. */
static struct tpl_value take_keyword(const struct tpl_args *args, bool *used,
				     const struct tpl_name *name)
{
	for (uint32_t i = 0; i < args->kw_count; i++) {
		const struct tpl_value *given = &args->kw[i].name;

		if (given->bytes != name->bytes || memcmp(given->text, name->text, name->bytes))
			continue;
		used[i] = true;
		return args->kw[i].value;
	}
	return (struct tpl_value){ .kind = TPL_MISSING };
}

/* Parameters from left to right: a default may name those before it. */
static uint32_t set_parameters(struct tpl_run *r, const struct tpl_node *node,
			       const struct tpl_args *args, bool *used)
{
	uint32_t index = 0;

	for (const struct tpl_node *p = node->a; p; p = p->next, index++) {
		const struct tpl_name *name = &r->tpl->names[p->name];
		struct tpl_value v = take_keyword(args, used, name);

		if (index < args->count && v.kind != TPL_MISSING)
			tpl_throw(&r->heap, TPL_FAILED, "macro got multiple values for argument '%.*s'",
				  (int)name->bytes, name->text);
		if (index < args->count)
			v = args->v[index];
		if (v.kind == TPL_MISSING)
			v = p->a ? tpl_eval(r, p->a) : tpl_undefined(r, NULL, tpl_text(name->text,
										      name->bytes));
		tpl_set(r, p->name, v);
	}
	return index;
}

static void set_varargs(struct tpl_run *r, const struct tpl_node *node, const struct tpl_args *args,
			uint32_t from)
{
	struct tpl_value rest = tpl_list_new(r, TPL_TUPLE, 0);

	if (args->count > from && !node->uses_varargs)
		tpl_throw(&r->heap, TPL_FAILED, "macro takes not more than %u argument(s)", from);
	for (; from < args->count; from++)
		tpl_list_add(r, rest.list, args->v[from]);
	if (node->uses_varargs)
		tpl_set(r, TPL_NAME_VARARGS, rest);
}

static void set_kwargs(struct tpl_run *r, const struct tpl_node *node, const struct tpl_args *args,
		       const bool *used)
{
	struct tpl_value rest = tpl_dict_new(r, 0);

	for (uint32_t i = 0; i < args->kw_count; i++) {
		const struct tpl_value *name = &args->kw[i].name;

		if (used[i])
			continue;
		if (!node->uses_kwargs)
			tpl_throw(&r->heap, TPL_FAILED, "macro takes no keyword argument '%.*s'",
				  (int)name->bytes, name->text);
		tpl_dict_set(r, rest.dict, *name, args->kw[i].value);
	}
	if (node->uses_kwargs)
		tpl_set(r, TPL_NAME_KWARGS, rest);
}

static void set_arguments(struct tpl_run *r, const struct tpl_node *node, const struct tpl_args *args)
{
	bool *used = tpl_zalloc(&r->heap, args->kw_count + 1);
	uint32_t count = set_parameters(r, node, args, used);
	struct tpl_value caller = { .kind = TPL_MISSING };

	if (node->uses_caller) {
		caller = take_keyword(args, used, &r->tpl->names[TPL_NAME_CALLER]);
		if (caller.kind == TPL_MISSING)
			caller = tpl_undefined(r, NULL, tpl_cstr("caller"));
		tpl_set(r, TPL_NAME_CALLER, caller);
	}
	set_varargs(r, node, args, count);
	set_kwargs(r, node, args, used);
}

struct tpl_value tpl_macro_call(struct tpl_run *r, const struct tpl_macro *macro,
				const struct tpl_args *args)
{
	struct tpl_buffer buffer, *out = tpl_capture(r, &buffer);
	struct tpl_scope *scope = r->scope;

	r->scope = tpl_scope_new(r, macro->scope);
	set_arguments(r, macro->node, args);
	tpl_exec(r, macro->node->c);
	r->scope = scope;
	return tpl_capture_end(r, out);
}

/* ---- statements --------------------------------------------------------------------------- */

static enum tpl_flow exec_one(struct tpl_run *r, const struct tpl_node *node)
{
	struct tpl_value v;

	switch (node->type) {
	case N_DATA:
		tpl_put_str(r, &node->value);
		return FLOW_ON;
	case N_PRINT:
		v = tpl_eval(r, node->a);
		tpl_put_str(r, &v);
		return FLOW_ON;
	case N_IF:
		return exec_if(r, node);
	case N_FOR:
		tpl_for(r, node);
		return FLOW_ON;
	case N_SET:
		v = tpl_eval(r, node->b);
		tpl_assign(r, node->a, &v);
		return FLOW_ON;
	case N_SET_BLOCK:
	case N_FILTER_BLOCK:
		return exec_captured(r, node);
	case N_MACRO:
		tpl_set(r, node->name, macro_of(r, node));
		return FLOW_ON;
	case N_CALL_BLOCK:
		return exec_call_block(r, node);
	case N_WITH:
		return exec_with(r, node);
	case N_SCOPE:
		return exec_inside(r, node->c);
	default:
		return node->type == N_BREAK ? FLOW_BREAK : FLOW_CONTINUE;
	}
}

enum tpl_flow tpl_exec(struct tpl_run *r, const struct tpl_node *list)
{
	enum tpl_flow flow = FLOW_ON;

	tpl_enter(&r->heap);
	for (; list && flow == FLOW_ON; list = list->next) {
		tpl_step(r, 0);
		r->heap.line = list->line;
		flow = exec_one(r, list);
	}
	tpl_leave(&r->heap);
	return flow;
}
