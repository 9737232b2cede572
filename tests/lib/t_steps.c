/* SPDX-License-Identifier: MIT */
#include "t_steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t.h"

const struct t_shape t_usual_shape = {
	.layers = 2, .hidden = 256, .intermediate = 512, .heads = 8, .kv_heads = 2, .head_dim = 32,
	.vocab = 300, .context = 96,
};

const uint32_t t_all_sources[T_SOURCE_COUNT] = {
	ENG_SRC_F32, ENG_SRC_F16, ENG_SRC_BF16, ENG_SRC_Q8_0, ENG_SRC_Q4_0, ENG_SRC_Q4_1,
	ENG_SRC_Q5_0, ENG_SRC_Q5_1, ENG_SRC_Q4_K, ENG_SRC_Q5_K, ENG_SRC_Q6_K, ENG_SRC_Q2_K,
	ENG_SRC_Q3_K, ENG_SRC_IQ4_NL, ENG_SRC_IQ4_XS, ENG_SRC_MXFP4,
};

/* Filled with NaN (all ones, in each format): slots never written must not matter. */
static void *new_page(const struct t_model *t)
{
	size_t bytes = eng_kv_page_bytes(&t->model.config);
	void *p = aligned_alloc(64, bytes);

	if (!p)
		exit(1);
	memset(p, 0xff, bytes);
	return p;
}

void t_sequence_init(struct t_sequence *s, const struct t_model *t, uint64_t seed)
{
	for (uint32_t i = 0; i < T_PAGES; i++)
		s->pages[i] = new_page(t);
	for (uint32_t i = 0; i < T_LONG; i++)
		s->tokens[i] = (uint32_t)(t_random(&seed) % t->model.config.vocab_count);
	s->count = 0;
}

void t_sequence_fini(struct t_sequence *s)
{
	for (uint32_t i = 0; i < T_PAGES; i++)
		free(s->pages[i]);
}

struct eng_row t_next_row(struct t_sequence *s, bool prompt, int32_t logits)
{
	struct eng_row row = {
		.token = s->tokens[s->count], .position = s->count, .pages = s->pages,
		.is_prompt = prompt, .logits = logits,
	};

	s->count++;
	return row;
}

struct eng *t_engine(uint32_t isa, uint32_t threads, const struct t_model *t)
{
	struct eng *eng;

	if (eng_new(&eng, isa, threads) || eng_prepare(eng, &t->model))
		exit(1);
	return eng;
}

float *t_run_steps(const struct t_model *t, const struct t_manner *how, uint32_t count,
		   uint64_t seed)
{
	size_t vocab = t->model.config.vocab_count;
	float *logits = malloc(count * vocab * sizeof(float));
	struct eng *eng = t_engine(how->isa, how->threads, t);
	struct eng_row rows[ENG_ROWS_MAX];
	struct t_sequence s;

	t_sequence_init(&s, t, seed);
	while (s.count < count) {
		uint32_t first = s.count, n = 0;

		while (n < how->chunk && s.count < count) {
			bool other = how->alternate && n % 2;

			rows[n] = t_next_row(&s, how->prompt ^ other, (int32_t)n);
			n++;
		}
		t_eq(eng_step(eng, &t->model, rows, n, logits + first * vocab), 0);
	}
	t_sequence_fini(&s);
	eng_free(&eng);
	return logits;
}
