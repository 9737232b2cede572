/* SPDX-License-Identifier: MIT */
/* sto_verify_priv.h: between the parts of verifying a version: its image, its packs, its manifest. */
#ifndef STO_VERIFY_PRIV_H
#define STO_VERIFY_PRIV_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <xxhash.h>

#include "sto_verify.h"
#include "sto_version.h"

struct sto_seen_pack;	/* a pack file that this run has met */

struct sto_check {
	const struct sto_verify *verify;
	struct sto_version v;
	struct sto_seen_pack *packs[MHS_PACK_MAX];	/* of @v's table, borrowed */
	uint32_t problems;		/* told of this version */
	uint8_t *chunk;			/* MHS_IMAGE_CHUNK_BYTES */
	EVP_MD_CTX *sha;
	XXH3_state_t *xxh;
	uint64_t done_bytes, all_bytes;
};

/* Bytes that are cut into chunks: the image's, wherever they lie, or those of a pack. */
struct sto_chunks {
	int fd;				/* of the pack; -1: the image */
	const char *prefix;		/* of messages */
	const char *what;		/* "image", "pack" */
	const struct mhs_image_span *table;
	const uint8_t *table_hash, *content_hash;
	uint64_t begin_bytes, end_bytes;
	uint32_t count;
	bool quiet;			/* what is wrong with a chunk was told of its pack */
};

/* Tell verify->problem. */
void sto_verify_say(const struct sto_verify *verify, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The same, and count it. */
void sto_check_say(struct sto_check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* 0, or -EINTR. */
int sto_check_step(struct sto_check *c, uint64_t bytes);
/* Table, chunks and SHA-256. 0, damaged or not, -EINTR or -ENOMEM. */
int sto_check_chunks(struct sto_check *c, const struct sto_chunks *chunks);

/* sto_verify_packs.c: find the version's packs among those met, count what is to be read. */
int sto_packs_find(struct sto_check *c);
/* Check those that are new. As sto_check_chunks(). */
int sto_packs_check(struct sto_check *c);
bool sto_packs_damaged(const struct sto_check *c);	/* one of them at least */
bool sto_packs_readable(const struct sto_check *c);	/* all of them */
/*
 * The hash of tensor @index: from an earlier version that has it at the same place, or made now.
 * 0; -ENODATA: it lies in a pack that cannot be read, which was told; other errors with @error.
 */
int sto_tensor_hash(struct sto_check *c, uint32_t index, uint8_t hash[MHS_CHUNK_HASH_BYTES],
		    struct sto_error *error);
/* Whether an equal image of the same packs was found good before; and remember that it was. */
bool sto_image_known(const struct sto_check *c);
int sto_image_remember(struct sto_check *c);

/* Whether the manifest is there, sound, and of this version. @v NULL: its image cannot be read. */
void sto_verify_manifest(const struct sto_verify *verify, const char *model, const char *version,
			 struct sto_version *v);

#endif
