/* SPDX-License-Identifier: MIT */
/* sto_safetensors.c: read and check the header of a safetensors file. */
#include "sto_safetensors_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sto_json.h"

static const char damaged[] = "the file is damaged, fetch it again";

static const struct {
	const char *name;
	uint32_t bits;
	uint32_t source;
} dtypes[] = {
	{ "F32", 32, ENG_SRC_F32 },	    { "F16", 16, ENG_SRC_F16 },
	{ "BF16", 16, ENG_SRC_BF16 },	    { "F64", 64, STO_ST_NOT_FLOAT },
	{ "I64", 64, STO_ST_NOT_FLOAT },    { "U64", 64, STO_ST_NOT_FLOAT },
	{ "I32", 32, STO_ST_NOT_FLOAT },    { "U32", 32, STO_ST_NOT_FLOAT },
	{ "I16", 16, STO_ST_NOT_FLOAT },    { "U16", 16, STO_ST_NOT_FLOAT },
	{ "I8", 8, STO_ST_NOT_FLOAT },	    { "U8", 8, STO_ST_NOT_FLOAT },
	{ "BOOL", 8, STO_ST_NOT_FLOAT },    { "F8_E4M3", 8, STO_ST_NOT_FLOAT },
	{ "F8_E5M2", 8, STO_ST_NOT_FLOAT }, { "F8_E8M0", 8, STO_ST_NOT_FLOAT },
	{ "C64", 64, STO_ST_NOT_FLOAT },
};

static int read_length(const struct sto_file *file, uint64_t *length, struct sto_error *error)
{
	uint8_t raw[8];
	int err;

	if (file->bytes < sizeof(raw) + 2) {
		sto_fail(error, "%s: header length: the file has %llu bytes, limit at least 10; %s",
			 file->path, (unsigned long long)file->bytes, damaged);
		return -EINVAL;
	}
	err = sto_file_read(file, raw, sizeof(raw), 0, error);
	if (err)
		return err;
	*length = 0;
	for (int i = 0; i < 8; i++)
		*length |= (uint64_t)raw[i] << (8 * i);
	if (*length >= 2 && *length <= STO_ST_HEADER_MAX && *length <= file->bytes - sizeof(raw))
		return 0;
	sto_fail(error, "%s: header length: is %llu, limit 2..%llu and the %llu bytes after it; %s",
		 file->path, (unsigned long long)*length, (unsigned long long)STO_ST_HEADER_MAX,
		 (unsigned long long)(file->bytes - sizeof(raw)),
		 memcmp(raw, "GGUF", 4) ? damaged : "this is a GGUF file, name it itself");
	return -EINVAL;
}

/* The header's text into *@text, the caller's. */
static int read_text(const struct sto_file *file, char **text, uint64_t *length, struct sto_error *error)
{
	int err = read_length(file, length, error);

	*text = NULL;
	if (err)
		return err;
	*text = malloc(*length);
	if (!*text) {
		sto_fail(error, "%s: out of memory; free some", file->path);
		return -ENOMEM;
	}
	return sto_file_read(file, *text, *length, 8, error);
}

static int refuse(const struct sto_safetensors *st, const struct sto_st_tensor *t, const char *what,
		  struct sto_error *error)
{
	sto_fail(error, "%s: tensor %s: %s; %s", st->file->path, t->name, what, damaged);
	return -EINVAL;
}

/* What its dtype says; *@bits: of one value. */
static int check_type(const struct sto_safetensors *st, struct sto_st_tensor *t, uint64_t *bits,
		      struct sto_error *error)
{
	for (size_t i = 0; i < sizeof(dtypes) / sizeof(dtypes[0]); i++) {
		if (strcmp(dtypes[i].name, t->dtype))
			continue;
		t->source = dtypes[i].source;
		*bits = dtypes[i].bits;
		return 0;
	}
	return refuse(st, t, "dtype: is unknown, limit F32, F16, BF16", error);
}

