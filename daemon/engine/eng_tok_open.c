/* SPDX-License-Identifier: MIT */
/*
 * eng_tok_open.c: opens a compiled table. The table may come from anywhere: nothing in it is used
 * as an offset, an id or a count before it has been checked here.
 */
#include <errno.h>
#include <stdlib.h>

#include "eng_tok_priv.h"

bool tok_op_fits(uint32_t op, bool normal)
{
	switch (op) {
	case ENG_OP_REPLACE:
	case ENG_OP_ALPHABET:
		return true;
	case ENG_OP_SPLIT:
	case ENG_OP_PREFIX:
	case ENG_OP_PREFIX_FIRST:
		return !normal;
	case ENG_OP_PREPEND:
	case ENG_OP_STRIP_LEFT:
	case ENG_OP_STRIP_RIGHT:
	case ENG_OP_NFC:
	case ENG_OP_NFD:
	case ENG_OP_NFKC:
	case ENG_OP_NFKD:
	case ENG_OP_LOWERCASE:
	case ENG_OP_CHARSMAP:
		return normal;
	}
	return false;
}

static bool is_slots(uint32_t slots, uint32_t max, uint32_t probes)
{
	return slots && slots <= max && !(slots & (slots - 1)) && probes <= TOK_PROBE_MAX;
}

static bool ids_fit(const uint32_t *ids, uint32_t count, uint32_t limit, bool none_too)
{
	for (uint32_t i = 0; i < count; i++)
		if (ids[i] >= limit && !(none_too && ids[i] == ENG_TOK_NONE))
			return false;
	return true;
}

static bool header_fits(const struct tok_header *head, size_t bytes)
{
	if (head->magic != TOK_MAGIC || head->version != TOK_VERSION ||
	    head->header_bytes != sizeof(*head) || head->total_bytes > bytes)
		return false;
	if (head->kind < ENG_TOK_BYTE_BPE || head->kind > ENG_TOK_UNIGRAM ||
	    head->flags & ~TOK_FLAGS_ALL)
		return false;
	if (head->kind == ENG_TOK_UNIGRAM && (!head->extra_words || head->unk_id == ENG_TOK_NONE))
		return false;
	if (!head->token_count || head->token_count > ENG_TOK_COUNT_MAX ||
	    !is_slots(head->token_slots, ENG_TOK_COUNT_MAX * 16, head->token_probes) ||
	    !is_slots(head->merge_slots, TOK_MERGES_MAX * 16, head->merge_probes))
		return false;
	if (head->added_raw > TOK_ADDED_MAX || head->added_normal > TOK_ADDED_MAX ||
	    head->normal_count > ENG_TOK_PATTERN_MAX || head->step_count > ENG_TOK_PATTERN_MAX ||
	    head->prefix_count > ENG_TOK_AFFIX_MAX || head->suffix_count > ENG_TOK_AFFIX_MAX ||
	    head->strip_spaces > TOK_STRIP_MAX)
		return false;
	return ids_fit(head->prefix, head->prefix_count, head->token_count, false) &&
	       ids_fit(head->suffix, head->suffix_count, head->token_count, false) &&
	       ids_fit(&head->unk_id, 1, head->token_count, true) &&
	       ids_fit(head->byte_ids, 256, head->token_count, true);
}

static bool section_fits(const struct tok_header *head, uint64_t off, uint64_t count,
			 uint64_t item_bytes)
{
	return off % 8 == 0 && off >= sizeof(*head) && off <= head->total_bytes &&
	       count <= (head->total_bytes - off) / item_bytes;
}

static bool sections_fit(const struct tok_header *head)
{
	return section_fits(head, head->tokens_off, head->token_count, sizeof(struct tok_entry)) &&
	       section_fits(head, head->slots_off, head->token_slots, sizeof(uint32_t)) &&
	       section_fits(head, head->merges_off, head->merge_slots, sizeof(struct tok_merge)) &&
	       section_fits(head, head->added_off, (uint64_t)head->added_raw + head->added_normal,
			    sizeof(struct tok_added)) &&
	       section_fits(head, head->steps_off, head->normal_count + head->step_count,
			    sizeof(struct tok_step)) &&
	       section_fits(head, head->strings_off, head->strings_bytes, 1);
}

static bool extra_fits(struct eng_tok *tok)
{
	const struct tok_header *head = tok->head;
	const uint8_t *base = (const void *)head;
	const struct tok_extra *extra;
	uint64_t scores = head->kind == ENG_TOK_UNIGRAM ? head->token_count : 0;

	if (!head->extra_words)
		return true;
	if (!section_fits(head, head->extra_words * 8ull, 1, sizeof(*extra)))
		return false;
	extra = (const void *)(base + head->extra_words * 8ull);
	if (!section_fits(head, extra->nodes_off, extra->node_count, sizeof(struct tok_node)) ||
	    !section_fits(head, extra->scores_off, scores, sizeof(double)) ||
	    extra->token_nodes > extra->node_count || (scores && !extra->token_nodes))
		return false;
	tok->extra = extra;
	tok->nodes = (const void *)(base + extra->nodes_off);
	tok->scores = (const void *)(base + extra->scores_off);
	return tok_trie_fits(tok);
}

static bool string_fits(const struct tok_header *head, uint32_t off, uint32_t bytes, uint32_t max)
{
	return bytes <= max && (uint64_t)off + bytes <= head->strings_bytes;
}

