/* SPDX-License-Identifier: MIT */
/* bench.c: what the parts of `mhost bench` share: time, spread, and which versions there are. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double bench_now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void bench_sleep(double seconds)
{
	struct timespec ts = { .tv_sec = (time_t)seconds,
			       .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9) };

	nanosleep(&ts, NULL);
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
	s.p95 = values[n * 95 / 100];
	s.p99 = values[n * 99 / 100];
	s.max = values[n - 1];
	return s;
}

json_t *bench_spread_json(const struct spread *s)
{
	return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "n", (json_int_t)s->n, "min",
			 s->min, "p50", s->p50, "p90", s->p90, "p95", s->p95, "p99", s->p99, "max",
			 s->max);
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
		snprintf(b->name, sizeof(b->name), "%s", name);
		b->model = b->name;
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

int bench_prepare(struct bench *b)
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

bool bench_is_wanted(const char *only, const char *name)
{
	const char *at = only ? strstr(only, name) : NULL;
	size_t n = strlen(name);

	return !only || (at && (at == only || at[-1] == ',') && (!at[n] || at[n] == ','));
}
