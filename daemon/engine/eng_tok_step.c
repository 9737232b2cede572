/* SPDX-License-Identifier: MIT */
/* eng_tok_step.c: the normal steps on a part of the text, the pre-tokenizer steps on its pieces. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "eng_tok_priv.h"

/* Walks text as matches and gaps, empty matches included, none right behind another match. */
struct walk {
	const pcre2_code *code;
	const uint8_t *text;
	size_t bytes;
	size_t at;		/* all before it has been given out */
	size_t search;
	size_t from, to;	/* pending match */
	bool pending, done, matched;
};

static int walk_search(struct eng_tok *tok, struct walk *w)
{
	int found;

	while (!w->pending && !w->done) {
		if (w->search > w->bytes) {
			w->done = true;
			break;
		}
		found = tok_regex_match(tok, w->code, w->text, w->bytes, w->search, &w->from,
					&w->to);
		if (found < 0)
			return found;
		if (!found) {
			w->done = true;
		} else if (w->from == w->to && w->matched && w->to == w->at) {
			w->search += w->search < w->bytes ? tok_utf8_step(w->text[w->search]) : 1;
		} else {
			w->pending = true;
			w->search = w->to;
		}
	}
	return 0;
}

/* 1 and a part; 0 at the end. */
static int walk_next(struct eng_tok *tok, struct walk *w, struct tok_piece *part, bool *is_match)
{
	int err = walk_search(tok, w);

	if (err)
		return err;
	*is_match = w->pending && w->from == w->at;
	if (!w->pending && w->at == w->bytes)
		return 0;
	part->off = (uint32_t)w->at;
	if (*is_match) {
		w->pending = false;
		w->matched = true;
		w->at = w->to;
	} else {
		w->at = w->pending ? w->from : w->bytes;
		w->matched = false;
	}
	part->bytes = (uint32_t)(w->at - part->off);
	return 1;
}

/* State of one piece being split; pieces before @base belong to others. */
struct split {
	struct tok_pieces *out;
	size_t base;
	uint32_t mode;
	bool previous;
	bool open;		/* MERGED_NEXT: the last piece waits for what follows it */
};

static int split_part(struct split *s, struct tok_piece part, bool is_match)
{
	bool have = s->out->count > s->base, join = false, previous = s->previous;

	s->previous = is_match;
	switch (s->mode) {
	case ENG_SPLIT_REMOVED:
		if (is_match)
			return 0;
		break;
	case ENG_SPLIT_CONTIGUOUS:
		join = have && is_match == previous;
		break;
	case ENG_SPLIT_MERGED_PREVIOUS:
		join = have && is_match && !previous;
		break;
	case ENG_SPLIT_MERGED_NEXT:
		join = s->open && !is_match;
		s->open = is_match;
		break;
	}
	if (!join)
		return tok_pieces_add(s->out, part.off, part.bytes);
	s->out->v[s->out->count - 1].bytes += part.bytes;
	return 0;
}

static void drop_empty(struct tok_pieces *pieces, size_t base)
{
	size_t kept = base;

	for (size_t i = base; i < pieces->count; i++)
		if (pieces->v[i].bytes)
			pieces->v[kept++] = pieces->v[i];
	pieces->count = kept;
}

static int split_piece(struct eng_tok *tok, uint32_t index, const uint8_t *text,
		       struct tok_piece piece, struct tok_pieces *out)
{
	const struct tok_step *step = &tok->steps[index];
	struct walk w = {.code = tok->code[index], .text = text + piece.off, .bytes = piece.bytes};
	struct split s = {.out = out, .base = out->count, .mode = step->split};
	struct tok_piece part;
	bool is_match;
	int more;

	while ((more = walk_next(tok, &w, &part, &is_match)) > 0) {
		part.off += piece.off;
		more = split_part(&s, part, is_match != !!step->invert);
		if (more < 0)
			return more;
	}
	drop_empty(out, s.base);
	return more;
}

/* Which part of @lead, bytes at the start, is left when @part, a match or not, has been handled. */
static size_t lead_left(const struct tok_step *step, struct tok_piece part, bool is_match,
			size_t lead)
{
	if (part.off || !is_match)
		return lead < part.bytes || part.off ? lead : part.bytes;
	/* What is put in stands where the last of what is taken out stood. */
	return part.bytes > lead ? 0 : lead - part.bytes + step->content_bytes;
}

static int replace_in(struct eng_tok *tok, uint32_t index, const uint8_t *text, size_t bytes,
		      struct tok_buf *out)
{
	const struct tok_step *step = &tok->steps[index];
	struct walk w = {.code = tok->code[index], .text = text, .bytes = bytes};
	struct tok_piece part;
	bool is_match;
	int more;

	while ((more = walk_next(tok, &w, &part, &is_match)) > 0) {
		tok->lead = lead_left(step, part, is_match, tok->lead);
		if (is_match)
			more = tok_buf_add(out, tok->strings + step->content_off,
					   step->content_bytes);
		else
			more = tok_buf_add(out, text + part.off, part.bytes);
		if (more < 0)
			return more;
	}
	return more;
}

/* A step that changes text: all pieces move to @out. */
static int rewrite_pieces(struct eng_tok *tok, uint32_t index, const uint8_t *text, bool first,
			  struct tok_buf *out)
{
	const struct tok_step *step = &tok->steps[index];
	const char *content = tok->strings + step->content_off;
	int err = 0;

