/* SPDX-License-Identifier: MIT */
/*
 * bench_load.c: load of a version against the best raw reads of the same file, in turns: our own
 * over io_uring, and fio's where it is installed. All go past the page cache. The file is the
 * largest that the version shares with none in memory: what a load reads.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define TURNS_MAX	1000u
#define FIO_BYTES_MIN	(UINT64_C(16) << 20)	/* less is over before fio has its clocks going */

enum series {
	RAW, FIO, LOAD, READ, LOAD_RAW, READ_RAW, LOAD_FIO, ALLOCATE, ATTACH, ATTACH_FAULTS, SMOKE,
	SMOKE_FAULTS, FIRST_FAULTS, SERIES_COUNT
};

static const char *const keys[SERIES_COUNT] = {
	[RAW] = "raw_gb_per_s",
	[FIO] = "fio_gb_per_s",
	[LOAD] = "load_gb_per_s",		/* pages made, read, hashed, sealed, checked */
	/* the same less the time that reading waited for pages */
	[READ] = "load_without_pages_gb_per_s",
	[LOAD_RAW] = "load_over_raw",
	/* like for like: raw reads into pages that exist */
	[READ_RAW] = "load_without_pages_over_raw",
	[LOAD_FIO] = "load_over_fio",
	[ALLOCATE] = "allocate_pages_ms",	/* most of it while reading */
	/* as the slowest worker reports it, without its first token */
	[ATTACH] = "attach_ms_per_gib",
	[ATTACH_FAULTS] = "attach_faults",
	[SMOKE] = "attach_first_token_ms",
	[SMOKE_FAULTS] = "attach_first_token_faults",
	[FIRST_FAULTS] = "first_request_faults",	/* all workers */
};

struct load {
	struct bench *b;
	struct bench_raw *raw;
	char path[4096];				/* of the file */
	const struct bench_way *raw_way, *fio_way;	/* the fastest; NULL: no fio */
	double values[SERIES_COUNT][TURNS_MAX];
	json_t *answer;					/* the last load's */
};

static double number(const json_t *answer, const char *key)
{
	return json_number_value(json_object_get(answer, key));
}

/* Which way reads fastest, one try each after one that warms up. */
static int ways_choose(struct load *l)
{
	const bool with_fio = bench_raw_bytes(l->raw) >= FIO_BYTES_MIN;
	double raw_best = 0, fio_best = 0;

	bench_raw_read(l->raw, &bench_ways[0]);
	for (uint32_t i = 0; i < bench_way_count; i++) {
		double s = bench_raw_read(l->raw, &bench_ways[i]);
		double fio = !with_fio || (i && !fio_best) ? 0 :
			     bench_fio_read(l->path, &bench_ways[i]);

		if (s < 0)
			return cmd_fail(l->b->cmd, CMD_FAILED, "%s: raw read: %s", l->path, strerror((int)-s));
		if (!l->raw_way || s < raw_best) {
			raw_best = s;
			l->raw_way = &bench_ways[i];
		}
		if (fio > fio_best) {
			fio_best = fio;
			l->fio_way = &bench_ways[i];
		}
	}
	return CMD_OK;
}

