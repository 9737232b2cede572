/* SPDX-License-Identifier: MIT */
/*
 * mhs_layout.h: every byte that mhost processes share. See LAYOUT.md before changing anything.
 *
 * Rules: offsets and fixed-width integers only; each field names its writer; fields of different
 * writers never share a cache line; holes are named reservedN and zero; atomics are lock-free in
 * every process. A minor bump uses a reserved field, a major bump moves something.
 */
#ifndef MHS_LAYOUT_H
#define MHS_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define MHS_ABI_MAJOR		2u
#define MHS_ABI_MINOR		1u
#define MHS_LINE_BYTES		64u
#define MHS_PAGE_BYTES		4096u
#define MHS_MODEL_MAX		4096u	/* models and adapters on one board */
#define MHS_VERSION_MAX		4096u	/* 12 bits of the route word; index 0 is "none" */
#define MHS_WORKER_MAX		64u
#define MHS_EXTENT_MAX		4u	/* replicas of one version */
#define MHS_NAME_BYTES		64u	/* model and adapter names, NUL-padded */
#define MHS_SEMVER_BYTES	48u	/* MAJOR.MINOR.PATCH, NUL-padded */
#define MHS_HASH_BYTES		32u	/* SHA-256 */
#define MHS_SUBMIT_BYTES	(1u << 20)	/* ring client -> worker; a power of two */
#define MHS_EVENT_BYTES		(1u << 18)	/* ring worker -> client; a power of two */

#define MHS_EPOCH_OFFLINE	UINT64_MAX	/* slot.seen_epoch: owner reads no route */

#define MHS_MAGIC_BOARD		UINT64_C(0x316472616f62686d)	/* "mhboard1" */
#define MHS_MAGIC_SLOT		UINT64_C(0x31746f6c7320686d)	/* "mh slot1" */
#define MHS_MAGIC_STATS		UINT64_C(0x317374617473686d)	/* "mhstats1" */
#define MHS_MAGIC_LANE		UINT64_C(0x31656e616c20686d)	/* "mh lane1" */
#define MHS_MAGIC_REPLIES	UINT64_C(0x31796c706572686d)	/* "mhreply1" */

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics must work across processes");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "32-bit atomics must work across processes");

/* First line of every segment but an arena. Everything but ready is constant once ready is 1. */
struct mhs_header {
	uint64_t magic;			/* [W: sup] MHS_MAGIC_* */
	uint16_t abi_major;		/* [W: sup] */
	uint16_t abi_minor;		/* [W: sup] */
	uint32_t header_bytes;		/* [W: sup] sizeof(struct mhs_header) */
	uint64_t segment_bytes;		/* [W: sup] whole segment, this header included */
	uint64_t features;		/* [W: sup] feature bits, none defined in 1.0 */
	_Atomic uint32_t ready;		/* [W: sup] stored last, read first */
	uint32_t owner;			/* [W: sup] slot and stats: worker index; lane: lane id */
	uint8_t reserved0[24];		/* zero */
};
_Static_assert(sizeof(struct mhs_header) == MHS_LINE_BYTES, "header is one line");
_Static_assert(offsetof(struct mhs_header, ready) == 32, "ABI 1: ready");

/* ---- board: supervisor writes, all others map it read-only ------------------------------- */

/*
 * Route word, one per model and one per adapter of it, changed by one store:
 *   bits  0..11  active version index (0: none)
 *   bits 12..23  candidate version index (0: none)
 *   bits 24..37  weight of the candidate in basis points, 0..10000
 *   bits 38..39  mode: 0 none, 1 canary, 2 shadow
 *   bits 40..63  generation, grows with each store (wraps)
 */
#define MHS_ROUTE_INDEX_MASK	0xfffu
#define MHS_ROUTE_WEIGHT_MASK	0x3fffu
#define MHS_ROUTE_WEIGHT_MAX	10000u
#define MHS_ROUTE_GEN_MASK	0xffffffu

enum mhs_route_mode { MHS_MODE_NONE = 0, MHS_MODE_CANARY = 1, MHS_MODE_SHADOW = 2 };

