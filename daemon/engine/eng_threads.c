/* SPDX-License-Identifier: MIT */
/*
 * eng_threads.c: gates and barriers of the pool.
 *
 * A gate is a turn counter that waiters watch. Opening it adds one (G1) and then looks for sleepers
 * (G2); a waiter that gives up spinning counts itself as sleeper (G3) and then looks at the turn
 * again (G4). That is store-then-load on both sides, so all four are seq_cst: either the opener
 * sees the sleeper and wakes it, or the sleeper sees the new turn. The kernel compares the turn
 * again.
 */
#include "eng_threads.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SPIN_MAX_NS	200000u	/* longer than the pause between two decode steps */
#define SPIN_MIN_NS	2000u
#define SPIN_TURNS	32	/* pauses between two looks at the clock */
#define CPU_SETS	8	/* 8 x 1024 CPUs */

struct gate {
	_Alignas(64) _Atomic uint32_t turn;
	_Atomic uint32_t sleepers;
};

/* Per thread; its own cache line. */
struct helper {
	_Alignas(64) struct eng_pool *pool;
	pthread_t thread;
	uint32_t index;
	uint32_t job_spin_ns;		/* for work to come */
	uint32_t barrier_spin_ns;	/* for the others to arrive */
};

struct eng_pool {
	struct gate job;
	struct gate barrier;
	_Alignas(64) _Atomic uint32_t arrived;
	_Alignas(64) _Atomic uint32_t rest;	/* helpers: do not spin for a job */
	uint32_t threads;
	uint32_t started;			/* helpers that run */
	/* Written by the caller before G1 of the job gate, read by helpers after it. */
	bool quit;
	eng_pool_fn fn;
	void *arg;
	struct helper helpers[ENG_THREADS_MAX];
};

