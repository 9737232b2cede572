/* SPDX-License-Identifier: MIT */
/* What the functions do one after the other; tests/race shows what they do at the same time. */
#include "mhs_epoch.h"

#include <errno.h>
#include <stdio.h>
#include <math.h>
#include <string.h>

#include "t.h"

#define SALT	UINT64_C(0x6d686f7374726f75)	/* ROUTE_KEY_SALT of mhs_epoch.c */

static struct mhs_board board;
static struct mhs_slot slot;

static void fresh(void)
{
	memset(&board, 0, sizeof(board));
	memset(&slot, 0, sizeof(slot));
	mhs_board_init(&board);
	mhs_slot_init(&slot, 0);
}

static uint64_t flip(uint32_t model, uint32_t active, uint32_t candidate)
{
	struct mhs_route route = { .active = active, .candidate = candidate };

	route.mode = candidate ? MHS_MODE_CANARY : MHS_MODE_NONE;
	return mhs_flip(&board, model, &route);
}

static uint32_t pins(uint32_t version)
{
	return atomic_load(&slot.pins[version]);
}

static void route_word(void)
{
	uint64_t seed = 1;

	for (int i = 0; i < 10000; i++) {
		uint64_t word = t_random(&seed);
		struct mhs_route route = mhs_route_unpack(word);

		t_need(mhs_route_pack(&route) == word);
	}
	t_ok(mhs_route_pack(&(struct mhs_route){ .active = 4095 }) == 0xfff);
	t_ok(mhs_route_pack(&(struct mhs_route){ .candidate = 1 }) == 1 << 12);
	t_ok(mhs_route_pack(&(struct mhs_route){ .weight = 10000 }) == UINT64_C(10000) << 24);
	t_ok(mhs_route_pack(&(struct mhs_route){ .mode = 2 }) == UINT64_C(2) << 38);
	t_ok(mhs_route_pack(&(struct mhs_route){ .generation = 1 }) == UINT64_C(1) << 40);
	t_ok(mhs_route_pack(&(struct mhs_route){ .generation = 1u << 24 }) == 0);
}

static uint64_t inverse(uint64_t odd)	/* modulo 2^64, by Newton */
{
	uint64_t x = odd;

	for (int i = 0; i < 6; i++)
		x *= 2 - odd * x;
	return x;
}

/* The key that lands on @point of the 64-bit scale: the mix of the split, backwards. */
static uint64_t key_of(uint64_t z)
{
	z ^= z >> 31 ^ z >> 62;
	z *= inverse(UINT64_C(0x94d049bb133111eb));
	z ^= z >> 27 ^ z >> 54;
	z *= inverse(UINT64_C(0xbf58476d1ce4e5b9));
	z ^= z >> 30 ^ z >> 60;
	return z ^ SALT;
}

static uint32_t pick(uint32_t weight, uint64_t key)
{
	struct mhs_route route = { .active = 1, .candidate = 2, .weight = weight,
				   .mode = MHS_MODE_CANARY };

	return mhs_route_pick(&route, mhs_route_point(key));
}

/* The middle of the @i-th of 10000 equal parts of the scale. */
static uint64_t middle(uint64_t i)
{
	return (uint64_t)(((unsigned __int128)(2 * i + 1) << 63) / 10000);
}

/* Of 10000 keys spread evenly over the scale, exactly @weight go to the candidate. */
static void split_is_exact(void)
{
	static const uint32_t weights[] = { 0, 1, 2, 50, 3333, 5000, 9999, 10000 };

	for (size_t w = 0; w < sizeof(weights) / sizeof(weights[0]); w++) {
		uint32_t candidates = 0;

		for (uint64_t i = 0; i < 10000; i++)
			candidates += pick(weights[w], key_of(middle(i))) == 2;
		t_eq(candidates, weights[w]);
	}
}

/* The edges of the scale: one step below and at each bound. */
static void split_edges(void)
{
	for (uint32_t w = 1; w < 10000; w += 7) {
		unsigned __int128 scale = (unsigned __int128)1 << 64;
		uint64_t first = (uint64_t)((scale * w + 9999) / 10000);

		t_need(pick(w, key_of(first)) == 1);
		t_need(pick(w, key_of(first - 1)) == 2);
	}
	t_eq(pick(0, key_of(0)), 1);
	t_eq(pick(10000, key_of(UINT64_MAX)), 2);
}

