/* SPDX-License-Identifier: MIT */
/*
 * lora_test.c: adapters against a plain pass in double precision; their rows keep their bits in any
 * company, however cut, on any number of threads and on every ISA; what is refused.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t.h"
#include "t_lora.h"
#include "t_malloc.h"
#include "t_steps.h"

#define TOKENS		40u	/* one page border */
#define SETS		5u
#define LIMIT_FLOAT	2e-6
#define LIMIT_QUANT	0.025

/* 3 layers; no width a multiple of 16, so that the last lanes of A and panels of B are short. */
static const struct t_shape odd_shape = {
	.layers = 3, .hidden = 88, .intermediate = 150, .heads = 6, .kv_heads = 2, .head_dim = 20,
	.vocab = 77, .context = 96,
};

/* A row's adapters, for the engine and for the reference. */
struct set {
	uint32_t count;
	struct eng_adapter list[ENG_ADAPTERS_MAX];
	struct t_adapter reference[ENG_ADAPTERS_MAX];
};

static void set_add(struct set *set, const struct t_lora *lora, float scale)
{
	set->list[set->count] = (struct eng_adapter){ &lora->lora, scale };
	set->reference[set->count++] = (struct t_adapter){ lora, scale };
}

static struct eng *engine(uint32_t isa, uint32_t threads, const struct t_model *t,
			  const struct set *sets, uint32_t count)
{
	struct eng *eng = t_engine(isa, threads, t);

	for (uint32_t i = 0; i < count; i++)
		for (uint32_t k = 0; k < sets[i].count; k++)
			t_eq(eng_lora_prepare(eng, sets[i].list[k].lora), 0);
	return eng;
}

static struct eng_row next_row(struct t_sequence *s, const struct set *set, bool prompt,
			       int32_t logits)
{
	struct eng_row row = t_next_row(s, prompt, logits);

	row.adapters = set->list;
	row.adapter_count = set->count;
	return row;
}

/* One sequence under one set. */
static float *run(const struct t_model *t, const struct set *set, const struct t_manner *how,
		  uint64_t seed)
{
	size_t vocab = t->model.config.vocab_count;
	float *logits = malloc(TOKENS * vocab * sizeof(float));
	struct eng *eng = engine(how->isa, how->threads, t, set, 1);
	struct eng_row rows[ENG_ROWS_MAX];
	struct t_sequence s;

	t_sequence_init(&s, t, seed);
	while (s.count < TOKENS) {
		uint32_t first = s.count, n = 0;

		for (; n < how->chunk && s.count < TOKENS; n++)
			rows[n] = next_row(&s, set, how->prompt ^ (how->alternate && n % 2),
					   (int32_t)n);
		t_eq(eng_step(eng, &t->model, rows, n, logits + first * vocab), 0);
	}
	t_sequence_fini(&s);
	eng_free(&eng);
	return logits;
}

/* -- against the reference --------------------------------------------------------------------- */

/* Root mean square of the difference over that of the reference. */
static double distance(const struct t_model *t, const struct set *set, const float *logits,
		       uint64_t seed)
{
	size_t n = TOKENS * (size_t)t->model.config.vocab_count;
	double *reference = malloc(n * sizeof(double)), off = 0, all = 0;
	struct t_sequence s;

	t_sequence_init(&s, t, seed);
	t_lora_reference(t, set->reference, set->count, s.tokens, TOKENS, reference);
	for (size_t i = 0; i < n; i++) {
		off += (logits[i] - reference[i]) * (logits[i] - reference[i]);
		all += reference[i] * reference[i];
	}
	t_sequence_fini(&s);
	free(reference);
	return sqrt(off / all);
}

