/* SPDX-License-Identifier: MIT */
/* sto_verify.c: the bytes of an image against its hashes. One thing's damage hides no other's. */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eng_tok.h"
#include "sto_file.h"
#include "sto_verify_priv.h"

static void say(const struct sto_verify *verify, const char *format, va_list args)
{
	char text[512];

	vsnprintf(text, sizeof(text), format, args);
	verify->problem(verify->arg, text);
}

void sto_verify_say(const struct sto_verify *verify, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(verify, format, args);
	va_end(args);
}

void sto_check_say(struct sto_check *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(c->verify, format, args);
	va_end(args);
	c->problems++;
}

int sto_check_step(struct sto_check *c, uint64_t bytes)
{
	const struct sto_verify *verify = c->verify;

	c->done_bytes += bytes;
	if (verify->progress)
		verify->progress(verify->arg, c->done_bytes, c->all_bytes);
	/* relaxed: a request to give up; nothing is published by it */
	return verify->stop && atomic_load_explicit(verify->stop, memory_order_relaxed) ? -EINTR : 0;
}

/* ---- chunks ------------------------------------------------------------------------------- */

static int chunks_read(struct sto_check *c, const struct sto_chunks *chunks, void *out, uint64_t bytes,
		       uint64_t offset, struct sto_error *error)
{
	const struct sto_file file = { .path = (char[]){ "pack" }, .fd = chunks->fd };

	return chunks->fd < 0 ? sto_version_read(&c->v, out, bytes, offset, error) :
				sto_file_read(&file, out, bytes, offset, error);
}

/* The hashes of all chunks, when they are those that the header vouches for. */
static bool table_is_good(struct sto_check *c, const struct sto_chunks *chunks, uint8_t *hashes)
{
	const struct mhs_image_span *table = chunks->table;
	uint8_t hash[MHS_CHUNK_HASH_BYTES];
	struct sto_error error;

	if (chunks_read(c, chunks, hashes, table->length_bytes, table->offset_bytes, &error)) {
		sto_check_say(c, "%schunk table: %.400s", chunks->prefix, error.text);
		return false;
	}
	sto_hash128(hashes, table->length_bytes, hash);
	if (memcmp(hash, chunks->table_hash, sizeof(hash)) == 0)
		return true;
	sto_check_say(c, "%schunk table: its hash is not that of the header", chunks->prefix);
	return false;
}

/* @hash: NULL when there is none to trust. */
static int check_chunk(struct sto_check *c, const struct sto_chunks *chunks, uint32_t index, uint64_t at,
		       uint64_t bytes, const uint8_t *hash)
{
	uint8_t found[MHS_CHUNK_HASH_BYTES];
	struct sto_error error;

	if (chunks_read(c, chunks, c->chunk, bytes, at, &error)) {
		sto_check_say(c, "%schunk %u: %.400s", chunks->prefix, index, error.text);
		return -EIO;
	}
	sto_hash128(c->chunk, bytes, found);
	if (hash && memcmp(found, hash, sizeof(found)) && !chunks->quiet)
		sto_check_say(c, "%schunk %u (bytes %llu to %llu of the %s): its hash is not that of the "
			      "chunk table", chunks->prefix, index, (unsigned long long)at,
			      (unsigned long long)(at + bytes - 1), chunks->what);
	return EVP_DigestUpdate(c->sha, c->chunk, bytes) == 1 ? 0 : -ENOMEM;
}

