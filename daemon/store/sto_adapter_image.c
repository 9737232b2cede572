/* SPDX-License-Identifier: MIT */
/* sto_adapter_image.c: write the image of an adapter: one file, its header last. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "eng_source.h"
#include "sto_adapter_priv.h"
#include "sto_image_priv.h"

#define BLOCK_BYTES	(1u << 20)	/* of floats, read and written at once */

/* An image on its way to the disk. */
struct writer {
	const struct sto_adapter_import *import;
	const struct sto_lora *lora;
	struct mhs_image_header *h;
	struct mhs_image_tensor *table;	/* in @base */
	uint8_t *base;			/* header, chunk table and tensor table, as in the file */
	uint64_t base_bytes;
	int fd;
	XXH3_state_t *hash;		/* of the tensor at hand */
	uint8_t *in, *out;		/* block_bytes(): rows as they came, rows of the image */
	struct sto_error *error;
};

static uint64_t align(uint64_t bytes, uint64_t to)
{
	return (bytes + to - 1) / to * to;
}

static uint64_t value_bytes(uint32_t source)
{
	return eng_source_block_bytes(source);
}

/* ---- layout ---------------------------------------------------------------------------------- */

static void place(const struct sto_lora_target *target, struct mhs_image_tensor *t, uint32_t bit,
		  uint64_t *at)
{
	bool is_a = bit == MHS_ROLE_LORA_A;

	snprintf(t->name, sizeof(t->name), "%.*s.lora_%c", (int)sizeof(t->name) - 8, target->module,
		 is_a ? 'A' : 'B');
	t->role = target->role | bit;
	t->layer = target->layer;
	t->type = target->type;
	t->lora_scale = target->scale.scale;
	t->rows = is_a ? target->scale.rank : target->rows;
	t->cols = is_a ? target->cols : target->scale.rank;
	t->offset_bytes = *at;
	t->length_bytes = (is_a ? t->rows : MHS_ADAPTER_PADDED_ROWS(t->rows)) * t->cols *
			  mhs_adapter_type_bytes(t->type);
	*at += align(t->length_bytes, MHS_ADAPTER_ALIGN_BYTES);
}

static int fill_header(struct writer *w)
{
	const struct sto_adapter_import *import = w->import;
	struct mhs_image_header *h = w->h;

	memset(h, 0, sizeof(*h));
	h->magic = MHS_IMAGE_MAGIC;
	h->abi_major = MHS_IMAGE_ABI_MAJOR;
	h->abi_minor = MHS_IMAGE_ABI_MINOR;
	h->header_bytes = MHS_PAGE_BYTES;
	h->kind = MHS_IMAGE_ADAPTER;
	h->chunk_bytes = MHS_IMAGE_CHUNK_BYTES;
	h->config = w->lora->config;
	h->bos_id = UINT32_MAX;
	snprintf(h->model, sizeof(h->model), "%s", import->model);
	snprintf(h->adapter, sizeof(h->adapter), "%s", import->adapter);
	snprintf(h->semver, sizeof(h->semver), "%s", import->version);
	return sto_fits_hash(&h->config, h->fits_hash);
}

/* Where all lies: the length of the data decides that of the chunk table in front of it. */
static int lay_out(struct writer *w)
{
	struct mhs_image_header *h = w->h;
	uint32_t count = 2 * w->lora->target_count;
	uint64_t table_bytes = count * sizeof(*w->table), at = table_bytes, data;
	struct mhs_image_tensor *table = calloc(count, sizeof(*table));

	if (!table)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->lora->target_count; i++) {
		place(&w->lora->targets[i], &table[2 * i], MHS_ROLE_LORA_A, &at);
		place(&w->lora->targets[i], &table[2 * i + 1], MHS_ROLE_LORA_B, &at);
	}
	at = align(at, MHS_IMAGE_ALIGN_BYTES);
	h->tensor_count = count;
	h->chunk_count = (uint32_t)(align(at, MHS_IMAGE_CHUNK_BYTES) / MHS_IMAGE_CHUNK_BYTES);
	h->chunk_table = (struct mhs_image_span){ MHS_PAGE_BYTES,
						  (uint64_t)h->chunk_count * MHS_CHUNK_HASH_BYTES };
	data = MHS_PAGE_BYTES + align(h->chunk_table.length_bytes, MHS_IMAGE_ALIGN_BYTES);
	h->data_offset_bytes = data;
	h->tensor_table = (struct mhs_image_span){ data, table_bytes };
	h->image_bytes = data + at;
	w->base_bytes = data + table_bytes;
	w->base = calloc(1, w->base_bytes);
	if (w->base) {
		w->table = (void *)(w->base + data);
		memcpy(w->table, table, table_bytes);
		for (uint32_t i = 0; i < count; i++)
			w->table[i].offset_bytes += data;
	}
	free(table);
	return w->base ? 0 : -ENOMEM;
}

/* ---- tensors --------------------------------------------------------------------------------- */

