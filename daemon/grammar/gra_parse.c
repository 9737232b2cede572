/* SPDX-License-Identifier: MIT */
/*
 * gra_parse.c: GBNF text to trees.
 *
 *	rule        NAME ::= choice                      names: letters, digits, - and _
 *	choice      sequence | sequence ...              a line may end behind |, and inside brackets
 *	sequence    item item ...
 *	item        "text" [class] [^class] . NAME ( choice ), then * + ? {n} {n,} {n,m}
 *	escapes     \n \r \t \\ \" \[ \] \xNN \uNNNN \UNNNNNNNN
 *	comment     # to the end of the line
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gra_text.h"

struct parse {
	struct gra *g;
	const char *at, *end;
	uint32_t line, depth;
};

static struct gra_tree *choice(struct parse *p, bool nested);

static void *wrong(struct parse *p, const char *what)
{
	gra_fail(p->g, -EINVAL, "line %u: %s", p->line, what);
	return NULL;
}

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '_';
}

static bool see(const struct parse *p, char c)
{
	return p->at < p->end && *p->at == c;
}

static bool take(struct parse *p, char c)
{
	if (!see(p, c))
		return false;
	p->at++;
	return true;
}

static void skip(struct parse *p, bool lines)
{
	for (; p->at < p->end; p->at++) {
		if (*p->at == '#')
			while (p->at + 1 < p->end && p->at[1] != '\n')
				p->at++;
		else if (*p->at == '\n' && lines)
			p->line++;
		else if (*p->at != ' ' && *p->at != '\t' && *p->at != '\r')
			return;
	}
}

static bool hex(struct parse *p, uint32_t digits, uint32_t *code)
{
	*code = 0;
	for (uint32_t i = 0; i < digits; i++, p->at++) {
		char c = p->at < p->end ? *p->at : 0;

		if (c >= '0' && c <= '9')
			*code = *code << 4 | (uint32_t)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			*code = *code << 4 | (uint32_t)((c | 32) - 'a' + 10);
		else
			return false;
	}
	return *code <= GRA_CODE_MAX;
}

/* Behind a backslash. *@raw: a byte, not a code point. */
static bool escape(struct parse *p, uint32_t *code, bool *raw)
{
	static const char from[] = "nrt\\\"[]-^", to[] = "\n\r\t\\\"[]-^";
	const char *known;
	char c = p->at < p->end ? *p->at++ : 0;

	*raw = c == 'x';
	if (c == 'x')
		return hex(p, 2, code);
	if (c == 'u' || c == 'U')
		return hex(p, c == 'u' ? 4 : 8, code);
	known = c ? strchr(from, c) : NULL;
	*code = known ? (uint32_t)(uint8_t)to[known - from] : 0;
	return known != NULL;
}

static bool character(struct parse *p, uint32_t *code, bool *raw)
{
	uint32_t bytes;

	*raw = false;
	if (p->at == p->end || *p->at == '\n')
		return false;
	if (take(p, '\\'))
		return escape(p, code, raw);
	bytes = gra_utf8_get(p->at, p->end, code);
	p->at += bytes;
	return bytes;
}

static struct gra_tree *literal(struct parse *p)
{
	struct gra_tree *tree = gra_tree_new(p->g, GRA_LITERAL);
	const char *close = p->at;
	uint32_t code;
	bool raw;

	while (close < p->end && *close != '"' && *close != '\n')
		close += *close == '\\' && close + 1 < p->end ? 2 : 1;
	if (!tree)
		return NULL;
	tree->bytes = gra_alloc(p->g, (size_t)(close - p->at) + GRA_UTF8_BYTES);
	while (tree->bytes && !take(p, '"')) {
		if (!character(p, &code, &raw))
			return wrong(p, "a literal does not end, or has a wrong escape or no UTF-8");
		if (raw)
			tree->bytes[tree->count++] = (uint8_t)code;
		else
			tree->count += gra_utf8_put(code, tree->bytes + tree->count);
	}
	return tree->bytes ? tree : NULL;
}

