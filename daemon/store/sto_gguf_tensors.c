/* SPDX-License-Identifier: MIT */
/*
 * sto_gguf_tensors.c: the tensor list of a GGUF file: shapes, types, places without hole or
 * overlap.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eng_pack.h"
#include "sto_gguf_priv.h"

static int read_dims(struct sto_cursor *c, struct sto_gguf_tensor *t, uint64_t *values)
{
	*values = 1;
	if (sto_take_u32(c, &t->dim_count))
		return -EINVAL;
	if (t->dim_count == 0 || t->dim_count > STO_GGUF_DIMS_MAX)
		return sto_refuse(c, "has %u dimensions, limit 1..%u; %s", t->dim_count,
				  STO_GGUF_DIMS_MAX, STO_DAMAGED);
	for (uint32_t i = 0; i < STO_GGUF_DIMS_MAX; i++) {
		t->dims[i] = 1;
		if (i < t->dim_count && sto_take_u64(c, &t->dims[i]))
			return -EINVAL;
		if (t->dims[i] == 0 || t->dims[i] > UINT32_MAX)
			return sto_refuse(c, "dimension %u is %llu, limit 1..4294967295; %s", i,
					  (unsigned long long)t->dims[i], STO_DAMAGED);
		if (__builtin_mul_overflow(*values, t->dims[i], values))
			return sto_refuse(c, "has more values than 64 bits count; %s", STO_DAMAGED);
	}
	return 0;
}

static int read_tensor(struct sto_cursor *c, struct sto_gguf *gguf, struct sto_gguf_tensor *t,
		       uint32_t index)
{
	uint64_t values, block_values;

	snprintf(c->field, sizeof(c->field), "tensor %u", index);
	if (sto_take_name(c, STO_GGUF_NAME_MAX, &t->name))
		return -EINVAL;
	snprintf(c->field, sizeof(c->field), "tensor %s", t->name);
	if (read_dims(c, t, &values) || sto_take_u32(c, &t->type) || sto_take_u64(c, &t->offset_bytes))
		return -EINVAL;
	block_values = eng_source_block_values(t->type);
	if (block_values == 0)
		return sto_refuse(
			c,
			"type %u (%s) is not supported, limit F32, F16, BF16, Q8_0, Q4_0, "
			"Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, MXFP4; "
			"convert the model to one of them",
			t->type, sto_gguf_tensor_type_name(t->type));
	if (t->dims[0] % block_values)
		return sto_refuse(c, "rows of %llu values, limit a multiple of %llu for %s; %s",
				  (unsigned long long)t->dims[0], (unsigned long long)block_values,
				  sto_gguf_tensor_type_name(t->type), STO_DAMAGED);
	if (__builtin_mul_overflow(values / block_values, (uint64_t)eng_source_block_bytes(t->type),
				   &t->bytes))
		return sto_refuse(c, "has more bytes than 64 bits count; %s", STO_DAMAGED);
	if (t->offset_bytes % gguf->alignment)
		return sto_refuse(c, "offset %llu is not aligned, limit a multiple of %u; %s",
				  (unsigned long long)t->offset_bytes, gguf->alignment, STO_DAMAGED);
	return 0;
}

static int by_offset(const void *a, const void *b)
{
	uint64_t x = ((const struct sto_gguf_tensor *)a)->offset_bytes;
	uint64_t y = ((const struct sto_gguf_tensor *)b)->offset_bytes;

	return x < y ? -1 : x > y;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct sto_gguf_tensor *)a)->name,
		      ((const struct sto_gguf_tensor *)b)->name);
}

/* Before the gaps, so that the message names the tensor that is wrong and not its neighbour. */
static int check_ends(struct sto_cursor *c, const struct sto_gguf *gguf)
{
	uint64_t room = c->file->bytes - gguf->data_offset_bytes;

	for (uint32_t i = 0; i < gguf->tensor_count; i++) {
		const struct sto_gguf_tensor *t = &gguf->tensors[i];

		if (t->offset_bytes <= room && t->bytes <= room - t->offset_bytes)
			continue;
		snprintf(c->field, sizeof(c->field), "tensor %s", t->name);
		return sto_refuse(c, "data ends past the end of the file, limit %llu bytes; %s",
				  (unsigned long long)c->file->bytes, STO_DAMAGED);
	}
	return 0;
}

/* Sorted by offset, each tensor begins where the one before ends, padded. */
static int check_places(struct sto_cursor *c, struct sto_gguf *gguf)
{
	uint64_t room = c->file->bytes - gguf->data_offset_bytes, end = 0, padded = 0;

	for (uint32_t i = 0; i < gguf->tensor_count; i++) {
		struct sto_gguf_tensor *t = &gguf->tensors[i];

		snprintf(c->field, sizeof(c->field), "tensor %s", t->name);
		if (t->offset_bytes < padded)
			return sto_refuse(c, "offset %llu lies in another tensor, limit %llu; %s",
					  (unsigned long long)t->offset_bytes,
					  (unsigned long long)padded, STO_DAMAGED);
		if (t->offset_bytes > padded)
			return sto_refuse(c, "offset %llu leaves a hole, limit %llu; %s",
					  (unsigned long long)t->offset_bytes,
					  (unsigned long long)padded, STO_DAMAGED);
		t->offset_bytes += gguf->data_offset_bytes;
		end = padded + t->bytes;
		padded = (end + gguf->alignment - 1) / gguf->alignment * gguf->alignment;
	}
	if (room == end || room == padded)
		return 0;
	snprintf(c->field, sizeof(c->field), "file size");
	return sto_refuse(c, "is %llu, limit %llu (the end of the last tensor, padded); %s",
			  (unsigned long long)c->file->bytes,
			  (unsigned long long)(gguf->data_offset_bytes + padded), STO_DAMAGED);
}

int sto_gguf_read_tensors(struct sto_cursor *c, struct sto_gguf *gguf)
{
	gguf->tensors = calloc(gguf->tensor_count + 1, sizeof(*gguf->tensors));
	if (!gguf->tensors) {
		sto_refuse(c, "out of memory; free some");
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < gguf->tensor_count; i++)
		if (read_tensor(c, gguf, &gguf->tensors[i], i))
			return -EINVAL;
	qsort(gguf->tensors, gguf->tensor_count, sizeof(*gguf->tensors), by_name);
	for (uint32_t i = 1; i < gguf->tensor_count; i++) {
		if (strcmp(gguf->tensors[i - 1].name, gguf->tensors[i].name))
			continue;
		snprintf(c->field, sizeof(c->field), "tensor %s", gguf->tensors[i].name);
		return sto_refuse(c, "is listed twice, limit once; %s", STO_DAMAGED);
	}
	gguf->data_offset_bytes = (c->at + gguf->alignment - 1) / gguf->alignment * gguf->alignment;
	if (gguf->tensor_count == 0 && c->file->bytes <= gguf->data_offset_bytes)
		return 0;
	if (gguf->data_offset_bytes > c->file->bytes) {
		snprintf(c->field, sizeof(c->field), "tensor data");
		return sto_refuse(c, "begins past the end of the file, limit %llu bytes; %s",
				  (unsigned long long)c->file->bytes, STO_DAMAGED);
	}
	qsort(gguf->tensors, gguf->tensor_count, sizeof(*gguf->tensors), by_offset);
	if (check_ends(c, gguf) || check_places(c, gguf))
		return -EINVAL;
	qsort(gguf->tensors, gguf->tensor_count, sizeof(*gguf->tensors), by_name);
	return 0;
}
