/* SPDX-License-Identifier: MIT */
/* model_test.c: the forward pass against a plain one in double precision; what is refused. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eng_sample.h"
#include "t.h"
#include "t_malloc.h"
#include "t_steps.h"

/* Root mean square of the difference over that of the reference, for the first @count tokens. */
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

/* -- against the reference --------------------------------------------------------------------- */

/*
 * A rounding to int8 that falls the other way is an error of 1/254 in one value and makes others
 * fall the other way: over a whole sequence quantised models only agree to about their own rounding
 * noise. Single tokens mostly agree to float precision: see that most do.
 */
#define LIMIT_FLOAT	2e-6
#define LIMIT_KV_F16	5e-4
#define LIMIT_QUANT	0.025

static void check_single_tokens(const struct t_model *t)
{
	struct t_manner how = { .isa = ENG_ISA_AUTO, .threads = 1, .chunk = 1 };
	uint32_t near = 0;

	for (uint64_t seed = 0; seed < 15; seed++) {
		float *logits = t_run_steps(t, &how, 1, seed);

		near += distance(t, logits, 1, seed) < 1e-5;
		free(logits);
	}
	if (!t_ok(near >= 8))
		printf("# %u of 15 tokens agree\n", near);
}

static void check_against_reference(const struct t_model *t, double limit)
{
	const char *field = "none";

	if (!t_eq(eng_model_check(&t->model, &field), 0))
		printf("# field %s\n", field);
	for (int prompt = 0; prompt < 2; prompt++) {
		struct t_manner how = { .isa = ENG_ISA_AUTO, .threads = 2, .chunk = 33,
				      .prompt = prompt };
		float *logits = t_run_steps(t, &how, T_TOKENS, 5);
		double d = distance(t, logits, T_TOKENS, 5);

		if (!t_ok(d < limit))
			printf("# prompt %d: distance %.3g, limit %.3g\n", prompt, d, limit);
		free(logits);
	}
}

static void check_model(const struct t_shape *shape, const struct t_sources *sources, double limit)
{
	struct t_model *t = t_model_new(shape, sources, 11);

	check_against_reference(t, limit);
	if (limit == LIMIT_QUANT)
		check_single_tokens(t);
	t_model_free(&t);
}

/* Attention in several parts. */
static void long_context(void)
{
	static const struct t_shape shape = { 2, 96, 96, 6, 3, 16, 48, T_LONG };
	struct t_sources sources = t_sources_all(ENG_SRC_F32);
	struct t_model *t = t_model_new(&shape, &sources, 12);
	struct t_manner how = { .isa = ENG_ISA_AUTO, .threads = 2, .chunk = 200 };
	float *logits = t_run_steps(t, &how, T_LONG, 5);

	t_ok(distance(t, logits, T_LONG, 5) < LIMIT_FLOAT);
	free(logits);
	t_model_free(&t);
}

/* The same attention, but for the rounding of what is stored. */
static void kv_in_f16(void)
{
	struct t_sources sources = t_sources_all(ENG_SRC_F32);
	struct t_model *t = t_model_new(&t_usual_shape, &sources, 12);

	t->model.config.kv_f32 = false;
	check_against_reference(t, LIMIT_KV_F16);
	t_model_free(&t);
}

static void every_format(void)
{
	for (uint32_t i = 0; i < T_SOURCE_COUNT; i++) {
		struct t_sources sources = t_sources_all(t_all_sources[i]);

		check_model(&t_usual_shape, &sources, i < 3 ? LIMIT_FLOAT : LIMIT_QUANT);
	}
}

static void odd_shapes(void)
{
	static const struct t_shape shapes[] = {
		/* heads alone, one KV head, ratio 3, narrow and wide heads, odd sizes */
		{ 1, 64, 96, 4, 4, 16, 33, 96 },
		{ 2, 64, 64, 5, 1, 24, 50, 70 },
		{ 1, 72, 40, 6, 2, 80, 17, 96 },
		{ 3, 40, 56, 3, 3, 2, 1, 96 },
		{ 1, 32, 32, 34, 1, 8, 20, 96 },
		{ 1, 32, 48, 1, 1, 256, 64, 128 },
	};
	struct t_sources f32 = t_sources_all(ENG_SRC_F32), q8 = t_sources_all(ENG_SRC_Q8_0);
	const struct t_shape quantised[] = {
		{ 2, 96, 160, 4, 2, 24, 33, 96 },
		{ 1, 64, 32, 6, 3, 80, 47, 96 },
		{ 2, 32, 64, 9, 3, 32, 100, 96 },
	};

	for (uint32_t i = 0; i < 6; i++)
		check_model(&shapes[i], &f32, LIMIT_FLOAT);
	f32.output = ENG_SRC_F32;
	check_model(&shapes[0], &f32, LIMIT_FLOAT);
	for (uint32_t i = 0; i < 3; i++)
		check_model(&quantised[i], &q8, LIMIT_QUANT);
}

