/* SPDX-License-Identifier: MIT */
/*
 * x_world.h: the machine that the explorer drives. One supervisor and two workers run the real code
 * of mhs_epoch.c; each shared access is one step, and the explorer decides whose step comes next.
 *
 * An actor is a C function of its private state and of the results of its steps. To go on with it,
 * it is run again from its last mark with the results logged since, up to the first step that has
 * none; so a state of the whole machine is a plain struct that is copied, hashed and compared.
 *
 * Memory: a store that is not seq_cst waits in the actor's store buffer; its flush is a step of its
 * own. Entries of one word leave in order, a release store leaves after all older ones, relaxed
 * ones in any order. Loads look into the own buffer first. A seq_cst store empties the buffer.
 */
#ifndef X_WORLD_H
#define X_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "mhs_epoch.h"

#define X_VERSION_A	1u
#define X_VERSION_B	2u
#define X_WORKERS	2
#define X_LOG_MAX	16
#define X_BUFFER_MAX	8
#define X_FLIP_MAX	6
#define X_NONE		(-1)

enum x_actor_id { X_WORKER0, X_WORKER1, X_SUP, X_ACTORS };

enum x_loc {
	X_EPOCH, X_ROUTE, X_STATE_A, X_STATE_B, X_DATA_A, X_DATA_B,	/* supervisor's */
	X_BELL0, X_BELL1,
	X_SEEN0, X_SEEN1, X_PIN0_A, X_PIN0_B, X_PIN1_A, X_PIN1_B,	/* workers' */
	X_ASLEEP0, X_ASLEEP1, X_ADOPTED0, X_ADOPTED1,
	X_DEAD0, X_DEAD1,						/* the kernel's */
	X_LOCS
};

enum x_kind {
	X_OP_LOAD, X_OP_STORE, X_OP_USE, X_OP_RECLAIM, X_OP_WAIT, X_OP_BELL,
	X_OP_NOTE,		/* ghost state of the oracle: no step of its own */
	X_OP_FLUSH, X_OP_DIE,	/* steps of the machine */
};

/* No padding in what follows: states are hashed as bytes. */
struct x_op {
	int8_t kind, loc, order;
	uint8_t reserved[5];
	uint64_t value;
};

struct x_entry {
	int8_t loc, release;
	uint8_t reserved[6];
	uint64_t value;
};

enum x_status { X_RUNNING, X_DONE, X_DEAD };

/* What an actor carries over a mark. */
struct x_private {
	uint8_t phase;
	uint8_t held;		/* worker: pinned version, 0: none */
	uint8_t held_life;	/* worker: which life of it */
	uint8_t reserved[5];
	uint64_t epoch;		/* worker: last adopted; supervisor: waits for it */
};

struct x_actor {
	uint8_t status;
	uint8_t log_count, buffer_count;
	uint8_t reserved[5];
	int8_t log_loc[X_LOG_MAX];	/* X_NONE: not a load of another's word */
	uint64_t log[X_LOG_MAX];
	struct x_entry buffer[X_BUFFER_MAX];
	struct x_private priv;
	struct x_op pending;
};

/* The oracle's own knowledge, never read by the code under test. */
struct x_ghost {
	uint8_t life[3];		/* per version: grows with each reload */
	uint8_t reclaimed[3];
	uint8_t flip_count;
	uint8_t flip_active[X_FLIP_MAX];
	uint8_t reserved[3];
	uint64_t epoch;			/* as it should be */
	uint64_t unpublished[3];	/* per version: its epoch E, 0: published */
	uint64_t flip_epoch[X_FLIP_MAX];
};

struct x_world {
	uint64_t mem[X_LOCS];
	struct x_actor actors[X_ACTORS];
	struct x_ghost ghost;
};
_Static_assert(sizeof(struct x_actor) == 8 + X_LOG_MAX * 9 + X_BUFFER_MAX * 16 + 16 + 16,
	       "no padding");
_Static_assert(sizeof(struct x_ghost) == 16 + 8 + 24 + 8 * X_FLIP_MAX, "no padding");

typedef void (*x_program)(int actor, struct x_private *priv);

struct x_scenario {
	const char *name;
	x_program supervisor, worker;
	bool deaths;		/* workers may die between any two steps */
	bool bells;		/* someone reads slot.asleep */
};

extern struct mhs_board x_board;
extern struct mhs_slot x_slots[X_WORKERS];
extern const char *const x_loc_names[X_LOCS];
extern const struct x_scenario x_scenarios[];
extern const int x_scenario_count;
extern const char *x_violation;			/* NULL: none so far */

/* ---- the machine (x_world.c) */
void x_setup(struct x_world *world, const struct x_scenario *scenario);
bool x_enabled(const struct x_world *world, int actor);
void x_step(struct x_world *world, int actor);
int x_flushable(const struct x_world *world, int actor, int entry);
void x_flush(struct x_world *world, int actor, int entry);
void x_die(struct x_world *world, int actor);

/* ---- for actors: steps and marks (x_world.c) */
void x_mark(struct x_private *priv);
void x_wait(void);			/* until a word loaded since the mark has changed */
bool x_dead(int worker);
void x_use(uint32_t version, uint32_t life);
uint64_t x_data(uint32_t version);
void x_data_store(uint32_t version, uint64_t value);
void x_reclaim(uint32_t version);
void x_bell_wait(int worker);
void x_bell_ring(int worker);

/* ---- for actors: the oracle (x_oracle.c), run once, at the moment that they happen */
enum x_note {
	X_NOTE_FLIP, X_NOTE_UNPUBLISH, X_NOTE_REVIVE, X_NOTE_RELOAD,	/* version, - */
	X_NOTE_ROUTED, X_NOTE_NAMED,	/* version, epoch adopted: may be used now; its life */
	X_NOTE_REFUSED,			/* -, epoch adopted */
};
uint64_t x_note(enum x_note what, uint32_t version, uint64_t epoch);
uint64_t x_oracle_note(struct x_world *world, enum x_note what, uint32_t version, uint64_t epoch);
void x_oracle_store(const struct x_world *world, enum x_loc loc, uint64_t value);
void x_oracle_use(const struct x_world *world, uint32_t version, uint32_t life);
void x_oracle_end(const struct x_world *world);
void x_violate(const char *text);

int x_mutant_order(enum x_loc loc, uint64_t value, int order);

#endif
