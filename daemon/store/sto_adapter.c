/* SPDX-License-Identifier: MIT */
/* sto_adapter.c: find, open and read the adapters of the store. */
#include "sto_adapter.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sto_image_priv.h"
#include "sto_json.h"
#include "sto_store_priv.h"

#define PATH_BYTES		4096u

/* ---- names ----------------------------------------------------------------------------------- */

bool sto_ref_is_adapter(const char *ref)
{
	return strchr(ref, '/') != NULL;
}

int sto_adapter_ref_parse(const char *ref, int version_optional, char model[MHS_NAME_BYTES],
			  char adapter[MHS_NAME_BYTES], char version[MHS_SEMVER_BYTES],
			  struct sto_error *error)
{
	const char *slash = strchr(ref, '/');
	size_t n = slash ? (size_t)(slash - ref) : 0;
	struct sto_error why;
	int err;

	memset(model, 0, MHS_NAME_BYTES);
	if (n == 0 || n >= MHS_NAME_BYTES) {
		sto_fail(error, "adapter: \"%.140s\" is not MODEL/ADAPTER, limit 1..%u characters each; write "
			 "for example smol/tone@1.0.0", ref, MHS_NAME_BYTES - 1);
		return -EINVAL;
	}
	memcpy(model, ref, n);
	err = sto_name_check(model, error);
	if (err)
		return err;
	err = sto_ref_parse(slash + 1, version_optional, adapter, version, &why);
	if (err)
		sto_fail(error, "adapter: %.480s", why.text);
	return err;
}

void sto_adapter_folder(const char *model, const char *adapter, char folder[STO_ADAPTER_FOLDER_BYTES])
{
	snprintf(folder, STO_ADAPTER_FOLDER_BYTES, "%.63s/adapters/%.63s", model, adapter);
}

