/* SPDX-License-Identifier: MIT */
/*
 * wrk_adapter_test.c: adapters through a whole worker, over a board that the test writes: replies against
 * PEFT's, alone and summed; the same bits in any company; routes that move between and under requests;
 * adapters that are not there yet; the prefix cache.
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "t.h"
#include "t_bad.h"
#include "t_import.h"
#include "t_served.h"

#define PEFT	T_REFERENCE "/peft"
#define BASE	1u
#define FIRST	10u		/* index of the first adapter attached */
#define MOST	16u

static struct t_served served;
static struct t_wrk *const world = &served.world;

/* What a case asks for; ended by a NULL name. */
struct wish {
	const char *name, *semver;
	float scale;
};

static bool world_of(uint64_t kv_bytes)
{
	const struct mhs_route route = { .active = BASE };

	memset(&served, 0, sizeof(served));
	if (!t_wrk_open(world, kv_bytes) || !t_wrk_attach(world, BASE, "1.0.0", "tools/tiny/model"))
		return false;
	mhs_flip(&world->board, 0, &route);
	return true;
}

static void world_free(void)
{
	for (uint32_t i = 0; i < MHS_VERSION_MAX; i++)
		if (atomic_load(&world->slot.pins[i]))
			t_eq(i, 0);	/* still pinned */
	t_eq(world->w.queued_count, 0);
	t_ok(!world->w.requests && !world->w.wants);
	t_wrk_close(world);
}

#define WORLD()	t_need(world_of(64 << 20))

static void route_to(const char *adapter, uint32_t active, uint32_t candidate, uint32_t weight)
{
	struct mhs_route route = { .active = active, .candidate = candidate, .weight = weight,
				   .mode = candidate ? MHS_MODE_CANARY : MHS_MODE_NONE };

	mhs_flip(&world->board, (uint32_t)mhs_board_add(&world->board, "tiny", adapter), &route);
}

/* Version 1.0.0 of @name as PEFT wrote it, routed. */
static bool attach(uint32_t index, const char *name)
{
	char ref[96], path[256];

	snprintf(ref, sizeof(ref), "%s@1.0.0", name);
	snprintf(path, sizeof(path), PEFT "/%s", name);
	if (!t_wrk_attach_adapter(world, index, ref, path))
		return false;
	route_to(name, index, 0, 0);
	return true;
}

static uint32_t refs_of(const struct wish *wishes, struct mhs_adapter_ref *refs)
{
	uint32_t count = 0;

	for (; wishes && wishes->name; wishes++, count++) {
		refs[count] = (struct mhs_adapter_ref){ .scale = wishes->scale };
		strcpy(refs[count].name, wishes->name);
		strcpy(refs[count].semver, wishes->semver ? wishes->semver : "");
	}
	return count;
}

static struct t_seen *ask(const struct wish *wishes, const uint32_t *prompt, uint32_t count,
			  uint32_t output)
{
	struct mhs_adapter_ref refs[MHS_ADAPTERS_MAX] = { 0 };
	struct mhs_request rq = { .max_tokens = output, .adapter_count = refs_of(wishes, refs) };

	return t_submit(&served, MHS_REC_GENERATE, &rq, prompt, count, refs);
}

static uint32_t prompt[T_SERVED_TOKENS];

/* The same ids each time, of @seed. */
static const uint32_t *ids(uint64_t seed)
{
	for (uint32_t i = 0; i < T_SERVED_TOKENS; i++)
		prompt[i] = (uint32_t)(3 + t_random(&seed) % 700);
	return prompt;
}

#define WISH(...)	((const struct wish[]){ __VA_ARGS__, { NULL, NULL, 0 } })

static void whole(const struct t_seen *s, uint32_t output)
{
	if (!t_ok(s->begins == 1 && s->ends == 1 && !s->disordered && s->count == output))
		printf("# begins %u, ends %u, %u tokens, error %u: %s\n", s->begins, s->ends, s->count,
		       s->error, s->message);
}

/* It says which: @index with the bytes that lie there. */
static void stamped(const struct t_seen *s, uint32_t i, uint32_t index, const char *name, float scale)
{
	const struct wrk_adapter *a = world->w.adapters.by_index[index];

	t_need(i < s->begin.adapter_count);
	t_eq(s->used[i].version_index, index);
	t_str_eq(s->used[i].name, name);
	t_ok(s->used[i].scale == scale);
	t_need(a != NULL);
	t_str_eq(s->used[i].semver, a->image->semver);
	t_mem_eq(s->used[i].content_hash, a->image->content_hash, MHS_HASH_BYTES);
}

