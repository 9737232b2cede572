/* SPDX-License-Identifier: MIT */
/* bench_sweep.c: `mhost bench --sweep`: speed against streams, context and threads. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_sweep.h"

#define PROMPT		512u
#define OUTPUT		128u
#define STREAM_PROMPT	16u
#define STREAM_OUTPUT	256u
#define WARM_SECONDS	1u
#define WINDOW_SECONDS	2u		/* --seconds */
#define CONTEXT_FIRST	128u
#define CONTEXT_LAST	8192u
#define CONTEXT_OUTPUT	32u

int sweep_host(struct sweep *s, uint32_t threads, struct bench_host *host, struct bench *b)
{
	int err;

	*host = (struct bench_host){ .isa = s->isa, .threads = threads };
	*b = (struct bench){ 0 };
	err = bench_host_start(host, s->cmd, s->dir);
	return err ? err : bench_host_use(host, "sweep", b);
}

void sweep_host_stop(struct bench_host *host, struct bench *b)
{
	bench_host_stop(host);
	json_decref(b->out);
}

int sweep_plot(const struct sweep *s, const struct svg_plot *plot, const char *name)
{
	int err = s->options->svg ? svg_write(plot, s->options->svg, name) : 0;

	return err ? cmd_fail(s->cmd, CMD_FAILED, "%s/%s.svg: %s", s->options->svg, name,
			      strerror(-err)) : CMD_OK;
}

static json_t *add_array(struct sweep *s, const char *name)
{
	json_t *list = json_array();

	json_object_set_new(s->out, name, list);
	return list;
}

/* ---- streams -------------------------------------------------------------------------------- */

/* tokens/s of all streams together, in windows after the prompts of the first requests. */
static int streams_at(struct sweep *s, struct bench *b, uint32_t streams, struct spread *rate)
{
	struct bench_load *load = bench_load_start(b, streams, STREAM_PROMPT, STREAM_OUTPUT);
	double rates[BENCH_REPEAT_MAX];
	struct bench_totals totals;

	if (!load)
		return cmd_fail(s->cmd, CMD_FAILED, "out of memory");
	sleep(WARM_SECONDS);
	for (uint32_t i = 0; i < s->options->repeat; i++) {
		double start = bench_now_s();
		uint64_t tokens = bench_load_tokens(load);

		sleep(s->options->seconds ?: WINDOW_SECONDS);
		rates[i] = (double)(bench_load_tokens(load) - tokens) / (bench_now_s() - start);
	}
	totals = bench_load_stop(&load);
	*rate = bench_spread(rates, s->options->repeat);
	return totals.failed ? cmd_fail(s->cmd, CMD_FAILED, "%llu of %u streams failed",
					(unsigned long long)totals.failed, streams) : CMD_OK;
}

int sweep_streams(struct sweep *s)
{
	struct svg_plot plot = { .title = "Decode against streams", .x_name = "streams",
				 .y_name = "tokens/s" };
	json_t *list = add_array(s, "streams");
	struct bench_host host;
	struct bench b;
	int err = sweep_host(s, s->options->threads, &host, &b);

	if (!s->cmd->json)
		printf("%-10s %12s %12s  min..max\n", "streams", "each tok/s", "all tok/s");
	for (uint32_t n = 1; !err && n <= BENCH_STREAMS_MAX; n *= 2) {
		struct spread rate = { 0 };

		err = streams_at(s, &b, n, &rate);
		if (err)
			break;
		json_array_append_new(list, json_pack("{s:i, s:f, s:o}", "streams", (int)n, "each",
						      rate.p50 / n, "tokens_per_s",
						      bench_spread_json(&rate)));
		svg_add(&plot, 0, "each stream", n, rate.p50 / n);
		svg_add(&plot, 1, "all together", n, rate.p50);
		if (!s->cmd->json)
			printf("%-10u %12.1f %12.1f  %.1f..%.1f\n", n, rate.p50 / n, rate.p50,
			       rate.min, rate.max);
		fflush(stdout);
	}
	sweep_host_stop(&host, &b);
	return err ? err : sweep_plot(s, &plot, "streams");
}

/* ---- one stream, of a prompt and an answer -------------------------------------------------- */

struct rates {
	struct spread decode, prompt;
};

static int one_stream(struct sweep *s, struct bench *b, uint32_t prompt_tokens, uint32_t output,
		      struct rates *rates)
{
	double decode[BENCH_REPEAT_MAX], prompt[BENCH_REPEAT_MAX];
	uint32_t *ids = calloc(prompt_tokens, sizeof(*ids));
	struct mhost *session;
	struct bench_run run;
	int err = mhost_connect(&session, b->cmd->socket);

	for (uint32_t i = 0; !err && i < s->options->repeat; i++) {
		bench_prompt(ids, prompt_tokens, b->vocab, i + prompt_tokens);
		if (!bench_run(b, session, ids, prompt_tokens, output, &run)) {
			err = -EIO;
			break;
		}
		prompt[i] = prompt_tokens * 1e3 / run.first_ms;
		decode[i] = run.decode_rate;
	}
	if (err)
		cmd_fail(s->cmd, CMD_FAILED, "%s", mhost_errmsg(session));
	else
		*rates = (struct rates){ bench_spread(decode, s->options->repeat),
					 bench_spread(prompt, s->options->repeat) };
	mhost_close(&session);
	free(ids);
	return err ? CMD_FAILED : CMD_OK;
}

