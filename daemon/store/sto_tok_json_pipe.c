/* SPDX-License-Identifier: MIT */
/* sto_tok_json_pipe.c: tokenizer.json: normalizer and pre-tokenizer. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "sto_tok_json_priv.h"
#include "sto_tok_regex.h"

#define NESTED_MAX	8
#define GPT2_PATTERN \
	"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
/* The library's Digits know a later Unicode than its patterns, its Punctuation an earlier one. */
#define DIGITS		"[\\p{N}" TOK_NEW_N "\\x{11de0}-\\x{11de9}\\x{16ff4}-\\x{16ff6}]"
/* Its StripAccents knows the marks of Unicode 9, two of which are letters now. */
#define LATE_ACCENTS \
	TOK_NEW_M \
	"\\x{7fd}\\x{898}-\\x{89f}\\x{8ca}-\\x{8d3}\\x{9fe}\\x{afa}-\\x{aff}\\x{b55}\\x{c04}" \
	"\\x{c3c}\\x{d00}\\x{d3b}-\\x{d3c}\\x{d81}\\x{eba}\\x{1715}\\x{180f}" \
	"\\x{1abf}-\\x{1ace}\\x{1cf7}\\x{1df6}-\\x{1dfa}\\x{a82c}\\x{a8ff}" \
	"\\x{10d24}-\\x{10d27}\\x{10eab}-\\x{10eac}\\x{10f46}-\\x{10f50}\\x{10f82}-\\x{10f85}" \
	"\\x{11070}\\x{11073}-\\x{11074}\\x{110c2}\\x{11145}-\\x{11146}\\x{111c9}" \
	"\\x{111ce}-\\x{111cf}\\x{1133b}\\x{1145e}\\x{1182c}-\\x{1183a}\\x{11930}-\\x{11935}" \
	"\\x{11937}-\\x{11938}\\x{1193b}-\\x{1193e}\\x{11940}\\x{11942}-\\x{11943}" \
	"\\x{119d1}-\\x{119d7}\\x{119da}-\\x{119e0}\\x{119e4}\\x{11a01}-\\x{11a0a}" \
	"\\x{11a33}-\\x{11a39}\\x{11a3b}-\\x{11a3e}\\x{11a47}\\x{11a51}-\\x{11a5b}" \
	"\\x{11a8a}-\\x{11a99}\\x{11d31}-\\x{11d36}\\x{11d3a}\\x{11d3c}-\\x{11d3d}" \
	"\\x{11d3f}-\\x{11d45}\\x{11d47}\\x{11d8a}-\\x{11d8e}\\x{11d90}-\\x{11d91}" \
	"\\x{11d93}-\\x{11d97}\\x{11ef3}-\\x{11ef6}\\x{16f4f}\\x{16f7f}-\\x{16f87}\\x{16fe4}" \
	"\\x{16ff0}-\\x{16ff1}\\x{1cf00}-\\x{1cf2d}\\x{1cf30}-\\x{1cf46}\\x{1e130}-\\x{1e136}" \
	"\\x{1e2ae}\\x{1e2ec}-\\x{1e2ef}"
#define LATE_MARKS \
	TOK_NEW_P \
	"\\x{61d}\\x{9fd}\\x{a76}\\x{c77}\\x{c84}\\x{1b7d}-\\x{1b7e}\\x{2e43}-\\x{2e4f}" \
	"\\x{2e52}-\\x{2e5d}\\x{10ead}\\x{10f55}-\\x{10f59}\\x{10f86}-\\x{10f89}" \
	"\\x{1144b}-\\x{1144f}\\x{1145a}-\\x{1145b}\\x{1145d}\\x{11660}-\\x{1166c}\\x{116b9}" \
	"\\x{1183b}\\x{11944}-\\x{11946}\\x{119e2}\\x{11a3f}-\\x{11a46}\\x{11a9a}-\\x{11a9c}" \
	"\\x{11a9e}-\\x{11aa2}\\x{11c41}-\\x{11c45}\\x{11c70}-\\x{11c71}\\x{11ef7}-\\x{11ef8}" \
	"\\x{11fff}\\x{12ff1}-\\x{12ff2}\\x{16e97}-\\x{16e9a}\\x{16fe2}\\x{1e95e}-\\x{1e95f}"
#define ACCENTS		"(?![" LATE_ACCENTS "])\\p{M}|[\\x{1cf2}\\x{1cf3}]"
#define PUNCTUATION	"(?![" LATE_MARKS "])[\\p{P}$+<=>^`|~\\x{166d}\\x{111c9}]"
/* Words in the sense of the library's own Whitespace, which counts the two joiners too. */
#define WORD_SET	STO_TOK_LETTERS "\\x{200c}\\x{200d}"
#define WHITESPACE	"[" WORD_SET "]+|[^" WORD_SET STO_TOK_SPACE "]+"

