/* SPDX-License-Identifier: MIT */
/* t_served.h: turns of a worker in this process (t_wrk.h), and what its client was told. */
#ifndef T_SERVED_H
#define T_SERVED_H

#include "t_wrk.h"

#define T_SERVED_TOKENS	512u
#define T_SERVED_IDS	64u	/* of requests that are looked at at one time */

/* Of one request. */
struct t_seen {
	uint32_t begins, ends, version, reason, error;
	uint32_t prompt[T_SERVED_TOKENS], prompt_count;
	uint32_t tokens[T_SERVED_TOKENS], count, end_count, cached_count;
	float scores[T_SERVED_TOKENS];
	uint32_t score_count;
	float vector[T_SERVED_TOKENS];
	uint32_t vector_count;
	struct mhs_begin begin;
	struct mhs_adapter_used used[MHS_ADAPTERS_MAX];
	char message[MHS_MESSAGE_BYTES + 1];
	bool disordered;		/* anything before BEGIN, or after END */
};

struct t_served {
	struct t_wrk world;
	struct t_seen seen[T_SERVED_IDS];	/* by request id, modulo */
	uint32_t ended_count;
	uint64_t last_id;
};

/* A turn of wrk_loop.c up to the engine's step, and from it on; but for the control socket. */
void t_turn_begin(struct t_served *s);
void t_turn_end(struct t_served *s);
void t_turn(struct t_served *s);
/* Turns until each request has ended. */
void t_serve_all(struct t_served *s);
/*
 * Submit: @rq has what matters of a request for "tiny" in tokens, the rest is filled in. @refs:
 * [rq->adapter_count].
 */
struct t_seen *t_submit(struct t_served *s, uint32_t kind, const struct mhs_request *rq,
			const uint32_t *prompt, uint32_t count, const struct mhs_adapter_ref *refs);
void t_cancel(struct t_served *s, uint64_t id);
void t_client_look(struct t_served *s);		/* done by t_turn_end() */

#endif
