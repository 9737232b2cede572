/* SPDX-License-Identifier: MIT */
/*
 * sto_import.c: from a source to a version in the store, or to nothing at all. The version grows in
 * STORE/tmp/import-PID-N, locked with flock while its process lives, and is renamed into place.
 * Temporaries without a living owner (power cut, SIGKILL) are removed by the next import.
 */
#include "sto_import.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "sto_image_priv.h"

#define PATH_BYTES	4096u
#define TEMP_TRIES	100u
#define BUMP_TRIES	1000u

/* The version being made. */
struct temp {
	int tmp_fd;		/* STORE/tmp */
	int fd;			/* the directory below it, locked */
	char name[64];		/* of that directory */
	struct mhs_image_header header;	/* of its image */
};

static int io_error(struct sto_error *error, const char *path, const char *what)
{
	int err = errno ? -errno : -EIO;

	sto_fail(error, "%s: cannot be %s: %s; check the store and its permissions", path, what,
		 strerror(-err));
	return err;
}

/* ---- directories ------------------------------------------------------------------------- */

static int make_parents(const char *path, struct sto_error *error)
{
	char part[PATH_BYTES];
	size_t n = strlen(path);

	if (n >= sizeof(part)) {
		sto_fail(error, "%s: path too long, limit %zu bytes; move the store", path,
			 sizeof(part) - 1);
		return -ENAMETOOLONG;
	}
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0755) && errno != EEXIST)
			return io_error(error, part, "made");
	}
	return 0;
}

static int make_store_dir(const char *store, const char *below, struct sto_error *error)
{
	char path[PATH_BYTES];

	if (snprintf(path, sizeof(path), "%s/%s", store, below) >= (int)sizeof(path)) {
		sto_fail(error, "%s: path too long, limit %zu bytes; move the store", store,
			 sizeof(path) - 1);
		return -ENAMETOOLONG;
	}
	return make_parents(path, error);
}

static int sync_dir(const char *path, struct sto_error *error)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = fd < 0 || fsync(fd) ? io_error(error, path, "synced") : 0;

	if (fd >= 0)
		close(fd);
	return err;
}

/* ---- temporaries ------------------------------------------------------------------------- */

static void remove_temp(int tmp_fd, int fd, const char *name)
{
	sto_dir_clear(fd);
	unlinkat(tmp_fd, name, AT_REMOVEDIR);
}

