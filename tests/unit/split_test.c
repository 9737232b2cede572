/* SPDX-License-Identifier: MIT */
/* split_test.c: which requests a worker gives to a candidate. */
#include <string.h>

#include "../../daemon/worker/wrk.h"
#include "t.h"

#define ALL	MHS_ROUTE_WEIGHT_MAX

static bool is_candidates(uint32_t point, uint32_t weight)
{
	struct mhs_route route = { .active = 1, .candidate = 2, .weight = weight,
				   .mode = MHS_MODE_CANARY };

	return mhs_route_pick(&route, point) == 2;
}

static const uint32_t weights[] = { 1, 100, 500, 1234, 2500, 5000, 9999, ALL };
#define WEIGHTS	(sizeof(weights) / sizeof(weights[0]))

/* Any 10,000 in a row, of any worker, and no other model counts with them. */
static void exact_without_keys(void)
{
	static struct wrk one;
	uint32_t counts[WEIGHTS];

	for (one.index = 0; one.index < MHS_WORKER_MAX; one.index += 9) {
		for (uint32_t n = 0; n < one.index * 3; n++)
			wrk_trial_point(&one, &(struct wrk_request){ .kind = MHS_REC_GENERATE }, 3);
		memset(counts, 0, sizeof(counts));
		for (uint32_t n = 0; n < 10000; n++) {
			struct wrk_request r = { .kind = MHS_REC_GENERATE };
			uint32_t point = wrk_trial_point(&one, &r, 3);

			t_ok(wrk_trial_point(&one, &r, 3) == point);	/* a second try is no second turn */
			if (n % 3 == 0)
				wrk_trial_point(&one, &(struct wrk_request){ .kind = MHS_REC_GENERATE }, 4);
			for (uint32_t i = 0; i < WEIGHTS; i++)
				counts[i] += is_candidates(point, weights[i]);
		}
		for (uint32_t i = 0; i < WEIGHTS; i++)
			t_eq(counts[i], weights[i]);
	}
}

/* A key stays where it is as the weight grows, in every worker; shares are those of the weights. */
static void sticky_with_keys(void)
{
	static struct wrk one, other = { .index = 5 };
	uint32_t counts[WEIGHTS] = { 0 }, keys = 1000000;
	uint64_t turns = one.route_turns[0];
	bool left = false, apart = false;

	for (uint64_t key = 1; key <= keys; key++) {
		struct wrk_request a = { .rq.session_key = key }, b = a;
		uint32_t point = wrk_trial_point(&one, &a, 0);
		bool was = false;

		apart |= wrk_trial_point(&other, &b, 0) != point;
		for (uint32_t i = 0; i < WEIGHTS; i++) {
			bool is = is_candidates(point, weights[i]);

			left |= was && !is;
			counts[i] += is;
			was = is;
		}
	}
	t_ok(!left);
	t_ok(!apart);
	t_eq(one.route_turns[0], turns);	/* those without a key do not notice */
	for (uint32_t i = 0; i < WEIGHTS; i++)
		t_near(counts[i] / (double)keys, weights[i] / (double)ALL, 0.001);
}

int main(void)
{
	T_RUN(exact_without_keys);
	T_RUN(sticky_with_keys);
	return t_done();
}
