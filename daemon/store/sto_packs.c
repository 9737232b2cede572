/* SPDX-License-Identifier: MIT */
/*
 * sto_packs.c: the packs of a version. Those of earlier versions come as hard links, which are their
 * reference count: the file goes with the last version that has it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mhs_attach.h"
#include "sto_image_priv.h"

static uint64_t page_align(uint64_t bytes)
{
	return (bytes + MHS_IMAGE_ALIGN_BYTES - 1) / MHS_IMAGE_ALIGN_BYTES * MHS_IMAGE_ALIGN_BYTES;
}

static uint64_t blob_bytes(const struct sto_blob *blob)
{
	return page_align(blob->shape.length_bytes);
}

static void count_use(struct sto_work *work)
{
	for (uint32_t i = 0; i < work->blob_count; i++)
		if (work->blobs[i].pack != STO_PACK_OWN)
			work->share.packs[work->blobs[i].pack].used_bytes += blob_bytes(&work->blobs[i]);
}

/* Of all worth it and not yet chosen, the one most used. */
static struct sto_known_pack *most_used(struct sto_share *share)
{
	struct sto_known_pack *most = NULL;

	for (uint32_t i = 0; i < share->pack_count; i++) {
		struct sto_known_pack *pack = &share->packs[i];

		if (pack->used_bytes && pack->used_bytes >= pack->id.pack_bytes / STO_SHARE_PART &&
		    (!most || pack->used_bytes > most->used_bytes))
			most = pack;
	}
	return most;
}

/* Whether a loader would take it: what is damaged must not come into a new version. */
static bool pack_is_sound(const struct sto_known_pack *pack)
{
	const struct sto_file file = { .path = (char[]){ "pack" }, .fd = pack->fd };
	uint8_t *chunk = malloc(MHS_IMAGE_CHUNK_BYTES), *hashes = NULL, hash[MHS_CHUNK_HASH_BYTES];
	struct mhs_pack_header h;
	struct sto_error ignored;
	bool sound = chunk && sto_file_read(&file, &h, sizeof(h), 0, &ignored) == 0;

	if (sound)
		hashes = malloc(h.chunk_table.length_bytes);
	sound = hashes && sto_file_read(&file, hashes, h.chunk_table.length_bytes,
					h.chunk_table.offset_bytes, &ignored) == 0;
	if (sound) {
		sto_hash128(hashes, h.chunk_table.length_bytes, hash);
		sound = !memcmp(hash, h.chunk_table_hash, sizeof(hash));
	}
	for (uint32_t i = 0; sound && i < h.chunk_count; i++) {
		uint64_t at = h.data_offset_bytes + (uint64_t)i * MHS_IMAGE_CHUNK_BYTES;
		uint64_t left = h.pack_bytes - at;
		uint64_t part = left < MHS_IMAGE_CHUNK_BYTES ? left : MHS_IMAGE_CHUNK_BYTES;

		sound = sto_file_read(&file, chunk, part, at, &ignored) == 0;
		sto_hash128(chunk, part, hash);
		sound = sound && !memcmp(hash, hashes + i * sizeof(hash), sizeof(hash));
	}
	free(hashes);
	free(chunk);
	return sound;
}

/*
 * The pack's file into the version's directory. Where that cannot be (other file system, too many
 * links, not ours to link, gone meanwhile) its part is copied instead.
 */
static bool pack_link(struct sto_work *work, const struct sto_known_pack *pack)
{
	const struct sto_import *import = work->import;
	char path[4096], name[STO_PACK_NAME_BYTES];

	sto_pack_name(pack->id.content_hash, name);
	return sto_version_path(import->store, import->model, pack->version, name, path,
				sizeof(path)) == 0 &&
	       linkat(AT_FDCWD, path, work->dir_fd, name, 0) == 0;
}

/* Segment 1 is left for the own pack. */
static void choose(struct sto_work *work, struct sto_pieces *pieces)
{
	struct sto_known_pack *pack;
	uint32_t segment = 2;

	while (segment <= MHS_PACK_MAX && (pack = most_used(&work->share))) {
		pack->used_bytes = 0;
		if (!pack_is_sound(pack) || !pack_link(work, pack))
			continue;
		pack->segment = segment;
		pieces->packs[segment - 1] = pack->id;
		pieces->fds[segment++] = pack->fd;
	}
	pieces->pack_count = segment - 1;
}

/* What lies in packs that were not chosen is copied. */
static int bring_rest(struct sto_work *work, struct sto_error *error)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < work->blob_count; i++) {
		struct sto_blob *blob = &work->blobs[i];

		if (blob->pack == STO_PACK_OWN || work->share.packs[blob->pack].segment)
			continue;
		err = sto_copy(work->share.packs[blob->pack].fd, blob->at_bytes, work->pack_fd,
			       sto_blob_own_place(work, blob), blob_bytes(blob), error);
		blob->pack = STO_PACK_OWN;
	}
	return err;
}

