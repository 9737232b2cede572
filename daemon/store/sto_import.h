/* SPDX-License-Identifier: MIT */
/*
 * sto_import.h: bring a model from outside into the store. The only code that parses untrusted
 * model files; it runs in the process of whoever imports, never in the daemon.
 */
#ifndef STO_IMPORT_H
#define STO_IMPORT_H

#include "sto_model.h"

#define STO_META_MAX		64u	/* --meta pairs */
#define STO_META_KEY_MAX	64u	/* bytes */
#define STO_META_VALUE_MAX	4096u

struct sto_meta {
	const char *key, *value;
};

struct sto_import {
	const char *store;
	const char *path;		/* GGUF file or Hugging Face directory */
	char model[MHS_NAME_BYTES];
	char version[MHS_SEMVER_BYTES];
	uint32_t quantize;		/* enum eng_source to requantise matrices to; 0: keep */
	uint32_t threads;		/* 0: as many as useful */
	const struct sto_meta *meta;	/* keys [A-Za-z0-9._-], unique; values UTF-8 */
	uint32_t meta_count;
	const _Atomic int *stop;	/* set by a signal handler: give up, clean up; or NULL */
	/* Called now and then, from one thread at a time; or NULL. */
	void (*progress)(void *arg, const char *step, uint64_t done_bytes, uint64_t all_bytes);
	void *progress_arg;
};

struct sto_import_result {
	char image_path[4096];
	char parent[MHS_SEMVER_BYTES];	/* highest lower version present; empty: none */
	uint8_t content_hash[MHS_HASH_BYTES];
	uint64_t image_bytes;
	uint64_t stored_bytes;		/* of files that are new; the rest is shared */
	uint64_t source_bytes;
	uint32_t tensor_count;
	double seconds;
};

/*
 * Import. 0, or negative errno with @error; then the store is as before and no temporary is left.
 * -EEXIST: the version is there already. -EINTR: *stop became true. Within one MAJOR (1 and up) the
 * tokenizer, the vocabulary and the architecture stay and the context does not shrink.
 */
int sto_import(const struct sto_import *import, struct sto_import_result *result,
	       struct sto_error *error);

/* The two importers: fill an initialised @model from the open source (or from the directory). */
int sto_import_gguf(struct sto_model *model, const char *path, struct sto_error *error);
int sto_import_hf(struct sto_model *model, const char *path, struct sto_error *error);

#endif
