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

#include "bench_peer.h"

#define SMALL_BYTES	(256u << 20)	/* larger files: fewer turns, and the best level alone */
#define STREAM_FILES	2u

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
		if (!err && l->bench.context < PEER_PROMPT + PEER_OUTPUT)
			err = cmd_fail(p->cmd, CMD_FAILED,
				       "the model's context is %u tokens, limit at "
				       "least %u; take another file",
				       l->bench.context, PEER_PROMPT + PEER_OUTPUT);
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
		err = peer_speed(p, file, path, is_small);
	if (!err && is_small && p->stream_files < STREAM_FILES &&
	    bench_is_wanted(p->options->only, "streams")) {
		p->stream_files++;
		err = peer_streams(p, file, path);
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
		if (peer_is_text(p))
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

	if (peer_is_text(p)) {
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