static int refuse_value(const struct writer *w, const struct mhs_image_tensor *t, uint64_t row)
{
	sto_fail(w->error, "%s: tensor %s: row %llu holds a value that is not finite, limit numbers; the "
		 "training failed, or the file is damaged", w->lora->files[1].path, t->name,
		 (unsigned long long)row);
	return -EDOM;
}

/* One row of A: as it came, or as F32. */
static int convert_row(uint32_t source, uint32_t type, const uint8_t *in, uint64_t cols, uint8_t *out)
{
	for (uint64_t i = 0; i < cols; i++)
		if (!isfinite(eng_source_float(source, in, i)))
			return -EDOM;
	if (eng_type_of_source(source) != type)
		return eng_dequant_row(source, in, cols, (float *)(void *)out);
	memcpy(out, in, cols * value_bytes(source));
	return 0;
}

/* Up to 16 rows of B as a panel. */
static int convert_panel(uint32_t source, uint32_t type, const uint8_t *in, uint32_t rows, uint64_t rank,
			 uint8_t *out)
{
	const void *src[ENG_PANEL_ROWS];
	float wide[ENG_PANEL_ROWS];

	if (eng_type_of_source(source) == type) {
		for (uint32_t i = 0; i < rows; i++)
			src[i] = in + i * rank * value_bytes(source);
		return eng_pack_panel(type, source, src, rows, rank, out);
	}
	memset(out, 0, rank * ENG_PANEL_ROWS * sizeof(float));
	for (uint64_t k = 0; k < rank; k++) {
		memset(wide, 0, sizeof(wide));
		for (uint32_t i = 0; i < rows; i++) {
			wide[i] = eng_source_float(source, in + i * rank * value_bytes(source), k);
			if (!isfinite(wide[i]))
				return -EDOM;
		}
		memcpy(out + k * sizeof(wide), wide, sizeof(wide));
	}
	return 0;
}

/* @rows rows of the source from w->in to w->out, a row of A or a panel of B at a time. */
static int convert(struct writer *w, const struct mhs_image_tensor *t, uint32_t source, uint64_t row,
		   uint64_t rows, uint32_t step)
{
	uint64_t in_bytes = t->cols * value_bytes(source);
	uint64_t out_bytes = t->cols * step * mhs_adapter_type_bytes(t->type);

	for (uint64_t i = 0; i < rows; i += step) {
		uint32_t part = rows - i < step ? (uint32_t)(rows - i) : step;
		const uint8_t *in = w->in + i * in_bytes;
		uint8_t *out = w->out + i / step * out_bytes;
		int err = step == 1 ? convert_row(source, t->type, in, t->cols, out) :
				      convert_panel(source, t->type, in, part, t->cols, out);

		if (err)
			return err == -EDOM ? refuse_value(w, t, row + i) : err;
	}
	return 0;
}

/* Rows that are read and written at once: a whole number of steps, at least one. */
static uint64_t rows_at_once(uint64_t cols, uint32_t step)
{
	uint64_t steps = BLOCK_BYTES / (cols * step * sizeof(float));

	return (steps ? steps : 1) * step;
}

/* @step: 1 for A, the rows of a panel for B. */
static int write_half(struct writer *w, struct mhs_image_tensor *t, const struct sto_lora_half *half,
		      uint32_t step)
{
	uint64_t in_bytes = t->cols * value_bytes(half->source), at = t->offset_bytes;
	uint64_t out_bytes = t->cols * step * mhs_adapter_type_bytes(t->type);
	uint64_t many = rows_at_once(t->cols, step);
	XXH128_canonical_t canonical;

	XXH3_128bits_reset(w->hash);
	for (uint64_t row = 0; row < t->rows; row += many) {
		uint64_t rows = t->rows - row < many ? t->rows - row : many;
		uint64_t bytes = (rows + step - 1) / step * out_bytes;
		int err = sto_file_read(&w->lora->files[1], w->in, rows * in_bytes,
					half->offset_bytes + row * in_bytes, w->error);

		if (!err)
			err = sto_adapter_step((void *)(uintptr_t)w->import, rows * in_bytes);
		if (!err)
			err = convert(w, t, half->source, row, rows, step);
		if (!err)
			err = sto_write_at(w->fd, w->out, bytes, at, w->error);
		if (err)
			return err;
		XXH3_128bits_update(w->hash, w->out, bytes);
		at += bytes;
	}
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(w->hash));
	memcpy(t->hash, canonical.digest, sizeof(t->hash));
	return 0;
}

/* Room for what is read at once of any half. */
static uint64_t block_bytes(const struct sto_lora *lora)
{
	uint64_t most = BLOCK_BYTES;

	for (uint32_t i = 0; i < lora->target_count; i++) {
		const struct sto_lora_target *t = &lora->targets[i];
		uint64_t a = t->cols * sizeof(float);
		uint64_t b = (uint64_t)t->scale.rank * ENG_PANEL_ROWS * sizeof(float);

		if (most < (a > b ? a : b))
			most = a > b ? a : b;
	}
	return align(most, 64);
}

