/* SPDX-License-Identifier: MIT */
/* sto_tok_json.c: tokenizer.json: the document, the BPE model and the added tokens. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sto_tok_json.h"
#include "sto_tok_json_priv.h"

#define JSON_BYTES_MAX	(256u << 20)

json_t *tok_json_get(const json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	return json_is_null(value) ? NULL : value;
}

struct eng_tok_string tok_json_text(const json_t *string)
{
	return (struct eng_tok_string){json_string_value(string),
				       (uint32_t)json_string_length(string)};
}

int tok_json_bool(struct sto_tok *t, const json_t *object, const char *field, const char *key,
		  bool fallback, bool *value)
{
	const json_t *found = tok_json_get(object, key);

	*value = found ? json_is_true(found) : fallback;
	if (found && !json_is_boolean(found))
		return sto_tok_fail(t, "%s.%s: must be true or false", field, key);
	return 0;
}

int tok_json_string(struct sto_tok *t, const json_t *object, const char *field, const char *key,
		    struct eng_tok_string *value)
{
	const json_t *found = tok_json_get(object, key);

	if (!json_is_string(found))
		return sto_tok_fail(t, "%s.%s: %s", field, key,
				    found ? "must be a string" : "is missing");
	*value = tok_json_text(found);
	return 0;
}

static int read_id(struct sto_tok *t, const json_t *value, const char *field, const char *name,
		   uint32_t limit, uint32_t *id)
{
	json_int_t number = json_integer_value(value);

	if (!json_is_integer(value))
		return sto_tok_fail(t, "%s: id of \"%.80s\" must be a number", field, name);
	if (number < 0 || number >= limit)
		return sto_tok_fail(t, "%s: id of \"%.80s\" is %lld; the model has ids 0 to %u",
				    field, name, (long long)number, limit - 1);
	*id = (uint32_t)number;
	return 0;
}

/* One more than the largest id; all ids are good after this. A list has no ids but places. */
static int count_vocab(struct sto_tok *t, const json_t *vocab, uint32_t limit, uint32_t *count)
{
	const char *key;
	json_t *value;
	uint32_t id;
	int err;

	*count = (uint32_t)json_array_size(vocab);
	if (json_array_size(vocab) > limit)
		return sto_tok_fail(t, "model.vocab: has %zu tokens; the model has %u",
				    json_array_size(vocab), limit);
	json_object_foreach((json_t *)(uintptr_t)vocab, key, value) {
		err = read_id(t, value, "model.vocab", key, limit, &id);
		if (err)
			return err;
		*count = id >= *count ? id + 1 : *count;
	}
	return 0;
}

static int count_ids(struct sto_tok *t, const json_t *vocab, const json_t *added, uint32_t limit,
		     uint32_t *count)
{
	json_t *value;
	uint32_t id;
	size_t i;
	int err = count_vocab(t, vocab, limit, count);

	if (err)
		return err;
	json_array_foreach(added, i, value) {
		const char *content = json_string_value(json_object_get(value, "content"));

		if (!json_is_object(value) || !content)
			return sto_tok_fail(t, "added_tokens[%zu]: content is missing", i);
		if (!json_object_get(value, "id"))
			return sto_tok_fail(t, "added_tokens[%zu]: id is missing", i);
		err = read_id(t, json_object_get(value, "id"), "added_tokens", content, limit, &id);
		if (err)
			return err;
		*count = id >= *count ? id + 1 : *count;
	}
	return *count ? 0 : sto_tok_fail(t, "model.vocab: is empty");
}

static int read_vocab(struct sto_tok *t, const json_t *vocab)
{
	const char *key;
	json_t *value;
	int err;

	json_object_foreach((json_t *)(uintptr_t)vocab, key, value) {
		struct eng_tok_string text = {key, (uint32_t)strlen(key)};

		err = sto_tok_set(t, "model.vocab", (uint32_t)json_integer_value(value), text, 0);
		if (err)
			return err;
	}
	return 0;
}

static int read_merge(struct sto_tok *t, const json_t *merge, uint32_t index)
{
	struct eng_tok_string left, right;
	const char *space;

	if (json_is_array(merge)) {
		if (json_array_size(merge) != 2 || !json_is_string(json_array_get(merge, 0)) ||
		    !json_is_string(json_array_get(merge, 1)))
			return sto_tok_fail(t, "model.merges[%u]: must be two strings", index);
		left = tok_json_text(json_array_get(merge, 0));
		right = tok_json_text(json_array_get(merge, 1));
		return sto_tok_merge(t, index, left, right);
	}
	if (!json_is_string(merge))
		return sto_tok_fail(t, "model.merges[%u]: must be a string or two strings", index);
	left = tok_json_text(merge);
	if (left.bytes >= 8 && !memcmp(left.data, "#version", 8))
		return 0;
	space = memchr(left.data, ' ', left.bytes);
	if (!space || memchr(space + 1, ' ', left.bytes - (size_t)(space + 1 - left.data)))
		return sto_tok_fail(t, "model.merges[%u]: must be two parts with one space between",
				    index);
	right.data = space + 1;
	right.bytes = left.bytes - (uint32_t)(space + 1 - left.data);
	left.bytes = (uint32_t)(space - left.data);
	return sto_tok_merge(t, index, left, right);
}

