/* SPDX-License-Identifier: MIT */
/* eng_tok_util.c: growing arrays and UTF-8 for the tokenizer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "eng_tok_priv.h"

#define TEXT_MAX	((size_t)INT32_MAX)

int tok_array_room(void **array, size_t *cap, size_t count, size_t item_bytes)
{
	size_t want = *cap ? *cap : 64;
	void *fresh;

	if (count <= *cap)
		return 0;
	while (want < count)
		want += want / 2;
	if (want > SIZE_MAX / item_bytes)
		return -ENOMEM;
	fresh = realloc(*array, want * item_bytes);
	if (!fresh)
		return -ENOMEM;
	*array = fresh;
	*cap = want;
	return 0;
}

int tok_buf_room(struct tok_buf *buf, size_t more)
{
	void *data = buf->data;
	int err;

	if (more > TEXT_MAX || buf->bytes + more > TEXT_MAX)
		return -E2BIG;
	err = tok_array_room(&data, &buf->cap, buf->bytes + more, 1);
	buf->data = data;
	return err;
}

int tok_buf_add(struct tok_buf *buf, const void *data, size_t bytes)
{
	int err = tok_buf_room(buf, bytes);

	if (err || !bytes)
		return err;
	memcpy(buf->data + buf->bytes, data, bytes);
	buf->bytes += bytes;
	return 0;
}

int tok_pieces_add(struct tok_pieces *pieces, uint32_t off, uint32_t bytes)
{
	void *v = pieces->v;
	int err = tok_array_room(&v, &pieces->cap, pieces->count + 1, sizeof(*pieces->v));

	pieces->v = v;
	if (err)
		return err;
	pieces->v[pieces->count++] = (struct tok_piece){off, bytes};
	return 0;
}

int tok_utf8_next(const uint8_t *text, size_t bytes, uint32_t *code)
{
	uint8_t lead = text[0], low = 0x80, high = 0xbf;
	int need;

	if (lead < 0x80) {
		*code = lead;
		return 1;
	}
	if (lead < 0xc2 || lead > 0xf4)
		return -1;
	need = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
	*code = lead & (0x3f >> need);
	/* Overlong forms, surrogates and what is past U+10FFFF show in the second byte. */
	if (lead == 0xe0)
		low = 0xa0;
	else if (lead == 0xed)
		high = 0x9f;
	else if (lead == 0xf0)
		low = 0x90;
	else if (lead == 0xf4)
		high = 0x8f;
	for (int i = 1; i <= need; i++) {
		if ((size_t)i >= bytes)
			return 0;
		if (text[i] < low || text[i] > high)
			return -i;
		*code = *code << 6 | (text[i] & 0x3f);
		low = 0x80;
		high = 0xbf;
	}
	return need + 1;
}

uint32_t tok_utf8_put(uint32_t code, uint8_t *out)
{
	uint32_t bytes = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};

	for (uint32_t i = bytes - 1; i > 0; i--) {
		out[i] = (uint8_t)(0x80 | (code & 0x3f));
		code >>= 6;
	}
	out[0] = (uint8_t)(lead[bytes] | code);
	return bytes;
}

static size_t well_formed_prefix(const uint8_t *text, size_t bytes)
{
	uint32_t code;
	size_t i = 0;

	while (i < bytes) {
		int step = text[i] < 0x80 ? 1 : tok_utf8_next(text + i, bytes - i, &code);

		if (step <= 0)
			break;
		i += (size_t)step;
	}
	return i;
}

bool tok_is_text(const uint8_t *text, size_t bytes)
{
	return well_formed_prefix(text, bytes) == bytes;
}

int tok_utf8_repair(struct tok_buf *buf, const uint8_t **text, size_t *bytes)
{
	const uint8_t *at = *text, *end = at + *bytes;
	int err = 0, step;
	uint32_t code;

	if (well_formed_prefix(at, *bytes) == *bytes)
		return 0;
	buf->bytes = 0;
	while (at < end && !err) {
		size_t good = well_formed_prefix(at, (size_t)(end - at));

		err = tok_buf_add(buf, at, good);
		at += good;
		if (err || at == end)
			break;
		step = tok_utf8_next(at, (size_t)(end - at), &code);
		err = tok_buf_add(buf, "\xef\xbf\xbd", 3);
		at += step ? -step : end - at;
	}
	*text = buf->data;
	*bytes = buf->bytes;
	return err;
}

bool tok_is_space(uint32_t code)
{
	return (code >= 9 && code <= 13) || code == 0x20 || code == 0x85 || code == 0xa0 ||
	       code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
	       code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

size_t tok_space_prefix(const uint8_t *text, size_t bytes)
{
	uint32_t code;
	size_t i = 0;

	while (i < bytes) {
		int step = tok_utf8_next(text + i, bytes - i, &code);

		if (step <= 0 || !tok_is_space(code))
			break;
		i += (size_t)step;
	}
	return i;
}

size_t tok_space_suffix(const uint8_t *text, size_t bytes)
{
	size_t end = bytes;
	uint32_t code;

	while (end) {
		size_t at = end - 1;

		while (at && (text[at] & 0xc0) == 0x80)
			at--;
		if (tok_utf8_next(text + at, end - at, &code) <= 0 || !tok_is_space(code))
			break;
		end = at;
	}
	return bytes - end;
}
