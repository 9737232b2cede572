/* SPDX-License-Identifier: MIT */
/*
 * fuzz_tok_blob.c: the input is a compiled table, as an image might hold it. What opens must be
 * usable without a bad access.
 */
#include <stdlib.h>
#include <string.h>

#include "eng_tok.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(struct eng_tok *tok)
{
	static const char text[] = "The cat's 12 hats\n\n <s> \xe4\xb8\xad\xcc\x81 \xff end";
	struct eng_tok_stream stream;
	char out[ENG_TOK_TEXT_MAX];
	uint32_t ids[256], bytes;

	(void)eng_tok_encode(tok, text, sizeof(text) - 1, ENG_ENCODE_AFFIXES, ids, 256);
	eng_tok_stream_init(&stream, false);
	for (uint32_t id = 0; id < eng_tok_count(tok) && id < 512; id++) {
		const char *raw = eng_tok_bytes(tok, id, &bytes);

		if (!raw || bytes > ENG_TOK_TOKEN_BYTES_MAX)
			abort();
		if (eng_tok_stream_push(tok, &stream, id, out, sizeof(out)) < 0)
			abort();
	}
	(void)eng_tok_stream_finish(&stream, out, sizeof(out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Tables begin at 8-byte boundaries. */
	void *blob = aligned_alloc(8, (size + 8) & ~(size_t)7);
	struct eng_tok *tok;

	if (!blob)
		return 0;
	if (size)
		memcpy(blob, data, size);
	if (!eng_tok_open(blob, size, &tok)) {
		use(tok);
		eng_tok_close(&tok);
	}
	free(blob);
	return 0;
}
