/* SPDX-License-Identifier: MIT */
/*
 * sto_safetensors.h: the header of a safetensors file, checked whole: length, JSON without repeated
 * keys, each tensor's type and shape against its bytes, all tensors together covering the data
 * without hole, overlap or rest.
 */
#ifndef STO_SAFETENSORS_H
#define STO_SAFETENSORS_H

#include "eng_pack.h"
#include "sto_file.h"

#define STO_ST_HEADER_MAX	(UINT64_C(16) << 20)
#define STO_ST_NAME_MAX		255u
#define STO_ST_DIMS_MAX		8u
#define STO_ST_NOT_FLOAT	UINT32_MAX

struct sto_st_tensor {
	const char *name;
	const char *dtype;
	uint32_t source;	/* ENG_SRC_F32, F16, BF16, else STO_ST_NOT_FLOAT */
	uint32_t dim_count;
	uint64_t dims[STO_ST_DIMS_MAX];
	uint64_t offset_bytes;	/* in the file */
	uint64_t bytes;
};

struct sto_safetensors {
	const struct sto_file *file;	/* borrowed */
	uint32_t tensor_count;
	struct sto_st_tensor *tensors;	/* sorted by name */
	void *root;			/* the parsed header, which holds the names; or they are in: */
	char *text;
};

/* 0 or negative errno with @error. */
int sto_st_open(struct sto_safetensors *st, const struct sto_file *file, struct sto_error *error);
void sto_st_close(struct sto_safetensors *st);
const struct sto_st_tensor *sto_st_find(const struct sto_safetensors *st, const char *name);

#endif
