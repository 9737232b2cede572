/* SPDX-License-Identifier: MIT */
/* sto_image_priv.h: the pieces of writing an image. */
#ifndef STO_IMAGE_PRIV_H
#define STO_IMAGE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "sto_import.h"
#include "sto_share.h"

#define STO_THREAD_MAX	8u

#define STO_PACK_NEW_NAME	"pack.new"	/* until its hash is known */
#define STO_PACK_OWN	UINT32_MAX	/* the pack that this import writes */

/* A blob of the image being made, in its order. */
struct sto_blob {
	struct sto_shape shape;
	uint32_t layer;
	uint64_t offset_bytes;		/* in the image */
	uint32_t pack;			/* of work->share, or STO_PACK_OWN */
	uint64_t at_bytes;		/* in that pack; in the own one known at the end */
};

/* One import's work, shared by its threads. */
struct sto_work {
	const struct sto_import *import;
	struct sto_model *model;
	int dir_fd;			/* of the version */
	int pack_fd;			/* the pack being made: sparse at first, closed up at the end */
	uint64_t pack_data_bytes;	/* where its first blob would lie if all were in it */
	struct sto_share share;		/* constant while threads run */
	struct sto_blob *blobs;		/* tensors, rope frequencies, tokenizer, template */
	uint32_t blob_count;
	struct mhs_image_tensor *table;	/* places known from the start, hashes filled in */
	_Atomic int failed;
	_Atomic uint64_t done_bytes;
	uint64_t all_bytes;
	pthread_t threads[STO_THREAD_MAX];	/* besides the one that calls */
	uint32_t thread_count;
	pthread_mutex_t lock;		/* of the rest and of the progress call */
	pthread_cond_t moved;		/* packed or err changed */
	uint32_t next_job, packed;	/* tensors first, then source files */
	int err;			/* the first failure */
	struct sto_error error;
};

/* sto_step_fn with a struct sto_work: count, show, and -EINTR when the work is to end. */
int sto_work_step(void *work, uint64_t bytes);
/* Read, permute, requantise and pack one tensor to its place in the image; its hash. */
int sto_pack_tensor(struct sto_work *work, uint32_t index, struct sto_error *error);
/* Threads that pack tensors and then hash the source files. */
void sto_work_start(struct sto_work *work);
/* Take part until every tensor is packed. The error's text comes with sto_work_end(). */
int sto_work_pack(struct sto_work *work);
/*
 * @err: what the caller met meanwhile, with @error; else finish the hashing. End all threads; the
 * first failure.
 */
int sto_work_end(struct sto_work *work, int err, struct sto_error *error);
/* Exactly @bytes to @fd at @offset. */
int sto_write_at(int fd, const void *data, uint64_t bytes, uint64_t offset,
		 struct sto_error *error);

/* One blob on its way into the store (sto_blob.c): begin, its bytes in order, end whatever came. */
struct sto_put {
	struct sto_work *work;
	struct sto_blob *blob;
	const struct sto_known *like;	/* equal so far; NULL: it is being written */
	uint64_t done_bytes;
	uint8_t *buffer;
};

int sto_put_begin(struct sto_put *put, struct sto_work *work, uint32_t index, struct sto_error *error);
int sto_put_bytes(struct sto_put *put, const void *data, uint64_t bytes, struct sto_error *error);
/* @err: what came before. @hash: XXH3-128 of the bytes. */
int sto_put_end(struct sto_put *put, int err, const uint8_t *hash, struct sto_error *error);
/* Where in the own pack @blob is written before the pack is closed up. */
uint64_t sto_blob_own_place(const struct sto_work *work, const struct sto_blob *blob);
int sto_copy(int from, uint64_t from_at, int to, uint64_t to_at, uint64_t bytes,
	     struct sto_error *error);

/* What the packs of a finished image are (sto_packs.c). */
struct sto_pieces {
	struct mhs_image_extent *extents;	/* calloc, [blob_count + 1] */
	uint32_t extent_count;
	struct mhs_image_pack packs[MHS_PACK_MAX];
	int fds[MHS_SEGMENT_MAX];		/* of segments 1.., borrowed */
	uint32_t pack_count;
	uint32_t own;				/* segment of the own pack, 0: nothing was new */
	struct mhs_pack_header own_header;	/* lengths set, hashes still to come */
};

/*
 * All blobs are put: keep the packs that are worth it (hard links in the version's directory), bring
 * the rest into the own pack, close that up, and say where everything lies.
 */
