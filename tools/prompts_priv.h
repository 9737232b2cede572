/* SPDX-License-Identifier: MIT */
/* prompts_priv.h: the fields of one line, between prompts.c and prompts_golden.c. */
#ifndef PROMPTS_PRIV_H
#define PROMPTS_PRIV_H

#include <jansson.h>

#include "prompts.h"

/* Where in which file, and where the one line about it goes. */
struct prompts_place {
	const char *shown;
	uint32_t line;
	char *error;
};

/* "FILE: line N: ..."; -EINVAL. */
int prompts_refuse(const struct prompts_place *at, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
int prompts_out_of_memory(char *error);	/* -ENOMEM */
int prompts_take_ids(const struct prompts_place *at, const char *key, const json_t *list, uint32_t **ids,
		     uint32_t *count);
/* @text_key or @ids_key, never both; @found: there was one. */
int prompts_take_part(const struct prompts_place *at, const json_t *object, const char *text_key,
		      const char *ids_key, struct prompt_part *part, bool *found);
/* "expect", "logprobs", "tolerance", "continuation", "min_logprob", each where it is there. */
int prompts_take_checks(const struct prompts_place *at, const json_t *object, struct prompt *p);

#endif
