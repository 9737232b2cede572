/* SPDX-License-Identifier: MIT */
#include "storm.h"

#include <errno.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "t.h"

#define GRACE_LIMIT_S	30

static void weights_fill(struct storm *storm, uint32_t version, uint64_t value)
{
	for (uint32_t i = 0; i < STORM_WORDS; i++)
		storm->weights[version][i] = value;
}

static void version_load(struct storm *storm, uint32_t version)
{
	struct mhs_version *entry = &storm->board.versions[version];

	mhs_version_set_state(&storm->board, version, MHS_STATE_LOADING);
	entry->serial++;
	weights_fill(storm, version, entry->serial << 12 | version);
	mhs_version_set_state(&storm->board, version, MHS_STATE_READY);
}

void storm_init(struct storm *storm)
{
	struct mhs_route route = { .active = 1 };

	mhs_board_init(&storm->board);
	mhs_board_add(&storm->board, "storm", "");
	for (uint32_t v = 1; v <= STORM_VERSIONS; v++)
		version_load(storm, v);
	mhs_version_set_state(&storm->board, 1, MHS_STATE_ACTIVE);
	mhs_flip(&storm->board, 0, &route);
}

/* ---- worker */

static const char *request_check(struct storm_worker *worker, const struct storm_request *request)
{
	const uint64_t *words = worker->storm->weights[request->version];

	for (uint32_t i = 0; i < STORM_WORDS; i++)
		if (words[i] != request->serial)
			return words[i] == STORM_POISON ? "a pinned version was reclaimed" :
			       "a pinned version was overwritten";
	worker->uses++;
	return NULL;
}

static const char *request_begin(struct storm_worker *worker, struct storm_request *request)
{
	struct storm *storm = worker->storm;
	uint64_t r = t_random(&worker->seed);
	uint32_t version = 1 + (uint32_t)(r >> 8) % STORM_VERSIONS;
	struct mhs_route route;
	int err;

	if (r % 2) {
		err = mhs_pin_route(&storm->board, worker->slot, 0, mhs_route_point(r), &route);
		if (err == -ENOENT)
			return "the model has no active version";
		version = err > 0 ? (uint32_t)err : 0;
	} else if (mhs_pin_version(&storm->board, worker->slot, version)) {
		version = 0;
	}
	if (version == 0)
		return NULL;
	request->version = version;
	request->turns = (uint32_t)(r >> 16) % 5;
	request->serial = storm->board.versions[version].serial << 12 | version;
	return request_check(worker, request);
}

static const char *request_turn(struct storm_worker *worker, struct storm_request *request)
{
	const char *wrong;

	if (request->version == 0)
		return request_begin(worker, request);
	wrong = request_check(worker, request);
	if (wrong || request->turns--)
		return wrong;
	mhs_unpin(worker->slot, request->version);
	request->version = 0;
	return NULL;
}

const char *storm_turn(struct storm_worker *worker)
{
	uint64_t epoch = mhs_epoch_adopt(&worker->storm->board, worker->slot, 1);

	if (epoch < worker->epoch)
		return "the epoch went back";
	worker->epoch = epoch;
	for (int i = 0; i < STORM_HELD; i++) {
		const char *wrong = request_turn(worker, &worker->held[i]);

		if (wrong)
			return wrong;
	}
	if (t_random(&worker->seed) % 8 == 0) {
		mhs_epoch_offline(worker->slot);
		sched_yield();
	}
	return NULL;
}

void storm_worker_end(struct storm_worker *worker)
{
	for (int i = 0; i < STORM_HELD; i++)
		if (worker->held[i].version)
			mhs_unpin(worker->slot, worker->held[i].version);
	mhs_epoch_offline(worker->slot);
}

/* ---- supervisor */

static uint64_t now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec;
}

static const char *grace_wait(struct storm_supervisor *sup, uint32_t version, uint64_t epoch)
{
	uint64_t limit = now_s() + GRACE_LIMIT_S;

	for (uint32_t w = 0; w < sup->worker_count; w++)
		while (sup->slots[w] && !sup->gone(w) &&
		       !mhs_grace_over(sup->slots[w], version, epoch)) {
			if (now_s() > limit)
				return "a grace period does not end";
			sched_yield();
		}
	return NULL;
}

static const char *version_renew(struct storm_supervisor *sup, uint32_t version)
{
	int64_t epoch = mhs_unpublish(&sup->storm->board, version);
	const char *wrong;

	if (epoch < 0)
		return "a version without route cannot be withdrawn";
	wrong = grace_wait(sup, version, (uint64_t)epoch);
	if (wrong)
		return wrong;
	weights_fill(sup->storm, version, STORM_POISON);
	mhs_version_set_state(&sup->storm->board, version, MHS_STATE_FREE);
	version_load(sup->storm, version);
	sup->reclaims++;
	return NULL;
}

const char *storm_flip(struct storm_supervisor *sup)
{
	uint64_t r = t_random(&sup->seed);
	uint32_t old = sup->active, other = 1 + (uint32_t)(r >> 8) % STORM_VERSIONS;
	struct mhs_route route = { .active = 1 + (uint32_t)r % STORM_VERSIONS };
	struct mhs_board *board = &sup->storm->board;

	if (route.active != old) {
		mhs_version_set_state(board, route.active, MHS_STATE_ACTIVE);
		mhs_flip(board, 0, &route);
		mhs_version_set_state(board, old, MHS_STATE_RESIDENT);
		sup->active = route.active;
		sup->flips++;
	}
	if (r >> 32 & 1 || other == sup->active)
		return NULL;
	return version_renew(sup, other);
}