/* Without branches: a table has some hundred thousand of these to look at. */
static bool tokens_fit(const struct eng_tok *tok)
{
	const struct tok_header *head = tok->head;
	bool bad = false;

	for (uint32_t i = 0; i < head->token_count; i++) {
		const struct tok_entry *entry = &tok->tokens[i];

		bad |= !string_fits(head, entry->text_off, entry->text_bytes,
				    ENG_TOK_TOKEN_BYTES_MAX);
		bad |= !string_fits(head, entry->match_off, entry->match_bytes,
				    ENG_TOK_TOKEN_BYTES_MAX);
	}
	for (uint32_t i = 0; i < head->token_slots; i++)
		bad |= tok->slots[i] > head->token_count;
	return !bad;
}

static bool merges_fit(const struct eng_tok *tok)
{
	uint32_t limit = tok->head->token_count;
	bool bad = false;

	for (uint32_t i = 0; i < tok->head->merge_slots; i++) {
		const struct tok_merge *merge = &tok->merges[i];

		bad |= merge->left != ENG_TOK_NONE &&
		       ((merge->left >= limit) | (merge->right >= limit) |
			(merge->result >= limit));
	}
	return !bad;
}

static bool added_fit(const struct eng_tok *tok)
{
	uint32_t count = tok->head->added_raw + tok->head->added_normal;

	for (uint32_t i = 0; i < count; i++) {
		const struct tok_added *added = &tok->added[i];

		if (!added->text_bytes || added->id >= tok->head->token_count ||
		    !string_fits(tok->head, added->text_off, added->text_bytes,
				 ENG_TOK_TOKEN_BYTES_MAX))
			return false;
	}
	return true;
}

static bool charsmap_fits(const struct eng_tok *tok, const struct tok_step *step)
{
	const struct tok_extra *extra = tok->extra;

	return extra && step->pattern_off >= extra->token_nodes &&
	       step->pattern_off < extra->node_count && step->split >= ENG_MAP_LONGEST &&
	       step->split <= ENG_MAP_GRAPHEMES;
}

static bool steps_fit(const struct eng_tok *tok)
{
	const struct tok_header *head = tok->head;

	for (uint32_t i = 0; i < head->normal_count + head->step_count; i++) {
		const struct tok_step *step = &tok->steps[i];

		if (!tok_op_fits(step->op, i < head->normal_count) || step->invert > 1)
			return false;
		if (step->op == ENG_OP_CHARSMAP && !charsmap_fits(tok, step))
			return false;
		if (step->op == ENG_OP_SPLIT &&
		    (step->split < ENG_SPLIT_ISOLATED || step->split > ENG_SPLIT_CONTIGUOUS))
			return false;
		if (step->op != ENG_OP_CHARSMAP &&
		    !string_fits(head, step->pattern_off, step->pattern_bytes,
				 TOK_PATTERN_BYTES_MAX))
			return false;
		if (!string_fits(head, step->content_off, step->content_bytes,
				 TOK_CONTENT_BYTES_MAX) ||
		    !tok_is_text((const uint8_t *)tok->strings + step->content_off,
				 step->content_bytes))
			return false;
	}
	return true;
}

static int open_checked(struct eng_tok *tok, const void *blob, size_t blob_bytes)
{
	const uint8_t *base = blob;

	tok->head = blob;
	if (!header_fits(tok->head, blob_bytes) || !sections_fit(tok->head))
		return -EINVAL;
	tok->tokens = (const void *)(base + tok->head->tokens_off);
	tok->slots = (const void *)(base + tok->head->slots_off);
	tok->merges = (const void *)(base + tok->head->merges_off);
	tok->added = (const void *)(base + tok->head->added_off);
	tok->steps = (const void *)(base + tok->head->steps_off);
	tok->strings = (const void *)(base + tok->head->strings_off);
	if (!extra_fits(tok) || !tokens_fit(tok) || !merges_fit(tok) || !added_fit(tok) ||
	    !steps_fit(tok) || !tok_charsmaps_fit(tok))
		return -EINVAL;
	for (uint32_t i = 0; i < tok->head->normal_count + tok->head->step_count; i++)
		tok->track_lead |= tok->steps[i].op == ENG_OP_PREFIX_FIRST;
	tok_added_open(tok);
	return tok_regex_open(tok);
}

int eng_tok_open(const void *blob, size_t blob_bytes, struct eng_tok **tok)
{
	int err;

	*tok = NULL;
	if ((uintptr_t)blob % 8 || blob_bytes < sizeof(struct tok_header))
		return -EINVAL;
	*tok = calloc(1, sizeof(**tok));
	if (!*tok)
		return -ENOMEM;
	err = open_checked(*tok, blob, blob_bytes);
	if (err)
		eng_tok_close(tok);
	return err;
}

void eng_tok_close(struct eng_tok **tok)
{
	struct eng_tok *t = *tok;

	if (!t)
		return;
	*tok = NULL;
	tok_regex_close(t);
	free(t->repaired.data);
	free(t->normal.data);
	free(t->work[0].data);
	free(t->work[1].data);
	free(t->pieces.v);
	free(t->spare_pieces.v);
	free(t->symbols);
	free(t->heap);
	free(t->path);
	free(t);
}
