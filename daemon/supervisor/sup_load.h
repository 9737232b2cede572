/* SPDX-License-Identifier: MIT */
/*
 * sup_load.h: one load, from the file in the store to sealed, checked, read-only memory. Runs in a
 * thread of its own; nothing but the fields marked shared may be touched until it is over.
 */
#ifndef SUP_LOAD_H
#define SUP_LOAD_H

#include <pthread.h>

#include "sup_conf.h"
#include "sup_pages.h"
#include "sup_read.h"

/* One sealed copy of the image. */
struct sup_arena {
	int fd;				/* read-only */
	uint32_t node;			/* NUMA node it was bound to, UINT32_MAX: none */
	uint64_t seg_bytes;
};

struct sup_load {
	/* wanted */
	char store[SUP_PATH_BYTES];
	char model[MHS_NAME_BYTES];
	char version[MHS_SEMVER_BYTES];
	uint32_t hugepages, numa, numa_node;
	/* eventfd, borrowed: rung on progress and at the end; -1: none */
	int wake_fd;
	/* shared */
	atomic_uint_fast64_t done_bytes, total_bytes;
	atomic_bool cancel;
	atomic_bool over;		/* stored last */
	/* result, once over */
	int status;			/* 0 or negative errno, with error set */
	struct sto_error error;
	struct mhs_image_header header;
	uint32_t arena_count;
	struct sup_arena arenas[MHS_EXTENT_MAX];
	enum mhs_pages rung;
	enum sup_method method;
	char pages_note[256], method_note[160];
	uint64_t allocate_ns, page_wait_ns, read_ns, load_ns, read_bytes;
	/* private */
	pthread_t thread;
	const uint8_t *chunk_hashes;	/* in the arena, checked against the header */
	const uint8_t *base;		/* of the mapped arena */
};

/* Do it all, here and now. Returns status. */
int sup_load_run(struct sup_load *load);
/* The same in a thread of low priority. 0 or negative errno. */
int sup_load_start(struct sup_load *load);
/* After over: wait for the thread's last instruction. */
void sup_load_join(struct sup_load *load);
/* Close the arenas of a load that is not used. */
void sup_load_drop(struct sup_load *load);

#endif