static void refused(const struct t_seen *s, uint32_t error, const char *part)
{
	t_eq(s->ends, 1);
	t_eq(s->reason, MHS_END_ERROR);
	t_eq(s->error, error);
	if (!t_ok(strstr(s->message, part)))
		printf("# %s\n", s->message);
}

/* -- what PEFT gives --------------------------------------------------------------------------- */

static uint32_t take_ids(const json_t *list, uint32_t *to)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		to[i] = (uint32_t)json_integer_value(json_array_get(list, i));
	return (uint32_t)json_array_size(list);
}

static void check_cases(const char *name, const json_t *cases, const struct wish *wishes)
{
	json_t *entry;
	size_t i;

	json_array_foreach(cases, i, entry) {
		uint32_t given[64], greedy[64], n = take_ids(json_object_get(entry, "greedy"), greedy);
		struct t_seen *s = ask(wishes, given, take_ids(json_object_get(entry, "prompt"), given), n);

		t_serve_all(&served);
		whole(s, n);
		if (!t_ok(!memcmp(s->tokens, greedy, n * sizeof(greedy[0]))))
			printf("# %s, case %zu\n", name, i);
	}
}

static void check_sum(const json_t *sum)
{
	struct wish wishes[MHS_ADAPTERS_MAX + 1] = { { NULL, NULL, 0 } };
	json_t *part;
	size_t i;

	json_array_foreach(json_object_get(sum, "parts"), i, part) {
		wishes[i].name = json_string_value(json_array_get(part, 0));
		wishes[i].scale = (float)json_number_value(json_array_get(part, 1));
	}
	check_cases(json_string_value(json_object_get(sum, "name")), json_object_get(sum, "cases"), wishes);
}

static void replies_are_those_of_peft(void)
{
	json_t *root, *entry;
	size_t i;

	T_NEED_REFERENCE(PEFT "/peft.json");
	WORLD();
	root = json_load_file(PEFT "/peft.json", 0, NULL);
	t_need(json_array_size(json_object_get(root, "adapters")) > 8);
	check_cases("base", json_object_get(root, "base_cases"), NULL);
	json_array_foreach(json_object_get(root, "adapters"), i, entry) {
		const char *name = json_string_value(json_object_get(entry, "name"));

		if (t_ok(attach(FIRST + (uint32_t)i, name)))
			check_cases(name, json_object_get(entry, "cases"), WISH({ name, NULL, 1 }));
	}
	json_array_foreach(json_object_get(root, "sums"), i, entry)
		check_sum(entry);
	check_cases("base", json_object_get(root, "base_cases"), NULL);
	json_decref(root);
	world_free();
}

/* -- the same bits ----------------------------------------------------------------------------- */

static const struct wish companies[][3] = {
	{ { NULL, NULL, 0 } },
	{ { "r1_all", NULL, 1 } },
	{ { "r4_all_linear", "1.0.0", 0.5f } },
	{ { "r1_all", NULL, -1 }, { "r4_all_linear", NULL, 0.25f } },
	{ { "r4_all_linear", NULL, 0.25f }, { "r1_all", "1.0.0", -1 } },
	{ { "embeddings", NULL, 1 } },
};
#define COMPANIES	(sizeof(companies) / sizeof(companies[0]))

static void attach_three(void)
{
	t_need(attach(FIRST, "r1_all") && attach(FIRST + 1, "r4_all_linear") &&
	       attach(FIRST + 2, "embeddings"));
}

static struct t_seen *score(const struct wish *wishes, uint32_t count)
{
	struct mhs_adapter_ref refs[MHS_ADAPTERS_MAX] = { 0 };
	struct mhs_request rq = { .adapter_count = refs_of(wishes, refs) };

	return t_submit(&served, MHS_REC_SCORE, &rq, ids(5), count, refs);
}

/* Rows of one step with different adapters, prompts in pieces beside streams, drafted rows. */
static void bits_do_not_depend_on_company(void)
{
	struct t_seen alone[COMPANIES], scored[COMPANIES], *s[COMPANIES], *c[COMPANIES];

	T_NEED_REFERENCE(PEFT "/peft.json");
	WORLD();
	attach_three();
	for (uint32_t i = 0; i < COMPANIES; i++) {
		s[i] = ask(companies[i], ids(3), 70, 40);
		t_serve_all(&served);
		c[i] = score(companies[i], 50);
		t_serve_all(&served);
		alone[i] = *s[i];
		scored[i] = *c[i];
		for (uint32_t k = 0; k < i; k++)
			t_ok(memcmp(scored[i].scores, scored[k].scores, 50 * sizeof(float)) != 0);
	}
	wrk_prefix_drop_all(&world->w);
	for (uint32_t i = 0; i < COMPANIES; i++) {
		s[i] = ask(companies[i], ids(3), 70, 40);
		c[i] = score(companies[i], 50);
	}
	t_serve_all(&served);
	for (uint32_t i = 0; i < COMPANIES; i++) {
		whole(s[i], 40);
		t_mem_eq(s[i]->tokens, alone[i].tokens, 40 * sizeof(uint32_t));
		t_eq(c[i]->score_count, 50);
		t_mem_eq(c[i]->scores + 1, scored[i].scores + 1, 49 * sizeof(float));
		t_eq(s[i]->cached_count, 0);
	}
	world_free();
}

