/* SPDX-License-Identifier: MIT */
/* diff_test.c: what differs between two versions, and norms against sums over the source's values. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eng_pack.h"
#include "mhs_attach.h"
#include "sto_diff.h"
#include "sto_norms.h"
#include "t.h"
#include "t_gguf.h"
#include "t_import.h"

static char store[256];

static void import(const struct t_gguf *g, const char *ref, json_t *meta)
{
	struct sto_import work = { .store = store, .path = t_path("in.gguf"), .meta = meta,
				   .allow_incompatible = true };
	struct sto_import_result result;
	struct sto_error error = { "" };

	t_gguf_write(g, work.path);
	t_eq(sto_ref_parse(ref, 0, work.model, work.version, &error), 0);
	if (!t_ok(sto_import(&work, &result, &error) == 0))
		printf("# %s: %s\n", ref, error.text);
	json_decref(result.incompatible);
}

static json_t *compare(const char *model, const char *a, const char *b)
{
	struct sto_version x, y;
	const struct sto_diff diff = { .a = &x, .b = &y };
	struct sto_error error = { "" };
	json_t *result = NULL;

	if (!t_ok(sto_version_open(&x, store, model, a, &error) == 0) ||
	    !t_ok(sto_version_open(&y, store, model, b, &error) == 0))
		exit(1);
	if (!t_ok(sto_diff(&diff, &result, &error) == 0))
		printf("# %s\n", error.text);
	sto_version_close(&x);
	sto_version_close(&y);
	return result;
}

static json_t *at(json_t *object, const char *key)
{
	return json_object_get(object, key);
}

static json_t *find_tensor(json_t *tensors, const char *list, const char *name)
{
	json_t *t;
	size_t i;

	json_array_foreach(at(tensors, list), i, t)
		if (strcmp(json_string_value(at(t, "tensor")), name) == 0)
			return t;
	return NULL;
}

static float *floats_of(struct t_gguf *g, const char *name, size_t *count)
{
	struct t_gguf_tensor *t = t_gguf_tensor(g, name);

	*count = t->bytes / sizeof(float);
	return (float *)(void *)t->data;
}

static void a_version_is_as_itself(void)
{
	struct t_gguf g;
	json_t *result, *tensors;

	t_gguf_init(&g, ENG_SRC_F32, 1);
	import(&g, "m@1.0.0", NULL);
	t_gguf_free(&g);
	result = compare("m", "1.0.0", "1.0.0");
	tensors = at(result, "tensors");
	t_eq(json_array_size(at(result, "metadata")) + json_array_size(at(result, "config")) +
	     json_array_size(at(result, "tokenizer")) + json_array_size(at(result, "template")) +
	     json_array_size(at(result, "sources")), 0);
	t_eq(json_integer_value(at(tensors, "unchanged")), 12);
	t_eq(json_integer_value(at(tensors, "unchanged_bytes")), json_integer_value(at(tensors, "bytes")));
	t_eq(json_array_size(at(tensors, "changed")), 0);
	t_ok(json_number_value(at(tensors, "relative")) == 0);
	json_decref(result);
}

/* One tensor half as large again, one value of another by 3. */
static void measures_how_far(void)
{
	double sum = 0, down_sum = 0, highest = 0;
	json_t *result, *tensors, *t;
	size_t count, i;
	struct t_gguf g;
	float *values;

	t_gguf_init(&g, ENG_SRC_F32, 1);
	values = floats_of(&g, "blk.0.ffn_down", &count);
	for (i = 0; i < count; i++) {
		down_sum += (double)values[i] * (double)values[i];
		highest = fmax(highest, fabs((double)(values[i] * 1.5f - values[i])));
		values[i] *= 1.5f;
	}
	values = floats_of(&g, "blk.0.attn_v", &count);
	for (i = 0; i < count; i++)
		sum += (double)values[i] * (double)values[i];
	values[count - 1] += 3;
	import(&g, "m@1.0.1", NULL);
	t_gguf_free(&g);
	result = compare("m", "1.0.0", "1.0.1");
	tensors = at(result, "tensors");
	t_eq(json_array_size(at(tensors, "changed")), 2);
	t_eq(json_integer_value(at(tensors, "unchanged")), 10);
	t = find_tensor(tensors, "changed", "blk.0.ffn_down.weight");
	t_near(json_number_value(at(t, "relative")), 0.5, 1e-7);
	t_near(json_number_value(at(t, "max_abs")), highest, 1e-9);
	t_str_eq(json_string_value(at(t, "type_a")), "F32");
	t = find_tensor(tensors, "changed", "blk.0.attn_v.weight");
	t_near(json_number_value(at(t, "relative")), 3 / sqrt(sum), 1e-6);
	t_near(json_number_value(at(t, "max_abs")), 3, 1e-6);
	t_near(json_number_value(at(tensors, "relative")), sqrt((0.25 * down_sum + 9) / (sum + down_sum)),
	       1e-6);
	json_decref(result);
}

