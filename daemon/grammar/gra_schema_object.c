/* SPDX-License-Identifier: MIT */
/*
 * gra_schema_object.c: objects and arrays. Properties come in the schema's order. Two rules for each say
 * how an object goes on from there: one when nothing stands before it, one when a comma must come.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gra_schema_priv.h"

#define KEYS_MAX	2000u

struct property {
	const char *name;
	size_t bytes;
	json_t *node;			/* NULL: anything */
	bool required;
	uint32_t rule;			/* of its value */
};

struct object {
	struct property *list;
	uint32_t count;
	uint32_t more;			/* rule of other values; GRA_NONE: no others */
	uint32_t more_key;		/* rule of other names */
};

/* ---- names that are none of the schema's ------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	const struct property *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

/* Names behind the first @depth bytes that all of @list share: leave them at once, or go on. */
static void put_other_names(struct gra_text *to, struct property **list, uint32_t count, size_t depth)
{
	gra_text_put(to, "( [^\\x00-\\x1f\\\"\\\\\\x7f");
	for (uint32_t i = 0; i < count; i++) {
		uint8_t c = (uint8_t)list[i]->name[depth];

		if (c && (!i || c != (uint8_t)list[i - 1]->name[depth]))
			gra_text_put(to, "\\x%02X", c);
	}
	gra_text_put(to, "] plain*");
	for (uint32_t i = 0, end; i < count; i = end) {
		uint8_t c = (uint8_t)list[i]->name[depth];

		for (end = i + 1; end < count && (uint8_t)list[end]->name[depth] == c; end++)
			;
		if (!c)
			continue;
		gra_text_put(to, " | \"\\x%02X\" ", c);
		put_other_names(to, list + i, end - i, depth + 1);
	}
	if (depth && list[0]->name[depth])
		gra_text_put(to, " | \"\"");	/* a beginning of a name is none */
	gra_text_put(to, " )");
}

/* Only such names can be told apart byte by byte without escapes. */
static bool is_plain(const struct property *p)
{
	for (size_t i = 0; i < p->bytes; i++)
		if ((uint8_t)p->name[i] < 0x20 || (uint8_t)p->name[i] >= 0x7f || strchr("\"\\", p->name[i]))
			return false;
	return p->bytes > 0 && p->bytes < 64;
}

static int other_key(struct schema *s, struct object *o)
{
	struct property **sorted = malloc((o->count + 1) * sizeof(*sorted));
	struct gra_text key = { 0 };

	if (!sorted)
		return -ENOMEM;
	for (uint32_t i = 0; i < o->count; i++) {
		sorted[i] = &o->list[i];
		if (is_plain(&o->list[i]))
			continue;
		free(sorted);
		return schema_fail(s, -EINVAL, "\"additionalProperties\" beside a property whose name is not plain ASCII of up to 63 characters");
	}
	qsort(sorted, o->count, sizeof(*sorted), by_name);
	gra_text_put(&key, "\"\\\"\" ");
	if (o->count)
		put_other_names(&key, sorted, o->count, 0);
	else
		gra_text_put(&key, "plain+");
	gra_text_put(&key, " \"\\\"\"");
	free(sorted);
	return schema_rule_add(s, &key, &o->more_key);
}

/* ---- objects ------------------------------------------------------------------------------------ */

static bool is_required(json_t *required, const char *name)
{
	for (size_t i = 0; i < json_array_size(required); i++) {
		const char *one = json_string_value(json_array_get(required, i));

		if (one && !strcmp(one, name))
			return true;
	}
	return false;
}

static void property_add(struct object *o, const char *name, json_t *node, bool required)
{
	o->list[o->count++] = (struct property){ name, strlen(name), node, required, 0 };
}

/* Those that are required without a schema of their own. */
static int required_read(struct schema *s, json_t *node, struct object *o)
{
	json_t *properties = json_object_get(node, "properties"), *required = json_object_get(node, "required");

	for (size_t i = 0; i < json_array_size(required); i++) {
		const char *name = json_string_value(json_array_get(required, i));
		json_t *own = name ? json_object_get(properties, name) : NULL;
		json_t *value = own ? own : json_object_get(node, "additionalProperties");

		if (!name)
			return schema_fail(s, -EINVAL, "\"required\" must be a list of names");
		if (json_is_false(value))
			return schema_fail(s, -EINVAL, "property \"%.40s\" is required and may have no value", name);
		if (!own)
			property_add(o, name, value, true);
	}
	return 0;
}

