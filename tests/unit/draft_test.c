/* SPDX-License-Identifier: MIT */
/* draft_test.c: guesses against a plain search, odds, and the shares that rows are dealt in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../daemon/worker/wrk_draft.h"
#include "t.h"

#define TOKENS	600u

/* Where the last 3 or else 2 tokens before @count last stood, what followed them; 0: nowhere. */
static uint32_t plain_search(const uint32_t *tokens, uint32_t count)
{
	for (uint32_t n = 3; n >= 2; n--)
		for (uint32_t at = count - 1; at >= n && n < count; at--)
			if (!memcmp(tokens + at - n, tokens + count - n, n * sizeof(*tokens)))
				return at;
	return 0;
}

/* Every guess that is no continuation of a right one is the plain search's, but where slots are shared. */
static void follow(const uint32_t *tokens, uint32_t prompt)
{
	struct wrk_draft d = { 0 };
	uint32_t looked = 0, right = 0, other = 0;

	t_need(wrk_draft_init(&d, tokens, prompt, TOKENS) == 0);
	for (uint32_t count = prompt; count < TOKENS; count++) {
		uint32_t was = d.next;
		bool hit = was && tokens[was] == tokens[count];

		wrk_draft_push(&d, tokens, count + 1);
		right += hit;
		looked += !hit;
		if (hit)
			t_eq(d.next, was + 1);
		else
			other += d.next != plain_search(tokens, count + 1);
		if (!d.next)
			continue;
		t_ok(d.next >= 2 && d.next <= count);
		t_mem_eq(tokens + d.next - 2, tokens + count - 1, 2 * sizeof(*tokens));
		t_eq(wrk_draft_token(&d, tokens, count + 1, 0), tokens[d.next]);
	}
	t_ok(looked > 0 && right > 0);
	if (!t_ok(other * 5 < looked))
		printf("# %u of %u guesses are others\n", other, looked);
	wrk_draft_fini(&d);
}

static void guesses_are_the_plain_search(void)
{
	uint32_t tokens[TOKENS];

	for (uint64_t seed = 1; seed <= 20; seed++) {
		uint64_t state = seed;

		/* Few distinct tokens, and stretches copied from before. */
		for (uint32_t i = 0; i < TOKENS; i++)
			tokens[i] = (uint32_t)(t_random(&state) % (3 + seed));
		for (uint32_t i = 100; i + 50 < TOKENS; i += 90)
			memmove(tokens + i, tokens + t_random(&state) % 50, 40 * sizeof(*tokens));
		follow(tokens, 1 + (uint32_t)seed * 10);
	}
}

static void a_loop_goes_on(void)
{
	uint32_t tokens[TOKENS] = { 9, 8, 7, 1, 2, 3, 1, 2, 3, 1, 2 };
	struct wrk_draft d = { 0 };

	t_need(wrk_draft_init(&d, tokens, 11, TOKENS) == 0);
	t_eq(d.next, 8);
	for (uint32_t i = 0; i < 15; i++)
		t_eq(wrk_draft_token(&d, tokens, 11, i), 1 + (i + 2) % 3);
	wrk_draft_fini(&d);
}

static void odds_follow_the_guesses(void)
{
	uint32_t tokens[TOKENS];
	struct wrk_draft d = { 0 };
	float first;

	for (uint32_t i = 0; i < TOKENS; i++)
		tokens[i] = i % 40;
	t_need(wrk_draft_init(&d, tokens, 50, TOKENS) == 0);
	first = wrk_draft_odds(&d, 0);
	for (uint32_t count = 51; count <= 300; count++)
		wrk_draft_push(&d, tokens, count);
	t_ok(wrk_draft_odds(&d, 0) > first && wrk_draft_odds(&d, 0) > 0.99f);
	/* From here on each pair is known, and is never followed by what followed it before. */
	for (uint32_t count = 301; count < TOKENS; count += 3) {
		uint32_t at = 1 + count % 37;

		memcpy(tokens + count - 1, (uint32_t[]){ at, at + 1, 99 + count }, 12);
		for (uint32_t i = 0; i < 3; i++)
			wrk_draft_push(&d, tokens, count + i);
	}
	d.match = 2;
	t_ok(wrk_draft_odds(&d, 0) < 0.05f);
	wrk_draft_fini(&d);
}

static void without_slots_nothing_is_guessed(void)
{
	uint32_t tokens[] = { 1, 2, 1, 2, 1 };
	struct wrk_draft d = { 0 };

	wrk_draft_push(&d, tokens, 5);
	t_eq(d.next, 0);
}

/* -- costs ------------------------------------------------------------------------------------- */

static void costs_are_means_and_lines_between(void)
{
	struct wrk_costs c = { 0 };

	t_ok(wrk_costs_of(&c, 3) > wrk_costs_of(&c, 2));
	for (int i = 0; i < 50; i++) {
		wrk_costs_add(&c, 2, 1000);
		wrk_costs_add(&c, 6, 3000);
	}
	t_near(wrk_costs_of(&c, 2), 1000, 1);
	t_near(wrk_costs_of(&c, 4), 2000, 1);
	t_near(wrk_costs_of(&c, 6), 3000, 1);
	t_ok(wrk_costs_of(&c, 1) < 1000 && wrk_costs_of(&c, 1) > 0);
	t_ok(wrk_costs_of(&c, 64) > 3000);
	wrk_costs_add(&c, 0, 5);	/* out of range: without effect */
	wrk_costs_add(&c, 65, 5);
	t_near(wrk_costs_of(&c, 2), 1000, 1);
}

