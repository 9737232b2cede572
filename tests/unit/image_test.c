/* SPDX-License-Identifier: MIT */
/* image_test.c: what the importer writes: layout, hashes, weights. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mhs_attach.h"
#include "sto_import.h"
#include "t.h"
#include "t_gguf.h"

#define HEAD_DIM	32u

/* An imported image, mapped. */
struct image {
	int fd;
	size_t bytes;
	const uint8_t *base;
	struct mhs_image_header head;
};

static uint32_t serial;		/* each import gets a model name of its own */
static char name[MHS_NAME_BYTES];

static int import_as(const struct t_gguf *g, uint32_t quantize, struct sto_error *error)
{
	struct sto_import import = { .store = t_path("store"), .path = t_path("in.gguf"),
				     .quantize = quantize, .threads = 2 };
	struct sto_import_result result;

	t_gguf_write(g, import.path);
	snprintf(name, sizeof(name), "m%u", ++serial);
	memcpy(import.model, name, sizeof(name));
	strcpy(import.version, "1.2.3");
	return sto_import(&import, &result, error);
}

static int image_map(struct image *image)
{
	struct sto_error error = { "" };
	struct stat st;

	image->fd = sto_image_open(t_path("store"), name, "1.2.3", &image->head, &error);
	if (image->fd < 0 || fstat(image->fd, &st)) {
		printf("# %s\n", error.text);
		return -1;
	}
	image->bytes = (size_t)st.st_size;
	image->base = mmap(NULL, image->bytes, PROT_READ, MAP_PRIVATE, image->fd, 0);
	return image->base == MAP_FAILED ? -1 : 0;
}

/* Import and map; 0 when that worked. */
static int image_make(struct image *image, const struct t_gguf *g, uint32_t quantize)
{
	struct sto_error error = { "" };

	if (import_as(g, quantize, &error)) {
		printf("# %s\n", error.text);
		return -1;
	}
	return image_map(image);
}

static void image_end(struct image *image)
{
	munmap((void *)(uintptr_t)image->base, image->bytes);
	close(image->fd);
}

static const struct mhs_image_tensor *find(const struct image *image, uint32_t role)
{
	return mhs_image_tensor_find(&image->head, image->base, role, 0);
}

static struct eng_matrix matrix(const struct image *image, const struct mhs_image_tensor *t)
{
	return (struct eng_matrix){ t->type, (uint32_t)t->rows, (uint32_t)t->cols,
				    image->base + t->offset_bytes };
}

/* ---- layout and hashes ------------------------------------------------------------------- */

static void check_hashes(const struct image *image)
{
	const struct mhs_image_header *h = &image->head;
	const uint8_t *chunks = image->base + h->chunk_table.offset_bytes;
	uint8_t hash[16], sha[32];
	unsigned int n = 0;

	sto_hash128(chunks, h->chunk_table.length_bytes, hash);
	t_mem_eq(hash, h->chunk_table_hash, 16);
	for (uint32_t i = 0; i < h->chunk_count; i++) {
		uint64_t at = h->data_offset_bytes + (uint64_t)i * MHS_IMAGE_CHUNK_BYTES;
		uint64_t left = h->image_bytes - at;

		sto_hash128(image->base + at,
			    left < MHS_IMAGE_CHUNK_BYTES ? left : MHS_IMAGE_CHUNK_BYTES, hash);
		t_mem_eq(hash, chunks + 16 * i, 16);
	}
	EVP_Digest(image->base + h->data_offset_bytes, h->image_bytes - h->data_offset_bytes, sha,
		   &n, EVP_sha256(), NULL);
	t_mem_eq(sha, h->content_hash, 32);
}

