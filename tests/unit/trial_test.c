/* SPDX-License-Identifier: MIT */
/*
 * trial_test.c: a worker's turns over a board that the test writes: requests that a split sent to a
 * candidate, which fails them sooner or later.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "t.h"
#include "t_served.h"

#define ALL	MHS_ROUTE_WEIGHT_MAX

enum { STABLE = 1, CANDIDATE, VERSIONS };

static const char *const semvers[VERSIONS] = { "", "1.0.0", "1.1.0" };
static const char *const paths[VERSIONS] = { "", "tools/tiny/model", "tools/tiny/model-b" };

static struct t_served served;
static struct t_wrk *const world = &served.world;

/* -- a worker --------------------------------------------------------------------------------- */

/* @weight of the traffic is the candidate's. */
static void route_set(uint32_t weight)
{
	struct mhs_route route = { .active = STABLE, .candidate = CANDIDATE, .weight = weight,
				   .mode = MHS_MODE_CANARY };

	mhs_flip(&world->board, 0, &route);
}

static bool world_make(void)
{
	bool good;

	memset(&served, 0, sizeof(served));
	good = t_wrk_open(world, 64 << 20);
	for (uint32_t i = 1; good && i < VERSIONS; i++)
		good = t_wrk_attach(world, i, semvers[i], paths[i]);
	route_set(ALL);
	return good;
}

static void world_free(void)
{
	uint32_t pins = atomic_load(&world->slot.pins[STABLE]) + atomic_load(&world->slot.pins[CANDIDATE]);

	t_eq(pins, 0);
	t_eq(world->w.queued_count, 0);
	t_ok(!world->w.requests);
	t_wrk_close(world);
}

/* A prompt of @count ids that is always the same; @semver NULL: by the route. */
static struct t_seen *ask(uint32_t kind, uint32_t count, uint32_t output, const char *semver)
{
	struct mhs_request rq = { .max_tokens = output, .temperature = 0.7f, .seed = 5 };
	uint32_t prompt[T_SERVED_TOKENS];
	uint64_t seed = count;

	if (semver)
		strcpy(rq.semver, semver);
	for (uint32_t i = 0; i < count; i++)
		prompt[i] = (uint32_t)(t_random(&seed) % 500);
	return t_submit(&served, kind, &rq, prompt, count, NULL);
}

static struct wrk_rehearsal *rehearsal(uint32_t index)
{
	return &wrk_version_by_index(&world->w, index)->rehearsal;
}

/* -- what must hold of every reply ------------------------------------------------------------ */

/* One BEGIN, one END, in order, all of it by @version. */
static void whole(const struct t_seen *s, uint32_t version, uint32_t prompt, uint32_t output)
{
	t_eq(s->begins, 1);
	t_eq(s->ends, 1);
	t_ok(!s->disordered);
	t_eq(s->version, version);
	t_str_eq(s->begin.semver, semvers[version]);
	t_eq(s->prompt_count, prompt);
	t_eq(s->count, output);
	t_eq(s->end_count, output);
}

static void same_reply(const struct t_seen *a, const struct t_seen *b)
{
	t_eq(a->count, b->count);
	t_mem_eq(a->tokens, b->tokens, a->count * sizeof(a->tokens[0]));
	t_mem_eq(a->prompt, b->prompt, a->prompt_count * sizeof(a->prompt[0]));
	t_eq(a->score_count, b->score_count);
	t_mem_eq(a->scores, b->scores, a->score_count * sizeof(a->scores[0]));
}

static uint32_t records(uint32_t version, uint32_t error, bool moved)
{
	return t_wrk_records(world, version, error, moved);
}

/* Messages to the supervisor that the candidate's logits were no numbers. */
static uint32_t evidence(void)
{
	uint32_t counts[MHS_VERSION_MAX];

	t_wrk_evidence(world, counts);
	return counts[CANDIDATE];
}

#define WORLD()	t_need(world_make())

/* -- failures --------------------------------------------------------------------------------- */

static void a_candidate_that_works(void)
{
	struct t_seen *routed, *named, *stable;

	WORLD();
	routed = ask(MHS_REC_GENERATE, 40, 9, NULL);
	named = ask(MHS_REC_GENERATE, 40, 9, "1.1.0");
	stable = ask(MHS_REC_GENERATE, 40, 9, "1.0.0");
	t_serve_all(&served);
	whole(routed, CANDIDATE, 40, 9);
	same_reply(routed, named);
	t_ok(memcmp(routed->tokens, stable->tokens, sizeof(stable->tokens)) != 0);	/* else nothing is tested */
	t_eq(records(CANDIDATE, MHS_ERR_NONE, false), 2);
	world_free();
}