struct mhs_model {
	_Atomic uint64_t route;			/* [W: sup] see above */
	uint8_t reserved0[56];			/* zero */
	/* [W: sup] both const once counted in model_count */
	char name[MHS_NAME_BYTES];		/* of the model */
	char adapter[MHS_NAME_BYTES];		/* empty: the model itself; else an adapter on top of it */
};
_Static_assert(sizeof(struct mhs_model) == 3 * MHS_LINE_BYTES, "route and names: three lines");

/* One replica of an image at run time; where its pieces lie stands in the image (mhs_image.h). */
struct mhs_extent {
	uint32_t segment;		/* which descriptor of the attach message, from 0 */
	uint32_t node;			/* NUMA node of a replica, UINT32_MAX: not bound */
	uint64_t image_offset_bytes;	/* where the piece lies in the image */
	uint64_t segment_offset_bytes;	/* where it lies in the segment */
	uint64_t length_bytes;
	uint8_t hash[MHS_HASH_BYTES];	/* SHA-256 of the image data, as in the image header */
};
_Static_assert(sizeof(struct mhs_extent) == 64, "ABI 1: extent");

/* LAYOUT.md draws the transitions. A worker may pin only in READY, ACTIVE and RESIDENT. */
enum mhs_version_state {
	MHS_STATE_FREE = 0,
	MHS_STATE_LOADING = 1,
	MHS_STATE_READY = 2,		/* loaded, verified, attached by every live worker */
	MHS_STATE_ACTIVE = 3,		/* named by a route, as active or candidate */
	MHS_STATE_RESIDENT = 4,		/* kept for rollback */
	MHS_STATE_DRAINING = 5,		/* unpublished, waiting for its grace period */
};

struct mhs_version {
	_Atomic uint32_t state;			/* [W: sup] enum mhs_version_state */
	uint32_t model;				/* [W: sup] board.models index; from here on const
						   from READY to FREE */
	uint32_t kind;				/* enum mhs_image_kind */
	uint32_t extent_count;			/* 1..MHS_EXTENT_MAX */
	uint64_t serial;			/* grows each time the entry is used again */
	uint64_t image_bytes;
	uint8_t content_hash[MHS_HASH_BYTES];	/* from the image header */
	char semver[MHS_SEMVER_BYTES];
	uint8_t reserved0[16];			/* zero */
	struct mhs_extent extents[MHS_EXTENT_MAX];
};
_Static_assert(sizeof(struct mhs_version) == 384, "ABI 1: version");
_Static_assert(sizeof(struct mhs_version) % MHS_LINE_BYTES == 0, "versions never share a line");

struct mhs_board {
	struct mhs_header head;
	_Atomic uint64_t epoch;			/* [W: sup] publication counter, from 1, grows */
	uint8_t reserved0[56];			/* zero */
	_Atomic uint32_t model_count;		/* [W: sup] models[0..count) are named */
	uint8_t reserved1[60];			/* zero */
	uint8_t reserved2[3904];		/* zero, to the end of the page */
	struct mhs_model models[MHS_MODEL_MAX];
	struct mhs_version versions[MHS_VERSION_MAX];
};
_Static_assert(offsetof(struct mhs_board, epoch) == 64, "ABI 1: epoch");
_Static_assert(offsetof(struct mhs_board, models) == MHS_PAGE_BYTES, "ABI 1: models");
_Static_assert(sizeof(struct mhs_board) ==
	       MHS_PAGE_BYTES + MHS_MODEL_MAX * 192 + MHS_VERSION_MAX * 384, "ABI 2: board");

/* ---- slot: one per worker, written by that worker, read by the supervisor as hostile input - */

