/* SPDX-License-Identifier: MIT */
/* prompts_test.c: files of prompts and golden cases, good and damaged. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../tools/prompts.h"
#include "t.h"

static char error[PROMPTS_ERROR_BYTES];
static struct prompts got;

static int parse(const char *text, enum prompts_kind kind)
{
	int err;

	prompts_free(&got);
	error[0] = '\0';
	err = prompts_parse("file", text, strlen(text), kind, &got, error);
	return err;
}

static void reads_every_field(void)
{
	char label[80];

	t_eq(parse("{\"name\":\"sky\",\"prompt\":\"a\\u0000b\",\"max_tokens\":3,\"expect\":[5,0]}\r\n"
		   "\n"
		   "  {\"tokens\":[1,4294967294],\"continuation\":\"hi\",\"min_logprob\":-1.5}\n"
		   "{\"tokens\":[7],\"continuation_tokens\":[8,9],\"min_logprob\":0}",
		   PROMPTS_GOLDEN), 0);
	t_need(got.count == 3);
	t_str_eq(got.list[0].name, "sky");
	t_eq(got.list[0].prompt.text_bytes, 3);
	t_mem_eq(got.list[0].prompt.text, "a\0b", 4);
	t_eq(got.list[0].max_tokens, 3);
	t_eq(got.list[0].expect_count, 2);
	t_ok(got.list[0].expect[0] == 5 && got.list[0].expect[1] == 0);
	t_ok(!got.list[0].continuation.text && !got.list[0].continuation.ids);
	t_eq(got.list[1].line, 3);
	t_str_eq(prompt_label(&got.list[1], label), "line 3");
	t_eq(got.list[1].prompt.ids[1], 4294967294u);
	t_str_eq(got.list[1].continuation.text, "hi");
	t_near(got.list[1].min_logprob, -1.5, 0);
	t_ok(!got.list[1].expect && !got.list[1].max_tokens);
	t_eq(got.list[2].continuation.id_count, 2);
}

static void plain_lines_are_prompts(void)
{
	t_eq(parse("Hello, world\n\n \t\n{\"prompt\":\"x\"}\r\nlast one", PROMPTS_ANY), 0);
	t_need(got.count == 3);
	t_str_eq(got.list[0].prompt.text, "Hello, world");
	t_str_eq(got.list[1].prompt.text, "x");
	t_eq(got.list[1].line, 4);
	t_str_eq(got.list[2].prompt.text, "last one");
	t_eq(got.list[2].line, 5);
}

static void refuses_what_is_damaged(void)
{
	static const struct {
		const char *text, *word;
	} bad[] = {
		{ "", "has no prompt" },
		{ "\n \n", "has no prompt" },
		{ "x", "line 1: is no JSON object" },
		{ "[]", "line 1: is no JSON object" },
		{ "\n{\"prompt\":\"a\",\"expect\":[1]", "line 2: is no JSON object" },
		{ "{\"prompt\":\"a\",\"expect\":[1]} {}", "line 1: is no JSON object" },
		{ "{\"prompt\":\"a\",\"prompt\":\"b\",\"expect\":[1]}", "line 1: is no JSON object" },
		{ "{\"prompt\":\"\xff\",\"expect\":[1]}", "line 1: is no JSON object" },
		{ "{\"prompt\":\"a\"}", "nothing to check" },
		{ "{\"expect\":[1]}", "prompt: is missing" },
		{ "{\"prompt\":\"\",\"expect\":[1]}", "prompt: is not a text" },
		{ "{\"prompt\":4,\"expect\":[1]}", "prompt: is not a text" },
		{ "{\"prompt\":\"a\",\"tokens\":[1],\"expect\":[1]}", "both given" },
		{ "{\"tokens\":[],\"expect\":[1]}", "tokens: is not a list" },
		{ "{\"tokens\":\"1\",\"expect\":[1]}", "tokens: is not a list" },
		{ "{\"tokens\":[1,-1],\"expect\":[1]}", "tokens: entry 1" },
		{ "{\"tokens\":[4294967295],\"expect\":[1]}", "tokens: entry 0" },
		{ "{\"tokens\":[1.5],\"expect\":[1]}", "tokens: entry 0" },
		{ "{\"tokens\":[1],\"expect\":[]}", "expect: is not a list" },
		{ "{\"tokens\":[1],\"expect\":[1,2],\"max_tokens\":1}", "expect: has 2 tokens" },
		{ "{\"tokens\":[1],\"expect\":[1],\"max_tokens\":0}", "max_tokens: limit" },
		{ "{\"tokens\":[1],\"expect\":[1],\"logprobs\":[]}", "logprobs: is not a list" },
		{ "{\"tokens\":[1],\"logprobs\":[-1]}", "logprobs: is not a list" },
		{ "{\"tokens\":[1],\"expect\":[1],\"logprobs\":[1]}", "logprobs: entry 0" },
		{ "{\"tokens\":[1],\"expect\":[1],\"logprobs\":[\"a\"]}", "logprobs: entry 0" },
		{ "{\"tokens\":[1],\"expect\":[1],\"logprobs\":[-1],\"tolerance\":-1}", "tolerance: is no number" },
		{ "{\"tokens\":[1],\"expect\":[1],\"tolerance\":1}", "tolerance: without logprobs" },
		{ "{\"tokens\":[1],\"expect\":[1],\"max_tokens\":\"4\"}", "max_tokens: limit" },
		{ "{\"tokens\":[1],\"continuation\":\"a\"}", "min_logprob: is missing" },
		{ "{\"tokens\":[1],\"min_logprob\":-1}", "continuation: is missing" },
		{ "{\"tokens\":[1],\"continuation\":\"a\",\"min_logprob\":0.1}", "min_logprob: is no" },
		{ "{\"tokens\":[1],\"continuation\":\"a\",\"min_logprob\":\"x\"}", "min_logprob: is no" },
		{ "{\"tokens\":[1],\"continuation\":\"a\",\"continuation_tokens\":[1],\"min_logprob\":0}",
		  "both given" },
		{ "{\"tokens\":[1],\"expect\":[1],\"expected\":[1]}", "\"expected\": no such field" },
		{ "{\"tokens\":[1],\"expect\":[1],\"name\":\"a\\nb\"}", "control character" },
		{ "{\"tokens\":[1],\"expect\":[1],\"name\":\"a\\u0000b\"}", "NUL" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (!t_ok(parse(bad[i].text, PROMPTS_GOLDEN) == -EINVAL &&
			  strstr(error, bad[i].word) && strstr(error, "file") == error &&
			  !strchr(error, '\n')))
			printf("# %s: \"%s\"\n", bad[i].text, error);
	}
	t_eq(parse("good\nb\xff\n", PROMPTS_ANY), -EINVAL);
	t_ok(strstr(error, "line 2: is not UTF-8") != NULL);
}

static void a_cut_file_is_refused_or_shorter(void)
{
	const char whole[] = "{\"tokens\":[1,2],\"expect\":[3]}\n{\"prompt\":\"b\",\"expect\":[4]}\n";

	for (size_t n = 0; n < sizeof(whole); n++) {
		int err;

		prompts_free(&got);
		err = prompts_parse("file", whole, n, PROMPTS_GOLDEN, &got, error);
		if (err)
			t_eq(err, -EINVAL);
		else
			t_ok(got.count == 2 || n < 32);
	}
}

static void reads_files(void)
{
	char *data;
	size_t bytes;

	t_write_file(t_path("p"), "one\ntwo", 7);
	prompts_free(&got);
	t_eq(prompts_read(t_path("p"), PROMPTS_ANY, &got, error), 0);
	t_eq(got.count, 2);
	prompts_free(&got);
	t_eq(prompts_read(t_path("nowhere"), PROMPTS_ANY, &got, error), -ENOENT);
	t_ok(strstr(error, "nowhere: cannot be read: No such file") != NULL);
	t_eq(prompts_load(t_tmpdir(), &data, &bytes, error), -EINVAL);
	t_ok(!data);
	t_write_file(t_path("large"), "", 0);
	t_eq(truncate(t_path("large"), (off_t)PROMPTS_FILE_MAX + 1), 0);
	t_eq(prompts_load(t_path("large"), &data, &bytes, error), -EFBIG);
}

static void many_lines(void)
{
	size_t bytes = 2 * (size_t)PROMPTS_MAX;
	char *text = malloc(bytes + 2);

	t_need(text);
	for (size_t i = 0; i < bytes + 2; i++)
		text[i] = i % 2 ? '\n' : 'x';
	t_eq(prompts_parse("file", text, bytes, PROMPTS_ANY, &got, error), 0);
	t_eq(got.count, PROMPTS_MAX);
	prompts_free(&got);
	t_eq(prompts_parse("file", text, bytes + 2, PROMPTS_ANY, &got, error), -EINVAL);
	t_ok(strstr(error, "line 100001: one prompt too many") != NULL);
	free(text);
	prompts_free(&got);
}

int main(void)
{
	T_RUN(reads_every_field);
	T_RUN(plain_lines_are_prompts);
	T_RUN(refuses_what_is_damaged);
	T_RUN(a_cut_file_is_refused_or_shorter);
	T_RUN(reads_files);
	T_RUN(many_lines);
	prompts_free(&got);
	return t_done();
}
