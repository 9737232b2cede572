/* SPDX-License-Identifier: MIT */
/*
 * adapter_trial_test.c: releases of adapters as a worker sees them: whom a split chooses, what becomes of
 * a request at which a candidate fails, who is blamed and what is recorded of whom.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "t.h"
#include "t_bad.h"
#include "t_import.h"
#include "t_peft.h"
#include "t_served.h"

#define PEFT	T_REFERENCE "/peft"
#define ALL	MHS_ROUTE_WEIGHT_MAX

/* Versions of the model, of the adapter "style", and another adapter. */
enum { BASE = 1, BASE_NEXT, STYLE, STYLE_NEXT, STYLE_BROKEN, OTHER, COUNT };

static struct t_served served;
static struct t_wrk *const world = &served.world;

static void route(const char *adapter, uint32_t active, uint32_t candidate, uint32_t weight)
{
	struct mhs_route r = { .active = active, .candidate = candidate, .weight = weight,
			       .mode = candidate ? MHS_MODE_CANARY : MHS_MODE_NONE };

	mhs_flip(&world->board, (uint32_t)mhs_board_add(&world->board, "tiny", adapter), &r);
}

static bool world_make(void)
{
	memset(&served, 0, sizeof(served));
	if (!t_wrk_open(world, 64 << 20) || !t_wrk_attach(world, BASE, "1.0.0", "tools/tiny/model") ||
	    !t_wrk_attach(world, BASE_NEXT, "1.1.0", "tools/tiny/model-b") ||
	    !t_wrk_attach_adapter(world, STYLE, "style@1.0.0", PEFT "/r1_all") ||
	    !t_wrk_attach_adapter(world, STYLE_NEXT, "style@1.1.0", PEFT "/r4_all_linear") ||
	    !t_wrk_attach_adapter(world, STYLE_BROKEN, "style@1.2.0", t_peft_overflowing()) ||
	    !t_wrk_attach_adapter(world, OTHER, "other@1.0.0", PEFT "/regex_r3"))
		return false;
	route("", BASE, 0, 0);
	route("style", STYLE, 0, 0);
	route("other", OTHER, 0, 0);
	return true;
}

static void world_free(void)
{
	for (uint32_t i = 0; i < COUNT; i++)
		t_eq(atomic_load(&world->slot.pins[i]), 0);
	t_eq(world->w.queued_count, 0);
	t_wrk_close(world);
}

#define WORLD()	do { T_NEED_REFERENCE(PEFT "/peft.json"); t_need(world_make()); } while (0)

static struct mhs_adapter_ref ref(const char *name, const char *semver, float scale)
{
	struct mhs_adapter_ref r = { .scale = scale };

	strcpy(r.name, name);
	strcpy(r.semver, semver);
	return r;
}

/* A prompt that is always the same. */
static struct t_seen *ask(uint32_t kind, uint64_t key, const struct mhs_adapter_ref *refs, uint32_t count)
{
	struct mhs_request rq = { .max_tokens = kind == MHS_REC_GENERATE ? 9 : 0, .temperature = 0.7f,
				  .seed = 5, .adapter_count = count, .session_key = key };
	uint32_t prompt[40];
	uint64_t seed = 40;

	for (uint32_t i = 0; i < 40; i++)
		prompt[i] = (uint32_t)(3 + t_random(&seed) % 500);
	return t_submit(&served, kind, &rq, prompt, 40, refs);
}

static struct t_seen *styled(const char *semver, float scale)
{
	struct mhs_adapter_ref r = ref("style", semver, scale);

	return ask(MHS_REC_GENERATE, 0, &r, 1);
}

/* What is on record of @version: ends with @error, and whether another had failed before. */
static uint32_t records(uint32_t version, uint32_t error, bool moved)
{
	return t_wrk_records(world, version, error, moved);
}

/* Versions that the supervisor was told of, one bit each. */
static uint32_t evidence(void)
{
	uint32_t counts[MHS_VERSION_MAX], found = 0;

	t_wrk_evidence(world, counts);
	for (uint32_t i = 0; i < COUNT; i++)
		found |= counts[i] ? 1u << i : 0;
	return found;
}

