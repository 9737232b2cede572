/* SPDX-License-Identifier: MIT */
/*
 * gra_schema.c: each node of the schema becomes a rule r0, r1, ... The rule of a node is numbered before
 * it is written, so references may go in circles.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gra_schema_priv.h"

#define ANY_DEPTH	6u		/* of values that the schema says nothing of */

int schema_fail(struct schema *s, int err, const char *format, ...)
{
	char what[GRA_ERROR_BYTES - 80];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	snprintf(s->error->text, sizeof(s->error->text), "schema%s%.60s: %s", s->where[0] ? ", at " : "",
		 s->where, what);
	gra_error_tidy(s->error);
	return err;
}

/* ---- rules ------------------------------------------------------------------------------------------ */

static int rule_number(struct schema *s, uint32_t *rule)
{
	if (s->rule_count == SCHEMA_RULES_MAX)
		return schema_fail(s, -E2BIG, "more than %u rules: make it smaller", SCHEMA_RULES_MAX);
	*rule = s->rule_count++;
	return 0;
}

static void rule_write(struct schema *s, uint32_t rule, struct gra_text *body)
{
	gra_text_put(s->t, "r%u ::= %s\n", rule, body->data ? body->data : "\"\"");
	s->t->failed |= body->failed;
	free(body->data);
	*body = (struct gra_text){ 0 };
}

int schema_rule_add(struct schema *s, struct gra_text *body, uint32_t *rule)
{
	int err = rule_number(s, rule);

	rule_write(s, err ? 0 : *rule, body);
	return err;
}

static struct schema_known *known_slot(struct schema *s, json_t *node)
{
	size_t at = (size_t)((uintptr_t)node >> 4) * 0x9e3779b1u;

	for (;; at++) {
		struct schema_known *k = &s->known[at & (s->known_cap - 1)];

		if (!k->node || k->node == node)
			return k;
	}
}

static int known_grow(struct schema *s)
{
	struct schema_known *old = s->known;
	uint32_t cap = s->known_cap;

	if (2 * s->known_count < cap)
		return 0;
	s->known_cap = cap ? 2 * cap : 64;
	s->known = calloc(s->known_cap, sizeof(*s->known));
	if (!s->known) {
		s->known = old;
		s->known_cap = cap;
		return schema_fail(s, -ENOMEM, "out of memory");
	}
	for (uint32_t i = 0; i < cap; i++)
		if (old[i].node)
			*known_slot(s, old[i].node) = old[i];
	free(old);
	return 0;
}

/* ---- what is no single type ------------------------------------------------------------------------ */

static bool type_allows(uint32_t types, json_t *value)
{
	return types & schema_type_of(value) ||
	       (types & TYPE_INTEGER && json_is_real(value) &&
		json_real_value(value) == (double)(int64_t)json_real_value(value));
}

static int put_values(struct schema *s, json_t *node, uint32_t types, struct gra_text *to)
{
	json_t *one = json_object_get(node, "const"), *list = json_object_get(node, "enum");
	size_t count = one ? 1 : json_array_size(list), put = 0;

	if (!one && (!json_is_array(list) || !count))
		return schema_fail(s, -EINVAL, "\"enum\" must be a list of values");
	for (size_t i = 0; i < count; i++) {
		json_t *value = one ? one : json_array_get(list, i);
		char *text = type_allows(types, value) ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;

		if (!text)
			continue;
		gra_text_put(to, "%s", put++ ? " | " : "");
		gra_text_literal(to, text, strlen(text));
		free(text);
	}
	return put ? 0 : schema_fail(s, -EINVAL, "no value of \"%s\" has the type", one ? "const" : "enum");
}

static int put_type(struct schema *s, json_t *node, uint32_t type, struct gra_text *to)
{
	switch (type) {
	case TYPE_OBJECT:
		return schema_object(s, node, to);
	case TYPE_ARRAY:
		return schema_array(s, node, to);
	case TYPE_STRING:
		return schema_string(s, node, to);
	case TYPE_NUMBER:
	case TYPE_INTEGER:
		return schema_number(s, node, type == TYPE_INTEGER, to);
	case TYPE_BOOLEAN:
		gra_text_put(to, "\"true\" | \"false\"");
		return 0;
	default:
		gra_text_put(to, "\"null\"");
		return 0;
	}
}