/* Remove what dead imports left: the lock of a living one is taken. */
static void remove_stale(int tmp_fd)
{
	int scan_fd = openat(tmp_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = scan_fd < 0 ? NULL : fdopendir(scan_fd);
	struct dirent *entry;

	if (!dir) {
		if (scan_fd >= 0)
			close(scan_fd);
		return;
	}
	while ((entry = readdir(dir))) {
		int fd;

		if (strncmp(entry->d_name, "import-", 7))
			continue;
		fd = openat(tmp_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			remove_temp(tmp_fd, fd, entry->d_name);
		close(fd);
	}
	closedir(dir);
}

/* Still in its place? Another import may have removed it before it was locked. */
static int is_present(const struct temp *temp)
{
	struct stat by_fd, by_name;

	return fstat(temp->fd, &by_fd) == 0 &&
	       fstatat(temp->tmp_fd, temp->name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
	       by_fd.st_ino == by_name.st_ino && by_fd.st_dev == by_name.st_dev;
}

static int temp_try(struct temp *temp, uint32_t attempt)
{
	snprintf(temp->name, sizeof(temp->name), "import-%ld-%u", (long)getpid(), attempt);
	if (mkdirat(temp->tmp_fd, temp->name, 0755))
		return errno == EEXIST ? -EAGAIN : -errno;
	temp->fd = openat(temp->tmp_fd, temp->name,
			  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (temp->fd < 0)
		return errno == ENOENT ? -EAGAIN : -errno;
	if (flock(temp->fd, LOCK_EX | LOCK_NB) == 0 && is_present(temp))
		return 0;
	close(temp->fd);
	temp->fd = -1;
	return -EAGAIN;
}

static int temp_open(struct temp *temp, const char *store, struct sto_error *error)
{
	char path[PATH_BYTES];
	int err = make_store_dir(store, "tmp", error);

	temp->fd = -1;
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/tmp", store);
	temp->tmp_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (temp->tmp_fd < 0)
		return io_error(error, path, "opened");
	remove_stale(temp->tmp_fd);
	err = -EAGAIN;
	for (uint32_t i = 0; i < TEMP_TRIES && err == -EAGAIN; i++)
		err = temp_try(temp, i);
	if (!err)
		return 0;
	errno = -err;
	io_error(error, path, "written to");
	close(temp->tmp_fd);
	return err;
}

/* @renamed: the directory is in its final place. */
static void temp_close(struct temp *temp, int renamed)
{
	if (!renamed)
		remove_temp(temp->tmp_fd, temp->fd, temp->name);
	close(temp->fd);
	close(temp->tmp_fd);
}

/* ---- the version ------------------------------------------------------------------------- */

struct parent_search {
	const char *version;
	char parent[MHS_SEMVER_BYTES];
};

/* Versions come in rising order: the last lower one stays. */
static int note_parent(void *arg, const char *model, const char *version)
{
	struct parent_search *search = arg;

	if (sto_semver_compare(version, search->version) < 0)
		snprintf(search->parent, sizeof(search->parent), "%s", version);
	return 0;
}

/* The parent that was named, else the next lower version. */
static int find_parent(const struct sto_import *import, struct parent_search *search,
		       struct sto_error *error)
{
	char path[PATH_BYTES];
	struct stat st;

	if (!import->parent)
		return sto_versions_each(import->store, import->model, note_parent, search, error);
	snprintf(search->parent, sizeof(search->parent), "%s", import->parent);
	if (sto_image_path(import->store, import->model, import->parent, path, sizeof(path)) == 0 &&
	    lstat(path, &st) == 0)
		return 0;
	sto_fail(error, "parent: %s@%s is not in the store %s; import it first, or name another",
		 import->model, import->parent, import->store);
	return -ENOENT;
}

static int check_absent(const struct sto_import *import, struct sto_error *error)
{
	char path[PATH_BYTES];
	struct stat st;

	if (sto_version_path(import->store, import->model, import->version, NULL, path,
			     sizeof(path))) {
		sto_fail(error, "%s: path too long, limit %zu bytes; move the store", import->store,
			 sizeof(path) - 1);
		return -ENAMETOOLONG;
	}
	if (lstat(path, &st)) {
		if (errno == ENOENT || errno == ENOTDIR)
			return 0;
		return io_error(error, path, "examined");
	}
	sto_fail(error,
		 "%s@%s: version: is in the store already, limit once (versions are immutable); "
		 "choose a higher version",
		 import->model, import->version);
	return -EEXIST;
}

static int move_into_place(const struct sto_import *import, const struct temp *temp,
			   struct sto_error *error)
{
	char parent[PATH_BYTES], below[MHS_NAME_BYTES + 8];
	int err, dir_fd;

	snprintf(below, sizeof(below), "models/%s", import->model);
	err = make_store_dir(import->store, below, error);
	if (err)
		return err;
	snprintf(parent, sizeof(parent), "%s/models/%s", import->store, import->model);
	dir_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return io_error(error, parent, "opened");
	if (renameat2(temp->tmp_fd, temp->name, dir_fd, import->version, RENAME_NOREPLACE) == 0)
		err = 0;
	else if (errno == EEXIST || errno == ENOTEMPTY)
		err = check_absent(import, error);
	else
		err = io_error(error, parent, "renamed into");
	close(dir_fd);
	return err;
}

static int write_golden(const struct sto_import *import, int dir_fd, struct sto_error *error)
{
	int fd, err;

	if (!import->golden)
		return 0;
	fd = openat(dir_fd, STO_GOLDEN_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0)
		return io_error(error, STO_GOLDEN_NAME, "made");
	err = sto_write_at(fd, import->golden, import->golden_bytes, 0, error);
	if (!err && (fchmod(fd, 0444) || fsync(fd)))
		err = io_error(error, STO_GOLDEN_NAME, "written");
	close(fd);
	return err;
}

static int write_manifest(const struct sto_import *import, struct sto_model *model,
			  const struct temp *temp, struct sto_import_result *result,
			  struct sto_error *error)
{
	struct parent_search search = { .version = import->version };
	int err = find_parent(import, &search, error);

	if (!err)
		err = sto_manifest_write(import, model, &temp->header, search.parent,
					 result->incompatible, temp->fd, error);
	if (err)
		return err;
	if (fsync(temp->fd))
		return io_error(error, temp->name, "synced");
	memcpy(result->parent, search.parent, sizeof(result->parent));
	return 0;
}

static int write_version(const struct sto_import *import, struct sto_model *model,
			 struct temp *temp, struct sto_import_result *result,
			 struct sto_error *error)
{
	int err = sto_image_write(import, model, temp->fd, &temp->header, &result->stored_bytes, error);

	for (uint32_t i = 0; i < model->file_count && !err; i++)
		err = sto_file_unchanged(&model->files[i], error);
	if (!err)
		err = write_golden(import, temp->fd, error);
	if (!err)
		err = write_manifest(import, model, temp, result, error);
	if (err)
		return err;
	memcpy(result->content_hash, temp->header.content_hash, sizeof(result->content_hash));
	result->image_bytes = temp->header.image_bytes;
	result->tensor_count = temp->header.tensor_count;
	return 0;
}

/* The number was taken meanwhile: the next one, without converting the weights again. */
static int take_next(struct sto_import *import, struct sto_model *model, struct temp *temp,
		     struct sto_import_result *result, struct sto_error *error)
{
	int fd, err = sto_number_choose(import, error);

	if (!err)
		err = sto_compat_check(import, model, result->incompatible, error);
	if (err)
		return err;
	if (fchmodat(temp->fd, STO_IMAGE_NAME, 0644, 0) ||
	    (fd = openat(temp->fd, STO_IMAGE_NAME, O_RDWR | O_CLOEXEC)) < 0)
		return io_error(error, STO_IMAGE_NAME, "opened");
	err = sto_image_renumber(fd, &temp->header, import->version, error);
	if (!err && fchmod(fd, 0444))
		err = io_error(error, STO_IMAGE_NAME, "made read-only");
	close(fd);
	if (!err && unlinkat(temp->fd, STO_MANIFEST_NAME, 0))
		err = io_error(error, STO_MANIFEST_NAME, "replaced");
	return err ? err : write_manifest(import, model, temp, result, error);
}

static int place_version(struct sto_import *import, struct sto_model *model, struct temp *temp,
			 struct sto_import_result *result, struct sto_error *error)
{
	int err = move_into_place(import, temp, error);

	for (uint32_t i = 0; i < BUMP_TRIES && err == -EEXIST && import->bump; i++) {
		err = take_next(import, model, temp, result, error);
		if (!err)
			err = move_into_place(import, temp, error);
	}
	return err;
}

static int store_version(struct sto_import *import, struct sto_model *model,
			 struct sto_import_result *result, struct sto_error *error)
{
	char path[PATH_BYTES];
	struct temp temp;
	int err = temp_open(&temp, import->store, error);

	if (err)
		return err;
	err = write_version(import, model, &temp, result, error);
	/* relaxed: the last look at a flag that asks to give up */
	if (!err && import->stop && atomic_load_explicit(import->stop, memory_order_relaxed))
		err = -EINTR;
	if (!err)
		err = place_version(import, model, &temp, result, error);
	temp_close(&temp, !err);
	if (err)
		return err;
	sto_image_path(import->store, import->model, import->version, result->image_path,
		       sizeof(result->image_path));
	snprintf(path, sizeof(path), "%s/models/%s", import->store, import->model);
	return sync_dir(path, error);
}

static int read_source(const struct sto_import *import, struct sto_model *model,
		       struct sto_error *error)
{
	struct stat st;

	if (stat(import->path, &st) == 0 && S_ISDIR(st.st_mode))
		return sto_import_hf(model, import->path, error);
	return sto_import_gguf(model, import->path, error);
}

static double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* What can be known before a byte is converted. */
static int check_number(struct sto_import *import, struct sto_error *error)
{
	struct parent_search search;
	int err = import->bump ? sto_number_choose(import, error) : check_absent(import, error);

	search.version = import->version;
	return err ? err : find_parent(import, &search, error);
}

static int import_model(struct sto_import *import, struct sto_import_result *result,
			struct sto_error *error)
{
	struct sto_model model;
	int err;

	sto_model_init(&model);
	err = read_source(import, &model, error);
	if (!err)
		err = sto_compat_check(import, &model, result->incompatible, error);
	if (!err)
		err = store_version(import, &model, result, error);
	for (uint32_t i = 0; i < model.file_count; i++)
		result->source_bytes += model.files[i].bytes;
	sto_model_fini(&model);
	return err;
}

int sto_import(const struct sto_import *import, struct sto_import_result *result,
	       struct sto_error *error)
{
	double began = now_seconds();
	struct sto_import own = *import;	/* its version may change */
	int err = check_number(&own, error);

	memset(result, 0, sizeof(*result));
	if (err)
		return err;
	result->incompatible = json_array();
	err = import_model(&own, result, error);
	if (err == -EINTR)
		sto_fail(error, "%s: interrupted, nothing was imported; import it again",
			 import->path);
	if (err || json_array_size(result->incompatible) == 0) {
		json_decref(result->incompatible);
		result->incompatible = NULL;
	}
	memcpy(result->version, own.version, sizeof(result->version));
	result->seconds = now_seconds() - began;
	return err;
}