static void check_set(const struct t_model *t, const struct set *set, double limit)
{
	const struct set none = { 0 };

	for (int prompt = 0; prompt < 2; prompt++) {
		struct t_manner how = { ENG_ISA_AUTO, 2, 33, prompt, false };
		float *logits = run(t, set, &how, 5);
		double d = distance(t, set, logits, 5), without = distance(t, &none, logits, 5);

		if (!t_ok(d < limit))
			printf("# prompt %d: distance %.3g, limit %.3g\n", prompt, d, limit);
		/* the adapters say something that the limit would not let through */
		if (!t_ok(without > 3 * limit))
			printf("# without adapters: distance %.3g only\n", without);
		free(logits);
	}
}

static void check_one(const struct t_model *t, uint32_t source, uint32_t rank, uint32_t targets,
		      uint32_t skip_layers, float scale, double limit)
{
	struct t_lora *lora = t_lora_new(t, source, rank, targets, skip_layers, rank + targets);
	struct set set = { 0 };

	set_add(&set, lora, scale);
	check_set(t, &set, limit);
	t_lora_free(&lora);
}

static void ranks_and_types(void)
{
	static const uint32_t ranks[] = { 1, 4, 8, 16, 64, 3, 17 };
	struct t_sources f32 = t_sources_all(ENG_SRC_F32), q4 = t_sources_all(ENG_SRC_Q4_1);
	struct t_model *odd, *usual, *quantised;

	f32.output = ENG_SRC_F32;
	odd = t_model_new(&odd_shape, &f32, 4);
	usual = t_model_new(&t_usual_shape, &f32, 4);
	quantised = t_model_new(&t_usual_shape, &q4, 4);
	for (uint32_t i = 0; i < sizeof(ranks) / sizeof(*ranks); i++)
		for (uint32_t source = 0; source < T_FLOAT_COUNT; source++) {
			check_one(odd, t_all_sources[source], ranks[i], T_TARGETS_ALL, 0, 1,
				  LIMIT_FLOAT);
			if (i < 5)
				check_one(usual, t_all_sources[source], ranks[i],
					  T_TARGETS_ALL, 0, 1, LIMIT_FLOAT);
		}
	check_one(quantised, ENG_SRC_F16, 16, T_TARGETS_ALL, 0, 1, LIMIT_QUANT);
	check_one(quantised, ENG_SRC_F32, 4, T_TARGETS_LAYER, 0, 1, LIMIT_QUANT);
	t_model_free(&odd);
	t_model_free(&usual);
	t_model_free(&quantised);
}

static void every_target_and_subsets(void)
{
	struct t_sources sources = t_sources_all(ENG_SRC_F32);
	struct t_model *tied = t_model_new(&odd_shape, &sources, 5);
	static const uint32_t subsets[] = {
		T_TARGET(ENG_LORA_Q) | T_TARGET(ENG_LORA_V),
		T_TARGET(ENG_LORA_K) | T_TARGET(ENG_LORA_UP) | T_TARGET(ENG_LORA_OUTPUT),
		T_TARGET(ENG_LORA_GATE) | T_TARGET(ENG_LORA_DOWN) | T_TARGET(ENG_LORA_EMBED),
	};

	for (uint32_t target = 0; target <= ENG_LORA_EMBED; target++)
		check_one(tied, ENG_SRC_F16, 8, T_TARGET(target), 0, 1, LIMIT_FLOAT);
	for (uint32_t i = 0; i < 3; i++)
		for (uint32_t skip = 0; skip < 8; skip += 3)
			check_one(tied, ENG_SRC_F32, 4, subsets[i], skip, 1, LIMIT_FLOAT);
	check_one(tied, ENG_SRC_BF16, 8, T_TARGETS_ALL, 0, -0.5f, LIMIT_FLOAT);
	check_one(tied, ENG_SRC_BF16, 8, T_TARGETS_ALL, 2, 1.75f, LIMIT_FLOAT);
	t_model_free(&tied);
}

