/* SPDX-License-Identifier: MIT */
/*
 * sto_adapter_image.c: write the image of an adapter, its header last. Into a file its hashes are
 * taken from what stands there afterwards; into memory (quick) on the way, while the bytes are warm.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "sto_adapter_priv.h"
#include "sto_image_priv.h"

#define BLOCK_BYTES	(256u << 10)	/* of rows, read and written at once: they stay in the cache */

/* An image on its way. */
struct writer {
	const struct sto_adapter_job *job;
	const struct sto_lora *lora;
	struct mhs_image_header *h;
	struct mhs_image_tensor *table;	/* in @base */
	uint8_t *base;			/* header, chunk table and tensor table, as in the file */
	uint64_t base_bytes;
	XXH3_state_t *hash;		/* of the tensor at hand; quick: of the chunk */
	uint64_t hashed_bytes;		/* quick: of the data, so far */
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
	const struct sto_adapter_job *job = w->job;
	struct mhs_image_header *h = w->h;

	memset(h, 0, sizeof(*h));
	h->magic = MHS_IMAGE_MAGIC;
	h->abi_major = MHS_IMAGE_ABI_MAJOR;
	h->abi_minor = MHS_IMAGE_ABI_MINOR;
	h->header_bytes = MHS_PAGE_BYTES;
	h->features = job->quick ? MHS_IMAGE_QUICK_HASH : 0;
	h->kind = MHS_IMAGE_ADAPTER;
	h->chunk_bytes = MHS_IMAGE_CHUNK_BYTES;
	h->config = w->lora->config;
	h->bos_id = UINT32_MAX;
	snprintf(h->model, sizeof(h->model), "%s", job->model);
	snprintf(h->adapter, sizeof(h->adapter), "%s", job->adapter);
	snprintf(h->semver, sizeof(h->semver), "%s", job->version);
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

/* ---- hashes on the way ------------------------------------------------------------------------ */

static void hash_end(struct writer *w, uint8_t out[MHS_CHUNK_HASH_BYTES])
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(w->hash));
	memcpy(out, canonical.digest, MHS_CHUNK_HASH_BYTES);
	XXH3_128bits_reset(w->hash);
}

/* The next bytes of the data, chunk by chunk. */
static void hash_data(struct writer *w, const uint8_t *data, uint64_t bytes)
{
	uint8_t *hashes = w->base + w->h->chunk_table.offset_bytes;

	while (bytes) {
		uint64_t room = MHS_IMAGE_CHUNK_BYTES - w->hashed_bytes % MHS_IMAGE_CHUNK_BYTES;
		uint64_t part = bytes < room ? bytes : room;

		XXH3_128bits_update(w->hash, data, part);
		w->hashed_bytes += part;
		if (part == room)
			hash_end(w, hashes + (w->hashed_bytes / MHS_IMAGE_CHUNK_BYTES - 1) *
				    MHS_CHUNK_HASH_BYTES);
		data += part;
		bytes -= part;
	}
}

/* What lies between the last tensor and @offset_bytes of the image is zeros. */
static void hash_gap(struct writer *w, uint64_t offset_bytes)
{
	static const uint8_t zeros[MHS_PAGE_BYTES];
	uint64_t at;

	while ((at = w->h->data_offset_bytes + w->hashed_bytes) < offset_bytes)
		hash_data(w, zeros, offset_bytes - at < sizeof(zeros) ? offset_bytes - at : sizeof(zeros));
}

/* ---- tensors --------------------------------------------------------------------------------- */

static int refuse_value(const struct writer *w, const struct mhs_image_tensor *t, uint64_t row)
{
	sto_fail(w->error, "%s: tensor %s: row %llu holds a value that is not finite, limit numbers; the "
		 "training failed, or the file is damaged", w->lora->files[1].path, t->name,
		 (unsigned long long)row);
	return -EDOM;
}

/* Where the bytes at @offset_bytes of the image are made: in their place, or in w->out. */
static uint8_t *place_of(const struct writer *w, uint64_t offset_bytes)
{
	return w->job->map ? w->job->map + offset_bytes : w->out;
}

static int put(struct writer *w, const uint8_t *data, uint64_t bytes, uint64_t offset_bytes)
{
	if (w->job->quick) {
		hash_gap(w, offset_bytes);
		hash_data(w, data, bytes);
	} else {
		XXH3_128bits_update(w->hash, data, bytes);
	}
	return w->job->map ? 0 : sto_write_at(w->job->fd, data, bytes, offset_bytes, w->error);
}

