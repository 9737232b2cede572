/* SPDX-License-Identifier: MIT */
/* bench_speed.c: decode and prompt speed, one stream and many. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"

#define PROMPT		512u
#define OUTPUT		96u
#define STREAMS_SECONDS	5u

static int single(struct bench *b, struct mhost *s, json_t *out)
{
	uint32_t n = PROMPT + OUTPUT < b->context ? PROMPT : b->context / 2;
	uint32_t output = OUTPUT < b->context / 2 ? OUTPUT : b->context / 2;
	uint32_t *prompt = calloc(n, sizeof(*prompt));
	double decode_rate[1000], prompt_rate[1000];
	struct bench_run run;
	bool ok = prompt;

	for (uint32_t i = 0; ok && i < b->repeat; i++) {
		bench_prompt(prompt, n, b->vocab, i);
		ok = bench_run(b, s, prompt, n, 1, &run);
		prompt_rate[i] = n * 1e3 / run.prefill_ms;
		ok = ok && bench_run(b, s, prompt, 16, output, &run);
		decode_rate[i] = run.decode_rate;
	}
	if (ok) {
		struct spread d = bench_spread(decode_rate, b->repeat);
		struct spread p = bench_spread(prompt_rate, b->repeat);

		json_object_set_new(out, "decode_tokens_per_s", bench_spread_json(&d));
		json_object_set_new(out, "prompt_tokens_per_s", bench_spread_json(&p));
	}
	free(prompt);
	return ok ? CMD_OK : CMD_FAILED;
}

static int many(struct bench *b, json_t *out, uint32_t streams)
{
	struct bench_load *load = bench_load_start(b, streams, 32, 64);
	struct bench_totals t;
	char key[64];

	if (!load)
		return CMD_FAILED;
	sleep(STREAMS_SECONDS);
	t = bench_load_stop(&load);
	snprintf(key, sizeof(key), "streams_%u_tokens_per_s", streams);
	json_object_set_new(out, key, json_real((double)t.tokens / t.seconds));
	snprintf(key, sizeof(key), "streams_%u_first_token_ms", streams);
	json_object_set_new(out, key, bench_spread_json(&t.first_token_ms));
	return t.failed ? cmd_fail(b->cmd, CMD_FAILED, "%llu streams failed",
				   (unsigned long long)t.failed) : CMD_OK;
}

int bench_part_speed(struct bench *b)
{
	json_t *out = json_object();
	struct mhost *s;
	int err;

	json_object_set_new(b->out, "speed", out);
	err = mhost_connect(&s, b->cmd->socket);
	if (err)
		cmd_fail(b->cmd, CMD_FAILED, "%s", mhost_errmsg(s));
	else if ((err = single(b, s, out)))
		cmd_fail(b->cmd, CMD_FAILED, "%s", mhost_errmsg(s));
	mhost_close(&s);
	if (!err)
		err = many(b, out, 4);
	if (!err)
		err = many(b, out, 16);
	return err ? CMD_FAILED : CMD_OK;
}
