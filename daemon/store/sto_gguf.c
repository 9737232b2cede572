/* SPDX-License-Identifier: MIT */
/* sto_gguf.c: read and check a GGUF file's metadata and tensor list. */
#include "sto_gguf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eng_pack.h"

#define READ_AHEAD_BYTES	(1u << 20)
#define PAIR_BYTES_MIN		13u	/* key length, type, 1 byte of value */
#define TENSOR_BYTES_MIN	33u	/* name length and byte, dims, type, offset */

static const char damaged[] = "the file is damaged, fetch it again";

struct cursor {
	const struct sto_file *file;
	struct sto_error *error;
	uint8_t *memory;	/* room for all metadata that the file may have */
	uint64_t limit;		/* bytes of that room */
	uint64_t loaded;
	uint64_t at;
	char field[192];	/* what is being read, for messages */
};

static int refuse(struct cursor *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int refuse(struct cursor *c, const char *format, ...)
{
	char what[256];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	sto_fail(c->error, "%s: %s: %s", c->file->path, c->field, what);
	return -EINVAL;
}

static uint64_t left(const struct cursor *c)
{
	return c->limit - c->at;
}

static int load_more(struct cursor *c, uint64_t bytes)
{
	uint64_t missing = c->at + bytes - c->loaded;
	uint64_t part = missing < READ_AHEAD_BYTES ? READ_AHEAD_BYTES : missing;
	int err;

	if (part > c->limit - c->loaded)
		part = c->limit - c->loaded;
	err = sto_file_read(c->file, c->memory + c->loaded, part, c->loaded, c->error);
	if (!err)
		c->loaded += part;
	return err;
}

/* The next @bytes, which stay where they are. NULL with the error set. */
static uint8_t *take(struct cursor *c, uint64_t bytes)
{
	uint8_t *p = c->memory + c->at;

	if (bytes > left(c)) {
		if (c->limit < c->file->bytes)
			refuse(c, "metadata is too long, limit %llu bytes; %s",
			       (unsigned long long)STO_GGUF_METADATA_MAX, damaged);
		else
			refuse(c, "ends past the end of the file, limit %llu bytes; %s",
			       (unsigned long long)c->file->bytes, damaged);
		return NULL;
	}
	if (c->at + bytes > c->loaded && load_more(c, bytes))
		return NULL;
	c->at += bytes;
	return p;
}

static int take_u32(struct cursor *c, uint32_t *value)
{
	const uint8_t *p = take(c, 4);

	if (!p)
		return -EINVAL;
	*value = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
	return 0;
}

static int take_u64(struct cursor *c, uint64_t *value)
{
	uint32_t low, high;

	if (take_u32(c, &low) || take_u32(c, &high))
		return -EINVAL;
	*value = (uint64_t)high << 32 | low;
	return 0;
}

/*
 * A key or tensor name, NUL-terminated in place: moved one byte to the left, over the last byte of
 * its length.
 */
static int take_name(struct cursor *c, uint64_t limit_bytes, const char **name)
{
	uint64_t bytes;
	uint8_t *p;

	if (take_u64(c, &bytes))
		return -EINVAL;
	if (bytes == 0 || bytes > limit_bytes)
		return refuse(c, "name has %llu bytes, limit 1..%llu; %s",
			      (unsigned long long)bytes, (unsigned long long)limit_bytes, damaged);
	p = take(c, bytes);
	if (!p)
		return -EINVAL;
	if (!sto_utf8_valid((const char *)p, bytes, false))
		return refuse(c,
			      "name is not clean text, limit UTF-8 without control characters; %s",
			      damaged);
	memmove(p - 1, p, bytes);
	p[bytes - 1] = '\0';
	*name = (const char *)p - 1;
	return 0;
}

/* ---- header ------------------------------------------------------------------------------ */

static int check_version(struct cursor *c, uint32_t version)
{
	snprintf(c->field, sizeof(c->field), "version");
	if (version == 2 || version == 3)
		return 0;
	if (version && (version & 0xffff) == 0)
		return refuse(c, "big-endian file, limit little-endian; convert the model again");
	if (version == 1)
		return refuse(c, "is 1 (32-bit lengths), limit 2..3; convert the model again");
	return refuse(c, "is %u, limit 2..3; %s", version,
		      version > 3 ? "a newer mhost may read it" : damaged);
}

static int take_count(struct cursor *c, const char *field, uint64_t limit, uint32_t bytes_min,
		      uint32_t *count)
{
	uint64_t wide;

	snprintf(c->field, sizeof(c->field), "%s", field);
	if (take_u64(c, &wide))
		return -EINVAL;
	if (wide > limit)
		return refuse(c, "is %llu, limit %llu; %s", (unsigned long long)wide,
			      (unsigned long long)limit, damaged);
	if (wide > left(c) / bytes_min)
		return refuse(c, "is %llu, limit %llu in a file of this size; %s",
			      (unsigned long long)wide, (unsigned long long)(left(c) / bytes_min),
			      damaged);
	*count = (uint32_t)wide;
	return 0;
}

static int read_head(struct cursor *c, struct sto_gguf *gguf)
{
	const uint8_t *magic;

	snprintf(c->field, sizeof(c->field), "magic");
	magic = take(c, 4);
	if (!magic)
		return -EINVAL;
	if (memcmp(magic, "GGUF", 4))
		return refuse(c,
			      "is %02x%02x%02x%02x, limit 47475546 (\"GGUF\"); this is not a GGUF "
			      "file (of safetensors give the directory)",
			      magic[0], magic[1], magic[2], magic[3]);
	if (take_u32(c, &gguf->version))
		return -EINVAL;
	if (check_version(c, gguf->version) ||
	    take_count(c, "tensor count", STO_GGUF_TENSOR_MAX, TENSOR_BYTES_MIN,
		       &gguf->tensor_count) ||
	    take_count(c, "metadata count", STO_GGUF_PAIR_MAX, PAIR_BYTES_MIN, &gguf->pair_count))
		return -EINVAL;
	if (gguf->tensor_count == 0) {
		snprintf(c->field, sizeof(c->field), "tensor count");
		return refuse(c,
			      "is 0, limit at least 1; this is a vocabulary only, give the model");
	}
	return 0;
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

static int skip_strings(struct cursor *c, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		uint64_t bytes;

		if (take_u64(c, &bytes))
			return -EINVAL;
		if (bytes > STO_GGUF_STRING_MAX)
			return refuse(c, "text %llu has %llu bytes, limit %llu; %s",
				      (unsigned long long)i, (unsigned long long)bytes,
				      (unsigned long long)STO_GGUF_STRING_MAX, damaged);
		if (!take(c, bytes))
			return -EINVAL;
	}
	return 0;
}

static int skip_items(struct cursor *c, struct sto_gguf_pair *pair)
{
	uint32_t bytes = pair->type == STO_GGUF_STRING ? 8 : value_bytes(pair->type);
	const uint8_t *p;

	pair->data = c->memory + c->at;
	if (pair->count > left(c) / bytes)
		return refuse(c, "has %llu items, limit %llu in a file of this size; %s",
			      (unsigned long long)pair->count,
			      (unsigned long long)(left(c) / bytes), damaged);
	if (pair->type == STO_GGUF_STRING)
		return skip_strings(c, pair->count);
	p = take(c, pair->count * bytes);
	if (!p)
		return -EINVAL;
	for (uint64_t i = 0; pair->type == STO_GGUF_BOOL && i < pair->count; i++)
		if (p[i] > 1)
			return refuse(c, "is %u, limit 0 or 1; %s", p[i], damaged);
	return 0;
}

static int read_pair(struct cursor *c, struct sto_gguf_pair *pair, uint32_t index)
{
	snprintf(c->field, sizeof(c->field), "metadata entry %u", index);
	if (take_name(c, STO_GGUF_KEY_MAX, &pair->key))
		return -EINVAL;
	snprintf(c->field, sizeof(c->field), "%.180s", pair->key);
	if (take_u32(c, &pair->type))
		return -EINVAL;
	pair->count = 1;
	pair->is_array = pair->type == STO_GGUF_ARRAY;
	if (pair->is_array && (take_u32(c, &pair->type) || take_u64(c, &pair->count)))
		return -EINVAL;
	if (pair->type == STO_GGUF_ARRAY)
		return refuse(c,
			      "is an array of arrays, limit flat arrays; convert the model again");
	if (pair->type >= STO_GGUF_TYPE_COUNT)
		return refuse(c, "has value type %u, limit 0..12; %s", pair->type, damaged);
	return skip_items(c, pair);
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct sto_gguf_pair *)a)->key,
		      ((const struct sto_gguf_pair *)b)->key);
}