const char *tok_json_type(struct sto_tok *t, const json_t *object, const char *field)
{
	const json_t *type = tok_json_get(object, "type");

	if (!json_is_object(object))
		sto_tok_fail(t, "%s: must be an object", field);
	else if (!json_is_string(type))
		sto_tok_fail(t, "%s.type: is missing or no string", field);
	else
		return json_string_value(type);
	return NULL;
}

int tok_json_pattern(struct sto_tok *t, const json_t *object, const char *field,
		     struct eng_tok_string *pattern, bool *literal)
{
	const json_t *both = tok_json_get(object, "pattern"), *text = tok_json_get(both, "String");

	*literal = text;
	if (!text)
		text = tok_json_get(both, "Regex");
	if (!json_is_string(text) || json_object_size(both) != 1)
		return sto_tok_fail(t, "%s.pattern: must be {\"String\": ...} or {\"Regex\": ...}",
				    field);
	*pattern = tok_json_text(text);
	return 0;
}

int tok_json_sequence(struct sto_tok_pipe *pipe, const json_t *object, const char *field,
		      const char *key, int depth, tok_json_each each)
{
	const char *type = tok_json_type(pipe->t, object, field);
	char inner[TOK_FIELD_BYTES];
	const json_t *list;
	json_t *item;
	size_t i;
	int err;

	if (!type)
		return -EINVAL;
	if (strcmp(type, "Sequence"))
		return each(pipe, object, type, field);
	list = tok_json_get(object, key);
	if (!json_is_array(list) || json_array_size(list) > TOK_LIST_MAX || depth > NESTED_MAX)
		return sto_tok_fail(pipe->t, "%s.%s: must be a list of at most %d", field, key,
				    TOK_LIST_MAX);
	json_array_foreach(list, i, item) {
		snprintf(inner, sizeof(inner), "%.100s.%s[%zu]", field, key, i);
		err = tok_json_sequence(pipe, item, inner, key, depth + 1, each);
		if (err)
			return err;
	}
	return 0;
}

/* -- normalizer ---------------------------------------------------------------------- */

static int normalizer_replace(struct sto_tok *t, const json_t *object, const char *field)
{
	struct eng_tok_step step = {.op = ENG_OP_REPLACE};
	struct eng_tok_string pattern;
	bool literal;
	int err = tok_json_pattern(t, object, field, &pattern, &literal);

	err = err ? err : tok_json_string(t, object, field, "content", &step.content);
	return err ? err : sto_tok_add_pattern(t, field, true, pattern, literal, step);
}

static int normalizer_strip(struct sto_tok *t, const json_t *object, const char *field)
{
	bool left, right;
	int err = tok_json_bool(t, object, field, "strip_left", true, &left);

	err = err ? err : tok_json_bool(t, object, field, "strip_right", true, &right);
	if (!err && left)
		err = sto_tok_add_normal(t, field, (struct eng_tok_step){.op = ENG_OP_STRIP_LEFT});
	if (!err && right)
		err = sto_tok_add_normal(t, field, (struct eng_tok_step){.op = ENG_OP_STRIP_RIGHT});
	return err;
}

static int normalizer_accents(struct sto_tok *t, const char *field)
{
	struct eng_tok_step step = {.op = ENG_OP_REPLACE, .pattern = STO_TOK_STR(ACCENTS)};

	return sto_tok_add_normal(t, field, step);
}

static int normalizer_charsmap(struct sto_tok *t, const json_t *object, const char *field)
{
	struct eng_tok_string text;
	uint8_t *map;
	int err = tok_json_string(t, object, field, "precompiled_charsmap", &text), bytes;

	if (err)
		return err;
	if (!text.bytes || text.bytes % 4)
		return sto_tok_fail(t, "%s.precompiled_charsmap: is no base64 text", field);
	map = (uint8_t *)(uintptr_t)sto_tok_copy(t, text.data, text.bytes).data;
	if (!map)
		return -ENOMEM;
	bytes = EVP_DecodeBlock(map, (const unsigned char *)text.data, (int)text.bytes);
	for (uint32_t i = text.bytes; bytes > 2 && i > text.bytes - 2 && text.data[i - 1] == '='; i--)
		bytes--;
	if (bytes < 0)
		return sto_tok_fail(t, "%s.precompiled_charsmap: is no base64 text", field);
	return sto_tok_add_charsmap(t, field, map, (size_t)bytes, ENG_MAP_GRAPHEMES);
}

static int normalizer_byte_level(struct sto_tok_pipe *pipe, const char *field)
{
	pipe->byte_level = pipe->letters = true;
	return sto_tok_add_normal(pipe->t, field, (struct eng_tok_step){.op = ENG_OP_ALPHABET});
}

