/* SPDX-License-Identifier: MIT */
/*
 * sto_tok_json.h: tokenizer.json (Hugging Face tokenizers, version 1.0) to a compiled table. BPE,
 * over bytes or characters. Any component whose effect is not reproduced exactly is refused by its
 * name.
 */
#ifndef STO_TOK_JSON_H
#define STO_TOK_JSON_H

#include <stddef.h>
#include <stdint.h>

/*
 * @rows: ids that the model has (vocab_size); 0: not known, ids then have a general limit.
 * @what: name of the file for messages. *@blob by malloc, for eng_tok_open().
 * 0; -ENOMEM; -EINVAL with one line in @error.
 */
int sto_tok_json_compile(const char *json, size_t bytes, uint32_t rows, const char *what,
			 void **blob, size_t *blob_bytes, char *error, size_t error_bytes);

#endif