static void it_fails_at_its_first_token(void)
{
	struct t_seen *routed[8], *named;

	WORLD();
	rehearsal(CANDIDATE)->errors = 100;
	for (uint32_t i = 0; i < 8; i++)
		routed[i] = ask(MHS_REC_GENERATE, 40, 9, NULL);
	named = ask(MHS_REC_GENERATE, 40, 9, "1.0.0");
	t_serve_all(&served);
	for (uint32_t i = 0; i < 8; i++) {
		whole(routed[i], STABLE, 40, 9);
		t_eq(routed[i]->reason, MHS_END_LENGTH);
		same_reply(routed[i], named);
	}
	t_eq(records(CANDIDATE, MHS_ERR_INTERNAL, false), 8);
	t_eq(records(STABLE, MHS_ERR_NONE, true), 8);
	t_eq(records(STABLE, MHS_ERR_NONE, false), 1);
	t_eq(evidence(), 0);
	world_free();
}

static void its_logits_are_no_numbers(void)
{
	struct t_seen *routed, *named;

	WORLD();
	rehearsal(CANDIDATE)->nan = 100;
	routed = ask(MHS_REC_GENERATE, 33, 5, NULL);
	named = ask(MHS_REC_GENERATE, 33, 5, "1.0.0");
	t_serve_all(&served);
	whole(routed, STABLE, 33, 5);
	same_reply(routed, named);
	t_eq(records(CANDIDATE, MHS_ERR_NAN, false), 1);
	t_eq(evidence(), 1);
	world_free();
}

/* Who asked for it by name gets what it is. */
static void asked_for_by_name(void)
{
	struct t_seen *named;

	WORLD();
	rehearsal(CANDIDATE)->errors = 100;
	named = ask(MHS_REC_GENERATE, 10, 5, "1.1.0");
	t_serve_all(&served);
	whole(named, CANDIDATE, 10, 0);
	t_eq(named->error, MHS_ERR_INTERNAL);
	t_eq(records(CANDIDATE, MHS_ERR_INTERNAL, false), 1);
	world_free();
}

static void both_fail(void)
{
	struct t_seen *routed;

	WORLD();
	rehearsal(CANDIDATE)->errors = rehearsal(STABLE)->errors = 100;
	routed = ask(MHS_REC_GENERATE, 10, 5, NULL);
	t_serve_all(&served);
	whole(routed, STABLE, 10, 0);
	t_eq(routed->reason, MHS_END_ERROR);
	t_eq(routed->error, MHS_ERR_INTERNAL);
	t_eq(records(STABLE, MHS_ERR_INTERNAL, true), 1);
	world_free();
}

static float *no_numbers(void)
{
	uint32_t vocab = wrk_version_by_index(&world->w, CANDIDATE)->model.config.vocab_count;
	float *logits = malloc(vocab * sizeof(*logits));

	for (uint32_t i = 0; i < vocab; i++)
		logits[i] = NAN;
	return logits;
}

/* What was shown is shown: no other version may go on with it. */
static void it_fails_after_tokens_were_sent(void)
{
	float *logits;
	struct t_seen *routed;
	uint32_t sent;

	WORLD();
	logits = no_numbers();
	routed = ask(MHS_REC_GENERATE, 20, 50, NULL);
	while (routed->count < 3)
		t_turn(&served);
	t_need(world->w.running_count == 1);
	wrk_emit_token(&world->w, world->w.running[0], logits, false);
	sent = routed->count;
	t_turn_end(&served);
	t_eq(served.ended_count, 1);
	whole(routed, CANDIDATE, 20, sent);
	t_eq(routed->reason, MHS_END_ERROR);
	t_eq(routed->error, MHS_ERR_NAN);
	t_eq(records(CANDIDATE, MHS_ERR_NAN, false), 1);
	t_eq(evidence(), 1);
	t_eq(world->w.running_count, 0);
	free(logits);
	world_free();
}

