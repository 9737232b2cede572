/* SPDX-License-Identifier: MIT */
/* sto_peft_priv.h: the patterns of a PEFT configuration (sto_peft_match.c). */
#ifndef STO_PEFT_PRIV_H
#define STO_PEFT_PRIV_H

#include "sto_peft.h"

/*
 * Compile @text between @before and @after, to match from the start of a name; @whole: to its end,
 * too. @value belongs to the pattern. Append it to @patterns, whose list has room. 0, -EINVAL with
 * @error (@field: where the pattern stands), -ENOMEM.
 */
int sto_peft_compile(struct sto_peft_patterns *patterns, const char *shown, const char *field,
		     const char *before, const char *text, const char *after, bool whole,
		     double value, struct sto_error *error);
int sto_peft_patterns_init(struct sto_peft_patterns *patterns, size_t count);
void sto_peft_patterns_fini(struct sto_peft_patterns *patterns);

#endif
