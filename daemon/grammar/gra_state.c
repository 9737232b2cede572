/* SPDX-License-Identifier: MIT */
/*
 * gra_state.c: the set of (node, stack) that a text may have reached. Only nodes that take a byte are
 * kept, and the end of the text. A stack is the number of its top frame; frames are made once for each
 * (node, count, parent) and kept until the state goes, so equal stacks have equal numbers.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gra_state_priv.h"

#define FRAMES_MAX	(1u << 20)
#define PLACES_MAX	(1u << 14)	/* of one text at one time */

static uint32_t mix(uint32_t a, uint32_t b, uint32_t c)
{
	uint64_t h = (a * UINT64_C(0x9e3779b97f4a7c15)) ^ (b * UINT64_C(0xc2b2ae3d27d4eb4f)) ^
		     (c * UINT64_C(0x165667b19e3779f9));

	return (uint32_t)(h >> 32 ^ h);
}

/* ---- frames ----------------------------------------------------------------------------------- */

static int frames_grow(struct gra_state *s)
{
	uint32_t cap = s->frame_cap ? 2 * s->frame_cap : 64;
	struct frame *frames = realloc(s->frames, cap * sizeof(*frames));
	uint32_t *slots = calloc(2 * cap, sizeof(*slots));

	if (frames)
		s->frames = frames;
	if (!frames || !slots || cap > FRAMES_MAX) {
		free(slots);
		return -ENOMEM;
	}
	free(s->frame_slots);
	s->frame_slots = slots;
	s->frame_cap = cap;
	for (uint32_t i = 1; i < s->frame_count; i++) {
		uint32_t at = mix(frames[i].node, frames[i].count, frames[i].parent);

		while (slots[at & (2 * cap - 1)])
			at++;
		slots[at & (2 * cap - 1)] = i;
	}
	return 0;
}

/* Bytes that are missing once the frame is on top and its body or rule has ended. */
static uint64_t frame_least(const struct gra_state *s, uint32_t node, uint32_t count, uint32_t parent)
{
	const struct gra_node *n = &s->g->nodes[node];
	uint64_t least = s->g->nodes[n->next].least + s->frames[parent].least;

	if (n->op == GRA_OP_LOOP && count < n->min)
		least += (n->min - count) * s->g->nodes[n->other].least;
	return least;
}

/* 0: no memory; frame 0 is the empty stack, which is never made. */
static uint32_t frame_get(struct gra_state *s, uint32_t node, uint32_t count, uint32_t parent)
{
	uint32_t at, mask;

	if (s->frame_count == s->frame_cap && frames_grow(s))
		return 0;
	mask = 2 * s->frame_cap - 1;
	for (at = mix(node, count, parent); s->frame_slots[at & mask]; at++) {
		const struct frame *f = &s->frames[s->frame_slots[at & mask]];

		if (f->node == node && f->count == count && f->parent == parent)
			return s->frame_slots[at & mask];
	}
	s->frame_slots[at & mask] = s->frame_count;
	s->frames[s->frame_count] = (struct frame){
		.node = node, .count = count, .parent = parent,
		.least = frame_least(s, node, count, parent),
	};
	return s->frame_count++;
}

/* ---- places ----------------------------------------------------------------------------------- */

static int places_grow(struct places *p)
{
	uint32_t cap = p->cap ? 2 * p->cap : 32;
	struct place *list;

	if (cap > PLACES_MAX)
		return -E2BIG;
	list = realloc(p->list, cap * sizeof(*list));
	if (!list)
		return -ENOMEM;
	p->list = list;
	p->cap = cap;
	return 0;
}

/* Whether (@node, @frame) was met in this step already; it is from now on. -E2BIG: too many were. */
static int met(struct gra_state *s, uint32_t node, uint32_t frame)
{
	uint32_t mask = s->met_cap - 1, at;

	if (2 * s->met_count >= s->met_cap)
		return -E2BIG;
	for (at = mix(node, frame, 0); s->met[at & mask].step == s->step; at++)
		if (s->met[at & mask].node == node && s->met[at & mask].frame == frame)
			return 1;
	s->met[at & mask] = (struct met){ node, frame, s->step };
	s->met_count++;
	return 0;
}

static int todo_push(struct gra_state *s, uint32_t node, uint32_t frame)
{
	int err = met(s, node, frame);

	if (err)
		return err < 0 ? err : 0;
	if (s->todo_count == TODO_MAX)
		return -E2BIG;
	s->todo[s->todo_count++] = (struct place){ node, frame };
	return 0;
}

static int loop_push(struct gra_state *s, uint32_t node, uint32_t count, uint32_t frame)
{
	const struct gra_node *n = &s->g->nodes[node];
	uint32_t next = n->max == GRA_NONE && count >= n->min ? n->min : count + 1, top;
	int err = 0;

	if (count >= n->min)
		err = todo_push(s, n->next, frame);
	if (err || (n->max != GRA_NONE && count >= n->max))
		return err;
	top = frame_get(s, node, next, frame);
	return top ? todo_push(s, n->other, top) : -ENOMEM;
}

/* A rule or body has ended: on with what the top frame says. */
static int end_push(struct gra_state *s, struct places *to, uint32_t frame)
{
	const struct frame f = s->frames[frame];

	if (!frame) {
		to->done = true;
		return 0;
	}
	if (s->g->nodes[f.node].op == GRA_OP_LOOP)
		return loop_push(s, f.node, f.count, f.parent);
	return todo_push(s, s->g->nodes[f.node].next, f.parent);
}

