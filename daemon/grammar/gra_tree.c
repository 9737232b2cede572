/* SPDX-License-Identifier: MIT */
/* gra_tree.c: memory and names of what the parser makes. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gra_priv.h"

#define BLOCK_BYTES	(64u << 10)

struct gra_block {
	struct gra_block *next;
	size_t used, cap;
	max_align_t data[];
};

int gra_fail(struct gra *g, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(g->error->text, sizeof(g->error->text), format, args);
	va_end(args);
	gra_error_tidy(g->error);
	return err;
}

void *gra_alloc(struct gra *g, size_t bytes)
{
	struct gra_block *block = g->blocks;
	void *p;

	bytes = (bytes + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	if (!block || block->cap - block->used < bytes) {
		size_t cap = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;

		block = calloc(1, sizeof(*block) + cap);
		if (!block) {
			gra_fail(g, -ENOMEM, "out of memory");
			return NULL;
		}
		block->cap = cap;
		block->next = g->blocks;
		g->blocks = block;
	}
	p = (char *)block->data + block->used;
	block->used += bytes;
	return p;
}

void gra_trees_free(struct gra *g)
{
	while (g->blocks) {
		struct gra_block *block = g->blocks;

		g->blocks = block->next;
		free(block);
	}
	free(g->names);
	g->names = NULL;
	for (uint32_t i = 0; i < g->rule_count; i++) {
		g->rules[i].tree = NULL;
		g->rules[i].name = NULL;
	}
}

struct gra_tree *gra_tree_new(struct gra *g, enum gra_kind kind)
{
	struct gra_tree *tree = gra_alloc(g, sizeof(*tree));

	if (tree)
		tree->kind = kind;
	return tree;
}

void gra_tree_add(struct gra_tree *parent, struct gra_tree *child)
{
	if (parent->last)
		parent->last->next = child;
	else
		parent->child = child;
	parent->last = child;
}

static uint32_t *name_slot(const struct gra *g, const char *name, size_t bytes)
{
	uint32_t hash = 2166136261u, at;

	for (size_t i = 0; i < bytes; i++)
		hash = (hash ^ (uint8_t)name[i]) * 16777619u;
	for (at = hash;; at++) {
		uint32_t *slot = &g->names[at & (g->name_slots - 1)];
		const char *known = *slot == GRA_NONE ? NULL : g->rules[*slot].name;

		if (!known || (strlen(known) == bytes && !memcmp(known, name, bytes)))
			return slot;
	}
}

static int rules_grow(struct gra *g)
{
	uint32_t cap = g->rule_cap ? 2 * g->rule_cap : 64;
	struct gra_rule *rules = realloc(g->rules, cap * sizeof(*rules));
	uint32_t *names = malloc(2 * cap * sizeof(*names));

	if (rules)
		g->rules = rules;
	if (!rules || !names) {
		free(names);
		return gra_fail(g, -ENOMEM, "out of memory");
	}
	free(g->names);
	g->names = names;
	g->rule_cap = cap;
	g->name_slots = 2 * cap;
	memset(names, 0xff, 2 * cap * sizeof(*names));
	for (uint32_t i = 0; i < g->rule_count; i++)
		*name_slot(g, rules[i].name, strlen(rules[i].name)) = i;
	return 0;
}

uint32_t gra_rule_get(struct gra *g, const char *name, size_t bytes)
{
	uint32_t *slot;
	char *copy;

	if (g->rule_count == g->rule_cap && rules_grow(g))
		return GRA_NONE;
	slot = name_slot(g, name, bytes);
	if (*slot != GRA_NONE)
		return *slot;
	if (g->rule_count == GRA_RULES_MAX) {
		gra_fail(g, -E2BIG, "more than %u rules", GRA_RULES_MAX);
		return GRA_NONE;
	}
	copy = gra_alloc(g, bytes + 1);
	if (!copy)
		return GRA_NONE;
	memcpy(copy, name, bytes);
	*slot = g->rule_count;
	g->rules[g->rule_count] = (struct gra_rule){ .name = copy, .start = GRA_NONE };
	return g->rule_count++;
}
