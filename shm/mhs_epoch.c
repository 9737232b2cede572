/* SPDX-License-Identifier: MIT */
/*
 * mhs_epoch.c: publish, pin, unpin, grace period. The labels are those of LAYOUT.md and tests/race.
 *
 * Objects, and who may write each
 *   board.epoch, board.models[].route, board.versions[].state: the supervisor only
 *   slot.seen_epoch, slot.pins[]: the slot's worker only
 *   the entry and the arena of version v: the supervisor, while v is FREE or LOADING
 *
 * Safety claim
 *   Once mhs_grace_over(slot, v, E) holds for every live worker, where E = mhs_unpublish(v), no
 *   worker reads the entry or the arena of v before v is published again.
 *   A worker whose seen_epoch is >= E never pins v; one whose seen_epoch is >= the epoch that
 *   mhs_flip returned never pins by a route older than that flip.
 *
 * Progress claim
 *   adopt, offline, pin, unpin, flip, unpublish, grace_over: wait-free, no system call but the
 *   clock. The grace period ends once every live worker has begun one more turn or sleeps, and has
 *   ended the requests that pin v. A worker that does neither holds the memory of v, and keeps no
 *   other worker from anything.
 *
 * Argument (a turn: from one adopt to the next adopt or offline)
 *   Supervisor: E5 store route, E6 store epoch; E7 store state DRAINING, E8 store epoch = E;
 *               E9 load seen_epoch, E10 load pins[v].
 *   Worker:     E1 load epoch, E2 store seen_epoch; E3 load route, E4 load state, E11 store
 *               pins + 1; E12 store pins - 1; E13 store seen_epoch = OFFLINE.
 *   Let X be the store of seen_epoch that E9 reads, with a value that ends the wait.
 *   1. X is an E2, its value >= E. Its E1 read E8 or later, so every E3 and E4 from then on sees E5
 *      and E7: they refuse v. Pins of earlier turns (E11) precede X in program order, so E10 sees
 *      them.
 *   2. X is an E13 (or the first value of the slot). As above for earlier pins. The next turn's E2
 *      overwrites X, so E9 precedes that E2 in the one order of all seq_cst accesses: E7 < E9 < E2
 *      < E4. So E4 sees DRAINING even if its E1 read an old epoch. This is store-then-load on both
 *      sides (E2 then E3, E4; E5, E7 then E9): acquire and release are not enough.
 *   3. E10 reads 0: the last E12 released all that its request read and E10 acquires it. So every
 *      read of v happens before the reclaim.
 *   From E3 to E11 nothing is pinned yet: the turn itself protects the entry, by 1 and 2. So a
 *   second look at the route after E11 is not needed.
 *
 * What breaks without a step (tests/race has a mutant for each)
 *   E2 after E3: a turn reads a route while it still shows OFFLINE; E9 does not wait for it.
 *   E2 or E7 weaker than seq_cst: the same, through a store buffer.
 *   E6 before E5, or E8 before E7: a worker shows the new epoch and still takes the old route.
 *   E7 left out: a request that names the version pins it after the grace period.
 *   E9 after E10: pins is the 0 that an E11 of the old turn is about to change.
 *   E10 left out when E9 reads OFFLINE: a request that runs over a sleep loses its weights.
 *   E12 before the request's last read, or relaxed: the same.
 *   E13 left out: a sleeping worker holds the memory of v for ever.
 *
 * Harmless staleness: an old seen_epoch, an old E1, a pin still shown; they only delay the reclaim.
 * Not harmless: an old route or state in a turn that shows a newer epoch or OFFLINE.
 *
 * Kept stronger than needed: E1, E6, E8, E11, E13 and E14 are seq_cst where acquire or release
 * would do. They run once a turn, a request or a publication, which costs nothing that can be
 * measured, and the proof needs one order only. Bare fences would be invisible to ThreadSanitizer.
 */
#include "mhs_epoch.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "mhs_attach.h"

