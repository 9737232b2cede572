/* SPDX-License-Identifier: MIT */
/* mhs_adapter.c: the tensor table of an adapter, checked and handed out. */
#include "mhs_adapter.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "mhs_check_priv.h"

/* Numbers of enum eng_type (eng_pack.h), which are part of the image ABI. */
#define TYPE_F32	2u
#define TYPE_F16	3u
#define TYPE_BF16	4u

#define ROLE_MASK	0xffu

uint32_t mhs_adapter_type_bytes(uint32_t type)
{
	if (type == TYPE_F32)
		return 4;
	return type == TYPE_F16 || type == TYPE_BF16 ? 2 : 0;
}

int mhs_adapter_shape(const struct mhs_image_config *config, uint32_t role, uint64_t *rows,
		      uint64_t *cols)
{
	uint64_t q = (uint64_t)config->head_count * config->head_dim;
	uint64_t kv = (uint64_t)config->kv_head_count * config->head_dim;
	uint64_t hidden = config->hidden;

	*cols = role == MHS_ROLE_ATTN_O ? q : hidden;
	*rows = hidden;
	switch (role) {
	case MHS_ROLE_EMBED:
		*cols = config->vocab_count;
		return 0;
	case MHS_ROLE_OUTPUT:
		*rows = config->vocab_count;
		return 0;
	case MHS_ROLE_ATTN_Q:
		*rows = q;
		return 0;
	case MHS_ROLE_ATTN_K:
	case MHS_ROLE_ATTN_V:
		*rows = kv;
		return 0;
	case MHS_ROLE_ATTN_O:
		return 0;
	case MHS_ROLE_FFN_GATE:
	case MHS_ROLE_FFN_UP:
		*rows = config->intermediate;
		return 0;
	case MHS_ROLE_FFN_DOWN:
		*cols = config->intermediate;
		return 0;
	default:
		return -EINVAL;
	}
}

static const struct mhs_image_tensor *table_of(const struct mhs_image_header *image,
					       const void *base)
{
	return (const void *)((const uint8_t *)base + image->tensor_table.offset_bytes);
}

/* Shapes are checked, so no product wraps: at most 2^16 * 2^24 * 4. */
static int check_lengths(const struct mhs_image_tensor *a, const struct mhs_image_tensor *b,
			 const char **field)
{
	uint32_t value_bytes = mhs_adapter_type_bytes(a->type);

	if (!value_bytes || a->type != b->type)
		return mhs_refuse(field, "tensor.type: must be F32, F16 or BF16 in an adapter, the same "
			      "for A and B");
	if (a->length_bytes != a->rows * a->cols * value_bytes ||
	    b->length_bytes != MHS_ADAPTER_PADDED_ROWS(b->rows) * b->cols * value_bytes)
		return mhs_refuse(field, "tensor.length_bytes: must be rows x cols values, of B in panels "
			      "of 16 rows");
	return 0;
}

static int check_pair(const struct mhs_image_config *config, const struct mhs_image_tensor *a,
		      const struct mhs_image_tensor *b, const char **field)
{
	uint32_t role = a->role & ROLE_MASK;
	uint64_t rows, cols;

	if (a->role != (role | MHS_ROLE_LORA_A) || b->role != (role | MHS_ROLE_LORA_B) ||
	    mhs_adapter_shape(config, role, &rows, &cols))
		return mhs_refuse(field, "tensor.role: must be A, then B of a matrix that can be adapted");
	if (a->layer != b->layer || (role < MHS_ROLE_ATTN_NORM && a->layer))
		return mhs_refuse(field, "tensor.layer: must be the same for A and B, 0 outside of layers");
	if (a->rows < 1 || a->rows > MHS_ADAPTER_RANK_MAX || b->cols != a->rows)
		return mhs_refuse(field, "tensor.rows: rank must be 1..65536, the same for A and B");
	if (a->cols != cols || b->rows != rows)
		return mhs_refuse(field, "tensor.rows, tensor.cols: must be those of the configuration");
	if (!isfinite(a->lora_scale) || memcmp(&a->lora_scale, &b->lora_scale, sizeof(float)))
		return mhs_refuse(field, "tensor.lora_scale: must be finite, the same for A and B");
	return check_lengths(a, b, field);
}

