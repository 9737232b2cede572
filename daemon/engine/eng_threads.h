/* SPDX-License-Identifier: MIT */
/*
 * eng_threads.h: a fork-join pool for one caller. All threads, the caller's included, run the same
 * function and meet at barriers. Waiting threads spin for a bounded time, then sleep on a futex;
 * the spin shortens itself where it keeps failing (the peer is not running) and is left out where
 * there are more threads than CPUs. After creation nothing allocates or locks.
 */
#ifndef ENG_THREADS_H
#define ENG_THREADS_H

#include <stdint.h>

#define ENG_THREADS_MAX		64u

struct eng_pool;

typedef void (*eng_pool_fn)(void *arg, uint32_t thread);

/* @threads: 1..ENG_THREADS_MAX, the caller's included. 0, -EINVAL, -ENOMEM, -EAGAIN: no thread. */
int eng_pool_new(struct eng_pool **pool, uint32_t threads);
/* Ends and joins the helpers. Only between two runs. */
void eng_pool_free(struct eng_pool **pool);
uint32_t eng_pool_threads(const struct eng_pool *pool);

/* Run @fn(@arg, 0..threads-1) once on each thread, the caller's as 0; returns when all have. */
void eng_pool_run(struct eng_pool *pool, eng_pool_fn fn, void *arg);
/* Inside a run, called by every thread: what any wrote before is seen by all after. */
void eng_pool_barrier(struct eng_pool *pool, uint32_t thread);
/* Helpers that wait for work sleep at once, until the next run. */
void eng_pool_rest(struct eng_pool *pool);

/* Share of thread @thread when @count units are split evenly: [*begin, *end). */
static inline void eng_split(uint32_t count, uint32_t thread, uint32_t threads, uint32_t *begin,
			     uint32_t *end)
{
	*begin = (uint32_t)((uint64_t)count * thread / threads);
	*end = (uint32_t)((uint64_t)count * (thread + 1) / threads);
}

#endif
