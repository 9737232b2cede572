/* SPDX-License-Identifier: MIT */
/*
 * merge_test.c: a version out of a base and adapters is what PEFT's merge_and_unload() makes of them
 * (tests/reference/data/peft/merges.json), and what the sum says where PEFT has no word; what no
 * adapter touches keeps its bytes, and its place on the disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "mhs_attach.h"
#include "sto_merge.h"
#include "sto_verify.h"
#include "sto_version.h"
#include "t.h"
#include "t_bad.h"
#include "t_import.h"
#include "t_peft.h"

#define RECORD	T_REFERENCE "/peft/merges.json"

static struct sto_error error;
static struct sto_import_result result;

/* ---- making ---------------------------------------------------------------------------------- */

static void need_model(const char *model, uint32_t quantize)
{
	struct sto_import import = { .store = t_path("store"), .path = T_TINY_MODEL, .version = "1.0.0",
				     .quantize = quantize, .threads = 2 };
	struct sto_import_result made;
	char path[128];

	snprintf(path, sizeof(path), "store/models/%s/1.0.0/image.mhi", model);
	snprintf(import.model, sizeof(import.model), "%s", model);
	if (access(t_path(path), R_OK))
		t_need(sto_import(&import, &made, &error) == 0);
}

static void need_adapter(const char *model, const char *name, const char *path)
{
	struct sto_adapter_import import = { .store = t_path("store"), .path = path, .version = "1.0.0",
					     .base = "1.0.0" };
	struct sto_adapter_result made;
	int err;

	snprintf(import.model, sizeof(import.model), "%s", model);
	snprintf(import.adapter, sizeof(import.adapter), "%s", name);
	err = sto_adapter_import(&import, &made, &error);
	if (!t_ok(err == 0 || err == -EEXIST))
		printf("# %s\n", error.text);
}

/* One of data/peft. */
static void need_reference(const char *model, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), T_REFERENCE "/peft/%s", name);
	need_adapter(model, name, path);
}

static void add_part(struct sto_merge *merge, const char *adapter, double scale)
{
	struct sto_merge_part *part = &merge->parts[merge->part_count++];

	snprintf(part->adapter, sizeof(part->adapter), "%s", adapter);
	strcpy(part->version, "1.0.0");
	part->scale = (float)scale;
}

/* As the next minor version, into @v. */
static int merge_as(const char *model, const struct sto_merge *merge, struct sto_version *v)
{
	struct sto_import import = { .store = t_path("store"), .path = "a merge", .merge = merge,
				     .bump = STO_BUMP_MINOR, .parent = merge->base, .threads = 2 };
	int err;

	snprintf(import.model, sizeof(import.model), "%s", model);
	error.text[0] = '\0';
	err = sto_import(&import, &result, &error);
	if (!err && v)
		err = sto_version_open(v, import.store, model, result.version, &error);
	return err;
}

/* ---- reading --------------------------------------------------------------------------------- */

static const struct mhs_image_tensor *find(const struct sto_version *v, const char *name)
{
	for (uint32_t i = 0; i < v->header.tensor_count; i++)
		if (!strcmp(v->tensors[i].name, name))
			return &v->tensors[i];
	return NULL;
}

/* The whole matrix as floats; the caller frees it. */
static float *values(struct sto_version *v, const struct mhs_image_tensor *t)
{
	struct eng_matrix m = { t->type, (uint32_t)t->rows, (uint32_t)t->cols, NULL };
	float *out = malloc(t->rows * t->cols * sizeof(float));
	void *data = aligned_alloc(64, (t->length_bytes + 63) / 64 * 64);

	t_eq(sto_tensor_read(v, (uint32_t)(t - v->tensors), 0, t->length_bytes, data, &error), 0);
	m.data = data;
	for (uint32_t row = 0; row < m.rows; row++)
		eng_unpack_row(&m, row, out + row * t->cols);
	free(data);
	return out;
}

/* ---- what PEFT made -------------------------------------------------------------------------- */

