/* SPDX-License-Identifier: MIT */
/*
 * embed_test.c: embeddings: the engine's states and a worker's pooling of them. The values are held
 * against transformers in tests/reference; here it is whether they are the same whatever happens.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "t.h"
#include "t_import.h"
#include "t_served.h"
#include "t_steps.h"

#define HIDDEN	96u		/* of the tiny model */
#define LONG	400u		/* tokens: two steps */
#define ALL	MHS_ROUTE_WEIGHT_MAX

enum { STABLE = 1, CANDIDATE };

static struct t_served served;
static struct t_wrk *const world = &served.world;

/* -- the engine --------------------------------------------------------------------------------- */

#define ROW_FLOATS	512u

/* States of all tokens, every @every-th of them asked for, the others, with @logits, for logits alone. */
static void states_of(const struct t_model *t, const struct t_manner *how, uint32_t every, bool logits, float *states)
{
	struct eng *eng = t_engine(how->isa, how->threads, t);
	float *unused = malloc(T_TOKENS * t->model.config.vocab_count * sizeof(*unused));
	struct eng_row rows[ENG_ROWS_MAX];
	struct t_sequence s;

	t_sequence_init(&s, t, 5);
	while (s.count < T_TOKENS) {
		uint32_t n = 0;

		while (n < how->chunk && s.count < T_TOKENS) {
			uint32_t at = s.count;

			rows[n] = t_next_row(&s, true, logits && at % every ? (int32_t)n : -1);
			rows[n++].hidden = at % every ? NULL : states + at * ROW_FLOATS;
		}
		t_eq(eng_step(eng, &t->model, rows, n, unused), 0);
	}
	t_sequence_fini(&s);
	eng_free(&eng);
	free(unused);
}

static void states_do_not_depend_on_the_step(void)
{
	static const struct t_manner ways[] = {
		{ .threads = 1, .chunk = 1 }, { .threads = 1, .chunk = 33 }, { .threads = 3, .chunk = 7 },
		{ .threads = 2, .chunk = T_TOKENS }, { .threads = 4, .chunk = T_TOKENS },
	};
	static float wanted[T_TOKENS * ROW_FLOATS], got[T_TOKENS * ROW_FLOATS];
	uint32_t width = t_usual_shape.hidden;

	t_need(width <= ROW_FLOATS);
	for (uint32_t i = 0; i < T_SOURCE_COUNT; i++) {
		struct t_sources sources = t_sources_all(t_all_sources[i]);
		struct t_model *t = t_model_new(&t_usual_shape, &sources, 3);
		const struct t_manner first = { .threads = 1, .chunk = 20 };

		states_of(t, &first, 1, false, wanted);
		for (uint32_t k = 0; k < sizeof(ways) / sizeof(ways[0]); k++)
			for (uint32_t every = 1; every < 5; every += 2) {
				memset(got, 0, sizeof(got));
				states_of(t, &ways[k], every, k % 2, got);
				for (uint32_t at = 0; at < T_TOKENS; at += every)
					t_mem_eq(got + at * ROW_FLOATS, wanted + at * ROW_FLOATS, width * sizeof(float));
			}
		t_model_free(&t);
	}
}

/* -- a worker ----------------------------------------------------------------------------------- */

static void route_set(uint32_t mode, uint32_t candidate, uint32_t weight)
{
	struct mhs_route route = { .active = STABLE, .candidate = candidate, .weight = weight, .mode = mode };

	mhs_flip(&world->board, 0, &route);
}

static bool world_make(uint64_t kv_bytes)
{
	bool good;

	memset(&served, 0, sizeof(served));
	good = t_wrk_open(world, kv_bytes) && t_wrk_attach(world, STABLE, "1.0.0", "tools/tiny/model") &&
	       t_wrk_attach(world, CANDIDATE, "1.1.0", "tools/tiny/model-b");
	route_set(MHS_MODE_NONE, 0, 0);
	return good;
}

static void world_free(void)
{
	t_eq(atomic_load(&world->slot.pins[STABLE]) + atomic_load(&world->slot.pins[CANDIDATE]), 0);
	t_eq(world->w.queued_count, 0);
	t_ok(!world->w.requests);
	t_wrk_close(world);
}

