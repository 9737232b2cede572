/* SPDX-License-Identifier: MIT */
/* sto_golden.c: golden cases of a version: written, replaced, found. */
#include "sto_golden.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sto_history.h"
#include "sto_image_priv.h"
#include "sto_temp.h"

#define PATH_BYTES		4096u
#define GOLDEN_BYTES_MAX	(UINT64_C(64) << 20)

json_t *sto_golden_object(const struct sto_golden *golden)
{
	char hex[STO_HEX_BYTES];

	if (!golden->data || sto_sha256_hex(golden->data, golden->bytes, hex))
		return NULL;
	return json_pack("{s:I, s:s, s:o}", "cases", (json_int_t)golden->count, "sha256", hex, "made",
			 sto_manifest_time());
}

int sto_golden_write(const struct sto_golden *golden, int dir_fd, struct sto_error *error)
{
	int fd, err;

	if (!golden->data)
		return 0;
	fd = openat(dir_fd, STO_GOLDEN_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0)
		return sto_io_error(error, STO_GOLDEN_NAME, "made");
	err = sto_write_at(fd, golden->data, golden->bytes, 0, error);
	if (!err && (fchmod(fd, 0444) || fsync(fd)))
		err = sto_io_error(error, STO_GOLDEN_NAME, "written");
	close(fd);
	return err;
}

/* ---- replacing ----------------------------------------------------------------------------- */

static bool is_replaced(const char *name)
{
	return !strcmp(name, STO_GOLDEN_NAME) || !strcmp(name, STO_MANIFEST_NAME) || name[0] == '.';
}

/* All files of the directory @path but those that are written anew. */
static int link_files(const char *path, int dir_fd, struct sto_error *error)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int err = 0;

	if (!dir)
		return sto_io_error(error, path, "opened");
	while (!err && (entry = readdir(dir)))
		if (!is_replaced(entry->d_name) &&
		    linkat(dirfd(dir), entry->d_name, dir_fd, entry->d_name, 0))
			err = sto_io_error(error, entry->d_name, "linked");
	closedir(dir);
	return err;
}

static int write_files(const struct sto_golden *golden, const char *path, json_t *manifest, int dir_fd,
		       struct sto_error *error)
{
	json_t *object = sto_golden_object(golden);
	int err = object ? link_files(path, dir_fd, error) : -ENOMEM;

	if (!object)
		sto_fail(error, "%s: out of memory; free some", STO_GOLDEN_NAME);
	if (!err)
		err = sto_golden_write(golden, dir_fd, error);
	json_object_set_new(manifest, "golden", object);
	if (!err)
		err = sto_manifest_put(json_incref(manifest), dir_fd, error);
	if (!err && fsync(dir_fd))
		err = sto_io_error(error, STO_GOLDEN_NAME, "synced");
	return err;
}

static int replace(const char *store, const char *model, const char *version,
		   const struct sto_golden *golden, json_t *manifest, struct sto_error *error)
{
	char path[PATH_BYTES], below[MHS_NAME_BYTES + 8];
	struct sto_temp temp;
	int err = sto_version_path(store, model, version, NULL, path, sizeof(path));

	if (err) {
		sto_fail(error, "%s: path too long, limit %u bytes; move the store", store, PATH_BYTES - 1);
		return err;
	}
	err = sto_temp_open(&temp, store, error);
	if (err)
		return err;
	snprintf(below, sizeof(below), "models/%s", model);
	err = write_files(golden, path, manifest, temp.fd, error);
	if (!err)
		err = sto_temp_exchange(&temp, store, below, version, error);
	sto_temp_close(&temp, 0);
	return err;
}

int sto_golden_put(const char *store, const char *model, const char *version,
		   const struct sto_golden *golden, struct sto_error *error)
{
	json_t *manifest, *event;
	int err = sto_manifest_read(store, model, version, &manifest, error);

	if (err)
		return err;
	err = replace(store, model, version, golden, manifest, error);
	json_decref(manifest);
	if (err)
		return err;
	event = json_pack("{s:s, s:s, s:s, s:I}", "event", "golden", "model", model, "version", version,
			  "cases", (json_int_t)golden->count);
	err = sto_history_append(store, event, error);
	json_decref(event);
	return err;
}

/* ---- finding -------------------------------------------------------------------------------- */

/* The file's own SHA-256 against @wanted. */
static int check_digest(const char *path, const char *wanted, struct sto_error *error)
{
	char hex[STO_HEX_BYTES] = "";
	struct sto_file file;
	char *data;
	int err = sto_file_open(&file, AT_FDCWD, path, path, error);

	if (err)
		return err;
	data = file.bytes <= GOLDEN_BYTES_MAX ? malloc(file.bytes + 1) : NULL;
	if (data)
		err = sto_file_read(&file, data, file.bytes, 0, error);
	if (data && !err)
		err = sto_sha256_hex(data, file.bytes, hex);
	free(data);
	sto_file_close(&file);
	if (!err && strcmp(hex, wanted)) {
		sto_fail(error, "%s: is not what the manifest tells of (SHA-256); make the cases again with "
			 "mhost golden make", STO_GOLDEN_NAME);
		err = -EILSEQ;
	}
	return err;
}

int sto_golden_find(const char *store, const char *model, const char *version, char *path,
		    uint32_t path_bytes, struct sto_error *error)
{
	const char *hex;
	json_t *manifest;
	int err = sto_manifest_read(store, model, version, &manifest, error);

	path[0] = '\0';
	if (err)
		return err;
	hex = json_string_value(json_object_get(json_object_get(manifest, "golden"), "sha256"));
	err = sto_version_path(store, model, version, STO_GOLDEN_NAME, path, path_bytes);
	if (!err && hex)
		err = check_digest(path, hex, error);
	else if (!err && access(path, F_OK))
		path[0] = '\0';
	json_decref(manifest);
	return err;
}
