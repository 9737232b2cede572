/* SPDX-License-Identifier: MIT */
/*
 * mhs_image.c: validate an image header and its tensor table before use. Every length is checked as
 * "fits in what is left", never by a sum that could wrap. The messages end up in one-line errors.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "mhs_check_priv.h"

#define HIDDEN_MAX	(1u << 20)
#define HEAD_MAX	4096u
#define HEAD_DIM_MAX	4096u
#define VOCAB_MAX	(1u << 24)
#define CONTEXT_MAX	(1u << 24)
#define ROW_MAX		(UINT64_C(1) << 32)
/* No family needs more: 16 tensors a layer and some outside of the layers. */
#define TENSOR_MAX	(MHS_IMAGE_LAYER_MAX * 16u + 64u)
#define ROPE_SCALE_MAX	1000.0f

/* A name: not empty, NUL-terminated, NUL to the end of its field. */
static bool text_is_sound(const char *text, size_t field_bytes)
{
	size_t length = strnlen(text, field_bytes);

	return length > 0 && length < field_bytes && mhs_all_zero(text + length, field_bytes - length);
}

static bool in_range(uint32_t value, uint32_t low, uint32_t high)
{
	return value >= low && value <= high;
}

static bool span_is_absent(const struct mhs_image_span *span)
{
	return span->offset_bytes == 0 && span->length_bytes == 0;
}

/* The span is not empty and lies in [low, high). */
static bool span_is_inside(const struct mhs_image_span *span, uint64_t low, uint64_t high)
{
	return span->length_bytes > 0 && span->offset_bytes >= low && span->offset_bytes < high &&
	       span->length_bytes <= high - span->offset_bytes;
}

static bool spans_overlap(const struct mhs_image_span *a, uint64_t offset, uint64_t length)
{
	if (span_is_absent(a))
		return false;
	return a->offset_bytes < offset + length && offset < a->offset_bytes + a->length_bytes;
}

static int check_identity(const struct mhs_image_header *image, const char **field)
{
	if (image->magic != MHS_IMAGE_MAGIC)
		return mhs_refuse(field, "magic: this is not an mhost image");
	if (image->abi_major != MHS_IMAGE_ABI_MAJOR) {
		*field = "abi_major: made by another major version of mhost, import it again";
		return -ENOTSUP;
	}
	if (image->features & ~(MHS_IMAGE_PACKED | MHS_IMAGE_QUICK_HASH | MHS_IMAGE_SHAPED |
				MHS_IMAGE_EXPERTS)) {
		*field = "features: needs a newer mhost, a feature bit is unknown";
		return -ENOTSUP;
	}
	if (image->header_bytes != MHS_PAGE_BYTES)
		return mhs_refuse(field, "header_bytes: must be 4096");
	return 0;
}

static int check_lengths(const struct mhs_image_header *image, uint64_t file_bytes,
			 const char **field)
{
	uint64_t image_bytes = image->image_bytes, data_bytes, chunks;

	if (image->features & MHS_IMAGE_PACKED ? image->file_bytes != file_bytes :
						 image_bytes != file_bytes)
		return mhs_refuse(field, image->features & MHS_IMAGE_PACKED ?
			      "file_bytes: must equal the file size, it is cut or padded" :
			      "image_bytes: must equal the file size, it is cut or padded");
	if (image_bytes % MHS_IMAGE_ALIGN_BYTES || image_bytes > MHS_IMAGE_BYTES_MAX)
		return mhs_refuse(field, "image_bytes: must be a multiple of 4096, at most 4 TiB");
	if (image->data_offset_bytes < MHS_PAGE_BYTES || image->data_offset_bytes >= image_bytes ||
	    image->data_offset_bytes % MHS_IMAGE_ALIGN_BYTES)
		return mhs_refuse(field, "data_offset_bytes: must be a page boundary after the header, "
			      "inside the file");
	if (image->chunk_bytes != MHS_IMAGE_CHUNK_BYTES)
		return mhs_refuse(field, "chunk_bytes: must be 4194304");
	data_bytes = image_bytes - image->data_offset_bytes;
	chunks = (data_bytes + MHS_IMAGE_CHUNK_BYTES - 1) / MHS_IMAGE_CHUNK_BYTES;
	if (image->chunk_count != chunks)
		return mhs_refuse(field, "chunk_count: does not cover the data");
	return 0;
}

