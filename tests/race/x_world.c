/* SPDX-License-Identifier: MIT */
/* x_world.c: steps of the machine. See x_world.h. */
#include "x_world.h"

#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "x_hooks.h"

struct mhs_board x_board;
struct mhs_slot x_slots[X_WORKERS];
const char *x_violation;

const char *const x_loc_names[X_LOCS] = {
	[X_EPOCH] = "epoch", [X_ROUTE] = "route",
	[X_STATE_A] = "state[A]", [X_STATE_B] = "state[B]",
	[X_DATA_A] = "data[A]", [X_DATA_B] = "data[B]", [X_BELL0] = "bell0", [X_BELL1] = "bell1",
	[X_SEEN0] = "seen0", [X_SEEN1] = "seen1", [X_PIN0_A] = "pins0[A]", [X_PIN0_B] = "pins0[B]",
	[X_PIN1_A] = "pins1[A]", [X_PIN1_B] = "pins1[B]", [X_ASLEEP0] = "asleep0",
	[X_ASLEEP1] = "asleep1", [X_ADOPTED0] = "adopted0", [X_ADOPTED1] = "adopted1",
	[X_DEAD0] = "dead0", [X_DEAD1] = "dead1",
};

/* The actor being run. */
static struct x_world *now;
static const struct x_scenario *scenario;
static int me;
static unsigned int pos;
static jmp_buf out;

void x_violate(const char *text)
{
	if (!x_violation)
		x_violation = text;
}

static void broken(const char *what)
{
	printf("explorer: %s\n", what);
	exit(2);
}

static bool is_asleep(int loc)
{
	return loc == X_ASLEEP0 || loc == X_ASLEEP1;
}

static int loc_of(const void *ptr)
{
	const struct { const void *ptr; int loc; } table[] = {
		{ &x_board.epoch, X_EPOCH }, { &x_board.models[0].route, X_ROUTE },
		{ &x_board.versions[X_VERSION_A].state, X_STATE_A },
		{ &x_board.versions[X_VERSION_B].state, X_STATE_B },
		{ &x_slots[0].seen_epoch, X_SEEN0 }, { &x_slots[1].seen_epoch, X_SEEN1 },
		{ &x_slots[0].pins[X_VERSION_A], X_PIN0_A },
		{ &x_slots[0].pins[X_VERSION_B], X_PIN0_B },
		{ &x_slots[1].pins[X_VERSION_A], X_PIN1_A },
		{ &x_slots[1].pins[X_VERSION_B], X_PIN1_B },
		{ &x_slots[0].asleep, X_ASLEEP0 }, { &x_slots[1].asleep, X_ASLEEP1 },
		{ &x_slots[0].adopted_epoch, X_ADOPTED0 },
		{ &x_slots[1].adopted_epoch, X_ADOPTED1 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].ptr == ptr)
			return is_asleep(table[i].loc) && !scenario->bells ? X_NONE : table[i].loc;
	return X_NONE;
}

/* Whether only @actor stores to @loc: its own loads of it depend on no other actor. */
static bool owns(int actor, int loc)
{
	switch (loc) {
	case X_EPOCH: case X_ROUTE: case X_STATE_A: case X_STATE_B: case X_DATA_A: case X_DATA_B:
		return actor == X_SUP;
	case X_SEEN0: case X_PIN0_A: case X_PIN0_B: case X_ASLEEP0: case X_ADOPTED0:
		return actor == X_WORKER0;
	case X_SEEN1: case X_PIN1_A: case X_PIN1_B: case X_ASLEEP1: case X_ADOPTED1:
		return actor == X_WORKER1;
	default:
		return false;
	}
}

static void mem_store(int loc, uint64_t value)
{
	x_oracle_store(now, (enum x_loc)loc, value);
	now->mem[loc] = value;
}

static uint64_t do_load(const struct x_actor *a, int loc)
{
	for (int i = a->buffer_count - 1; i >= 0; i--)
		if (a->buffer[i].loc == loc)
			return a->buffer[i].value;
	return now->mem[loc];
}

static void do_store(struct x_actor *a, const struct x_op *op)
{
	if (op->order == memory_order_seq_cst) {
		for (int i = 0; i < a->buffer_count; i++)
			mem_store(a->buffer[i].loc, a->buffer[i].value);
		memset(a->buffer, 0, sizeof(a->buffer));
		a->buffer_count = 0;
		mem_store(op->loc, op->value);
		return;
	}
	if (a->buffer_count == X_BUFFER_MAX)
		broken("store buffer too small");
	a->buffer[a->buffer_count++] = (struct x_entry){
		.loc = op->loc, .release = op->order == memory_order_release, .value = op->value,
	};
}

