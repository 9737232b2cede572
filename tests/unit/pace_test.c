/* SPDX-License-Identifier: MIT */
/* pace_test.c: the choice of prompt rows beside streams, on machines whose step times are known formulas. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t.h"
#include "../../daemon/worker/wrk_pace.h"

/* A step costs base + stream per stream; prompts cost extra once, and row for each row. In ns. */
struct machine {
	double base, stream, extra, row;
	double noise;			/* share of steps that take three times as long */
};

static uint64_t step_ns(const struct machine *m, uint32_t streams, uint32_t rows, uint64_t *seed)
{
	double ns = m->base + m->stream * streams + (rows ? m->extra + m->row * rows : 0);

	if ((double)(t_random(seed) % 1000) < 1000 * m->noise)
		ns *= 3;
	return (uint64_t)ns;
}

struct outcome {
	double p95;			/* of steps with prompts, against one without, noise left out */
	double rows;			/* mean */
	uint32_t skipped;		/* steps without prompt rows */
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* A prompt is always waiting; the first steps only learn. */
static struct outcome run(const struct machine *m, uint32_t streams, uint32_t prompts)
{
	const uint32_t learning = 200, steps = 2000;
	struct machine clean = *m;
	static double stretch[2000];
	struct wrk_pace pace = { 0 };
	struct outcome out = { 0 };
	uint64_t seed = 5;

	clean.noise = 0;
	for (uint32_t i = 0; i < learning + steps; i++) {
		uint32_t rows = wrk_pace_rows(&pace, streams, prompts, 0);

		wrk_pace_note(&pace, streams, rows, step_ns(m, streams, rows, &seed));
		if (i < learning)
			continue;
		out.rows += rows / (double)steps;
		out.skipped += rows == 0;
		stretch[i - learning] = (double)step_ns(&clean, streams, rows, &seed) /
					(double)step_ns(&clean, streams, 0, &seed);
	}
	qsort(stretch, steps, sizeof(stretch[0]), compare);
	out.p95 = stretch[steps * 95 / 100];
	return out;
}

static void stays_within_the_stretch(void)
{
	static const struct machine machines[] = {
		{ 2e6, 5e5, 0, 5e5, 0 }, { 2e6, 5e5, 0, 2e5, 0 }, { 1e7, 1e5, 5e5, 1e5, 0 },
		{ 2e6, 5e5, 3e5, 1e5, 0.02 }, { 2e7, 1e6, 0, 1e5, 0.05 },
	};

	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++) {
		for (uint32_t streams = 2; streams <= 64; streams *= 2) {
			struct outcome o = run(&machines[i], streams, 1);

			if (!t_ok(o.p95 <= 1.5) || !t_ok(o.p95 >= 1.2 || o.rows > 100) ||
			    !t_ok(o.skipped <= 2000 / 30))
				printf("# machine %zu, %u streams: %.2f x, %.1f rows, %u skipped\n", i,
				       streams, o.p95, o.rows, o.skipped);
		}
	}
}

/* Rows so dear that none fits: the prompt still gets on. */
static void a_prompt_always_gets_on(void)
{
	const struct machine m = { 1e6, 1e5, 1e7, 5e6, 0 };
	struct outcome o = run(&m, 4, 1);

	t_ok(o.rows > 1.5);
}

static void a_crowd_of_prompts_weighs_more(void)
{
	const struct machine m = { 2e6, 5e5, 0, 2e5, 0 };
	double one = run(&m, 4, 1).rows, as_many = run(&m, 4, 4).rows, crowd = run(&m, 4, 16).rows;

	t_ok(one == as_many);
	t_ok(crowd > 2 * one);
}

/* Where the cost of a row is known, a crowd gets what takes 30 ms; a few prompts do not. */
static void a_crowd_is_let_in(void)
{
	struct wrk_pace pace = { 0 };

	wrk_pace_note(&pace, 0, 100, 100 * UINT64_C(1000000));
	wrk_pace_note(&pace, 4, 0, 4000000);
	wrk_pace_note(&pace, 4, 4, 8000000);
	t_eq(wrk_pace_rows(&pace, 4, 5, 0), 30);
	t_eq(wrk_pace_rows(&pace, 8, 2, 0), 30);	/* what is left of it */
	t_ok(wrk_pace_rows(&pace, 9, 1, 0) < 5);
	t_ok(wrk_pace_rows(&pace, 8, 2, 0) < 5);	/* this is none */
	t_ok(wrk_pace_rows(&pace, 4, 3, 0) < 5);
	t_ok(wrk_pace_rows(&pace, 4, 2, 2) < 5);
	t_ok(wrk_pace_rows(&pace, 16, 4, 0) < 5);
	t_eq(wrk_pace_rows(&pace, 15, 4, 0), 30);
	t_ok(wrk_pace_rows(&pace, 16, 0, 0) < 5);
	t_eq(wrk_pace_rows(&pace, 4, 4, 0), 30);
}

/* The machine becomes slower (contexts grow), then as fast as before. */
static void follows_a_change(void)
{
	struct machine m = { 2e6, 5e5, 0, 2e5, 0 };
	struct wrk_pace pace = { 0 };
	uint64_t seed = 1;

	for (uint32_t phase = 0; phase < 3; phase++) {
		double most = 0;

		m.row = phase == 1 ? 8e5 : 2e5;
		for (uint32_t i = 0; i < 400; i++) {
			uint32_t rows = wrk_pace_rows(&pace, 4, 1, 0);
			uint64_t ns = step_ns(&m, 4, rows, &seed);

			wrk_pace_note(&pace, 4, rows, ns);
			if (i >= 100 && (double)ns / 4e6 > most)
				most = (double)ns / 4e6;
		}
		t_ok(most <= 1.5 && most > 1.1);
	}
}

static void nothing_streams(void)
{
	struct wrk_pace pace = { 0 };

	t_ok(wrk_pace_rows(&pace, 0, 1, 0) > 64);	/* nobody waits for the step */
	t_ok(wrk_pace_rows(&pace, 0, 1, 3) > 0);	/* others do: unknown, but not nothing */
	t_ok(wrk_pace_rows(&pace, 0, 1, 3) < 64);
	t_eq(wrk_pace_rows(&pace, 4, 1, 0), 0);		/* measure the streams first */
	wrk_pace_note(&pace, 4, 0, 1000000);
	t_ok(wrk_pace_rows(&pace, 4, 1, 0) > 0);
	t_ok(wrk_pace_rows(&pace, 1000, 1, 0) > 0);	/* more than the table holds */
}

/* Large steps while nothing streams, but none that somebody would wait long for. */
static void a_prompt_alone(void)
{
	struct wrk_pace fast = { 0 }, slow = { 0 };

	for (uint32_t i = 0; i < 50; i++) {
		uint32_t rows = wrk_pace_rows(&fast, 0, 1, 0);

		wrk_pace_note(&fast, 0, rows, rows * UINT64_C(300000));
		rows = wrk_pace_rows(&slow, 0, 1, 0);
		wrk_pace_note(&slow, 0, rows, rows * UINT64_C(6000000));
	}
	t_eq(wrk_pace_rows(&fast, 0, 1, 0), 256);
	t_eq(wrk_pace_rows(&slow, 0, 1, 0), 128);
}

int main(void)
{
	T_RUN(stays_within_the_stretch);
	T_RUN(a_prompt_always_gets_on);
	T_RUN(a_crowd_of_prompts_weighs_more);
	T_RUN(a_crowd_is_let_in);
	T_RUN(follows_a_change);
	T_RUN(nothing_streams);
	T_RUN(a_prompt_alone);
	return t_done();
}
