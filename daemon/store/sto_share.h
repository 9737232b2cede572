/* SPDX-License-Identifier: MIT */
/*
 * sto_share.h: what the versions of a model have in their packs already, so that an import writes
 * only what is new. A blob is a tensor, the tokenizer or the template, on whole pages.
 */
#ifndef STO_SHARE_H
#define STO_SHARE_H

#include <stdbool.h>

#include "sto_version.h"

#define STO_SHARE_VERSIONS	32u	/* the latest ones are looked into */
#define STO_SHARE_PACKS		256u	/* distinct packs of those */
/* A pack of which a version would use less is not kept in memory for it: that part is copied. */
#define STO_SHARE_PART		4u	/* a quarter */

/* Beside enum mhs_image_role. */
enum sto_blob_kind { STO_BLOB_TOKENIZER = 1000, STO_BLOB_TEMPLATE = 1001 };

/* What two blobs must have in common before their bytes are compared. */
struct sto_shape {
	uint32_t kind;			/* role, or enum sto_blob_kind */
	uint32_t type;			/* enum eng_type, 0: no tensor */
	uint64_t rows, cols;
	uint64_t length_bytes;
};

struct sto_known {
	struct sto_shape shape;
	uint32_t layer;
	bool hashed;
	uint8_t hash[MHS_CHUNK_HASH_BYTES];
	uint32_t pack;			/* index */
	uint64_t at_bytes;		/* in it */
};

struct sto_known_pack {
	struct mhs_image_pack id;
	int fd;
	char version[MHS_SEMVER_BYTES];	/* one that has it */
	uint64_t used_bytes;		/* by the new version */
	uint32_t segment;		/* of the new image; 0: not used */
};

struct sto_share {
	struct sto_known *blobs;	/* of the latest version first */
	uint32_t blob_count, blob_cap;
	struct sto_known_pack packs[STO_SHARE_PACKS];
	uint32_t pack_count;
};

/*
 * All blobs in the packs of @model's versions. Versions that cannot be read are passed over: they
 * have nothing to share. 0 or -ENOMEM with @error. @store may be NULL: nothing is known.
 */
int sto_share_open(struct sto_share *share, const char *store, const char *model,
		   struct sto_error *error);
void sto_share_close(struct sto_share *share);
bool sto_shape_same(const struct sto_shape *a, const struct sto_shape *b);
/* The same, or embedding and output, which is a copy of it where a tied one was untied. */
bool sto_shape_alike(const struct sto_shape *a, const struct sto_shape *b);

#endif
