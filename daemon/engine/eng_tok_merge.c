/* SPDX-License-Identifier: MIT */
/*
 * eng_tok_merge.c: byte pair encoding of one piece. A heap holds the possible merges by rank, then
 * position; a list links the symbols: n log n for a piece of n symbols.
 */
#include <errno.h>
#include <string.h>

#include "eng_tok_priv.h"

uint64_t tok_hash_bytes(const void *data, size_t bytes)
{
	const uint8_t *at = data;
	uint64_t hash = 0x9e3779b97f4a7c15ull ^ bytes;
	uint64_t word;

	for (; bytes >= 8; bytes -= 8, at += 8) {
		memcpy(&word, at, 8);
		hash = (hash ^ word) * 0xff51afd7ed558ccdull;
		hash ^= hash >> 32;
	}
	word = 0;
	if (bytes)	/* @at may be NULL for no bytes */
		memcpy(&word, at, bytes);
	hash = (hash ^ word) * 0xff51afd7ed558ccdull;
	hash ^= hash >> 32;
	hash *= 0xc4ceb9fe1a85ec53ull;
	return hash ^ hash >> 29;
}

uint64_t tok_hash_pair(uint32_t left, uint32_t right)
{
	uint64_t hash = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15ull;

	hash ^= hash >> 32;
	hash *= 0xff51afd7ed558ccdull;
	return hash ^ hash >> 32;
}

uint32_t tok_lookup(const struct eng_tok *tok, const void *text, size_t bytes)
{
	uint32_t mask = tok->head->token_slots - 1, slot = (uint32_t)tok_hash_bytes(text, bytes);

	for (uint32_t i = 0; i < tok->head->token_probes; i++, slot++) {
		uint32_t value = tok->slots[slot & mask];
		const struct tok_entry *entry;

		if (!value)
			break;
		entry = &tok->tokens[value - 1];
		if (entry->match_bytes == bytes &&
		    !memcmp(tok->strings + entry->match_off, text, bytes))
			return value - 1;
	}
	return ENG_TOK_NONE;
}

static const struct tok_merge *find_merge(const struct eng_tok *tok, uint32_t left, uint32_t right)
{
	uint32_t mask = tok->head->merge_slots - 1, slot = (uint32_t)tok_hash_pair(left, right);

	for (uint32_t i = 0; i < tok->head->merge_probes; i++, slot++) {
		const struct tok_merge *merge = &tok->merges[slot & mask];

		if (merge->left == left && merge->right == right)
			return merge;
		if (merge->left == ENG_TOK_NONE)
			break;
	}
	return NULL;
}

/* Four children a node: half as deep as with two, and the four lie side by side. */
#define HEAP_WIDTH	4u

static void heap_push(struct eng_tok *tok, uint64_t key, uint32_t result)
{
	struct tok_heap_entry *heap = tok->heap;
	size_t at = tok->heap_count++;

	while (at && heap[(at - 1) / HEAP_WIDTH].key > key) {
		heap[at] = heap[(at - 1) / HEAP_WIDTH];
		at = (at - 1) / HEAP_WIDTH;
	}
	heap[at] = (struct tok_heap_entry){key, result};
}

static struct tok_heap_entry heap_pop(struct eng_tok *tok)
{
	struct tok_heap_entry *heap = tok->heap, top = heap[0], last = heap[--tok->heap_count];
	size_t count = tok->heap_count, at = 0, child;

	while ((child = HEAP_WIDTH * at + 1) < count) {
		size_t end = child + HEAP_WIDTH < count ? child + HEAP_WIDTH : count, least = child;

		while (++child < end)
			least = heap[child].key < heap[least].key ? child : least;
		if (heap[least].key >= last.key)
			break;
		heap[at] = heap[least];
		at = least;
	}
	heap[at] = last;
	return top;
}

static void offer(struct eng_tok *tok, int32_t left, int32_t right)
{
	const struct tok_merge *merge;

	if (left < 0 || right < 0)
		return;
	merge = find_merge(tok, tok->symbols[left].id, tok->symbols[right].id);
	if (merge)
		heap_push(tok, (uint64_t)merge->rank << 32 | (uint32_t)left, merge->result);
}

/* Each merge takes one entry and offers at most two: the heap never exceeds twice the symbols. */
static void merge_all(struct eng_tok *tok, size_t count)
{
	struct tok_symbol *symbols = tok->symbols;

	tok->heap_count = 0;
	for (size_t i = 0; i + 1 < count; i++)
		offer(tok, (int32_t)i, (int32_t)i + 1);
	while (tok->heap_count) {
		struct tok_heap_entry top = heap_pop(tok);
		struct tok_symbol *left = &symbols[(uint32_t)top.key], *right;
		const struct tok_merge *merge;

		if (left->id == ENG_TOK_NONE || left->next < 0)
			continue;
		right = &symbols[left->next];
		merge = find_merge(tok, left->id, right->id);
		if (!merge || merge->result != top.result)
			continue;	/* a neighbour has changed since */
		left->id = top.result;
		right->id = ENG_TOK_NONE;
		left->next = right->next;
		if (left->next >= 0)
			symbols[left->next].prev = (int32_t)(left - symbols);
		offer(tok, left->prev, (int32_t)(left - symbols));
		offer(tok, (int32_t)(left - symbols), left->next);
	}
}

