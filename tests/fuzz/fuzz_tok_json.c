/* SPDX-License-Identifier: MIT */
/*
 * fuzz_tok_json.c: the input is a tokenizer.json. What is accepted must open, encode and decode
 * without a bad access; what is refused must say why on one line.
 */
#include <stdlib.h>
#include <string.h>

#include "sto_tok_json.h"
#include "eng_tok.h"

#define ROWS	4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(struct eng_tok *tok)
{
	static const char text[] = "The cat's 12 hats\n\n <s> \xe4\xb8\xad\xcc\x81 \xff end";
	struct eng_tok_stream stream;
	char out[ENG_TOK_TEXT_MAX];
	uint32_t ids[256];
	int64_t count;

	count = eng_tok_encode(tok, text, sizeof(text) - 1, ENG_ENCODE_AFFIXES, ids, 256);
	eng_tok_stream_init(&stream, false);
	for (int64_t i = 0; i < count && i < 256; i++)
		if (eng_tok_stream_push(tok, &stream, ids[i], out, sizeof(out)) < 0)
			abort();
	if (eng_tok_stream_finish(&stream, out, sizeof(out)) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[256] = "";
	struct eng_tok *tok;
	size_t bytes;
	void *blob;

	if (sto_tok_json_compile((const char *)data, size, ROWS, "tokenizer.json", &blob, &bytes,
				 error, sizeof(error))) {
		if (blob || !*error || strchr(error, '\n'))
			abort();
		return 0;
	}
	if (eng_tok_open(blob, bytes, &tok) || eng_tok_count(tok) > ROWS)
		abort();
	use(tok);
	eng_tok_close(&tok);
	free(blob);
	return 0;
}
