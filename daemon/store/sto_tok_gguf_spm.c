/* SPDX-License-Identifier: MIT */
/*
 * sto_tok_gguf_spm.c: GGUF vocabularies of SentencePiece: models llama (BPE by scores) and t5
 * (unigram), and BPE with merges over text in which spaces are U+2581.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sto_tok_gguf_priv.h"

#define SPACE_MARK	"\xe2\x96\x81"	/* U+2581, a space in SentencePiece */

static int by_score(const void *x, const void *y, void *scores)
{
	const float *s = scores;
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

	if (s[a] != s[b])
		return s[a] > s[b] ? -1 : 1;
	return (a > b) - (a < b);
}

/* All ways to make token @id of two others. */
static int split_token(struct sto_tok *t, uint32_t id, uint32_t rank)
{
	struct eng_tok_string text = t->tokens[id];
	int err = 0;

	for (uint32_t at = 1; at < text.bytes && !err; at++) {
		struct eng_tok_string left = {text.data, at},
				      right = {text.data + at, text.bytes - at};
		uint32_t left_id, right_id;

		if (((unsigned char)text.data[at] & 0xc0) == 0x80)
			continue;
		left_id = sto_tok_find(t, left);
		right_id = left_id == ENG_TOK_NONE ? ENG_TOK_NONE : sto_tok_find(t, right);
		if (right_id != ENG_TOK_NONE)
			err = sto_tok_merge_ids(t, left_id, right_id, id, rank);
	}
	return err;
}

static bool may_be_made(const struct sto_tok *t, const struct sto_tok_gguf_vocab *v, uint32_t id)
{
	int type = type_of(v, id);

	return t->tokens[id].data && !(t->flags[id] & ENG_TOKEN_OUTSIDE) && type != TYPE_UNKNOWN &&
	       type != TYPE_CONTROL && type != TYPE_BYTE;
}

/* Better scores first; of merges with equal scores the leftmost, so those have one rank. */
static int merges_of_scores(struct sto_tok *t, const struct sto_tok_gguf_vocab *v)
{
	uint32_t *order = malloc((size_t)v->token_count * sizeof(*order)), rank = 0;
	int err = 0;

	if (!order)
		return -ENOMEM;
	for (uint32_t i = 0; i < v->token_count; i++)
		order[i] = i;
	qsort_r(order, v->token_count, sizeof(*order), by_score, (void *)(uintptr_t)v->scores);
	for (uint32_t i = 0; i < v->token_count && !err; i++) {
		if (i && v->scores[order[i]] != v->scores[order[i - 1]])
			rank++;
		if (may_be_made(t, v, order[i]))
			err = split_token(t, order[i], rank);
	}
	free(order);
	return err;
}

/* Decoded texts: the mark is a space again. Never longer than the text. */
static int decode_marks(struct sto_tok *t)
{
	const size_t mark = sizeof(SPACE_MARK) - 1;

	t->decoded = calloc(t->src.token_count, sizeof(*t->decoded));
	if (!t->decoded)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->src.token_count; i++) {
		struct eng_tok_string text = t->tokens[i];
		char made[ENG_TOK_TOKEN_BYTES_MAX];
		size_t bytes = 0, at = 0;

		if (!text.data || text.bytes > sizeof(made))
			continue;	/* compiling refuses the long ones */
		while (at < text.bytes) {
			bool marked = text.bytes - at >= mark &&
				      !memcmp(text.data + at, SPACE_MARK, mark);

			made[bytes++] = marked ? ' ' : text.data[at];
			at += marked ? mark : 1;
		}
		t->decoded[i] = sto_tok_copy(t, made, bytes);
		if (!t->decoded[i].data)
			return -ENOMEM;
	}
	return 0;
}

static int mark_byte_tokens(struct sto_tok *t, const struct sto_tok_gguf_vocab *v)
{
	sto_tok_mark_bytes(t);
	for (uint32_t i = 0; i < v->token_count; i++) {
		bool byte = type_of(v, i) == TYPE_BYTE;

		if (byte && !(t->flags[i] & ENG_TOKEN_BYTE))
			return sto_tok_fail(
				t, "tokenizer.ggml.tokens[%u]: is no byte of the form <0xNN>", i);
		if (!byte && v->types)
			t->flags[i] &= ~(uint32_t)ENG_TOKEN_BYTE;
	}
	return 0;
}

