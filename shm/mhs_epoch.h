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
 * The version index that a request with @key (session key, or a fresh random number) goes to.
 * Keyed hash of (key, model): a key that was on the candidate stays there as the weight grows.
 */
uint32_t mhs_route_pick(const struct mhs_route *route, uint64_t key);

/* ---- worker: owns @slot -------------------------------------------------------------------- */

/*
 * Start of a scheduling turn, and after each sleep: adopt the board's epoch before any route is
 * read. Stamps turn_ns and adopted_ns when the epoch moved (@now_ns: CLOCK_MONOTONIC at the turn's
 * begin). Returns the epoch adopted. Wait-free.
 */
uint64_t mhs_epoch_adopt(const struct mhs_board *board, struct mhs_slot *slot, uint64_t now_ns);
/* Before sleeping, with nothing pinned by admission in progress. Running pins stay. Wait-free. */
void mhs_epoch_offline(struct mhs_slot *slot);

/*
 * Pin the version that @model's route gives for @key; only between adopt and the end of the turn.
 * Returns the version index (> 0); -ENOENT: no active version; -EAGAIN: the version named is
 * being withdrawn (the next turn sees the new route).
 */
int mhs_pin_route(const struct mhs_board *board, struct mhs_slot *slot, uint32_t model,
		  uint64_t key);
/* Pin a named version. 0; -ENOENT: not in a state that may be pinned; -EINVAL: index out of range. */
int mhs_pin_version(const struct mhs_board *board, struct mhs_slot *slot, uint32_t version);
/* End of a request. */
void mhs_unpin(struct mhs_slot *slot, uint32_t version);

/* Index of the model called @name, or -ENOENT. Acquire on model_count. */
int mhs_board_find_model(const struct mhs_board *board, const char *name);

/* ---- supervisor: the only writer of @board --------------------------------------------------- */

/* Name a model. Returns its index, the existing one if named already, or -ENOSPC. */
int mhs_board_add_model(struct mhs_board *board, const char *name);
/* One store of the route word (generation filled in here), then epoch += 1. Returns the new epoch. */
uint64_t mhs_flip(struct mhs_board *board, uint32_t model, const struct mhs_route *route);
/* Store a version's state; no epoch. Fields of the entry are written before READY is stored. */
void mhs_version_set_state(struct mhs_board *board, uint32_t version, uint32_t state);
/*
 * Withdraw a version that no route names: state DRAINING, then epoch += 1. Returns the epoch E that
 * mhs_grace_over() needs; -EBUSY (as int64_t) while a route still names it.
 */
int64_t mhs_unpublish(struct mhs_board *board, uint32_t version);
/*
 * Whether @slot's owner can no longer reach @version, unpublished at @epoch: seen_epoch >= epoch or
 * OFFLINE, and then pins == 0. A slot whose owner the kernel says is dead is simply not asked.
 */
bool mhs_grace_over(const struct mhs_slot *slot, uint32_t version, uint64_t epoch);

#endif