static int check_all(struct sto_check *c, const struct sto_chunks *chunks, const uint8_t *hashes)
{
	uint8_t digest[MHS_HASH_BYTES];
	uint64_t at = chunks->begin_bytes, part;
	bool readable = true;

	if (EVP_DigestInit_ex(c->sha, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	for (uint32_t i = 0; i < chunks->count; i++, at += part) {
		int err;

		part = chunks->end_bytes - at;
		if (part > MHS_IMAGE_CHUNK_BYTES)
			part = MHS_IMAGE_CHUNK_BYTES;
		err = check_chunk(c, chunks, i, at, part, hashes ? hashes + i * MHS_CHUNK_HASH_BYTES : NULL);
		readable &= !err;
		if (err != -ENOMEM)
			err = sto_check_step(c, part);
		if (err)
			return err;
	}
	if (EVP_DigestFinal_ex(c->sha, digest, NULL) != 1)
		return -ENOMEM;
	if (readable && memcmp(digest, chunks->content_hash, sizeof(digest)))
		sto_check_say(c, "%scontent: its SHA-256 is not that of the header", chunks->prefix);
	return 0;
}

int sto_check_chunks(struct sto_check *c, const struct sto_chunks *chunks)
{
	uint8_t *hashes = malloc(chunks->table->length_bytes);
	int err = -ENOMEM;

	if (hashes)
		err = check_all(c, chunks, table_is_good(c, chunks, hashes) ? hashes : NULL);
	free(hashes);
	return err;
}

/* ---- the image ----------------------------------------------------------------------------- */

static int check_content(struct sto_check *c)
{
	const struct mhs_image_header *h = &c->v.header;
	const struct sto_chunks chunks = {
		.fd = -1, .prefix = "", .what = "image", .table = &h->chunk_table,
		.table_hash = h->chunk_table_hash, .content_hash = h->content_hash,
		.begin_bytes = h->data_offset_bytes, .end_bytes = h->image_bytes, .count = h->chunk_count,
		.quiet = sto_packs_damaged(c),
	};

	return sto_packs_readable(c) ? sto_check_chunks(c, &chunks) : 0;
}

static int check_tensor(struct sto_check *c, uint32_t index)
{
	const struct mhs_image_tensor *t = &c->v.tensors[index];
	uint8_t hash[MHS_CHUNK_HASH_BYTES];
	struct sto_error error;
	int err = sto_tensor_hash(c, index, hash, &error);

	if (err == -EINTR || err == -ENOMEM)
		return err;
	if (err && err != -ENODATA)
		sto_check_say(c, "tensor %s: %.400s", t->name, error.text);
	else if (!err && memcmp(hash, t->hash, sizeof(hash)))
		sto_check_say(c, "tensor %s: its hash is not that of the tensor table", t->name);
	return 0;
}

static void check_tokenizer(struct sto_check *c)
{
	struct eng_tok *tok = NULL;
	struct sto_error error;

	if (sto_version_texts(&c->v, &error)) {
		if (sto_packs_readable(c))
			sto_check_say(c, "tokenizer: %.400s", error.text);
		return;
	}
	if (eng_tok_open(c->v.tokenizer, c->v.header.tokenizer.length_bytes, &tok))
		sto_check_say(c, "tokenizer: its tables are damaged");
	else
		eng_tok_close(&tok);
}

static int check_image(struct sto_check *c)
{
	int err = sto_packs_check(c);

	if (!err && !sto_image_known(c)) {
		err = check_content(c);
		for (uint32_t i = 0; i < c->v.header.tensor_count && !err; i++)
			err = check_tensor(c, i);
		if (!err && !c->problems)
			err = sto_image_remember(c);
	}
	if (!err)
		check_tokenizer(c);
	return err;
}

static int prepare(struct sto_check *c)
{
	const struct mhs_image_header *h = &c->v.header;
	int err = sto_packs_find(c);

	if (err)
		return err;
	if (!sto_image_known(c))
		c->all_bytes += h->image_bytes - h->data_offset_bytes;
	for (uint32_t i = 0; i < h->tensor_count && !sto_image_known(c); i++)
		if (c->v.tensors[i].length_bytes <= h->image_bytes)
			c->all_bytes += c->v.tensors[i].length_bytes;
	c->chunk = malloc(MHS_IMAGE_CHUNK_BYTES);
	c->sha = EVP_MD_CTX_new();
	c->xxh = XXH3_createState();
	return c->chunk && c->xxh && c->sha ? 0 : -ENOMEM;
}

int sto_verify_version(const struct sto_verify *verify, const char *model, const char *version,
		       uint64_t *bytes, struct sto_error *error)
{
	struct sto_check c = { .verify = verify };
	int err;

	*bytes = 0;
	if (sto_version_open(&c.v, verify->store, model, version, error)) {
		sto_verify_say(verify, "%s", error->text);
		sto_verify_manifest(verify, model, version, NULL);
		return 0;
	}
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
	free(c.chunk);
	sto_version_close(&c.v);
	return err;
}
