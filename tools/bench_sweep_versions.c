/* SPDX-License-Identifier: MIT */
/* bench_sweep_versions.c: speed against resident versions; how long loads and flips take. */
#include <stdio.h>

#include "bench_sweep.h"

#define VERSIONS	64u
#define STREAMS		8u
#define PROMPT		16u
#define OUTPUT		256u
#define FLIPS		100u
#define LOADS		40u
#define LATENCY_FLIPS	400u

static double median(double *values, uint32_t n)
{
	return bench_spread(values, n).p50;
}

/* Model "many": VERSIONS versions of the small model that comes with mhost; they share its weights. */
static int import_many(struct sweep *s)
{
	char path[2048], ref[32];
	int err = bench_find(s->cmd, "tiny/model", path, sizeof(path));

	for (uint32_t i = 0; !err && i < VERSIONS; i++) {
		snprintf(ref, sizeof(ref), "many@1.%u.0", i);
		err = bench_host_import(s->cmd, s->dir, ref, path);
	}
	return err;
}

struct point {
	double one, spread_out;		/* tokens/s of one stream; of STREAMS over all versions */
	double flip_us;
};

/* tokens/s of @streams on as many versions as there are, as far as they go round. */
static int decode(struct sweep *s, struct bench *b, uint32_t streams, uint32_t versions,
		  double *rate)
{
	char names[STREAMS][16];
	const char *list[BENCH_STREAMS_MAX];
	struct bench_totals totals;
	struct bench_load *load;

	for (uint32_t i = 0; i < STREAMS; i++) {
		snprintf(names[i], sizeof(names[i]), "1.%u.0", (i * versions / STREAMS) % versions);
		list[i] = names[i];
	}
	b->stream_versions = list;
	load = bench_load_start(b, streams, PROMPT, OUTPUT);
	if (!load)
		return cmd_fail(s->cmd, CMD_FAILED, "out of memory");
	bench_sleep(1.0);
	totals = bench_load_stop(&load);
	b->stream_versions = NULL;
	*rate = (double)totals.tokens / totals.seconds;
	return totals.failed ? cmd_fail(s->cmd, CMD_FAILED, "%llu of %u streams failed",
					(unsigned long long)totals.failed, streams) : CMD_OK;
}

static int flips(struct bench *b, uint32_t count, const char *one, const char *two, double *us)
{
	double wall_us, read_bytes = 0;
	int err = CMD_OK;

	for (uint32_t i = 0; !err && i < count; i++)
		err = bench_flip(b, "activate", i % 2 ? one : two, &us[i], &wall_us, &read_bytes);
	return err;
}

static int versions_at(struct sweep *s, struct bench *b, uint32_t n, struct point *p)
{
	double us[FLIPS];
	char last[16];
	int err = decode(s, b, 1, 1, &p->one);

	snprintf(last, sizeof(last), "1.%u.0", n - 1);
	if (!err)
		err = decode(s, b, STREAMS, n, &p->spread_out);
	if (!err && n > 1)
		err = flips(b, FLIPS, "1.0.0", last, us);
	p->flip_us = n > 1 && !err ? median(us, FLIPS) : 0;
	return err;
}

static int load_up_to(struct bench *b, uint32_t from, uint32_t to)
{
	char version[16];
	json_t *done;

	for (uint32_t i = from; i < to; i++) {
		snprintf(version, sizeof(version), "1.%u.0", i);
		done = bench_call(b, "load", version);
		json_decref(done);
		if (!done)
			return CMD_FAILED;
	}
	return CMD_OK;
}

static int all_versions(struct sweep *s, struct bench *b, struct svg_plot *plot)
{
	json_t *list = json_array();
	int err = CMD_OK;

	json_object_set_new(s->out, "versions", list);
	if (!s->cmd->json)
		printf("%-10s %14s %14s %10s\n", "versions", "1 stream tok/s", "8 on all tok/s",
		       "flip us");
	for (uint32_t n = 1; !err && n <= VERSIONS; n *= 2) {
		struct point p = { 0 };

		err = load_up_to(b, n / 2 > 1 ? n / 2 : 1, n);
		if (!err)
			err = versions_at(s, b, n, &p);
		if (err)
			break;
		json_array_append_new(list, json_pack("{s:i, s:f, s:f, s:f}", "versions", (int)n,
						      "one_stream_tokens_per_s", p.one,
						      "streams_8_on_all_tokens_per_s", p.spread_out,
						      "flip_us", p.flip_us));
		svg_add(plot, 0, "one stream", n, p.one);
		svg_add(plot, 1, "8 streams over all", n, p.spread_out);
		if (!s->cmd->json)
			printf("%-10u %14.1f %14.1f %10.1f\n", n, p.one, p.spread_out, p.flip_us);
		fflush(stdout);
	}
	return err;
}

