/* SPDX-License-Identifier: MIT */
/*
 * tpl.h: chat templates. An interpreter of the part of Jinja that they use, with the results of
 * jinja2's immutable sandbox as transformers sets it up: text and JSON in, text out. No files, no
 * clock but the one that is given, no way out of the values. What it cannot do it refuses by name.
 */
#ifndef TPL_H
#define TPL_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct tpl;	/* a compiled template; read-only, for any number of threads */

enum tpl_fault {
	TPL_SYNTAX = 1,		/* not a template */
	TPL_UNSUPPORTED,	/* a construct that is not implemented; the text names it */
	TPL_RAISED,		/* the template's own raise_exception */
	TPL_FAILED,		/* an operation on the wrong values */
	TPL_LIMIT,		/* steps, depth, output or memory */
	TPL_REQUEST,		/* the request is not one for chat */
	TPL_MEMORY,
};

struct tpl_error {
	enum tpl_fault fault;
	uint32_t line;		/* of the template; 0: none */
	char text[400];		/* one line, for people; names the line too */
};

struct tpl_limits {
	uint64_t steps;		/* an operation costs one, and more for each 32 bytes it looks at */
	size_t output_bytes;
	size_t memory_bytes;	/* of all values of one rendering */
};

/* Some tenths of a second at most, whatever template and request. */
#define TPL_LIMITS_INIT	{ 4u << 20, 8u << 20, 128u << 20 }

/* @text: UTF-8, not kept. 0, -EINVAL with *@error, or -ENOMEM with *@error. */
int tpl_compile(struct tpl **out, const char *text, size_t bytes, struct tpl_error *error);
void tpl_free(struct tpl **tpl);
/* The first filter or test that rendering may come upon and would refuse; NULL: none. */
const char *tpl_unsupported(const struct tpl *tpl);

/* Special tokens, which are variables of a template. */
enum tpl_word { TPL_BOS, TPL_EOS, TPL_UNK, TPL_SEP, TPL_PAD, TPL_CLS, TPL_MASK, TPL_WORD_COUNT };

/* What the caller knows, for what a request leaves out. */
struct tpl_host {
	const char *words[TPL_WORD_COUNT];	/* tokens as text; NULL: none */
	time_t now;		/* what strftime_now shows, in local time */
};

/*
 * Render as transformers' apply_chat_template does. @request is an object: messages (a list of
 * objects), tools, documents, add_generation_prompt, continue_final_message, bos_token, eos_token
 * and other special tokens, now (an ISO 8601 time, instead of the host's), and any other variable of the template.
 * *@text: malloc'd, NUL-terminated. 0 or -EINVAL or -ENOMEM with *@error.
 */
int tpl_chat(const struct tpl *tpl, const json_t *request, const struct tpl_host *host,
	     const struct tpl_limits *limits, char **text, size_t *bytes, struct tpl_error *error);

#endif