static int put_types(struct schema *s, json_t *node, uint32_t types, struct gra_text *to)
{
	const char *or = "";
	int err = 0;

	if (types & TYPE_NUMBER)
		types &= ~(uint32_t)TYPE_INTEGER;
	for (uint32_t type = 1; !err && type <= TYPE_NULL; type <<= 1) {
		if (!(types & type))
			continue;
		gra_text_put(to, "%s(", or);
		err = put_type(s, node, type, to);
		gra_text_put(to, ")");
		or = " | ";
	}
	return err;
}

/* @node without @key. */
static json_t *without(struct schema *s, json_t *node, const char *key)
{
	json_t *rest = json_copy(node);

	if (!rest || json_object_del(rest, key) || json_array_append_new(s->owned, rest)) {
		schema_fail(s, -ENOMEM, "out of memory");
		return NULL;
	}
	return rest;
}

static bool says_more(json_t *node)
{
	const char *key;
	json_t *value;

	json_object_foreach(node, key, value)
		if (schema_asserts(key))
			return true;
	return false;
}

/* What holds beside @key is part of each case. */
static int put_cases(struct schema *s, json_t *node, const char *key, struct gra_text *to)
{
	json_t *cases = json_object_get(node, key), *rest = without(s, node, key);
	size_t count = json_array_size(cases);

	if (!count)
		return schema_fail(s, -EINVAL, "\"%s\" must be a list of schemas", key);
	for (size_t i = 0; rest && i < count; i++) {
		json_t *one = json_array_get(cases, i);
		uint32_t rule;
		int err;

		for (size_t k = 0; !strcmp(key, "oneOf") && k < i; k++)
			if (!schema_apart(s, json_array_get(cases, k), one))
				return schema_fail(s, -EINVAL, "\"oneOf\": cases %zu and %zu may both hold: use \"anyOf\"",
						   k + 1, i + 1);
		if (says_more(rest))
			one = schema_merge(s, one, rest);
		err = one ? schema_rule(s, one, &rule) : -EINVAL;
		if (err)
			return err;
		gra_text_put(to, "%sr%u", i ? " | " : "", rule);
	}
	return rest ? 0 : -ENOMEM;
}

/* All of "allOf" and what stands beside it, as one. */
static int put_all(struct schema *s, json_t *node, struct gra_text *to)
{
	json_t *list = json_object_get(node, "allOf"), *all = without(s, node, "allOf");
	uint32_t rule;
	int err;

	for (size_t i = 0; all && i < json_array_size(list); i++) {
		json_t *one = json_array_get(list, i);
		const char *ref = json_string_value(json_object_get(one, "$ref"));

		if (ref)
			one = schema_resolve(s, ref);
		all = one ? schema_merge(s, all, one) : NULL;
	}
	err = all ? schema_rule(s, all, &rule) : -EINVAL;
	if (!err)
		gra_text_put(to, "r%u", rule);
	return err;
}

static int put_reference(struct schema *s, json_t *node, struct gra_text *to)
{
	const char *ref = json_string_value(json_object_get(node, "$ref"));
	json_t *target, *rest;
	uint32_t rule;
	int err;

	if (!ref)
		return schema_fail(s, -EINVAL, "\"$ref\" must be text");
	target = schema_resolve(s, ref);
	rest = target ? without(s, node, "$ref") : NULL;
	if (rest && says_more(rest))
		target = schema_merge(s, target, rest);
	err = rest && target ? schema_rule(s, target, &rule) : -EINVAL;
	if (!err)
		gra_text_put(to, "r%u", rule);
	return err;
}

static int put_node(struct schema *s, json_t *node, struct gra_text *to)
{
	uint32_t types;

	if (!node || json_is_true(node)) {
		gra_text_put(to, "any0");
		return 0;
	}
	if (!json_is_object(node))
		return schema_fail(s, -EINVAL, "%s", json_is_false(node) ? "false allows no value" :
				   "a schema must be an object");
	if (schema_keywords(s, node))
		return -EINVAL;
	if (json_object_get(node, "$ref"))
		return put_reference(s, node, to);
	if (json_object_get(node, "allOf"))
		return put_all(s, node, to);
	if (json_object_get(node, "oneOf"))
		return put_cases(s, node, "oneOf", to);
	if (json_object_get(node, "anyOf"))
		return put_cases(s, node, "anyOf", to);
	types = schema_types(s, node);
	if (!types)
		return s->error->text[0] ? -EINVAL : schema_fail(s, -EINVAL, "no value has its type");
	if (json_object_get(node, "const") || json_object_get(node, "enum"))
		return put_values(s, node, types, to);
	if (types == TYPE_ALL && !says_more(node)) {
		gra_text_put(to, "any0");
		return 0;
	}
	return put_types(s, node, types, to);
}

