/* SPDX-License-Identifier: MIT */
/*
 * sto_model.h: what an importer hands to the image writer: a checked configuration, where each
 * tensor lies in the source files, the compiled tokenizer and the template. No weights.
 */
#ifndef STO_MODEL_H
#define STO_MODEL_H

#include <jansson.h>

#include "eng_pack.h"
#include "sto_file.h"

#define STO_FILE_MAX		1000u	/* source files of one model */
#define STO_TEMPLATE_MAX	(1u << 20)	/* bytes of a chat template */

/* Some rows of a tensor, which lie somewhere else than the others. */
struct sto_piece {
	uint32_t file;			/* index into files */
	uint64_t offset_bytes;
};

/* One tensor of the image and where it comes from. */
struct sto_tensor {
	char name[MHS_NAME_BYTES];	/* of the source, cut */
	uint32_t role;			/* enum mhs_image_role */
	uint32_t layer;
	uint32_t source;		/* enum eng_source; unused with an origin */
	uint32_t type;			/* enum eng_type in the image; 0: as source and import say */
	uint32_t file;			/* index into files */
	uint64_t rows;			/* 1 for vectors */
	uint64_t cols;
	uint64_t offset_bytes;		/* in the file */
	uint64_t row_bytes;
	/* Rows per head whose rotated pairs are interleaved and must be split into halves; 0: none
	 */
	uint32_t head_rows;
	uint64_t column_bytes;		/* not 0: stored transposed; from column to column */
	bool vector;
	bool plus_one;			/* stored less 1 */
	/* Rows in pieces of so many, piece i at pieces[i]; 0: all of them at offset_bytes */
	uint64_t piece_rows;
	struct sto_piece *pieces;	/* malloc */
};

/* Where panels come from that are in no file: made of a version of the store, for example. */
struct sto_origin {
	/*
	 * Panels from @row (a multiple of 16) on, of @rows rows of tensor @tensor, packed, into @out.
	 * Called in order for each tensor, from several threads for several tensors.
	 */
	int (*panels)(struct sto_origin *origin, uint32_t tensor, uint64_t row, uint32_t rows, void *out,
		      struct sto_error *error);
	void (*free)(struct sto_origin *origin);
};

struct sto_family;

struct sto_model {
	struct mhs_image_config config;
	uint32_t context_wanted;	/* tokens that the rope is to reach; 0: as far as it does unchanged */
	uint32_t bos_id;		/* UINT32_MAX: none */
	uint32_t eos_count;
	uint32_t eos_ids[MHS_IMAGE_EOS_MAX];
	struct mhs_image_shape shape;
	struct mhs_image_experts experts;
	const struct sto_family *family;
	float rope_base, local_rope_base;
	float *inv_freq;		/* [inv_freq_count]: local ones follow */
	uint32_t inv_freq_count;
	void *tokenizer;		/* compiled, malloc */
	size_t tokenizer_bytes;
	struct mhs_image_words words;	/* special tokens, where the source names them */
	char *chat_template;		/* NULL: none */
	size_t chat_template_bytes;
	const char *format;		/* "gguf", "huggingface" or "merge" */
	json_t *merge;			/* how it was made of others, for the manifest; NULL: it was not */
	struct sto_origin *origin;	/* the model's own; NULL: tensors come from files */
	uint32_t file_count;
	struct sto_file *files;		/* all that was read, for the manifest */
	uint32_t tensor_count;
	struct sto_tensor *tensors;
};

void sto_model_init(struct sto_model *model);
void sto_model_fini(struct sto_model *model);

/* Open a source file (sto_file_open) and append it; *@index is its number. */
int sto_model_add_file(struct sto_model *model, int dir_fd, const char *name, const char *shown,
		       uint32_t *index, struct sto_error *error);
/* Append an end token unless it is there already. -EINVAL: out of range, or too many. */
int sto_model_add_eos(struct sto_model *model, const char *shown, const char *field, uint64_t id,
		      struct sto_error *error);
/* Take over a copy of the template after checking it. Empty: none. */
int sto_model_set_template(struct sto_model *model, const char *shown, const char *field,
			   const char *text, size_t bytes, struct sto_error *error);
/*
 * Check the configuration (limits of the image, and each number against the others). @names: the
 * source's words for the fields, for messages.
 */
struct sto_config_names {
	const char *layer_count, *hidden, *intermediate, *head_count, *kv_head_count, *head_dim;
	const char *vocab_count, *context_max, *rms_eps, *rope_base;
};
int sto_model_check_config(const struct sto_model *model, const char *shown,
			   const struct sto_config_names *names, struct sto_error *error);
/* The same for experts, once that has been checked; @count, @used, @intermediate: the source's words. */
int sto_model_check_experts(const struct sto_model *model, const char *shown, const char *count,
			    const char *used, const char *intermediate, struct sto_error *error);
/* Room for all tensors that the configuration asks for. */
int sto_model_reserve(struct sto_model *model, const char *shown, struct sto_error *error);

/* sto_rope.c */

enum sto_rope_kind { STO_ROPE_NONE, STO_ROPE_LINEAR, STO_ROPE_LLAMA3, STO_ROPE_YARN, STO_ROPE_DYNAMIC };

struct sto_rope {
	enum sto_rope_kind kind;
	float factor;
	float low_freq_factor, high_freq_factor;
	float original_context;
	float beta_fast, beta_slow;
	bool between;		/* yarn: the ramp may begin and end between two dims */
	float *factors;		/* each frequency is divided by its own; malloc; or NULL */
	uint32_t factor_count;
};

void sto_rope_fini(struct sto_rope *rope);
/* Pairs of each head that rotate. */
uint32_t sto_model_turns(const struct sto_model *model);
/* Inverse frequencies into model->inv_freq; @local counts with MHS_SHAPE_LOCAL_ROPE. */
int sto_model_set_rope(struct sto_model *model, const char *shown, const struct sto_rope *rope,
		       const struct sto_rope *local, struct sto_error *error);

#endif