#define WORLD()	t_need(world_make(64 << 20))

/* Ids that are the same for each longer prompt of one @seed. */
static const uint32_t *ids(uint64_t seed)
{
	static uint32_t prompt[T_SERVED_TOKENS];

	for (uint32_t i = 0; i < T_SERVED_TOKENS; i++)
		prompt[i] = (uint32_t)(t_random(&seed) % 500);
	return prompt;
}

static struct t_seen *embed(uint64_t seed, uint32_t count, uint32_t pooling, uint32_t flags)
{
	struct mhs_request rq = { .pooling = pooling, .flags = flags };

	return t_submit(&served, MHS_REC_EMBED, &rq, ids(seed), count, NULL);
}

/* Rows that are in the sum of the @i-th running request; 0 of a reply. */
static uint32_t pooled(uint32_t i)
{
	const struct wrk_request *r = world->w.running[i];

	return r->vector ? r->vector->pooled : 0;
}

static struct t_seen *generate(uint64_t seed, uint32_t count, uint32_t output)
{
	struct mhs_request rq = { .max_tokens = output };

	return t_submit(&served, MHS_REC_GENERATE, &rq, ids(seed), count, NULL);
}

static void whole(const struct t_seen *s, uint32_t version, uint32_t count)
{
	t_eq(s->begins, 1);
	t_eq(s->ends, 1);
	t_ok(!s->disordered);
	t_eq(s->version, version);
	t_eq(s->prompt_count, count);
	t_eq(s->count + s->end_count + s->score_count, 0);
	t_eq(s->reason, MHS_END_STOP);
	t_eq(s->vector_count, HIDDEN);
}

static void same(const struct t_seen *a, const struct t_seen *b)
{
	t_mem_eq(a->vector, b->vector, HIDDEN * sizeof(float));
}

/* The state of each token is the embedding by its last token of the prompt up to it. */
static void poolings_of_one_prompt(void)
{
	enum { COUNT = 40 };
	struct t_seen *s, first = { 0 };
	double sum[HIDDEN] = { 0 }, square = 0;
	float mean[HIDDEN];

	WORLD();
	for (uint32_t n = 1; n <= COUNT; n++) {
		s = embed(1, n, MHS_POOL_LAST, MHS_REQ_RAW);
		t_serve_all(&served);
		whole(s, STABLE, n);
		first = n == 1 ? *s : first;
		for (uint32_t i = 0; i < HIDDEN; i++)
			sum[i] += (double)s->vector[i];
	}
	for (uint32_t i = 0; i < HIDDEN; i++) {
		mean[i] = (float)(sum[i] / COUNT);
		square += sum[i] / COUNT * (sum[i] / COUNT);
	}
	s = embed(1, COUNT, MHS_POOL_FIRST, MHS_REQ_RAW);
	t_serve_all(&served);
	whole(s, STABLE, COUNT);
	same(s, &first);
	s = embed(1, COUNT, MHS_POOL_MEAN, MHS_REQ_RAW);
	t_serve_all(&served);
	whole(s, STABLE, COUNT);
	t_mem_eq(s->vector, mean, sizeof(mean));
	s = embed(1, COUNT, MHS_POOL_MEAN, 0);
	t_serve_all(&served);
	for (uint32_t i = 0; i < HIDDEN; i++)
		t_ok(s->vector[i] == (float)(sum[i] / COUNT / sqrt(square)));
	world_free();
}

