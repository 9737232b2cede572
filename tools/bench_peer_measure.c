/* SPDX-License-Identifier: MIT */
/* bench_peer_measure.c: turns of mhost and llama.cpp on one file: one stream, then many. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench_peer.h"

#define LARGE_TURNS	3u
#define GENERIC_PROMPT	64u		/* plain C is slow: less of it, in one turn */
#define GENERIC_OUTPUT	16u
#define STREAMS		16u
#define STREAM_PROMPT	64u
#define STREAM_OUTPUT	64u
#define STREAM_SECONDS	10u		/* --seconds */
#define STREAM_TURNS	3u
#define STREAM_WARM_UP	4u		/* seconds of each, not counted: memory just filled can be slow */
#define CONTEXT		4096u

/* A row of the table and its object. Returns the median ratio. */
static double add_row(struct peer *p, json_t *file, const char *isa, const char *what,
		      const char *unit, struct pair *pair, uint32_t n)
{
	struct spread mhost = bench_spread(pair->mhost, n), llama = bench_spread(pair->llama, n);
	struct spread ratio = bench_spread(pair->ratio, n);

	json_array_append_new(json_object_get(file, "rows"),
			      json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "isa", isa, "what", what,
					"unit", unit, "mhost", bench_spread_json(&mhost),
					"llama_cpp", bench_spread_json(&llama), "ratio",
					bench_spread_json(&ratio)));
	if (peer_is_text(p))
		printf("%-30s %-8s %-16s %9.4g %9.4g  %5.2f  %.2f..%.2f  %u\n",
		       json_string_value(json_object_get(file, "file")), isa, what, mhost.p50,
		       llama.p50, ratio.p50, ratio.min, ratio.max, n);
	fflush(stdout);
	return ratio.p50;
}

static void put(struct pair *pair, uint32_t turn, double mhost, double llama)
{
	pair->mhost[turn] = mhost;
	pair->llama[turn] = llama;
	pair->ratio[turn] = mhost / llama;
}

static bool is_generic(const struct level *l)
{
	return !strcmp(l->isa, "generic");
}

/* tokens/s of a prompt and of decode, both as the client sees them. */
static int mhost_speed(struct level *l, uint32_t turn, double *prompt_rate, double *decode_rate)
{
	uint32_t n = is_generic(l) ? GENERIC_PROMPT : PEER_PROMPT;
	uint32_t output = is_generic(l) ? GENERIC_OUTPUT : PEER_OUTPUT;
	uint32_t ids[PEER_PROMPT];
	struct bench_run run;

	/* llama-bench too runs each once before it measures. */
	bench_prompt(ids, n, l->bench.vocab, turn + BENCH_REPEAT_MAX);
	if (!is_generic(l) && !bench_run(&l->bench, l->session, ids, n, 1, &run))
		return cmd_fail(&l->host.cmd, CMD_FAILED, "%s", mhost_errmsg(l->session));
	bench_prompt(ids, n, l->bench.vocab, turn);
	if (!bench_run(&l->bench, l->session, ids, n, 1, &run))
		return cmd_fail(&l->host.cmd, CMD_FAILED, "%s", mhost_errmsg(l->session));
	*prompt_rate = n * 1e3 / run.first_ms;
	if (!bench_run(&l->bench, l->session, ids + 1, 1, output + 1, &run))
		return cmd_fail(&l->host.cmd, CMD_FAILED, "%s", mhost_errmsg(l->session));
	*decode_rate = run.decode_rate;
	return CMD_OK;
}

/* llama.cpp with all instructions, for the level of that name with AVX2 alone; and our levels. */
static int one_turn(struct peer *p, const char *path, uint32_t turn)
{
	double llama_prompt[2] = { 0 }, llama_decode[2] = { 0 }, prompt = 0, decode = 0;
	int err = CMD_OK;

	for (uint32_t i = 0; !err && i < p->level_count; i++) {
		struct level *l = &p->levels[i];
		bool avx2 = !strcmp(l->isa, "avx2");

		if (is_generic(l) && turn)
			continue;
		if (llama_prompt[avx2] == 0)
			err = llama_bench(&p->llama, path, avx2, PEER_PROMPT, PEER_OUTPUT,
					  &llama_prompt[avx2], &llama_decode[avx2]);
		if (!err)
			err = mhost_speed(l, turn, &prompt, &decode);
		if (err)
			break;
		put(l->prompt, turn, prompt, llama_prompt[avx2]);
		put(l->decode, turn, decode, llama_decode[avx2]);
	}
	return err;
}

