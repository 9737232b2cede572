/* SPDX-License-Identifier: MIT */
/*
 * sto_image.c: write an image. All sizes follow from the model's description, so every place is
 * known before the first weight is read. The header is written last: an image that was cut off has
 * no magic.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
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

/* ---- layout ------------------------------------------------------------------------------ */

static int place_one(struct mhs_image_tensor *place, const char *name, uint32_t role,
		     uint32_t layer, uint32_t type, uint64_t rows, uint64_t cols, uint64_t *at)
{
	snprintf(place->name, sizeof(place->name), "%.*s", (int)sizeof(place->name) - 1, name);
	place->role = role;
	place->layer = layer;
	place->type = type;
	place->rows = rows;
	place->cols = cols;
	place->offset_bytes = *at;
	place->length_bytes = eng_packed_bytes(type, rows, cols);
	if (place->length_bytes == 0 || place->length_bytes > MHS_IMAGE_BYTES_MAX)
		return -EINVAL;
	*at += page_align(place->length_bytes);
	return *at > MHS_IMAGE_BYTES_MAX ? -EFBIG : 0;
}

/* Offsets are relative to the data at first; shifted when its own place is known. */
static int place_tensors(struct sto_work *work, struct mhs_image_header *h, uint64_t *at,
			 struct sto_error *error)
{
	const struct sto_model *model = work->model;
	int err = 0;
	uint32_t i;

	for (i = 0; i < model->tensor_count && !err; i++) {
		const struct sto_tensor *t = &model->tensors[i];
		uint32_t type = sto_packed_type(work->import, t);

		err = place_one(&work->table[i], t->name, t->role, t->layer, type, t->rows, t->cols,
				at);
		if (type >= ENG_Q8)
			h->config.float_weights = 0;
		work->all_bytes += t->rows * t->row_bytes;
	}
	if (!err)
		err = place_one(&work->table[i], "rope.inv_freq", MHS_ROLE_INV_FREQ, 0, ENG_VEC_F32,
				1, h->config.head_dim / 2, at);
	if (err)
		sto_fail(error, "tensor %s: does not fit an image, limit %llu bytes; %s",
			 work->table[i ? i - 1 : 0].name, (unsigned long long)MHS_IMAGE_BYTES_MAX,
			 "give a smaller model");
	return err;
}

static void place_span(struct mhs_image_span *span, uint64_t bytes, uint64_t *at)
{
	if (bytes == 0)
		return;
	span->offset_bytes = *at;
	span->length_bytes = bytes;
	*at += page_align(bytes);
}

static void shift_all(struct mhs_image_header *h, struct mhs_image_tensor *table, uint64_t by)
{
	h->tensor_table.offset_bytes += by;
	h->tokenizer.offset_bytes += by;
	if (h->chat_template.length_bytes)
		h->chat_template.offset_bytes += by;
	for (uint32_t i = 0; i < h->tensor_count; i++)
		table[i].offset_bytes += by;
}

static int lay_out(struct sto_work *work, struct mhs_image_header *h, struct sto_error *error)
{
	const struct sto_model *model = work->model;
	uint64_t at = 0;
	int err;

	h->tensor_count = model->tensor_count + 1;	/* and the rope frequencies */
	place_span(&h->tensor_table, h->tensor_count * sizeof(struct mhs_image_tensor), &at);
	err = place_tensors(work, h, &at, error);
	if (err)
		return err;
	place_span(&h->tokenizer, model->tokenizer_bytes, &at);
	place_span(&h->chat_template, model->chat_template_bytes, &at);
	h->chunk_bytes = MHS_IMAGE_CHUNK_BYTES;
	h->chunk_count = (uint32_t)((at + MHS_IMAGE_CHUNK_BYTES - 1) / MHS_IMAGE_CHUNK_BYTES);
	h->chunk_table.offset_bytes = MHS_PAGE_BYTES;
	h->chunk_table.length_bytes = (uint64_t)h->chunk_count * MHS_CHUNK_HASH_BYTES;
	h->data_offset_bytes = page_align(MHS_PAGE_BYTES + h->chunk_table.length_bytes);
	h->image_bytes = h->data_offset_bytes + at;
	shift_all(h, work->table, h->data_offset_bytes);
	work->all_bytes += at;
	for (uint32_t i = 0; i < model->file_count; i++)
		work->all_bytes += model->files[i].bytes;
	return 0;
}

static void fill_header(const struct sto_import *import, const struct sto_model *model,
			struct mhs_image_header *h)
{
	memset(h, 0, sizeof(*h));
	h->magic = MHS_IMAGE_MAGIC;
	h->abi_major = MHS_IMAGE_ABI_MAJOR;
	h->abi_minor = MHS_IMAGE_ABI_MINOR;
	h->header_bytes = MHS_PAGE_BYTES;
	h->kind = MHS_IMAGE_MODEL;
	h->config = model->config;
	h->config.float_weights = 1;	/* until a quantised matrix is seen */
	h->bos_id = model->bos_id;
	h->eos_count = model->eos_count;
	memcpy(h->eos_ids, model->eos_ids, sizeof(h->eos_ids));
	memcpy(h->model, import->model, sizeof(h->model));
	memcpy(h->semver, import->version, sizeof(h->semver));
}

/* ---- bytes ------------------------------------------------------------------------------- */

static int make_room(int fd, uint64_t bytes, struct sto_error *error)
{
	int err = 0;

	if (fallocate(fd, 0, 0, (off_t)bytes) && errno != EOPNOTSUPP && errno != ENOSYS)
		err = -errno;
	else if (ftruncate(fd, (off_t)bytes))
		err = -errno;
	if (err)
		sto_fail(error, "image: no room for %llu bytes: %s; free space in the store",
			 (unsigned long long)bytes, strerror(-err));
	return err;
}

