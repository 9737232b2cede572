/* SPDX-License-Identifier: MIT */
/* eng_tok_build.h: a tokenizer table while it is being compiled. */
#ifndef ENG_TOK_BUILD_H
#define ENG_TOK_BUILD_H

#include "eng_tok_priv.h"

struct tok_nodes {
	struct tok_node *v;
	size_t count, cap;
};

struct tok_key {
	const uint8_t *text;
	uint32_t bytes;
	uint32_t value;
};

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
	struct tok_nodes nodes;
	struct tok_extra extra;
	double *scores;
};

/* Writes the message; always -EINVAL. */
int tok_fail(struct tok_build *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Puts a string into the pool. */
int tok_keep(struct tok_build *b, const void *data, size_t bytes, uint32_t *off);

/* Sorts @keys, adds their trie. -ENOMEM; -E2BIG. eng_tok_trie.c */
int tok_trie_build(struct tok_nodes *to, struct tok_key *keys, uint32_t count, uint32_t *root);

/* eng_tok_build_trie.c */
int tok_build_unigram(struct tok_build *b);
int tok_build_charsmap(struct tok_build *b, const struct eng_tok_step *from, uint32_t *root);

/* In this order; eng_tok_build.c has all but tok_build_added() */
int tok_build_slots(struct tok_build *b);
int tok_build_merges(struct tok_build *b);
int tok_build_steps(struct tok_build *b);
int tok_build_added(struct tok_build *b);	/* eng_tok_build_added.c */
int tok_build_blob(struct tok_build *b, void **blob, size_t *blob_bytes);

#endif
