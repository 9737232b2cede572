/* SPDX-License-Identifier: MIT */
/*
 * sto_json.h: JSON from outside, with types and ranges checked as fields are read. A field that is
 * null counts as absent. Repeated keys are refused by the parser.
 */
#ifndef STO_JSON_H
#define STO_JSON_H

#include <jansson.h>

#include "sto_file.h"

/* An object being read, and its name in messages. */
struct sto_json {
	const char *shown;	/* the file */
	const char *prefix;	/* "" or "rope_scaling." */
	const json_t *object;
	struct sto_error *error;
};

/* Parse a document that must be an object. *@root is released by json_decref. 0, -EINVAL, -ENOMEM.
 */
int sto_json_parse(const char *shown, const char *text, size_t bytes, json_t **root,
		   struct sto_error *error);
/* Load and parse an open file of at most @limit_bytes. */
int sto_json_load(const struct sto_file *file, uint64_t limit_bytes, json_t **root,
		  struct sto_error *error);

/* The field, or NULL when absent or null. */
json_t *sto_json_get(const struct sto_json *json, const char *key);

/*
 * Each returns 0; -ENOENT without @error when the field is absent (@value untouched); -EINVAL with
 * @error when it has another type or does not fit.
 */
int sto_json_u32(const struct sto_json *json, const char *key, uint32_t *value);
int sto_json_f32(const struct sto_json *json, const char *key, float *value);
int sto_json_bool(const struct sto_json *json, const char *key, bool *value);
int sto_json_text(const struct sto_json *json, const char *key, const char **value);

/* -ENOENT becomes an error with a message. */
int sto_json_need(const struct sto_json *json, const char *key, int err);

#endif