static int read_pairs(struct cursor *c, struct sto_gguf *gguf)
{
	gguf->pairs = calloc(gguf->pair_count + 1, sizeof(*gguf->pairs));
	if (!gguf->pairs) {
		refuse(c, "out of memory; free some");
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
		return refuse(c, "is given twice, limit once; %s", damaged);
	}
	return 0;
}

static int read_alignment(struct cursor *c, struct sto_gguf *gguf)
{
	const struct sto_gguf_pair *pair = sto_gguf_find(gguf, "general.alignment");

	gguf->alignment = 32;
	if (!pair)
		return 0;
	snprintf(c->field, sizeof(c->field), "general.alignment");
	if (pair->is_array || pair->type != STO_GGUF_U32)
		return refuse(c, "has type %s%s, limit UINT32; %s",
			      pair->is_array ? "array of " : "", sto_gguf_value_name(pair->type),
			      damaged);
	memcpy(&gguf->alignment, pair->data, sizeof(gguf->alignment));
	if (gguf->alignment >= 8 && gguf->alignment <= STO_GGUF_ALIGN_MAX &&
	    (gguf->alignment & (gguf->alignment - 1)) == 0)
		return 0;
	return refuse(c, "is %u, limit a power of two in 8..%u; %s", gguf->alignment,
		      STO_GGUF_ALIGN_MAX, damaged);
}

