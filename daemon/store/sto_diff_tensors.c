/* SPDX-License-Identifier: MIT */
/* sto_diff_tensors.c: which tensors changed, and how far. */
#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "eng_pack.h"
#include "sto_diff.h"
#include "sto_norms.h"

struct tally {
	const struct sto_diff *diff;
	json_t *changed, *reshaped, *only_a, *only_b;
	uint32_t unchanged;
	uint64_t unchanged_bytes, bytes;
	struct sto_norms all;
	uint64_t done_bytes, all_bytes;
};

/* The tensor of @v with the same role and layer; tensor_count: none. */
static uint32_t find_same(const struct sto_version *v, const struct mhs_image_tensor *t)
{
	uint32_t i = 0;

	while (i < v->header.tensor_count &&
	       (v->tensors[i].role != t->role || v->tensors[i].layer != t->layer))
		i++;
	return i;
}

static json_t *name_of(const struct mhs_image_tensor *t)
{
	json_t *name = json_string(t->name);

	return name ? name : json_sprintf("role %u of layer %u", t->role, t->layer);
}

static json_t *real_or_null(double value)
{
	return isfinite(value) && value >= 0 ? json_real(value) : json_null();
}

static bool same_bytes(const struct mhs_image_tensor *a, const struct mhs_image_tensor *b)
{
	return a->type == b->type && a->length_bytes == b->length_bytes &&
	       memcmp(a->hash, b->hash, sizeof(a->hash)) == 0;
}

static int note_reshaped(struct tally *tally, const struct mhs_image_tensor *a,
			 const struct mhs_image_tensor *b)
{
	return json_array_append_new(tally->reshaped, json_pack("{s:o, s:o, s:o}", "tensor", name_of(b),
		"a", json_sprintf("%llu x %llu", (unsigned long long)a->rows, (unsigned long long)a->cols),
		"b", json_sprintf("%llu x %llu", (unsigned long long)b->rows,
				  (unsigned long long)b->cols)));
}

static int note_changed(struct tally *tally, uint32_t i, uint32_t j, struct sto_error *error)
{
	const struct mhs_image_tensor *a = &tally->diff->a->tensors[i], *b = &tally->diff->b->tensors[j];
	struct sto_norms n;
	int err = sto_norms(tally->diff->a, i, tally->diff->b, j, &n, error);

	if (err)
		return err;
	tally->all.sum_a += n.sum_a;
	tally->all.sum_diff += n.sum_diff;
	if (json_array_append_new(tally->changed, json_pack("{s:o, s:s, s:s, s:o, s:o, s:I}", "tensor",
				  name_of(b), "type_a", eng_type_name(a->type), "type_b",
				  eng_type_name(b->type), "relative",
				  real_or_null(sto_norms_relative(&n)), "max_abs", real_or_null(n.max_abs),
				  "not_finite", (json_int_t)n.not_finite)) == 0)
		return 0;
	sto_fail(error, "diff: out of memory; free some");
	return -ENOMEM;
}

static int step(struct tally *tally, uint64_t bytes, struct sto_error *error)
{
	const struct sto_diff *diff = tally->diff;

	tally->done_bytes += bytes;
	if (diff->progress)
		diff->progress(diff->arg, tally->done_bytes, tally->all_bytes);
	/* relaxed: a request to give up; nothing is published by it */
	if (!diff->stop || !atomic_load_explicit(diff->stop, memory_order_relaxed))
		return 0;
	sto_fail(error, "interrupted; run it again");
	return -EINTR;
}

static int compare_one(struct tally *tally, uint32_t j, struct sto_error *error)
{
	const struct sto_version *a = tally->diff->a, *b = tally->diff->b;
	const struct mhs_image_tensor *t = &b->tensors[j];
	uint32_t i = find_same(a, t);
	int err = 0;

	if (i == a->header.tensor_count) {
		json_array_append_new(tally->only_b, name_of(t));
	} else if (a->tensors[i].rows != t->rows || a->tensors[i].cols != t->cols) {
		note_reshaped(tally, &a->tensors[i], t);
	} else if (same_bytes(&a->tensors[i], t)) {
		tally->unchanged++;
		tally->unchanged_bytes += t->length_bytes;
	} else {
		err = note_changed(tally, i, j, error);
	}
	tally->bytes += t->length_bytes;
	return err ? err : step(tally, t->length_bytes, error);
}

static int compare_all(struct tally *tally, struct sto_error *error)
{
	const struct sto_version *a = tally->diff->a, *b = tally->diff->b;
	int err = 0;

	for (uint32_t j = 0; j < b->header.tensor_count; j++)
		tally->all_bytes += b->tensors[j].length_bytes;
	for (uint32_t j = 0; j < b->header.tensor_count && !err; j++)
		err = compare_one(tally, j, error);
	for (uint32_t i = 0; i < a->header.tensor_count; i++)
		if (find_same(b, &a->tensors[i]) == b->header.tensor_count)
			json_array_append_new(tally->only_a, name_of(&a->tensors[i]));
	return err;
}

int sto_diff_tensors(const struct sto_diff *diff, json_t **result, struct sto_error *error)
{
	struct tally t = { .diff = diff, .changed = json_array(), .reshaped = json_array(),
			   .only_a = json_array(), .only_b = json_array() };
	int err = compare_all(&t, error);
	double relative;

	if (json_array_size(t.changed) == 0)
		t.all.sum_a = 1;	/* all the same, whatever its norm */
	relative = sto_norms_relative(&t.all);
	*result = json_pack("{s:i, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "unchanged", t.unchanged,
			    "unchanged_bytes", (json_int_t)t.unchanged_bytes, "bytes", (json_int_t)t.bytes,
			    "relative", real_or_null(relative), "only_a", t.only_a, "only_b", t.only_b,
			    "reshaped", t.reshaped, "changed", t.changed);
	if (err) {
		json_decref(*result);
		*result = NULL;
	}
	return err;
}
