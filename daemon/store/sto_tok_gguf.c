/* SPDX-License-Identifier: MIT */
/* sto_tok_gguf.c: a GGUF vocabulary to a compiled table. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sto_file.h"
#include "sto_tok.h"
#include "sto_tok_gguf.h"
#include "sto_tok_pre.h"

#define SPACE_MARK	"\xe2\x96\x81"	/* U+2581, a space in SentencePiece */

enum token_type {
	TYPE_NORMAL = 1,
	TYPE_UNKNOWN = 2,
	TYPE_CONTROL = 3,
	TYPE_USER = 4,
	TYPE_UNUSED = 5,
	TYPE_BYTE = 6,
};

static bool is(struct eng_tok_string text, const char *name)
{
	return text.data && text.bytes == strlen(name) && !memcmp(text.data, name, text.bytes);
}

static int type_of(const struct sto_tok_gguf_vocab *v, uint32_t id)
{
	return v->types ? v->types[id] : TYPE_NORMAL;
}

static int flags_of(struct sto_tok *t, const struct sto_tok_gguf_vocab *v, uint32_t id,
		    uint32_t *flags)
{
	switch (type_of(v, id)) {
	case 0:	/* undefined: written by early converters */
	case TYPE_NORMAL:
	case TYPE_BYTE:
		*flags = 0;
		return 0;
	case TYPE_UNKNOWN:
	case TYPE_CONTROL:
		*flags = ENG_TOKEN_ADDED | ENG_TOKEN_SPECIAL;
		return 0;
	case TYPE_USER:
		*flags = ENG_TOKEN_ADDED;
		return 0;
	case TYPE_UNUSED:
		*flags = ENG_TOKEN_UNUSED;
		return 0;
	}
	return sto_tok_fail(t, "tokenizer.ggml.token_type[%u]: is %d; the known ones are 1 to 6",
			    id, type_of(v, id));
}

static bool is_byte_token(struct eng_tok_string text)
{
	static const char hex[] = "0123456789ABCDEFabcdef";

	return text.bytes == 6 && !memcmp(text.data, "<0x", 3) && text.data[5] == '>' &&
	       memchr(hex, text.data[3], 22) && memchr(hex, text.data[4], 22);
}

static int check_text(struct sto_tok *t, const struct sto_tok_gguf_vocab *v, uint32_t id)
{
	struct eng_tok_string text = v->tokens[id];

	if (!text.bytes || text.bytes > ENG_TOK_TOKEN_BYTES_MAX)
		return sto_tok_fail(t,
				    "tokenizer.ggml.tokens[%u]: has %u bytes; the limit is 1 to %u",
				    id, text.bytes, ENG_TOK_TOKEN_BYTES_MAX);
	if (!sto_utf8_sound(text.data, text.bytes))
		return sto_tok_fail(t, "tokenizer.ggml.tokens[%u]: is not UTF-8 text", id);
	if (type_of(v, id) == TYPE_BYTE && !is_byte_token(text))
		return sto_tok_fail(t,
				    "tokenizer.ggml.tokens[%u]: \"%.*s\" is not a byte; <0x00> to "
				    "<0xFF> are",
				    id, (int)(text.bytes < 32 ? text.bytes : 32), text.data);
	return 0;
}

/*
 * Texts may come twice in such a list. The later one counts, as in llama.cpp; the earlier one can
 * still be decoded.
 */
static int read_tokens(struct sto_tok *t, const struct sto_tok_gguf_vocab *v)
{
	uint32_t flags = 0, earlier;
	int err;

	for (uint32_t i = 0; i < v->token_count; i++) {
		err = flags_of(t, v, i, &flags);
		if (err)
			return err;
		if (flags & ENG_TOKEN_UNUSED)
			continue;
		err = check_text(t, v, i);
		if (err)
			return err;
		earlier = sto_tok_find(t, v->tokens[i]);
		if (earlier != ENG_TOK_NONE)
			t->flags[earlier] =
				(t->flags[earlier] & ENG_TOKEN_SPECIAL) | ENG_TOKEN_OUTSIDE;
		err = sto_tok_set(t, "tokenizer.ggml.tokens", i, v->tokens[i], flags);
		if (err)
			return err;
	}
	return 0;
}

static int add_affix(struct sto_tok *t, const char *field, uint32_t id, uint32_t *list,
		     uint32_t *count)
{
	if (id == ENG_TOK_NONE)
		return sto_tok_fail(t, "%s: is missing, but is to be put around each text", field);
	if (id >= t->src.token_count)
		return sto_tok_fail(t, "%s: is %u; there are %u tokens", field, id,
				    t->src.token_count);
	list[(*count)++] = id;
	return 0;
}

static int read_affixes(struct sto_tok *t, const struct sto_tok_gguf_vocab *v, bool add_bos)
{
	int err = 0;

	if (v->add_bos < 0 ? add_bos : v->add_bos)
		err = add_affix(t, "tokenizer.ggml.bos_token_id", v->bos_id, t->src.prefix,
				&t->src.prefix_count);
	if (!err && v->add_eos > 0)
		err = add_affix(t, "tokenizer.ggml.eos_token_id", v->eos_id, t->src.suffix,
				&t->src.suffix_count);
	return err;
}

/* -- gpt2 ---------------------------------------------------------------------------------- */

static int read_merge(struct sto_tok *t, uint32_t index, struct eng_tok_string merge)
{
	const char *end = merge.data + merge.bytes, *space;
	struct eng_tok_string right;

	space = merge.bytes > 1 ? memchr(merge.data + 1, ' ', merge.bytes - 1) : NULL;
	if (!space || space + 1 == end || memchr(space + 1, ' ', (size_t)(end - space - 1)))
		return sto_tok_fail(t, "%s[%u]: must be two parts with one space between",
				    t->model_field, index);
	right = (struct eng_tok_string){space + 1, (uint32_t)(end - space - 1)};
	merge.bytes = (uint32_t)(space - merge.data);
	return sto_tok_merge(t, index, merge, right);
}

