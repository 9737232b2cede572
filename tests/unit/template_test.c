/* SPDX-License-Identifier: MIT */
/* template_test.c: chat templates against jinja2's results, and what must not get far. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "t.h"
#include "tpl.h"

#define DATA	"tests/reference/data/templates.json"

static const struct tpl_limits limits = TPL_LIMITS_INIT;
static json_t *data;

/* Render @source; the text, or NULL with *@error. */
static char *render(const char *source, size_t bytes, const json_t *request, size_t *length,
		    struct tpl_error *error)
{
	struct tpl_host host = { .words = { "<bos>", "<eos>" }, .now = 1720256887 };
	struct tpl *tpl = NULL;
	char *text = NULL;

	if (!tpl_compile(&tpl, source, bytes, error))
		tpl_chat(tpl, request, &host, &limits, &text, length, error);
	tpl_free(&tpl);
	return text;
}

static void check(const json_t *template, const json_t *request, const json_t *expected,
		  const char *name)
{
	const json_t *wanted = json_object_get(expected, "rendered");
	struct tpl_error error = { 0 };
	size_t bytes = 0;
	char *text = render(json_string_value(template), json_string_length(template), request, &bytes,
			    &error);
	int same = wanted ? text && bytes == json_string_length(wanted) &&
			    !memcmp(text, json_string_value(wanted), bytes) :
		   !text && error.text[0];

	if (!t_ok(same))
		printf("# %s: %.300s\n# wanted: %.300s\n# got: %.300s\n", name, json_string_value(template),
		       json_string_value(json_object_get(expected, wanted ? "rendered" : "error")),
		       text ? text : error.text);
	free(text);
}

static void small_templates(void)
{
	const json_t *cases = json_object_get(data, "small"), *one;
	size_t i;

	t_need(json_array_size(cases) > 800);
	json_array_foreach(cases, i, one)
		check(json_object_get(one, "template"), json_object_get(data, "request"), one, "small");
}

static void chat_templates(void)
{
	const json_t *chats = json_object_get(data, "chats"), *chat, *one;
	const json_t *requests = json_object_get(data, "requests");
	size_t i, k;

	t_need(json_array_size(chats) >= 4);
	json_array_foreach(chats, i, chat)
		json_array_foreach(json_object_get(chat, "results"), k, one) {
			const json_t *request = json_array_get(requests, k);

			check(json_object_get(chat, "template"), request, one,
			      json_string_value(json_object_get(request, "name")));
		}
}

static void refused_by_name(void)
{
	const json_t *cases = json_object_get(data, "refused"), *one;
	struct tpl_error error;
	size_t i, bytes;

	t_need(json_array_size(cases) > 20);
	json_array_foreach(cases, i, one) {
		char *text = render(json_string_value(one), json_string_length(one),
				    json_object_get(data, "request"), &bytes, &error);

		if (!t_ok(!text && error.fault == TPL_UNSUPPORTED))
			printf("# %s: %s\n", json_string_value(one), text ? text : error.text);
		free(text);
	}
}

/* ---- errors ------------------------------------------------------------------------------- */

static void fails(const char *source, const char *request, enum tpl_fault fault, const char *expect)
{
	json_t *json = json_loads(request, JSON_ALLOW_NUL, NULL);
	struct tpl_error error = { 0 };
	size_t bytes;
	char *text = render(source, strlen(source), json, &bytes, &error);

	if (!t_ok(json && !text && error.fault == fault && strstr(error.text, expect)))
		printf("# %.100s: wanted %s, got %s\n", source, expect, text ? text : error.text);
	free(text);
	json_decref(json);
}

#define PLAIN	"{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"

static void errors_say_where(void)
{
	fails("a\nb\n{{ 1 + 'x' }}", PLAIN, TPL_FAILED, "line 3: unsupported operand");
	fails("a\n\n{% if x %}", PLAIN, TPL_SYNTAX, "line 3: {% endif %} expected");
	fails("{{ x | nonesuch }}", PLAIN, TPL_UNSUPPORTED, "line 1: the filter nonesuch");
	fails("{% for x in [1] %}\n{{ x is nonesuch }}{% endfor %}", PLAIN, TPL_UNSUPPORTED,
	      "line 2: the test nonesuch");
	fails("{{ raise_exception('no\\nway') }}", PLAIN, TPL_RAISED, "line 1: no way");
	fails("{{ messages.append(1) }}", PLAIN, TPL_FAILED, "'append' of 'list' object is unsafe");
	fails("{{ ''.__class__.__mro__ }}", PLAIN, TPL_FAILED, "'__class__' of 'str' object is unsafe");
	fails("\xff", PLAIN, TPL_SYNTAX, "UTF-8");
}

