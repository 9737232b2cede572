/* SPDX-License-Identifier: MIT */
/*
 * r_explore.c: the sleep protocol of a lane in all interleavings: the real mhs_ring.c, one shared
 * access a step. A producer puts three records into a ring that holds one, and sleeps while it is
 * full; a consumer takes them, and sleeps while it is empty. Nobody may sleep for ever. Stores
 * that are not seq_cst wait in a store buffer. Then the same with one wrong thing each: every
 * mutant must leave somebody asleep.
 *
 * An actor is run again from its beginning for each step, fed with the results that it had.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "r_hooks.h"

#include "mhs_ring.h"

#define RECORDS		3
#define LOG_MAX		96
#define BUFFER_MAX	8
#define STATES_MAX	(1u << 22)	/* a power of two */

enum loc { HEAD, TAIL, ASLEEP, STARVED, BELL_CONSUMER, BELL_PRODUCER, LOCS };
enum kind { LOAD, STORE, EXCHANGE, WAIT };
enum { PRODUCER, CONSUMER, ACTORS };

enum mutant {
	REAL, ARM_RELEASE, STARVE_RELEASE, HEAD_RELEASE, TAIL_RELEASE, LOOK_THEN_ARM, LOOK_THEN_STARVE,
	ASK_THEN_PUT, ASK_THEN_GET, HUSH_AFTER_LOOK, MUTANTS
};

static const char *const mutants[MUTANTS] = {
	[ARM_RELEASE] = "R5 release: the last look passes it",
	[STARVE_RELEASE] = "R8 release: the last look passes it",
	[HEAD_RELEASE] = "R2 release: the load of asleep passes it",
	[TAIL_RELEASE] = "R4 release: the load of starved passes it",
	[LOOK_THEN_ARM] = "R3 before R5: last look before the bell is asked for",
	[LOOK_THEN_STARVE] = "R1 before R8: last look before the bell is asked for",
	[ASK_THEN_PUT] = "R6 before R2: asked before the record is there",
	[ASK_THEN_GET] = "R9 before R4: asked before the room is there",
	[HUSH_AFTER_LOOK] = "the bell emptied after the last look",
};

struct op {
	int kind, loc, order;
	uint64_t value;
};

struct actor {
	uint64_t log[LOG_MAX];
	struct op buffer[BUFFER_MAX], pending;
	int log_count, buffer_count;
	bool done;
};

struct world {
	uint64_t mem[LOCS];
	struct actor actors[ACTORS];
};

static struct mhs_lane lane;
static int mutant;
static struct world *now;
static int me, pos;
static jmp_buf out;
static uint64_t *seen;
static uint32_t states;

/* ---- steps ---------------------------------------------------------------------------------- */

static uint64_t step(struct op op)
{
	struct actor *a = &now->actors[me];

	if (pos < a->log_count)
		return a->log[pos++];
	a->pending = op;
	longjmp(out, 1);
}

static int loc_of(const void *word)
{
	const struct mhs_ring *ring = &lane.event;

	return word == &ring->head ? HEAD : word == &ring->tail ? TAIL : word == &ring->asleep ? ASLEEP :
	       STARVED;
}

uint64_t r_load(const void *word)
{
	return step((struct op){ LOAD, loc_of(word), 0, 0 });
}

void r_store(const void *word, uint64_t value, int order)
{
	static const int weak[LOCS] = { [HEAD] = HEAD_RELEASE, [TAIL] = TAIL_RELEASE,
					[ASLEEP] = ARM_RELEASE, [STARVED] = STARVE_RELEASE };
	int loc = loc_of(word);

	if (mutant && mutant == weak[loc])
		order = memory_order_release;
	step((struct op){ STORE, loc, order, value });
}

uint64_t r_exchange(const void *word, uint64_t value)
{
	return step((struct op){ EXCHANGE, loc_of(word), 0, value });
}

static void bell_ring(int loc)
{
	step((struct op){ EXCHANGE, loc, 0, 1 });
}

static void bell_wait(int loc)
{
	if (mutant == HUSH_AFTER_LOOK)
		step((struct op){ EXCHANGE, loc, 0, 0 });
	step((struct op){ WAIT, loc, 0, 0 });
}

/* ---- actors --------------------------------------------------------------------------------- */

static void wait_for_room(struct mhs_ring_end *end)
{
	bool room = mutant == LOOK_THEN_STARVE && mhs_ring_has_room(end, 8);

	mhs_ring_starve(end);
	if (mutant != LOOK_THEN_STARVE)
		room = mhs_ring_has_room(end, 8);
	if (!room)
		bell_wait(BELL_PRODUCER);
}

static void produce(struct mhs_ring_end end)
{
	uint64_t body = 1;

	for (int i = 0; i < RECORDS; i++) {
		bool ask = mutant == ASK_THEN_PUT && mhs_ring_should_wake(&end);

		while (mhs_ring_put(&end, 1, &(struct mhs_piece){ &body, sizeof(body) }, 1) == -EAGAIN)
			wait_for_room(&end);
		if (mutant != ASK_THEN_PUT)
			ask = mhs_ring_should_wake(&end);
		if (ask)
			bell_ring(BELL_CONSUMER);
	}
}

static void wait_for_record(struct mhs_ring_end *end)
{
	bool empty = mutant == LOOK_THEN_ARM && mhs_ring_is_empty(end);

	mhs_ring_arm(end);
	if (mutant != LOOK_THEN_ARM)
		empty = mhs_ring_is_empty(end);
	if (empty)
		bell_wait(BELL_CONSUMER);
	mhs_ring_disarm(end);
}