static int each_normalizer(struct sto_tok_pipe *pipe, const json_t *object, const char *type,
			   const char *field)
{
	static const struct {
		const char *type;
		uint32_t op;
	} plain[] = {{"NFC", ENG_OP_NFC},   {"NFD", ENG_OP_NFD},	 {"NFKC", ENG_OP_NFKC},
		     {"NFKD", ENG_OP_NFKD}, {"Lowercase", ENG_OP_LOWERCASE}};
	struct sto_tok *t = pipe->t;
	struct eng_tok_step step = {.op = ENG_OP_PREPEND};
	int err;

	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
		if (!strcmp(type, plain[i].type))
			return sto_tok_add_normal(t, field,
						  (struct eng_tok_step){.op = plain[i].op});
	if (!strcmp(type, "StripAccents"))
		return normalizer_accents(t, field);
	if (!strcmp(type, "Precompiled"))
		return normalizer_charsmap(t, object, field);
	if (!strcmp(type, "ByteLevel"))
		return normalizer_byte_level(pipe, field);
	if (!strcmp(type, "Replace"))
		return normalizer_replace(t, object, field);
	if (!strcmp(type, "Strip"))
		return normalizer_strip(t, object, field);
	if (strcmp(type, "Prepend"))
		return sto_tok_unsupported(t, field, type);
	err = tok_json_string(t, object, field, "prepend", &step.content);
	return err ? err : sto_tok_add_normal(t, field, step);
}

int tok_json_normalizer(struct sto_tok_pipe *pipe, const json_t *root)
{
	const json_t *normalizer = tok_json_get(root, "normalizer");

	return normalizer ? tok_json_sequence(pipe, normalizer, "normalizer", "normalizers", 0,
					      each_normalizer)
			  : 0;
}

/* -- pre-tokenizer ------------------------------------------------------------------- */

static int read_behavior(struct sto_tok *t, const json_t *object, const char *field,
			 const char *fallback, uint32_t *split)
{
	static const char *const names[] = {
		NULL, "Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
	const json_t *found = tok_json_get(object, "behavior");
	const char *name = json_is_string(found) ? json_string_value(found) : found ? "" : fallback;

	for (uint32_t i = 1; name && i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(names[i], name))
			continue;
		*split = i;
		return 0;
	}
	return sto_tok_fail(t, "%s.behavior: is missing or unknown", field);
}

static int pre_split(struct sto_tok *t, const json_t *object, const char *field)
{
	struct eng_tok_step step = {.op = ENG_OP_SPLIT};
	struct eng_tok_string pattern;
	bool literal;
	int err = tok_json_pattern(t, object, field, &pattern, &literal);

	err = err ? err : read_behavior(t, object, field, NULL, &step.split);
	err = err ? err : tok_json_bool(t, object, field, "invert", false, &step.invert);
	return err ? err : sto_tok_add_pattern(t, field, false, pattern, literal, step);
}

static int pre_byte_level(struct sto_tok_pipe *pipe, const json_t *object, const char *field)
{
	struct eng_tok_step prefix = {.op = ENG_OP_PREFIX, .content = STO_TOK_STR(" ")};
	struct eng_tok_step split = {.op = ENG_OP_SPLIT, .split = ENG_SPLIT_ISOLATED};
	bool add_space, use_regex;
	int err = tok_json_bool(pipe->t, object, field, "add_prefix_space", true, &add_space);

	err = err ? err : tok_json_bool(pipe->t, object, field, "use_regex", true, &use_regex);
	if (!err && add_space)
		err = sto_tok_add_step(pipe->t, field, prefix);
	if (!err && use_regex)
		err = sto_tok_add_pattern(pipe->t, field, false, STO_TOK_STR(GPT2_PATTERN), false,
					  split);
	pipe->byte_level = true;
	return err;
}

static int pre_digits(struct sto_tok *t, const json_t *object, const char *field)
{
	struct eng_tok_step step = {.op = ENG_OP_SPLIT};
	bool individual;
	int err = tok_json_bool(t, object, field, "individual_digits", false, &individual);

	step.split = individual ? ENG_SPLIT_ISOLATED : ENG_SPLIT_CONTIGUOUS;
	step.pattern = STO_TOK_STR(DIGITS);
	return err ? err : sto_tok_add_step(t, field, step);
}

static int pre_punctuation(struct sto_tok *t, const json_t *object, const char *field)
{
	struct eng_tok_step step = {.op = ENG_OP_SPLIT};
	/* ASCII: what Unicode calls symbols is punctuation too. */
	int err = read_behavior(t, object, field, "Isolated", &step.split);

	step.pattern = STO_TOK_STR(PUNCTUATION);
	return err ? err : sto_tok_add_step(t, field, step);
}

