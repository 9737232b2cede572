/* SPDX-License-Identifier: MIT */
/*
 * x_mutants.h: the seeded mutants, one wrong thing each. The explorer must find a violation in
 * every one of them, or it proves nothing.
 */
#ifndef X_MUTANTS_H
#define X_MUTANTS_H

enum x_mutant_id {
	MUT_NONE,			/* the real code */
	/* functions of mhs_epoch.c */
	MUT_SEEN_AFTER_ROUTE,
	MUT_WAKE_UNPUBLISHED,
	MUT_EPOCH_BEFORE_ROUTE,
	MUT_EPOCH_BEFORE_STATE,
	MUT_NO_DRAINING,
	MUT_NO_UNPUBLISH_EPOCH,
	MUT_PINS_FIRST,
	MUT_OFFLINE_IS_GONE,
	MUT_OFFLINE_WAITS,
	MUT_EPOCH_OFF_BY_ONE,
	MUT_STATE_IGNORED,
	MUT_NO_PINS,
	/* orders in mhs_epoch.c */
	MUT_SEEN_RELEASE,
	MUT_UNPUBLISH_RELEASE,
	MUT_PIN_RELAXED,
	MUT_ROUTE_RELAXED,
	MUT_READY_RELAXED,
	MUT_ASLEEP_RELEASE,
	/* duties of the callers */
	MUT_UNPIN_EARLY,
	MUT_DEAD_BY_TIMEOUT,
	MUT_FLIP_EPOCH,
	MUT_OLD_EPOCH,
	MUT_ONE_WORKER,
	MUT_PIN_OFFLINE,
	MUT_LOOK_BEFORE_ARM,
	MUT_READY_EARLY,
	MUT_UNPIN_KEPT,
	MUT_COUNT
};

struct x_mutant_info {
	const char *text;
	int scenario;			/* searched first, for it shows there */
};

extern int x_mutant;			/* the one in force */
extern const struct x_mutant_info x_mutants[MUT_COUNT];

#define MUTANT(n)	(x_mutant == (n))

#endif
