/* SPDX-License-Identifier: MIT */
/*
 * sto_version.h: one version of the store, opened to be looked at by people's tools: its header,
 * tables and tensors. Hashes are not checked here (sto_verify.h does that).
 */
#ifndef STO_VERSION_H
#define STO_VERSION_H

#include "sto_store.h"

struct sto_version {
	char store[4096];
	char model[MHS_NAME_BYTES], version[MHS_SEMVER_BYTES];
	int fd;					/* the image */
	struct mhs_image_header header;
	struct mhs_image_tensor *tensors;	/* [header.tensor_count], names terminated */
	void *tokenizer;			/* header.tokenizer.length_bytes */
	char *chat_template;			/* NULL: none */
};

/* 0, or negative errno with @error; then there is nothing to close. */
int sto_version_open(struct sto_version *v, const char *store, const char *model,
		     const char *version, struct sto_error *error);
void sto_version_close(struct sto_version *v);
/*
 * @bytes at @offset of tensor @index, wherever the store keeps it: the one way to a tensor's bytes.
 * 0; -ERANGE: outside it; -EIO. With @error.
 */
int sto_tensor_read(const struct sto_version *v, uint32_t index, uint64_t offset, uint64_t bytes,
		    void *out, struct sto_error *error);

#endif