static int check_spans(const struct mhs_image_header *image, const char **field)
{
	uint64_t data = image->data_offset_bytes, end = image->image_bytes;
	const struct mhs_image_span *tensors = &image->tensor_table;
	const struct mhs_image_span *tokenizer = &image->tokenizer;
	const struct mhs_image_span *chat = &image->chat_template;
	const struct mhs_image_span *chunks = &image->chunk_table;

	if (!span_is_inside(chunks, MHS_PAGE_BYTES, data) ||
	    chunks->length_bytes != (uint64_t)image->chunk_count * MHS_CHUNK_HASH_BYTES ||
	    chunks->offset_bytes % MHS_CHUNK_HASH_BYTES)
		return mhs_refuse(field, "chunk_table: must lie between header and data, "
			      "16 bytes a chunk");
	if (!in_range(image->tensor_count, 1, TENSOR_MAX))
		return mhs_refuse(field, "tensor_count: must be 1..8256");
	if (!span_is_inside(tensors, data, end) || tensors->offset_bytes % 64 ||
	    tensors->length_bytes != image->tensor_count * sizeof(struct mhs_image_tensor))
		return mhs_refuse(field, "tensor_table: must lie in the data, aligned to 64, "
			      "128 bytes a tensor");
	if (image->kind == MHS_IMAGE_MODEL || !span_is_absent(tokenizer)) {
		if (!span_is_inside(tokenizer, data, end) ||
		    tokenizer->offset_bytes % MHS_IMAGE_ALIGN_BYTES)
			return mhs_refuse(field, "tokenizer: must lie in the data, on a page boundary");
	}
	if (!span_is_absent(chat) &&
	    (!span_is_inside(chat, data, end) || chat->offset_bytes % MHS_IMAGE_ALIGN_BYTES))
		return mhs_refuse(field, "chat_template: must be absent or lie in the data, "
			      "on a page boundary");
	if (spans_overlap(tokenizer, tensors->offset_bytes, tensors->length_bytes) ||
	    spans_overlap(chat, tensors->offset_bytes, tensors->length_bytes) ||
	    (!span_is_absent(tokenizer) &&
	     spans_overlap(chat, tokenizer->offset_bytes, tokenizer->length_bytes)))
		return mhs_refuse(field, "tensor_table, tokenizer, chat_template: must not overlap");
	return 0;
}

/* What an adapter has instead of what a model has. */
static int check_kind(const struct mhs_image_header *image, const char **field)
{
	if (image->kind == MHS_IMAGE_MODEL) {
		if (image->features & MHS_IMAGE_QUICK_HASH)
			return mhs_refuse(field, "features: a model must have the hash of its content");
		if (!mhs_all_zero(image->adapter, sizeof(image->adapter)) ||
		    !mhs_all_zero(image->fits_hash, sizeof(image->fits_hash)))
			return mhs_refuse(field, "adapter, fits_hash: must be zero in the image of a model");
		return 0;
	}
	if (!text_is_sound(image->adapter, sizeof(image->adapter)))
		return mhs_refuse(field, "adapter: must be 1..63 bytes, then zeros");
	if (image->features & MHS_IMAGE_PACKED)
		return mhs_refuse(field, "features: an adapter must not be packed");
	if (!span_is_absent(&image->tokenizer) || !span_is_absent(&image->chat_template))
		return mhs_refuse(field, "tokenizer, chat_template: must be absent in an adapter");
	if (image->bos_id != UINT32_MAX || image->eos_count)
		return mhs_refuse(field, "bos_id, eos_count: must be absent in an adapter");
	if (image->tensor_count % 2)
		return mhs_refuse(field, "tensor_count: must be even in an adapter, A and B of each target");
	return 0;
}

