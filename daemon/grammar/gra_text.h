/* SPDX-License-Identifier: MIT */
/* gra_text.h: grammar text that grows; writers of schemas and expressions use it. Private memory of one caller. */
#ifndef GRA_TEXT_H
#define GRA_TEXT_H

#include "gra_priv.h"

/* Zero to begin with. Once @failed (no memory, or over GRA_TEXT_BYTES_MAX) it stays so and takes nothing. */
struct gra_text {
	char *data;			/* terminated; NULL: empty. The caller frees it */
	size_t bytes, cap;
	bool failed;
};

void gra_text_put(struct gra_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* @bytes as a literal with its quotes. */
void gra_text_literal(struct gra_text *t, const void *bytes, size_t count);

/* A set of code points; 0x110000 of them at most, so no sum overflows. */
struct gra_class {
	struct gra_range *ranges;	/* the caller frees it */
	uint32_t count, cap;
	bool failed;
};
void gra_class_add(struct gra_class *c, uint32_t first, uint32_t last);
/* Ascending, apart, and of @not all others. */
void gra_class_order(struct gra_class *c, bool not);
bool gra_class_has(const struct gra_class *c, uint32_t code);
/* An ordered class. @json: of the characters inside a JSON string, with what must be escaped there. */
void gra_text_class(struct gra_text *t, const struct gra_class *c, bool json);

#endif