static bool class_ranges(struct parse *p, struct gra_class *c)
{
	uint32_t first, last;
	bool raw;

	while (!take(p, ']')) {
		if (!character(p, &first, &raw))
			return wrong(p, "a class does not end, or has a wrong escape or no UTF-8");
		last = first;
		if (see(p, '-') && p->at + 1 < p->end && p->at[1] != ']') {
			p->at++;
			if (!character(p, &last, &raw) || last < first)
				return wrong(p, "a range in a class must rise");
		}
		gra_class_add(c, first, last);
	}
	return true;
}

static struct gra_tree *class_tree(struct parse *p, const struct gra_class *c)
{
	struct gra_tree *tree = gra_tree_new(p->g, GRA_CLASS);

	if (!c->count && !c->failed)
		return wrong(p, "an empty class matches nothing");
	if (!tree || c->failed)
		return NULL;
	tree->count = c->count;
	tree->ranges = gra_alloc(p->g, c->count * sizeof(*c->ranges));
	if (!tree->ranges)
		return NULL;
	memcpy(tree->ranges, c->ranges, c->count * sizeof(*c->ranges));
	return tree;
}

static struct gra_tree *class(struct parse *p)
{
	struct gra_class c = { 0 };
	bool not = take(p, '^');
	struct gra_tree *tree = NULL;

	if (class_ranges(p, &c)) {
		gra_class_order(&c, not);
		tree = class_tree(p, &c);
	}
	free(c.ranges);
	return tree;
}

static struct gra_tree *any(struct parse *p)
{
	struct gra_tree *tree = gra_tree_new(p->g, GRA_CLASS);

	if (!tree)
		return NULL;
	tree->ranges = gra_alloc(p->g, sizeof(*tree->ranges));
	if (!tree->ranges)
		return NULL;
	tree->ranges[0] = (struct gra_range){ 0, GRA_CODE_MAX };
	tree->count = 1;
	return tree;
}

static struct gra_tree *reference(struct parse *p)
{
	struct gra_tree *tree = gra_tree_new(p->g, GRA_RULE);
	const char *name = p->at;

	while (p->at < p->end && is_name(*p->at))
		p->at++;
	if (!tree)
		return NULL;
	tree->rule = gra_rule_get(p->g, name, (size_t)(p->at - name));
	return tree->rule == GRA_NONE ? NULL : tree;
}

static struct gra_tree *group(struct parse *p)
{
	struct gra_tree *tree;

	if (++p->depth > GRA_DEPTH_MAX)
		return wrong(p, "brackets are nested too deeply");
	tree = choice(p, true);
	p->depth--;
	if (tree && !take(p, ')'))
		return wrong(p, "a bracket is not closed");
	return tree;
}

static struct gra_tree *atom(struct parse *p)
{
	if (take(p, '"'))
		return literal(p);
	if (take(p, '['))
		return class(p);
	if (take(p, '('))
		return group(p);
	if (take(p, '.'))
		return any(p);
	return reference(p);
}

static bool number(struct parse *p, uint32_t *value)
{
	const char *begin = p->at;

	for (*value = 0; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++)
		*value = *value > GRA_REPEAT_MAX ? *value : 10 * *value + (uint32_t)(*p->at - '0');
	return p->at > begin;
}

/* Behind a brace: n} n,} n,m} */
static bool bounds(struct parse *p, struct gra_tree *tree)
{
	skip(p, false);
	if (!number(p, &tree->min))
		return false;
	tree->max = tree->min;
	skip(p, false);
	if (take(p, ',')) {
		skip(p, false);
		if (!number(p, &tree->max))
			tree->max = GRA_NONE;
		skip(p, false);
	}
	if (!take(p, '}') || tree->max < tree->min || tree->min > GRA_REPEAT_MAX)
		return false;
	return tree->max == GRA_NONE || tree->max <= GRA_REPEAT_MAX;
}

