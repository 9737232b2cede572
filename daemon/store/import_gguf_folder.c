/* SPDX-License-Identifier: MIT */
/*
 * import_gguf_folder.c: which file of a folder is the GGUF model. One with safetensors is Hugging
 * Face's, whatever else it holds.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "sto_gguf.h"
#include "sto_import.h"

#define PATH_BYTES	4096u

/* What was found: one model, or two names that cannot be chosen from. */
struct found {
	char name[NAME_MAX + 1];	/* a file, or the first part */
	char other[NAME_MAX + 1];	/* empty: no other */
	bool has_safetensors;
};

static bool ends_in(const char *name, const char *tail)
{
	const size_t n = strlen(name), m = strlen(tail);

	return n > m && !strcmp(name + n - m, tail);
}

/* Names come in any order: the least two stay, so that messages do not depend on it. */
static void take_name(struct found *found, const char *name)
{
	char first[NAME_MAX + 1];
	uint32_t number, count;

	found->has_safetensors |= ends_in(name, ".safetensors");
	if (name[0] == '.' || !ends_in(name, ".gguf"))
		return;
	snprintf(first, sizeof(first), "%s", name);
	if (sto_gguf_part_name(name, &number, &count))
		sto_gguf_part_path(name, 1, first, sizeof(first));
	if (!found->name[0] || strcmp(first, found->name) < 0) {
		memcpy(found->other, found->name, sizeof(found->other));
		memcpy(found->name, first, sizeof(found->name));
	} else if (strcmp(first, found->name) && (!found->other[0] || strcmp(first, found->other) < 0)) {
		memcpy(found->other, first, sizeof(found->other));
	}
}

static int look_for_models(const char *folder, struct found *found, struct sto_error *error)
{
	DIR *dir = opendir(folder);
	struct dirent *d;

	if (!dir) {
		sto_fail(error, "%s: cannot be listed: %s; check its permissions", folder,
			 strerror(errno));
		return -EIO;
	}
	while ((d = readdir(dir)))
		take_name(found, d->d_name);
	closedir(dir);
	return 0;
}

int sto_gguf_in_folder(const char *folder, char *path, struct sto_error *error)
{
	struct found found = { .has_safetensors = false };
	int err = look_for_models(folder, &found, error);

	if (err)
		return err;
	if (!found.name[0] || found.has_safetensors)
		return -ENOENT;
	if (found.other[0]) {
		sto_fail(error, "%s: holds %s and %s, limit one GGUF model; give the file", folder,
			 found.name, found.other);
		return -EINVAL;
	}
	if (snprintf(path, PATH_BYTES, "%s/%s", folder, found.name) < (int)PATH_BYTES)
		return 0;
	sto_fail(error, "%s: path too long, limit %u bytes; move it", folder, PATH_BYTES - 1);
	return -ENAMETOOLONG;
}