static void scores(void)
{
	struct t_seen *routed, *stable, *candidate;
	float *logits;

	WORLD();
	logits = no_numbers();
	candidate = ask(MHS_REC_SCORE, 30, 0, NULL);
	stable = ask(MHS_REC_SCORE, 30, 0, "1.0.0");
	t_serve_all(&served);
	whole(candidate, CANDIDATE, 30, 0);
	t_eq(candidate->score_count, 30);
	t_ok(memcmp(candidate->scores, stable->scores, sizeof(stable->scores)) != 0);
	routed = ask(MHS_REC_SCORE, 30, 0, NULL);
	t_turn_begin(&served);
	t_client_look(&served);
	t_eq(routed->begins, 0);	/* not before it is known whose reply it is */
	t_need(world->w.running_count == 1);
	wrk_emit_score(&world->w, world->w.running[0], 12, logits);
	t_serve_all(&served);
	whole(routed, STABLE, 30, 0);
	t_eq(routed->reason, MHS_END_STOP);
	same_reply(routed, stable);
	t_eq(evidence(), 1);
	free(logits);
	world_free();
}

/* One token has no score to wait for. */
static void a_score_of_one_token(void)
{
	struct t_seen *routed;

	WORLD();
	routed = ask(MHS_REC_SCORE, 1, 0, NULL);
	t_serve_all(&served);
	whole(routed, CANDIDATE, 1, 0);
	t_eq(routed->score_count, 1);
	t_ok(isnan(routed->scores[0]));
	world_free();
}

/* The release failed meanwhile: the route has no candidate any more. */
static void the_route_changes_meanwhile(void)
{
	struct mhs_route back = { .active = STABLE };
	struct t_seen *routed, *named;

	WORLD();
	rehearsal(CANDIDATE)->errors = 100;
	routed = ask(MHS_REC_GENERATE, 40, 6, NULL);
	t_turn_begin(&served);
	t_need(world->w.running_count == 1 && world->w.running[0]->on_trial);
	mhs_flip(&world->board, 0, &back);
	named = ask(MHS_REC_GENERATE, 40, 6, "1.0.0");
	t_serve_all(&served);
	whole(routed, STABLE, 40, 6);
	same_reply(routed, named);
	world_free();
}

static void ends_before_its_first_token(void)
{
	struct t_seen *routed;

	WORLD();
	routed = ask(MHS_REC_GENERATE, 40, 6, NULL);
	t_turn_begin(&served);
	t_need(world->w.running_count == 1 && world->w.running[0]->on_trial);
	t_cancel(&served, 1);
	t_serve_all(&served);
	t_eq(routed->ends, 1);
	t_eq(routed->count, 0);
	t_ok(!routed->disordered);
	t_eq(routed->reason, MHS_END_CANCELLED);
	world_free();
}

/* The room that a first token waits for is enough for all that comes with it. */
static void held_bytes_suffice(void)
{
	WORLD();
	for (uint32_t count = 1; count < 300; count += 23) {
		uint64_t before;
		struct wrk_request *r;

		ask(MHS_REC_GENERATE, count, 2, NULL);
		t_turn_begin(&served);
		t_need(world->w.running_count == 1);
		r = world->w.running[0];
		t_ok(r->on_trial && wrk_trial_may_hold(r));
		before = atomic_load(&world->lane->event.head);
		wrk_trial_show(&world->w, r);
		t_ok(r->begun && r->prompt_sent == count);
		t_ok(atomic_load(&world->lane->event.head) - before <= wrk_trial_held_bytes(r));
		t_serve_all(&served);
	}
	t_ok(!wrk_trial_may_hold(&(struct wrk_request){ .prompt_count = MHS_EVENT_BYTES / 16 }));
	world_free();
}

/* One that was moved has lost its place: never the candidate again, whatever the weight. */
static void moved_for_good(void)
{
	struct mhs_route route = { .active = STABLE, .candidate = CANDIDATE, .weight = ALL,
				   .mode = MHS_MODE_CANARY };
	struct wrk_request r = { .rq.session_key = 7 };
	static struct wrk one;

	wrk_trial_point(&one, &r, 0);
	r.place.candidate = true;
	wrk_trial_move(&r);
	t_ok(r.moved && r.state == WRK_QUEUED);
	t_eq(mhs_route_pick(&route, wrk_trial_point(&one, &r, 0)), STABLE);
}

int main(void)
{
	log_init("trial", LOG_LVL_ERROR);
	T_RUN(a_candidate_that_works);
	T_RUN(it_fails_at_its_first_token);
	T_RUN(its_logits_are_no_numbers);
	T_RUN(asked_for_by_name);
	T_RUN(both_fail);
	T_RUN(it_fails_after_tokens_were_sent);
	T_RUN(scores);
	T_RUN(a_score_of_one_token);
	T_RUN(the_route_changes_meanwhile);
	T_RUN(ends_before_its_first_token);
	T_RUN(held_bytes_suffice);
	T_RUN(moved_for_good);
	return t_done();
}
