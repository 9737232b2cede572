/* SPDX-License-Identifier: MIT */
/*
 * sto_compat.c: what a version number promises. Versions of one MAJOR (1 and up) can stand in for
 * each other: same architecture, same tokenizer, same vocabulary, a context that does not shrink.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

static int refuse(const struct sto_import *import, const struct relative *r, const char *field,
		  const char *what, struct sto_error *error)
{
	sto_fail(error, "%s: %s: %s %s@%s, limit the same within MAJOR %u; use another MAJOR",
		 import->path, field, what, import->model, r->found, r->major);
	return -EINVAL;
}

static int compare_config(const struct sto_import *import, const struct sto_model *model,
			  const struct relative *r, const struct mhs_image_header *old,
			  struct sto_error *error)
{
	if (model->config.arch != old->config.arch)
		return refuse(import, r, "architecture", "differs from", error);
	if (model->config.vocab_count != old->config.vocab_count)
		return refuse(import, r, "vocabulary size", "differs from", error);
	if (sto_semver_compare(r->found, import->version) < 0 ?
	    model->config.context_max < old->config.context_max :
	    model->config.context_max > old->config.context_max)
		return refuse(import, r, "context length", "would shrink against", error);
	return 0;
}

/* Whether the compiled tokenizer in the image is the same. 1: differs. */
static int compare_tokenizer(const struct sto_model *model, struct sto_version *v,
			     struct sto_error *error)
{
	const struct mhs_image_header *old = &v->header;
	uint8_t *blob;
	int err;

	if (old->tokenizer.length_bytes != model->tokenizer_bytes)
		return 1;
	blob = malloc(model->tokenizer_bytes);
	if (!blob) {
		sto_fail(error, "tokenizer: out of memory; free some");
		return -ENOMEM;
	}
	err = sto_version_read(v, blob, model->tokenizer_bytes, old->tokenizer.offset_bytes, error);
	if (!err)
		err = memcmp(blob, model->tokenizer, model->tokenizer_bytes) != 0;
	free(blob);
	return err;
}

int sto_compat_check(const struct sto_import *import, const struct sto_model *model,
		     struct sto_error *error)
{
	struct relative r = { .version = import->version };
	struct sto_version old;
	uint32_t parts[3];
	int err;

	sto_semver_parse(import->version, parts, NULL);
	r.major = parts[0];
	if (r.major == 0)	/* promises nothing yet */
		return 0;
	err = sto_versions_each(import->store, import->model, note_relative, &r, error);
	if (err || !r.found[0])
		return err;
	err = sto_version_open(import->store, import->model, r.found, &old, error);
	if (err)
		return err;
	err = compare_config(import, model, &r, &old.header, error);
	if (!err)
		err = compare_tokenizer(model, &old, error);
	sto_version_close(&old);
	return err > 0 ? refuse(import, &r, "tokenizer", "differs from", error) : err;
}
