/* SPDX-License-Identifier: MIT */
/*
 * sto_differ.h: how two versions differ in what is no weight. Each difference is a JSON object
 * {"field", "a", "b"}: @a is the older or first one. Texts of models are quoted, cut short and free
 * of control characters.
 */
#ifndef STO_DIFFER_H
#define STO_DIFFER_H

#include <jansson.h>

#include "sto_version.h"

struct sto_parts {
	const struct mhs_image_config *config;
	uint32_t bos_id;
	uint32_t eos_count;
	const uint32_t *eos_ids;
	const void *tokenizer;		/* compiled (eng_tok.h) */
	size_t tokenizer_bytes;
	const char *chat_template;	/* NULL: none */
	size_t chat_template_bytes;
	const struct mhs_image_shape *shape;	/* NULL: not compared */
	const struct mhs_image_experts *experts;	/* the same */
};

struct sto_parts sto_version_parts(const struct sto_version *v);

/* Each appends to the array @list what it finds. 0 or -ENOMEM. */
int sto_differ_config(const struct sto_parts *a, const struct sto_parts *b, json_t *list);
/* Begin and end tokens. */
int sto_differ_special(const struct sto_parts *a, const struct sto_parts *b, json_t *list);
/* Number of tokens, first token that differs, tokens around a text, else its rules. */
int sto_differ_tokenizer(const struct sto_parts *a, const struct sto_parts *b, json_t *list);
/* The first line that differs. */
int sto_differ_template(const struct sto_parts *a, const struct sto_parts *b, json_t *list);

int sto_differ_add(json_t *list, json_t *a, json_t *b, const char *format, ...)
	__attribute__((format(printf, 4, 5)));	/* takes both references */
/* "FIELD: B, was A" as a new JSON text; NULL: out of memory. */
json_t *sto_differ_text(const json_t *difference);

#endif
