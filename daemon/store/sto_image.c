/* SPDX-License-Identifier: MIT */
/*
 * sto_image.c: write an image. All sizes follow from the model's description, so every place in the
 * image is known before the first weight is read. Up to the tensor table it lies in its own file,
 * the rest in packs. Headers are written last: a file that was cut off has no magic.
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

/* Tables of rotary frequencies. */
static uint32_t rope_tables(const struct sto_model *model)
{
	uint32_t turns = sto_model_turns(model);

	return turns ? model->inv_freq_count / turns : 0;
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
	for (uint32_t k = 0; k < rope_tables(model) && !err; k++, i++)
		err = place_one(&work->table[i], k ? "rope.inv_freq_local" : "rope.inv_freq",
				k ? MHS_ROLE_INV_FREQ_LOCAL : MHS_ROLE_INV_FREQ, 0, ENG_VEC_F32, 1,
				sto_model_turns(model), at);
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

static void blob_fill(struct sto_blob *blob, uint32_t kind, const struct mhs_image_span *span)
{
	*blob = (struct sto_blob){ .shape = { .kind = kind, .length_bytes = span->length_bytes },
				   .offset_bytes = span->offset_bytes, .pack = STO_PACK_OWN };
}

/* All behind the tensor table, in its order, page to page. */
static void list_blobs(struct sto_work *work, const struct mhs_image_header *h)
{
	uint64_t bytes;

	for (uint32_t i = 0; i < h->tensor_count; i++) {
		const struct mhs_image_tensor *t = &work->table[i];

		work->blobs[i] = (struct sto_blob){
			.shape = { t->role, t->type, t->rows, t->cols, t->length_bytes },
			.layer = t->layer, .offset_bytes = t->offset_bytes, .pack = STO_PACK_OWN,
		};
	}
	work->blob_count = h->tensor_count;
	blob_fill(&work->blobs[work->blob_count++], STO_BLOB_TOKENIZER, &h->tokenizer);
	if (h->chat_template.length_bytes)
		blob_fill(&work->blobs[work->blob_count++], STO_BLOB_TEMPLATE, &h->chat_template);
	bytes = h->image_bytes - work->blobs[0].offset_bytes;
	work->pack_data_bytes = MHS_PAGE_BYTES +
		page_align((bytes / MHS_IMAGE_CHUNK_BYTES + 1) * MHS_CHUNK_HASH_BYTES);
}

static int lay_out(struct sto_work *work, struct mhs_image_header *h, struct sto_error *error)
{
	const struct sto_model *model = work->model;
	uint64_t at = 0;
	int err;

	h->tensor_count = model->tensor_count + rope_tables(model);
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
	list_blobs(work, h);
	work->all_bytes += at;
	for (uint32_t i = 0; i < model->file_count; i++)
		work->all_bytes += model->files[i].bytes;
	return 0;
}

static bool is_zero(const void *bytes, size_t count)
{
	const uint8_t *p = bytes;

	while (count && !*p) {
		p++;
		count--;
	}
	return !count;
}

static void fill_header(const struct sto_import *import, const struct sto_model *model,
			struct mhs_image_header *h)
{
	memset(h, 0, sizeof(*h));
	h->magic = MHS_IMAGE_MAGIC;
	h->abi_major = MHS_IMAGE_ABI_MAJOR;
	h->abi_minor = MHS_IMAGE_ABI_MINOR;
	h->header_bytes = MHS_PAGE_BYTES;
	h->features = MHS_IMAGE_PACKED;
	h->kind = MHS_IMAGE_MODEL;
	h->config = model->config;
	h->shape = model->shape;
	if (!is_zero(&h->shape, sizeof(h->shape)))
		h->features |= MHS_IMAGE_SHAPED;
	h->experts = model->experts;
	if (h->experts.count)
		h->features |= MHS_IMAGE_EXPERTS;
	h->config.float_weights = 1;	/* until a quantised matrix is seen */
	h->bos_id = model->bos_id;
	h->eos_count = model->eos_count;
	memcpy(h->eos_ids, model->eos_ids, sizeof(h->eos_ids));
	h->words = model->words;
	memcpy(h->model, import->model, sizeof(h->model));
	memcpy(h->semver, import->version, sizeof(h->semver));
}

/* ---- bytes ------------------------------------------------------------------------------- */

/* How much of it is new shows later; with nothing to share, room for all is taken at once. */
static int make_room(const struct sto_work *work, uint64_t bytes, struct sto_error *error)
{
	int err = 0;

	if (work->share.pack_count == 0 && fallocate(work->pack_fd, 0, 0, (off_t)bytes) &&
	    errno != EOPNOTSUPP && errno != ENOSYS)
		err = -errno;
	else if (ftruncate(work->pack_fd, (off_t)bytes))
		err = -errno;
	if (err)
		sto_fail(error, "image: no room for %llu bytes: %s; free space in the store",
			 (unsigned long long)bytes, strerror(-err));
	return err;
}

static int put_whole(struct sto_work *work, uint32_t index, const void *data, uint8_t *hash,
		     struct sto_error *error)
{
	uint64_t bytes = work->blobs[index].shape.length_bytes;
	struct sto_put put;
	int err = sto_put_begin(&put, work, index, error);

	sto_hash128(data, bytes, hash);
	if (!err)
		err = sto_put_bytes(&put, data, bytes, error);
	return sto_put_end(&put, err, hash, error);
}

/* What is in memory: frequencies, tokenizer, template. */
static int put_rest(struct sto_work *work, const struct mhs_image_header *h, struct sto_error *error)
{
	const struct sto_model *model = work->model;
	uint8_t hash[MHS_CHUNK_HASH_BYTES];
	uint32_t next = model->tensor_count, turns = sto_model_turns(model);
	int err = 0;

	for (uint32_t k = 0; next < h->tensor_count && !err; k++, next++)
		err = put_whole(work, next, model->inv_freq + k * turns, work->table[next].hash, error);
	if (!err)
		err = put_whole(work, next++, model->tokenizer, hash, error);
	if (!err && next < work->blob_count)
		err = put_whole(work, next, model->chat_template, hash, error);
	return err;
}

/* ---- the image's own file ------------------------------------------------------------------ */

/* Where its tables lie, now that all pieces are known. */
static void place_tables(struct mhs_image_header *h, const struct sto_pieces *pieces)
{
	uint64_t at = page_align(h->tensor_table.offset_bytes + h->tensor_table.length_bytes);

	h->extent_count = pieces->extent_count;
	h->extent_table.offset_bytes = at;
	h->extent_table.length_bytes = h->extent_count * sizeof(struct mhs_image_extent);
	at += (h->extent_table.length_bytes + 63) & ~UINT64_C(63);
	h->pack_count = pieces->pack_count;
	h->pack_table.offset_bytes = at;
	h->pack_table.length_bytes = h->pack_count * sizeof(struct mhs_image_pack);
	h->file_bytes = page_align(at + h->pack_table.length_bytes);
}

static int check_file(const struct mhs_image_header *h, const uint8_t *base, struct sto_error *error)
{
	struct sto_error why;
	const char *field = "header";
	int err = mhs_image_check_header(h, h->file_bytes, sto_hash128, &field);

	if (err) {
		sto_fail(error, "image: %s; this model cannot be imported", field);
		return err;
	}
	err = sto_tables_check(h, base, &why);
	if (err)
		sto_fail(error, "image: %.400s", why.text);
	return err;
}

/* The header comes last, when all else is on the disk. */
static int write_file(int fd, const uint8_t *base, uint64_t bytes, struct sto_error *error)
{
	int err = sto_write_at(fd, base + MHS_PAGE_BYTES, bytes - MHS_PAGE_BYTES, MHS_PAGE_BYTES, error);

	if (err)
		return err;
	if (fsync(fd) == 0) {
		err = sto_write_at(fd, base, MHS_PAGE_BYTES, 0, error);
		if (err || (fchmod(fd, 0444) == 0 && fsync(fd) == 0))
			return err;
	}
	err = -errno;
	sto_fail(error, "image: cannot be synced: %s; check the store's disk", strerror(-err));
	return err;
}

/* Complete @base, all of the file but its header and last hashes, and write it. */
static int finish_file(struct sto_work *work, struct mhs_image_header *h, const struct sto_pieces *pieces,
		       uint8_t *base, struct sto_error *error)
{
	int fd, err;

	memcpy(base + h->pack_table.offset_bytes, pieces->packs, h->pack_table.length_bytes);
	sto_hash128(base + h->chunk_table.offset_bytes, h->chunk_table.length_bytes, h->chunk_table_hash);
	sto_hash128(base + MHS_PAGE_BYTES, h->file_bytes - MHS_PAGE_BYTES, h->file_hash);
	sto_hash128(h, sizeof(*h), h->header_hash);	/* the field itself is still zero */
	memcpy(base, h, sizeof(*h));
	err = check_file(h, base, error);
	if (err)
		return err;
	fd = openat(work->dir_fd, STO_IMAGE_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0) {
		err = -errno;
		sto_fail(error, "%s: cannot be made: %s; check the store and its permissions",
			 STO_IMAGE_NAME, strerror(-err));
		return err;
	}
	err = write_file(fd, base, h->file_bytes, error);
	close(fd);
	return err;
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Every blob is in the store: say where, hash it all, write the own file. */
static int write_pieces(struct sto_work *work, struct mhs_image_header *h, struct sto_pieces *pieces,
			struct sto_error *error)
{
	uint8_t *base = NULL, *pack_hashes = NULL;
	int err = sto_pieces_make(work, work->blobs[0].offset_bytes, pieces, error);

	if (err)
		return err;
	place_tables(h, pieces);
	base = calloc(1, h->file_bytes);
	pack_hashes = calloc(pieces->own_header.chunk_count + 1, MHS_CHUNK_HASH_BYTES);
	if (base && pack_hashes) {
		memcpy(base + h->tensor_table.offset_bytes, work->table, h->tensor_table.length_bytes);
		memcpy(base + h->extent_table.offset_bytes, pieces->extents,
		       h->extent_table.length_bytes);
		err = sto_hash_image(work, h, pieces, base, pack_hashes, error);
	} else {
		err = -ENOMEM;
		sto_fail(error, "image: out of memory; free some");
	}
	if (!err)
		err = sto_pieces_finish(work, pieces, pack_hashes, error);
	if (!err)
		err = finish_file(work, h, pieces, base, error);
	free(pack_hashes);
	free(base);
	return err;
}

static int write_all(struct sto_work *work, struct mhs_image_header *h, struct sto_pieces *pieces,
		     struct sto_error *error)
{
	int err = lay_out(work, h, error);

	if (!err)
		err = make_room(work, work->pack_data_bytes + h->image_bytes -
				work->blobs[0].offset_bytes, error);
	if (err)
		return err;
	sto_work_start(work);
	err = sto_work_pack(work);
	if (!err)
		err = put_rest(work, h, error);
	if (!err)
		err = write_pieces(work, h, pieces, error);
	return sto_work_end(work, err, error);
}

static int pack_create(struct sto_work *work, struct sto_error *error)
{
	int err;

	work->pack_fd = openat(work->dir_fd, STO_PACK_NEW_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
			       0644);
	if (work->pack_fd >= 0)
		return 0;
	err = -errno;
	sto_fail(error, "%s: cannot be made: %s; check the store and its permissions",
		 STO_PACK_NEW_NAME, strerror(-err));
	return err;
}

static int work_alloc(struct sto_work *work, struct sto_pieces *pieces, struct sto_error *error)
{
	size_t blobs = work->model->tensor_count + 4;	/* frequencies, tokenizer, template */

	work->table = calloc(work->model->tensor_count + 2, sizeof(*work->table));
	work->blobs = calloc(blobs, sizeof(*work->blobs));
	pieces->extents = calloc(blobs + 1, sizeof(*pieces->extents));
	if (work->table && work->blobs && pieces->extents)
		return 0;
	sto_fail(error, "image: out of memory; free some");
	return -ENOMEM;
}

int sto_image_write(const struct sto_import *import, struct sto_model *model, int dir_fd,
		    struct mhs_image_header *header, uint64_t *stored_bytes, struct sto_error *error)
{
	struct sto_work work = {
		.import = import, .model = model, .dir_fd = dir_fd, .pack_fd = -1,
		.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER,
	};
	struct sto_pieces pieces = { .extents = NULL };
	int err;

	fill_header(import, model, header);
	err = work_alloc(&work, &pieces, error);
	if (!err)
		err = sto_share_open(&work.share, import->store, import->model, error);
	if (!err)
		err = pack_create(&work, error);
	if (!err)
		err = write_all(&work, header, &pieces, error);
	*stored_bytes = header->file_bytes + (pieces.own ? pieces.own_header.pack_bytes : 0);
	if (work.pack_fd >= 0)
		close(work.pack_fd);
	sto_share_close(&work.share);
	free(pieces.extents);
	free(work.blobs);
	free(work.table);
	pthread_cond_destroy(&work.moved);
	pthread_mutex_destroy(&work.lock);
	return err;
}
