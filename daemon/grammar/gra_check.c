/* SPDX-License-Identifier: MIT */
/*
 * gra_check.c: the fewest bytes from each node to the end of its rule, and what makes a grammar unfit:
 * rules that no text ends, and rules that reach themselves without a byte.
 */
#include <errno.h>
#include <stdlib.h>

#include "gra_priv.h"

#define VISITS_MAX	UINT64_C(50000000)	/* of nodes, in all: a tenth of a second */
#define EMPTY_LOOP_MAX	1000u			/* times of what may be empty */
#define CALLS_MAX	1000u			/* rules in rules without a byte */

static uint64_t sum(uint64_t a, uint64_t b)
{
	return a > GRA_NEVER - b ? GRA_NEVER : a + b;
}

static uint64_t times(uint64_t a, uint64_t n)
{
	return n && a > GRA_NEVER / n ? GRA_NEVER : a * n;
}

static uint64_t least_of(const struct gra *g, const struct gra_node *n)
{
	uint64_t next = g->nodes[n->next].least, other = g->nodes[n->other].least;

	switch (n->op) {
	case GRA_OP_SET:
		return sum(1, next);
	case GRA_OP_SPLIT:
		return next < other ? next : other;
	case GRA_OP_CALL:
		return sum(other, next);
	case GRA_OP_LOOP:
		return sum(times(other, n->min), next);
	case GRA_OP_END:
		break;
	}
	return 0;
}

/* Values only fall, and each pass settles one more level of calls. */
static int find_least(struct gra *g)
{
	uint64_t visits = 0;
	bool moved = true;

	for (uint32_t i = 0; i < g->node_count; i++)
		g->nodes[i].least = GRA_NEVER;
	for (; moved; visits += g->node_count) {
		moved = false;
		if (visits > VISITS_MAX)
			return gra_fail(g, -E2BIG, "rules call each other too deeply: make it smaller");
		for (uint32_t i = 0; i < g->node_count; i++) {
			uint64_t least = least_of(g, &g->nodes[i]);

			moved |= least != g->nodes[i].least;
			g->nodes[i].least = least;
		}
	}
	for (uint32_t i = 0; i < g->rule_count; i++)
		if (g->nodes[g->rules[i].start].least == GRA_NEVER)
			return gra_fail(g, -EINVAL, "rule \"%.40s\" never ends: it needs a way out of itself",
					g->rules[i].name);
	return 0;
}

/* A walk over all that is reached without a byte. */
struct walk {
	struct gra *g;
	uint32_t *seen;			/* by node: rule that it was seen for, plus 1 */
	uint8_t *state;			/* by rule: 0 new, 1 being walked, 2 done */
	uint32_t *stack;		/* nodes to look at */
	uint32_t count, depth;
};

static int walk_rule(struct walk *w, uint32_t rule);

static void walk_push(struct walk *w, uint32_t rule, uint32_t node)
{
	if (w->seen[node] == rule + 1)
		return;
	w->seen[node] = rule + 1;
	w->stack[w->count++] = node;
}

static int walk_loop(struct walk *w, uint32_t rule, const struct gra_node *n)
{
	bool empty = w->g->nodes[n->other].least == 0;

	if (empty && n->max != GRA_NONE && n->max > EMPTY_LOOP_MAX)
		return gra_fail(w->g, -E2BIG, "rule \"%.40s\" repeats what may be empty %u times: at most %u",
				w->g->rules[rule].name, n->max, EMPTY_LOOP_MAX);
	walk_push(w, rule, n->other);
	if (!n->min || empty)
		walk_push(w, rule, n->next);
	return 0;
}

static int walk_node(struct walk *w, uint32_t rule, const struct gra_node *n)
{
	int err;

	switch (n->op) {
	case GRA_OP_SPLIT:
		walk_push(w, rule, n->next);
		walk_push(w, rule, n->other);
		break;
	case GRA_OP_LOOP:
		return walk_loop(w, rule, n);
	case GRA_OP_CALL:
		err = walk_rule(w, n->rule);
		if (err)
			return err;
		if (w->g->nodes[n->other].least == 0)
			walk_push(w, rule, n->next);
		break;
	case GRA_OP_SET:
	case GRA_OP_END:
		break;
	}
	return 0;
}

static int walk_rule(struct walk *w, uint32_t rule)
{
	uint32_t base = w->count;
	int err = 0;

	if (w->state[rule] == 2)
		return 0;
	if (w->state[rule] == 1)
		return gra_fail(w->g, -EINVAL, "rule \"%.40s\" begins with itself: write the repetition behind",
				w->g->rules[rule].name);
	if (++w->depth > CALLS_MAX)
		return gra_fail(w->g, -E2BIG, "rule \"%.40s\": more than %u rules begin with each other",
				w->g->rules[rule].name, CALLS_MAX);
	w->state[rule] = 1;
	walk_push(w, rule, w->g->rules[rule].start);
	while (!err && w->count > base)
		err = walk_node(w, rule, &w->g->nodes[w->stack[--w->count]]);
	w->state[rule] = 2;
	w->depth--;
	return err;
}

static int find_left_recursion(struct gra *g)
{
	struct walk w = {
		.g = g,
		.seen = calloc(g->node_count, sizeof(*w.seen)),
		.state = calloc(g->rule_count, 1),
		.stack = malloc(g->node_count * sizeof(*w.stack)),
	};
	int err = w.seen && w.state && w.stack ? 0 : gra_fail(g, -ENOMEM, "out of memory");

	for (uint32_t i = 0; !err && i < g->rule_count; i++)
		err = walk_rule(&w, i);
	free(w.seen);
	free(w.state);
	free(w.stack);
	return err;
}

int gra_check(struct gra *g)
{
	int err = find_least(g);

	return err ? err : find_left_recursion(g);
}