/* KV pages for two of them: the others lose theirs and compute them again, under the same adapters. */
static void who_loses_its_pages_keeps_its_adapters(void)
{
	struct t_seen alone[COMPANIES], *s[COMPANIES];
	uint32_t preempted = 0;

	T_NEED_REFERENCE(PEFT "/peft.json");
	t_need(world_of(10 * 24576));
	attach_three();
	for (uint32_t i = 0; i < COMPANIES; i++) {
		s[i] = ask(companies[i], ids(3), 40, 70);
		t_serve_all(&served);
		alone[i] = *s[i];
	}
	for (uint32_t i = 0; i < COMPANIES; i++)
		s[i] = ask(companies[i], ids(3), 40, 70);
	while (served.ended_count < served.last_id) {
		t_turn(&served);
		for (uint32_t i = 0; i < world->w.running_count; i++)
			preempted += world->w.running[i]->state == WRK_PREEMPTED;
	}
	t_ok(preempted > 0);
	for (uint32_t i = 0; i < COMPANIES; i++) {
		whole(s[i], 70);
		t_mem_eq(s[i]->tokens, alone[i].tokens, 70 * sizeof(uint32_t));
	}
	world_free();
}

/* The same tokens again, under the other adapters: nothing of one is found by another. */
static void the_prefix_cache_keeps_them_apart(void)
{
	struct t_seen first[COMPANIES], *s;

	T_NEED_REFERENCE(PEFT "/peft.json");
	WORLD();
	attach_three();
	for (uint32_t round = 0; round < 2; round++)
		for (uint32_t i = 0; i < COMPANIES; i++) {
			s = ask(companies[i], ids(3), 100, 8);
			t_serve_all(&served);
			whole(s, 8);
			t_eq(s->cached_count, round ? 96 : 0);
			if (round)
				t_mem_eq(s->tokens, first[i].tokens, 8 * sizeof(uint32_t));
			first[i] = *s;
		}
	s = ask(WISH({ "r1_all", NULL, 0.999f }), ids(3), 100, 8);
	t_serve_all(&served);
	t_eq(s->cached_count, 0);
	wrk_version_detach(&world->w, FIRST, 10 + FIRST);
	t_need(attach(FIRST, "r1_all"));
	s = ask(companies[1], ids(3), 100, 8);		/* its pages went with it */
	t_serve_all(&served);
	t_eq(s->cached_count, 0);
	s = ask(companies[5], ids(3), 100, 8);
	t_serve_all(&served);
	t_eq(s->cached_count, 96);
	world_free();
}

/* -- routes ------------------------------------------------------------------------------------ */

/* A request under way keeps its adapter, the next one gets the new one. */
static void a_flip_under_a_request(void)
{
	struct t_seen *a, *b, *again, alone[2];

	T_NEED_REFERENCE(PEFT "/peft.json");
	WORLD();
	t_need(attach(FIRST, "r1_all"));
	t_need(t_wrk_attach_adapter(world, FIRST + 1, "r1_all@2.0.0", PEFT "/r4_all_linear"));
	for (uint32_t i = 0; i < 2; i++) {
		a = ask(WISH({ "r1_all", i ? "2.0.0" : "1.0.0", 1 }), ids(8), 30, 60);
		t_serve_all(&served);
		alone[i] = *a;
	}
	t_ok(memcmp(alone[0].tokens, alone[1].tokens, 60 * sizeof(uint32_t)) != 0);
	a = ask(WISH({ "r1_all", NULL, 1 }), ids(8), 30, 60);
	while (a->count < 5)
		t_turn(&served);
	route_to("r1_all", FIRST + 1, 0, 0);
	b = ask(WISH({ "r1_all", NULL, 1 }), ids(8), 30, 60);
	while (b->count < 5)
		t_turn(&served);
	t_eq(atomic_load(&world->slot.pins[FIRST]), 1);
	t_eq(atomic_load(&world->slot.pins[FIRST + 1]), 1);
	t_eq(atomic_load(&world->slot.pins[BASE]), 2);
	route_to("r1_all", FIRST, 0, 0);
	again = ask(WISH({ "r1_all", NULL, 1 }), ids(8), 30, 60);
	t_serve_all(&served);
	stamped(a, 0, FIRST, "r1_all", 1);
	stamped(b, 0, FIRST + 1, "r1_all", 1);
	stamped(again, 0, FIRST, "r1_all", 1);
	t_mem_eq(a->tokens, alone[0].tokens, 60 * sizeof(uint32_t));
	t_mem_eq(b->tokens, alone[1].tokens, 60 * sizeof(uint32_t));
	t_mem_eq(again->tokens, alone[0].tokens, 60 * sizeof(uint32_t));
	world_free();
}

