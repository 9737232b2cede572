/* SPDX-License-Identifier: MIT */
/*
 * gra_utf8.c: ranges of code points as sequences of byte ranges, the way lexers are made of them: cut
 * where the length of the encoding changes and where a continuation byte would not run its whole range.
 */
#include <string.h>

#include "gra_priv.h"

uint32_t gra_utf8_put(uint32_t code, uint8_t bytes[GRA_UTF8_BYTES])
{
	static const uint8_t lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	uint32_t count = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

	if (count == 1) {
		bytes[0] = (uint8_t)code;
		return 1;
	}
	for (uint32_t i = count - 1; i > 0; i--, code >>= 6)
		bytes[i] = (uint8_t)(0x80 | (code & 0x3f));
	bytes[0] = (uint8_t)(lead[count] | code);
	return count;
}

uint32_t gra_utf8_get(const char *at, const char *end, uint32_t *code)
{
	uint8_t c = (uint8_t)*at, again[GRA_UTF8_BYTES];
	uint32_t count = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;

	if (!count || (size_t)(end - at) < count)
		return 0;
	*code = count == 1 ? c : c & (0xffu >> (count + 1));
	for (uint32_t i = 1; i < count; i++)
		*code = *code << 6 | ((uint8_t)at[i] & 0x3f);
	if (*code > GRA_CODE_MAX || gra_utf8_put(*code, again) != count || memcmp(again, at, count))
		return 0;
	return count;
}

/* The last code point, up to @last, whose encoding is as long as that of @first. */
static uint32_t same_length(uint32_t first, uint32_t last)
{
	static const uint32_t ends[] = { 0x7f, 0x7ff, 0xffff, 0x10ffff };

	for (uint32_t i = 0; i < 4; i++)
		if (first <= ends[i])
			return last < ends[i] ? last : ends[i];
	return last;
}

uint32_t gra_utf8_piece(uint32_t first, uint32_t last, struct gra_utf8 *piece)
{
	last = same_length(first, last);
	/* below bit @low both ends must run from all zeros to all ones, or agree above it */
	for (uint32_t low = 6; low <= 18 && first >= 0x80; low += 6) {
		uint32_t mask = (1u << low) - 1;

		if ((first | mask) >= last)
			break;
		if (first & mask)
			last = first | mask;
		else if ((last & mask) != mask)
			last = (last & ~mask) - 1;
	}
	piece->count = gra_utf8_put(first, piece->first);
	gra_utf8_put(last, piece->last);
	return last + 1;
}
