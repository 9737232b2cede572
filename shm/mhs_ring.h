/* SPDX-License-Identifier: MIT */
/*
 * mhs_ring.h: one end of one SPSC byte ring of a lane. Geometry and own position live in private
 * memory (struct mhs_ring_end); the peer's word is copied once and checked.
 */
#ifndef MHS_RING_H
#define MHS_RING_H

#include <stdbool.h>

#include "mhs_layout.h"
#include "mhs_wire.h"

struct mhs_ring_end {
	struct mhs_ring *ring;		/* shared words */
	uint8_t *data;			/* shared bytes */
	uint32_t capacity_bytes;	/* power of two; private copy */
	uint64_t position;		/* own head or tail; private, authoritative */
};

/* The four ends of a mapped lane. Start at position 0: a lane is used by one pair of peers only. */
struct mhs_ring_end mhs_lane_submit_end(struct mhs_lane *lane);
struct mhs_ring_end mhs_lane_event_end(struct mhs_lane *lane);

/* A piece of a record body; put() gathers up to four, so nothing is assembled first. */
struct mhs_piece {
	const void *data;
	uint32_t bytes;
};

/*
 * Producer: append one record. Returns 0; -EAGAIN: not enough room now; -EMSGSIZE: never fits;
 * -EPROTO: the consumer's tail is nonsense, end the lane. Wait-free.
 */
int mhs_ring_put(struct mhs_ring_end *end, uint32_t type, const struct mhs_piece *pieces,
		 uint32_t piece_count);
/* Free bytes for a record with @body_bytes now? */
bool mhs_ring_has_room(const struct mhs_ring_end *end, uint32_t body_bytes);

/*
 * Consumer: copy the next record's body to @body (at most @cap bytes). Returns body bytes >= 0 with
 * *@type set; -EAGAIN: empty; -EPROTO: the record or the producer's head is nonsense, or longer
 * than @cap: end the lane. Reads each shared byte once. Wait-free.
 */
int64_t mhs_ring_get(struct mhs_ring_end *end, uint32_t *type, void *body, uint32_t cap);
bool mhs_ring_is_empty(const struct mhs_ring_end *end);

/*
 * Sleep protocol, store-then-load on both sides (seq_cst): the consumer arms, looks once more,
 * sleeps on its bell only if still empty; the producer, after a put, rings if armed (and disarms
 * it, so one bell per sleep). starved is the same the other way round, for a producer that waits
 * for room.
 */
void mhs_ring_arm(struct mhs_ring_end *end);		/* consumer, before sleeping */
void mhs_ring_disarm(struct mhs_ring_end *end);		/* consumer, after waking */
bool mhs_ring_should_wake(struct mhs_ring_end *end);	/* producer, after put */
void mhs_ring_starve(struct mhs_ring_end *end);		/* producer, before waiting for room */
bool mhs_ring_should_feed(struct mhs_ring_end *end);	/* consumer, after get */

#endif
