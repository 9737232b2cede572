/* SPDX-License-Identifier: MIT */
/* sto_verify.h: read a version of the store whole, hash it again, and name all that is damaged. */
#ifndef STO_VERIFY_H
#define STO_VERIFY_H

#include "sto_store.h"

struct sto_verify {
	const char *store;
	const _Atomic int *stop;	/* set by a signal handler: give up; or NULL */
	/* One line for each thing that is damaged. */
	void (*problem)(void *arg, const char *text);
	void (*progress)(void *arg, uint64_t done_bytes, uint64_t all_bytes);	/* or NULL */
	void *arg;
};

/*
 * Header, chunk table, chunks, content hash, each tensor's hash, tokenizer tables, and whether the
 * manifest agrees. *@bytes: read and hashed. 0, damaged or not; -EINTR: *stop became true; -ENOMEM.
 */
int sto_verify_version(const struct sto_verify *verify, const char *model, const char *version,
		       uint64_t *bytes, struct sto_error *error);

#endif
