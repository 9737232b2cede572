/* SPDX-License-Identifier: MIT */
/* sto_norms.c: norms of the difference of two packed tensors. */
#include "sto_norms.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eng_pack.h"

/* One side of the comparison: a panel of 16 rows and one of its rows as floats. */
struct side {
	struct sto_version *v;
	uint32_t index;
	const struct mhs_image_tensor *t;
	uint64_t panel_bytes;
	void *panel;
	float *row;
};

static int side_open(struct side *s, struct sto_version *v, uint32_t index,
		     struct sto_error *error)
{
	memset(s, 0, sizeof(*s));
	s->v = v;
	s->index = index;
	s->t = &v->tensors[index];
	if (s->t->cols > UINT32_MAX ||
	    eng_packed_bytes(s->t->type, s->t->rows, s->t->cols) != s->t->length_bytes ||
	    s->t->length_bytes == 0) {
		sto_fail(error, "%s@%s: tensor %s: its length does not fit its type and shape; verify the "
			 "version", v->model, v->version, s->t->name);
		return -EBADMSG;
	}
	s->panel_bytes = s->t->type == ENG_VEC_F32 ? s->t->length_bytes :
						     eng_panel_bytes(s->t->type, s->t->cols);
	s->panel = aligned_alloc(64, (s->panel_bytes + 63) / 64 * 64);
	s->row = malloc(s->t->cols * sizeof(*s->row));
	if (s->panel && s->row)
		return 0;
	sto_fail(error, "tensor %s: out of memory; free some", s->t->name);
	return -ENOMEM;
}

static void side_close(struct side *s)
{
	free(s->panel);
	free(s->row);
}

static int side_read(struct side *s, uint64_t panel, struct sto_error *error)
{
	return sto_tensor_read(s->v, s->index, panel * s->panel_bytes, s->panel_bytes, s->panel, error);
}

static void side_unpack(struct side *s, uint32_t row)
{
	const struct eng_matrix m = { s->t->type, ENG_PANEL_ROWS, (uint32_t)s->t->cols, s->panel };

	eng_unpack_row(&m, row, s->row);
}

static void add_row(const struct side *a, const struct side *b, struct sto_norms *norms)
{
	for (uint64_t col = 0; col < a->t->cols; col++) {
		double x = (double)a->row[col], diff = (double)b->row[col] - x;

		if (!isfinite(x) || !isfinite(diff)) {
			norms->not_finite++;
			continue;
		}
		norms->sum_a += x * x;
		norms->sum_diff += diff * diff;
		norms->max_abs = fmax(norms->max_abs, fabs(diff));
	}
}

static int compare(struct side *a, struct side *b, struct sto_norms *norms, struct sto_error *error)
{
	for (uint64_t first = 0; first < a->t->rows; first += ENG_PANEL_ROWS) {
		uint64_t left = a->t->rows - first;
		int err = side_read(a, first / ENG_PANEL_ROWS, error);

		if (!err)
			err = side_read(b, first / ENG_PANEL_ROWS, error);
		if (err)
			return err;
		for (uint32_t row = 0; row < left && row < ENG_PANEL_ROWS; row++) {
			side_unpack(a, row);
			side_unpack(b, row);
			add_row(a, b, norms);
		}
	}
	return 0;
}

int sto_norms(struct sto_version *a, uint32_t i, struct sto_version *b, uint32_t j,
	      struct sto_norms *norms, struct sto_error *error)
{
	struct side x, y;
	int err = side_open(&x, a, i, error);

	memset(norms, 0, sizeof(*norms));
	if (!err) {
		err = side_open(&y, b, j, error);
		if (!err)
			err = compare(&x, &y, norms, error);
		side_close(&y);
	}
	side_close(&x);
	return err;
}

double sto_norms_relative(const struct sto_norms *norms)
{
	return norms->sum_a > 0 ? sqrt(norms->sum_diff / norms->sum_a) : -1;
}
