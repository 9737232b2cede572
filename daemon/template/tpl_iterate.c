/* SPDX-License-Identifier: MIT */
/* tpl_iterate.c: one item after the other, lists of them, and sorting. */
#include "tpl_priv.h"

bool tpl_iterable(const struct tpl_value *v)
{
	switch (v->kind) {
	case TPL_UNDEFINED:
		return !(v->flags & TPL_UNSAFE);
	case TPL_STRING:
	case TPL_LIST:
	case TPL_TUPLE:
	case TPL_DICT:
	case TPL_VIEW:
	case TPL_RANGE:
	case TPL_ITER:
	case TPL_LOOP:
		return true;
	default:
		return false;
	}
}

void tpl_cursor_init(struct tpl_run *r, struct tpl_cursor *c, const struct tpl_value *over)
{
	if (!tpl_iterable(over) || over->kind == TPL_LOOP) {
		tpl_need_defined(r, over);
		tpl_throw(&r->heap, TPL_FAILED, "'%s' object is not iterable", tpl_type_name(over));
	}
	c->over = *over;
	c->at = 0;
}

static bool next_char(struct tpl_cursor *c, struct tpl_value *item)
{
	size_t used;

	if (c->at >= c->over.bytes)
		return false;
	tpl_decode(c->over.text + c->at, c->over.bytes - c->at, &used);
	*item = tpl_text(c->over.text + c->at, used);
	c->at += used;
	return true;
}

static bool next_item(struct tpl_cursor *c, struct tpl_value *item)
{
	struct tpl_iter *iter = c->over.iter;

	switch (c->over.kind) {
	case TPL_LIST:
	case TPL_TUPLE:
	case TPL_VIEW:
		if (c->at >= c->over.list->count)
			return false;
		*item = c->over.list->items[c->at++];
		return true;
	case TPL_DICT:
		if (c->at >= c->over.dict->count)
			return false;
		*item = c->over.dict->entries[c->at++].key;
		return true;
	case TPL_RANGE:
		if (c->at >= (uint64_t)c->over.range->count)
			return false;
		*item = tpl_int(c->over.range->start + (int64_t)c->at++ * c->over.range->step);
		return true;
	case TPL_ITER:
		if (iter->next >= iter->list->count)
			return false;
		*item = iter->list->items[iter->next++];
		return true;
	default:
		return false;
	}
}

bool tpl_cursor_next(struct tpl_run *r, struct tpl_cursor *c, struct tpl_value *item)
{
	tpl_step(r, 0);
	return c->over.kind == TPL_STRING ? next_char(c, item) : next_item(c, item);
}

struct tpl_value tpl_to_list(struct tpl_run *r, const struct tpl_value *v, enum tpl_kind kind)
{
	struct tpl_value list = tpl_list_new(r, kind, 0), item;
	struct tpl_cursor cursor;

	tpl_cursor_init(r, &cursor, v);
	while (tpl_cursor_next(r, &cursor, &item))
		tpl_list_add(r, list.list, item);
	return list;
}

/* ---- sorting ------------------------------------------------------------------------------ */

struct sorting {
	struct tpl_run *r;
	struct tpl_value *items, *keys, *item_spare, *key_spare;
	bool reverse;
};

/* Merge the sorted halves [from, middle) and [middle, to); equal ones keep their order. */
static void merge(struct sorting *s, uint32_t from, uint32_t middle, uint32_t to)
{
	uint32_t a = from, b = middle;

	for (uint32_t i = from; i < to; i++) {
		bool second = a == middle;

		if (!second && b < to) {
			const struct tpl_value *x = &s->keys[s->reverse ? a : b];
			const struct tpl_value *y = &s->keys[s->reverse ? b : a];

			second = tpl_order(s->r, x, y, "<") < 0;
		}
		s->item_spare[i] = s->items[second ? b : a];
		s->key_spare[i] = s->keys[second ? b : a];
		if (second)
			b++;
		else
			a++;
	}
	memcpy(s->items + from, s->item_spare + from, (to - from) * sizeof(*s->items));
	memcpy(s->keys + from, s->key_spare + from, (to - from) * sizeof(*s->keys));
}

void tpl_sort(struct tpl_run *r, struct tpl_value *items, struct tpl_value *keys, uint32_t count,
	      bool reverse)
{
	struct sorting s = { .r = r, .items = items, .keys = keys, .reverse = reverse };

	if (count < 2)
		return;
	s.item_spare = tpl_alloc(&r->heap, count * sizeof(*items));
	s.key_spare = tpl_alloc(&r->heap, count * sizeof(*keys));
	for (uint32_t width = 1; width < count; width *= 2)
		for (uint32_t from = 0; from + width < count; from += 2 * width)
			merge(&s, from, from + width,
			      from + 2 * width < count ? from + 2 * width : count);
}
