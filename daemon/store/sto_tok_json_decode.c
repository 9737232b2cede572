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
#define STRIPPED_MAX	64u

/* What is done to each token: @from becomes @to; or @from is cut off @start times at its ends. */
struct change {
	struct eng_tok_string from, to;
	bool strip;
	uint32_t start, stop;
};

/* The pipe must come first: the callbacks get no more than that. */
struct decoder {
	struct sto_tok_pipe pipe;
	struct change changes[TOK_LIST_MAX];
	uint32_t change_count;
	bool bytes, fused, byte_level, stripped;
};

static int add_change(struct decoder *d, const char *field, const char *type, struct change change)
{
	if (d->bytes || d->fused || d->change_count == TOK_LIST_MAX)
		return sto_tok_fail(d->pipe.t,
				    "%s: %s after ByteFallback or Fuse is not supported", field,
				    type);
	d->changes[d->change_count++] = change;
	return 0;
}

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
	return add_change(d, field, "Replace", (struct change){.from = from, .to = to});
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
	if (!from.bytes)
		return sto_tok_fail(t, "%s.replacement: is empty", field);
	t->src.strip_first_token = scheme ? strcmp(json_string_value(scheme), "never") != 0 : add;
	return add_change(d, field, "Metaspace",
			  (struct change){.from = from, .to = STO_TOK_STR(" ")});
}

static int read_cut(struct sto_tok *t, const json_t *object, const char *field, const char *key,
		    uint32_t *count)
{
	const json_t *value = tok_json_get(object, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    json_integer_value(value) > STRIPPED_MAX)
		return sto_tok_fail(t, "%s.%s: must be 0 to %u", field, key, STRIPPED_MAX);
	*count = (uint32_t)json_integer_value(value);
	return 0;
}

/* Of each token; or of the whole text, once that is one. */
static int decoder_strip(struct decoder *d, const json_t *object, const char *field)
{
	struct sto_tok *t = d->pipe.t;
	struct change change = {.strip = true};
	int err = tok_json_string(t, object, field, "content", &change.from);

	err = err ? err : read_cut(t, object, field, "start", &change.start);
	err = err ? err : read_cut(t, object, field, "stop", &change.stop);
	if (err)
		return err;
	if (!d->fused)
		return change.from.bytes ? add_change(d, field, "Strip", change)
					 : sto_tok_fail(t, "%s.content: is empty", field);
	if (change.from.bytes != 1 || *change.from.data != ' ' || change.stop || d->stripped)
		return sto_tok_fail(
			t, "%s: after Fuse only one Strip of spaces at the start is supported",
			field);
	d->stripped = true;
	t->src.strip_spaces = change.start;
	return 0;
}

static int each_decoder(struct sto_tok_pipe *pipe, const json_t *object, const char *type,
			const char *field)
{
	struct decoder *d = (struct decoder *)pipe;
	bool over_bytes = pipe->byte_level && !pipe->letters;

	if (d->byte_level)
		return sto_tok_fail(pipe->t, "%s: %.80s after ByteLevel is not supported", field,
				    type);
	if (!strcmp(type, "ByteLevel")) {
		d->byte_level = true;
		if (!d->bytes && !d->fused && (!over_bytes || !d->change_count))
			return 0;
		return sto_tok_fail(pipe->t, "%s: ByteLevel after another decoder is not supported",
				    field);
	}
	if (over_bytes)
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

static bool has(struct eng_tok_string text, uint32_t at, struct eng_tok_string part)
{
	return text.bytes - at >= part.bytes && !memcmp(text.data + at, part.data, part.bytes);
}

static struct eng_tok_string stripped(struct eng_tok_string text, const struct change *c)
{
	for (uint32_t i = 0; i < c->start && has(text, 0, c->from); i++) {
		text.data += c->from.bytes;
		text.bytes -= c->from.bytes;
	}
	for (uint32_t i = 0; i < c->stop && text.bytes >= c->from.bytes &&
			     has(text, text.bytes - c->from.bytes, c->from); i++)
		text.bytes -= c->from.bytes;
	return text;
}

/* Letters of ByteLevel become the bytes that they stand for; a text with others stays as it is. */
static struct eng_tok_string bytes_of(struct sto_tok *t, struct eng_tok_string text)
{
	uint8_t made[ENG_TOK_TOKEN_BYTES_MAX];
	uint32_t bytes = eng_tok_letters_undo(text, made);

	return bytes ? sto_tok_copy(t, made, bytes) : text;
}

/* What token text @text decodes to by itself; data NULL: out of memory. */
static struct eng_tok_string decode_token(struct decoder *d, struct eng_tok_string text)
{
	for (uint32_t k = 0; text.data && k < d->change_count; k++) {
		const struct change *c = &d->changes[k];

		text = c->strip ? stripped(text, c)
				: replaced(d->pipe.t, text, c->from, c->to);
	}
	return text.data && d->byte_level ? bytes_of(d->pipe.t, text) : text;
}

/* Tokens over bytes need nothing done here, unless the normal form of one is another. */
static int decode_tokens(struct decoder *d)
{
	struct sto_tok *t = d->pipe.t;
	bool changed;
	int err;

	t->decoded = calloc(t->src.token_count, sizeof(*t->decoded));
	if (!t->decoded)
		return -ENOMEM;
	memcpy(t->decoded, t->tokens, t->src.token_count * sizeof(*t->decoded));
	err = tok_json_normal_texts(t, t->decoded, &changed);
	if (err)
		return err;
	if (t->src.kind == ENG_TOK_BYTE_BPE && !changed) {
		free(t->decoded);
		t->decoded = NULL;
		return 0;
	}
	for (uint32_t i = 0; i < t->src.token_count; i++) {
		struct eng_tok_string *text = &t->decoded[i];

		if (!text->data)
			continue;
		*text = decode_token(d, *text);
		if (!text->data)
			return -ENOMEM;
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
	if (pipe->byte_level && !pipe->letters && !d.byte_level)
		return sto_tok_fail(t, "decoder: ByteLevel is missing");
	t->src.byte_runs = d.bytes;
	t->src.decoded_bytes = d.byte_level;
	if (d.bytes || (t->src.byte_fallback && t->src.kind != ENG_TOK_BYTE_BPE))
		sto_tok_mark_bytes(t);
	return decode_tokens(&d);
}
