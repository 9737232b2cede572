/* SPDX-License-Identifier: MIT */
/*
 * sto_blob.c: bring one blob of the image into the store. While its bytes are those of the same
 * place in an earlier version nothing is written; at the first other one what was equal is copied
 * and the rest follows. A blob that was written and has the hash of a known one is compared with
 * it: a hash alone never makes two blobs one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sto_image_priv.h"

#define PIECE_BYTES	(256u << 10)

static uint64_t page_align(uint64_t bytes)
{
	return (bytes + MHS_IMAGE_ALIGN_BYTES - 1) / MHS_IMAGE_ALIGN_BYTES * MHS_IMAGE_ALIGN_BYTES;
}

static uint32_t piece(uint64_t left)
{
	return left < PIECE_BYTES ? (uint32_t)left : PIECE_BYTES;
}

/* Exactly @bytes. A pack that cannot be read is not shared: that is no error. */
static bool read_known(int fd, void *out, uint64_t bytes, uint64_t offset)
{
	uint8_t *to = out;

	while (bytes) {
		ssize_t n = pread(fd, to, bytes, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		to += n;
		bytes -= (uint64_t)n;
		offset += (uint64_t)n;
	}
	return true;
}

int sto_copy(int from, uint64_t from_at, int to, uint64_t to_at, uint64_t bytes, struct sto_error *error)
{
	uint8_t *buffer = malloc(PIECE_BYTES);
	int err = buffer ? 0 : -ENOMEM;

	if (err)
		sto_fail(error, "image: out of memory; free some");
	for (uint64_t done = 0; !err && done < bytes; done += PIECE_BYTES) {
		uint32_t part = piece(bytes - done);

		if (read_known(from, buffer, part, from_at + done)) {
			err = sto_write_at(to, buffer, part, to_at + done, error);
		} else {
			err = -EIO;
			sto_fail(error, "pack: cannot be read again; check the store's disk");
		}
	}
	free(buffer);
	return err;
}

/* Whether @bytes at two places of two files are equal. */
static bool is_same(int a, uint64_t a_at, int b, uint64_t b_at, uint64_t bytes)
{
	uint8_t *buffer = malloc(2 * PIECE_BYTES);
	bool same = buffer != NULL;

	for (uint64_t done = 0; same && done < bytes; done += PIECE_BYTES) {
		uint32_t part = piece(bytes - done);

		same = read_known(a, buffer, part, a_at + done) &&
		       read_known(b, buffer + PIECE_BYTES, part, b_at + done) &&
		       !memcmp(buffer, buffer + PIECE_BYTES, part);
	}
	free(buffer);
	return same;
}

uint64_t sto_blob_own_place(const struct sto_work *work, const struct sto_blob *blob)
{
	return work->pack_data_bytes + (blob->offset_bytes - work->blobs[0].offset_bytes);
}

/* The same place of the latest version that has it; else one that may hold the same. */
static const struct sto_known *find_like(const struct sto_share *share, const struct sto_blob *blob)
{
	const struct sto_known *alike = NULL;

	for (uint32_t i = 0; i < share->blob_count; i++) {
		const struct sto_known *known = &share->blobs[i];

		if (known->layer != blob->layer || !sto_shape_alike(&known->shape, &blob->shape))
			continue;
		if (sto_shape_same(&known->shape, &blob->shape))
			return known;
		if (!alike)
			alike = known;
	}
	return alike;
}

int sto_put_begin(struct sto_put *put, struct sto_work *work, uint32_t index, struct sto_error *error)
{
	*put = (struct sto_put){ .work = work, .blob = &work->blobs[index] };
	put->blob->pack = STO_PACK_OWN;
	put->like = find_like(&work->share, put->blob);
	if (!put->like)
		return 0;
	put->buffer = malloc(PIECE_BYTES);
	if (put->buffer)
		return 0;
	sto_fail(error, "image: out of memory; free some");
	return -ENOMEM;
}

/* Whether the next bytes are those of the blob that it is like. */
static bool goes_on(struct sto_put *put, const uint8_t *data, uint64_t bytes)
{
	int fd = put->work->share.packs[put->like->pack].fd;
	uint64_t at = put->like->at_bytes + put->done_bytes;

	for (uint64_t done = 0; done < bytes; done += PIECE_BYTES) {
		uint32_t part = piece(bytes - done);

		if (!read_known(fd, put->buffer, part, at + done) ||
		    memcmp(put->buffer, data + done, part))
			return false;
	}
	return true;
}

/* It is another: what was equal so far is written now. */
static int part_ways(struct sto_put *put, struct sto_error *error)
{
	const struct sto_known *like = put->like;

	put->like = NULL;
	return sto_copy(put->work->share.packs[like->pack].fd, like->at_bytes, put->work->pack_fd,
			sto_blob_own_place(put->work, put->blob), put->done_bytes, error);
}

int sto_put_bytes(struct sto_put *put, const void *data, uint64_t bytes, struct sto_error *error)
{
	int err = 0;

	if (put->like && !goes_on(put, data, bytes))
		err = part_ways(put, error);
	if (!err && !put->like)
		err = sto_write_at(put->work->pack_fd, data, bytes,
				   sto_blob_own_place(put->work, put->blob) + put->done_bytes, error);
	put->done_bytes += bytes;
	return err;
}

/* Pages are shared whole: what follows the blob in its last one must be zero, as in our own. */
static bool ends_in_zeros(struct sto_put *put)
{
	uint64_t pad = page_align(put->done_bytes) - put->done_bytes;

	if (!read_known(put->work->share.packs[put->like->pack].fd, put->buffer, pad,
			put->like->at_bytes + put->done_bytes))
		return false;
	for (uint64_t i = 0; i < pad; i++)
		if (put->buffer[i])
			return false;
	return true;
}

static void take(struct sto_blob *blob, const struct sto_known *known)
{
	blob->pack = known->pack;
	blob->at_bytes = known->at_bytes;
}

/* Written, and perhaps known from elsewhere. */
static void look_for(struct sto_work *work, struct sto_blob *blob, const uint8_t *hash)
{
	const struct sto_share *share = &work->share;
	uint64_t place = sto_blob_own_place(work, blob), bytes = page_align(blob->shape.length_bytes);

	for (uint32_t i = 0; i < share->blob_count; i++) {
		const struct sto_known *known = &share->blobs[i];

		if (!sto_shape_alike(&known->shape, &blob->shape) ||
		    (known->hashed && memcmp(known->hash, hash, MHS_CHUNK_HASH_BYTES)) ||
		    !is_same(work->pack_fd, place, share->packs[known->pack].fd, known->at_bytes, bytes))
			continue;
		take(blob, known);
		/* best effort: the file is cut short anyway */
		fallocate(work->pack_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)place,
			  (off_t)bytes);
		return;
	}
}

int sto_put_end(struct sto_put *put, int err, const uint8_t *hash, struct sto_error *error)
{
	struct sto_blob *blob = put->blob;

	if (!err && put->like && !ends_in_zeros(put))
		err = part_ways(put, error);
	if (!err && put->like)
		take(blob, put->like);
	else if (!err)
		look_for(put->work, blob, hash);
	free(put->buffer);
	put->buffer = NULL;
	return err;
}
