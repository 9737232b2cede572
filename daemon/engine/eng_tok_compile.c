/* SPDX-License-Identifier: MIT */
/* eng_tok_compile.c: makes the table of a tokenizer. Runs once, at import. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eng_tok_build.h"

int tok_fail(struct tok_build *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(b->error, b->error_bytes, format, args);
	va_end(args);
	return -EINVAL;
}

/* Byte of a letter of GPT-2's printable alphabet, or -1. */
static int alphabet_byte(uint32_t code)
{
	uint32_t n = code - 256;

	if ((code >= 33 && code <= 126) || (code >= 161 && code <= 172) ||
	    (code >= 174 && code <= 255))
		return (int)code;
	if (code < 256 || n > 67)
		return -1;
	return (int)(n <= 32 ? n : n <= 66 ? n - 33 + 127 : 173);
}

uint32_t eng_tok_letters_undo(struct eng_tok_string text, uint8_t *bytes)
{
	uint32_t count = 0, code = 0;

	for (uint32_t i = 0; i < text.bytes;) {
		int step = tok_utf8_next((const uint8_t *)text.data + i, text.bytes - i, &code);
		int byte = step > 0 ? alphabet_byte(code) : -1;

		if (byte < 0 || count == ENG_TOK_TOKEN_BYTES_MAX)
			return 0;
		bytes[count++] = (uint8_t)byte;
		i += (uint32_t)step;
	}
	return count;
}

static bool is_utf8(struct eng_tok_string text)
{
	return tok_is_text((const uint8_t *)text.data, text.bytes);
}

