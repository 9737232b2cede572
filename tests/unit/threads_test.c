/* SPDX-License-Identifier: MIT */
/* threads_test.c: the fork-join pool. What barriers order is plain memory, for SAN=tsan to see. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "eng_threads.h"
#include "t.h"

#define PHASES	200u

struct job {
	struct eng_pool *pool;
	uint32_t threads;
	uint32_t cells[2][ENG_THREADS_MAX];	/* plain: ordered by barriers alone */
	uint32_t wrong[ENG_THREADS_MAX];
	uint32_t ran[ENG_THREADS_MAX];
};

static void sleep_us(long us)
{
	struct timespec t = { .tv_nsec = us * 1000 };

	nanosleep(&t, NULL);
}

/* Each phase reads what every thread has written in the one before. */
static void phases(void *arg, uint32_t thread)
{
	struct job *job = arg;

	job->ran[thread]++;
	for (uint32_t p = 1; p <= PHASES; p++) {
		job->cells[p % 2][thread] = p;
		eng_pool_barrier(job->pool, thread);
		for (uint32_t i = 0; i < job->threads; i++)
			job->wrong[thread] += job->cells[p % 2][i] != p;
	}
}

static void run_phases(uint32_t threads, uint32_t runs, bool rest, long pause_us)
{
	struct job job = { .threads = threads };

	t_need(eng_pool_new(&job.pool, threads) == 0);
	t_eq(eng_pool_threads(job.pool), threads);
	for (uint32_t i = 0; i < runs; i++) {
		memset(job.cells, 0, sizeof(job.cells));
		eng_pool_run(job.pool, phases, &job);
		if (rest)
			eng_pool_rest(job.pool);
		if (pause_us)
			sleep_us(pause_us);
	}
	for (uint32_t i = 0; i < threads; i++) {
		t_eq(job.ran[i], runs);
		t_eq(job.wrong[i], 0);
	}
	eng_pool_free(&job.pool);
	t_ok(job.pool == NULL);
}

static void barriers_order_memory(void)
{
	for (uint32_t threads = 1; threads <= 4; threads++)
		run_phases(threads, 20, false, 0);
}

/* Longer pauses than the spin: helpers sleep and are woken. */
static void sleeping_helpers_wake(void)
{
	run_phases(2, 20, false, 2000);
	run_phases(3, 20, true, 300);
}

static void more_threads_than_cpus(void)
{
	run_phases(16, 2, false, 0);
}

static void count_run(void *arg, uint32_t thread)
{
	uint32_t *ran = arg;

	ran[thread]++;
}

/* Runs in quick turn: a helper that is late for one must not miss or repeat it. */
static void many_short_runs(void)
{
	uint32_t ran[4] = { 0 };
	struct eng_pool *pool;

	t_need(eng_pool_new(&pool, 4) == 0);
	for (uint32_t i = 0; i < 3000; i++)
		eng_pool_run(pool, count_run, ran);
	for (uint32_t i = 0; i < 4; i++)
		t_eq(ran[i], 3000);
	eng_pool_free(&pool);
}

static void come_and_go(void)
{
	struct eng_pool *pool;

	for (uint32_t i = 0; i < 50; i++) {
		t_need(eng_pool_new(&pool, 1 + i % 5) == 0);
		eng_pool_free(&pool);
	}
	eng_pool_free(&pool);	/* nothing twice */
}

static void bad_counts_refused(void)
{
	struct eng_pool *pool;

	t_eq(eng_pool_new(&pool, 0), -EINVAL);
	t_ok(!pool);
	t_eq(eng_pool_new(&pool, ENG_THREADS_MAX + 1), -EINVAL);
	t_ok(!pool);
}

static void split_covers_once(void)
{
	for (uint32_t count = 0; count < 70; count++)
		for (uint32_t threads = 1; threads <= 9; threads++) {
			uint32_t at = 0, begin, end;

			for (uint32_t i = 0; i < threads; i++) {
				eng_split(count, i, threads, &begin, &end);
				t_need(begin == at && end >= begin);
				t_need(end - begin <= count / threads + 1);
				at = end;
			}
			t_need(at == count);
		}
}

static void block_mask(void *arg, uint32_t thread)
{
	sigset_t *masks = arg;

	pthread_sigmask(SIG_BLOCK, NULL, &masks[thread]);
}

static void helpers_take_no_signals(void)
{
	struct eng_pool *pool;
	sigset_t masks[2];

	t_need(eng_pool_new(&pool, 2) == 0);
	eng_pool_run(pool, block_mask, masks);
	t_ok(!sigismember(&masks[0], SIGTERM));
	t_ok(sigismember(&masks[1], SIGTERM));
	eng_pool_free(&pool);
}

static void count_cpus(void *arg, uint32_t thread)
{
	int *cpus = arg;
	cpu_set_t set;

	cpus[thread] = sched_getaffinity(0, sizeof(set), &set) ? -1 : CPU_COUNT(&set);
}

/* A mask wider than the pool, or the whole machine, is left alone. */
static void wide_mask_is_not_pinned(void)
{
	struct eng_pool *pool;
	int cpus[3];

	count_cpus(cpus, 0);
	if (cpus[0] < 2 || cpus[0] == 3) {
		t_skip("a mask of one CPU, or of just as many as the pool has threads");
		return;
	}
	t_need(eng_pool_new(&pool, 3) == 0);
	eng_pool_run(pool, count_cpus, cpus);
	t_eq(cpus[1], cpus[0]);
	t_eq(cpus[2], cpus[0]);
	eng_pool_free(&pool);
}

/* A mask of just as many CPUs as threads, and not the whole machine: each helper keeps one. */
static void exact_mask_is_pinned(void)
{
	cpu_set_t old, two;
	struct eng_pool *pool;
	int cpus[2], taken = 0;

	CPU_ZERO(&two);
	t_need(sched_getaffinity(0, sizeof(old), &old) == 0);
	for (int i = 0; i < CPU_SETSIZE && taken < 2; i++)
		if (CPU_ISSET(i, &old)) {
			CPU_SET(i, &two);
			taken++;
		}
	if (taken < 2 || sysconf(_SC_NPROCESSORS_ONLN) < 3) {
		t_skip("needs three CPUs, two of them allowed");
		return;
	}
	t_need(sched_setaffinity(0, sizeof(two), &two) == 0);
	t_need(eng_pool_new(&pool, 2) == 0);
	eng_pool_run(pool, count_cpus, cpus);
	t_eq(cpus[0], 2);
	t_eq(cpus[1], 1);
	eng_pool_free(&pool);
	sched_setaffinity(0, sizeof(old), &old);
}

int main(void)
{
	T_RUN(split_covers_once);
	T_RUN(bad_counts_refused);
	T_RUN(barriers_order_memory);
	T_RUN(sleeping_helpers_wake);
	T_RUN(many_short_runs);
	T_RUN(more_threads_than_cpus);
	T_RUN(come_and_go);
	T_RUN(helpers_take_no_signals);
	T_RUN(wide_mask_is_not_pinned);
	T_RUN(exact_mask_is_pinned);
	return t_done();
}
