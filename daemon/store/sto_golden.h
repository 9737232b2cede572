/* SPDX-License-Identifier: MIT */
/*
 * sto_golden.h: the golden cases of a version, golden.jsonl beside its image. The manifest has their
 * count and SHA-256. They tell of the version and are no part of it: content hash and image stay
 * when they are made anew.
 */
#ifndef STO_GOLDEN_H
#define STO_GOLDEN_H

#include <stddef.h>

#include "sto_store.h"

/* JSON lines, checked by who brings them. */
struct sto_golden {
	const char *data;		/* NULL: none */
	size_t bytes;
	uint32_t count;			/* of cases */
};

/*
 * Give MODEL@VERSION these cases in place of those that it has. Its directory is replaced whole, by one
 * with the same files (hard links), in one rename: a reader sees the old cases or the new ones. Told in
 * the history. 0; -ENOENT: no such version; negative errno with @error, and then all is as before.
 */
int sto_golden_put(const char *store, const char *model, const char *version,
		   const struct sto_golden *golden, struct sto_error *error);
/*
 * The version's file of cases, into @path; "" when it has none. 0; -EILSEQ: the file is not the one
 * that the manifest tells of; negative errno; with @error.
 */
int sto_golden_find(const char *store, const char *model, const char *version, char *path,
		    uint32_t path_bytes, struct sto_error *error);

#endif
