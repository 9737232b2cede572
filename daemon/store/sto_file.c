/* SPDX-License-Identifier: MIT */
/* sto_file.c: open, read, hash source files. */
#include "sto_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HASH_BLOCK_BYTES	(1u << 20)
#define READ_MAX_BYTES		(UINT64_C(1) << 30)

static const char lfs_mark[] = "version https://git-lfs";

static int check_opened(struct sto_file *file, struct sto_error *error)
{
	char head[sizeof(lfs_mark) - 1];

	if (fstat(file->fd, &file->opened)) {
		sto_fail(error, "%s: cannot be examined: %s; check the path", file->path,
			 strerror(errno));
		return -EIO;
	}
	if (!S_ISREG(file->opened.st_mode)) {
		sto_fail(error, "%s: not a regular file; give a file that holds the data itself",
			 file->path);
		return -EINVAL;
	}
	file->bytes = (uint64_t)file->opened.st_size;
	if (file->bytes == 0) {
		sto_fail(error, "%s: empty file, limit at least 1 byte; fetch it again",
			 file->path);
		return -EINVAL;
	}
	if (file->bytes < sizeof(head))
		return 0;
	if (sto_file_read(file, head, sizeof(head), 0, error))
		return -EIO;
	if (memcmp(head, lfs_mark, sizeof(head)) == 0) {
		sto_fail(error,
			 "%s: a Git-LFS pointer stands where the data should be (%llu bytes); "
			 "fetch the data with: git lfs pull",
			 file->path, (unsigned long long)file->bytes);
		return -EINVAL;
	}
	return 0;
}

/* @fd is the file's from now on; negative: the errno of the opening. */
static int file_init(struct sto_file *file, int fd, const char *shown, struct sto_error *error)
{
	int err;

	memset(file, 0, sizeof(*file));
	file->fd = fd;
	if (fd < 0) {
		sto_fail(error, "%s: cannot be opened: %s; check the path", shown, strerror(-fd));
		return fd;
	}
	file->path = strdup(shown);
	if (!file->path) {
		sto_fail(error, "%s: out of memory; free some", shown);
		close(file->fd);
		return -ENOMEM;
	}
	err = check_opened(file, error);
	if (err)
		sto_file_close(file);
	return err;
}

int sto_file_open(struct sto_file *file, int dir_fd, const char *name, const char *shown,
		  struct sto_error *error)
{
	/* O_NONBLOCK: the open of a fifo without a writer returns, and fstat refuses it. */
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	return file_init(file, fd < 0 ? -errno : fd, shown, error);
}

int sto_file_adopt(struct sto_file *file, int fd, const char *shown, struct sto_error *error)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return file_init(file, copy < 0 ? -errno : copy, shown, error);
}

void sto_file_close(struct sto_file *file)
{
	if (!file->path)	/* never opened, or closed already */
		return;
	close(file->fd);
	free(file->path);
	memset(file, 0, sizeof(*file));
}

int sto_file_read(const struct sto_file *file, void *out, uint64_t bytes, uint64_t offset,
		  struct sto_error *error)
{
	uint8_t *to = out;

	while (bytes) {
		size_t part = bytes < READ_MAX_BYTES ? (size_t)bytes : (size_t)READ_MAX_BYTES;
		ssize_t n = pread(file->fd, to, part, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			sto_fail(error, "%s: %s at byte %llu; check the file and its disk",
				 file->path, n ? strerror(errno) : "ends early",
				 (unsigned long long)offset);
			return -EIO;
		}
		to += n;
		bytes -= (uint64_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int sto_file_load(const struct sto_file *file, uint64_t limit_bytes, char **data,
		  struct sto_error *error)
{
	int err;

	*data = NULL;
	if (file->bytes > limit_bytes) {
		sto_fail(error, "%s: %llu bytes, limit %llu; this is not such a file", file->path,
			 (unsigned long long)file->bytes, (unsigned long long)limit_bytes);
		return -EFBIG;
	}
	*data = malloc(file->bytes + 1);
	if (!*data) {
		sto_fail(error, "%s: out of memory; free some", file->path);
		return -ENOMEM;
	}
	err = sto_file_read(file, *data, file->bytes, 0, error);
	if (err) {
		free(*data);
		*data = NULL;
		return err;
	}
	(*data)[file->bytes] = '\0';
	return 0;
}

static int hash_blocks(const struct sto_file *file, EVP_MD_CTX *ctx, uint8_t *block,
		       sto_step_fn step, void *arg, struct sto_error *error)
{
	for (uint64_t at = 0; at < file->bytes;) {
		uint64_t left = file->bytes - at;
		uint64_t part = left < HASH_BLOCK_BYTES ? left : HASH_BLOCK_BYTES;
		int err = sto_file_read(file, block, part, at, error);

		if (!err && EVP_DigestUpdate(ctx, block, part) != 1)
			err = -ENOMEM;
		if (!err)
			err = step(arg, part);
		if (err)
			return err;
		at += part;
	}
	return 0;
}

int sto_file_hash(struct sto_file *file, sto_step_fn step, void *arg, struct sto_error *error)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t *block = malloc(HASH_BLOCK_BYTES);
	int err = -ENOMEM;

	sto_fail(error, "%s: SHA-256 failed: out of memory; free some", file->path);
	if (ctx && block && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1)
		err = hash_blocks(file, ctx, block, step, arg, error);
	if (!err && EVP_DigestFinal_ex(ctx, file->sha256, NULL) != 1)
		err = -ENOMEM;
	file->hashed = !err;
	EVP_MD_CTX_free(ctx);
	free(block);
	return err;
}

int sto_file_unchanged(const struct sto_file *file, struct sto_error *error)
{
	const struct stat *was = &file->opened;
	struct stat now;

	if (fstat(file->fd, &now) == 0 && now.st_size == was->st_size &&
	    now.st_mtim.tv_sec == was->st_mtim.tv_sec &&
	    now.st_mtim.tv_nsec == was->st_mtim.tv_nsec)
		return 0;
	sto_fail(error, "%s: changed while it was read; import it when nobody writes to it",
		 file->path);
	return -EBUSY;
}

/* ---- UTF-8 ------------------------------------------------------------------------------- */

/* Length of the well-formed sequence at @p, 0 when there is none (Unicode 15, table 3-7). */
static uint32_t sequence_bytes(const uint8_t *p, uint64_t left)
{
	uint8_t low = 0x80, high = 0xbf;
	uint32_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (left < n || p[1] < low || p[1] > high)
		return 0;
	for (uint32_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

bool sto_utf8_sound(const char *data, uint64_t bytes)
{
	const uint8_t *p = (const uint8_t *)data;

	while (bytes) {
		uint32_t n = sequence_bytes(p, bytes);

		if (n == 0)
			return false;
		p += n;
		bytes -= n;
	}
	return true;
}

bool sto_utf8_valid(const char *data, uint64_t bytes, bool text)
{
	for (uint64_t i = 0; i < bytes; i++) {
		if ((unsigned char)data[i] >= 0x20 && data[i] != 0x7f)
			continue;
		if (!text || !(data[i] == '\n' || data[i] == '\t' || data[i] == '\r'))
			return false;
	}
	return sto_utf8_sound(data, bytes);
}
