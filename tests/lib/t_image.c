/* SPDX-License-Identifier: MIT */
#include "t_image.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sto_store.h"
#include "t.h"

static void quit(const char *what)
{
	perror(what);
	exit(1);
}

const char *t_image_path(const char *store, const char *model, const char *version)
{
	static char paths[8][512];
	static unsigned int next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/models/%s/%s/image.mhi", store, model, version);
	return path;
}

/* Each folder on the way to @path. */
static void folders_make(const char *path)
{
	char copy[512];

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		mkdir(copy, 0755);
		*p = '/';
	}
}

static void header_fill(struct mhs_image_header *image, const char *model, const char *version,
			uint64_t bytes)
{
	uint64_t table = (bytes / MHS_IMAGE_CHUNK_BYTES + 2) * MHS_CHUNK_HASH_BYTES;
	uint64_t data = MHS_PAGE_BYTES + ((table + 4095) & ~UINT64_C(4095)), all;

	all = (data + (bytes < 3 * 4096 ? 3 * 4096 : bytes) + 4095) & ~UINT64_C(4095);
	*image = (struct mhs_image_header){
		.magic = MHS_IMAGE_MAGIC, .abi_major = MHS_IMAGE_ABI_MAJOR,
		.abi_minor = MHS_IMAGE_ABI_MINOR, .header_bytes = MHS_PAGE_BYTES,
		.image_bytes = all, .kind = MHS_IMAGE_MODEL, .chunk_bytes = MHS_IMAGE_CHUNK_BYTES,
		.data_offset_bytes = data, .tensor_count = 1,
		.tensor_table = { data, sizeof(struct mhs_image_tensor) },
		.tokenizer = { data + 4096, 4096 },
		.config = { .arch = MHS_ARCH_LLAMA, .layer_count = 1, .hidden = 32, .intermediate = 32,
			    .head_count = 1, .kv_head_count = 1, .head_dim = 32, .vocab_count = 256,
			    .context_max = 512, .rms_eps = 1e-5f, .rope_attn_scale = 1.0f },
		.bos_id = UINT32_MAX,
	};
	image->chunk_count = (uint32_t)((all - data + MHS_IMAGE_CHUNK_BYTES - 1) /
					MHS_IMAGE_CHUNK_BYTES);
	image->chunk_table = (struct mhs_image_span){
		MHS_PAGE_BYTES, (uint64_t)image->chunk_count * MHS_CHUNK_HASH_BYTES };
	snprintf(image->model, sizeof(image->model), "%s", model);
	snprintf(image->semver, sizeof(image->semver), "%s", version);
}

void t_image_reseal(struct mhs_image_header *image)
{
	memset(image->header_hash, 0, sizeof(image->header_hash));
	sto_hash128(image, sizeof(*image), image->header_hash);
}

static void hashes_fill(uint8_t *base)
{
	struct mhs_image_header *image = (void *)base;
	uint64_t at = image->data_offset_bytes;

	for (uint32_t i = 0; i < image->chunk_count; i++, at += MHS_IMAGE_CHUNK_BYTES) {
		uint64_t left = image->image_bytes - at;

		sto_hash128(base + at, left < MHS_IMAGE_CHUNK_BYTES ? left : MHS_IMAGE_CHUNK_BYTES,
			    base + image->chunk_table.offset_bytes + i * MHS_CHUNK_HASH_BYTES);
	}
	sto_hash128(base + image->chunk_table.offset_bytes, image->chunk_table.length_bytes,
		    image->chunk_table_hash);
	t_image_reseal(image);
}

uint8_t *t_image_write(const char *store, const char *model, const char *version, uint64_t bytes,
		       uint64_t seed, int keep)
{
	const char *path = t_image_path(store, model, version);
	struct mhs_image_header image;
	struct mhs_image_tensor tensor = { .name = "noise", .role = MHS_ROLE_EMBED, .type = 2,
					   .rows = 1, .cols = 1024 };
	uint8_t *base;
	uint64_t at, word;

	header_fill(&image, model, version, bytes);
	base = calloc(1, image.image_bytes);
	if (!base)
		quit("calloc");
	memcpy(base, &image, sizeof(image));
	tensor.offset_bytes = image.data_offset_bytes + 8192;
	tensor.length_bytes = image.image_bytes - tensor.offset_bytes;
	memcpy(base + image.data_offset_bytes, &tensor, sizeof(tensor));
	for (at = tensor.offset_bytes - 4096; at < image.image_bytes; at += sizeof(word)) {
		word = t_random(&seed);
		memcpy(base + at, &word, sizeof(word));
	}
	hashes_fill(base);
	folders_make(path);
	unlink(path);
	t_write_file(path, base, image.image_bytes);
	if (chmod(path, 0444))
		quit(path);
	if (keep)
		return base;
	free(base);
	return NULL;
}

void t_image_patch(const char *store, const char *model, const char *version, uint64_t offset,
		   const void *data, size_t bytes)
{
	const char *path = t_image_path(store, model, version);
	int fd;

	if (chmod(path, 0644) || (fd = open(path, O_WRONLY)) < 0 ||
	    pwrite(fd, data, bytes, (off_t)offset) != (ssize_t)bytes || close(fd) || chmod(path, 0444))
		quit(path);
}
