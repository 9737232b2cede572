/* SPDX-License-Identifier: MIT */
/*
 * import_gguf.c: a GGUF file as a struct sto_model. Rows of a Llama's q and k come in llama.cpp's
 * order, where neighbouring rows rotate together; the image wants halves, so whole rows are permuted
 * when they are packed, whatever their type.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import_gguf_priv.h"
#include "sto_tok_gguf.h"

#define PATH_BYTES	4096u

/* ---- tensors ----------------------------------------------------------------------------- */

/* A tensor of the file and the part of it that a slot takes. */
struct part {
	const struct sto_slot *slot;
	uint32_t layer;
	uint64_t rows, cols;		/* of the slot */
	uint64_t first, total;		/* rows, of vectors columns, in the tensor */
};

static int check_shape(const struct sto_gguf *gguf, const struct sto_gguf_tensor *t,
		       const struct part *part, uint32_t experts, struct sto_error *error)
{
	bool vector = part->slot->vector, stacked = sto_slot_is_stacked(part->slot);
	uint64_t have_rows = t->dims[1] * t->dims[2] * t->dims[3];
	uint64_t rows = vector ? 1 : part->total, cols = vector ? part->total : part->cols;
	uint32_t dims = vector ? 1 : stacked ? 3 : 2;

	if (t->dim_count != dims || t->dims[0] != cols || have_rows != rows || (stacked && t->dims[2] != experts)) {
		sto_fail(error,
			 "%s: tensor %s: has %u dimensions, %llu rows of %llu, limit %u, %llu of "
			 "%llu (from the metadata); " CONVERT,
			 gguf->file[t->part].path, t->name, t->dim_count, (unsigned long long)have_rows,
			 (unsigned long long)t->dims[0], dims,
			 (unsigned long long)rows, (unsigned long long)cols);
		return -EINVAL;
	}
	if (vector && eng_source_block_values(t->type) > 1) {
		sto_fail(error, "%s: tensor %s: is %s, limit F32, F16, BF16 for a vector; " CONVERT,
			 gguf->file[t->part].path, t->name, sto_gguf_tensor_type_name(t->type));
		return -EINVAL;
	}
	return 0;
}

static void place_tensor(struct sto_model *model, const struct sto_gguf_tensor *t,
			 const struct part *part)
{
	struct sto_tensor *to = &model->tensors[model->tensor_count++];
	uint32_t role = part->slot->role;

	snprintf(to->name, sizeof(to->name), "%s", t->name);
	to->role = role;
	to->layer = part->layer;
	to->source = t->type;
	to->file = t->part;
	to->vector = part->slot->vector;
	to->rows = part->rows;
	to->cols = part->cols;
	to->row_bytes = to->vector ? t->bytes / part->total * part->cols : t->bytes / part->total;
	to->offset_bytes = t->offset_bytes + t->bytes / part->total * part->first;
	if (model->family->gguf_pairs && (role == MHS_ROLE_ATTN_Q || role == MHS_ROLE_ATTN_K))
		to->head_rows = model->config.head_dim;
}

static int add_tensor(const struct sto_gguf *gguf, struct sto_model *model,
		      const struct sto_slot *slot, uint32_t layer, uint8_t *used,
		      struct sto_error *error)
{
	struct sto_name names = sto_slot_name(slot, model->family);
	struct part part = { .slot = slot, .layer = layer };
	const struct sto_gguf_tensor *t;
	char name[MHS_NAME_BYTES];

	snprintf(name, sizeof(name), names.gguf, layer);
	t = sto_gguf_find_tensor(gguf, name);
	if (!t && slot->role == MHS_ROLE_OUTPUT) {
		model->config.tied = 1;
		return 0;
	}
	if (!t) {
		sto_fail(error, "%s: tensor %s: is absent; " CONVERT, gguf->file->path, name);
		return -EINVAL;
	}
	sto_slot_shape(slot, model, &part.rows, &part.cols);
	part.total = slot->vector ? part.cols : part.rows;
	if (names.how & STO_FUSED)
		sto_slot_fused(slot, &model->config, &part.first, &part.total);
	if (check_shape(gguf, t, &part, model->experts.count, error))
		return -EINVAL;
	used[t - gguf->tensors] = 1;
	place_tensor(model, t, &part);
	return 0;
}

/* Tensors that are there without being weights: the rope divisors, and an old copy of them. */
static int is_harmless(const char *name)
{
	size_t n = strlen(name);

	return strcmp(name, "rope_freqs.weight") == 0 || strncmp(name, "rope_factors_", 13) == 0 ||
	       (n > 21 && strcmp(name + n - 21, ".attn_rot_embd.weight") == 0);
}