static void decode(const json_t *text, float *out, size_t count)
{
	const char *from = json_string_value(text);
	uint8_t bytes[8192];

	t_need(count * 4 + 3 < sizeof(bytes) && strlen(from) / 4 * 3 < sizeof(bytes));
	t_need(EVP_DecodeBlock(bytes, (const uint8_t *)from, (int)strlen(from)) >= (int)(count * 4));
	memcpy(out, bytes, count * 4);
}

/* @ulp: of a value; below @least a value is what is left of larger ones. */
static const struct { const char *dtype; uint32_t source; double ulp, least; } dtypes[] = {
	{ "float32", ENG_SRC_F32, 0x1p-20, 0x1p-6 }, { "float16", ENG_SRC_F16, 0x1p-10, 0x1p-10 },
	{ "bfloat16", ENG_SRC_BF16, 0x1p-7, 0x1p-10 },
};

/* Rows of one weight: never more than one unit of the last place away, and hardly ever that. */
static void check_rows(struct sto_version *v, const char *key, const json_t *rows, const json_t *numbers,
		       uint32_t k, uint32_t *count, uint32_t *off)
{
	const struct mhs_image_tensor *t = find(v, strcmp(key, "lm_head.weight") ? key : "output.weight");
	float *mine, peft[1024];

	t_need(t && t->cols <= 1024);
	mine = values(v, t);
	for (size_t i = 0; i < json_array_size(rows); i++) {
		json_int_t row = json_integer_value(json_array_get(numbers, i));

		decode(json_array_get(rows, i), peft, t->cols);
		for (uint64_t c = 0; c < t->cols; c++) {
			float a = mine[(row < 0 ? t->rows - 1 : (uint64_t)row) * t->cols + c];

			if (!t_ok(fabsf(a - peft[c]) <= dtypes[k].ulp * fmax(fabs((double)peft[c]), dtypes[k].least)))
				printf("# %s row %lld: %.9g, PEFT has %.9g\n", key, (long long)row, (double)a,
				       (double)peft[c]);
			*off += a != peft[c];
			++*count;
		}
	}
	free(mine);
}

static void check_record(const json_t *record, const json_t *numbers)
{
	const char *dtype = json_string_value(json_object_get(record, "dtype")), *key;
	struct sto_merge merge = { .base = "1.0.0" };
	uint32_t count = 0, off = 0, k = 0;
	const json_t *part, *rows;
	struct sto_version v;
	size_t i;

	while (strcmp(dtype, dtypes[k].dtype))
		k++;
	merge.type = dtypes[k].source;
	json_array_foreach(json_object_get(record, "parts"), i, part) {
		const char *name = json_string_value(json_array_get(part, 0));

		need_reference("tiny", name);
		add_part(&merge, name, json_number_value(json_array_get(part, 1)));
	}
	if (!t_ok(merge_as("tiny", &merge, &v) == 0)) {
		printf("# %s\n", error.text);
		return;
	}
	json_object_foreach(json_object_get(record, "rows"), key, rows)
		check_rows(&v, key, rows, numbers, k, &count, &off);
	if (!t_ok(count > 50 && (!k || off * 200 <= count)))
		printf("# %s: %u of %u differ\n", dtype, off, count);
	t_eq(v.header.config.tied, !json_is_true(json_object_get(record, "untied")));
	sto_version_close(&v);
}

static void is_what_peft_makes(void)
{
	json_t *root, *record;
	size_t i;

	T_NEED_REFERENCE(RECORD);
	need_model("tiny", 0);
	root = json_load_file(RECORD, 0, NULL);
	t_need(json_array_size(json_object_get(root, "merges")) >= 7);
	json_array_foreach(json_object_get(root, "merges"), i, record)
		check_record(record, json_object_get(root, "row_numbers"));
	json_decref(root);
}

/* ---- what the sum says ------------------------------------------------------------------------ */

/* A random adapter of @rank on up_proj of layer 1, as "random"; the same each time. */
static struct t_peft random_adapter(const char *model, uint32_t rank)
{
	struct t_peft p;