static void consume(struct mhs_ring_end end)
{
	uint64_t body;
	uint32_t type;

	for (int i = 0; i < RECORDS; i++) {
		bool ask = mutant == ASK_THEN_GET && mhs_ring_should_feed(&end);

		while (mhs_ring_get(&end, &type, &body, sizeof(body)) == -EAGAIN)
			wait_for_record(&end);
		if (mutant != ASK_THEN_GET)
			ask = mhs_ring_should_feed(&end);
		if (ask)
			bell_ring(BELL_PRODUCER);
	}
}

static void advance(struct world *world, int actor)
{
	struct mhs_ring_end end = mhs_lane_event_end(&lane);

	end.capacity_bytes = 16;	/* one record */
	now = world;
	me = actor;
	pos = 0;
	if (setjmp(out))
		return;
	if (actor == PRODUCER)
		produce(end);
	else
		consume(end);
	now->actors[actor].done = true;
}

/* ---- memory --------------------------------------------------------------------------------- */

static void flush(struct world *world, struct actor *a, int entry)
{
	world->mem[a->buffer[entry].loc] = a->buffer[entry].value;
	a->buffer_count--;
	for (int i = entry; i < a->buffer_count; i++)
		a->buffer[i] = a->buffer[i + 1];
}

/* A release store waits for all before it, any store for those of its own word. */
static bool may_flush(const struct actor *a, int entry)
{
	for (int i = 0; i < entry; i++)
		if (a->buffer[entry].order == memory_order_release ||
		    a->buffer[i].loc == a->buffer[entry].loc)
			return false;
	return true;
}

static uint64_t execute(struct world *world, struct actor *a, const struct op *op)
{
	uint64_t before = world->mem[op->loc];

	if (op->kind == LOAD) {
		for (int i = a->buffer_count - 1; i >= 0; i--)
			if (a->buffer[i].loc == op->loc)
				return a->buffer[i].value;
		return before;
	}
	if (op->kind == STORE && op->order != memory_order_seq_cst) {
		if (a->buffer_count == BUFFER_MAX)
			exit(2);
		a->buffer[a->buffer_count++] = *op;
		return 0;
	}
	while (a->buffer_count)
		flush(world, a, 0);
	world->mem[op->loc] = op->kind == WAIT ? 0 : op->value;
	return before;
}

/* ---- search --------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

static bool seen_before(const struct world *world)
{
	uint64_t h = 1;
	uint32_t at;

	for (int i = 0; i < LOCS; i++)
		h = mix(h, world->mem[i]);
	for (int i = 0; i < ACTORS; i++) {
		const struct actor *a = &world->actors[i];

		h = mix(h, (uint64_t)a->log_count << 32 | (uint32_t)a->buffer_count);
		for (int k = 0; k < a->log_count; k++)
			h = mix(h, a->log[k]);
		for (int k = 0; k < a->buffer_count; k++)
			h = mix(mix(h, a->buffer[k].value), (uint64_t)a->buffer[k].loc);
	}
	h |= 1;
	for (at = (uint32_t)(h >> 40) % STATES_MAX; seen[at]; at = (at + 1) % STATES_MAX)
		if (seen[at] == h)
			return true;
	seen[at] = h;
	if (++states > STATES_MAX / 2)
		exit(2);
	return false;
}

/* False: somewhere from here somebody sleeps for ever. */
static bool explore(const struct world *world)
{
	bool all_done = true, moved = false;

	if (seen_before(world))
		return true;
	for (int i = 0; i < ACTORS; i++) {
		const struct actor *a = &world->actors[i];

		for (int k = 0; k < a->buffer_count; k++) {
			struct world next = *world;

			if (!may_flush(a, k))
				continue;
			flush(&next, &next.actors[i], k);
			moved = true;
			if (!explore(&next))
				return false;
		}
		all_done &= a->done;
		if (!a->done && (a->pending.kind != WAIT || world->mem[a->pending.loc])) {
			struct world next = *world;
			struct actor *b = &next.actors[i];

			if (b->log_count == LOG_MAX)
				exit(2);
			b->log[b->log_count] = execute(&next, b, &a->pending);
			b->log_count++;
			advance(&next, i);
			moved = true;
			if (!explore(&next))
				return false;
		}
	}
	return moved || all_done;
}

static bool holds(int which)
{
	struct world world = { .mem = { 0 } };

	mutant = which;
	states = 0;
	memset(seen, 0, STATES_MAX * sizeof(*seen));
	for (int i = 0; i < ACTORS; i++)
		advance(&world, i);
	return explore(&world);
}

int main(void)
{
	int survivors = 0;

	seen = calloc(STATES_MAX, sizeof(*seen));
	if (!seen)
		return 2;
	if (!holds(REAL)) {
		printf("ring explorer: VIOLATION: the real code lets somebody sleep for ever\n");
		return 1;
	}
	printf("ring explorer: the real code holds in %u states\n", states);
	for (int i = REAL + 1; i < MUTANTS; i++) {
		bool survives = holds(i);

		printf("  mutant %d %s: %s\n", i, survives ? "SURVIVES" : "caught", mutants[i]);
		survivors += survives;
	}
	free(seen);
	return survivors ? 1 : 0;
}
