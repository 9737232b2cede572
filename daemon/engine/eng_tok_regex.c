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
/*
 * Limits of steps hold for each place where a match may begin. All of them together have a time, which is
 * looked at after each window of such places: as many as take some milliseconds.
 */
#define WINDOW_BYTES_MAX	1024u
#define WINDOW_NS		5000000u
/*
 * Compiled code counts no steps while it gives back characters of simple repeats (a+[a-c]*x), however many.
 * So it sees so much of the text behind a window and no more; what would look further is left to the
 * interpreter, which counts all.
 */
#define AHEAD_BYTES		512u
#define FAR_STEPS		64u
#define WORK_NS			500000000u
#define WORK_NS_PER_BYTE	1000u
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
	(void)pcre2_jit_compile(*compiled, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
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

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void tok_regex_start(struct eng_tok *tok, size_t bytes)
{
	tok->window_bytes = 1;
	tok->looked_ns = clock_ns(CLOCK_MONOTONIC);
	tok->work_end_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) + WORK_NS + (uint64_t)WORK_NS_PER_BYTE * bytes;
}

/*
 * A window is over. The clock of this thread's work is a system call, so the other one says when it is due.
 * False: the time is up.
 */
static bool in_time(struct eng_tok *tok)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	if (now - tok->looked_ns < WINDOW_NS) {
		if (tok->window_bytes < WINDOW_BYTES_MAX)
			tok->window_bytes *= 2;
		return true;
	}
	tok->looked_ns = now;
	tok->window_bytes = 1;
	return clock_ns(CLOCK_THREAD_CPUTIME_ID) <= tok->work_end_ns;
}

static size_t char_end(const uint8_t *text, size_t bytes, size_t at)
{
	while (at < bytes && (text[at] & 0xc0) == 0x80)
		at++;
	return at < bytes ? at : bytes;
}

static int match_within(struct eng_tok *tok, const pcre2_code *code, const uint8_t *text, size_t bytes,
			size_t start, uint64_t limit, uint32_t options)
{
	pcre2_set_match_limit(tok->match_context, (uint32_t)limit);
	return pcre2_match(code, text, bytes, start, PCRE2_NO_UTF_CHECK | options, tok->match_data,
			   tok->match_context);
}

/*
 * The interpreter counts each step back, but one such step may read all the text forward. So it begins with
 * few of them and gets four times as many while there is time for that.
 */
static int match_far(struct eng_tok *tok, const pcre2_code *code, const uint8_t *text, size_t bytes, size_t start)
{
	uint64_t most = MATCH_STEPS_MIN + (uint64_t)MATCH_STEPS_PER_BYTE * (bytes - start);
	uint64_t before, now = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	int found = PCRE2_ERROR_MATCHLIMIT;

	for (uint64_t limit = FAR_STEPS; limit < 4 * most && found == PCRE2_ERROR_MATCHLIMIT; limit *= 4) {
		before = now;
		found = match_within(tok, code, text, bytes, start, limit < UINT32_MAX ? limit : UINT32_MAX,
				     PCRE2_NO_JIT);
		now = clock_ns(CLOCK_THREAD_CPUTIME_ID);
		if (now + 6 * (now - before) > tok->work_end_ns)
			break;
	}
	return found;
}

/* A match that begins before @stop, which is the text's end where the pattern has no windows. */
static int match_window(struct eng_tok *tok, const pcre2_code *code, const uint8_t *text,
			size_t bytes, size_t start, size_t stop)
{
	size_t end = char_end(text, bytes, stop + AHEAD_BYTES);
	int found = PCRE2_ERROR_PARTIAL;

	pcre2_set_offset_limit(tok->match_context, stop < bytes ? stop - 1 : PCRE2_UNSET);
	if (end - start <= WINDOW_BYTES_MAX + AHEAD_BYTES + 4)
		found = match_within(tok, code, text, end, start, MATCH_STEPS_MIN,
				     end < bytes ? PCRE2_PARTIAL_HARD : 0);
	if (found == PCRE2_ERROR_PARTIAL || found == PCRE2_ERROR_JIT_STACKLIMIT)
		found = match_far(tok, code, text, bytes, start);
	if (found == PCRE2_ERROR_NOMATCH)
		return 0;
	return found > 0 ? 1 : found == PCRE2_ERROR_NOMEMORY ? -ENOMEM : -EINVAL;
}

/* In windows, with a look at the clock after each. */
static int match_windows(struct eng_tok *tok, const pcre2_code *code, const uint8_t *text,
			 size_t bytes, size_t start)
{
	uint32_t options = 0;
	int found = 0;

	(void)pcre2_pattern_info(code, PCRE2_INFO_ARGOPTIONS, &options);
	while (!found) {
		size_t stop = options & PCRE2_USE_OFFSET_LIMIT ?
			      char_end(text, bytes, start + tok->window_bytes) : bytes;

		found = match_window(tok, code, text, bytes, start, stop);
		if (!in_time(tok))
			return -EINVAL;
		if (stop >= bytes)
			break;
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
