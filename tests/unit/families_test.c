/* SPDX-License-Identifier: MIT */
/*
 * families_test.c: the blocks of families other than Llama against a plain pass in double precision,
 * and their rows keep their bits however cut, on any number of threads, on every ISA.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t.h"
#include "t_steps.h"

#define LIMIT_FLOAT	3e-6
#define LIMIT_QUANT	0.03
#define LIMIT_KV_F16	5e-4

static const struct t_variant variants[] = {
	{ .name = "qkv biases", .qkv_bias = true },
	{ .name = "biases", .bias = true },
	{ .name = "norms of q and k", .qk_norm = true, .rotary_dim = 16 },
	{ .name = "window of 3", .window = 3 },
	{ .name = "window of a page", .window = 32 },
	{ .name = "window of 45", .window = 45, .every = 2 },
	{ .name = "layer norms", .layer_norm = true, .bias = true, .plain_ffn = true, .gelu = true,
	  .positions = true },
	{ .name = "layer norms, window", .layer_norm = true, .plain_ffn = true, .gelu = true,
	  .positions = true, .window = 20 },
	{ .name = "sandwich", .post_norms = true, .qk_norm = true, .gelu = true, .embed_scale = 8,
	  .attn_scale = 0.2f, .window = 16, .every = 2, .local = true },
	{ .name = "caps", .post_norms = true, .gelu = true, .attn_cap = 2, .logit_cap = 3, .window = 33 },
	{ .name = "part of a head", .rotary_dim = 8, .window = 64 },
	{ .name = "hardly any of a head", .rotary_dim = 2 },
	{ .name = "each second layer still", .still_every = 2 },
	{ .name = "experts", .experts = 5, .used = 2, .expert_width = 96, .normed = true, .qk_norm = true },
	{ .name = "experts, not normed", .experts = 40, .used = 7, .expert_width = 32, .first_dense = true },
	{ .name = "one expert", .experts = 3, .used = 1, .expert_width = 128 },
	{ .name = "all experts", .experts = 2, .used = 2, .expert_width = 64, .normed = true },
};
#define COUNT	(sizeof(variants) / sizeof(variants[0]))

static struct t_model *make(const struct t_shape *shape, uint32_t source, const struct t_variant *how)
{
	struct t_sources sources = t_sources_all(source);
	struct t_model *t = t_model_new(shape, &sources, 11);
	const char *field = "none";

	t_model_vary(t, how, 12);
	if (!t_eq(eng_model_check(&t->model, &field), 0))
		printf("# %s: %s\n", how->name, field);
	return t;
}

/* Root mean square of the difference over that of the reference. */
static double distance(const struct t_model *t, const float *logits, uint32_t count, uint64_t seed)
{
	size_t n = count * (size_t)t->model.config.vocab_count;
	double *reference = malloc(n * sizeof(double)), off = 0, all = 0;
	struct t_sequence s;

	t_sequence_init(&s, t, seed);
	t_model_reference(t, s.tokens, count, reference);
	for (size_t i = 0; i < n; i++) {
		off += (logits[i] - reference[i]) * (logits[i] - reference[i]);
		all += reference[i] * reference[i];
	}
	t_sequence_fini(&s);
	free(reference);
	return sqrt(off / all);
}

static void check(const struct t_model *t, const char *name, uint32_t count, uint32_t chunk, double limit)
{
	for (int prompt = 0; prompt < 2; prompt++) {
		struct t_manner how = { ENG_ISA_AUTO, 2, chunk, prompt, false };
		float *logits = t_run_steps(t, &how, count, 5);
		double d = distance(t, logits, count, 5);

		if (!t_ok(d < limit))
			printf("# %s, prompt %d: distance %.3g, limit %.3g\n", name, prompt, d, limit);
		free(logits);
	}
}

static void as_the_reference(void)
{
	for (uint32_t i = 0; i < COUNT; i++) {
		struct t_model *f = make(&t_usual_shape, ENG_SRC_F32, &variants[i]);
		struct t_model *q = make(&t_usual_shape, ENG_SRC_Q8_0, &variants[i]);

		check(f, variants[i].name, T_TOKENS, 33, LIMIT_FLOAT);
		check(q, variants[i].name, T_TOKENS, 33, LIMIT_QUANT);
		t_model_free(&f);
		t_model_free(&q);
	}
}

/* An expert is a part of a packed matrix, in any type. */
static void experts_in_every_format(void)
{
	static const struct t_variant how = { .name = "experts", .experts = 3, .used = 2, .expert_width = 256,
					      .normed = true };

	for (uint32_t i = 0; i < T_SOURCE_COUNT; i++) {
		uint32_t source = t_all_sources[i];
		struct t_model *t = make(&t_usual_shape, source, &how);

		check(t, eng_source_name(source), 12, 5, eng_source_block_values(source) > 1 ? LIMIT_QUANT : LIMIT_KV_F16);
		t_model_free(&t);
	}
}

