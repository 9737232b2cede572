/* SPDX-License-Identifier: MIT */
/* tpl_dict.c: lists and dictionaries; the latter keep the order of insertion, as Python's do. */
#include <math.h>

#include "tpl_priv.h"

#define SMALL	8u	/* entries that are looked through one by one */

struct tpl_value tpl_list_new(struct tpl_run *r, enum tpl_kind kind, uint32_t cap)
{
	struct tpl_list *list = tpl_zalloc(&r->heap, sizeof(*list));

	list->cap = cap;
	list->items = cap ? tpl_alloc(&r->heap, cap * sizeof(*list->items)) : NULL;
	return (struct tpl_value){ .kind = (uint8_t)kind, .list = list };
}

void tpl_list_add(struct tpl_run *r, struct tpl_list *list, struct tpl_value item)
{
	struct tpl_value *old = list->items;

	tpl_step(r, 0);
	if (list->count == list->cap) {
		list->cap = list->cap ? list->cap * 2 : 8;
		list->items = tpl_alloc(&r->heap, (size_t)list->cap * sizeof(*old));
		if (list->count)
			memcpy(list->items, old, list->count * sizeof(*old));
	}
	list->items[list->count++] = item;
}

struct tpl_value tpl_pair(struct tpl_run *r, struct tpl_value a, struct tpl_value b)
{
	struct tpl_value pair = tpl_list_new(r, TPL_TUPLE, 2);

	pair.list->items[0] = a;
	pair.list->items[1] = b;
	pair.list->count = 2;
	return pair;
}

struct tpl_value tpl_iter_of(struct tpl_run *r, struct tpl_list *list)
{
	struct tpl_iter *iter = tpl_zalloc(&r->heap, sizeof(*iter));

	iter->list = list;
	return (struct tpl_value){ .kind = TPL_ITER, .iter = iter };
}

/* ---- dictionaries ------------------------------------------------------------------------- */

static uint32_t mix(uint64_t x)
{
	x *= UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(x >> 32);
}

static uint32_t hash_text(struct tpl_run *r, const struct tpl_value *v)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	tpl_step(r, v->bytes);
	for (uint32_t i = 0; i < v->bytes; i++)
		h = (h ^ (unsigned char)v->text[i]) * UINT64_C(0x100000001b3);
	return mix(h);
}

/* Equal values hash alike, whatever their kinds. */
static uint32_t hash_of(struct tpl_run *r, const struct tpl_value *v)
{
	uint64_t bits;
	uint32_t h = 7;
	double real;

	switch (v->kind) {
	case TPL_STRING:
		return hash_text(r, v);
	case TPL_BOOL:
	case TPL_INT:
	case TPL_FLOAT:
		real = tpl_real(v) + 0.0;	/* -0.0 is 0.0 */
		memcpy(&bits, &real, sizeof(bits));
		return mix(bits);
	case TPL_NONE:
	case TPL_UNDEFINED:
		return v->kind;
	case TPL_TUPLE:
		tpl_enter(&r->heap);
		for (uint32_t i = 0; i < v->list->count; i++)
			h = mix(h + hash_of(r, &v->list->items[i]));
		tpl_leave(&r->heap);
		return h;
	default:
		tpl_throw(&r->heap, TPL_FAILED, "unhashable type: '%s'", tpl_type_name(v));
	}
}

static bool entry_is(struct tpl_run *r, const struct tpl_entry *e, const struct tpl_value *key,
		     uint32_t hash)
{
	return e->hash == hash && tpl_equal(r, &e->key, key);
}

/* Where @key is, or where it may be put: entry + 1 there, 0: free. */
static uint32_t *slot_find(struct tpl_run *r, const struct tpl_dict *dict,
			   const struct tpl_value *key, uint32_t hash)
{
	uint32_t at = hash & dict->slot_mask;

	while (dict->slots[at] && !entry_is(r, &dict->entries[dict->slots[at] - 1], key, hash)) {
		tpl_step(r, 0);
		at = (at + 1) & dict->slot_mask;
	}
	return &dict->slots[at];
}

