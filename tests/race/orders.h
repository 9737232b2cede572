/* SPDX-License-Identifier: MIT */
/*
 * orders.h: included before mhs_epoch.c to weaken one kind of its orders (WEAK=1..3).
 * ThreadSanitizer must then report a race in storm_threads.c, or the clean run of the real code
 * proves nothing.
 */
#ifndef ORDERS_H
#define ORDERS_H

#include <stdatomic.h>

#if WEAK == 1		/* E12: what a request read may be overwritten under it */
#define WEAK_STORE(o)	((o) == memory_order_release ? memory_order_relaxed : (o))
#define WEAK_LOAD(o)	(o)
#elif WEAK == 2		/* E10: the other end of the same */
#define WEAK_STORE(o)	(o)
#define WEAK_LOAD(o)	((o) == memory_order_acquire ? memory_order_relaxed : (o))
#elif WEAK == 3		/* E2, E5, E7, E8, E11, E13, E14 */
#define WEAK_STORE(o)	((o) == memory_order_seq_cst ? memory_order_relaxed : (o))
#define WEAK_LOAD(o)	(o)
#else
#error "WEAK: 1..3"
#endif

#define MHS_LOAD(ptr, order)		atomic_load_explicit(ptr, WEAK_LOAD(order))
#define MHS_STORE(ptr, value, order)	atomic_store_explicit(ptr, value, WEAK_STORE(order))

#endif
