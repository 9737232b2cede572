/* SPDX-License-Identifier: MIT */
/*
 * x_actors.c: what the supervisor and the workers do in each scenario, by the real functions.
 * x_private.phase says where an actor goes on after a mark. The oracle is in x_oracle.c.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#include "x_hooks.h"

#include "x_mutants.h"
#include "x_world.h"

/* ---- worker ---------------------------------------------------------------------------------- */

static void turn(int w, struct x_private *priv)
{
	uint64_t epoch = mhs_epoch_adopt(&x_board, &x_slots[w], 1);

	if (epoch < priv->epoch)
		x_violate("a worker adopts an older epoch");
	priv->epoch = epoch;
}

static void pin_route(int w, struct x_private *priv)
{
	struct mhs_route route;
	int version = mhs_pin_route(&x_board, &x_slots[w], 0, 1, &route);

	priv->held = 0;
	if (version == -EAGAIN)
		x_note(X_NOTE_REFUSED, 0, priv->epoch);
	else if (version < 0)
		x_violate("a model with an active version has no route");
	if (version < 0)
		return;
	priv->held = (uint8_t)version;
	priv->held_life = (uint8_t)x_note(X_NOTE_ROUTED, (uint32_t)version, priv->epoch);
}

static void pin_named(int w, struct x_private *priv, uint32_t version)
{
	priv->held = 0;
	if (mhs_pin_version(&x_board, &x_slots[w], version))
		return;
	priv->held = (uint8_t)version;
	priv->held_life = (uint8_t)x_note(X_NOTE_NAMED, version, priv->epoch);
}

static void use(const struct x_private *priv)
{
	if (priv->held)
		x_use(priv->held, priv->held_life);
}

static void unpin(int w, struct x_private *priv)
{
	if (priv->held)
		mhs_unpin(&x_slots[w], priv->held);
	priv->held = 0;
}

static void use_last(int w, struct x_private *priv)
{
	struct x_private held = *priv;

	if (MUTANT(MUT_UNPIN_EARLY))
		unpin(w, priv);
	use(&held);
	if (!MUTANT(MUT_UNPIN_EARLY) && !MUTANT(MUT_UNPIN_KEPT))
		unpin(w, priv);
	priv->held = 0;
}

/* Whole pinned request over two turns, a sleep, and one in a single turn. */
static void routes_worker(int w, struct x_private *priv)
{
	for (; priv->phase < 5; priv->phase++, x_mark(priv)) {
		switch (priv->phase) {
		case 0:
			turn(w, priv);
			pin_route(w, priv);
			use(priv);
			break;
		case 1:
			turn(w, priv);
			use_last(w, priv);
			break;
		case 3:
			if (!MUTANT(MUT_PIN_OFFLINE))
				turn(w, priv);
			pin_route(w, priv);
			use_last(w, priv);
			break;
		default:
			mhs_epoch_offline(&x_slots[w]);
		}
	}
}

/* A request that runs on while its worker sleeps. */
static void sleeper_worker(int w, struct x_private *priv)
{
	for (; priv->phase < 4; priv->phase++, x_mark(priv)) {
		switch (priv->phase) {
		case 0:
			turn(w, priv);
			pin_route(w, priv);
			break;
		case 2:
			use(priv);
			turn(w, priv);
			use_last(w, priv);
			break;
		default:
			mhs_epoch_offline(&x_slots[w]);
		}
	}
}

/* Reads an entry without a pin, inside of the turn, when its state may be pinned. */
static void peek(struct x_private *priv, uint32_t version)
{
	uint64_t state = MHS_LOAD(&x_board.versions[version].state, memory_order_seq_cst);
	uint32_t life;

	if (state < MHS_STATE_READY || state > MHS_STATE_RESIDENT)
		return;
	life = (uint32_t)x_note(X_NOTE_NAMED, version, priv->epoch);
	x_use(version, life);
}

static void named_worker(int w, struct x_private *priv)
{
	for (; priv->phase < 5; priv->phase++, x_mark(priv)) {
		switch (priv->phase) {
		case 0:
			turn(w, priv);
			pin_named(w, priv, X_VERSION_A);
			use(priv);
			break;
		case 1:
			turn(w, priv);
			use_last(w, priv);
			peek(priv, X_VERSION_A);
			break;
		case 3:
			turn(w, priv);
			pin_named(w, priv, X_VERSION_A);
			use_last(w, priv);
			break;
		default:
			mhs_epoch_offline(&x_slots[w]);
		}
	}
}

static void read_data(const struct x_private *priv)
{
	if (priv->held && x_data(priv->held) != priv->held_life)
		x_violate("a pinned version shows bytes that are not its own");
}

static void reuse_worker(int w, struct x_private *priv)
{
	for (; priv->phase < 3; priv->phase++, x_mark(priv)) {
		switch (priv->phase) {
		case 0:
			turn(w, priv);
			pin_route(w, priv);
			read_data(priv);
			use_last(w, priv);
			break;
		case 1:
			turn(w, priv);
			pin_named(w, priv, X_VERSION_A);
			read_data(priv);
			use_last(w, priv);
			break;
		default:
			mhs_epoch_offline(&x_slots[w]);
		}
	}
}

static void go_offline(int w, struct x_private *priv)
{
	bool moved;

	if (MUTANT(MUT_LOOK_BEFORE_ARM)) {
		moved = mhs_epoch_moved(&x_board, priv->epoch);
		mhs_epoch_offline(&x_slots[w]);
	} else {
		mhs_epoch_offline(&x_slots[w]);
		moved = mhs_epoch_moved(&x_board, priv->epoch);
	}
	priv->phase = moved ? 0 : 2;
}