static void whole(const struct t_seen *s, uint32_t base, uint32_t adapter)
{
	if (!t_ok(s->begins == 1 && s->ends == 1 && !s->disordered && s->count == 9 && s->end_count == 9))
		printf("# begins %u, ends %u, %u tokens, error %u: %s\n", s->begins, s->ends, s->count,
		       s->error, s->message);
	t_eq(s->version, base);
	t_eq(s->begin.adapter_count, 1);
	t_eq(s->used[0].version_index, adapter);
}

static void same(const struct t_seen *a, const struct t_seen *b)
{
	t_mem_eq(a->tokens, b->tokens, sizeof(a->tokens));
}

static uint64_t counted(uint32_t adapter, size_t offset)
{
	struct mhs_stats_row *row = mhs_stats_adapter_row(&world->stats, adapter, 10 + adapter);

	return mhs_stats_get((_Atomic uint64_t *)(void *)((char *)row + offset));
}

static uint64_t timed(uint32_t adapter, enum mhs_hist hist)
{
	uint64_t sum = 0;

	for (uint32_t b = 0; b < MHS_HIST_BUCKETS; b++)
		sum += counted(adapter, offsetof(struct mhs_stats_row, hist) +
			       (hist * MHS_HIST_BUCKETS + b) * sizeof(uint64_t));
	return sum;
}

/* -- a split ----------------------------------------------------------------------------------- */

static void a_candidate_that_works(void)
{
	struct t_seen *routed, *named, *active;

	WORLD();
	route("style", STYLE, STYLE_NEXT, ALL);
	routed = styled("", 1);
	t_turn_begin(&served);
	t_need(world->w.running_count == 1 && world->w.running[0]->on_trial);
	t_eq(routed->begins, 0);
	named = styled("1.1.0", 1);
	active = styled("1.0.0", 1);
	t_serve_all(&served);
	whole(routed, BASE, STYLE_NEXT);
	whole(named, BASE, STYLE_NEXT);
	whole(active, BASE, STYLE);
	same(routed, named);
	t_ok(memcmp(named->tokens, active->tokens, sizeof(named->tokens)) != 0);
	t_eq(records(STYLE_NEXT, MHS_ERR_NONE, false), 2);
	t_eq(records(STYLE, MHS_ERR_NONE, false), 1);
	t_eq(records(BASE, MHS_ERR_NONE, false), 3);
	t_eq(counted(STYLE_NEXT, offsetof(struct mhs_stats_row, requests)), 2);
	t_eq(counted(STYLE_NEXT, offsetof(struct mhs_stats_row, completed)), 2);
	t_eq(counted(STYLE_NEXT, offsetof(struct mhs_stats_row, output_tokens)), 18);
	t_eq(counted(STYLE_NEXT, offsetof(struct mhs_stats_row, prompt_tokens)), 80);
	t_eq(timed(STYLE_NEXT, MHS_HIST_FIRST_TOKEN), 2);
	t_eq(timed(STYLE_NEXT, MHS_HIST_INTER_TOKEN), 16);
	t_eq(timed(STYLE_NEXT, MHS_HIST_TOTAL), 2);
	world_free();
}

