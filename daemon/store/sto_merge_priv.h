/* SPDX-License-Identifier: MIT */
/* sto_merge_priv.h: between the parts of a merge. */
#ifndef STO_MERGE_PRIV_H
#define STO_MERGE_PRIV_H

#include <xxhash.h>

#include "sto_merge.h"

/* An adapter in memory. */
struct merge_part {
	float scale;
	struct mhs_image_header header;
	void *base;
};

/* One matrix of the new version. */
struct merge_tensor {
	uint32_t from;			/* index in the base's table */
	uint32_t to;			/* enum eng_source; STO_MERGE_TYPE_NONE: as it is */
	XXH3_state_t *hash;		/* of the base's bytes, while they come; NULL: before and after */
};

struct merge {
	struct sto_origin origin;	/* first */
	const struct sto_model *model;
	struct sto_version base;
	uint32_t part_count;
	struct merge_part parts[STO_MERGE_MAX];
	struct merge_tensor *tensors;	/* as model->tensors */
};

/* struct sto_origin: base's panels, or sums. */
int merge_panels(struct sto_origin *origin, uint32_t tensor, uint64_t row, uint32_t rows, void *out,
		 struct sto_error *error);

#endif