static void add_symbol(struct eng_tok *tok, size_t *count, uint32_t id)
{
	tok->symbols[*count] = (struct tok_symbol){id, (int32_t)*count - 1, (int32_t)*count + 1};
	(*count)++;
}

static size_t symbols_of_bytes(struct eng_tok *tok, const uint8_t *piece, size_t bytes)
{
	const struct tok_header *head = tok->head;
	bool unknown = false;
	size_t count = 0;

	for (size_t i = 0; i < bytes; i++) {
		uint32_t id = head->byte_ids[piece[i]];

		if (id == ENG_TOK_NONE && head->unk_id != ENG_TOK_NONE &&
		    !(unknown && head->flags & TOK_FUSE_UNK))
			add_symbol(tok, &count, head->unk_id);
		unknown = id == ENG_TOK_NONE;
		if (!unknown)
			add_symbol(tok, &count, id);
	}
	return count;
}

static bool byte_symbols(struct eng_tok *tok, const uint8_t *text, uint32_t bytes, size_t *count)
{
	const struct tok_header *head = tok->head;

	if (!(head->flags & TOK_BYTE_FALLBACK))
		return false;
	for (uint32_t i = 0; i < bytes; i++)
		if (head->byte_ids[text[i]] == ENG_TOK_NONE)
			return false;
	for (uint32_t i = 0; i < bytes; i++)
		add_symbol(tok, count, head->byte_ids[text[i]]);
	return true;
}

/* An unknown waits for the next known character (not byte tokens), where it may grow: as in HF. */
static size_t symbols_of_characters(struct eng_tok *tok, const uint8_t *piece, size_t bytes)
{
	const struct tok_header *head = tok->head;
	bool unknown = false;
	size_t count = 0;
	uint32_t step;

	for (size_t i = 0; i < bytes; i += step) {
		uint32_t id;

		step = tok_utf8_step(piece[i]);
		id = tok_lookup(tok, piece + i, step);
		if (id != ENG_TOK_NONE) {
			if (unknown)
				add_symbol(tok, &count, head->unk_id);
			unknown = false;
			add_symbol(tok, &count, id);
		} else if (!byte_symbols(tok, piece + i, step, &count) &&
			   head->unk_id != ENG_TOK_NONE) {
			if (unknown && !(head->flags & TOK_FUSE_UNK))
				add_symbol(tok, &count, head->unk_id);
			unknown = true;
		}
	}
	if (unknown)
		add_symbol(tok, &count, head->unk_id);
	return count;
}

static int scratch_room(struct eng_tok *tok, size_t symbols)
{
	void *array = tok->symbols;
	int err = tok_array_room(&array, &tok->symbol_cap, symbols, sizeof(*tok->symbols));

	tok->symbols = array;
	array = tok->heap;
	err = err ? err : tok_array_room(&array, &tok->heap_cap, 2 * symbols, sizeof(*tok->heap));
	tok->heap = array;
	return err;
}

int tok_bpe_merge(struct eng_tok *tok, const uint8_t *piece, size_t bytes, struct tok_out *out)
{
	/* One more than bytes: an unknown may be followed by the bytes of the next character. */
	int err = scratch_room(tok, bytes + 1);
	size_t count;

	if (err)
		return err;
	if (tok->head->kind == ENG_TOK_BYTE_BPE)
		count = symbols_of_bytes(tok, piece, bytes);
	else
		count = symbols_of_characters(tok, piece, bytes);
	if (!count)
		return 0;
	tok->symbols[count - 1].next = -1;
	merge_all(tok, count);
	for (int32_t i = 0; i >= 0; i = tok->symbols[i].next)
		tok_emit(out, tok->symbols[i].id);
	return 0;
}

int tok_bpe(struct eng_tok *tok, const uint8_t *piece, size_t bytes, struct tok_out *out)
{
	uint32_t id;

	if (bytes <= ENG_TOK_TOKEN_BYTES_MAX) {
		id = tok_lookup(tok, piece, bytes);
		if (id != ENG_TOK_NONE && tok->tokens[id].flags & TOK_ENTRY_WHOLE) {
			tok_emit(out, id);
			return 0;
		}
	}
	return tok_bpe_merge(tok, piece, bytes, out);
}