static void mixed_formats(void)
{
	const struct t_sources mixes[] = {
		{ .embed = ENG_SRC_F16, .attention = ENG_SRC_Q4_K, .v = ENG_SRC_Q6_K,
		  .ffn = ENG_SRC_Q4_K, .down = ENG_SRC_Q6_K, .output = ENG_SRC_F32 },
		{ .embed = ENG_SRC_Q6_K, .attention = ENG_SRC_Q4_0, .v = ENG_SRC_F32,
		  .ffn = ENG_SRC_Q8_0, .down = ENG_SRC_F16, .output = T_TIED },
		{ .embed = ENG_SRC_Q8_0, .attention = ENG_SRC_BF16, .v = ENG_SRC_Q5_1,
		  .ffn = ENG_SRC_F32, .down = ENG_SRC_Q4_1, .output = ENG_SRC_Q5_0 },
	};

	for (uint32_t i = 0; i < 3; i++)
		check_model(&t_usual_shape, &mixes[i], LIMIT_QUANT);
}

/* -- refusals ---------------------------------------------------------------------------------- */

static void expect_field(const struct t_model *t, const char *expected)
{
	const char *field = "none";

	t_eq(eng_model_check(&t->model, &field), -EINVAL);
	t_str_eq(field, expected);
}

#define REFUSED(lvalue, value, name) do {				\
		__typeof__(lvalue) kept = (lvalue);			\
		(lvalue) = (value);					\
		expect_field(t, name);					\
		(lvalue) = kept;					\
	} while (0)

static void misfits_are_named(void)
{
	struct t_sources sources = t_sources_all(ENG_SRC_Q4_K);
	struct t_model *t = t_model_new(&t_usual_shape, &sources, 3);
	struct eng_config *c = &t->model.config;
	struct eng_layer *last = &t->model.layers[1];
	const char *field = "none";

	REFUSED(c->layer_count, 0, "layer_count");
	REFUSED(c->layer_count, 513, "layer_count");
	REFUSED(c->hidden, 0, "hidden");
	REFUSED(c->hidden, UINT32_MAX, "hidden");
	REFUSED(c->intermediate, 0, "intermediate");
	REFUSED(c->head_dim, 0, "head_dim");
	REFUSED(c->head_dim, 33, "head_dim");
	REFUSED(c->head_dim, 258, "head_dim");
	REFUSED(c->head_count, 0, "head_count");
	REFUSED(c->head_count, 1u << 31, "head_count");
	REFUSED(c->kv_head_count, 0, "kv_head_count");
	REFUSED(c->kv_head_count, 3, "kv_head_count");
	REFUSED(c->kv_head_count, 16, "kv_head_count");
	REFUSED(c->vocab_count, 0, "vocab_count");
	REFUSED(c->vocab_count, (1u << 20) + 1, "vocab_count");
	REFUSED(c->context_max, 0, "context_max");
	REFUSED(c->context_max, (1u << 20) + 1, "context_max");
	REFUSED(c->rms_eps, NAN, "rms_eps");
	REFUSED(c->rms_eps, -1.0f, "rms_eps");
	REFUSED(c->rope_attn_scale, INFINITY, "rope_attn_scale");
	REFUSED(c->rotary_dim, 7, "rotary_dim");
	REFUSED(c->rotary_dim, c->head_dim + 2, "rotary_dim");
	REFUSED(c->embed_scale, NAN, "embed_scale");
	REFUSED(c->attn_scale, INFINITY, "attn_scale");
	REFUSED(c->attn_cap, -1.0f, "attn_cap");
	REFUSED(c->logit_cap, NAN, "logit_cap");
	REFUSED(c->plain_ffn, true, "plain_ffn");
	REFUSED(t->model.inv_freq, NULL, "inv_freq");
	REFUSED(t->model.positions.rows, 1, "inv_freq");
	REFUSED(last->local_rope, true, "local_inv_freq");
	REFUSED(t->model.output_norm, NULL, "output_norm");
	REFUSED(t->model.embed.rows, 299, "embed");
	REFUSED(t->model.embed.type, ENG_NONE, "embed");
	REFUSED(t->model.output.type, ENG_TYPE_COUNT, "output");
	REFUSED(t->model.output.type, ENG_VEC_F32, "output");
	REFUSED(last->attn_norm, NULL, "attn_norm");
	REFUSED(last->ffn_norm, NULL, "ffn_norm");
	REFUSED(last->q.cols, 512, "attn_q");
	REFUSED(last->k.rows, 256, "attn_k");
	REFUSED(last->v.data, NULL, "attn_v");
	REFUSED(last->o.data, (const void *)((const char *)last->o.data + 32), "attn_o");
	REFUSED(last->gate.rows, 0, "ffn_gate");
	REFUSED(last->up.type, 99, "ffn_up");
	REFUSED(last->down.cols, 256, "ffn_down");
	t_eq(eng_model_check(&t->model, &field), 0);
	t_model_free(&t);
	/* 96 columns hold no whole block of 256 */
	t = t_model_new(&(struct t_shape){ 1, 96, 96, 3, 3, 32, 40, 96 },
			&(struct t_sources){ ENG_SRC_F32, ENG_SRC_Q8_0, ENG_SRC_Q8_0, ENG_SRC_Q8_0,
					     ENG_SRC_Q8_0, T_TIED }, 1);
	t->model.layers[0].gate.type = ENG_Q4K;
	expect_field(t, "ffn_gate");
	t_model_free(&t);
}