static int properties_read(struct schema *s, json_t *node, struct object *o)
{
	json_t *properties = json_object_get(node, "properties"), *required = json_object_get(node, "required");
	size_t most = json_object_size(properties) + json_array_size(required);
	const char *key;
	json_t *value;

	if (most > KEYS_MAX)
		return schema_fail(s, -E2BIG, "an object has %zu properties, at most %u", most, KEYS_MAX);
	o->list = calloc(most + 1, sizeof(*o->list));
	if (!o->list)
		return -ENOMEM;
	json_object_foreach(properties, key, value)
		if (!json_is_false(value))
			property_add(o, key, value, is_required(required, key));
	return required_read(s, node, o);
}

static int properties_write(struct schema *s, struct object *o)
{
	char where[sizeof(s->where)];
	int err = 0;

	memcpy(where, s->where, sizeof(where));
	for (uint32_t i = 0; !err && i < o->count; i++) {
		snprintf(s->where, sizeof(s->where), "%.60s/%.40s", where, o->list[i].name);
		err = schema_rule(s, o->list[i].node, &o->list[i].rule);
	}
	memcpy(s->where, where, sizeof(where));
	return err;
}

/* Others are written where the schema speaks of them, or of no property at all. */
static int others_read(struct schema *s, json_t *node, struct object *o)
{
	json_t *more = json_object_get(node, "additionalProperties");
	int err;

	o->more = GRA_NONE;
	if (json_is_false(more) || (!more && o->count))
		return 0;
	err = schema_rule(s, json_is_true(more) ? NULL : more, &o->more);
	return err ? err : other_key(s, o);
}

static int counts_check(struct schema *s, json_t *node, const struct object *o)
{
	uint32_t min = 0, max = GRA_NONE, required = 0;
	int err = schema_count(s, node, "minProperties", &min);

	err = err ? err : schema_count(s, node, "maxProperties", &max);
	for (uint32_t i = 0; i < o->count; i++)
		required += o->list[i].required;
	if (!err && min > required)
		return schema_fail(s, -EINVAL, "\"minProperties\" is above the number of required properties: not supported");
	if (!err && (max < o->count || (max != GRA_NONE && o->more != GRA_NONE)))
		return schema_fail(s, -EINVAL, "\"maxProperties\" is not supported here: leave it out");
	return err;
}

static void put_pair(struct gra_text *to, const struct property *p)
{
	json_t *name = json_string(p->name);
	char *text = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;

	to->failed |= !text;
	if (text)
		gra_text_literal(to, text, strlen(text));
	gra_text_put(to, " \":\" space r%u", p->rule);
	free(text);
	json_decref(name);
}

/* From property @i on, with the rules @next for what follows; @first: nothing stands before it. */
static int pair_rule(struct schema *s, const struct property *p, bool first, const uint32_t next[2],
		     uint32_t *rule)
{
	struct gra_text body = { 0 };

	if (!first)
		gra_text_put(&body, "\",\" ws ");
	put_pair(&body, p);
	gra_text_put(&body, " r%u", next[false]);
	if (!p->required)
		gra_text_put(&body, " | r%u", next[first]);
	return schema_rule_add(s, &body, rule);
}

/* What follows the last property: @rules[first]. */
static int rest_rules(struct schema *s, const struct object *o, uint32_t rules[2])
{
	struct gra_text after = { 0 }, alone = { 0 };
	int err;

	if (o->more == GRA_NONE) {
		gra_text_put(&after, "\"\"");
		err = schema_rule_add(s, &after, &rules[false]);
		rules[true] = rules[false];
		return err;
	}
	gra_text_put(&after, "( \",\" ws r%u \":\" space r%u )*", o->more_key, o->more);
	err = schema_rule_add(s, &after, &rules[false]);
	if (err)
		return err;
	gra_text_put(&alone, "( r%u \":\" space r%u r%u )?", o->more_key, o->more, rules[false]);
	return schema_rule_add(s, &alone, &rules[true]);
}

