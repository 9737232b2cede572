/* SPDX-License-Identifier: MIT */
/* sto_prune.h: take old versions out of the store. What a host needs of them is the caller's to know. */
#ifndef STO_PRUNE_H
#define STO_PRUNE_H

#include <jansson.h>

#include "sto_store.h"

#define STO_PRUNE_FLIPS	17u	/* the active version and as many as a host remembers for rollbacks */

/* A model, or an adapter of it: "MODEL/ADAPTER" (sto_adapter.h). */

/*
 * What the files tell of the routes of @target, for when no host can be asked: all versions
 * that the last STO_PRUNE_FLIPS flips, rollbacks and promotions in the history name, and those of the
 * last release; and sto_prune_state(). Into the object @protect, as version: reason. 0 or negative
 * errno with @error; -EINVAL: the state file is damaged.
 */
int sto_prune_history(const char *store, const char *target, json_t *protect, struct sto_error *error);
/* What the last host left, or this one has written, in STORE/state (mhostd(8)) alone. */
int sto_prune_state(const char *store, const char *target, json_t *protect, struct sto_error *error);

/*
 * The versions in STORE/models/@folder (a model's name, or sto_adapter_folder()) to remove: all but the @keep highest and those in @protect. Into the array
 * @remove, oldest first; @spared: those that only @protect holds. *@count: versions there are.
 */
int sto_prune_choose(const char *store, const char *folder, uint32_t keep, const json_t *protect,
		     json_t *remove, json_t *spared, uint32_t *count, struct sto_error *error);

/*
 * Rename the version into STORE/tmp, then delete it: after a crash it is there whole, or not at all
 * and the next import deletes the rest. *@bytes: given back,
 * without the packs that other versions have too. 0 or negative errno with @error.
 */
int sto_prune_remove(const char *store, const char *folder, const char *version, uint64_t *bytes,
		     struct sto_error *error);

#endif
