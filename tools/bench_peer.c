/* SPDX-License-Identifier: MIT */
/*
 * bench_peer.c: `mhost bench --peer`: mhost and llama.cpp on the same file with the same threads.
 * Each file is imported into a store of our own; a host for each ISA level and llama.cpp's programs
 * take turns, and what is told is the median of the ratios of each turn.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench_peer.h"

#define SMALL_BYTES	(256u << 20)	/* larger files: fewer turns, and the best level alone */
#define LARGE_TURNS	3u
#define PROMPT		512u
#define OUTPUT		128u
#define GENERIC_PROMPT	64u		/* plain C is slow: less of it, in one turn */
#define GENERIC_OUTPUT	16u
#define STREAMS		16u
#define STREAM_PROMPT	64u
#define STREAM_OUTPUT	64u
#define STREAM_SECONDS	10u		/* --seconds */
#define STREAM_TURNS	3u
#define STREAM_FILES	2u
#define CONTEXT		4096u

struct pair {
	double mhost[BENCH_REPEAT_MAX], llama[BENCH_REPEAT_MAX], ratio[BENCH_REPEAT_MAX];
};

/* One ISA level on one file. */
struct level {
	const char *isa;
	struct bench_host host;
	struct bench bench;
	struct mhost *session;
	struct pair *decode, *prompt;
};

struct peer {
	const struct cmd *cmd;
	const struct bench_options *options;
	struct llama llama;
	char dir[1024];
	struct level levels[BENCH_ISA_MAX];
	uint32_t level_count, stream_files;
	/* sums of logarithms of the small files' ratios */
	double log_decode[BENCH_ISA_MAX], log_prompt[BENCH_ISA_MAX];
	uint32_t mean_count;
	json_t *out, *files;
};

static bool is_text(const struct peer *p)
{
	return !p->cmd->json;
}

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
	if (is_text(p))
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
	uint32_t n = is_generic(l) ? GENERIC_PROMPT : PROMPT;
	uint32_t output = is_generic(l) ? GENERIC_OUTPUT : OUTPUT;
	uint32_t ids[PROMPT];
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
			err = llama_bench(&p->llama, path, avx2, PROMPT, OUTPUT,
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

static int speed(struct peer *p, json_t *file, const char *path, bool is_small)
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
	if (is_text(p) && !is_small)
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

/* The level that the host takes by itself, against llama-server. */
static int streams(struct peer *p, json_t *file, const char *path)
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

static int levels_start(struct peer *p)
{
	int err = CMD_OK;

	for (uint32_t i = 0; !err && i < p->level_count; i++) {
		struct level *l = &p->levels[i];

		l->host.isa = l->isa;
		l->host.threads = p->options->threads;
		err = bench_host_start(&l->host, p->cmd, p->dir);
		if (!err)
			err = bench_host_use(&l->host, "peer", &l->bench);
		if (!err && l->bench.context < PROMPT + OUTPUT)
			err = cmd_fail(p->cmd, CMD_FAILED,
				       "the model's context is %u tokens, limit at "
				       "least %u; take another file",
				       l->bench.context, PROMPT + OUTPUT);
		if (!err && mhost_connect(&l->session, l->host.socket))
			err = cmd_fail(p->cmd, CMD_FAILED, "%s", mhost_errmsg(l->session));
	}
	return err;
}

static void levels_stop(struct peer *p)
{
	for (uint32_t i = 0; i < BENCH_ISA_MAX; i++) {
		struct level *l = &p->levels[i];

		mhost_close(&l->session);
		bench_host_stop(&l->host);
		json_decref(l->bench.out);
		l->bench = (struct bench){ 0 };
		l->host = (struct bench_host){ 0 };
	}
}

static json_t *file_object(const char *path, off_t bytes)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	const char *dot = strstr(name, ".gguf");

	return json_pack("{s:o, s:I, s:[]}", "file",
			 json_stringn(name, dot ? (size_t)(dot - name) : strlen(name)), "bytes",
			 (json_int_t)bytes, "rows");
}

static int measure(struct peer *p, json_t *file, const char *path, bool is_small)
{
	int err = levels_start(p);

	if (!err && bench_is_wanted(p->options->only, "speed"))
		err = speed(p, file, path, is_small);
	if (!err && is_small && p->stream_files < STREAM_FILES &&
	    bench_is_wanted(p->options->only, "streams")) {
		p->stream_files++;
		err = streams(p, file, path);
	}
	levels_stop(p);
	return err;
}