/* Other embeddings and streams in the same steps, prompts in pieces, pages that the prefix cache knows. */
static void bits_do_not_depend_on_company(void)
{
	struct t_seen alone[MHS_POOL_COUNT], *s[MHS_POOL_COUNT], *one;

	WORLD();
	for (uint32_t p = 0; p < MHS_POOL_COUNT; p++) {
		wrk_prefix_drop_all(&world->w);
		one = embed(2, LONG, p, 0);
		t_serve_all(&served);
		whole(one, STABLE, LONG);
		t_eq(one->cached_count, 0);
		alone[p] = *one;
	}
	wrk_prefix_drop_all(&world->w);
	for (uint32_t round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 6; i++)
			generate(10 + i, 30 + 17 * i, 40);
		for (uint32_t i = 0; i < 5; i++)
			t_turn(&served);		/* they stream */
		for (uint32_t p = 0; p < MHS_POOL_COUNT; p++) {
			embed(20 + p, 7 + p, p, 0);
			s[p] = embed(2, LONG, p, 0);
		}
		t_serve_all(&served);
		for (uint32_t p = 0; p < MHS_POOL_COUNT; p++) {
			whole(s[p], STABLE, LONG);
			same(s[p], &alone[p]);
			t_ok(p == MHS_POOL_LAST || s[p]->cached_count == 0);
		}
		t_ok(round == 0 || s[MHS_POOL_LAST]->cached_count >= LONG - ENG_PAGE_TOKENS);
	}
	world_free();
}

/* What is in the sum already is not added again. Somebody else has all pages for a while. */
static void who_loses_its_pages_sums_once(void)
{
	struct wrk_request thief = { 0 };
	uint32_t preempted = 0;
	struct t_seen alone, *s;

	t_need(world_make(20 * 24576));
	s = embed(3, LONG, MHS_POOL_MEAN, 0);
	t_serve_all(&served);
	alone = *s;
	wrk_prefix_drop_all(&world->w);
	generate(4, 60, 20);		/* it is the older one */
	t_turn(&served);
	s = embed(3, LONG, MHS_POOL_MEAN, 0);
	while (world->w.running_count < 2 || !pooled(1))
		t_turn(&served);
	t_need(pooled(1) < LONG);
	thief.version = world->w.running[0]->version;
	t_need(wrk_room_init(&thief, T_SERVED_TOKENS) == 0);
	for (uint32_t tokens = 1; wrk_room_try(&world->w, &thief, tokens); tokens += ENG_PAGE_TOKENS)
		;
	while (!preempted && served.ended_count < served.last_id) {
		t_turn(&served);
		for (uint32_t i = 0; i < world->w.running_count; i++)
			preempted += world->w.running[i]->state == WRK_PREEMPTED && pooled(i);
	}
	wrk_room_drop(&thief);
	free(thief.pages);
	free(thief.held);
	t_serve_all(&served);
	t_ok(preempted > 0);
	whole(s, STABLE, LONG);
	same(s, &alone);
	world_free();
}

static void adapters_apply(void)
{
	struct mhs_adapter_ref ref = { .name = "r4_all_linear", .semver = "1.0.0", .scale = 1 };
	struct mhs_request rq = { .adapter_count = 1 };
	struct t_seen plain, *s;

	T_NEED_REFERENCE("tests/reference/data/peft/peft.json");
	WORLD();
	t_need(t_wrk_attach_adapter(world, 7, "r4_all_linear@1.0.0", "tests/reference/data/peft/r4_all_linear"));
	s = embed(5, 50, MHS_POOL_MEAN, 0);
	t_serve_all(&served);
	plain = *s;
	s = t_submit(&served, MHS_REC_EMBED, &rq, ids(5), 50, &ref);
	t_serve_all(&served);
	t_str_eq(s->message, "");
	whole(s, STABLE, 50);
	t_eq(s->begin.adapter_count, 1);
	t_str_eq(s->used[0].name, "r4_all_linear");
	t_ok(memcmp(s->vector, plain.vector, sizeof(plain.vector)) != 0);
	world_free();
}

/* -- releases, ends ------------------------------------------------------------------------------ */

/* Nothing of a candidate's is shown before the vector is there; the active version does it anew. */
static void a_candidate_that_fails(void)
{
	struct t_seen *routed, *stable, *candidate;
	uint32_t counts[MHS_VERSION_MAX];
	float states[HIDDEN];

	WORLD();
	route_set(MHS_MODE_CANARY, CANDIDATE, ALL);
	candidate = embed(6, LONG, MHS_POOL_MEAN, 0);
	stable = t_submit(&served, MHS_REC_EMBED, &(struct mhs_request){ .semver = "1.0.0" }, ids(6), LONG, NULL);
	t_serve_all(&served);
	whole(candidate, CANDIDATE, LONG);
	whole(stable, STABLE, LONG);
	t_ok(memcmp(candidate->vector, stable->vector, sizeof(stable->vector)) != 0);
	routed = embed(6, LONG, MHS_POOL_MEAN, 0);
	t_turn(&served);
	t_eq(routed->begins, 0);
	t_need(world->w.running_count == 1 && pooled(0) > 0);
	for (uint32_t i = 0; i < HIDDEN; i++)
		states[i] = NAN;
	wrk_embed_row(&world->w, world->w.running[0], &(struct eng_row){ .position = LONG - 1, .hidden = states });
	t_serve_all(&served);
	whole(routed, STABLE, LONG);
	same(routed, stable);
	t_wrk_evidence(world, counts);
	t_eq(counts[CANDIDATE], 1);
	t_eq(t_wrk_records(world, STABLE, 0, true), 1);
	world_free();
}

