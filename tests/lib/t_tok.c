/* SPDX-License-Identifier: MIT */
#include "t_tok.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t.h"

uint32_t t_tok_add(struct t_tok *m, const char *text, uint32_t flags)
{
	m->tokens[m->src.token_count] = (struct eng_tok_string){text, (uint32_t)strlen(text)};
	m->flags[m->src.token_count] = flags;
	return m->src.token_count++;
}

void t_tok_merge(struct t_tok *m, uint32_t left, uint32_t right, uint32_t result)
{
	m->merges[m->src.merge_count][0] = left;
	m->merges[m->src.merge_count][1] = right;
	m->results[m->src.merge_count++] = result;
}

struct t_tok *t_tok_new(uint32_t kind)
{
	struct t_tok *m = calloc(1, sizeof(*m));

	m->src = (struct eng_tok_source){
		.kind = kind, .tokens = m->tokens, .token_flags = m->flags,
		.merges = (const uint32_t (*)[2])m->merges, .merge_result = m->results,
		.steps = m->steps, .unk_id = ENG_TOK_NONE};
	return m;
}

struct t_tok *t_tok_bytes(void)
{
	struct t_tok *m = t_tok_new(ENG_TOK_BYTE_BPE);

	for (int i = 0; i < 256; i++) {
		m->bytes[i] = (char)i;
		m->tokens[i] = (struct eng_tok_string){&m->bytes[i], 1};
	}
	m->src.token_count = 256;
	return m;
}

void t_tok_split(struct t_tok *m, const char *pattern)
{
	m->steps[m->src.step_count++] = (struct eng_tok_step){
		.op = ENG_OP_SPLIT, .split = ENG_SPLIT_ISOLATED,
		.pattern = {pattern, (uint32_t)strlen(pattern)}};
}

bool t_tok_open(struct t_tok *m)
{
	char message[256] = "";

	if (!t_eq(eng_tok_compile(&m->src, &m->blob, &m->blob_bytes, message, sizeof(message)),
		  0)) {
		fprintf(stderr, "  %s\n", message);
		return false;
	}
	return t_eq(eng_tok_open(m->blob, m->blob_bytes, &m->tok), 0);
}

void t_tok_free(struct t_tok *m)
{
	eng_tok_close(&m->tok);
	free(m->blob);
	free(m);
}
