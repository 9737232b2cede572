/* SPDX-License-Identifier: MIT */
/* gra_schema_merge.c: references, two schemas that must hold at once, and two that cannot. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gra_schema_priv.h"

static json_t *own(struct schema *s, json_t *node)
{
	if (!node || json_array_append_new(s->owned, node)) {
		schema_fail(s, -ENOMEM, "out of memory");
		return NULL;
	}
	return node;
}

/* One step of a pointer: ~1 is /, ~0 is ~. */
static json_t *step(json_t *at, const char *name, size_t bytes)
{
	char key[256];
	size_t n = 0;

	for (size_t i = 0; i < bytes && n + 1 < sizeof(key); i++) {
		key[n++] = name[i];
		if (name[i] == '~' && i + 1 < bytes && (name[i + 1] == '0' || name[i + 1] == '1'))
			key[n - 1] = name[++i] == '1' ? '/' : '~';
	}
	key[n] = 0;
	if (json_is_array(at))
		return json_array_get(at, strtoul(key, NULL, 10));
	return json_object_get(at, key);
}

json_t *schema_resolve(struct schema *s, const char *ref)
{
	json_t *at = s->document;
	const char *p = ref;

	if (*p != '#' || (p[1] && p[1] != '/')) {
		schema_fail(s, -EINVAL, "\"$ref\" %.60s: only #/... in this document is followed", ref);
		return NULL;
	}
	for (p++; at && *p == '/';) {
		size_t bytes = strcspn(p + 1, "/");

		at = step(at, p + 1, bytes);
		p += 1 + bytes;
	}
	if (!at)
		schema_fail(s, -EINVAL, "\"$ref\" %.60s leads nowhere", ref);
	return at;
}

static json_t *both_lists(json_t *a, json_t *b, bool all)
{
	json_t *list = all ? json_deep_copy(a) : json_array();

	for (size_t i = 0; i < json_array_size(b); i++) {
		json_t *value = json_array_get(b, i);
		bool in_a = false;

		for (size_t k = 0; k < json_array_size(a); k++)
			in_a |= json_equal(json_array_get(a, k), value);
		if (in_a != all)
			json_array_append(list, value);
	}
	return list;
}

static json_t *both_properties(struct schema *s, json_t *a, json_t *b)
{
	json_t *all = json_copy(a), *value;
	const char *key;

	json_object_foreach(b, key, value) {
		json_t *other = json_object_get(a, key), *one = other ? schema_merge(s, other, value) : value;

		if (!one) {
			json_decref(all);
			return NULL;
		}
		json_object_set(all, key, one);
	}
	return all;
}

static json_t *larger(json_t *a, json_t *b, bool largest)
{
	bool a_is = json_number_value(a) > json_number_value(b);

	return json_incref(a_is == largest ? a : b);
}

/* Both have @key. A new reference, or NULL with an error. */
static json_t *both(struct schema *s, const char *key, json_t *a, json_t *b)
{
	if (json_equal(a, b) || !schema_asserts(key))
		return json_incref(a);
	if (!strcmp(key, "properties"))
		return both_properties(s, a, b);
	if (!strcmp(key, "required"))
		return both_lists(a, b, true);
	if (!strcmp(key, "enum") && json_is_array(a) && json_is_array(b))
		return both_lists(a, b, false);
	if (json_is_number(a) && json_is_number(b)) {
		if (!strncmp(key, "min", 3) || !strcmp(key, "exclusiveMinimum"))
			return larger(a, b, true);
		if (!strncmp(key, "max", 3) || !strcmp(key, "exclusiveMaximum"))
			return larger(a, b, false);
	}
	schema_fail(s, -EINVAL, "two schemas that hold at once both say \"%.40s\": write them as one", key);
	return NULL;
}

/* A schema that speaks of other properties judges those that only the other one names. */
static bool closed_to(json_t *a, json_t *b)
{
	json_t *more = json_object_get(a, "additionalProperties"), *value;
	const char *key;

	if (!more || json_is_true(more))
		return false;
	json_object_foreach(json_object_get(b, "properties"), key, value)
		if (!json_object_get(json_object_get(a, "properties"), key))
			return true;
	return false;
}

