/* SPDX-License-Identifier: MIT */
/*
 * mhs_ring.c: one end of one SPSC byte ring. The labels are those of LAYOUT.md.
 *
 * Trust: end->position and end->capacity_bytes are private and rule; the peer's word is loaded once
 * per call and believed only when it is a multiple of 8 within one capacity of our own. A record's
 * head is loaded once too, so the length checked is the length used. Whatever the peer stores, no
 * access leaves data[0..capacity) or the caller's buffer.
 */
#include "mhs_ring.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

typedef uint64_t __attribute__((may_alias)) word64;

static uint64_t padded(uint64_t bytes)
{
	return (bytes + 7) & ~UINT64_C(7);
}

static struct mhs_ring_end ring_end(struct mhs_ring *ring, uint8_t *data, uint32_t capacity_bytes)
{
	struct mhs_ring_end end = { .ring = ring, .data = data, .capacity_bytes = capacity_bytes };

	return end;
}

struct mhs_ring_end mhs_lane_submit_end(struct mhs_lane *lane)
{
	return ring_end(&lane->submit, lane->submit_data, MHS_SUBMIT_BYTES);
}

struct mhs_ring_end mhs_lane_event_end(struct mhs_lane *lane)
{
	return ring_end(&lane->event, lane->event_data, MHS_EVENT_BYTES);
}

/* Copy into the ring at byte @at, in two parts where it wraps. */
static void data_put(struct mhs_ring_end *end, uint64_t at, const void *from, uint32_t bytes)
{
	uint32_t offset = (uint32_t)at & (end->capacity_bytes - 1);
	uint32_t first = end->capacity_bytes - offset;

	if (bytes == 0)
		return;
	if (first > bytes)
		first = bytes;
	memcpy(end->data + offset, from, first);
	memcpy(end->data, (const uint8_t *)from + first, bytes - first);
}

static void data_get(const struct mhs_ring_end *end, uint64_t at, void *to, uint32_t bytes)
{
	uint32_t offset = (uint32_t)at & (end->capacity_bytes - 1);
	uint32_t first = end->capacity_bytes - offset;

	if (bytes == 0)
		return;
	if (first > bytes)
		first = bytes;
	memcpy(to, end->data + offset, first);
	memcpy((uint8_t *)to + first, end->data, bytes - first);
	/* The compiler may not go back to the shared bytes for what was copied. */
	atomic_signal_fence(memory_order_seq_cst);
}

/* Bytes in use as the producer sees it, or -EPROTO. */
static int64_t producer_used(const struct mhs_ring_end *end)
{
	/* R1 pairs with R4: the bytes that the consumer gave back are no longer read */
	uint64_t tail = atomic_load_explicit(&end->ring->tail, memory_order_seq_cst);
	uint64_t used = end->position - tail;

	if (used > end->capacity_bytes || used % 8)
		return -EPROTO;
	return (int64_t)used;
}

static int64_t consumer_used(const struct mhs_ring_end *end)
{
	/* R3 pairs with R2: the record's bytes are there */
	uint64_t head = atomic_load_explicit(&end->ring->head, memory_order_seq_cst);
	uint64_t used = head - end->position;

	if (used > end->capacity_bytes || used % 8)
		return -EPROTO;
	return (int64_t)used;
}