/* Type and shape against the bytes. */
static int check_tensor(const struct sto_safetensors *st, struct sto_st_tensor *t, struct sto_error *error)
{
	uint64_t bits = 0;
	int err = check_type(st, t, &bits, error);

	if (err)
		return err;
	for (uint32_t i = 0; i < t->dim_count; i++)
		if (__builtin_mul_overflow(bits, t->dims[i], &bits))
			return refuse(st, t, "shape: has more bits than 64 bits count", error);
	if (t->bytes == bits / 8 && bits % 8 == 0)
		return 0;
	return refuse(st, t, "data_offsets: do not span what dtype and shape need", error);
}

static int read_type(const struct sto_safetensors *st, const json_t *entry, struct sto_st_tensor *t,
		     struct sto_error *error)
{
	t->dtype = json_string_value(json_object_get(entry, "dtype"));
	return t->dtype ? 0 : refuse(st, t, "dtype: is not text, limit one of F32, F16, BF16", error);
}

static int read_shape(const struct sto_safetensors *st, const json_t *entry,
		      struct sto_st_tensor *t, struct sto_error *error)
{
	const json_t *shape = json_object_get(entry, "shape");

	if (!json_is_array(shape) || json_array_size(shape) > STO_ST_DIMS_MAX)
		return refuse(st, t, "shape: is not a list, limit 0..8 numbers", error);
	t->dim_count = (uint32_t)json_array_size(shape);
	for (uint32_t i = 0; i < t->dim_count; i++) {
		const json_t *dim = json_array_get(shape, i);

		if (!json_is_integer(dim) || json_integer_value(dim) < 0)
			return refuse(st, t, "shape: a dimension is not a number, limit 0..2^63-1",
				      error);
		t->dims[i] = (uint64_t)json_integer_value(dim);
	}
	return 0;
}

/* Offsets count from the end of the header; kept so until all are checked. */
static int read_offsets(const struct sto_safetensors *st, const json_t *entry,
			struct sto_st_tensor *t, struct sto_error *error)
{
	const json_t *pair = json_object_get(entry, "data_offsets");
	const json_t *begin = json_array_get(pair, 0), *end = json_array_get(pair, 1);

	if (json_array_size(pair) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
	    json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
		return refuse(st, t, "data_offsets: limit two rising numbers", error);
	t->offset_bytes = (uint64_t)json_integer_value(begin);
	t->bytes = (uint64_t)json_integer_value(end) - t->offset_bytes;
	return 0;
}

static int read_tensor(const struct sto_safetensors *st, const char *name, const json_t *entry,
		       struct sto_st_tensor *t, struct sto_error *error)
{
	size_t length = strlen(name);
	int err;

	t->name = name;
	if (length == 0 || length > STO_ST_NAME_MAX || !sto_utf8_valid(name, length, false)) {
		sto_fail(error, "%s: tensor name \"%.40s\": limit 1..%u bytes of clean text; %s",
			 st->file->path, name, STO_ST_NAME_MAX, damaged);
		return -EINVAL;
	}
	if (!json_is_object(entry))
		return refuse(st, t, "is not an object, limit {dtype, shape, data_offsets}", error);
	err = read_type(st, entry, t, error);
	if (!err)
		err = read_shape(st, entry, t, error);
	if (!err)
		err = read_offsets(st, entry, t, error);
	return err ? err : check_tensor(st, t, error);
}

static int check_metadata(const struct sto_safetensors *st, json_t *metadata,
			  struct sto_error *error)
{
	const char *key;
	json_t *value;
	bool good = json_is_object(metadata);