/* The explorer of tests/race puts its own accesses here. */
#ifndef MHS_LOAD
#define MHS_LOAD(ptr, order)		atomic_load_explicit(ptr, order)
#define MHS_STORE(ptr, value, order)	atomic_store_explicit(ptr, value, order)
#endif

#define ROUTE_STRIDE	6181u
#define ROUTE_KEY_SALT	UINT64_C(0x6d686f7374726f75)

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

uint64_t mhs_route_pack(const struct mhs_route *route)
{
	return (uint64_t)(route->active & MHS_ROUTE_INDEX_MASK) |
	       (uint64_t)(route->candidate & MHS_ROUTE_INDEX_MASK) << 12 |
	       (uint64_t)(route->weight & MHS_ROUTE_WEIGHT_MASK) << 24 |
	       (uint64_t)(route->mode & 3u) << 38 |
	       (uint64_t)(route->generation & MHS_ROUTE_GEN_MASK) << 40;
}

struct mhs_route mhs_route_unpack(uint64_t word)
{
	struct mhs_route route = {
		.active = (uint32_t)word & MHS_ROUTE_INDEX_MASK,
		.candidate = (uint32_t)(word >> 12) & MHS_ROUTE_INDEX_MASK,
		.weight = (uint32_t)(word >> 24) & MHS_ROUTE_WEIGHT_MASK,
		.mode = (uint32_t)(word >> 38) & 3u,
		.generation = (uint32_t)(word >> 40) & MHS_ROUTE_GEN_MASK,
	};

	return route;
}