/* @rows rows of the source from @at on, as rows of A or as panels of B, to the image. */
static int write_rows(struct writer *w, const struct mhs_image_tensor *t, const struct sto_lora_half *half,
		      uint64_t at, uint64_t row, uint64_t rows)
{
	bool is_b = t->role & MHS_ROLE_LORA_B, plain = !is_b && eng_type_of_source(half->source) == t->type;
	uint64_t in_bytes = t->cols * value_bytes(half->source), bad = 0;
	uint64_t out_bytes = (is_b ? MHS_ADAPTER_PADDED_ROWS(rows) : rows) * t->cols *
			     mhs_adapter_type_bytes(t->type);
	uint8_t *out = place_of(w, at), *in = plain ? out : w->in;
	int err = sto_file_read(&w->lora->files[1], in, rows * in_bytes, half->offset_bytes + row * in_bytes,
				w->error);

	if (!err)
		err = w->job->step ? w->job->step(w->job->arg, rows * in_bytes) : 0;
	if (err)
		return err;
	if (!sto_lora_finite(half->source, in, rows, t->cols, &bad))
		return refuse_value(w, t, row + bad);
	if (is_b)
		sto_lora_panels(half->source, t->type, in, rows, t->cols, out);
	else if (!plain)
		eng_dequant_row(half->source, in, rows * t->cols, (float *)(void *)out);
	return put(w, out, out_bytes, at);
}

/* @step: 1 for A, the rows of a panel for B. */
static int write_half(struct writer *w, struct mhs_image_tensor *t, const struct sto_lora_half *half,
		      uint32_t step)
{
	uint64_t steps = BLOCK_BYTES / (t->cols * step * sizeof(float)), many = (steps ? steps : 1) * step;
	uint64_t step_bytes = t->cols * mhs_adapter_type_bytes(t->type);
	int err = 0;

	for (uint64_t row = 0; row < t->rows && !err; row += many)
		err = write_rows(w, t, half, t->offset_bytes + row * step_bytes, row,
				 t->rows - row < many ? t->rows - row : many);
	if (!err && !w->job->quick)
		hash_end(w, t->hash);
	return err;
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
	w->in = aligned_alloc(64, block_bytes(w->lora));
	w->out = aligned_alloc(64, block_bytes(w->lora));
	if (!w->hash || !w->in || !w->out || XXH3_128bits_reset(w->hash) != XXH_OK)
		return -ENOMEM;
	if (w->job->quick)	/* the table is complete: tensors have no hashes of their own */
		err = put(w, (const uint8_t *)w->table, w->h->tensor_table.length_bytes,
			  w->h->tensor_table.offset_bytes);
	for (uint32_t i = 0; i < w->lora->target_count && !err; i++) {
		const struct sto_lora_target *t = &w->lora->targets[i];

		err = write_half(w, &w->table[2 * i], &t->a, 1);
		if (!err)
			err = write_half(w, &w->table[2 * i + 1], &t->b, ENG_PANEL_ROWS);
	}
	return err;
}

/* ---- hashes of a file -------------------------------------------------------------------------- */

