/* SPDX-License-Identifier: MIT */
/*
 * sto_hash.c: the hashes of an image and of the pack that came with it, over the bytes as they are in
 * the files now. Both run in the image's order, so one reading feeds both.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "sto_image_priv.h"

#define PIECE_BYTES	(1u << 20)

/* XXH3-128 of each chunk and SHA-256 of all, of bytes that come in any portions. */
struct chunker {
	EVP_MD_CTX *sha;
	XXH3_state_t *chunk;
	uint32_t fill_bytes;		/* of the chunk */
	uint8_t *next;			/* where its hash goes */
};

static int chunker_begin(struct chunker *c, uint8_t *hashes)
{
	*c = (struct chunker){ .sha = EVP_MD_CTX_new(), .chunk = XXH3_createState(), .next = hashes };
	if (!c->sha || !c->chunk || EVP_DigestInit_ex(c->sha, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	XXH3_128bits_reset(c->chunk);
	return 0;
}

static void chunk_end(struct chunker *c)
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(c->chunk));
	memcpy(c->next, canonical.digest, MHS_CHUNK_HASH_BYTES);
	c->next += MHS_CHUNK_HASH_BYTES;
	c->fill_bytes = 0;
	XXH3_128bits_reset(c->chunk);
}

static int chunker_add(struct chunker *c, const uint8_t *data, uint64_t bytes)
{
	if (EVP_DigestUpdate(c->sha, data, bytes) != 1)
		return -ENOMEM;
	while (bytes) {
		uint32_t room = MHS_IMAGE_CHUNK_BYTES - c->fill_bytes;
		uint32_t part = bytes < room ? (uint32_t)bytes : room;

		XXH3_128bits_update(c->chunk, data, part);
		c->fill_bytes += part;
		data += part;
		bytes -= part;
		if (c->fill_bytes == MHS_IMAGE_CHUNK_BYTES)
			chunk_end(c);
	}
	return 0;
}

static int chunker_end(struct chunker *c, uint8_t content_hash[MHS_HASH_BYTES])
{
	if (c->fill_bytes)
		chunk_end(c);
	return EVP_DigestFinal_ex(c->sha, content_hash, NULL) == 1 ? 0 : -ENOMEM;
}

static void chunker_free(struct chunker *c)
{
	EVP_MD_CTX_free(c->sha);
	XXH3_freeState(c->chunk);
}

/* One extent, @buffer of PIECE_BYTES. @own: NULL when it is no part of the own pack. */
static int hash_extent(struct sto_work *work, const struct mhs_image_extent *x, int fd,
		       struct chunker *image, struct chunker *own, uint8_t *buffer,
		       struct sto_error *error)
{
	const struct sto_file file = { .path = (char[]){ "pack" }, .fd = fd };
	int err = 0;

	for (uint64_t done = 0; !err && done < x->length_bytes; done += PIECE_BYTES) {
		uint64_t left = x->length_bytes - done, part = left < PIECE_BYTES ? left : PIECE_BYTES;

		err = sto_file_read(&file, buffer, part, x->segment_offset_bytes + done, error);
		if (!err)
			err = chunker_add(image, buffer, part);
		if (!err && own)
			err = chunker_add(own, buffer, part);
		if (!err)
			err = sto_work_step(work, part);
	}
	return err;
}

static int hash_all(struct sto_work *work, struct mhs_image_header *h, struct sto_pieces *pieces,
		    const uint8_t *base, struct chunker *image, struct chunker *own, uint8_t *buffer,
		    struct sto_error *error)
{
	const struct mhs_image_extent *x = pieces->extents;
	int err = chunker_add(image, base + h->data_offset_bytes,
			      x[0].length_bytes - h->data_offset_bytes);

	for (uint32_t i = 1; !err && i < pieces->extent_count; i++)
		err = hash_extent(work, &x[i], pieces->fds[x[i].segment], image,
				  x[i].segment == pieces->own ? own : NULL, buffer, error);
	if (!err)
		err = chunker_end(image, h->content_hash);
	return err ? err : chunker_end(own, pieces->own_header.content_hash);
}

int sto_hash_image(struct sto_work *work, struct mhs_image_header *h, struct sto_pieces *pieces,
		   uint8_t *base, uint8_t *pack_hashes, struct sto_error *error)
{
	struct chunker image = { .sha = NULL }, own = { .sha = NULL };
	uint8_t *buffer = malloc(PIECE_BYTES);
	int err = buffer ? chunker_begin(&image, base + h->chunk_table.offset_bytes) : -ENOMEM;

	sto_fail(error, "image: SHA-256 failed: out of memory; free some");
	if (!err)
		err = chunker_begin(&own, pack_hashes);
	if (!err)
		err = hash_all(work, h, pieces, base, &image, &own, buffer, error);
	chunker_free(&own);
	chunker_free(&image);
	free(buffer);
	return err;
}
