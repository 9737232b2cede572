/* SPDX-License-Identifier: MIT */
/* eng_tok_decode.c: token ids to text, one at a time, in whole UTF-8 sequences. */
#include <errno.h>
#include <string.h>

#include "eng_tok_priv.h"

struct text_out {
	struct eng_tok_stream *stream;
	char *text;
	size_t bytes;
};

/* @text is whole characters. */
static void put(struct text_out *out, const void *text, size_t bytes)
{
	const char *at = text;

	while (bytes && out->stream->strip_left) {
		if (*at != ' ') {
			out->stream->strip_left = 0;
			break;
		}
		out->stream->strip_left--;
		at++;
		bytes--;
	}
	if (bytes)
		memcpy(out->text + out->bytes, at, bytes);
	out->bytes += bytes;
}

static void put_broken(struct text_out *out, size_t count)
{
	while (count--)
		put(out, "\xef\xbf\xbd", 3);
}

static void drop_held(struct eng_tok_stream *stream, size_t bytes)
{
	stream->held_bytes -= (uint32_t)bytes;
	memmove(stream->held, stream->held + bytes, stream->held_bytes);
}

/* One byte of a text in which bytes of several tokens make characters. */
static void put_byte(struct text_out *out, uint8_t byte)
{
	struct eng_tok_stream *stream = out->stream;
	uint32_t code;
	int step;

	stream->held[stream->held_bytes++] = byte;
	while (stream->held_bytes) {
		step = tok_utf8_next(stream->held, stream->held_bytes, &code);
		if (!step)
			break;
		if (step > 0)
			put(out, stream->held, (size_t)step);
		else
			put_broken(out, 1);
		drop_held(stream, (size_t)(step > 0 ? step : -step));
	}
}

/* Bytes at the start of @held that are whole characters; *@rest: what follows may become one. */
static size_t whole_prefix(const struct eng_tok_stream *stream, bool *rest)
{
	size_t at = 0;
	uint32_t code;
	int step = 0;

	while (at < stream->held_bytes) {
		step = tok_utf8_next(stream->held + at, stream->held_bytes - at, &code);
		if (step <= 0)
			break;
		at += (size_t)step;
	}
	*rest = step == 0;
	return at;
}

/* A run that is no text from its beginning to its end is one U+FFFD for each byte. */
static void flush_run(struct text_out *out)
{
	struct eng_tok_stream *stream = out->stream;
	size_t whole;
	bool rest;

	whole = whole_prefix(stream, &rest);
	if (whole == stream->held_bytes)
		put(out, stream->held, whole);
	else
		put_broken(out, stream->held_bytes);
	stream->held_bytes = 0;
	stream->run = false;
}

/* The run is longer than what can be held: what is text so far goes out as text. */
static void cut_run(struct text_out *out)
{
	struct eng_tok_stream *stream = out->stream;
	size_t whole;
	bool rest;

	whole = whole_prefix(stream, &rest);
	if (whole && (rest || whole == stream->held_bytes)) {
		put(out, stream->held, whole);
		drop_held(stream, whole);
	} else {
		put_broken(out, stream->held_bytes);
		stream->held_bytes = 0;
	}
}

static void put_run_byte(struct text_out *out, uint8_t byte)
{
	struct eng_tok_stream *stream = out->stream;

	stream->run = true;
	if (stream->held_bytes == ENG_TOK_HELD_MAX)
		cut_run(out);
	stream->held[stream->held_bytes++] = byte;
}

void eng_tok_stream_init(struct eng_tok_stream *stream, bool skip_special)
{
	memset(stream, 0, sizeof(*stream));
	stream->skip_special = skip_special;
}

static void put_token(const struct eng_tok *tok, struct text_out *out,
		      const struct tok_entry *entry, bool first)
{
	const uint8_t *text = (const uint8_t *)tok->strings + entry->text_off;
	bool no_spaces =
		first && tok->head->flags & TOK_STRIP_FIRST && !(entry->flags & ENG_TOKEN_ADDED);

	if (entry->flags & ENG_TOKEN_BYTE && tok->head->flags & TOK_BYTE_RUNS) {
		if (entry->text_bytes)
			put_run_byte(out, text[0]);
		return;
	}
	if (out->stream->run)
		flush_run(out);
	for (uint32_t i = 0; i < entry->text_bytes; i++)
		if (!no_spaces || text[i] != ' ')
			put_byte(out, text[i]);
}

int64_t eng_tok_stream_push(const struct eng_tok *tok, struct eng_tok_stream *stream, uint32_t id,
			    char *out, size_t cap)
{
	struct text_out to = {.stream = stream, .text = out};
	const struct tok_entry *entry;
	bool first = !stream->started;

	if (id >= tok->head->token_count)
		return 0;
	entry = &tok->tokens[id];
	if (entry->flags & ENG_TOKEN_UNUSED ||
	    (stream->skip_special && entry->flags & ENG_TOKEN_SPECIAL))
		return 0;
	if (cap < 3 * (size_t)entry->text_bytes + ENG_TOK_FLUSH_MAX)
		return -ENOSPC;
	if (first) {
		stream->started = true;
		stream->strip_left = tok->head->strip_spaces;
	}
	put_token(tok, &to, entry, first);
	return (int64_t)to.bytes;
}

int64_t eng_tok_stream_finish(struct eng_tok_stream *stream, char *out, size_t cap)
{
	struct text_out to = {.stream = stream, .text = out};

	if (cap < ENG_TOK_FLUSH_MAX)
		return -ENOSPC;
	if (stream->run)
		flush_run(&to);
	else if (stream->held_bytes)
		put_broken(&to, 1);
	stream->held_bytes = 0;
	return (int64_t)to.bytes;
}
