/* SPDX-License-Identifier: MIT */
/*
 * gra_schema.h: JSON Schema (2020-12 and its forerunners) as grammar text. What the grammar allows is
 * valid under the schema; it may be narrower: properties come in the schema's order, others only where
 * additionalProperties is given, numbers have at most 15 digits, white space is one space or one line
 * break with its indent. What a grammar cannot promise is refused by name: not, if, patternProperties,
 * uniqueItems, oneOf whose cases may overlap, references to other documents, and so on. README.md lists
 * all of it.
 */
#ifndef GRA_SCHEMA_H
#define GRA_SCHEMA_H

#include "gra_text.h"

#define GRA_SCHEMA_BYTES_MAX	(256u << 10)

/*
 * Append a whole grammar with its root to @t. 0; -EINVAL with @error: where in the schema, what, and
 * what to do; -E2BIG with @error; -ENOMEM.
 */
int gra_schema(struct gra_text *t, const char *schema, size_t bytes, struct gra_error *error);
/* Any JSON object. */
int gra_schema_any_object(struct gra_text *t, struct gra_error *error);

#endif
