/* SPDX-License-Identifier: MIT */
/* gguf_test.c: the GGUF reader on files made field by field. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eng_pack.h"
#include "sto_gguf.h"
#include "t.h"
#include "t_gguf.h"

/* Open @raw as a file. The result of sto_gguf_open; on 0 the caller closes both. */
static int open_bytes(const struct t_bytes *raw, struct sto_file *file, struct sto_gguf *gguf,
		      struct sto_error *error)
{
	int err;

	t_write_file(t_path("x.gguf"), raw->data, raw->bytes);
	err = sto_file_open(file, AT_FDCWD, t_path("x.gguf"), "x.gguf", error);
	if (err)
		return err;
	err = sto_gguf_open(gguf, file, error);
	if (err)
		sto_file_close(file);
	return err;
}

/* The file is refused and the message has @expect in it. */
static void refused_bytes(const struct t_bytes *raw, const char *expect)
{
	struct sto_error error = { "" };
	struct sto_file file;
	struct sto_gguf gguf;
	int err = open_bytes(raw, &file, &gguf, &error);

	if (!err) {
		sto_gguf_close(&gguf);
		sto_file_close(&file);
	}
	t_ok(err < 0);
	if (!t_ok(strncmp(error.text, "x.gguf: ", 8) == 0 && strstr(error.text, expect)))
		printf("# wanted \"%s\", got \"%s\"\n", expect, error.text);
}

static void refused(const struct t_gguf *g, const char *expect)
{
	struct t_bytes raw = t_gguf_build(g);

	refused_bytes(&raw, expect);
	t_bytes_free(&raw);
}

static void reads_a_good_file(void)
{
	struct sto_error error = { "" };
	struct sto_file file;
	struct sto_gguf gguf;
	struct t_gguf g;

	for (uint32_t version = 2; version <= 3; version++) {
		struct t_bytes raw;
		const struct sto_gguf_tensor *t;

		t_gguf_init(&g, ENG_SRC_Q4_1, 1);
		g.version = version;
		g.alignment = version == 3 ? 64 : 32;
		raw = t_gguf_build(&g);
		t_need(open_bytes(&raw, &file, &gguf, &error) == 0);
		t_eq(gguf.version, version);
		t_eq(gguf.alignment, g.alignment);
		t_eq(gguf.tensor_count, 11);
		t = sto_gguf_find_tensor(&gguf, "blk.0.ffn_down.weight");
		t_need(t != NULL);
		t_ok(t->dims[0] == 96 && t->dims[1] == 64 && t->dims[2] == 1 && t->dim_count == 2);
		t_eq(t->bytes, 96 / 32 * 20 * 64);
		t_mem_eq(raw.data + t->offset_bytes, t_gguf_tensor(&g, "blk.0.ffn_down")->data,
			 t->bytes);
		t_ok(!sto_gguf_find_tensor(&gguf, "output.weight"));
		sto_gguf_close(&gguf);
		sto_file_close(&file);
		t_bytes_free(&raw);
		t_gguf_free(&g);
	}
}

