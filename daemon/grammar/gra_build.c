/* SPDX-License-Identifier: MIT */
/*
 * gra_build.c: trees to nodes (Thompson 1968). Each build function gets the node that follows and
 * returns the one to begin with, so nodes come from the end to the beginning.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gra_priv.h"

#define SURROGATES	0xd800u		/* no text has them */
#define SURROGATES_END	0xdfffu

static uint32_t build(struct gra *g, const struct gra_tree *tree, uint32_t next);

static uint32_t node_new(struct gra *g, struct gra_node node)
{
	if (g->node_count == GRA_NODES_MAX) {
		gra_fail(g, -E2BIG, "more than %u nodes: make it smaller", GRA_NODES_MAX);
		return GRA_NONE;
	}
	if (g->node_count == g->node_cap) {
		uint32_t cap = g->node_cap ? 2 * g->node_cap : 256;
		struct gra_node *nodes = realloc(g->nodes, cap * sizeof(*nodes));

		if (!nodes) {
			gra_fail(g, -ENOMEM, "out of memory");
			return GRA_NONE;
		}
		g->nodes = nodes;
		g->node_cap = cap;
	}
	g->nodes[g->node_count] = node;
	return g->node_count++;
}

/* The set @bits, known already or not; the latest few are looked through. */
static uint32_t set_get(struct gra *g, const struct gra_set *set)
{
	uint32_t since = g->set_count > 64 ? g->set_count - 64 : 0;

	for (uint32_t i = g->set_count; i > since; i--)
		if (!memcmp(&g->sets[i - 1], set, sizeof(*set)))
			return i - 1;
	if (g->set_count == g->set_cap) {
		uint32_t cap = g->set_cap ? 2 * g->set_cap : 64;
		struct gra_set *sets = realloc(g->sets, cap * sizeof(*sets));

		if (!sets) {
			gra_fail(g, -ENOMEM, "out of memory");
			return GRA_NONE;
		}
		g->sets = sets;
		g->set_cap = cap;
	}
	g->sets[g->set_count] = *set;
	return g->set_count++;
}

static void set_add(struct gra_set *set, uint32_t first, uint32_t last)
{
	for (uint32_t b = first; b <= last; b++)
		set->bits[b / 64] |= UINT64_C(1) << (b % 64);
}

static uint32_t build_set(struct gra *g, const struct gra_set *set, uint32_t next)
{
	uint32_t at = next == GRA_NONE ? GRA_NONE : set_get(g, set);

	return at == GRA_NONE ? GRA_NONE :
				node_new(g, (struct gra_node){ .op = GRA_OP_SET, .set = at, .next = next });
}

static uint32_t build_split(struct gra *g, uint32_t one, uint32_t other)
{
	if (one == GRA_NONE || other == GRA_NONE)
		return GRA_NONE;
	return node_new(g, (struct gra_node){ .op = GRA_OP_SPLIT, .next = one, .other = other });
}

static uint32_t build_literal(struct gra *g, const struct gra_tree *tree, uint32_t next)
{
	for (uint32_t i = tree->count; i > 0 && next != GRA_NONE; i--) {
		struct gra_set set = { { 0 } };

		set_add(&set, tree->bytes[i - 1], tree->bytes[i - 1]);
		next = build_set(g, &set, next);
	}
	return next;
}

static uint32_t build_piece(struct gra *g, const struct gra_utf8 *piece, uint32_t next)
{
	for (uint32_t i = piece->count; i > 0; i--) {
		struct gra_set set = { { 0 } };

		set_add(&set, piece->first[i - 1], piece->last[i - 1]);
		next = build_set(g, &set, next);
	}
	return next;
}

/* [@first, @last], all of several bytes or all of one, beside @start (GRA_NONE: the first of all). */
static uint32_t build_range(struct gra *g, uint32_t first, uint32_t last, uint32_t start, uint32_t next)
{
	while (first <= last) {
		struct gra_utf8 piece;
		uint32_t at;

		if (first >= SURROGATES && first <= SURROGATES_END) {
			first = SURROGATES_END + 1;
			continue;
		}
		first = gra_utf8_piece(first, last >= SURROGATES && first < SURROGATES ? SURROGATES - 1 : last,
				       &piece);
		at = build_piece(g, &piece, next);
		if (at == GRA_NONE)
			return GRA_NONE;
		start = start == GRA_NONE ? at : build_split(g, at, start);
		if (start == GRA_NONE)
			return GRA_NONE;
	}
	return start;
}