static int pre_delimiter(struct sto_tok *t, const json_t *object, const char *field)
{
	struct eng_tok_step step = {.op = ENG_OP_SPLIT, .split = ENG_SPLIT_REMOVED};
	struct eng_tok_string delimiter;
	int err = tok_json_string(t, object, field, "delimiter", &delimiter);

	return err ? err : sto_tok_add_pattern(t, field, false, delimiter, true, step);
}

/* Of Metaspace, as pre-tokenizer and as decoder. Older files have add_prefix_space instead. */
static int prepend_scheme(struct sto_tok *t, const json_t *object, const char *field, uint32_t *op)
{
	const json_t *scheme = tok_json_get(object, "prepend_scheme");
	const char *name = !scheme ? "always" : json_string_value(scheme);
	bool add;
	int err = tok_json_bool(t, object, field, "add_prefix_space", true, &add);

	if (err)
		return err;
	name = name ? name : "";
	if (!strcmp(name, "never") || (!scheme && !add))
		*op = ENG_OP_SPLIT;	/* none */
	else if (!strcmp(name, "always"))
		*op = ENG_OP_PREFIX;
	else if (!strcmp(name, "first"))
		*op = ENG_OP_PREFIX_FIRST;
	else
		return sto_tok_fail(t, "%s.prepend_scheme: is unknown", field);
	return 0;
}

static int pre_metaspace(struct sto_tok *t, const json_t *object, const char *field)
{
	struct eng_tok_step step = {.op = ENG_OP_REPLACE}, prefix = {0},
			    split = {.split = ENG_SPLIT_MERGED_NEXT};
	bool cut;
	int err = tok_json_string(t, object, field, "replacement", &step.content);

	prefix.content = step.content;
	err = err ? err : prepend_scheme(t, object, field, &prefix.op);
	err = err ? err : tok_json_bool(t, object, field, "split", true, &cut);
	err = err ? err : sto_tok_add_pattern(t, field, false, STO_TOK_STR(" "), true, step);
	if (!err && prefix.op != ENG_OP_SPLIT)
		err = sto_tok_add_step(t, field, prefix);
	if (!err && cut)
		err = sto_tok_add_pattern(t, field, false, step.content, true, split);
	return err;
}

static int pre_whitespace(struct sto_tok *t, const char *field, bool words)
{
	struct eng_tok_step step = {
		.op = ENG_OP_SPLIT, .split = ENG_SPLIT_REMOVED, .invert = words};

	step.pattern = words ? STO_TOK_STR(WHITESPACE) : STO_TOK_STR("[" STO_TOK_SPACE "]");
	return sto_tok_add_step(t, field, step);
}

static int each_pre_tokenizer(struct sto_tok_pipe *pipe, const json_t *object, const char *type,
			      const char *field)
{
	struct sto_tok *t = pipe->t;
	int err = 0;

	if (pipe->byte_level && !strcmp(type, "ByteLevel"))
		return sto_tok_fail(t, "%s: a second ByteLevel is not supported", field);
	if (pipe->byte_level && !pipe->letters)
		err = sto_tok_add_step(t, field, (struct eng_tok_step){.op = ENG_OP_ALPHABET});
	pipe->letters = pipe->byte_level;
	if (err)
		return err;
	if (!strcmp(type, "Split"))
		return pre_split(t, object, field);
	if (!strcmp(type, "ByteLevel"))
		return pre_byte_level(pipe, object, field);
	if (!strcmp(type, "Digits"))
		return pre_digits(t, object, field);
	if (!strcmp(type, "Punctuation"))
		return pre_punctuation(t, object, field);
	if (!strcmp(type, "Metaspace"))
		return pre_metaspace(t, object, field);
	if (!strcmp(type, "CharDelimiterSplit"))
		return pre_delimiter(t, object, field);
	if (!strcmp(type, "Whitespace") || !strcmp(type, "WhitespaceSplit"))
		return pre_whitespace(t, field, !strcmp(type, "Whitespace"));
	return sto_tok_unsupported(t, field, type);
}

int tok_json_pre_tokenizer(struct sto_tok_pipe *pipe, const json_t *root)
{
	const json_t *pre = tok_json_get(root, "pre_tokenizer");

	int err = pre ? tok_json_sequence(pipe, pre, "pre_tokenizer", "pretokenizers", 0,
					  each_pre_tokenizer)
		      : 0;

	/* Unigram is over characters, so over those of ByteLevel. */
	if (err || !pipe->unigram || !pipe->byte_level || pipe->letters)
		return err;
	pipe->letters = true;
	return sto_tok_add_step(pipe->t, "pre_tokenizer",
				(struct eng_tok_step){.op = ENG_OP_ALPHABET});
}