int sto_pieces_make(struct sto_work *work, uint64_t tables_end_bytes, struct sto_pieces *pieces,
		    struct sto_error *error);
/* Hashes are known: write table and header of the own pack, sync it, give it its name. */
int sto_pieces_finish(struct sto_work *work, struct sto_pieces *pieces, const uint8_t *hashes,
		      struct sto_error *error);

/*
 * Read the whole image once, in order (sto_hash.c): chunk table into @base (the own file in memory,
 * tables in place) and content hash into @h; chunk hashes of the own pack into @pack_hashes and its
 * content hash into pieces->own_header.
 */
int sto_hash_image(struct sto_work *work, struct mhs_image_header *h, struct sto_pieces *pieces,
		   uint8_t *base, uint8_t *pack_hashes, struct sto_error *error);

/* Whether --quantize changes the type of this matrix. */
bool sto_is_requantised(const struct sto_import *import, const struct sto_tensor *tensor);
/* enum eng_type in the image. */
uint32_t sto_packed_type(const struct sto_import *import, const struct sto_tensor *tensor);

/*
 * Write the image of @model into the empty directory @dir_fd: its own file, whose header comes last,
 * and its packs. *@stored_bytes: length of the files that are new.
 */
int sto_image_write(const struct sto_import *import, struct sto_model *model, int dir_fd,
		    struct mhs_image_header *header, uint64_t *stored_bytes, struct sto_error *error);

/*
 * Whether the model may bear this version beside those of the store. What breaks the promise of its
 * MAJOR goes into the array @texts. 0, also when the import allows it, or -EINVAL with @error.
 */
int sto_compat_check(const struct sto_import *import, const struct sto_model *model, json_t *texts,
		     struct sto_error *error);

/* What the manifest says about the version's parts. SHA-256 in hexadecimal. */
#define STO_HEX_BYTES	(2 * MHS_HASH_BYTES + 1)
struct sto_hashes {
	char content[STO_HEX_BYTES];
	char config[STO_HEX_BYTES];
	char tokenizer[STO_HEX_BYTES];
	char chat_template[STO_HEX_BYTES];	/* empty: none */
};
/* What the hash of a configuration covers besides the frequencies, into @out. Returns bytes. */
#define STO_CONFIG_BYTES	(sizeof(struct mhs_image_config) + sizeof(struct mhs_image_shape) + \
				 sizeof(struct mhs_image_experts))
size_t sto_config_bytes(const struct mhs_image_header *h, uint8_t out[STO_CONFIG_BYTES]);
void sto_hex(const uint8_t *data, uint32_t bytes, char *out);
/* SHA-256 in hexadecimal. 0 or -ENOMEM. */
int sto_sha256_hex(const void *data, size_t bytes, char out[STO_HEX_BYTES]);
/* Write manifest.json into the directory @dir_fd and sync it. @incompatible: texts, or none. */
int sto_manifest_write(const struct sto_import *import, const struct sto_model *model,
		       const struct mhs_image_header *header, const char *parent,
		       json_t *incompatible, int dir_fd, struct sto_error *error);
/* Parts of a manifest, new references; what is not UTF-8 in a text becomes "?". */
/*
 * The manifest of a version (@model may be an adapter's folder) into *@manifest, the caller's. 0, or
 * negative errno with @error and NULL.
 */
int sto_manifest_read(const char *store, const char *model, const char *version, json_t **manifest,
		      struct sto_error *error);
/* sto_golden.c: "golden" of a manifest, NULL without cases; the cases into a version in the making. */
json_t *sto_golden_object(const struct sto_golden *golden);
int sto_golden_write(const struct sto_golden *golden, int dir_fd, struct sto_error *error);
json_t *sto_manifest_text(const char *text);
json_t *sto_manifest_user(void);
json_t *sto_manifest_time(void);
/* Files that are hashed. */
json_t *sto_manifest_source(const char *format, const struct sto_file *list, uint32_t count);
/* Write and sync @manifest (its reference; NULL: out of memory). */
int sto_manifest_put(json_t *manifest, int dir_fd, struct sto_error *error);
/* sto_number.c: what import->bump makes of the store's highest version, into import->version. */
int sto_number_choose(struct sto_import *import, struct sto_error *error);
/* The same for anything in STORE/models/@folder. */
int sto_number_next(const char *store, const char *folder, enum sto_bump bump,
		    char version[MHS_SEMVER_BYTES], struct sto_error *error);
/* Give an image that is complete another version number. @fd: open for writing. */
int sto_image_renumber(int fd, struct mhs_image_header *header, const char *version,
		       struct sto_error *error);

#endif
