/* SPDX-License-Identifier: MIT */
/* safetensors_test.c: the header of a safetensors file. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sto_safetensors.h"
#include "t.h"
#include "t_gguf.h"

/* @header, then @data_bytes zeros; @length: of the header as written, 0: the true one. */
static struct t_bytes make(const char *header, size_t data_bytes, uint64_t length)
{
	struct t_bytes raw = { 0 };

	t_put_u64(&raw, length ? length : strlen(header));
	t_put(&raw, header, strlen(header));
	t_put_zeros(&raw, data_bytes);
	return raw;
}

static int open_bytes(const struct t_bytes *raw, struct sto_file *file, struct sto_safetensors *st,
		      struct sto_error *error)
{
	int err;

	t_write_file(t_path("x.st"), raw->data, raw->bytes);
	err = sto_file_open(file, AT_FDCWD, t_path("x.st"), "x.st", error);
	if (err)
		return err;
	err = sto_st_open(st, file, error);
	if (err)
		sto_file_close(file);
	return err;
}

static void refused_bytes(struct t_bytes raw, const char *expect)
{
	struct sto_error error = { "" };
	struct sto_safetensors st;
	struct sto_file file;
	int err = open_bytes(&raw, &file, &st, &error);

	if (!err) {
		sto_st_close(&st);
		sto_file_close(&file);
	}
	t_ok(err < 0);
	if (!t_ok(strncmp(error.text, "x.st: ", 6) == 0 && strstr(error.text, expect)))
		printf("# wanted \"%s\", got \"%s\"\n", expect, error.text);
	t_bytes_free(&raw);
}

static const char good[] =
	"{\"__metadata__\":{\"format\":\"pt\"},"
	"\"b\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[16,28]},"
	"\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},"
	"\"scalar\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[28,30]},"
	"\"flags\":{\"dtype\":\"BOOL\",\"shape\":[1,2],\"data_offsets\":[30,32]}}  ";

static void reads_a_good_file(void)
{
	struct sto_error error = { "" };
	const struct sto_st_tensor *t;
	struct sto_safetensors st;
	struct sto_file file;
	struct t_bytes raw = make(good, 32, 0);

	t_need(open_bytes(&raw, &file, &st, &error) == 0);
	t_eq(st.tensor_count, 4);
	t = sto_st_find(&st, "b");
	t_need(t != NULL);
	t_ok(t->source == ENG_SRC_F16 && t->dim_count == 2 && t->dims[0] == 2 && t->dims[1] == 3);
	t_eq(t->offset_bytes, 8 + strlen(good) + 16);
	t_eq(t->bytes, 12);
	t_eq(sto_st_find(&st, "scalar")->source, ENG_SRC_BF16);
	t_eq(sto_st_find(&st, "flags")->source, STO_ST_NOT_FLOAT);
	t_ok(!sto_st_find(&st, "c") && !sto_st_find(&st, "__metadata__"));
	sto_st_close(&st);
	sto_file_close(&file);
	t_bytes_free(&raw);
}

static bool same_table(const struct sto_safetensors *a, const struct sto_safetensors *b)
{
	bool same = a->tensor_count == b->tensor_count;

	for (uint32_t i = 0; i < a->tensor_count && same; i++) {
		const struct sto_st_tensor *x = &a->tensors[i], *y = &b->tensors[i];

		same = !strcmp(x->name, y->name) && !strcmp(x->dtype, y->dtype) && x->source == y->source &&
		       x->dim_count == y->dim_count && !memcmp(x->dims, y->dims, sizeof(x->dims)) &&
		       x->bytes == y->bytes && x->offset_bytes + 1 == y->offset_bytes;
	}
	return same;
}