/* Of any ranks, types and targets; the same one twice; as many as a row may have. */
static void several_are_summed(void)
{
	struct t_sources sources = t_sources_all(ENG_SRC_F32);
	struct t_model *t = t_model_new(&odd_shape, &sources, 5);
	struct t_lora *a = t_lora_new(t, ENG_SRC_F32, 4, T_TARGETS_ALL, 0, 1);
	struct t_lora *b = t_lora_new(t, ENG_SRC_F16, 17, T_TARGET(ENG_LORA_V), 1, 2);
	struct t_lora *c = t_lora_new(t, ENG_SRC_BF16, 1, T_TARGETS_LAYER, 0, 3);
	struct set set = { 0 };

	set_add(&set, a, 0.5f);
	set_add(&set, b, 2);
	check_set(t, &set, LIMIT_FLOAT);
	set_add(&set, c, -1);
	set_add(&set, a, 0.25f);
	while (set.count < ENG_ADAPTERS_MAX)
		set_add(&set, set.count % 2 ? b : c, 0.125f);
	check_set(t, &set, LIMIT_FLOAT);
	t_lora_free(&a);
	t_lora_free(&b);
	t_lora_free(&c);
	t_model_free(&t);
}

/* -- the same bits ----------------------------------------------------------------------------- */

/* Some sets over one model; the first has no adapters. */
struct scene {
	struct t_model *t;
	struct t_lora *loras[3];
	struct set sets[SETS];
};

static void scene_init(struct scene *scene, uint32_t source)
{
	struct t_sources sources = t_sources_all(source);

	*scene = (struct scene){ .t = t_model_new(&t_usual_shape, &sources, 9) };
	scene->loras[0] = t_lora_new(scene->t, ENG_SRC_F16, 16, T_TARGETS_LAYER, 0, 1);
	scene->loras[1] = t_lora_new(scene->t, ENG_SRC_F32, 5, T_TARGETS_ALL, 1, 2);
	scene->loras[2] = t_lora_new(scene->t, ENG_SRC_BF16, 64, 0x155, 0, 3);
	set_add(&scene->sets[1], scene->loras[0], 1);
	set_add(&scene->sets[2], scene->loras[1], -0.75f);
	set_add(&scene->sets[2], scene->loras[0], 0.5f);
	set_add(&scene->sets[3], scene->loras[0], 0.5f);
	set_add(&scene->sets[3], scene->loras[1], -0.75f);
	set_add(&scene->sets[3], scene->loras[2], 0.3f);
	set_add(&scene->sets[4], scene->loras[2], 1);
	set_add(&scene->sets[4], scene->loras[2], 0.1f);
}

static void scene_fini(struct scene *scene)
{
	for (uint32_t i = 0; i < 3; i++)
		t_lora_free(&scene->loras[i]);
	t_model_free(&scene->t);
}

static bool same_bits(const struct scene *scene, const float *a, uint32_t set,
		      const struct t_manner *how)
{
	float *b = run(scene->t, &scene->sets[set], how, 1);
	size_t bytes = TOKENS * (size_t)scene->t->model.config.vocab_count * sizeof(float);
	bool same = memcmp(a, b, bytes) == 0;

	if (!same)
		printf("# set %u, isa %s, %u threads, chunks of %u, prompt %d\n", set,
		       eng_isa_name(how->isa), how->threads, how->chunk, how->prompt);
	free(b);
	return same;
}

static void same_bits_by_chunk_and_threads(void)
{
	static const uint32_t chunks[] = { 1, 2, 4, 5, 33, TOKENS };
	static const uint32_t sources[] = { ENG_SRC_Q4_1, ENG_SRC_F32 };

	for (uint32_t f = 0; f < 2; f++) {
		struct scene scene;

		scene_init(&scene, sources[f]);
		for (uint32_t set = 0; set < SETS; set++)
			for (int prompt = 0; prompt < 2; prompt++) {
				struct t_manner how = { ENG_ISA_AUTO, 1, 7, prompt, false };
				float *logits = run(scene.t, &scene.sets[set], &how, 1);

				for (uint32_t c = 0; c < 6; c++) {
					how.chunk = chunks[c];
					how.threads = 1 + (c + set) % 4;
					t_ok(same_bits(&scene, logits, set, &how));
				}
				/* own rows; and quantised rows of both kinds have one path */
				how.threads = 1;
				how.prompt = how.alternate = f == 0;
				how.prompt = f == 0 ? how.prompt : prompt;
				t_ok(same_bits(&scene, logits, set, &how));
				free(logits);
			}
		scene_fini(&scene);
	}
}

