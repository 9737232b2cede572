/* SPDX-License-Identifier: MIT */
/*
 * x_hooks.h: included before mhs_epoch.c by the explorer's build. Every shared access becomes a
 * step of the explorer, and functions that a mutant replaces get another name: x_mutants.c calls
 * them.
 */
#ifndef X_HOOKS_H
#define X_HOOKS_H

#include <stdint.h>

uint64_t x_load(const void *ptr, unsigned int bytes, int order);
void x_store(const void *ptr, uint64_t value, int order);

#define MHS_LOAD(ptr, order)	x_load((const void *)(uintptr_t)(ptr), sizeof(*(ptr)), order)
#define MHS_STORE(ptr, value, order) \
	x_store((const void *)(uintptr_t)(ptr), value, order)

#ifdef X_REAL_CODE
#define mhs_epoch_adopt	real_epoch_adopt
#define mhs_pin_version	real_pin_version
#define mhs_pin_route	real_pin_route
#define mhs_flip	real_flip
#define mhs_unpublish	real_unpublish
#define mhs_grace_over	real_grace_over
#endif

#endif
