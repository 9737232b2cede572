/* SPDX-License-Identifier: MIT */
/*
 * t_gguf.h: GGUF files made field by field, right ones and wrong ones, and a tiny Llama in one.
 */
#ifndef T_GGUF_H
#define T_GGUF_H

#include <stddef.h>
#include <stdint.h>

/* A growing byte string. Exits the program when memory is short. */
struct t_bytes {
	uint8_t *data;
	size_t bytes, cap;
};

void t_put(struct t_bytes *b, const void *data, size_t bytes);
void t_put_u32(struct t_bytes *b, uint32_t value);
void t_put_u64(struct t_bytes *b, uint64_t value);
void t_put_text(struct t_bytes *b, const char *text);	/* u64 length, then the text */
void t_put_zeros(struct t_bytes *b, size_t bytes);
void t_bytes_free(struct t_bytes *b);

/* One metadata entry each; the caller counts them. Types are those of GGUF. */
void t_kv_u32(struct t_bytes *b, const char *key, uint32_t value);
void t_kv_f32(struct t_bytes *b, const char *key, float value);
void t_kv_bool(struct t_bytes *b, const char *key, int value);
void t_kv_text(struct t_bytes *b, const char *key, const char *value);
void t_kv_texts(struct t_bytes *b, const char *key, const char *const *values, uint32_t count);
void t_kv_i32s(struct t_bytes *b, const char *key, const int32_t *values, uint32_t count);
void t_kv_f32s(struct t_bytes *b, const char *key, const float *values, uint32_t count);

/*
 * A whole file of one-layer Llama: hidden 64, 2 heads of 32, 1 kv head, intermediate 96, vocabulary
 * T_GGUF_VOCAB. Its numbers can be changed before t_gguf_build().
 */
#define T_GGUF_VOCAB	34u	/* letters, space, newline, 4 joined, 2 special */
#define T_GGUF_TENSORS	13u

struct t_gguf_tensor {
	char name[160];
	uint32_t dim_count;
	uint64_t dims[5];
	uint32_t type;		/* as GGUF numbers them */
	int64_t shift;		/* added to its offset */
	uint64_t bytes;		/* written: 0 leaves the tensor out */
	uint8_t *data;		/* NULL: zeros */
};

struct t_gguf {
	uint32_t version, alignment;
	uint64_t kv_more, tensors_more;	/* added to the counts */
	uint32_t layers, context, hidden, intermediate, heads, kv_heads, rope_dims;
	float eps, rope_base;
	const char *arch;
	int bare;			/* no other metadata than kv: a later part of a split model */
	struct t_bytes kv;		/* more entries, and how many */
	uint32_t kv_count;
	struct t_gguf_tensor tensors[T_GGUF_TENSORS];	/* [12] output.weight, left out at first */
};

/* Random weights; matrices in @type (not the K types: rows are too short), norms in F32. */
void t_gguf_init(struct t_gguf *g, uint32_t type, uint64_t seed);
void t_gguf_free(struct t_gguf *g);
struct t_gguf_tensor *t_gguf_tensor(struct t_gguf *g, const char *name);
/* The file's bytes; the caller frees them with t_bytes_free(). */
struct t_bytes t_gguf_build(const struct t_gguf *g);
/* The same, written to @path. */
void t_gguf_write(const struct t_gguf *g, const char *path);

#endif