/* What is not a weight: the table (its hashes are known now), frequencies, tokenizer, template. */
static int write_tables(struct sto_work *work, const struct mhs_image_header *h,
			struct sto_error *error)
{
	const struct sto_model *model = work->model;
	struct mhs_image_tensor *inv_freq = &work->table[h->tensor_count - 1];
	int err;

	sto_hash128(model->inv_freq, inv_freq->length_bytes, inv_freq->hash);
	err = sto_write_at(work->fd, model->inv_freq, inv_freq->length_bytes,
			   inv_freq->offset_bytes, error);
	if (!err)
		err = sto_write_at(work->fd, work->table, h->tensor_table.length_bytes,
				   h->tensor_table.offset_bytes, error);
	if (!err)
		err = sto_write_at(work->fd, model->tokenizer, h->tokenizer.length_bytes,
				   h->tokenizer.offset_bytes, error);
	if (!err && h->chat_template.length_bytes)
		err = sto_write_at(work->fd, model->chat_template, h->chat_template.length_bytes,
				   h->chat_template.offset_bytes, error);
	return err;
}

static int read_chunk(int fd, uint8_t *chunk, uint64_t bytes, uint64_t offset,
		      struct sto_error *error)
{
	const struct sto_file image = { .path = (char[]){ "image" }, .fd = fd };

	return sto_file_read(&image, chunk, bytes, offset, error);
}

/* Over the bytes as they are in the file now, in order: chunk hashes and content hash. */
static int hash_data(struct sto_work *work, struct mhs_image_header *h, EVP_MD_CTX *sha,
		     uint8_t *chunk, uint8_t *hashes, struct sto_error *error)
{
	uint64_t at = h->data_offset_bytes;

	for (uint32_t i = 0; i < h->chunk_count; i++) {
		uint64_t left = h->image_bytes - at;
		uint64_t part = left < MHS_IMAGE_CHUNK_BYTES ? left : MHS_IMAGE_CHUNK_BYTES;
		int err = read_chunk(work->fd, chunk, part, at, error);

		if (!err && EVP_DigestUpdate(sha, chunk, part) != 1)
			err = -ENOMEM;
		if (!err)
			err = sto_work_step(work, part);
		if (err)
			return err;
		sto_hash128(chunk, part, hashes + i * MHS_CHUNK_HASH_BYTES);
		at += part;
	}
	return EVP_DigestFinal_ex(sha, h->content_hash, NULL) == 1 ? 0 : -ENOMEM;
}

static int write_hashes(struct sto_work *work, struct mhs_image_header *h, struct sto_error *error)
{
	EVP_MD_CTX *sha = EVP_MD_CTX_new();
	uint8_t *chunk = malloc(MHS_IMAGE_CHUNK_BYTES);
	uint8_t *hashes = malloc(h->chunk_table.length_bytes);
	int err = -ENOMEM;

	sto_fail(error, "image: SHA-256 failed: out of memory; free some");
	if (sha && chunk && hashes && EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1)
		err = hash_data(work, h, sha, chunk, hashes, error);
	if (!err) {
		sto_hash128(hashes, h->chunk_table.length_bytes, h->chunk_table_hash);
		err = sto_write_at(work->fd, hashes, h->chunk_table.length_bytes,
				   h->chunk_table.offset_bytes, error);
	}
	free(hashes);
	free(chunk);
	EVP_MD_CTX_free(sha);
	return err;
}

static int write_header(struct sto_work *work, struct mhs_image_header *h, struct sto_error *error)
{
	const char *field = "header";
	int err;

	sto_hash128(h, sizeof(*h), h->header_hash);	/* the field itself is still zero */
	err = mhs_image_check_header(h, h->image_bytes, sto_hash128, &field);
	if (err) {
		sto_fail(error, "image: %s; this model cannot be imported", field);
		return err;
	}
	if (fsync(work->fd) == 0) {
		err = sto_write_at(work->fd, h, sizeof(*h), 0, error);
		if (err || fsync(work->fd) == 0)
			return err;
	}
	err = -errno;
	sto_fail(error, "image: cannot be synced: %s; check the store's disk", strerror(-err));
	return err;
}

static int write_all(struct sto_work *work, struct mhs_image_header *h, struct sto_error *error)
{
	int err = lay_out(work, h, error);

	if (!err)
		err = make_room(work->fd, h->image_bytes, error);
	if (err)
		return err;
	sto_work_start(work);
	err = sto_work_pack(work);
	if (!err)
		err = write_tables(work, h, error);
	if (!err)
		err = write_hashes(work, h, error);
	err = sto_work_end(work, err, error);
	if (!err)
		err = write_header(work, h, error);
	return err;
}

int sto_image_write(const struct sto_import *import, struct sto_model *model, int fd,
		    struct mhs_image_header *header, struct sto_error *error)
{
	struct sto_work work = {
		.import = import, .model = model, .fd = fd, .lock = PTHREAD_MUTEX_INITIALIZER,
		.moved = PTHREAD_COND_INITIALIZER,
	};
	int err = -ENOMEM;

	fill_header(import, model, header);
	work.table = calloc(model->tensor_count + 1, sizeof(*work.table));
	if (work.table)
		err = write_all(&work, header, error);
	else
		sto_fail(error, "image: out of memory; free some");
	free(work.table);
	pthread_cond_destroy(&work.moved);
	pthread_mutex_destroy(&work.lock);
	return err;
}
