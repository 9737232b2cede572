/* SPDX-License-Identifier: MIT */
/*
 * gra.h: grammars that a reply must follow, and where a text stands in one. A grammar is text in GBNF
 * (the notation of llama.cpp): rules NAME ::= ALTERNATIVES, of them "root" is the whole reply; schemas
 * and regular expressions are written into it (gra_schema.h, gra_regex.h).
 *
 * A rule compiles into nodes of an automaton over bytes; calls of rules and counted repetitions put
 * frames on a stack. A state is the set of (node, stack) that the text so far may have reached (Earley
 * 1970 has the idea of all parses side by side; stacks share their tails). Left recursion is refused,
 * so a step from byte to byte always ends.
 *
 * Each node knows the fewest bytes that lead from it to the end. So a reply with room for as many is
 * never cut: a token is allowed only when what is missing after it still fits.
 *
 * No input or output, no global state. A grammar is constant once compiled and may be shared between
 * threads; a state belongs to one.
 */
#ifndef GRA_H
#define GRA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GRA_TEXT_BYTES_MAX	(1u << 20)
#define GRA_ERROR_BYTES		200u

struct gra;		/* a compiled grammar */
struct gra_state;	/* where one text stands in it */

struct gra_error {
	char text[GRA_ERROR_BYTES];
};

/* 0; -EINVAL with @error: rule, line and what is wrong with it; -E2BIG with @error; -ENOMEM. */
int gra_compile(struct gra **grammar, const char *text, size_t bytes, struct gra_error *error);
void gra_free(struct gra **grammar);
/* Bytes of the shortest text that it allows. */
uint64_t gra_least_bytes(const struct gra *grammar);

/* The empty text. @grammar must outlive it. 0 or -ENOMEM. */
int gra_state_new(struct gra_state **state, const struct gra *grammar);
void gra_state_free(struct gra_state **state);
/*
 * The text grows. 0; -EINVAL: the grammar has no such text; -E2BIG: it may be read in more ways than are
 * kept (16384 places), which then stays so; -ENOMEM. The state is as before on each of them.
 */
int gra_push(struct gra_state *state, const void *bytes, size_t count);
/* Whether it may grow by @bytes, with at most @room bytes missing to the end afterwards. */
bool gra_allows(struct gra_state *state, const void *bytes, size_t count, uint64_t room);
/* Whether it may end here; bytes missing at least (0: it may end). */
bool gra_may_end(const struct gra_state *state);
uint64_t gra_missing_bytes(const struct gra_state *state);
/* Whether nothing may follow. */
bool gra_is_over(const struct gra_state *state);

/*
 * Tokens in an order in which those that begin alike stand together, to tell for all at once. @bytes_of
 * gives the bytes of token @id (NULL or 0 bytes: never allowed), which must stay where they are.
 */
struct gra_vocab;
typedef const void *gra_bytes_fn(const void *of, uint32_t id, uint32_t *bytes);
int gra_vocab_new(struct gra_vocab **vocab, const void *of, gra_bytes_fn *bytes_of, uint32_t count);
void gra_vocab_free(struct gra_vocab **vocab);
/*
 * Set bit id & 63 of @allowed[id / 64] for each token that gra_allows() with @room, clear all others.
 * Returns how many, or -E2BIG or -ENOMEM as gra_push().
 */
int64_t gra_mask(struct gra_state *state, const struct gra_vocab *vocab, uint64_t room,
		 uint64_t *allowed);

#endif