static void same_bits_by_isa(void)
{
	struct scene scene;

	scene_init(&scene, ENG_SRC_Q4_1);
	for (uint32_t isa = ENG_ISA_GENERIC; isa < ENG_ISA_COUNT; isa++)
		printf("# isa %s: %s\n", eng_isa_name(isa),
		       eng_isa_usable(isa) ? "run" : "not here");
	for (uint32_t set = 0; set < SETS; set++) {
		struct t_manner how = { ENG_ISA_GENERIC, 1, 24, false, false };
		float *logits = run(scene.t, &scene.sets[set], &how, 1);

		for (how.isa = ENG_ISA_AVX2; how.isa < ENG_ISA_COUNT; how.isa++)
			for (how.chunk = 1; eng_isa_usable(how.isa) && how.chunk < 12; how.chunk += 10)
				t_ok(same_bits(&scene, logits, set, &how));
		free(logits);
	}
	scene_fini(&scene);
}

/* Steps of random rows of all sequences, each under a set of its own; some want no logits. */
static void run_mixed(const struct scene *scene, struct t_sequence *s, float *const *want,
		      uint64_t seed)
{
	size_t vocab = scene->t->model.config.vocab_count;
	float *step = malloc(ENG_ROWS_MAX * vocab * sizeof(float));
	struct eng *eng = engine(ENG_ISA_AUTO, 1 + (uint32_t)(seed % 4), scene->t, scene->sets,
				 SETS);
	struct eng_row rows[ENG_ROWS_MAX];
	uint32_t left = SETS * TOKENS;

	while (left) {
		bool large = left == SETS * TOKENS, same = true;	/* own rows at first */
		const float *expected[ENG_ROWS_MAX];
		uint32_t n = 0;

		for (uint32_t i = 0; i < SETS; i++)
			for (uint64_t k = large ? 30 : t_random(&seed) % 6;
			     k && s[i].count < TOKENS; k--) {
				int32_t at = (int32_t)(ENG_ROWS_MAX - 1 - n - n / 7);

				expected[n] = want[i] + s[i].count * vocab;
				rows[n++] = next_row(&s[i], &scene->sets[i], i % 2,
						     t_random(&seed) % 3 ? at : -1);
			}
		if (!n)
			continue;
		t_eq(eng_step(eng, &scene->t->model, rows, n, step), 0);
		for (uint32_t i = 0; i < n; i++)
			same = same && (rows[i].logits < 0 ||
					!memcmp(expected[i], step + (size_t)rows[i].logits * vocab,
						vocab * sizeof(float)));
		t_ok(same);
		left -= n;
	}
	eng_free(&eng);
	free(step);
}

static void same_bits_in_any_company(void)
{
	static const uint32_t sources[] = { ENG_SRC_Q4_1, ENG_SRC_F32, ENG_SRC_Q8_0 };

	for (uint32_t f = 0; f < 3; f++) {
		struct t_sequence s[SETS];
		struct scene scene;
		float *want[SETS];

		scene_init(&scene, sources[f]);
		for (uint32_t i = 0; i < SETS; i++) {
			struct t_manner alone = { ENG_ISA_AUTO, 1, 1, i % 2, false };

			want[i] = run(scene.t, &scene.sets[i], &alone, 1 + i);
		}
		for (uint64_t seed = 4 * f; seed < 4 * f + 4; seed++) {
			for (uint32_t i = 0; i < SETS; i++)
				t_sequence_init(&s[i], scene.t, 1 + i);
			run_mixed(&scene, s, want, seed);
			for (uint32_t i = 0; i < SETS; i++)
				t_sequence_fini(&s[i]);
		}
		for (uint32_t i = 0; i < SETS; i++)
			free(want[i]);
		scene_fini(&scene);
	}
}

