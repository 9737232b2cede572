/* SPDX-License-Identifier: MIT */
/*
 * t_malloc.h: counts allocations by anyone in the program; for one file of a test. OTHER_MALLOC: a sanitizer brings
 * its own, nothing is counted.
 */
#ifndef T_MALLOC_H
#define T_MALLOC_H

#include <stdlib.h>

#if defined(__has_feature)	/* clang */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OTHER_MALLOC
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OTHER_MALLOC
#endif
#ifndef OTHER_MALLOC
static unsigned long t_allocation_count;	/* relaxed: read when nothing else runs */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

static unsigned long t_allocations(void)
{
	return __atomic_load_n(&t_allocation_count, __ATOMIC_RELAXED);
}

static void t_allocation_add(void)
{
	__atomic_fetch_add(&t_allocation_count, 1, __ATOMIC_RELAXED);
}

void *malloc(size_t bytes)
{
	t_allocation_add();
	return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
	t_allocation_add();
	return __libc_calloc(count, bytes);
}

void *realloc(void *memory, size_t bytes)
{
	t_allocation_add();
	return __libc_realloc(memory, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
	t_allocation_add();
	return __libc_memalign(alignment, bytes);
}
#endif

#endif
