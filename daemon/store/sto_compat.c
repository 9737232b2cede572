/* SPDX-License-Identifier: MIT */
/*
 * sto_compat.c: what a version number promises. Versions of one MAJOR (1 and up) can stand in for
 * each other: same architecture, tokenizer, vocabulary, begin and end tokens, same template, a
 * context that does not shrink. Sizes of layers may change: no client sees them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sto_differ.h"
#include "sto_image_priv.h"

struct relative {
	const char *version;
	uint32_t major;
	char found[MHS_SEMVER_BYTES];	/* next lower of the same MAJOR, else the next higher */
};

static int note_relative(void *arg, const char *model, const char *version)
{
	struct relative *r = arg;
	uint32_t parts[3];

	if (sto_semver_parse(version, parts, NULL) || parts[0] != r->major)
		return 0;
	if (!r->found[0] || sto_semver_compare(version, r->version) < 0)
		memcpy(r->found, version, strlen(version) + 1);
	return 0;
}

static struct sto_parts model_parts(const struct sto_model *model)
{
	return (struct sto_parts){ &model->config, model->bos_id, model->eos_count, model->eos_ids,
				   model->tokenizer, model->tokenizer_bytes, model->chat_template,
				   model->chat_template_bytes, &model->shape, &model->experts };
}

static int differ_promised_config(const struct sto_parts *old, const struct sto_parts *new,
				  bool newer, json_t *list)
{
	const struct mhs_image_config *a = old->config, *b = new->config;
	int err = 0;

	if (a->arch != b->arch)
		err = sto_differ_add(list, json_integer(a->arch), json_integer(b->arch), "architecture");
	if (!err && a->vocab_count != b->vocab_count)
		err = sto_differ_add(list, json_integer(a->vocab_count), json_integer(b->vocab_count),
				     "vocabulary size");
	if (!err && (newer ? b->context_max < a->context_max : b->context_max > a->context_max))
		err = sto_differ_add(list, json_integer(a->context_max), json_integer(b->context_max),
				     "context length (may only grow)");
	return err;
}

/* All that breaks the promise, as texts. */
static int list_all(const struct sto_parts *old, const struct sto_parts *new, bool newer,
		    json_t *texts)
{
	json_t *list = json_array(), *difference;
	int err = differ_promised_config(old, new, newer, list);
	size_t i;

	if (!err)
		err = sto_differ_special(old, new, list);
	if (!err)
		err = sto_differ_tokenizer(old, new, list);
	if (!err)
		err = sto_differ_template(old, new, list);
	json_array_foreach(list, i, difference)
		if (!err && json_array_append_new(texts, sto_differ_text(difference)))
			err = -ENOMEM;
	json_decref(list);
	return err;
}

static int judge(const struct sto_import *import, const struct relative *r, json_t *texts,
		 struct sto_error *error)
{
	size_t count = json_array_size(texts);
	char more[40] = "";

	if (count == 0 || import->allow_incompatible)
		return 0;
	if (count > 1)
		snprintf(more, sizeof(more), " (and %zu more)", count - 1);
	sto_fail(error, "%.150s: %s in %s@%s%s, limit the same within MAJOR %u; use another MAJOR, or "
		 "--allow-incompatible", import->path, json_string_value(json_array_get(texts, 0)),
		 import->model, r->found, more, r->major);
	return -EINVAL;
}

int sto_compat_check(const struct sto_import *import, const struct sto_model *model, json_t *texts,
		     struct sto_error *error)
{
	struct relative r = { .version = import->version };
	struct sto_parts old, new = model_parts(model);
	struct sto_version other;
	uint32_t parts[3];
	int err;

	json_array_clear(texts);
	sto_semver_parse(import->version, parts, NULL);
	r.major = parts[0];
	if (r.major == 0)	/* promises nothing yet */
		return 0;
	err = sto_versions_each(import->store, import->model, note_relative, &r, error);
	if (!err && r.found[0])
		err = sto_version_open(&other, import->store, import->model, r.found, error);
	if (err || !r.found[0])
		return err;
	err = sto_version_texts(&other, error);
	if (!err) {
		old = sto_version_parts(&other);
		err = list_all(&old, &new, sto_semver_compare(r.found, import->version) < 0, texts);
		if (err)
			sto_fail(error, "%s: out of memory; free some", import->path);
	}
	sto_version_close(&other);
	return err ? err : judge(import, &r, texts, error);
}