	t_peft_init(&p, rank, "[\"layers.1.mlp.up_proj\"]");
	t_peft_pair(&p, "layers.1.mlp.up_proj", rank, "F32");
	t_remove_tree(t_path("peft"));
	t_peft_write(&p, t_path("peft"));
	need_adapter(model, "random", t_path("peft"));
	return p;
}

/* @scale times what it adds at [row][col], in double. */
static double delta(const struct t_peft *p, uint64_t row, uint64_t col, double scale)
{
	const float *a = (const void *)t_peft_find(p, "lora_A")->data;
	const float *b = (const void *)t_peft_find(p, "lora_B")->data;
	uint64_t rank = t_peft_find(p, "lora_A")->dims[0], cols = t_peft_find(p, "lora_A")->dims[1];
	double sum = 0;

	for (uint64_t k = 0; k < rank; k++)
		sum += (double)b[row * rank + k] * (double)a[k * cols + col];
	return scale * 8 / (double)rank * sum;	/* lora_alpha of t_peft_init() is 8 */
}

/* Merge into a base of @quantize as @type; every value within @rounding of the largest of its block. */
static void check_type(const char *model, uint32_t quantize, uint32_t type, uint32_t wanted,
		       double rounding)
{
	struct sto_merge merge = { .base = "1.0.0", .type = type };
	struct sto_version before, after;
	struct t_peft p;
	float *w, *sum;
	const struct mhs_image_tensor *old, *t;

	need_model(model, quantize);
	p = random_adapter(model, 3);
	add_part(&merge, "random", 0.7);
	t_need(merge_as(model, &merge, &after) == 0);
	t_need(sto_version_open(&before, t_path("store"), model, "1.0.0", &error) == 0);
	old = find(&before, "model.layers.1.mlp.up_proj.weight");
	t = find(&after, "model.layers.1.mlp.up_proj.weight");
	t_need(old && t);
	t_eq(t->type, wanted);
	w = values(&before, old);
	sum = values(&after, t);
	for (uint64_t i = 0; i < t->rows * t->cols; i++) {
		uint64_t block = i / 32 * 32;
		double most = 0, exact = (double)w[i] + delta(&p, i / t->cols, i % t->cols, (double)0.7f);

		for (uint64_t j = block; j < block + 32; j++)
			most = fmax(most, fabs((double)w[j] + delta(&p, j / t->cols, j % t->cols, 0.7)));
		if (t_ok(fabs((double)sum[i] - exact) <= rounding * most))
			continue;
		printf("# %s: %.9g is not %.9g\n", eng_type_name(wanted), (double)sum[i], exact);
		break;
	}
	free(w);
	free(sum);
	sto_version_close(&before);
	sto_version_close(&after);
	t_peft_fini(&p);
}

static void quantised_bases_become_floats(void)
{
	check_type("q4", ENG_SRC_Q4_1, STO_MERGE_TYPE_NONE, ENG_F16, 0x1p-11);
	check_type("q4", ENG_SRC_Q4_1, ENG_SRC_F32, ENG_F32, 0x1p-22);
	check_type("q8", ENG_SRC_Q8_0, STO_MERGE_TYPE_NONE, ENG_F16, 0x1p-11);
	check_type("q8", ENG_SRC_Q8_0, ENG_SRC_BF16, ENG_BF16, 0x1p-8);
}

static void quantises_when_told(void)
{
	check_type("q8", ENG_SRC_Q8_0, ENG_SRC_Q8_0, ENG_Q8, 1.2 / 254);
	check_type("q4", ENG_SRC_Q4_1, ENG_SRC_Q4_1, ENG_Q4M, 2.1 / 30);
	check_type("tiny", 0, STO_MERGE_TYPE_NONE, ENG_BF16, 0x1p-8);
}

/* ---- what stays ------------------------------------------------------------------------------ */

static void note_problem(void *arg, const char *text)
{
	printf("# %s\n", text);
	++*(uint32_t *)arg;
}