static uint32_t build_class(struct gra *g, const struct gra_tree *tree, uint32_t next)
{
	struct gra_set ascii = { { 0 } };
	uint32_t start = GRA_NONE;

	for (uint32_t i = 0; i < tree->count; i++) {
		const struct gra_range *r = &tree->ranges[i];

		if (r->first < 0x80)
			set_add(&ascii, r->first, r->last < 0x80 ? r->last : 0x7f);
		if (r->last >= 0x80)
			start = build_range(g, r->first < 0x80 ? 0x80 : r->first, r->last, start, next);
		if (g->error->text[0])
			return GRA_NONE;
	}
	if (tree->ranges[0].first < 0x80) {
		uint32_t at = build_set(g, &ascii, next);

		return start == GRA_NONE ? at : build_split(g, at, start);
	}
	if (start == GRA_NONE)
		gra_fail(g, -EINVAL, "a class holds surrogates alone");
	return start;
}

/* The nodes of siblings from @tree on, last first; recursion would be as deep as the list is long. */
static uint32_t build_list(struct gra *g, const struct gra_tree *parent, uint32_t next)
{
	const struct gra_tree **all, *t;
	uint32_t count = 0, i, start = GRA_NONE;

	for (t = parent->child; t; t = t->next)
		count++;
	all = gra_alloc(g, (count + 1) * sizeof(*all));
	if (!all)
		return GRA_NONE;
	for (t = parent->child, i = 0; t; t = t->next)
		all[i++] = t;
	if (parent->kind == GRA_SEQUENCE) {
		while (i > 0 && next != GRA_NONE)
			next = build(g, all[--i], next);
		return next;
	}
	while (i > 0) {
		uint32_t at = build(g, all[--i], next);

		start = start == GRA_NONE && i + 1 == count ? at : build_split(g, at, start);
		if (start == GRA_NONE)
			return GRA_NONE;
	}
	return start;
}

/* As often as one likes: a split that comes back to itself. */
static uint32_t build_star(struct gra *g, const struct gra_tree *what, bool once, uint32_t next)
{
	uint32_t split = build_split(g, next, next), body;

	if (split == GRA_NONE)
		return GRA_NONE;
	body = build(g, what, split);
	if (body == GRA_NONE)
		return GRA_NONE;
	g->nodes[split].next = body;
	return once ? body : split;
}

static uint32_t build_repeat(struct gra *g, const struct gra_tree *tree, uint32_t next)
{
	uint32_t end, body;

	if (tree->max == 0)
		return next;
	if (tree->max == GRA_NONE && tree->min <= 1)
		return build_star(g, tree->child, tree->min, next);
	if (tree->max == 1) {
		body = build(g, tree->child, next);
		return tree->min ? body : build_split(g, body, next);
	}
	end = node_new(g, (struct gra_node){ .op = GRA_OP_END });
	body = end == GRA_NONE ? GRA_NONE : build(g, tree->child, end);
	if (body == GRA_NONE)
		return GRA_NONE;
	return node_new(g, (struct gra_node){ .op = GRA_OP_LOOP, .next = next, .other = body,
					      .min = tree->min, .max = tree->max });
}

static uint32_t build(struct gra *g, const struct gra_tree *tree, uint32_t next)
{
	switch (tree->kind) {
	case GRA_LITERAL:
		return build_literal(g, tree, next);
	case GRA_CLASS:
		return build_class(g, tree, next);
	case GRA_REPEAT:
		return build_repeat(g, tree, next);
	case GRA_RULE:
		return node_new(g, (struct gra_node){ .op = GRA_OP_CALL, .rule = tree->rule, .next = next });
	case GRA_SEQUENCE:
	case GRA_CHOICE:
		break;
	}
	return build_list(g, tree, next);
}

int gra_build(struct gra *g)
{
	for (uint32_t i = 0; i < g->rule_count; i++) {
		uint32_t end = node_new(g, (struct gra_node){ .op = GRA_OP_END });

		g->rules[i].start = end == GRA_NONE ? GRA_NONE : build(g, g->rules[i].tree, end);
		if (g->rules[i].start == GRA_NONE)
			return g->error->text[0] ? -EINVAL : -ENOMEM;
	}
	for (uint32_t i = 0; i < g->node_count; i++)
		if (g->nodes[i].op == GRA_OP_CALL)
			g->nodes[i].other = g->rules[g->nodes[i].rule].start;
	return 0;
}
