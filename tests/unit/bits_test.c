/* SPDX-License-Identifier: MIT */
/*
 * bits_test.c: a row's logits have the same bits whatever the batch, the cut of the prompt, the
 * threads and the ISA.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t.h"
#include "t_steps.h"

#define SEQUENCES	4u

static float *run(const struct t_model *t, const struct t_manner *how, uint64_t seed)
{
	return t_run_steps(t, how, T_TOKENS, seed);
}

static bool same_bits(const struct t_model *t, const float *a, const struct t_manner *how,
		      uint64_t seed)
{
	float *b = run(t, how, seed);
	size_t bytes = T_TOKENS * (size_t)t->model.config.vocab_count * sizeof(float);
	bool same = memcmp(a, b, bytes) == 0;

	if (!same)
		printf("# isa %s, %u threads, chunks of %u, prompt %d\n", eng_isa_name(how->isa),
		       how->threads, how->chunk, how->prompt);
	free(b);
	return same;
}

static void same_bits_by_chunk(void)
{
	static const uint32_t chunks[] = { 1, 2, 7, 32, 33, T_TOKENS };

	for (uint32_t i = 0; i < T_SOURCE_COUNT; i++) {
		struct t_sources sources = t_sources_all(t_all_sources[i]);
		struct t_model *t = t_model_new(&t_usual_shape, &sources, 3);

		for (int prompt = 0; prompt < 2; prompt++) {
			struct t_manner how = { ENG_ISA_AUTO, 1, 5, prompt, false };
			float *logits = run(t, &how, 1);

			for (uint32_t c = 0; c < 6; c++) {
				how.chunk = chunks[c];
				t_ok(same_bits(t, logits, &how, 1));
			}
			free(logits);
		}
		t_model_free(&t);
	}
}

/* Quantised rows have one path; only float weights tell prompts from generated rows. */
static void same_bits_prompt_or_generated(void)
{
	struct t_sources sources = t_sources_all(ENG_SRC_Q4_1);
	struct t_model *t = t_model_new(&t_usual_shape, &sources, 3);
	struct t_manner how = { ENG_ISA_AUTO, 2, 16, true, false };
	float *logits = run(t, &how, 1);

	how.prompt = false;
	t_ok(same_bits(t, logits, &how, 1));
	/* both kinds in one sequence: the step puts its rows out of order */
	how.alternate = how.prompt = true;
	t_ok(same_bits(t, logits, &how, 1));
	how.chunk = 33;
	t_ok(same_bits(t, logits, &how, 1));
	free(logits);
	t_model_free(&t);
}

static void same_bits_by_threads(void)
{
	static const uint32_t chunks[] = { 1, 20, T_TOKENS };
	static const struct t_shape three = { 2, 96, 160, 9, 3, 32, 100, 96 };

	for (uint32_t i = 0; i < T_SOURCE_COUNT; i += 2) {
		bool k = eng_source_block_values(t_all_sources[i]) == 256;
		struct t_sources sources = t_sources_all(t_all_sources[i]);
		struct t_model *t = t_model_new(i % 4 && !k ? &three : &t_usual_shape, &sources, 9);

		for (uint32_t c = 0; c < 3; c++) {
			struct t_manner how = { ENG_ISA_AUTO, 1, chunks[c], c > 0, false };
			float *logits = run(t, &how, 2);

			for (how.threads = 2; how.threads <= 4; how.threads++)
				t_ok(same_bits(t, logits, &how, 2));
			free(logits);
		}
		t_model_free(&t);
	}
}

/* Generated rows of every format; prompt rows of quantised ones. */
static void same_bits_by_isa(void)
{
	for (uint32_t isa = ENG_ISA_GENERIC; isa < ENG_ISA_COUNT; isa++)
		printf("# isa %s: %s\n", eng_isa_name(isa),
		       eng_isa_usable(isa) ? "run" : "not here");
	for (uint32_t i = 0; i < T_SOURCE_COUNT; i++) {
		struct t_sources sources = t_sources_all(t_all_sources[i]);
		struct t_model *t = t_model_new(&t_usual_shape, &sources, 21);
		struct t_manner how = { ENG_ISA_GENERIC, 1, 24, false, false };
		float *logits = run(t, &how, 4);

		for (how.isa = ENG_ISA_AVX2; how.isa < ENG_ISA_COUNT; how.isa++)
			if (eng_isa_usable(how.isa))
				t_ok(same_bits(t, logits, &how, 4));
		free(logits);
		t_model_free(&t);
	}
}