static void gives_values_with_their_types(void)
{
	static const char *const words[] = { "one", "", "three" };
	struct eng_tok_string text, *texts;
	struct sto_error error = { "" };
	struct sto_file file;
	struct sto_gguf gguf;
	struct t_bytes raw;
	struct t_gguf g;
	uint32_t u = 0, count = 0;
	int32_t *ints;
	float f = 0, *floats;
	bool b = false;

	t_gguf_init(&g, ENG_SRC_F32, 1);
	t_kv_u32(&g.kv, "x.u", 7);
	t_kv_f32(&g.kv, "x.f", 0.25f);
	t_kv_bool(&g.kv, "x.b", 1);
	t_kv_text(&g.kv, "x.t", "text");
	t_kv_texts(&g.kv, "x.ts", words, 3);
	t_kv_i32s(&g.kv, "x.is", (const int32_t[]){ -1, 2 }, 2);
	t_kv_f32s(&g.kv, "x.fs", (const float[]){ 1.5f, -2.0f }, 2);
	t_put_text(&g.kv, "x.u64");
	t_put_u32(&g.kv, 10);
	t_put_u64(&g.kv, UINT64_C(1) << 32);
	g.kv_count = 8;
	raw = t_gguf_build(&g);
	t_need(open_bytes(&raw, &file, &gguf, &error) == 0);
	t_ok(sto_gguf_u32(&gguf, "x.u", &u, &error) == 0 && u == 7);
	t_ok(sto_gguf_f32(&gguf, "x.f", &f, &error) == 0 && f == 0.25f);
	t_ok(sto_gguf_bool(&gguf, "x.b", &b, &error) == 0 && b);
	t_ok(sto_gguf_string(&gguf, "x.t", &text, &error) == 0 && text.bytes == 4 &&
	     !memcmp(text.data, "text", 4));
	t_need(sto_gguf_strings(&gguf, "x.ts", &texts, &count, &error) == 0);
	t_ok(count == 3 && texts[1].bytes == 0 && texts[2].bytes == 5 &&
	     !memcmp(texts[2].data, "three", 5));
	t_need(sto_gguf_i32s(&gguf, "x.is", &ints, &count, &error) == 0);
	t_ok(count == 2 && ints[0] == -1 && ints[1] == 2);
	t_need(sto_gguf_f32s(&gguf, "x.fs", &floats, &count, &error) == 0);
	t_ok(count == 2 && floats[0] == 1.5f && floats[1] == -2.0f);
	free(texts);
	free(ints);
	free(floats);
	t_eq(sto_gguf_u32(&gguf, "x.none", &u, &error), -ENOENT);
	t_eq(sto_gguf_u32(&gguf, "x.f", &u, &error), -EINVAL);
	t_ok(strstr(error.text, "x.f: has type FLOAT32, limit UINT32"));
	t_eq(sto_gguf_u32(&gguf, "x.u64", &u, &error), -EINVAL);
	t_eq(sto_gguf_u32(&gguf, "x.is", &u, &error), -EINVAL);
	t_eq(sto_gguf_f32(&gguf, "x.u", &f, &error), -EINVAL);
	t_eq(sto_gguf_bool(&gguf, "x.u", &b, &error), -EINVAL);
	t_eq(sto_gguf_string(&gguf, "x.ts", &text, &error), -EINVAL);
	t_eq(sto_gguf_strings(&gguf, "x.t", &texts, &count, &error), -EINVAL);
	t_eq(sto_gguf_i32s(&gguf, "x.fs", &ints, &count, &error), -EINVAL);
	sto_gguf_close(&gguf);
	sto_file_close(&file);
	t_bytes_free(&raw);
	t_gguf_free(&g);
}

static void refuses_wrong_heads(void)
{
	struct t_gguf g;
	struct t_bytes raw;

	t_gguf_init(&g, ENG_SRC_Q8_0, 1);
	g.version = 1;
	refused(&g, "version: is 1");
	g.version = 4;
	refused(&g, "version: is 4, limit 2..3");
	g.version = 0;
	refused(&g, "version: is 0");
	g.version = 0x03000000;
	refused(&g, "big-endian");
	g.version = 3;
	g.tensors_more = UINT64_MAX - 11;
	refused(&g, "tensor count");
	g.tensors_more = 1;
	refused(&g, "tensor 11");
	g.tensors_more = UINT64_MAX - 10;	/* wraps to 0 */
	refused(&g, "tensor count: is 0");
	g.tensors_more = 0;
	g.kv_more = UINT64_MAX / 2;
	refused(&g, "metadata count");
	g.kv_more = 0;
	raw = t_gguf_build(&g);
	memcpy(raw.data, "GGML", 4);
	refused_bytes(&raw, "magic");
	t_bytes_free(&raw);
	t_put(&raw, "version https://git-lfs example", 31);
	refused_bytes(&raw, "Git-LFS pointer");
	t_bytes_free(&raw);
	refused_bytes(&(struct t_bytes){ (uint8_t[]){ 0 }, 0, 0 }, "empty file");
	t_gguf_free(&g);
}