/* Extent and pack table lie behind the tensor table, in that order; or there is none of it. */
static int check_packed(const struct mhs_image_header *image, const char **field)
{
	uint64_t after = image->tensor_table.offset_bytes + image->tensor_table.length_bytes;
	const struct mhs_image_span *extents = &image->extent_table, *packs = &image->pack_table;
	uint64_t end = image->file_bytes;

	if (!(image->features & MHS_IMAGE_PACKED)) {
		if (end || image->extent_count || image->pack_count || !span_is_absent(extents) ||
		    !span_is_absent(packs) || !mhs_all_zero(image->file_hash, sizeof(image->file_hash)))
			return mhs_refuse(field, "file_bytes, extent_table, pack_table, file_hash: "
				      "must be zero in an image without packs");
		return 0;
	}
	if (end % MHS_IMAGE_ALIGN_BYTES || end > MHS_IMAGE_FILE_MAX)
		return mhs_refuse(field, "file_bytes: must be a multiple of 4096, at most 64 MiB");
	if (!in_range(image->extent_count, 1, MHS_IMAGE_EXTENT_MAX))
		return mhs_refuse(field, "extent_count: must be 1..8260");
	if (!in_range(image->pack_count, 1, MHS_PACK_MAX))
		return mhs_refuse(field, "pack_count: must be 1..31");
	if (!span_is_inside(extents, after, end) || extents->offset_bytes % 64 ||
	    extents->length_bytes != image->extent_count * sizeof(struct mhs_image_extent))
		return mhs_refuse(field, "extent_table: must lie behind the tensor table, aligned to 64, "
			      "32 bytes an extent");
	if (!span_is_inside(packs, extents->offset_bytes + extents->length_bytes, end) ||
	    packs->offset_bytes % 64 ||
	    packs->length_bytes != image->pack_count * sizeof(struct mhs_image_pack))
		return mhs_refuse(field, "pack_table: must lie behind the extent table, aligned to 64, "
			      "64 bytes a pack");
	return 0;
}

static int check_config(const struct mhs_image_config *config, const char **field)
{
	if (!mhs_arch_name(config->arch))
		return mhs_refuse(field, "config.arch: needs a newer mhost, must be 1 (llama) to 11 (mixtral)");
	if (!in_range(config->layer_count, 1, MHS_IMAGE_LAYER_MAX))
		return mhs_refuse(field, "config.layer_count: must be 1..512");
	if (!in_range(config->hidden, 1, HIDDEN_MAX))
		return mhs_refuse(field, "config.hidden: must be 1..1048576");
	if (!in_range(config->intermediate, 1, HIDDEN_MAX))
		return mhs_refuse(field, "config.intermediate: must be 1..1048576");
	if (!in_range(config->head_count, 1, HEAD_MAX))
		return mhs_refuse(field, "config.head_count: must be 1..4096");
	if (config->kv_head_count == 0 || config->head_count % config->kv_head_count)
		return mhs_refuse(field, "config.kv_head_count: must divide head_count");
	if (!in_range(config->head_dim, 2, HEAD_DIM_MAX) || config->head_dim % 2)
		return mhs_refuse(field, "config.head_dim: must be even, 2..4096");
	if (!in_range(config->vocab_count, 1, VOCAB_MAX))
		return mhs_refuse(field, "config.vocab_count: must be 1..16777216");
	if (!in_range(config->context_max, 1, CONTEXT_MAX))
		return mhs_refuse(field, "config.context_max: must be 1..16777216");
	if (config->tied > 1 || config->float_weights > 1)
		return mhs_refuse(field, "config.tied, config.float_weights: must be 0 or 1");
	if (!(config->rms_eps > 0.0f && config->rms_eps < 1.0f))
		return mhs_refuse(field, "config.rms_eps: must lie between 0 and 1");
	if (!(config->rope_attn_scale > 0.0f && config->rope_attn_scale <= ROPE_SCALE_MAX))
		return mhs_refuse(field, "config.rope_attn_scale: must be above 0, at most 1000");
	if (!mhs_all_zero(config->reserved0, sizeof(config->reserved0)))
		return mhs_refuse(field, "config.reserved0: must be zero");
	return 0;
}

