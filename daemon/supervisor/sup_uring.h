/* SPDX-License-Identifier: MIT */
/*
 * sup_uring.h: the little of io_uring that the loader uses, and the only file that includes
 * liburing. Also the seam at which tests put a faulty disk: they define these functions themselves.
 */
#ifndef SUP_URING_H
#define SUP_URING_H

#include <stdbool.h>
#include <stdint.h>

struct sup_uring;

/* @depth reads in flight at most. 0 or negative errno (-ENOSYS, -EPERM: no io_uring here). */
int sup_uring_open(struct sup_uring **ring, uint32_t depth);
/* Waits until the kernel has let go of every registered page. */
void sup_uring_close(struct sup_uring **ring);

/* Where reads come from and, unregistered, all that is needed. */
void sup_uring_file(struct sup_uring *ring, int fd);
/*
 * Register the file, and a table for the buffers that [base, base + bytes) is cut into,
 * @piece_bytes each. 0, or negative errno: go on unregistered, on another ring.
 */
int sup_uring_register(struct sup_uring *ring, uint8_t *base, uint64_t bytes, uint64_t piece_bytes);
/*
 * Register buffer @piece: its pages must be there. Before the first read into it. 0 or negative
 * errno.
 */
int sup_uring_register_piece(struct sup_uring *ring, uint64_t piece);

/* Queue and submit one read of @fd. @tag comes back with its completion. 0 or negative errno. */
int sup_uring_read(struct sup_uring *ring, uint8_t *to, uint32_t bytes, uint64_t offset,
		   uint32_t tag);

/* Wait for one completion. *@result: bytes read or negative errno. 0 or negative errno. */
int sup_uring_wait(struct sup_uring *ring, uint32_t *tag, int32_t *result);

#endif
