/* SPDX-License-Identifier: MIT */
/* sto_merge_panels.c: panels of the base, and what adapters add to them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sto_image_priv.h"
#include "sto_lora_delta.h"
#include "sto_merge_priv.h"

struct term {
	struct sto_lora_delta delta;
	float scale;
};

/* Rows on their way. */
struct sum {
	const struct sto_tensor *t;
	uint32_t source;		/* enum eng_source of the result */
	struct term terms[STO_MERGE_MAX];
	uint32_t term_count;
	uint8_t *panels;		/* of the base */
	float *values, *delta;		/* one row */
	uint8_t *rows;			/* one panel of rows in @source */
};

/* ---- memory ---------------------------------------------------------------------------------- */

static uint64_t row_bytes(const struct sum *s)
{
	return s->t->cols / eng_source_block_values(s->source) * eng_source_block_bytes(s->source);
}

static void sum_close(struct sum *s)
{
	for (uint32_t i = 0; i < s->term_count; i++)
		sto_lora_delta_close(&s->terms[i].delta);
	free(s->panels);
	free(s->values);
	free(s->delta);
	free(s->rows);
}

static int sum_open(struct sum *s, const struct merge *m, uint32_t tensor, uint64_t panel_bytes,
		    uint32_t panels)
{
	const struct sto_tensor *t = &m->model->tensors[tensor];
	int err = 0;

	memset(s, 0, sizeof(*s));
	s->t = t;
	s->source = m->tensors[tensor].to;
	s->panels = aligned_alloc(64, (panels * panel_bytes + 63) / 64 * 64);
	s->values = malloc(t->cols * sizeof(float));
	s->delta = malloc(t->cols * sizeof(float));
	s->rows = malloc(ENG_PANEL_ROWS * row_bytes(s));
	if (!s->panels || !s->values || !s->delta || !s->rows)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->part_count && !err; i++) {
		const struct merge_part *part = &m->parts[i];
		struct term *term = &s->terms[s->term_count];

		err = sto_lora_delta_open(&term->delta, &part->header, part->base, t->role, t->layer);
		if (!err) {
			term->scale = (float)((double)part->scale * (double)term->delta.target.scale);
			s->term_count++;
		}
		err = err == -ENOENT ? 0 : err;
	}
	return err;
}

/* ---- sums ------------------------------------------------------------------------------------ */

/* The product first, then its scale: as PEFT rounds. */
static void add_term(struct sum *s, const struct term *term, uint64_t row)
{
	sto_lora_delta_row(&term->delta, row, s->delta);
	for (uint64_t c = 0; c < s->t->cols; c++)
		s->values[c] += s->delta[c] * term->scale;
}

/* s->values as a row of the result. -EDOM: no number of that type. */
static int put_row(struct sum *s, uint8_t *out)
{
	if (s->source != ENG_SRC_F32)
		return eng_quant_row(s->source, s->values, s->t->cols, out);
	memcpy(out, s->values, s->t->cols * sizeof(float));
	return 0;
}

/* @rows (1..16) rows of one panel, of which the first is row @row of the matrix. */
static int add_panel(struct sum *s, const struct eng_matrix *base, uint64_t row, uint32_t rows,
		     void *out)
{
	const void *src[ENG_PANEL_ROWS];
	int err = 0;

	for (uint32_t i = 0; i < rows && !err; i++) {
		uint8_t *to = s->rows + i * row_bytes(s);

		eng_unpack_row(base, i, s->values);
		for (uint32_t j = 0; j < s->term_count; j++)
			add_term(s, &s->terms[j], row + i);
		err = put_row(s, to);
		src[i] = to;
	}
	return err ? err : eng_pack_panel(eng_type_of_source(s->source), s->source, src, rows, s->t->cols, out);
}

static int add_panels(struct sum *s, const struct mhs_image_tensor *base, uint64_t row, uint32_t rows,
		      uint8_t *out, struct sto_error *error)
{
	uint64_t in_bytes = eng_panel_bytes(base->type, base->cols);
	uint64_t out_bytes = eng_panel_bytes(s->t->type, base->cols);
	int err = 0;

	for (uint32_t at = 0; at < rows && !err; at += ENG_PANEL_ROWS) {
		const struct eng_matrix m = { base->type, ENG_PANEL_ROWS, (uint32_t)base->cols,
					      s->panels + at / ENG_PANEL_ROWS * in_bytes };
		uint32_t part = rows - at < ENG_PANEL_ROWS ? rows - at : ENG_PANEL_ROWS;

		err = add_panel(s, &m, row + at, part, out + at / ENG_PANEL_ROWS * out_bytes);
	}
	if (err)
		sto_fail(error, "tensor %s: rows %llu and on: a sum is %s; choose --type f32, or a smaller scale",
			 s->t->name, (unsigned long long)row, err == -EDOM ?
			 "beyond what its type can hold" : "not packed");
	return err;
}

/* ---- the base -------------------------------------------------------------------------------- */

/* Read, and hash: at the end of the tensor it must be the bytes that its version was made of. */
static int read_base(struct merge *m, uint32_t tensor, uint64_t row, uint32_t rows, void *out,
		     uint64_t bytes, struct sto_error *error)
{
	struct merge_tensor *mine = &m->tensors[tensor];
	const struct mhs_image_tensor *t = &m->base.tensors[mine->from];
	uint64_t at = row / ENG_PANEL_ROWS * eng_panel_bytes(t->type, t->cols);
	XXH128_canonical_t canonical;
	int err = sto_tensor_read(&m->base, mine->from, at, bytes, out, error);

	if (err)
		return err;
	if (!mine->hash) {
		mine->hash = XXH3_createState();
		if (!mine->hash || XXH3_128bits_reset(mine->hash) != XXH_OK)
			return -ENOMEM;
	}
	XXH3_128bits_update(mine->hash, out, bytes);
	if (row + rows < t->rows)
		return 0;
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(mine->hash));
	if (!memcmp(canonical.digest, t->hash, sizeof(t->hash)))
		return 0;
	sto_fail(error, "%s@%s: tensor %s: its hash is not that of the tensor table; verify the version",
		 m->base.model, m->base.version, t->name);
	return -EBADMSG;
}

int merge_panels(struct sto_origin *origin, uint32_t tensor, uint64_t row, uint32_t rows, void *out,
		 struct sto_error *error)
{
	struct merge *m = (struct merge *)origin;
	const struct mhs_image_tensor *base = &m->base.tensors[m->tensors[tensor].from];
	uint64_t panel_bytes = eng_panel_bytes(base->type, base->cols);
	uint32_t panels = (rows + ENG_PANEL_ROWS - 1) / ENG_PANEL_ROWS;
	struct sum s;
	int err;

	error->text[0] = '\0';
	if (m->tensors[tensor].to == STO_MERGE_TYPE_NONE) {
		err = read_base(m, tensor, row, rows, out, panels * panel_bytes, error);
	} else {
		err = sum_open(&s, m, tensor, panel_bytes, panels);
		if (!err)
			err = read_base(m, tensor, row, rows, s.panels, panels * panel_bytes, error);
		if (!err)
			err = add_panels(&s, base, row, rows, out, error);
		sum_close(&s);
	}
	if (err == -ENOMEM)
		sto_fail(error, "tensor %s: out of memory; free some", m->model->tensors[tensor].name);
	return err;
}
