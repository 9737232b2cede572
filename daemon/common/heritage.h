/* SPDX-License-Identifier: MIT */
/*
 * heritage.h: all that a worker inherits from the supervisor, and all that they say to each other.
 *
 * A worker is started as `mhost-worker` with one descriptor: HERITAGE_FD, a SOCK_SEQPACKET socket.
 * The supervisor's first message is INIT; everything else arrives over this socket, descriptors
 * ready-made. One struct hrt_msg a message. The socket hanging up means that the supervisor is
 * gone: the worker goes on with what it has, and ends when it has been idle for HERITAGE_ORPHAN_MS.
 */
#ifndef HERITAGE_H
#define HERITAGE_H

#include "mhs_image.h"

#define HERITAGE_FD		3
#define HERITAGE_ORPHAN_MS	10000
#define HERITAGE_TEXT_BYTES	256u

enum hrt_type {
	/* supervisor -> worker */
	HRT_INIT = 1,		/* fds: board (RO), slot, stats, replies, bell (mhs_bell.h); init */
	HRT_ATTACH = 2,		/* fds: image, then its packs (RO); index, serial, attach */
	HRT_DETACH = 3,		/* index, serial: unmap; nothing is pinned, no route names it */
	HRT_LANE_OPEN = 4,	/* fds: lane memfd, submit bell, to sleep on, event bell,
				   to ring; lane */
	HRT_LANE_CLOSE = 5,	/* lane.id: the client is gone; its requests end */
	HRT_STOP = 6,		/* admit nothing new, finish what runs, exit 0 */
	HRT_LIMITS = 7,		/* init.limits only: new limits after a reload */
	/* wanted: answer to WANT. status 0: it may be pinned now (attached here; routed, if no version
	   was named); or -errno with text: whoever waits for it is told */
	HRT_WANTED = 8,
	/* worker -> supervisor */
	HRT_READY = 65,		/* after INIT: status 0, text = ISA in use */
	HRT_ATTACHED = 66,	/* index, serial, status: 0 with attached, or -errno with text */
	HRT_DETACHED = 67,	/* index, serial */
	HRT_LANE_BAD = 68,	/* lane.id: the client broke a rule (text); the lane is unmapped */
	/* lane.id: answer to LANE_CLOSE, nothing of it is mapped any more */
	HRT_LANE_CLOSED = 69,
	/* index, serial, status: enum mhs_end_error of a request that ran on it, text; a version, or an
	   adapter of the request. At once, while the reply record of the same end is read now and then */
	HRT_EVIDENCE = 70,
	/* wanted.want: a request names an adapter that is not in memory; it waits for WANTED. Said
	   once for all that wait */
	HRT_WANT = 71,
};

enum hrt_speculate { HRT_SPECULATE_NO = 0, HRT_SPECULATE_YES = 1, HRT_SPECULATE_ALWAYS = 2 };

struct hrt_limits {
	uint32_t context;	/* tokens per sequence, capped by the model's own */
	uint32_t max_tokens;	/* largest max_tokens of a request; 0: the context */
	uint32_t queue;		/* waiting requests per worker */
	uint32_t deadline_ms;	/* largest and default time of a request; 0: none */
	uint64_t kv_bytes;	/* KV pages of this worker, all sequences */
	uint32_t prefix_cache;	/* 1: full KV pages are kept and found again */
	uint32_t speculate;	/* enum hrt_speculate */
};

struct hrt_init {
	uint32_t worker;	/* index, the slot's owner field */
	uint32_t threads;
	uint32_t isa;		/* enum eng_isa */
	uint32_t node;		/* NUMA node it is bound to, UINT32_MAX: any */
	struct hrt_limits limits;
};

/* Where the pieces lie stands in the sealed segment of the image (mhs_image.h). */
struct hrt_attach {
	uint64_t file_bytes;	/* of the image's own file, in the first segment */
	uint32_t fd_count;	/* 1 + packs */
	uint32_t reserved0;	/* zero */
	uint8_t content_hash[MHS_HASH_BYTES];
};

/* What attaching took, the smoke test apart. */
struct hrt_attached {
	uint64_t attach_ns, smoke_ns;
	uint64_t attach_faults, smoke_faults;	/* pages that the kernel had to bring on touch */
};

struct hrt_lane {
	uint32_t id;
	uint32_t uid;		/* of the client, from the kernel */
	uint64_t client;	/* unique client number */
};

/* An adapter to bring into memory. */
struct hrt_want {
	char model[MHS_NAME_BYTES];
	char adapter[MHS_NAME_BYTES];
	char semver[MHS_SEMVER_BYTES];	/* empty: as its route says, else the latest in the store */
};

struct hrt_wanted {
	struct hrt_want want;
	char text[HERITAGE_TEXT_BYTES];
};

struct hrt_msg {
	uint32_t type;		/* enum hrt_type */
	uint32_t index;		/* version index */
	uint64_t serial;	/* of the version entry */
	int32_t status;
	uint32_t reserved0;	/* zero */
	union {
		struct hrt_init init;
		struct hrt_attach attach;
		struct hrt_attached attached;
		struct hrt_lane lane;
		struct hrt_wanted wanted;
		char text[HERITAGE_TEXT_BYTES];
	};
};

/* hrt_io.c: one message with up to HERITAGE_FD_MAX descriptors. Both return 0 or negative errno. */
#define HERITAGE_FD_MAX	MHS_SEGMENT_MAX
int hrt_send(int sock, const struct hrt_msg *msg, const int *fds, uint32_t fd_count);
/* -EAGAIN: none now (non-blocking socket); -EPIPE: the other side is gone; -EPROTO: not a message.
 * Descriptors received are the caller's; surplus ones are closed. */
int hrt_recv(int sock, struct hrt_msg *msg, int fds[HERITAGE_FD_MAX], uint32_t *fd_count);

#endif