/* One layer of each kind. */
static const struct t_variant mixture = { .name = "experts", .experts = 4, .used = 2, .expert_width = 32,
					  .normed = true, .first_dense = true };

static void misfits_of_experts_are_named(void)
{
	struct t_sources sources = t_sources_all(ENG_SRC_Q8_0);
	struct t_model *t = t_model_new(&t_usual_shape, &sources, 3);
	struct eng_config *c = &t->model.config;
	struct eng_layer *last = &t->model.layers[1];
	const char *field = "none";

	t_model_vary(t, &mixture, 4);
	t_eq(eng_model_check(&t->model, &field), 0);
	REFUSED(c->expert_count, 1025, "experts");
	REFUSED(c->expert_used, 0, "experts");
	REFUSED(c->expert_used, 5, "experts");
	REFUSED(c->expert_intermediate, 40, "experts");
	REFUSED(c->expert_count, 3, "expert_router");
	REFUSED(c->expert_intermediate, 64, "expert_gate");
	REFUSED(last->router.type, ENG_Q8, "expert_router");
	REFUSED(last->router.data, NULL, "expert_router");
	REFUSED(last->expert_up.rows, 64, "expert_up");
	REFUSED(last->expert_down.cols, 64, "expert_down");
	REFUSED(last->up, t->model.layers[0].up, "ffn_up");
	REFUSED(last->up_bias, last->ffn_norm, "ffn_up bias");
	t_model_free(&t);
}

static void bad_rows_refused(void)
{
	struct t_sources sources = t_sources_all(ENG_SRC_Q8_0);
	struct t_model *t = t_model_new(&t_usual_shape, &sources, 3);
	struct eng *eng = t_engine(ENG_ISA_AUTO, 1, t);
	float *logits = malloc(2 * t_usual_shape.vocab * sizeof(float));
	size_t page_bytes = eng_kv_page_bytes(&t->model.config);
	void *before = malloc(page_bytes), *no_pages[T_PAGES] = { NULL };
	struct eng_row good[2], rows[2];
	struct t_sequence s;

	t_sequence_init(&s, t, 1);
	memcpy(before, s.pages[0], page_bytes);
	good[0] = t_next_row(&s, false, 0);
	good[1] = t_next_row(&s, false, 1);
#define BAD(change) do {							\
		memcpy(rows, good, sizeof(rows));				\
		change;								\
		t_eq(eng_step(eng, &t->model, rows, 2, logits), -EINVAL);	\
	} while (0)
	BAD(rows[1].token = t_usual_shape.vocab);
	BAD(rows[1].token = UINT32_MAX);
	BAD(rows[1].position = t_usual_shape.context);
	BAD(rows[1].position = 0);
	BAD(rows[0].position = 5);
	BAD(rows[1].pages = NULL);
	BAD(rows[1].pages = no_pages);
	BAD(rows[1].logits = -2);
	BAD(rows[1].logits = ENG_ROWS_MAX);
	BAD(rows[1].logits = 0);
	t_eq(eng_step(eng, &t->model, good, 0, logits), -EINVAL);
	t_eq(eng_step(eng, &t->model, good, ENG_ROWS_MAX + 1, logits), -EINVAL);
	t_mem_eq(before, s.pages[0], page_bytes);
	t_eq(eng_step(eng, &t->model, good, 2, logits), 0);
	t_ok(memcmp(before, s.pages[0], page_bytes) != 0);
	eng_free(&eng);
	/* an engine that has not been prepared for the model */
	t_need(eng_new(&eng, ENG_ISA_AUTO, 1) == 0);
	t_eq(eng_step(eng, &t->model, good, 2, logits), -EINVAL);
	eng_free(&eng);
	t_sequence_fini(&s);
	free(before);
	free(logits);
	t_model_free(&t);
}

