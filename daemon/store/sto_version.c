/* SPDX-License-Identifier: MIT */
/* sto_version.c: the image of a version as one run of bytes, read from wherever they lie. */
#include "sto_version.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mhs_attach.h"
#include "sto_store_priv.h"

void sto_pack_name(const uint8_t hash[MHS_HASH_BYTES], char name[STO_PACK_NAME_BYTES])
{
	int n = snprintf(name, STO_PACK_NAME_BYTES, STO_PACK_PREFIX);

	for (uint32_t i = 0; i < MHS_HASH_BYTES; i++, n += 2)
		snprintf(name + n, STO_PACK_NAME_BYTES - (size_t)n, "%02x", hash[i]);
	snprintf(name + n, STO_PACK_NAME_BYTES - (size_t)n, STO_PACK_SUFFIX);
}

/* Exactly @bytes of @fd at @offset; @what names the file in messages. */
static int read_exactly(int fd, void *out, uint64_t bytes, uint64_t offset, const char *what,
			struct sto_error *error)
{
	uint8_t *to = out;

	while (bytes) {
		ssize_t n = pread(fd, to, bytes, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int err = n ? -errno : -EIO;

			sto_fail(error, "%s: byte %llu: %s; import the version again", what,
				 (unsigned long long)offset, n ? strerror(-err) : "the file ends early");
			return err;
		}
		to += n;
		bytes -= (uint64_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int check_pack(const char *path, const struct mhs_image_pack *pack,
		      const struct mhs_pack_header *header, uint64_t bytes, struct sto_error *error)
{
	const char *field = "header";
	int err = mhs_pack_check_header(header, bytes, sto_hash128, &field);

	if (!err && (header->pack_bytes != pack->pack_bytes ||
		     memcmp(header->content_hash, pack->content_hash, MHS_HASH_BYTES))) {
		field = "content_hash, pack_bytes: not those that the image names";
		err = -EBADMSG;
	}
	if (err)
		sto_fail(error, "%s: %s; import the version again", path, field);
	return err;
}

int sto_pack_open(const char *store, const char *model, const char *version,
		  const struct mhs_image_pack *pack, struct mhs_pack_header *header,
		  struct sto_error *error)
{
	char path[4096], name[STO_PACK_NAME_BYTES];
	uint64_t bytes = 0;
	int fd, err;

	sto_pack_name(pack->content_hash, name);
	if (sto_version_path(store, model, version, name, path, sizeof(path))) {
		sto_fail(error, "%s: path too long, limit %zu bytes; move the store", store,
			 sizeof(path) - 1);
		return -ENAMETOOLONG;
	}
	fd = sto_plain_open(store, path, &bytes, error);
	if (fd < 0)
		return fd;
	err = read_exactly(fd, header, sizeof(*header), 0, path, error);
	if (!err)
		err = check_pack(path, pack, header, bytes, error);
	if (!err)
		return fd;
	close(fd);
	return err;
}

int sto_tables_read(int fd, const struct mhs_image_header *header, uint8_t *base,
		    struct sto_error *error)
{
	return read_exactly(fd, base, header->file_bytes, 0, STO_IMAGE_NAME, error);
}

int sto_tables_check(const struct mhs_image_header *header, const uint8_t *base,
		     struct sto_error *error)
{
	uint8_t hash[MHS_CHUNK_HASH_BYTES];
	const char *field = "header: changed while it was read";
	int err = memcmp(base, header, sizeof(*header)) ? -EBADMSG : 0;

	if (!err) {
		sto_hash128(base + MHS_PAGE_BYTES, header->file_bytes - MHS_PAGE_BYTES, hash);
		field = "file_hash: does not match, the tables behind the header are damaged";
		err = memcmp(hash, header->file_hash, sizeof(hash)) ? -EBADMSG : 0;
	}
	if (!err)
		err = mhs_image_check_tensors(header, base, &field);
	if (!err)
		err = mhs_image_check_extents(header, base, &field);
	if (err)
		sto_fail(error, "%s: %s; import the version again", STO_IMAGE_NAME, field);
	return err;
}

static int no_memory(struct sto_error *error)
{
	sto_fail(error, "%s: out of memory; free some", STO_IMAGE_NAME);
	return -ENOMEM;
}

/* The whole file, checked: the tables lie in it. */
static int tables_open(struct sto_version *v, struct sto_error *error)
{
	int err;

	v->base = malloc(v->header.file_bytes);
	if (!v->base)
		return no_memory(error);
	err = sto_tables_read(v->fd, &v->header, v->base, error);
	if (!err)
		err = sto_tables_check(&v->header, v->base, error);
	v->tensors = (const void *)(v->base + v->header.tensor_table.offset_bytes);
	return err;
}

/* An image without packs: its tensors are judged when they are read. */
static int table_open(struct sto_version *v, struct sto_error *error)
{
	const struct mhs_image_span *span = &v->header.tensor_table;
	int err;

	v->table = malloc(span->length_bytes);
	if (!v->table)
		return no_memory(error);
	v->tensors = v->table;
	err = read_exactly(v->fd, v->table, span->length_bytes, span->offset_bytes, STO_IMAGE_NAME, error);
	for (uint32_t i = 0; !err && i < v->header.tensor_count; i++)
		v->table[i].name[sizeof(v->table[i].name) - 1] = '\0';
	return err;
}

int sto_version_open(struct sto_version *v, const char *store, const char *model, const char *version,
		     struct sto_error *error)
{
	struct sto_error why;
	int err;

	memset(v, 0, sizeof(*v));
	for (uint32_t i = 0; i < MHS_PACK_MAX; i++)
		v->pack_fds[i] = -1;
	snprintf(v->store, sizeof(v->store), "%s", store);
	snprintf(v->model, sizeof(v->model), "%s", model);
	snprintf(v->version, sizeof(v->version), "%s", version);
	v->fd = sto_image_open(store, model, version, &v->header, error);
	if (v->fd < 0)
		return v->fd;
	err = v->header.features & MHS_IMAGE_PACKED ? tables_open(v, &why) : table_open(v, &why);
	if (err) {
		sto_fail(error, "%s@%s: %.400s", model, version, why.text);
		sto_version_close(v);
	}
	return err;
}

int sto_version_pack(struct sto_version *v, uint32_t index, struct sto_error *error)
{
	const struct mhs_image_pack *packs;
	struct mhs_pack_header header;

	if (!v->base || index >= v->header.pack_count)
		return -ERANGE;
	packs = mhs_image_packs(&v->header, v->base);
	if (v->pack_fds[index] < 0)
		v->pack_fds[index] = sto_pack_open(v->store, v->model, v->version, &packs[index],
						   &header, error);
	return v->pack_fds[index];
}

/* As much of @bytes at @offset as lies in one piece. Bytes read, or negative errno. */
static int64_t piece_read(struct sto_version *v, void *out, uint64_t bytes, uint64_t offset,
			  struct sto_error *error)
{
	char name[STO_PACK_NAME_BYTES] = STO_IMAGE_NAME;
	uint32_t segment = 0;
	uint64_t at = 0, have = mhs_image_piece(&v->header, v->base, offset, &segment, &at);
	int fd = segment ? sto_version_pack(v, segment - 1, error) : v->fd, err;

	if (!have) {
		sto_fail(error, "%s@%s: byte %llu is not in the image", v->model, v->version,
			 (unsigned long long)offset);
		return -ERANGE;
	}
	if (fd < 0)
		return fd;
	if (segment)
		sto_pack_name(mhs_image_packs(&v->header, v->base)[segment - 1].content_hash, name);
	if (have > bytes)
		have = bytes;
	err = read_exactly(fd, out, have, at, name, error);
	return err ? err : (int64_t)have;
}

int sto_version_read(struct sto_version *v, void *out, uint64_t bytes, uint64_t offset,
		     struct sto_error *error)
{
	uint8_t *to = out;

	while (bytes) {
		int64_t n = piece_read(v, to, bytes, offset, error);

		if (n < 0)
			return (int)n;
		to += n;
		offset += (uint64_t)n;
		bytes -= (uint64_t)n;
	}
	return 0;
}

int sto_tensor_read(struct sto_version *v, uint32_t index, uint64_t offset, uint64_t bytes, void *out,
		    struct sto_error *error)
{
	const struct mhs_image_tensor *t = &v->tensors[index];

	if (t->length_bytes > MHS_IMAGE_BYTES_MAX || t->offset_bytes > MHS_IMAGE_BYTES_MAX ||
	    offset > t->length_bytes || bytes > t->length_bytes - offset) {
		sto_fail(error, "%s@%s: tensor %s: %llu bytes at %llu are outside it; verify the version",
			 v->model, v->version, t->name, (unsigned long long)bytes,
			 (unsigned long long)offset);
		return -ERANGE;
	}
	return sto_version_read(v, out, bytes, t->offset_bytes + offset, error);
}

static int read_span(struct sto_version *v, const struct mhs_image_span *span, void **out,
		     struct sto_error *error)
{
	int err;

	*out = malloc(span->length_bytes + 1);
	if (!*out)
		return no_memory(error);
	err = sto_version_read(v, *out, span->length_bytes, span->offset_bytes, error);
	if (err) {
		free(*out);
		*out = NULL;
	}
	return err;
}

int sto_version_texts(struct sto_version *v, struct sto_error *error)
{
	int err = 0;

	if (!v->tokenizer)
		err = read_span(v, &v->header.tokenizer, &v->tokenizer, error);
	if (!err && !v->chat_template && v->header.chat_template.length_bytes)
		err = read_span(v, &v->header.chat_template, (void **)&v->chat_template, error);
	return err;
}

void sto_version_close(struct sto_version *v)
{
	for (uint32_t i = 0; i < MHS_PACK_MAX; i++)
		if (v->pack_fds[i] >= 0)
			close(v->pack_fds[i]);
	if (v->fd >= 0)
		close(v->fd);
	free(v->chat_template);
	free(v->tokenizer);
	free(v->table);
	free(v->base);
	memset(v, 0, sizeof(*v));
	v->fd = -1;
	for (uint32_t i = 0; i < MHS_PACK_MAX; i++)
		v->pack_fds[i] = -1;
}

void sto_dir_clear(int fd)
{
	int scan_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = scan_fd < 0 ? NULL : fdopendir(scan_fd);
	struct dirent *entry;

	if (!dir) {
		if (scan_fd >= 0)
			close(scan_fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			unlinkat(fd, entry->d_name, 0);
	closedir(dir);
}