static void check_tensors(const struct image *image)
{
	const struct mhs_image_tensor *t =
		(const void *)(image->base + image->head.tensor_table.offset_bytes);
	const char *field = "";
	uint8_t hash[16];

	t_eq(mhs_image_check_tensors(&image->head, image->base, &field), 0);
	for (uint32_t i = 0; i < image->head.tensor_count; i++) {
		t_eq(t[i].length_bytes, eng_packed_bytes(t[i].type, t[i].rows, t[i].cols));
		sto_hash128(image->base + t[i].offset_bytes, t[i].length_bytes, hash);
		t_mem_eq(hash, t[i].hash, 16);
	}
}

static void writes_a_sound_image(void)
{
	struct image image;
	struct t_gguf g;
	struct stat st;

	t_gguf_init(&g, ENG_SRC_Q8_0, 1);
	t_kv_text(&g.kv, "tokenizer.chat_template", "{{ messages }}");
	g.kv_count = 1;
	t_need(image_make(&image, &g, 0) == 0);
	t_eq(fstat(image.fd, &st), 0);
	t_eq(st.st_mode & 0777, 0444);
	t_eq(image.bytes % MHS_IMAGE_ALIGN_BYTES, 0);
	check_hashes(&image);
	check_tensors(&image);
	t_eq(image.head.tensor_count, 12);	/* 11 and the frequencies */
	t_eq(image.head.bos_id, T_GGUF_VOCAB - 1);
	t_ok(image.head.eos_count == 1 && image.head.eos_ids[0] == T_GGUF_VOCAB - 2);
	t_eq(image.head.config.tied, 1);
	t_eq(image.head.config.float_weights, 0);
	t_eq(image.head.chat_template.length_bytes, 14);
	t_mem_eq(image.base + image.head.chat_template.offset_bytes, "{{ messages }}", 14);
	image_end(&image);
	t_gguf_free(&g);
}

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static void writes_a_manifest(void)
{
	static const struct sto_meta meta[] = { { "commit", "0123abc" }, { "loss", "2.5" } };
	struct sto_import import = { .store = t_path("store"), .path = t_path("in.gguf"),
				     .model = "manifest", .version = "1.0.1", .meta = meta,
				     .meta_count = 2, .quantize = ENG_SRC_Q4_1 };
	struct sto_import_result result;
	struct sto_error error = { "" };
	struct t_gguf g;
	json_t *root, *file;

	t_gguf_init(&g, ENG_SRC_F16, 1);
	t_gguf_write(&g, import.path);
	t_gguf_free(&g);
	t_need(sto_import(&import, &result, &error) == 0);
	t_str_eq(result.parent, "");
	strcpy(import.version, "1.1.0");
	t_need(sto_import(&import, &result, &error) == 0);
	t_str_eq(result.parent, "1.0.1");
	root = json_load_file(t_path("store/models/manifest/1.1.0/manifest.json"), 0, NULL);
	t_need(root != NULL);
	t_str_eq(text_of(root, "model"), "manifest");
	t_str_eq(text_of(root, "version"), "1.1.0");
	t_str_eq(text_of(root, "parent"), "1.0.1");
	t_str_eq(text_of(root, "quantize"), "q4_1");
	t_str_eq(text_of(root, "architecture"), "llama");
	t_str_eq(text_of(json_object_get(root, "meta"), "commit"), "0123abc");
	t_eq(json_object_size(json_object_get(root, "meta")), 2);
	t_eq(json_integer_value(json_object_get(json_object_get(root, "image"), "bytes")),
	     result.image_bytes);
	file = json_array_get(json_object_get(json_object_get(root, "source"), "files"), 0);
	t_str_eq(text_of(file, "name"), "in.gguf");
	t_eq(strlen(text_of(file, "sha256")), 64);
	json_decref(root);
}

/* ---- weights ----------------------------------------------------------------------------- */

/* The row of the source that the image's row @row must hold. */
static uint64_t rotated(uint32_t role, uint64_t row)
{
	uint64_t i = row % HEAD_DIM;

	if (role != MHS_ROLE_ATTN_Q && role != MHS_ROLE_ATTN_K)
		return row;
	return row - i + (i < HEAD_DIM / 2 ? 2 * i : 2 * i - HEAD_DIM + 1);
}