static void engine_is_what_was_asked_for(void)
{
	struct eng *eng;

	t_eq(eng_new(&eng, ENG_ISA_GENERIC, 0), -EINVAL);
	t_eq(eng_new(&eng, ENG_ISA_GENERIC, 65), -EINVAL);
	t_eq(eng_new(&eng, ENG_ISA_COUNT, 1), -EINVAL);
	t_ok(!eng);
	t_need(eng_new(&eng, ENG_ISA_GENERIC, 3) == 0);
	t_eq(eng_isa(eng), ENG_ISA_GENERIC);
	t_eq(eng_threads(eng), 3);
	eng_rest(eng);
	eng_free(&eng);
	eng_free(&eng);
	t_need(eng_new(&eng, ENG_ISA_AUTO, 1) == 0);
	t_eq(eng_isa(eng), eng_isa_best());
	eng_free(&eng);
}

/* A broken weight shows in the logits, and the sampler says so: no silent rubbish. */
static void broken_weights_show_in(bool mixed)
{
	static const struct eng_sampling greedy = { .top_p = 1, .repeat_penalty = 1 };
	struct t_sources sources = t_sources_all(ENG_SRC_Q8_0);
	struct t_model *t = t_model_new(&t_usual_shape, &sources, 3);
	float *logits = malloc(t_usual_shape.vocab * sizeof(float)), norm[256];
	struct eng *eng;
	struct eng_sampler *sampler;
	struct eng_rng rng = { 0 };
	struct t_sequence s;
	struct eng_row row;

	if (mixed)
		t_model_vary(t, &mixture, 4);
	eng = t_engine(ENG_ISA_AUTO, 1, t);
	t_need(eng_sampler_new(&sampler, t_usual_shape.vocab) == 0);
	memcpy(norm, t->model.layers[0].attn_norm, sizeof(norm));
	norm[77] = NAN;
	if (mixed)
		t->model.layers[1].ffn_norm = norm;
	else
		t->model.layers[0].attn_norm = norm;
	t_sequence_init(&s, t, 1);
	row = t_next_row(&s, true, 0);
	t_eq(eng_step(eng, &t->model, &row, 1, logits), 0);
	t_eq(eng_sample(sampler, &greedy, logits, NULL, 0, &rng), -EDOM);
	t_sequence_fini(&s);
	eng_sampler_free(&sampler);
	eng_free(&eng);
	free(logits);
	t_model_free(&t);
}

static void broken_weights_show(void)
{
	broken_weights_show_in(false);
	broken_weights_show_in(true);
}

static void steps_do_not_allocate(void)
{
#ifndef OTHER_MALLOC
	struct t_sources sources = t_sources_all(ENG_SRC_Q4_1);
	struct t_model *t = t_model_new(&t_usual_shape, &sources, 3);
	float *logits = malloc(20 * t_usual_shape.vocab * sizeof(float));
	struct eng *eng;
	struct eng_sampling params = { .temperature = 1, .top_p = 0.9f, .repeat_penalty = 1.1f,
				       .repeat_last = 64 };
	struct eng_sampler *sampler;
	struct eng_rng rng = { 0 };
	struct eng_row rows[20];
	unsigned long before;
	struct t_sequence s;

	t_model_vary(t, &mixture, 4);
	eng = t_engine(ENG_ISA_AUTO, 2, t);
	t_need(eng_sampler_new(&sampler, t_usual_shape.vocab) == 0);
	t_sequence_init(&s, t, 1);
	before = t_allocations();
	t_ok(before > 0);
	for (uint32_t n = 1; n <= 20; n += 19) {
		for (uint32_t i = 0; i < n; i++)
			rows[i] = t_next_row(&s, n > 1, (int32_t)i);
		t_eq(eng_step(eng, &t->model, rows, n, logits), 0);
		t_ok(eng_sample(sampler, &params, logits, s.tokens, s.count, &rng) >= 0);
	}
	t_eq(t_allocations(), before);
	t_sequence_fini(&s);
	eng_sampler_free(&sampler);
	eng_free(&eng);
	free(logits);
	t_model_free(&t);
#else
	t_skip("sanitizers bring their own malloc");
#endif
}

int main(void)
{
	T_RUN(engine_is_what_was_asked_for);
	T_RUN(misfits_are_named);
	T_RUN(misfits_of_experts_are_named);
	T_RUN(bad_rows_refused);
	T_RUN(every_format);
	T_RUN(long_context);
	T_RUN(kv_in_f16);
	T_RUN(odd_shapes);
	T_RUN(mixed_formats);
	T_RUN(broken_weights_show);
	T_RUN(steps_do_not_allocate);
	return t_done();
}
