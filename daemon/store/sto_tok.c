/* SPDX-License-Identifier: MIT */
/* sto_tok.c: a tokenizer while it is being read from a file. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "sto_tok.h"
#include "sto_tok_regex.h"

#define CHUNK_BYTES	(1u << 16)

struct sto_tok_chunk {
	struct sto_tok_chunk *next;
	size_t used, cap;
	char data[];
};

int sto_tok_fail(struct sto_tok *t, const char *format, ...)
{
	size_t used;
	va_list args;

	if (!t->error_bytes)
		return -EINVAL;
	snprintf(t->error, t->error_bytes, "%s: ", t->what);
	used = strlen(t->error);
	va_start(args, format);
	vsnprintf(t->error + used, t->error_bytes - used, format, args);
	va_end(args);
	if (!strchr(t->error + used, ';')) {
		used = strlen(t->error);
		snprintf(t->error + used, t->error_bytes - used, "; %s", t->advice);
	}
	for (char *c = t->error; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	return -EINVAL;
}

int sto_tok_unsupported(struct sto_tok *t, const char *field, const char *name)
{
	return sto_tok_fail(t, "%s: %.80s is not supported; only tokenizers without it are",
			    field, name);
}

int sto_tok_init(struct sto_tok *t, uint32_t count)
{
	if (!count || count > ENG_TOK_COUNT_MAX)
		return sto_tok_fail(t, "%u tokens; the limits are 1 and %u", count,
				    ENG_TOK_COUNT_MAX);
	t->src.token_count = count;
	t->src.unk_id = ENG_TOK_NONE;
	t->slot_count = 64;
	while (t->slot_count < 2 * count)
		t->slot_count *= 2;
	t->tokens = calloc(count, sizeof(*t->tokens));
	t->flags = calloc(count, sizeof(*t->flags));
	t->slots = calloc(t->slot_count, sizeof(*t->slots));
	return t->tokens && t->flags && t->slots ? 0 : -ENOMEM;
}

void sto_tok_fini(struct sto_tok *t)
{
	struct sto_tok_chunk *chunk = t->chunks, *next;

	for (; chunk; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	free(t->tokens);
	free(t->decoded);
	free(t->flags);
	free(t->slots);
	free(t->merges);
	free(t->merge_result);
	free(t->merge_rank);
	free(t->scores);
	for (uint32_t i = 0; i < t->map_count; i++)
		free(t->maps[i]);
}

bool sto_tok_same(struct eng_tok_string x, struct eng_tok_string y)
{
	return x.bytes == y.bytes && !memcmp(x.data, y.data, x.bytes);
}

/* The slot of @text, or the free one where it would go; never full. */
static uint32_t *slot_of(const struct sto_tok *t, struct eng_tok_string text)
{
	/* Seeded by an address, so that a file cannot be made to crowd the table. */
	uint64_t slot = XXH3_64bits_withSeed(text.data, text.bytes, (uintptr_t)t->slots);

	for (;; slot++) {
		uint32_t *value = &t->slots[slot & (t->slot_count - 1)];

		if (!*value || sto_tok_same(t->tokens[*value - 1], text))
			return value;
	}
}

uint32_t sto_tok_find(const struct sto_tok *t, struct eng_tok_string text)
{
	uint32_t value = *slot_of(t, text);

	return value ? value - 1 : ENG_TOK_NONE;
}

int sto_tok_set(struct sto_tok *t, const char *field, uint32_t id, struct eng_tok_string text,
		uint32_t flags)
{
	if (id >= t->src.token_count)
		return sto_tok_fail(t, "%s: token id %u; there are %u", field, id,
				    t->src.token_count);
	if (t->tokens[id].data)
		return sto_tok_fail(t, "%s: two tokens have id %u", field, id);
	t->tokens[id] = text;
	t->flags[id] = flags;
	*slot_of(t, text) = id + 1;
	return 0;
}

static int merge_room(struct sto_tok *t)
{
	uint32_t cap = t->merge_cap ? t->merge_cap * 2 : 1024;
	void *merges, *result, *rank;

	if (t->src.merge_count < t->merge_cap)
		return 0;
	merges = realloc(t->merges, cap * sizeof(*t->merges));
	t->merges = merges ? merges : t->merges;
	result = realloc(t->merge_result, cap * sizeof(*t->merge_result));
	t->merge_result = result ? result : t->merge_result;
	rank = realloc(t->merge_rank, cap * sizeof(*t->merge_rank));
	t->merge_rank = rank ? rank : t->merge_rank;
	if (!merges || !result || !rank)
		return -ENOMEM;
	t->merge_cap = cap;
	return 0;
}

int sto_tok_merge_ids(struct sto_tok *t, uint32_t left, uint32_t right, uint32_t result,
		      uint32_t rank)
{
	uint32_t at = t->src.merge_count;
	int err = merge_room(t);

	if (err)
		return err;
	t->merges[at][0] = left;
	t->merges[at][1] = right;
	t->merge_result[at] = result;
	t->merge_rank[at] = rank;
	t->src.merge_count++;
	return 0;
}

