/* SPDX-License-Identifier: MIT */
/*
 * mhs_epoch.h: publish, pin, unpin, grace period. All lock-free reclamation of mhost lives here.
 * The proof opens mhs_epoch.c and is drawn in LAYOUT.md. Functions take plain pointers, so the same
 * code runs in processes, in threads under ThreadSanitizer, and in the explorer of tests/race.
 */
#ifndef MHS_EPOCH_H
#define MHS_EPOCH_H

#include <stdbool.h>

#include "mhs_layout.h"

/* A route word, taken apart. */
struct mhs_route {
	uint32_t active;	/* version index, 0: none */
	uint32_t candidate;	/* version index, 0: none */
	uint32_t weight;	/* basis points to the candidate */
	uint32_t mode;		/* enum mhs_route_mode */
	uint32_t generation;
};

uint64_t mhs_route_pack(const struct mhs_route *route);
struct mhs_route mhs_route_unpack(uint64_t word);
/*
 * A split puts each request on a scale of MHS_ROUTE_WEIGHT_MAX points; those below the weight go to
 * the candidate, so whoever was there stays there as the weight grows.
 * Of a session @key: a keyed hash, equal numbers of keys on each point.
 */
uint32_t mhs_route_point(uint64_t key);
/*
 * Of the @turn-th request without a key: spread evenly, each point once in MHS_ROUTE_WEIGHT_MAX
 * turns, so the share is exact over time.
 */
uint32_t mhs_route_turn(uint64_t turn);
/* The version index that a request at @point goes to. */
uint32_t mhs_route_pick(const struct mhs_route *route, uint32_t point);

/* ---- worker: owns @slot -------------------------------------------------------------------- */

/* A fresh zeroed slot, by its creator: header (not yet published), seen_epoch OFFLINE. */
void mhs_slot_init(struct mhs_slot *slot, uint32_t worker);
/*
 * Start of a scheduling turn, and after each sleep: adopt the board's epoch before any route is
 * read. Stamps turn_ns and adopted_ns when the epoch moved (@now_ns: CLOCK_MONOTONIC at the turn's
 * begin). Returns the epoch adopted. Wait-free.
 */
uint64_t mhs_epoch_adopt(const struct mhs_board *board, struct mhs_slot *slot, uint64_t now_ns);
/*
 * Before sleeping, with nothing pinned by admission in progress. Running pins stay. Asks for the
 * bell (asleep = 1, cleared by the next adopt); so look at the lanes and at mhs_epoch_moved() once
 * more before the sleep itself. Wait-free.
 */
void mhs_epoch_offline(struct mhs_slot *slot);
/* Whether the board has published since @epoch was adopted: the last look before a sleep. */
bool mhs_epoch_moved(const struct mhs_board *board, uint64_t epoch);

/*
 * Pin the version that @model's route gives at @point (MHS_ROUTE_WEIGHT_MAX: the active one, whatever
 * the weight); only between adopt and the end of the turn. Returns the version index (> 0) and the
 * route that it was taken from; -ENOENT: no active version; -EAGAIN: the version named is being
 * withdrawn (the next turn sees the new route).
 * Entries of board->versions may be read in the turn too, as long as their state may be pinned.
 */
int mhs_pin_route(const struct mhs_board *board, struct mhs_slot *slot, uint32_t model,
		  uint32_t point, struct mhs_route *route);
/*
 * Pin a named version, in a turn as well. 0; -ENOENT: not in a state that may be pinned; -EINVAL:
 * index out of range.
 */
int mhs_pin_version(const struct mhs_board *board, struct mhs_slot *slot, uint32_t version);
/* End of a request, after its last read of the version. Only what was pinned. */
void mhs_unpin(struct mhs_slot *slot, uint32_t version);

/* A request or comparison uses @version now (CLOCK_MONOTONIC): what is to stay when room is short. */
void mhs_slot_use(struct mhs_slot *slot, uint32_t version, uint64_t now_ns);
/* Any reader: milliseconds since its last use by @slot's owner, UINT32_MAX: never used. */
uint32_t mhs_slot_unused_ms(const struct mhs_slot *slot, uint32_t version, uint64_t now_ns);

/* Index of the model called @name, of its @adapter unless "", or -ENOENT. Acquire on model_count. */
int mhs_board_find(const struct mhs_board *board, const char *name, const char *adapter);

/* ---- supervisor: the only writer of @board --------------------------------------------------- */

/* A fresh zeroed board: header (not yet published) and epoch 1. */
void mhs_board_init(struct mhs_board *board);
/*
 * Name a model, or its @adapter unless "". Returns its index, the existing one if named already;
 * -ENOSPC; -EINVAL: @name is empty, or one is longer than MHS_NAME_BYTES - 1.
 */
int mhs_board_add(struct mhs_board *board, const char *name, const char *adapter);
/*
 * One store of the route word (generation filled in here), then epoch += 1. Returns the new epoch.
 * The versions named are READY, ACTIVE or RESIDENT.
 */
uint64_t mhs_flip(struct mhs_board *board, uint32_t model, const struct mhs_route *route);
/*
 * Store a version's state; no epoch. Fields of the entry are written before READY is stored, and
 * only while it is FREE or LOADING.
 */
void mhs_version_set_state(struct mhs_board *board, uint32_t version, uint32_t state);
/*
 * Withdraw a version that no route names: state DRAINING, then epoch += 1. Returns the epoch E that
 * mhs_grace_over() needs; -EBUSY while a route still names it; -EINVAL: index out of range.
 */
int64_t mhs_unpublish(struct mhs_board *board, uint32_t version);
/*
 * Whether @slot's owner can no longer reach @version, unpublished at @epoch: seen_epoch >= epoch or
 * OFFLINE, and then pins == 0. A slot whose owner the kernel says is dead is simply not asked.
 */
bool mhs_grace_over(const struct mhs_slot *slot, uint32_t version, uint64_t epoch);
/* After a publication: whether @slot's owner asked for its bell. A hint, never trusted for more. */
bool mhs_slot_should_wake(const struct mhs_slot *slot);

#endif
