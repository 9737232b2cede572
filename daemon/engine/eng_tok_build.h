/* SPDX-License-Identifier: MIT */
/* eng_tok_build.h: a tokenizer table while it is being compiled. */
#ifndef ENG_TOK_BUILD_H
#define ENG_TOK_BUILD_H

#include "eng_tok_priv.h"

struct tok_build {
	const struct eng_tok_source *src;
	char *error;
	size_t error_bytes;
	struct tok_header head;
	struct tok_entry *tokens;
	uint32_t *slots;
	struct tok_merge *merges;
	struct tok_added *added;
	struct tok_step *steps;
	struct tok_buf strings;
};

/* Writes the message; always -EINVAL. */
int tok_fail(struct tok_build *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Puts a string into the pool. */
int tok_keep(struct tok_build *b, const void *data, size_t bytes, uint32_t *off);

/* In this order; eng_tok_build.c has all but tok_build_added() */
int tok_build_slots(struct tok_build *b);
int tok_build_merges(struct tok_build *b);
int tok_build_steps(struct tok_build *b);
int tok_build_added(struct tok_build *b);	/* eng_tok_build_added.c */
int tok_build_blob(struct tok_build *b, void **blob, size_t *blob_bytes);

#endif