/* ---- tensors ----------------------------------------------------------------------------- */

static int read_dims(struct cursor *c, struct sto_gguf_tensor *t, uint64_t *values)
{
	*values = 1;
	if (take_u32(c, &t->dim_count))
		return -EINVAL;
	if (t->dim_count == 0 || t->dim_count > STO_GGUF_DIMS_MAX)
		return refuse(c, "has %u dimensions, limit 1..%u; %s", t->dim_count,
			      STO_GGUF_DIMS_MAX, damaged);
	for (uint32_t i = 0; i < STO_GGUF_DIMS_MAX; i++) {
		t->dims[i] = 1;
		if (i < t->dim_count && take_u64(c, &t->dims[i]))
			return -EINVAL;
		if (t->dims[i] == 0 || t->dims[i] > UINT32_MAX)
			return refuse(c, "dimension %u is %llu, limit 1..4294967295; %s", i,
				      (unsigned long long)t->dims[i], damaged);
		if (__builtin_mul_overflow(*values, t->dims[i], values))
			return refuse(c, "has more values than 64 bits count; %s", damaged);
	}
	return 0;
}

static int read_tensor(struct cursor *c, struct sto_gguf *gguf, struct sto_gguf_tensor *t,
		       uint32_t index)
{
	uint64_t values, block_values;

	snprintf(c->field, sizeof(c->field), "tensor %u", index);
	if (take_name(c, STO_GGUF_NAME_MAX, &t->name))
		return -EINVAL;
	snprintf(c->field, sizeof(c->field), "tensor %s", t->name);
	if (read_dims(c, t, &values) || take_u32(c, &t->type) || take_u64(c, &t->offset_bytes))
		return -EINVAL;
	block_values = eng_source_block_values(t->type);
	if (block_values == 0)
		return refuse(
			c,
			"type %u (%s) is not supported, limit F32, F16, BF16, Q8_0, Q4_0, "
			"Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K; convert the model to one of them",
			t->type, sto_gguf_tensor_type_name(t->type));
	if (t->dims[0] % block_values)
		return refuse(c, "rows of %llu values, limit a multiple of %llu for %s; %s",
			      (unsigned long long)t->dims[0], (unsigned long long)block_values,
			      sto_gguf_tensor_type_name(t->type), damaged);
	if (__builtin_mul_overflow(values / block_values, (uint64_t)eng_source_block_bytes(t->type),
				   &t->bytes))
		return refuse(c, "has more bytes than 64 bits count; %s", damaged);
	if (t->offset_bytes % gguf->alignment)
		return refuse(c, "offset %llu is not aligned, limit a multiple of %u; %s",
			      (unsigned long long)t->offset_bytes, gguf->alignment, damaged);
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
static int check_ends(struct cursor *c, const struct sto_gguf *gguf)
{
	uint64_t room = c->file->bytes - gguf->data_offset_bytes;

	for (uint32_t i = 0; i < gguf->tensor_count; i++) {
		const struct sto_gguf_tensor *t = &gguf->tensors[i];

		if (t->offset_bytes <= room && t->bytes <= room - t->offset_bytes)
			continue;
		snprintf(c->field, sizeof(c->field), "tensor %s", t->name);
		return refuse(c, "data ends past the end of the file, limit %llu bytes; %s",
			      (unsigned long long)c->file->bytes, damaged);
	}
	return 0;
}

/* Sorted by offset, each tensor begins where the one before ends, padded. */
static int check_places(struct cursor *c, struct sto_gguf *gguf)
{
	uint64_t room = c->file->bytes - gguf->data_offset_bytes, end = 0, padded = 0;

	for (uint32_t i = 0; i < gguf->tensor_count; i++) {
		struct sto_gguf_tensor *t = &gguf->tensors[i];

		snprintf(c->field, sizeof(c->field), "tensor %s", t->name);
		if (t->offset_bytes < padded)
			return refuse(c, "offset %llu lies in another tensor, limit %llu; %s",
				      (unsigned long long)t->offset_bytes,
				      (unsigned long long)padded, damaged);
		if (t->offset_bytes > padded)
			return refuse(c, "offset %llu leaves a hole, limit %llu; %s",
				      (unsigned long long)t->offset_bytes,
				      (unsigned long long)padded, damaged);
		t->offset_bytes += gguf->data_offset_bytes;
		end = padded + t->bytes;
		padded = (end + gguf->alignment - 1) / gguf->alignment * gguf->alignment;
	}
	if (room == end || room == padded)
		return 0;
	snprintf(c->field, sizeof(c->field), "file size");
	return refuse(c, "is %llu, limit %llu (the end of the last tensor, padded); %s",
		      (unsigned long long)c->file->bytes,
		      (unsigned long long)(gguf->data_offset_bytes + padded), damaged);
}

static int read_tensors(struct cursor *c, struct sto_gguf *gguf)
{
	gguf->tensors = calloc(gguf->tensor_count, sizeof(*gguf->tensors));
	if (!gguf->tensors) {
		refuse(c, "out of memory; free some");
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
		return refuse(c, "is listed twice, limit once; %s", damaged);
	}
	gguf->data_offset_bytes = (c->at + gguf->alignment - 1) / gguf->alignment * gguf->alignment;
	if (gguf->data_offset_bytes > c->file->bytes) {
		snprintf(c->field, sizeof(c->field), "tensor data");
		return refuse(c, "begins past the end of the file, limit %llu bytes; %s",
			      (unsigned long long)c->file->bytes, damaged);
	}
	qsort(gguf->tensors, gguf->tensor_count, sizeof(*gguf->tensors), by_offset);
	if (check_ends(c, gguf) || check_places(c, gguf))
		return -EINVAL;
	qsort(gguf->tensors, gguf->tensor_count, sizeof(*gguf->tensors), by_name);
	return 0;
}

int sto_gguf_open(struct sto_gguf *gguf, const struct sto_file *file, struct sto_error *error)
{
	struct cursor c = { .file = file, .error = error, .field = "metadata" };
	int err;

	memset(gguf, 0, sizeof(*gguf));
	gguf->file = file;
	c.limit = file->bytes < STO_GGUF_METADATA_MAX ? file->bytes : STO_GGUF_METADATA_MAX;
	/* Address space only; pages are touched as far as the metadata reaches. */
	gguf->memory = malloc(c.limit);
	if (!gguf->memory) {
		refuse(&c, "out of memory; free some");
		return -ENOMEM;
	}
	c.memory = gguf->memory;
	err = read_head(&c, gguf);
	if (!err)
		err = read_pairs(&c, gguf);
	if (!err)
		err = read_alignment(&c, gguf);
	if (!err)
		err = read_tensors(&c, gguf);
	if (err)
		sto_gguf_close(gguf);
	return err;
}

void sto_gguf_close(struct sto_gguf *gguf)
{
	free(gguf->pairs);
	free(gguf->tensors);
	free(gguf->memory);
	memset(gguf, 0, sizeof(*gguf));
}
