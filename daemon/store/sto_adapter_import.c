/* SPDX-License-Identifier: MIT */
/* sto_adapter_import.c: from a PEFT folder to a version of an adapter in the store, or to nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sto_adapter_priv.h"
#include "sto_history.h"
#include "sto_image_priv.h"
#include "sto_temp.h"

#define PATH_BYTES	4096u
#define BUMP_TRIES	1000u

int sto_adapter_step(void *arg, uint64_t bytes)
{
	const struct sto_adapter_import *import = arg;

	(void)bytes;
	/* relaxed: a request to give up; nothing is published by it */
	return import->stop && atomic_load_explicit(import->stop, memory_order_relaxed) ? -EINTR : 0;
}

/* ---- names ----------------------------------------------------------------------------------- */

static void folder_of(const struct sto_adapter_import *import, char folder[STO_ADAPTER_FOLDER_BYTES])
{
	sto_adapter_folder(import->model, import->adapter, folder);
}

static int fail_taken(const struct sto_adapter_import *import, struct sto_error *error)
{
	sto_fail(error, "%s/%s@%s: version: is in the store already, limit once (versions are immutable); "
		 "choose a higher version", import->model, import->adapter, import->version);
	return -EEXIST;
}

/* What is to be made is not there yet. */
static int check_absent(const struct sto_adapter_import *import, struct sto_error *error)
{
	char path[PATH_BYTES], folder[STO_ADAPTER_FOLDER_BYTES];
	struct stat st;

	folder_of(import, folder);
	if (sto_version_path(import->store, folder, import->version, STO_MANIFEST_NAME, path,
			     sizeof(path)) ||
	    sto_version_path(import->store, folder, import->version, NULL, path, sizeof(path))) {
		sto_fail(error, "%s: path too long, limit %u bytes; move the store", import->store,
			 PATH_BYTES - 1);
		return -ENAMETOOLONG;
	}
	if (lstat(path, &st) == 0)
		return fail_taken(import, error);
	return errno == ENOENT || errno == ENOTDIR ? 0 : sto_io_error(error, path, "examined");
}

struct search {
	const char *below;		/* a version; NULL: any */
	char found[MHS_SEMVER_BYTES];	/* the highest */
};

static int note_highest(void *arg, const char *folder, const char *version)
{
	struct search *search = arg;

	(void)folder;
	if (!search->below || sto_semver_compare(version, search->below) < 0)
		snprintf(search->found, sizeof(search->found), "%s", version);
	return 0;
}

static int find_parent(const struct sto_adapter_import *import, struct sto_adapter_result *result,
		       struct sto_error *error)
{
	struct search search = { .below = import->version };
	char path[PATH_BYTES], folder[STO_ADAPTER_FOLDER_BYTES];
	struct stat st;
	int err = 0;

	folder_of(import, folder);
	if (!import->parent) {
		err = sto_versions_each(import->store, folder, note_highest, &search, error);
	} else {
		snprintf(search.found, sizeof(search.found), "%s", import->parent);
		if (sto_image_path(import->store, folder, import->parent, path, sizeof(path)) ||
		    lstat(path, &st)) {
			sto_fail(error, "parent: %s/%s@%s is not in the store %s; import it first, or name "
				 "another", import->model, import->adapter, import->parent, import->store);
			err = -ENOENT;
		}
	}
	memcpy(result->parent, search.found, sizeof(result->parent));
	return err;
}

/* The version whose shapes count. */
static int open_base(const struct sto_adapter_import *import, struct sto_version *base,
		     struct sto_adapter_result *result, struct sto_error *error)
{
	struct search search = { NULL, "" };
	struct sto_error why;
	int err = 0;

	if (import->base[0])
		snprintf(search.found, sizeof(search.found), "%s", import->base);
	else
		err = sto_versions_each(import->store, import->model, note_highest, &search, error);
	if (!err && !search.found[0]) {
		sto_fail(error, "base: %s has no version in the store %s, limit at least one; import the "
			 "model first", import->model, import->store);
		return -ENOENT;
	}
	if (err)
		return err;
	memcpy(result->base, search.found, sizeof(result->base));
	err = sto_version_open(base, import->store, import->model, search.found, &why);
	if (err)
		sto_fail(error, "base: %.480s", why.text);
	return err;
}

struct promise {
	const struct sto_adapter_import *import;
	const struct mhs_image_config *config;
	uint32_t major;
	int err;
	struct sto_error *error;
};