static int compare_file(struct peer *p, const char *path)
{
	uint32_t all = p->level_count;
	struct stat st;
	json_t *file;
	int err;

	if (stat(path, &st))
		return cmd_fail(p->cmd, CMD_FAILED, "%s: %s", path, strerror(errno));
	file = file_object(path, st.st_size);
	json_array_append_new(p->files, file);
	if (st.st_size >= SMALL_BYTES)
		p->level_count = 1;
	err = bench_host_import(p->cmd, p->dir, "peer@1.0.0", path);
	if (!err)
		err = measure(p, file, path, st.st_size < SMALL_BYTES);
	p->level_count = all;
	bench_host_forget(p->dir);
	return err;
}

static void add_means(struct peer *p)
{
	json_t *list = json_array();

	json_object_set_new(p->out, "geometric_mean_ratio", list);
	for (uint32_t i = 0; p->mean_count && i < p->level_count; i++) {
		double decode = exp(p->log_decode[i] / p->mean_count);
		double prompt = exp(p->log_prompt[i] / p->mean_count);
		const char *isa = p->levels[i].isa;

		json_array_append_new(list, json_pack("{s:s, s:f, s:f, s:i}", "isa", isa, "decode",
						      decode, "prompt", prompt, "files",
						      (int)p->mean_count));
		if (is_text(p))
			printf("geometric mean of %u files, %s: decode %.2f, prompt of 512 %.2f\n",
			       p->mean_count, isa, decode, prompt);
	}
}

/* The files that a comparison takes when none is named: made once, into the cache. */
static char *usual_files(struct peer *p)
{
	char script[2048];
	const char *argv[] = { "sh", script, p->llama.home, NULL };
	struct bench_program run = { .argv = argv, .is_told = true };

	if (bench_find(p->cmd, "bench_peer_models.sh", script, sizeof(script)))
		return NULL;
	return bench_program_output(p->cmd, &run);
}

static int compare_usual(struct peer *p)
{
	char *list = usual_files(p), *save = NULL, *path;
	int err = list ? CMD_OK : CMD_FAILED;

	for (path = list ? strtok_r(list, "\n", &save) : NULL; !err && path;
	     path = strtok_r(NULL, "\n", &save))
		err = compare_file(p, path);
	free(list);
	return err;
}

static int compare_all(struct peer *p)
{
	const struct bench_options *o = p->options;
	int err = CMD_OK;

	if (is_text(p)) {
		bench_machine_print(p->out);
		printf("%-30s %-8s %-16s %9s %9s  %5s  %-10s  n\n", "file", "isa", "what", "mhost",
		       "llama.cpp", "ratio", "min..max");
	}
	if (!o->file_count)
		return compare_usual(p);
	for (int i = 0; !err && i < o->file_count; i++)
		err = compare_file(p, o->files[i]);
	return err;
}

static struct pair *make_pairs(struct peer *p)
{
	struct pair *pairs = calloc(2 * BENCH_ISA_MAX, sizeof(*pairs));

	for (uint32_t i = 0; pairs && i < BENCH_ISA_MAX; i++) {
		p->levels[i].decode = &pairs[2 * i];
		p->levels[i].prompt = &pairs[2 * i + 1];
	}
	return pairs;
}

int bench_peer(const struct cmd *cmd, const struct bench_options *options, json_t *out)
{
	struct peer p = { .cmd = cmd, .options = options, .out = out };
	const char *isas[BENCH_ISA_MAX];
	struct pair *pairs = make_pairs(&p);
	int err = pairs ? CMD_OK : CMD_FAILED;

	p.llama = (struct llama){ .cmd = cmd, .dir = p.dir, .threads = options->threads };
	p.files = json_array();
	json_object_set_new(out, "files", p.files);
	if (!err)
		err = bench_isa_levels(cmd, options->isa, isas, &p.level_count);
	for (uint32_t i = 0; !err && i < p.level_count; i++)
		p.levels[i].isa = isas[i];
	if (!err)
		err = llama_find(&p.llama);
	if (!err)
		err = bench_dir_make(cmd, p.dir, sizeof(p.dir));
	if (!err) {
		bench_machine(out, options->threads);
		json_object_set_new(out, "llama_cpp", json_string(strrchr(p.llama.home, '/') + 1));
		err = compare_all(&p);
	}
	if (!err)
		add_means(&p);
	free(pairs);
	return err;
}
