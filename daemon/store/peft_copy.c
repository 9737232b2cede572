/* SPDX-License-Identifier: MIT */
/*
 * peft_copy.c: PEFT saves the base's embeddings beside an adapter that targets them. They are not
 * needed when they are the base's; when they are not (tokens were added, rows were trained), the
 * adapter alone is not what was trained.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "import_peft_priv.h"
#include "sto_family.h"

/*
 * What a row may differ by, of its length: some times what rounding between float types does to
 * random values (at most 0.002), and what quantisation does (0.006, 0.025, 0.05, 0.09, 0.19, 0.34).
 */
static double limit_of(uint32_t type)
{
	switch (type) {
	case ENG_F32:
	case ENG_F16:
	case ENG_BF16:
		return 0.01;
	case ENG_Q8:
		return 0.02;
	case ENG_Q6K:
		return 0.06;
	case ENG_Q5:
	case ENG_Q5M:
	case ENG_Q5K:
		return 0.1;
	case ENG_Q3K:
		return 0.4;
	case ENG_Q2K:
		return 0.7;
	default:
		return 0.2;
	}
}

struct copy {
	const struct sto_file *file;
	const struct sto_st_tensor *tensor;
	struct sto_version *base;
	uint32_t index;			/* of the base's tensor */
	double limit;
	uint8_t *panel;			/* 16 rows of the base */
	uint8_t *source;		/* and of the copy */
	float *row, *other;
	struct sto_error *error;
};

static int refuse(const struct copy *c, const char *why, uint64_t row)
{
	sto_fail(c->error, "%s: tensor %s: %s from row %llu on, limit a copy of %s@%s's; give the base "
		 "that it was trained on, or save it with save_embedding_layers=False",
		 c->file->path, c->tensor->name, why, (unsigned long long)row, c->base->model,
		 c->base->version);
	return -EINVAL;
}

/* Whether @rest is "lm_head.weight", or "lm_head.base_layer.weight" as of a wrapped module. */
static bool is_named(const char *rest, const char *name)
{
	size_t n = strlen(name) - strlen(".weight");

	if (strncmp(rest, name, n))
		return false;
	return !strcmp(rest + n, ".weight") || !strcmp(rest + n, ".base_layer.weight");
}

/* The matrix of the base that @rest names; a tied output is its embedding. -ENOENT: none. */
static int find_matrix(const struct sto_version *base, const char *rest)
{
	const struct sto_family *family = sto_family_of_arch(base->header.config.arch);

	for (uint32_t i = 0; i < sto_slot_count; i++) {
		uint32_t role = sto_slots[i].role;

		if ((role != MHS_ROLE_EMBED && role != MHS_ROLE_OUTPUT) ||
		    !is_named(rest, sto_slot_name(&sto_slots[i], family).hf))
			continue;
		role = base->header.config.tied ? MHS_ROLE_EMBED : role;
		for (uint32_t t = 0; t < base->header.tensor_count; t++)
			if (base->tensors[t].role == role)
				return (int)t;
	}
	return -ENOENT;
}

static int compare_row(const struct copy *c, const struct eng_matrix *panel, uint32_t row, uint64_t at)
{
	uint64_t cols = panel->cols, row_bytes = c->tensor->bytes / c->tensor->dims[0];
	double length = 0, differs = 0;

	eng_unpack_row(panel, row, c->row);
	if (eng_dequant_row(c->tensor->source, c->source + row * row_bytes, cols, c->other))
		return refuse(c, "is no float matrix", at);
	for (uint64_t i = 0; i < cols; i++) {
		double d = (double)c->row[i] - (double)c->other[i];

		length += (double)c->row[i] * (double)c->row[i];
		differs += d * d;
	}
	if (differs <= c->limit * c->limit * length)
		return 0;
	return refuse(c, "differs", at);
}

static int compare_all(const struct copy *c)
{
	const struct mhs_image_tensor *t = &c->base->tensors[c->index];
	uint64_t row_bytes = c->tensor->bytes / t->rows, panel_bytes = eng_panel_bytes(t->type, t->cols);

	for (uint64_t row = 0; row < t->rows; row += ENG_PANEL_ROWS) {
		uint32_t rows = t->rows - row < ENG_PANEL_ROWS ? (uint32_t)(t->rows - row) : ENG_PANEL_ROWS;
		struct eng_matrix panel = { t->type, ENG_PANEL_ROWS, (uint32_t)t->cols, c->panel };
		int err = sto_tensor_read(c->base, c->index, row / ENG_PANEL_ROWS * panel_bytes,
					  panel_bytes, c->panel, c->error);

		if (!err)
			err = sto_file_read(c->file, c->source, rows * row_bytes,
					    c->tensor->offset_bytes + row * row_bytes, c->error);
		for (uint32_t i = 0; i < rows && !err; i++)
			err = compare_row(c, &panel, i, row + i);
		if (err)
			return err;
	}
	return 0;
}

static int compare(struct copy *c)
{
	const struct mhs_image_tensor *t = &c->base->tensors[c->index];
	int err = -ENOMEM;

	if (c->tensor->source == STO_ST_NOT_FLOAT || c->tensor->dim_count != 2 ||
	    c->tensor->dims[0] != t->rows || c->tensor->dims[1] != t->cols)
		return refuse(c, "has another type or shape", 0);
	c->limit = limit_of(t->type);
	c->panel = aligned_alloc(64, (eng_panel_bytes(t->type, t->cols) + 63) / 64 * 64);
	c->source = malloc(c->tensor->bytes / t->rows * ENG_PANEL_ROWS);
	c->row = calloc(t->cols, sizeof(float));
	c->other = calloc(t->cols, sizeof(float));
	if (c->panel && c->source && c->row && c->other)
		err = compare_all(c);
	else
		sto_fail(c->error, "%s: out of memory; free some", c->file->path);
	free(c->other);
	free(c->row);
	free(c->source);
	free(c->panel);
	return err;
}

int peft_check_copy(const struct sto_file *file, const struct sto_st_tensor *tensor, const char *rest,
		    struct sto_version *base, struct sto_error *error)
{
	struct copy c = { .file = file, .tensor = tensor, .base = base, .error = error };
	int index = find_matrix(base, rest);

	if (index < 0)
		return index;
	c.index = (uint32_t)index;
	return compare(&c);
}
