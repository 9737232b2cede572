/* SPDX-License-Identifier: MIT */
/*
 * x_mutants.c: the wrong functions and the wrong orders. Each mhs_ function here is the real one
 * (real_...) unless a mutant of it is in force.
 */
#include "x_mutants.h"

#include <errno.h>
#include <stdatomic.h>

#include "x_hooks.h"

#include "mhs_epoch.h"
#include "x_world.h"

#define SEQ	memory_order_seq_cst
#define RELAXED	memory_order_relaxed

uint64_t real_epoch_adopt(const struct mhs_board *board, struct mhs_slot *slot, uint64_t now_ns);
int real_pin_route(const struct mhs_board *board, struct mhs_slot *slot, uint32_t model,
		   uint32_t point, struct mhs_route *route);
int real_pin_version(const struct mhs_board *board, struct mhs_slot *slot, uint32_t version);
uint64_t real_flip(struct mhs_board *board, uint32_t model, const struct mhs_route *route);
int64_t real_unpublish(struct mhs_board *board, uint32_t version);
bool real_grace_over(const struct mhs_slot *slot, uint32_t version, uint64_t epoch);

int x_mutant;

const struct x_mutant_info x_mutants[MUT_COUNT] = {
	[MUT_NONE] = { "the real code", 0 },
	[MUT_SEEN_AFTER_ROUTE] = { "E2 after E3, E4: seen_epoch after the route's read", 0 },
	[MUT_WAKE_UNPUBLISHED] = { "no E2 after a sleep when the epoch has not moved", 0 },
	[MUT_EPOCH_BEFORE_ROUTE] = { "E6 before E5: epoch stored before the route", 0 },
	[MUT_EPOCH_BEFORE_STATE] = { "E8 before E7: epoch stored before DRAINING", 2 },
	[MUT_NO_DRAINING] = { "no E7: DRAINING not stored", 2 },
	[MUT_NO_UNPUBLISH_EPOCH] = { "no E8: unpublish returns the present epoch", 2 },
	[MUT_PINS_FIRST] = { "E10 before E9: pins read before seen_epoch", 0 },
	[MUT_OFFLINE_IS_GONE] = { "no E10 when E9 reads OFFLINE", 1 },
	[MUT_OFFLINE_WAITS] = { "OFFLINE does not end the wait", 0 },
	[MUT_EPOCH_OFF_BY_ONE] = { "E9 ends the wait at E - 1", 2 },
	[MUT_STATE_IGNORED] = { "no E4: pin does not look at the state", 2 },
	[MUT_NO_PINS] = { "no E10: pins not read", 0 },
	[MUT_SEEN_RELEASE] = { "E2 release: the route's load passes it", 0 },
	[MUT_UNPUBLISH_RELEASE] = { "E7 and E8 release: the load of seen_epoch passes them", 2 },
	[MUT_PIN_RELAXED] = { "E11 and E13 relaxed: OFFLINE shows before the pin", 1 },
	[MUT_ROUTE_RELAXED] = { "E5 and E6 relaxed: the epoch shows before the route", 0 },
	[MUT_READY_RELAXED] = { "E14 relaxed: READY shows before the fields", 3 },
	[MUT_ASLEEP_RELEASE] = { "B1 release: the last look passes it", 5 },
	[MUT_UNPIN_EARLY] = { "unpinned before the last use", 0 },
	[MUT_DEAD_BY_TIMEOUT] = { "a worker that is slow to answer counts as dead", 0 },
	[MUT_FLIP_EPOCH] = { "waits for the epoch of a flip, not of the unpublish", 0 },
	[MUT_OLD_EPOCH] = { "waits for the epoch of an unpublish that was taken back", 4 },
	[MUT_ONE_WORKER] = { "asks the first worker only", 0 },
	[MUT_PIN_OFFLINE] = { "pins outside of a turn", 0 },
	[MUT_LOOK_BEFORE_ARM] = { "B2 before B1: last look before the bell is asked for", 5 },
	[MUT_READY_EARLY] = { "READY stored before the fields", 3 },
	[MUT_UNPIN_KEPT] = { "never unpinned", 0 },
};

int x_mutant_order(enum x_loc loc, uint64_t value, int order)
{
	bool seen = loc == X_SEEN0 || loc == X_SEEN1;
	bool pins = loc >= X_PIN0_A && loc <= X_PIN1_B;
	bool state = loc == X_STATE_A || loc == X_STATE_B;

	switch (x_mutant) {
	case MUT_SEEN_RELEASE:
		return seen ? memory_order_release : order;
	case MUT_UNPUBLISH_RELEASE:
		return state || loc == X_EPOCH ? memory_order_release : order;
	case MUT_PIN_RELAXED:
		return (pins && value) || (seen && value == MHS_EPOCH_OFFLINE) ? RELAXED : order;
	case MUT_ROUTE_RELAXED:
		return loc == X_ROUTE || loc == X_EPOCH ? RELAXED : order;
	case MUT_READY_RELAXED:
		return state ? RELAXED : order;
	case MUT_ASLEEP_RELEASE:
		return loc == X_ASLEEP0 || loc == X_ASLEEP1 ? memory_order_release : order;
	default:
		return order;
	}
}