static uint64_t execute(struct x_actor *a, const struct x_op *op)
{
	uint32_t low = (uint32_t)op->value, high = (uint32_t)(op->value >> 32);

	switch (op->kind) {
	case X_OP_LOAD:
		return do_load(a, op->loc);
	case X_OP_STORE:
		do_store(a, op);
		return 0;
	case X_OP_USE:
		x_oracle_use(now, low, high);
		return 0;
	case X_OP_RECLAIM:
		now->ghost.reclaimed[low] = 1;
		return 0;
	case X_OP_BELL:
		mem_store(op->loc, 0);
		return 0;
	case X_OP_NOTE:
		return x_oracle_note(now, (enum x_note)op->order, low, high);
	default:
		return 0;
	}
}

static void log_result(struct x_actor *a, const struct x_op *op, bool foreign, uint64_t result)
{
	if (a->log_count == X_LOG_MAX)
		broken("log too small: an actor needs more marks");
	a->log_loc[a->log_count] = foreign && op->kind == X_OP_LOAD ? op->loc : X_NONE;
	a->log[a->log_count++] = result;
}

/*
 * The next operation of the actor being run: its logged result; or at once, when no other actor can
 * tell when it happens; or not yet, which ends the run.
 */
static uint64_t step(struct x_op op)
{
	struct x_actor *a = &now->actors[me];

	if (pos == a->log_count) {
		bool silent = op.kind == X_OP_NOTE || op.loc == X_ADOPTED0 ||
			      op.loc == X_ADOPTED1 || (op.kind == X_OP_LOAD && owns(me, op.loc));

		if (!silent) {
			a->pending = op;
			longjmp(out, 1);
		}
		log_result(a, &op, false, execute(a, &op));
	}
	return a->log[pos++];
}

uint64_t x_load(const void *ptr, unsigned int bytes, int order)
{
	int loc = loc_of(ptr);

	(void)order;
	if (loc != X_NONE)
		return step((struct x_op){ .kind = X_OP_LOAD, .loc = (int8_t)loc });
	return bytes == 4 ? *(const uint32_t *)ptr : *(const uint64_t *)ptr;	/* never changes */
}

void x_store(const void *ptr, uint64_t value, int order)
{
	int loc = loc_of(ptr);

	if (loc == X_NONE)
		return;		/* times, for people */
	order = x_mutant_order((enum x_loc)loc, value, order);
	step((struct x_op){ .kind = X_OP_STORE, .loc = (int8_t)loc, .order = (int8_t)order,
			    .value = value });
}

void x_mark(struct x_private *priv)
{
	struct x_actor *a = &now->actors[me];

	if (pos != a->log_count)
		broken("an actor did not repeat its steps");
	memset(a->log, 0, sizeof(a->log));
	memset(a->log_loc, 0, sizeof(a->log_loc));
	a->log_count = 0;
	pos = 0;
	a->priv = *priv;
}

void x_wait(void)
{
	step((struct x_op){ .kind = X_OP_WAIT, .loc = X_NONE });
}

bool x_dead(int worker)
{
	return step((struct x_op){ .kind = X_OP_LOAD, .loc = (int8_t)(X_DEAD0 + worker) });
}

void x_use(uint32_t version, uint32_t life)
{
	step((struct x_op){ .kind = X_OP_USE, .loc = X_NONE,
			    .value = version | (uint64_t)life << 32 });
}

uint64_t x_data(uint32_t version)
{
	int loc = version == X_VERSION_A ? X_DATA_A : X_DATA_B;

	return step((struct x_op){ .kind = X_OP_LOAD, .loc = (int8_t)loc });
}

void x_data_store(uint32_t version, uint64_t value)
{
	int loc = version == X_VERSION_A ? X_DATA_A : X_DATA_B;

	step((struct x_op){ .kind = X_OP_STORE, .loc = (int8_t)loc, .order = memory_order_relaxed,
			    .value = value });
}

void x_reclaim(uint32_t version)
{
	step((struct x_op){ .kind = X_OP_RECLAIM, .loc = X_NONE, .value = version });
}

void x_bell_wait(int worker)
{
	step((struct x_op){ .kind = X_OP_BELL, .loc = (int8_t)(X_BELL0 + worker) });
}

