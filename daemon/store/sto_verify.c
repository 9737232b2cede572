/* SPDX-License-Identifier: MIT */
/* sto_verify.c: the bytes of an image against its hashes. One thing's damage hides no other's. */
#include <errno.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "eng_tok.h"
#include "sto_file.h"
#include "sto_verify_priv.h"

struct check {
	const struct sto_verify *verify;
	struct sto_version v;
	struct sto_file image;
	uint8_t *chunk;			/* MHS_IMAGE_CHUNK_BYTES */
	uint8_t *hashes;		/* the chunk table */
	EVP_MD_CTX *sha;
	XXH3_state_t *xxh;
	uint64_t done_bytes, all_bytes;
};

void sto_verify_say(const struct sto_verify *verify, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	verify->problem(verify->arg, text);
}

/* 0, or -EINTR. */
static int step(struct check *c, uint64_t bytes)
{
	const struct sto_verify *verify = c->verify;

	c->done_bytes += bytes;
	if (verify->progress)
		verify->progress(verify->arg, c->done_bytes, c->all_bytes);
	/* relaxed: a request to give up; nothing is published by it */
	return verify->stop && atomic_load_explicit(verify->stop, memory_order_relaxed) ? -EINTR : 0;
}

/* The hashes of all chunks, when they are those that the header vouches for. */
static int check_chunk_table(struct check *c)
{
	const struct mhs_image_header *h = &c->v.header;
	uint8_t hash[MHS_CHUNK_HASH_BYTES];
	struct sto_error error;

	if (sto_file_read(&c->image, c->hashes, h->chunk_table.length_bytes,
			  h->chunk_table.offset_bytes, &error)) {
		sto_verify_say(c->verify, "chunk table: %s", error.text);
		return -EIO;
	}
	sto_hash128(c->hashes, h->chunk_table.length_bytes, hash);
	if (memcmp(hash, h->chunk_table_hash, sizeof(hash)) == 0)
		return 0;
	sto_verify_say(c->verify, "chunk table: its hash is not that of the header");
	return -EBADMSG;
}

static int check_chunk(struct check *c, uint32_t index, uint64_t at, uint64_t bytes, bool table_good)
{
	uint8_t hash[MHS_CHUNK_HASH_BYTES];
	struct sto_error error;

	if (sto_file_read(&c->image, c->chunk, bytes, at, &error)) {
		sto_verify_say(c->verify, "chunk %u: %s", index, error.text);
		return -EIO;
	}
	sto_hash128(c->chunk, bytes, hash);
	if (table_good && memcmp(hash, c->hashes + index * MHS_CHUNK_HASH_BYTES, sizeof(hash)))
		sto_verify_say(c->verify, "chunk %u (bytes %llu to %llu of the image): its hash is not "
			       "that of the chunk table", index, (unsigned long long)at,
			       (unsigned long long)(at + bytes - 1));
	return EVP_DigestUpdate(c->sha, c->chunk, bytes) == 1 ? 0 : -ENOMEM;
}

static int check_chunks(struct check *c)
{
	const struct mhs_image_header *h = &c->v.header;
	bool table_good = check_chunk_table(c) == 0, readable = true;
	uint8_t digest[MHS_HASH_BYTES];
	uint64_t at = h->data_offset_bytes;

	for (uint32_t i = 0; i < h->chunk_count; i++) {
		uint64_t left = h->image_bytes - at;
		uint64_t part = left < h->chunk_bytes ? left : h->chunk_bytes;
		int err = check_chunk(c, i, at, part, table_good);

		readable &= !err;
		if (err != -ENOMEM)
			err = step(c, part);
		if (err)
			return err;
		at += part;
	}
	if (EVP_DigestFinal_ex(c->sha, digest, NULL) != 1)
		return -ENOMEM;
	if (readable && memcmp(digest, h->content_hash, sizeof(digest)))
		sto_verify_say(c->verify, "content: its SHA-256 is not that of the header");
	return 0;
}

static int check_tensor(struct check *c, uint32_t index)
{
	const struct mhs_image_tensor *t = &c->v.tensors[index];
	XXH128_canonical_t canonical;
	struct sto_error error;
	uint64_t part;

	XXH3_128bits_reset(c->xxh);
	for (uint64_t at = 0; at < t->length_bytes; at += part) {
		part = t->length_bytes - at < MHS_IMAGE_CHUNK_BYTES ? t->length_bytes - at :
								      MHS_IMAGE_CHUNK_BYTES;
		if (sto_tensor_read(&c->v, index, at, part, c->chunk, &error)) {
			sto_verify_say(c->verify, "tensor %s: %s", t->name, error.text);
			return 0;
		}
		XXH3_128bits_update(c->xxh, c->chunk, part);
		if (step(c, part))
			return -EINTR;
	}
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(c->xxh));
	if (memcmp(canonical.digest, t->hash, sizeof(t->hash)))
		sto_verify_say(c->verify, "tensor %s: its hash is not that of the tensor table", t->name);
	return 0;
}

static void check_tokenizer(struct check *c)
{
	struct eng_tok *tok = NULL;

	if (eng_tok_open(c->v.tokenizer, c->v.header.tokenizer.length_bytes, &tok))
		sto_verify_say(c->verify, "tokenizer: its tables are damaged");
	else
		eng_tok_close(&tok);
}

static int check_image(struct check *c)
{
	int err = check_chunks(c);

	for (uint32_t i = 0; i < c->v.header.tensor_count && !err; i++)
		err = check_tensor(c, i);
	if (!err)
		check_tokenizer(c);
	return err;
}

static int prepare(struct check *c)
{
	const struct mhs_image_header *h = &c->v.header;

	c->all_bytes = h->image_bytes - h->data_offset_bytes;
	for (uint32_t i = 0; i < h->tensor_count; i++)
		if (c->v.tensors[i].length_bytes <= h->image_bytes)
			c->all_bytes += c->v.tensors[i].length_bytes;
	c->chunk = malloc(MHS_IMAGE_CHUNK_BYTES);
	c->hashes = malloc(h->chunk_table.length_bytes);
	c->sha = EVP_MD_CTX_new();
	c->xxh = XXH3_createState();
	return c->chunk && c->hashes && c->xxh && c->sha &&
	       EVP_DigestInit_ex(c->sha, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

int sto_verify_version(const struct sto_verify *verify, const char *model, const char *version,
		       uint64_t *bytes, struct sto_error *error)
{
	struct check c = { .verify = verify };
	char path[4400] = STO_IMAGE_NAME;
	int err;

	*bytes = 0;
	if (sto_version_open(&c.v, verify->store, model, version, error)) {
		sto_verify_say(verify, "%s", error->text);
		sto_verify_manifest(verify, model, version, NULL);
		return 0;
	}
	sto_image_path(verify->store, model, version, path, sizeof(path));
	c.image = (struct sto_file){ .path = path, .fd = c.v.fd };
	err = prepare(&c);
	if (!err)
		err = check_image(&c);
	if (!err)
		sto_verify_manifest(verify, model, version, &c.v);
	if (err)
		sto_fail(error, "%s@%s: %s", model, version,
			 err == -EINTR ? "interrupted; verify it again" : "out of memory; free some");
	*bytes = c.done_bytes;
	XXH3_freeState(c.xxh);
	EVP_MD_CTX_free(c.sha);
	free(c.hashes);
	free(c.chunk);
	sto_version_close(&c.v);
	return err;
}
