/* SPDX-License-Identifier: MIT */
/*
 * gra_schema_test.c: schemas: documents that must be allowed, and others that must not; what is refused by
 * name. tests/reference/check_schema.py has a validator judge random ones.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gra_schema.h"
#include "t.h"

static struct gra *g;
static struct gra_error error;

static int compile(const char *schema)
{
	struct gra_text t = { 0 };
	int err;

	gra_free(&g);
	err = gra_schema(&t, schema, strlen(schema), &error);
	if (!err)
		err = gra_compile(&g, t.data, t.bytes, &error);
	free(t.data);
	return err;
}

static bool takes(const char *document)
{
	struct gra_state *s;
	bool whole;

	if (gra_state_new(&s, g))
		return false;
	whole = gra_push(s, document, strlen(document)) == 0 && gra_may_end(s);
	gra_state_free(&s);
	return whole;
}

#define SCHEMA(json)	t_need(t_ok(compile(json) == 0) || (printf("# %s\n", error.text), false))
#define YES(document)	t_ok(takes(document))
#define NO(document)	t_ok(!takes(document))

static void objects(void)
{
	SCHEMA("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"boolean\"},"
	       "\"c\":{\"type\":\"null\"}},\"required\":[\"b\"]}");
	YES("{\"b\":true}");
	YES("{\"a\": -7, \"b\":false}");
	YES("{\n  \"a\":0,\n  \"b\":true,\n  \"c\":null\n}");
	NO("{}");
	NO("{\"b\":true,\"a\":1}");		/* another order */
	NO("{\"b\":true,}");
	NO("{\"b\":true,\"d\":1}");
	NO("{\"a\":1}");
	NO("{\"a\":01,\"b\":true}");
	t_eq(gra_least_bytes(g), strlen("{\"b\":true}"));
}

static void other_names(void)
{
	SCHEMA("{\"properties\":{\"abc\":{\"type\":\"null\"},\"abd\":{\"type\":\"null\"},\"x\":{\"type\":\"null\"}},"
	       "\"additionalProperties\":{\"type\":\"integer\"}}");
	YES("{}");
	YES("{\"abc\":null,\"ab\":1,\"abcd\":2,\"y\":3,\"abe\":4,\"\xc3\xa9\":5}");
	NO("{\"abc\":1}");
	NO("{\"abd\":1}");
	NO("{\"x\":1}");
	YES("{\"xx\":1,\"a\":2}");
	NO("{\"\":1}");
	NO("{\"y\":null}");
}

static void arrays(void)
{
	SCHEMA("{\"type\":\"array\",\"items\":{\"enum\":[1,\"x\"]},\"minItems\":2,\"maxItems\":3}");
	NO("[1]");
	YES("[1,\"x\"]");
	YES("[1, 1, 1]");
	NO("[1,1,1,1]");
	SCHEMA("{\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"boolean\"}],\"items\":false,\"minItems\":1}");
	NO("[]");
	YES("[1]");
	YES("[1,true]");
	NO("[1,true,1]");
	SCHEMA("{\"type\":\"array\"}");
	YES("[]");
	YES("[{\"a\":[1.5e3]},\"\\u00e9\"]");
}

static void strings(void)
{
	SCHEMA("{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}");
	NO("\"a\"");
	YES("\"a\xc3\xa9\"");
	YES("\"\\n\\u00e9\xf0\x9f\x98\x80\"");
	NO("\"abcd\"");
	NO("\"a\n\"");
	NO("\"\\ud83d\\ude00\"");	/* two halves would count as one */
	SCHEMA("{\"type\":\"string\",\"pattern\":\"^a\\\\d+\\\"$\"}");
	YES("\"a12\\\"\"");
	NO("\"a12\"");
	SCHEMA("{\"pattern\":\"b.d\"}");
	YES("\"abcd\"");
	YES("\"b\\\"d\"");
	NO("\"bd\"");
	SCHEMA("{\"format\":\"date\"}");
	YES("\"2024-02-28\"");
	NO("\"2024-13-01\"");
}