/* Each type against floats that hold the same values: all that was packed is unpacked. */
static void holds_for_every_type(void)
{
	static const uint32_t types[] = { ENG_SRC_F16, ENG_SRC_BF16, ENG_SRC_Q8_0, ENG_SRC_Q4_0,
					  ENG_SRC_Q4_1, ENG_SRC_Q5_0, ENG_SRC_Q5_1 };
	struct t_gguf g, plain;

	for (size_t n = 0; n < sizeof(types) / sizeof(types[0]); n++) {
		char a[32], b[32], model[8];
		json_t *result, *t;
		size_t i;

		t_gguf_init(&g, types[n], 3);
		t_gguf_init(&plain, ENG_SRC_F32, 4);
		for (i = 0; i < T_GGUF_TENSORS; i++) {
			const struct t_gguf_tensor *from = &g.tensors[i];
			uint64_t rows = from->dims[1], row = from->bytes / (rows ? rows : 1);

			if (from->dim_count != 2)
				memcpy(plain.tensors[i].data, from->data, from->bytes);
			for (uint64_t r = 0; from->dim_count == 2 && from->bytes && r < rows; r++)
				eng_dequant_row(from->type, from->data + r * row, from->dims[0],
						(float *)(void *)plain.tensors[i].data + r * from->dims[0]);
		}
		snprintf(model, sizeof(model), "t%zu", n);
		snprintf(a, sizeof(a), "%s@1.0.0", model);
		snprintf(b, sizeof(b), "%s@1.0.1", model);
		import(&g, a, NULL);
		import(&plain, b, NULL);
		result = compare(model, "1.0.0", "1.0.1");
		t_ok(json_array_size(at(at(result, "tensors"), "changed")) >= 7);
		json_array_foreach(at(at(result, "tensors"), "changed"), i, t) {
			t_ok(json_number_value(at(t, "max_abs")) == 0);
			t_ok(json_number_value(at(t, "relative")) == 0);
		}
		json_decref(result);
		t_gguf_free(&g);
		t_gguf_free(&plain);
	}
}

/* What is in one only, and what has another shape, is told and not measured. */
static void tells_shapes_and_what_is_missing(void)
{
	struct t_gguf_tensor *output;
	struct t_gguf g;
	json_t *result, *tensors;

	t_gguf_init(&g, ENG_SRC_F32, 1);
	output = t_gguf_tensor(&g, "output");
	output->bytes = 64 * T_GGUF_VOCAB * sizeof(float);
	g.rope_base = 500;
	import(&g, "m@1.0.2", NULL);
	t_gguf_free(&g);
	result = compare("m", "1.0.0", "1.0.2");
	tensors = at(result, "tensors");
	t_str_eq(json_string_value(json_array_get(at(tensors, "only_b"), 0)), "output.weight");
	t_eq(json_array_size(at(tensors, "changed")), 1);
	t_ok(find_tensor(tensors, "changed", "rope.inv_freq"));
	t_str_eq(json_string_value(at(json_array_get(at(result, "config"), 0), "field")), "tied");
	json_decref(result);
	result = compare("m", "1.0.2", "1.0.0");
	t_str_eq(json_string_value(json_array_get(at(at(result, "tensors"), "only_a"), 0)), "output.weight");
	json_decref(result);
}

static void tells_other_shapes(void)
{
	static const char *const names[] = { "blk.0.ffn_gate", "blk.0.ffn_up", "blk.0.ffn_down" };
	json_t *result, *tensors;
	struct t_gguf g;

	t_gguf_init(&g, ENG_SRC_F32, 1);
	g.intermediate = 128;
	for (int i = 0; i < 3; i++) {
		struct t_gguf_tensor *t = t_gguf_tensor(&g, names[i]);

		t->dims[i < 2] = 128;
		t->bytes = t->dims[0] * t->dims[1] * sizeof(float);
		free(t->data);	/* zeros */
		t->data = NULL;
	}
	import(&g, "m@1.0.3", NULL);
	t_gguf_free(&g);
	result = compare("m", "1.0.0", "1.0.3");
	tensors = at(result, "tensors");
	t_eq(json_array_size(at(tensors, "reshaped")), 3);
	t_str_eq(json_string_value(at(find_tensor(tensors, "reshaped", "blk.0.ffn_down.weight"), "b")),
		 "64 x 128");
	t_str_eq(json_string_value(at(find_tensor(tensors, "reshaped", "blk.0.ffn_down.weight"), "a")),
		 "64 x 96");
	t_str_eq(json_string_value(at(json_array_get(at(result, "config"), 0), "field")), "intermediate");
	json_decref(result);
}