static int check_words(const struct mhs_image_header *image, const char **field)
{
	const struct mhs_image_words *words = &image->words;

	if (image->abi_minor < 6 || image->kind != MHS_IMAGE_MODEL) {
		if (!mhs_all_zero(words, sizeof(*words)))
			return mhs_refuse(field, "words: must be zero in an adapter, and before image ABI 2.6");
		return 0;
	}
	if (words->said >= 1u << MHS_WORD_COUNT || words->reserved0)
		return mhs_refuse(field, "words.said: must be below 128, and words.reserved0 zero");
	for (uint32_t w = 0; w < MHS_WORD_COUNT; w++)
		if (words->text[w][0] && (!(words->said >> w & 1) ||
					  !text_is_sound(words->text[w], MHS_IMAGE_WORD_BYTES)))
			return mhs_refuse(field, "words.text: must be said, at most 63 bytes, then zeros");
	return 0;
}

const char *mhs_image_word(const struct mhs_image_header *image, enum mhs_word word, uint32_t *id)
{
	const char *text = image->words.text[word];

	*id = UINT32_MAX;
	if (image->words.said >> word & 1)
		return *text ? text : NULL;
	if (word == MHS_WORD_BOS)
		*id = image->bos_id;
	else if (word == MHS_WORD_EOS && image->eos_count)
		*id = image->eos_ids[0];
	return NULL;
}

static int check_tokens(const struct mhs_image_header *image, const char **field)
{
	uint32_t vocab = image->config.vocab_count;

	if (image->bos_id != UINT32_MAX && image->bos_id >= vocab)
		return mhs_refuse(field, "bos_id: must be below config.vocab_count, or absent");
	if (image->eos_count > MHS_IMAGE_EOS_MAX)
		return mhs_refuse(field, "eos_count: must be at most 8");
	for (uint32_t i = 0; i < image->eos_count; i++)
		if (image->eos_ids[i] >= vocab)
			return mhs_refuse(field, "eos_ids: must be below config.vocab_count");
	return check_words(image, field);
}

int mhs_image_check_header(const struct mhs_image_header *image, uint64_t file_bytes,
			   mhs_hash128_fn check_hash, const char **field)
{
	int err = check_identity(image, field);

	if (err)
		return err;
	if (check_hash) {
		err = mhs_check_page(image, image->header_hash, check_hash, field);
		if (err)
			return err;
	}
	if (image->kind != MHS_IMAGE_MODEL && image->kind != MHS_IMAGE_ADAPTER)
		return mhs_refuse(field, "kind: must be 1 (model) or 2 (adapter)");
	if (!text_is_sound(image->model, sizeof(image->model)))
		return mhs_refuse(field, "model: must be 1..63 bytes, then zeros");
	if (!text_is_sound(image->semver, sizeof(image->semver)))
		return mhs_refuse(field, "semver: must be 1..47 bytes, then zeros");
	err = check_lengths(image, file_bytes, field);
	if (!err)
		err = check_spans(image, field);
	if (!err)
		err = check_packed(image, field);
	if (!err)
		err = check_kind(image, field);
	if (!err)
		err = check_config(&image->config, field);
	if (!err)
		err = mhs_shape_check(image, field);
	if (!err)
		err = mhs_experts_check(image, field);
	if (!err)
		err = check_tokens(image, field);
	if (err)
		return err;
	if (image->abi_minor <= MHS_IMAGE_ABI_MINOR &&
	    !mhs_all_zero(image->reserved0, sizeof(image->reserved0)))
		return mhs_refuse(field, "reserved0: must be zero");
	return 0;
}

