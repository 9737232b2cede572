/* SPDX-License-Identifier: MIT */
/*
 * sto_tok_pre.h: pre-tokenizers that GGUF files name in tokenizer.ggml.pre. The names and what they
 * stand for are llama.cpp's (llama-vocab); patterns are those of the tokenizer.json files that the
 * names come from.
 */
#ifndef STO_TOK_PRE_H
#define STO_TOK_PRE_H

#include <stdbool.h>

#include "eng_tok.h"

#define STO_TOK_PRE_PATTERNS	6	/* unused ones are NULL */

struct sto_tok_pre {
	const char *const *names;			/* ends with NULL */
	const char *patterns[STO_TOK_PRE_PATTERNS];	/* each splits off its matches */
	bool ignore_merges;
	bool add_bos;					/* unless the file says otherwise */
	bool nfc;
	bool marks;	/* BPE over characters with byte fallback; spaces are written as U+2581 */
	bool lines;	/* a run of line feeds that is a token is that token */
};

/* NULL: unknown name. */
const struct sto_tok_pre *sto_tok_pre_find(struct eng_tok_string name);

#endif