static void names_metadata_by_key(void)
{
	json_t *a = json_pack("{s:{s:i, s:i}, s:s}", "hyper", "lr", 1, "steps", 5, "same", "x");
	json_t *b = json_pack("{s:{s:i, s:i}, s:s, s:[i]}", "hyper", "lr", 2, "warmup", 5, "same", "x",
			      "new", 1);
	json_t *result, *wanted;
	struct t_gguf g;
	size_t i, found = 0;

	t_gguf_init(&g, ENG_SRC_F32, 1);
	import(&g, "k@1.0.0", a);
	import(&g, "k@1.0.1", b);
	t_gguf_free(&g);
	result = compare("k", "1.0.0", "1.0.1");
	wanted = json_pack("[{s:s, s:i, s:i}, {s:s, s:i, s:n}, {s:s, s:n, s:i}, {s:s, s:n, s:[i]}, "
			   "{s:s, s:n, s:s}]", "field", "meta.hyper.lr", "a", 1, "b", 2, "field",
			   "meta.hyper.steps", "a", 5, "b", "field", "meta.hyper.warmup", "a", "b", 5,
			   "field", "meta.new", "a", "b", 1, "field", "parent", "a", "b", "1.0.0");
	for (i = 0; i < json_array_size(wanted); i++)
		for (size_t j = 0; j < json_array_size(at(result, "metadata")); j++)
			found += json_equal(json_array_get(wanted, i),
					    json_array_get(at(result, "metadata"), j));
	t_eq(found, 5);
	t_ok(json_array_size(at(result, "metadata")) <= 6);	/* created may differ too */
	json_decref(wanted);
	json_decref(result);
	json_decref(a);
	json_decref(b);
}

/* A damaged image: NaN is counted, a table that lies is refused. */
static void counts_what_is_no_number(void)
{
	const uint32_t nan_bits = 0x7fc00000;
	struct sto_error error = { "" };
	struct sto_version a, b;
	struct mhs_image_tensor *first;
	struct sto_norms norms;
	char path[400], name[STO_PACK_NAME_BYTES];
	uint32_t segment;
	uint64_t at;
	int fd;

	t_need(sto_version_open(&a, store, "m", "1.0.0", &error) == 0);
	t_need(sto_version_open(&b, store, "m", "1.0.1", &error) == 0);
	t_need(mhs_image_locate(&b.header, b.base, b.tensors[0].offset_bytes, 4, &segment, &at) == 0);
	sto_pack_name(mhs_image_packs(&b.header, b.base)[segment - 1].content_hash, name);
	snprintf(path, sizeof(path), "%s/models/m/1.0.1/%s", store, name);
	chmod(path, 0644);
	fd = open(path, O_WRONLY);
	t_eq(pwrite(fd, &nan_bits, 4, (off_t)at), 4);
	close(fd);
	t_eq(sto_norms(&a, 0, &b, 0, &norms, &error), 0);
	t_eq(norms.not_finite, 1);
	t_ok(isfinite(norms.sum_diff));
	first = (struct mhs_image_tensor *)(uintptr_t)b.tensors;
	first->rows += 16;
	t_eq(sto_norms(&a, 0, &b, 0, &norms, &error), -EBADMSG);
	t_ok(strstr(error.text, "verify the version"));
	first->rows -= 16;
	first->offset_bytes = b.header.image_bytes;
	t_ok(sto_norms(&a, 0, &b, 0, &norms, &error) < 0);
	t_ok(sto_tensor_read(&a, 0, a.tensors[0].length_bytes, 1, path, &error) == -ERANGE);
	sto_version_close(&a);
	sto_version_close(&b);
}

int main(void)
{
	snprintf(store, sizeof(store), "%s", t_path("store"));
	T_RUN(a_version_is_as_itself);
	T_RUN(measures_how_far);
	T_RUN(holds_for_every_type);
	T_RUN(tells_shapes_and_what_is_missing);
	T_RUN(tells_other_shapes);
	T_RUN(names_metadata_by_key);
	T_RUN(counts_what_is_no_number);
	return t_done();
}