int sweep_versions(struct sweep *s)
{
	struct svg_plot plot = { .title = "Tiny model, against resident versions",
				 .x_name = "versions in memory", .y_name = "tokens/s" };
	struct bench_host host;
	struct bench b;
	int err = import_many(s);

	if (err)
		return err;
	err = sweep_host(s, s->options->threads, &host, &b);
	json_decref(b.out);
	b.out = NULL;
	if (!err)
		err = bench_host_use(&host, "many", &b);
	if (!err)
		err = all_versions(s, &b, &plot);
	sweep_host_stop(&host, &b);
	return err ? err : sweep_plot(s, &plot, "versions");
}

/* ---- histograms ----------------------------------------------------------------------------- */

static int loads(struct bench *b, double *ms)
{
	int err = CMD_OK;

	for (uint32_t i = 0; !err && i < LOADS; i++) {
		json_t *gone = i ? bench_call(b, "unload", "1.1.0") : json_object();
		json_t *done = gone ? bench_call(b, "load", "1.1.0") : NULL;

		err = done ? CMD_OK : CMD_FAILED;
		ms[i] = json_number_value(json_object_get(done, "load_ns")) / 1e6;
		json_decref(done);
		json_decref(gone);
	}
	return err;
}

static void tell(struct sweep *s, json_t *to, struct svg_plot *plot, uint32_t line,
		 const char *name, const char *key, double *values, uint32_t n)
{
	struct spread d;

	svg_add_histogram(plot, line, name, values, n);
	d = bench_spread(values, n);
	json_object_set_new(to, key, bench_spread_json(&d));
	if (!s->cmd->json)
		printf("%-24s p50 %.4g  p90 %.4g  p99 %.4g  max %.4g  (n %u)\n", key, d.p50, d.p90,
		       d.p99, d.max, n);
	fflush(stdout);
}

static int latency(struct sweep *s, struct bench *b, double *ms, struct svg_plot *load_plot,
		   struct svg_plot *flip_plot)
{
	double us[LATENCY_FLIPS];
	json_t *to = json_object();
	struct bench_totals totals = { 0 };
	struct bench_load *load;
	int err;

	json_object_set_new(s->out, "latency", to);
	tell(s, to, load_plot, 0, "load", "load_ms", ms, LOADS);
	err = flips(b, LATENCY_FLIPS, "1.0.0", "1.1.0", us);
	if (err)
		return err;
	tell(s, to, flip_plot, 0, "idle", "flip_idle_us", us, LATENCY_FLIPS);
	load = bench_load_start(b, STREAMS, PROMPT, OUTPUT);
	if (!load)
		return cmd_fail(s->cmd, CMD_FAILED, "out of memory");
	bench_sleep(0.5);
	err = flips(b, LATENCY_FLIPS, "1.0.0", "1.1.0", us);
	totals = bench_load_stop(&load);
	if (!err && totals.failed)
		err = cmd_fail(s->cmd, CMD_FAILED, "%llu of %u streams failed",
			       (unsigned long long)totals.failed, STREAMS);
	if (!err)
		tell(s, to, flip_plot, 1, "under 8 streams", "flip_loaded_us", us, LATENCY_FLIPS);
	return err;
}

int sweep_latency(struct sweep *s)
{
	struct svg_plot load_plot = { .title = "Load, from open to checked and sealed",
				      .x_name = "ms",
				      .y_name = "percent of loads",
				      .is_histogram = 1 };
	struct svg_plot flip_plot = {
		.title = "Flip, route store to adoption, beyond the running step",
		.x_name = "us",
		.y_name = "percent of flips",
		.is_histogram = 1
	};
	struct bench_host host = { .isa = s->isa, .threads = s->options->threads };
	struct bench b = { .cmd = &host.cmd, .model = "sweep" };
	double ms[LOADS];
	int err = bench_host_start(&host, s->cmd, s->dir);

	/* First, while no other version with these weights is in memory. */
	if (!err)
		err = loads(&b, ms);
	if (!err)
		err = bench_host_use(&host, "sweep", &b);
	if (!err)
		err = latency(s, &b, ms, &load_plot, &flip_plot);
	sweep_host_stop(&host, &b);
	if (!err)
		err = sweep_plot(s, &load_plot, "load");
	return err ? err : sweep_plot(s, &flip_plot, "flip");
}
