/* SPDX-License-Identifier: MIT */
/*
 * adapter_shadow_test.c: replies made with adapters are compared with what a candidate, of an adapter or
 * of the version below, would have made of them: against scores that were asked for, and when not.
 */
#include <math.h>
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
#define PROMPT	12u
#define OUTPUT	40u

enum { BASE = 1, BASE_NEXT, FOREIGN, STYLE, STYLE_NEXT, STYLE_TWIN, STYLE_BROKEN, OTHER, COUNT };

static struct t_served served;
static struct t_wrk *const world = &served.world;

static void route(const char *adapter, uint32_t active, uint32_t candidate, uint32_t mode)
{
	struct mhs_route r = { .active = active, .candidate = candidate, .weight = ALL, .mode = mode };

	mhs_flip(&world->board, (uint32_t)mhs_board_add(&world->board, "tiny", adapter), &r);
}

static void shadow(const char *adapter, uint32_t active, uint32_t candidate)
{
	route(adapter, active, candidate, MHS_MODE_SHADOW);
}

static bool world_make(void)
{
	memset(&served, 0, sizeof(served));
	if (!t_wrk_open(world, 64 << 20) || !t_wrk_attach(world, BASE, "1.0.0", "tools/tiny/model") ||
	    !t_wrk_attach(world, BASE_NEXT, "1.1.0", "tools/tiny/model-b") ||
	    !t_wrk_attach_adapter(world, STYLE, "style@1.0.0", PEFT "/r1_all") ||
	    !t_wrk_attach_adapter(world, STYLE_NEXT, "style@1.1.0", PEFT "/r4_all_linear") ||
	    !t_wrk_attach_adapter(world, STYLE_TWIN, "style@1.2.0", PEFT "/r1_all") ||
	    !t_wrk_attach_adapter(world, STYLE_BROKEN, "style@1.3.0", t_peft_overflowing()) ||
	    !t_wrk_attach_adapter(world, OTHER, "other@1.0.0", PEFT "/regex_r3") ||
	    !t_wrk_attach(world, FOREIGN, "2.0.0", T_REFERENCE "/models/tied_f32"))
		return false;
	route("", BASE, 0, 0);
	route("style", STYLE, 0, 0);
	route("other", OTHER, 0, 0);
	return true;
}

static uint32_t pins(void)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < COUNT; i++)
		sum += atomic_load(&world->slot.pins[i]);
	return sum;
}

static void world_free(void)
{
	t_eq(pins(), 0);
	t_wrk_close(world);
}

#define WORLD()	do { T_NEED_REFERENCE(PEFT "/peft.json"); t_need(world_make()); } while (0)

/* "other", then "style" in version @semver ("": routed), twice as far as trained and half. */
static uint32_t refs_fill(struct mhs_adapter_ref refs[2], const char *semver, float scale)
{
	memset(refs, 0, 2 * sizeof(refs[0]));
	strcpy(refs[0].name, "other");
	refs[0].scale = 0.5f;
	strcpy(refs[1].name, "style");
	strcpy(refs[1].semver, semver);
	refs[1].scale = scale;
	return 2;
}

static struct t_seen *ask(const char *semver, float scale)
{
	struct mhs_adapter_ref refs[2];
	struct mhs_request rq = { .max_tokens = OUTPUT, .temperature = 0.8f, .seed = served.last_id,
				  .adapter_count = refs_fill(refs, semver, scale) };
	uint32_t prompt[PROMPT];
	uint64_t seed = served.last_id;
	struct t_seen *s;

	for (uint32_t i = 0; i < PROMPT; i++)
		prompt[i] = (uint32_t)(3 + t_random(&seed) % 500);
	s = t_submit(&served, MHS_REC_GENERATE, &rq, prompt, PROMPT, refs);
	t_serve_all(&served);
	t_eq(s->count, OUTPUT);
	return s;
}

static void compare_all(void)
{
	for (uint32_t i = 0; i < 1000 && world->w.shadow.count; i++) {
		t_turn_begin(&served);
		t_turn_end(&served);
		wrk_shadow_step(&world->w);
	}
	t_eq(world->w.shadow.count, 0);
}

/* The @n-th COMPARED record, from 0. */
static bool compared(uint32_t n, struct mhs_reply *reply)
{
	for (uint64_t i = 1; i <= mhs_reply_count(&world->replies); i++)
		if (mhs_reply_get(&world->replies, i, reply) == 0 &&
		    reply->kind == MHS_REPLY_COMPARED && n-- == 0)
			return true;
	return false;
}

/* Mean log-probability of the output of @s under the versions named, as anyone may ask for it. */
static float scored(const struct t_seen *s, const char *base, const char *semver, float scale)
{
	struct mhs_adapter_ref refs[2];
	struct mhs_request rq = { .adapter_count = refs_fill(refs, semver, scale) };
	uint32_t tokens[PROMPT + OUTPUT];
	const struct t_seen *score;
	double sum = 0;

	strcpy(rq.semver, base);
	memcpy(tokens, s->prompt, PROMPT * sizeof(tokens[0]));
	memcpy(tokens + PROMPT, s->tokens, OUTPUT * sizeof(tokens[0]));
	score = t_submit(&served, MHS_REC_SCORE, &rq, tokens, PROMPT + OUTPUT, refs);
	t_serve_all(&served);
	t_eq(score->score_count, PROMPT + OUTPUT);
	for (uint32_t i = 0; i < OUTPUT; i++)
		sum += (double)score->scores[PROMPT + i];
	return (float)(sum / OUTPUT);
}