static void add_rates(struct sweep *s, json_t *list, struct svg_plot *plot, const char *key,
		      uint32_t x, const struct rates *r)
{
	json_array_append_new(list, json_pack("{s:i, s:o, s:o}", key, (int)x, "decode_tokens_per_s",
					      bench_spread_json(&r->decode), "prompt_tokens_per_s",
					      bench_spread_json(&r->prompt)));
	svg_add(&plot[0], 0, "decode", x, r->decode.p50);
	svg_add(&plot[1], 0, "prompt", x, r->prompt.p50);
	if (!s->cmd->json)
		printf("%-10u %12.1f  %8.1f..%-8.1f %12.1f  %8.1f..%-8.1f\n", x, r->decode.p50,
		       r->decode.min, r->decode.max, r->prompt.p50, r->prompt.min, r->prompt.max);
	fflush(stdout);
}

static void rates_head(const struct sweep *s, const char *what)
{
	if (!s->cmd->json)
		printf("%-10s %12s  %-18s %12s  min..max\n", what, "decode tok/s", "min..max",
		       "prompt tok/s");
}

int sweep_context(struct sweep *s)
{
	struct svg_plot plots[2] = { { .title = "Decode against context", .x_name = "tokens before",
				       .y_name = "tokens/s" },
				     { .title = "Prompts against their length", .x_name = "tokens",
				       .y_name = "tokens/s" } };
	json_t *list = add_array(s, "context");
	struct bench_host host;
	struct bench b;
	int err = sweep_host(s, s->options->threads, &host, &b);

	rates_head(s, "context");
	for (uint32_t n = CONTEXT_FIRST; !err && n <= CONTEXT_LAST && n <= b.context; n *= 2) {
		struct rates r = { 0 };

		err = one_stream(s, &b, n - CONTEXT_OUTPUT, CONTEXT_OUTPUT, &r);
		if (!err)
			add_rates(s, list, plots, "context", n, &r);
	}
	sweep_host_stop(&host, &b);
	if (!err)
		err = sweep_plot(s, &plots[0], "context");
	return err ? err : sweep_plot(s, &plots[1], "prompt");
}

static int threads_at(struct sweep *s, uint32_t threads, struct rates *r)
{
	struct bench_host host;
	struct bench b;
	int err = sweep_host(s, threads, &host, &b);

	if (!err)
		err = one_stream(s, &b, PROMPT < b.context / 2 ? PROMPT : b.context / 2,
				 OUTPUT < b.context / 4 ? OUTPUT : b.context / 4, r);
	sweep_host_stop(&host, &b);
	return err;
}

int sweep_threads(struct sweep *s)
{
	struct svg_plot plots[2] = {
		{ .title = "Decode against threads", .x_name = "threads", .y_name = "tokens/s" },
		{ .title = "Prompts of 512 against threads",
		  .x_name = "threads",
		  .y_name = "tokens/s" }
	};
	json_t *list = add_array(s, "threads");
	uint32_t last = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
	int err = CMD_OK;

	rates_head(s, "threads");
	for (uint32_t n = 1; !err; n = n * 2 < last ? n * 2 : last) {
		struct rates r = { 0 };

		err = threads_at(s, n, &r);
		if (!err)
			add_rates(s, list, plots, "threads", n, &r);
		if (n == last)
			break;
	}
	if (!err)
		err = sweep_plot(s, &plots[0], "threads");
	return err ? err : sweep_plot(s, &plots[1], "threads-prompt");
}

/* ---- all of them ---------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int (*run)(struct sweep *s);
} sweeps[] = {
	{ "streams", sweep_streams },	{ "context", sweep_context }, { "threads", sweep_threads },
	{ "versions", sweep_versions }, { "latency", sweep_latency },
};

/* The file named, or SmolLM2, fetched once. */
static char *find_file(const struct sweep *s)
{
	char script[2048], *path;
	const char *argv[] = { "sh", script, NULL };
	struct bench_program p = { .argv = argv, .is_told = true };

	if (s->options->file_count)
		return strdup(s->options->files[0]);
	if (bench_find(s->cmd, "fetch-smollm2.sh", script, sizeof(script)))
		return NULL;
	path = bench_program_output(s->cmd, &p);
	if (path)
		path[strcspn(path, "\n")] = 0;
	return path;
}

static int run_sweeps(struct sweep *s)
{
	int err = bench_host_import(s->cmd, s->dir, "sweep@1.0.0", s->file);

	if (!err)
		err = bench_host_import(s->cmd, s->dir, "sweep@1.1.0", s->file);
	for (size_t i = 0; !err && i < sizeof(sweeps) / sizeof(sweeps[0]); i++)
		if (bench_is_wanted(s->options->sweep, sweeps[i].name))
			err = sweeps[i].run(s);
	return err;
}

int bench_sweep(const struct cmd *cmd, const struct bench_options *options, json_t *out)
{
	struct sweep s = {
		.cmd = cmd, .options = options, .isa = options->isa ?: "auto", .out = out
	};
	char *file = find_file(&s);
	int err = file ? bench_dir_make(cmd, s.dir, sizeof(s.dir)) : CMD_FAILED;

	s.file = file;
	bench_machine(out, options->threads);
	if (!err) {
		json_object_set_new(
			out, "file",
			json_string(strrchr(file, '/') ? strrchr(file, '/') + 1 : file));
		if (!cmd->json)
			bench_machine_print(out);
		err = run_sweeps(&s);
	}
	free(file);
	return err;
}
