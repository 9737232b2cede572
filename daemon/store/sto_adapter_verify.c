/* SPDX-License-Identifier: MIT */
/* sto_adapter_verify.c: hash an adapter of the store again, and compare its manifest. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sto_adapter.h"
#include "sto_image_priv.h"
#include "sto_verify_priv.h"

static void expect(struct sto_check *c, const json_t *object, const char *key, const char *wanted)
{
	const char *text = json_string_value(json_object_get(object, key));

	if (!text || strcmp(text, wanted))
		sto_check_say(c, "manifest: %s: %.80s, limit %s as the image has it", key,
			      text ? text : "none", wanted);
}

static void check_manifest(struct sto_check *c, const char *model, const char *adapter,
			   const char *version, const struct mhs_image_header *h)
{
	json_t *manifest = NULL, *image, *base;
	struct sto_error error;
	char hex[STO_HEX_BYTES];

	if (sto_adapter_manifest(c->verify->store, model, adapter, version, &manifest, &error)) {
		sto_check_say(c, "manifest: %.480s", error.text);
		return;
	}
	expect(c, manifest, "model", model);
	expect(c, manifest, "adapter", adapter);
	expect(c, manifest, "version", version);
	image = json_object_get(manifest, "image");
	base = json_object_get(manifest, "base");
	if (h) {
		sto_hex(h->content_hash, MHS_HASH_BYTES, hex);
		expect(c, image, "content_hash", hex);
		sto_hex(h->fits_hash, MHS_HASH_BYTES, hex);
		expect(c, base, "fits_hash", hex);
		if (json_integer_value(json_object_get(image, "bytes")) != (json_int_t)h->image_bytes)
			sto_check_say(c, "manifest: image.bytes: limit %llu as the image has it",
				      (unsigned long long)h->image_bytes);
	}
	json_decref(manifest);
}

static void check_tensors(struct sto_check *c, const struct mhs_image_header *h, const uint8_t *base)
{
	const struct mhs_image_tensor *t = (const void *)(base + h->tensor_table.offset_bytes);

	for (uint32_t i = 0; i < h->tensor_count; i++) {
		uint8_t hash[MHS_CHUNK_HASH_BYTES];

		sto_hash128(base + t[i].offset_bytes, t[i].length_bytes, hash);
		if (memcmp(hash, t[i].hash, sizeof(hash)))
			sto_check_say(c, "tensor %s: its hash is not that of the tensor table", t[i].name);
	}
}

/* Chunks and content, then the table, then each tensor. */
static int check_image(struct sto_check *c, const char *model, const char *adapter, const char *version,
		       const struct mhs_image_header *h, int fd)
{
	const struct sto_chunks chunks = {
		.fd = fd, .prefix = "", .what = "image", .table = &h->chunk_table,
		.table_hash = h->chunk_table_hash, .content_hash = h->content_hash,
		.begin_bytes = h->data_offset_bytes, .end_bytes = h->image_bytes, .count = h->chunk_count,
	};
	struct mhs_image_header again;
	struct sto_error error;
	void *base = NULL;
	int err = sto_check_chunks(c, &chunks);

	if (err)
		return err;
	err = sto_adapter_read(c->verify->store, model, adapter, version, &again, &base, &error);
	if (err)
		sto_check_say(c, "%.480s", error.text);
	else
		check_tensors(c, &again, base);
	free(base);
	return err == -ENOMEM ? err : 0;
}

int sto_verify_adapter(const struct sto_verify *verify, const char *model, const char *adapter,
		       const char *version, uint64_t *bytes, struct sto_error *error)
{
	struct sto_check c = { .verify = verify };
	struct mhs_image_header h;
	int fd = sto_adapter_open(verify->store, model, adapter, version, &h, error), err = -ENOMEM;

	*bytes = 0;
	if (fd < 0) {
		sto_verify_say(verify, "%s", error->text);
		check_manifest(&c, model, adapter, version, NULL);
		return 0;
	}
	c.all_bytes = h.image_bytes - h.data_offset_bytes;
	c.chunk = malloc(MHS_IMAGE_CHUNK_BYTES);
	c.sha = EVP_MD_CTX_new();
	if (c.chunk && c.sha)
		err = check_image(&c, model, adapter, version, &h, fd);
	if (!err)
		check_manifest(&c, model, adapter, version, &h);
	else
		sto_fail(error, "%s/%s@%s: %s", model, adapter, version,
			 err == -EINTR ? "interrupted; verify it again" : "out of memory; free some");
	*bytes = c.done_bytes;
	EVP_MD_CTX_free(c.sha);
	free(c.chunk);
	close(fd);
	return err;
}