static int write_tensors(struct writer *w)
{
	int err = 0;

	w->hash = XXH3_createState();
	w->in = malloc(block_bytes(w->lora));
	w->out = aligned_alloc(64, block_bytes(w->lora));
	if (!w->hash || !w->in || !w->out)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->lora->target_count && !err; i++) {
		const struct sto_lora_target *t = &w->lora->targets[i];

		err = write_half(w, &w->table[2 * i], &t->a, 1);
		if (!err)
			err = write_half(w, &w->table[2 * i + 1], &t->b, ENG_PANEL_ROWS);
	}
	return err;
}

/* ---- hashes ---------------------------------------------------------------------------------- */

/* The data as it is in the file now: chunk table and content hash. */
static int hash_chunks(struct writer *w, EVP_MD_CTX *sha, uint8_t *chunk)
{
	const struct sto_file file = { .path = (char[]){ STO_IMAGE_NAME }, .fd = w->fd };
	struct mhs_image_header *h = w->h;
	uint8_t *next = w->base + h->chunk_table.offset_bytes;

	if (!sha || !chunk || EVP_DigestInit_ex(sha, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	for (uint64_t at = h->data_offset_bytes; at < h->image_bytes; next += MHS_CHUNK_HASH_BYTES) {
		uint64_t left = h->image_bytes - at;
		uint64_t bytes = left < MHS_IMAGE_CHUNK_BYTES ? left : MHS_IMAGE_CHUNK_BYTES;
		int err = sto_file_read(&file, chunk, bytes, at, w->error);

		if (!err)
			err = sto_adapter_step((void *)(uintptr_t)w->import, bytes);
		if (err)
			return err;
		sto_hash128(chunk, bytes, next);
		if (EVP_DigestUpdate(sha, chunk, bytes) != 1)
			return -ENOMEM;
		at += bytes;
	}
	return EVP_DigestFinal_ex(sha, h->content_hash, NULL) == 1 ? 0 : -ENOMEM;
}

static int hash_data(struct writer *w)
{
	EVP_MD_CTX *sha = EVP_MD_CTX_new();
	uint8_t *chunk = malloc(MHS_IMAGE_CHUNK_BYTES);
	int err = hash_chunks(w, sha, chunk);

	free(chunk);
	EVP_MD_CTX_free(sha);
	return err;
}

/* What a reader will check, checked by its code. */
static int check(const struct writer *w)
{
	const char *field = "header";
	int err = mhs_image_check_header(w->h, w->h->image_bytes, sto_hash128, &field);

	if (!err)
		err = mhs_adapter_check(w->h, w->base, &field);
	if (err)
		sto_fail(w->error, "image: %s; this adapter cannot be imported", field);
	return err;
}

/* Tables, then their hashes, then the header when all else is on the disk. */
static int finish(struct writer *w)
{
	struct mhs_image_header *h = w->h;
	int err = sto_write_at(w->fd, w->table, h->tensor_table.length_bytes, h->tensor_table.offset_bytes,
			       w->error);

	if (!err)
		err = hash_data(w);
	if (err)
		return err;
	sto_hash128(w->base + h->chunk_table.offset_bytes, h->chunk_table.length_bytes, h->chunk_table_hash);
	sto_hash128(h, sizeof(*h), h->header_hash);	/* the field itself is still zero */
	memcpy(w->base, h, sizeof(*h));
	err = check(w);
	if (!err)
		err = sto_write_at(w->fd, w->base + MHS_PAGE_BYTES, h->chunk_table.length_bytes,
				   MHS_PAGE_BYTES, w->error);
	if (err)
		return err;
	if (fsync(w->fd) == 0) {
		err = sto_write_at(w->fd, w->base, MHS_PAGE_BYTES, 0, w->error);
		if (err || (fchmod(w->fd, 0444) == 0 && fsync(w->fd) == 0))
			return err;
	}
	err = -errno;
	sto_fail(w->error, "image: cannot be synced: %s; check the store's disk", strerror(-err));
	return err;
}

static int write_all(struct writer *w, int dir_fd)
{
	int err;

	w->fd = openat(dir_fd, STO_IMAGE_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (w->fd < 0 || ftruncate(w->fd, (off_t)w->h->image_bytes)) {
		err = -errno;
		sto_fail(w->error, "%s: cannot be made: %s; check the store and its permissions",
			 STO_IMAGE_NAME, strerror(-err));
	} else {
		err = write_tensors(w);
	}
	if (!err)
		err = finish(w);
	if (w->fd >= 0)
		close(w->fd);
	XXH3_freeState(w->hash);
	free(w->out);
	free(w->in);
	return err;
}

int sto_adapter_write(const struct sto_adapter_import *import, const struct sto_lora *lora, int dir_fd,
		      struct mhs_image_header *header, struct sto_error *error)
{
	struct writer w = { .import = import, .lora = lora, .h = header, .error = error };
	int err = fill_header(&w);

	error->text[0] = '\0';
	if (!err)
		err = lay_out(&w);
	if (!err)
		err = write_all(&w, dir_fd);
	if (err == -ENOMEM && !error->text[0])
		sto_fail(error, "image: out of memory; free some");
	free(w.base);
	return err;
}
