/* SPDX-License-Identifier: MIT */
/*
 * storm.h: one supervisor that flips, withdraws, overwrites and reloads versions as fast as it can,
 * and workers that check every word of what they pin. Run in threads (under ThreadSanitizer) and in
 * processes that are killed at random.
 */
#ifndef STORM_H
#define STORM_H

#include "mhs_epoch.h"

#define STORM_VERSIONS	4u	/* indices 1..4 */
#define STORM_WORDS	256u
#define STORM_HELD	6
#define STORM_POISON	UINT64_C(0xdeaddeaddeaddead)

struct storm {
	struct mhs_board board;
	uint64_t weights[STORM_VERSIONS + 1][STORM_WORDS];
	_Atomic uint32_t stop;
};

struct storm_request {
	uint32_t version;		/* 0: free */
	uint32_t turns;			/* left */
	uint64_t serial;		/* what its version's words must be */
};

struct storm_worker {
	struct storm *storm;
	struct mhs_slot *slot;
	uint64_t seed, uses, epoch;
	struct storm_request held[STORM_HELD];
};

struct storm_supervisor {
	struct storm *storm;
	struct mhs_slot **slots;	/* of each worker; NULL: no such worker */
	uint32_t worker_count;
	bool (*gone)(uint32_t worker);	/* the kernel says that it is dead */
	uint64_t seed, flips, reclaims;
	uint32_t active;
};

void storm_init(struct storm *storm);
/* One turn. NULL, or what went wrong. */
const char *storm_turn(struct storm_worker *worker);
void storm_worker_end(struct storm_worker *worker);	/* unpins all */
/* One flip, and now and then a reclaim with reload. NULL, or what went wrong. */
const char *storm_flip(struct storm_supervisor *sup);

#endif