int schema_rule(struct schema *s, json_t *node, uint32_t *rule)
{
	struct gra_text body = { 0 };
	int err = known_grow(s);

	if (!err && node && known_slot(s, node)->node) {
		*rule = known_slot(s, node)->rule;
		return 0;
	}
	if (!err)
		err = rule_number(s, rule);
	if (!err && ++s->depth > SCHEMA_DEPTH_MAX)
		err = schema_fail(s, -E2BIG, "nested more than %u deep", SCHEMA_DEPTH_MAX);
	if (err)
		return err;
	if (node) {
		*known_slot(s, node) = (struct schema_known){ node, *rule };
		s->known_count++;
	}
	err = put_node(s, node, &body);
	rule_write(s, *rule, &body);
	s->depth--;
	return err;
}

/* ---- the whole -------------------------------------------------------------------------------------- */

/* Values of any kind, nested as deep as a reader of JSON surely follows. */
static void put_any(struct gra_text *t)
{
	gra_text_put(t, "ws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n"
			"space ::= \" \"?\n"
			"plain ::= [^\\x00-\\x1f\\\"\\\\\\x7f]\n"
			"hex ::= [0-9a-fA-F]\n"
			"char ::= plain | \"\\\\\" ( [\\\"\\\\/bfnrt] | \"u\" ( [0-9A-CE-Fa-ce-f] hex{3} | "
			"[Dd] [0-7] hex{2} ) )\n"
			"string ::= \"\\\"\" char* \"\\\"\"\n"
			"number ::= \"-\"? ( \"0\" | [1-9] [0-9]{0,14} ) ( \".\" [0-9]{1,15} )? ( [eE] [-+]? [0-9]{1,2} )?\n"
			"scalar ::= string | number | \"true\" | \"false\" | \"null\"\n");
	for (uint32_t i = 0; i < ANY_DEPTH; i++)
		gra_text_put(t, "any%u ::= scalar | object%u | \"[\" ws ( any%u ( \",\" ws any%u )* )? ws \"]\"\n"
				"object%u ::= \"{\" ws ( pair%u ( \",\" ws pair%u )* )? ws \"}\"\n"
				"pair%u ::= string \":\" space any%u\n", i, i, i + 1, i + 1, i, i, i, i, i + 1);
	gra_text_put(t, "any%u ::= scalar\n", ANY_DEPTH);
}

static int failed_text(struct gra_text *t, struct gra_error *error)
{
	if (!t->failed)
		return 0;
	snprintf(error->text, sizeof(error->text), "schema: more than %u bytes as a grammar, or no memory",
		 GRA_TEXT_BYTES_MAX);
	return -E2BIG;
}

int gra_schema(struct gra_text *t, const char *text, size_t bytes, struct gra_error *error)
{
	struct schema s = { .t = t, .error = error };
	json_error_t wrong;
	uint32_t root;
	int err;

	error->text[0] = 0;
	if (bytes > GRA_SCHEMA_BYTES_MAX)
		return schema_fail(&s, -E2BIG, "%zu bytes, at most %u", bytes, GRA_SCHEMA_BYTES_MAX);
	s.document = json_loadb(text, bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &wrong);
	s.owned = json_array();
	if (!s.document)
		err = schema_fail(&s, -EINVAL, "line %d: %.100s", wrong.line, wrong.text);
	else
		err = s.owned ? schema_rule(&s, s.document, &root) : -ENOMEM;
	if (!err) {
		gra_text_put(t, "root ::= r%u\n", root);
		put_any(t);
		err = failed_text(t, error);
	}
	json_decref(s.document);
	json_decref(s.owned);
	free(s.known);
	return err;
}

int gra_schema_any_object(struct gra_text *t, struct gra_error *error)
{
	gra_text_put(t, "root ::= object0\n");
	put_any(t);
	return failed_text(t, error);
}