static void bell_worker(int w, struct x_private *priv)
{
	for (;; x_mark(priv)) {
		switch (priv->phase) {
		case 0:
			turn(w, priv);
			priv->phase = 1;
			break;
		case 1:
			go_offline(w, priv);
			break;
		default:
			x_bell_wait(w);
			priv->phase = 0;
		}
	}
}

/* ---- supervisor ------------------------------------------------------------------------------ */

static void flip(uint32_t active)
{
	struct mhs_route route = { .active = active };

	x_note(X_NOTE_FLIP, active, 0);
	mhs_flip(&x_board, 0, &route);
}

static void unpublish(struct x_private *priv, uint32_t version)
{
	x_note(X_NOTE_UNPUBLISH, version, 0);
	priv->epoch = (uint64_t)mhs_unpublish(&x_board, version);
	if (MUTANT(MUT_FLIP_EPOCH))
		priv->epoch = 2;	/* of the first flip away from it */
	if (MUTANT(MUT_OLD_EPOCH) && priv->phase > 1)
		priv->epoch = 3;	/* of the unpublish that was taken back */
}

/* One look at one worker; goes on to the next phase when that worker is out of the way. */
static void look(struct x_private *priv, int w, uint32_t version)
{
	if (x_dead(w) || (MUTANT(MUT_ONE_WORKER) && w > 0) ||
	    mhs_grace_over(&x_slots[w], version, priv->epoch) || MUTANT(MUT_DEAD_BY_TIMEOUT)) {
		priv->phase++;
		return;
	}
	x_wait();
}

/* Phases @first .. @first + 3: unpublish, look at each worker, reclaim. */
static void withdraw(struct x_private *priv, uint8_t first, uint32_t version)
{
	switch (priv->phase - first) {
	case 0:
		unpublish(priv, version);
		priv->phase++;
		break;
	case 1:
	case 2:
		look(priv, priv->phase - first - 1, version);
		break;
	default:
		x_reclaim(version);
		mhs_version_set_state(&x_board, version, MHS_STATE_FREE);
		priv->phase++;
	}
}

static void routes_supervisor(int actor, struct x_private *priv)
{
	(void)actor;
	for (; priv->phase < 7; x_mark(priv)) {
		if (priv->phase < 3)
			flip(priv->phase++ == 1 ? X_VERSION_A : X_VERSION_B);
		else
			withdraw(priv, 3, X_VERSION_A);
	}
}

static void reload(uint32_t version)
{
	uint64_t life = x_note(X_NOTE_RELOAD, version, 0);

	mhs_version_set_state(&x_board, version, MHS_STATE_LOADING);
	if (MUTANT(MUT_READY_EARLY))
		mhs_version_set_state(&x_board, version, MHS_STATE_READY);
	x_data_store(version, life);
	mhs_version_set_state(&x_board, version, MHS_STATE_READY);
}

/* The place of A is used again for another version, then B goes. */
static void reuse_supervisor(int actor, struct x_private *priv)
{
	(void)actor;
	for (; priv->phase < 11; x_mark(priv)) {
		if (priv->phase == 0 || priv->phase == 6) {
			flip(priv->phase++ == 0 ? X_VERSION_B : X_VERSION_A);
		} else if (priv->phase < 5) {
			withdraw(priv, 1, X_VERSION_A);
		} else if (priv->phase == 5) {
			reload(X_VERSION_A);
			priv->phase++;
		} else {
			withdraw(priv, 7, X_VERSION_B);
		}
	}
}

/* A is withdrawn, taken back before its grace period is over, routed again, and withdrawn for good. */
static void revive_supervisor(int actor, struct x_private *priv)
{
	(void)actor;
	for (; priv->phase < 9; x_mark(priv)) {
		if (priv->phase == 2) {
			mhs_version_set_state(&x_board, X_VERSION_A, MHS_STATE_RESIDENT);
			x_note(X_NOTE_REVIVE, X_VERSION_A, 0);
			priv->phase++;
		} else if (priv->phase == 1) {
			unpublish(priv, X_VERSION_A);
			priv->phase++;
		} else if (priv->phase < 5) {
			flip(priv->phase++ == 3 ? X_VERSION_A : X_VERSION_B);
		} else {
			withdraw(priv, 5, X_VERSION_A);
		}
	}
}

static void bell_supervisor(int actor, struct x_private *priv)
{
	(void)actor;
	for (; priv->phase < 9; priv->phase++, x_mark(priv)) {
		int w = priv->phase % 3 - 1;

		if (w < 0)
			flip(priv->phase == 3 ? X_VERSION_A : X_VERSION_B);
		else if (mhs_slot_should_wake(&x_slots[w]))
			x_bell_ring(w);
	}
}

const struct x_scenario x_scenarios[] = {
	{ "3 flips, requests by route", routes_supervisor, routes_worker, true, false },
	{ "3 flips, requests over a sleep", routes_supervisor, sleeper_worker, true, false },
	{ "3 flips, requests by name", routes_supervisor, named_worker, true, false },
	{ "the place of a version used again", reuse_supervisor, reuse_worker, true, false },
	{ "withdrawn, taken back, withdrawn", revive_supervisor, sleeper_worker, true, false },
	{ "3 flips, bells for sleepers", bell_supervisor, bell_worker, true, true },
};
const int x_scenario_count = (int)(sizeof(x_scenarios) / sizeof(x_scenarios[0]));
