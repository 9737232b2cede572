/* SPDX-License-Identifier: MIT */
/*
 * sto_adapter.h: adapters in the store.
 *
 *   STORE/models/MODEL/adapters/ADAPTER/VERSION/{image.mhi,manifest.json}
 *
 * They are made, numbered, named and kept as versions of models are (sto_store.h). Functions return 0
 * or negative errno with one line in struct sto_error.
 */
#ifndef STO_ADAPTER_H
#define STO_ADAPTER_H

#include <jansson.h>
#include <stdbool.h>

#include "mhs_adapter.h"
#include "sto_store.h"
#include "sto_verify.h"

/* With its NUL: two names and what stands between them. */
#define STO_ADAPTER_FOLDER_BYTES	(2 * MHS_NAME_BYTES + sizeof("/adapters/"))

/* Whether @ref is of an adapter: MODEL/ADAPTER[@VERSION]. */
bool sto_ref_is_adapter(const char *ref);
/* Split and check it. @version_optional: version may be absent, and then is "". */
int sto_adapter_ref_parse(const char *ref, int version_optional, char model[MHS_NAME_BYTES],
			  char adapter[MHS_NAME_BYTES], char version[MHS_SEMVER_BYTES],
			  struct sto_error *error);
/*
 * "MODEL/adapters/ADAPTER": stands for the model's name in sto_version_path(), sto_versions_each() and
 * sto_entries_each().
 */
void sto_adapter_folder(const char *model, const char *adapter, char folder[STO_ADAPTER_FOLDER_BYTES]);

/* fits_hash of the image (mhs_adapter.h). 0 or -ENOMEM. */
int sto_fits_hash(const struct mhs_image_config *config, uint8_t hash[MHS_HASH_BYTES]);

/*
 * Open an image for loading, as sto_image_open() does: header checked, its kind, names and fits_hash
 * too. Descriptor or negative errno.
 */
int sto_adapter_open(const char *store, const char *model, const char *adapter, const char *version,
		     struct mhs_image_header *header, struct sto_error *error);
/*
 * The whole image in memory, its table checked (mhs_adapter_check), hashes of the data not. *@base is
 * page-aligned, the caller's to free.
 */
int sto_adapter_read(const char *store, const char *model, const char *adapter, const char *version,
		     struct mhs_image_header *header, void **base, struct sto_error *error);

/* Call @fn for each version of each adapter of @model, sorted by name, then semver, until it is != 0. */
typedef int (*sto_adapter_fn)(void *arg, const char *model, const char *adapter, const char *version);
int sto_adapters_each(const char *store, const char *model, sto_adapter_fn fn, void *arg,
		      struct sto_error *error);
/* And directories that hold no image. */
int sto_adapter_entries_each(const char *store, const char *model, sto_adapter_fn fn, void *arg,
			     struct sto_error *error);
/* manifest.json of it. The caller releases it. */
int sto_adapter_manifest(const char *store, const char *model, const char *adapter,
			 const char *version, json_t **manifest, struct sto_error *error);

/* As sto_verify_version(): header, table, chunks, content, each tensor, manifest. */
int sto_verify_adapter(const struct sto_verify *verify, const char *model, const char *adapter,
		       const char *version, uint64_t *bytes, struct sto_error *error);

/* ---- import (sto_adapter_import.c) ------------------------------------------------------------ */

struct sto_adapter_import {
	const char *store;
	const char *path;		/* PEFT folder */
	char model[MHS_NAME_BYTES], adapter[MHS_NAME_BYTES];
	char version[MHS_SEMVER_BYTES];	/* unused with bump */
	enum sto_bump bump;
	char base[MHS_SEMVER_BYTES];	/* version of the model; empty: the highest in the store */
	json_t *meta;			/* training metadata, an object; NULL: none */
	const char *parent;		/* a version of the adapter; NULL: the next lower one */
	const char *why;		/* for the history; NULL: not said */
	const _Atomic int *stop;	/* set by a signal handler: give up, clean up; or NULL */
};

struct sto_adapter_result {
	char version[MHS_SEMVER_BYTES], base[MHS_SEMVER_BYTES], parent[MHS_SEMVER_BYTES];
	char image_path[4096];
	uint8_t content_hash[MHS_HASH_BYTES], fits_hash[MHS_HASH_BYTES];
	uint64_t image_bytes, source_bytes;
	uint32_t target_count, rank_min, rank_max;
	double seconds;
};

/*
 * Import. On failure the store is as before and no temporary is left. -EEXIST: the version is there
 * already. -EINTR: *stop became true.
 */
int sto_adapter_import(const struct sto_adapter_import *import, struct sto_adapter_result *result,
		       struct sto_error *error);
/* Append what was done to the history of the store. */
int sto_adapter_log(const struct sto_adapter_import *import, const struct sto_adapter_result *result,
		    struct sto_error *error);

#endif
