/* SPDX-License-Identifier: MIT */
/* sto_gguf.c: read and check a GGUF file's header and metadata; sto_gguf_tensors.c: the rest. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sto_gguf_priv.h"

#define PAIR_BYTES_MIN		13u	/* key length, type, 1 byte of value */
#define TENSOR_BYTES_MIN	33u	/* name length and byte, dims, type, offset */

/* ---- header ------------------------------------------------------------------------------ */

static int check_version(struct sto_cursor *c, uint32_t version)
{
	snprintf(c->field, sizeof(c->field), "version");
	if (version == 2 || version == 3)
		return 0;
	if (version && (version & 0xffff) == 0)
		return sto_refuse(c, "big-endian file, limit little-endian; "
				  "convert the model again");
	if (version == 1)
		return sto_refuse(c, "is 1 (32-bit lengths), limit 2..3; convert the model again");
	return sto_refuse(c, "is %u, limit 2..3; %s", version,
			  version > 3 ? "a newer mhost may read it" : STO_DAMAGED);
}

static int take_count(struct sto_cursor *c, const char *field, uint64_t limit, uint32_t bytes_min,
		      uint32_t *count)
{
	uint64_t wide;

	snprintf(c->field, sizeof(c->field), "%s", field);
	if (sto_take_u64(c, &wide))
		return -EINVAL;
	if (wide > limit)
		return sto_refuse(c, "is %llu, limit %llu; %s", (unsigned long long)wide,
				  (unsigned long long)limit, STO_DAMAGED);
	if (wide > sto_left(c) / bytes_min)
		return sto_refuse(c, "is %llu, limit %llu in a file of this size; %s",
				  (unsigned long long)wide,
				  (unsigned long long)(sto_left(c) / bytes_min), STO_DAMAGED);
	*count = (uint32_t)wide;
	return 0;
}

static int read_head(struct sto_cursor *c, struct sto_gguf *gguf)
{
	const uint8_t *magic;

	snprintf(c->field, sizeof(c->field), "magic");
	magic = sto_take(c, 4);
	if (!magic)
		return -EINVAL;
	if (memcmp(magic, "GGUF", 4))
		return sto_refuse(c,
				  "is %02x%02x%02x%02x, limit 47475546 (\"GGUF\"); this is not a "
				  "GGUF file (of safetensors give the directory)",
				  magic[0], magic[1], magic[2], magic[3]);
	if (sto_take_u32(c, &gguf->version))
		return -EINVAL;
	if (check_version(c, gguf->version) ||
	    take_count(c, "tensor count", STO_GGUF_TENSOR_MAX, TENSOR_BYTES_MIN,
		       &gguf->tensor_count) ||
	    take_count(c, "metadata count", STO_GGUF_PAIR_MAX, PAIR_BYTES_MIN, &gguf->pair_count))
		return -EINVAL;
	return 0;
}

/* The first part of a split model may have metadata alone. */
static int check_not_empty(struct sto_cursor *c, const struct sto_gguf *gguf)
{
	if (gguf->tensor_count || sto_gguf_find(gguf, "split.count"))
		return 0;
	snprintf(c->field, sizeof(c->field), "tensor count");
	return sto_refuse(c, "is 0, limit at least 1; this is a vocabulary only, give the model");
}

/* ---- metadata ---------------------------------------------------------------------------- */

static uint32_t value_bytes(uint32_t type)
{
	static const uint8_t bytes[STO_GGUF_TYPE_COUNT] = {
		[STO_GGUF_U8] = 1, [STO_GGUF_I8] = 1, [STO_GGUF_U16] = 2, [STO_GGUF_I16] = 2,
		[STO_GGUF_U32] = 4, [STO_GGUF_I32] = 4, [STO_GGUF_F32] = 4, [STO_GGUF_BOOL] = 1,
		[STO_GGUF_U64] = 8, [STO_GGUF_I64] = 8, [STO_GGUF_F64] = 8,
	};

	return bytes[type];
}

static int skip_strings(struct sto_cursor *c, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		uint64_t bytes;

		if (sto_take_u64(c, &bytes))
			return -EINVAL;
		if (bytes > STO_GGUF_STRING_MAX)
			return sto_refuse(c, "text %llu has %llu bytes, limit %llu; %s",
					  (unsigned long long)i, (unsigned long long)bytes,
					  (unsigned long long)STO_GGUF_STRING_MAX, STO_DAMAGED);
		if (!sto_take(c, bytes))
			return -EINVAL;
	}
	return 0;
}

static int skip_items(struct sto_cursor *c, struct sto_gguf_pair *pair)
{
	uint32_t bytes = pair->type == STO_GGUF_STRING ? 8 : value_bytes(pair->type);
	const uint8_t *p;

	pair->data = c->memory + c->at;
	if (pair->count > sto_left(c) / bytes)
		return sto_refuse(c, "has %llu items, limit %llu in a file of this size; %s",
				  (unsigned long long)pair->count,
				  (unsigned long long)(sto_left(c) / bytes), STO_DAMAGED);
	if (pair->type == STO_GGUF_STRING)
		return skip_strings(c, pair->count);
	p = sto_take(c, pair->count * bytes);
	if (!p)
		return -EINVAL;
	for (uint64_t i = 0; pair->type == STO_GGUF_BOOL && i < pair->count; i++)
		if (p[i] > 1)
			return sto_refuse(c, "is %u, limit 0 or 1; %s", p[i], STO_DAMAGED);
	return 0;
}

