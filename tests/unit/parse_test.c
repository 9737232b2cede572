/* SPDX-License-Identifier: MIT */
/*
 * parse_test.c: chat replies in parts. Each case is one reply as a family writes it (chat templates and model cards);
 * it is fed whole, byte by byte, and cut in two at each place.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mhost.h"
#include "mhs_form.h"
#include "t.h"

#define BAR	"\xef\xbd\x9c"
#define LOW	"\xe2\x96\x81"
#define DS(what) "<" BAR what BAR ">"

struct seen {
	char text[8192];
	uint32_t last;
};

/* "C:content R:reasoning T:name(arguments)"; pieces of one kind run together. */
static int note(void *arg, const struct mhost_part *part)
{
	static const char letters[] = "CRT";
	struct seen *s = arg;
	size_t n = strlen(s->text);

	if (part->kind == MHOST_PART_CALL)
		snprintf(s->text + n, sizeof(s->text) - n, "|T:%.*s(%.*s)", (int)part->name_bytes, part->name,
			 (int)part->bytes, part->text);
	else if (s->last == part->kind)
		snprintf(s->text + n, sizeof(s->text) - n, "%.*s", (int)part->bytes, part->text);
	else
		snprintf(s->text + n, sizeof(s->text) - n, "|%c:%.*s", letters[part->kind], (int)part->bytes,
			 part->text);
	s->last = part->kind;
	return 0;
}

static void parse(const char *form, uint32_t flags, const char *text, size_t first, size_t each, struct seen *s)
{
	struct mhost_parser *p;
	size_t all = strlen(text), at = 0;

	*s = (struct seen){ .last = UINT32_MAX };
	t_need(mhost_parser_new(&p, (uint32_t)mhost_form(form), flags, note, s) == 0);
	for (size_t n = first; at < all; at += n, n = each) {
		n = n > all - at ? all - at : n;
		t_eq(mhost_parser_feed(p, text + at, n), 0);
	}
	t_eq(mhost_parser_end(p), 0);
	mhost_parser_free(&p);
}

static void check(const char *form, uint32_t flags, const char *text, const char *want)
{
	struct seen s;

	parse(form, flags, text, SIZE_MAX, SIZE_MAX, &s);
	t_str_eq(s.text, want);
	parse(form, flags, text, 1, 1, &s);
	t_str_eq(s.text, want);
	for (size_t i = 1; i < strlen(text); i++) {
		parse(form, flags, text, i, SIZE_MAX, &s);
		if (!t_ok(strcmp(s.text, want) == 0))
			printf("# %s, cut at %zu: %s\n", form, i, s.text);
	}
}

static void hermes(void)
{
	check("hermes", 0, "Hello <b>there</b>.\n", "|C:Hello <b>there</b>.\n");
	check("hermes", 0, "<think>\nA cat?\n</think>\n\nYes, a cat.", "|R:A cat?|C:Yes, a cat.");
	check("hermes", MHOST_FORM_IN_REASONING, "A cat?\n</think>\n\nYes.", "|R:A cat?|C:Yes.");
	check("hermes", 0, "<tool_call>\n{\"name\": \"now\", \"arguments\": {\"zone\": \"UTC\"}}\n</tool_call>",
	      "|T:now({\"zone\": \"UTC\"})");
	check("hermes", 0, "Let me look.\n<tool_call>{\"name\":\"a\",\"arguments\":{}}</tool_call>\n<tool_call>"
	      "{\"arguments\":{\"x\":[1,{\"y\":\"}\"}]},\"name\":\"b\"}</tool_call>\n",
	      "|C:Let me look.|T:a({})|T:b({\"x\":[1,{\"y\":\"}\"}]})");
	check("hermes", 0, "<tool_call>\n<function=edit>\n<parameter=path>\na \"b\".c\n</parameter>\n<parameter=line>\n12\n"
	      "</parameter>\n<parameter=all>true</parameter>\n<parameter=to>\nx = 1\ny = 2\n</parameter>\n</function>\n</tool_call>",
	      "|T:edit({\"path\": \"a \\\"b\\\".c\", \"line\": 12, \"all\": true, \"to\": \"x = 1\\u000ay = 2\"})");
}