/* -- adapters that are not there --------------------------------------------------------------- */

/* The next WANT that was said, or false. */
static bool heard_want(struct hrt_want *want)
{
	int fds[HERITAGE_FD_MAX];
	struct hrt_msg msg;
	uint32_t fd_count;

	while (hrt_recv(world->supervisor, &msg, fds, &fd_count) == 0)
		if (msg.type == HRT_WANT) {
			*want = msg.wanted.want;
			return true;
		}
	return false;
}

static void answer(const struct hrt_want *want, int status, const char *text)
{
	struct hrt_msg msg = { .type = HRT_WANTED, .status = status, .wanted.want = *want };

	snprintf(msg.wanted.text, sizeof(msg.wanted.text), "%s", text);
	t_eq(hrt_send(world->supervisor, &msg, NULL, 0), 0);
	world->w.initialised = true;
	t_eq(wrk_control_poll(&world->w), 0);
}

static void others_do_not_wait_for_a_load(void)
{
	struct t_seen *waits, *waits_too, *other;
	struct hrt_want want;

	T_NEED_REFERENCE(PEFT "/peft.json");
	WORLD();
	waits = ask(WISH({ "r1_all", NULL, 1 }), ids(1), 20, 5);
	waits_too = ask(WISH({ "r1_all", NULL, 0.5f }), ids(1), 20, 5);
	other = ask(NULL, ids(1), 20, 5);
	while (!other->ends)
		t_turn(&served);
	whole(other, 5);
	t_eq(waits->begins + waits->ends + waits_too->ends, 0);
	t_eq(world->w.queued_count, 2);
	t_need(heard_want(&want));
	t_str_eq(want.model, "tiny");
	t_str_eq(want.adapter, "r1_all");
	t_str_eq(want.semver, "");
	t_ok(!heard_want(&want));	/* once for both */
	t_need(attach(FIRST, "r1_all"));
	answer(&want, 0, "");
	t_serve_all(&served);
	whole(waits, 5);
	whole(waits_too, 5);
	stamped(waits_too, 0, FIRST, "r1_all", 0.5f);
	world_free();
}

static void unknown_ones_are_refused(void)
{
	struct t_seen *unknown, *cancelled, *late, *full;
	struct mhs_adapter_ref ref = { .name = "slow", .scale = 1 };
	const struct mhs_request hurried = { .max_tokens = 5, .adapter_count = 1, .deadline_ms = 1 };
	struct hrt_want want;

	WORLD();
	unknown = ask(WISH({ "nobody", "9.9.9", 1 }), ids(1), 20, 5);
	t_turn(&served);
	t_need(heard_want(&want));
	t_str_eq(want.semver, "9.9.9");
	answer(&want, -ENOENT, "tiny/nobody@9.9.9 is not in the store");
	t_serve_all(&served);
	refused(unknown, MHS_ERR_NO_ADAPTER, "is not in the store");
	full = ask(WISH({ "large", NULL, 1 }), ids(1), 20, 5);
	t_turn(&served);
	t_need(heard_want(&want));
	answer(&want, -EBUSY, "adapter_bytes: all that are resident are in use");
	t_serve_all(&served);
	refused(full, MHS_ERR_BUSY, "in use");
	cancelled = ask(WISH({ "slow", NULL, 1 }), ids(1), 20, 5);
	late = t_submit(&served, MHS_REC_GENERATE, &hurried, ids(1), 20, &ref);
	t_turn(&served);
	t_cancel(&served, served.last_id - 1);
	t_serve_all(&served);
	t_eq(cancelled->reason, MHS_END_CANCELLED);
	refused(late, MHS_ERR_DEADLINE, "deadline");
	t_need(heard_want(&want));
	answer(&want, 0, "");		/* nobody waits any longer */
	world_free();
}

