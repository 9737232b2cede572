/* SPDX-License-Identifier: MIT */
/*
 * sto_diff.h: all that differs between two versions, as one JSON object:
 *
 *   a, b                                          MODEL@VERSION
 *   metadata, config, tokenizer, template,        lists of {field, a, b} (sto_differ.h); null where a
 *   sources                                       side has none; sources: SHA-256 by file name
 *   tensors: unchanged (how many), unchanged_bytes, bytes (of b's tensors), relative (over all that
 *            were compared), only_a, only_b (names), reshaped: {tensor, a, b},
 *            changed: {tensor, type_a, type_b, relative, max_abs, not_finite}
 *
 * Tensors are matched by what they are for (role and layer), not by name. relative is the Frobenius
 * norm ||B - A|| / ||A||, null when A is zero.
 */
#ifndef STO_DIFF_H
#define STO_DIFF_H

#include <jansson.h>

#include "sto_version.h"

struct sto_diff {
	struct sto_version *a, *b;
	const _Atomic int *stop;	/* set by a signal handler: give up; or NULL */
	void (*progress)(void *arg, uint64_t done_bytes, uint64_t all_bytes);	/* or NULL */
	void *arg;
};

/* *@result is the caller's to release. 0 or negative errno with @error; -EINTR: *stop became true. */
int sto_diff(const struct sto_diff *diff, json_t **result, struct sto_error *error);

/* An adapter of the store. */
struct sto_adapter_ref {
	char model[MHS_NAME_BYTES], adapter[MHS_NAME_BYTES], version[MHS_SEMVER_BYTES];
};

struct sto_adapter_diff {
	const char *store;
	struct sto_adapter_ref a, b;
	const _Atomic int *stop;	/* or NULL */
};

/*
 * All that differs between two adapters (sto_diff_adapters.c), as sto_diff():
 *
 *   a, b, metadata, sources, lora      as above
 *   targets: unchanged (how many), relative, only_a, only_b (names),
 *            changed: {target, rank_a, rank_b, scale_a, scale_b, relative, max_abs}
 *
 * What is compared is scale * B A, which is added to the base's matrix, whatever the ranks.
 */
int sto_adapter_diff(const struct sto_adapter_diff *diff, json_t **result, struct sto_error *error);

/* Manifests @a and @b: what is said about them, and their source files, appended to the lists. */
int sto_diff_manifests(json_t *a, json_t *b, json_t *metadata, json_t *sources);
/* Two values, key by key where they are objects; each difference under @field. 0 or -ENOMEM. */
int sto_diff_value(json_t *a, json_t *b, const char *field, json_t *list);

/* sto_diff_tensors.c: the object under "tensors". */
int sto_diff_tensors(const struct sto_diff *diff, json_t **result, struct sto_error *error);

#endif