/* Rows of several sequences, prompts and generated, in steps of random mixture. */
static void run_mixed(const struct t_model *t, struct t_sequence *s, float **logits, uint64_t seed)
{
	size_t vocab = t->model.config.vocab_count;
	float *step = malloc(ENG_ROWS_MAX * vocab * sizeof(float));
	struct eng *eng = t_engine(ENG_ISA_AUTO, 1 + (uint32_t)(seed % 4), t);
	struct eng_row rows[ENG_ROWS_MAX];
	uint32_t left = SEQUENCES * T_TOKENS;

	while (left) {
		/* a large step first: the threads take rows of their own */
		bool large = left == SEQUENCES * T_TOKENS;
		float *to[ENG_ROWS_MAX];
		uint32_t n = 0;

		for (uint32_t i = 0; i < SEQUENCES; i++)
			for (uint64_t k = large ? 40 : t_random(&seed) % 24;
			     k && s[i].count < T_TOKENS; k--) {
				/* indices descending, with holes: any order will do */
				int32_t at = (int32_t)(ENG_ROWS_MAX - 1 - n - n / 7);

				to[n] = logits[i] + s[i].count * vocab;
				rows[n++] = t_next_row(&s[i], i % 2, at);
			}
		if (!n)
			continue;
		t_eq(eng_step(eng, &t->model, rows, n, step), 0);
		for (uint32_t i = 0; i < n; i++)
			memcpy(to[i], step + (size_t)rows[i].logits * vocab, vocab * sizeof(float));
		left -= n;
	}
	eng_free(&eng);
	free(step);
}

static void same_bits_in_any_company(void)
{
	static const uint32_t sources[] = {
		ENG_SRC_F32, ENG_SRC_Q8_0, ENG_SRC_Q4_K, ENG_SRC_BF16,
	};

	for (uint32_t f = 0; f < 4; f++) {	/* on f + 1 threads */
		struct t_sources all = t_sources_all(sources[f]);
		struct t_model *t = t_model_new(&t_usual_shape, &all, 13);
		size_t bytes = T_TOKENS * (size_t)t_usual_shape.vocab * sizeof(float);
		struct t_sequence s[SEQUENCES];
		float *logits[SEQUENCES];

		for (uint32_t i = 0; i < SEQUENCES; i++) {
			t_sequence_init(&s[i], t, 100 + i);
			logits[i] = malloc(bytes);
		}
		run_mixed(t, s, logits, f);
		for (uint32_t i = 0; i < SEQUENCES; i++) {
			struct t_manner alone = { ENG_ISA_AUTO, 1, 1, i % 2, false };

			t_ok(same_bits(t, logits[i], &alone, 100 + i));
			t_sequence_fini(&s[i]);
			free(logits[i]);
		}
		t_model_free(&t);
	}
}

/* Two sequences in steps of @chunk rows each; only every @every-th row wants its logits. */
static bool same_wanted(const struct t_model *t, float *const want[2], uint32_t threads,
			uint32_t chunk, uint32_t every)
{
	size_t vocab = t->model.config.vocab_count;
	float *step = malloc(ENG_ROWS_MAX * vocab * sizeof(float));
	struct eng *eng = t_engine(ENG_ISA_AUTO, threads, t);
	struct t_sequence s[2];
	bool same = true;

	t_sequence_init(&s[0], t, 1);
	t_sequence_init(&s[1], t, 2);
	while (s[0].count < T_TOKENS) {
		struct eng_row rows[2 * T_TOKENS];
		uint32_t n = 0, wanted = 0;

		for (uint32_t i = 0; i < 2; i++)
			for (uint32_t k = 0; k < chunk && s[i].count < T_TOKENS; k++) {
				bool is_wanted = s[i].count % every == every - 1;

				/* generated rows come first here, prompts in the engine */
				rows[n++] = t_next_row(&s[i], i == 1, is_wanted ?
						       (int32_t)wanted++ : -1);
			}
		t_eq(eng_step(eng, &t->model, rows, n, step), 0);
		for (uint32_t i = 0; i < n; i++)
			if (rows[i].logits >= 0 &&
			    memcmp(step + (size_t)rows[i].logits * vocab,
				   want[rows[i].is_prompt] + rows[i].position * vocab,
				   vocab * sizeof(float)))
				same = false;
	}
	t_sequence_fini(&s[0]);
	t_sequence_fini(&s[1]);
	eng_free(&eng);
	free(step);
	return same;
}