struct mhs_slot {
	struct mhs_header head;
	_Atomic uint64_t seen_epoch;	/* [W: owner] last epoch adopted, or MHS_EPOCH_OFFLINE */
	uint8_t reserved0[56];		/* zero */
	_Atomic uint32_t asleep;	/* [W: owner] 1: ring my bell after a publication */
	_Atomic uint32_t running;	/* [W: owner] requests in the batch; for people only */
	_Atomic uint32_t queued;	/* [W: owner] requests waiting; for people only */
	_Atomic uint32_t step_version;	/* [W: owner] index whose step runs, 0: none (since 1.3) */
	_Atomic uint64_t turn_ns;	/* [W: owner] CLOCK_MONOTONIC when that turn began */
	_Atomic uint64_t adopted_ns;	/* [W: owner] CLOCK_MONOTONIC when adopted_epoch grew */
	_Atomic uint64_t steps;		/* [W: owner] engine steps done */
	_Atomic uint64_t adopted_epoch;	/* [W: owner] last epoch adopted, kept while OFFLINE */
	uint8_t reserved2[16];		/* zero */
	uint8_t reserved3[3904];	/* zero, to the end of the page */
	/* [W: owner] running requests and comparisons per version */
	_Atomic uint32_t pins[MHS_VERSION_MAX];
	/* [W: owner] when each was last pinned or unpinned: CLOCK_MONOTONIC in ms, wraps; 0: never */
	_Atomic uint32_t used_ms[MHS_VERSION_MAX];
};
_Static_assert(offsetof(struct mhs_slot, seen_epoch) == 64, "ABI 1: seen_epoch");
_Static_assert(offsetof(struct mhs_slot, asleep) == 128, "ABI 1: asleep");
_Static_assert(offsetof(struct mhs_slot, pins) == MHS_PAGE_BYTES, "ABI 1: pins");
_Static_assert(sizeof(struct mhs_slot) == 9 * MHS_PAGE_BYTES, "ABI 2: slot");

/* ---- stats: one per worker, written by that worker, anyone allowed reads ------------------- */

#define MHS_STATS_ROWS		256u	/* versions and adapters counted at one time */
#define MHS_STATS_ADAPTER_ROWS	128u	/* of them, the last ones: of adapters, which are many */
#define MHS_HIST_BUCKETS	64u	/* b counts up to 2^(b/2) us; see mhs_stat.h */

enum mhs_hist { MHS_HIST_QUEUE, MHS_HIST_FIRST_TOKEN, MHS_HIST_INTER_TOKEN, MHS_HIST_TOTAL,
		MHS_HIST_COUNT };

struct mhs_stats_row {
	_Atomic uint64_t version_serial;	/* [W: owner] (serial << 12 | index), 0: row free */
	_Atomic uint64_t requests;		/* admitted */
	_Atomic uint64_t completed;		/* ended with stop or length */
	_Atomic uint64_t cancelled;
	_Atomic uint64_t failed;
	_Atomic uint64_t prompt_tokens;
	_Atomic uint64_t output_tokens;
	_Atomic uint64_t nan_logits;		/* requests ended by NaN or infinite logits */
	_Atomic uint64_t prefill_ns;
	_Atomic uint64_t decode_ns;
	_Atomic uint64_t claim;			/* order of claims in this segment, from 1 */
	_Atomic uint64_t cached_tokens;		/* of prompt_tokens: found in the prefix cache */
	_Atomic uint64_t preemptions;		/* requests that lost their KV pages for a while */
	_Atomic uint64_t drafted_tokens;	/* rows drafted ahead (since 1.2) */
	_Atomic uint64_t accepted_tokens;	/* those whose guess was right (since 1.2) */
	_Atomic uint64_t shadow_dropped;	/* of a candidate: comparisons given up (since 1.3) */
	_Atomic uint64_t hist[MHS_HIST_COUNT][MHS_HIST_BUCKETS];
};
_Static_assert(sizeof(struct mhs_stats_row) == 128 + MHS_HIST_COUNT * MHS_HIST_BUCKETS * 8,
	       "ABI 1: stats row");

struct mhs_stats {
	struct mhs_header head;
	struct mhs_stats_row rows[MHS_STATS_ROWS];
};
_Static_assert(offsetof(struct mhs_stats, rows) == MHS_LINE_BYTES, "ABI 1: rows");

/* ---- replies: one per worker, written by that worker, the supervisor reads it as hostile ----- */

#define MHS_REPLY_COUNT	2048u	/* records kept; a power of two */
#define MHS_REPLY_WORDS	15u

enum mhs_reply_kind {
	MHS_REPLY_ENDED = 1,		/* a request that ran ended */
	MHS_REPLY_COMPARED = 2,		/* a candidate was compared with the active version */
};

enum mhs_reply_flag {
	MHS_REPLY_EMPTY		= 1u << 0,	/* stopped at once, no text */
	MHS_REPLY_REPEATING	= 1u << 1,	/* its end says the same again and again */
	MHS_REPLY_MOVED		= 1u << 2,	/* failed unseen; the active version answered */
};