/* Requests without a key: exact in each 10000 in a row, and never far off on the way there. */
static void split_by_turn(void)
{
	static const uint32_t weights[] = { 1, 100, 500, 2500, 5000, 9999 };

	for (size_t w = 0; w < sizeof(weights) / sizeof(weights[0]); w++) {
		struct mhs_route route = { .active = 1, .candidate = 2, .weight = weights[w],
					   .mode = MHS_MODE_CANARY };
		double worst = 0, candidates = 0;

		for (uint64_t n = 777; n < 10777; n++) {
			candidates += mhs_route_pick(&route, mhs_route_turn(n)) == 2;
			worst = fmax(worst, fabs(candidates - (double)(n - 776) * weights[w] / 1e4));
		}
		t_near(candidates, weights[w], 0.01);
		t_ok(worst < 4);
	}
}

/* A million plain keys (small numbers) are spread by the hash: within 0.1 points of the weight. */
static void split_of_plain_keys(void)
{
	static const uint32_t weights[] = { 100, 500, 1000, 2500, 5000, 9900 };

	for (size_t w = 0; w < sizeof(weights) / sizeof(weights[0]); w++) {
		double candidates = 0;

		for (uint64_t key = 0; key < 1000000; key++)
			candidates += pick(weights[w], key) == 2;
		t_near(candidates / 1e4, weights[w] / 100.0, 0.1);
	}
}

static void split_is_sticky(void)
{
	for (uint64_t key = 0; key < 2000; key++) {
		uint32_t last = 1;

		for (uint32_t w = 0; w <= 10000; w += 100) {
			uint32_t now = pick(w, key);

			t_need(last != 2 || now == 2);
			last = now;
		}
		t_eq(last, 2);
	}
}

static void split_modes(void)
{
	struct mhs_route route = { .active = 1, .candidate = 2, .weight = 10000 };

	route.mode = MHS_MODE_NONE;
	t_eq(mhs_route_pick(&route, 1), 1);
	route.mode = MHS_MODE_SHADOW;
	t_eq(mhs_route_pick(&route, 1), 1);
	route.mode = MHS_MODE_CANARY;
	t_eq(mhs_route_pick(&route, 1), 2);
	route.candidate = 0;
	t_eq(mhs_route_pick(&route, 1), 1);
}

static void models(void)
{
	char name[80];

	fresh();
	t_eq(mhs_board_find(&board, "smol", ""), -ENOENT);
	t_eq(mhs_board_add(&board, "smol", ""), 0);
	t_eq(mhs_board_add(&board, "smol2", ""), 1);
	t_eq(mhs_board_add(&board, "smol", ""), 0);
	t_eq(mhs_board_find(&board, "smol2", ""), 1);
	t_eq(mhs_board_find(&board, "smo", ""), -ENOENT);
	t_eq(mhs_board_add(&board, "", ""), -EINVAL);
	t_eq(mhs_board_add(&board, "", "tone"), -EINVAL);
	memset(name, 'x', sizeof(name));
	name[64] = '\0';
	t_eq(mhs_board_add(&board, name, ""), -EINVAL);
	t_eq(mhs_board_find(&board, name, ""), -ENOENT);
	name[63] = '\0';
	t_eq(mhs_board_add(&board, name, ""), 2);
	t_eq(mhs_board_find(&board, name, ""), 2);
	t_eq(mhs_board_find(&board, "smol", "tone"), -ENOENT);
	t_eq(mhs_board_add(&board, "smol", "tone"), 3);
	t_eq(mhs_board_add(&board, "smol2", "tone"), 4);
	t_eq(mhs_board_find(&board, "smol", "tone"), 3);
	t_eq(mhs_board_find(&board, "tone", ""), -ENOENT);
	t_eq(mhs_board_find(&board, "smol", ""), 0);
	t_eq(mhs_board_add(&board, "smol", name), 5);
	name[63] = 'x';
	t_eq(mhs_board_add(&board, "smol", name), -EINVAL);
	for (int i = 6; i < (int)MHS_MODEL_MAX; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		t_eq(mhs_board_add(&board, name, ""), i);
	}
	t_eq(mhs_board_add(&board, "one more", ""), -ENOSPC);
	t_eq(mhs_board_add(&board, "m200", ""), 200);
	atomic_store(&board.model_count, UINT32_MAX);	/* bad board: still bounded */
	t_eq(mhs_board_find(&board, "nowhere", ""), -ENOENT);
}

