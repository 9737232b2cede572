/* SPDX-License-Identifier: MIT */
/* sto_tok_gguf_priv.h: parts of the reader of GGUF vocabularies. */
#ifndef STO_TOK_GGUF_PRIV_H
#define STO_TOK_GGUF_PRIV_H

#include "sto_tok.h"
#include "sto_tok_gguf.h"

enum tok_gguf_type {
	TYPE_NORMAL = 1,
	TYPE_UNKNOWN = 2,
	TYPE_CONTROL = 3,
	TYPE_USER = 4,
	TYPE_UNUSED = 5,
	TYPE_BYTE = 6,
};

static inline int type_of(const struct sto_tok_gguf_vocab *v, uint32_t id)
{
	return v->types ? v->types[id] : TYPE_NORMAL;
}

/* What is put around a text, unless the file says otherwise. */
int tok_gguf_affixes(struct sto_tok *t, const struct sto_tok_gguf_vocab *v, bool add_bos,
		     bool add_eos);
/* Spaces are U+2581, unknown characters bytes; @prefix: one more space before a text. */
int tok_gguf_marks(struct sto_tok *t, const struct sto_tok_gguf_vocab *v, bool prefix);
int tok_gguf_llama(struct sto_tok *t, const struct sto_tok_gguf_vocab *v);
int tok_gguf_t5(struct sto_tok *t, const struct sto_tok_gguf_vocab *v);

#endif
