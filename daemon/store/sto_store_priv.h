/* SPDX-License-Identifier: MIT */
/* sto_store_priv.h: opening files of the store. */
#ifndef STO_STORE_PRIV_H
#define STO_STORE_PRIV_H

#include "sto_store.h"

/*
 * Open @path of the store for reading: no link, a regular file, not writable by others, owned by
 * who may own it. Descriptor and its *@bytes, or negative errno with @error.
 */
int sto_plain_open(const char *store, const char *path, uint64_t *bytes, struct sto_error *error);

#endif
