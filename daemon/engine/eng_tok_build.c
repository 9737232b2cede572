/* SPDX-License-Identifier: MIT */
/* eng_tok_build.c: sections of a tokenizer table: hash tables, steps, the whole. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "eng_tok_build.h"

#define DOUBLINGS_MAX	4	/* of a table whose keys crowd together */

static uint32_t power_of_two(uint64_t at_least)
{
	uint32_t slots = 16;

	while (slots < at_least)
		slots *= 2;
	return slots;
}

static const uint8_t *match_of(const struct tok_build *b, uint32_t id)
{
	return b->strings.data + b->tokens[id].match_off;
}

static bool same_match(const struct tok_build *b, uint32_t x, uint32_t y)
{
	return b->tokens[x].match_bytes == b->tokens[y].match_bytes &&
	       !memcmp(match_of(b, x), match_of(b, y), b->tokens[x].match_bytes);
}

/* False when the token's place is too far from home. Of two with one text the later one stays. */
static bool put_token(struct tok_build *b, uint32_t id)
{
	uint32_t slot = (uint32_t)tok_hash_bytes(match_of(b, id), b->tokens[id].match_bytes);

	for (uint32_t i = 0; i < TOK_PROBE_MAX; i++, slot++) {
		uint32_t *value = &b->slots[slot & (b->head.token_slots - 1)];

		if (*value && !same_match(b, *value - 1, id))
			continue;
		*value = id + 1;
		if (b->head.token_probes < i + 1)
			b->head.token_probes = i + 1;
		return true;
	}
	return false;
}

static bool put_tokens(struct tok_build *b)
{
	b->head.token_probes = 0;
	for (uint32_t i = 0; i < b->head.token_count; i++)
		if (b->tokens[i].match_bytes && !put_token(b, i))
			return false;
	return true;
}

int tok_build_slots(struct tok_build *b)
{
	b->head.token_slots = power_of_two(2 * (uint64_t)b->head.token_count);
	for (int i = 0; i <= DOUBLINGS_MAX; i++, b->head.token_slots *= 2) {
		free(b->slots);
		b->slots = calloc(b->head.token_slots, sizeof(*b->slots));
		if (!b->slots)
			return -ENOMEM;
		if (put_tokens(b))
			return 0;
	}
	return tok_fail(b, "texts of tokens crowd the hash table");
}

static bool joins(const struct tok_build *b, const uint32_t pair[2], uint32_t result)
{
	const struct tok_entry *left = &b->tokens[pair[0]], *right = &b->tokens[pair[1]];
	const uint8_t *whole = match_of(b, result);

	return b->tokens[result].match_bytes == left->match_bytes + right->match_bytes &&
	       !memcmp(whole, match_of(b, pair[0]), left->match_bytes) &&
	       !memcmp(whole + left->match_bytes, match_of(b, pair[1]), right->match_bytes);
}

/* Of two merges of one pair the later one stays. */
static bool put_merge(struct tok_build *b, struct tok_merge merge)
{
	uint32_t slot = (uint32_t)tok_hash_pair(merge.left, merge.right);

	for (uint32_t i = 0; i < TOK_PROBE_MAX; i++, slot++) {
		struct tok_merge *at = &b->merges[slot & (b->head.merge_slots - 1)];

		if (at->left != ENG_TOK_NONE &&
		    (at->left != merge.left || at->right != merge.right))
			continue;
		*at = merge;
		if (b->head.merge_probes < i + 1)
			b->head.merge_probes = i + 1;
		return true;
	}
	return false;
}

static bool put_merges(struct tok_build *b)
{
	const struct eng_tok_source *src = b->src;

	b->head.merge_probes = 0;
	for (uint32_t i = 0; i < src->merge_count; i++) {
		struct tok_merge merge = {src->merges[i][0], src->merges[i][1],
					  src->merge_rank ? src->merge_rank[i] : i,
					  src->merge_result[i]};

		/* Of tokens that no text gives: it can never happen. */
		if (!b->tokens[merge.left].match_bytes || !b->tokens[merge.right].match_bytes)
			continue;
		if (!put_merge(b, merge))
			return false;
	}
	return true;
}

static int check_merges(struct tok_build *b)
{
	const struct eng_tok_source *src = b->src;

	for (uint32_t i = 0; i < src->merge_count; i++) {
		const uint32_t *pair = src->merges[i];

		if (pair[0] >= src->token_count || pair[1] >= src->token_count ||
		    src->merge_result[i] >= src->token_count)
			return tok_fail(b, "merge %u: token id out of range", i);
		if (!b->tokens[pair[0]].match_bytes || !b->tokens[pair[1]].match_bytes)
			continue;
		if (!joins(b, pair, src->merge_result[i]))
			return tok_fail(b, "merge %u: token %u is not tokens %u and %u joined", i,
					src->merge_result[i], pair[0], pair[1]);
	}
	return 0;
}

int tok_build_merges(struct tok_build *b)
{
	int err = check_merges(b);

	if (err)
		return err;
	b->head.merge_slots = power_of_two((uint64_t)b->src->merge_count * 3 / 2);
	for (int i = 0; i <= DOUBLINGS_MAX; i++, b->head.merge_slots *= 2) {
		size_t bytes = b->head.merge_slots * sizeof(*b->merges);

		free(b->merges);
		b->merges = malloc(bytes);
		if (!b->merges)
			return -ENOMEM;
		memset(b->merges, 0xff, bytes);
		if (put_merges(b))
			return 0;
	}
	return tok_fail(b, "merges crowd the hash table");
}