static void llama3(void)
{
	check("llama3", 0, "{\"name\": \"now\", \"parameters\": {\"zone\": \"UTC\"}}", "|T:now({\"zone\": \"UTC\"})");
	check("llama3", 0, "<|python_tag|>{\"name\": \"a\", \"parameters\": {}}; {\"name\": \"b\", \"parameters\": {\"c\": 1}}",
	      "|T:a({})|T:b({\"c\": 1})");
	check("llama3", 0, "{\"answer\": 42}", "|C:{\"answer\": 42}");
	check("llama3", 0, "A set is {1, 2}.", "|C:A set is {1, 2}.");
}

static void mistral(void)
{
	check("mistral", 0, "[TOOL_CALLS][{\"name\": \"a\", \"arguments\": {\"b\": 1}}, {\"name\": \"c\", \"arguments\": {}}]",
	      "|T:a({\"b\": 1})|T:c({})");
	check("mistral", 0, "[TOOL_CALLS]a[ARGS]{\"b\": 1}[TOOL_CALLS]c[CALL_ID]123456789[ARGS]{}", "|T:a({\"b\": 1})|T:c({})");
	check("mistral", 0, "[THINK]Well.[/THINK]So [1].", "|R:Well.|C:So [1].");
}

static void deepseek(void)
{
	check("deepseek", MHOST_FORM_IN_REASONING, "Hm.\n</think>\n\nFine.", "|R:Hm.|C:Fine.");
	check("deepseek", 0, "One moment." DS("tool" LOW "calls" LOW "begin") DS("tool" LOW "call" LOW "begin") "function"
	      DS("tool" LOW "sep") "now\n```json\n{\"zone\": \"UTC\"}\n```" DS("tool" LOW "call" LOW "end") "\n"
	      DS("tool" LOW "call" LOW "begin") "function" DS("tool" LOW "sep") "b\n```json\n{}\n```"
	      DS("tool" LOW "call" LOW "end") DS("tool" LOW "calls" LOW "end"),
	      "|C:One moment.|T:now({\"zone\": \"UTC\"})|T:b({})");
	check("deepseek", 0, DS("tool" LOW "calls" LOW "begin") DS("tool" LOW "call" LOW "begin") "now"
	      DS("tool" LOW "sep") "{\"zone\": \"UTC\"}" DS("tool" LOW "call" LOW "end") DS("tool" LOW "calls" LOW "end"),
	      "|T:now({\"zone\": \"UTC\"})");
}

static void others(void)
{
	check("function", 0, "<function=now>{\"zone\": \"UTC\"}</function>", "|T:now({\"zone\": \"UTC\"})");
	check("list", 0, "<|tool_call|>[{\"name\": \"a\", \"arguments\": {\"b\": null}}]<|/tool_call|>", "|T:a({\"b\": null})");
	check("list", 0, "<think>Why?</think><response>So.</response>", "|R:Why?|C:So.");
	check("command", 0, "<|START_THINKING|>Look.<|END_THINKING|><|START_ACTION|>[\n {\"tool_call_id\": \"0\", "
	      "\"tool_name\": \"a\", \"parameters\": {\"b\": 1}}\n]<|END_ACTION|>", "|R:Look.|T:a({\"b\": 1})");
	check("command", 0, "<|START_RESPONSE|>Hello.<|END_RESPONSE|>", "|C:Hello.");
	check("command", 0, "Action: ```json\n[{\"tool_name\": \"a\", \"parameters\": {}}]\n```", "|T:a({})");
	check("none", 0, "<think> <tool_call> [TOOL_CALLS]", "|C:<think> <tool_call> [TOOL_CALLS]");
}