static int place_add(struct gra_state *s, struct places *to, const struct place *p)
{
	uint64_t least = s->g->nodes[p->node].least + s->frames[p->frame].least;

	int err = to->count == to->cap ? places_grow(to) : 0;

	if (err)
		return err;
	to->list[to->count++] = *p;
	if (least < to->least)
		to->least = least;
	return 0;
}

/* What ends right behind a call needs no frame of its own: so lists that call themselves do not grow it. */
static int call_push(struct gra_state *s, const struct place *p)
{
	const struct gra_node *n = &s->g->nodes[p->node];
	uint32_t top = p->frame;

	if (s->g->nodes[n->next].op != GRA_OP_END) {
		top = frame_get(s, p->node, 0, p->frame);
		if (!top)
			return -ENOMEM;
	}
	return todo_push(s, n->other, top);
}

static int follow(struct gra_state *s, struct places *to, const struct place *p)
{
	const struct gra_node *n = &s->g->nodes[p->node];
	int err;

	s->work++;
	switch (n->op) {
	case GRA_OP_SET:
		return place_add(s, to, p);
	case GRA_OP_SPLIT:
		err = todo_push(s, n->other, p->frame);
		return err ? err : todo_push(s, n->next, p->frame);
	case GRA_OP_CALL:
		return call_push(s, p);
	case GRA_OP_LOOP:
		return loop_push(s, p->node, 0, p->frame);
	case GRA_OP_END:
		break;
	}
	return end_push(s, to, p->frame);
}

static void places_clear(struct gra_state *s, struct places *to)
{
	to->count = 0;
	to->done = false;
	to->least = GRA_NEVER;
	s->met_count = 0;
	s->step++;
}

/* All that follows from what is to do. */
static int places_fill(struct gra_state *s, struct places *to)
{
	while (s->todo_count) {
		struct place p = s->todo[--s->todo_count];
		int err = follow(s, to, &p);

		if (err) {
			s->todo_count = 0;
			return err;
		}
	}
	if (to->done)
		to->least = 0;
	return 0;
}

static bool set_has(const struct gra_set *set, uint8_t byte)
{
	return set->bits[byte / 64] >> (byte % 64) & 1;
}

int gra_places_step(struct gra_state *s, const struct places *from, uint8_t byte, struct places *to)
{
	int err = 0;

	places_clear(s, to);
	for (uint32_t i = 0; !err && i < from->count; i++) {
		const struct gra_node *n = &s->g->nodes[from->list[i].node];

		if (set_has(&s->g->sets[n->set], byte))
			err = todo_push(s, n->next, from->list[i].frame);
		if (!err)
			err = places_fill(s, to);
	}
	if (err)
		to->count = 0;
	return err;
}

/* ---- the state --------------------------------------------------------------------------------- */

int gra_state_new(struct gra_state **state, const struct gra *g)
{
	struct gra_state *s = calloc(1, sizeof(*s));
	int err = -ENOMEM;

	*state = s;
	if (!s)
		return err;
	s->g = g;
	s->frame_count = 1;
	s->met_cap = MET_MAX;
	s->met = calloc(s->met_cap, sizeof(*s->met));
	s->todo = malloc(TODO_MAX * sizeof(*s->todo));
	if (s->met && s->todo && !frames_grow(s)) {
		s->frames[0] = (struct frame){ .node = GRA_NONE };
		places_clear(s, &s->now);
		err = todo_push(s, g->rules[g->root].start, 0);
		if (!err)
			err = places_fill(s, &s->now);
	}
	if (err)
		gra_state_free(state);
	return err;
}

void gra_state_free(struct gra_state **state)
{
	struct gra_state *s = *state;

	*state = NULL;
	if (!s)
		return;
	free(s->frames);
	free(s->frame_slots);
	free(s->met);
	free(s->todo);
	free(s->now.list);
	for (uint32_t i = 0; i < 2; i++)
		free(s->next[i].list);
	for (uint32_t i = 0; i < s->depth_cap; i++)
		free(s->depth[i].list);
	free(s->depth);
	free(s);
}

/* The places after @bytes, in memory of the state; NULL: none, or no memory (*@err). */
static struct places *walk(struct gra_state *s, const uint8_t *bytes, size_t count, int *err)
{
	struct places *at = &s->now;

	*err = 0;
	for (size_t i = 0; i < count; i++) {
		struct places *to = &s->next[i & 1];

		*err = gra_places_step(s, at, bytes[i], to);
		if (*err || (!to->count && !to->done))
			return NULL;
		at = to;
	}
	return at;
}

int gra_push(struct gra_state *s, const void *bytes, size_t count)
{
	int err;
	struct places *at = walk(s, bytes, count, &err), old;

	if (!at)
		return err ? err : -EINVAL;
	old = s->now;
	s->now = *at;
	if (at != &s->now)
		*at = old;
	return 0;
}

bool gra_allows(struct gra_state *s, const void *bytes, size_t count, uint64_t room)
{
	int err;
	const struct places *at = count ? walk(s, bytes, count, &err) : NULL;

	return at && at->least <= room;
}

bool gra_may_end(const struct gra_state *s)
{
	return s->now.done;
}

uint64_t gra_missing_bytes(const struct gra_state *s)
{
	return s->now.least;
}

bool gra_is_over(const struct gra_state *s)
{
	return s->now.done && !s->now.count;
}