	json_object_foreach(metadata, key, value)
		good = good && json_is_string(value);
	if (good)
		return 0;
	sto_fail(error, "%s: __metadata__: limit an object of texts; %s", st->file->path, damaged);
	return -EINVAL;
}

static int read_tensors(struct sto_safetensors *st, json_t *root, struct sto_error *error)
{
	const char *name;
	json_t *entry;

	st->tensors = calloc(json_object_size(root) + 1, sizeof(*st->tensors));
	if (!st->tensors) {
		sto_fail(error, "%s: out of memory; free some", st->file->path);
		return -ENOMEM;
	}
	json_object_foreach(root, name, entry) {
		int err;

		if (!strcmp(name, "__metadata__"))
			err = check_metadata(st, entry, error);
		else
			err = read_tensor(st, name, entry, &st->tensors[st->tensor_count++], error);
		if (err)
			return err;
	}
	if (st->tensor_count)
		return 0;
	sto_fail(error, "%s: header: has no tensors, limit at least 1; %s", st->file->path,
		 damaged);
	return -EINVAL;
}

static int by_offset(const void *a, const void *b)
{
	const struct sto_st_tensor *x = a, *y = b;

	if (x->offset_bytes != y->offset_bytes)
		return x->offset_bytes < y->offset_bytes ? -1 : 1;
	return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct sto_st_tensor *)a)->name,
		      ((const struct sto_st_tensor *)b)->name);
}

static int check_places(struct sto_safetensors *st, uint64_t data_offset, struct sto_error *error)
{
	uint64_t room = st->file->bytes - data_offset, at = 0;

	qsort(st->tensors, st->tensor_count, sizeof(*st->tensors), by_offset);
	for (uint32_t i = 0; i < st->tensor_count; i++) {
		struct sto_st_tensor *t = &st->tensors[i];

		if (t->offset_bytes < at)
			return refuse(st, t, "data_offsets: lie in another tensor", error);
		if (t->offset_bytes > at)
			return refuse(st, t, "data_offsets: leave a hole in front", error);
		if (t->bytes > room - at)
			return refuse(st, t, "data_offsets: end past the end of the file", error);
		at += t->bytes;
		t->offset_bytes += data_offset;
	}
	qsort(st->tensors, st->tensor_count, sizeof(*st->tensors), by_name);
	if (at == room)
		return 0;
	sto_fail(error, "%s: file size: is %llu, limit %llu (the end of the last tensor); %s",
		 st->file->path, (unsigned long long)st->file->bytes,
		 (unsigned long long)(data_offset + at), damaged);
	return -EINVAL;
}

/* Of any form; @text is read once more, since the other reader cut it up. */
static int read_any(struct sto_safetensors *st, uint64_t length, struct sto_error *error)
{
	json_t *root = NULL;
	int err = sto_file_read(st->file, st->text, length, 8, error);

	free(st->tensors);
	st->tensors = NULL;
	st->tensor_count = 0;
	if (!err)
		err = sto_json_parse(st->file->path, st->text, length, &root, error);
	st->root = root;
	return err ? err : read_tensors(st, root, error);
}

static int read_header(struct sto_safetensors *st, uint64_t length, struct sto_error *error)
{
	int err = 0;

	if (!sto_st_plain(st, st->text, length))
		return read_any(st, length, error);
	for (uint32_t i = 0; i < st->tensor_count && !err; i++)
		err = check_tensor(st, &st->tensors[i], error);
	return err;
}

int sto_st_open(struct sto_safetensors *st, const struct sto_file *file, struct sto_error *error)
{
	uint64_t length = 0;
	int err;

	memset(st, 0, sizeof(*st));
	st->file = file;
	err = read_text(file, &st->text, &length, error);
	if (!err)
		err = read_header(st, length, error);
	if (!err)
		err = check_places(st, 8 + length, error);
	if (err)
		sto_st_close(st);
	return err;
}

void sto_st_close(struct sto_safetensors *st)
{
	free(st->tensors);
	free(st->text);
	json_decref(st->root);
	memset(st, 0, sizeof(*st));
}

static int name_compare(const void *name, const void *tensor)
{
	return strcmp(name, ((const struct sto_st_tensor *)tensor)->name);
}

const struct sto_st_tensor *sto_st_find(const struct sto_safetensors *st, const char *name)
{
	return bsearch(name, st->tensors, st->tensor_count, sizeof(*st->tensors), name_compare);
}