static void a_shadow_has_nothing_to_compare(void)
{
	WORLD();
	route_set(MHS_MODE_SHADOW, CANDIDATE, ALL);
	for (uint32_t i = 0; i < 4; i++)
		embed(7 + i, 20, MHS_POOL_LAST, 0);
	t_serve_all(&served);
	t_eq(world->w.shadow.count, 0);
	generate(7, 20, 3);
	t_serve_all(&served);
	t_eq(world->w.shadow.count, 1);		/* of this one there is */
	route_set(MHS_MODE_NONE, 0, 0);
	t_turn(&served);
	world_free();
}

static void ends_early(void)
{
	struct mhs_request rq = { .deadline_ms = 1 };
	struct t_seen *s;

	WORLD();
	s = embed(8, LONG, MHS_POOL_MEAN, 0);
	t_turn(&served);
	t_need(world->w.running_count == 1);
	t_cancel(&served, served.last_id);
	t_serve_all(&served);
	t_eq(s->reason, MHS_END_CANCELLED);
	t_eq(s->vector_count, 0);
	s = t_submit(&served, MHS_REC_EMBED, &rq, ids(9), LONG, NULL);
	t_turn(&served);
	usleep(2000);
	t_serve_all(&served);
	t_eq(s->error, MHS_ERR_DEADLINE);
	t_eq(s->vector_count, 0);
	world_free();
}

static const char *said_of(uint32_t kind, struct mhs_request rq, uint32_t count)
{
	struct t_seen *s = t_submit(&served, kind, &rq, ids(11), count, NULL);

	t_serve_all(&served);
	t_eq(s->reason, MHS_END_ERROR);
	t_eq(s->begins + s->vector_count, 0);
	return s->message;
}

static void what_is_refused(void)
{
	struct t_seen *s;

	WORLD();
	t_str_eq(said_of(MHS_REC_EMBED, (struct mhs_request){ .pooling = MHS_POOL_COUNT }, 5),
		 "pooling: must be mean, last or first");
	t_str_eq(said_of(MHS_REC_GENERATE, (struct mhs_request){ .pooling = MHS_POOL_FIRST }, 5),
		 "pooling: only embed pools");
	t_str_eq(said_of(MHS_REC_SCORE, (struct mhs_request){ .flags = MHS_REQ_RAW }, 5),
		 "pooling: only embed pools");
	t_str_eq(said_of(MHS_REC_EMBED, (struct mhs_request){ 0 }, 0),
		 "prompt is empty: an embedding needs at least one token");
	world->w.limits.context = 100;
	t_str_eq(said_of(MHS_REC_EMBED, (struct mhs_request){ 0 }, 101),
		 "prompt has 101 tokens, the context holds 100: shorten it");
	s = embed(12, 100, MHS_POOL_LAST, 0);
	t_serve_all(&served);
	whole(s, STABLE, 100);
	world_free();
}

int main(void)
{
	log_init("embed", LOG_LVL_ERROR);
	T_RUN(states_do_not_depend_on_the_step);
	T_RUN(poolings_of_one_prompt);
	T_RUN(bits_do_not_depend_on_company);
	T_RUN(who_loses_its_pages_sums_once);
	T_RUN(adapters_apply);
	T_RUN(a_candidate_that_fails);
	T_RUN(a_shadow_has_nothing_to_compare);
	T_RUN(ends_early);
	T_RUN(what_is_refused);
	return t_done();
}
