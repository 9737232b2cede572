/* SPDX-License-Identifier: MIT */
/*
 * sto_st_plain.c: the header of a safetensors file as all writers make it,
 *
 *   {"__metadata__":{"format":"pt"},"NAME":{"dtype":"F32","shape":[8,576],"data_offsets":[0,18432]},...}
 *
 * without escapes, and spaces at the end alone, in one pass over its text. A header of an adapter has
 * hundreds of tensors, and a JSON library takes most of the time that a push of one has. Anything
 * else is not judged here: it goes to the JSON library, which has the words for it.
 */
#include <stdlib.h>
#include <string.h>

#include "sto_safetensors_priv.h"

#define DIGITS_MAX	18u	/* fit 64 bits */

struct scan {
	char *at, *end;
};

static bool take(struct scan *s, const char *text)
{
	size_t n = strlen(text);

	if ((size_t)(s->end - s->at) < n || memcmp(s->at, text, n))
		return false;
	s->at += n;
	return true;
}

/* A text of plain ASCII; its closing quote becomes its end. */
static bool take_text(struct scan *s, const char **text)
{
	if (!take(s, "\""))
		return false;
	*text = s->at;
	while (s->at < s->end && *s->at >= 0x20 && *s->at < 0x7f && *s->at != '"' && *s->at != '\\')
		s->at++;
	if (s->at == s->end || *s->at != '"')
		return false;
	*s->at++ = '\0';
	return true;
}

static bool take_number(struct scan *s, uint64_t *value)
{
	const char *begin = s->at;

	for (*value = 0; s->at < s->end && *s->at >= '0' && *s->at <= '9' && s->at - begin <= DIGITS_MAX; s->at++)
		*value = *value * 10 + (uint64_t)(*s->at - '0');
	return s->at > begin && s->at - begin <= DIGITS_MAX && (*begin != '0' || s->at == begin + 1);
}

static bool take_dims(struct scan *s, struct sto_st_tensor *t)
{
	if (!take(s, "["))
		return false;
	for (t->dim_count = 0; !take(s, "]"); t->dim_count++)
		if (t->dim_count == STO_ST_DIMS_MAX || (t->dim_count && !take(s, ",")) ||
		    !take_number(s, &t->dims[t->dim_count]))
			return false;
	return true;
}

static bool take_tensor(struct scan *s, struct sto_st_tensor *t)
{
	uint64_t end;

	if (!take(s, ":{\"dtype\":") || !take_text(s, &t->dtype) || !take(s, ",\"shape\":") ||
	    !take_dims(s, t) || !take(s, ",\"data_offsets\":[") || !take_number(s, &t->offset_bytes) ||
	    !take(s, ",") || !take_number(s, &end) || !take(s, "]}") || end < t->offset_bytes)
		return false;
	t->bytes = end - t->offset_bytes;
	return true;
}

/* One text with a name at most, so that none is there twice; nothing in it matters. */
static bool take_metadata(struct scan *s)
{
	const char *ignored;

	if (!take(s, ":{"))
		return false;
	return take(s, "}") || (take_text(s, &ignored) && take(s, ":") && take_text(s, &ignored) && take(s, "}"));
}

/* One entry; metadata only as the first. */
static bool take_entry(struct scan *s, struct sto_safetensors *st, bool first)
{
	struct sto_st_tensor *t = &st->tensors[st->tensor_count];
	size_t n;

	if ((!first && !take(s, ",")) || !take_text(s, &t->name))
		return false;
	if (!strcmp(t->name, "__metadata__"))
		return first && take_metadata(s);
	n = strlen(t->name);
	st->tensor_count++;
	return n > 0 && n <= STO_ST_NAME_MAX && take_tensor(s, t);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct sto_st_tensor *)a)->name, ((const struct sto_st_tensor *)b)->name);
}

/* Sorted, names that occur twice stand together. */
static bool names_differ(struct sto_safetensors *st)
{
	qsort(st->tensors, st->tensor_count, sizeof(*st->tensors), by_name);
	for (uint32_t i = 1; i < st->tensor_count; i++)
		if (!strcmp(st->tensors[i - 1].name, st->tensors[i].name))
			return false;
	return true;
}

static uint32_t count_braces(const char *text, size_t length)
{
	uint32_t count = 0;

	for (size_t i = 0; i < length; i++)
		count += text[i] == '{';
	return count;
}

bool sto_st_plain(struct sto_safetensors *st, char *text, size_t length)
{
	struct scan s = { text, text + length };
	bool first = true;

	st->tensors = calloc(count_braces(text, length) + 1, sizeof(*st->tensors));
	if (!st->tensors || !take(&s, "{"))
		return false;
	for (; !take(&s, "}"); first = false)
		if (!take_entry(&s, st, first))
			return false;
	while (s.at < s.end && *s.at == ' ')
		s.at++;
	return s.at == s.end && st->tensor_count > 0 && names_differ(st);
}
