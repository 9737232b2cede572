/* SPDX-License-Identifier: MIT */
/*
 * eng_tok_regex.c: the patterns of the steps, by PCRE2. Compiled to machine code where the process
 * may have executable memory; interpreted where it may not, with the same results.
 */
#include <errno.h>
#include <stdlib.h>

#include "eng_tok_priv.h"
#include "eng_tok_unicode.h"

#define JIT_STACK_BYTES		(1u << 20)
#define MATCH_STEPS_MIN		1000000u
#define MATCH_STEPS_PER_BYTE	64u
#define MATCH_HEAP_KIB		(256u << 10)
#define WORD_PATTERN \
	"[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}" TOK_NEW_WORD "]"

pcre2_code *tok_pattern_compile(const char *pattern, size_t bytes, int *code, size_t *at)
{
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	pcre2_code *compiled;

	*at = 0;
	*code = PCRE2_ERROR_NOMEMORY;
	if (!context)
		return NULL;
	pcre2_set_newline(context, PCRE2_NEWLINE_LF);
	pcre2_set_bsr(context, PCRE2_BSR_UNICODE);
	pcre2_set_max_pattern_length(context, TOK_PATTERN_BYTES_MAX);
	compiled = pcre2_compile((PCRE2_SPTR)pattern, bytes,
				 PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NO_AUTO_CAPTURE |
				 PCRE2_NEVER_BACKSLASH_C, code, at, context);
	pcre2_compile_context_free(context);
	return compiled;
}

static int compile_one(const char *pattern, size_t bytes, pcre2_code **compiled)
{
	size_t at;
	int code;

	*compiled = tok_pattern_compile(pattern, bytes, &code, &at);
	if (!*compiled)
		return code == PCRE2_ERROR_NOMEMORY ? -ENOMEM : -EINVAL;
	/* A refusal (no executable memory) leaves the pattern to the interpreter. */
	(void)pcre2_jit_compile(*compiled, PCRE2_JIT_COMPLETE);
	return 0;
}

static bool wants_words(const struct eng_tok *tok)
{
	uint32_t count = tok->head->added_raw + tok->head->added_normal;

	for (uint32_t i = 0; i < count; i++)
		if (tok->added[i].flags & ENG_TOKEN_SINGLE_WORD)
			return true;
	return false;
}

int tok_regex_open(struct eng_tok *tok)
{
	uint32_t count = tok->head->normal_count + tok->head->step_count;
	int err;

	for (uint32_t i = 0; i < count; i++) {
		if (tok->steps[i].op != ENG_OP_SPLIT && tok->steps[i].op != ENG_OP_REPLACE)
			continue;
		err = compile_one(tok->strings + tok->steps[i].pattern_off,
				  tok->steps[i].pattern_bytes, &tok->code[i]);
		if (err)
			return err;
	}
	if (wants_words(tok)) {
		err = compile_one(WORD_PATTERN, sizeof(WORD_PATTERN) - 1, &tok->word);
		if (err)
			return err;
	}
	tok->match_data = pcre2_match_data_create(1, NULL);
	tok->match_context = pcre2_match_context_create(NULL);
	if (!tok->match_data || !tok->match_context)
		return -ENOMEM;
	pcre2_set_heap_limit(tok->match_context, MATCH_HEAP_KIB);
	/* Without a stack of its own the compiled code has 32 KiB of ours, which is no error. */
	tok->jit_stack = pcre2_jit_stack_create(1u << 15, JIT_STACK_BYTES, NULL);
	if (tok->jit_stack)
		pcre2_jit_stack_assign(tok->match_context, NULL, tok->jit_stack);
	return 0;
}

void tok_regex_close(struct eng_tok *tok)
{
	for (uint32_t i = 0; i < TOK_STEPS_MAX; i++)
		pcre2_code_free(tok->code[i]);
	pcre2_code_free(tok->word);
	pcre2_match_data_free(tok->match_data);
	pcre2_match_context_free(tok->match_context);
	if (tok->jit_stack)
		pcre2_jit_stack_free(tok->jit_stack);
}

int tok_regex_match(struct eng_tok *tok, const pcre2_code *code, const uint8_t *text, size_t bytes,
		    size_t start, size_t *from, size_t *to)
{
	uint64_t limit = MATCH_STEPS_MIN + (uint64_t)MATCH_STEPS_PER_BYTE * (bytes - start);
	const size_t *ends;
	int found;

	pcre2_set_match_limit(tok->match_context,
			      limit > UINT32_MAX ? UINT32_MAX : (uint32_t)limit);
	found = pcre2_match(code, text, bytes, start, PCRE2_NO_UTF_CHECK, tok->match_data,
			    tok->match_context);
	if (found == PCRE2_ERROR_JIT_STACKLIMIT)
		found = pcre2_match(code, text, bytes, start, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
				    tok->match_data, tok->match_context);
	if (found == PCRE2_ERROR_NOMATCH)
		return 0;
	if (found < 0)
		return found == PCRE2_ERROR_NOMEMORY ? -ENOMEM : -EINVAL;
	ends = pcre2_get_ovector_pointer(tok->match_data);
	/* \K or a look-behind may not make a match begin before the search did. */
	if (ends[0] < start || ends[1] < ends[0])
		return -EINVAL;
	*from = ends[0];
	*to = ends[1];
	return 1;
}
