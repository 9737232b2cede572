/* SPDX-License-Identifier: MIT */
/* sto_tok_regex_priv.h: a pattern while it is being rewritten. Errors stick; parsing then ends. */
#ifndef STO_TOK_REGEX_PRIV_H
#define STO_TOK_REGEX_PRIV_H

#include "eng_tok_unicode.h"
#include "sto_tok_regex.h"

#define RX_DEPTH_MAX	50

struct text {
	char *data;
	size_t bytes, cap;
};

struct regex {
	const char *at, *start, *end;
	struct text out;
	int depth;
	int err;
	char *error;
	size_t error_bytes;
};

void rx_fail(struct regex *r, const char *what);
void rx_add(struct regex *r, struct text *to, const char *data, size_t bytes);
void rx_add_str(struct regex *r, struct text *to, const char *string);
/* A character that stands for itself, inside or outside of a class. */
void rx_add_literal(struct regex *r, struct text *to, const char *character, size_t bytes);
bool rx_more(const struct regex *r);
bool rx_next_is(const struct regex *r, const char *string);
bool rx_take(struct regex *r, const char *string);
size_t rx_character_bytes(const struct regex *r);

/* Behind a backslash: a single character. False when it is none of those. */
bool rx_character_escape(struct regex *r, struct text *to);
/*
 * Behind a backslash: a set of characters, as it is written inside of a class; or added to
 * @complex, which is alternatives outside of a class. False when it is none of those.
 */
bool rx_set_escape(struct regex *r, struct text *to, struct text *complex);
/* Behind [. */
void rx_class(struct regex *r, struct text *to);

#endif