json_t *schema_merge(struct schema *s, json_t *a, json_t *b)
{
	json_t *all, *value;
	const char *key;

	if (json_is_true(a) || json_is_true(b))
		return json_is_true(a) ? b : a;
	if (!json_is_object(a) || !json_is_object(b)) {
		schema_fail(s, -EINVAL, "a schema must be an object");
		return NULL;
	}
	if (closed_to(a, b) || closed_to(b, a)) {
		schema_fail(s, -EINVAL, "\"additionalProperties\" of one schema forbids properties of another that holds at once");
		return NULL;
	}
	all = own(s, json_copy(a));
	json_object_foreach(b, key, value) {
		json_t *mine = all ? json_object_get(a, key) : NULL;
		json_t *one = mine ? both(s, key, mine, value) : json_incref(value);

		if (!all || !one || json_object_set_new(all, key, one))
			return NULL;
	}
	return all;
}

/* ---- apart --------------------------------------------------------------------------------------- */

/* What @node is behind its references; not itself judged. */
static json_t *behind(struct schema *s, json_t *node)
{
	struct gra_error *error = s->error, quiet;

	s->error = &quiet;
	for (uint32_t i = 0; i < 16 && json_is_string(json_object_get(node, "$ref")); i++)
		node = schema_resolve(s, json_string_value(json_object_get(node, "$ref")));
	s->error = error;
	return node;
}

static bool has_value(json_t *node, json_t *value)
{
	json_t *list = json_object_get(node, "enum"), *one = json_object_get(node, "const");

	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_equal(json_array_get(list, i), value))
			return true;
	return one && json_equal(one, value);
}

static bool has_values(json_t *node)
{
	return json_object_get(node, "enum") || json_object_get(node, "const");
}

static bool values_apart(json_t *a, json_t *b)
{
	json_t *list = json_object_get(a, "enum");

	for (size_t i = 0; i < json_array_size(list); i++)
		if (has_value(b, json_array_get(list, i)))
			return false;
	return !json_object_get(a, "const") || !has_value(b, json_object_get(a, "const"));
}

/* Both need a property whose values cannot be the same. */
static bool told_apart(struct schema *s, json_t *a, json_t *b)
{
	json_t *needed = json_object_get(a, "required"), *also = json_object_get(b, "required");

	for (size_t i = 0; i < json_array_size(needed); i++) {
		json_t *name = json_array_get(needed, i), *mine, *theirs;
		bool both_need = false;

		for (size_t k = 0; k < json_array_size(also); k++)
			both_need |= json_equal(name, json_array_get(also, k));
		if (!both_need || !json_is_string(name))
			continue;
		mine = json_object_get(json_object_get(a, "properties"), json_string_value(name));
		theirs = json_object_get(json_object_get(b, "properties"), json_string_value(name));
		if (mine && theirs && schema_apart(s, mine, theirs))
			return true;
	}
	return false;
}

bool schema_apart(struct schema *s, json_t *a, json_t *b)
{
	struct gra_error *error = s->error, quiet;
	uint32_t x, y;
	bool apart;

	a = behind(s, a);
	b = behind(s, b);
	if (!json_is_object(a) || !json_is_object(b) || s->depth > SCHEMA_DEPTH_MAX)
		return false;
	s->error = &quiet;
	s->depth++;
	x = schema_types(s, a);
	y = schema_types(s, b);
	if ((x | y) & TYPE_NUMBER && x & (TYPE_NUMBER | TYPE_INTEGER) && y & (TYPE_NUMBER | TYPE_INTEGER))
		apart = false;
	else
		apart = x && y && !(x & y);
	if (!apart && has_values(a) && has_values(b))
		apart = values_apart(a, b);
	if (!apart && x == TYPE_OBJECT && y == TYPE_OBJECT)
		apart = told_apart(s, a, b);
	s->depth--;
	s->error = error;
	return apart;
}
