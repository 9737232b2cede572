/* SPDX-License-Identifier: MIT */
/*
 * eng_tok_added.c: added tokens in a text: leftmost, then longest. Contents are sorted, so those
 * that begin with what has been read are one range, narrowed byte by byte.
 */
#include <string.h>

#include "eng_tok_priv.h"

static const uint8_t *content_of(const struct eng_tok *tok, uint32_t index)
{
	return (const uint8_t *)tok->strings + tok->added[index].text_off;
}

void tok_added_open(struct eng_tok *tok)
{
	uint32_t count = tok->head->added_raw + tok->head->added_normal;

	memset(tok->first, 0, sizeof(tok->first));
	for (uint32_t i = 0; i < count; i++) {
		uint8_t lead = content_of(tok, i)[0];

		tok->first[i >= tok->head->added_raw][lead / 8] |= (uint8_t)(1u << lead % 8);
	}
}

/* First of [low, high) whose byte at @depth is at least @value; they agree before @depth. */
static uint32_t lower_bound(const struct eng_tok *tok, uint32_t low, uint32_t high, size_t depth,
			    int value)
{
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int byte = depth < tok->added[mid].text_bytes ? content_of(tok, mid)[depth] : -1;

		if (byte < value)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The longest added token that @text begins with. */
static const struct tok_added *longest(const struct eng_tok *tok, uint32_t low, uint32_t high,
				       const uint8_t *text, size_t bytes)
{
	const struct tok_added *best = NULL;

	for (size_t depth = 0; low < high && depth <= ENG_TOK_TOKEN_BYTES_MAX; depth++) {
		if (tok->added[low].text_bytes == depth && depth)
			best = &tok->added[low];
		if (depth == bytes)
			break;
		low = lower_bound(tok, low, high, depth, text[depth]);
		high = lower_bound(tok, low, high, depth, text[depth] + 1);
	}
	return best;
}

static bool is_word(struct eng_tok *tok, const uint8_t *text, size_t bytes)
{
	size_t from, to;

	return tok_regex_match(tok, tok->word, text, bytes, 0, &from, &to) == 1;
}

static bool stands_alone(struct eng_tok *tok, const uint8_t *text, size_t bytes, size_t from,
			 size_t to)
{
	size_t before = from;

	while (before && (text[--before] & 0xc0) == 0x80)
		;
	if (from && is_word(tok, text + before, from - before))
		return false;
	return to == bytes || !is_word(tok, text + to, tok_utf8_step(text[to]));
}

bool tok_added_find(struct eng_tok *tok, uint32_t group, const uint8_t *text, size_t bytes,
		    size_t from, struct tok_hit *hit)
{
	uint32_t low = group ? tok->head->added_raw : 0;
	uint32_t high = tok->head->added_raw + (group ? tok->head->added_normal : 0);
	const uint8_t *first = tok->first[group];
	size_t at = from;

	if (low == high)
		return false;
	for (; at < bytes; at++) {
		const struct tok_added *token;

		if (!(first[text[at] / 8] & 1u << text[at] % 8))
			continue;
		token = longest(tok, low, high, text + at, bytes - at);
		if (!token)
			continue;
		hit->token = token;
		hit->from = at;
		hit->to = at + token->text_bytes;
		if (!(token->flags & ENG_TOKEN_SINGLE_WORD) ||
		    stands_alone(tok, text, bytes, hit->from, hit->to))
			return true;
		at = hit->to - 1;	/* read past, as part of the text */
	}
	return false;
}