/* Rows of the model alone, beside and before and after others, are what an engine without any gives. */
static void no_adapter_is_as_before(void)
{
	struct t_sources sources = t_sources_all(ENG_SRC_Q4_1);
	struct t_model *t = t_model_new(&t_usual_shape, &sources, 9);
	struct t_manner how = { ENG_ISA_AUTO, 2, 7, true, false };
	float *plain = t_run_steps(t, &how, TOKENS, 1);
	struct scene scene;

	scene_init(&scene, ENG_SRC_Q4_1);
	t_ok(same_bits(&scene, plain, 0, &how));
	/* same_bits_in_any_company() mixes set 0 with the others */
	free(plain);
	scene_fini(&scene);
	t_model_free(&t);
}

/* -- refusals ---------------------------------------------------------------------------------- */

static void expect_field(struct eng_lora *lora, const struct t_model *t, const char *expected,
			 uint32_t at)
{
	const char *field = "none";
	uint32_t layer = 99;

	t_eq(eng_lora_check(lora, &t->model, &field, &layer), -EINVAL);
	t_str_eq(field, expected);
	t_eq(layer, at);
	t_eq(lora->width, 0);
}

#define REFUSED(lvalue, value, name, at) do {				\
		__typeof__(lvalue) kept = (lvalue);			\
		(lvalue) = (value);					\
		expect_field(&a->lora, t, name, at);			\
		(lvalue) = kept;					\
	} while (0)

static void misfits_are_named(void)
{
	struct t_sources sources = t_sources_all(ENG_SRC_Q8_0);
	struct t_model *t = t_model_new(&t_usual_shape, &sources, 3);
	struct t_lora *a = t_lora_new(t, ENG_SRC_F16, 8, T_TARGETS_ALL, 0, 1);
	struct eng_lora_pair *last = a->layers[1].pair;
	const char *field = "none";

	REFUSED(a->lora.layer_count, 1, "layer_count", 0);
	REFUSED(a->lora.embed.rows, 255, "embed", 0);
	REFUSED(a->lora.embed.cols, 256, "embed", 0);
	REFUSED(a->lora.output.cols, 300, "output", 0);
	REFUSED(last[ENG_LORA_Q].rows, 64, "attn_q", 1);
	REFUSED(last[ENG_LORA_K].rows, 256, "attn_k", 1);
	REFUSED(last[ENG_LORA_V].cols, 64, "attn_v", 1);
	REFUSED(last[ENG_LORA_O].rank, 0, "attn_o", 1);
	REFUSED(last[ENG_LORA_O].rank, ENG_LORA_RANK_MAX + 1, "attn_o", 1);
	REFUSED(last[ENG_LORA_GATE].type, ENG_Q8, "ffn_gate", 1);
	REFUSED(last[ENG_LORA_GATE].type, ENG_NONE, "ffn_gate", 1);
	REFUSED(last[ENG_LORA_UP].scale, NAN, "ffn_up", 1);
	REFUSED(last[ENG_LORA_UP].scale, INFINITY, "ffn_up", 1);
	REFUSED(last[ENG_LORA_DOWN].a, NULL, "ffn_down", 1);
	REFUSED(last[ENG_LORA_DOWN].b, NULL, "ffn_down", 1);
	REFUSED(last[ENG_LORA_DOWN].b, (const char *)last[ENG_LORA_DOWN].b + 32, "ffn_down", 1);
	REFUSED(a->layers[0].pair[ENG_LORA_Q].cols, 0, "attn_q", 0);
	t_eq(eng_lora_check(&a->lora, &t->model, &field, NULL), 0);
	t_eq(a->lora.width, 24);	/* q, k and v */
	t_lora_free(&a);
	t_model_free(&t);
}

