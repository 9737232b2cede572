/* SPDX-License-Identifier: MIT */
/* import_shards_priv.h: the weights of a Hugging Face directory, between the files that place them. */
#ifndef IMPORT_SHARDS_PRIV_H
#define IMPORT_SHARDS_PRIV_H

#include "import_hf_priv.h"
#include "sto_family.h"
#include "sto_safetensors.h"

struct shards {
	const struct hf_dir *dir;
	uint32_t count;
	uint32_t first_file;		/* files[first_file + i] is shard i */
	const char *names[STO_FILE_MAX];	/* borrowed from the index */
	struct sto_safetensors st[STO_FILE_MAX];
	uint8_t *used[STO_FILE_MAX];	/* one flag per tensor */
	json_t *index;			/* NULL: one file */
	const char *index_path;
	struct sto_error *error;
};

/* The part of a tensor that a slot takes. */
struct shard_part {
	const struct sto_slot *slot;
	struct sto_name name;
	uint32_t layer;
	uint64_t rows, cols;		/* of the slot */
	uint64_t first, total;		/* rows, of vectors columns, in the tensor */
};

/* The tensor and its shard, with the family's prefix or without; NULL: there is none. */
const struct sto_st_tensor *shards_find(const struct shards *s, const struct sto_family *family,
					const char *name, uint32_t *shard);
/* Whether its type can be read. 0 or -EINVAL with the error's text. */
int shards_check_type(const struct shards *s, uint32_t shard, const struct sto_st_tensor *t);
/* The same, and whether its shape is what @part takes it for. */
int shards_check(const struct shards *s, uint32_t shard, const struct sto_st_tensor *t,
		 const struct shard_part *part);
/* Append it to the model's tensors, and mark it as used. */
struct sto_tensor *shards_place(struct sto_model *model, const struct shards *s, uint32_t shard,
				const struct sto_st_tensor *t, const struct shard_part *part);
/* -EINVAL with the error's text. */
int shards_absent(const struct shards *s, const char *name, const struct sto_slot *slot);

/* import_experts.c: a slot that holds one matrix for each expert. */
int shards_add_experts(struct sto_model *model, struct shards *s, const struct sto_slot *slot, uint32_t layer);

#endif