static void compare_rows(const struct image *image, struct t_gguf *g, uint32_t role,
			 const char *source)
{
	const struct mhs_image_tensor *t = find(image, role);
	const struct t_gguf_tensor *from = t_gguf_tensor(g, source);
	uint64_t row_bytes = from->bytes / from->dims[1];
	float want[128], have[128];
	struct eng_matrix m;

	t_need(t && t->rows == from->dims[1] && t->cols == from->dims[0]);
	t_eq(t->type, eng_type_of_source(from->type));
	m = matrix(image, t);
	for (uint32_t row = 0; row < t->rows; row++) {
		const uint8_t *source_row = from->data + rotated(role, row) * row_bytes;

		t_eq(eng_dequant_row(from->type, source_row, t->cols, want), 0);
		eng_unpack_row(&m, row, have);
		t_mem_eq(want, have, t->cols * sizeof(float));
	}
}

static void keeps_every_weight(void)
{
	static const uint32_t types[] = { ENG_SRC_F32, ENG_SRC_F16, ENG_SRC_BF16, ENG_SRC_Q8_0,
		ENG_SRC_Q4_0, ENG_SRC_Q4_1, ENG_SRC_Q5_0, ENG_SRC_Q5_1 };
	struct image image;
	struct t_gguf g;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		t_gguf_init(&g, types[i], 7 + i);
		t_need(image_make(&image, &g, 0) == 0);
		compare_rows(&image, &g, MHS_ROLE_EMBED, "token_embd");
		compare_rows(&image, &g, MHS_ROLE_ATTN_Q, "blk.0.attn_q");
		compare_rows(&image, &g, MHS_ROLE_ATTN_K, "blk.0.attn_k");
		compare_rows(&image, &g, MHS_ROLE_ATTN_V, "blk.0.attn_v");
		compare_rows(&image, &g, MHS_ROLE_ATTN_O, "blk.0.attn_output");
		compare_rows(&image, &g, MHS_ROLE_FFN_GATE, "blk.0.ffn_gate");
		compare_rows(&image, &g, MHS_ROLE_FFN_UP, "blk.0.ffn_up");
		compare_rows(&image, &g, MHS_ROLE_FFN_DOWN, "blk.0.ffn_down");
		t_mem_eq(image.base + find(&image, MHS_ROLE_FFN_NORM)->offset_bytes,
			 t_gguf_tensor(&g, "blk.0.ffn_norm")->data, 64 * sizeof(float));
		t_eq(image.head.config.float_weights, types[i] <= 1 || types[i] == ENG_SRC_BF16);
		image_end(&image);
		t_gguf_free(&g);
	}
}

static void takes_a_separate_output(void)
{
	struct t_gguf_tensor *out;
	struct image image;
	struct t_gguf g;

	t_gguf_init(&g, ENG_SRC_Q8_0, 3);
	out = t_gguf_tensor(&g, "output");
	out->bytes = out->dims[1] * 2 * 34;
	t_need(image_make(&image, &g, 0) == 0);
	t_eq(image.head.config.tied, 0);
	compare_rows(&image, &g, MHS_ROLE_OUTPUT, "output");
	image_end(&image);
	t_gguf_free(&g);
}

/* Largest error over the largest weight of its block of 32. */
static double worst_error(const struct image *image, struct t_gguf *g, uint32_t role,
			  const char *source)
{
	const struct mhs_image_tensor *t = find(image, role);
	const struct t_gguf_tensor *from = t_gguf_tensor(g, source);
	struct eng_matrix m = matrix(image, t);
	uint64_t row_bytes = from->bytes / from->dims[1];
	float want[128], have[128];
	double worst = 0;

	for (uint32_t row = 0; row < t->rows; row++) {
		eng_dequant_row(from->type, from->data + rotated(role, row) * row_bytes, t->cols,
				want);
		eng_unpack_row(&m, row, have);
		for (uint32_t b = 0; b < t->cols; b += 32) {
			double peak = 0, off = 0;

			for (uint32_t i = b; i < b + 32; i++) {
				peak = fmax(peak, fabs((double)want[i]));
				off = fmax(off, fabs((double)want[i] - (double)have[i]));
			}
			worst = fmax(worst, off / peak);
		}
	}
	return worst;
}