static bool is_sound(const char *model, const char *version)
{
	uint32_t problems = 0;
	struct sto_verify verify = { .store = t_path("store"), .problem = note_problem, .arg = &problems };
	uint64_t bytes = 0;

	verify.verified = sto_verified_new();
	t_eq(sto_verify_version(&verify, model, version, &bytes, &error), 0);
	sto_verified_free(&verify.verified);
	return problems == 0;
}

static void the_rest_is_shared(void)
{
	struct sto_merge merge = { .base = "1.0.0", .type = STO_MERGE_TYPE_NONE };
	struct sto_version before, after;
	uint32_t changed = 0;
	struct t_peft p;

	need_model("rest", 0);
	p = random_adapter("rest", 2);
	add_part(&merge, "random", 1);
	t_need(merge_as("rest", &merge, &after) == 0);
	t_need(sto_version_open(&before, t_path("store"), "rest", "1.0.0", &error) == 0);
	t_eq(after.header.tensor_count, before.header.tensor_count);
	for (uint32_t i = 0; i < after.header.tensor_count; i++) {
		t_str_eq(after.tensors[i].name, before.tensors[i].name);
		if (memcmp(after.tensors[i].hash, before.tensors[i].hash, MHS_CHUNK_HASH_BYTES) == 0)
			continue;
		t_str_eq(after.tensors[i].name, "model.layers.1.mlp.up_proj.weight");
		changed++;
	}
	t_eq(changed, 1);
	/* one matrix of 96 x 96 in BF16, its pack's header, the tables */
	t_ok(result.stored_bytes < 96 * 96 * 2 + 8 * 4096);
	t_ok(is_sound("rest", result.version));
	t_str_eq(result.parent, "1.0.0");
	t_str_eq(json_string_value(json_object_get(result.merge, "base")), "1.0.0");
	t_eq(json_array_size(json_object_get(result.merge, "tensors")), 1);
	sto_version_close(&before);
	sto_version_close(&after);
	json_decref(result.merge);
	t_peft_fini(&p);
}

/* Embedding and output were one: the adapter changes one of them, and the other stays on the disk. */
static void check_untied(const char *target, const char *adapter, uint32_t changed, uint32_t kept)
{
	struct sto_merge merge = { .base = "1.0.0", .type = STO_MERGE_TYPE_NONE };
	struct sto_version before, after;
	const struct mhs_image_tensor *embed;
	char targets[64];
	struct t_peft p;

	need_model("rest", 0);
	snprintf(targets, sizeof(targets), "[\"%s\"]", target);
	t_peft_init(&p, 2, targets);
	t_peft_pair(&p, target, 2, "F32");
	t_remove_tree(t_path("peft"));
	t_peft_write(&p, t_path("peft"));
	need_adapter("rest", adapter, t_path("peft"));
	add_part(&merge, adapter, 1);
	t_need(merge_as("rest", &merge, &after) == 0);
	t_need(sto_version_open(&before, t_path("store"), "rest", "1.0.0", &error) == 0);
	embed = find(&before, "model.embed_tokens.weight");
	t_eq(after.header.config.tied, 0);
	t_eq(after.header.tensor_count, before.header.tensor_count + 1);
	for (uint32_t i = 0; i < after.header.tensor_count; i++) {
		const struct mhs_image_tensor *t = &after.tensors[i];

		if (t->role == kept)
			t_mem_eq(t->hash, embed->hash, sizeof(t->hash));
		if (t->role == changed)
			t_ok(memcmp(t->hash, embed->hash, sizeof(t->hash)) != 0);
	}
	t_ok(result.stored_bytes < T_TINY_VOCAB * T_TINY_HIDDEN * 2 + 8 * 4096);
	t_ok(is_sound("rest", result.version));
	sto_version_close(&before);
	sto_version_close(&after);
	t_peft_fini(&p);
}

static void tied_weights_part(void)
{
	check_untied("embed_tokens", "embed", MHS_ROLE_EMBED, MHS_ROLE_OUTPUT);
	check_untied("lm_head", "head", MHS_ROLE_OUTPUT, MHS_ROLE_EMBED);
}

/* ---- what is refused -------------------------------------------------------------------------- */

