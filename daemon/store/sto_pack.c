/* SPDX-License-Identifier: MIT */
/*
 * sto_pack.c: stream one tensor from its source file into the store, a few panels at a time, so
 * that memory stays small whatever the model's size.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "sto_image_priv.h"

#define BATCH_BYTES	(1u << 20)

/* Buffers of one tensor's conversion. */
struct batch {
	const struct sto_file *files;	/* of the model */
	const struct sto_file *file;	/* of the tensor; NULL: an origin makes it */
	const struct sto_tensor *tensor;
	uint32_t type;			/* enum eng_type of the result */
	uint32_t source;		/* enum eng_source that is packed; may not be the file's */
	uint32_t rows;			/* per batch, a multiple of the panel */
	uint64_t row_bytes;		/* of @source */
	uint64_t panel_bytes;
	uint8_t *in;			/* rows as in the file */
	uint8_t *column;		/* of a transposed one, the part that is read; else NULL */
	uint8_t *requantised;		/* one panel of rows in @source; NULL: not requantised */
	float *values;			/* one row */
	uint8_t *out;			/* packed panels */
};

bool sto_is_requantised(const struct sto_import *import, const struct sto_tensor *tensor)
{
	return import->quantize && tensor->rows > 1 && tensor->source != import->quantize &&
	       tensor->role != MHS_ROLE_POSITIONS && tensor->role != MHS_ROLE_EXPERT_ROUTER &&
	       tensor->cols % ENG_BLOCK_COLS == 0;
}

/* What is packed. Routers are always floats: rounding their input would choose other experts. */
static uint32_t packed_source(const struct sto_import *import, const struct sto_tensor *tensor)
{
	if (tensor->role == MHS_ROLE_EXPERT_ROUTER && eng_source_block_values(tensor->source) > 1)
		return ENG_SRC_F32;
	return sto_is_requantised(import, tensor) ? import->quantize : tensor->source;
}

uint32_t sto_packed_type(const struct sto_import *import, const struct sto_tensor *tensor)
{
	if (tensor->type)
		return tensor->type;
	if (tensor->vector)
		return ENG_VEC_F32;
	if (tensor->role == MHS_ROLE_EXPERT_ROUTER)
		return ENG_F32;
	return eng_type_of_source(packed_source(import, tensor));
}