/* The last use of a version, over the wrap of its 32 bits. */
static void uses(void)
{
	uint64_t ms = UINT64_C(1000000), wrap = UINT64_C(1) << 32;

	fresh();
	t_eq(mhs_slot_unused_ms(&slot, 7, 5 * ms), UINT32_MAX);
	mhs_slot_use(&slot, 7, 5 * ms);
	t_eq(mhs_slot_unused_ms(&slot, 7, 12 * ms), 7);
	t_eq(mhs_slot_unused_ms(&slot, 8, 12 * ms), UINT32_MAX);
	mhs_slot_use(&slot, 7, (wrap - 3) * ms);
	t_eq(mhs_slot_unused_ms(&slot, 7, (wrap + 2) * ms), 5);
	mhs_slot_use(&slot, 7, wrap * ms);		/* 0 would say never */
	t_ok(mhs_slot_unused_ms(&slot, 7, (wrap + 9) * ms) <= 9);
}

static void flips(void)
{
	uint64_t before;

	fresh();
	before = atomic_load(&board.epoch);
	t_eq(flip(0, 1, 0), before + 1);
	t_eq(flip(0, 2, 1), before + 2);
	t_eq(atomic_load(&board.epoch), before + 2);
	t_eq(mhs_route_unpack(atomic_load(&board.models[0].route)).generation, 2);
	t_eq(mhs_route_unpack(atomic_load(&board.models[0].route)).active, 2);
	t_eq(mhs_route_unpack(atomic_load(&board.models[0].route)).candidate, 1);
	t_eq(atomic_load(&board.models[1].route), 0);
}

/* The last route that a pin was taken from. */
static struct mhs_route taken;

static void pinning(void)
{
	fresh();
	mhs_epoch_adopt(&board, &slot, 1);
	t_eq(mhs_pin_route(&board, &slot, 0, 0, &taken), -ENOENT);	/* no route yet */
	t_eq(mhs_pin_route(&board, &slot, MHS_MODEL_MAX, 0, &taken), -ENOENT);
	t_eq(mhs_pin_version(&board, &slot, 0), -EINVAL);
	t_eq(mhs_pin_version(&board, &slot, MHS_VERSION_MAX), -EINVAL);
	t_eq(mhs_pin_version(&board, &slot, 3), -ENOENT);
	mhs_version_set_state(&board, 3, MHS_STATE_READY);
	flip(0, 3, 0);
	t_eq(mhs_pin_route(&board, &slot, 0, 0, &taken), 3);
	t_eq(mhs_pin_version(&board, &slot, 3), 0);
	t_eq(pins(3), 2);
	mhs_unpin(&slot, 3);
	t_eq(pins(3), 1);
	mhs_unpin(&slot, 3);
	t_eq(pins(3), 0);
}

static void pinnable_states(void)
{
	static const int may[] = { -ENOENT, -ENOENT, 0, 0, 0, -ENOENT };

	fresh();
	flip(0, 7, 0);
	for (uint32_t state = MHS_STATE_FREE; state <= MHS_STATE_DRAINING; state++) {
		mhs_version_set_state(&board, 7, state);
		t_eq(mhs_pin_version(&board, &slot, 7), may[state]);
		t_eq(mhs_pin_route(&board, &slot, 0, 0, &taken), may[state] ? -EAGAIN : 7);
	}
	t_eq(pins(7), 6);
	mhs_version_set_state(&board, 7, 77);
	t_eq(mhs_pin_version(&board, &slot, 7), -ENOENT);
}

