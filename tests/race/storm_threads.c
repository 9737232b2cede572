/* SPDX-License-Identifier: MIT */
/*
 * storm_threads.c: the storm in threads. Under ThreadSanitizer every plain read of a version's
 * words must be ordered against the supervisor's plain overwrite of them by the atomics of
 * mhs_epoch.c alone.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storm.h"

#define WORKERS	3
#define FLIPS	6000

static struct storm storm;
static struct mhs_slot slots[WORKERS];
static const char *wrong[WORKERS];
static uint64_t uses[WORKERS];

/*
 * One request handed over step by step: the version is withdrawn while it runs, its worker adopts
 * the new epoch, reads once more, unpins and stays silent; only E12 and E10 order that read before
 * the overwrite. The steps are counted with relaxed accesses, which order nothing themselves.
 */
static _Atomic uint32_t step;

static void step_wait(uint32_t want)
{
	while (atomic_load_explicit(&step, memory_order_relaxed) != want)
		sched_yield();
}

static void step_done(uint32_t next)
{
	atomic_store_explicit(&step, next, memory_order_relaxed);
}

static void *hold(void *arg)
{
	struct mhs_slot *slot = arg;

	mhs_epoch_adopt(&storm.board, slot, 1);
	if (mhs_pin_version(&storm.board, slot, 2))
		wrong[0] = "a loaded version cannot be pinned";
	step_done(1);
	step_wait(2);
	mhs_epoch_adopt(&storm.board, slot, 1);
	for (uint32_t i = 0; i < STORM_WORDS; i++)
		uses[0] += storm.weights[2][i] != STORM_POISON;
	mhs_unpin(slot, 2);
	step_wait(3);
	return NULL;
}

static const char *hand_over(void)
{
	pthread_t holder;
	int64_t epoch;

	step_done(0);
	uses[0] = 0;
	if (pthread_create(&holder, NULL, hold, &slots[0]))
		abort();
	step_wait(1);
	epoch = mhs_unpublish(&storm.board, 2);
	step_done(2);
	while (!mhs_grace_over(&slots[0], 2, (uint64_t)epoch))
		sched_yield();
	for (uint32_t i = 0; i < STORM_WORDS; i++)
		storm.weights[2][i] = STORM_POISON;
	step_done(3);
	pthread_join(holder, NULL);
	return wrong[0] ? wrong[0] : uses[0] == STORM_WORDS ? NULL : "overwritten while pinned";
}

static const char *hand_over_often(void)
{
	const char *failed = NULL;

	for (int i = 0; i < 50 && !failed; i++) {
		storm_init(&storm);
		failed = hand_over();
	}
	memset(&storm, 0, sizeof(storm));
	memset(slots, 0, sizeof(slots));
	return failed;
}

static void *work(void *arg)
{
	uint32_t me = (uint32_t)(uintptr_t)arg;
	struct storm_worker worker = { .storm = &storm, .slot = &slots[me], .seed = 77 + me };

	while (!wrong[me] && !atomic_load(&storm.stop))
		wrong[me] = storm_turn(&worker);
	uses[me] = worker.uses;
	storm_worker_end(&worker);
	return NULL;
}

static bool nobody_dies(uint32_t worker)
{
	(void)worker;
	return false;
}

int main(void)
{
	struct mhs_slot *asked[WORKERS];
	struct storm_supervisor sup = { .storm = &storm, .slots = asked, .worker_count = WORKERS,
					.gone = nobody_dies, .seed = 5, .active = 1 };
	const char *failed = hand_over_often();
	pthread_t threads[WORKERS];
	uint64_t all = 0;

	storm_init(&storm);
	for (uint32_t w = 0; w < WORKERS; w++) {
		mhs_slot_init(&slots[w], w);
		asked[w] = &slots[w];
		if (pthread_create(&threads[w], NULL, work, (void *)(uintptr_t)w))
			abort();
	}
	while (sup.flips < FLIPS && !failed)
		failed = storm_flip(&sup);
	atomic_store(&storm.stop, 1);
	for (uint32_t w = 0; w < WORKERS; w++) {
		pthread_join(threads[w], NULL);
		all += uses[w];
		if (wrong[w])
			failed = wrong[w];
	}
	printf("storm of threads: %llu flips, %llu reclaims, %llu uses by %d workers: %s\n",
	       (unsigned long long)sup.flips, (unsigned long long)sup.reclaims,
	       (unsigned long long)all, WORKERS, failed ? failed : "each saw one version only");
	return failed || all == 0;
}
