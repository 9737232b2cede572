/* SPDX-License-Identifier: MIT */
/* gra_schema_type.c: keywords, and the types that they imply. */
#include <errno.h>
#include <string.h>

#include "gra_schema_priv.h"

static const struct {
	const char *name;
	uint32_t types;			/* that it says something of; 0: remarks; TYPE_ALL: any */
} keywords[] = {
	{ "$ref", TYPE_ALL }, { "allOf", TYPE_ALL }, { "anyOf", TYPE_ALL }, { "oneOf", TYPE_ALL },
	{ "const", TYPE_ALL }, { "enum", TYPE_ALL }, { "type", TYPE_ALL },
	{ "properties", TYPE_OBJECT }, { "required", TYPE_OBJECT }, { "additionalProperties", TYPE_OBJECT },
	{ "minProperties", TYPE_OBJECT }, { "maxProperties", TYPE_OBJECT },
	{ "items", TYPE_ARRAY }, { "prefixItems", TYPE_ARRAY }, { "minItems", TYPE_ARRAY },
	{ "maxItems", TYPE_ARRAY }, { "uniqueItems", TYPE_ARRAY },
	{ "minLength", TYPE_STRING }, { "maxLength", TYPE_STRING }, { "pattern", TYPE_STRING },
	{ "format", TYPE_STRING },
	{ "minimum", TYPE_NUMBER | TYPE_INTEGER }, { "maximum", TYPE_NUMBER | TYPE_INTEGER },
	{ "exclusiveMinimum", TYPE_NUMBER | TYPE_INTEGER },
	{ "exclusiveMaximum", TYPE_NUMBER | TYPE_INTEGER }, { "multipleOf", TYPE_NUMBER | TYPE_INTEGER },
	{ "$schema", 0 }, { "$id", 0 }, { "$defs", 0 }, { "definitions", 0 }, { "$comment", 0 },
	{ "$anchor", 0 }, { "title", 0 }, { "description", 0 }, { "default", 0 }, { "examples", 0 },
	{ "example", 0 }, { "deprecated", 0 }, { "readOnly", 0 }, { "writeOnly", 0 },
	{ "contentMediaType", 0 }, { "contentEncoding", 0 }, { "discriminator", 0 },
};

static const struct {
	const char *name;
	uint32_t type;
} types[] = {
	{ "object", TYPE_OBJECT }, { "array", TYPE_ARRAY }, { "string", TYPE_STRING },
	{ "number", TYPE_NUMBER | TYPE_INTEGER }, { "integer", TYPE_INTEGER }, { "boolean", TYPE_BOOLEAN },
	{ "null", TYPE_NULL },
};

static int keyword_find(const char *name)
{
	for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
		if (!strcmp(keywords[i].name, name))
			return (int)i;
	return -1;
}

bool schema_asserts(const char *keyword)
{
	int at = keyword_find(keyword);

	return at >= 0 && keywords[at].types;
}

int schema_keywords(struct schema *s, json_t *node)
{
	const char *key;
	json_t *value;

	json_object_foreach(node, key, value)
		if (keyword_find(key) < 0 && strncmp(key, "x-", 2))
			return schema_fail(s, -EINVAL, "\"%.40s\" is not supported: leave it out, or check it afterwards",
					   key);
	return 0;
}

uint32_t schema_type_of(json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return TYPE_OBJECT;
	case JSON_ARRAY:
		return TYPE_ARRAY;
	case JSON_STRING:
		return TYPE_STRING;
	case JSON_INTEGER:
		return TYPE_INTEGER;
	case JSON_REAL:
		return TYPE_NUMBER;
	case JSON_NULL:
		return TYPE_NULL;
	default:
		return TYPE_BOOLEAN;
	}
}

static uint32_t type_named(struct schema *s, json_t *name)
{
	for (size_t i = 0; json_is_string(name) && i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(types[i].name, json_string_value(name)))
			return types[i].type;
	schema_fail(s, -EINVAL, "\"type\" must be object, array, string, number, integer, boolean, null, or a list of them");
	return 0;
}

static uint32_t types_given(struct schema *s, json_t *type)
{
	uint32_t all = 0;

	if (!json_is_array(type))
		return type_named(s, type);
	for (size_t i = 0; i < json_array_size(type); i++) {
		uint32_t one = type_named(s, json_array_get(type, i));

		if (!one)
			return 0;
		all |= one;
	}
	if (!all)
		schema_fail(s, -EINVAL, "\"type\" is an empty list");
	return all;
}

static uint32_t types_of_values(json_t *node)
{
	json_t *list = json_object_get(node, "enum"), *one = json_object_get(node, "const");
	uint32_t all = one ? schema_type_of(one) : 0;

	for (size_t i = 0; i < json_array_size(list); i++)
		all |= schema_type_of(json_array_get(list, i));
	return all;
}

uint32_t schema_types(struct schema *s, json_t *node)
{
	json_t *type = json_object_get(node, "type");
	uint32_t implied = types_of_values(node);
	const char *key;
	json_t *value;

	if (type) {
		uint32_t given = types_given(s, type);

		return implied && given ? given & implied : given;
	}
	if (implied)
		return implied;
	json_object_foreach(node, key, value) {
		int at = keyword_find(key);

		if (at >= 0 && keywords[at].types != TYPE_ALL)
			implied |= keywords[at].types;
	}
	return implied ? implied : TYPE_ALL;
}

int schema_count(struct schema *s, json_t *node, const char *key, uint32_t *value)
{
	json_t *count = json_object_get(node, key);
	double n = json_number_value(count);

	if (!count)
		return 0;
	if (!json_is_number(count) || n < 0 || n > GRA_REPEAT_MAX || n != (double)(uint32_t)n)
		return schema_fail(s, -EINVAL, "\"%s\" must be a whole number, 0 to %u", key, GRA_REPEAT_MAX);
	*value = (uint32_t)n;
	return 0;
}
