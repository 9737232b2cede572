/* SPDX-License-Identifier: MIT */
/* sto_diff_adapters.c: what differs between two versions of adapters: words, and what they add to the base. */
#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "sto_adapter.h"
#include "sto_diff.h"
#include "sto_lora_delta.h"
#include "sto_norms.h"

/* One of both. */
struct side {
	const struct sto_adapter_ref *ref;
	struct mhs_image_header header;
	void *base;
	json_t *manifest;
};

struct tally {
	const struct sto_adapter_diff *diff;
	struct side a, b;
	json_t *changed, *only_a, *only_b;
	uint32_t unchanged;
	struct sto_norms all;
};

static int side_open(struct side *s, const char *store, const struct sto_adapter_ref *ref,
		     struct sto_error *error)
{
	int err = sto_adapter_read(store, ref->model, ref->adapter, ref->version, &s->header, &s->base, error);

	s->ref = ref;
	return err ? err : sto_adapter_manifest(store, ref->model, ref->adapter, ref->version, &s->manifest,
						error);
}

static void side_close(struct side *s)
{
	free(s->base);
	json_decref(s->manifest);
}

static const struct mhs_image_tensor *table_of(const struct side *s)
{
	return (const void *)((const uint8_t *)s->base + s->header.tensor_table.offset_bytes);
}

/* "model.layers.0.self_attn.q_proj": the name of its A without the end. */
static json_t *name_of(const struct side *s, uint32_t index)
{
	const char *name = table_of(s)[2 * index].name, *end = strstr(name, ".lora_");

	return json_stringn(name, end ? (size_t)(end - name) : strlen(name));
}

static json_t *real_or_null(double value)
{
	return isfinite(value) && value >= 0 ? json_real(value) : json_null();
}

/* ---- one target ------------------------------------------------------------------------------ */

/* ||sb Bb Ab - sa Ba Aa||, row by row. */
static int add_norms(const struct sto_lora_delta *a, const struct sto_lora_delta *b, struct sto_norms *norms)
{
	float *x = malloc(a->cols * sizeof(float)), *y = malloc(b->cols * sizeof(float));
	int err = x && y ? 0 : -ENOMEM;

	for (uint32_t row = 0; !err && row < a->rows; row++) {
		sto_lora_delta_row(a, row, x);
		sto_lora_delta_row(b, row, y);
		for (uint32_t c = 0; c < a->cols; c++) {
			double was = (double)a->target.scale * (double)x[c];
			double diff = (double)b->target.scale * (double)y[c] - was;

			norms->sum_a += was * was;
			norms->sum_diff += diff * diff;
			norms->max_abs = fmax(norms->max_abs, fabs(diff));
		}
	}
	free(x);
	free(y);
	return err;
}

static int compare(struct tally *t, const struct mhs_adapter_target *target, struct sto_norms *norms)
{
	struct sto_lora_delta a, b;
	int err = sto_lora_delta_open(&a, &t->a.header, t->a.base, target->role, target->layer);

	memset(norms, 0, sizeof(*norms));
	if (err)
		return err;
	err = sto_lora_delta_open(&b, &t->b.header, t->b.base, target->role, target->layer);
	if (!err) {
		err = a.rows == b.rows && a.cols == b.cols ? add_norms(&a, &b, norms) : -EDOM;
		sto_lora_delta_close(&b);
	}
	sto_lora_delta_close(&a);
	return err;
}

/* Target @j of B, which is target @i of A, with halves of other bytes. */
static int note_changed(struct tally *t, uint32_t i, uint32_t j)
{
	struct mhs_adapter_target a, b;
	struct sto_norms n;
	int err;

	mhs_adapter_target(&t->a.header, t->a.base, i, &a);
	mhs_adapter_target(&t->b.header, t->b.base, j, &b);
	err = compare(t, &b, &n);
	if (err)
		return err;
	t->all.sum_a += n.sum_a;
	t->all.sum_diff += n.sum_diff;
	return json_array_append_new(t->changed, json_pack("{s:o, s:i, s:i, s:f, s:f, s:o, s:o}", "target",
		name_of(&t->b, j), "rank_a", a.rank, "rank_b", b.rank, "scale_a", (double)a.scale, "scale_b",
		(double)b.scale, "relative", real_or_null(sto_norms_relative(&n)), "max_abs",
		real_or_null(n.max_abs))) ? -ENOMEM : 0;
}

/* ---- all of them ----------------------------------------------------------------------------- */

/* Index in @s of the target with the role and layer of @like; the count: none. */
static uint32_t find_index(const struct side *s, const struct mhs_image_tensor *like)
{
	uint32_t i = 0, count = mhs_adapter_count(&s->header);

	while (i < count && (table_of(s)[2 * i].role != like->role || table_of(s)[2 * i].layer != like->layer))
		i++;
	return i;
}

