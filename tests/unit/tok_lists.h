/* SPDX-License-Identifier: MIT */
/*
 * tok_lists.h: a GGUF vocabulary written as JSON ("model", "pre", "tokens", "types", "scores",
 * "merges", "bos", "eos", "unk", "add_bos", "add_eos", "add_space_prefix", "charsmap",
 * "remove_extra_whitespaces"), for tests.
 */
#ifndef TOK_LISTS_H
#define TOK_LISTS_H

#include <jansson.h>
#include <stdlib.h>

#include "sto_tok_gguf.h"

static inline struct eng_tok_string lists_text(const json_t *string)
{
	return (struct eng_tok_string){json_string_value(string),
				       (uint32_t)json_string_length(string)};
}

static inline struct eng_tok_string *lists_strings(const json_t *list, uint32_t *count)
{
	struct eng_tok_string *made = calloc(json_array_size(list) + 1, sizeof(*made));

	*count = (uint32_t)json_array_size(list);
	for (uint32_t i = 0; made && i < *count; i++)
		made[i] = lists_text(json_array_get(list, i));
	return list ? made : (free(made), NULL);
}

static inline uint32_t lists_id(const json_t *root, const char *key)
{
	const json_t *value = json_object_get(root, key);

	return json_is_integer(value) ? (uint32_t)json_integer_value(value) : ENG_TOK_NONE;
}

static inline int lists_flag(const json_t *root, const char *key)
{
	const json_t *value = json_object_get(root, key);

	return json_is_boolean(value) ? json_is_true(value) : -1;
}

/* In hexadecimal digits. */
static inline void lists_charsmap(const json_t *hex, struct sto_tok_gguf_vocab *v)
{
	size_t bytes = json_string_length(hex) / 2;
	uint8_t *made = calloc(1, bytes + 1);

	for (size_t i = 0; made && i < bytes; i++) {
		const char pair[3] = {json_string_value(hex)[2 * i], json_string_value(hex)[2 * i + 1]};

		made[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	v->charsmap = bytes ? made : (free(made), NULL);
	v->charsmap_bytes = bytes;
}

/* Borrows from @root; lists_free() frees the arrays. */
static inline void lists_read(const json_t *root, struct sto_tok_gguf_vocab *v)
{
	const json_t *types = json_object_get(root, "types"),
		     *scores = json_object_get(root, "scores");
	int32_t *type = calloc(json_array_size(types) + 1, sizeof(*type));
	float *score = calloc(json_array_size(scores) + 1, sizeof(*score));

	v->model = lists_text(json_object_get(root, "model"));
	v->pre = lists_text(json_object_get(root, "pre"));
	v->tokens = lists_strings(json_object_get(root, "tokens"), &v->token_count);
	v->merges = lists_strings(json_object_get(root, "merges"), &v->merge_count);
	for (size_t i = 0; type && i < json_array_size(types); i++)
		type[i] = (int32_t)json_integer_value(json_array_get(types, i));
	for (size_t i = 0; score && i < json_array_size(scores); i++)
		score[i] = (float)json_number_value(json_array_get(scores, i));
	v->types = types ? type : (free(type), NULL);
	v->scores = scores ? score : (free(score), NULL);
	v->bos_id = lists_id(root, "bos");
	v->eos_id = lists_id(root, "eos");
	v->unk_id = lists_id(root, "unk");
	v->add_bos = lists_flag(root, "add_bos");
	v->add_eos = lists_flag(root, "add_eos");
	v->add_space_prefix = lists_flag(root, "add_space_prefix");
	lists_charsmap(json_object_get(root, "charsmap"), v);
	v->remove_extra_spaces = lists_flag(root, "remove_extra_whitespaces");
}

static inline void lists_free(struct sto_tok_gguf_vocab *v)
{
	free((void *)(uintptr_t)v->tokens);
	free((void *)(uintptr_t)v->merges);
	free((void *)(uintptr_t)v->types);
	free((void *)(uintptr_t)v->scores);
	free((void *)(uintptr_t)v->charsmap);
}

#endif