/* One of the same MAJOR tells for all of them. One that cannot be read promises nothing. */
static int check_relative(void *arg, const char *folder, const char *version)
{
	struct promise *p = arg;
	struct mhs_image_header h;
	struct sto_error ignored;
	const char *field = "";
	uint32_t parts[3];
	int fd;

	(void)folder;
	if (sto_semver_parse(version, parts, NULL) || parts[0] != p->major)
		return 0;
	fd = sto_adapter_open(p->import->store, p->import->model, p->import->adapter, version, &h, &ignored);
	if (fd < 0)
		return 0;
	close(fd);
	if (mhs_adapter_fits(&h.config, p->config, &field) == 0)
		return 1;
	sto_fail(p->error, "%s/%s@%s: %s: of the base differs from that of %s, limit the same within a MAJOR; "
		 "choose the next MAJOR, or name another base", p->import->model, p->import->adapter,
		 p->import->version, field, version);
	p->err = -EINVAL;
	return 1;
}

/* Versions of one MAJOR (1 and up) can stand in for each other, so they fit the same bases. */
static int check_promise(const struct sto_adapter_import *import, const struct mhs_image_config *config,
			 struct sto_error *error)
{
	struct promise p = { .import = import, .config = config, .error = error };
	char folder[STO_ADAPTER_FOLDER_BYTES];
	uint32_t parts[3];
	int err;

	if (sto_semver_parse(import->version, parts, NULL) || parts[0] == 0)
		return 0;
	p.major = parts[0];
	folder_of(import, folder);
	err = sto_versions_each(import->store, folder, check_relative, &p, error);
	return err ? err : p.err;
}

/* ---- the version ----------------------------------------------------------------------------- */

static int write_manifest(const struct sto_adapter_import *import, const struct sto_lora *lora,
			  const struct mhs_image_header *header, const struct sto_temp *temp,
			  struct sto_adapter_result *result, struct sto_error *error)
{
	int err = find_parent(import, result, error);

	if (!err)
		err = sto_adapter_manifest_write(import, lora, header, result, temp->fd, error);
	if (!err && fsync(temp->fd))
		err = sto_io_error(error, temp->name, "synced");
	return err;
}

static int write_version(const struct sto_adapter_import *import, struct sto_lora *lora,
			 const struct sto_temp *temp, struct mhs_image_header *header,
			 struct sto_adapter_result *result, struct sto_error *error)
{
	int err = sto_adapter_write(import, lora, temp->fd, header, error);

	for (uint32_t i = 0; i < lora->file_count && !err; i++) {
		err = sto_file_hash(&lora->files[i], sto_adapter_step, (void *)(uintptr_t)import, error);
		if (!err)
			err = sto_file_unchanged(&lora->files[i], error);
	}
	if (!err)
		err = write_manifest(import, lora, header, temp, result, error);
	return err ? err : sto_adapter_step((void *)(uintptr_t)import, 0);
}

/* The number was taken meanwhile: the next one. */
static int take_next(struct sto_adapter_import *import, const struct sto_lora *lora,
		     const struct sto_temp *temp, struct mhs_image_header *header,
		     struct sto_adapter_result *result, struct sto_error *error)
{
	char folder[STO_ADAPTER_FOLDER_BYTES];
	int fd, err;

	folder_of(import, folder);
	err = sto_number_next(import->store, folder, import->bump, import->version, error);
	if (!err)
		err = check_promise(import, &lora->config, error);
	if (err)
		return err;
	if (fchmodat(temp->fd, STO_IMAGE_NAME, 0644, 0) ||
	    (fd = openat(temp->fd, STO_IMAGE_NAME, O_RDWR | O_CLOEXEC)) < 0)
		return sto_io_error(error, STO_IMAGE_NAME, "opened");
	err = sto_image_renumber(fd, header, import->version, error);
	if (!err && fchmod(fd, 0444))
		err = sto_io_error(error, STO_IMAGE_NAME, "made read-only");
	close(fd);
	if (!err && unlinkat(temp->fd, STO_MANIFEST_NAME, 0))
		err = sto_io_error(error, STO_MANIFEST_NAME, "replaced");
	return err ? err : write_manifest(import, lora, header, temp, result, error);
}

static int place(struct sto_adapter_import *import, const struct sto_lora *lora,
		 const struct sto_temp *temp, struct mhs_image_header *header,
		 struct sto_adapter_result *result, struct sto_error *error)
{
	char folder[STO_ADAPTER_FOLDER_BYTES], below[STO_ADAPTER_FOLDER_BYTES + 8];
	int err;