int mhs_ring_put(struct mhs_ring_end *end, uint32_t type, const struct mhs_piece *pieces,
		 uint32_t piece_count)
{
	static const uint8_t zeros[8];
	uint64_t bytes = sizeof(struct mhs_record);
	uint64_t at = end->position;
	struct mhs_record record;
	int64_t used;

	for (uint32_t i = 0; i < piece_count; i++)
		bytes += pieces[i].bytes;
	if (padded(bytes) > end->capacity_bytes)
		return -EMSGSIZE;
	used = producer_used(end);
	if (used < 0)
		return (int)used;
	if (padded(bytes) > end->capacity_bytes - (uint64_t)used)
		return -EAGAIN;
	record.bytes = (uint32_t)bytes;
	record.type = type;
	data_put(end, at, &record, sizeof(record));
	at += sizeof(record);
	for (uint32_t i = 0; i < piece_count; i++) {
		data_put(end, at, pieces[i].data, pieces[i].bytes);
		at += pieces[i].bytes;
	}
	data_put(end, at, zeros, (uint32_t)(padded(bytes) - bytes));
	end->position += padded(bytes);
	/* R2 after the record's bytes, before R6; pairs with R3 */
	atomic_store_explicit(&end->ring->head, end->position, memory_order_seq_cst);
	return 0;
}

bool mhs_ring_has_room(const struct mhs_ring_end *end, uint32_t body_bytes)
{
	int64_t used = producer_used(end);

	if (used < 0)
		return true;	/* nothing to wait for: put() reports it */
	return padded(sizeof(struct mhs_record) + (uint64_t)body_bytes) <=
	       end->capacity_bytes - (uint64_t)used;
}

int64_t mhs_ring_get(struct mhs_ring_end *end, uint32_t *type, void *body, uint32_t cap)
{
	int64_t used = consumer_used(end);
	struct mhs_record record;
	uint32_t offset;
	word64 word;

	if (used < 0)
		return used;
	if (used == 0)
		return -EAGAIN;
	/* Positions are multiples of 8, so the head of a record never wraps. One load. */
	offset = (uint32_t)end->position & (end->capacity_bytes - 1);
	word = __atomic_load_n((const word64 *)(const void *)(end->data + offset),
			       __ATOMIC_RELAXED);
	memcpy(&record, &word, sizeof(record));
	if (record.bytes < sizeof(record) || padded(record.bytes) > (uint64_t)used ||
	    record.bytes - sizeof(record) > cap)
		return -EPROTO;
	data_get(end, end->position + sizeof(record), body,
		 record.bytes - (uint32_t)sizeof(record));
	*type = record.type;
	end->position += padded(record.bytes);
	/* R4 after the copy, before R9; pairs with R1 */
	atomic_store_explicit(&end->ring->tail, end->position, memory_order_seq_cst);
	return record.bytes - (int64_t)sizeof(record);
}

bool mhs_ring_is_empty(const struct mhs_ring_end *end)
{
	return consumer_used(end) == 0;	/* nonsense is not empty: get() reports it */
}

void mhs_ring_arm(struct mhs_ring_end *end)
{
	/* R5 before R3 (the look once more); pairs with R2 before R6 */
	atomic_store_explicit(&end->ring->asleep, 1, memory_order_seq_cst);
}

void mhs_ring_disarm(struct mhs_ring_end *end)
{
	/* relaxed: a stale 1 costs one bell too many */
	atomic_store_explicit(&end->ring->asleep, 0, memory_order_relaxed);
}

bool mhs_ring_should_wake(struct mhs_ring_end *end)
{
	/* R6 after R2; pairs with R5 before R3. The exchange makes it one bell per sleep. */
	if (!atomic_load_explicit(&end->ring->asleep, memory_order_seq_cst))
		return false;
	return atomic_exchange_explicit(&end->ring->asleep, 0, memory_order_seq_cst) != 0;
}

void mhs_ring_starve(struct mhs_ring_end *end)
{
	/* R8 before R1 (the look once more); pairs with R4 before R9 */
	atomic_store_explicit(&end->ring->starved, 1, memory_order_seq_cst);
}

bool mhs_ring_should_feed(struct mhs_ring_end *end)
{
	/* R9 after R4; pairs with R8 before R1 */
	if (!atomic_load_explicit(&end->ring->starved, memory_order_seq_cst))
		return false;
	return atomic_exchange_explicit(&end->ring->starved, 0, memory_order_seq_cst) != 0;
}