/* Windows that begin in one part of attention and end in another. */
static void long_contexts(void)
{
	static const struct t_shape shape = { 2, 96, 96, 6, 3, 16, 48, T_LONG };
	static const uint32_t windows[] = { 20, 256, 300 };

	for (uint32_t i = 0; i < 3; i++) {
		struct t_variant how = { .name = "long", .window = windows[i], .every = i == 1 ? 2 : 0 };
		struct t_model *t = make(&shape, ENG_SRC_F32, &how);

		check(t, how.name, T_LONG, 200, LIMIT_FLOAT);
		t_model_free(&t);
	}
}

static bool same_bits(const struct t_model *t, const float *a, const struct t_manner *how, uint32_t count)
{
	float *b = t_run_steps(t, how, count, 3);
	bool same = memcmp(a, b, count * (size_t)t->model.config.vocab_count * sizeof(*b)) == 0;

	if (!same)
		printf("# isa %s, %u threads, chunks of %u, prompt %d\n", eng_isa_name(how->isa),
		       how->threads, how->chunk, how->prompt);
	free(b);
	return same;
}

static void check_bits(const struct t_model *t, const char *name, uint32_t count,
		       const uint32_t *chunks, uint32_t chunk_count)
{
	struct t_manner how = { ENG_ISA_AUTO, 1, 5, true, false };
	float *logits = t_run_steps(t, &how, count, 3);
	bool same = true;

	for (how.threads = 1; how.threads <= 3; how.threads++)
		for (uint32_t c = 0; c < chunk_count; c++) {
			how.chunk = chunks[c];
			same = same_bits(t, logits, &how, count) && same;
		}
	how = (struct t_manner){ ENG_ISA_GENERIC, 2, 24, false, true };
	for (; how.isa < ENG_ISA_COUNT; how.isa++)
		if (eng_isa_usable(how.isa))
			same = same_bits(t, logits, &how, count) && same;
	if (!t_ok(same))
		printf("# %s\n", name);
	free(logits);
}

static void same_bits_in_any_manner(void)
{
	static const uint32_t chunks[] = { 1, 4, 33, T_TOKENS };

	for (uint32_t i = 0; i < COUNT; i++) {
		struct t_model *t = make(&t_usual_shape, ENG_SRC_Q4_1, &variants[i]);

		check_bits(t, variants[i].name, T_TOKENS, chunks, 4);
		t_model_free(&t);
	}
}

static void same_bits_in_long_contexts(void)
{
	static const struct t_shape shape = { 2, 64, 64, 2, 1, 32, 48, T_LONG };
	static const uint32_t chunks[] = { 1, 2, 70, 256 };
	static const struct t_variant how = { .name = "long", .window = 270, .every = 2 };
	struct t_model *t = make(&shape, ENG_SRC_Q8_0, &how);

	check_bits(t, how.name, T_LONG, chunks, 4);
	t_model_free(&t);
}

/* Logits of each ninth row of one long step: the others end in the last layer. */
static bool same_when_few_are_wanted(const struct t_model *t, const float *all, uint32_t threads)
{
	size_t vocab = t->model.config.vocab_count;
	struct eng *eng = t_engine(ENG_ISA_AUTO, threads, t);
	float *some = malloc(T_TOKENS * vocab * sizeof(*some));
	struct eng_row rows[T_TOKENS];
	struct t_sequence s;
	bool same = true;

	t_sequence_init(&s, t, 3);
	for (uint32_t i = 0; i < T_TOKENS; i++)
		rows[i] = t_next_row(&s, true, i % 9 ? -1 : (int32_t)i);
	t_eq(eng_step(eng, &t->model, rows, T_TOKENS, some), 0);
	for (uint32_t i = 0; i < T_TOKENS; i += 9)
		same = same && memcmp(all + i * vocab, some + i * vocab, vocab * sizeof(*some)) == 0;
	t_sequence_fini(&s);
	eng_free(&eng);
	free(some);
	return same;
}

static void same_bits_when_few_are_wanted(void)
{
	for (uint32_t i = 0; i < COUNT; i++) {
		struct t_model *t = make(&t_usual_shape, ENG_SRC_Q8_0, &variants[i]);
		struct t_manner how = { ENG_ISA_AUTO, 2, 10, true, false };
		float *all = t_run_steps(t, &how, T_TOKENS, 3);

		for (uint32_t threads = 1; threads <= 4; threads++)
			if (!t_ok(same_when_few_are_wanted(t, all, threads)))
				printf("# %s, %u threads\n", variants[i].name, threads);
		free(all);
		t_model_free(&t);
	}
}

int main(void)
{
	T_RUN(as_the_reference);
	T_RUN(experts_in_every_format);
	T_RUN(long_contexts);
	T_RUN(same_bits_in_any_manner);
	T_RUN(same_bits_in_long_contexts);
	T_RUN(same_bits_when_few_are_wanted);
	return t_done();
}