static void bad_rows_are_refused(void)
{
	struct t_sources sources = t_sources_all(ENG_SRC_Q8_0);
	struct t_model *t = t_model_new(&t_usual_shape, &sources, 3);
	struct t_lora *a = t_lora_new(t, ENG_SRC_F16, 8, T_TARGETS_ALL, 0, 1);
	struct t_lora *wide = t_lora_new(t, ENG_SRC_F16, 40, T_TARGETS_ALL, 0, 1);
	struct eng_adapter adapters[ENG_ADAPTERS_MAX + 1] = { { &a->lora, 1 }, { &a->lora, 1 } };
	struct eng *eng = t_engine(ENG_ISA_AUTO, 1, t);
	float *logits = malloc(t_usual_shape.vocab * sizeof(float));
	struct t_sequence s;
	struct eng_row row;

	t_sequence_init(&s, t, 1);
	row = t_next_row(&s, false, 0);
	row.adapters = adapters;
	row.adapter_count = 2;
	t_eq(eng_step(eng, &t->model, &row, 1, logits), -EINVAL);	/* not prepared */
	t_eq(eng_lora_prepare(eng, &a->lora), 0);
#define BAD(lvalue, value) do {							\
		__typeof__(lvalue) kept = (lvalue);				\
		(lvalue) = (value);						\
		t_eq(eng_step(eng, &t->model, &row, 1, logits), -EINVAL);	\
		(lvalue) = kept;						\
	} while (0)
	BAD(row.adapters, NULL);
	BAD(row.adapter_count, ENG_ADAPTERS_MAX + 1);
	BAD(adapters[1].lora, NULL);
	BAD(adapters[1].lora, &wide->lora);				/* needs more scratch */
	BAD(adapters[1].scale, NAN);
	BAD(a->lora.width, 0);						/* not checked */
	t_eq(eng_step(eng, &t->model, &row, 1, logits), 0);
	a->lora.width = 0;
	t_eq(eng_lora_prepare(eng, &a->lora), -EINVAL);
	t_sequence_fini(&s);
	eng_free(&eng);
	free(logits);
	t_lora_free(&a);
	t_lora_free(&wide);
	t_model_free(&t);
}

static void steps_do_not_allocate(void)
{
#ifndef OTHER_MALLOC
	struct scene scene;
	struct eng *eng;
	float *logits = malloc(SETS * 4 * t_usual_shape.vocab * sizeof(float));
	struct t_sequence s[SETS];
	unsigned long before;

	scene_init(&scene, ENG_SRC_Q4_1);
	eng = engine(ENG_ISA_AUTO, 2, scene.t, scene.sets, SETS);
	for (uint32_t i = 0; i < SETS; i++)
		t_sequence_init(&s[i], scene.t, i);
	before = t_allocations();
	t_ok(before > 0);
	for (uint32_t each = 1; each <= 4; each += 3) {
		struct eng_row rows[SETS * 4];
		uint32_t n = 0;

		for (uint32_t i = 0; i < SETS; i++)
			for (uint32_t k = 0; k < each; k++, n++)
				rows[n] = next_row(&s[i], &scene.sets[i], each > 1, (int32_t)n);
		t_eq(eng_step(eng, &scene.t->model, rows, n, logits), 0);
	}
	t_eq(t_allocations(), before);
	for (uint32_t i = 0; i < SETS; i++)
		t_sequence_fini(&s[i]);
	eng_free(&eng);
	free(logits);
	scene_fini(&scene);
#else
	t_skip("sanitizers bring their own malloc");
#endif
}

int main(void)
{
	T_RUN(misfits_are_named);
	T_RUN(bad_rows_are_refused);
	T_RUN(ranks_and_types);
	T_RUN(every_target_and_subsets);
	T_RUN(several_are_summed);
	T_RUN(same_bits_by_chunk_and_threads);
	T_RUN(same_bits_by_isa);
	T_RUN(same_bits_in_any_company);
	T_RUN(no_adapter_is_as_before);
	T_RUN(steps_do_not_allocate);
	return t_done();
}