static int read_merges(struct sto_tok *t, const json_t *merges)
{
	json_t *merge;
	size_t i;
	int err;

	if (!json_is_array(merges))
		return sto_tok_fail(t, "model.merges: must be a list");
	json_array_foreach(merges, i, merge) {
		err = read_merge(t, merge, (uint32_t)i);
		if (err)
			return err;
	}
	return 0;
}

static int read_unknown(struct sto_tok *t, const json_t *model)
{
	const json_t *unk = tok_json_get(model, "unk_token");

	if (!unk)
		return 0;
	if (!json_is_string(unk))
		return sto_tok_fail(t, "model.unk_token: must be a string or null");
	t->src.unk_id = sto_tok_find(t, tok_json_text(unk));
	if (t->src.unk_id == ENG_TOK_NONE)
		return sto_tok_fail(t, "model.unk_token: \"%.80s\" is not in the vocabulary",
				    json_string_value(unk));
	return 0;
}

static int read_model_options(struct sto_tok *t, const json_t *model)
{
	static const char *const empty_only[] = {"continuing_subword_prefix", "end_of_word_suffix"};
	const json_t *dropout = tok_json_get(model, "dropout");
	int err;

	if (dropout && !(json_is_number(dropout) && json_number_value(dropout) == 0))
		return sto_tok_fail(
			t,
			"model.dropout: is not supported; set it to null");
	for (size_t i = 0; i < sizeof(empty_only) / sizeof(*empty_only); i++) {
		const json_t *value = tok_json_get(model, empty_only[i]);

		if (value && !(json_is_string(value) && !json_string_length(value)))
			return sto_tok_fail(t, "model.%s: must be null or empty", empty_only[i]);
	}
	err = tok_json_bool(t, model, "model", "fuse_unk", false, &t->src.fuse_unk);
	err = err ? err
		  : tok_json_bool(t, model, "model", "byte_fallback", false, &t->src.byte_fallback);
	err = err ? err
		  : tok_json_bool(t, model, "model", "ignore_merges", false, &t->src.ignore_merges);
	return err ? err : read_unknown(t, model);
}

static int added_flags(struct sto_tok *t, const json_t *added, const char *field, uint32_t *flags)
{
	static const struct {
		const char *key;
		uint32_t flag;
	} keys[] = {
		{"special", ENG_TOKEN_SPECIAL},       {"lstrip", ENG_TOKEN_LSTRIP},
		{"rstrip", ENG_TOKEN_RSTRIP},         {"single_word", ENG_TOKEN_SINGLE_WORD},
		{"normalized", ENG_TOKEN_NORMALIZED},
	};
	bool value = false;
	int err;

	*flags = ENG_TOKEN_ADDED;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		err = tok_json_bool(t, added, field, keys[i].key, false, &value);
		if (err)
			return err;
		*flags |= value ? keys[i].flag : 0;
	}
	return 0;
}

static int read_added(struct sto_tok *t, const json_t *added, size_t index)
{
	struct eng_tok_string text = tok_json_text(json_object_get(added, "content"));
	uint32_t id = (uint32_t)json_integer_value(json_object_get(added, "id")), known, flags;
	char field[TOK_FIELD_BYTES];
	int err;

	snprintf(field, sizeof(field), "added_tokens[%zu]", index);
	err = added_flags(t, added, field, &flags);
	if (err || !text.bytes)
		return err;
	known = sto_tok_find(t, text);
	if (known == ENG_TOK_NONE)
		return sto_tok_set(t, field, id, text, flags | ENG_TOKEN_OUTSIDE);
	if (known != id)
		return sto_tok_fail(t, "%s: \"%.80s\" has id %u here and %u elsewhere", field,
				    text.data, id, known);
	t->flags[id] = flags | (t->flags[id] & ENG_TOKEN_OUTSIDE);
	return 0;
}

/* Old files have no type: those with merges are BPE. */
static const json_t *find_model(struct sto_tok *t, const json_t *root, bool *unigram)
{
	const json_t *model = tok_json_get(root, "model"), *vocab = tok_json_get(model, "vocab");
	const json_t *type = tok_json_get(model, "type");
	const char *name = !type ? "BPE" : json_is_string(type) ? json_string_value(type) : "this";

	*unigram = !strcmp(name, "Unigram") ||
		   (!type && json_is_array(vocab) && !tok_json_get(model, "merges"));
	if (!json_is_object(model))
		sto_tok_fail(t, "model: %s", model ? "must be an object" : "is missing");
	else if (strcmp(name, "BPE") && !*unigram)
		sto_tok_fail(t, "model.type: %.80s is not supported; BPE and Unigram are", name);
	else if (*unigram && !json_is_array(vocab))
		sto_tok_fail(t, "model.vocab: must be a list of tokens and scores");
	else if (!*unigram && !json_is_object(vocab))
		sto_tok_fail(t, "model.vocab: must be an object of tokens and ids");
	else
		return model;
	return NULL;
}

