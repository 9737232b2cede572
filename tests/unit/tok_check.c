/* SPDX-License-Identifier: MIT */
/*
 * tok_check: compares a tokenizer with a whole set of goldens, by hand:
 *     tok_check tokenizer.json golden.json [vocab_size]     encode, decode, streams
 *     tok_check --open tokenizer.json [vocab_size]          only whether it compiles
 *     tok_check --bench tokenizer.json                      speed on texts that are hard to split
 * Golden files: see tests/reference and tests/unit/make_tok_data.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "eng_tok.h"
#include "sto_tok_json.h"
#include "tok_lists.h"

static struct eng_tok *tok;
static unsigned int passed, failed;

static char *read_all(const char *path, size_t *bytes)
{
	FILE *file = fopen(path, "rb");
	char *data;

	if (!file || fseek(file, 0, SEEK_END))
		return NULL;
	*bytes = (size_t)ftell(file);
	rewind(file);
	data = malloc(*bytes + 1);
	if (data && fread(data, 1, *bytes, file) != *bytes)
		*bytes = 0;
	fclose(file);
	return data;
}

static void tell(bool good, const char *what, const char *text)
{
	good ? passed++ : failed++;
	if (!good && failed <= 20)
		fprintf(stderr, "FAILED %s: %.200s\n", what, text);
}

static void print_ids(const char *name, const uint32_t *ids, size_t count)
{
	fprintf(stderr, "  %s:", name);
	for (size_t i = 0; i < count && i < 40; i++)
		fprintf(stderr, " %u", ids[i]);
	fputc('\n', stderr);
}

static uint32_t *ids_of(const json_t *list, size_t *count)
{
	uint32_t *ids;

	*count = json_array_size(list);
	ids = malloc((*count + 1) * sizeof(*ids));
	for (size_t i = 0; i < *count; i++)
		ids[i] = (uint32_t)json_integer_value(json_array_get(list, i));
	return ids;
}

static void check_encode(const char *text, size_t bytes, const json_t *list, uint32_t flags,
			 const char *what)
{
	size_t count, cap = 3 * bytes + 64;
	uint32_t *want = ids_of(list, &count), *got = malloc(cap * sizeof(*got));
	int64_t made = eng_tok_encode(tok, text, bytes, flags, got, cap);
	bool good = made == (int64_t)count && !memcmp(got, want, count * sizeof(*got));

	tell(good, what, text);
	if (!good && failed <= 20) {
		print_ids("want", want, count);
		print_ids("got ", got, made > 0 ? (size_t)made : 0);
	}
	free(want);
	free(got);
}

static size_t decode(const uint32_t *ids, size_t count, bool skip, char *out, size_t cap,
		     bool finish)
{
	struct eng_tok_stream stream;
	size_t bytes = 0;

	eng_tok_stream_init(&stream, skip);
	for (size_t i = 0; i < count; i++) {
		int64_t more = eng_tok_stream_push(tok, &stream, ids[i], out + bytes, cap - bytes);

		if (more < 0)
			return SIZE_MAX;
		bytes += (size_t)more;
	}
	return finish ? bytes + (size_t)eng_tok_stream_finish(&stream, out + bytes, cap - bytes)
		      : bytes;
}

/* Texts may hold NULs. */
static bool same_text(const json_t *want, const char *text, size_t bytes, bool whole)
{
	size_t length = json_string_length(want);

	return (whole ? bytes == length : bytes <= length) &&
	       !memcmp(text, json_string_value(want), bytes);
}

static void check_decode(const json_t *list, const json_t *want, bool skip, const char *what)
{
	size_t count, bytes, cap;
	uint32_t *ids = ids_of(list, &count);
	bool good;
	char *out;

	cap = 3 * json_string_length(want) + 4 * ENG_TOK_TEXT_MAX + 64 * count;
	out = malloc(cap);
	bytes = decode(ids, count, skip, out, cap, true);
	good = same_text(want, out, bytes, true);
	tell(good, what, json_string_value(want));
	if (!good && failed <= 20)
		fprintf(stderr, "  got %.*s\n", (int)(bytes < 200 ? bytes : 200), out);
	free(out);
	free(ids);
}

static const json_t *field_or(const json_t *record, const char *key, const json_t *fallback)
{
	const json_t *value = json_object_get(record, key);

	return value ? value : fallback;
}

static size_t unhex(const char *hex, char *out)
{
	size_t bytes = strlen(hex) / 2;
	unsigned int byte;

	for (size_t i = 0; i < bytes && sscanf(hex + 2 * i, "%2x", &byte) == 1; i++)
		out[i] = (char)byte;
	return bytes;
}

static void check_case(const json_t *record, const json_t *prefix)
{
	const json_t *text = json_object_get(record, "text"), *ids = json_object_get(record, "ids");
	const json_t *decoded = field_or(record, "decoded", text);
	const char *hex = json_string_value(json_object_get(record, "raw_bytes_hex"));
	json_t *whole = json_array();
	char raw[4096];

	check_encode(json_string_value(text), json_string_length(text), ids, 0, "encode");
	json_array_extend(whole, (json_t *)(uintptr_t)prefix);
	json_array_extend(whole, (json_t *)(uintptr_t)ids);
	check_encode(json_string_value(text), json_string_length(text), whole, ENG_ENCODE_AFFIXES,
		     "affixes");
	json_decref(whole);
	if (hex && strlen(hex) / 2 <= sizeof(raw))
		check_encode(raw, unhex(hex, raw), ids, 0, "encode ill-formed");
	check_decode(ids, decoded, false, "decode");
	check_decode(ids, field_or(record, "decoded_skip_special", decoded), true,
		     "decode without special");
}

