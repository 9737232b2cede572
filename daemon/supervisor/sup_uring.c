/* SPDX-License-Identifier: MIT */
#include "sup_uring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/uio.h>

#define PIECES_MAX	16384u	/* the kernel's limit of registered buffers */

struct sup_uring {
	struct io_uring ring;
	int fd;
	uint8_t *base;		/* registered memory, NULL: none */
	uint64_t bytes, piece_bytes;
	bool file_registered;
};

int sup_uring_open(struct sup_uring **ring, uint32_t depth)
{
	struct sup_uring *self = calloc(1, sizeof(*self));
	int err;

	if (!self)
		return -ENOMEM;
	self->fd = -1;
	err = io_uring_queue_init(depth, &self->ring, 0);
	if (err) {
		free(self);
		return err;
	}
	*ring = self;
	return 0;
}

void sup_uring_close(struct sup_uring **ring)
{
	struct sup_uring *self = *ring;

	if (!self)
		return;
	/*
	 * Leaving it to the end of the ring would let the pages go later, and sealing would fail.
	 */
	if (self->base)
		io_uring_unregister_buffers(&self->ring);
	if (self->file_registered)
		io_uring_unregister_files(&self->ring);
	io_uring_queue_exit(&self->ring);
	free(self);
	*ring = NULL;
}

void sup_uring_file(struct sup_uring *ring, int fd)
{
	ring->fd = fd;
}

int sup_uring_register(struct sup_uring *ring, uint8_t *base, uint64_t bytes, uint64_t piece_bytes)
{
	uint64_t count = (bytes + piece_bytes - 1) / piece_bytes;
	int err;

	if (count == 0 || count > PIECES_MAX)
		return -EINVAL;
	err = io_uring_register_files(&ring->ring, &ring->fd, 1);
	if (err)
		return err;
	ring->file_registered = true;
	err = io_uring_register_buffers_sparse(&ring->ring, (unsigned int)count);
	if (err)
		return err;
	ring->base = base;
	ring->bytes = bytes;
	ring->piece_bytes = piece_bytes;
	return 0;
}

int sup_uring_register_piece(struct sup_uring *ring, uint64_t piece)
{
	uint64_t at = piece * ring->piece_bytes, left = ring->bytes - at;
	const __u64 tag = 0;
	struct iovec iov = { ring->base + at, left < ring->piece_bytes ? left : ring->piece_bytes };
	int n = io_uring_register_buffers_update_tag(&ring->ring, (unsigned int)piece, &iov, &tag, 1);

	return n == 1 ? 0 : n < 0 ? n : -EINVAL;
}

int sup_uring_read(struct sup_uring *ring, uint8_t *to, uint32_t bytes, uint64_t offset,
		   uint32_t tag)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
	int n;

	if (!sqe)
		return -EBUSY;
	if (ring->base) {
		uint64_t piece = (uint64_t)(to - ring->base) / ring->piece_bytes;

		io_uring_prep_read_fixed(sqe, 0, to, bytes, offset, (int)piece);
		sqe->flags |= IOSQE_FIXED_FILE;
	} else {
		io_uring_prep_read(sqe, ring->fd, to, bytes, offset);
	}
	io_uring_sqe_set_data64(sqe, tag);
	do {
		n = io_uring_submit(&ring->ring);
	} while (n == -EINTR);
	/* Refused for now: the entry stays queued and goes with the next submission or wait. */
	return n >= 0 || n == -EAGAIN || n == -EBUSY ? 0 : n;
}

int sup_uring_wait(struct sup_uring *ring, uint32_t *tag, int32_t *result)
{
	struct io_uring_cqe *cqe = NULL;
	int err;

	do {
		/* Submits too what an earlier read could not. */
		err = io_uring_submit_and_wait(&ring->ring, 1);
		if (err >= 0)
			err = io_uring_peek_cqe(&ring->ring, &cqe);
	} while (err == -EINTR || err == -EAGAIN || err == -EBUSY);
	if (err)
		return err;
	*tag = (uint32_t)io_uring_cqe_get_data64(cqe);
	*result = cqe->res;
	io_uring_cqe_seen(&ring->ring, cqe);
	return 0;
}
