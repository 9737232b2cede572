/* SPDX-License-Identifier: MIT */
/*
 * sto_merge.h: a version out of another one and adapters of its model: each adapted matrix becomes
 * W + sum of scale * s * B A, with s the scale that the adapter itself gives the matrix. All else is
 * the base's, and shared with it by packs.
 *
 * W, A and B count as the numbers that they hold; the sum is taken in F32, adapter by adapter in the
 * order given, and is rounded once to the type that is stored. For one adapter that is what PEFT's
 * merge_and_unload() does on the CPU; with several and a base of 16 bits PEFT rounds after each, so
 * that last bits may differ.
 *
 * A tied output gets its own matrix when an adapter changes embedding or output: the adapter changes
 * one of them alone, and so does the version. (PEFT adds to the one matrix that both are.)
 */
#ifndef STO_MERGE_H
#define STO_MERGE_H

#include "sto_adapter.h"
#include "sto_import.h"

#define STO_MERGE_MAX	8u	/* adapters at once: as many as a request may name */

struct sto_merge_part {
	char adapter[MHS_NAME_BYTES], version[MHS_SEMVER_BYTES];
	float scale;		/* finite */
};

struct sto_merge {
	char base[MHS_SEMVER_BYTES];	/* a version of import->model */
	uint32_t part_count;		/* 1..STO_MERGE_MAX */
	struct sto_merge_part parts[STO_MERGE_MAX];
	/*
	 * enum eng_source of the adapted matrices: F32, F16, BF16, Q8_0, Q4_0, Q4_1; NONE: float ones
	 * keep their type, quantised ones become F16.
	 */
	uint32_t type;
#define STO_MERGE_TYPE_NONE	UINT32_MAX
};

/*
 * Fill an initialised @model from import->merge; sto_import() calls it. model->merge becomes
 *   {"base", "base_hash", "adapters": [{"adapter", "version", "scale", "content_hash"}],
 *    "untied", "tensors": [{"name", "from", "to"}]}
 * 0, or negative errno with @error: an adapter does not fit, or is damaged, or a type is not
 * possible. Sums that no number of the type can hold show when the panels are made (-EDOM).
 */
int sto_merge_read(struct sto_model *model, const struct sto_import *import, struct sto_error *error);

#endif
