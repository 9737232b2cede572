/* SPDX-License-Identifier: MIT */
/* ring_lib.h: lanes for the tests of the rings. */
#ifndef RING_LIB_H
#define RING_LIB_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "mhs_ring.h"

/* A lane between two guard pages: a byte outside of it, either way, ends the test by SIGSEGV. */
static inline struct mhs_lane *lane_new(void)
{
	size_t bytes = sizeof(struct mhs_lane);
	uint8_t *at = mmap(NULL, bytes + 8192, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED || mprotect(at + 4096, bytes, PROT_READ | PROT_WRITE)) {
		perror("lane_new");
		exit(1);
	}
	return (void *)(at + 4096);
}

static inline void lane_free(struct mhs_lane *lane)
{
	munmap((uint8_t *)lane - 4096, sizeof(struct mhs_lane) + 8192);
}

static inline int put(struct mhs_ring_end *end, uint32_t type, const void *data, uint32_t bytes)
{
	struct mhs_piece piece = { data, bytes };

	return mhs_ring_put(end, type, &piece, 1);
}

#endif
