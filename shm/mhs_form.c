/* SPDX-License-Identifier: MIT */
/* mhs_form.c: marks in a template say how replies are written. */
#include "mhs_form.h"

#include <string.h>

/* The first that is found counts: what is rare comes first. */
static const struct {
	const char *mark;
	uint32_t form;
} marks[] = {
	{ "<\xef\xbd\x9ctool\xe2\x96\x81" "calls\xe2\x96\x81" "begin\xef\xbd\x9c>", MHS_FORM_DEEPSEEK },
	{ "[TOOL_CALLS]", MHS_FORM_MISTRAL },
	{ "[THINK]", MHS_FORM_MISTRAL },
	{ "<|START_ACTION|>", MHS_FORM_COMMAND },
	{ "Action: ```json", MHS_FORM_COMMAND },
	{ "Action:```json", MHS_FORM_COMMAND },
	{ "<|tool_call|>", MHS_FORM_LIST },
	{ "<tool_call>", MHS_FORM_HERMES },
	{ "<function=", MHS_FORM_FUNCTION },
	{ "<|python_tag|>", MHS_FORM_LLAMA3 },
	{ "\"parameters\": dictionary of argument", MHS_FORM_LLAMA3 },
	{ "<think>", MHS_FORM_HERMES },
	{ "</think>", MHS_FORM_HERMES },
};

uint32_t mhs_form_of_template(const char *text, size_t bytes)
{
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (memmem(text, bytes, marks[i].mark, strlen(marks[i].mark)))
			return marks[i].form;
	return MHS_FORM_NONE;
}

uint32_t mhs_form_flags(const char *prompt, size_t bytes)
{
	static const char *const opens[] = { "<think>", "[THINK]", "<|START_THINKING|>" };

	while (bytes && strchr(" \t\r\n", prompt[bytes - 1]))
		bytes--;
	for (size_t i = 0; i < sizeof(opens) / sizeof(opens[0]); i++) {
		size_t n = strlen(opens[i]);

		if (bytes >= n && !memcmp(prompt + bytes - n, opens[i], n))
			return MHS_FORM_IN_REASONING;
	}
	return 0;
}
