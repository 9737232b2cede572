/* SPDX-License-Identifier: MIT */
/*
 * sto_store.h: the store, a directory of immutable images and manifests.
 *
 *   STORE/models/NAME/VERSION/{image.mhi,manifest.json,pack-HASH.mhp...[,golden.jsonl]}
 *   STORE/history.jsonl	(sto_history.h)
 *
 * Packs are hard links: a version's directory may be removed whole, what others use stays.
 *
 * A version is written under STORE/tmp/, fsynced, made read-only and renamed into place: it is
 * there whole or not at all. Functions return 0 or negative errno and put one line into struct
 * sto_error.
 */
#ifndef STO_STORE_H
#define STO_STORE_H

#include <stdint.h>

#include "mhs_image.h"

struct sto_error {
	char text[512];		/* thing, field, limit, what to do; no newline */
};

void sto_fail(struct sto_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* MAJOR.MINOR.PATCH (semver.org 2.0.0 with optional -prerelease, no build part). 0 or -EINVAL. */
int sto_semver_parse(const char *text, uint32_t parts[3], const char **prerelease);
int sto_semver_compare(const char *a, const char *b);	/* <0, 0, >0; both valid */
enum sto_bump { STO_BUMP_NONE, STO_BUMP_MAJOR, STO_BUMP_MINOR, STO_BUMP_PATCH };
/*
 * The next version after @version (valid; empty: none yet, and the next is 1.0.0). A pre-release is
 * followed by its release when that is a step of the kind asked for: 2.0.0-rc.1 by 2.0.0 for any,
 * 1.2.0-rc.1 by 1.2.0 for minor and patch, 1.2.3-rc.1 by 1.2.3 for patch alone. 0, or -ERANGE: a
 * number would have over 9 digits.
 */
int sto_semver_bump(const char *version, enum sto_bump part, char next[MHS_SEMVER_BYTES]);
/* Model names: [a-z0-9][a-z0-9._-]{0,62}, never "." or "..". 0 or -EINVAL with text. */
int sto_name_check(const char *name, struct sto_error *error);
/* Split "MODEL@VERSION" (or "MODEL" when @version_optional; then version is ""). Checks both. */
int sto_ref_parse(const char *ref, int version_optional, char model[MHS_NAME_BYTES],
		  char version[MHS_SEMVER_BYTES], struct sto_error *error);

#define STO_IMAGE_NAME		"image.mhi"
#define STO_MANIFEST_NAME	"manifest.json"
#define STO_GOLDEN_NAME		"golden.jsonl"	/* where the version has golden cases */

/* XXH3-128 in canonical form; a mhs_hash128_fn (mhs_attach.h). */
void sto_hash128(const void *data, size_t bytes, uint8_t out[MHS_CHUNK_HASH_BYTES]);

/* Path of @file of a version, or of its directory when @file is NULL; -ENAMETOOLONG. */
int sto_version_path(const char *store, const char *model, const char *version, const char *file,
		     char *path, uint32_t path_bytes);
/* Path of an image; -ENAMETOOLONG. */
int sto_image_path(const char *store, const char *model, const char *version, char *path,
		   uint32_t path_bytes);
/*
 * Open an image for loading: O_NOFOLLOW, regular file, not writable by others; fixed header read
 * and checked (mhs_image_check_header with XXH3). Returns a descriptor (buffered; the loader
 * reopens with O_DIRECT through /proc/self/fd) or negative errno. Parses nothing but the fixed
 * header.
 */
int sto_image_open(const char *store, const char *model, const char *version,
		   struct mhs_image_header *header, struct sto_error *error);

/*
 * Call @fn for each version in the store, sorted by model, then semver. Stops when it returns != 0.
 */
typedef int (*sto_each_fn)(void *arg, const char *model, const char *version);
int sto_store_each(const char *store, sto_each_fn fn, void *arg, struct sto_error *error);
/* The same for the versions of one model. */
int sto_versions_each(const char *store, const char *model, sto_each_fn fn, void *arg,
		      struct sto_error *error);
/* Call @fn for each model, sorted. Stops when it returns != 0; a negative value is returned. */
typedef int (*sto_model_fn)(void *arg, const char *model);
int sto_models_each(const char *store, sto_model_fn fn, void *arg, struct sto_error *error);
/* And those directories with a version's name that hold no image: damaged, but their name is taken. */
int sto_entries_each(const char *store, const char *model, sto_each_fn fn, void *arg,
		     struct sto_error *error);

#endif
