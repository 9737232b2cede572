/* SPDX-License-Identifier: MIT */
/* sto_lora_delta.c: rows of B A. */
#include "sto_lora_delta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "eng_source.h"

static uint32_t source_of(uint32_t type)
{
	return type == ENG_F32 ? ENG_SRC_F32 : type == ENG_F16 ? ENG_SRC_F16 : ENG_SRC_BF16;
}

/* B[row][k], out of its panels. */
static float b_value(const struct mhs_adapter_target *t, uint64_t row, uint32_t k)
{
	uint64_t at = (row / ENG_PANEL_ROWS * t->rank + k) * ENG_PANEL_ROWS + row % ENG_PANEL_ROWS;

	return eng_source_float(source_of(t->type), t->b, at);
}

static bool is_embed(const struct sto_lora_delta *d)
{
	return d->target.role == MHS_ROLE_EMBED;
}

int sto_lora_delta_open(struct sto_lora_delta *d, const struct mhs_image_header *image,
			const void *base, uint32_t role, uint32_t layer)
{
	struct mhs_adapter_target *t = &d->target;
	const uint8_t *a;
	uint32_t source;

	if (mhs_adapter_find(image, base, role, layer, t))
		return -ENOENT;
	source = source_of(t->type);
	a = t->a;
	d->rows = is_embed(d) ? t->cols : t->rows;
	d->cols = is_embed(d) ? t->rows : t->cols;
	d->across = malloc((uint64_t)t->rank * d->cols * sizeof(float));
	if (!d->across)
		return -ENOMEM;
	for (uint32_t k = 0; k < t->rank; k++) {
		float *out = d->across + (uint64_t)k * d->cols;

		if (!is_embed(d))
			eng_dequant_row(source, a + (uint64_t)k * t->cols * eng_source_block_bytes(source), t->cols,
					out);
		for (uint32_t c = 0; is_embed(d) && c < d->cols; c++)
			out[c] = b_value(t, c, k);
	}
	return 0;
}

/* What row k of across counts in row @row: B's value, of the embedding A's. */
static float weight(const struct sto_lora_delta *d, uint64_t row, uint32_t k)
{
	const struct mhs_adapter_target *t = &d->target;

	return is_embed(d) ? eng_source_float(source_of(t->type), t->a, (uint64_t)k * t->cols + row) :
			     b_value(t, row, k);
}

void sto_lora_delta_row(const struct sto_lora_delta *d, uint64_t row, float *out)
{
	memset(out, 0, d->cols * sizeof(float));
	for (uint32_t k = 0; k < d->target.rank; k++) {
		const float w = weight(d, row, k), *across = d->across + (uint64_t)k * d->cols;

		for (uint32_t c = 0; c < d->cols; c++)
			out[c] += w * across[c];
	}
}

void sto_lora_delta_close(struct sto_lora_delta *d)
{
	free(d->across);
	d->across = NULL;
}