int peer_speed(struct peer *p, json_t *file, const char *path, bool is_small)
{
	uint32_t turns = p->options->repeat;
	double read[BENCH_REPEAT_MAX];
	struct spread s;
	int err = CMD_OK;

	if (!is_small && turns > LARGE_TURNS)
		turns = LARGE_TURNS;
	for (uint32_t i = 0; !err && i < turns; i++) {
		read[i] = bench_read_gb_per_s(p->options->threads);
		err = one_turn(p, path, i);
	}
	for (uint32_t i = 0; !err && i < p->level_count; i++) {
		struct level *l = &p->levels[i];
		uint32_t n = is_generic(l) ? 1 : turns;
		double decode = add_row(p, file, l->isa, "decode", "tokens/s", l->decode, n);
		double prompt = add_row(p, file, l->isa, "prompt of 512", "tokens/s", l->prompt, n);

		if (is_small) {
			p->log_decode[i] += log(decode);
			p->log_prompt[i] += log(prompt);
		}
	}
	if (err)
		return err;
	p->mean_count += is_small;
	s = bench_spread(read, turns);
	json_object_set_new(file, "read_gb_per_s", bench_spread_json(&s));
	if (peer_is_text(p) && !is_small)
		printf("%-30s %-8s decode reads %.1f GB/s of the file; a plain read %.1f GB/s\n",
		       "", "",
		       p->levels[0].decode->mhost[turns / 2] / 1e9 *
			       (double)json_integer_value(json_object_get(file, "bytes")),
		       s.p50);
	return CMD_OK;
}

static int stream_turn(struct level *l, const struct bench_source *source, uint32_t seconds,
		       double *rate, double *p95)
{
	struct bench_load *load =
		source ? bench_load_start_on(&l->bench, source, STREAMS, STREAM_PROMPT,
					     STREAM_OUTPUT)
		       : bench_load_start(&l->bench, STREAMS, STREAM_PROMPT, STREAM_OUTPUT);
	struct bench_totals t;

	if (!load)
		return CMD_FAILED;
	sleep(seconds);
	t = bench_load_stop(&load);
	*rate = (double)t.tokens / t.seconds;
	*p95 = t.first_token_ms.p95;
	return t.failed ? cmd_fail(&l->host.cmd, CMD_FAILED, "%llu of %u streams of %s failed",
				   (unsigned long long)t.failed, STREAMS,
				   source ? "llama-server" : "mhost") : CMD_OK;
}

int peer_streams(struct peer *p, json_t *file, const char *path)
{
	struct level *l = &p->levels[0];
	uint32_t turns = p->options->repeat < STREAM_TURNS ? p->options->repeat : STREAM_TURNS;
	uint32_t seconds = p->options->seconds ?: STREAM_SECONDS;
	struct llama_server server;
	double ours = 0, theirs = 0, our_p95 = 0, their_p95 = 0;
	int err = llama_server_start(&p->llama, path, STREAMS, CONTEXT / 4, &server);

	if (err)
		return err;
	l->bench.peer_port = server.port;
	err = stream_turn(l, &llama_source, STREAM_WARM_UP, &theirs, &their_p95);
	if (!err)
		err = stream_turn(l, NULL, STREAM_WARM_UP, &ours, &our_p95);
	for (uint32_t i = 0; !err && i < turns; i++) {
		err = stream_turn(l, &llama_source, seconds, &theirs, &their_p95);
		if (!err)
			err = stream_turn(l, NULL, seconds, &ours, &our_p95);
		put(l->decode, i, ours, theirs);
		put(l->prompt, i, our_p95, their_p95);
	}
	llama_server_stop(&server);
	if (err)
		return err;
	add_row(p, file, l->isa, "16 streams", "tokens/s", l->decode, turns);
	add_row(p, file, l->isa, "first token p95", "ms", l->prompt, turns);
	return CMD_OK;
}
