/* SPDX-License-Identifier: MIT */
/*
 * prompts.h: files of prompts, read whole and checked before anyone is asked.
 *
 * JSON lines: each line one object with "prompt" (text) or "tokens" (ids); "name" and "max_tokens"
 * where wanted; in golden files also what must come back: "expect" (ids of the greedy reply), with it
 * "logprobs" (of each of them) and "tolerance" where wanted, and "continuation" (text) or "continuation_tokens" (ids) with "min_logprob" (their least mean
 * log-probability). A line that does not begin with a brace is a prompt as it stands. Empty lines
 * do not count.
 */
#ifndef PROMPTS_H
#define PROMPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROMPTS_FILE_MAX	(64u << 20)	/* bytes */
#define PROMPTS_MAX		100000u		/* prompts in a file */
#define PROMPTS_TOKENS_MAX	(1u << 20)	/* ids in a list */
#define PROMPTS_TOLERANCE	0.01	/* of a log-probability, where a case does not say */
#define PROMPTS_ERROR_BYTES	400u

/* Text or ids. */
struct prompt_part {
	char *text;		/* UTF-8, NUL-terminated; NULL: ids */
	size_t text_bytes;
	uint32_t *ids;		/* NULL: text */
	uint32_t id_count;
};

struct prompt {
	uint32_t line;		/* in the file, from 1 */
	char *name;		/* NULL: none */
	struct prompt_part prompt;
	uint32_t max_tokens;	/* 0: not said */
	uint32_t *expect;	/* NULL: not asked for */
	uint32_t expect_count;
	float *logprobs;	/* [expect_count]; NULL: not asked for */
	double tolerance;	/* of each */
	struct prompt_part continuation;	/* both NULL: not asked for */
	double min_logprob;	/* with a continuation: <= 0 */
};

struct prompts {
	struct prompt *list;
	uint32_t count;
};

enum prompts_kind {
	PROMPTS_ANY,		/* JSON lines and plain lines; expectations are not needed */
	PROMPTS_GOLDEN,		/* JSON lines, each with something to check */
};

/*
 * The file as bytes, NUL-terminated; the caller frees *@data. 0, or negative errno with one line in
 * @error (PROMPTS_ERROR_BYTES) that names the file.
 */
int prompts_load(const char *path, char **data, size_t *bytes, char *error);
/*
 * Prompts out of bytes that prompts_load() gave; @shown names them in messages. 0, or -EINVAL or
 * -ENOMEM with one line in @error that names the line and the field. prompts_free() in every case.
 */
int prompts_parse(const char *shown, const char *data, size_t bytes, enum prompts_kind kind,
		  struct prompts *prompts, char *error);
/* Both in one. */
int prompts_read(const char *path, enum prompts_kind kind, struct prompts *prompts, char *error);
void prompts_free(struct prompts *prompts);

/* A name for people: the one given, else "line N"; @out of 80 bytes. */
const char *prompt_label(const struct prompt *prompt, char out[80]);

#endif
