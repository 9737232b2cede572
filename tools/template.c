/* SPDX-License-Identifier: MIT */
/* template.c: chat templates out of the store. */
#include "template.h"

#include <stdlib.h>
#include <string.h>

#include "eng_tok.h"
#include "sto_version.h"
#include "tpl.h"

static int keep_newest(void *arg, const char *model, const char *version)
{
	snprintf(arg, MHS_SEMVER_BYTES, "%s", version);		/* they come sorted */
	return 0;
}

static char *word_text(const struct mhs_image_header *image, const struct eng_tok *tok, enum mhs_word word)
{
	uint32_t id, bytes = 0;
	const char *text = mhs_image_word(image, word, &id);

	if (text)
		return strdup(text);
	text = eng_tok_bytes(tok, id, &bytes);
	return text ? strndup(text, bytes) : NULL;
}

static int take(struct sto_version *v, struct template *t, struct sto_error *error)
{
	struct eng_tok *tok;
	int err = sto_version_texts(v, error);

	if (err)
		return err;
	err = eng_tok_open(v->tokenizer, v->header.tokenizer.length_bytes, &tok);
	if (err) {
		sto_fail(error, "%s@%s: its tokenizer cannot be read; import it again", v->model, v->version);
		return err;
	}
	t->text = v->chat_template;
	t->bytes = v->header.chat_template.length_bytes;
	v->chat_template = NULL;
	for (int w = 0; w < TPL_WORD_COUNT; w++)
		t->words[w] = word_text(&v->header, tok, (enum mhs_word)w);
	eng_tok_close(&tok);
	return 0;
}

static int load(const char *store, const char *model, const char *version, struct template *t,
		struct sto_error *error)
{
	struct sto_version v;
	int err = sto_version_open(&v, store, model, version, error);

	if (err)
		return err;
	err = take(&v, t, error);
	sto_version_close(&v);
	return err;
}

int template_load(const struct cmd *cmd, const char *store, const char *model,
		  char version[MHS_SEMVER_BYTES], struct template *t)
{
	struct sto_error error = { "" };

	memset(t, 0, sizeof(*t));
	if (!version[0] && sto_versions_each(store, model, keep_newest, version, &error))
		return cmd_fail(cmd, CMD_FAILED, "%s", error.text);
	if (!version[0])
		return cmd_fail(cmd, CMD_FAILED, "model %s: has no version in the store %s; import one",
				model, store);
	if (load(store, model, version, t, &error))
		return cmd_fail(cmd, CMD_FAILED, "%s", error.text);
	return CMD_OK;
}

void template_free(struct template *t)
{
	free(t->text);
	for (int w = 0; w < TPL_WORD_COUNT; w++)
		free(t->words[w]);
	memset(t, 0, sizeof(*t));
}

void template_warn(const struct cmd *cmd, const char *store, const char *model, const char *version)
{
	struct template t = { 0 };
	struct sto_error ignored;
	struct tpl_error error = { 0 };
	struct tpl *tpl = NULL;

	if (!load(store, model, version, &t, &ignored) && t.text) {
		tpl_compile(&tpl, t.text, t.bytes, &error);
		if (tpl && tpl_unsupported(tpl))
			cmd_fail(cmd, CMD_OK, "warning: chat template: %s is not supported: messages that "
				 "reach it are refused", tpl_unsupported(tpl));
		else if (!tpl)
			cmd_fail(cmd, CMD_OK, "warning: chat template: %s: messages to this version are "
				 "refused", error.text);
	}
	tpl_free(&tpl);
	template_free(&t);
}
