/* SPDX-License-Identifier: MIT */
/* sto_diff.c: what differs between two versions, weights and all. */
#include "sto_diff.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sto_differ.h"
#include "sto_image_priv.h"

static json_t *or_null(json_t *value)
{
	return value ? json_incref(value) : json_null();
}

/* ---- manifests --------------------------------------------------------------------------- */

/* Keys of both, first a's; @skip_shared: the second call, for keys of b alone. */
static int differ_keys(json_t *a, json_t *b, const json_t *keys, bool skip_shared, const char *prefix,
		       json_t *list)
{
	const char *key;
	json_t *value;
	int err = 0;

	json_object_foreach((json_t *)(uintptr_t)keys, key, value) {
		char *field = NULL;

		if (skip_shared && json_object_get(a, key))
			continue;
		if (asprintf(&field, "%s%s%s", prefix, *prefix ? "." : "", key) < 0)
			return -ENOMEM;
		err = sto_diff_value(json_object_get(a, key), json_object_get(b, key), field, list);
		free(field);
		if (err)
			break;
	}
	return err;
}

/* Objects are compared key by key, anything else as a whole. */
int sto_diff_value(json_t *a, json_t *b, const char *field, json_t *list)
{
	int err;

	if ((!a && !b) || (a && b && json_equal(a, b)))
		return 0;
	if (!json_is_object(a) || !json_is_object(b))
		return sto_differ_add(list, or_null(a), or_null(b), "%s", field);
	err = differ_keys(a, b, a, false, field, list);
	return err ? err : differ_keys(a, b, b, true, field, list);
}

/* Where a version was merged from; which tensors changed is told with their norms. */
static int differ_merge(json_t *a, json_t *b, json_t *list)
{
	json_t *x = json_copy(json_object_get(a, "merge")), *y = json_copy(json_object_get(b, "merge"));
	json_t *none = json_object();
	int err;

	json_object_del(x, "tensors");
	json_object_del(y, "tensors");
	err = sto_diff_value(x ? x : none, y ? y : none, "merge", list);
	json_decref(none);
	json_decref(x);
	json_decref(y);
	return err;
}

static int differ_metadata(json_t *a, json_t *b, json_t *list)
{
	static const char *const fields[] = { "parent", "created", "user", "mhost", "quantize",
					      "incompatible" };
	json_t *none = json_object(), *meta_a = json_object_get(a, "meta");
	json_t *meta_b = json_object_get(b, "meta");
	int err = 0;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]) && !err; i++)
		err = sto_diff_value(json_object_get(a, fields[i]), json_object_get(b, fields[i]), fields[i],
				   list);
	if (!err)
		err = differ_merge(a, b, list);
	if (!err)
		err = sto_diff_value(meta_a ? meta_a : none, meta_b ? meta_b : none, "meta", list);
	json_decref(none);
	return err;
}

/* {name: SHA-256} of the source files; files of one name get a number. */
static json_t *source_hashes(const json_t *manifest)
{
	json_t *hashes = json_object(), *file;
	size_t i;

	json_array_foreach(json_object_get(json_object_get(manifest, "source"), "files"), i, file) {
		const char *name = json_string_value(json_object_get(file, "name"));
		char numbered[320];

		snprintf(numbered, sizeof(numbered), "%.280s", name ? name : "?");
		if (json_object_get(hashes, numbered))
			snprintf(numbered, sizeof(numbered), "%.280s (file %zu)", name ? name : "?", i);
		json_object_set_new(hashes, numbered, or_null(json_object_get(file, "sha256")));
	}
	return hashes;
}

static int differ_sources(const json_t *a, const json_t *b, json_t *list)
{
	json_t *x = source_hashes(a), *y = source_hashes(b);
	int err = differ_keys(x, y, x, false, "", list);

	if (!err)
		err = differ_keys(x, y, y, true, "", list);
	json_decref(x);
	json_decref(y);
	return err;
}

int sto_diff_manifests(json_t *a, json_t *b, json_t *metadata, json_t *sources)
{
	int err = differ_metadata(a, b, metadata);

	return err ? err : differ_sources(a, b, sources);
}

/* ---- the whole --------------------------------------------------------------------------- */

static int differ_parts(const struct sto_diff *diff, json_t *a, json_t *b, json_t *result)
{
	struct sto_parts x = sto_version_parts(diff->a), y = sto_version_parts(diff->b);
	json_t *metadata = json_array(), *config = json_array(), *tokenizer = json_array();
	json_t *template = json_array(), *sources = json_array();
	int err = sto_diff_manifests(a, b, metadata, sources);

	if (!err)
		err = sto_differ_config(&x, &y, config);
	if (!err)
		err = sto_differ_special(&x, &y, tokenizer);
	if (!err)
		err = sto_differ_tokenizer(&x, &y, tokenizer);
	if (!err)
		err = sto_differ_template(&x, &y, template);
	json_object_set_new(result, "metadata", metadata);
	json_object_set_new(result, "config", config);
	json_object_set_new(result, "tokenizer", tokenizer);
	json_object_set_new(result, "template", template);
	json_object_set_new(result, "sources", sources);
	return err;
}

static json_t *ref_string(const struct sto_version *v)
{
	return json_sprintf("%s@%s", v->model, v->version);
}

int sto_diff(const struct sto_diff *diff, json_t **result, struct sto_error *error)
{
	json_t *a = NULL, *b = NULL, *tensors = NULL;
	int err = sto_manifest_read(diff->a->store, diff->a->model, diff->a->version, &a, error);

	*result = json_pack("{s:o, s:o}", "a", ref_string(diff->a), "b", ref_string(diff->b));
	if (!err)
		err = sto_manifest_read(diff->b->store, diff->b->model, diff->b->version, &b, error);
	if (!err)
		err = sto_version_texts(diff->a, error);
	if (!err)
		err = sto_version_texts(diff->b, error);
	if (!err) {
		err = differ_parts(diff, a, b, *result);
		if (err)
			sto_fail(error, "diff: out of memory; free some");
	}
	if (!err)
		err = sto_diff_tensors(diff, &tensors, error);
	if (!err)
		json_object_set_new(*result, "tensors", tensors);
	json_decref(a);
	json_decref(b);
	if (err) {
		json_decref(*result);
		*result = NULL;
	}
	return err;
}