int sto_tok_merge(struct sto_tok *t, uint32_t index, struct eng_tok_string left,
		  struct eng_tok_string right)
{
	uint32_t left_id = sto_tok_find(t, left), right_id = sto_tok_find(t, right), id;
	char joined[2 * ENG_TOK_TOKEN_BYTES_MAX];

	if (left_id == ENG_TOK_NONE || right_id == ENG_TOK_NONE) {
		if (left_id != ENG_TOK_NONE)
			left = right;
		return sto_tok_fail(t, "%s[%u]: \"%.*s\" is not in the vocabulary", t->model_field,
				    index, (int)(left.bytes < 80 ? left.bytes : 80), left.data);
	}
	if ((size_t)left.bytes + right.bytes > sizeof(joined))
		return sto_tok_fail(t, "%s[%u]: makes a token over %u bytes", t->model_field, index,
				    ENG_TOK_TOKEN_BYTES_MAX);
	memcpy(joined, left.data, left.bytes);
	memcpy(joined + left.bytes, right.data, right.bytes);
	id = sto_tok_find(t, (struct eng_tok_string){joined, left.bytes + right.bytes});
	if (id == ENG_TOK_NONE)
		return sto_tok_fail(t, "%s[%u]: makes \"%.*s%.*s\", which is not in the vocabulary",
				    t->model_field, index, (int)(left.bytes < 40 ? left.bytes : 40),
				    left.data, (int)(right.bytes < 40 ? right.bytes : 40),
				    right.data);
	return sto_tok_merge_ids(t, left_id, right_id, id, index);
}

struct eng_tok_string sto_tok_copy(struct sto_tok *t, const void *data, size_t bytes)
{
	struct sto_tok_chunk *chunk = t->chunks;
	size_t cap = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
	char *at;

	if (!chunk || chunk->cap - chunk->used < bytes) {
		chunk = malloc(sizeof(*chunk) + cap);
		if (!chunk)
			return (struct eng_tok_string){0};
		*chunk = (struct sto_tok_chunk){.next = t->chunks, .cap = cap};
		t->chunks = chunk;
	}
	at = chunk->data + chunk->used;
	if (bytes)
		memcpy(at, data, bytes);
	chunk->used += bytes;
	return (struct eng_tok_string){at, (uint32_t)bytes};
}

static int add_to(struct sto_tok *t, const char *field, struct eng_tok_step *list, uint32_t *count,
		  struct eng_tok_step step)
{
	if (*count == ENG_TOK_PATTERN_MAX)
		return sto_tok_fail(t, "%s: over %u steps", field, ENG_TOK_PATTERN_MAX);
	list[(*count)++] = step;
	return 0;
}

int sto_tok_add_normal(struct sto_tok *t, const char *field, struct eng_tok_step step)
{
	return add_to(t, field, t->normals, &t->src.normal_count, step);
}

int sto_tok_add_step(struct sto_tok *t, const char *field, struct eng_tok_step step)
{
	return add_to(t, field, t->steps, &t->src.step_count, step);
}

int sto_tok_add_pattern(struct sto_tok *t, const char *field, bool normal,
			struct eng_tok_string pattern, bool literal, struct eng_tok_step step)
{
	char message[160];
	char *made;
	int err;

	if (!pattern.bytes)
		return sto_tok_fail(t, "%s: the pattern is empty", field);
	err = sto_tok_regex(pattern.data, pattern.bytes, literal, &made, message, sizeof(message));
	if (err == -EINVAL)
		return sto_tok_fail(t, "%s: %s", field, message);
	if (err)
		return err;
	step.pattern = sto_tok_copy(t, made, strlen(made));
	free(made);
	if (!step.pattern.data)
		return -ENOMEM;
	return normal ? sto_tok_add_normal(t, field, step) : sto_tok_add_step(t, field, step);
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

void sto_tok_mark_bytes(struct sto_tok *t)
{
	for (uint32_t i = 0; i < t->src.token_count; i++) {
		struct eng_tok_string text = t->tokens[i];

		if (text.bytes == 6 && !memcmp(text.data, "<0x", 3) && is_hex(text.data[3]) &&
		    is_hex(text.data[4]) && text.data[5] == '>')
			t->flags[i] |= ENG_TOKEN_BYTE;
	}
}

int sto_tok_compile(struct sto_tok *t, void **blob, size_t *blob_bytes)
{
	char message[256];
	int err;

	for (uint32_t i = 0; i < t->src.token_count; i++) {
		if (t->tokens[i].data)
			continue;
		t->tokens[i] = STO_TOK_STR("");
		t->flags[i] = ENG_TOKEN_UNUSED;
	}
	t->src.tokens = t->tokens;
	t->src.decoded = t->decoded;
	t->src.token_flags = t->flags;
	t->src.merges = (const uint32_t (*)[2])t->merges;
	t->src.merge_result = t->merge_result;
	t->src.merge_rank = t->merge_rank;
	t->src.scores = t->scores;
	t->src.normals = t->normals;
	t->src.steps = t->steps;
	err = eng_tok_compile(&t->src, blob, blob_bytes, message, sizeof(message));
	return err == -EINVAL ? sto_tok_fail(t, "%s", message) : err;
}
