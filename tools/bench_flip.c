/* SPDX-License-Identifier: MIT */
/* bench_flip.c: flip and rollback latency, idle and while 8 streams run. */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

#define FLIPS		200u
#define STREAMS		8u

struct samples {
	double flip_us[FLIPS], rollback_us[FLIPS], wall_us[FLIPS];
	double read_bytes;
};

int bench_flip(struct bench *b, const char *command, const char *version, double *us,
	       double *wall_us, double *read_bytes)
{
	json_t *done = bench_call(b, command, version);

	if (!done)
		return CMD_FAILED;
	*us = json_number_value(json_object_get(done, "flip_ns")) / 1e3;
	*wall_us = json_number_value(json_object_get(done, "flip_wall_ns")) / 1e3;
	*read_bytes += json_number_value(json_object_get(done, "read_bytes"));
	json_decref(done);
	return CMD_OK;
}

static int flips(struct bench *b, json_t *out, const char *name)
{
	struct samples *s = calloc(1, sizeof(*s));
	char key[64];
	int err = s ? CMD_OK : CMD_FAILED;

	for (uint32_t i = 0; !err && i < FLIPS; i++) {
		err = bench_flip(b, "activate", b->other, &s->flip_us[i], &s->wall_us[i],
				 &s->read_bytes);
		if (!err)
			err = bench_flip(b, "rollback", "", &s->rollback_us[i], &s->wall_us[i],
					 &s->read_bytes);
	}
	if (!err) {
		struct spread flip = bench_spread(s->flip_us, FLIPS);
		struct spread rollback = bench_spread(s->rollback_us, FLIPS);
		struct spread wall = bench_spread(s->wall_us, FLIPS);

		snprintf(key, sizeof(key), "%s_flip_us", name);
		json_object_set_new(out, key, bench_spread_json(&flip));
		snprintf(key, sizeof(key), "%s_rollback_us", name);
		json_object_set_new(out, key, bench_spread_json(&rollback));
		snprintf(key, sizeof(key), "%s_with_step_us", name);
		json_object_set_new(out, key, bench_spread_json(&wall));
		snprintf(key, sizeof(key), "%s_read_bytes", name);
		json_object_set_new(out, key, json_real(s->read_bytes));
	}
	free(s);
	return err;
}

int bench_part_flip(struct bench *b)
{
	json_t *out = json_object(), *loaded;
	struct bench_load *load;
	struct bench_totals totals;
	int err;

	json_object_set_new(b->out, "flip", out);
	if (!b->other[0]) {
		json_object_set_new(out, "skipped", json_string("only one version in the store"));
		return CMD_OK;
	}
	loaded = bench_call(b, "load", b->other);
	json_decref(loaded);
	err = loaded ? flips(b, out, "idle") : CMD_FAILED;
	if (err)
		return err;
	load = bench_load_start(b, STREAMS, 16, 64);
	if (!load)
		return CMD_FAILED;
	err = flips(b, out, "loaded");
	totals = bench_load_stop(&load);
	json_object_set_new(out, "requests_meanwhile", json_integer((json_int_t)totals.requests));
	json_object_set_new(out, "failed_meanwhile", json_integer((json_int_t)totals.failed));
	return err;
}