/* Entries that cannot be: each alone behind the good ones. */
static void refuses_wrong_metadata(void)
{
	static const struct {
		const char *key;
		uint32_t type;
		uint32_t item;		/* of an array, UINT32_MAX: none */
		uint64_t count;		/* of an array, or the length of a text */
		const char *expect;
	} cases[] = {
		{ "x", 13, UINT32_MAX, 0, "value type 13" },
		{ "x", UINT32_MAX, UINT32_MAX, 0, "value type 4294967295" },
		{ "x", 8, UINT32_MAX, UINT64_MAX, "limit 16777216" },
		{ "x", 8, UINT32_MAX, 16 << 20, "past the end" },
		{ "x", 9, 77, 1, "value type 77" },
		{ "x", 9, 9, 1, "array of arrays" },
		{ "x", 9, 4, UINT64_C(1) << 62, "items" },
		{ "x", 9, 8, UINT64_C(1) << 61, "items" },
		{ "x", 9, 0, UINT64_MAX, "items" },
		{ "", 4, UINT32_MAX, 0, "name has 0 bytes" },
		{ "a\nb", 4, UINT32_MAX, 0, "clean text" },
		{ "a\xff", 4, UINT32_MAX, 0, "clean text" },
		{ "general.architecture", 4, UINT32_MAX, 0,
		  "general.architecture: is given twice" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct t_gguf g;

		t_gguf_init(&g, ENG_SRC_F16, 1);
		t_put_text(&g.kv, cases[i].key);
		t_put_u32(&g.kv, cases[i].type);
		if (cases[i].item != UINT32_MAX)
			t_put_u32(&g.kv, cases[i].item);
		if (cases[i].type == 4)
			t_put_u32(&g.kv, 0);
		else
			t_put_u64(&g.kv, cases[i].count);
		g.kv_count = 1;
		refused(&g, cases[i].expect);
		t_gguf_free(&g);
	}
}

static void refuses_wrong_alignment(void)
{
	static const uint32_t bad[] = { 0, 1, 4, 13, 48, 131072, UINT32_C(1) << 31 };
	struct t_gguf g;

	t_gguf_init(&g, ENG_SRC_F16, 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		t_bytes_free(&g.kv);
		t_kv_u32(&g.kv, "general.alignment", bad[i]);
		g.kv_count = 1;
		refused(&g, "general.alignment: is ");
	}
	t_bytes_free(&g.kv);
	t_kv_i32s(&g.kv, "general.alignment", (const int32_t[]){ 32 }, 1);
	refused(&g, "general.alignment: has type array of INT32");
	t_gguf_free(&g);
}

enum change { DIMS, DIM, TYPE, SHIFT, NAME };

static void refuses_wrong_tensors(void)
{
	static const struct {
		enum change what;
		int64_t value;
		const char *expect;
	} cases[] = {
		{ DIMS, 0, "0 dimensions" },
		{ DIMS, 5, "5 dimensions" },
		{ DIMS, -1, "dimensions, limit 1..4" },
		{ DIM, 0, "dimension 1 is 0" },
		{ DIM, -1, "dimension 1 is 18446744073709551615" },
		{ DIM, INT64_C(1) << 32, "dimension 1 is 4294967296" },
		{ DIM, 0xffffffff, "past the end" },
		{ TYPE, 4, "type 4 " },
		{ TYPE, -1, "type 4294967295" },
		{ TYPE, 26, "I32" },
		{ TYPE, 19, "type 19 (IQ1_S) is not supported" },
		{ SHIFT, 4, "not aligned" },
		{ SHIFT, 1 << 20, "past the end" },
		{ SHIFT, -64, "another tensor" },
		{ SHIFT, INT64_MIN, "past the end" },
		{ NAME, 0, "name has 0 bytes" },
		{ NAME, 128, "name has 128 bytes" },
		{ NAME, -1, "listed twice" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct t_gguf_tensor *t;
		struct t_gguf g;

		t_gguf_init(&g, ENG_SRC_Q8_0, 1);
		t = t_gguf_tensor(&g, "blk.0.ffn_up");
		if (cases[i].what == DIMS)
			t->dim_count = (uint32_t)cases[i].value;
		else if (cases[i].what == DIM)
			t->dims[1] = (uint64_t)cases[i].value;
		else if (cases[i].what == TYPE)
			t->type = (uint32_t)cases[i].value;
		else if (cases[i].what == SHIFT)
			t->shift = cases[i].value;
		else if (cases[i].value < 0)
			strcpy(t->name, "blk.0.ffn_gate.weight");
		else
			memset(memset(t->name, 0, sizeof(t->name)), 'n', (size_t)cases[i].value);
		refused(&g, cases[i].expect);
		t_gguf_free(&g);
	}
}

static void refuses_rows_that_no_block_fits(void)
{
	struct t_gguf g;

	t_gguf_init(&g, ENG_SRC_Q4_0, 1);
	t_gguf_tensor(&g, "blk.0.attn_v")->dims[0] = 63;
	refused(&g, "rows of 63 values, limit a multiple of 32");
	t_gguf_free(&g);
}

static void refuses_holes_and_tails(void)
{
	struct t_gguf g;
	struct t_bytes raw;

	t_gguf_init(&g, ENG_SRC_F16, 1);
	raw = t_gguf_build(&g);
	t_put(&raw, "PK", 2);
	refused_bytes(&raw, "file size: is");
	raw.bytes -= 3;
	refused_bytes(&raw, "past the end");
	t_bytes_free(&raw);
	t_gguf_tensor(&g, "output_norm")->shift = 32;
	refused(&g, "past the end");
	t_gguf_tensor(&g, "output_norm")->shift = 0;
	t_gguf_tensor(&g, "blk.0.ffn_up")->bytes -= 32;	/* the file is shorter than the list says */
	refused(&g, "tensor ");
	t_gguf_free(&g);
}

int main(void)
{
	T_RUN(reads_a_good_file);
	T_RUN(gives_values_with_their_types);
	T_RUN(refuses_wrong_heads);
	T_RUN(refuses_wrong_metadata);
	T_RUN(refuses_wrong_alignment);
	T_RUN(refuses_wrong_tensors);
	T_RUN(refuses_rows_that_no_block_fits);
	T_RUN(refuses_holes_and_tails);
	return t_done();
}