/* The plain form, and the same with a space, which only the JSON library takes. */
static void reads_both_forms_alike(void)
{
	struct sto_error error = { "" };
	struct sto_safetensors plain, other;
	struct sto_file file, other_file;
	char text[65536] = "{\"__metadata__\":{\"format\":\"pt\"}", spaced[65600];
	uint64_t seed = 3, at = 0;
	struct t_bytes raw;

	for (int i = 0; i < 400; i++) {
		uint64_t rows = t_random(&seed) % 5, cols = t_random(&seed) % 12;

		sprintf(text + strlen(text), ",\"t.%llx.%d\":{\"dtype\":\"F16\",\"shape\":[%llu,%llu],"
			"\"data_offsets\":[%llu,%llu]}", (unsigned long long)(t_random(&seed) % 4096), i,
			(unsigned long long)rows, (unsigned long long)cols, (unsigned long long)at,
			(unsigned long long)(at + 2 * rows * cols));
		at += 2 * rows * cols;
	}
	strcat(text, "}");
	raw = make(text, at, 0);
	t_need(open_bytes(&raw, &file, &plain, &error) == 0);
	t_ok(plain.root == NULL && plain.tensor_count == 400);
	t_bytes_free(&raw);
	sprintf(spaced, "{ %s", text + 1);
	raw = make(spaced, at, 0);
	t_need(open_bytes(&raw, &other_file, &other, &error) == 0);
	t_ok(other.root != NULL && same_table(&plain, &other));
	t_bytes_free(&raw);
	sto_st_close(&plain);
	sto_file_close(&file);
	sto_st_close(&other);
	sto_file_close(&other_file);
}

#define ONE	"\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}"

/* Almost plain: whatever the quick reader does not take, the other one judges. */
static void judges_what_is_almost_plain(void)
{
	static const struct { const char *header, *expect; } cases[] = {
		{ "{" ONE "," ONE "}", "JSON" },
		{ "{\"__metadata__\":{\"a\":\"b\",\"a\":\"c\"}," ONE "}", "JSON" },
		{ "{\"__metadata__\":{\"a\":1}," ONE "}", "__metadata__" },
		{ "{" ONE ",}", "JSON" },
		{ "{" ONE "}x", "JSON" },
		{ "{" ONE, "JSON" },
		{ "{}", "no tensors" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[04],\"data_offsets\":[0,16]}}", "JSON" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[-4],\"data_offsets\":[0,16]}}", "shape" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[0,16]}}", "data_offsets" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[16,0]}}", "data_offsets" },
		{ "{\"a\":{\"dtype\":\"F99\",\"shape\":[4],\"data_offsets\":[0,16]}}", "dtype" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],\"data_offsets\":[0,16]}}", "shape" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,99999999999999999999]}}", "x.st" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refused_bytes(make(cases[i].header, 16, 0), cases[i].expect);
}

static void refuses_wrong_lengths(void)
{
	size_t n = strlen(good);

	refused_bytes(make(good, 32, n + 33), "header length: is");
	refused_bytes(make(good, 32, 1), "header length: is 1");
	refused_bytes(make(good, 32, UINT64_MAX), "header length: is 18446744073709551615");
	refused_bytes(make(good, 32, UINT64_MAX - 7), "header length: is");
	refused_bytes(make(good, 32, UINT64_C(1) << 63), "header length: is");
	refused_bytes(make(good, 32, n - 4), "JSON");
	refused_bytes(make(good, 31, 0), "past the end");
	refused_bytes(make(good, 33, 0), "file size: is");
	refused_bytes(make("{}", 0, 0), "no tensors");
	refused_bytes(make("{", 0, 0), "at least 10");
	refused_bytes(make("{}", (17 << 20), (17 << 20)), "limit 2..16777216");
}

#define T(name, dtype, shape, begin, end)                                                          \
	"\"" name "\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":[" begin "," end   \
	"]}"

