/* SPDX-License-Identifier: MIT */
/* mhs_form.h: how a model writes reasoning and tool calls into its replies, told by its chat template. */
#ifndef MHS_FORM_H
#define MHS_FORM_H

#include <stddef.h>
#include <stdint.h>

enum mhs_form {
	MHS_FORM_NONE = 0,
	MHS_FORM_HERMES = 1,		/* <tool_call>{"name", "arguments"}</tool_call>; Qwen, Qwen3-Coder */
	MHS_FORM_LLAMA3 = 2,		/* {"name", "parameters"} alone, <|python_tag|> in front or not */
	MHS_FORM_MISTRAL = 3,		/* [TOOL_CALLS][{...}], [TOOL_CALLS]name[ARGS]{...} */
	MHS_FORM_DEEPSEEK = 4,		/* tool calls between marks of full-width bars */
	MHS_FORM_FUNCTION = 5,		/* <function=name>{...}</function> */
	MHS_FORM_LIST = 6,		/* <|tool_call|>[{...}]; Granite, Phi-4 */
	MHS_FORM_COMMAND = 7,		/* <|START_ACTION|>[{"tool_name", "parameters"}]<|END_ACTION|>, Action: ```json */
	MHS_FORM_COUNT
};

enum mhs_form_flag {
	MHS_FORM_IN_REASONING = 1,	/* the prompt ends where reasoning has begun */
};

/* enum mhs_form of a template's text. */
uint32_t mhs_form_of_template(const char *text, size_t bytes);
/* enum mhs_form_flag of a rendered prompt. */
uint32_t mhs_form_flags(const char *prompt, size_t bytes);

#endif
