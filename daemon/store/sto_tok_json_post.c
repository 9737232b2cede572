/* SPDX-License-Identifier: MIT */
/* sto_tok_json_post.c: tokenizer.json: the post-processor, which puts tokens around a text. */
#include <errno.h>
#include <string.h>

#include "sto_tok_json_priv.h"

static int add_affixes(struct sto_tok *t, const char *field, const json_t *ids, bool suffix)
{
	uint32_t *to = suffix ? t->src.suffix : t->src.prefix;
	uint32_t *count = suffix ? &t->src.suffix_count : &t->src.prefix_count;
	json_t *id;
	size_t i;

	if (!json_is_array(ids))
		return sto_tok_fail(t, "%s: names a token that special_tokens lacks", field);
	json_array_foreach(ids, i, id) {
		json_int_t value = json_integer_value(id);

		if (!json_is_integer(id) || value < 0 || value >= t->src.token_count)
			return sto_tok_fail(t, "%s.special_tokens: id out of range", field);
		if (*count == ENG_TOK_AFFIX_MAX)
			return sto_tok_fail(t, "%s: over %u tokens around a text", field,
					    ENG_TOK_AFFIX_MAX);
		to[(*count)++] = (uint32_t)value;
	}
	return 0;
}

static int post_template(struct sto_tok *t, const json_t *object, const char *field)
{
	const json_t *single = tok_json_get(object, "single"),
		     *known = tok_json_get(object, "special_tokens");
	bool behind = false;
	json_t *part;
	size_t i;
	int err;

	if (t->src.prefix_count || t->src.suffix_count)
		return sto_tok_fail(t, "%s: a second TemplateProcessing is not supported", field);
	if (!json_is_array(single))
		return sto_tok_fail(t, "%s.single: must be a list", field);
	json_array_foreach(single, i, part) {
		const char *name =
			json_string_value(tok_json_get(tok_json_get(part, "SpecialToken"), "id"));

		if (!name && (behind || !tok_json_get(part, "Sequence")))
			return sto_tok_fail(
				t, "%s.single[%zu]: must be one Sequence or a SpecialToken", field,
				i);
		if (!name) {
			behind = true;
			continue;
		}
		err = add_affixes(t, field, tok_json_get(tok_json_get(known, name), "ids"), behind);
		if (err)
			return err;
	}
	return behind ? 0 : sto_tok_fail(t, "%s.single: has no Sequence", field);
}

/* {"cls": [text, id], "sep": [text, id]}: one before, one behind. */
static int post_bert(struct sto_tok *t, const json_t *object, const char *field)
{
	static const char *const keys[] = {"cls", "sep"};
	int err = 0;

	if (t->src.prefix_count || t->src.suffix_count)
		return sto_tok_fail(t, "%s: a second post-processor with tokens is not supported",
				    field);
	for (int i = 0; i < 2 && !err; i++) {
		const json_t *pair = tok_json_get(object, keys[i]);
		json_t *ids = json_array_size(pair) == 2
				      ? json_pack("[O]", json_array_get(pair, 1)) : NULL;

		err = ids ? add_affixes(t, field, ids, i)
			  : sto_tok_fail(t, "%s.%s: must be a token and its id", field, keys[i]);
		json_decref(ids);
	}
	return err;
}

static int each_post_processor(struct sto_tok_pipe *pipe, const json_t *object, const char *type,
			       const char *field)
{
	/* ByteLevel changes offsets only, and those are not asked for. */
	if (!strcmp(type, "ByteLevel"))
		return 0;
	if (!strcmp(type, "TemplateProcessing"))
		return post_template(pipe->t, object, field);
	if (!strcmp(type, "BertProcessing") || !strcmp(type, "RobertaProcessing"))
		return post_bert(pipe->t, object, field);
	return sto_tok_unsupported(pipe->t, field, type);
}

int tok_json_post_processor(struct sto_tok_pipe *pipe, const json_t *root)
{
	const json_t *post = tok_json_get(root, "post_processor");

	return post ? tok_json_sequence(pipe, post, "post_processor", "processors", 0,
					each_post_processor)
		    : 0;
}
