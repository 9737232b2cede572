/* SPDX-License-Identifier: MIT */
/*
 * sim.c: whole releases with made-up traffic and the real analysis. How often is a candidate that equals
 * stable rolled back, and how often is one caught that is slower or fails more? Deterministic. Sizes:
 * JUDGE_RELEASES=N releases of equal versions (default 1200; `make check-long`: 10000).
 *
 * Built with -DJUDGE_MUTANT=n, the analysis has one mistake, and the program passes when a rate that the
 * real one keeps is broken.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t.h"
#include "../../daemon/supervisor/sup_judge_priv.h"

#define SECOND	UINT64_C(1000000000)

struct model {
	const char *name;
	double sigma;			/* of the logarithm of times */
	double tail;			/* share of requests that take three to ten times as long */
	double prompts;			/* sigma of the logarithm of prompt lengths */
	double bursts;			/* share of 5 s periods that are twice as slow, and crowded */
	double drift;			/* times change by this factor over a release, up and down */
	double errors;			/* base rate */
	double outages;			/* share of 5 s periods in which 5 x as many fail */
	double tick_ms;			/* clock's grain; 0: none */
	uint32_t per_look;		/* requests */
	uint32_t users;			/* whose sessions stick to a version; 0: each request is dealt anew */
};

/* What the candidate does. */
struct change {
	double first, token, errors;	/* times multiplied by; failures more */
};

/* Latencies are compared too, as where versions do not share workers. */
static bool wall_times;

struct tally {
	uint32_t releases, passed, failed, held;
	double requests;		/* mean until the end */
};

static const struct model models[] = {
	{ "steady", 0.2, 0, 0.5, 0, 1, 0, 0, 0, 1000, 0 },
	{ "noisy", 0.6, 0, 1.2, 0, 1, 0.02, 0, 0, 1000, 0 },
	{ "heavy tails", 0.4, 0.05, 1.2, 0.05, 1, 0.01, 0, 0, 1000, 0 },
	{ "bursts", 0.4, 0.01, 0.8, 0.2, 1.5, 0.01, 0.05, 0, 1000, 0 },
	{ "drift", 0.3, 0.01, 0.8, 0.05, 4, 0.02, 0.02, 0, 1000, 0 },
	{ "coarse clock", 0.3, 0, 0.5, 0, 1, 0.005, 0, 2, 1000, 0 },
	{ "crowded", 0.4, 0.01, 0.8, 0.1, 1.5, 0.02, 0.02, 0, 6000, 0 },
	{ "quiet", 0.4, 0.01, 0.8, 0.1, 1.5, 0.02, 0.02, 0, 250, 0 },
};
/* Users differ in speed, prompts and errors, and some come far more often. */
static const struct model sticky = { "sticky", 0.4, 0.01, 0.5, 0.1, 1.5, 0.01, 0, 0, 2000, 400 };
#define MODELS	(sizeof(models) / sizeof(models[0]))

/* ---- traffic --------------------------------------------------------------------------------- */

static uint64_t seed = 1;

