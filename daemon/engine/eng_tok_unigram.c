/* SPDX-License-Identifier: MIT */
/*
 * eng_tok_unigram.c: the most probable way to write a piece as tokens (Kudo 2018), by the Viterbi
 * algorithm. Sums in the order and precision of the library that the files come from.
 */
#include <errno.h>
#include <string.h>

#include "eng_tok_priv.h"

/* A better way to @end was found, or the first one. */
static void offer(struct tok_path *end, double score, uint32_t from, uint32_t id)
{
	if (end->id != TOK_PATH_NONE && score <= end->score)
		return;
	end->score = score;
	end->from = from;
	end->id = id;
}

/* All tokens that begin at @at; the unknown one when none is just this character. */
static void offer_from(struct eng_tok *tok, const uint8_t *piece, uint32_t bytes, uint32_t at)
{
	struct tok_path *path = tok->path;
	double score = path[at].score;
	uint32_t step = tok_utf8_step(piece[at]), node = 0;
	bool single = false;

	for (uint32_t end = at; end < bytes;) {
		uint32_t id;

		node = tok_trie_step(tok, node, piece[end++]);
		if (node == ENG_TOK_NONE)
			break;
		id = tok->nodes[node].value;
		if (id == ENG_TOK_NONE)
			continue;
		offer(&path[end], tok->scores[id] + score, at, id);
		single |= end - at == step;
	}
	if (!single)
		offer(&path[at + step], tok->extra->unk_score + score, at, tok->head->unk_id);
}

/* Turns the best path, which is known from its end, around. */
static void link_forward(struct tok_path *path, uint32_t bytes)
{
	for (uint32_t end = bytes; end; end = path[end].from)
		path[path[end].from].next = end;
}

/* A run of unknowns is one unknown, unless it is known as a whole or has byte tokens. */
static void emit_unknown(struct eng_tok *tok, const uint8_t *text, uint32_t bytes,
			 struct tok_out *out)
{
	const struct tok_header *head = tok->head;
	uint32_t id = tok_lookup(tok, text, bytes);
	bool fallback = head->flags & TOK_BYTE_FALLBACK && id == ENG_TOK_NONE;

	for (uint32_t i = 0; i < bytes && fallback; i++)
		fallback = head->byte_ids[text[i]] != ENG_TOK_NONE;
	for (uint32_t i = 0; i < bytes && fallback; i++)
		tok_emit(out, head->byte_ids[text[i]]);
	if (!fallback)
		tok_emit(out, id != ENG_TOK_NONE ? id : head->unk_id);
}

static void emit_path(struct eng_tok *tok, const uint8_t *piece, uint32_t bytes,
		      struct tok_out *out)
{
	const struct tok_path *path = tok->path;
	uint32_t unk = tok->head->unk_id, end;

	for (uint32_t at = 0; at < bytes; at = end) {
		end = path[at].next;
		if (path[end].id != unk) {
			tok_emit(out, path[end].id);
			continue;
		}
		while (end < bytes && path[path[end].next].id == unk)
			end = path[end].next;
		emit_unknown(tok, piece + at, end - at, out);
	}
}

int tok_unigram(struct eng_tok *tok, const uint8_t *piece, size_t bytes, struct tok_out *out)
{
	void *array = tok->path;
	int err = tok_array_room(&array, &tok->path_cap, bytes + 1, sizeof(*tok->path));

	tok->path = array;
	if (err)
		return err;
	for (size_t i = 0; i <= bytes; i++)
		tok->path[i] = (struct tok_path){.id = TOK_PATH_NONE};
	for (size_t at = 0; at < bytes; at += tok_utf8_step(piece[at]))
		offer_from(tok, piece, (uint32_t)bytes, (uint32_t)at);
	link_forward(tok->path, (uint32_t)bytes);
	emit_path(tok, piece, (uint32_t)bytes, out);
	return 0;
}