static int read_pre(struct sto_tok *t, const struct sto_tok_gguf_vocab *v, bool *add_bos)
{
	struct eng_tok_string name = v->pre.data ? v->pre : STO_TOK_STR("default");
	struct eng_tok_step step = {.op = ENG_OP_SPLIT, .split = ENG_SPLIT_ISOLATED};
	const struct sto_tok_pre *pre = sto_tok_pre_find(name);
	int err = 0;

	if (!pre)
		return sto_tok_fail(
			t,
			"tokenizer.ggml.pre: \"%.*s\" is not known; convert the model to "
			"a Hugging Face directory with tokenizer.json",
			(int)(name.bytes < 80 ? name.bytes : 80), name.data);
	for (uint32_t i = 0; i < STO_TOK_PRE_PATTERNS && pre->patterns[i] && !err; i++) {
		struct eng_tok_string pattern = {pre->patterns[i],
						 (uint32_t)strlen(pre->patterns[i])};

		err = sto_tok_add_pattern(t, "tokenizer.ggml.pre", false, pattern, false, step);
	}
	if (!err && pre->nfc)
		err = sto_tok_add_normal(t, "tokenizer.ggml.pre",
					 (struct eng_tok_step){.op = ENG_OP_NFC});
	t->src.ignore_merges = pre->ignore_merges;
	*add_bos = pre->add_bos;
	return err;
}

static int read_gpt2(struct sto_tok *t, const struct sto_tok_gguf_vocab *v)
{
	bool add_bos = false;
	int err;

	if (!v->merges)
		return sto_tok_fail(t, "tokenizer.ggml.merges: is missing");
	t->src.kind = ENG_TOK_BYTE_BPE;
	t->src.clean_byte_alphabet = true;
	err = read_pre(t, v, &add_bos);
	for (uint32_t i = 0; i < v->merge_count && !err; i++)
		err = read_merge(t, i, v->merges[i]);
	return err ? err : read_affixes(t, v, add_bos);
}

/* -- llama --------------------------------------------------------------------------------- */

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

static int read_llama(struct sto_tok *t, const struct sto_tok_gguf_vocab *v)
{
	struct eng_tok_step prepend = {.op = ENG_OP_PREPEND, .content = STO_TOK_STR(SPACE_MARK)};
	struct eng_tok_step replace = {.op = ENG_OP_REPLACE, .content = STO_TOK_STR(SPACE_MARK)};
	int err = 0;

	if (!v->scores)
		return sto_tok_fail(t, "tokenizer.ggml.scores: is missing");
	for (uint32_t i = 0; i < v->token_count; i++)
		if (!isfinite(v->scores[i]))
			return sto_tok_fail(t, "tokenizer.ggml.scores[%u]: is no finite number", i);
	t->src.kind = ENG_TOK_SPM_BPE;
	t->src.byte_fallback = t->src.byte_runs = t->src.fuse_unk = true;
	t->src.unk_id = v->unk_id != ENG_TOK_NONE ? v->unk_id : v->token_count ? 0 : ENG_TOK_NONE;
	t->src.strip_spaces = v->add_space_prefix != 0;
	if (t->src.strip_spaces)
		err = sto_tok_add_normal(t, "tokenizer.ggml", prepend);
	err = err ? err
		  : sto_tok_add_pattern(t, "tokenizer.ggml", true, STO_TOK_STR(" "), true, replace);
	err = err ? err : mark_byte_tokens(t, v);
	err = err ? err : merges_of_scores(t, v);
	err = err ? err : decode_marks(t);
	return err ? err : read_affixes(t, v, true);
}

/* -- both ---------------------------------------------------------------------------------- */

static int read_vocab(struct sto_tok *t, const struct sto_tok_gguf_vocab *v, uint32_t rows)
{
	int err;

	if (!is(v->model, "gpt2") && !is(v->model, "llama"))
		return sto_tok_fail(
			t, "tokenizer.ggml.model: \"%.*s\" is not supported; gpt2 and llama are",
			(int)(v->model.bytes < 80 ? v->model.bytes : 80),
			v->model.data ? v->model.data : "");
	if (rows && v->token_count > rows)
		return sto_tok_fail(t,
				    "tokenizer.ggml.tokens: has %u tokens; the model has %u rows",
				    v->token_count, rows);
	if (v->unk_id != ENG_TOK_NONE && v->unk_id >= v->token_count)
		return sto_tok_fail(t,
				    "tokenizer.ggml.unknown_token_id: is %u; there are %u tokens",
				    v->unk_id, v->token_count);
	err = sto_tok_init(t, v->token_count);
	err = err ? err : read_tokens(t, v);
	if (err)
		return err;
	return is(v->model, "gpt2") ? read_gpt2(t, v) : read_llama(t, v);
}

int sto_tok_gguf_compile(const struct sto_tok_gguf_vocab *vocab, uint32_t rows, const char *what,
			 void **blob, size_t *blob_bytes, char *error, size_t error_bytes)
{
	struct sto_tok t = {.what = what, .model_field = "tokenizer.ggml.merges",
			    .advice = "convert the model again", .error = error,
			    .error_bytes = error_bytes};
	int err;

	*blob = NULL;
	*blob_bytes = 0;
	err = read_vocab(&t, vocab, rows);
	err = err ? err : sto_tok_compile(&t, blob, blob_bytes);
	if (err == -ENOMEM)
		sto_tok_fail(&t, "out of memory; free some");
	sto_tok_fini(&t);
	return err;
}
