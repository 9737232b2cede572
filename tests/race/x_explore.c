/* SPDX-License-Identifier: MIT */
/*
 * x_explore.c: depth-first search over all schedules. A state met before is not searched again; its
 * schedules are counted by what was found the first time. Without argument: the real code, then
 * every mutant; with a number: that mutant, and the schedule that gives it away. Exit status 0: the
 * real code keeps the claims in every schedule and every mutant is caught; 1: not so; 2: the
 * explorer is at fault.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "x_mutants.h"
#include "x_world.h"

#define DEPTH_MAX	1000
#define SCHEDULES_OPEN	-1.0	/* on the present path */

struct found {
	uint64_t key;		/* 0: free */
	double schedules;
};

static struct found *table;
static size_t table_size, table_used;
static struct { int actor; struct x_op op; } trace[DEPTH_MAX];
static int deepest;

struct sum {
	uint64_t a, b;
};

static void sum_words(struct sum *sum, const void *from, size_t count)
{
	const uint64_t *p = from;

	for (size_t i = 0; i < count; i++) {
		unsigned __int128 m = (unsigned __int128)(sum->a ^ p[i]) * (sum->b | 1);

		sum->a = (uint64_t)m ^ (uint64_t)(m >> 64) ^ sum->b;
		sum->b = sum->b * UINT64_C(0x2545f4914f6cdd1d) + p[i] + 1;
	}
}

/* Only the used part of logs and buffers; the first word of an actor says how long they are. */
static uint64_t hash(const struct x_world *world)
{
	struct sum sum = { UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xd1b54a32d192ed03) };

	sum_words(&sum, world->mem, X_LOCS);
	for (int i = 0; i < X_ACTORS; i++) {
		const struct x_actor *a = &world->actors[i];

		sum_words(&sum, a, 1);
		sum_words(&sum, a->log, a->log_count);
		sum_words(&sum, a->buffer, 2u * a->buffer_count);
		sum_words(&sum, &a->priv, sizeof(a->priv) / 8);
	}
	sum_words(&sum, &world->ghost, sizeof(world->ghost) / 8);
	sum.a = (sum.a ^ sum.b) * UINT64_C(0xbf58476d1ce4e5b9);
	return (sum.a ^ sum.a >> 29) | 1;
}

static struct found *slot_of(struct found *in, size_t size, uint64_t key)
{
	size_t i = (size_t)(key >> 1) & (size - 1);

	while (in[i].key && in[i].key != key)
		i = (i + 1) & (size - 1);
	return &in[i];
}

static void table_grow(void)
{
	size_t size = table_size ? table_size * 2 : 1 << 16;
	struct found *bigger = calloc(size, sizeof(*bigger));

	if (!bigger) {
		printf("explorer: out of memory after %zu states\n", table_used);
		exit(2);
	}
	for (size_t i = 0; i < table_size; i++)
		if (table[i].key)
			*slot_of(bigger, size, table[i].key) = table[i];
	free(table);
	table = bigger;
	table_size = size;
}

static void print_step(int actor, const struct x_op *op)
{
	static const char *const kinds[] = {
		[X_OP_LOAD] = "loads", [X_OP_STORE] = "stores", [X_OP_USE] = "uses version",
		[X_OP_RECLAIM] = "reclaims version", [X_OP_WAIT] = "looks again",
		[X_OP_BELL] = "wakes by", [X_OP_NOTE] = "notes", [X_OP_FLUSH] = "flushes",
		[X_OP_DIE] = "dies",
	};
	static const char *const orders[] = { "relaxed", "", "", "release", "", "seq_cst" };

	printf("    %s%s %s", actor == X_SUP ? "supervisor" : "worker",
	       actor == X_SUP ? "" : actor ? " 1" : " 0", kinds[op->kind]);
	if (op->loc != X_NONE && op->kind != X_OP_DIE)
		printf(" %s", x_loc_names[op->loc]);
	if (op->kind == X_OP_STORE || op->kind == X_OP_FLUSH)
		printf(" = %#llx", (unsigned long long)op->value);
	if (op->kind == X_OP_STORE)
		printf(" (%s)", orders[(int)op->order]);
	if (op->kind == X_OP_USE || op->kind == X_OP_RECLAIM)
		printf(" %u", (uint32_t)op->value);
	printf("\n");
}

static bool verbose;

static void report(int depth)
{
	if (!verbose)
		return;
	printf("  VIOLATION: %s, after %d steps:\n", x_violation, depth);
	for (int i = 0; i < depth; i++)
		print_step(trace[i].actor, &trace[i].op);
}

static double explore(const struct x_world *world, int depth);