static void cpu_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);	/* vDSO: no system call */
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void gate_open(struct gate *gate)
{
	/* G1: publishes all that was written before; pairs with G4 and G5 */
	atomic_fetch_add_explicit(&gate->turn, 1, memory_order_seq_cst);
	/* G2: pairs with G3 */
	if (atomic_load_explicit(&gate->sleepers, memory_order_seq_cst))
		syscall(SYS_futex, &gate->turn, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static bool gate_spin(struct gate *gate, uint32_t seen, uint32_t spin_ns,
		      const _Atomic uint32_t *rest)
{
	uint64_t end = spin_ns ? now_ns() + spin_ns : 0;

	do {
		for (int i = 0; i < SPIN_TURNS; i++) {
			/* G5: pairs with G1 */
			if (atomic_load_explicit(&gate->turn, memory_order_acquire) != seen)
				return true;
			cpu_pause();
		}
		/* relaxed: only shortens the spin, orders nothing */
		if (rest && atomic_load_explicit(rest, memory_order_relaxed))
			return false;
	} while (spin_ns && now_ns() < end);
	return false;
}

/* Wait until the turn differs from @seen. @spin_ns adapts: halves on failure, grows on success. */
static void gate_wait(struct gate *gate, uint32_t seen, uint32_t *spin_ns,
		      const _Atomic uint32_t *rest)
{
	if (gate_spin(gate, seen, *spin_ns, rest)) {
		*spin_ns += (SPIN_MAX_NS - *spin_ns) / 8 * (*spin_ns != 0);
		return;
	}
	if (*spin_ns > SPIN_MIN_NS)
		*spin_ns /= 2;
	/* G3: pairs with G2 */
	atomic_fetch_add_explicit(&gate->sleepers, 1, memory_order_seq_cst);
	/* G4: pairs with G1 */
	while (atomic_load_explicit(&gate->turn, memory_order_seq_cst) == seen)
		syscall(SYS_futex, &gate->turn, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
	/* relaxed: a count read too high costs one needless wake */
	atomic_fetch_sub_explicit(&gate->sleepers, 1, memory_order_relaxed);
}

void eng_pool_barrier(struct eng_pool *pool, uint32_t thread)
{
	uint32_t seen;

	if (pool->threads == 1)
		return;
	/* relaxed: the turn cannot move before this thread has arrived */
	seen = atomic_load_explicit(&pool->barrier.turn, memory_order_relaxed);
	/* B1: each arrival takes over what the earlier ones wrote; the last hands it on by G1 */
	if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) ==
	    pool->threads - 1) {
		/* relaxed: ordered before the next arrivals by G1 */
		atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
		gate_open(&pool->barrier);
		return;
	}
	gate_wait(&pool->barrier, seen, &pool->helpers[thread].barrier_spin_ns, NULL);
}

void eng_pool_run(struct eng_pool *pool, eng_pool_fn fn, void *arg)
{
	if (pool->threads == 1) {
		fn(arg, 0);
		return;
	}
	pool->fn = fn;
	pool->arg = arg;
	/* relaxed: helpers act on the gate, not on this hint */
	atomic_store_explicit(&pool->rest, 0, memory_order_relaxed);
	gate_open(&pool->job);
	fn(arg, 0);
	eng_pool_barrier(pool, 0);
}

void eng_pool_rest(struct eng_pool *pool)
{
	/* relaxed: a hint; a helper that misses it spins out its time */
	atomic_store_explicit(&pool->rest, 1, memory_order_relaxed);
}

static void *helper_main(void *arg)
{
	struct helper *self = arg;
	struct eng_pool *pool = self->pool;

	for (uint32_t turn = 0;; turn++) {
		gate_wait(&pool->job, turn, &self->job_spin_ns, &pool->rest);
		if (pool->quit)
			return NULL;
		pool->fn(pool->arg, self->index);
		eng_pool_barrier(pool, self->index);
	}
}

/* The allowed CPUs; their count. 0: not known. */
static int cpus_allowed(cpu_set_t *set, size_t bytes)
{
	CPU_ZERO_S(bytes, set);
	if (sched_getaffinity(0, bytes, set))
		return 0;
	return CPU_COUNT_S(bytes, set);
}

/*
 * Helpers are pinned only when the process was given exactly one CPU a thread, and not all of the
 * machine: then the mask was made for this pool. In a wider mask other workers run as well, and a
 * fixed choice would put the helpers of all of them on the same CPUs; the scheduler does better.
 */
static void helper_pin(const struct helper *self, const cpu_set_t *set, size_t bytes)
{
	cpu_set_t one[CPU_SETS];
	uint32_t nth = 0;

	for (size_t cpu = 0; cpu < bytes * 8; cpu++) {
		if (!CPU_ISSET_S(cpu, bytes, set) || nth++ != self->index)
			continue;
		CPU_ZERO_S(sizeof(one), one);
		CPU_SET_S(cpu, sizeof(one), one);
		/* A refusal costs speed only. */
		(void)pthread_setaffinity_np(self->thread, sizeof(one), one);
		return;
	}
}

static int helper_start(struct eng_pool *pool, uint32_t index)
{
	struct helper *helper = &pool->helpers[index];
	char name[16];

	if (pthread_create(&helper->thread, NULL, helper_main, helper))
		return -EAGAIN;
	pool->started++;
	snprintf(name, sizeof(name), "eng-%u", index);
	(void)pthread_setname_np(helper->thread, name);	/* for people only */
	return 0;
}

static int helpers_start(struct eng_pool *pool)
{
	cpu_set_t set[CPU_SETS];
	int cpus = cpus_allowed(set, sizeof(set));
	bool pin = cpus == (int)pool->threads && cpus < sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t spin_ns = cpus >= (int)pool->threads ? SPIN_MAX_NS : 0;
	sigset_t all, old;
	int ret = 0;

	for (uint32_t i = 0; i < pool->threads; i++) {
		struct helper *helper = &pool->helpers[i];

		helper->pool = pool;
		helper->index = i;
		helper->job_spin_ns = helper->barrier_spin_ns = spin_ns;
	}
	/* Signals are the caller's business: helpers inherit a full mask. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (uint32_t i = 1; i < pool->threads && !ret; i++) {
		ret = helper_start(pool, i);
		if (!ret && pin)
			helper_pin(&pool->helpers[i], set, sizeof(set));
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ret;
}

int eng_pool_new(struct eng_pool **out, uint32_t threads)
{
	struct eng_pool *pool;
	int ret;

	*out = NULL;
	if (!threads || threads > ENG_THREADS_MAX)
		return -EINVAL;
	pool = aligned_alloc(64, sizeof(*pool));
	if (!pool)
		return -ENOMEM;
	*pool = (struct eng_pool){ .threads = threads };
	ret = helpers_start(pool);
	if (ret) {
		eng_pool_free(&pool);
		return ret;
	}
	*out = pool;
	return 0;
}

void eng_pool_free(struct eng_pool **out)
{
	struct eng_pool *pool = *out;

	*out = NULL;
	if (!pool)
		return;
	pool->quit = true;
	gate_open(&pool->job);
	for (uint32_t i = 1; i <= pool->started; i++)
		pthread_join(pool->helpers[i].thread, NULL);
	free(pool);
}

uint32_t eng_pool_threads(const struct eng_pool *pool)
{
	return pool->threads;
}
