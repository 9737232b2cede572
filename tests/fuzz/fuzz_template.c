/* SPDX-License-Identifier: MIT */
/*
 * fuzz_template.c: a chat template, up to the first NUL byte, and a request behind it (none: one of
 * its own). What renders is UTF-8 and within the limits.
 */
#include <stdlib.h>
#include <string.h>

#include "tpl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char own_request[] =
	"{\"messages\":[{\"role\":\"system\",\"content\":\"\xc3\xa4 <b>\"},{\"role\":\"user\",\"content\":"
	"[{\"type\":\"text\",\"text\":\"hi\"}]},{\"role\":\"assistant\",\"content\":\"x\",\"tool_calls\":[{\"id\":"
	"\"a\",\"function\":{\"name\":\"f\",\"arguments\":{\"n\":1.5,\"s\":null}}}]}],\"tools\":[{\"type\":\"function\"}],"
	"\"add_generation_prompt\":true,\"x\":[1,2,-3],\"d\":{\"b\":1,\"a\":[]},\"s\":\"a,b c\"}";

static void render(const struct tpl *tpl, const json_t *request)
{
	struct tpl_limits limits = { .steps = 20000, .output_bytes = 1u << 16, .memory_bytes = 4u << 20 };
	struct tpl_host host = { .words = { "<s>", "</s>" }, .now = 1720256887 };
	struct tpl_error error;
	char *text;
	size_t bytes;
	json_t *checked;

	if (tpl_chat(tpl, request, &host, &limits, &text, &bytes, &error))
		return;
	checked = json_stringn(text, bytes);
	if (!checked || text[bytes] || bytes > limits.output_bytes)
		abort();
	json_decref(checked);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, 0, size) : NULL;
	size_t bytes = end ? (size_t)(end - data) : size;
	struct tpl_error error;
	struct tpl *tpl;
	json_t *request;

	if (tpl_compile(&tpl, (const char *)data, bytes, &error))
		return 0;
	request = end ? json_loadb((const char *)end + 1, size - bytes - 1, JSON_ALLOW_NUL, NULL) :
			json_loads(own_request, 0, NULL);
	if (json_is_object(request))
		render(tpl, request);
	json_decref(request);
	tpl_free(&tpl);
	return 0;
}
