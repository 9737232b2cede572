/* SPDX-License-Identifier: MIT */
/*
 * sto_tok_json_decode.c: tokenizer.json: the decoder. What it does to one token by itself is done
 * here, once for each token; what it does to the whole text is left to the stream.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sto_tok_json_priv.h"

#define REPLACED_MAX	64u

/* The pipe must come first: the callbacks get no more than that. */
struct decoder {
	struct sto_tok_pipe pipe;
	struct eng_tok_string from[TOK_LIST_MAX], to[TOK_LIST_MAX];	/* replacements */
	uint32_t replacements;
	bool bytes, fused, byte_level, stripped;
};

static int decoder_replace(struct decoder *d, const json_t *object, const char *field)
{
	struct sto_tok *t = d->pipe.t;
	struct eng_tok_string from, to;
	bool literal;
	int err = tok_json_pattern(t, object, field, &from, &literal);

	err = err ? err : tok_json_string(t, object, field, "content", &to);
	if (err)
		return err;
	if (!literal || !from.bytes)
		return sto_tok_fail(t, "%s.pattern: only a String that is not empty is supported",
				    field);
	if (to.bytes > REPLACED_MAX)
		return sto_tok_fail(t, "%s.content: over %u bytes", field, REPLACED_MAX);
	if (d->bytes || d->fused || d->replacements == TOK_LIST_MAX)
		return sto_tok_fail(t, "%s: Replace after ByteFallback or Fuse is not supported",
				    field);
	d->from[d->replacements] = from;
	d->to[d->replacements++] = to;
	return 0;
}

static int decoder_metaspace(struct decoder *d, const json_t *object, const char *field)
{
	struct sto_tok *t = d->pipe.t;
	const json_t *scheme = tok_json_get(object, "prepend_scheme");
	bool add;
	int err = tok_json_bool(t, object, field, "add_prefix_space", true, &add);
	struct eng_tok_string from;

	err = err ? err : tok_json_string(t, object, field, "replacement", &from);
	if (err)
		return err;
	if (scheme && !json_is_string(scheme))
		return sto_tok_fail(t, "%s.prepend_scheme: must be a string", field);
	if (d->bytes || d->fused || d->replacements == TOK_LIST_MAX || !from.bytes)
		return sto_tok_fail(t, "%s: Metaspace after ByteFallback or Fuse is not supported",
				    field);
	d->from[d->replacements] = from;
	d->to[d->replacements++] = STO_TOK_STR(" ");
	t->src.strip_first_token = scheme ? strcmp(json_string_value(scheme), "never") != 0 : add;
	return 0;
}

static int decoder_strip(struct decoder *d, const json_t *object, const char *field)
{
	struct sto_tok *t = d->pipe.t;
	const json_t *start = tok_json_get(object, "start"), *stop = tok_json_get(object, "stop");
	struct eng_tok_string content;
	int err = tok_json_string(t, object, field, "content", &content);

	if (err)
		return err;
	if (content.bytes != 1 || *content.data != ' ' || !json_is_integer(start) ||
	    json_integer_value(start) < 0 || json_integer_value(start) > 64 ||
	    !json_is_integer(stop) || json_integer_value(stop) != 0)
		return sto_tok_fail(
			t, "%s: only a Strip of up to 64 spaces at the start is supported", field);
	if (!d->fused || d->stripped)
		return sto_tok_fail(t, "%s: only one Strip, after Fuse, is supported", field);
	d->stripped = true;
	t->src.strip_spaces = (uint32_t)json_integer_value(start);
	return 0;
}

static int each_decoder(struct sto_tok_pipe *pipe, const json_t *object, const char *type,
			const char *field)
{
	struct decoder *d = (struct decoder *)pipe;

	if (d->byte_level)
		return sto_tok_fail(pipe->t, "%s: %.80s after ByteLevel is not supported", field,
				    type);
	if (!strcmp(type, "ByteLevel")) {
		d->byte_level = true;
		if (pipe->byte_level && !d->replacements && !d->bytes && !d->fused)
			return 0;
		return sto_tok_fail(pipe->t,
				    "%s: ByteLevel is supported alone and with that pre-tokenizer",
				    field);
	}
	if (pipe->byte_level)
		return sto_tok_fail(pipe->t,
				    "%s: %.80s is not supported with the ByteLevel pre-tokenizer",
				    field, type);
	if (!strcmp(type, "Replace"))
		return decoder_replace(d, object, field);
	if (!strcmp(type, "Metaspace"))
		return decoder_metaspace(d, object, field);
	if (!strcmp(type, "Strip"))
		return decoder_strip(d, object, field);
	if (strcmp(type, "ByteFallback") && strcmp(type, "Fuse"))
		return sto_tok_unsupported(pipe->t, field, type);
	if (!strcmp(type, "Fuse"))
		d->fused = true;
	else if (d->fused || d->bytes)
		return sto_tok_fail(pipe->t, "%s: ByteFallback after Fuse is not supported", field);
	else
		d->bytes = true;
	return 0;
}

/* All of @from in @text becomes @to. A token may grow, within the limit that compiling checks. */
static struct eng_tok_string replaced(struct sto_tok *t, struct eng_tok_string text,
				      struct eng_tok_string from, struct eng_tok_string to)
{
	struct eng_tok_string made;
	uint32_t bytes = 0, i = 0;
	char *room;

	if (text.bytes > ENG_TOK_TOKEN_BYTES_MAX ||
	    !memmem(text.data, text.bytes, from.data, from.bytes))
		return text;
	room = malloc((size_t)text.bytes * (to.bytes + 1) + 1);
	if (!room)
		return (struct eng_tok_string){0};
	while (i < text.bytes) {
		if (text.bytes - i >= from.bytes && !memcmp(text.data + i, from.data, from.bytes)) {
			memcpy(room + bytes, to.data, to.bytes);
			bytes += to.bytes;
			i += from.bytes;
		} else {
			room[bytes++] = text.data[i++];
		}
	}
	made = sto_tok_copy(t, room, bytes);
	free(room);
	return made;
}

static int decode_tokens(struct decoder *d)
{
	struct sto_tok *t = d->pipe.t;

	t->decoded = calloc(t->src.token_count, sizeof(*t->decoded));
	if (!t->decoded)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->src.token_count; i++) {
		struct eng_tok_string text = t->tokens[i];

		for (uint32_t k = 0; text.data && k < d->replacements; k++) {
			text = replaced(t, text, d->from[k], d->to[k]);
			if (!text.data)
				return -ENOMEM;
		}
		t->decoded[i] = text;
	}
	return 0;
}

int tok_json_decoder(struct sto_tok_pipe *pipe, const json_t *root)
{
	const json_t *decoder = tok_json_get(root, "decoder");
	struct decoder d = {.pipe = *pipe};
	struct sto_tok *t = pipe->t;
	int err;

	if (!decoder)
		return sto_tok_fail(t, "decoder: is missing");
	err = tok_json_sequence(&d.pipe, decoder, "decoder", "decoders", 0, each_decoder);
	if (err)
		return err;
	if (pipe->byte_level)
		return d.byte_level ? 0 : sto_tok_fail(t, "decoder: ByteLevel is missing");
	t->src.byte_runs = d.bytes;
	if (d.bytes || t->src.byte_fallback)
		sto_tok_mark_bytes(t);
	return decode_tokens(&d);
}
