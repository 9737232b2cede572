/* SPDX-License-Identifier: MIT */
/*
 * wrk_shadow.h: comparing a candidate with the active version on what users have had already. While
 * a route is in shadow mode, a share of the requests that the active version served is kept, tokens
 * alone, once the END was sent. In turns in which no request runs or waits, both versions are taken
 * through the tokens in one prompt pass each, the live tokens forced, in pieces short enough that
 * a request that comes meanwhile hardly feels it. A record of the whole goes into the ring of
 * replies.
 *
 * The candidate may be an adapter's: then the reply is compared with what the same version and the same
 * other adapters make of it. A job pins all of both sides. The turn that sees a route without the two,
 * or any of the others withdrawn, drops it, so it never holds up a reclaim for longer than a piece. It takes KV pages that are free or only cached, and gives them
 * back when a request needs them: then it begins again.
 */
#ifndef WRK_SHADOW_H
#define WRK_SHADOW_H

#include <stdbool.h>
#include <stdint.h>

#include "wrk_adapter.h"

struct wrk;
struct wrk_page;
struct wrk_pool;
struct wrk_request;
struct wrk_version;

#define WRK_SHADOW_JOBS		64u		/* waiting and begun */
#define WRK_SHADOW_TOKENS	(1u << 18)	/* of all of them */
#define WRK_SHADOW_ROWS		32u		/* of one piece, at most */

/* What a pass runs on; all of it is pinned. */
struct wrk_side {
	struct wrk_version *version;
	struct eng_adapter list[MHS_ADAPTERS_MAX];
	uint32_t adapter_count;
	struct wrk_part parts[WRK_PARTS_MAX];	/* the version, then the adapters */
};

struct wrk_job {
	uint32_t entry;				/* on the board: whose release it is */
	uint32_t part;				/* of the sides: the one that differs */
	struct wrk_side stable, candidate;
	uint32_t *tokens;			/* prompt, then output */
	uint32_t prompt_count, token_count;
};

/* One version's pass over the oldest job. */
struct wrk_pass {
	struct wrk_page **held;
	void **pages;				/* memory of held[], for the engine */
	uint32_t page_count, page_cap;
	uint64_t ns;				/* in the engine */
};

/* Of its output tokens so far. */
struct wrk_tally {
	double kl, kl_max, logprob, stable_logprob;
	uint32_t count, top1_count, first_divergence;
};

struct wrk_shadow {
	struct wrk_job jobs[WRK_SHADOW_JOBS];	/* oldest first */
	uint32_t count;
	uint32_t token_count;			/* of all jobs */
	uint64_t epoch;				/* whose routes name the versions of all jobs */
	struct wrk_pass stable, candidate;
	struct wrk_tally tally;
	uint32_t computed;			/* tokens that both passes have */
	uint32_t piece;				/* more that the stable one has; 0: its turn */
	uint32_t restarts;
	float *logits;				/* of that piece, [WRK_SHADOW_ROWS][logits_vocab] */
	uint32_t logits_vocab;
	uint32_t rows;				/* that a piece may have, from what pieces took */
	uint64_t steps;				/* done; for tests */
};

/* wrk_shadow.c: which requests are compared, and the life of a job */
/* @r was served to its end: keep its tokens for each release in whose share it is. Within a turn. */
void wrk_shadow_offer(struct wrk *w, struct wrk_request *r);
/* After adopting an epoch: jobs whose versions the route names no more are dropped and unpinned. */
void wrk_shadow_look(struct wrk *w);
/* A request needs KV pages. True: the oldest job gave some back. */
bool wrk_shadow_yield(struct wrk *w);
/* The oldest job is over; @dropped: without a record, counted. */
void wrk_shadow_end(struct wrk *w, bool dropped);
/* The version or adapter @index is about to go: no job may name it any more. */
void wrk_shadow_forget(struct wrk *w, uint32_t index);
void wrk_shadow_fini(struct wrk *w);

/* wrk_compare.c */
/* One piece of the oldest job, if no request runs or waits. False: nothing was done. */
bool wrk_shadow_step(struct wrk *w);

#endif