static void requantises(void)
{
	static const struct {
		uint32_t from, to, type;
		double limit;	/* half a step, and a little for the scale's own rounding */
	} cases[] = {
		{ ENG_SRC_F16, ENG_SRC_Q8_0, ENG_Q8, 0.5 / 127 + 0.001 },
		{ ENG_SRC_F32, ENG_SRC_Q4_0, ENG_Q4, 1.0 / 8 + 0.002 },
		{ ENG_SRC_BF16, ENG_SRC_Q4_1, ENG_Q4M, 1.0 / 15 + 0.002 },
		{ ENG_SRC_Q5_1, ENG_SRC_Q8_0, ENG_Q8, 0.5 / 127 + 0.001 },
		{ ENG_SRC_Q8_0, ENG_SRC_Q4_0, ENG_Q4, 1.0 / 8 + 0.002 },
	};
	struct image image;
	struct t_gguf g;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		double error;

		t_gguf_init(&g, cases[i].from, i);
		t_need(image_make(&image, &g, cases[i].to) == 0);
		t_eq(find(&image, MHS_ROLE_EMBED)->type, cases[i].type);
		t_eq(find(&image, MHS_ROLE_FFN_NORM)->type, ENG_VEC_F32);
		t_eq(image.head.config.float_weights, 0);
		error = fmax(worst_error(&image, &g, MHS_ROLE_ATTN_Q, "blk.0.attn_q"),
			     worst_error(&image, &g, MHS_ROLE_FFN_DOWN, "blk.0.ffn_down"));
		if (!t_ok(error > 0 && error <= cases[i].limit))
			printf("# case %zu: error %g, limit %g\n", i, error, cases[i].limit);
		image_end(&image);
		t_gguf_free(&g);
	}
}

/* Already in the wanted type: not rounded twice. Rows that no block fits: kept. */
static void requantises_only_what_it_can(void)
{
	struct t_gguf_tensor *t;
	struct image image;
	struct t_gguf g;

	t_gguf_init(&g, ENG_SRC_Q8_0, 5);
	t = t_gguf_tensor(&g, "blk.0.attn_k");
	for (uint64_t i = 0; i < t->bytes; i++)	/* quants that do not use the whole scale */
		t->data[i] = i % 34 < 2 ? t->data[i] : t->data[i] & 31;
	t_need(image_make(&image, &g, ENG_SRC_Q8_0) == 0);
	compare_rows(&image, &g, MHS_ROLE_ATTN_K, "blk.0.attn_k");
	image_end(&image);
	t_gguf_free(&g);

	t_gguf_init(&g, ENG_SRC_F16, 6);
	g.intermediate = 72;
	t = t_gguf_tensor(&g, "blk.0.ffn_down");
	t->dims[0] = 72;
	t->bytes = 72 * 64 * 2;
	for (int i = 0; i < 2; i++) {
		t = t_gguf_tensor(&g, i ? "blk.0.ffn_up" : "blk.0.ffn_gate");
		t->dims[1] = 72;
		t->bytes = 72 * 64 * 2;
	}
	t_need(image_make(&image, &g, ENG_SRC_Q8_0) == 0);
	compare_rows(&image, &g, MHS_ROLE_FFN_DOWN, "blk.0.ffn_down");
	t_eq(find(&image, MHS_ROLE_FFN_UP)->type, ENG_Q8);
	image_end(&image);
	t_gguf_free(&g);
}