static int read_bpe(struct sto_tok *t, const json_t *model)
{
	int err = read_vocab(t, tok_json_get(model, "vocab"));

	err = err ? err : read_merges(t, tok_json_get(model, "merges"));
	return err ? err : read_model_options(t, model);
}

static int read_tokens(struct sto_tok_pipe *pipe, const json_t *root, uint32_t rows)
{
	struct sto_tok *t = pipe->t;
	const json_t *model = find_model(t, root, &pipe->unigram),
		     *added = tok_json_get(root, "added_tokens");
	uint32_t limit = rows && rows < ENG_TOK_COUNT_MAX ? rows : ENG_TOK_COUNT_MAX, count;
	json_t *token;
	size_t i;
	int err;

	if (!model)
		return -EINVAL;
	if (added && !json_is_array(added))
		return sto_tok_fail(t, "added_tokens: must be a list");
	err = count_ids(t, tok_json_get(model, "vocab"), added, limit, &count);
	err = err ? err : sto_tok_init(t, count);
	if (!err)
		err = pipe->unigram ? tok_json_unigram(t, model) : read_bpe(t, model);
	json_array_foreach(added, i, token)
		err = err ? err : read_added(t, token, i);
	return err;
}

/*
 * ByteLevel as the last step needs no letters: BPE is over bytes then. Byte fallback below that
 * could only be reached by a byte without a letter.
 */
static int check_kind(struct sto_tok_pipe *pipe)
{
	struct sto_tok *t = pipe->t;
	bool over_bytes = pipe->byte_level && !pipe->letters;
	uint32_t letters = 0;

	t->src.kind = pipe->unigram ? ENG_TOK_UNIGRAM
		      : over_bytes  ? ENG_TOK_BYTE_BPE
				    : ENG_TOK_SPM_BPE;
	t->src.clean_byte_alphabet = over_bytes;
	if (!over_bytes || !t->src.byte_fallback)
		return 0;
	for (uint32_t code = 33; code < 324; code++) {
		char letter[2] = {(char)code, 0};
		uint32_t bytes = 1;

		if (code >= 128) {
			letter[0] = (char)(0xc0 | code >> 6);
			letter[1] = (char)(0x80 | (code & 63));
			bytes = 2;
		}
		if (code <= 126 || (code >= 161 && code != 173))
			letters += sto_tok_find(t, (struct eng_tok_string){letter, bytes}) !=
				   ENG_TOK_NONE;
	}
	if (letters < 256)
		return sto_tok_fail(
			t, "model.byte_fallback: is not supported together with ByteLevel");
	t->src.byte_fallback = false;
	return 0;
}

static int read_root(struct sto_tok *t, const json_t *root, uint32_t rows)
{
	struct sto_tok_pipe pipe = {.t = t};
	const json_t *version = tok_json_get(root, "version");
	int err;

	if (!json_is_object(root))
		return sto_tok_fail(t, "must be an object");
	if (version && (!json_is_string(version) || strcmp(json_string_value(version), "1.0")))
		return sto_tok_fail(t, "version: only \"1.0\" is known");
	err = read_tokens(&pipe, root, rows);
	err = err ? err : tok_json_normalizer(&pipe, root);
	err = err ? err : tok_json_pre_tokenizer(&pipe, root);
	err = err ? err : tok_json_post_processor(&pipe, root);
	err = err ? err : check_kind(&pipe);
	return err ? err : tok_json_decoder(&pipe, root);
}

static json_t *parse(struct sto_tok *t, const char *json, size_t bytes)
{
	static const char lfs[] = "version https://git-lfs";
	json_error_t where;
	json_t *root;

	if (bytes >= sizeof(lfs) - 1 && !memcmp(json, lfs, sizeof(lfs) - 1)) {
		sto_tok_fail(
			t,
			"is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`");
		return NULL;
	}
	if (!bytes || bytes > JSON_BYTES_MAX) {
		sto_tok_fail(t, bytes ? "is over the limit of %u bytes" : "is empty",
			     JSON_BYTES_MAX);
		return NULL;
	}
	root = json_loadb(json, bytes, JSON_REJECT_DUPLICATES, &where);
	if (!root)
		sto_tok_fail(t, "line %d, column %d: %s", where.line, where.column, where.text);
	return root;
}

int sto_tok_json_compile(const char *json, size_t bytes, uint32_t rows, const char *what,
			 void **blob, size_t *blob_bytes, char *error, size_t error_bytes)
{
	struct sto_tok t = {.what = what, .model_field = "model.merges",
			    .advice = "correct the file, or take the original one",
			    .error = error, .error_bytes = error_bytes};
	json_t *root = parse(&t, json, bytes);
	int err = -EINVAL;

	*blob = NULL;
	*blob_bytes = 0;
	if (root)
		err = read_root(&t, root, rows);
	if (root && !err)
		err = sto_tok_compile(&t, blob, blob_bytes);
	if (err == -ENOMEM)
		sto_tok_fail(&t, "out of memory");
	sto_tok_fini(&t);
	json_decref(root);
	return err;
}