static void check_refused(const char *model, const struct sto_merge *merge, int wanted, const char *words)
{
	t_eq(merge_as(model, merge, NULL), wanted);
	if (!t_ok(strstr(error.text, words)))
		printf("# no \"%s\" in \"%s\"\n", words, error.text);
	t_ok(t_store_has_no_tmp(t_path("store")));
}

/* One bit of the file in the store. */
static void flip(const char *path, off_t at)
{
	int fd;
	uint8_t byte;

	chmod(t_path(path), 0644);
	fd = open(t_path(path), O_RDWR);
	t_need(fd >= 0 && pread(fd, &byte, 1, at) == 1);
	byte ^= 0x40;
	t_eq(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static void sums_beyond_the_type(void)
{
	struct sto_merge merge = { .base = "1.0.0", .type = ENG_SRC_F16 };
	struct t_peft p;

	need_model("tiny", 0);
	p = random_adapter("tiny", 3);
	add_part(&merge, "random", 1e6);
	check_refused("tiny", &merge, -EDOM, "model.layers.1.mlp.up_proj.weight: rows 0 and on: a sum is beyond "
		      "what its type can hold; choose --type f32, or a smaller scale");
	merge.type = ENG_SRC_F32;
	t_eq(merge_as("tiny", &merge, NULL), 0);
	merge.parts[0].scale = 3e38f;
	check_refused("tiny", &merge, -EDOM, "beyond what its type can hold");
	t_peft_fini(&p);
}

static void what_does_not_fit(void)
{
	struct sto_merge merge = { .base = "7.0.0", .type = STO_MERGE_TYPE_NONE };
	struct t_peft p;

	need_model("tiny", 0);
	p = random_adapter("tiny", 3);
	add_part(&merge, "random", 1);
	check_refused("tiny", &merge, -ENOENT, "7.0.0");
	t_eq(t_import(t_path("store"), "tiny@7.0.0", T_REFERENCE "/bad/control", &error), 0);
	check_refused("tiny", &merge, -EINVAL, "tiny/random@1.0.0: ");
	t_ok(strstr(error.text, "differs from that of the base tiny@7.0.0"));
	strcpy(merge.base, "1.0.0");
	strcpy(merge.parts[0].version, "9.0.0");
	check_refused("tiny", &merge, -ENOENT, "tiny/random@9.0.0");
	t_peft_fini(&p);
}

static void damage(void)
{
	struct sto_merge merge = { .base = "1.0.0", .type = STO_MERGE_TYPE_NONE };
	const char *image = "store/models/hurt/adapters/random/1.0.0/image.mhi";
	struct sto_version v;
	char pack[256], name[STO_PACK_NAME_BYTES];
	struct stat st;
	struct t_peft p;

	need_model("hurt", 0);
	p = random_adapter("hurt", 3);
	add_part(&merge, "random", 1);
	t_need(stat(t_path(image), &st) == 0);
	flip(image, st.st_size - 2000);
	check_refused("hurt", &merge, -EBADMSG, "hurt/random@1.0.0: tensor model.layers.1.mlp.up_proj.lora_B: its hash");
	flip(image, st.st_size - 2000);
	t_need(sto_version_open(&v, t_path("store"), "hurt", "1.0.0", &error) == 0);
	sto_pack_name(mhs_image_packs(&v.header, v.base)[0].content_hash, name);
	snprintf(pack, sizeof(pack), "store/models/hurt/1.0.0/%s", name);
	sto_version_close(&v);
	flip(pack, 300000);	/* among the tensors */
	check_refused("hurt", &merge, -EBADMSG, "hurt@1.0.0: tensor model.");
	flip(pack, 300000);
	t_eq(merge_as("hurt", &merge, NULL), 0);
	t_peft_fini(&p);
}

int main(void)
{
	T_RUN(is_what_peft_makes);
	T_RUN(quantised_bases_become_floats);
	T_RUN(quantises_when_told);
	T_RUN(the_rest_is_shared);
	T_RUN(tied_weights_part);
	T_RUN(sums_beyond_the_type);
	T_RUN(what_does_not_fit);
	T_RUN(damage);
	return t_done();
}
