/* SPDX-License-Identifier: MIT */
/*
 * wrk_draft.h: speculation without a second model. A reply that repeats what stands in the prompt
 * or in itself is guessed from there (prompt lookup); guessed tokens run as further rows of the
 * next step, and the sampler judges them: a row counts only when the reply really has the tokens
 * that the row was computed from. So the reply has the same bits with and without; only the steps
 * become fewer.
 *
 * Each token says for nothing whether the guess was right, drafted or not: the odds are measured on
 * the reply itself, the cost of rows on the steps themselves, and rows are drafted only when they
 * pay.
 */
#ifndef WRK_DRAFT_H
#define WRK_DRAFT_H

#include <stdbool.h>
#include <stdint.h>

#define WRK_DRAFT_MAX		15u	/* tokens drafted for one request in one step */
#define WRK_DRAFT_ROWS		32u	/* and for all */
#define WRK_DRAFT_CLASSES	6u	/* of guesses, by how many tokens agree before them */
#define WRK_COST_ROWS		64u	/* steps of so many rows are told apart */

struct wrk_draft {
	/* [2][slot_count]: what last followed a pair, a triple; 0: nothing */
	uint32_t *slots;
	uint32_t slot_count;	/* power of two; 0: nothing is drafted for this request */
	uint32_t next;		/* the guess: as from this token on; 0: none */
	uint32_t match;		/* so many tokens before it agree */
	float odds[WRK_DRAFT_CLASSES];
	uint32_t rows;		/* drafted in the present step */
	uint32_t drafted, accepted;
};

/* Look at the first @count tokens of a sequence that may grow to @capacity. 0 or -ENOMEM. */
int wrk_draft_init(struct wrk_draft *d, const uint32_t *tokens, uint32_t count, uint32_t capacity);
void wrk_draft_fini(struct wrk_draft *d);
/* tokens[@count - 1] is new. */
void wrk_draft_push(struct wrk_draft *d, const uint32_t *tokens, uint32_t count);
/* The @i-th token of the guess, from 0. Only while d->next. */
uint32_t wrk_draft_token(const struct wrk_draft *d, const uint32_t *tokens, uint32_t count,
			 uint32_t i);
/* How likely the @i-th is right when those before it are. */
float wrk_draft_odds(const struct wrk_draft *d, uint32_t i);

/* wrk_plan.c: the measured time of steps of one version, by rows without prompts */
struct wrk_costs {
	float ns[WRK_COST_ROWS + 1];
	uint32_t at[WRK_COST_ROWS + 1];	/* step of the last measurement; 0: none */
	uint32_t step;
};

void wrk_costs_add(struct wrk_costs *c, uint32_t rows, uint64_t ns);
/* What a step of @rows may take: measured, between measurements, or guessed from them. Above 0. */
float wrk_costs_of(const struct wrk_costs *c, uint32_t rows);

/* One request that streams in the step being planned. */
struct wrk_bid {
	const struct wrk_draft *draft;
	uint32_t most;		/* rows that it can use */
	uint32_t rows;		/* out: rows that it gets */
	float gain;		/* scratch: tokens expected from them */
	float chance, worth;	/* of one more row */
};

/*
 * Share out up to @most rows among @count bids: those that make the streams faster, and none slow.
 * Without @c rows cost nothing.
 */
void wrk_draft_plan(const struct wrk_costs *c, struct wrk_bid *bids, uint32_t count, uint32_t most);

#endif
