/* SPDX-License-Identifier: MIT */
/*
 * sup_load.h: one load, from the file in the store to sealed, checked, read-only memory. Runs in a
 * thread of its own; nothing but the fields marked shared may be touched until it is over.
 */
#ifndef SUP_LOAD_H
#define SUP_LOAD_H

#include <pthread.h>

#include "sup_conf.h"
#include "sup_packs.h"
#include "sup_push.h"

struct sup_load {
	/* wanted */
	char store[SUP_PATH_BYTES];
	char model[MHS_NAME_BYTES];
	char adapter[MHS_NAME_BYTES];	/* of the model; empty: a version of the model itself */
	char version[MHS_SEMVER_BYTES];
	struct sup_push *push;		/* what is to become an image; NULL: the store has one */
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
	uint32_t rank_min, rank_max;	/* of an adapter */
	struct sup_arenas own;		/* the image's own file, segment 0 */
	uint32_t pack_count;
	struct sup_pack *packs[MHS_PACK_MAX];	/* segments 1.. ; each held once for this version */
	struct mhs_image_pack pack_table[MHS_PACK_MAX];
	/* of its largest part */
	enum mhs_pages rung;
	enum sup_method method;
	char pages_note[256], method_note[160];
	/* of what was not in memory yet, all of it together */
	uint64_t allocate_ns, page_wait_ns, read_ns, load_ns, read_bytes;
	/* private */
	pthread_t thread;
};

/* Do it all, here and now. Returns status. */
int sup_load_run(struct sup_load *load);
/* The same in a thread of low priority. 0 or negative errno. */
int sup_load_start(struct sup_load *load);
/* After over: wait for the thread's last instruction. */
void sup_load_join(struct sup_load *load);
/* Let go of all memory of a version that is not used. Returns the bytes that this freed. */
uint64_t sup_load_drop(struct sup_load *load);
/* Segment 0..pack_count of a load that is over. */
const struct sup_arenas *sup_load_segment(const struct sup_load *load, uint32_t segment);

/* ---- for sup_arena.c and sup_packs.c ---------------------------------------------------------- */

uint32_t sup_load_replicas(const struct sup_load *load);	/* copies of each file */
void sup_load_wake(const struct sup_load *load);		/* there is progress */

#endif