static void requests_are_checked(void)
{
	fails("x", "{}", TPL_REQUEST, "messages: is missing");
	fails("x", "{\"messages\":[]}", TPL_REQUEST, "one at least");
	fails("x", "{\"messages\":{}}", TPL_REQUEST, "messages: must be a list");
	fails("x", "{\"messages\":[1]}", TPL_REQUEST, "messages: item 0");
	fails("x", "{\"messages\":[{}],\"tools\":1}", TPL_REQUEST, "tools: must be a list");
	fails("x", "{\"messages\":[{}],\"documents\":[[]]}", TPL_REQUEST, "documents: item 0");
	fails("x", "{\"messages\":[{}],\"bos_token\":1}", TPL_REQUEST, "bos_token");
	fails("x", "{\"messages\":[{}],\"now\":\"noon\"}", TPL_REQUEST, "now: must be a time");
	fails("{{ messages }}", "{\"messages\":[{\"content\":\"a\"}],\"continue_final_message\":true,"
	      "\"add_generation_prompt\":true}", TPL_REQUEST, "exclude each other");
	fails("{{ messages[0].content | upper }}", "{\"messages\":[{\"content\":\"a\"}],"
	      "\"continue_final_message\":true}", TPL_REQUEST, "is not in the text");
	fails("content", "{\"messages\":[{\"content\":1}],\"continue_final_message\":true}", TPL_REQUEST,
	      "is not text");
}

static void renders(const char *source, const char *request, const char *expect)
{
	json_t *json = json_loads(request, JSON_ALLOW_NUL, NULL);
	struct tpl_error error = { 0 };
	size_t bytes;
	char *text = render(source, strlen(source), json, &bytes, &error);

	if (!t_str_eq(text ? text : error.text, expect))
		printf("# %s\n", source);
	free(text);
	json_decref(json);
}

static void what_the_host_adds(void)
{
	renders("{{ bos_token }}{{ eos_token }}", PLAIN, "<bos><eos>");
	renders("{{ bos_token }}{{ eos_token is defined }}",
		"{\"messages\":[{}],\"bos_token\":\"B\",\"eos_token\":null}", "BFalse");
	renders("{{ tools }}{{ documents }}{{ add_generation_prompt }}", PLAIN, "NoneNoneFalse");
	renders("{{ messages[0] }}", "{\"messages\":[{\"a\":null,\"thinking\":\"t\",\"b\":1}]}",
		"{'thinking': 't', 'b': 1, 'reasoning_content': 't'}");
	renders("{{ strftime_now('%d %b %Y') }}", "{\"messages\":[{}],\"now\":\"2023-02-28T01:02:03\"}",
		"28 Feb 2023");
	renders("{{ x }}", "{\"messages\":[{}],\"x\":\"a\\u0000b\"}", "a");	/* NUL ends the compare */
	renders("{{ messages[0].content }}!{{ messages[0].content }}", "{\"messages\":[{\"content\":"
		"[{\"text\":\"a \"}]}],\"continue_final_message\":true}",
		"[{'text': 'a CONTINUE_FINAL_MESSAGE_TAG '}]![{'text': 'a ");
}

static void unsupported_is_known_early(void)
{
	struct tpl_error error;
	struct tpl *tpl;

	t_need(!tpl_compile(&tpl, "{{ 1 | upper | nope }}", 22, &error));
	t_str_eq(tpl_unsupported(tpl), "the filter nope");
	tpl_free(&tpl);
	t_need(!tpl_compile(&tpl, "{{ 1 | upper }}", 15, &error));
	t_ok(!tpl_unsupported(tpl));
	tpl_free(&tpl);
	t_ok(tpl_compile(&tpl, "{% include 'x' %}", 17, &error) < 0);
	t_eq(error.fault, TPL_UNSUPPORTED);
}

/* ---- limits ------------------------------------------------------------------------------- */

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Refused for a limit, and soon. */
static void bounded(const char *source)
{
	double began = seconds();

	fails(source, PLAIN, TPL_LIMIT, "");
	began = seconds() - began;
	printf("# %.3f s: %.60s\n", began, source);
	t_ok(began < 10);	/* a slow machine under sanitizers; 0.5 s is usual */
}