/* The data as it is in the file now: chunk table and content hash. */
static int hash_chunks(struct writer *w, EVP_MD_CTX *sha, uint8_t *chunk)
{
	const struct sto_file file = { .path = (char[]){ STO_IMAGE_NAME }, .fd = w->job->fd };
	struct mhs_image_header *h = w->h;
	uint8_t *next = w->base + h->chunk_table.offset_bytes;

	if (!sha || !chunk || EVP_DigestInit_ex(sha, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	for (uint64_t at = h->data_offset_bytes; at < h->image_bytes; next += MHS_CHUNK_HASH_BYTES) {
		uint64_t left = h->image_bytes - at;
		uint64_t bytes = left < MHS_IMAGE_CHUNK_BYTES ? left : MHS_IMAGE_CHUNK_BYTES;
		int err = sto_file_read(&file, chunk, bytes, at, w->error);

		if (!err && w->job->step)
			err = w->job->step(w->job->arg, bytes);
		if (err)
			return err;
		sto_hash128(chunk, bytes, next);
		if (EVP_DigestUpdate(sha, chunk, bytes) != 1)
			return -ENOMEM;
		at += bytes;
	}
	return EVP_DigestFinal_ex(sha, h->content_hash, NULL) == 1 ? 0 : -ENOMEM;
}

static int hash_file(struct writer *w)
{
	EVP_MD_CTX *sha = EVP_MD_CTX_new();
	uint8_t *chunk = malloc(MHS_IMAGE_CHUNK_BYTES);
	int err = hash_chunks(w, sha, chunk);

	free(chunk);
	EVP_MD_CTX_free(sha);
	return err;
}

/* What was hashed on the way: the last chunk, and all of them. */
static int hash_quickly(struct writer *w)
{
	struct mhs_image_header *h = w->h;
	uint8_t *chunks = w->base + h->chunk_table.offset_bytes;

	hash_gap(w, h->image_bytes);
	if (w->hashed_bytes % MHS_IMAGE_CHUNK_BYTES)
		hash_end(w, chunks + (h->chunk_count - 1) * MHS_CHUNK_HASH_BYTES);
	return EVP_Digest(chunks, h->chunk_table.length_bytes, h->content_hash, NULL, EVP_sha256(),
			  NULL) == 1 ? 0 : -ENOMEM;
}

/* ---- the end ----------------------------------------------------------------------------------- */

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

/* Bytes of w->base to their place. */
static int put_base(struct writer *w, uint64_t offset_bytes, uint64_t bytes)
{
	if (!w->job->map)
		return sto_write_at(w->job->fd, w->base + offset_bytes, bytes, offset_bytes, w->error);
	memcpy(w->job->map + offset_bytes, w->base + offset_bytes, bytes);
	return 0;
}

static int hash_all(struct writer *w)
{
	struct mhs_image_header *h = w->h;
	int err = put_base(w, h->tensor_table.offset_bytes, h->tensor_table.length_bytes);

	if (!err)
		err = w->job->quick ? hash_quickly(w) : hash_file(w);
	if (err)
		return err;
	sto_hash128(w->base + h->chunk_table.offset_bytes, h->chunk_table.length_bytes, h->chunk_table_hash);
	sto_hash128(h, sizeof(*h), h->header_hash);	/* the field itself is still zero */
	memcpy(w->base, h, sizeof(*h));
	return check(w);
}

/* Tables, then their hashes, then the header when all else is there (in a file: on the disk). */
static int finish(struct writer *w)
{
	int err = hash_all(w);

	if (!err)
		err = put_base(w, MHS_PAGE_BYTES, w->h->chunk_table.length_bytes);
	if (!err && w->job->sync && fsync(w->job->fd))
		err = sto_io_error(w->error, "image", "synced");
	if (!err)
		err = put_base(w, 0, MHS_PAGE_BYTES);
	return err;
}

int sto_adapter_image(struct sto_adapter_job *job, const struct sto_lora *lora,
		      int (*open)(struct sto_adapter_job *job, uint64_t bytes, struct sto_error *error),
		      struct mhs_image_header *header, struct sto_error *error)
{
	struct writer w = { .job = job, .lora = lora, .h = header, .error = error };
	int err = fill_header(&w);

	error->text[0] = '\0';
	if (!err)
		err = lay_out(&w);
	if (!err)
		err = open(job, header->image_bytes, error);
	if (!err)
		err = write_tensors(&w);
	if (!err)
		err = finish(&w);
	if (err == -ENOMEM && !error->text[0])
		sto_fail(error, "image: out of memory; free some");
	XXH3_freeState(w.hash);
	free(w.out);
	free(w.in);
	free(w.base);
	return err;
}

/* ---- into the store ------------------------------------------------------------------------------ */

static int open_file(struct sto_adapter_job *job, uint64_t bytes, struct sto_error *error)
{
	job->fd = openat(job->dir_fd, STO_IMAGE_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (job->fd >= 0 && ftruncate(job->fd, (off_t)bytes) == 0)
		return 0;
	return sto_io_error(error, STO_IMAGE_NAME, "made");
}

int sto_adapter_write(const struct sto_adapter_import *import, const struct sto_lora *lora, int dir_fd,
		      struct mhs_image_header *header, struct sto_error *error)
{
	struct sto_adapter_job job = {
		.model = import->model, .adapter = import->adapter, .version = import->version,
		.step = sto_adapter_step, .arg = (void *)(uintptr_t)import, .dir_fd = dir_fd, .fd = -1,
		.sync = true,
	};
	int err = sto_adapter_image(&job, lora, open_file, header, error);

	if (!err && (fchmod(job.fd, 0444) || fsync(job.fd)))
		err = sto_io_error(error, "image", "synced");
	if (job.fd >= 0)
		close(job.fd);
	return err;
}