/* Lengths of the own pack. False: nothing is in it. */
static bool own_measure(const struct sto_work *work, struct mhs_pack_header *h)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < work->blob_count; i++)
		if (work->blobs[i].pack == STO_PACK_OWN)
			bytes += blob_bytes(&work->blobs[i]);
	*h = (struct mhs_pack_header){
		.magic = MHS_PACK_MAGIC, .abi_major = MHS_IMAGE_ABI_MAJOR,
		.abi_minor = MHS_IMAGE_ABI_MINOR, .header_bytes = MHS_PAGE_BYTES,
		.chunk_bytes = MHS_IMAGE_CHUNK_BYTES,
		.chunk_count = (uint32_t)((bytes + MHS_IMAGE_CHUNK_BYTES - 1) / MHS_IMAGE_CHUNK_BYTES),
	};
	h->chunk_table.offset_bytes = MHS_PAGE_BYTES;
	h->chunk_table.length_bytes = (uint64_t)h->chunk_count * MHS_CHUNK_HASH_BYTES;
	h->data_offset_bytes = MHS_PAGE_BYTES + page_align(h->chunk_table.length_bytes);
	h->pack_bytes = h->data_offset_bytes + bytes;
	return bytes > 0;
}

/* Its blobs one behind the other. They only move towards the front, so none is overwritten. */
static int own_close_up(struct sto_work *work, const struct mhs_pack_header *h, struct sto_error *error)
{
	uint64_t at = h->data_offset_bytes;
	int err = 0;

	for (uint32_t i = 0; !err && i < work->blob_count; i++) {
		struct sto_blob *blob = &work->blobs[i];
		uint64_t from = sto_blob_own_place(work, blob);

		if (blob->pack != STO_PACK_OWN)
			continue;
		if (from != at)
			err = sto_copy(work->pack_fd, from, work->pack_fd, at, blob_bytes(blob), error);
		blob->at_bytes = at;
		at += blob_bytes(blob);
	}
	if (!err && ftruncate(work->pack_fd, (off_t)h->pack_bytes)) {
		err = -errno;
		sto_fail(error, "pack: cannot be cut: %s; check the store's disk", strerror(-err));
	}
	return err;
}

/* Nothing was new: the linked packs move up. */
static void own_drop(struct sto_work *work, struct sto_pieces *pieces)
{
	pieces->pack_count--;
	memmove(&pieces->packs[0], &pieces->packs[1], pieces->pack_count * sizeof(pieces->packs[0]));
	memmove(&pieces->fds[1], &pieces->fds[2], pieces->pack_count * sizeof(pieces->fds[0]));
	for (uint32_t i = 0; i < work->share.pack_count; i++)
		if (work->share.packs[i].segment)
			work->share.packs[i].segment--;
	unlinkat(work->dir_fd, STO_PACK_NEW_NAME, 0);
}

static void extent_add(struct sto_pieces *pieces, uint64_t offset, uint64_t bytes, uint32_t segment,
		       uint64_t at)
{
	struct mhs_image_extent *x = &pieces->extents[pieces->extent_count];

	if (pieces->extent_count > 1 && x[-1].segment == segment &&
	    x[-1].segment_offset_bytes + x[-1].length_bytes == at) {
		x[-1].length_bytes += bytes;
		return;
	}
	*x = (struct mhs_image_extent){ offset, bytes, at, segment, 0 };
	pieces->extent_count++;
}

int sto_pieces_make(struct sto_work *work, uint64_t tables_end_bytes, struct sto_pieces *pieces,
		    struct sto_error *error)
{
	int err;

	count_use(work);
	choose(work, pieces);
	err = bring_rest(work, error);
	if (err)
		return err;
	pieces->own = own_measure(work, &pieces->own_header);
	if (pieces->own)
		err = own_close_up(work, &pieces->own_header, error);
	else
		own_drop(work, pieces);
	pieces->fds[1] = pieces->own ? work->pack_fd : pieces->fds[1];
	extent_add(pieces, 0, tables_end_bytes, 0, 0);
	for (uint32_t i = 0; i < work->blob_count; i++) {
		const struct sto_blob *blob = &work->blobs[i];

		extent_add(pieces, blob->offset_bytes, blob_bytes(blob), blob->pack == STO_PACK_OWN ?
			   pieces->own : work->share.packs[blob->pack].segment, blob->at_bytes);
	}
	return err;
}

static int own_name(struct sto_work *work, const struct sto_pieces *pieces, struct sto_error *error)
{
	char name[STO_PACK_NAME_BYTES];
	int err;

	sto_pack_name(pieces->own_header.content_hash, name);
	if (fchmod(work->pack_fd, 0444) == 0 && fsync(work->pack_fd) == 0 &&
	    renameat(work->dir_fd, STO_PACK_NEW_NAME, work->dir_fd, name) == 0)
		return 0;
	err = -errno;
	sto_fail(error, "pack: cannot be synced: %s; check the store's disk", strerror(-err));
	return err;
}

int sto_pieces_finish(struct sto_work *work, struct sto_pieces *pieces, const uint8_t *hashes,
		      struct sto_error *error)
{
	struct mhs_pack_header *h = &pieces->own_header;
	struct mhs_image_pack *entry = &pieces->packs[0];
	int err;

	if (!pieces->own)
		return 0;
	sto_hash128(hashes, h->chunk_table.length_bytes, h->chunk_table_hash);
	sto_hash128(h, sizeof(*h), h->header_hash);	/* the field itself is still zero */
	memcpy(entry->content_hash, h->content_hash, sizeof(entry->content_hash));
	entry->pack_bytes = h->pack_bytes;
	err = sto_write_at(work->pack_fd, hashes, h->chunk_table.length_bytes,
			   h->chunk_table.offset_bytes, error);
	if (!err)	/* the header last: a pack that was cut off has no magic */
		err = fsync(work->pack_fd) ? -errno : 0;
	if (!err)
		err = sto_write_at(work->pack_fd, h, sizeof(*h), 0, error);
	return err ? err : own_name(work, pieces, error);
}
