/* SPDX-License-Identifier: MIT */
/*
 * eng_tok_build_added.c: the added tokens of a tokenizer table, raw ones first, each group sorted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "eng_tok_build.h"

/* Content as it is looked for: normal text has the content's own normal form. */
static int normal_content(struct tok_build *b, struct eng_tok *steps, struct tok_added *added)
{
	struct tok_span span = {b->strings.data + added->text_off, added->text_bytes};
	struct tok_buf copy = {0};
	int err = tok_buf_add(&copy, span.text, span.bytes);

	tok_regex_start(steps, span.bytes);
	span.text = copy.data;
	err = err ? err : tok_normalize(steps, &span);
	if (!err && (!span.bytes || span.bytes > ENG_TOK_TOKEN_BYTES_MAX))
		err = tok_fail(
			b, "added token %u: its normal form has %zu bytes; the limits are 1 and %u",
			added->id, span.bytes, ENG_TOK_TOKEN_BYTES_MAX);
	if (!err)
		err = tok_keep(b, span.text, span.bytes, &added->text_off);
	added->text_bytes = (uint32_t)span.bytes;
	free(copy.data);
	return err;
}

static int by_content(const void *x, const void *y, void *strings)
{
	const struct tok_added *a = x, *c = y;
	const char *base = strings;
	uint32_t least = a->text_bytes < c->text_bytes ? a->text_bytes : c->text_bytes;
	int order = memcmp(base + a->text_off, base + c->text_off, least);

	return order ? order : (a->text_bytes > c->text_bytes) - (a->text_bytes < c->text_bytes);
}

static int sort_group(struct tok_build *b, struct tok_added *group, uint32_t count)
{
	qsort_r(group, count, sizeof(*group), by_content, b->strings.data);
	for (uint32_t i = 1; i < count; i++)
		if (!by_content(&group[i - 1], &group[i], b->strings.data))
			return tok_fail(b, "added tokens %u and %u have one text", group[i - 1].id,
					group[i].id);
	return 0;
}

/* A handle that can do nothing but the normal steps. */
static int normalizer_open(struct tok_build *b, struct eng_tok **tok)
{
	struct tok_build only = {
		.src = b->src, .head = b->head, .steps = b->steps, .strings = b->strings,
		.nodes = b->nodes, .extra = b->extra};
	uint32_t no_slots[16] = {0};
	struct tok_merge no_merges[16];
	void *blob;
	size_t bytes;
	int err;

	memset(no_merges, 0xff, sizeof(no_merges));
	memset(only.head.byte_ids, 0xff, sizeof(only.head.byte_ids));
	only.head.token_slots = 16;
	only.head.merge_slots = 16;
	only.head.prefix_count = only.head.suffix_count = 0;
	only.head.added_raw = only.head.added_normal = 0;
	only.head.unk_id = ENG_TOK_NONE;
	only.head.kind = ENG_TOK_SPM_BPE;
	only.tokens = b->tokens;
	only.slots = no_slots;
	only.merges = no_merges;
	err = tok_build_blob(&only, &blob, &bytes);
	err = err ? err : eng_tok_open(blob, bytes, tok);
	if (err)
		free(blob);
	return err;
}

static int normalize_group(struct tok_build *b, struct tok_added *group, uint32_t count)
{
	struct eng_tok *tok = NULL;
	const void *blob;
	int err;

	if (!count || !b->head.normal_count)
		return 0;
	err = normalizer_open(b, &tok);
	if (err)
		return err;
	blob = tok->head;
	for (uint32_t i = 0; i < count && !err; i++)
		err = normal_content(b, tok, &group[i]);
	eng_tok_close(&tok);
	free((void *)(uintptr_t)blob);
	return err;
}

static int add_group(struct tok_build *b, uint32_t *count, bool normalized)
{
	const struct eng_tok_source *src = b->src;
	int err = 0;

	for (uint32_t i = 0; i < src->token_count && !err; i++) {
		struct tok_added *added = &b->added[*count];
		uint32_t flags = src->token_flags[i];

		if (!(flags & ENG_TOKEN_ADDED) || flags & ENG_TOKEN_UNUSED || !src->tokens[i].bytes)
			continue;
		if (!(flags & ENG_TOKEN_NORMALIZED) == normalized)
			continue;
		*added = (struct tok_added){
			.text_bytes = src->tokens[i].bytes, .id = i, .flags = flags};
		err = tok_keep(b, src->tokens[i].data, src->tokens[i].bytes, &added->text_off);
		(*count)++;
	}
	return err;
}

int tok_build_added(struct tok_build *b)
{
	uint32_t raw = 0, all, room = 1;
	int err;

	for (uint32_t i = 0; i < b->src->token_count; i++)
		room += !!(b->src->token_flags[i] & ENG_TOKEN_ADDED);
	if (room > TOK_ADDED_MAX)
		return tok_fail(b, "over %u added tokens", TOK_ADDED_MAX);
	b->added = calloc(room, sizeof(*b->added));
	if (!b->added)
		return -ENOMEM;
	err = add_group(b, &raw, false);
	all = raw;
	err = err ? err : add_group(b, &all, true);
	err = err ? err : normalize_group(b, b->added + raw, all - raw);
	err = err ? err : sort_group(b, b->added, raw);
	err = err ? err : sort_group(b, b->added + raw, all - raw);
	b->head.added_raw = raw;
	b->head.added_normal = all - raw;
	return err;
}
