/* SPDX-License-Identifier: MIT */
/*
 * sto_tok_gguf.h: the vocabulary in GGUF metadata (tokenizer.ggml.*) to a compiled table: model
 * "gpt2" (byte-level BPE with merges), "gemma4" (BPE with merges over characters), "llama"
 * (SentencePiece BPE, merges follow from scores) and "t5" (unigram).
 */
#ifndef STO_TOK_GGUF_H
#define STO_TOK_GGUF_H

#include "eng_tok.h"

struct sto_error;
struct sto_gguf;

/* What the metadata says. Borrowed memory. */
struct sto_tok_gguf_vocab {
	struct eng_tok_string model;		/* data NULL: absent */
	struct eng_tok_string pre;		/* data NULL: absent */
	uint32_t token_count;
	const struct eng_tok_string *tokens;
	const int32_t *types;			/* [token_count]; NULL: all normal */
	const float *scores;			/* [token_count]; NULL: absent */
	uint32_t merge_count;
	const struct eng_tok_string *merges;	/* "left right"; NULL: absent */
	uint32_t bos_id, eos_id, unk_id;	/* ENG_TOK_NONE: absent */
	int add_bos, add_eos, add_space_prefix, remove_extra_spaces;	/* -1: absent */
	const uint8_t *charsmap;		/* of t5; NULL: absent */
	size_t charsmap_bytes;
	bool phi3;				/* the model's name says so */
};

/* As sto_tok_json_compile(). @rows: of the embedding; 0: not known. */
int sto_tok_gguf_compile(const struct sto_tok_gguf_vocab *vocab, uint32_t rows, const char *what,
			 void **blob, size_t *blob_bytes, char *error, size_t error_bytes);

/* The same from an open file. 0; -ENOMEM; -EINVAL; with @error. */
int sto_tok_gguf(const struct sto_gguf *gguf, uint32_t rows, void **blob, size_t *blob_bytes,
		 struct sto_error *error);

#endif
