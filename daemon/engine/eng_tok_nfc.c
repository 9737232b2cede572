/* SPDX-License-Identifier: MIT */
/*
 * eng_tok_nfc.c: Unicode normalization forms. Tables and composition by utf8proc; the canonical
 * order is made here, because utf8proc's takes quadratic time on long runs of marks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "eng_tok_priv.h"

/*
 * Marks and compositions of Unicode 10 to 16. The normalizer that tokenizers are made with knows
 * Unicode 9: there these are like letters, and nothing is ordered or composed across them.
 */
static const uint32_t late[][2] = {
	{0x7fd, 0x7fd}, {0x897, 0x89f}, {0x8ca, 0x8d3}, {0x9fe, 0x9fe}, {0xc3c, 0xc3c},
	{0xcf3, 0xcf3}, {0xd3b, 0xd3c}, {0xeba, 0xeba}, {0xece, 0xece}, {0x1715, 0x1715},
	{0x1abf, 0x1ace}, {0x1df6, 0x1dfa}, {0xa82c, 0xa82c}, {0x105c9, 0x105c9},
	{0x105e4, 0x105e4}, {0x10d24, 0x10d27}, {0x10d69, 0x10d6d}, {0x10eab, 0x10eac},
	{0x10efc, 0x10eff}, {0x10f46, 0x10f50}, {0x10f82, 0x10f85}, {0x11070, 0x11070},
	{0x11241, 0x11241}, {0x1133b, 0x1133b}, {0x11383, 0x11383}, {0x11385, 0x11385},
	{0x1138e, 0x1138e}, {0x11391, 0x11391}, {0x113b8, 0x113c0}, {0x113c2, 0x113c2},
	{0x113c5, 0x113c5}, {0x113c7, 0x113ca}, {0x113cc, 0x113d0}, {0x113d2, 0x113d2},
	{0x113e1, 0x113e2}, {0x1145e, 0x1145e}, {0x11839, 0x1183a}, {0x11930, 0x11930},
	{0x11938, 0x11938}, {0x1193d, 0x1193e}, {0x11943, 0x11943}, {0x119e0, 0x119e0},
	{0x11a34, 0x11a34}, {0x11a47, 0x11a47}, {0x11a99, 0x11a99}, {0x11d42, 0x11d42},
	{0x11d44, 0x11d45}, {0x11d97, 0x11d97}, {0x11f00, 0x11f01}, {0x11f03, 0x11f03},
	{0x11f34, 0x11f3a}, {0x11f3e, 0x11f42}, {0x11f5a, 0x11f5a}, {0x13440, 0x13440},
	{0x13447, 0x13455}, {0x1611e, 0x1612f}, {0x16d67, 0x16d6a}, {0x16ff0, 0x16ff1},
	{0x1e08f, 0x1e08f}, {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef},
	{0x1e4ec, 0x1e4ef}, {0x1e5ee, 0x1e5ef},
};

/* Compatibility decompositions of Unicode 10 to 17, which it does not know either. */
static const uint32_t late_compatible[][2] = {
	{0x32ff, 0x32ff}, {0xa7f1, 0xa7f4}, {0xab69, 0xab69}, {0x10781, 0x10785},
	{0x10787, 0x107b0}, {0x107b2, 0x107ba}, {0x1ccd6, 0x1ccf9}, {0x1e030, 0x1e06d},
	{0x1f16c, 0x1f16c}, {0x1fbf0, 0x1fbf9},
};

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

static bool is_in(const uint32_t (*ranges)[2], size_t count, uint32_t code)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (code > ranges[mid][1])
			low = mid + 1;
		else
			high = mid;
	}
	return low < count && code >= ranges[low][0];
}
#define IS_IN(ranges, code)	is_in(ranges, sizeof(ranges) / sizeof(*(ranges)), code)

static int decompose(const uint8_t *text, size_t bytes, bool compatible, struct codes *codes)
{
	utf8proc_option_t options = UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
	int boundary = 0, err;

	for (size_t i = 0; i < bytes;) {
		uint32_t code = 0xfffd;
		int step = tok_utf8_next(text + i, bytes - i, &code);
		utf8proc_ssize_t made;

		i += step > 0 ? (size_t)step : 1;
		err = codes_room(codes, DECOMPOSED_MAX);
		if (err)
			return err;
		if (compatible && IS_IN(late_compatible, code)) {
			codes->v[codes->count++] = (int32_t)code;
			continue;
		}
		made = utf8proc_decompose_char((int32_t)code, codes->v + codes->count,
					       DECOMPOSED_MAX, options, &boundary);
		if (made < 0 || made > DECOMPOSED_MAX)
			return -EINVAL;
		codes->count += (size_t)made;
	}
	return 0;
}

/* In form C nothing below U+0300 can change, else ASCII alone; most texts have no more. */
static bool is_plain(const uint8_t *text, size_t bytes, uint32_t op)
{
	uint8_t least = op == ENG_OP_NFC ? 0xcc : 0x80;

	for (size_t i = 0; i < bytes; i++)
		if (text[i] >= least)
			return false;
	return true;
}

/* Bytes up to the first late character, or @bytes; *@step: its length, or 0. */
static size_t segment(const uint8_t *text, size_t bytes, size_t *step)
{
	uint32_t code;

	*step = 0;
	for (size_t i = 0; i < bytes;) {
		int more = tok_utf8_next(text + i, bytes - i, &code);

		if (more > 0 && code >= late[0][0] && IS_IN(late, code)) {
			*step = (size_t)more;
			return i;
		}
		i += more > 0 ? (size_t)more : 1;
	}
	return bytes;
}

static int normal_segment(uint32_t op, const uint8_t *text, size_t bytes, struct codes *codes,
			  struct tok_buf *out)
{
	utf8proc_ssize_t left;
	int err;

	codes->count = 0;
	if (is_plain(text, bytes, op))
		return tok_buf_add(out, text, bytes);
	err = decompose(text, bytes, op == ENG_OP_NFKC || op == ENG_OP_NFKD, codes);
	err = err ? err : reorder(codes);
	if (err)
		return err;
	left = (utf8proc_ssize_t)codes->count;
	if (op == ENG_OP_NFC || op == ENG_OP_NFKC)
		left = utf8proc_normalize_utf32(codes->v, left, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
	err = left < 0 ? -EINVAL : tok_buf_room(out, 4 * (size_t)left);
	for (utf8proc_ssize_t i = 0; !err && i < left; i++)
		out->bytes += tok_utf8_put((uint32_t)codes->v[i], out->data + out->bytes);
	return err;
}

int tok_normal_form(uint32_t op, const uint8_t *text, size_t bytes, struct tok_buf *out)
{
	struct codes codes = {0};
	int err = 0;

	if (is_plain(text, bytes, op))
		return tok_buf_add(out, text, bytes);
	while (bytes && !err) {
		size_t step, length = segment(text, bytes, &step);

		err = normal_segment(op, text, length, &codes, out);
		err = err ? err : tok_buf_add(out, text + length, step);
		text += length + step;
		bytes -= length + step;
	}
	free(codes.v);
	return err;
}