/* Nothing of what is no call is lost. */
static void malformed(void)
{
	static const char *const texts[] = {
		"<tool_call>{\"name\": \"a\"}</tool_call> and", "<tool_call>{\"name\": \"a\", \"arguments\": {",
		"<tool_call>no</tool_call>", "<tool_call>{\"name\": 1, \"arguments\": {}}</tool_call>",
		"<tool_call><function=x><parameter=a>1</function></tool_call>", "a <tool_cal", "<tool_call>", "x </tool_call>",
	};
	char want[200];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		snprintf(want, sizeof(want), "|C:%s", texts[i]);
		check("hermes", 0, texts[i], want);
	}
	check("mistral", 0, "[TOOL_CALLS]a{", "|C:[TOOL_CALLS]a{");
	check("llama3", 0, "{\"name\": \"a\", \"parameters\": {}} or not", "|C:{\"name\": \"a\", \"parameters\": {}} or not");
	check("hermes", 0, "<think>never ends\n", "|R:never ends\n");
}

static int stop(void *arg, const struct mhost_part *part)
{
	return ++*(int *)arg == 2 ? 7 : 0;
}

static void ends_when_told(void)
{
	struct mhost_parser *p;
	int count = 0;

	t_need(mhost_parser_new(&p, MHS_FORM_HERMES, 0, stop, &count) == 0);
	t_eq(mhost_parser_feed(p, "one", 3), 0);
	t_eq(mhost_parser_feed(p, "two", 3), 7);
	t_eq(mhost_parser_feed(p, "three", 5), 7);
	t_eq(mhost_parser_end(p), 7);
	t_eq(count, 2);
	mhost_parser_free(&p);
	t_eq(mhost_parser_new(&p, MHS_FORM_COUNT, 0, stop, NULL), MHOST_E_INVALID);
	t_eq(mhost_form("nonesuch"), MHOST_E_INVALID);
}

static void is_of(const char *template, uint32_t form)
{
	t_eq(mhost_form_of_template(template, strlen(template)), form);
}

static void forms_of_templates(void)
{
	is_of("{{ x }}", MHS_FORM_NONE);
	is_of("... <tool_call> ... <think> ...", MHS_FORM_HERMES);
	is_of("... <|python_tag|> ...", MHS_FORM_LLAMA3);
	is_of("{{ '[TOOL_CALLS]' }}", MHS_FORM_MISTRAL);
	is_of(DS("tool" LOW "calls" LOW "begin") " <think>", MHS_FORM_DEEPSEEK);
	is_of("<|START_ACTION|>", MHS_FORM_COMMAND);
	t_eq(mhs_form_flags("x<think>\n", 9), MHS_FORM_IN_REASONING);
	t_eq(mhs_form_flags("x<think>\n\n</think>\n\n", 20), 0);
}

/* Any bytes, any pieces: no crash, and the same parts. */
static void noise(void)
{
	static const char *const bits[] = { "<think>", "</think>", "<tool_call>", "</tool_call>", "{", "}", "\"name\":", "\"a\"",
					    ",", "\"arguments\":", "[TOOL_CALLS]", "[ARGS]", " ", "\n", "x", "<", "<function=",
					    "<parameter=", ">", "</parameter>", "</function>", "<|tool_call|>", "```", "[", "]" };
	static const char *const names[] = { "hermes", "llama3", "mistral", "deepseek", "function", "list", "command" };
	char text[1024];

	for (unsigned int i = 0; i < 20000; i++) {
		struct seen whole, cut;

		text[0] = 0;
		for (unsigned int k = 0; k < 1 + (unsigned int)rand() % 14; k++)
			strcat(text, bits[(size_t)rand() % (sizeof(bits) / sizeof(bits[0]))]);
		parse(names[i % 7], 0, text, SIZE_MAX, SIZE_MAX, &whole);
		parse(names[i % 7], 0, text, 1 + (size_t)rand() % 9, 1 + (size_t)rand() % 5, &cut);
		if (!t_ok(strcmp(whole.text, cut.text) == 0))
			printf("# %s: %s\n# %s\n# %s\n", names[i % 7], text, whole.text, cut.text);
	}
}

int main(void)
{
	T_RUN(hermes);
	T_RUN(llama3);
	T_RUN(mistral);
	T_RUN(deepseek);
	T_RUN(others);
	T_RUN(malformed);
	T_RUN(ends_when_told);
	T_RUN(forms_of_templates);
	T_RUN(noise);
	return t_done();
}