/* Rows that nobody asks leave the last layer early; the others do not notice. */
static void same_bits_beside_rows_without_logits(void)
{
	static const uint32_t sources[] = { ENG_SRC_F32, ENG_SRC_Q4_1 };
	static const uint32_t chunks[] = { 1, 3, 9, 33, T_TOKENS }, every[] = { 2, 7, T_TOKENS };

	for (uint32_t f = 0; f < 2; f++) {
		struct t_sources all = t_sources_all(sources[f]);
		struct t_model *t = t_model_new(&t_usual_shape, &all, 17);
		float *want[2];

		for (int prompt = 0; prompt < 2; prompt++) {
			struct t_manner how = { ENG_ISA_AUTO, 1, 1, prompt, false };

			want[prompt] = run(t, &how, 1 + (uint64_t)prompt);
		}
		for (uint32_t threads = 1; threads <= 3; threads++)
			for (uint32_t c = 0; c < 5; c++)
				for (uint32_t e = 0; e < 3; e++)
					t_ok(same_wanted(t, want, threads, chunks[c], every[e]));
		free(want[0]);
		free(want[1]);
		t_model_free(&t);
	}
}

/* Attention in several parts, shared by rows, heads or parts. */
static void same_bits_in_long_contexts(void)
{
	static const struct t_shape shape = { 2, 96, 96, 6, 3, 16, 48, T_LONG };
	static const struct t_manner manners[] = {
		{ ENG_ISA_AUTO, 2, 200, true, false }, { ENG_ISA_AUTO, 3, 64, false, false },
		{ ENG_ISA_AUTO, 2, 1, false, false }, { ENG_ISA_AUTO, 4, 4, true, false },
		{ ENG_ISA_AUTO, 2, 7, false, true }, { ENG_ISA_AVX2, 2, 1, false, false },
		{ ENG_ISA_GENERIC, 4, 3, false, false },
	};
	struct t_sources sources = t_sources_all(ENG_SRC_Q8_0);
	struct t_model *t = t_model_new(&shape, &sources, 3);
	const struct t_manner plain = { ENG_ISA_AUTO, 1, 1, false, false };
	size_t bytes = T_LONG * (size_t)shape.vocab * sizeof(float);
	float *logits = t_run_steps(t, &plain, T_LONG, 8);

	for (uint32_t i = 0; i < sizeof(manners) / sizeof(manners[0]); i++) {
		float *other = NULL;

		if (eng_isa_usable(manners[i].isa))
			other = t_run_steps(t, &manners[i], T_LONG, 8);
		if (other)
			t_mem_eq(other, logits, bytes);
		free(other);
	}
	free(logits);
	t_model_free(&t);
}

/* Pages of a shared beginning serve two sequences. */
static void shared_pages(void)
{
	struct t_sources sources = t_sources_all(ENG_SRC_Q4_0);
	struct t_model *t = t_model_new(&t_usual_shape, &sources, 3);
	size_t vocab = t_usual_shape.vocab;
	float *a = malloc(T_TOKENS * vocab * sizeof(float));
	float *b = malloc(T_TOKENS * vocab * sizeof(float));
	struct eng *eng = t_engine(ENG_ISA_AUTO, 2, t);
	struct eng_row rows[T_TOKENS];
	struct t_sequence s, other;
	void *pages[T_PAGES];

	t_sequence_init(&s, t, 1);
	t_sequence_init(&other, t, 1);
	for (uint32_t i = 0; i < T_TOKENS; i++)
		rows[i] = t_next_row(&s, true, (int32_t)i);
	t_eq(eng_step(eng, &t->model, rows, T_TOKENS, a), 0);
	memcpy(pages, other.pages, sizeof(pages));
	other.pages[0] = s.pages[0];
	other.count = ENG_PAGE_TOKENS;
	for (uint32_t i = 0; i < T_TOKENS - ENG_PAGE_TOKENS; i++)
		rows[i] = t_next_row(&other, false, (int32_t)i);
	t_eq(eng_step(eng, &t->model, rows, T_TOKENS - ENG_PAGE_TOKENS, b), 0);
	t_mem_eq(a + ENG_PAGE_TOKENS * vocab, b,
		 (T_TOKENS - ENG_PAGE_TOKENS) * vocab * sizeof(float));
	memcpy(other.pages, pages, sizeof(pages));
	t_sequence_fini(&s);
	t_sequence_fini(&other);
	eng_free(&eng);
	free(a);
	free(b);
	t_model_free(&t);
}

int main(void)
{
	T_RUN(same_bits_by_chunk);
	T_RUN(same_bits_prompt_or_generated);
	T_RUN(same_bits_by_threads);
	T_RUN(same_bits_by_isa);
	T_RUN(same_bits_in_any_company);
	T_RUN(same_bits_beside_rows_without_logits);
	T_RUN(same_bits_in_long_contexts);
	T_RUN(shared_pages);
	return t_done();
}