static int object_put(struct schema *s, const struct object *o, struct gra_text *to)
{
	uint32_t next[2];
	int err = rest_rules(s, o, next);

	for (uint32_t i = o->count; !err && i > 0; i--) {
		uint32_t now[2];

		err = pair_rule(s, &o->list[i - 1], false, next, &now[false]);
		if (!err)
			err = pair_rule(s, &o->list[i - 1], true, next, &now[true]);
		memcpy(next, now, sizeof(next));
	}
	gra_text_put(to, "\"{\" ws r%u ws \"}\"", next[true]);
	return err;
}

int schema_object(struct schema *s, json_t *node, struct gra_text *to)
{
	struct object o = { 0 };
	int err = properties_read(s, node, &o);

	err = err ? err : properties_write(s, &o);
	err = err ? err : others_read(s, node, &o);
	err = err ? err : counts_check(s, node, &o);
	err = err ? err : object_put(s, &o, to);
	free(o.list);
	return err;
}

/* ---- arrays ------------------------------------------------------------------------------------- */

/* @min..@max times @rule, with commas; @first: nothing stands before it. */
static void put_items(struct gra_text *to, uint32_t rule, bool first, uint32_t min, uint32_t max)
{
	const char *open = "", *close = "";

	if (!max)
		return;
	if (first) {
		open = min ? "" : "( ";
		close = min ? "" : " )?";
		gra_text_put(to, " %sr%u", open, rule);
		min -= min > 0;
		max -= max != GRA_NONE;
	}
	if (max == GRA_NONE)
		gra_text_put(to, " ( \",\" ws r%u ){%u,}%s", rule, min, close);
	else
		gra_text_put(to, " ( \",\" ws r%u ){%u,%u}%s", rule, min, max, close);
}

/* The first items, each with its own schema: those past @min may be missing from the end on. */
static int put_prefix(struct schema *s, json_t *prefix, uint32_t min, uint32_t *written, struct gra_text *to)
{
	uint32_t optional = 0, count = (uint32_t)json_array_size(prefix);

	for (*written = 0; *written < count; ++*written) {
		uint32_t rule;
		int err = schema_rule(s, json_array_get(prefix, *written), &rule);

		if (err)
			return err;
		if (*written >= min) {
			gra_text_put(to, " (");
			optional++;
		}
		gra_text_put(to, "%s r%u", *written ? " \",\" ws" : "", rule);
	}
	while (optional--)
		gra_text_put(to, " )?");
	return 0;
}

int schema_array(struct schema *s, json_t *node, struct gra_text *to)
{
	json_t *prefix = json_object_get(node, "prefixItems"), *items = json_object_get(node, "items");
	uint32_t min = 0, max = GRA_NONE, rule, written = 0;
	int err = schema_count(s, node, "minItems", &min);

	err = err ? err : schema_count(s, node, "maxItems", &max);
	if (err)
		return err;
	if (json_is_array(items)) {
		prefix = items;
		items = NULL;
	}
	if (max < min || (json_is_true(json_object_get(node, "uniqueItems")) && max > 1) ||
	    json_array_size(prefix) > max || (prefix && min > json_array_size(prefix) && json_is_false(items)))
		return schema_fail(s, -EINVAL, max < min ? "\"maxItems\" is below \"minItems\"" :
				   "\"uniqueItems\", or counts that do not go with the first items, are not supported");
	gra_text_put(to, "\"[\" ws");
	err = prefix ? put_prefix(s, prefix, min, &written, to) : 0;
	/* more only behind all of the first ones, which is sure when they are all wanted */
	if (!err && !json_is_false(items) && (!written || (min >= written && items))) {
		err = schema_rule(s, items, &rule);
		if (!err)
			put_items(to, rule, !written, min > written ? min - written : 0,
				  max == GRA_NONE ? max : max - written);
	} else if (!err && min > written) {
		return schema_fail(s, -EINVAL, "\"minItems\" wants more items than have a schema");
	}
	gra_text_put(to, " ws \"]\"");
	return err;
}