static int is_after(const struct mhs_image_tensor *a, const struct mhs_image_tensor *before)
{
	return a->layer != before->layer ? a->layer > before->layer : a->role > before->role;
}

int mhs_adapter_check(const struct mhs_image_header *image, const void *base, const char **field)
{
	const struct mhs_image_tensor *t = table_of(image, base);
	int err;

	if (image->kind != MHS_IMAGE_ADAPTER)
		return mhs_refuse(field, "kind: must be 2 (adapter)");
	err = mhs_image_check_tensors(image, base, field);
	for (uint32_t i = 0; i < image->tensor_count && !err; i += 2) {
		err = check_pair(&image->config, &t[i], &t[i + 1], field);
		if (!err && i && !is_after(&t[i], &t[i - 2]))
			err = mhs_refuse(field, "tensor.role: targets must rise by layer and role");
	}
	return err;
}

uint32_t mhs_adapter_count(const struct mhs_image_header *image)
{
	return image->tensor_count / 2;
}

void mhs_adapter_target(const struct mhs_image_header *image, const void *base, uint32_t index,
			struct mhs_adapter_target *target)
{
	const struct mhs_image_tensor *a = &table_of(image, base)[2 * index], *b = a + 1;

	*target = (struct mhs_adapter_target){
		.role = a->role & ROLE_MASK, .layer = a->layer, .rank = (uint32_t)a->rows,
		.rows = (uint32_t)b->rows, .cols = (uint32_t)a->cols,
		.type = a->type, .scale = a->lora_scale,
		.a = (const uint8_t *)base + a->offset_bytes,
		.b = (const uint8_t *)base + b->offset_bytes,
	};
}

int mhs_adapter_find(const struct mhs_image_header *image, const void *base, uint32_t role,
		     uint32_t layer, struct mhs_adapter_target *target)
{
	const struct mhs_image_tensor *t = table_of(image, base);
	const struct mhs_image_tensor wanted = { .role = role | MHS_ROLE_LORA_A, .layer = layer };
	uint32_t low = 0, high = mhs_adapter_count(image);

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (is_after(&wanted, &t[2 * middle]))
			low = middle + 1;
		else
			high = middle;
	}
	if (low == mhs_adapter_count(image) || t[2 * low].layer != layer ||
	    t[2 * low].role != wanted.role)
		return -ENOENT;
	mhs_adapter_target(image, base, low, target);
	return 0;
}

const char *const mhs_fits_names[MHS_FITS_COUNT] = {
	"arch", "layer_count", "hidden", "intermediate", "head_count", "kv_head_count", "head_dim",
	"vocab_count",
};

void mhs_fits_numbers(const struct mhs_image_config *config, uint32_t numbers[MHS_FITS_COUNT])
{
	numbers[0] = config->arch;
	numbers[1] = config->layer_count;
	numbers[2] = config->hidden;
	numbers[3] = config->intermediate;
	numbers[4] = config->head_count;
	numbers[5] = config->kv_head_count;
	numbers[6] = config->head_dim;
	numbers[7] = config->vocab_count;
}

int mhs_adapter_fits(const struct mhs_image_config *adapter, const struct mhs_image_config *version,
		     const char **field)
{
	uint32_t a[MHS_FITS_COUNT], v[MHS_FITS_COUNT];

	mhs_fits_numbers(adapter, a);
	mhs_fits_numbers(version, v);
	for (uint32_t i = 0; i < MHS_FITS_COUNT; i++)
		if (a[i] != v[i])
			return mhs_refuse(field, mhs_fits_names[i]);
	return 0;
}
