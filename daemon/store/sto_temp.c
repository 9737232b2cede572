/* SPDX-License-Identifier: MIT */
/* sto_temp.c: a folder in the making, and its way into the store. */
#include "sto_temp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sto_version.h"

#define PATH_BYTES	4096u
#define TEMP_TRIES	100u

int sto_io_error(struct sto_error *error, const char *path, const char *what)
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
			return sto_io_error(error, part, "made");
	}
	return 0;
}

int sto_store_dir_make(const char *store, const char *below, struct sto_error *error)
{
	char path[PATH_BYTES];

	if (snprintf(path, sizeof(path), "%s/%s", store, below) >= (int)sizeof(path)) {
		sto_fail(error, "%s: path too long, limit %zu bytes; move the store", store,
			 sizeof(path) - 1);
		return -ENAMETOOLONG;
	}
	return make_parents(path, error);
}

int sto_dir_sync(const char *path, struct sto_error *error)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = fd < 0 || fsync(fd) ? sto_io_error(error, path, "synced") : 0;

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
static int is_present(const struct sto_temp *temp)
{
	struct stat by_fd, by_name;

	return fstat(temp->fd, &by_fd) == 0 &&
	       fstatat(temp->tmp_fd, temp->name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
	       by_fd.st_ino == by_name.st_ino && by_fd.st_dev == by_name.st_dev;
}

static int temp_try(struct sto_temp *temp, uint32_t attempt)
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

int sto_temp_open(struct sto_temp *temp, const char *store, struct sto_error *error)
{
	char path[PATH_BYTES];
	int err = sto_store_dir_make(store, "tmp", error);

	temp->fd = -1;
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/tmp", store);
	temp->tmp_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (temp->tmp_fd < 0)
		return sto_io_error(error, path, "opened");
	remove_stale(temp->tmp_fd);
	err = -EAGAIN;
	for (uint32_t i = 0; i < TEMP_TRIES && err == -EAGAIN; i++)
		err = temp_try(temp, i);
	if (!err)
		return 0;
	errno = -err;
	sto_io_error(error, path, "written to");
	close(temp->tmp_fd);
	return err;
}

void sto_temp_close(struct sto_temp *temp, int renamed)
{
	if (!renamed)
		remove_temp(temp->tmp_fd, temp->fd, temp->name);
	close(temp->fd);
	close(temp->tmp_fd);
}

/* The descriptor of STORE/@below, made when it is not there; or negative errno with @error. */
static int open_below(const char *store, const char *below, char path[PATH_BYTES], struct sto_error *error)
{
	int fd, err = sto_store_dir_make(store, below, error);

	if (err)
		return err;
	snprintf(path, PATH_BYTES, "%s/%s", store, below);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? sto_io_error(error, path, "opened") : fd;
}

int sto_temp_place(const struct sto_temp *temp, const char *store, const char *below, const char *name,
		   struct sto_error *error)
{
	char parent[PATH_BYTES];
	int err = 0, dir_fd = open_below(store, below, parent, error);

	if (dir_fd < 0)
		return dir_fd;
	if (renameat2(temp->tmp_fd, temp->name, dir_fd, name, RENAME_NOREPLACE)) {
		if (errno == EEXIST || errno == ENOTEMPTY)
			err = -EEXIST;
		else
			err = sto_io_error(error, parent, "renamed into");
	}
	close(dir_fd);
	return err;
}

int sto_temp_exchange(struct sto_temp *temp, const char *store, const char *below, const char *name,
		      struct sto_error *error)
{
	char parent[PATH_BYTES];
	int old, err = 0, dir_fd = open_below(store, below, parent, error);

	if (dir_fd < 0)
		return dir_fd;
	old = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (old < 0 || flock(old, LOCK_EX | LOCK_NB) ||
	    renameat2(temp->tmp_fd, temp->name, dir_fd, name, RENAME_EXCHANGE)) {
		err = sto_io_error(error, name, "replaced");
		if (old >= 0)
			close(old);
	} else {
		close(temp->fd);
		temp->fd = old;
		if (fsync(dir_fd))
			err = sto_io_error(error, parent, "synced");
	}
	close(dir_fd);
	return err;
}
