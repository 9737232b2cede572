/* SPDX-License-Identifier: MIT */
/* sto_store.c: find, open and list what the store holds. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "mhs_attach.h"
#include "sto_store_priv.h"

void sto_hash128(const void *data, size_t bytes, uint8_t out[MHS_CHUNK_HASH_BYTES])
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, bytes));
	memcpy(out, canonical.digest, MHS_CHUNK_HASH_BYTES);
}

int sto_version_path(const char *store, const char *model, const char *version, const char *file,
		     char *path, uint32_t path_bytes)
{
	int n = snprintf(path, path_bytes, "%s/models/%s/%s%s%s", store, model, version,
			 file ? "/" : "", file ? file : "");

	return n < 0 || (uint32_t)n >= path_bytes ? -ENAMETOOLONG : 0;
}

int sto_image_path(const char *store, const char *model, const char *version, char *path,
		   uint32_t path_bytes)
{
	return sto_version_path(store, model, version, STO_IMAGE_NAME, path, path_bytes);
}

/* Who may have written the image: root, ourselves, or the owner of the store. */
static int owner_is_trusted(const char *store, const struct stat *st)
{
	struct stat root;

	if (st->st_uid == 0 || st->st_uid == geteuid())
		return 1;
	return stat(store, &root) == 0 && root.st_uid == st->st_uid;
}

static int check_plain(int fd, const char *store, const char *path, uint64_t *bytes,
		       struct sto_error *error)
{
	struct stat st;

	if (fstat(fd, &st)) {
		int err = -errno;

		sto_fail(error, "%s: cannot be examined: %s; check the store", path,
			 strerror(-err));
		return err;
	}
	if (!S_ISREG(st.st_mode)) {
		sto_fail(error, "%s: not a regular file; import the version again", path);
		return -EINVAL;
	}
	if (st.st_mode & (S_IWGRP | S_IWOTH)) {
		sto_fail(error,
			 "%s: mode %03o lets others write, limit 0444 or 0644; chmod it if you "
			 "trust it",
			 path, (unsigned int)st.st_mode & 0777);
		return -EPERM;
	}
	if (!owner_is_trusted(store, &st)) {
		sto_fail(error,
			 "%s: owned by uid %u, limit root, uid %u or the owner of the store; chown "
			 "it if you trust it",
			 path, (unsigned int)st.st_uid, (unsigned int)geteuid());
		return -EPERM;
	}
	*bytes = (uint64_t)st.st_size;
	return 0;
}

static int read_header(int fd, const char *path, struct mhs_image_header *header,
		       struct sto_error *error)
{
	ssize_t n;

	do
		n = pread(fd, header, sizeof(*header), 0);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(*header))
		return 0;
	sto_fail(error, "%s: header: %s, limit %zu bytes; import the version again", path,
		 n < 0 ? strerror(errno) : "the file is shorter", sizeof(*header));
	return n < 0 ? -errno : -EINVAL;
}

static int check_header(const char *path, const char *model, const char *version,
			const struct mhs_image_header *header, uint64_t bytes,
			struct sto_error *error)
{
	const char *field = "header";
	int err = mhs_image_check_header(header, bytes, sto_hash128, &field);

	if (err) {
		sto_fail(error, "%s: %s; import the version again", path, field);
		return err;
	}
	if (header->kind != MHS_IMAGE_MODEL) {
		sto_fail(error, "%s: kind: %u, limit 1 (model); move it back", path, header->kind);
		return -EINVAL;
	}
	if (strcmp(header->model, model) || strcmp(header->semver, version)) {
		sto_fail(error, "%s: model: holds %s@%s, limit %s@%s; move it back", path,
			 header->model, header->semver, model, version);
		return -EINVAL;
	}
	return 0;
}

int sto_plain_open(const char *store, const char *path, uint64_t *bytes, struct sto_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), err;

	if (fd < 0) {
		err = -errno;
		sto_fail(error, "%s: %s; %s", path, strerror(-err),
			 err == -ENOENT ? "import the version first" : "check the store");
		return err;
	}
	err = check_plain(fd, store, path, bytes, error);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int sto_image_open(const char *store, const char *model, const char *version,
		   struct mhs_image_header *header, struct sto_error *error)
{
	struct sto_error why;
	char path[4096];
	uint64_t bytes = 0;
	int fd, err;

