/* SPDX-License-Identifier: MIT */
/*
 * sup_read.h: bring a range of a file into memory, block by block, with as many reads in flight as
 * the device likes, and hand over each block when it is whole.
 */
#ifndef SUP_READ_H
#define SUP_READ_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "sto_store.h"
#include "sup_fill.h"

/* Best first; each falls back to the next. */
enum sup_method {
	SUP_METHOD_FIXED = 0,		/* io_uring, O_DIRECT, registered file and buffers */
	SUP_METHOD_PLAIN = 1,		/* io_uring, O_DIRECT */
	SUP_METHOD_PREAD = 2,		/* threads with preadv, O_DIRECT */
	/* threads with preadv through the page cache, then dropped from it */
	SUP_METHOD_BUFFERED = 3,
	SUP_METHOD_COUNT
};

#define SUP_READ_ALIGN_BYTES	4096u
#define SUP_READ_DEPTH		16u

/*
 * A block is whole at @offset (in the file and in memory). Negative errno, with text, ends the
 * read. Called from several threads at once by PREAD and BUFFERED.
 */
typedef int (*sup_arrived_fn)(void *arg, uint64_t offset, uint32_t bytes, struct sto_error *error);

struct sup_read {
	int fd;				/* the file, opened without O_DIRECT */
	uint8_t *base;			/* where its byte 0 goes; page-aligned */
	uint64_t begin, end;		/* range, multiples of SUP_READ_ALIGN_BYTES */
	uint32_t block_bytes;		/* a multiple too */
	sup_arrived_fn arrived;
	void *arg;
	const atomic_bool *cancel;	/* looked at between blocks; NULL: never */
	struct sup_fill *fill;		/* makes the memory meanwhile; NULL: it is all there */
	/* out */
	atomic_uint_fast64_t read_bytes;	/* as the kernel counted them */
	char note[160];			/* why better methods were not taken; empty: the best was */
};

/*
 * Read with @first or the next method that works, @only: with that one or not at all. 0 with
 * *@taken; -ECANCELED; what @arrived returned; negative errno, with text.
 */
int sup_read_run(struct sup_read *read, enum sup_method first, bool only, enum sup_method *taken,
		 struct sto_error *error);

const char *sup_method_name(enum sup_method method);	/* "fixed", ... */
int sup_method_parse(const char *name);			/* -EINVAL */

/* ---- between sup_read.c and its two halves -------------------------------------------------- */

/* This method does not work here: try the next. Never an errno. */
#define SUP_READ_NEXT	1

int sup_read_ring(struct sup_read *read, int direct_fd, bool registered, struct sto_error *error);
int sup_read_threads(struct sup_read *read, int fd, bool direct, struct sto_error *error);
/* For both: a completion of @result (0 or negative errno) at @offset in words. */
void sup_read_fail(uint64_t offset, int result, struct sto_error *error);
/*
 * Whether @result of a first read only says that the way is closed (no O_DIRECT, no such
 * operation).
 */
bool sup_read_is_closed(int result);

#endif
