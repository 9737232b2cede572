/* SPDX-License-Identifier: MIT */
/* r_hooks.h: included before mhs_ring.c by the explorer's build: each shared access is a step. */
#ifndef R_HOOKS_H
#define R_HOOKS_H

#include <stdatomic.h>
#include <stdint.h>

uint64_t r_load(const void *word);
void r_store(const void *word, uint64_t value, int order);
uint64_t r_exchange(const void *word, uint64_t value);

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#define atomic_load_explicit(word, order)		r_load((const void *)(uintptr_t)(word))
#define atomic_store_explicit(word, value, order) \
	r_store((const void *)(uintptr_t)(word), value, order)
#define atomic_exchange_explicit(word, value, order) \
	((uint32_t)r_exchange((const void *)(uintptr_t)(word), value))

#endif
