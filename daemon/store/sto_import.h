/* SPDX-License-Identifier: MIT */
/*
 * sto_import.h: bring a model from outside into the store. The only code that parses untrusted
 * model files; it runs in the process of whoever imports, never in the daemon.
 */
#ifndef STO_IMPORT_H
#define STO_IMPORT_H

#include <jansson.h>

#include "sto_golden.h"
#include "sto_model.h"

struct sto_import {
	const char *store;
	const char *path;		/* GGUF file (the first, when split), or a directory with one, */
					/* or Hugging Face's; what is merged, in words */
	const struct sto_merge *merge;	/* instead of a path (sto_merge.h); NULL: not */
	char model[MHS_NAME_BYTES];
	char version[MHS_SEMVER_BYTES];	/* unused with bump */
	enum sto_bump bump;		/* take the next number after the highest in the store */
	bool allow_incompatible;	/* within a MAJOR; recorded in the manifest */
	uint32_t quantize;		/* enum eng_source to requantise matrices to; 0: keep */
	uint32_t context;		/* tokens to serve at most; 0: as far as positions hold unchanged */
	uint32_t threads;		/* 0: as many as useful */
	json_t *meta;			/* training metadata, an object; NULL: none */
	const char *parent;		/* a version of the model; NULL: the highest lower one */
	const char *why;		/* for the history, UTF-8; NULL: not said */
	const char *chat_template;	/* a file, in place of the source's template; NULL: the source's */
	struct sto_golden golden;	/* borrowed */
	const _Atomic int *stop;	/* set by a signal handler: give up, clean up; or NULL */
	/* Called now and then, from one thread at a time; or NULL. */
	void (*progress)(void *arg, const char *step, uint64_t done_bytes, uint64_t all_bytes);
	void *progress_arg;
};

struct sto_import_result {
	char version[MHS_SEMVER_BYTES];
	json_t *incompatible;		/* what was allowed, texts; the caller releases it; or NULL */
	json_t *merge;			/* "merge" of the manifest; the caller releases it; or NULL */
	char image_path[4096];
	char parent[MHS_SEMVER_BYTES];	/* as in the manifest; empty: none */
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
 * tokenizer, the vocabulary, begin and end tokens, the template and the architecture stay, and the
 * context does not shrink.
 */
int sto_import(const struct sto_import *import, struct sto_import_result *result,
	       struct sto_error *error);

/*
 * Append what was done to the history of the store (sto_history.h). 0, or negative errno with
 * @error; the version stays in the store.
 */
int sto_import_log(const struct sto_import *import, const struct sto_import_result *result,
		   struct sto_error *error);

/* The two importers: fill an initialised @model from the open source (or from the directory). */
int sto_import_gguf(struct sto_model *model, const char *path, struct sto_error *error);
int sto_import_hf(struct sto_model *model, const char *path, struct sto_error *error);
/*
 * The GGUF model in @folder, the first part of a split one, into @path (4096 bytes). 0; -ENOENT without
 * @error when there is none, or safetensors too; negative errno with @error.
 */
int sto_gguf_in_folder(const char *folder, char *path, struct sto_error *error);

#endif