	out->bytes = 0;
	first = first && tok->pieces.count && tok->pieces.v[0].off < tok->lead;
	for (size_t i = 0; i < tok->pieces.count && !err; i++) {
		struct tok_piece *piece = &tok->pieces.v[i];
		const uint8_t *from = text + piece->off;
		size_t before = out->bytes;
		bool wanted = step->op == ENG_OP_PREFIX || (first && i == 0);

		if (step->op == ENG_OP_REPLACE) {
			err = replace_in(tok, index, from, piece->bytes, out);
		} else if (step->op == ENG_OP_ALPHABET) {
			err = tok_alphabet(from, piece->bytes, out);
		} else {
			if (piece->bytes >= step->content_bytes &&
			    !memcmp(from, content, step->content_bytes))
				wanted = false;
			err = wanted ? tok_buf_add(out, content, step->content_bytes) : 0;
			err = err ? err : tok_buf_add(out, from, piece->bytes);
		}
		piece->off = (uint32_t)before;
		piece->bytes = (uint32_t)(out->bytes - before);
	}
	tok->lead = first;
	return err;
}

static int split_pieces(struct eng_tok *tok, uint32_t index, const uint8_t *text)
{
	struct tok_pieces old = tok->pieces;
	int err = 0;

	tok->spare_pieces.count = 0;
	for (size_t i = 0; i < old.count && !err; i++)
		err = split_piece(tok, index, text, old.v[i], &tok->spare_pieces);
	tok->pieces = tok->spare_pieces;
	tok->spare_pieces = old;
	return err;
}

int tok_pretokenize(struct eng_tok *tok, struct tok_span *span, bool first)
{
	uint32_t end = tok->head->normal_count + tok->head->step_count, turn = 0;
	int err;

	tok->pieces.count = 0;
	err = tok_pieces_add(&tok->pieces, 0, (uint32_t)span->bytes);
	for (uint32_t i = tok->head->normal_count; i < end && !err; i++) {
		if (tok->steps[i].op == ENG_OP_SPLIT) {
			err = split_pieces(tok, i, span->text);
			continue;
		}
		err = rewrite_pieces(tok, i, span->text, first, &tok->work[turn]);
		span->text = tok->work[turn].data;
		span->bytes = tok->work[turn].bytes;
		turn ^= 1;
	}
	return err;
}

static int normal_step(struct eng_tok *tok, uint32_t index, const uint8_t *text, size_t bytes,
		       struct tok_buf *out)
{
	const struct tok_step *step = &tok->steps[index];
	size_t cut;
	int err;

	switch (step->op) {
	case ENG_OP_REPLACE:
		return replace_in(tok, index, text, bytes, out);
	case ENG_OP_PREPEND:
		err = bytes ? tok_buf_add(out, tok->strings + step->content_off,
					  step->content_bytes)
			    : 0;
		return err ? err : tok_buf_add(out, text, bytes);
	case ENG_OP_STRIP_LEFT:
		cut = tok_space_prefix(text, bytes);
		return tok_buf_add(out, text + cut, bytes - cut);
	case ENG_OP_STRIP_RIGHT:
		return tok_buf_add(out, text, bytes - tok_space_suffix(text, bytes));
	case ENG_OP_NFC:
	case ENG_OP_NFD:
	case ENG_OP_NFKC:
	case ENG_OP_NFKD:
		return tok_normal_form(step->op, text, bytes, out);
	case ENG_OP_LOWERCASE:
		return tok_lowercase(text, bytes, out);
	case ENG_OP_CHARSMAP:
		return tok_charsmap(tok, step, text, bytes, out);
	case ENG_OP_ALPHABET:
		return tok_alphabet(text, bytes, out);
	}
	return -EINVAL;
}

/* Bytes that @lead bytes at the start of @span have become in @made. */
static int follow_lead(struct eng_tok *tok, uint32_t index, const struct tok_span *span,
		       const struct tok_buf *made)
{
	const struct tok_step *step = &tok->steps[index];
	size_t lead = tok->lead, cut = span->bytes - made->bytes;
	struct tok_buf part = {0};
	int err = 0;

	switch (step->op) {
	case ENG_OP_REPLACE:
		return 0;	/* done already */
	case ENG_OP_STRIP_LEFT:
		tok->lead = cut < lead ? lead - cut : 0;
		return 0;
	case ENG_OP_PREPEND:
		tok->lead = lead && made->bytes ? lead + step->content_bytes : 0;
		return 0;
	case ENG_OP_STRIP_RIGHT:
		break;
	case ENG_OP_CHARSMAP:
		tok->lead = lead && made->bytes ? tok_utf8_step(made->data[0]) : 0;
		return 0;
	default:
		err = normal_step(tok, index, span->text, lead, &part);
		tok->lead = part.bytes;
		if (!err && lead && made->bytes &&
		    (part.bytes > made->bytes || memcmp(part.data, made->data, part.bytes)))
			tok->lead = tok_utf8_step(made->data[0]);
		free(part.data);
	}
	tok->lead = tok->lead < made->bytes ? tok->lead : made->bytes;
	return err;
}

int tok_normalize(struct eng_tok *tok, struct tok_span *span)
{
	struct tok_buf swap;
	int err = 0;

	tok->lead = span->bytes ? tok_utf8_step(span->text[0]) : 0;
	for (uint32_t i = 0; i < tok->head->normal_count && !err; i++) {
		tok->work[0].bytes = 0;
		err = normal_step(tok, i, span->text, span->bytes, &tok->work[0]);
		if (!err && tok->track_lead)
			err = follow_lead(tok, i, span, &tok->work[0]);
		swap = tok->normal;
		tok->normal = tok->work[0];
		tok->work[0] = swap;
		span->text = tok->normal.data;
		span->bytes = tok->normal.bytes;
	}
	return err;
}