/* Loaded and pushed out each time. */
static void it_does_not_ask_for_ever(void)
{
	struct t_seen *s;
	struct hrt_want want;
	uint32_t asked = 0;

	WORLD();
	s = ask(WISH({ "r1_all", NULL, 1 }), ids(1), 20, 5);
	for (t_turn(&served); !s->ends && heard_want(&want) && asked < 100; asked++) {
		answer(&want, 0, "");
		t_turn(&served);
	}
	t_ok(asked > 1 && asked < 20);
	refused(s, MHS_ERR_BUSY, "pushed out");
	world_free();
}

static void the_supervisor_dies_meanwhile(void)
{
	struct t_seen *s, *after;

	WORLD();
	s = ask(WISH({ "r1_all", NULL, 1 }), ids(1), 20, 5);
	t_turn(&served);
	t_eq(s->ends, 0);
	world->w.orphan = true;
	wrk_wants_lost(&world->w);
	t_serve_all(&served);
	refused(s, MHS_ERR_NO_ADAPTER, "supervisor that could load it is gone");
	after = ask(WISH({ "r1_all", NULL, 1 }), ids(1), 20, 5);
	t_serve_all(&served);
	refused(after, MHS_ERR_NO_ADAPTER, "supervisor that could load it is gone");
	world_free();
}

/* -- what does not fit, and what is nonsense --------------------------------------------------- */

static void a_version_of_another_shape(void)
{
	const struct mhs_route route = { .active = BASE + 1 };
	struct t_seen *s;

	T_NEED_REFERENCE(PEFT "/peft.json");
	WORLD();
	t_need(attach(FIRST, "r1_all"));
	t_need(t_wrk_attach(world, BASE + 1, "2.0.0", T_REFERENCE "/models/tied_f32"));
	mhs_flip(&world->board, 0, &route);
	s = ask(WISH({ "r1_all", NULL, 1 }), ids(1), 20, 5);
	t_serve_all(&served);
	refused(s, MHS_ERR_NO_ADAPTER, "adapter r1_all@1.0.0 does not fit tiny@2.0.0: ");
	world_free();
}

static void nonsense_is_refused(void)
{
	struct mhs_adapter_ref refs[MHS_ADAPTERS_MAX + 1] = { { .name = "a", .scale = 1 },
							      { .name = "a", .scale = 1 } };
	struct mhs_request rq = { .max_tokens = 5, .adapter_count = 2 };
	struct t_seen *twice, *nan, *empty, *many, *tokenize;

	WORLD();
	twice = t_submit(&served, MHS_REC_GENERATE, &rq, ids(1), 4, refs);
	refs[1].name[0] = 'b';
	refs[1].scale = NAN;
	nan = t_submit(&served, MHS_REC_SCORE, &rq, ids(1), 4, refs);
	refs[1] = (struct mhs_adapter_ref){ .scale = 1 };
	empty = t_submit(&served, MHS_REC_GENERATE, &rq, ids(1), 4, refs);
	rq.adapter_count = MHS_ADAPTERS_MAX + 1;
	many = t_submit(&served, MHS_REC_GENERATE, &rq, ids(1), 4, refs);
	rq.adapter_count = 1;
	tokenize = t_submit(&served, MHS_REC_DETOKENIZE, &rq, ids(1), 4, refs);
	t_serve_all(&served);
	refused(twice, MHS_ERR_INVALID, "adapter \"a\": named twice");
	refused(nan, MHS_ERR_INVALID, "adapter \"b\": scale is nan");
	refused(empty, MHS_ERR_INVALID, "a name is empty");
	refused(many, MHS_ERR_INVALID, "9 adapters asked for, at most 8");
	refused(tokenize, MHS_ERR_INVALID, "no part in tokenizing");
	t_ok(!world->w.lanes->bad);
	world_free();
}

int main(void)
{
	log_init("adapter", LOG_LVL_ERROR);
	T_RUN(replies_are_those_of_peft);
	T_RUN(bits_do_not_depend_on_company);
	T_RUN(who_loses_its_pages_keeps_its_adapters);
	T_RUN(the_prefix_cache_keeps_them_apart);
	T_RUN(a_flip_under_a_request);
	T_RUN(others_do_not_wait_for_a_load);
	T_RUN(unknown_ones_are_refused);
	T_RUN(it_does_not_ask_for_ever);
	T_RUN(the_supervisor_dies_meanwhile);
	T_RUN(a_version_of_another_shape);
	T_RUN(nonsense_is_refused);
	return t_done();
}
