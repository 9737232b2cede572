/* SPDX-License-Identifier: MIT */
/* sto_gguf_parts.c: a model split over several GGUF files, put together again or refused by part. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sto_gguf.h"
#include "sto_model.h"

#define TAIL_BYTES	20u	/* -00001-of-00003.gguf */

/* ---- names ------------------------------------------------------------------------------- */

/* Five digits; 0: something else. */
static uint32_t five_digits(const char *p)
{
	uint32_t value = 0;

	for (uint32_t i = 0; i < 5; i++) {
		if (p[i] < '0' || p[i] > '9')
			return 0;
		value = value * 10 + (uint32_t)(p[i] - '0');
	}
	return value;
}

bool sto_gguf_part_name(const char *name, uint32_t *number, uint32_t *count)
{
	const size_t n = strlen(name);
	const char *tail = n > TAIL_BYTES ? name + n - TAIL_BYTES : name;

	if (n <= TAIL_BYTES || tail[0] != '-' || memcmp(tail + 6, "-of-", 4) ||
	    memcmp(tail + 15, ".gguf", 5))
		return false;
	*number = five_digits(tail + 1);
	*count = five_digits(tail + 10);
	return *number && *number <= *count;
}

int sto_gguf_part_path(const char *name, uint32_t number, char *out, size_t out_bytes)
{
	const size_t n = strlen(name), stem = n - TAIL_BYTES;

	if (n >= out_bytes)
		return -ENAMETOOLONG;
	snprintf(out, out_bytes, "%.*s-%05u%s", (int)stem, name, number, name + stem + 6);
	return 0;
}

/* ---- numbers ----------------------------------------------------------------------------- */

/* Writers put signed numbers here, too. -ENOENT: absent. */
static int read_number(const struct sto_gguf *gguf, const char *key, uint32_t *value,
		       struct sto_error *error)
{
	const struct sto_gguf_pair *pair = sto_gguf_find(gguf, key);
	int32_t number;

	if (!pair || pair->is_array || pair->type != STO_GGUF_I32)
		return sto_gguf_u32(gguf, key, value, error);
	memcpy(&number, pair->data, sizeof(number));
	*value = (uint32_t)number;
	if (number >= 0)
		return 0;
	sto_fail(error, "%s: %s: is %d, limit at least 0; fetch the file again", gguf->file->path, key,
		 number);
	return -EINVAL;
}

/* @key of a part must be @want; @of: what it would not be a part of. */
static int demand(const struct sto_gguf *part, const char *key, uint32_t want, const char *of,
		  struct sto_error *error)
{
	uint32_t value = 0;
	int err = read_number(part, key, &value, error);

	if (err == -ENOENT)
		sto_fail(error, "%s: %s: is absent, limit %u; this is no part of %s, fetch it again",
			 part->file->path, key, want, of);
	else if (!err && value != want)
		sto_fail(error, "%s: %s: is %u, limit %u; this is not the part of %s that its name says, "
			 "fetch the parts again", part->file->path, key, value, want, of);
	return err || value != want ? -EINVAL : 0;
}

int sto_gguf_part_count(const struct sto_gguf *gguf, uint32_t *count, struct sto_error *error)
{
	const char *path = gguf->file->path;
	uint32_t number = 1, named = 1;
	bool is_named = sto_gguf_part_name(path, &number, &named);
	int err = read_number(gguf, "split.count", count, error);

	if (err && err != -ENOENT)
		return err;
	if (err || *count == 0)
		*count = 1;
	if (*count > STO_FILE_MAX) {
		sto_fail(error, "%s: split.count: is %u, limit %u files; merge some", path, *count,
			 STO_FILE_MAX);
		return -EINVAL;
	}
	if (*count == 1 && named == 1)
		return 0;
	if (is_named && number != 1) {
		sto_fail(error, "%s: is part %u of %u; give the first part, or the folder", path, number,
			 named);
		return -EINVAL;
	}
	if (*count > 1 && !is_named) {
		sto_fail(error, "%s: split.count: is %u, limit 1 for a name that does not end in "
			 "-00001-of-%05u.gguf; give the parts their names back", path, *count, *count);
		return -EINVAL;
	}
	err = demand(gguf, "split.count", named, path, error);
	return err ? err : demand(gguf, "split.no", 0, path, error);
}