int sto_fits_hash(const struct mhs_image_config *config, uint8_t hash[MHS_HASH_BYTES])
{
	uint32_t numbers[MHS_FITS_COUNT];
	uint8_t bytes[sizeof(numbers)];

	mhs_fits_numbers(config, numbers);
	for (uint32_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(numbers[i / 4] >> i % 4 * 8);
	return EVP_Digest(bytes, sizeof(bytes), hash, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int read_exactly(int fd, const char *path, void *out, uint64_t bytes, struct sto_error *error)
{
	uint8_t *to = out;

	for (uint64_t done = 0; done < bytes;) {
		ssize_t n = pread(fd, to + done, bytes - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int err = n ? -errno : -EIO;

			sto_fail(error, "%s: byte %llu: %s; import the adapter again", path,
				 (unsigned long long)done, n ? strerror(-err) : "the file ends early");
			return err;
		}
		done += (uint64_t)n;
	}
	return 0;
}

/* The header is of the adapter that its path names. */
static int check_names(const struct mhs_image_header *h, const char *path, const char *model,
		       const char *adapter, const char *version, struct sto_error *error)
{
	uint8_t hash[MHS_HASH_BYTES];

	if (h->features & MHS_IMAGE_QUICK_HASH) {
		sto_fail(error, "%s: features: is one of memory alone; import the adapter", path);
		return -EINVAL;
	}
	if (h->kind != MHS_IMAGE_ADAPTER) {
		sto_fail(error, "%s: kind: %u, limit 2 (adapter); move it back", path, h->kind);
		return -EINVAL;
	}
	if (strcmp(h->model, model) || strcmp(h->adapter, adapter) || strcmp(h->semver, version)) {
		sto_fail(error, "%s: adapter: holds %s/%s@%s, limit %s/%s@%s; move it back", path, h->model,
			 h->adapter, h->semver, model, adapter, version);
		return -EINVAL;
	}
	if (sto_fits_hash(&h->config, hash) || memcmp(hash, h->fits_hash, sizeof(hash))) {
		sto_fail(error, "%s: fits_hash: is not that of the configuration; import the adapter again",
			 path);
		return -EBADMSG;
	}
	return 0;
}

int sto_adapter_open(const char *store, const char *model, const char *adapter, const char *version,
		     struct mhs_image_header *header, struct sto_error *error)
{
	char path[PATH_BYTES], folder[STO_ADAPTER_FOLDER_BYTES];
	const char *field = "header";
	struct sto_error why;
	uint64_t bytes = 0;
	int fd, err;

	sto_adapter_folder(model, adapter, folder);
	if (sto_image_path(store, folder, version, path, sizeof(path))) {
		sto_fail(error, "%s: path too long, limit %u bytes; move the store", store, PATH_BYTES - 1);
		return -ENAMETOOLONG;
	}
	fd = sto_plain_open(store, path, &bytes, &why);
	if (fd < 0) {
		sto_fail(error, "%s/%s@%s: %.300s", model, adapter, version, why.text);
		return fd;
	}
	err = read_exactly(fd, path, header, sizeof(*header), error);
	if (!err) {
		err = mhs_image_check_header(header, bytes, sto_hash128, &field);
		if (err)
			sto_fail(error, "%s: %s; import the adapter again", path, field);
	}
	if (!err)
		err = check_names(header, path, model, adapter, version, error);
	if (!err)
		return fd;
	close(fd);
	return err;
}

int sto_adapter_read(const char *store, const char *model, const char *adapter, const char *version,
		     struct mhs_image_header *header, void **base, struct sto_error *error)
{
	const char *field = "header: changed while it was read";
	int fd = sto_adapter_open(store, model, adapter, version, header, error), err = -ENOMEM;

	*base = NULL;
	if (fd < 0)
		return fd;
	*base = aligned_alloc(MHS_PAGE_BYTES, header->image_bytes);
	if (*base)
		err = read_exactly(fd, adapter, *base, header->image_bytes, error);
	else
		sto_fail(error, "%s: %llu bytes: out of memory; free some", adapter,
			 (unsigned long long)header->image_bytes);
	close(fd);
	if (!err) {
		err = memcmp(*base, header, sizeof(*header)) ? -EBADMSG :
			      mhs_adapter_check(header, *base, &field);
		if (err)
			sto_fail(error, "%s/%s@%s: %s; import it again", model, adapter, version, field);
	}
	if (err) {
		free(*base);
		*base = NULL;
	}
	return err;
}

/* ---- listing --------------------------------------------------------------------------------- */

struct each {
	const char *store, *model, *adapter;
	sto_adapter_fn fn;
	void *arg;
	int stop;
};

static int each_version(void *arg, const char *folder, const char *version)
{
	struct each *each = arg;

	(void)folder;
	each->stop = each->fn(each->arg, each->model, each->adapter, version);
	return each->stop;
}

static int is_adapter(const struct dirent *entry)
{
	struct sto_error ignored;

	return sto_name_check(entry->d_name, &ignored) == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int each_adapter(struct each *each, bool damaged_too, struct sto_error *error)
{
	struct dirent **entries = NULL;
	char path[PATH_BYTES], folder[STO_ADAPTER_FOLDER_BYTES];
	int count, err = 0;

	if (snprintf(path, sizeof(path), "%s/models/%s/adapters", each->store, each->model) >=
	    (int)sizeof(path))
		count = -1, errno = ENAMETOOLONG;
	else
		count = scandir(path, &entries, is_adapter, by_bytes);
	if (count < 0 && errno != ENOENT && errno != ENOTDIR) {
		err = -errno;
		sto_fail(error, "%.400s: %s; check the store", path, strerror(-err));
	}
	for (int i = 0; i < count && !err && !each->stop; i++) {
		each->adapter = entries[i]->d_name;
		sto_adapter_folder(each->model, each->adapter, folder);
		err = (damaged_too ? sto_entries_each : sto_versions_each)(each->store, folder, each_version,
									   each, error);
	}
	for (int i = 0; i < count; i++)
		free(entries[i]);
	free(entries);
	return err;
}

int sto_adapters_each(const char *store, const char *model, sto_adapter_fn fn, void *arg,
		      struct sto_error *error)
{
	struct each each = { .store = store, .model = model, .fn = fn, .arg = arg };

	return each_adapter(&each, false, error);
}

int sto_adapter_entries_each(const char *store, const char *model, sto_adapter_fn fn, void *arg,
			     struct sto_error *error)
{
	struct each each = { .store = store, .model = model, .fn = fn, .arg = arg };

	return each_adapter(&each, true, error);
}

int sto_adapter_manifest(const char *store, const char *model, const char *adapter,
			 const char *version, json_t **manifest, struct sto_error *error)
{
	char folder[STO_ADAPTER_FOLDER_BYTES];

	sto_adapter_folder(model, adapter, folder);
	return sto_manifest_read(store, folder, version, manifest, error);
}
