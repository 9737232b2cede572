/* SPDX-License-Identifier: MIT */
/*
 * eng_tok_regex.c: the patterns of the steps, by PCRE2. Compiled to machine code where the process
 * may have executable memory; interpreted where it may not, with the same results.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "eng_tok_priv.h"
#include "eng_tok_unicode.h"

#define JIT_STACK_BYTES		(1u << 20)
#define MATCH_STEPS_MIN		1000000u
#define MATCH_STEPS_PER_BYTE	64u
#define MATCH_HEAP_KIB		(256u << 10)
/* Limits of steps hold for each place where a match may begin. All of them together have a time. */
#define WINDOW_BYTES		4096u
#define MATCHES_PER_LOOK	256u
#define WORK_NS			1000000000u
#define WORK_NS_PER_BYTE	2000u
#define WORD_PATTERN \
	"[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}" TOK_NEW_WORD "]"

pcre2_code *tok_pattern_compile(const char *pattern, size_t bytes, int *code, size_t *at)
{
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	/* \G would see where a window begins. */
	uint32_t windows = memmem(pattern, bytes, "\\G", 2) ? 0 : PCRE2_USE_OFFSET_LIMIT;
	pcre2_code *compiled;

	*at = 0;
	*code = PCRE2_ERROR_NOMEMORY;
	if (!context)
		return NULL;
	pcre2_set_newline(context, PCRE2_NEWLINE_LF);
	pcre2_set_bsr(context, PCRE2_BSR_UNICODE);
	pcre2_set_max_pattern_length(context, TOK_PATTERN_BYTES_MAX);
	compiled = pcre2_compile((PCRE2_SPTR)pattern, bytes,
				 windows | PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NO_AUTO_CAPTURE |
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

/*
 * "[set]+$": a run that does not reach the end of its line would be tried from each of its
 * characters. A match can begin only where the run does, which is said here.
 */
static int compile_step(const struct eng_tok *tok, const struct tok_step *step, pcre2_code **code)
{
	const char *pattern = tok->strings + step->pattern_off;
	uint32_t bytes = step->pattern_bytes, set = bytes > 2 ? bytes - 2 : 0;
	char made[2 * 512 + 8];

	if (!set || set > 512 || pattern[0] != '[' || memcmp(pattern + set - 1, "]+$", 3) ||
	    memchr(pattern, ']', set) != pattern + set - 1)
		return compile_one(pattern, bytes, code);
	return compile_one(made,
			   (size_t)snprintf(made, sizeof(made), "(?<!%.*s)%.*s", (int)set, pattern,
					    (int)bytes, pattern),
			   code);
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
		err = compile_step(tok, &tok->steps[i], &tok->code[i]);
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

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void tok_regex_start(struct eng_tok *tok, size_t bytes)
{
	tok->matches = 0;
	tok->work_end_ns = cpu_ns() + WORK_NS + (uint64_t)WORK_NS_PER_BYTE * bytes;
}

/* A match that begins before @stop, if it has a limit. */
static int match_window(struct eng_tok *tok, const pcre2_code *code, const uint8_t *text,
			size_t bytes, size_t start, size_t stop)
{
	uint64_t limit = MATCH_STEPS_MIN + (uint64_t)MATCH_STEPS_PER_BYTE * (bytes - start);
	int found;

	pcre2_set_match_limit(tok->match_context,
			      limit > UINT32_MAX ? UINT32_MAX : (uint32_t)limit);
	pcre2_set_offset_limit(tok->match_context, stop < bytes ? stop - 1 : PCRE2_UNSET);
	found = pcre2_match(code, text, bytes, start, PCRE2_NO_UTF_CHECK, tok->match_data,
			    tok->match_context);
	if (found == PCRE2_ERROR_JIT_STACKLIMIT)
		found = pcre2_match(code, text, bytes, start, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
				    tok->match_data, tok->match_context);
	if (found == PCRE2_ERROR_NOMATCH)
		return 0;
	return found > 0 ? 1 : found == PCRE2_ERROR_NOMEMORY ? -ENOMEM : -EINVAL;
}

/* In windows, with a look at the clock between them. */
static int match_windows(struct eng_tok *tok, const pcre2_code *code, const uint8_t *text,
			 size_t bytes, size_t start)
{
	uint32_t options = 0;
	int found = 0;

	(void)pcre2_pattern_info(code, PCRE2_INFO_ARGOPTIONS, &options);
	while (!found) {
		size_t stop = options & PCRE2_USE_OFFSET_LIMIT ? start + WINDOW_BYTES : bytes;

		while (stop < bytes && (text[stop] & 0xc0) == 0x80)
			stop++;
		found = match_window(tok, code, text, bytes, start, stop);
		if (stop >= bytes)
			break;
		if ((!found || tok->matches++ % MATCHES_PER_LOOK == 0) &&
		    cpu_ns() > tok->work_end_ns)
			return -EINVAL;
		start = stop;
	}
	return found;
}

int tok_regex_match(struct eng_tok *tok, const pcre2_code *code, const uint8_t *text, size_t bytes,
		    size_t start, size_t *from, size_t *to)
{
	const size_t *ends;
	int found = match_windows(tok, code, text, bytes, start);

	if (found <= 0)
		return found;
	ends = pcre2_get_ovector_pointer(tok->match_data);
	/* \K or a look-behind may not make a match begin before the search did. */
	if (ends[0] < start || ends[1] < ends[0])
		return -EINVAL;
	*from = ends[0];
	*to = ends[1];
	return 1;
}
