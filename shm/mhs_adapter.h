/* SPDX-License-Identifier: MIT */
/*
 * mhs_adapter.h: read the image of an adapter (a LoRA): for each matrix W[rows x cols] of the base
 * that it adapts, A[rank x cols], B[rows x rank] and a scale, so that W x becomes
 * W x + scale * B (A x). Both halves are F32, F16 or BF16 as they came and lie on 64 bytes: A row by
 * row, B in panels as float matrices of models are (eng_pack.h): [panel][rank][16 rows], the last
 * panel padded with zero rows. Rows of q and k are in the order of the base's image. EMBED: the row of
 * token t becomes W[t] + scale * B A[.][t], with A[rank x vocab] and B[hidden x rank].
 *
 * fits_hash: SHA-256 over these eight numbers of mhs_image_config as 32 bits little-endian: arch,
 * layer_count, hidden, intermediate, head_count, kv_head_count, head_dim, vocab_count. An adapter
 * fits a version when they are equal.
 *
 * The memory may be hostile before mhs_adapter_check(): it reads nothing that it has not bounded.
 * Afterwards (sealed memory) the accessors need no more checks. No allocation, no system calls.
 */
#ifndef MHS_ADAPTER_H
#define MHS_ADAPTER_H

#include "mhs_attach.h"

#define MHS_FITS_COUNT	8u	/* numbers behind fits_hash */

/* One adapted matrix; @a and @b are borrowed from the mapping. */
struct mhs_adapter_target {
	uint32_t role;		/* enum mhs_image_role of W: EMBED, OUTPUT, ATTN_*, FFN_* */
	uint32_t layer;		/* 0 for EMBED and OUTPUT */
	uint32_t rank;		/* 1..MHS_ADAPTER_RANK_MAX */
	uint32_t rows, cols;	/* outputs and inputs; EMBED: hidden and vocab */
	uint32_t type;		/* enum eng_type of both halves: ENG_F32, ENG_F16, ENG_BF16 */
	float scale;		/* finite; alpha / rank, or alpha / sqrt(rank) of rsLoRA */
	const void *a;		/* [rank x cols] */
	const void *b;		/* [rows x rank], in panels of 16 rows */
};

/*
 * Validate the tensor table of an adapter. @image has passed mhs_image_check_header() with @base
 * (image->image_bytes mapped) and is of kind MHS_IMAGE_ADAPTER: pairs A, B in rising order of
 * (layer, role), shapes of the configuration, lengths of the types, finite scales; and all that
 * mhs_image_check_tensors() wants. 0, or -EINVAL with *@field (static text). That values are finite
 * is the importer's to see; the hashes vouch for it.
 */
int mhs_adapter_check(const struct mhs_image_header *image, const void *base, const char **field);

/* Targets of a checked adapter: at least one. */
uint32_t mhs_adapter_count(const struct mhs_image_header *image);
/* Target @index, below the count, in rising order of (layer, role); EMBED and OUTPUT are in layer 0. */
void mhs_adapter_target(const struct mhs_image_header *image, const void *base, uint32_t index,
			struct mhs_adapter_target *target);
/* The target of @role in @layer. 0, or -ENOENT: this matrix is not adapted. */
int mhs_adapter_find(const struct mhs_image_header *image, const void *base, uint32_t role,
		     uint32_t layer, struct mhs_adapter_target *target);

/* Rows and columns of W, as in struct mhs_adapter_target; -EINVAL: no such target. */
int mhs_adapter_shape(const struct mhs_image_config *config, uint32_t role, uint64_t *rows,
		      uint64_t *cols);
/* Rows of B with the padding of the last panel. */
#define MHS_ADAPTER_PADDED_ROWS(rows)	(((rows) + UINT64_C(15)) & ~UINT64_C(15))
/* Bytes of a value of a type that adapters may have; 0: of no other. */
uint32_t mhs_adapter_type_bytes(uint32_t type);

/* The numbers that make fits_hash, in its order, and the names of them. */
void mhs_fits_numbers(const struct mhs_image_config *config, uint32_t numbers[MHS_FITS_COUNT]);
extern const char *const mhs_fits_names[MHS_FITS_COUNT];
/*
 * Whether an adapter of @adapter's numbers fits a version of @version's. 0, or -EINVAL with *@field
 * the name of the first that differs.
 */
int mhs_adapter_fits(const struct mhs_image_config *adapter, const struct mhs_image_config *version,
		     const char **field);

#endif
