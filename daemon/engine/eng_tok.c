/* SPDX-License-Identifier: MIT */
/* eng_tok.c: a text to token ids, and what the ids stand for. */
#include <errno.h>
#include <stdlib.h>

#include "eng_tok_priv.h"

#define INPUT_MAX	((size_t)INT32_MAX - 64)
#define SCRATCH_KEEP	(1u << 20)	/* bytes of each scratch array kept between calls */

uint32_t eng_tok_count(const struct eng_tok *tok)
{
	return tok->head->token_count;
}

const char *eng_tok_bytes(const struct eng_tok *tok, uint32_t id, uint32_t *bytes)
{
	if (id >= tok->head->token_count)
		return NULL;
	*bytes = tok->tokens[id].text_bytes;
	return tok->strings + tok->tokens[id].text_off;
}

bool eng_tok_is_special(const struct eng_tok *tok, uint32_t id)
{
	return id < tok->head->token_count && tok->tokens[id].flags & ENG_TOKEN_SPECIAL;
}

static int encode_pieces(struct eng_tok *tok, struct tok_span span, bool first, struct tok_out *out)
{
	int (*encode)(struct eng_tok *, const uint8_t *, size_t, struct tok_out *) =
		tok->head->kind == ENG_TOK_UNIGRAM ? tok_unigram : tok_bpe;
	int err = tok_pretokenize(tok, &span, first);

	for (size_t i = 0; i < tok->pieces.count && !err; i++)
		err = encode(tok, span.text + tok->pieces.v[i].off, tok->pieces.v[i].bytes, out);
	return err;
}

/*
 * Cuts the added tokens of one group out of @span. What lies between them goes on: from the text as
 * it is (group 0) to normal text and group 1, from there to the pre-tokenizer.
 */
static int encode_span(struct eng_tok *tok, uint32_t group, struct tok_span span, bool first,
		       struct tok_out *out);

static int encode_between(struct eng_tok *tok, uint32_t group, struct tok_span span, bool first,
			  struct tok_out *out)
{
	int err;

	if (!span.bytes)
		return 0;
	if (group)
		return encode_pieces(tok, span, first, out);
	err = tok_normalize(tok, &span);
	return err ? err : encode_span(tok, 1, span, first, out);
}

static int encode_span(struct eng_tok *tok, uint32_t group, struct tok_span span, bool first,
		       struct tok_out *out)
{
	struct tok_hit hit = {0};
	size_t done = 0;
	int err;

	while (tok_added_find(tok, group, span.text, span.bytes, hit.to, &hit)) {
		size_t from = hit.from, to = hit.to;

		if (hit.token->flags & ENG_TOKEN_LSTRIP)
			from -= tok_space_suffix(span.text, from);
		if (hit.token->flags & ENG_TOKEN_RSTRIP)
			to += tok_space_prefix(span.text + to, span.bytes - to);
		if (done < from) {
			struct tok_span part = {span.text + done, from - done};

			err = encode_between(tok, group, part, first && !done, out);
			if (err)
				return err;
		}
		tok_emit(out, hit.token->id);
		done = to;
	}
	if (done >= span.bytes)
		return 0;
	return encode_between(tok, group, (struct tok_span){span.text + done, span.bytes - done},
			      first && !done, out);
}

static void trim_buf(struct tok_buf *buf)
{
	if (buf->cap <= SCRATCH_KEEP)
		return;
	free(buf->data);
	*buf = (struct tok_buf){0};
}

static void trim_pieces(struct tok_pieces *pieces)
{
	if (pieces->cap * sizeof(*pieces->v) <= SCRATCH_KEEP)
		return;
	free(pieces->v);
	*pieces = (struct tok_pieces){0};
}

static void trim_scratch(struct eng_tok *tok)
{
	trim_buf(&tok->repaired);
	trim_buf(&tok->normal);
	trim_buf(&tok->work[0]);
	trim_buf(&tok->work[1]);
	trim_pieces(&tok->pieces);
	trim_pieces(&tok->spare_pieces);
	if (tok->path_cap * sizeof(*tok->path) > SCRATCH_KEEP) {
		free(tok->path);
		tok->path = NULL;
		tok->path_cap = 0;
	}
	if (tok->heap_cap * sizeof(*tok->heap) <= SCRATCH_KEEP)
		return;
	free(tok->heap);
	free(tok->symbols);
	tok->heap = NULL;
	tok->symbols = NULL;
	tok->heap_cap = 0;
	tok->symbol_cap = 0;
}

int eng_tok_normalize(struct eng_tok *tok, struct eng_tok_string text, struct eng_tok_string *normal)
{
	struct tok_span span = {(const uint8_t *)text.data, text.bytes};
	int err;

	tok_regex_start(tok, text.bytes);
	err = tok_normalize(tok, &span);
	*normal = (struct eng_tok_string){(const char *)span.text, (uint32_t)span.bytes};
	return err;
}

int64_t eng_tok_encode(struct eng_tok *tok, const char *text, size_t bytes, uint32_t flags,
		       uint32_t *ids, size_t cap)
{
	struct tok_span span = {(const uint8_t *)text, bytes};
	struct tok_out out = {.ids = ids, .cap = cap};
	bool affixes = flags & ENG_ENCODE_AFFIXES;
	int err;

	if (bytes > INPUT_MAX)
		return -E2BIG;
	for (uint32_t i = 0; affixes && i < tok->head->prefix_count; i++)
		tok_emit(&out, tok->head->prefix[i]);
	tok_regex_start(tok, bytes);
	err = tok_utf8_repair(&tok->repaired, &span.text, &span.bytes);
	if (!err && span.bytes)
		err = encode_span(tok, 0, span, true, &out);
	for (uint32_t i = 0; affixes && i < tok->head->suffix_count; i++)
		tok_emit(&out, tok->head->suffix[i]);
	trim_scratch(tok);
	return err ? err : out.count;
}
