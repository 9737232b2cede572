/* SPDX-License-Identifier: MIT */
/*
 * gra_regex.h: regular expressions as grammar text: the part of ECMA-262 (as JSON Schema's "pattern"
 * has it) and PCRE that is regular: literals, classes with ranges and \d \w \s and their opposites,
 * . | ( ) (?: ) (?<name> ), * + ? {n} {n,} {n,m} also lazy, escapes, ^ at the beginning and $ at the
 * end of an alternative. What looks around or back (\b, (?=, \1, ...) and \p are refused by name.
 */
#ifndef GRA_REGEX_H
#define GRA_REGEX_H

#include "gra_text.h"

/*
 * Append an expression (in brackets) to @t that matches what @pattern matches. @search: it may match
 * anywhere, with anything before and behind, unless ^ and $ say no; else it is the whole. @json: it is
 * matched by the value of a JSON string, whose inside is written. 0; -EINVAL with @error; -ENOMEM.
 */
int gra_regex(struct gra_text *t, const char *pattern, size_t bytes, bool search, bool json,
	      struct gra_error *error);

#endif