static void refuses_wrong_headers(void)
{
	static const struct {
		const char *header, *expect;
	} cases[] = {
		{ "[1,2,3,4,5,6]", "not an object" },
		{ "nonsense and more", "JSON" },
		{ "{\"a\":7}        ", "tensor a: is not an object" },
		{ "{" T("a", "\"F32\"", "[8]", "0", "32") "," T("a", "\"F32\"", "[8]", "0",
								"32") "}",
		  "duplicate" },
		{ "{" T("a", "\"F17\"", "[8]", "0", "32") "}", "dtype: is unknown" },
		{ "{" T("a", "16", "[8]", "0", "32") "}", "dtype: is not text" },
		{ "{" T("a", "\"F32\"", "8", "0", "32") "}", "shape" },
		{ "{" T("a", "\"F32\"", "[8.0]", "0", "32") "}", "shape" },
		{ "{" T("a", "\"F32\"", "[-8]", "0", "32") "}", "shape" },
		{ "{" T("a", "\"F32\"", "[1,1,1,1,1,1,1,1,8]", "0", "32") "}", "shape" },
		{ "{" T("a", "\"F32\"", "[4294967296,4294967296,8]", "0", "32") "}", "64 bits" },
		{ "{" T("a", "\"F32\"", "[2305843009213693953]", "0", "32") "}", "64 bits" },
		{ "{" T("a", "\"F32\"", "[7]", "0", "32") "}", "do not span" },
		{ "{" T("a", "\"F16\"", "[8]", "0", "32") "}", "do not span" },
		{ "{" T("a", "\"F32\"", "[8]", "32", "0") "}", "two rising numbers" },
		{ "{" T("a", "\"F32\"", "[8]", "-32", "0") "}", "two rising numbers" },
		{ "{" T("a", "\"F32\"", "[8]", "0.0", "32.0") "}", "two rising numbers" },
		{ "{" T("a", "\"F32\"", "[8]", "0", "9223372036854775807") "}", "do not span" },
		{ "{" T("a", "\"F32\"", "[8]", "0", "32,64") "}", "two rising numbers" },
		{ "{" T("a", "\"F32\"", "[8]", "32", "64") "}", "leave a hole" },
		{ "{" T("a", "\"F32\"", "[4]", "0", "16") "," T("b", "\"F32\"", "[4]", "12",
								"28") "}",
		  "lie in another" },
		{ "{" T("a", "\"F32\"", "[4]", "0", "16") "," T("b", "\"F32\"", "[3]", "20",
								"32") "}",
		  "leave a hole" },
		{ "{" T("", "\"F32\"", "[8]", "0", "32") "}", "tensor name" },
		{ "{" T("a\\u0000", "\"F32\"", "[8]", "0", "32") "}", "JSON" },
		{ "{" T("a\\n", "\"F32\"", "[8]", "0", "32") "}", "tensor name" },
		{ "{\"__metadata__\":[]," T("a", "\"F32\"", "[8]", "0", "32") "}", "__metadata__" },
		{ "{\"__metadata__\":{\"a\":1}," T("a", "\"F32\"", "[8]", "0", "32") "}",
		  "__metadata__" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refused_bytes(make(cases[i].header, 32, 0), cases[i].expect);
}

static void refuses_what_is_something_else(void)
{
	struct t_bytes raw = { 0 };

	t_put(&raw, "version https://git-lfs example\n", 32);
	refused_bytes(raw, "Git-LFS pointer");
	raw = (struct t_bytes){ 0 };
	t_put(&raw, "GGUF\3\0\0\0and more of it", 23);
	refused_bytes(raw, "this is a GGUF file");
}

/* Nesting as deep as the header is long must not reach the end of the stack. */
static void refuses_deep_nesting(void)
{
	size_t depth = 1 << 20;
	char *text = malloc(2 * depth + 32);

	t_need(text != NULL);
	strcpy(text, "{\"a\":");
	memset(text + 5, '[', depth);
	memset(text + 5 + depth, ']', depth);
	strcpy(text + 5 + 2 * depth, "}");
	refused_bytes(make(text, 0, 0), "JSON");
	free(text);
}

int main(void)
{
	T_RUN(reads_a_good_file);
	T_RUN(reads_both_forms_alike);
	T_RUN(judges_what_is_almost_plain);
	T_RUN(refuses_wrong_lengths);
	T_RUN(refuses_wrong_headers);
	T_RUN(refuses_what_is_something_else);
	T_RUN(refuses_deep_nesting);
	return t_done();
}