int tok_keep(struct tok_build *b, const void *data, size_t bytes, uint32_t *off)
{
	if (b->strings.bytes + bytes > TOK_STRINGS_MAX)
		return tok_fail(b, "texts of tokens are over the limit of %u bytes",
				TOK_STRINGS_MAX);
	*off = (uint32_t)b->strings.bytes;
	return tok_buf_add(&b->strings, data, bytes);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 :
	       c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int byte_of_text(struct eng_tok_string text)
{
	int high, low;

	if (text.bytes != 6 || memcmp(text.data, "<0x", 3) || text.data[5] != '>')
		return -1;
	high = hex_digit(text.data[3]);
	low = hex_digit(text.data[4]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* What BPE matches: bytes when the tokens are in the alphabet, else the text. */
static int add_match(struct tok_build *b, uint32_t id, struct tok_entry *entry)
{
	const struct eng_tok_source *src = b->src;
	struct eng_tok_string text = src->tokens[id];
	uint8_t bytes[ENG_TOK_TOKEN_BYTES_MAX];

	if (entry->flags & (ENG_TOKEN_UNUSED | ENG_TOKEN_OUTSIDE))
		return 0;
	if (src->clean_byte_alphabet) {
		entry->match_bytes = eng_tok_letters_undo(text, bytes);
		return tok_keep(b, bytes, entry->match_bytes, &entry->match_off);
	}
	if (src->kind != ENG_TOK_BYTE_BPE && !is_utf8(text))
		return tok_fail(b, "token %u is not UTF-8", id);
	entry->match_bytes = text.bytes;
	return tok_keep(b, text.data, text.bytes, &entry->match_off);
}

static int add_text(struct tok_build *b, uint32_t id, struct tok_entry *entry)
{
	const struct eng_tok_source *src = b->src;
	struct eng_tok_string text = src->decoded ? src->decoded[id] : src->tokens[id];
	int byte = byte_of_text(src->tokens[id]);
	uint8_t value = (uint8_t)byte;

	if (entry->flags & ENG_TOKEN_BYTE && byte < 0)
		return tok_fail(b, "token %u is no byte of the form <0xNN>", id);
	if (entry->flags & ENG_TOKEN_BYTE && src->byte_runs) {
		entry->text_bytes = 1;
		return tok_keep(b, &value, 1, &entry->text_off);
	}
	if (text.bytes > ENG_TOK_TOKEN_BYTES_MAX)
		return tok_fail(b, "token %u decodes to %u bytes; the limit is %u", id, text.bytes,
				ENG_TOK_TOKEN_BYTES_MAX);
	if (src->kind != ENG_TOK_BYTE_BPE && !src->decoded_bytes && !is_utf8(text))
		return tok_fail(b, "token %u decodes to what is not UTF-8", id);
	if (!src->decoded && entry->match_bytes) {
		entry->text_off = entry->match_off;
		entry->text_bytes = entry->match_bytes;
		return 0;
	}
	if (!src->decoded && src->clean_byte_alphabet) {
		uint8_t bytes[ENG_TOK_TOKEN_BYTES_MAX];

		entry->text_bytes = eng_tok_letters_undo(text, bytes);
		if (entry->text_bytes)
			return tok_keep(b, bytes, entry->text_bytes, &entry->text_off);
	}
	entry->text_bytes = text.bytes;
	return tok_keep(b, text.data, text.bytes, &entry->text_off);
}

static int add_tokens(struct tok_build *b)
{
	const struct eng_tok_source *src = b->src;
	int err = 0;

	b->tokens = calloc(src->token_count, sizeof(*b->tokens));
	if (!b->tokens)
		return -ENOMEM;
	for (uint32_t i = 0; i < src->token_count && !err; i++) {
		struct tok_entry *entry = &b->tokens[i];

		entry->flags = src->token_flags[i] & 0xffff;
		if (entry->flags & ENG_TOKEN_UNUSED)
			continue;
		if (src->tokens[i].bytes > ENG_TOK_TOKEN_BYTES_MAX)
			return tok_fail(b, "token %u has %u bytes; the limit is %u", i,
					src->tokens[i].bytes, ENG_TOK_TOKEN_BYTES_MAX);
		err = add_match(b, i, entry);
		err = err ? err : add_text(b, i, entry);
	}
	return err;
}

/* The single bytes, or what stands for them in byte fallback (which is written in capitals). */
static void find_bytes(struct tok_build *b)
{
	const struct eng_tok_source *src = b->src;

	memset(b->head.byte_ids, 0xff, sizeof(b->head.byte_ids));
	for (uint32_t i = 0; i < src->token_count; i++) {
		const struct tok_entry *entry = &b->tokens[i];
		const char *text = src->tokens[i].data;

		if (src->kind == ENG_TOK_BYTE_BPE && entry->match_bytes == 1)
			b->head.byte_ids[b->strings.data[entry->match_off]] = i;
		else if (src->kind != ENG_TOK_BYTE_BPE && entry->flags & ENG_TOKEN_BYTE &&
			 text[3] < 'a' && text[4] < 'a')
			b->head.byte_ids[byte_of_text(src->tokens[i])] = i;
	}
}

static int check_source(struct tok_build *b)
{
	const struct eng_tok_source *src = b->src;

	if (src->kind < ENG_TOK_BYTE_BPE || src->kind > ENG_TOK_UNIGRAM)
		return tok_fail(b, "unknown kind %u", src->kind);
	if (!src->token_count || src->token_count > ENG_TOK_COUNT_MAX)
		return tok_fail(b, "%u tokens; the limits are 1 and %u", src->token_count,
				ENG_TOK_COUNT_MAX);
	if (src->merge_count > TOK_MERGES_MAX)
		return tok_fail(b, "%u merges; the limit is %u", src->merge_count, TOK_MERGES_MAX);
	if (src->normal_count > ENG_TOK_PATTERN_MAX || src->step_count > ENG_TOK_PATTERN_MAX)
		return tok_fail(b, "%u normalizer and %u pre-tokenizer steps; the limit is %u each",
				src->normal_count, src->step_count, ENG_TOK_PATTERN_MAX);
	if (src->prefix_count > ENG_TOK_AFFIX_MAX || src->suffix_count > ENG_TOK_AFFIX_MAX)
		return tok_fail(b, "over %u tokens put before or after a text", ENG_TOK_AFFIX_MAX);
	if (src->strip_spaces > TOK_STRIP_MAX)
		return tok_fail(b, "decoding strips %u spaces; the limit is %u", src->strip_spaces,
				TOK_STRIP_MAX);
	for (uint32_t i = 0; i < src->prefix_count + src->suffix_count; i++) {
		uint32_t id =
			i < src->prefix_count ? src->prefix[i] : src->suffix[i - src->prefix_count];

		if (id >= src->token_count)
			return tok_fail(b, "token %u to be put around a text; there are %u", id,
					src->token_count);
	}
	if (src->unk_id != ENG_TOK_NONE && src->unk_id >= src->token_count)
		return tok_fail(b, "unknown token is %u; there are %u", src->unk_id,
				src->token_count);
	return 0;
}

static void fill_header(struct tok_build *b)
{
	const struct eng_tok_source *src = b->src;
	struct tok_header *head = &b->head;

	head->magic = TOK_MAGIC;
	head->version = TOK_VERSION;
	head->header_bytes = sizeof(*head);
	head->kind = src->kind;
	head->flags = (src->fuse_unk ? TOK_FUSE_UNK : 0) |
		      (src->byte_fallback ? TOK_BYTE_FALLBACK : 0) |
		      (src->byte_runs ? TOK_BYTE_RUNS : 0) |
		      (src->ignore_merges ? TOK_IGNORE_MERGES : 0) |
		      (src->strip_first_token ? TOK_STRIP_FIRST : 0);
	head->token_count = src->token_count;
	head->normal_count = src->normal_count;
	head->step_count = src->step_count;
	head->prefix_count = src->prefix_count;
	head->suffix_count = src->suffix_count;
	memcpy(head->prefix, src->prefix, src->prefix_count * sizeof(uint32_t));
	memcpy(head->suffix, src->suffix, src->suffix_count * sizeof(uint32_t));
	head->unk_id = src->unk_id;
	head->strip_spaces = src->strip_spaces;
}

/* Tokens that BPE makes of their own text, or that need no BPE: the encoder takes them at once. */
static int mark_whole(struct tok_build *b, uint8_t *blob, size_t bytes)
{
	struct tok_entry *entries = (void *)(blob + b->head.tokens_off);
	struct eng_tok *tok;
	int err = eng_tok_open(blob, bytes, &tok);

	for (uint32_t i = 0; !err && i < b->head.token_count; i++) {
		const uint8_t *text = blob + b->head.strings_off + entries[i].match_off;
		uint32_t made = ENG_TOK_NONE;
		struct tok_out out = {.ids = &made, .cap = 1};

		bool whole = b->src->ignore_merges || entries[i].flags & ENG_TOKEN_WHOLE;

		if (!entries[i].match_bytes)
			continue;
		if (!whole)
			err = tok_bpe_merge(tok, text, entries[i].match_bytes, &out);
		if (whole || (out.count == 1 && made == i))
			entries[i].flags |= TOK_ENTRY_WHOLE;
	}
	eng_tok_close(&tok);
	return err;
}

static int build(struct tok_build *b, void **blob, size_t *blob_bytes)
{
	int err = check_source(b);

	if (err)
		return err;
	fill_header(b);
	err = add_tokens(b);
	if (err)
		return err;
	find_bytes(b);
	err = tok_build_slots(b);
	err = err ? err : tok_build_unigram(b);
	err = err ? err : tok_build_merges(b);
	err = err ? err : tok_build_steps(b);
	err = err ? err : tok_build_added(b);
	err = err ? err : tok_build_blob(b, blob, blob_bytes);
	if (err)
		return err;
	if (b->src->kind != ENG_TOK_UNIGRAM)
		err = mark_whole(b, *blob, *blob_bytes);
	if (!err)
		return 0;
	free(*blob);
	*blob = NULL;
	return err == -EINVAL ? tok_fail(b, "the compiled table does not open") : err;
}

int eng_tok_compile(const struct eng_tok_source *src, void **blob, size_t *blob_bytes,
		    char *error, size_t error_bytes)
{
	struct tok_build b = {.src = src, .error = error, .error_bytes = error_bytes};
	int err;

	*blob = NULL;
	*blob_bytes = 0;
	err = build(&b, blob, blob_bytes);
	if (err == -ENOMEM)
		tok_fail(&b, "out of memory");
	else if (err == -E2BIG)
		err = tok_fail(&b, "over the limit of 2 GiB");
	free(b.tokens);
	free(b.slots);
	free(b.merges);
	free(b.added);
	free(b.steps);
	free(b.strings.data);
	free(b.nodes.v);
	free(b.scores);
	return err;
}
