/* SPDX-License-Identifier: MIT */
/*
 * sup_read_ring.c: reads in flight over io_uring. A slot is one block on its way. When a block is whole its
 * slot is sent off again first and the block handed over (hashed) after, so the device never waits for us.
 */
#include <errno.h>
#include <string.h>

#include "sup_read.h"
#include "sup_uring.h"

#define PIECE_BYTES	(UINT64_C(1) << 30)	/* the kernel's limit of one registered buffer */
#define TRIES_MAX	1000u			/* of one block, before EAGAIN becomes an error */

struct slot {
	uint64_t offset;
	uint32_t bytes, done;
	uint32_t tries;
};

struct flight {
	struct sup_read *read;
	struct sup_uring *ring;
	struct sto_error *error;
	uint64_t next;			/* offset of the first byte not asked for yet */
	uint32_t busy;			/* slots in flight */
	bool any;			/* some read has worked */
	struct slot slots[SUP_READ_DEPTH];
};

/* Ask for what a slot still lacks. Progress is cut to the alignment that O_DIRECT needs. */
static int slot_send(struct flight *flight, uint32_t tag)
{
	struct slot *slot = &flight->slots[tag];
	uint64_t at;
	int err;

	slot->done &= ~(SUP_READ_ALIGN_BYTES - 1);
	at = slot->offset + slot->done;
	err = sup_uring_read(flight->ring, flight->read->base + at, slot->bytes - slot->done, at, tag);
	if (err)
		sup_read_fail(at, err, flight->error);
	else
		flight->busy++;
	return err;
}

/* Send the slot off with the next block, if there is one left. */
static int slot_next(struct flight *flight, uint32_t tag)
{
	const struct sup_read *read = flight->read;
	uint64_t left = read->end - flight->next;

	if (left == 0)
		return 0;
	if (read->cancel && atomic_load_explicit(read->cancel, memory_order_relaxed)) {
		sto_fail(flight->error, "cancelled");
		return -ECANCELED;
	}
	flight->slots[tag] = (struct slot){
		.offset = flight->next,
		.bytes = left < read->block_bytes ? (uint32_t)left : read->block_bytes,
	};
	flight->next += flight->slots[tag].bytes;
	return slot_send(flight, tag);
}

/* A read that brought nothing: again, or the end. */
static int slot_failed(struct flight *flight, uint32_t tag, int32_t result)
{
	struct slot *slot = &flight->slots[tag];

	if ((result == -EAGAIN || result == -EINTR) && ++slot->tries < TRIES_MAX)
		return slot_send(flight, tag);
	sup_read_fail(slot->offset + slot->done, result, flight->error);
	if (!flight->any && sup_read_is_closed(result))
		return SUP_READ_NEXT;
	return result ? result : -EIO;
}

static int slot_done(struct flight *flight, uint32_t tag, int32_t result)
{
	struct slot *slot = &flight->slots[tag], whole;
	int err;

	if (result <= 0)
		return slot_failed(flight, tag, result);
	if ((uint32_t)result > slot->bytes - slot->done)
		return slot_failed(flight, tag, -EIO);
	if ((uint32_t)result < SUP_READ_ALIGN_BYTES)	/* never in the middle of a file */
		return slot_failed(flight, tag, 0);
	flight->any = true;
	atomic_fetch_add_explicit(&flight->read->read_bytes, (uint64_t)result, memory_order_relaxed);
	slot->done += (uint32_t)result;
	if (slot->done < slot->bytes) {
		if (++slot->tries < TRIES_MAX)
			return slot_send(flight, tag);
		return slot_failed(flight, tag, -EIO);
	}
	whole = *slot;
	err = slot_next(flight, tag);
	if (err)
		return err;
	return flight->read->arrived(flight->read->arg, whole.offset, whole.bytes,
				     flight->error);
}

/* After an error: memory may be unmapped only when the kernel writes to it no more. */
static void flight_drain(struct flight *flight)
{
	uint32_t tag;
	int32_t result;

	while (flight->busy && sup_uring_wait(flight->ring, &tag, &result) == 0)
		flight->busy--;
}

static int flight_run(struct flight *flight)
{
	uint32_t tag = 0;
	int32_t result = 0;
	int err = 0;

	for (uint32_t i = 0; i < SUP_READ_DEPTH && !err; i++)
		err = slot_next(flight, i);
	while (!err && flight->busy) {
		err = sup_uring_wait(flight->ring, &tag, &result);
		if (err) {
			sup_read_fail(flight->next, err, flight->error);
			break;
		}
		flight->busy--;
		err = tag < SUP_READ_DEPTH ? slot_done(flight, tag, result) : -EIO;
	}
	flight_drain(flight);
	return err;
}

int sup_read_ring(struct sup_read *read, int direct_fd, bool registered, struct sto_error *error)
{
	struct flight flight = { .read = read, .error = error, .next = read->begin };
	uint64_t piece = PIECE_BYTES - PIECE_BYTES % read->block_bytes;
	int err = sup_uring_open(&flight.ring, SUP_READ_DEPTH);

	if (err) {
		sto_fail(error, "no io_uring: %s", strerror(-err));
		return SUP_READ_NEXT;
	}
	err = sup_uring_register(flight.ring, direct_fd,
				 registered ? read->base + read->begin : NULL,
				 read->end - read->begin, piece);
	if (err) {
		sto_fail(error, "registering: %s", strerror(-err));
		err = SUP_READ_NEXT;
	} else {
		err = flight_run(&flight);
	}
	sup_uring_close(&flight.ring);
	return err;
}
