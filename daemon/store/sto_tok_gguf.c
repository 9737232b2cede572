/* SPDX-License-Identifier: MIT */
/* sto_tok_gguf.c: a GGUF vocabulary to a compiled table. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sto_file.h"
#include "sto_tok_gguf_priv.h"
#include "sto_tok_pre.h"

static bool is(struct eng_tok_string text, const char *name)
{
	return text.data && text.bytes == strlen(name) && !memcmp(text.data, name, text.bytes);
}

/* Files do not say that added tokens strip spaces: known of these models. As llama.cpp has it. */
static bool strips_spaces(const struct sto_tok_gguf_vocab *v, uint32_t id)
{
	struct eng_tok_string text = v->tokens[id];

	return v->phi3 && !is(text, "<unk>") && !is(text, "<s>") && !is(text, "<|endoftext|>");
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
		break;
	case TYPE_USER:
		*flags = ENG_TOKEN_ADDED;
		break;
	case TYPE_UNUSED:
		*flags = ENG_TOKEN_UNUSED;
		return 0;
	default:
		return sto_tok_fail(
			t, "tokenizer.ggml.token_type[%u]: is %d; the known ones are 1 to 6", id,
			type_of(v, id));
	}
	*flags |= strips_spaces(v, id) ? ENG_TOKEN_RSTRIP : 0;
	return 0;
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

int tok_gguf_affixes(struct sto_tok *t, const struct sto_tok_gguf_vocab *v, bool add_bos,
		     bool add_eos)
{
	int err = 0;

	if (v->add_bos < 0 ? add_bos : v->add_bos)
		err = add_affix(t, "tokenizer.ggml.bos_token_id", v->bos_id, t->src.prefix,
				&t->src.prefix_count);
	if (!err && (v->add_eos < 0 ? add_eos : v->add_eos))
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

static const struct sto_tok_pre *find_pre(struct sto_tok *t, const struct sto_tok_gguf_vocab *v)
{
	struct eng_tok_string name = is(v->model, "gemma4") ? v->model : v->pre;
	const struct sto_tok_pre *pre;

	name = name.data ? name : STO_TOK_STR("default");
	pre = sto_tok_pre_find(name);
	if (!pre)
		sto_tok_fail(t,
			     "tokenizer.ggml.pre: \"%.*s\" is not known; convert the model to "
			     "a Hugging Face directory with tokenizer.json",
			     (int)(name.bytes < 80 ? name.bytes : 80), name.data);
	return pre;
}

static int read_pre(struct sto_tok *t, const struct sto_tok_pre *pre)
{
	struct eng_tok_step step = {.op = ENG_OP_SPLIT, .split = ENG_SPLIT_ISOLATED};
	int err = 0;

	for (uint32_t i = 0; i < STO_TOK_PRE_PATTERNS && pre->patterns[i] && !err; i++) {
		struct eng_tok_string pattern = {pre->patterns[i],
						 (uint32_t)strlen(pre->patterns[i])};

		err = sto_tok_add_pattern(t, "tokenizer.ggml.pre", false, pattern, false, step);
	}
	if (!err && pre->nfc)
		err = sto_tok_add_normal(t, "tokenizer.ggml.pre",
					 (struct eng_tok_step){.op = ENG_OP_NFC});
	t->src.ignore_merges = pre->ignore_merges;
	return err;
}

static void keep_lines(struct sto_tok *t)
{
	for (uint32_t i = 0; i < t->src.token_count; i++) {
		struct eng_tok_string text = t->tokens[i];
		bool whole = text.data;

		for (uint32_t k = 0; k < text.bytes && whole; k++)
			whole = text.data[k] == '\n';
		t->flags[i] |= whole ? ENG_TOKEN_WHOLE : 0;
	}
}

static int read_gpt2(struct sto_tok *t, const struct sto_tok_gguf_vocab *v)
{
	const struct sto_tok_pre *pre = find_pre(t, v);
	struct sto_tok_gguf_vocab around = *v;
	int err = 0;

	if (!pre)
		return -EINVAL;
	if (!v->merges)
		return sto_tok_fail(t, "tokenizer.ggml.merges: is missing");
	t->src.kind = ENG_TOK_BYTE_BPE;
	t->src.clean_byte_alphabet = !pre->marks;
	if (pre->marks)
		err = tok_gguf_marks(t, v, false);
	if (pre->lines)
		keep_lines(t);
	err = err ? err : read_pre(t, pre);
	for (uint32_t i = 0; i < v->merge_count && !err; i++)
		err = read_merge(t, i, v->merges[i]);
	/* Converters have written a wrong "no" for this one. */
	if (pre->lines)
		around.add_bos = 1;
	return err ? err : tok_gguf_affixes(t, &around, pre->add_bos, false);
}

/* -- all ----------------------------------------------------------------------------------- */

static const struct {
	const char *model;
	int (*read)(struct sto_tok *t, const struct sto_tok_gguf_vocab *v);
} readers[] = {
	{"gpt2", read_gpt2}, {"gemma4", read_gpt2}, {"llama", tok_gguf_llama}, {"t5", tok_gguf_t5},
};

static int read_vocab(struct sto_tok *t, const struct sto_tok_gguf_vocab *v, uint32_t rows)
{
	int (*read)(struct sto_tok *, const struct sto_tok_gguf_vocab *) = NULL;
	int err;

	for (size_t i = 0; i < sizeof(readers) / sizeof(*readers); i++)
		if (is(v->model, readers[i].model))
			read = readers[i].read;
	if (!read)
		return sto_tok_fail(
			t,
			"tokenizer.ggml.model: \"%.*s\" is not supported; gpt2, gemma4, llama and "
			"t5 are",
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
	return err ? err : read(t, v);
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
