/* SPDX-License-Identifier: MIT */
/*
 * sto_version.h: read what a version holds, wherever it lies: in its own file or in packs. What is
 * in memory for serving is the supervisor's; this is for import and for people's tools. Hashes of
 * the data are not checked here (sto_verify.h does that).
 */
#ifndef STO_VERSION_H
#define STO_VERSION_H

#include "sto_store.h"

#define STO_PACK_PREFIX		"pack-"
#define STO_PACK_SUFFIX		".mhp"
/* With its NUL: prefix, 64 digits, suffix. */
#define STO_PACK_NAME_BYTES	(sizeof(STO_PACK_PREFIX) + 2 * MHS_HASH_BYTES + sizeof(STO_PACK_SUFFIX) - 1)

struct sto_version {
	struct mhs_image_header header;
	char store[4096], model[MHS_NAME_BYTES], version[MHS_SEMVER_BYTES];
	int fd;				/* of the image's own file */
	/* packed: all of that file, checked; else NULL. The tables lie in it. */
	uint8_t *base;
	const struct mhs_image_tensor *tensors;	/* [header.tensor_count], names terminated */
	struct mhs_image_tensor *table;	/* not packed: they are here */
	int pack_fds[MHS_PACK_MAX];	/* -1: not read yet */
	/* NULL before sto_version_texts() */
	void *tokenizer;		/* header.tokenizer.length_bytes */
	char *chat_template;		/* NULL also: none */
};

/*
 * Open MODEL@VERSION for reading. Header and tables are checked, so sto_version_read() never leaves
 * the files; the data is not (chunk tables and hashes are there for who wants to). 0, or negative
 * errno with @error; then there is nothing to close. Packs are opened when they are first read.
 */
int sto_version_open(struct sto_version *v, const char *store, const char *model, const char *version,
		     struct sto_error *error);
void sto_version_close(struct sto_version *v);
/* Bring tokenizer and template into @v. 0 or negative errno with @error. */
int sto_version_texts(struct sto_version *v, struct sto_error *error);
/* @bytes of the image from @offset on, whatever pieces they lie in. 0, -ERANGE beyond the image. */
int sto_version_read(struct sto_version *v, void *out, uint64_t bytes, uint64_t offset,
		     struct sto_error *error);
/* @bytes at @offset of tensor @index. 0; -ERANGE: outside it; -EIO. With @error. */
int sto_tensor_read(struct sto_version *v, uint32_t index, uint64_t offset, uint64_t bytes, void *out,
		    struct sto_error *error);
/* The descriptor of pack @index of the version's table, the version's own; or negative errno. */
int sto_version_pack(struct sto_version *v, uint32_t index, struct sto_error *error);

/* The tables behind the header page, from the open image file @fd, into @base of header->file_bytes. */
int sto_tables_read(int fd, const struct mhs_image_header *header, uint8_t *base,
		    struct sto_error *error);
/* Judge what sto_tables_read() brought: hash, extents, packs, tensors. */
int sto_tables_check(const struct mhs_image_header *header, const uint8_t *base,
		     struct sto_error *error);

/* Remove all files of the directory @fd of a version; shared packs lose this name only. Best effort. */
void sto_dir_clear(int fd);

/* File name of the pack with this content hash. */
void sto_pack_name(const uint8_t hash[MHS_HASH_BYTES], char name[STO_PACK_NAME_BYTES]);
/*
 * Open the file of @pack in the directory of MODEL@VERSION as sto_image_open() does; its header is
 * checked and must be that of @pack. Descriptor or negative errno, with @error.
 */
int sto_pack_open(const char *store, const char *model, const char *version,
		  const struct mhs_image_pack *pack, struct mhs_pack_header *header,
		  struct sto_error *error);

#endif
