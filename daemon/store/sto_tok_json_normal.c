/* SPDX-License-Identifier: MIT */
/*
 * sto_tok_json_normal.c: tokenizer.json: added tokens that are looked for in normal text decode to
 * the normal form of their content.
 */
#include <errno.h>
#include <stdlib.h>

#include "sto_tok_json_priv.h"

/* A tokenizer that has the normal steps and one token. */
static int open_normals(struct sto_tok *t, void **blob, struct eng_tok **tok)
{
	const struct eng_tok_string token = STO_TOK_STR("a");
	const uint32_t flags = 0;
	const struct eng_tok_source src = {
		.kind = ENG_TOK_SPM_BPE, .token_count = 1, .tokens = &token, .token_flags = &flags,
		.unk_id = ENG_TOK_NONE, .normal_count = t->src.normal_count, .normals = t->normals};
	char message[256];
	size_t bytes;
	int err = eng_tok_compile(&src, blob, &bytes, message, sizeof(message));

	if (err == -EINVAL)
		return sto_tok_fail(t, "%s", message);
	return err ? err : eng_tok_open(*blob, bytes, tok);
}

static int normal_text(struct sto_tok *t, struct eng_tok *tok, struct eng_tok_string *text,
		       bool *changed)
{
	struct eng_tok_string normal;
	int err = eng_tok_normalize(tok, *text, &normal);

	if (err)
		return err == -EINVAL ? sto_tok_fail(t, "normalizer: fails at \"%.*s\"",
						     (int)text->bytes, text->data)
				      : err;
	if (sto_tok_same(*text, normal))
		return 0;
	*changed = true;
	*text = sto_tok_copy(t, normal.data, normal.bytes);
	return text->data ? 0 : -ENOMEM;
}

int tok_json_normal_texts(struct sto_tok *t, struct eng_tok_string *texts, bool *changed)
{
	const uint32_t wanted = ENG_TOKEN_ADDED | ENG_TOKEN_NORMALIZED;
	struct eng_tok *tok = NULL;
	void *blob = NULL;
	int err = 0;

	*changed = false;
	for (uint32_t i = 0; i < t->src.token_count && t->src.normal_count && !err; i++) {
		if ((t->flags[i] & wanted) != wanted || !texts[i].data)
			continue;
		if (!tok)
			err = open_normals(t, &blob, &tok);
		err = err ? err : normal_text(t, tok, &texts[i], changed);
	}
	eng_tok_close(&tok);
	free(blob);
	return err;
}