static uint64_t serial(uint32_t index)
{
	return (uint64_t)(10 + index) << 12 | index;
}

#define NEAR(a, b)	t_near(a, b, fabs((double)(b)) * 1e-4 + 1e-6)

static void check(uint32_t n, uint32_t stable, uint32_t candidate, float stable_logprob, float logprob)
{
	struct mhs_reply reply;

	t_need(compared(n, &reply));
	t_eq(reply.stable_serial, serial(stable));
	t_eq(reply.version_serial, serial(candidate));
	t_eq(reply.compared_count, OUTPUT);
	t_eq(reply.error, 0);
	NEAR(reply.stable_logprob, stable_logprob);
	NEAR(reply.logprob, logprob);
	t_ok(fabsf(logprob - stable_logprob) > 1e-3f && reply.kl_mean > 0);	/* else nothing is tested */
}

static void candidate_of_an_adapter(void)
{
	struct t_seen s;

	WORLD();
	shadow("style", STYLE, STYLE_NEXT);
	for (uint32_t i = 0; i < 3; i++) {
		s = *ask("", 1.5f);
		t_eq(s.used[1].version_index, STYLE);
		compare_all();
		check(i, STYLE, STYLE_NEXT, scored(&s, "1.0.0", "1.0.0", 1.5f),
		      scored(&s, "1.0.0", "1.1.0", 1.5f));
	}
	world_free();
}

/* The reply's adapters are on both sides. */
static void candidate_of_the_version_below(void)
{
	struct t_seen s;

	WORLD();
	shadow("", BASE, BASE_NEXT);
	s = *ask("1.1.0", -1);
	compare_all();
	check(0, BASE, BASE_NEXT, scored(&s, "1.0.0", "1.1.0", -1), scored(&s, "1.1.0", "1.1.0", -1));
	world_free();
}

static void candidates_of_both(void)
{
	struct t_seen s;

	WORLD();
	shadow("", BASE, BASE_NEXT);
	shadow("style", STYLE, STYLE_NEXT);
	s = *ask("", 1);
	t_eq(world->w.shadow.count, 2);
	t_eq(pins(), 2 * 2 * 3);
	compare_all();
	check(0, BASE, BASE_NEXT, scored(&s, "1.0.0", "1.0.0", 1), scored(&s, "1.1.0", "1.0.0", 1));
	check(1, STYLE, STYLE_NEXT, scored(&s, "1.0.0", "1.0.0", 1), scored(&s, "1.0.0", "1.1.0", 1));
	world_free();
}

static void identical_adapters_agree(void)
{
	struct mhs_reply reply;

	WORLD();
	shadow("style", STYLE, STYLE_TWIN);
	ask("", 1);
	compare_all();
	t_need(compared(0, &reply));
	t_ok(reply.kl_mean == 0 && reply.kl_max == 0 && reply.logprob == reply.stable_logprob);
	t_eq(reply.top1_count, OUTPUT);
	t_eq(reply.first_divergence, UINT32_MAX);
	world_free();
}

static void numbers_that_are_none(void)
{
	uint32_t counts[MHS_VERSION_MAX];
	struct mhs_reply reply;

	WORLD();
	shadow("style", STYLE, STYLE_BROKEN);
	ask("", 1);
	compare_all();
	t_need(compared(0, &reply));
	t_eq(reply.error, MHS_ERR_NAN);
	t_eq(reply.version_serial, serial(STYLE_BROKEN));
	t_wrk_evidence(world, counts);
	for (uint32_t i = 0; i < COUNT; i++)
		t_eq(counts[i], i == STYLE_BROKEN);
	world_free();
}

static void what_is_not_compared(void)
{
	WORLD();
	shadow("style", STYLE, STYLE_NEXT);
	ask("1.0.0", 1);		/* by name */
	ask("", 3);			/* far beyond its training */
	t_eq(world->w.shadow.count, 0);
	shadow("", BASE, FOREIGN);
	ask("1.0.0", 1);		/* the candidate has another shape */
	t_eq(world->w.shadow.count, 0);
	t_eq(mhs_stats_get(&mhs_stats_row(&world->stats, FOREIGN, 10 + FOREIGN)->shadow_dropped), 1);
	world_free();
}

/* Some part goes, which the release is not about: it is not held up. */
static void a_withdrawn_part_ends_it(void)
{
	int64_t epoch;

	WORLD();
	shadow("style", STYLE, STYLE_NEXT);
	ask("", 1);
	t_eq(world->w.shadow.count, 1);
	route("other", STYLE_TWIN, 0, 0);
	t_turn(&served);
	t_eq(world->w.shadow.count, 1);		/* still there to be pinned */
	epoch = mhs_unpublish(&world->board, OTHER);
	t_need(epoch > 0);
	t_ok(!mhs_grace_over(&world->slot, OTHER, (uint64_t)epoch));
	t_turn(&served);
	t_eq(world->w.shadow.count, 0);
	t_ok(mhs_grace_over(&world->slot, OTHER, (uint64_t)epoch));
	t_eq(mhs_stats_get(&mhs_stats_adapter_row(&world->stats, STYLE_NEXT, 10 + STYLE_NEXT)->shadow_dropped),
	     1);
	world_free();
}

int main(void)
{
	log_init("adapter_shadow", LOG_LVL_ERROR);
	T_RUN(candidate_of_an_adapter);
	T_RUN(candidate_of_the_version_below);
	T_RUN(candidates_of_both);
	T_RUN(identical_adapters_agree);
	T_RUN(numbers_that_are_none);
	T_RUN(what_is_not_compared);
	T_RUN(a_withdrawn_part_ends_it);
	return t_done();
}