static struct gra_tree *repeat(struct parse *p, struct gra_tree *what, uint32_t min, uint32_t max)
{
	struct gra_tree *tree = gra_tree_new(p->g, GRA_REPEAT);

	if (!tree)
		return NULL;
	tree->min = min;
	tree->max = max;
	gra_tree_add(tree, what);
	return tree;
}

static struct gra_tree *item(struct parse *p, bool nested)
{
	struct gra_tree *tree = atom(p);

	while (tree) {
		skip(p, nested);
		if (take(p, '*')) {
			tree = repeat(p, tree, 0, GRA_NONE);
		} else if (take(p, '+')) {
			tree = repeat(p, tree, 1, GRA_NONE);
		} else if (take(p, '?')) {
			tree = repeat(p, tree, 0, 1);
		} else if (take(p, '{')) {
			tree = repeat(p, tree, 0, 0);
			if (tree && !bounds(p, tree))
				return wrong(p, "a repetition is {n}, {n,} or {n,m} with n <= m <= 100000");
		} else {
			break;
		}
	}
	return tree;
}

static bool begins_item(const struct parse *p)
{
	return p->at < p->end && (is_name(*p->at) || strchr("\"[(.", *p->at) != NULL) && *p->at;
}

static struct gra_tree *sequence(struct parse *p, bool nested)
{
	struct gra_tree *tree = gra_tree_new(p->g, GRA_SEQUENCE);

	skip(p, nested);
	while (tree && begins_item(p)) {
		struct gra_tree *next = item(p, nested);

		if (!next)
			return NULL;
		gra_tree_add(tree, next);
	}
	return tree;
}

static struct gra_tree *choice(struct parse *p, bool nested)
{
	struct gra_tree *tree = gra_tree_new(p->g, GRA_CHOICE);

	while (tree) {
		struct gra_tree *next = sequence(p, nested);

		if (!next)
			return NULL;
		gra_tree_add(tree, next);
		if (!take(p, '|'))
			break;
		skip(p, true);
	}
	return tree;
}

static int rule(struct parse *p)
{
	const char *name = p->at;
	uint32_t line = p->line, at;
	struct gra_tree *tree;
	struct gra_rule *r;
	size_t bytes;

	while (p->at < p->end && is_name(*p->at))
		p->at++;
	bytes = (size_t)(p->at - name);
	skip(p, false);
	if (!bytes || p->end - p->at < 3 || memcmp(p->at, "::=", 3))
		return gra_fail(p->g, -EINVAL, "line %u: a rule begins with NAME ::=", line);
	p->at += 3;
	at = gra_rule_get(p->g, name, bytes);
	if (at == GRA_NONE)
		return -ENOMEM;
	if (p->g->rules[at].line)
		return gra_fail(p->g, -EINVAL, "line %u: rule \"%.40s\" is in line %u already", line,
				p->g->rules[at].name, p->g->rules[at].line);
	p->g->rules[at].line = line;
	skip(p, true);
	tree = choice(p, false);	/* the table of rules may move */
	if (!tree)
		return -EINVAL;
	r = &p->g->rules[at];
	r->tree = tree;
	if (p->at < p->end && *p->at != '\n')
		return gra_fail(p->g, -EINVAL, "line %u: rule \"%.40s\" is followed by something else",
				p->line, r->name);
	return 0;
}

int gra_parse(struct gra *g, const char *text, size_t bytes)
{
	struct parse p = { .g = g, .at = text, .end = text + bytes, .line = 1 };
	int err = 0;

	for (skip(&p, true); !err && p.at < p.end; skip(&p, true))
		err = rule(&p);
	if (err)
		return err;
	g->root = gra_rule_get(g, "root", 4);
	if (g->root == GRA_NONE)
		return -ENOMEM;
	for (uint32_t i = 0; i < g->rule_count; i++)
		if (!g->rules[i].line)
			return gra_fail(g, -EINVAL, "rule \"%.40s\" is not defined", g->rules[i].name);
	return 0;
}