	folder_of(import, folder);
	snprintf(below, sizeof(below), "models/%s", folder);
	err = sto_temp_place(temp, import->store, below, import->version, error);
	for (uint32_t i = 0; i < BUMP_TRIES && err == -EEXIST && import->bump; i++) {
		err = take_next(import, lora, temp, header, result, error);
		if (!err)
			err = sto_temp_place(temp, import->store, below, import->version, error);
	}
	return err == -EEXIST ? fail_taken(import, error) : err;
}

static void tell(const struct sto_adapter_import *import, const struct sto_lora *lora,
		 const struct mhs_image_header *header, struct sto_adapter_result *result)
{
	memcpy(result->content_hash, header->content_hash, MHS_HASH_BYTES);
	memcpy(result->fits_hash, header->fits_hash, MHS_HASH_BYTES);
	memcpy(result->version, import->version, sizeof(result->version));
	result->image_bytes = header->image_bytes;
	result->target_count = lora->target_count;
	result->rank_min = UINT32_MAX;
	for (uint32_t i = 0; i < lora->target_count; i++) {
		uint32_t rank = lora->targets[i].scale.rank;

		result->rank_min = rank < result->rank_min ? rank : result->rank_min;
		result->rank_max = rank > result->rank_max ? rank : result->rank_max;
	}
	for (uint32_t i = 0; i < lora->file_count; i++)
		result->source_bytes += lora->files[i].bytes;
}

static int store_version(struct sto_adapter_import *import, struct sto_lora *lora,
			 struct sto_adapter_result *result, struct sto_error *error)
{
	char path[PATH_BYTES + 16], folder[STO_ADAPTER_FOLDER_BYTES];
	struct mhs_image_header header;
	struct sto_temp temp;
	int err = sto_temp_open(&temp, import->store, error);

	if (err)
		return err;
	err = write_version(import, lora, &temp, &header, result, error);
	if (!err)
		err = place(import, lora, &temp, &header, result, error);
	sto_temp_close(&temp, !err);
	if (err)
		return err;
	tell(import, lora, &header, result);
	folder_of(import, folder);
	sto_image_path(import->store, folder, import->version, result->image_path,
		       sizeof(result->image_path));
	snprintf(path, sizeof(path), "%s/models/%s", import->store, folder);
	return sto_dir_sync(path, error);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int import_folder(struct sto_adapter_import *import, struct sto_adapter_result *result,
			 struct sto_error *error)
{
	struct sto_version base;
	struct sto_lora lora;
	int err = open_base(import, &base, result, error);

	if (err)
		return err;
	err = sto_lora_read(&lora, import->path, &base, error);
	if (!err)
		err = check_promise(import, &lora.config, error);
	if (!err)
		err = store_version(import, &lora, result, error);
	sto_lora_fini(&lora);
	sto_version_close(&base);
	return err;
}

static double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

int sto_adapter_import(const struct sto_adapter_import *import, struct sto_adapter_result *result,
		       struct sto_error *error)
{
	double began = now_seconds();
	struct sto_adapter_import own = *import;	/* its version may change */
	char folder[STO_ADAPTER_FOLDER_BYTES];
	int err;

	memset(result, 0, sizeof(*result));
	folder_of(&own, folder);
	err = own.bump ? sto_number_next(own.store, folder, own.bump, own.version, error) :
			 check_absent(&own, error);
	if (!err)
		err = find_parent(&own, result, error);
	if (!err)
		err = import_folder(&own, result, error);
	if (err == -EINTR)
		sto_fail(error, "%s: interrupted, nothing was imported; import it again", import->path);
	result->seconds = now_seconds() - began;
	return err;
}

int sto_adapter_log(const struct sto_adapter_import *import, const struct sto_adapter_result *result,
		    struct sto_error *error)
{
	char hash[STO_HEX_BYTES];
	json_t *event;
	int err;

	sto_hex(result->content_hash, MHS_HASH_BYTES, hash);
	event = json_pack("{s:s, s:s, s:s, s:s, s:s*, s:s, s:s*, s:s, s:I, s:o}", "event", "import",
			  "model", import->model, "adapter", import->adapter, "version", result->version,
			  "why", import->why, "base", result->base, "parent",
			  result->parent[0] ? result->parent : NULL, "content_hash", hash, "image_bytes",
			  (json_int_t)result->image_bytes, "path", sto_manifest_text(import->path));
	err = sto_history_append(import->store, event, error);
	json_decref(event);
	return err;
}