static void check_stream(const json_t *record)
{
	const json_t *after = json_object_get(record, "decoded_after_each");
	size_t count;
	uint32_t *ids = ids_of(json_object_get(record, "ids"), &count);
	char *out = malloc(ENG_TOK_TEXT_MAX * (count + 2));

	for (size_t n = 1; n <= count && after; n++) {
		const json_t *want = json_array_get(after, n - 1);
		size_t all = decode(ids, n, false, out, ENG_TOK_TEXT_MAX * (count + 2), true), part;

		tell(same_text(want, out, all, true), "prefix", json_string_value(want));
		part = decode(ids, n, false, out, ENG_TOK_TEXT_MAX * (count + 2), false);
		want = json_array_get(after, count - 1);
		tell(same_text(want, out, part, false), "stream", json_string_value(want));
	}
	free(out);
	free(ids);
}

static int check_golden(const char *path)
{
	json_t *root = json_load_file(path, JSON_ALLOW_NUL, NULL), *record;
	size_t i;

	if (!root)
		return 2;
	json_array_foreach(json_object_get(root, "cases"), i, record)
		check_case(record, json_object_get(root, "prefix_ids"));
	json_array_foreach(json_object_get(root, "decode_only"), i, record) {
		const json_t *decoded = json_object_get(record, "decoded");

		check_decode(json_object_get(record, "ids"), decoded, false, "decode only");
		check_decode(json_object_get(record, "ids"),
			     field_or(record, "decoded_skip_special", decoded), true,
			     "decode only, without special");
	}
	json_array_foreach(json_object_get(root, "decode_prefixes"), i, record)
		check_stream(record);
	json_decref(root);
	printf("%s: %u passed, %u failed\n", path, passed, failed);
	return failed != 0;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void bench(void)
{
	static const char *const units[] = {" ",
					    "a",
					    "A",
					    "\n",
					    "1",
					    "!",
					    " a",
					    "Hello, world! ",
					    "\xe4\xb8\xad",
					    "\xcc\x95\xcc\x96",
					    "A\xe4\xb8\xad",
					    "  \n",
					    "'s",
					    "\xf0\x9f\x98\x80",
					    "\xff",
					    "<|",
					    "The quick brown fox jumps over 13 lazy dogs.\n",
					    "\r\n ",
					    "aA",
					    "\xe2\x96\x81",
					    "<"};
	size_t bytes = 1u << 20;
	char *text = malloc(bytes);
	uint32_t *ids = malloc(bytes * 3 * sizeof(*ids));

	for (size_t u = 0; u < sizeof(units) / sizeof(*units); u++) {
		size_t unit = strlen(units[u]);
		double start;
		int64_t made;

		for (size_t i = 0; i < bytes; i++)
			text[i] = units[u][i % unit];
		start = now();
		made = eng_tok_encode(tok, text, bytes, 0, ids, bytes * 3);
		printf("  1 MiB of \"%s\": %.3f s, %lld tokens\n", units[u], now() - start,
		       (long long)made);
	}
	free(text);
	free(ids);
}

/* A tokenizer.json, or lists as in tok_lists.h (told by their "tokens"). */
static int compile(const char *json, size_t bytes, uint32_t rows, void **blob, size_t *blob_bytes,
		   char *error, size_t error_bytes)
{
	json_t *root = json_loadb(json, bytes, JSON_ALLOW_NUL, NULL);
	struct sto_tok_gguf_vocab v = {0};
	int err;

	if (!json_object_get(root, "tokens")) {
		json_decref(root);
		return sto_tok_json_compile(json, bytes, rows, "tokenizer.json", blob, blob_bytes,
					    error, error_bytes);
	}
	lists_read(root, &v);
	err = sto_tok_gguf_compile(&v, rows, "lists", blob, blob_bytes, error, error_bytes);
	lists_free(&v);
	json_decref(root);
	return err;
}

static int open_file(const char *path, uint32_t rows, void **blob)
{
	size_t bytes = 0, blob_bytes;
	char *json = read_all(path, &bytes);
	double start = now();
	char error[256];
	int err;

	if (!json) {
		fprintf(stderr, "%s: cannot be read\n", path);
		return 2;
	}
	err = compile(json, bytes, rows, blob, &blob_bytes, error, sizeof(error));
	free(json);
	if (err) {
		fprintf(stderr, "refused: %s\n", error);
		return 1;
	}
	printf("compiled in %.3f s, %zu bytes; ", now() - start, blob_bytes);
	start = now();
	err = eng_tok_open(*blob, blob_bytes, &tok);
	printf("opened in %.3f ms\n", 1e3 * (now() - start));
	return err ? 2 : 0;
}

int main(int argc, char **argv)
{
	bool only_open = argc > 2 && !strcmp(argv[1], "--open"),
	     only_bench = argc > 2 && !strcmp(argv[1], "--bench");
	void *blob = NULL;
	int err;

	if (argc < 3) {
		fprintf(stderr, "usage: tok_check [--open|--bench] tokenizer.json "
				"[golden.json] [vocab_size]\n");
		return 2;
	}
	err = open_file(argv[only_open || only_bench ? 2 : 1],
			argc > 3 ? (uint32_t)atol(argv[3]) : 0, &blob);
	if (!err && only_bench)
		bench();
	else if (!err && !only_open)
		err = check_golden(argv[2]);
	eng_tok_close(&tok);
	free(blob);
	return err;
}
