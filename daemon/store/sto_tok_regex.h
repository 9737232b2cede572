/* SPDX-License-Identifier: MIT */
/*
 * sto_tok_regex.h: patterns of tokenizer.json (Oniguruma, Ruby syntax, Unicode) rewritten for PCRE2
 * so that both find the same matches: \s, \w, \h, \v, classes in classes, scripts and option groups
 * differ. What has no equal there (back references, conditions, extended mode) is refused by name.
 */
#ifndef STO_TOK_REGEX_H
#define STO_TOK_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "eng_tok_unicode.h"

/*
 * @literal: @pattern is a plain string to find. *@made is a string (caller frees it).
 * 0; -EINVAL with @error; -ENOMEM.
 */
int sto_tok_regex(const char *pattern, size_t bytes, bool literal, char **made, char *error,
		  size_t error_bytes);

/* Classes in PCRE2's language, for use between [ and ]. */
#define STO_TOK_SPACE \
	"\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}" \
	"\\x{205f}\\x{3000}"
#define STO_TOK_NOT_SPACE \
	"\\x{0}-\\x{8}\\x{e}-\\x{1f}!-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}" \
	"\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}" \
	"\\x{3001}-\\x{10ffff}"
#define STO_TOK_LETTERS "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}" TOK_NEW_WORD
/* Outside of classes, \w of Oniguruma has three superscripts and three fractions too. */
#define STO_TOK_WORD	STO_TOK_LETTERS "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"

#endif