static struct tpl_entry *entry_find(struct tpl_run *r, const struct tpl_dict *dict,
				    const struct tpl_value *key, uint32_t hash)
{
	uint32_t slot;

	if (dict->slots) {
		slot = *slot_find(r, dict, key, hash);
		return slot ? &dict->entries[slot - 1] : NULL;
	}
	for (uint32_t i = 0; i < dict->count; i++)
		if (entry_is(r, &dict->entries[i], key, hash))
			return &dict->entries[i];
	return NULL;
}

static void slots_make(struct tpl_run *r, struct tpl_dict *dict)
{
	uint32_t count = 4 * SMALL;

	while (count < dict->cap * 2)
		count *= 2;
	tpl_step(r, (uint64_t)count * sizeof(*dict->slots));
	dict->slots = tpl_zalloc(&r->heap, (size_t)count * sizeof(*dict->slots));
	dict->slot_mask = count - 1;
	for (uint32_t i = 0; i < dict->count; i++)
		*slot_find(r, dict, &dict->entries[i].key, dict->entries[i].hash) = i + 1;
}

static void dict_grow(struct tpl_run *r, struct tpl_dict *dict)
{
	struct tpl_entry *old = dict->entries;

	dict->cap = dict->cap ? dict->cap * 2 : 4;
	dict->entries = tpl_alloc(&r->heap, (size_t)dict->cap * sizeof(*old));
	if (dict->count)
		memcpy(dict->entries, old, dict->count * sizeof(*old));
	if (dict->cap > SMALL)
		slots_make(r, dict);
}

struct tpl_value tpl_dict_new(struct tpl_run *r, uint32_t cap)
{
	struct tpl_dict *dict = tpl_zalloc(&r->heap, sizeof(*dict));

	dict->cap = cap;
	dict->entries = cap ? tpl_alloc(&r->heap, (size_t)cap * sizeof(*dict->entries)) : NULL;
	if (cap > SMALL)
		slots_make(r, dict);
	return (struct tpl_value){ .kind = TPL_DICT, .dict = dict };
}

void tpl_dict_set(struct tpl_run *r, struct tpl_dict *dict, struct tpl_value key,
		  struct tpl_value value)
{
	uint32_t hash = hash_of(r, &key);
	struct tpl_entry *found = entry_find(r, dict, &key, hash);

	if (found) {
		found->value = value;
		return;
	}
	if (dict->count == dict->cap)
		dict_grow(r, dict);
	dict->entries[dict->count] = (struct tpl_entry){ key, value, hash };
	if (dict->slots)
		*slot_find(r, dict, &key, hash) = dict->count + 1;
	dict->count++;
}

const struct tpl_value *tpl_dict_get(struct tpl_run *r, const struct tpl_dict *dict,
				     const struct tpl_value *key)
{
	const struct tpl_entry *found = entry_find(r, dict, key, hash_of(r, key));

	return found ? &found->value : NULL;
}

const struct tpl_value *tpl_dict_find(struct tpl_run *r, const struct tpl_dict *dict,
				      const char *key)
{
	struct tpl_value name = tpl_cstr(key);

	return tpl_dict_get(r, dict, &name);
}

/* @which: 'k'eys, 'v'alues, 'i'tems. */
struct tpl_value tpl_view(struct tpl_run *r, const struct tpl_dict *dict, char which)
{
	struct tpl_value view = tpl_list_new(r, TPL_VIEW, dict->count);

	view.flags = (uint8_t)which;
	for (uint32_t i = 0; i < dict->count; i++) {
		const struct tpl_entry *e = &dict->entries[i];

		tpl_list_add(r, view.list, which == 'k' ? e->key : which == 'v' ? e->value :
			     tpl_pair(r, e->key, e->value));
	}
	return view;
}
