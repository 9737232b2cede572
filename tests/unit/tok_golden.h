/* SPDX-License-Identifier: MIT */
/*
 * tok_golden.h: compares an open tokenizer with goldens: "prefix_ids" and "suffix_ids", "cases" (text, ids, decoded
 * and decoded_skip_special where they differ, raw_bytes_hex), "decode_only" and "decode_prefixes".
 * Without prefix_ids, ids around a text are not looked at; "decoded" null: nor is what comes back.
 */
#ifndef TOK_GOLDEN_H
#define TOK_GOLDEN_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eng_tok.h"

struct golden {
	struct eng_tok *tok;
	unsigned int passed, failed;
};

static inline void tell(struct golden *g, bool good, const char *what, const char *text)
{
	good ? g->passed++ : g->failed++;
	if (!good && g->failed <= 20)
		fprintf(stderr, "FAILED %s: %.200s\n", what, text);
}

static inline void print_ids(const char *name, const uint32_t *ids, size_t count)
{
	fprintf(stderr, "  %s:", name);
	for (size_t i = 0; i < count && i < 40; i++)
		fprintf(stderr, " %u", ids[i]);
	fputc('\n', stderr);
}

static inline uint32_t *ids_of(const json_t *list, size_t *count)
{
	uint32_t *ids;

	*count = json_array_size(list);
	ids = malloc((*count + 1) * sizeof(*ids));
	for (size_t i = 0; i < *count; i++)
		ids[i] = (uint32_t)json_integer_value(json_array_get(list, i));
	return ids;
}

static inline void check_encode(struct golden *g, const char *text, size_t bytes,
				const json_t *list, uint32_t flags, const char *what)
{
	size_t count, cap = 3 * bytes + 64;
	uint32_t *want = ids_of(list, &count), *got = malloc(cap * sizeof(*got));
	int64_t made = eng_tok_encode(g->tok, text, bytes, flags, got, cap);
	bool good = made == (int64_t)count && !memcmp(got, want, count * sizeof(*got));

	tell(g, good, what, text);
	if (!good && g->failed <= 20) {
		print_ids("want", want, count);
		print_ids("got ", got, made > 0 ? (size_t)made : 0);
	}
	free(want);
	free(got);
}

static inline size_t decode(struct golden *g, const uint32_t *ids, size_t count, bool skip,
			    char *out, size_t cap, bool finish)
{
	struct eng_tok_stream stream;
	size_t bytes = 0;

	eng_tok_stream_init(&stream, skip);
	for (size_t i = 0; i < count; i++) {
		int64_t more =
			eng_tok_stream_push(g->tok, &stream, ids[i], out + bytes, cap - bytes);

		if (more < 0)
			return SIZE_MAX;
		bytes += (size_t)more;
	}
	return finish ? bytes + (size_t)eng_tok_stream_finish(&stream, out + bytes, cap - bytes)
		      : bytes;
}

/* Texts may hold NULs. */
static inline bool same_text(const json_t *want, const char *text, size_t bytes, bool whole)
{
	size_t length = json_string_length(want);

	return (whole ? bytes == length : bytes <= length) &&
	       !memcmp(text, json_string_value(want), bytes);
}

static inline void check_decode(struct golden *g, const json_t *list, const json_t *want, bool skip,
				const char *what)
{
	size_t count, bytes, cap;
	uint32_t *ids = ids_of(list, &count);
	bool good;
	char *out;

	cap = 3 * json_string_length(want) + 4 * ENG_TOK_TEXT_MAX + 64 * count;
	out = malloc(cap);
	bytes = decode(g, ids, count, skip, out, cap, true);
	good = same_text(want, out, bytes, true);
	tell(g, good, what, json_string_value(want));
	if (!good && g->failed <= 20)
		fprintf(stderr, "  got %.*s\n", (int)(bytes < 200 ? bytes : 200), out);
	free(out);
	free(ids);
}

static inline const json_t *field_or(const json_t *record, const char *key, const json_t *fallback)
{
	const json_t *value = json_object_get(record, key);

	return value ? value : fallback;
}

static inline size_t unhex(const char *hex, char *out)
{
	size_t bytes = strlen(hex) / 2;
	unsigned int byte;

	for (size_t i = 0; i < bytes && sscanf(hex + 2 * i, "%2x", &byte) == 1; i++)
		out[i] = (char)byte;
	return bytes;
}

static inline void check_case(struct golden *g, const json_t *record, const json_t *prefix,
			      const json_t *suffix)
{
	const json_t *text = json_object_get(record, "text"), *ids = json_object_get(record, "ids");
	const json_t *decoded = field_or(record, "decoded", text);
	const char *hex = json_string_value(json_object_get(record, "raw_bytes_hex"));
	json_t *whole = json_array();
	char raw[4096];

	check_encode(g, json_string_value(text), json_string_length(text), ids, 0, "encode");
	json_array_extend(whole, (json_t *)(uintptr_t)prefix);
	json_array_extend(whole, (json_t *)(uintptr_t)ids);
	json_array_extend(whole, (json_t *)(uintptr_t)suffix);
	if (prefix)
		check_encode(g, json_string_value(text), json_string_length(text), whole,
			     ENG_ENCODE_AFFIXES, "affixes");
	json_decref(whole);
	if (hex && strlen(hex) / 2 <= sizeof(raw))
		check_encode(g, raw, unhex(hex, raw), ids, 0, "encode ill-formed");
	if (json_is_null(decoded))
		return;
	check_decode(g, ids, decoded, false, "decode");
	check_decode(g, ids, field_or(record, "decoded_skip_special", decoded), true,
		     "decode without special");
}

static inline void check_stream(struct golden *g, const json_t *record)
{
	const json_t *after = json_object_get(record, "decoded_after_each");
	size_t count;
	uint32_t *ids = ids_of(json_object_get(record, "ids"), &count);
	char *out = malloc(ENG_TOK_TEXT_MAX * (count + 2));

	for (size_t n = 1; n <= count && after; n++) {
		const json_t *want = json_array_get(after, n - 1);
		size_t all = decode(g, ids, n, false, out, ENG_TOK_TEXT_MAX * (count + 2), true),
		       part;

		tell(g, same_text(want, out, all, true), "prefix", json_string_value(want));
		part = decode(g, ids, n, false, out, ENG_TOK_TEXT_MAX * (count + 2), false);
		want = json_array_get(after, count - 1);
		tell(g, same_text(want, out, part, false), "stream", json_string_value(want));
	}
	free(out);
	free(ids);
}

static inline void golden_check(struct golden *g, const json_t *root)
{
	const json_t *prefix = json_object_get(root, "prefix_ids"),
		     *suffix = json_object_get(root, "suffix_ids");
	json_t *record;
	size_t i;

	json_array_foreach(json_object_get(root, "cases"), i, record)
		check_case(g, record, prefix, suffix);
	json_array_foreach(json_object_get(root, "decode_only"), i, record) {
		const json_t *decoded = json_object_get(record, "decoded"),
			     *ids = json_object_get(record, "ids");

		check_decode(g, ids, decoded, false, "decode only");
		check_decode(g, ids, field_or(record, "decoded_skip_special", decoded), true,
			     "decode only, without special");
	}
	json_array_foreach(json_object_get(root, "decode_prefixes"), i, record)
		check_stream(g, record);
}

#endif