/* Minor page faults of all workers so far. */
static double worker_faults(const struct bench *b)
{
	json_t *workers = bench_call(b, "workers", NULL), *worker;
	double sum = 0;
	size_t i;

	json_array_foreach(json_object_get(workers, "workers"), i, worker) {
		char path[64];
		unsigned long faults = 0;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/stat", (int)json_integer_value(json_object_get(worker, "pid")));
		f = fopen(path, "r");
		if (f && fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %lu", &faults) == 1)
			sum += (double)faults;
		if (f)
			fclose(f);
	}
	json_decref(workers);
	return sum;
}

/* One load by the host; the version is unloaded before. */
static int host_load(struct load *l)
{
	json_t *gone = bench_call(l->b, "unload", l->b->other);

	json_decref(l->answer);
	l->answer = gone ? bench_call(l->b, "load", l->b->other) : NULL;
	json_decref(gone);
	return l->answer ? CMD_OK : CMD_FAILED;
}

static int turn(struct load *l, uint32_t i)
{
	const double bytes = (double)bench_raw_bytes(l->raw);
	double raw_s = bench_raw_read(l->raw, l->raw_way), faults, load_s, gib, loaded;

	if (raw_s < 0)
		return cmd_fail(l->b->cmd, CMD_FAILED, "%s: raw read: %s", l->path, strerror((int)-raw_s));
	if (l->fio_way)
		l->values[FIO][i] = bench_fio_read(l->path, l->fio_way);
	if (host_load(l))
		return CMD_FAILED;
	load_s = number(l->answer, "load_ns") / 1e9;
	loaded = number(l->answer, "read_bytes");
	gib = number(l->answer, "bytes") / (double)(UINT64_C(1) << 30);
	l->values[RAW][i] = bytes / 1e9 / raw_s;
	l->values[LOAD][i] = loaded / 1e9 / load_s;
	l->values[READ][i] = loaded / 1e9 / (load_s - number(l->answer, "page_wait_ns") / 1e9);
	l->values[LOAD_RAW][i] = l->values[LOAD][i] / l->values[RAW][i];
	l->values[READ_RAW][i] = l->values[READ][i] / l->values[RAW][i];
	if (l->fio_way)
		l->values[LOAD_FIO][i] = l->values[LOAD][i] / l->values[FIO][i];
	l->values[ALLOCATE][i] = number(l->answer, "allocate_ns") / 1e6;
	l->values[ATTACH][i] = number(l->answer, "worker_attach_ns") / 1e6 / gib;
	l->values[ATTACH_FAULTS][i] = number(l->answer, "worker_attach_faults");
	l->values[SMOKE][i] = number(l->answer, "worker_smoke_ns") / 1e6;
	l->values[SMOKE_FAULTS][i] = number(l->answer, "worker_smoke_faults");
	faults = worker_faults(l->b);
	if (bench_one_token(l->b, l->b->other))
		return CMD_FAILED;
	l->values[FIRST_FAULTS][i] = worker_faults(l->b) - faults;
	return CMD_OK;
}

static void way_text(const struct bench_way *way, const char *memory, json_t *out, const char *key)
{
	char text[96];

	snprintf(text, sizeof(text), "%u KiB x %u in flight%s%s", way->block_bytes >> 10, way->depth,
		 memory[0] ? ", " : "", memory);
	json_object_set_new(out, key, json_string(text));
}

static void report(struct load *l, json_t *out)
{
	json_object_set_new(out, "image_mb", json_real((double)bench_raw_bytes(l->raw) / 1e6));
	for (uint32_t i = 0; i < SERIES_COUNT; i++) {
		struct spread s = bench_spread(l->values[i], l->b->repeat);

		if (l->fio_way || (i != FIO && i != LOAD_FIO))
			json_object_set_new(out, keys[i], bench_spread_json(&s));
	}
	json_object_set_new(out, "load_includes", json_string("pages made, read, hashed, sealed, checked"));
	way_text(l->raw_way, bench_raw_memory(l->raw), out, "raw_best");
	if (l->fio_way)
		way_text(l->fio_way, "", out, "fio_best");
	json_object_set(out, "method", json_object_get(l->answer, "method"));
	json_object_set(out, "rung", json_object_get(l->answer, "rung"));
}

/* Once the version is in memory: l->path, or CMD_OK and empty when it has no weights for itself. */
static int find_file(struct load *l)
{
	json_t *show = bench_call(l->b, "show", l->b->other), *extent;
	int slash = (int)(strrchr(l->b->path, '/') - l->b->path);
	json_int_t most = 0;
	size_t i;

	if (!show)
		return CMD_FAILED;
	json_array_foreach(json_object_get(show, "extents"), i, extent) {
		const char *pack = json_string_value(json_object_get(extent, "pack"));
		json_int_t bytes = json_integer_value(json_object_get(extent, "length_bytes"));

		if (bytes <= most || json_integer_value(json_object_get(extent, "versions")) != 1)
			continue;
		most = bytes;
		if (pack)
			snprintf(l->path, sizeof(l->path), "%.*s/pack-%.64s.mhp", slash, l->b->path, pack);
		else
			snprintf(l->path, sizeof(l->path), "%s", l->b->path);
	}
	if (i > 1 && !strcmp(l->path, l->b->path))	/* its tables alone */
		l->path[0] = '\0';
	json_decref(show);
	return CMD_OK;
}

static int measure(struct load *l, json_t *out)
{
	int err;

	/* so that the first turn too finds it to be unloaded */
	l->answer = bench_call(l->b, "load", l->b->other);
	err = l->answer ? find_file(l) : CMD_FAILED;
	if (err)
		return err;
	if (!l->path[0]) {
		json_object_set_new(out, "skipped", json_string("the other version shares its weights"));
		return CMD_OK;
	}
	err = bench_raw_open(l->path, &l->raw);
	if (err)
		return cmd_fail(l->b->cmd, CMD_FAILED, "%s: raw read: %s", l->path, strerror(-err));
	err = ways_choose(l);
	for (uint32_t i = 0; !err && i < l->b->repeat; i++)
		err = turn(l, i);
	return err;
}

int bench_part_load(struct bench *b)
{
	struct load *l = calloc(1, sizeof(*l));
	json_t *out = json_object();
	int err = CMD_OK;

	json_object_set_new(b->out, "load", out);
	if (!l)
		return cmd_fail(b->cmd, CMD_FAILED, "out of memory");
	l->b = b;
	if (b->other[0])
		err = measure(l, out);
	else
		json_object_set_new(out, "skipped", json_string("only one version in the store"));
	if (!err && l->raw)
		report(l, out);
	json_decref(l->answer);
	bench_raw_close(&l->raw);
	free(l);
	return err;
}
