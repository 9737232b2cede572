/* SPDX-License-Identifier: MIT */
/*
 * sto_tok.h: a tokenizer while it is being read from a file: token texts with an index, merges by
 * text, steps. Shared by the readers of tokenizer.json and of GGUF metadata.
 */
#ifndef STO_TOK_H
#define STO_TOK_H

#include "eng_tok.h"

#define STO_TOK_MAPS_MAX	4u
#define STO_TOK_UNK_PENALTY	10.0	/* of unigram, below the least score */

struct sto_tok_chunk;

struct sto_tok {
	struct eng_tok_source src; /* counts and flags are set here; arrays by sto_tok_compile() */
	struct eng_tok_string *tokens;	/* [src.token_count]; data NULL: no such token yet */
	struct eng_tok_string *decoded;	/* NULL, or [src.token_count] */
	uint32_t *flags;		/* [src.token_count] */
	uint32_t (*merges)[2];
	uint32_t *merge_result;
	uint32_t *merge_rank;
	uint32_t merge_cap;
	double *scores;			/* NULL, or [src.token_count] */
	struct eng_tok_map_pair *maps[STO_TOK_MAPS_MAX];
	uint32_t map_count;
	struct eng_tok_step normals[ENG_TOK_PATTERN_MAX];
	struct eng_tok_step steps[ENG_TOK_PATTERN_MAX];
	uint32_t *slots;		/* index of token texts, id + 1 */
	uint32_t slot_count;
	struct sto_tok_chunk *chunks;	/* strings made here */
	const char *what;		/* begins each message */
	const char *model_field;	/* where merges are, for messages */
	const char *advice;		/* ends each message that gives none of its own */
	char *error;
	size_t error_bytes;
};

/*
 * Writes "what: message; advice" on one line, control characters made visible. A message with a
 * semicolon of its own gets no advice. Always -EINVAL.
 */
int sto_tok_fail(struct sto_tok *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "what: field: name is not supported; ..." for a component of a name that a file gives. */
int sto_tok_unsupported(struct sto_tok *t, const char *field, const char *name);

/* Room for ids below @count. 0; -EINVAL over the limit; -ENOMEM. */
int sto_tok_init(struct sto_tok *t, uint32_t count);
void sto_tok_fini(struct sto_tok *t);

/* Gives token @id its text (borrowed) and enters it in the index. @field is for messages. */
int sto_tok_set(struct sto_tok *t, const char *field, uint32_t id, struct eng_tok_string text,
		uint32_t flags);
bool sto_tok_same(struct eng_tok_string x, struct eng_tok_string y);
uint32_t sto_tok_find(const struct sto_tok *t, struct eng_tok_string text);

/* Adds the merge of two texts; each of them and what they make must be tokens. */
int sto_tok_merge(struct sto_tok *t, uint32_t index, struct eng_tok_string left,
		  struct eng_tok_string right);
int sto_tok_merge_ids(struct sto_tok *t, uint32_t left, uint32_t right, uint32_t result,
		      uint32_t rank);

/* A copy that lives as long as @t; data NULL: out of memory. */
struct eng_tok_string sto_tok_copy(struct sto_tok *t, const void *data, size_t bytes);

int sto_tok_add_normal(struct sto_tok *t, const char *field, struct eng_tok_step step);
int sto_tok_add_step(struct sto_tok *t, const char *field, struct eng_tok_step step);
/* The same with a pattern in the dialect of tokenizer.json (or a plain string: @literal). */
int sto_tok_add_pattern(struct sto_tok *t, const char *field, bool normal,
			struct eng_tok_string pattern, bool literal, struct eng_tok_step step);

/* A precompiled character map of SentencePiece (@data is borrowed); @mode: enum eng_tok_map. */
int sto_tok_add_charsmap(struct sto_tok *t, const char *field, const uint8_t *data, size_t bytes,
			 uint32_t mode);

/* Marks tokens of the form <0xNN>. */
void sto_tok_mark_bytes(struct sto_tok *t);

/* Marks unset ids unused and compiles. */
int sto_tok_compile(struct sto_tok *t, void **blob, size_t *blob_bytes);

#define STO_TOK_STR(s)	((struct eng_tok_string){(s), sizeof(s) - 1})

#endif
