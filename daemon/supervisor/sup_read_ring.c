/* SPDX-License-Identifier: MIT */
/*
 * sup_read_ring.c: reads in flight over io_uring. A slot is one block on its way. When a block is
 * whole its slot is sent off again first and the block handed over (hashed) after, so the device
 * never waits for us.
 */
#include <errno.h>
#include <string.h>

#include "sup_read.h"
#include "sup_uring.h"

#define PIECE_MIN_BYTES	(UINT64_C(4) << 20)	/* of a registered buffer */
#define PIECE_MAX_BYTES	(UINT64_C(1) << 30)	/* the kernel's limit */
#define PIECES		4096u			/* aimed at, for a large file */
/*
 * This method is no good here, nothing is lost; unlike SUP_READ_NEXT it is never taken for "ready".
 */
#define SUP_READ_CLOSED	(-4097)
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
	uint64_t piece_bytes;		/* of the registered buffers; 0: none are */
	uint64_t registered;		/* bytes from begin that are registered */
	uint32_t busy;			/* slots in flight */
	uint32_t idle[SUP_READ_DEPTH], idle_count;
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

/*
 * Make memory up to @end usable. 1: it is; 0: its pages are still being made; negative errno with
 * text.
 */
static int memory_ready(struct flight *flight, uint64_t end)
{
	struct sup_read *read = flight->read;
	uint64_t upto = end - read->begin, all = read->end - read->begin;
	int err;

	if (flight->piece_bytes && upto > flight->registered) {
		upto = flight->registered + flight->piece_bytes;	/* the whole next buffer */
		end = read->begin + (upto < all ? upto : all);
	}
	err = read->fill ? sup_fill_ready(read->fill, end) : 1;
	if (err == 1 && flight->piece_bytes && end - read->begin > flight->registered) {
		err = sup_uring_register_piece(flight->ring, flight->registered / flight->piece_bytes);
		flight->registered = end - read->begin;
		/* a limit of locked memory may be met late: then all again, without */
		if (err) {
			sto_fail(flight->error, "registering: %s", strerror(-err));
			return SUP_READ_CLOSED;
		}
		err = 1;
	}
	if (err < 0)
		sto_fail(flight->error, "making pages: %s", strerror(-err));
	return err;
}

/* Send idle slots off with the next blocks, as far as there are blocks and memory. */
static int slots_fill(struct flight *flight)
{
	const struct sup_read *read = flight->read;
	int err = 0;

	while (!err && flight->idle_count && flight->next < read->end) {
		uint64_t left = read->end - flight->next;
		uint32_t bytes = left < read->block_bytes ? (uint32_t)left : read->block_bytes;
		uint32_t tag = flight->idle[flight->idle_count - 1];

		if (read->cancel && atomic_load_explicit(read->cancel, memory_order_relaxed)) {
			sto_fail(flight->error, "cancelled");
			return -ECANCELED;
		}
		err = memory_ready(flight, flight->next + bytes);
		if (err <= 0)
			return err;
		flight->idle_count--;
		flight->slots[tag] = (struct slot){ .offset = flight->next, .bytes = bytes };
		flight->next += bytes;
		err = slot_send(flight, tag);
	}
	return err;
}

/* Nothing is in flight: wait until the next block has memory. */
static int slots_wait(struct flight *flight)
{
	const struct sup_read *read = flight->read;
	uint64_t end = flight->next + (flight->piece_bytes ? flight->piece_bytes : read->block_bytes);
	int err = read->fill ? sup_fill_wait(read->fill, end < read->end ? end : read->end) : 0;

	if (err)
		sto_fail(flight->error, "making pages: %s", strerror(-err));
	return err ? err : slots_fill(flight);
}

/* A read that brought nothing: again, or the end. */
static int slot_failed(struct flight *flight, uint32_t tag, int32_t result)
{
	struct slot *slot = &flight->slots[tag];

	if ((result == -EAGAIN || result == -EINTR) && ++slot->tries < TRIES_MAX)
		return slot_send(flight, tag);
	sup_read_fail(slot->offset + slot->done, result, flight->error);
	if (!flight->any && sup_read_is_closed(result))
		return SUP_READ_CLOSED;
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
	flight->idle[flight->idle_count++] = tag;
	err = slots_fill(flight);
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
	int err;

	for (uint32_t i = 0; i < SUP_READ_DEPTH; i++)
		flight->idle[flight->idle_count++] = SUP_READ_DEPTH - 1 - i;
	err = slots_fill(flight);
	while (!err && (flight->busy || flight->next < flight->read->end)) {
		if (flight->busy == 0) {
			err = slots_wait(flight);
			continue;
		}
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

/* A buffer's size: few enough of them, small enough that the first is soon there. */
static uint64_t piece_size(const struct sup_read *read)
{
	uint64_t size = PIECE_MIN_BYTES;

	while (size < PIECE_MAX_BYTES && size * PIECES < read->end - read->begin)
		size *= 2;
	return size - size % read->block_bytes;
}

int sup_read_ring(struct sup_read *read, int direct_fd, bool registered, struct sto_error *error)
{
	struct flight flight = { .read = read, .error = error, .next = read->begin };
	int err = sup_uring_open(&flight.ring, SUP_READ_DEPTH);

	if (err) {
		sto_fail(error, "no io_uring: %s", strerror(-err));
		return SUP_READ_NEXT;
	}
	sup_uring_file(flight.ring, direct_fd);
	if (registered) {
		flight.piece_bytes = piece_size(read);
		err = sup_uring_register(flight.ring, read->base + read->begin, read->end - read->begin,
					 flight.piece_bytes);
	}
	if (err) {
		sto_fail(error, "registering: %s", strerror(-err));
		err = SUP_READ_NEXT;
	} else {
		err = flight_run(&flight);
	}
	sup_uring_close(&flight.ring);
	return err == SUP_READ_CLOSED ? SUP_READ_NEXT : err;
}
