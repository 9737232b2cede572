/* SPDX-License-Identifier: MIT */
/* sto_gguf_get.c: find keys and tensors of an open GGUF file, with their types checked. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sto_gguf.h"

const char *sto_gguf_value_name(uint32_t type)
{
	static const char *const names[STO_GGUF_TYPE_COUNT] = {
		"UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "FLOAT32", "BOOL", "STRING",
		"ARRAY", "UINT64", "INT64", "FLOAT64",
	};

	return type < STO_GGUF_TYPE_COUNT ? names[type] : "unknown";
}

const char *sto_gguf_tensor_type_name(uint32_t type)
{
	static const char *const names[] = {
		[0] = "F32",	  [1] = "F16",	   [2] = "Q4_0",     [3] = "Q4_1",
		[6] = "Q5_0",	  [7] = "Q5_1",	   [8] = "Q8_0",     [9] = "Q8_1",
		[10] = "Q2_K",	  [11] = "Q3_K",   [12] = "Q4_K",    [13] = "Q5_K",
		[14] = "Q6_K",	  [15] = "Q8_K",   [16] = "IQ2_XXS", [17] = "IQ2_XS",
		[18] = "IQ3_XXS", [19] = "IQ1_S",  [20] = "IQ4_NL",  [21] = "IQ3_S",
		[22] = "IQ2_S",	  [23] = "IQ4_XS", [24] = "I8",	     [25] = "I16",
		[26] = "I32",	  [27] = "I64",	   [28] = "F64",     [29] = "IQ1_M",
		[30] = "BF16",	  [34] = "TQ1_0",  [35] = "TQ2_0",   [39] = "MXFP4",
		[40] = "NVFP4",	  [41] = "Q1_0",
	};

	if (type >= sizeof(names) / sizeof(names[0]) || !names[type])
		return "unknown";
	return names[type];
}

static int pair_compare(const void *key, const void *pair)
{
	return strcmp(key, ((const struct sto_gguf_pair *)pair)->key);
}

const struct sto_gguf_pair *sto_gguf_find(const struct sto_gguf *gguf, const char *key)
{
	return bsearch(key, gguf->pairs, gguf->pair_count, sizeof(*gguf->pairs), pair_compare);
}

static int tensor_compare(const void *name, const void *tensor)
{
	return strcmp(name, ((const struct sto_gguf_tensor *)tensor)->name);
}

const struct sto_gguf_tensor *sto_gguf_find_tensor(const struct sto_gguf *gguf, const char *name)
{
	return bsearch(name, gguf->tensors, gguf->tensor_count, sizeof(*gguf->tensors),
		       tensor_compare);
}

static int wrong_type(const struct sto_gguf *gguf, const struct sto_gguf_pair *pair,
		      const char *limit, struct sto_error *error)
{
	sto_fail(error, "%s: %s: has type %s%s, limit %s; convert the model again",
		 gguf->file->path, pair->key, pair->is_array ? "array of " : "",
		 sto_gguf_value_name(pair->type), limit);
	return -EINVAL;
}

static uint64_t load_unsigned(const uint8_t *data, uint32_t bytes)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < bytes; i++)
		value |= (uint64_t)data[i] << (8 * i);
	return value;
}

int sto_gguf_u32(const struct sto_gguf *gguf, const char *key, uint32_t *value,
		 struct sto_error *error)
{
	const struct sto_gguf_pair *pair = sto_gguf_find(gguf, key);
	uint32_t bytes;
	uint64_t wide;

	if (!pair)
		return -ENOENT;
	bytes = pair->type == STO_GGUF_U8 ? 1 : pair->type == STO_GGUF_U16 ? 2 :
		pair->type == STO_GGUF_U32 ? 4 : pair->type == STO_GGUF_U64 ? 8 : 0;
	if (pair->is_array || !bytes)
		return wrong_type(gguf, pair, "UINT32", error);
	wide = load_unsigned(pair->data, bytes);
	if (wide > UINT32_MAX) {
		sto_fail(error, "%s: %s: is %llu, limit 4294967295; convert the model again",
			 gguf->file->path, key, (unsigned long long)wide);
		return -EINVAL;
	}
	*value = (uint32_t)wide;
	return 0;
}

int sto_gguf_f32(const struct sto_gguf *gguf, const char *key, float *value,
		 struct sto_error *error)
{
	const struct sto_gguf_pair *pair = sto_gguf_find(gguf, key);
	double wide;

	if (!pair)
		return -ENOENT;
	if (pair->is_array || (pair->type != STO_GGUF_F32 && pair->type != STO_GGUF_F64))
		return wrong_type(gguf, pair, "FLOAT32", error);
	if (pair->type == STO_GGUF_F32) {
		memcpy(value, pair->data, sizeof(*value));
		return 0;
	}
	memcpy(&wide, pair->data, sizeof(wide));
	*value = wide > 3e38 ? 1.0f / 0.0f : wide < -3e38 ? -1.0f / 0.0f : (float)wide;
	return 0;
}

int sto_gguf_bool(const struct sto_gguf *gguf, const char *key, bool *value,
		  struct sto_error *error)
{
	const struct sto_gguf_pair *pair = sto_gguf_find(gguf, key);

	if (!pair)
		return -ENOENT;
	if (pair->is_array || pair->type != STO_GGUF_BOOL)
		return wrong_type(gguf, pair, "BOOL", error);
	*value = pair->data[0] != 0;
	return 0;
}

int sto_gguf_string(const struct sto_gguf *gguf, const char *key, struct eng_tok_string *value,
		    struct sto_error *error)
{
	const struct sto_gguf_pair *pair = sto_gguf_find(gguf, key);

	if (!pair)
		return -ENOENT;
	if (pair->is_array || pair->type != STO_GGUF_STRING)
		return wrong_type(gguf, pair, "STRING", error);
	value->bytes = (uint32_t)load_unsigned(pair->data, 8);	/* at most STO_GGUF_STRING_MAX */
	value->data = (const char *)pair->data + 8;
	return 0;
}