static void refused(const struct t_gguf *g, uint32_t quantize, const char *expect)
{
	struct sto_error error = { "" };
	char path[128];

	t_ok(import_as(g, quantize, &error) < 0);
	if (!t_ok(strstr(error.text, expect)))
		printf("# wanted \"%s\", got \"%s\"\n", expect, error.text);
	snprintf(path, sizeof(path), "store/models/%s", name);
	t_ok(access(t_path(path), F_OK) != 0);
}

static void refuses_weights_that_are_no_numbers(void)
{
	static const uint16_t nan_f16 = 0x7e01, inf_f16 = 0xfc00, nan_bf16 = 0x7fc0;
	struct t_gguf g;

	t_gguf_init(&g, ENG_SRC_F16, 1);
	memcpy(t_gguf_tensor(&g, "blk.0.ffn_up")->data + 100, &nan_f16, 2);
	refused(&g, 0, "tensor blk.0.ffn_up.weight: has a weight or scale that is NaN");
	refused(&g, ENG_SRC_Q4_0, "tensor blk.0.ffn_up.weight: has a weight or scale that is NaN");
	t_gguf_free(&g);
	t_gguf_init(&g, ENG_SRC_Q8_0, 1);
	memcpy(t_gguf_tensor(&g, "blk.0.attn_q")->data + 34, &inf_f16, 2);
	refused(&g, 0, "tensor blk.0.attn_q.weight");
	t_gguf_free(&g);
	t_gguf_init(&g, ENG_SRC_BF16, 1);
	memcpy(t_gguf_tensor(&g, "token_embd")->data, &nan_bf16, 2);
	refused(&g, 0, "tensor token_embd.weight");
	t_gguf_free(&g);
	t_gguf_init(&g, ENG_SRC_F32, 1);
	memcpy(t_gguf_tensor(&g, "output_norm")->data, &(float){ INFINITY }, 4);
	refused(&g, 0, "tensor output_norm.weight");
	t_gguf_free(&g);
}

/* ---- rope -------------------------------------------------------------------------------- */

static void check_frequencies(const struct t_gguf *g, const float *divisors)
{
	struct image image;
	const float *freq;

	t_need(image_make(&image, g, 0) == 0);
	freq = (const void *)(image.base + find(&image, MHS_ROLE_INV_FREQ)->offset_bytes);
	for (uint32_t i = 0; i < HEAD_DIM / 2; i++)
		t_near(freq[i],
		       pow((double)g->rope_base, -2.0 * i / HEAD_DIM) / (double)divisors[i], 1e-7);
	image_end(&image);
}

static void computes_rope_frequencies(void)
{
	static const float bad = -1.0f;
	float ones[HEAD_DIM / 2], fours[HEAD_DIM / 2], rising[HEAD_DIM / 2];
	struct t_gguf_tensor *factors;
	struct t_gguf g;

	for (uint32_t i = 0; i < HEAD_DIM / 2; i++) {
		ones[i] = 1;
		fours[i] = 4;
		rising[i] = 1 + (float)i;
	}
	t_gguf_init(&g, ENG_SRC_F16, 1);
	g.rope_base = 500000.0f;
	check_frequencies(&g, ones);
	factors = t_gguf_tensor(&g, "rope_freqs");
	factors->bytes = sizeof(rising);
	memcpy(factors->data, rising, sizeof(rising));
	check_frequencies(&g, rising);
	memcpy(factors->data + 8, &bad, 4);
	refused(&g, 0, "rope_freqs.weight: value 2 is -1");
	factors->bytes = 0;
	t_kv_text(&g.kv, "llama.rope.scaling.type", "linear");
	t_kv_f32(&g.kv, "llama.rope.scaling.factor", 4.0f);
	g.kv_count = 2;
	check_frequencies(&g, fours);
	t_bytes_free(&g.kv);
	t_kv_text(&g.kv, "llama.rope.scaling.type", "none");
	t_kv_f32(&g.kv, "llama.rope.scaling.factor", 4.0f);
	check_frequencies(&g, ones);
	t_bytes_free(&g.kv);
	t_kv_text(&g.kv, "llama.rope.scaling.type", "yarn");
	t_kv_f32(&g.kv, "llama.rope.scaling.factor", 4.0f);
	refused(&g, 0, "llama.rope.scaling.type: is \"yarn\"");
	t_gguf_free(&g);
}

