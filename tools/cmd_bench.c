/* SPDX-License-Identifier: MIT */
/* cmd_bench.c: `mhost bench`: which parts, on which versions; text for people, JSON for scripts. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

#define PARTS		"load,flip,rtt,speed,memory"
#define SYNOPSIS	"[MODEL] [--only " PARTS "] [--repeat N]"

static const struct {
	const char *name;
	int (*run)(struct bench *b);
} parts[] = {
	{ "load", bench_part_load },   { "flip", bench_part_flip },	{ "rtt", bench_part_rtt },
	{ "speed", bench_part_speed }, { "memory", bench_part_memory },
};

double bench_now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct spread bench_spread(double *values, size_t n)
{
	struct spread s = { .n = n };

	if (!n)
		return s;
	qsort(values, n, sizeof(*values), compare);
	s.min = values[0];
	s.p50 = values[n / 2];
	s.p90 = values[n * 90 / 100];
	s.p99 = values[n * 99 / 100];
	s.max = values[n - 1];
	return s;
}

json_t *bench_spread_json(const struct spread *s)
{
	return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f}", "n", (json_int_t)s->n, "min", s->min, "p50",
			 s->p50, "p90", s->p90, "p99", s->p99, "max", s->max);
}

json_t *bench_call(const struct bench *b, const char *command, const char *version)
{
	json_t *request = json_pack("{s:s}", "command", command);

	if (b->model && version)
		json_object_set_new(request, "model", json_string(b->model));
	if (version && version[0])
		json_object_set_new(request, "version", json_string(version));
	return ctl_call(b->cmd, request);
}

/* The model named, or the first one that has an active version. */
static int find_active(struct bench *b, const json_t *status)
{
	const json_t *model;
	size_t i;

	json_array_foreach(json_object_get(status, "models"), i, model) {
		const char *name = json_string_value(json_object_get(model, "name"));
		const char *active = json_string_value(json_object_get(model, "active"));

		if (!name || !active || (b->model && strcmp(b->model, name)))
			continue;
		b->model = strdup(name);
		snprintf(b->active, sizeof(b->active), "%s", active);
		return CMD_OK;
	}
	return cmd_fail(b->cmd, CMD_FAILED, "%s: has no active version; activate one first",
			b->model ? b->model : "the host");
}

/* Another version of the model in the store, for flips; none is fine. */
static void find_other(struct bench *b, const json_t *list)
{
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(list, "versions"), i, row) {
		const char *model = json_string_value(json_object_get(row, "model"));
		const char *version = json_string_value(json_object_get(row, "version"));

		if (model && version && !strcmp(model, b->model) && strcmp(version, b->active))
			snprintf(b->other, sizeof(b->other), "%s", version);
	}
}

static int describe(struct bench *b)
{
	json_t *show = bench_call(b, "show", b->other[0] ? b->other : b->active), *config;

	if (!show)
		return CMD_FAILED;
	config = json_object_get(show, "config");
	snprintf(b->path, sizeof(b->path), "%s",
		 json_string_value(json_object_get(show, "path")) ?: "");
	b->vocab = (uint32_t)json_integer_value(json_object_get(config, "vocab_count"));
	b->context = (uint32_t)json_integer_value(json_object_get(config, "context_max"));
	json_decref(show);
	return b->vocab && b->path[0] ? CMD_OK :
	       cmd_fail(b->cmd, CMD_FAILED, "the host does not say where %s lies", b->model);
}

static int prepare(struct bench *b)
{
	json_t *status = bench_call(b, "status", NULL), *list;
	int err = status ? find_active(b, status) : CMD_FAILED;

	if (!err) {
		list = bench_call(b, "list", NULL);
		find_other(b, list);
		json_decref(list);
		json_object_set_new(b->out, "model", json_string(b->model));
		json_object_set(b->out, "isa", json_object_get(status, "isa"));
		json_object_set(b->out, "pages", json_object_get(status, "pages"));
		json_object_set(b->out, "workers", json_object_get(status, "workers"));
		json_object_set(b->out, "threads", json_object_get(status, "threads"));
		err = describe(b);
	}
	json_decref(status);
	return err;
}

static void print_value(const char *part, const char *key, const json_t *value)
{
	const json_t *p50 = json_object_get(value, "p50");

	if (json_is_object(value) && p50)
		printf("%-7s %-30s p50 %.4g  p90 %.4g  p99 %.4g  max %.4g  (n %lld, min %.4g)\n", part,
		       key, json_number_value(p50), json_number_value(json_object_get(value, "p90")),
		       json_number_value(json_object_get(value, "p99")),
		       json_number_value(json_object_get(value, "max")),
		       json_integer_value(json_object_get(value, "n")),
		       json_number_value(json_object_get(value, "min")));
	else if (json_is_number(value))
		printf("%-7s %-30s %.4g\n", part, key, json_number_value(value));
	else if (json_is_string(value))
		printf("%-7s %-30s %s\n", part, key, json_string_value(value));
}

static void print_people(json_t *out)
{
	const char *part, *key;
	json_t *results, *value;

	json_object_foreach(out, part, results) {
		if (!json_is_object(results))
			print_value("", part, results);
		else
			json_object_foreach(results, key, value)
				print_value(part, key, value);
	}
}

static bool is_wanted(const char *only, const char *name)
{
	const char *at = only ? strstr(only, name) : NULL;
	size_t n = strlen(name);

	return !only || (at && (at == only || at[-1] == ',') && (!at[n] || at[n] == ','));
}

/* Every word between commas is a part. */
static bool all_known(const char *only)
{
	size_t known = 0, words = 1;

	for (const char *p = only; *p; p++)
		words += *p == ',';
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		known += is_wanted(only, parts[i].name);
	return known == words;
}

static int run_parts(struct bench *b, const char *only)
{
	int err = CMD_OK;

	for (size_t i = 0; !err && i < sizeof(parts) / sizeof(parts[0]); i++)
		if (is_wanted(only, parts[i].name))
			err = parts[i].run(b);
	return err;
}

int cmd_bench(struct cmd *cmd, int argc, char **argv)
{
	static const struct option options[] = { { "only", required_argument, NULL, 'o' },
						 { "repeat", required_argument, NULL, 'r' },
						 { 0 } };
	struct bench b = { .cmd = cmd };
	const char *only = NULL;
	uint64_t repeat = 5;
	int opt, err;

	while ((opt = cmd_getopt(cmd, argc, argv, ":", options)) != -1) {
		if (opt == '?')
			return CMD_USAGE;
		if (opt == 'o' && !all_known(only = optarg))
			return cmd_fail(cmd, CMD_USAGE, "--only %.40s: limit " PARTS " with commas "
					"between them; correct it", only);
		if (opt == 'r' && !cmd_parse_u64(optarg, 1, 1000, &repeat))
			return cmd_fail(cmd, CMD_USAGE, "--repeat %.40s: limit 1..1000; correct it",
					optarg);
	}
	b.repeat = (uint32_t)repeat;
	if (argc - optind > 1)
		return cmd_usage(cmd, SYNOPSIS);
	b.model = argv[optind];
	b.out = json_object();
	err = prepare(&b);
	if (!err)
		err = run_parts(&b, only);
	if (cmd->json && !err)
		json_dumpf(b.out, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
	else if (!err)
		print_people(b.out);
	if (cmd->json && !err)
		putchar('\n');
	json_decref(b.out);
	return err;
}