static int pin(struct mhs_slot *slot, uint32_t version)
{
	uint32_t pins = (uint32_t)MHS_LOAD(&slot->pins[version], RELAXED);

	MHS_STORE(&slot->pins[version], pins + 1, SEQ);
	return 0;
}

uint64_t mhs_epoch_adopt(const struct mhs_board *board, struct mhs_slot *slot, uint64_t now_ns)
{
	uint64_t epoch;

	if (!MUTANT(MUT_SEEN_AFTER_ROUTE) && !MUTANT(MUT_WAKE_UNPUBLISHED))
		return real_epoch_adopt(board, slot, now_ns);
	epoch = MHS_LOAD(&board->epoch, SEQ);
	if (MUTANT(MUT_WAKE_UNPUBLISHED) && epoch != MHS_LOAD(&slot->adopted_epoch, RELAXED))
		MHS_STORE(&slot->seen_epoch, epoch, SEQ);
	MHS_STORE(&slot->adopted_epoch, epoch, RELAXED);
	return epoch;
}

int mhs_pin_version(const struct mhs_board *board, struct mhs_slot *slot, uint32_t version)
{
	uint64_t state;

	if (MUTANT(MUT_STATE_IGNORED))
		return pin(slot, version);
	if (!MUTANT(MUT_SEEN_AFTER_ROUTE))
		return real_pin_version(board, slot, version);
	state = MHS_LOAD(&board->versions[version].state, SEQ);
	MHS_STORE(&slot->seen_epoch, MHS_LOAD(&slot->adopted_epoch, RELAXED), SEQ);
	return state < MHS_STATE_READY || state > MHS_STATE_RESIDENT ? -ENOENT : pin(slot, version);
}

int mhs_pin_route(const struct mhs_board *board, struct mhs_slot *slot, uint32_t model,
		  uint32_t point, struct mhs_route *route)
{
	uint32_t version;

	if (!MUTANT(MUT_STATE_IGNORED) && !MUTANT(MUT_SEEN_AFTER_ROUTE))
		return real_pin_route(board, slot, model, point, route);
	*route = mhs_route_unpack(MHS_LOAD(&board->models[model].route, SEQ));
	version = mhs_route_pick(route, point);
	return mhs_pin_version(board, slot, version) ? -EAGAIN : (int)version;
}

uint64_t mhs_flip(struct mhs_board *board, uint32_t model, const struct mhs_route *route)
{
	uint64_t epoch;

	if (!MUTANT(MUT_EPOCH_BEFORE_ROUTE))
		return real_flip(board, model, route);
	epoch = MHS_LOAD(&board->epoch, RELAXED) + 1;
	MHS_STORE(&board->epoch, epoch, SEQ);
	MHS_STORE(&board->models[model].route, mhs_route_pack(route), SEQ);
	return epoch;
}

int64_t mhs_unpublish(struct mhs_board *board, uint32_t version)
{
	uint64_t epoch;

	if (!MUTANT(MUT_EPOCH_BEFORE_STATE) && !MUTANT(MUT_NO_DRAINING) &&
	    !MUTANT(MUT_NO_UNPUBLISH_EPOCH))
		return real_unpublish(board, version);
	epoch = MHS_LOAD(&board->epoch, RELAXED);
	if (!MUTANT(MUT_NO_UNPUBLISH_EPOCH))
		MHS_STORE(&board->epoch, ++epoch, SEQ);
	if (!MUTANT(MUT_NO_DRAINING))
		MHS_STORE(&board->versions[version].state, MHS_STATE_DRAINING, SEQ);
	return (int64_t)epoch;
}

bool mhs_grace_over(const struct mhs_slot *slot, uint32_t version, uint64_t epoch)
{
	uint64_t seen;

	if (MUTANT(MUT_PINS_FIRST))
		return MHS_LOAD(&slot->pins[version], memory_order_acquire) == 0 &&
		       MHS_LOAD(&slot->seen_epoch, SEQ) >= epoch;
	if (!MUTANT(MUT_OFFLINE_IS_GONE) && !MUTANT(MUT_OFFLINE_WAITS) &&
	    !MUTANT(MUT_EPOCH_OFF_BY_ONE) && !MUTANT(MUT_NO_PINS))
		return real_grace_over(slot, version, epoch);
	seen = MHS_LOAD(&slot->seen_epoch, SEQ);
	if (seen == MHS_EPOCH_OFFLINE && MUTANT(MUT_OFFLINE_IS_GONE))
		return true;
	if (seen == MHS_EPOCH_OFFLINE && MUTANT(MUT_OFFLINE_WAITS))
		return false;
	if (seen < epoch - MUTANT(MUT_EPOCH_OFF_BY_ONE))
		return false;
	return MUTANT(MUT_NO_PINS) || MHS_LOAD(&slot->pins[version], memory_order_acquire) == 0;
}
