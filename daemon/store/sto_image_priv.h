/* SPDX-License-Identifier: MIT */
/* sto_image_priv.h: the pieces of writing an image. */
#ifndef STO_IMAGE_PRIV_H
#define STO_IMAGE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "sto_import.h"

#define STO_THREAD_MAX	8u

/* One import's work, shared by its threads. */
struct sto_work {
	const struct sto_import *import;
	struct sto_model *model;
	int fd;				/* the image */
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
/* Exactly @bytes to @fd at @offset, for @shown in messages. */
int sto_write_at(int fd, const void *data, uint64_t bytes, uint64_t offset,
		 struct sto_error *error);

/* Whether this matrix changes its type on the way. */
bool sto_is_requantised(const struct sto_import *import, const struct sto_tensor *tensor);
/* enum eng_type in the image. */
uint32_t sto_packed_type(const struct sto_import *import, const struct sto_tensor *tensor);

/* Write the image of @model into the empty file @fd; its header comes last. */
int sto_image_write(const struct sto_import *import, struct sto_model *model, int fd,
		    struct mhs_image_header *header, struct sto_error *error);

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
void sto_hex(const uint8_t *data, uint32_t bytes, char *out);
/* Write manifest.json into the directory @dir_fd and sync it. @incompatible: texts, or none. */
int sto_manifest_write(const struct sto_import *import, const struct sto_model *model,
		       const struct mhs_image_header *header, const char *parent,
		       json_t *incompatible, int dir_fd, struct sto_error *error);
/* sto_number.c: what import->bump makes of the store's highest version, into import->version. */
int sto_number_choose(struct sto_import *import, struct sto_error *error);
/* Give an image that is complete another version number. @fd: open for writing. */
int sto_image_renumber(int fd, struct mhs_image_header *header, const char *version,
		       struct sto_error *error);

#endif
