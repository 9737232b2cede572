/* SPDX-License-Identifier: MIT */
/* eng_tok_map.c: normal steps that change text character by character. */
#include <errno.h>
#include <string.h>
#include <utf8proc.h>

#include "eng_tok_priv.h"

/* The longest text of one byte or character. */
#define MADE_MAX	8u
#define GRAPHEME_MAX	5u	/* bytes that are looked for whole */

/* Lower case of Unicode 15.1 to 17, which utf8proc may not know. */
static uint32_t late_lower(uint32_t code)
{
	static const uint32_t pairs[][2] = {
		{0x1c89, 0x1c8a}, {0xa7cb, 0x264}, {0xa7cc, 0xa7cd}, {0xa7ce, 0xa7cf},
		{0xa7d2, 0xa7d3}, {0xa7d4, 0xa7d5}, {0xa7da, 0xa7db}, {0xa7dc, 0x19b},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
		if (pairs[i][0] == code)
			return pairs[i][1];
	if (code >= 0x10d50 && code <= 0x10d65)
		return code + 0x20;
	if (code >= 0x16ea0 && code <= 0x16eb8)
		return code + 0x1b;
	return code;
}

int tok_lowercase(const uint8_t *text, size_t bytes, struct tok_buf *out)
{
	int err = 0;

	for (size_t i = 0; i < bytes && !err;) {
		uint32_t code = 0xfffd, lower;
		int step = tok_utf8_next(text + i, bytes - i, &code);

		i += step > 0 ? (size_t)step : 1;
		err = tok_buf_room(out, MADE_MAX);
		if (err)
			break;
		lower = (uint32_t)utf8proc_tolower((int32_t)code);
		lower = lower == code ? late_lower(code) : lower;
		out->bytes += tok_utf8_put(lower, out->data + out->bytes);
		/* The only one that becomes two: I with a dot above. */
		if (code == 0x130)
			out->bytes += tok_utf8_put(0x307, out->data + out->bytes);
	}
	return err;
}

static uint32_t letter_of(uint8_t byte)
{
	if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173))
		return byte;
	return byte <= 32 ? 256u + byte : byte == 173 ? 323 : 289u + (byte - 127u);
}

int tok_alphabet(const uint8_t *text, size_t bytes, struct tok_buf *out)
{
	int err = tok_buf_room(out, 2 * bytes);

	for (size_t i = 0; i < bytes && !err; i++)
		out->bytes += tok_utf8_put(letter_of(text[i]), out->data + out->bytes);
	return err;
}

/* The text of a key that @text begins with; NULL: none. *@taken: bytes of the key. */
static const uint8_t *find_key(const struct eng_tok *tok, uint32_t root, bool longest,
			       const uint8_t *text, size_t bytes, size_t *taken)
{
	const uint8_t *found = NULL;
	uint32_t node = root;

	for (size_t i = 0; i < bytes;) {
		node = tok_trie_step(tok, node, text[i++]);
		if (node == ENG_TOK_NONE)
			break;
		if (tok->nodes[node].value == ENG_TOK_NONE ||
		    (i < bytes && (text[i] & 0xc0) == 0x80))
			continue;
		found = (const uint8_t *)tok->strings + tok->nodes[node].value;
		*taken = i;
		if (!longest)
			break;
	}
	return found;
}

/* Appends what @text[0, @bytes) begins to become: @bytes or less are taken. */
static int put_mapped(const struct eng_tok *tok, const struct tok_step *step, const uint8_t *text,
		      size_t bytes, size_t *taken, struct tok_buf *out)
{
	bool longest = step->split == ENG_MAP_LONGEST;
	const uint8_t *found = find_key(tok, step->pattern_off, longest, text, bytes, taken);

	if (found)
		return tok_buf_add(out, found + 1, found[0]);
	*taken = tok_utf8_step(text[0]);
	return tok_buf_add(out, text, *taken);
}

/* Bytes of the first grapheme. */
static size_t grapheme_bytes(const uint8_t *text, size_t bytes)
{
	int32_t state = 0;
	uint32_t last = 0, code = 0;
	size_t i = 0;

	while (i < bytes) {
		int step = tok_utf8_next(text + i, bytes - i, &code);

		if (i && utf8proc_grapheme_break_stateful((int32_t)last, (int32_t)code, &state))
			break;
		i += step > 0 ? (size_t)step : 1;
		last = code;
	}
	return i;
}

/* One grapheme: whole where it is short and begins with a key, else its characters. */
static int put_grapheme(const struct eng_tok *tok, const struct tok_step *step,
			const uint8_t *text, size_t bytes, struct tok_buf *out)
{
	const uint8_t *found = NULL;
	size_t taken;
	int err = 0;

	if (bytes <= GRAPHEME_MAX)
		found = find_key(tok, step->pattern_off, false, text, bytes, &taken);
	if (found)
		return tok_buf_add(out, found + 1, found[0]);
	for (size_t i = 0, one; i < bytes && !err; i += one) {
		one = tok_utf8_step(text[i]);
		found = find_key(tok, step->pattern_off, false, text + i, one, &taken);
		err = found ? tok_buf_add(out, found + 1, found[0])
			    : tok_buf_add(out, text + i, one);
	}
	return err;
}

int tok_charsmap(const struct eng_tok *tok, const struct tok_step *step, const uint8_t *text,
		 size_t bytes, struct tok_buf *out)
{
	size_t taken = 0;
	int err = 0;

	for (size_t i = 0; i < bytes && !err; i += taken) {
		if (step->split == ENG_MAP_LONGEST) {
			err = put_mapped(tok, step, text + i, bytes - i, &taken, out);
			continue;
		}
		taken = grapheme_bytes(text + i, bytes - i);
		err = put_grapheme(tok, step, text + i, taken, out);
	}
	return err;
}

/* What keys become is UTF-8, so text stays it. */
bool tok_charsmaps_fit(const struct eng_tok *tok)
{
	const struct tok_header *head = tok->head;
	uint32_t end = tok->extra ? tok->extra->node_count : 0;

	for (uint32_t i = end ? tok->extra->token_nodes : 0; i < end; i++) {
		uint32_t at = tok->nodes[i].value;
		const uint8_t *text = (const uint8_t *)tok->strings + at;

		if (at == ENG_TOK_NONE)
			continue;
		if (at >= head->strings_bytes || text[0] >= head->strings_bytes - at ||
		    !tok_is_text(text + 1, text[0]))
			return false;
	}
	return true;
}