static void limits_hold(void)
{
	bounded("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}");
	bounded("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}");
	bounded("{% macro m(n) %}{{ n }}{{ m(n + 1) }}{% endmacro %}{{ m(1) }}");
	bounded("{% set n = namespace(s='ab') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}");
	bounded("{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}");
	bounded("{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = [n.s, n.s] %}{% endfor %}"
		"{{ n.s }}");
	bounded("{% set n = namespace(s=[1]) %}{% for i in range(999) %}{% set n.s = [n.s] %}{% endfor %}"
		"{{ n.s | tojson }}");
	bounded("{{ 'a' * 999999999 }}");
	bounded("{{ [1] * 999999999 }}");
	bounded("{{ 'a'.center(99999999999) }}");
	bounded("{{ '%99999s' | format('a') * 9999 }}");
	bounded("{{ ('a' * 1000000).replace('', 'bbbbbbbbbbbbbbbb') }}");
	bounded("{% set a = 'a' * 500000 %}{% for i in range(99999) %}{% if a.find(a + 'b') %}{% endif %}"
		"{{ a | length }}{% endfor %}");
	bounded("{% set a = 'ä' * 100000 %}{% for i in range(99999) %}{% if a[i] %}{% endif %}{% endfor %}");
	bounded("{% for i in range(9999) %}{{ range(99999) | list | sort | unique | list }}{% endfor %}");
	bounded("{% set d = dict(a=1) %}{% for i in range(99999) %}{% set x = d | tojson(indent=1000) %}"
		"{% endfor %}");
	bounded("{% set a = ('a' * 300000) %}{% for i in range(99999) %}{{ a.rsplit('aab') }}{% endfor %}");
	bounded("{% set a = ('ab' * 100000) %}{% for i in range(99999) %}{% if a.strip('ba') %}{% endif %}"
		"{% endfor %}");
}

static void nesting_is_bounded(void)
{
	size_t count = 100000;
	char *text = malloc(count * 4 + 100), *at = text;

	t_need(text);
	at += sprintf(at, "{{ ");
	at = memset(at, '(', count);
	at[count] = 0;
	fails(text, PLAIN, TPL_SYNTAX, "nested too deep");
	at = text;
	for (size_t i = 0; i < 5000; i++)
		at += sprintf(at, "{%% if 1 %%}");
	fails(text, PLAIN, TPL_LIMIT, "nested deeper");
	at = text + sprintf(text, "{{ 1");
	for (size_t i = 0; i < count; i++)
		at += sprintf(at, "+1");
	sprintf(at, " }}");
	fails(text, PLAIN, TPL_LIMIT, "nested deeper");
	at = text + sprintf(text, "{\"messages\":[{}],\"x\":");
	memset(at, '[', 2000);
	memset(at + 2000, ']', 2000);
	strcpy(at + 4000, "}");
	fails("{{ x }}", text, TPL_LIMIT, "nested deeper");
	free(text);
}

/* A conversation that grows stays linear: each message costs what it is long. */
static void long_texts_are_joined_in_place(void)
{
	static const char source[] = "{% set n = namespace(s='') %}{% for m in messages %}"
				     "{% set n.s = n.s + '<' + m.content + '>' %}{% endfor %}{{ n.s }}";
	json_t *request = json_object(), *messages = json_array();
	struct tpl_error error;
	size_t bytes = 0;
	char *text;

	for (int i = 0; i < 8000; i++)
		json_array_append_new(messages, json_pack("{s:s}", "content",
							  "0123456789012345678901234567890123456789"));
	json_object_set_new(request, "messages", messages);
	text = render(source, sizeof(source) - 1, request, &bytes, &error);
	if (!t_eq(bytes, 8000 * 42))
		printf("# %s\n", error.text);
	free(text);
	json_decref(request);
}

int main(void)
{
	json_error_t where;

	data = json_load_file(DATA, JSON_ALLOW_NUL, &where);
	if (!data) {
		printf("%s: %s\n", DATA, where.text);
		return 1;
	}
	T_RUN(small_templates);
	T_RUN(chat_templates);
	T_RUN(refused_by_name);
	T_RUN(errors_say_where);
	T_RUN(requests_are_checked);
	T_RUN(what_the_host_adds);
	T_RUN(unsupported_is_known_early);
	T_RUN(limits_hold);
	T_RUN(nesting_is_bounded);
	T_RUN(long_texts_are_joined_in_place);
	json_decref(data);
	return t_done();
}