static const struct mhs_image_tensor *tensor_table(const struct mhs_image_header *image,
						   const void *base)
{
	return (const void *)((const uint8_t *)base + image->tensor_table.offset_bytes);
}

static int check_tensor(const struct mhs_image_header *image, const struct mhs_image_tensor *tensor,
			const char **field)
{
	const struct mhs_image_span span = { tensor->offset_bytes, tensor->length_bytes };
	bool adapter = image->kind == MHS_IMAGE_ADAPTER;

	if (strnlen(tensor->name, sizeof(tensor->name)) == sizeof(tensor->name))
		return mhs_refuse(field, "tensor.name: must end with a zero byte");
	if (tensor->rows == 0 || tensor->rows > ROW_MAX ||
	    tensor->cols == 0 || tensor->cols > ROW_MAX)
		return mhs_refuse(field, "tensor.rows, tensor.cols: must be 1..4294967296");
	if (tensor->layer >= image->config.layer_count)
		return mhs_refuse(field, "tensor.layer: must be below config.layer_count");
	if (tensor->offset_bytes % (adapter ? MHS_ADAPTER_ALIGN_BYTES : MHS_IMAGE_ALIGN_BYTES))
		return mhs_refuse(field, adapter ? "tensor.offset_bytes: must be a multiple of 64" :
				     "tensor.offset_bytes: must be a page boundary");
	if (!span_is_inside(&span, image->data_offset_bytes, image->image_bytes))
		return mhs_refuse(field, "tensor.length_bytes: must lie in the data of the image");
	if (spans_overlap(&image->tensor_table, span.offset_bytes, span.length_bytes) ||
	    spans_overlap(&image->tokenizer, span.offset_bytes, span.length_bytes) ||
	    spans_overlap(&image->chat_template, span.offset_bytes, span.length_bytes))
		return mhs_refuse(field, "tensor.offset_bytes: overlaps a table of the image");
	if (!adapter && !mhs_all_zero(&tensor->lora_scale, sizeof(tensor->lora_scale)))
		return mhs_refuse(field, "tensor.lora_scale: must be zero in the image of a model");
	return 0;
}

/* Whether @index overlaps one before it; asked only for tensors that break ascending order. */
static bool tensor_overlaps_before(const struct mhs_image_tensor *tensors, uint32_t index)
{
	const struct mhs_image_tensor *t = &tensors[index];

	for (uint32_t i = 0; i < index; i++)
		if (tensors[i].offset_bytes < t->offset_bytes + t->length_bytes &&
		    t->offset_bytes < tensors[i].offset_bytes + tensors[i].length_bytes)
			return true;
	return false;
}

int mhs_image_check_tensors(const struct mhs_image_header *image, const void *base,
			    const char **field)
{
	const struct mhs_image_tensor *tensors = tensor_table(image, base);
	uint64_t end = 0;
	int err;

	for (uint32_t i = 0; i < image->tensor_count; i++) {
		const struct mhs_image_tensor *t = &tensors[i];

		err = check_tensor(image, t, field);
		if (err)
			return err;
		if (t->offset_bytes < end && tensor_overlaps_before(tensors, i))
			return mhs_refuse(field, "tensor.offset_bytes: overlaps another tensor");
		if (end < t->offset_bytes + t->length_bytes)
			end = t->offset_bytes + t->length_bytes;
	}
	return 0;
}

const struct mhs_image_tensor *mhs_image_tensor_find(const struct mhs_image_header *image,
						     const void *base, uint32_t role,
						     uint32_t layer)
{
	const struct mhs_image_tensor *tensors = tensor_table(image, base);

	for (uint32_t i = 0; i < image->tensor_count; i++)
		if (tensors[i].role == role && tensors[i].layer == layer)
			return &tensors[i];
	return NULL;
}