void x_bell_ring(int worker)
{
	step((struct x_op){ .kind = X_OP_STORE, .loc = (int8_t)(X_BELL0 + worker),
			    .order = memory_order_seq_cst, .value = 1 });
}

uint64_t x_note(enum x_note what, uint32_t version, uint64_t epoch)
{
	return step((struct x_op){ .kind = X_OP_NOTE, .loc = X_NONE, .order = (int8_t)what,
				   .value = version | epoch << 32 });
}

/* Run the actor up to its next pending step or its end. */
static void advance(int actor)
{
	struct x_actor *a = &now->actors[actor];
	struct x_private priv = a->priv;

	me = actor;
	pos = 0;
	if (setjmp(out))
		return;
	if (actor == X_SUP)
		scenario->supervisor(actor, &priv);
	else
		scenario->worker(actor, &priv);
	x_mark(&priv);
	memset(&a->pending, 0, sizeof(a->pending));
	a->status = X_DONE;
}

void x_setup(struct x_world *world, const struct x_scenario *which)
{
	struct mhs_route route = { .active = X_VERSION_A, .generation = 1 };

	memset(world, 0, sizeof(*world));
	x_violation = NULL;
	now = world;
	scenario = which;
	atomic_store(&x_board.model_count, 1);
	world->mem[X_EPOCH] = world->ghost.epoch = 1;
	world->mem[X_ROUTE] = mhs_route_pack(&route);
	world->mem[X_STATE_A] = MHS_STATE_ACTIVE;
	world->mem[X_STATE_B] = MHS_STATE_READY;
	world->mem[X_SEEN0] = world->mem[X_SEEN1] = MHS_EPOCH_OFFLINE;
	for (uint32_t v = X_VERSION_A; v <= X_VERSION_B; v++) {
		world->mem[X_DATA_A + v - X_VERSION_A] = 1;
		world->ghost.life[v] = 1;
	}
	world->ghost.flip_active[0] = X_VERSION_A;
	world->ghost.flip_epoch[0] = 1;
	world->ghost.flip_count = 1;
	for (int actor = 0; actor < X_ACTORS; actor++)
		advance(actor);
}

bool x_enabled(const struct x_world *world, int actor)
{
	const struct x_actor *a = &world->actors[actor];

	if (a->status != X_RUNNING)
		return false;
	if (a->pending.kind == X_OP_BELL)
		return world->mem[a->pending.loc] != 0;
	if (a->pending.kind != X_OP_WAIT)
		return true;
	for (int i = 0; i < a->log_count; i++)
		if (a->log_loc[i] != X_NONE && world->mem[a->log_loc[i]] != a->log[i])
			return true;
	return false;
}

void x_step(struct x_world *world, int actor)
{
	struct x_actor *a = &world->actors[actor];

	now = world;
	log_result(a, &a->pending, true, execute(a, &a->pending));
	advance(actor);
}

/* 1: the entry may leave the buffer now; 0: not; -1: no such entry. */
int x_flushable(const struct x_world *world, int actor, int entry)
{
	const struct x_actor *a = &world->actors[actor];

	if (entry >= a->buffer_count)
		return -1;
	if (a->buffer[entry].release && entry > 0)
		return 0;
	for (int i = 0; i < entry; i++)
		if (a->buffer[i].loc == a->buffer[entry].loc)
			return 0;
	return 1;
}

void x_flush(struct x_world *world, int actor, int entry)
{
	struct x_actor *a = &world->actors[actor];
	struct x_entry gone = a->buffer[entry];

	now = world;
	a->buffer_count--;
	for (int i = entry; i < a->buffer_count; i++)
		a->buffer[i] = a->buffer[i + 1];
	memset(&a->buffer[a->buffer_count], 0, sizeof(a->buffer[0]));
	mem_store(gone.loc, gone.value);
}

/* What is in the store buffer still reaches memory, at any later time. */
void x_die(struct x_world *world, int actor)
{
	struct x_actor *a = &world->actors[actor];

	now = world;
	a->status = X_DEAD;
	a->log_count = 0;
	memset(a->log, 0, sizeof(a->log));
	memset(a->log_loc, 0, sizeof(a->log_loc));
	memset(&a->priv, 0, sizeof(a->priv));
	memset(&a->pending, 0, sizeof(a->pending));
	mem_store(X_DEAD0 + actor, 1);
}