int sto_write_at(int fd, const void *data, uint64_t bytes, uint64_t offset, struct sto_error *error)
{
	const uint8_t *from = data;

	while (bytes) {
		ssize_t n = pwrite(fd, from, bytes, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int err = n ? -errno : -EIO;

			sto_fail(error,
				 "image: cannot be written at byte %llu: %s; free some space",
				 (unsigned long long)offset, strerror(-err));
			return err;
		}
		from += n;
		bytes -= (uint64_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static void batch_free(struct batch *b)
{
	free(b->in);
	free(b->column);
	free(b->requantised);
	free(b->values);
	free(b->out);
}

static int batch_init(struct batch *b, const struct sto_work *work, const struct sto_tensor *t)
{
	uint64_t panels;

	b->files = work->model->files;
	b->file = work->model->origin ? NULL : &work->model->files[t->file];
	b->tensor = t;
	b->type = sto_packed_type(work->import, t);
	b->panel_bytes = eng_panel_bytes(b->type, t->cols);
	b->row_bytes = t->row_bytes;
	panels = BATCH_BYTES / (t->row_bytes * ENG_PANEL_ROWS);
	b->rows = panels ? (uint32_t)panels * ENG_PANEL_ROWS : ENG_PANEL_ROWS;
	if (b->rows > t->rows)
		b->rows = (uint32_t)((t->rows + ENG_PANEL_ROWS - 1) / ENG_PANEL_ROWS *
				     ENG_PANEL_ROWS);
	b->out = aligned_alloc(64, (b->rows / ENG_PANEL_ROWS * b->panel_bytes + 63) / 64 * 64);
	if (work->model->origin)
		return b->out ? 0 : -ENOMEM;
	b->in = malloc(b->rows * t->row_bytes);
	if (t->column_bytes)
		b->column = malloc(b->rows * (t->row_bytes / t->cols));
	if (!b->in || !b->out || (t->column_bytes && !b->column))
		return -ENOMEM;
	b->source = packed_source(work->import, t);
	if (b->source == t->source)
		return 0;
	b->row_bytes = t->cols / eng_source_block_values(b->source) *
		       eng_source_block_bytes(b->source);
	b->requantised = malloc(ENG_PANEL_ROWS * b->row_bytes);
	b->values = malloc(t->cols * sizeof(float));
	return b->requantised && b->values ? 0 : -ENOMEM;
}

/* Row of the source that becomes row @row: within a head, pair (2i, 2i+1) goes to (i, half + i). */
static uint64_t source_row(const struct sto_tensor *t, uint64_t row)
{
	uint64_t in_head, half = t->head_rows / 2;

	if (!t->head_rows)
		return row;
	in_head = row % t->head_rows;
	return row - in_head + (in_head < half ? 2 * in_head : 2 * (in_head - half) + 1);
}

/* Column by column, as they lie behind each other. */
static int batch_turn(struct batch *b, uint64_t first, uint32_t rows, struct sto_error *error)
{
	const struct sto_tensor *t = b->tensor;
	const uint64_t value = t->row_bytes / t->cols;

	for (uint64_t col = 0; col < t->cols; col++) {
		int err = sto_file_read(b->file, b->column, rows * value,
					t->offset_bytes + col * t->column_bytes + first * value, error);

		if (err)
			return err;
		for (uint32_t i = 0; i < rows; i++)
			memcpy(b->in + i * t->row_bytes + col * value, b->column + i * value, value);
	}
	return 0;
}

/* Piece by piece, as far as @rows go. */
static int batch_collect(struct batch *b, uint64_t first, uint32_t rows, struct sto_error *error)
{
	const struct sto_tensor *t = b->tensor;

	for (uint32_t done = 0, part; done < rows; done += part) {
		const struct sto_piece *piece = &t->pieces[(first + done) / t->piece_rows];
		uint64_t at = (first + done) % t->piece_rows;
		int err;

		part = rows - done < t->piece_rows - at ? rows - done : (uint32_t)(t->piece_rows - at);
		err = sto_file_read(&b->files[piece->file], b->in + done * t->row_bytes, part * t->row_bytes,
				    piece->offset_bytes + at * t->row_bytes, error);
		if (err)
			return err;
	}
	return 0;
}

static int batch_read(struct batch *b, uint64_t first, uint32_t rows, struct sto_error *error)
{
	const struct sto_tensor *t = b->tensor;

	if (t->piece_rows)
		return batch_collect(b, first, rows, error);
	if (t->column_bytes)
		return batch_turn(b, first, rows, error);
	if (!t->head_rows)
		return sto_file_read(b->file, b->in, rows * t->row_bytes,
				     t->offset_bytes + first * t->row_bytes, error);
	for (uint32_t i = 0; i < rows; i++) {
		uint64_t from = source_row(t, first + i);
		int err = sto_file_read(b->file, b->in + i * t->row_bytes, t->row_bytes,
					t->offset_bytes + from * t->row_bytes, error);

		if (err)
			return err;
	}
	return 0;
}

static int requantise_row(struct batch *b, const uint8_t *in, uint8_t *out)
{
	const struct sto_tensor *t = b->tensor;
	int err = eng_dequant_row(t->source, in, t->cols, b->values);

	if (err || b->source != ENG_SRC_F32)
		return err ? err : eng_quant_row(b->source, b->values, t->cols, out);
	memcpy(out, b->values, t->cols * sizeof(float));
	return 0;
}

static int pack_panel(struct batch *b, const uint8_t *in, uint32_t rows, uint8_t *out)
{
	const void *src[ENG_PANEL_ROWS];

	for (uint32_t i = 0; i < rows; i++) {
		const uint8_t *row = in + i * b->tensor->row_bytes;

		src[i] = row;
		if (b->requantised) {
			uint8_t *again = b->requantised + i * b->row_bytes;
			int err = requantise_row(b, row, again);

			if (err)
				return err;
			src[i] = again;
		}
	}
	return eng_pack_panel(b->type, b->source, src, rows, b->tensor->cols, out);
}

static int batch_pack(struct batch *b, uint32_t rows, uint64_t *bytes, struct sto_error *error)
{
	*bytes = 0;
	for (uint32_t at = 0; at < rows; at += ENG_PANEL_ROWS) {
		uint32_t part = rows - at < ENG_PANEL_ROWS ? rows - at : ENG_PANEL_ROWS;
		int err = pack_panel(b, b->in + at * b->tensor->row_bytes, part, b->out + *bytes);

		if (err) {
			sto_fail(error, "%s: tensor %s: %s; %s", b->file->path, b->tensor->name,
				 err == -EDOM ? "has a weight or scale that is NaN or infinite" :
				 "does not fit its type",
				 "train or convert the model again");
			return err;
		}
		for (uint64_t i = 0; b->tensor->plus_one && i < b->tensor->cols; i++)
			((float *)(void *)b->out)[i] += 1.0f;
		*bytes += b->panel_bytes;
	}
	return 0;
}

/* The next rows into b->out. */
static int batch_fill(struct sto_work *work, struct batch *b, uint64_t row, uint32_t rows, uint64_t *bytes,
		      struct sto_error *error)
{
	struct sto_origin *origin = work->model->origin;
	int err;

	if (origin) {
		*bytes = (rows + ENG_PANEL_ROWS - 1) / ENG_PANEL_ROWS * b->panel_bytes;
		return origin->panels(origin, (uint32_t)(b->tensor - work->model->tensors), row, rows, b->out,
				      error);
	}
	err = batch_read(b, row, rows, error);
	return err ? err : batch_pack(b, rows, bytes, error);
}

static int pack_batches(struct sto_work *work, struct batch *b, struct sto_put *put,
			XXH3_state_t *hash, struct sto_error *error)
{
	const struct sto_tensor *t = b->tensor;

	for (uint64_t row = 0; row < t->rows;) {
		uint32_t rows = t->rows - row < b->rows ? (uint32_t)(t->rows - row) : b->rows;
		uint64_t bytes = 0;
		int err = batch_fill(work, b, row, rows, &bytes, error);

		if (!err)
			err = sto_put_bytes(put, b->out, bytes, error);
		if (!err)
			err = sto_work_step(work, rows * t->row_bytes);
		if (err)
			return err;
		XXH3_128bits_update(hash, b->out, bytes);
		row += rows;
	}
	return 0;
}

/* Off to the disk while others are packed, or the sync at the end waits for all. Best effort. */
static void send_off(struct sto_work *work, uint32_t index)
{
	const struct sto_blob *blob = &work->blobs[index];

	if (blob->pack == STO_PACK_OWN)
		sync_file_range(work->pack_fd, (off_t)sto_blob_own_place(work, blob),
				(off_t)blob->shape.length_bytes, SYNC_FILE_RANGE_WRITE);
}

int sto_pack_tensor(struct sto_work *work, uint32_t index, struct sto_error *error)
{
	const struct sto_tensor *t = &work->model->tensors[index];
	struct mhs_image_tensor *place = &work->table[index];
	XXH3_state_t *hash = XXH3_createState();
	XXH128_canonical_t canonical;
	struct batch b = { 0 };
	struct sto_put put;
	int err = hash ? batch_init(&b, work, t) : -ENOMEM;

	if (err) {
		sto_fail(error, "tensor %s: out of memory; free some", t->name);
		goto out;
	}
	XXH3_128bits_reset(hash);
	err = sto_put_begin(&put, work, index, error);
	if (!err)
		err = pack_batches(work, &b, &put, hash, error);
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(hash));
	memcpy(place->hash, canonical.digest, sizeof(place->hash));
	err = sto_put_end(&put, err, place->hash, error);
	if (!err)
		send_off(work, index);
out:
	batch_free(&b);
	XXH3_freeState(hash);
	return err;
}
