/* SPDX-License-Identifier: MIT */
/* speed_test.c: a candidate's steps against the active version's, on a machine that others use too. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../../daemon/worker/wrk.h"
#include "t.h"

static struct mhs_board board;
static struct mhs_image_header image = { .model = "m" };
static struct wrk_version versions[2];	/* active, candidate */
static struct wrk w;
static uint64_t seed;

static double uniform(void)
{
	return ((double)(t_random(&seed) >> 11) + 0.5) / 9007199254740992.0;
}

static void fresh(uint32_t mode)
{
	struct mhs_route route = { .active = 1, .candidate = 2, .weight = 2500, .mode = mode };

	memset(&board, 0, sizeof(board));
	memset(&w, 0, sizeof(w));
	seed = 7;
	mhs_board_init(&board);
	t_eq(mhs_board_add(&board, "m", ""), 0);
	mhs_flip(&board, 0, &route);
	w.board = &board;
	for (uint32_t i = 0; i < 2; i++)
		versions[i] = (struct wrk_version){ .index = i + 1, .serial = i + 1, .model_index = -1,
						    .image = &image, .next = i ? NULL : &versions[1] };
	w.versions = versions;
}

/* A step of @rows rows of requests of one version; each lasts for the whole test. */
static void step(struct wrk_request *requests, uint32_t version, uint32_t rows, double ns)
{
	w.row_count = rows;
	for (uint32_t i = 0; i < rows; i++)
		w.row_owner[i] = &requests[i];
	wrk_speed_note(&w, &versions[version], (uint64_t)ns);
}

static double ratio(const struct wrk_request *r)
{
	return (double)wrk_speed_own_ns(r) / (double)r->usual_ns;
}

#define REPLIES	300
#define SHARED	4
#define STEPS	12

struct means {
	double of[2];
	uint32_t count[2];
};

/*
 * Replies of 12 tokens, in turns: the active version has 1 to 6 at a time, the candidate 1 or 2. The
 * machine is up to three times slower for a while, and now and then a step is interrupted.
 */
static struct means traffic(double slower)
{
	static struct wrk_request requests[2][8];
	struct means means = { .of = { 0 } };

	for (uint32_t reply = 0; reply < REPLIES; reply++) {
		uint32_t rows[2] = { 1 + reply * 7 % 6, 1 + reply % 2 };

		memset(requests, 0, sizeof(requests));
		for (uint32_t s = 0; s < STEPS; s++)
			for (uint32_t v = 0; v < 2; v++) {
				double ns = 5e6 * (1 + 0.1 * rows[v]) * (2 + sin(reply / 15.0)) * (v ? slower : 1);

				ns *= 0.95 + 0.1 * uniform();
				step(requests[v], v, rows[v], uniform() < 0.05 ? 10 * ns : ns);
			}
		for (uint32_t v = 0; v < 2 && reply > 30; v++) {
			if (!requests[v][0].usual_ns)
				continue;
			means.of[v] += ratio(&requests[v][0]);
			means.count[v]++;
		}
	}
	for (uint32_t v = 0; v < 2; v++)
		means.of[v] /= means.count[v];
	return means;
}

static void equal_ones(void)
{
	struct means means;

	fresh(MHS_MODE_CANARY);
	means = traffic(1);
	printf("# equal: %.3f and %.3f of %u and %u replies\n", means.of[0], means.of[1], means.count[0],
	       means.count[1]);
	t_ok(means.count[1] > REPLIES / 2);
	t_near(means.of[1] / means.of[0], 1, 0.02);
}

static void slower_ones(void)
{
	struct means means;

	fresh(MHS_MODE_CANARY);
	means = traffic(1.3);
	printf("# 30 %% slower: %.3f and %.3f\n", means.of[0], means.of[1]);
	t_near(means.of[1] / means.of[0], 1.3, 0.04);
}

static void without_a_candidate(void)
{
	struct mhs_route route = { .active = 1 };

	fresh(MHS_MODE_CANARY);
	mhs_flip(&board, 0, &route);
	t_eq(traffic(1).count[0], 0);
	/* versions of another model are no measure */
	fresh(MHS_MODE_CANARY);
	strcpy(image.model, "other");
	t_eq(traffic(1).count[1], 0);
	strcpy(image.model, "m");
}

/* Nothing is guessed beyond the rows that were measured. */
static void rows_never_seen(void)
{
	static struct wrk_request a[4], b[4];

	memset(a, 0, sizeof(a));
	memset(b, 0, sizeof(b));
	fresh(MHS_MODE_CANARY);
	for (uint32_t s = 0; s < 20; s++) {
		step(a, 0, 3, 1e6);
		step(b, 1, 1, 1e6);
	}
	t_ok(a[0].compared > 0);
	t_eq(b[0].compared, 0);
	t_eq(wrk_speed_own_ns(&b[0]), 0);
}

/*
 * Requests of an adapter (0) and of its candidate (1) on one version that has no candidate: alone in a step,
 * or together, when both have what the slower one costs.
 */
static void adapters_share_steps(void)
{
	static struct wrk_request requests[2];
	double sum[2] = { 0 };

	fresh(MHS_MODE_CANARY);
	mhs_flip(&board, 0, &(struct mhs_route){ .active = 1 });
	for (uint32_t reply = 0; reply < REPLIES; reply++) {
		memset(requests, 0, sizeof(requests));
		for (uint32_t s = 0; s < 3 * SHARED; s++) {
			uint32_t who = s % 3, rows = who < 2 ? 1 : 2;

			w.row_count = rows;
			for (uint32_t i = 0; i < rows; i++) {
				w.row_owner[i] = &requests[who < 2 ? who : i];
				w.rows[i].adapter_count = 1;
			}
			wrk_speed_note(&w, &versions[0], (uint64_t)(1e6 * (who ? 1.3 : 1) *
				       (0.95 + 0.1 * uniform()) * (0.9 + 0.1 * rows)));
		}
		for (uint32_t v = 0; v < 2 && reply > 30; v++) {
			t_eq(requests[v].compared, 2 * SHARED);
			sum[v] += ratio(&requests[v]);
		}
	}
	printf("# an adapter 30 %% slower, half of the steps shared: %.3f\n", sum[1] / sum[0]);
	t_ok(sum[1] / sum[0] > 1.08 && sum[1] / sum[0] < 1.3);
	t_eq(versions[0].speed[0][0].count[1], 0);	/* says nothing about steps without */
}

int main(void)
{
	T_RUN(equal_ones);
	T_RUN(slower_ones);
	T_RUN(without_a_candidate);
	T_RUN(rows_never_seen);
	T_RUN(adapters_share_steps);
	return t_done();
}