/* Numbers that fit together or are refused by their key. */
static void refuses_wrong_hyperparameters(void)
{
	static const struct {
		size_t field;
		uint32_t value;
		const char *expect;
	} cases[] = {
#define F(f) offsetof(struct t_gguf, f)
		{ F(layers), 0, "llama.block_count: is 0" },
		{ F(layers), 513, "llama.block_count: is 513" },
		{ F(layers), UINT32_MAX, "llama.block_count" },
		{ F(layers), 2, "blk.1.attn_norm.weight: is absent" },
		{ F(context), 0, "llama.context_length: is 0" },
		{ F(context), 1u << 31, "llama.context_length: is 2147483648" },
		{ F(hidden), 0, "llama.embedding_length" },
		{ F(hidden), 96, "llama.embedding_length: is 96" },
		{ F(intermediate), 64, "blk.0.ffn_gate.weight: has" },
		{ F(heads), 0, "head_count: is 0" },
		{ F(heads), 3, "head_count: is 3, limit a divisor" },
		{ F(kv_heads), 0, "head_count_kv: is 0" },
		{ F(kv_heads), 4, "head_count_kv: is 4" },
		{ F(kv_heads), 2, "blk.0.attn_k.weight: has" },
		{ F(rope_dims), 16, "llama.rope.dimension_count: is 16, limit 32" },
		{ F(eps), 0x7fc00000, "layer_norm_rms_epsilon: is nan" },
		{ F(eps), 0, "layer_norm_rms_epsilon: is 0" },
		{ F(rope_base), 0, "llama.rope.freq_base: is 0" },
		{ F(rope_base), 0x7fc00000, "llama.rope.freq_base: is nan" },
		{ F(rope_base), 0xbf800000, "llama.rope.freq_base: is -1" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct t_gguf g;

		t_gguf_init(&g, ENG_SRC_F16, 1);
		memcpy((char *)&g + cases[i].field, &cases[i].value, 4);
		refused(&g, 0, cases[i].expect);
		t_gguf_free(&g);
	}
}

static void refuses_other_models(void)
{
	struct t_gguf g;

	t_gguf_init(&g, ENG_SRC_F16, 1);
	g.arch = "qwen2";
	refused(&g, 0, "general.architecture: is \"qwen2\"");
	g.arch = "llama";
	t_kv_u32(&g.kv, "llama.expert_count", 8);
	g.kv_count = 1;
	refused(&g, 0, "llama.expert_count: is 8");
	g.kv_count = 0;
	t_bytes_free(&g.kv);
	strcpy(t_gguf_tensor(&g, "blk.0.ffn_norm")->name, "blk.0.attn_q.bias");
	refused(&g, 0, "blk.0.ffn_norm.weight: is absent");
	t_gguf_free(&g);
	t_gguf_init(&g, ENG_SRC_F16, 1);
	g.tensors[12].bytes = g.tensors[12].dims[1] * 128;
	strcpy(g.tensors[12].name, "blk.0.attn_q.bias");
	refused(&g, 0, "blk.0.attn_q.bias: has no place");
	t_gguf_free(&g);
}

int main(void)
{
	T_RUN(writes_a_sound_image);
	T_RUN(writes_a_manifest);
	T_RUN(keeps_every_weight);
	T_RUN(takes_a_separate_output);
	T_RUN(requantises);
	T_RUN(requantises_only_what_it_can);
	T_RUN(refuses_weights_that_are_no_numbers);
	T_RUN(computes_rope_frequencies);
	T_RUN(refuses_wrong_hyperparameters);
	T_RUN(refuses_other_models);
	return t_done();
}