static int read_pair(struct sto_cursor *c, struct sto_gguf_pair *pair, uint32_t index)
{
	snprintf(c->field, sizeof(c->field), "metadata entry %u", index);
	if (sto_take_name(c, STO_GGUF_KEY_MAX, &pair->key))
		return -EINVAL;
	snprintf(c->field, sizeof(c->field), "%.180s", pair->key);
	if (sto_take_u32(c, &pair->type))
		return -EINVAL;
	pair->count = 1;
	pair->is_array = pair->type == STO_GGUF_ARRAY;
	if (pair->is_array && (sto_take_u32(c, &pair->type) || sto_take_u64(c, &pair->count)))
		return -EINVAL;
	if (pair->type == STO_GGUF_ARRAY)
		return sto_refuse(c, "is an array of arrays, limit flat arrays; "
				  "convert the model again");
	if (pair->type >= STO_GGUF_TYPE_COUNT)
		return sto_refuse(c, "has value type %u, limit 0..12; %s", pair->type, STO_DAMAGED);
	if (skip_items(c, pair))
		return -EINVAL;
	pair->bytes = c->at - (uint64_t)(pair->data - c->memory);
	return 0;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct sto_gguf_pair *)a)->key,
		      ((const struct sto_gguf_pair *)b)->key);
}

static int read_pairs(struct sto_cursor *c, struct sto_gguf *gguf)
{
	gguf->pairs = calloc(gguf->pair_count + 1, sizeof(*gguf->pairs));
	if (!gguf->pairs) {
		sto_refuse(c, "out of memory; free some");
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < gguf->pair_count; i++)
		if (read_pair(c, &gguf->pairs[i], i))
			return -EINVAL;
	qsort(gguf->pairs, gguf->pair_count, sizeof(*gguf->pairs), by_key);
	for (uint32_t i = 1; i < gguf->pair_count; i++) {
		if (strcmp(gguf->pairs[i - 1].key, gguf->pairs[i].key))
			continue;
		snprintf(c->field, sizeof(c->field), "%.180s", gguf->pairs[i].key);
		return sto_refuse(c, "is given twice, limit once; %s", STO_DAMAGED);
	}
	return 0;
}

static int read_alignment(struct sto_cursor *c, struct sto_gguf *gguf)
{
	const struct sto_gguf_pair *pair = sto_gguf_find(gguf, "general.alignment");

	gguf->alignment = 32;
	if (!pair)
		return 0;
	snprintf(c->field, sizeof(c->field), "general.alignment");
	if (pair->is_array || pair->type != STO_GGUF_U32)
		return sto_refuse(c, "has type %s%s, limit UINT32; %s",
				  pair->is_array ? "array of " : "",
				  sto_gguf_value_name(pair->type), STO_DAMAGED);
	memcpy(&gguf->alignment, pair->data, sizeof(gguf->alignment));
	if (gguf->alignment >= 8 && gguf->alignment <= STO_GGUF_ALIGN_MAX &&
	    (gguf->alignment & (gguf->alignment - 1)) == 0)
		return 0;
	return sto_refuse(c, "is %u, limit a power of two in 8..%u; %s", gguf->alignment,
			  STO_GGUF_ALIGN_MAX, STO_DAMAGED);
}

static int open_file(struct sto_gguf *gguf, const struct sto_file *file, bool tensors,
		     struct sto_error *error)
{
	struct sto_cursor c = { .file = file, .error = error, .field = "metadata" };
	int err;

	memset(gguf, 0, sizeof(*gguf));
	gguf->file = file;
	c.limit = file->bytes < STO_GGUF_METADATA_MAX ? file->bytes : STO_GGUF_METADATA_MAX;
	/* Address space only; pages are touched as far as the metadata reaches. */
	gguf->memory = malloc(c.limit);
	if (!gguf->memory) {
		sto_refuse(&c, "out of memory; free some");
		return -ENOMEM;
	}
	c.memory = gguf->memory;
	err = read_head(&c, gguf);
	if (!err)
		err = read_pairs(&c, gguf);
	if (!err && tensors)
		err = check_not_empty(&c, gguf);
	if (!err)
		err = read_alignment(&c, gguf);
	if (!err && tensors)
		err = sto_gguf_read_tensors(&c, gguf);
	if (err)
		sto_gguf_close(gguf);
	return err;
}

int sto_gguf_open(struct sto_gguf *gguf, const struct sto_file *file, struct sto_error *error)
{
	return open_file(gguf, file, true, error);
}

int sto_gguf_open_metadata(struct sto_gguf *gguf, const struct sto_file *file,
			   struct sto_error *error)
{
	return open_file(gguf, file, false, error);
}

void sto_gguf_close(struct sto_gguf *gguf)
{
	for (uint32_t i = 0; i < gguf->part_count; i++)
		sto_gguf_close(&gguf->parts[i]);
	free(gguf->parts);
	free(gguf->pairs);
	free(gguf->tensors);
	free(gguf->memory);
	memset(gguf, 0, sizeof(*gguf));
}