/* In each 10,000 exactly; here the first 100, where 25 % are 25. A session stays where it is. */
static void shares_and_sessions(void)
{
	struct mhs_adapter_ref style = ref("style", "", 1), both[2] = { style, ref("other", "", 1) };
	uint32_t candidates = 0, sides[3] = { 0, 0, 0 }, crossed = 0;

	WORLD();
	route("style", STYLE, STYLE_NEXT, ALL / 4);
	for (uint32_t i = 0; i < 100; i++) {
		const struct t_seen *s = ask(MHS_REC_SCORE, 0, &style, 1);

		t_serve_all(&served);
		candidates += s->used[0].version_index == STYLE_NEXT;
	}
	t_ok(candidates >= 24 && candidates <= 26);
	route("style", STYLE, STYLE_NEXT, ALL / 2);
	route("other", OTHER, STYLE, ALL / 2);		/* any other version will do */
	for (uint64_t key = 1; key <= 40; key++) {
		uint32_t first[2];

		for (uint32_t round = 0; round < 3; round++) {
			const struct t_seen *s = ask(MHS_REC_SCORE, key, both, 2);

			t_serve_all(&served);
			for (uint32_t k = 0; k < 2; k++) {
				if (!round)
					first[k] = s->used[k].version_index;
				t_eq(s->used[k].version_index, first[k]);
			}
		}
		sides[0] += first[0] == STYLE_NEXT;
		sides[1] += first[1] == STYLE;
		crossed += (first[0] == STYLE_NEXT) != (first[1] == STYLE);
	}
	t_ok(sides[0] > 8 && sides[0] < 32 && sides[1] > 8 && sides[1] < 32);
	t_ok(crossed > 8 && crossed < 32);	/* one release is not the other's */
	world_free();
}

/* -- failures ---------------------------------------------------------------------------------- */

static void the_candidate_fails(void)
{
	struct t_seen *routed[8], *named;

	WORLD();
	route("style", STYLE, STYLE_BROKEN, ALL);
	for (uint32_t i = 0; i < 8; i++)
		routed[i] = styled("", 1);
	named = styled("1.0.0", 1);
	t_serve_all(&served);
	for (uint32_t i = 0; i < 8; i++) {
		whole(routed[i], BASE, STYLE);
		same(routed[i], named);
	}
	t_eq(records(STYLE_BROKEN, MHS_ERR_NAN, false), 8);
	t_eq(records(STYLE, MHS_ERR_NONE, true), 8);
	t_eq(records(BASE, MHS_ERR_NAN, false), 0);
	t_eq(records(BASE, MHS_ERR_NONE, true), 8);
	t_eq(evidence(), 1u << STYLE_BROKEN);
	t_eq(counted(STYLE_BROKEN, offsetof(struct mhs_stats_row, nan_logits)), 8);
	world_free();
}

static void scores_are_answered_by_the_active_one(void)
{
	struct mhs_adapter_ref routed = ref("style", "", 1), named = ref("style", "1.0.0", 1);
	struct t_seen *a, *b;

	WORLD();
	route("style", STYLE, STYLE_BROKEN, ALL);
	a = ask(MHS_REC_SCORE, 0, &routed, 1);
	b = ask(MHS_REC_SCORE, 0, &named, 1);
	t_serve_all(&served);
	t_eq(a->reason, MHS_END_STOP);
	t_eq(a->score_count, 40);
	t_mem_eq(a->scores, b->scores, sizeof(a->scores));
	t_eq(a->used[0].version_index, STYLE);
	world_free();
}

static void asked_for_by_name(void)
{
	struct t_seen *s;

	WORLD();
	s = styled("1.2.0", 1);
	t_serve_all(&served);
	t_eq(s->error, MHS_ERR_NAN);
	t_eq(evidence(), 1u << STYLE_BROKEN);		/* the version below serves others well */
	t_eq(records(STYLE_BROKEN, MHS_ERR_NAN, false), 1);
	t_eq(records(BASE, MHS_ERR_NAN, false), 0);
	world_free();
}

/* Nobody but the client is to blame, so nothing is rolled back for it. */
static void scaled_beyond_all_measure(void)
{
	struct t_seen *s;

	WORLD();
	route("", BASE, BASE_NEXT, ALL);
	route("style", STYLE, STYLE_NEXT, ALL);
	s = styled("", 3e38f);
	t_serve_all(&served);
	t_eq(s->error, MHS_ERR_NAN);
	t_eq(evidence(), 0);
	for (uint32_t i = BASE; i < COUNT; i++)
		t_eq(records(i, MHS_ERR_NAN, false) + records(i, MHS_ERR_NAN, true), 0);
	world_free();
}

