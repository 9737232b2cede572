/* SPDX-License-Identifier: MIT */
/* sto_number.c: the next version number, and putting another one on an image that is complete. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sto_image_priv.h"

/* Versions come in rising order. */
static int note_highest(void *arg, const char *model, const char *version)
{
	(void)model;
	snprintf(arg, MHS_SEMVER_BYTES, "%s", version);
	return 0;
}

int sto_number_next(const char *store, const char *folder, enum sto_bump bump,
		    char version[MHS_SEMVER_BYTES], struct sto_error *error)
{
	char highest[MHS_SEMVER_BYTES] = "";
	int err = sto_entries_each(store, folder, note_highest, highest, error);

	if (err)
		return err;
	err = sto_semver_bump(highest, bump, version);
	if (err)
		sto_fail(error, "%s@%s: no next version: limit 9 digits in each number; bump another part",
			 folder, highest);
	return err;
}

int sto_number_choose(struct sto_import *import, struct sto_error *error)
{
	return sto_number_next(import->store, import->model, import->bump, import->version, error);
}

/* The version stands in the header alone: no chunk and no hash of a weight changes. */
int sto_image_renumber(int fd, struct mhs_image_header *header, const char *version,
		       struct sto_error *error)
{
	int err;

	memset(header->semver, 0, sizeof(header->semver));
	snprintf(header->semver, sizeof(header->semver), "%s", version);
	memset(header->header_hash, 0, sizeof(header->header_hash));
	sto_hash128(header, sizeof(*header), header->header_hash);
	err = sto_write_at(fd, header, sizeof(*header), 0, error);
	if (err || fsync(fd) == 0)
		return err;
	err = -errno;
	sto_fail(error, "image: cannot be synced: %s; check the store's disk", strerror(-err));
	return err;
}