/* The array under @key, of either type, with room for its items. */
static int array_find(const struct sto_gguf *gguf, const char *key, uint32_t type, uint32_t other,
		      size_t item_bytes, const struct sto_gguf_pair **pair, void **values,
		      struct sto_error *error)
{
	*pair = sto_gguf_find(gguf, key);
	if (!*pair)
		return -ENOENT;
	if (!(*pair)->is_array || ((*pair)->type != type && (*pair)->type != other) ||
	    (*pair)->count > UINT32_MAX)
		return wrong_type(gguf, *pair,
				  type == STO_GGUF_STRING ? "array of STRING" :
				  type == STO_GGUF_F32 ? "array of FLOAT32" : "array of INT32",
				  error);
	*values = calloc((*pair)->count + 1, item_bytes);
	if (*values)
		return 0;
	sto_fail(error, "%s: %s: out of memory for %llu items; free some", gguf->file->path, key,
		 (unsigned long long)(*pair)->count);
	return -ENOMEM;
}

int sto_gguf_strings(const struct sto_gguf *gguf, const char *key, struct eng_tok_string **values,
		     uint32_t *count, struct sto_error *error)
{
	const struct sto_gguf_pair *pair;
	const uint8_t *p;
	void *memory;
	int err = array_find(gguf, key, STO_GGUF_STRING, STO_GGUF_STRING, sizeof(**values), &pair,
			     &memory, error);

	if (err)
		return err;
	*values = memory;
	*count = (uint32_t)pair->count;
	p = pair->data;
	for (uint32_t i = 0; i < *count; i++) {
		(*values)[i].bytes = (uint32_t)load_unsigned(p, 8);
		(*values)[i].data = (const char *)p + 8;
		p += 8 + (*values)[i].bytes;
	}
	return 0;
}

int sto_gguf_i32s(const struct sto_gguf *gguf, const char *key, int32_t **values, uint32_t *count,
		  struct sto_error *error)
{
	const struct sto_gguf_pair *pair;
	void *memory;
	int err = array_find(gguf, key, STO_GGUF_I32, STO_GGUF_U32, sizeof(**values), &pair,
			     &memory, error);

	if (err)
		return err;
	*values = memory;
	*count = (uint32_t)pair->count;
	memcpy(memory, pair->data, pair->count * sizeof(**values));
	return 0;
}

int sto_gguf_f32s(const struct sto_gguf *gguf, const char *key, float **values, uint32_t *count,
		  struct sto_error *error)
{
	const struct sto_gguf_pair *pair;
	void *memory;
	int err = array_find(gguf, key, STO_GGUF_F32, STO_GGUF_F32, sizeof(**values), &pair,
			     &memory, error);

	if (err)
		return err;
	*values = memory;
	*count = (uint32_t)pair->count;
	memcpy(memory, pair->data, pair->count * sizeof(**values));
	return 0;
}