/* Either may be it: both are left. */
static void candidates_of_both(void)
{
	struct t_seen *s, *named;

	WORLD();
	route("", BASE, BASE_NEXT, ALL);
	route("style", STYLE, STYLE_BROKEN, ALL);
	s = styled("", 1);
	t_serve_all(&served);
	whole(s, BASE, STYLE);
	t_eq(evidence(), 1u << STYLE_BROKEN | 1u << BASE_NEXT);
	route("", BASE, 0, 0);
	named = styled("1.0.0", 1);
	t_serve_all(&served);
	same(s, named);
	world_free();
}

/* The model's candidate fails, the adapter has none: it stays. */
static void the_candidate_below_fails(void)
{
	struct t_seen *s;

	WORLD();
	route("", BASE, BASE_NEXT, ALL);
	wrk_version_by_index(&world->w, BASE_NEXT)->rehearsal.errors = 100;
	s = styled("", 1);
	t_serve_all(&served);
	whole(s, BASE, STYLE);
	t_eq(records(BASE_NEXT, MHS_ERR_INTERNAL, false), 1);
	t_eq(records(STYLE, MHS_ERR_INTERNAL, false), 0);
	t_eq(records(STYLE, MHS_ERR_NONE, true), 1);
	world_free();
}

/* -- a worker dies ----------------------------------------------------------------------------- */

/* What the supervisor would read if the worker died now and now, one bit each. */
static _Atomic uint32_t marks;
static _Atomic bool looking;

static void *look(void *arg)
{
	while (looking) {
		uint32_t mark = atomic_load(&world->slot.step_version);

		marks |= mark ? 1u << mark : 0;
	}
	return NULL;
}

static uint32_t marks_of(uint64_t key, const struct mhs_adapter_ref *refs, uint32_t count)
{
	pthread_t thread;

	wrk_version_by_index(&world->w, BASE)->rehearsal.slow = 1000;
	looking = true;
	marks = 0;
	if (pthread_create(&thread, NULL, look, NULL))
		return 0;
	for (uint32_t i = 0; i < 500 && !marks; i++) {		/* the looker needs a CPU, too */
		ask(MHS_REC_GENERATE, key, refs, count);
		t_serve_all(&served);
	}
	looking = false;
	pthread_join(thread, NULL);
	return marks;
}

static void a_death_is_laid_to_the_new_one(void)
{
	struct mhs_adapter_ref routed = ref("style", "", 1);

	WORLD();
	t_eq(marks_of(0, &routed, 1), 1u << BASE);
	route("style", STYLE, STYLE_NEXT, ALL);
	t_eq(marks_of(0, &routed, 1), 1u << STYLE_NEXT);
	t_eq(marks_of(0, NULL, 0), 1u << BASE);
	t_eq(atomic_load(&world->slot.step_version), 0);
	world_free();
}

/* -- room -------------------------------------------------------------------------------------- */

/* What a first token waits for holds BEGIN with its adapters. */
static void held_bytes_suffice(void)
{
	struct mhs_adapter_ref refs[2] = { ref("style", "", 1), ref("other", "", 1) };
	struct wrk_request *r;
	uint64_t before;

	WORLD();
	route("style", STYLE, STYLE_NEXT, ALL);
	ask(MHS_REC_GENERATE, 0, refs, 2);
	t_turn_begin(&served);
	t_need(world->w.running_count == 1);
	r = world->w.running[0];
	t_ok(r->on_trial);
	before = atomic_load(&world->lane->event.head);
	wrk_trial_show(&world->w, r);
	t_ok(r->begun && r->prompt_sent == 40);
	t_ok(atomic_load(&world->lane->event.head) - before <= wrk_trial_held_bytes(r));
	t_serve_all(&served);
	world_free();
}

int main(void)
{
	log_init("adapter_trial", LOG_LVL_ERROR);
	T_RUN(a_candidate_that_works);
	T_RUN(shares_and_sessions);
	T_RUN(the_candidate_fails);
	T_RUN(scores_are_answered_by_the_active_one);
	T_RUN(asked_for_by_name);
	T_RUN(scaled_beyond_all_measure);
	T_RUN(candidates_of_both);
	T_RUN(the_candidate_below_fails);
	T_RUN(a_death_is_laid_to_the_new_one);
	T_RUN(held_bytes_suffice);
	return t_done();
}