	if (sto_image_path(store, model, version, path, sizeof(path))) {
		sto_fail(error, "%s: path too long, limit %zu bytes; move the store", store,
			 sizeof(path) - 1);
		return -ENAMETOOLONG;
	}
	fd = sto_plain_open(store, path, &bytes, &why);
	if (fd < 0) {
		sto_fail(error, "%s@%s: %.440s", model, version, why.text);
		return fd;
	}
	err = read_header(fd, path, header, error);
	if (!err)
		err = check_header(path, model, version, header, bytes, error);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/* ---- listing ----------------------------------------------------------------------------- */

static int is_model(const struct dirent *entry)
{
	struct sto_error ignored;

	return sto_name_check(entry->d_name, &ignored) == 0;
}

static int is_version(const struct dirent *entry)
{
	uint32_t parts[3];

	return sto_semver_parse(entry->d_name, parts, NULL) == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int by_semver(const struct dirent **a, const struct dirent **b)
{
	return sto_semver_compare((*a)->d_name, (*b)->d_name);
}

static void entries_free(struct dirent **entries, int count)
{
	for (int i = 0; i < count; i++)
		free(entries[i]);
	free(entries);
}

static int has_image(const char *store, const char *model, const char *version)
{
	char path[4096];

	return sto_image_path(store, model, version, path, sizeof(path)) == 0 &&
	       faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int each_version(const char *store, const char *model, bool damaged_too, sto_each_fn fn,
			void *arg)
{
	struct dirent **entries = NULL;
	char path[4096];
	int count, stop = 0;

	if (snprintf(path, sizeof(path), "%s/models/%s", store, model) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	count = scandir(path, &entries, is_version, by_semver);
	if (count < 0)	/* gone in between, or a stray file with a good name */
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	for (int i = 0; i < count && !stop; i++) {
		if (damaged_too || has_image(store, model, entries[i]->d_name))
			stop = fn(arg, model, entries[i]->d_name);
	}
	entries_free(entries, count);
	return stop;
}

static int each_of_model(const char *store, const char *model, bool damaged_too, sto_each_fn fn,
			 void *arg, struct sto_error *error)
{
	int err = each_version(store, model, damaged_too, fn, arg);

	if (err < 0)
		sto_fail(error, "%s/models/%s: %s; check the store", store, model, strerror(-err));
	return err < 0 ? err : 0;
}

int sto_versions_each(const char *store, const char *model, sto_each_fn fn, void *arg,
		      struct sto_error *error)
{
	return each_of_model(store, model, false, fn, arg, error);
}

int sto_entries_each(const char *store, const char *model, sto_each_fn fn, void *arg,
		     struct sto_error *error)
{
	return each_of_model(store, model, true, fn, arg, error);
}

int sto_models_each(const char *store, sto_model_fn fn, void *arg, struct sto_error *error)
{
	struct dirent **entries = NULL;
	char path[4096];
	int count, stop = 0;

	if (snprintf(path, sizeof(path), "%s/models", store) >= (int)sizeof(path)) {
		sto_fail(error, "%s: path too long, limit %zu bytes; move the store", store,
			 sizeof(path) - 1);
		return -ENAMETOOLONG;
	}
	count = scandir(path, &entries, is_model, by_bytes);
	if (count < 0) {
		int err = -errno;

		if (err == -ENOENT)	/* nothing imported yet */
			return 0;
		sto_fail(error, "%s: %s; check the store", path, strerror(-err));
		return err;
	}
	for (int i = 0; i < count && !stop; i++)
		stop = fn(arg, entries[i]->d_name);
	entries_free(entries, count);
	return stop < 0 ? stop : 0;
}

struct each_arg {
	const char *store;
	sto_each_fn fn;
	void *arg;
	struct sto_error *error;
};

/* A stop by @fn is 1 here: no error, but the end. */
static int each_of_store(void *arg, const char *model)
{
	const struct each_arg *each = arg;
	int err = each_version(each->store, model, false, each->fn, each->arg);

	if (err < 0)
		sto_fail(each->error, "%s/models/%s: %s; check the store", each->store, model,
			 strerror(-err));
	return err;
}

int sto_store_each(const char *store, sto_each_fn fn, void *arg, struct sto_error *error)
{
	struct each_arg each = { store, fn, arg, error };

	return sto_models_each(store, each_of_store, &each, error);
}
