/* SPDX-License-Identifier: MIT */
/*
 * tok_check: compares a tokenizer with a whole set of goldens, by hand:
 *     tok_check TOKENIZER golden.json [vocab_size]     encode, decode, streams
 *     tok_check --open TOKENIZER [vocab_size]          only whether it compiles
 *     tok_check --bench TOKENIZER                      speed on texts that are hard to split
 * TOKENIZER: a tokenizer.json, lists as in tok_lists.h, or a GGUF file, which needs no tensors.
 * Golden files: see tests/reference and tests/unit/make_tok_data.py.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "eng_tok.h"
#include "sto_gguf.h"
#include "sto_tok_json.h"
#include "tok_golden.h"
#include "tok_lists.h"

static struct eng_tok *tok;

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

static int check_golden(const char *path)
{
	json_t *root = json_load_file(path, JSON_ALLOW_NUL, NULL);
	struct golden g = {.tok = tok};

	if (!root)
		return 2;
	golden_check(&g, root);
	json_decref(root);
	printf("%s: %u passed, %u failed\n", path, g.passed, g.failed);
	return g.failed != 0;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void bench_one(const char *text, size_t bytes, uint32_t *ids, const char *name,
		      const char *end)
{
	double start = now();
	int64_t made = eng_tok_encode(tok, text, bytes, 0, ids, bytes * 3);

	printf("  1 MiB of \"%s\"%s: %.3f s, %lld tokens\n", name, end, now() - start,
	       (long long)made);
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
					    "<",
					    "1a",
					    "\n ",
					    "a\n"};
	size_t bytes = 1u << 20;
	char *text = malloc(bytes);
	uint32_t *ids = malloc(bytes * 3 * sizeof(*ids));

	for (size_t u = 0; u < sizeof(units) / sizeof(*units); u++) {
		size_t unit = strlen(units[u]);

		for (size_t i = 0; i < bytes; i++)
			text[i] = units[u][i % unit];
		bench_one(text, bytes, ids, units[u], "");
		/* Where a run does not reach the end, patterns look back into it. */
		text[bytes - 1] = 'x';
		bench_one(text, bytes, ids, units[u], " and x");
	}
	srand(1);
	for (size_t i = 0; i < bytes; i++)
		text[i] = (char)rand();
	bench_one(text, bytes, ids, "random", "");
	free(text);
	free(ids);
}

static int compile_gguf(const char *path, uint32_t rows, void **blob, size_t *blob_bytes,
			char *message, size_t message_bytes)
{
	struct sto_error error = {0};
	struct sto_gguf gguf;
	struct sto_file file;
	int err = sto_file_open(&file, AT_FDCWD, path, path, &error);

	if (!err) {
		err = sto_gguf_open_metadata(&gguf, &file, &error);
		if (!err) {
			err = sto_tok_gguf(&gguf, rows, blob, blob_bytes, &error);
			sto_gguf_close(&gguf);
		}
		sto_file_close(&file);
	}
	snprintf(message, message_bytes, "%s", error.text);
	return err;
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
	char error[1024];
	int err;

	if (!json) {
		fprintf(stderr, "%s: cannot be read\n", path);
		return 2;
	}
	if (bytes > 4 && !memcmp(json, "GGUF", 4))
		err = compile_gguf(path, rows, blob, &blob_bytes, error, sizeof(error));
	else
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
		fprintf(stderr, "usage: tok_check [--open|--bench] TOKENIZER "
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
