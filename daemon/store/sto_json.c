/* SPDX-License-Identifier: MIT */
/* sto_json.c: typed access to JSON from outside. */
#include "sto_json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

int sto_json_parse(const char *shown, const char *text, size_t bytes, json_t **root,
		   struct sto_error *error)
{
	json_error_t where;

	*root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &where);
	if (!*root) {
		sto_fail(error,
			 "%s: JSON: line %d, column %d: %s; the file is damaged, fetch it again",
			 shown, where.line, where.column, where.text);
		return -EINVAL;
	}
	if (json_is_object(*root))
		return 0;
	sto_fail(error,
		 "%s: JSON: is not an object, limit {...}; the file is damaged, fetch it again",
		 shown);
	json_decref(*root);
	*root = NULL;
	return -EINVAL;
}

int sto_json_load(const struct sto_file *file, uint64_t limit_bytes, json_t **root,
		  struct sto_error *error)
{
	char *text;
	int err = sto_file_load(file, limit_bytes, &text, error);

	if (err)
		return err;
	err = sto_json_parse(file->path, text, file->bytes, root, error);
	free(text);
	return err;
}

json_t *sto_json_get(const struct sto_json *json, const char *key)
{
	json_t *value = json_object_get(json->object, key);

	return json_is_null(value) ? NULL : value;
}

static int wrong(const struct sto_json *json, const char *key, const char *limit)
{
	sto_fail(json->error, "%s: %s%s: has the wrong type or range, limit %s; correct the file",
		 json->shown, json->prefix, key, limit);
	return -EINVAL;
}

int sto_json_u32(const struct sto_json *json, const char *key, uint32_t *value)
{
	const json_t *field = sto_json_get(json, key);

	if (!field)
		return -ENOENT;
	if (!json_is_integer(field) || json_integer_value(field) < 0 ||
	    json_integer_value(field) > UINT32_MAX)
		return wrong(json, key, "a whole number 0..4294967295");
	*value = (uint32_t)json_integer_value(field);
	return 0;
}

int sto_json_f32(const struct sto_json *json, const char *key, float *value)
{
	const json_t *field = sto_json_get(json, key);
	double wide;

	if (!field)
		return -ENOENT;
	wide = json_number_value(field);
	if (!json_is_number(field) || !(fabs(wide) <= 3e38))
		return wrong(json, key, "a number within 32-bit floats");
	*value = (float)wide;
	return 0;
}

int sto_json_bool(const struct sto_json *json, const char *key, bool *value)
{
	const json_t *field = sto_json_get(json, key);

	if (!field)
		return -ENOENT;
	if (!json_is_boolean(field))
		return wrong(json, key, "true or false");
	*value = json_is_true(field);
	return 0;
}

int sto_json_text(const struct sto_json *json, const char *key, const char **value)
{
	const json_t *field = sto_json_get(json, key);

	if (!field)
		return -ENOENT;
	if (!json_is_string(field))
		return wrong(json, key, "text");
	*value = json_string_value(field);
	return 0;
}

int sto_json_need(const struct sto_json *json, const char *key, int err)
{
	if (err != -ENOENT)
		return err;
	sto_fail(json->error, "%s: %s%s: is absent, limit a value; correct the file", json->shown,
		 json->prefix, key);
	return -EINVAL;
}
