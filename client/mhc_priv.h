/* SPDX-License-Identifier: MIT */
/*
 * mhc_priv.h: inside of libmhost. One thread at a time uses a session, so nothing here is locked.
 */
#ifndef MHC_PRIV_H
#define MHC_PRIV_H

#include <stdbool.h>

#include "mhost.h"
#include "mhs_bell.h"
#include "mhs_ring.h"
#include "mhs_seg.h"
#include "mhs_spin.h"

#define MHC_PUBLIC	__attribute__((visibility("default")))
#define MHC_SOCKET_NS	UINT64_C(20000000)	/* between looks at the socket without a sleep */
/* patience with workers once the supervisor is gone */
#define MHC_ORPHAN_NS	UINT64_C(5000000000)

struct mhc_lane {
	uint32_t id;
	int submit_bell;
	struct mhs_map map;
	struct mhs_ring_end submit, event;
	uint32_t open_count;
	uint64_t round;			/* of the session, that this lane gave an event in; 0: none */
	/* worker dead: take what is in the ring, then end the rest */
	bool down;
	struct mhc_lane *next;
};

/* An open request. */
struct mhc_request {
	uint64_t id;
	uint32_t type;			/* enum mhs_record_type */
	uint32_t flags;			/* of struct mhost_request */
	struct mhc_lane *lane;
	bool told;			/* some event reached the caller: no replay any more */
	bool begun;
	struct mhs_begin begin;
	struct mhs_adapter_used used[MHS_ADAPTERS_MAX];	/* [begin.adapter_count] */
	uint8_t *body;			/* the record, kept while a replay is possible */
	struct mhs_ref ping;		/* body of a ping */
	uint32_t body_bytes;
	struct mhc_request *next;
};

struct mhost {
	uint32_t host_minor;			/* of its ABI */
	int sock;
	struct mhs_bell bell;
	int sleeper;			/* epoll: bell by edges, socket */
	int epoll;			/* for the caller, all by level; -1 until mhost_fd() */
	int timer;			/* in epoll once the host is gone; -1 before */
	bool host_gone;
	uint64_t gone_ns;
	uint64_t socket_ns;		/* last look at the socket */
	struct mhs_spin spin;
	bool rang;			/* a worker slept and was rung since the last wait */
	uint64_t client_id, next_id;
	struct mhc_lane *lanes;
	uint64_t round;			/* from 1 on: each lane gives one event at most in one */
	struct mhc_request *requests;
	uint32_t open_count;
	struct mhc_request *finished;	/* owner of the last END given out */
	struct mhost_event event;
	struct mhost_adapter_used adapters[MHS_ADAPTERS_MAX];	/* of the event */
	uint8_t *record;		/* [MHS_EVENT_BYTES] the event's memory */
	uint64_t *scratch;		/* the same size, aligned, for logprobs and tokens */
	char message[MHS_MESSAGE_BYTES + 1];
	char error[512];
};

uint64_t mhc_now_ns(void);
void mhc_epoll_gone(struct mhost *s);
int mhc_fail(struct mhost *s, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* mhc_socket.c: what the supervisor says */
int mhc_socket_open(struct mhost *s, const char *path);
void mhc_socket_poll(struct mhost *s);		/* lanes up and down; never blocks */
/* the same, if the last look is old */
void mhc_socket_glance(struct mhost *s, uint64_t now_ns);

/* mhc_lane.c */
void mhc_lane_free(struct mhc_lane **lane);
void mhc_lane_ring(struct mhost *s, struct mhc_lane *lane);	/* wake its worker */
struct mhc_lane *mhc_lane_least(struct mhost *s);
void mhc_lanes_arm(struct mhost *s);
void mhc_lanes_disarm(struct mhost *s);
bool mhc_lanes_pending(struct mhost *s);

/* mhc_body.c */
size_t mhc_prompt_bytes(const struct mhost_request *rq);
size_t mhc_grammar_bytes(const struct mhost_request *rq);
size_t mhc_body_bytes(const struct mhost_request *rq);	/* but for biases and stop tokens */
/* The whole record body in private memory, so that it can be sent again. 0, or a code with its text set. */
int mhc_body_make(struct mhost *s, struct mhc_request *r, const struct mhost_request *rq);

/* mhc_request.c */
int mhc_request_put(struct mhost *s, struct mhc_request *r);	/* on the least loaded lane */
struct mhc_request *mhc_request_find(struct mhost *s, uint64_t id);
void mhc_request_close(struct mhost *s, struct mhc_request *r);	/* unlink; freed at the next call */
void mhc_request_free(struct mhc_request **r);

/* mhc_event.c */
/* Fill s->event from one record. 0: an event for the caller; -EAGAIN: none of ours; -EPROTO. */
int mhc_event_take(struct mhost *s, uint32_t type, uint32_t bytes);
/* Make an END by hand for a request whose worker or host is gone. */
void mhc_event_lost(struct mhost *s, struct mhc_request *r, int error, const char *message);

/* mhost.c: @given, or the environment's, or the default. */
const char *mhc_socket_path(const char *given);

#endif
