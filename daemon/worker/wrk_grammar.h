/* SPDX-License-Identifier: MIT */
/*
 * wrk_grammar.h: replies that follow a grammar (daemon/grammar). The likeliest tokens are tried first,
 * one after the other, which nearly always ends at once; where the grammar leaves little, all tokens are
 * looked through. Either way the token is drawn from those allowed, in proportion to what the sampler
 * gives them.
 */
#ifndef WRK_GRAMMAR_H
#define WRK_GRAMMAR_H

#include "eng_sample.h"
#include "gra.h"
#include "mhs_wire.h"

struct wrk;
struct wrk_request;
struct wrk_version;

struct wrk_grammar {
	struct gra *grammar;
	struct gra_state *state;	/* of the reply so far; NULL: it has not begun */
	float *logits;			/* [vocab] what the sampler may overwrite */
	uint64_t *allowed;		/* [vocab / 64] */
};

/* Compile what @r asks for. NULL, or what is wrong with it, in @text. */
const char *wrk_grammar_read(struct wrk_request *r, char text[MHS_MESSAGE_BYTES]);
/* At admission; a reply that cannot be whole ends @r. */
void wrk_grammar_begin(struct wrk *w, struct wrk_request *r, struct wrk_version *v);
void wrk_grammar_reset(struct wrk_grammar *grammar);	/* the reply begins anew; NULL is fine */
void wrk_grammar_free(struct wrk_grammar **grammar);
/*
 * As eng_sample(), of the tokens that the grammar allows; it takes the one chosen. -EDOM: logits that are
 * no numbers; -ENODATA: no token is allowed; -E2BIG: too ambiguous; -ENOMEM.
 */
int64_t wrk_grammar_sample(struct wrk_request *r, const struct eng_sampling *params, float *logits);
/* Nothing may follow, or, @full, nothing needs to. */
bool wrk_grammar_is_over(const struct wrk_grammar *grammar, bool full);

#endif