static double uniform(void)
{
	return ((double)(t_random(&seed) >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
	static double spare;
	static int have;
	double r, a;

	if (have) {
		have = 0;
		return spare;
	}
	r = sqrt(-2 * log(uniform()));
	a = 2 * M_PI * uniform();
	spare = r * sin(a);
	have = 1;
	return r * cos(a);
}

/* What the minute is like, for both versions. */
struct weather {
	uint64_t now, changes;
	double slow, fail, gap_ns;
	uint64_t requests;
};

static void move(struct weather *w, const struct model *m)
{
	bool burst, outage;

	if (w->now < w->changes)
		return;
	burst = uniform() < m->bursts;
	outage = uniform() < m->outages;
	w->changes = w->now + 5 * SECOND;
	w->slow = (burst ? 2 : 1) * exp(log(m->drift) * sin((double)w->requests / (6.0 * m->per_look)));
	w->fail = m->errors * (outage ? 5 : 1);
	w->gap_ns = 60e9 / m->per_look / (burst ? 3 : 1);
}

#define USERS_MAX 1000
static struct user {
	double often;			/* share of requests, of this and all before */
	double slow, prompts, fail;	/* factors */
	double version;			/* the candidate's when below its weight */
} users[USERS_MAX];

static void gather(uint32_t count)
{
	double all = 0;

	for (uint32_t i = 0; i < count; i++) {
		all += pow(i + 1, -0.7);
		users[i] = (struct user){ all, exp(0.1 * normal()), exp(0.7 * normal()), exp(0.7 * normal()),
					  uniform() };
	}
	for (uint32_t i = 0; i < count; i++)
		users[i].often /= all;
}

static const struct user *anyone(uint32_t count)
{
	double at = uniform();
	uint32_t low = 0, high = count - 1;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (users[mid].often < at)
			low = mid + 1;
		else
			high = mid;
	}
	return &users[low];
}

static uint64_t ticks(double ms, const struct model *m)
{
	if (m->tick_ms > 0)
		ms = floor(ms / m->tick_ms + 1) * m->tick_ms;
	return (uint64_t)(ms * 1e6);
}

static void request(struct sup_judge *judge, struct weather *w, const struct model *m,
		    const struct change *change, double weight)
{
	struct sup_judge_sample s = { 0 };
	struct user nobody = { 1, 1, 1, 1, uniform() };
	const struct user *user = m->users ? anyone(m->users) : &nobody;
	double slow, first, token, fail, wait;

	move(w, m);
	w->now += (uint64_t)(-log(uniform()) * w->gap_ns);
	w->requests++;
	s.session = m->users ? (uint64_t)(user - users) + 1 : 0;
	s.cohort = user->version < weight;
	s.prompt_count = 1 + (uint32_t)(120 * user->prompts * exp(m->prompts * normal()));
	s.cached_count = uniform() < 0.3 ? s.prompt_count / 2 : 0;
	s.output_count = 1 + (uint32_t)(60 * exp(0.6 * normal()));
	slow = w->slow * user->slow * exp(m->sigma * 0.5 * normal());
	if (uniform() < m->tail)
		slow *= 3 + 7 * uniform();
	first = slow * (5 + 0.4 * (s.prompt_count - s.cached_count)) * exp(m->sigma * 0.866 * normal());
	token = slow * 10 * (1 + s.prompt_count / 2000.0) * exp(m->sigma * 0.866 * normal());
	fail = w->fail * user->fail;
	if (s.cohort == SUP_JUDGE_CANDIDATE) {
		first *= change->first;
		token *= change->token;
		fail += change->errors;
	}
	wait = 2 * w->slow * -log(uniform());
	s.queue_ns = ticks(wait, m);
	s.first_token_ns = s.queue_ns + ticks(first, m);
	s.total_ns = s.first_token_ns + ticks(token * (s.output_count - 1), m);
	s.ended_ns = w->now + s.total_ns;
	/* its steps against stable's of that time: what slows both leaves it as it is */
	s.usual_ns = 1000000;
	s.own_ns = (uint64_t)(1e6 * (s.cohort == SUP_JUDGE_CANDIDATE ? change->token : 1) *
			      exp(m->sigma * 0.5 * normal()));
	s.outcome = uniform() < fail ? SUP_JUDGE_FAILED : SUP_JUDGE_OK;
	sup_judge_add(judge, &s);
}

/* ---- releases -------------------------------------------------------------------------------- */

static struct sup_judge judge;
static struct sup_judge_verdict verdict;

/* As a controller would: on to the next share of traffic when a look passes. Longest: @looks. */
static enum sup_judge_verdict_kind release(const struct model *m, const struct change *change,
					   const double *steps, uint32_t looks, struct weather *w)
{
	struct sup_judge_conf conf;
	const char *field;
	uint32_t step = 0;

	*w = (struct weather){ .now = 1000 * SECOND };
	sup_judge_defaults(&conf);
	conf.wall_times = wall_times;
	sup_judge_init(&judge, &conf, &field);
	sup_judge_cut(&judge, w->now);
	gather(m->users);
	for (uint32_t i = 0; i < looks; i++) {
		uint32_t flags = steps[step] == 1 ? SUP_JUDGE_ALONE | SUP_JUDGE_FULL :
				 steps[step + 1] == 1 ? SUP_JUDGE_FULL : 0;

		for (uint32_t r = 0; r < m->per_look; r++)
			request(&judge, w, m, change, steps[step]);
		sup_judge_look(&judge, flags, &verdict);
		if (verdict.kind == SUP_JUDGE_FAIL)
			return SUP_JUDGE_FAIL;
		if (verdict.kind == SUP_JUDGE_INCONCLUSIVE)
			continue;
		if (steps[step] == 1)
			return SUP_JUDGE_PASS;
		step++;
		sup_judge_cut(&judge, w->now);
	}
	return SUP_JUDGE_INCONCLUSIVE;
}

static const double canary[] = { 0.01, 0.05, 0.25, 0.5, 1 }, half[] = { 0.5, 1 };

static struct tally simulate(const char *what, const struct model *m, struct change change,
			     const double *steps, uint32_t looks, uint32_t releases)
{
	struct tally t = { .releases = releases };
	uint32_t by[3] = { 0 };

	for (uint32_t i = 0; i < releases; i++) {
		struct weather w;

		by[release(m, &change, steps, looks, &w)]++;
		if (verdict.kind == SUP_JUDGE_FAIL && change.first == 1 && change.token == 1 && change.errors == 0)
			printf("# equal, but: %s\n", verdict.findings[0].text);
		t.requests += (double)w.requests / releases;
	}
	t.passed = by[SUP_JUDGE_PASS];
	t.failed = by[SUP_JUDGE_FAIL];
	t.held = by[SUP_JUDGE_INCONCLUSIVE];
	printf("# %-28s %-13s %5u releases: %6.2f %% rolled back, %6.2f %% promoted, %6.2f %% held; "
	       "%6.0f requests\n", what, m->name, releases, 100.0 * t.failed / releases, 100.0 * t.passed / releases,
	       100.0 * t.held / releases, t.requests);
	return t;
}

static const struct change equal = { 1, 1, 0 };

static uint32_t releases_wanted(void)
{
	const char *text = getenv("JUDGE_RELEASES");
	long n = text ? strtol(text, NULL, 10) : 0;

	return n > 0 ? (uint32_t)n : MUTANT(MUTANT_LOOKS) ? 300 : 1200;
}

/* ---- what must hold -------------------------------------------------------------------------- */

#if JUDGE_MUTANT
static uint32_t broken;
#define keeps(condition) ((condition) ? 0 : broken++)
#else
#define keeps(condition) t_ok(condition)
#endif

static double share(uint32_t part, uint32_t all)
{
	return (double)part / all;
}

static void equal_versions_are_promoted(void)
{
	struct tally all = { 0 };

	for (size_t i = 0; i < MODELS; i++) {
		struct tally t = simulate("equal", &models[i], equal, canary, 400, releases_wanted() / MODELS);

		all.releases += t.releases;
		all.failed += t.failed;
		all.passed += t.passed;
	}
	printf("# ran: %u releases of equal versions, %u rolled back, %u promoted\n", all.releases, all.failed,
	       all.passed);
	keeps(share(all.failed, all.releases) <= 0.01);
	keeps(share(all.passed, all.releases) >= 0.95);
}

/* Each way to be worse: rolled back, in every kind of traffic. */
static void regressions_are_caught(void)
{
	static const struct {
		const char *what;
		struct change change;
	} cases[] = {
		{ "10 % slower", { 1.1, 1.1, 0 } },
		{ "10 % slower tokens", { 1, 1.1, 0 } },
		{ "10 % slower first tokens", { 1.1, 1, 0 } },
		{ "+3 points of errors", { 1, 1, 0.03 } },
	};
	const size_t count = sizeof(cases) / sizeof(cases[0]);
	uint32_t releases = releases_wanted() / 30;

	for (size_t k = MUTANT(MUTANT_BANDS) ? 2 : 0; k < (MUTANT(MUTANT_BANDS) ? 3 : count); k++) {
		struct tally all = { 0 };

		for (size_t i = 0; i < MODELS; i++) {
			struct tally t = simulate(cases[k].what, &models[i], cases[k].change, canary, 400, releases);

			all.releases += t.releases;
			all.failed += t.failed;
			keeps(share(t.failed, t.releases) >= 0.9);
		}
		printf("# ran: %s: %u of %u rolled back\n", cases[k].what, all.failed, all.releases);
		keeps(share(all.failed, all.releases) >= 0.95);
	}
}

/* 2 % slower is certain with so many requests, and no reason to roll back. */
static void trifles_are_tolerated(void)
{
	const struct model busy = { "busy", 0.3, 0, 0.5, 0, 1, 0.01, 0, 0, 6000, 0 };
	struct tally t = simulate("2 % slower", &busy, (struct change){ 1.02, 1.02, 0.002 }, canary, 100,
				  releases_wanted() / 20);

	keeps(share(t.failed, t.releases) <= 0.1);
	keeps(share(t.passed, t.releases) >= 0.9);
}

/* A few requests per look decide nothing, good or bad. */
static void low_traffic_holds(void)
{
	const struct model few = { "few", 0.4, 0.01, 0.8, 0.1, 1, 0.02, 0, 0, 5, 0 };
	const struct change bad = { 2, 2, 0.3 };
	struct tally t = simulate("equal", &few, equal, half, 15, 300);

	keeps(t.held == t.releases);
	t = simulate("twice as slow, 30 % errors", &few, bad, half, 15, 300);
	keeps(t.held == t.releases);
	t = simulate("equal", &few, equal, canary, 100, 30);
	keeps(t.held == t.releases);
}

/*
 * Sticky sessions: with 400 users there are only so many independent ones, so what differs by chance is
 * more, a regression takes longer to be sure of, and some releases are held.
 */
static void sessions_stick(void)
{
	uint32_t releases = releases_wanted() / 12;
	struct tally t = simulate("equal", &sticky, equal, canary, 60, releases);

	keeps(share(t.failed, t.releases) <= 0.01);
	keeps(share(t.passed, t.releases) >= 0.75);
	t = simulate("10 % slower", &sticky, (struct change){ 1.1, 1.1, 0 }, canary, 60, releases / 4);
	keeps(share(t.passed, t.releases) <= 0.05);
	t = simulate("+3 points of errors", &sticky, (struct change){ 1, 1, 0.03 }, canary, 60, releases / 4);
	keeps(share(t.passed, t.releases) <= 0.05);
}

#if !JUDGE_MUTANT
/* As a host judges by default: by engine time, shares and limits. */
static void engine_time_alone(void)
{
	uint32_t releases = releases_wanted() / 8, equals = 0, failed = 0;

	for (size_t i = 0; i < MODELS; i++) {
		struct tally t = simulate("equal, engine time", &models[i], equal, canary, 400, releases);

		equals += t.releases;
		failed += t.failed;
		keeps(share(t.passed, t.releases) >= 0.95);
		t = simulate("10 % slower, engine time", &models[i], (struct change){ 1.1, 1.1, 0 }, canary,
			     400, releases / 4);
		keeps(share(t.failed, t.releases) >= 0.95);
		t = simulate("+3 points, engine time", &models[i], (struct change){ 1, 1, 0.03 }, canary, 400,
			     releases / 4);
		keeps(share(t.failed, t.releases) >= 0.95);
	}
	printf("# ran: by engine time %u of %u equal ones rolled back\n", failed, equals);
	keeps(share(failed, equals) <= 0.01);
}
#endif

/* ---- honest chances -------------------------------------------------------------------------- */

static const char *const metrics[] = {
	"engine_time", "first_token", "token_time", "total_per_token", "errors", "first_token_tail", "token_time_tail",
};
#define METRICS	(sizeof(metrics) / sizeof(metrics[0]))

/* Two looks at fixed times, at 5 % and 50 % of the traffic; counts per metric where p is below 0.05. */
static void tests_of_equals(const struct model *m, uint32_t *below, uint32_t *tests)
{
	static const double shares[] = { 0.05, 0.5 };
	struct weather w = { .now = 1000 * SECOND };
	struct sup_judge_conf conf;
	const char *field;

	sup_judge_defaults(&conf);
	conf.wall_times = wall_times;
	sup_judge_init(&judge, &conf, &field);
	for (int k = 0; k < 2; k++) {
		sup_judge_cut(&judge, w.now);
		for (uint32_t r = 0; r < 1500; r++)
			request(&judge, &w, m, &equal, shares[k]);
		sup_judge_look(&judge, 0, &verdict);
	}
	for (uint32_t i = 0; i < verdict.finding_count; i++) {
		const struct sup_judge_finding *f = &verdict.findings[i];

		for (size_t k = 0; k < METRICS; k++) {
			if (strcmp(f->metric, metrics[k]))
				continue;
			tests[k]++;
			below[k] += f->p < 0.05;
		}
	}
}

static void chances_are_honest(void)
{
	uint32_t below[METRICS] = { 0 }, tests[METRICS] = { 0 };
	struct model coarse = models[0];
	uint32_t releases = releases_wanted() / 6;

	coarse.name = "very coarse";
	coarse.tick_ms = 20;
	for (size_t i = 0; i <= MODELS; i++)
		for (uint32_t r = 0; r < releases; r++)
			tests_of_equals(i < MODELS ? &models[i] : &coarse, below, tests);
	for (size_t k = 0; k < METRICS; k++) {
		printf("# %s: %.2f %% of %u tests of equals have p below 5 %%\n", metrics[k],
		       100 * share(below[k], tests[k]), tests[k]);
		keeps(share(below[k], tests[k]) <= 0.065);
		keeps(share(below[k], tests[k]) >= (k < 4 ? 0.035 : 0.01));
	}
}

#if JUDGE_MUTANT
int main(void)
{
	static void (*const cases[])(void) = {
		[MUTANT_LOOKS] = equal_versions_are_promoted, [MUTANT_MINIMUM] = low_traffic_holds,
		[MUTANT_TIES] = chances_are_honest, [MUTANT_TOLERANCE] = trifles_are_tolerated,
		[MUTANT_TIME] = chances_are_honest, [MUTANT_BANDS] = regressions_are_caught,
		[MUTANT_SESSIONS] = sessions_stick,
	};

	wall_times = true;
	cases[JUDGE_MUTANT]();
	printf("mistake %d: %u of the rates are broken\n", JUDGE_MUTANT, broken);
	return broken ? 0 : 1;
}
#else
int main(void)
{
	T_RUN(engine_time_alone);
	wall_times = true;
	T_RUN(equal_versions_are_promoted);
	T_RUN(regressions_are_caught);
	T_RUN(trifles_are_tolerated);
	T_RUN(low_traffic_holds);
	T_RUN(sessions_stick);
	T_RUN(chances_are_honest);
	return t_done();
}
#endif