/* A bijection of 64 bits (splitmix64's), so equal numbers of keys fall into equal intervals. */
static uint64_t mix64(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint32_t mhs_route_point(uint64_t key)
{
	return (uint32_t)(((unsigned __int128)mix64(key ^ ROUTE_KEY_SALT) *
			   MHS_ROUTE_WEIGHT_MAX) >> 64);
}

uint32_t mhs_route_turn(uint64_t turn)
{
	/* coprime to 10000 and near its golden section: every point once, neighbours far apart */
	return (uint32_t)(turn % MHS_ROUTE_WEIGHT_MAX * ROUTE_STRIDE % MHS_ROUTE_WEIGHT_MAX);
}

uint32_t mhs_route_pick(const struct mhs_route *route, uint32_t point)
{
	if (route->mode != MHS_MODE_CANARY || route->candidate == 0)
		return route->active;
	return point < route->weight ? route->candidate : route->active;
}

/* ---- worker -------------------------------------------------------------------------------- */

void mhs_slot_init(struct mhs_slot *slot, uint32_t worker)
{
	mhs_header_init(&slot->head, MHS_MAGIC_SLOT, sizeof(*slot), worker);
	MHS_STORE(&slot->seen_epoch, MHS_EPOCH_OFFLINE, memory_order_relaxed);
}

uint64_t mhs_epoch_adopt(const struct mhs_board *board, struct mhs_slot *slot, uint64_t now_ns)
{
	/* E1 sees what E6 or E8 published, and all stores before it */
	uint64_t epoch = MHS_LOAD(&board->epoch, memory_order_seq_cst);

	/* E2 before E3 and E4; pairs with E5 and E7 before E9 */
	MHS_STORE(&slot->seen_epoch, epoch, memory_order_seq_cst);
	/* relaxed: a stale 1 rings the bell once too often */
	if (MHS_LOAD(&slot->asleep, memory_order_relaxed))
		MHS_STORE(&slot->asleep, 0, memory_order_relaxed);
	if (epoch == MHS_LOAD(&slot->adopted_epoch, memory_order_relaxed))
		return epoch;
	MHS_STORE(&slot->turn_ns, now_ns, memory_order_relaxed);
	MHS_STORE(&slot->adopted_ns, clock_ns(), memory_order_relaxed);
	/* release: who reads this epoch here reads its two times */
	MHS_STORE(&slot->adopted_epoch, epoch, memory_order_release);
	return epoch;
}

void mhs_epoch_offline(struct mhs_slot *slot)
{
	/* E13 after every E11 and every read of this turn; pairs with E9 */
	MHS_STORE(&slot->seen_epoch, MHS_EPOCH_OFFLINE, memory_order_seq_cst);
	/* B1 before B2; pairs with E6 or E8 before B3 */
	MHS_STORE(&slot->asleep, 1, memory_order_seq_cst);
}

bool mhs_epoch_moved(const struct mhs_board *board, uint64_t epoch)
{
	/* B2 after B1: a publication that B1 missed is seen here */
	return MHS_LOAD(&board->epoch, memory_order_seq_cst) != epoch;
}

static bool state_may_be_pinned(uint32_t state)
{
	return state == MHS_STATE_READY || state == MHS_STATE_ACTIVE || state == MHS_STATE_RESIDENT;
}

int mhs_pin_version(const struct mhs_board *board, struct mhs_slot *slot, uint32_t version)
{
	uint32_t pins;

	if (version == 0 || version >= MHS_VERSION_MAX)
		return -EINVAL;
	/* E4 after E2; sees E7, or with READY the entry's fields (E14) */
	if (!state_may_be_pinned(MHS_LOAD(&board->versions[version].state, memory_order_seq_cst)))
		return -ENOENT;
	pins = MHS_LOAD(&slot->pins[version], memory_order_relaxed);	/* own word */
	/* E11 before the next E2 or E13; pairs with E9 before E10 */
	MHS_STORE(&slot->pins[version], pins + 1, memory_order_seq_cst);
	return 0;
}

int mhs_pin_route(const struct mhs_board *board, struct mhs_slot *slot, uint32_t model,
		  uint32_t point, struct mhs_route *route)
{
	uint32_t version;
	int err;

	if (model >= MHS_MODEL_MAX)
		return -ENOENT;
	/* E3 after E2; pairs with E5 before E9 */
	*route = mhs_route_unpack(MHS_LOAD(&board->models[model].route, memory_order_seq_cst));
	version = mhs_route_pick(route, point);
	if (version == 0)
		return -ENOENT;
	err = mhs_pin_version(board, slot, version);
	if (err)
		return -EAGAIN;
	return (int)version;
}

void mhs_unpin(struct mhs_slot *slot, uint32_t version)
{
	uint32_t pins = MHS_LOAD(&slot->pins[version], memory_order_relaxed);	/* own word */

	/* E12 after the request's last read of the version; pairs with E10 */
	MHS_STORE(&slot->pins[version], pins - 1, memory_order_release);
}

void mhs_slot_use(struct mhs_slot *slot, uint32_t version, uint64_t now_ns)
{
	uint32_t ms = (uint32_t)(now_ns / 1000000);

	/* relaxed: a hint for the reader below, which orders nothing by it */
	MHS_STORE(&slot->used_ms[version], ms ? ms : 1, memory_order_relaxed);
}

uint32_t mhs_slot_unused_ms(const struct mhs_slot *slot, uint32_t version, uint64_t now_ns)
{
	/* relaxed: pairs with mhs_slot_use(), a hint alone */
	uint32_t ms = MHS_LOAD(&slot->used_ms[version], memory_order_relaxed);

	return ms ? (uint32_t)(now_ns / 1000000) - ms : UINT32_MAX;
}

int mhs_board_find(const struct mhs_board *board, const char *name, const char *adapter)
{
	/* M2 pairs with M1: names below the count are whole */
	uint32_t count = MHS_LOAD(&board->model_count, memory_order_acquire);

	for (uint32_t i = 0; i < count && i < MHS_MODEL_MAX; i++)
		if (strncmp(board->models[i].name, name, MHS_NAME_BYTES) == 0 &&
		    strncmp(board->models[i].adapter, adapter, MHS_NAME_BYTES) == 0)
			return (int)i;
	return -ENOENT;
}

/* ---- supervisor ------------------------------------------------------------------------------ */

void mhs_board_init(struct mhs_board *board)
{
	mhs_header_init(&board->head, MHS_MAGIC_BOARD, sizeof(*board), 0);
	MHS_STORE(&board->epoch, 1, memory_order_relaxed);
}

int mhs_board_add(struct mhs_board *board, const char *name, const char *adapter)
{
	uint32_t count = MHS_LOAD(&board->model_count, memory_order_relaxed);	/* own word */
	size_t bytes = strlen(name), adapter_bytes = strlen(adapter);
	int found;

	if (bytes == 0 || bytes >= MHS_NAME_BYTES || adapter_bytes >= MHS_NAME_BYTES)
		return -EINVAL;
	found = mhs_board_find(board, name, adapter);
	if (found >= 0)
		return found;
	if (count >= MHS_MODEL_MAX)
		return -ENOSPC;
	memcpy(board->models[count].name, name, bytes);
	memcpy(board->models[count].adapter, adapter, adapter_bytes);
	/* M1 after the names; pairs with M2 */
	MHS_STORE(&board->model_count, count + 1, memory_order_release);
	return (int)count;
}

/* Only the supervisor stores the epoch, so a load and a store are enough. */
static uint64_t epoch_advance(struct mhs_board *board)
{
	uint64_t epoch = MHS_LOAD(&board->epoch, memory_order_relaxed) + 1;

	/* E6, E8 after E5, E7; pairs with E1 */
	MHS_STORE(&board->epoch, epoch, memory_order_seq_cst);
	return epoch;
}

uint64_t mhs_flip(struct mhs_board *board, uint32_t model, const struct mhs_route *route)
{
	_Atomic uint64_t *word = &board->models[model].route;
	struct mhs_route next = *route;

	next.generation = mhs_route_unpack(MHS_LOAD(word, memory_order_relaxed)).generation + 1;
	/* E5 before E9; pairs with E2 before E3 */
	MHS_STORE(word, mhs_route_pack(&next), memory_order_seq_cst);
	return epoch_advance(board);
}

void mhs_version_set_state(struct mhs_board *board, uint32_t version, uint32_t state)
{
	/* E14 after the entry's fields; pairs with E4 */
	MHS_STORE(&board->versions[version].state, state, memory_order_seq_cst);
}

static bool version_is_routed(const struct mhs_board *board, uint32_t version)
{
	uint32_t count = MHS_LOAD(&board->model_count, memory_order_relaxed);	/* own word */

	for (uint32_t i = 0; i < count; i++) {
		uint64_t word = MHS_LOAD(&board->models[i].route, memory_order_relaxed);
		struct mhs_route route = mhs_route_unpack(word);

		if (route.active == version || route.candidate == version)
			return true;
	}
	return false;
}

int64_t mhs_unpublish(struct mhs_board *board, uint32_t version)
{
	if (version == 0 || version >= MHS_VERSION_MAX)
		return -EINVAL;
	if (version_is_routed(board, version))
		return -EBUSY;
	/* E7 before E9; pairs with E2 before E4 */
	MHS_STORE(&board->versions[version].state, MHS_STATE_DRAINING, memory_order_seq_cst);
	return (int64_t)epoch_advance(board);
}

bool mhs_grace_over(const struct mhs_slot *slot, uint32_t version, uint64_t epoch)
{
	/* E9 after E5 and E7; pairs with E2 and E13. OFFLINE is larger than every epoch. */
	if (MHS_LOAD(&slot->seen_epoch, memory_order_seq_cst) < epoch)
		return false;
	/* E10 after E9; pairs with E11 (through E9) and with E12 */
	return MHS_LOAD(&slot->pins[version], memory_order_acquire) == 0;
}

bool mhs_slot_should_wake(const struct mhs_slot *slot)
{
	/* B3 after E6 or E8; pairs with B1 before B2 */
	return MHS_LOAD(&slot->asleep, memory_order_seq_cst) != 0;
}