static int add_replace(struct sto_tok *t, struct eng_tok_string pattern, bool literal,
		       struct eng_tok_string content)
{
	struct eng_tok_step step = {.op = ENG_OP_REPLACE, .content = content};

	return sto_tok_add_pattern(t, "tokenizer.ggml", true, pattern, literal, step);
}

/* Spaces at both ends go, several become one. */
static int add_space_steps(struct sto_tok *t, const struct sto_tok_gguf_vocab *v)
{
	int err;

	if (v->remove_extra_spaces <= 0)
		return 0;
	err = add_replace(t, STO_TOK_STR("\\A +|(?<! ) +\\z"), false, STO_TOK_STR(""));
	return err ? err : add_replace(t, STO_TOK_STR(" {2,}"), false, STO_TOK_STR(" "));
}

int tok_gguf_marks(struct sto_tok *t, const struct sto_tok_gguf_vocab *v, bool prefix)
{
	struct eng_tok_step prepend = {.op = ENG_OP_PREPEND, .content = STO_TOK_STR(SPACE_MARK)};
	int err = 0;

	t->src.kind = ENG_TOK_SPM_BPE;
	t->src.byte_fallback = t->src.byte_runs = t->src.fuse_unk = true;
	t->src.unk_id = v->unk_id;
	t->src.strip_spaces = prefix;
	err = add_space_steps(t, v);
	if (!err && prefix)
		err = sto_tok_add_normal(t, "tokenizer.ggml", prepend);
	err = err ? err : add_replace(t, STO_TOK_STR(" "), true, STO_TOK_STR(SPACE_MARK));
	err = err ? err : mark_byte_tokens(t, v);
	return err ? err : decode_marks(t);
}

static int check_scores(struct sto_tok *t, const struct sto_tok_gguf_vocab *v)
{
	if (!v->scores)
		return sto_tok_fail(t, "tokenizer.ggml.scores: is missing");
	for (uint32_t i = 0; i < v->token_count; i++)
		if (!isfinite(v->scores[i]))
			return sto_tok_fail(t, "tokenizer.ggml.scores[%u]: is no finite number", i);
	return 0;
}

int tok_gguf_llama(struct sto_tok *t, const struct sto_tok_gguf_vocab *v)
{
	int err = check_scores(t, v);

	err = err ? err : tok_gguf_marks(t, v, v->add_space_prefix != 0);
	if (v->unk_id == ENG_TOK_NONE)
		t->src.unk_id = 0;
	err = err ? err : merges_of_scores(t, v);
	return err ? err : tok_gguf_affixes(t, v, true, false);
}

/* Only normal tokens are found in a text; those that users have defined are cut out before. */
static int read_scores(struct sto_tok *t, const struct sto_tok_gguf_vocab *v)
{
	float least = HUGE_VALF;

	t->scores = calloc(v->token_count, sizeof(*t->scores));
	if (!t->scores)
		return -ENOMEM;
	for (uint32_t i = 0; i < v->token_count; i++) {
		int type = type_of(v, i);

		t->scores[i] = type == TYPE_USER ? 0 : (double)v->scores[i];
		if (type == TYPE_NORMAL && v->scores[i] < least)
			least = v->scores[i];
		if (type == TYPE_UNKNOWN || type == TYPE_CONTROL || type == TYPE_BYTE)
			t->flags[i] |= ENG_TOKEN_OUTSIDE;
	}
	t->src.unk_score = isfinite(least) ? (double)least - STO_TOK_UNK_PENALTY : 0;
	return 0;
}

int tok_gguf_t5(struct sto_tok *t, const struct sto_tok_gguf_vocab *v)
{
	int err = check_scores(t, v);

	if (!err && v->charsmap_bytes)
		err = sto_tok_add_charsmap(t, "tokenizer.ggml", v->charsmap, v->charsmap_bytes,
					   ENG_MAP_LONGEST);
	err = err ? err : tok_gguf_marks(t, v, v->add_space_prefix != 0);
	t->src.kind = ENG_TOK_UNIGRAM;
	if (v->unk_id == ENG_TOK_NONE)
		t->src.unk_id = v->token_count > 2 ? 2 : ENG_TOK_NONE;
	err = err ? err : read_scores(t, v);
	return err ? err : tok_gguf_affixes(t, v, false, true);
}