/* What release decisions are made of. Times are CLOCK_MONOTONIC or durations. */
struct mhs_reply {
	uint64_t version_serial;	/* serial << 12 | index */
	uint16_t kind;			/* enum mhs_reply_kind */
	uint16_t flags;			/* enum mhs_reply_flag */
	uint16_t reason;		/* ENDED: enum mhs_end_reason */
	uint16_t error;			/* enum mhs_end_error */
	uint32_t session;		/* hash of the session key; 0: none */
	uint32_t reserved0;		/* zero */
	uint32_t prompt_count;		/* tokens */
	uint32_t output_count;
	uint64_t ended_ns;
	uint64_t queue_ns;		/* arrival to admission */
	uint64_t first_token_ns;	/* arrival to first token, 0: none came */
	uint64_t total_ns;		/* arrival to end */
	uint32_t cached_count;		/* of prompt_count */
	uint32_t first_divergence;	/* COMPARED: output token, UINT32_MAX: none */
	uint64_t stable_serial;		/* COMPARED: as version_serial, of the active version */
	float kl_mean, kl_max;		/* nats, of active from candidate, over the output tokens */
	uint32_t compared_count;	/* output tokens */
	uint32_t top1_count;		/* of them: both rank the same token first */
	float logprob, stable_logprob;	/* mean over the output tokens, natural logarithm */
	/* engine time, and what the active version takes for the same: of the comparison; of the steps
	   beside another version that could be held against its steps of as many rows */
	uint64_t own_ns, stable_ns;
};
_Static_assert(sizeof(struct mhs_reply) == MHS_REPLY_WORDS * 8, "ABI 1: reply");

struct mhs_reply_slot {
	_Atomic uint64_t number;		/* of the record, from 1; 0: being written */
	_Atomic uint64_t words[MHS_REPLY_WORDS];
};

struct mhs_replies {
	struct mhs_header head;
	_Atomic uint64_t count;			/* [W: owner] records ever written */
	uint8_t reserved0[56];			/* zero */
	struct mhs_reply_slot slots[MHS_REPLY_COUNT];	/* [W: owner] number n at (n - 1) % COUNT */
};
_Static_assert(offsetof(struct mhs_replies, slots) == 128, "ABI 1: replies");
_Static_assert(sizeof(struct mhs_replies) == 128 + MHS_REPLY_COUNT * 128, "ABI 1: replies");

/* ---- lane: one client x one worker, two SPSC byte rings ----------------------------------- */

/*
 * head and tail count bytes ever written and ever read. Either side treats the other's word as
 * hostile: head - tail > capacity, or not a multiple of 8, ends the lane. Geometry comes from
 * these constants, never from the segment.
 */
struct mhs_ring {
	_Atomic uint64_t head;		/* [W: producer] */
	uint8_t reserved0[56];		/* zero */
	_Atomic uint64_t tail;		/* [W: consumer] */
	uint8_t reserved1[56];		/* zero */
	_Atomic uint32_t asleep;	/* [W: both] consumer sets 1: ring my bell after a put; the
					   producer that rings stores 0 */
	uint8_t reserved2[60];		/* zero */
	_Atomic uint32_t starved;	/* [W: both] the same for a producer that waits for room */
	uint8_t reserved3[60];		/* zero */
};
_Static_assert(sizeof(struct mhs_ring) == 4 * MHS_LINE_BYTES, "ABI 1: ring");

struct mhs_lane {
	struct mhs_header head;
	struct mhs_ring submit;			/* client -> worker */
	struct mhs_ring event;			/* worker -> client */
	uint8_t reserved0[3520];		/* zero, to the end of the page */
	uint8_t submit_data[MHS_SUBMIT_BYTES];
	uint8_t event_data[MHS_EVENT_BYTES];
};
_Static_assert(offsetof(struct mhs_lane, submit_data) == MHS_PAGE_BYTES, "ABI 1: submit_data");
_Static_assert(sizeof(struct mhs_lane) == MHS_PAGE_BYTES + MHS_SUBMIT_BYTES + MHS_EVENT_BYTES,
	       "ABI 1: lane");

#endif