static void unpublishing(void)
{
	int64_t epoch;

	fresh();
	mhs_board_add(&board, "a", "");
	mhs_board_add(&board, "b", "");
	mhs_version_set_state(&board, 1, MHS_STATE_ACTIVE);
	mhs_version_set_state(&board, 2, MHS_STATE_ACTIVE);
	flip(1, 1, 2);
	t_eq(mhs_unpublish(&board, 1), -EBUSY);
	t_eq(mhs_unpublish(&board, 2), -EBUSY);
	t_eq(atomic_load(&board.versions[1].state), MHS_STATE_ACTIVE);
	t_eq(mhs_unpublish(&board, 0), -EINVAL);
	t_eq(mhs_unpublish(&board, MHS_VERSION_MAX), -EINVAL);
	epoch = (int64_t)flip(1, 1, 0);
	t_eq(mhs_unpublish(&board, 2), epoch + 1);
	t_eq(atomic_load(&board.epoch), epoch + 1);
	t_eq(atomic_load(&board.versions[2].state), MHS_STATE_DRAINING);
	t_eq(mhs_pin_version(&board, &slot, 2), -ENOENT);
}

static void grace(void)
{
	uint64_t epoch;

	fresh();
	mhs_version_set_state(&board, 1, MHS_STATE_READY);
	mhs_version_set_state(&board, 2, MHS_STATE_READY);
	flip(0, 1, 0);
	mhs_epoch_adopt(&board, &slot, 1);
	t_eq(mhs_pin_route(&board, &slot, 0, 0, &taken), 1);
	flip(0, 2, 0);
	epoch = (uint64_t)mhs_unpublish(&board, 1);
	t_ok(!mhs_grace_over(&slot, 1, epoch));		/* old epoch, and pinned */
	mhs_epoch_offline(&slot);
	t_ok(!mhs_grace_over(&slot, 1, epoch));		/* asleep, still pinned */
	t_eq(mhs_epoch_adopt(&board, &slot, 2), epoch);
	t_ok(!mhs_grace_over(&slot, 1, epoch));		/* new epoch, still pinned */
	mhs_unpin(&slot, 1);
	t_ok(mhs_grace_over(&slot, 1, epoch));
	t_ok(!mhs_grace_over(&slot, 1, epoch + 1));
	mhs_epoch_offline(&slot);
	t_ok(mhs_grace_over(&slot, 1, epoch + 1));
}

static void stamps(void)
{
	fresh();
	flip(0, 1, 0);
	mhs_epoch_adopt(&board, &slot, 111);
	t_eq(atomic_load(&slot.turn_ns), 111);
	t_eq(atomic_load(&slot.adopted_epoch), 2);
	t_ok(atomic_load(&slot.adopted_ns) > 111);
	atomic_store(&slot.adopted_ns, 5);
	mhs_epoch_adopt(&board, &slot, 222);		/* nothing new: no stamp */
	mhs_epoch_offline(&slot);
	mhs_epoch_adopt(&board, &slot, 333);
	t_eq(atomic_load(&slot.turn_ns), 111);
	t_eq(atomic_load(&slot.adopted_ns), 5);
	flip(0, 2, 0);
	mhs_epoch_adopt(&board, &slot, 444);
	t_eq(atomic_load(&slot.turn_ns), 444);
	t_eq(atomic_load(&slot.adopted_epoch), 3);
}

static void sleeping(void)
{
	uint64_t epoch;

	fresh();
	t_ok(!mhs_slot_should_wake(&slot));
	epoch = mhs_epoch_adopt(&board, &slot, 1);
	mhs_epoch_offline(&slot);
	t_ok(mhs_slot_should_wake(&slot));
	t_ok(!mhs_epoch_moved(&board, epoch));
	flip(0, 1, 0);
	t_ok(mhs_epoch_moved(&board, epoch));
	mhs_epoch_adopt(&board, &slot, 2);
	t_ok(!mhs_slot_should_wake(&slot));
}

int main(void)
{
	T_RUN(route_word);
	T_RUN(split_is_exact);
	T_RUN(split_edges);
	T_RUN(split_by_turn);
	T_RUN(split_of_plain_keys);
	T_RUN(split_is_sticky);
	T_RUN(split_modes);
	T_RUN(models);
	T_RUN(uses);
	T_RUN(flips);
	T_RUN(pinning);
	T_RUN(pinnable_states);
	T_RUN(unpublishing);
	T_RUN(grace);
	T_RUN(stamps);
	T_RUN(sleeping);
	return t_done();
}