static void numbers(void)
{
	char text[32];

	SCHEMA("{\"type\":\"integer\",\"minimum\":-12,\"exclusiveMaximum\":345}");
	for (int i = -400; i < 500; i++) {
		snprintf(text, sizeof(text), "%d", i);
		t_ok(takes(text) == (i >= -12 && i < 345));
	}
	SCHEMA("{\"type\":\"number\",\"minimum\":-1,\"maximum\":2}");
	YES("-1");
	YES("2");
	YES("1.99");
	YES("-0.5");
	YES("0");
	NO("2.1");
	NO("-1.1");
	SCHEMA("{\"type\":\"number\",\"minimum\":0.25,\"maximum\":0.5}");
	YES("0.25");
	YES("0.50");
	NO("0.51");
	NO("0.24");
	SCHEMA("{\"type\":\"number\"}");
	YES("-12.5e-3");
	NO("1.");
	NO("1e");
}

static void cases(void)
{
	SCHEMA("{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}");
	YES("null");
	YES("\"\"");
	NO("1");
	SCHEMA("{\"oneOf\":[{\"properties\":{\"k\":{\"const\":\"a\"},\"v\":{\"type\":\"integer\"}},\"required\":[\"k\",\"v\"]},"
	       "{\"properties\":{\"k\":{\"const\":\"b\"}},\"required\":[\"k\"]}]}");
	YES("{\"k\":\"a\",\"v\":1}");
	YES("{\"k\":\"b\"}");
	NO("{\"k\":\"a\"}");
	SCHEMA("{\"allOf\":[{\"$ref\":\"#/$defs/n\"},{\"maximum\":5}],\"$defs\":{\"n\":{\"type\":\"integer\",\"minimum\":3}}}");
	YES("4");
	NO("2");
	NO("6");
	SCHEMA("{\"$ref\":\"#/$defs/list\",\"$defs\":{\"list\":{\"type\":[\"object\",\"null\"],\"properties\":"
	       "{\"next\":{\"$ref\":\"#/$defs/list\"}},\"required\":[\"next\"]}}}");
	YES("{\"next\":{\"next\":null}}");
	NO("{\"next\":{}}");
	SCHEMA("true");
	YES("{\"a\":[1,{\"b\":null}]}");
}

#define REFUSED(schema, why) do {							\
	t_ok(compile(schema) < 0);							\
	if (!t_ok(strstr(error.text, why) != NULL))					\
		printf("# %s\n", error.text);						\
} while (0)

static void refusals(void)
{
	REFUSED("{", "line 1");
	REFUSED("3", "must be an object");
	REFUSED("false", "allows no value");
	REFUSED("{\"type\":\"text\"}", "\"type\" must be");
	REFUSED("{\"not\":{}}", "\"not\" is not supported");
	REFUSED("{\"properties\":{\"a\":{\"properties\":{\"b\":{\"uniqueItems\":true}}}}}", "at /a/b: \"uniqueItems\"");
	REFUSED("{\"type\":\"integer\",\"multipleOf\":3}", "\"multipleOf\"");
	REFUSED("{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}", "cases 1 and 2 may both hold");
	REFUSED("{\"$ref\":\"#/$defs/x\"}", "leads nowhere");
	REFUSED("{\"$ref\":\"other.json\"}", "only #/...");
	REFUSED("{\"$ref\":\"#\"}", "never ends");
	REFUSED("{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", "never ends");
	REFUSED("{\"minimum\":5,\"maximum\":4,\"type\":\"integer\"}", "no number lies between");
	REFUSED("{\"minLength\":5,\"maxLength\":4}", "is below");
	REFUSED("{\"minLength\":-1}", "must be a whole number");
	REFUSED("{\"pattern\":\"(?=a)\"}", "looks ahead");
	REFUSED("{\"pattern\":\"\\\\bx\"}", "\\b looks around");
	REFUSED("{\"pattern\":\"(a)\\\\1\"}", "references back");
	REFUSED("{\"pattern\":\"a\",\"minLength\":3}", "not supported together");
	REFUSED("{\"format\":\"iri\"}", "\"format\" iri");
	REFUSED("{\"type\":\"integer\",\"enum\":[\"a\"]}", "no value");
	REFUSED("{\"required\":[\"a\"],\"additionalProperties\":false}", "\"a\" is required");
	REFUSED("{\"allOf\":[{\"pattern\":\"a\"},{\"pattern\":\"b\"}]}", "both say \"pattern\"");
}

int main(void)
{
	T_RUN(objects);
	T_RUN(other_names);
	T_RUN(arrays);
	T_RUN(strings);
	T_RUN(numbers);
	T_RUN(cases);
	T_RUN(refusals);
	gra_free(&g);
	return t_done();
}