static int check_unused(const struct sto_gguf *gguf, const struct sto_model *model,
			const uint8_t *used, struct sto_error *error)
{
	for (uint32_t i = 0; i < gguf->tensor_count; i++) {
		const struct sto_gguf_tensor *t = &gguf->tensors[i];
		const char *name = t->name;

		if (used[i] || is_harmless(name))
			continue;
		sto_fail(error,
			 "%s: tensor %s: has no place in a %s model of this configuration; this "
			 "kind of model is not supported",
			 gguf->file[t->part].path, name, model->family->gguf);
		return -ENOTSUP;
	}
	return 0;
}

static int add_tensors(const struct sto_gguf *gguf, struct sto_model *model,
		       struct sto_error *error)
{
	uint8_t *used = calloc(gguf->tensor_count, 1);
	int err = sto_model_reserve(model, gguf->file->path, error);

	if (!used && !err) {
		sto_fail(error, "%s: out of memory; free some", gguf->file->path);
		err = -ENOMEM;
	}
	for (uint32_t i = 0; i < sto_slot_count && !err; i++) {
		uint32_t layers = sto_slots[i].per_layer ? model->config.layer_count : 1;

		if (!sto_slot_present(&sto_slots[i], &model->shape))
			continue;
		for (uint32_t layer = 0; layer < layers && !err; layer++)
			if (sto_slot_in_layer(&sto_slots[i], &model->experts, layer))
				err = add_tensor(gguf, model, &sto_slots[i], layer, used, error);
	}
	if (!err)
		err = check_unused(gguf, model, used, error);
	free(used);
	return err;
}

/* ---- tokens ------------------------------------------------------------------------------ */

static int read_special_tokens(const struct sto_gguf *gguf, struct sto_model *model,
			       struct sto_error *error)
{
	static const char *const ends[] = {
		"tokenizer.ggml.eos_token_id",
		"tokenizer.ggml.eot_token_id",
		"tokenizer.ggml.eom_token_id",
	};
	uint32_t id;
	int err = sto_gguf_u32(gguf, "tokenizer.ggml.bos_token_id", &id, error);

	if (!err && id >= model->config.vocab_count) {
		sto_fail(error,
			 "%s: tokenizer.ggml.bos_token_id: token %u is past the vocabulary, limit "
			 "%u; " CONVERT,
			 gguf->file->path, id, model->config.vocab_count - 1);
		return -EINVAL;
	}
	if (!err)
		model->bos_id = id;
	if (err && err != -ENOENT)
		return err;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		err = sto_gguf_u32(gguf, ends[i], &id, error);
		if (!err)
			err = sto_model_add_eos(model, gguf->file->path, ends[i], id, error);
		if (err && err != -ENOENT)
			return err;
	}
	return 0;
}

static int read_template(const struct sto_gguf *gguf, struct sto_model *model,
			 struct sto_error *error)
{
	static const char key[] = "tokenizer.chat_template";
	struct eng_tok_string text;
	int err = sto_gguf_string(gguf, key, &text, error);

	if (err)
		return err == -ENOENT ? 0 : err;
	return sto_model_set_template(model, gguf->file->path, key, text.data, text.bytes, error);
}

/* Of a split model, the other files. They follow the first in @model. */
static int open_parts(struct sto_gguf *gguf, struct sto_model *model, const char *path,
		      struct sto_error *error)
{
	uint32_t count = 1, index;
	char part[PATH_BYTES];
	int err = sto_gguf_part_count(gguf, &count, error);

	for (uint32_t i = 2; i <= count && !err; i++) {
		err = sto_gguf_part_path(path, i, part, sizeof(part));
		if (!err)
			err = sto_model_add_file(model, AT_FDCWD, part, part, &index, error);
		if (err == -ENOENT)
			sto_fail(error, "%s: is missing, part %u of %u; fetch it", part, i, count);
	}
	gguf->file = model->files;	/* they may have moved */
	return err ? err : sto_gguf_join(gguf, model->files, count, error);
}

int sto_import_gguf(struct sto_model *model, const char *path, struct sto_error *error)
{
	struct sto_gguf gguf;
	uint32_t index;
	int err = sto_model_add_file(model, AT_FDCWD, path, path, &index, error);

	if (err)
		return err;
	model->format = "gguf";
	err = sto_gguf_open(&gguf, &model->files[index], error);
	if (err)
		return err;
	err = open_parts(&gguf, model, path, error);
	if (!err)
		err = import_gguf_architecture(&gguf, model, error);
	if (!err)
		err = import_gguf_config(&gguf, model, error);
	if (!err)
		err = add_tensors(&gguf, model, error);
	if (!err)
		err = read_special_tokens(&gguf, model, error);
	if (!err)
		err = read_template(&gguf, model, error);
	if (!err)
		err = sto_tok_gguf(&gguf, model->config.vocab_count, &model->tokenizer,
				   &model->tokenizer_bytes, error);
	sto_gguf_close(&gguf);
	return err;
}