static int check_pattern(struct tok_build *b, const char *list, uint32_t index,
			 const struct eng_tok_step *from)
{
	PCRE2_UCHAR message[128];
	pcre2_code *code;
	size_t at;
	int error;

	if (from->pattern.bytes > TOK_PATTERN_BYTES_MAX)
		return tok_fail(b, "%s step %u: pattern of %u bytes; the limit is %u", list, index,
				from->pattern.bytes, TOK_PATTERN_BYTES_MAX);
	code = tok_pattern_compile(from->pattern.data, from->pattern.bytes, &error, &at);
	if (code) {
		pcre2_code_free(code);
		return 0;
	}
	if (error == PCRE2_ERROR_NOMEMORY)
		return -ENOMEM;
	if (pcre2_get_error_message(error, message, sizeof(message)) < 0)
		message[0] = 0;
	return tok_fail(b, "%s step %u: bad pattern: %s", list, index, (char *)message);
}

static int add_step(struct tok_build *b, uint32_t index, bool normal,
		    const struct eng_tok_step *from)
{
	const char *list = normal ? "normalizer" : "pre-tokenizer";
	struct tok_step *step = &b->steps[normal ? index : b->head.normal_count + index];
	bool pattern = from->op == ENG_OP_SPLIT || from->op == ENG_OP_REPLACE;
	int err = 0;

	if (!tok_op_fits(from->op, normal))
		return tok_fail(b, "%s step %u: operation %u has no place there", list, index,
				from->op);
	if (from->op == ENG_OP_SPLIT &&
	    (from->split < ENG_SPLIT_ISOLATED || from->split > ENG_SPLIT_CONTIGUOUS))
		return tok_fail(b, "%s step %u: unknown behaviour %u", list, index, from->split);
	if (from->content.bytes > TOK_CONTENT_BYTES_MAX)
		return tok_fail(b, "%s step %u: content of %u bytes; the limit is %u", list, index,
				from->content.bytes, TOK_CONTENT_BYTES_MAX);
	if (!tok_is_text((const uint8_t *)from->content.data, from->content.bytes))
		return tok_fail(b, "%s step %u: content is not UTF-8", list, index);
	if (pattern)
		err = check_pattern(b, list, index, from);
	step->op = from->op;
	step->split = from->split;
	step->invert = from->invert;
	step->pattern_bytes = pattern ? from->pattern.bytes : 0;
	step->content_bytes = from->content.bytes;
	if (!err && from->op == ENG_OP_CHARSMAP)
		err = tok_build_charsmap(b, from, &step->pattern_off);
	else if (!err)
		err = tok_keep(b, from->pattern.data, step->pattern_bytes, &step->pattern_off);
	return err ? err : tok_keep(b, from->content.data, step->content_bytes, &step->content_off);
}

int tok_build_steps(struct tok_build *b)
{
	int err = 0;

	b->steps = calloc(TOK_STEPS_MAX, sizeof(*b->steps));
	if (!b->steps)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->head.normal_count && !err; i++)
		err = add_step(b, i, true, &b->src->normals[i]);
	for (uint32_t i = 0; i < b->head.step_count && !err; i++)
		err = add_step(b, i, false, &b->src->steps[i]);
	return err;
}

static uint64_t put_section(uint8_t *blob, uint64_t *end, const void *data, uint64_t bytes)
{
	uint64_t off = *end;

	if (blob && bytes)
		memcpy(blob + off, data, bytes);
	*end += (bytes + 7) & ~7ull;
	return off;
}

static void lay_out_extra(struct tok_build *b, uint8_t *blob, uint64_t *end)
{
	uint64_t scores_bytes = b->scores ? b->head.token_count * sizeof(*b->scores) : 0;

	b->extra.node_count = (uint32_t)b->nodes.count;
	b->extra.nodes_off =
		put_section(blob, end, b->nodes.v, b->nodes.count * sizeof(*b->nodes.v));
	b->extra.scores_off = put_section(blob, end, b->scores, scores_bytes);
	b->head.extra_words = (uint32_t)(put_section(blob, end, &b->extra, sizeof(b->extra)) / 8);
}

/* Twice: without @blob it only finds the sizes. */
static void lay_out(struct tok_build *b, uint8_t *blob)
{
	struct tok_header *head = &b->head;
	uint64_t end = sizeof(*head);

	head->tokens_off =
		put_section(blob, &end, b->tokens, head->token_count * sizeof(*b->tokens));
	head->slots_off = put_section(blob, &end, b->slots, head->token_slots * sizeof(*b->slots));
	head->merges_off =
		put_section(blob, &end, b->merges, head->merge_slots * sizeof(*b->merges));
	head->added_off =
		put_section(blob, &end, b->added,
			    ((uint64_t)head->added_raw + head->added_normal) * sizeof(*b->added));
	head->steps_off =
		put_section(blob, &end, b->steps,
			    (uint64_t)(head->normal_count + head->step_count) * sizeof(*b->steps));
	if (b->nodes.count)
		lay_out_extra(b, blob, &end);
	head->strings_off = put_section(blob, &end, b->strings.data, b->strings.bytes);
	head->strings_bytes = b->strings.bytes;
	head->total_bytes = end;
	if (blob)
		memcpy(blob, head, sizeof(*head));
}

int tok_build_blob(struct tok_build *b, void **blob, size_t *blob_bytes)
{
	lay_out(b, NULL);
	*blob = calloc(1, b->head.total_bytes);
	*blob_bytes = b->head.total_bytes;
	if (!*blob)
		return -ENOMEM;
	lay_out(b, *blob);
	return 0;
}
