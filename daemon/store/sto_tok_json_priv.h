/* SPDX-License-Identifier: MIT */
/* sto_tok_json_priv.h: parts of the tokenizer.json reader. */
#ifndef STO_TOK_JSON_PRIV_H
#define STO_TOK_JSON_PRIV_H

#include <jansson.h>

#include "sto_tok.h"

#define TOK_FIELD_BYTES	160
#define TOK_LIST_MAX	32	/* components in a Sequence */

struct sto_tok_pipe {
	struct sto_tok *t;
	bool unigram;
	bool byte_level;		/* the pre-tokenizer, or normalizer, has ByteLevel */
	bool letters;			/* and its letters are made, since other steps see them */
};

/* Absent and null are the same to the format. NULL for both. */
json_t *tok_json_get(const json_t *object, const char *key);
int tok_json_bool(struct sto_tok *t, const json_t *object, const char *field, const char *key,
		  bool fallback, bool *value);
/* A string that must be there. Borrowed from the document. */
int tok_json_string(struct sto_tok *t, const json_t *object, const char *field, const char *key,
		    struct eng_tok_string *value);
struct eng_tok_string tok_json_text(const json_t *string);
/* "type" of a component; NULL and a message when it has none. */
const char *tok_json_type(struct sto_tok *t, const json_t *object, const char *field);
/* pattern: {"String": s} or {"Regex": s} */
int tok_json_pattern(struct sto_tok *t, const json_t *object, const char *field,
		     struct eng_tok_string *pattern, bool *literal);

/* Calls @each for the component, or for those in its Sequence (under @key), nested ones too. */
typedef int (*tok_json_each)(struct sto_tok_pipe *pipe, const json_t *object, const char *type,
			     const char *field);
int tok_json_sequence(struct sto_tok_pipe *pipe, const json_t *object, const char *field,
		      const char *key, int depth, tok_json_each each);

int tok_json_unigram(struct sto_tok *t, const json_t *model);
int tok_json_normalizer(struct sto_tok_pipe *pipe, const json_t *root);
int tok_json_pre_tokenizer(struct sto_tok_pipe *pipe, const json_t *root);
int tok_json_post_processor(struct sto_tok_pipe *pipe, const json_t *root);
/* @texts of added tokens that are looked for in normal text get their normal form. */
int tok_json_normal_texts(struct sto_tok *t, struct eng_tok_string *texts, bool *changed);
/* After the tokens are set. */
int tok_json_decoder(struct sto_tok_pipe *pipe, const json_t *root);

#endif
