/* SPDX-License-Identifier: MIT */
/* sto_verify_manifest.c: whether a manifest tells of the image beside it. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "sto_image_priv.h"
#include "sto_json.h"
#include "sto_verify_priv.h"

#define FREQUENCY_BYTES_MAX	8192u	/* heads of 4096, the most that an import takes */

/* Text under @key that is @wanted (NULL: absent or null). */
static void expect_text(const struct sto_verify *verify, const json_t *object, const char *key,
			const char *wanted)
{
	const char *text = json_string_value(json_object_get(object, key));

	if (!text != !wanted || (text && strcmp(text, wanted)))
		sto_verify_say(verify, "manifest: %s: %s, limit %s as the image has it", key,
			       text ? text : "none", wanted ? wanted : "none");
}

static void expect_number(const struct sto_verify *verify, const json_t *object, const char *key,
			  uint64_t wanted)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value) || (uint64_t)json_integer_value(value) != wanted)
		sto_verify_say(verify, "manifest: image.%s: %lld, limit %llu as the image has it", key,
			       (long long)json_integer_value(value), (unsigned long long)wanted);
}

/* Append the frequencies of @role, if there are any, to the @bytes in @to. */
static bool add_frequencies(struct sto_version *v, uint32_t role, char *to, uint64_t *bytes)
{
	struct sto_error error;

	for (uint32_t i = 0; i < v->header.tensor_count; i++) {
		uint64_t length = v->tensors[i].length_bytes;

		if (v->tensors[i].role != role)
			continue;
		if (length > FREQUENCY_BYTES_MAX || sto_tensor_read(v, i, 0, length, to + *bytes, &error))
			return false;
		*bytes += length;
	}
	return true;
}

/* Over configuration and rope frequencies, as sto_manifest.c makes it. */
static bool config_hex(struct sto_version *v, char hex[STO_HEX_BYTES])
{
	const struct mhs_image_header *h = &v->header;
	char *all = malloc(STO_CONFIG_BYTES + 2 * FREQUENCY_BYTES_MAX);
	bool good = false;
	uint64_t bytes;

	if (all) {
		bytes = sto_config_bytes(h, (uint8_t *)all);
		good = add_frequencies(v, MHS_ROLE_INV_FREQ, all, &bytes) &&
		       add_frequencies(v, MHS_ROLE_INV_FREQ_LOCAL, all, &bytes) &&
		       !sto_sha256_hex(all, bytes, hex);
	}
	free(all);
	return good;
}

static void check_hashes(const struct sto_verify *verify, const json_t *manifest,
			 struct sto_version *v)
{
	const struct mhs_image_header *h = &v->header;
	const json_t *image = json_object_get(manifest, "image");
	char hex[STO_HEX_BYTES];

	sto_hex(h->content_hash, MHS_HASH_BYTES, hex);
	expect_text(verify, image, "content_hash", hex);
	expect_number(verify, image, "bytes", h->image_bytes);
	expect_number(verify, image, "tensors", h->tensor_count);
	if (config_hex(v, hex))
		expect_text(verify, manifest, "config_hash", hex);
	if (!v->tokenizer)
		return;	/* it cannot be read, which was told */
	if (!sto_sha256_hex(v->tokenizer, h->tokenizer.length_bytes, hex))
		expect_text(verify, manifest, "tokenizer_hash", hex);
	if (!h->chat_template.length_bytes)
		expect_text(verify, manifest, "template_hash", NULL);
	else if (v->chat_template &&
		 !sto_sha256_hex(v->chat_template, h->chat_template.length_bytes, hex))
		expect_text(verify, manifest, "template_hash", hex);
}

void sto_verify_manifest(const struct sto_verify *verify, const char *model, const char *version,
			 struct sto_version *v)
{
	char path[4096];
	struct sto_error error;
	json_t *manifest;
	int err = sto_manifest_read(verify->store, model, version, &manifest, &error);

	if (err) {
		sto_verify_say(verify, "manifest: %s", error.text);
		return;
	}
	expect_text(verify, manifest, "model", model);
	expect_text(verify, manifest, "version", version);
	if (v)
		check_hashes(verify, manifest, v);
	json_decref(manifest);
	if (sto_golden_find(verify->store, model, version, path, sizeof(path), &error))
		sto_verify_say(verify, "%s", error.text);
}
