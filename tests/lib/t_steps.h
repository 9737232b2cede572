/* SPDX-License-Identifier: MIT */
/* t_steps.h: run a random sequence through a t_model, in steps cut in any manner. */
#ifndef T_STEPS_H
#define T_STEPS_H

#include "t_model.h"

#define T_TOKENS	70u	/* of a sequence: two page borders */
#define T_LONG		600u	/* of a sequence at most: three parts of attention */
#define T_PAGES		19u

/* A model that every format fits; and all formats. */
extern const struct t_shape t_usual_shape;
#define T_SOURCE_COUNT	16u
extern const uint32_t t_all_sources[T_SOURCE_COUNT];	/* enum eng_source; the float ones first */
#define T_FLOAT_COUNT	3u

struct t_sequence {
	void *pages[T_PAGES];
	uint32_t tokens[T_LONG];
	uint32_t count;			/* tokens in the pages */
};

void t_sequence_init(struct t_sequence *s, const struct t_model *t, uint64_t seed);
void t_sequence_fini(struct t_sequence *s);
struct eng_row t_next_row(struct t_sequence *s, bool prompt, int32_t logits);

/* How rows are run. None of it may change a bit, but @prompt for float weights. */
struct t_manner {
	uint32_t isa, threads, chunk;
	bool prompt;
	bool alternate;			/* every other row is of the other kind */
};

/* An engine prepared for @t, or the program ends. */
struct eng *t_engine(uint32_t isa, uint32_t threads, const struct t_model *t);
/* Logits of the first @count tokens of the sequence of @seed, [count][vocab]; the caller frees. */
float *t_run_steps(const struct t_model *t, const struct t_manner *how, uint32_t count,
		   uint64_t seed);

#endif
