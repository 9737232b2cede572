/* SPDX-License-Identifier: MIT */
/*
 * eng_tok_nfc.c: Unicode normalization form C. Tables and composition by utf8proc; the canonical
 * order is made here, because utf8proc's takes quadratic time on long runs of marks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "eng_tok_priv.h"

#define DECOMPOSED_MAX 32 /* characters that one may decompose to; 4 in canonical ones */

struct codes {
	int32_t *v;
	size_t count, cap;
};

static int codes_room(struct codes *codes, size_t more)
{
	void *v = codes->v;
	int err = tok_array_room(&v, &codes->cap, codes->count + more, sizeof(*codes->v));

	codes->v = v;
	return err;
}

static int class_of(int32_t code)
{
	return utf8proc_get_property(code)->combining_class;
}

/* Stable counting sort of one run of marks by combining class. */
static int sort_run(int32_t *run, size_t count)
{
	size_t start[257] = {0};
	int32_t *sorted;

	if (count < 2)
		return 0;
	sorted = malloc(count * sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		start[class_of(run[i]) + 1]++;
	for (int c = 0; c < 256; c++)
		start[c + 1] += start[c];
	for (size_t i = 0; i < count; i++)
		sorted[start[class_of(run[i])]++] = run[i];
	memcpy(run, sorted, count * sizeof(*sorted));
	free(sorted);
	return 0;
}

static int reorder(struct codes *codes)
{
	size_t from = 0;
	int err = 0;

	for (size_t i = 0; i <= codes->count && !err; i++) {
		if (i < codes->count && class_of(codes->v[i]))
			continue;
		err = sort_run(codes->v + from, i - from);
		from = i + 1;
	}
	return err;
}

static int decompose(const uint8_t *text, size_t bytes, struct codes *codes)
{
	int boundary = 0, err;

	for (size_t i = 0; i < bytes;) {
		uint32_t code = 0xfffd;
		int step = tok_utf8_next(text + i, bytes - i, &code);
		utf8proc_ssize_t made;

		i += step > 0 ? (size_t)step : 1;
		err = codes_room(codes, DECOMPOSED_MAX);
		if (err)
			return err;
		made = utf8proc_decompose_char((int32_t)code, codes->v + codes->count,
					       DECOMPOSED_MAX, UTF8PROC_DECOMPOSE, &boundary);
		if (made < 0 || made > DECOMPOSED_MAX)
			return -EINVAL;
		codes->count += (size_t)made;
	}
	return 0;
}

/* Nothing below U+0300 can change, and text without such characters is the rule. */
static bool is_plain(const uint8_t *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (text[i] >= 0xcc)
			return false;
	return true;
}

int tok_nfc(const uint8_t *text, size_t bytes, struct tok_buf *out)
{
	struct codes codes = {0};
	utf8proc_ssize_t left;
	int err;

	if (is_plain(text, bytes))
		return tok_buf_add(out, text, bytes);
	err = decompose(text, bytes, &codes);
	if (!err)
		err = reorder(&codes);
	if (err)
		goto out;
	left = utf8proc_normalize_utf32(codes.v, (utf8proc_ssize_t)codes.count,
					UTF8PROC_COMPOSE | UTF8PROC_STABLE);
	err = left < 0 ? -EINVAL : tok_buf_room(out, 4 * (size_t)left);
	for (utf8proc_ssize_t i = 0; !err && i < left; i++)
		out->bytes += tok_utf8_put((uint32_t)codes.v[i], out->data + out->bytes);
out:
	free(codes.v);
	return err;
}
