/* SPDX-License-Identifier: MIT */
/* tpl_call.c: calls: arguments to parameters, functions, methods, macros. */
#include <stdio.h>

#include "tpl_priv.h"

void tpl_args_add(struct tpl_run *r, struct tpl_args *args, struct tpl_value v)
{
	struct tpl_value *old = args->v;

	tpl_step(r, 0);
	if (args->count == args->cap) {
		args->cap = args->cap ? args->cap * 2 : 4;
		args->v = tpl_alloc(&r->heap, args->cap * sizeof(*old));
		if (args->count)
			memcpy(args->v, old, args->count * sizeof(*old));
	}
	args->v[args->count++] = v;
}

void tpl_args_name(struct tpl_run *r, struct tpl_args *args, struct tpl_value name,
		   struct tpl_value v)
{
	struct tpl_keyword *old = args->kw;

	for (uint32_t i = 0; i < args->kw_count; i++) {
		tpl_step(r, 0);
		if (tpl_same(&old[i].name, &name))
			tpl_throw(&r->heap, TPL_FAILED, "keyword argument repeated: %.*s",
				  (int)name.bytes, name.text);
	}
	if (args->kw_count == args->kw_cap) {
		args->kw_cap = args->kw_cap ? args->kw_cap * 2 : 4;
		args->kw = tpl_alloc(&r->heap, args->kw_cap * sizeof(*old));
		if (args->kw_count)
			memcpy(args->kw, old, args->kw_count * sizeof(*old));
	}
	args->kw[args->kw_count++] = (struct tpl_keyword){ name, v };
}

const struct tpl_value *tpl_args_find(const struct tpl_args *args, const char *name)
{
	for (uint32_t i = 0; i < args->kw_count; i++)
		if (tpl_is(&args->kw[i].name, name))
			return &args->kw[i].value;
	return NULL;
}

/* The index of the parameter @name; -1: there is none. */
static int parameter_index(const char *signature, const struct tpl_value *name)
{
	int index = 0;

	for (const char *at = signature; *at; index++) {
		size_t bytes = strcspn(at, "! ");

		if (bytes == name->bytes && !memcmp(at, name->text, bytes))
			return index;
		at += bytes;
		at += strspn(at, "! ");
	}
	return -1;
}

static void check_given(struct tpl_run *r, const char *what, const char *signature,
			const struct tpl_value *out)
{
	int index = 0;

	for (const char *at = signature; *at; index++) {
		size_t bytes = strcspn(at, "! ");

		if (at[bytes] == '!' && out[index].kind == TPL_MISSING)
			tpl_throw(&r->heap, TPL_FAILED, "%s: missing argument '%.*s'", what, (int)bytes, at);
		at += bytes;
		at += strspn(at, "! ");
	}
}

void tpl_bind(struct tpl_run *r, const char *what, const char *signature,
	      const struct tpl_args *args, struct tpl_value out[TPL_ARGS_MAX])
{
	uint32_t count = *signature ? 1 : 0;

	memset(out, 0, TPL_ARGS_MAX * sizeof(*out));
	for (const char *at = signature; *at; at++)
		count += *at == ' ';
	if (args->count > count)
		tpl_throw(&r->heap, TPL_FAILED, "%s takes at most %u arguments, %u are given", what, count,
			  args->count);
	for (uint32_t i = 0; i < args->count; i++)
		out[i] = args->v[i];
	for (uint32_t i = 0; i < args->kw_count; i++) {
		const struct tpl_value *name = &args->kw[i].name;
		int index = parameter_index(signature, name);

		if (index < 0 || out[index].kind != TPL_MISSING)
			tpl_throw(&r->heap, TPL_FAILED, "%s: %s argument '%.*s'", what,
				  index < 0 ? "unexpected keyword" : "multiple values for",
				  (int)name->bytes, name->text);
		out[index] = args->kw[i].value;
	}
	check_given(r, what, signature, out);
}

struct tpl_value tpl_invoke(struct tpl_run *r, const struct tpl_method_row *row,
			    struct tpl_value self, const struct tpl_args *args)
{
	struct tpl_value bound[TPL_ARGS_MAX];

	if (row->args_fn)
		return row->args_fn(r, self, args);
	tpl_bind(r, row->name, row->signature, args, bound);
	return row->fn(r, self, bound);
}

const struct tpl_method_row *tpl_row_find(const struct tpl_method_row *rows, const char *name,
					  uint32_t bytes)
{
	for (; rows->name; rows++)
		if (strlen(rows->name) == bytes && !memcmp(rows->name, name, bytes))
			return rows;
	return NULL;
}

static struct tpl_value call_cycler(struct tpl_run *r, const struct tpl_value *callee)
{
	struct tpl_cycler *c = callee->cycler;

	if (callee->kind == TPL_JOINER)
		return c->next++ ? c->list->items[0] : tpl_text("", 0);
	tpl_throw(&r->heap, TPL_FAILED, "'Cycler' object is not callable");
}

struct tpl_value tpl_call(struct tpl_run *r, const struct tpl_value *callee, struct tpl_args *args)
{
	struct tpl_value result;

	tpl_step(r, 0);
	tpl_enter(&r->heap);
	switch (callee->kind) {
	case TPL_METHOD:
		result = tpl_invoke(r, callee->method->row, callee->method->self, args);
		break;
	case TPL_MACRO:
		result = tpl_macro_call(r, callee->macro, args);
		break;
	case TPL_LOOP:
		result = tpl_loop_call(r, callee->loop, args);
		break;
	case TPL_CYCLER:
	case TPL_JOINER:
		result = call_cycler(r, callee);
		break;
	default:
		tpl_need_defined(r, callee);
		tpl_throw(&r->heap, TPL_FAILED, "'%s' object is not callable", tpl_type_name(callee));
	}
	tpl_leave(&r->heap);
	return result;
}
