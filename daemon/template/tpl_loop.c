/* SPDX-License-Identifier: MIT */
/*
 * tpl_loop.c: for. Items are taken one by one, the condition with each, as jinja2's generators do:
 * only what looks ahead (loop.last, loop.length) takes more.
 */
#include "tpl_priv.h"

static const struct tpl_node *condition(const struct tpl_loop *loop)
{
	return loop->node->b->next;
}

/* Does the item pass the loop's condition? It is seen by the loop's target alone. */
static bool passes(struct tpl_run *r, const struct tpl_loop *loop, const struct tpl_value *item)
{
	struct tpl_scope *scope = r->scope;
	struct tpl_value test;

	if (!condition(loop) || loop->passed)
		return true;
	r->scope = tpl_scope_new(r, loop->scope);
	tpl_assign(r, loop->node->a, item);
	test = tpl_eval(r, condition(loop));
	r->scope = scope;
	return tpl_truth(r, &test);
}

/* The next item from the cursor; MISSING: no more. */
static struct tpl_value take(struct tpl_run *r, struct tpl_loop *loop)
{
	struct tpl_value item;

	while (tpl_cursor_next(r, &loop->cursor, &item))
		if (passes(r, loop, &item))
			return item;
	return (struct tpl_value){ .kind = TPL_MISSING };
}

static struct tpl_value peek(struct tpl_run *r, struct tpl_loop *loop)
{
	if (loop->after.kind == TPL_MISSING)
		loop->after = take(r, loop);
	return loop->after;
}

static bool advance(struct tpl_run *r, struct tpl_loop *loop)
{
	struct tpl_value next = loop->after;

	if (next.kind == TPL_MISSING)
		next = take(r, loop);
	loop->after.kind = TPL_MISSING;
	if (next.kind == TPL_MISSING)
		return false;
	loop->index0++;
	loop->before = loop->current;
	loop->current = next;
	return true;
}

static int64_t length(struct tpl_run *r, struct tpl_loop *loop)
{
	struct tpl_value rest, item;

	if (loop->length >= 0)
		return loop->length;
	loop->length = condition(loop) ? -1 : tpl_length(r, &loop->cursor.over);
	if (loop->length >= 0)
		return loop->length;
	rest = tpl_list_new(r, TPL_LIST, 0);
	while ((item = take(r, loop)).kind != TPL_MISSING)
		tpl_list_add(r, rest.list, item);
	loop->length = rest.list->count + loop->index0 + 1 + (loop->after.kind != TPL_MISSING);
	tpl_cursor_init(r, &loop->cursor, &rest);
	loop->passed = true;
	return loop->length;
}

static bool body(struct tpl_run *r, struct tpl_loop *loop)
{
	r->scope = tpl_scope_new(r, loop->scope);
	tpl_assign(r, loop->node->a, &loop->current);
	tpl_set(r, TPL_NAME_LOOP, (struct tpl_value){ .kind = TPL_LOOP, .loop = loop });
	return tpl_exec(r, loop->node->c) != FLOW_BREAK;
}

static void iterate(struct tpl_run *r, const struct tpl_node *node, const struct tpl_value *over,
		    struct tpl_scope *scope, uint32_t depth0)
{
	struct tpl_loop *loop = tpl_zalloc(&r->heap, sizeof(*loop));
	struct tpl_scope *outer = r->scope;

	*loop = (struct tpl_loop){ .node = node, .scope = scope, .index0 = -1, .length = -1,
				   .depth0 = depth0 };
	tpl_cursor_init(r, &loop->cursor, over);
	r->scope = scope;
	while (advance(r, loop) && body(r, loop))
		r->scope = scope;
	if (loop->index0 < 0 && node->d) {
		r->scope = tpl_scope_new(r, scope);
		tpl_exec(r, node->d);
	}
	r->scope = outer;
}

void tpl_for(struct tpl_run *r, const struct tpl_node *node)
{
	struct tpl_value over = tpl_eval(r, node->b);

	iterate(r, node, &over, r->scope, 0);
}

struct tpl_value tpl_loop_call(struct tpl_run *r, struct tpl_loop *loop, const struct tpl_args *args)
{
	struct tpl_buffer buffer, *outer;

	if (!loop->node->recursive)
		tpl_throw(&r->heap, TPL_FAILED,
			  "The loop must have the 'recursive' marker to be called recursively.");
	if (args->count != 1 || args->kw_count)
		tpl_throw(&r->heap, TPL_FAILED, "loop() takes one argument");
	outer = tpl_capture(r, &buffer);
	iterate(r, loop->node, &args->v[0], loop->scope, loop->depth0 + 1);
	return tpl_capture_end(r, outer);
}

/* ---- loop.name ---------------------------------------------------------------------------- */

static struct tpl_value cycle(struct tpl_run *r, struct tpl_value self, const struct tpl_args *args)
{
	if (!args->count)
		tpl_throw(&r->heap, TPL_FAILED, "no items for cycling given");
	return args->v[self.loop->index0 % args->count];
}

static struct tpl_value changed(struct tpl_run *r, struct tpl_value self, const struct tpl_args *args)
{
	struct tpl_value now = tpl_list_new(r, TPL_TUPLE, 0);

	for (uint32_t i = 0; i < args->count; i++)
		tpl_list_add(r, now.list, args->v[i]);
	if (self.loop->changed.kind != TPL_MISSING && tpl_equal(r, &self.loop->changed, &now))
		return tpl_bool(false);
	self.loop->changed = now;
	return tpl_bool(true);
}

static const struct tpl_method_row loop_methods[] = {
	{ "cycle", NULL, NULL, cycle },
	{ "changed", NULL, NULL, changed },
	{ 0 },
};

static struct tpl_value or_undefined(struct tpl_run *r, struct tpl_value v, const char *what)
{
	return v.kind == TPL_MISSING ? tpl_undefined(r, NULL, tpl_cstr(what)) : v;
}

struct tpl_value tpl_loop_attr(struct tpl_run *r, struct tpl_loop *loop, const struct tpl_value *name)
{
	const struct tpl_method_row *row = tpl_row_find(loop_methods, name->text, name->bytes);
	struct tpl_method *method;

	if (row) {
		method = tpl_alloc(&r->heap, sizeof(*method));
		*method = (struct tpl_method){ row, { .kind = TPL_LOOP, .loop = loop } };
		return (struct tpl_value){ .kind = TPL_METHOD, .method = method };
	}
	if (tpl_is(name, "index") || tpl_is(name, "index0"))
		return tpl_int(loop->index0 + (name->bytes == 5));
	if (tpl_is(name, "revindex") || tpl_is(name, "revindex0"))
		return tpl_int(length(r, loop) - loop->index0 - (name->bytes == 9));
	if (tpl_is(name, "depth") || tpl_is(name, "depth0"))
		return tpl_int(loop->depth0 + (name->bytes == 5));
	if (tpl_is(name, "first"))
		return tpl_bool(loop->index0 == 0);
	if (tpl_is(name, "last"))
		return tpl_bool(peek(r, loop).kind == TPL_MISSING);
	if (tpl_is(name, "length"))
		return tpl_int(length(r, loop));
	if (tpl_is(name, "previtem"))
		return or_undefined(r, loop->before, "loop.previtem");
	if (tpl_is(name, "nextitem"))
		return or_undefined(r, peek(r, loop), "loop.nextitem");
	return tpl_undefined(r, "LoopContext", *name);
}
