/* SPDX-License-Identifier: MIT */
/* eng_tok_build_trie.c: what a tokenizer table finds by tries: tokens of unigram, charsmaps. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eng_tok_build.h"

static int trie_of(struct tok_build *b, struct tok_key *keys, uint32_t count, uint32_t *root)
{
	int err = tok_trie_build(&b->nodes, keys, count, root);

	return err == -E2BIG ? tok_fail(b, "keys are over the limit of %u nodes", TOK_NODES_MAX)
			     : err;
}

static int check_unigram(struct tok_build *b)
{
	const struct eng_tok_source *src = b->src;

	if (src->unk_id == ENG_TOK_NONE)
		return tok_fail(b, "there is no unknown token, which unigram needs");
	if (!isfinite(src->unk_score))
		return tok_fail(b, "the score of unknown characters is no finite number");
	for (uint32_t i = 0; i < src->token_count; i++)
		if (!isfinite(src->scores[i]))
			return tok_fail(b, "score of token %u is no finite number", i);
	return 0;
}

int tok_build_unigram(struct tok_build *b)
{
	const struct eng_tok_source *src = b->src;
	uint32_t count = 0, root;
	struct tok_key *keys;
	int err;

	if (src->kind != ENG_TOK_UNIGRAM)
		return 0;
	err = check_unigram(b);
	if (err)
		return err;
	keys = calloc(src->token_count, sizeof(*keys));
	b->scores = malloc(src->token_count * sizeof(*b->scores));
	if (!keys || !b->scores) {
		free(keys);
		return -ENOMEM;
	}
	memcpy(b->scores, src->scores, src->token_count * sizeof(*b->scores));
	for (uint32_t i = 0; i < src->token_count; i++)
		if (b->tokens[i].match_bytes)
			keys[count++] = (struct tok_key){b->strings.data + b->tokens[i].match_off,
							 b->tokens[i].match_bytes, i};
	err = trie_of(b, keys, count, &root);
	b->extra.token_nodes = (uint32_t)b->nodes.count;
	b->extra.unk_score = src->unk_score;
	free(keys);
	return err;
}

/* Texts that keys become: a byte with the length, then the text. */
static int add_pairs(struct tok_build *b, const struct eng_tok_step *from, struct tok_key *keys)
{
	int err = 0;

	for (uint32_t i = 0; i < from->pair_count && !err; i++) {
		struct eng_tok_string key = from->pairs[i].key, text = from->pairs[i].text;
		uint8_t bytes = (uint8_t)text.bytes;
		uint32_t off;

		if (!key.bytes || key.bytes > TOK_KEY_BYTES_MAX || text.bytes > TOK_KEY_BYTES_MAX)
			return tok_fail(b, "charsmap: entry %u has %u and %u bytes; the limit is %u",
					i, key.bytes, text.bytes, TOK_KEY_BYTES_MAX);
		keys[i] = (struct tok_key){(const uint8_t *)key.data, key.bytes, 0};
		err = tok_keep(b, &bytes, 1, &keys[i].value);
		err = err ? err : tok_keep(b, text.data, text.bytes, &off);
	}
	return err;
}

int tok_build_charsmap(struct tok_build *b, const struct eng_tok_step *from, uint32_t *root)
{
	struct tok_key *keys = calloc(from->pair_count + 1, sizeof(*keys));
	int err = keys ? add_pairs(b, from, keys) : -ENOMEM;

	err = err ? err : trie_of(b, keys, from->pair_count, root);
	free(keys);
	return err;
}
