/* SPDX-License-Identifier: MIT */
/* gra_state_priv.h: inside of a state, for the walk over a vocabulary too. */
#ifndef GRA_STATE_PRIV_H
#define GRA_STATE_PRIV_H

#include "gra_priv.h"

#define TODO_MAX	(1u << 14)
#define MET_MAX		(1u << 15)	/* a power of two */

/* On a stack: where to go on when a rule (CALL) or one turn of a body (LOOP) ends. */
struct frame {
	uint32_t node, count;		/* LOOP: turns begun */
	uint32_t parent;
	uint64_t least;			/* bytes missing when it is reached */
};

struct place {
	uint32_t node, frame;
};

struct places {
	struct place *list;
	uint32_t count, cap;
	bool done;			/* the text may end here */
	uint64_t least;			/* bytes missing */
};

struct met {
	uint32_t node, frame;
	uint64_t step;
};

struct gra_state {
	const struct gra *g;
	struct frame *frames;		/* 0: the empty stack */
	uint32_t frame_count, frame_cap;
	uint32_t *frame_slots;		/* hash table, 2 * frame_cap */
	struct met *met;		/* hash table of this step */
	uint32_t met_count, met_cap;
	uint64_t step;
	uint64_t work;			/* places followed, in all */
	struct place *todo;
	uint32_t todo_count;
	struct places now;
	struct places next[2];		/* of a look ahead */
	struct places *depth;		/* of a walk over a vocabulary, by bytes */
	uint32_t depth_cap;
};

/* The places after @byte. 0 (perhaps with none), -E2BIG or -ENOMEM. */
int gra_places_step(struct gra_state *s, const struct places *from, uint8_t byte, struct places *to);

#endif