static bool same_bytes(const struct mhs_image_tensor *a, const struct mhs_image_tensor *b)
{
	return a->type == b->type && a->lora_scale == b->lora_scale && a->length_bytes == b->length_bytes &&
	       memcmp(a->hash, b->hash, sizeof(a->hash)) == 0;
}

static int compare_target(struct tally *t, uint32_t j)
{
	const struct mhs_image_tensor *b = &table_of(&t->b)[2 * j], *a;
	uint32_t i = find_index(&t->a, b);

	if (i == mhs_adapter_count(&t->a.header))
		return json_array_append_new(t->only_b, name_of(&t->b, j)) ? -ENOMEM : 0;
	a = &table_of(&t->a)[2 * i];
	if (!same_bytes(&a[0], &b[0]) || !same_bytes(&a[1], &b[1]))
		return note_changed(t, i, j);
	t->unchanged++;
	return 0;
}

static int compare_targets(struct tally *t)
{
	const _Atomic int *stop = t->diff->stop;
	int err = 0;

	for (uint32_t j = 0; j < mhs_adapter_count(&t->b.header) && !err; j++) {
		err = compare_target(t, j);
		/* relaxed: a request to give up; nothing is published by it */
		if (!err && stop && atomic_load_explicit(stop, memory_order_relaxed))
			err = -EINTR;
	}
	for (uint32_t i = 0; i < mhs_adapter_count(&t->a.header) && !err; i++)
		if (find_index(&t->b, &table_of(&t->a)[2 * i]) == mhs_adapter_count(&t->b.header))
			json_array_append_new(t->only_a, name_of(&t->a, i));
	return err;
}

static json_t *ref_string(const struct sto_adapter_ref *ref)
{
	return json_sprintf("%s/%s@%s", ref->model, ref->adapter, ref->version);
}

static int compare_words(struct tally *t, json_t *result)
{
	json_t *metadata = json_array(), *lora = json_array(), *sources = json_array();
	int err = sto_diff_manifests(t->a.manifest, t->b.manifest, metadata, sources);

	if (!err)
		err = sto_diff_value(json_object_get(t->a.manifest, "base"), json_object_get(t->b.manifest, "base"),
				     "base", metadata);
	if (!err)
		err = sto_diff_value(json_object_get(t->a.manifest, "lora"), json_object_get(t->b.manifest, "lora"),
				     "", lora);
	json_object_set_new(result, "metadata", metadata);
	json_object_set_new(result, "lora", lora);
	json_object_set_new(result, "sources", sources);
	return err;
}

static int compare_all(struct tally *t, json_t *result)
{
	int err = compare_words(t, result);
	double relative;

	if (!err)
		err = compare_targets(t);
	if (json_array_size(t->changed) == 0)
		t->all.sum_a = 1;	/* all the same, whatever its norm */
	relative = sto_norms_relative(&t->all);
	json_object_set_new(result, "targets", json_pack("{s:i, s:o, s:O, s:O, s:O}", "unchanged", t->unchanged,
			    "relative", real_or_null(relative), "only_a", t->only_a, "only_b", t->only_b,
			    "changed", t->changed));
	return err;
}

static void tell(const struct tally *t, int err, struct sto_error *error)
{
	if (err == -EDOM)
		sto_fail(error, "%s/%s@%s: its matrices have other shapes than those of %s/%s@%s; compare adapters "
			 "of one base", t->b.ref->model, t->b.ref->adapter, t->b.ref->version, t->a.ref->model,
			 t->a.ref->adapter, t->a.ref->version);
	else
		sto_fail(error, "diff: %s", err == -EINTR ? "interrupted; run it again" :
			 "out of memory; free some");
}

int sto_adapter_diff(const struct sto_adapter_diff *diff, json_t **result, struct sto_error *error)
{
	struct tally t = { .diff = diff, .changed = json_array(), .only_a = json_array(),
			   .only_b = json_array() };
	int err = side_open(&t.a, diff->store, &diff->a, error);

	if (!err)
		err = side_open(&t.b, diff->store, &diff->b, error);
	*result = NULL;
	if (!err) {
		*result = json_pack("{s:o, s:o}", "a", ref_string(&diff->a), "b", ref_string(&diff->b));
		err = compare_all(&t, *result);
		if (err)
			tell(&t, err, error);
	}
	if (err) {
		json_decref(*result);
		*result = NULL;
	}
	side_close(&t.a);
	side_close(&t.b);
	json_decref(t.changed);
	json_decref(t.only_a);
	json_decref(t.only_b);
	return err;
}
