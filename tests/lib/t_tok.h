/* SPDX-License-Identifier: MIT */
/* t_tok.h: tokenizers made by hand, token by token. */
#ifndef T_TOK_H
#define T_TOK_H

#include <stdbool.h>

#include "eng_tok.h"

#define T_TOK_MAX	300

/* A source and its arrays. */
struct t_tok {
	struct eng_tok_source src;
	struct eng_tok_string tokens[T_TOK_MAX];
	uint32_t flags[T_TOK_MAX];
	uint32_t merges[16][2];
	uint32_t results[16];
	struct eng_tok_step steps[2];
	char bytes[256];
	void *blob;
	size_t blob_bytes;
	struct eng_tok *tok;
};

struct t_tok *t_tok_new(uint32_t kind);		/* without a token */
struct t_tok *t_tok_bytes(void);		/* byte-level BPE: all 256 bytes are the first tokens */
uint32_t t_tok_add(struct t_tok *m, const char *text, uint32_t flags);
void t_tok_merge(struct t_tok *m, uint32_t left, uint32_t right, uint32_t result);
void t_tok_split(struct t_tok *m, const char *pattern);
bool t_tok_open(struct t_tok *m);		/* compile and open; false has been said */
void t_tok_free(struct t_tok *m);

#endif
