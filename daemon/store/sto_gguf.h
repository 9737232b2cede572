/* SPDX-License-Identifier: MIT */
/*
 * sto_gguf.h: metadata and tensor list of a GGUF file, versions 2 and 3, little-endian.
 *
 * The metadata is read into own memory and checked whole before any of it is used: every length
 * against what is left of the file, keys and tensor names unique and clean UTF-8, arrays flat,
 * tensors gapless and without overlap, nothing behind the last one but its padding (trailing bytes
 * are refused). Big-endian files and version 1 are refused by name.
 *
 * A model may be split over files NAME-00001-of-00003.gguf and so on: the first has the metadata, each
 * has some of the tensors (the first may have none) and says which it is.
 */
#ifndef STO_GGUF_H
#define STO_GGUF_H

#include "eng_tok.h"
#include "sto_file.h"

#define STO_GGUF_METADATA_MAX	(UINT64_C(256) << 20)	/* bytes before the tensor data */
#define STO_GGUF_PAIR_MAX	65536u
#define STO_GGUF_TENSOR_MAX	65536u
#define STO_GGUF_KEY_MAX	256u			/* bytes */
#define STO_GGUF_NAME_MAX	127u			/* bytes of a tensor name */
#define STO_GGUF_STRING_MAX	(UINT64_C(16) << 20)
#define STO_GGUF_DIMS_MAX	4u
#define STO_GGUF_ALIGN_MAX	65536u

enum sto_gguf_type {
	STO_GGUF_U8 = 0, STO_GGUF_I8, STO_GGUF_U16, STO_GGUF_I16, STO_GGUF_U32, STO_GGUF_I32,
	STO_GGUF_F32, STO_GGUF_BOOL, STO_GGUF_STRING, STO_GGUF_ARRAY, STO_GGUF_U64, STO_GGUF_I64,
	STO_GGUF_F64, STO_GGUF_TYPE_COUNT
};

/* One key and its value. A scalar is an array of one item. */
struct sto_gguf_pair {
	const char *key;	/* NUL-terminated */
	uint32_t type;		/* enum sto_gguf_type of the items */
	bool is_array;
	uint64_t count;
	const uint8_t *data; /* items as in the file, unaligned; strings: u64 length, then text */
	uint64_t bytes;		/* of them */
};

struct sto_gguf_tensor {
	const char *name;			/* NUL-terminated */
	uint32_t dim_count;
	uint64_t dims[STO_GGUF_DIMS_MAX];	/* dims[0]: row length; 1 beyond dim_count */
	uint32_t type;				/* enum eng_source, supported */
	uint32_t part;				/* which file it is in, from 0 */
	uint64_t offset_bytes;			/* in the file */
	uint64_t bytes;
};

struct sto_gguf {
	const struct sto_file *file;		/* borrowed; of a split model all of them in a row */
	uint32_t version;
	uint32_t alignment;
	uint64_t data_offset_bytes;
	uint32_t pair_count;
	uint32_t tensor_count;
	struct sto_gguf_pair *pairs;		/* sorted by key */
	struct sto_gguf_tensor *tensors;	/* sorted by name */
	uint8_t *memory; /* metadata; keys and names NUL-terminated in place */
	struct sto_gguf *parts;			/* the other files of a split model, for their names */
	uint32_t part_count;			/* of those */
};

/* Read and check everything but the tensor data. 0 or negative errno with @error. */
int sto_gguf_open(struct sto_gguf *gguf, const struct sto_file *file, struct sto_error *error);
/* The same without the list of tensors, which may be empty: files that hold a vocabulary alone. */
int sto_gguf_open_metadata(struct sto_gguf *gguf, const struct sto_file *file,
			   struct sto_error *error);
void sto_gguf_close(struct sto_gguf *gguf);

/* "...-00002-of-00003.gguf": 2 and 3. False: not such a name. */
bool sto_gguf_part_name(const char *name, uint32_t *number, uint32_t *count);
/* The name of part @number (from 1) beside @name, which is one; 0 or -ENAMETOOLONG. */
int sto_gguf_part_path(const char *name, uint32_t number, char *out, size_t out_bytes);
/* How many files the model has whose first is open; 1: it is not split. 0 or -EINVAL with @error. */
int sto_gguf_part_count(const struct sto_gguf *gguf, uint32_t *count, struct sto_error *error);
/*
 * Read files[1..count), add their tensors to @gguf, which is open on files[0], and check that they
 * are its parts. @files is borrowed as long as @gguf is open. 0 or negative errno with @error.
 */
int sto_gguf_join(struct sto_gguf *gguf, const struct sto_file *files, uint32_t count,
		  struct sto_error *error);

const struct sto_gguf_pair *sto_gguf_find(const struct sto_gguf *gguf, const char *key);
const struct sto_gguf_tensor *sto_gguf_find_tensor(const struct sto_gguf *gguf, const char *name);

/*
 * Typed access. Return 0; -ENOENT without @error when the key is absent; -EINVAL with @error when
 * it has another type; -ENOMEM. u32: any unsigned type whose value fits; f32: F32 or F64.
 */
int sto_gguf_u32(const struct sto_gguf *gguf, const char *key, uint32_t *value,
		 struct sto_error *error);
int sto_gguf_f32(const struct sto_gguf *gguf, const char *key, float *value,
		 struct sto_error *error);
int sto_gguf_bool(const struct sto_gguf *gguf, const char *key, bool *value,
		  struct sto_error *error);
/* Borrowed from the metadata, not NUL-terminated; not checked for UTF-8. */
int sto_gguf_string(const struct sto_gguf *gguf, const char *key, struct eng_tok_string *value,
		    struct sto_error *error);
/* Arrays: *@values is freed by the caller; the texts are borrowed and not checked. */
int sto_gguf_strings(const struct sto_gguf *gguf, const char *key, struct eng_tok_string **values,
		     uint32_t *count, struct sto_error *error);
int sto_gguf_i32s(const struct sto_gguf *gguf, const char *key, int32_t **values, uint32_t *count,
		  struct sto_error *error);
int sto_gguf_f32s(const struct sto_gguf *gguf, const char *key, float **values, uint32_t *count,
		  struct sto_error *error);

/* "F32" .. "F64" for a value type, "IQ4_NL" for a ggml tensor type; "unknown". For messages. */
const char *sto_gguf_value_name(uint32_t type);
const char *sto_gguf_tensor_type_name(uint32_t type);

#endif