/* Search from @next, which one step by @op of @actor has made. */
static double follow(const struct x_world *next, int depth, int actor, const struct x_op *op)
{
	if (depth == DEPTH_MAX) {
		printf("explorer: a schedule of more than %d steps\n", DEPTH_MAX);
		exit(2);
	}
	trace[depth].actor = actor;
	trace[depth].op = *op;
	if (depth + 1 > deepest)
		deepest = depth + 1;
	if (x_violation) {
		report(depth + 1);
		return 0;
	}
	return explore(next, depth + 1);
}

static double flushes(const struct x_world *world, int depth, int actor, int *taken)
{
	double schedules = 0;

	for (int i = 0; x_flushable(world, actor, i) >= 0 && !x_violation; i++) {
		const struct x_entry *entry = &world->actors[actor].buffer[i];
		struct x_op op = { .kind = X_OP_FLUSH, .loc = entry->loc, .value = entry->value };
		struct x_world next = *world;

		if (!x_flushable(world, actor, i))
			continue;
		(*taken)++;
		x_flush(&next, actor, i);
		schedules += follow(&next, depth, actor, &op);
	}
	return schedules;
}

static double deaths(const struct x_world *world, int depth, int actor)
{
	struct x_op op = { .kind = X_OP_DIE };
	struct x_world next = *world;

	if (x_violation || actor == X_SUP || world->actors[actor].status != X_RUNNING)
		return 0;
	x_die(&next, actor);
	return follow(&next, depth, actor, &op);
}

static double successors(const struct x_world *world, int depth, bool with_deaths)
{
	double schedules = 0;
	int taken = 0;

	for (int actor = 0; actor < X_ACTORS && !x_violation; actor++) {
		if (x_enabled(world, actor)) {
			struct x_world next = *world;

			taken++;
			x_step(&next, actor);
			schedules += follow(&next, depth, actor, &world->actors[actor].pending);
		}
		schedules += flushes(world, depth, actor, &taken);
	}
	if (taken == 0) {
		x_oracle_end(world);
		if (x_violation)
			report(depth);
		return 1;
	}
	for (int actor = 0; with_deaths && actor < X_ACTORS; actor++)
		schedules += deaths(world, depth, actor);
	return schedules;
}

static bool dying;

static double explore(const struct x_world *world, int depth)
{
	uint64_t key = hash(world);
	struct found *at;
	double schedules;

	if ((table_used + 1) * 4 > table_size * 3)
		table_grow();
	at = slot_of(table, table_size, key);
	if (at->key) {
		if (at->schedules == SCHEDULES_OPEN) {
			printf("explorer: a schedule runs in a circle\n");
			exit(2);
		}
		return at->schedules;
	}
	*at = (struct found){ key, SCHEDULES_OPEN };
	table_used++;
	schedules = successors(world, depth, dying);
	slot_of(table, table_size, key)->schedules = schedules;
	return schedules;
}

/* Whether all schedules of the scenario keep the claims. */
static bool run(const struct x_scenario *scenario)
{
	struct x_world world;
	double schedules;

	free(table);
	table = NULL;
	table_size = table_used = 0;
	deepest = 0;
	dying = scenario->deaths;
	x_setup(&world, scenario);
	schedules = x_violation ? 0 : explore(&world, 0);
	if (!x_violation && x_mutant == MUT_NONE)
		printf("  %-36s %9zu states, %.4g schedules of up to %d steps\n", scenario->name,
		       table_used, schedules, deepest);
	fflush(stdout);
	return !x_violation;
}

/* Whether the oracle sees through the mutant in some scenario. */
static bool caught(int mutant)
{
	int first = x_mutants[mutant].scenario, i = 0;

	x_mutant = mutant;
	while (i < x_scenario_count && run(&x_scenarios[(first + i) % x_scenario_count]))
		i++;
	if (i == x_scenario_count)
		printf("  mutant %2d SURVIVES: %s\n", mutant, x_mutants[mutant].text);
	else
		printf("  mutant %2d caught: %s: %s\n", mutant, x_mutants[mutant].text,
		       x_violation);
	fflush(stdout);
	return i < x_scenario_count;
}

static bool real_code_holds(void)
{
	bool holds = true;

	printf("explorer: %d scenarios, 2 workers, deaths at every step, store buffers\n",
	       x_scenario_count);
	x_mutant = MUT_NONE;
	for (int i = 0; i < x_scenario_count && holds; i++)
		holds = run(&x_scenarios[i]);
	return holds;
}

int main(int argc, char **argv)
{
	int survivors = 0;

	if (argc > 1) {		/* one mutant, with its schedule */
		verbose = true;
		return caught(atoi(argv[1]) % MUT_COUNT) ? 0 : 1;
	}
	verbose = true;
	if (!real_code_holds())
		return 1;
	verbose = false;
	for (int mutant = 1; mutant < MUT_COUNT; mutant++)
		survivors += !caught(mutant);
	printf("explorer: the real code holds, %d of %d mutants caught\n",
	       MUT_COUNT - 1 - survivors, MUT_COUNT - 1);
	free(table);
	return survivors ? 1 : 0;
}
