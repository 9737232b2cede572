/* SPDX-License-Identifier: MIT */
/* sto_verify.h: read versions of the store whole, hash them again, and name all that is damaged. */
#ifndef STO_VERIFY_H
#define STO_VERIFY_H

#include "sto_store.h"

struct sto_verified;	/* what a run has checked, so that what versions share is read once */

struct sto_verify {
	const char *store;
	struct sto_verified *verified;	/* one for all versions of a run */
	const _Atomic int *stop;	/* set by a signal handler: give up; or NULL */
	/* One line for each thing that is damaged. */
	void (*problem)(void *arg, const char *text);
	void (*progress)(void *arg, uint64_t done_bytes, uint64_t all_bytes);	/* or NULL */
	void *arg;
};

struct sto_verified *sto_verified_new(void);	/* NULL: out of memory */
void sto_verified_free(struct sto_verified **verified);

/*
 * Header and tables, each pack (header, chunk table, chunks, SHA-256), chunks and content hash of the
 * image wherever it lies, each tensor's hash, tokenizer tables, and whether the manifest agrees. A
 * pack is checked for the first version that has it, and its damage told there with all versions of
 * the store that have it. *@bytes: hashed. 0, damaged or not; -EINTR: *stop became true; -ENOMEM.
 */
int sto_verify_version(const struct sto_verify *verify, const char *model, const char *version,
		       uint64_t *bytes, struct sto_error *error);

#endif