/* ---- parts ------------------------------------------------------------------------------- */

/* What a part says beside its number must be what the first says. */
static int check_common(const struct sto_gguf *first, const struct sto_gguf *part,
			struct sto_error *error)
{
	for (uint32_t i = 0; i < part->pair_count; i++) {
		const struct sto_gguf_pair *b = &part->pairs[i], *a = sto_gguf_find(first, b->key);

		if (!strcmp(b->key, "split.no") || !strcmp(b->key, "general.alignment") || !a)
			continue;
		if (a->type == b->type && a->is_array == b->is_array && a->count == b->count &&
		    a->bytes == b->bytes && !memcmp(a->data, b->data, a->bytes))
			continue;
		sto_fail(error, "%s: %s: is not what %s says, limit parts of one model; fetch the parts "
			 "again", part->file->path, b->key, first->file->path);
		return -EINVAL;
	}
	return 0;
}

static int take_tensors(struct sto_gguf *gguf, const struct sto_gguf *part, uint32_t number,
			struct sto_error *error)
{
	const uint32_t have = gguf->tensor_count, more = part->tensor_count;
	struct sto_gguf_tensor *grown = NULL;

	if (have + more <= STO_GGUF_TENSOR_MAX)
		grown = realloc(gguf->tensors, (have + more + 1) * sizeof(*grown));
	if (!grown) {
		sto_fail(error, "%s: tensor count: too many with those before, limit %u; give a smaller "
			 "model", part->file->path, STO_GGUF_TENSOR_MAX);
		return -ENOMEM;
	}
	gguf->tensors = grown;
	memcpy(grown + have, part->tensors, more * sizeof(*grown));
	for (uint32_t i = have; i < have + more; i++)
		grown[i].part = number;
	gguf->tensor_count = have + more;
	return 0;
}

/* Part @number (from 0) of @count. */
static int add_part(struct sto_gguf *gguf, const struct sto_file *files, uint32_t number,
		    uint32_t count, struct sto_error *error)
{
	struct sto_gguf *part = &gguf->parts[gguf->part_count];
	int err = sto_gguf_open(part, &files[number], error);

	if (err)
		return err;
	gguf->part_count++;
	err = demand(part, "split.count", count, files[0].path, error);
	if (!err)
		err = demand(part, "split.no", number, files[0].path, error);
	if (!err)
		err = check_common(gguf, part, error);
	return err ? err : take_tensors(gguf, part, number, error);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct sto_gguf_tensor *)a)->name,
		      ((const struct sto_gguf_tensor *)b)->name);
}

static int check_whole(struct sto_gguf *gguf, struct sto_error *error)
{
	uint32_t want = gguf->tensor_count;
	int err = read_number(gguf, "split.tensors.count", &want, error);

	if (err && err != -ENOENT)
		return err;
	if (want != gguf->tensor_count) {
		sto_fail(error, "%s: split.tensors.count: is %u, limit %u (those of all parts); fetch the "
			 "parts again", gguf->file->path, want, gguf->tensor_count);
		return -EINVAL;
	}
	qsort(gguf->tensors, gguf->tensor_count, sizeof(*gguf->tensors), by_name);
	for (uint32_t i = 1; i < gguf->tensor_count; i++) {
		const struct sto_gguf_tensor *a = &gguf->tensors[i - 1], *b = &gguf->tensors[i];

		if (strcmp(a->name, b->name))
			continue;
		sto_fail(error, "%s: tensor %s: is in %s, too, limit once; fetch the parts again",
			 gguf->file[b->part].path, b->name, gguf->file[a->part].path);
		return -EINVAL;
	}
	return 0;
}

int sto_gguf_join(struct sto_gguf *gguf, const struct sto_file *files, uint32_t count,
		  struct sto_error *error)
{
	int err = 0;

	gguf->file = files;
	if (count == 1)
		return 0;
	gguf->parts = calloc(count, sizeof(*gguf->parts));
	if (!gguf->parts) {
		sto_fail(error, "%s: out of memory; free some", files[0].path);
		return -ENOMEM;
	}
	for (uint32_t i = 1; i < count && !err; i++)
		err = add_part(gguf, files, i, count, error);
	return err ? err : check_whole(gguf, error);
}
