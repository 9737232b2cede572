/* SPDX-License-Identifier: MIT */
/* sto_import.c: from a source to a version in the store, or to nothing at all (sto_temp.h). */
#include "sto_import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sto_image_priv.h"
#include "sto_merge.h"
#include "sto_temp.h"

#define PATH_BYTES	4096u
#define BUMP_TRIES	1000u

/* The version being made. */
struct temp {
	struct sto_temp dir;
	struct mhs_image_header header;	/* of its image */
};

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
		return sto_io_error(error, path, "examined");
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
	char below[MHS_NAME_BYTES + 8];
	int err;

	snprintf(below, sizeof(below), "models/%s", import->model);
	err = sto_temp_place(&temp->dir, import->store, below, import->version, error);
	return err == -EEXIST ? check_absent(import, error) : err;
}

static int write_manifest(const struct sto_import *import, struct sto_model *model,
			  const struct temp *temp, struct sto_import_result *result,
			  struct sto_error *error)
{
	struct parent_search search = { .version = import->version };
	int err = find_parent(import, &search, error);

	if (!err)
		err = sto_manifest_write(import, model, &temp->header, search.parent,
					 result->incompatible, temp->dir.fd, error);
	if (err)
		return err;
	if (fsync(temp->dir.fd))
		return sto_io_error(error, temp->dir.name, "synced");
	memcpy(result->parent, search.parent, sizeof(result->parent));
	return 0;
}

static int write_version(const struct sto_import *import, struct sto_model *model,
			 struct temp *temp, struct sto_import_result *result,
			 struct sto_error *error)
{
	int err = sto_image_write(import, model, temp->dir.fd, &temp->header, &result->stored_bytes, error);

	for (uint32_t i = 0; i < model->file_count && !err; i++)
		err = sto_file_unchanged(&model->files[i], error);
	if (!err)
		err = sto_golden_write(&import->golden, temp->dir.fd, error);
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
	if (fchmodat(temp->dir.fd, STO_IMAGE_NAME, 0644, 0) ||
	    (fd = openat(temp->dir.fd, STO_IMAGE_NAME, O_RDWR | O_CLOEXEC)) < 0)
		return sto_io_error(error, STO_IMAGE_NAME, "opened");
	err = sto_image_renumber(fd, &temp->header, import->version, error);
	if (!err && fchmod(fd, 0444))
		err = sto_io_error(error, STO_IMAGE_NAME, "made read-only");
	close(fd);
	if (!err && unlinkat(temp->dir.fd, STO_MANIFEST_NAME, 0))
		err = sto_io_error(error, STO_MANIFEST_NAME, "replaced");
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
	int err = sto_temp_open(&temp.dir, import->store, error);

	if (err)
		return err;
	err = write_version(import, model, &temp, result, error);
	/* relaxed: the last look at a flag that asks to give up */
	if (!err && import->stop && atomic_load_explicit(import->stop, memory_order_relaxed))
		err = -EINTR;
	if (!err)
		err = place_version(import, model, &temp, result, error);
	sto_temp_close(&temp.dir, !err);
	if (err)
		return err;
	sto_image_path(import->store, import->model, import->version, result->image_path,
		       sizeof(result->image_path));
	snprintf(path, sizeof(path), "%s/models/%s", import->store, import->model);
	return sto_dir_sync(path, error);
}

static int read_source(const struct sto_import *import, struct sto_model *model,
		       struct sto_error *error)
{
	char path[PATH_BYTES];
	struct stat st;
	int err;

	if (import->merge)
		return sto_merge_read(model, import, error);
	if (stat(import->path, &st) || !S_ISDIR(st.st_mode))
		return sto_import_gguf(model, import->path, error);
	err = sto_gguf_in_folder(import->path, path, error);
	if (err == -ENOENT)
		return sto_import_hf(model, import->path, error);
	return err ? err : sto_import_gguf(model, path, error);
}

/* Fewer tokens than the model is for, or as many as its rope could be made to reach. */
static int set_context(const struct sto_import *import, struct sto_model *model, struct sto_error *error)
{
	uint32_t *most = &model->config.context_max;
	bool learned = model->shape.flags & MHS_SHAPE_POSITIONS;

	if (!import->context || import->context == *most)
		return 0;
	if (learned || import->context > *most) {
		sto_fail(error, "--context %u: limit %s%u, %s; leave it out or ask for that", import->context,
			 learned ? "" : "1..", *most, learned ? "a learned position for each" :
			 "as far as the model's positions reach");
		return -EINVAL;
	}
	*most = import->context;
	return 0;
}

static int read_template(const struct sto_import *import, struct sto_model *model, struct sto_error *error)
{
	const struct sto_file *file;
	uint32_t index;
	char *text;
	int err;

	if (!import->chat_template)
		return 0;
	err = sto_model_add_file(model, AT_FDCWD, import->chat_template, import->chat_template, &index, error);
	if (err == -ENOENT)
		sto_fail(error, "%s: is not there; check the path", import->chat_template);
	if (err)
		return err;
	file = &model->files[index];
	err = sto_file_load(file, STO_TEMPLATE_MAX, &text, error);
	if (err)
		return err;
	err = sto_model_set_template(model, file->path, "template", text, file->bytes, error);
	free(text);
	return err;
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
	model.context_wanted = import->context;
	err = read_source(import, &model, error);
	if (!err)
		err = set_context(import, &model, error);
	if (!err)
		err = read_template(import, &model, error);
	if (!err)
		err = sto_compat_check(import, &model, result->incompatible, error);
	if (!err)
		err = store_version(import, &model, result, error);
	for (uint32_t i = 0; i < model.file_count; i++)
		result->source_bytes += model.files[i].bytes;
	result->merge = err ? NULL : json_incref(model.merge);
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