static void an_outlier_counts_little_and_is_forgotten(void)
{
	struct wrk_costs c = { 0 };

	for (int i = 0; i < 20; i++)
		wrk_costs_add(&c, 1, 1000);
	wrk_costs_add(&c, 1, 1000000);
	t_ok(wrk_costs_of(&c, 1) < 1200);
	wrk_costs_add(&c, 5, 1000000);	/* the first measurement of all is a bad one */
	t_near(wrk_costs_of(&c, 5), 1000000, 1);
	for (int i = 0; i < 300; i++)
		wrk_costs_add(&c, 1, 1000);
	t_ok(wrk_costs_of(&c, 5) < 5000);
}

/* -- shares ------------------------------------------------------------------------------------ */

/* A draft whose every guess has these odds, or none. */
static struct wrk_draft draft_of(float odds)
{
	struct wrk_draft d = { .next = odds > 0 ? 5 : 0, .match = 16 };

	for (uint32_t i = 0; i < WRK_DRAFT_CLASSES; i++)
		d.odds[i] = odds;
	return d;
}

/* A step takes @fixed and @each per row. */
static struct wrk_costs costs_of(double fixed, double each)
{
	struct wrk_costs c = { 0 };

	for (uint32_t rows = 1; rows <= WRK_COST_ROWS; rows++)
		wrk_costs_add(&c, rows, (uint64_t)(fixed + each * rows));
	return c;
}

static uint32_t plan_same(const struct wrk_costs *c, float odds, uint32_t streams, uint32_t most)
{
	struct wrk_draft d = draft_of(odds);
	struct wrk_bid bids[64];
	uint32_t rows = 0;

	for (uint32_t i = 0; i < streams; i++)
		bids[i] = (struct wrk_bid){ .draft = &d, .most = most };
	wrk_draft_plan(c, bids, streams, WRK_DRAFT_ROWS);
	for (uint32_t i = 0; i < streams; i++)
		rows += bids[i].rows;
	return rows;
}

static void rows_grow_with_the_odds(void)
{
	struct wrk_costs c = costs_of(10000, 1000);

	t_eq(plan_same(&c, 0, 1, 15), 0);
	t_eq(plan_same(&c, 0.05f, 1, 15), 0);
	t_ok(plan_same(&c, 0.5f, 1, 15) >= 1);
	t_ok(plan_same(&c, 0.9f, 1, 15) > plan_same(&c, 0.5f, 1, 15));
	t_eq(plan_same(&c, 1, 1, 15), 15);
	t_eq(plan_same(&c, 1, 1, 4), 4);
	t_eq(plan_same(&c, 1, 1, 0), 0);
	t_eq(plan_same(NULL, 1, 1, 15), 15);
}

static void dear_rows_are_not_drafted(void)
{
	struct wrk_costs dear = costs_of(0, 1000), cheap = costs_of(100000, 100);

	t_eq(plan_same(&dear, 0.9f, 1, 15), 0);
	t_eq(plan_same(&dear, 0.9f, 16, 15), 0);
	t_eq(plan_same(&cheap, 1, 16, 15), WRK_DRAFT_ROWS);
}

/* The best of all counts, by trying them. */
static void one_stream_gets_the_best_count(void)
{
	for (int each = 100; each < 4000; each += 300) {
		struct wrk_costs c = costs_of(5000, each);
		double best = 1.02;
		uint32_t want = 0;

		for (uint32_t k = 1; k <= 15; k++) {
			double tokens = 1, chance = 1, speed;

			for (uint32_t i = 0; i < k; i++)
				tokens += chance *= 0.8;
			speed = tokens * (5000 + each) / (5000 + (double)each * (k + 1));
			if (speed > best * (1 + 1e-6)) {
				best = speed;
				want = k;
			}
		}
		t_eq(plan_same(&c, 0.8f, 1, 15), want);
	}
}

/* One that copies beside fifteen that do not may cost them little, or nothing is drafted. */
static void others_are_not_slowed(void)
{
	struct wrk_draft sure = draft_of(1), none = draft_of(0);

	for (int each = 0; each <= 2000; each += 100) {
		struct wrk_costs c = costs_of(1000, each);
		struct wrk_bid bids[16];

		for (uint32_t i = 0; i < 16; i++)
			bids[i] = (struct wrk_bid){ .draft = i ? &none : &sure, .most = 15 };
		wrk_draft_plan(&c, bids, 16, WRK_DRAFT_ROWS);
		t_ok(wrk_costs_of(&c, 16 + bids[0].rows) <= 1.151f * wrk_costs_of(&c, 16));
		for (uint32_t i = 1; i < 16; i++)
			t_eq(bids[i].rows, 0);
		if (!each)
			t_eq(bids[0].rows, 15);
	}
}

int main(void)
{
	T_RUN(guesses_are_the_plain_search);
	T_RUN(a_loop_goes_on);
	T_RUN(odds_follow_the_guesses);
	T_RUN(without_slots_nothing_is_guessed);
	T_RUN(costs_are_means_and_lines_between);
	T_RUN(an_outlier_counts_little_and_is_forgotten);
	T_RUN(rows_grow_with_the_odds);
	T_RUN(dear_rows_are_not_drafted);
	T_RUN(one_stream_gets_the_best_count);
	T_RUN(others_are_not_slowed);
	return t_done();
}
