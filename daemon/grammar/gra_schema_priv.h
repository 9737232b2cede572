/* SPDX-License-Identifier: MIT */
/* gra_schema_priv.h: how the parts of a schema are written. */
#ifndef GRA_SCHEMA_PRIV_H
#define GRA_SCHEMA_PRIV_H

#include <jansson.h>

#include "gra_schema.h"

#define SCHEMA_DEPTH_MAX	64u
#define SCHEMA_RULES_MAX	20000u

enum schema_type {
	TYPE_OBJECT = 1, TYPE_ARRAY = 2, TYPE_STRING = 4, TYPE_NUMBER = 8, TYPE_INTEGER = 16,
	TYPE_BOOLEAN = 32, TYPE_NULL = 64, TYPE_ALL = 127,
};

/* A node that has a rule, or will have: a reference to it may come first. */
struct schema_known {
	json_t *node;
	uint32_t rule;
};

struct schema {
	struct gra_text *t;		/* finished rules */
	json_t *document;
	json_t *owned;			/* array: nodes made on the way */
	struct schema_known *known;	/* hash table, a power of two */
	uint32_t known_count, known_cap;
	uint32_t rule_count, depth;
	char where[128];		/* the property being written, for messages */
	struct gra_error *error;
};

int schema_fail(struct schema *s, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* gra_schema.c: the rule of @node, written if it is new */
int schema_rule(struct schema *s, json_t *node, uint32_t *rule);
/* A fresh rule with the expression @body, which is freed. */
int schema_rule_add(struct schema *s, struct gra_text *body, uint32_t *rule);

/* gra_schema_type.c */
/* The types that values of @node may have, by "type", its values or its keywords; 0 with an error. */
uint32_t schema_types(struct schema *s, json_t *node);
uint32_t schema_type_of(json_t *value);
/* Every keyword is known; 0 or -EINVAL. */
int schema_keywords(struct schema *s, json_t *node);
bool schema_asserts(const char *keyword);	/* it is no remark */

/* gra_schema_merge.c */
/* A node that both @a and @b hold for, owned by @s; NULL with an error. */
json_t *schema_merge(struct schema *s, json_t *a, json_t *b);
/* No value is valid under both. */
bool schema_apart(struct schema *s, json_t *a, json_t *b);
/* What a reference leads to; NULL with an error. */
json_t *schema_resolve(struct schema *s, const char *ref);

/* One type each: append the expression for @node to @to. 0 or an error. */
int schema_object(struct schema *s, json_t *node, struct gra_text *to);
int schema_array(struct schema *s, json_t *node, struct gra_text *to);
int schema_string(struct schema *s, json_t *node, struct gra_text *to);
int schema_number(struct schema *s, json_t *node, bool integer, struct gra_text *to);

/* A count such as "minItems". *@value is left when it is absent. 0 or -EINVAL. */
int schema_count(struct schema *s, json_t *node, const char *key, uint32_t *value);

#endif
