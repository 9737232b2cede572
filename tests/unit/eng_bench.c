/* SPDX-License-Identifier: MIT */
/*
 * eng_bench.c: whole steps of the engine over made-up weights, without daemon. Not part of any check.
 *     eng_bench [SHAPE [TYPE [ISA [THREADS [CASE]]]]]
 * SHAPE: smol (135 M), 1b (Llama 3.2), tiny. TYPE: a packed type (Q4M). ISA: auto. CASE: the first
 * letters of the cases to run. Every weight byte is the same: only the time depends on them, and it
 * does not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "eng_model.h"

#define FILL		0x21		/* as f16 0.0098, as float 5e-19, as quants 33 or 1 and 2 */
#define RUNS		9
#define SEQUENCES	64u
#define PAGES_MAX	257u

struct shape {
	const char *name;
	struct eng_config config;
};

static const struct shape shapes[] = {
	{ "smol", { 30, 576, 1536, 9, 3, 64, 49152, 8224, 1e-5f, 1, false } },
	{ "1b", { 16, 2048, 8192, 32, 8, 64, 128256, 8224, 1e-5f, 1, false } },
	{ "tiny", { 4, 256, 512, 4, 2, 64, 4096, 8224, 1e-5f, 1, false } },
};

struct bench {
	struct eng_model model;
	struct eng *eng;
	float *logits;
	uint64_t weight_bytes;			/* that one decode step reads */
	void *pages[SEQUENCES][PAGES_MAX];
	struct eng_row rows[ENG_ROWS_MAX];
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void *filled(uint64_t bytes)
{
	const size_t huge = 2u << 20;
	void *p = aligned_alloc(huge, (bytes + huge - 1) / huge * huge);

	if (!p) {
		fprintf(stderr, "eng_bench: no memory for %llu bytes\n", (unsigned long long)bytes);
		exit(1);
	}
	madvise(p, bytes, MADV_HUGEPAGE);
	memset(p, FILL, bytes);
	return p;
}

static struct eng_matrix matrix(struct bench *b, uint32_t type, uint32_t rows, uint32_t cols)
{
	const uint64_t bytes = eng_packed_bytes(type, rows, cols);

	b->weight_bytes += bytes;
	return (struct eng_matrix){ type, rows, cols, filled(bytes) };
}

static const float *ones(uint32_t count)
{
	float *x = filled(count * sizeof(*x));

	for (uint32_t i = 0; i < count; i++)
		x[i] = 1;
	return x;
}

static void make_model(struct bench *b, const struct eng_config *config, uint32_t type)
{
	const struct eng_config *c = &b->model.config;
	struct eng_model *m = &b->model;

	m->config = *config;
	m->config.kv_f32 = type < ENG_Q8;
	m->inv_freq = ones(c->head_dim / 2);
	m->output_norm = ones(c->hidden);
	m->embed = m->output = matrix(b, type, c->vocab_count, c->hidden);
	m->layers = calloc(c->layer_count, sizeof(*m->layers));
	for (uint32_t i = 0; m->layers && i < c->layer_count; i++)
		m->layers[i] = (struct eng_layer){
			.attn_norm = ones(c->hidden), .ffn_norm = ones(c->hidden),
			.q = matrix(b, type, c->head_count * c->head_dim, c->hidden),
			.k = matrix(b, type, c->kv_head_count * c->head_dim, c->hidden),
			.v = matrix(b, type, c->kv_head_count * c->head_dim, c->hidden),
			.o = matrix(b, type, c->hidden, c->head_count * c->head_dim),
			.gate = matrix(b, type, c->intermediate, c->hidden),
			.up = matrix(b, type, c->intermediate, c->hidden),
			.down = matrix(b, type, c->hidden, c->intermediate),
		};
}

/* Pages of the first @sequences sequences for @tokens positions. */
static void need_pages(struct bench *b, uint32_t sequences, uint32_t tokens)
{
	const size_t bytes = eng_kv_page_bytes(&b->model.config);

	for (uint32_t s = 0; s < sequences; s++)
		for (uint32_t p = 0; p <= tokens / ENG_PAGE_TOKENS; p++)
			if (!b->pages[s][p])
				b->pages[s][p] = filled(bytes);
}

static void step(struct bench *b, uint32_t rows)
{
	if (eng_step(b->eng, &b->model, b->rows, rows, b->logits)) {
		fprintf(stderr, "eng_bench: the step was refused\n");
		exit(1);
	}
}

/* One token of each of @n sequences at @position. */
static void decode_step(struct bench *b, uint32_t n, uint32_t position)
{
	for (uint32_t i = 0; i < n; i++)
		b->rows[i] = (struct eng_row){ .token = i, .position = position,
					       .pages = b->pages[i], .logits = (int32_t)i };
	step(b, n);
}

/* A prompt of @n tokens in steps of ENG_ROWS_MAX; logits of the last one. */
static void prompt_steps(struct bench *b, uint32_t n, uint32_t unused)
{
	(void)unused;
	for (uint32_t at = 0; at < n; at += ENG_ROWS_MAX) {
		const uint32_t count = n - at < ENG_ROWS_MAX ? n - at : ENG_ROWS_MAX;

		for (uint32_t i = 0; i < count; i++)
			b->rows[i] = (struct eng_row){ .token = i, .position = at + i,
						       .pages = b->pages[0], .is_prompt = true,
						       .logits = at + i + 1 == n ? 0 : -1 };
		step(b, count);
	}
}

static int by_size(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static const struct work {
	const char *name;
	void (*run)(struct bench *b, uint32_t n, uint32_t position);
	uint32_t n, position, sequences;
} works[] = {
	{ "decode 1 at 128", decode_step, 1, 128, 1 },
	{ "decode 4 at 128", decode_step, 4, 128, 4 },
	{ "decode 16 at 128", decode_step, 16, 128, 16 },
	{ "decode 64 at 128", decode_step, 64, 128, 64 },
	{ "long decode 1 at 2048", decode_step, 1, 2048, 1 },
	{ "long decode 1 at 8192", decode_step, 1, 8192, 1 },
	{ "prompt 128", prompt_steps, 128, 0, 1 },
	{ "prompt 512", prompt_steps, 512, 0, 1 },
	{ "xlong prompt 2048", prompt_steps, 2048, 0, 1 },
};

/* Median and range of tokens a second, each run some steps of about 0.1 s. */
static void measure(struct bench *b, const struct work *w)
{
	double rate[RUNS], start = now(), median;
	uint32_t times;

	need_pages(b, w->sequences, w->position ? w->position : w->n);
	w->run(b, w->n, w->position);
	start = now();
	w->run(b, w->n, w->position);
	times = 1 + (uint32_t)(0.1 / (now() - start));
	for (int i = 0; i < RUNS; i++) {
		start = now();
		for (uint32_t k = 0; k < times; k++)
			w->run(b, w->n, w->position);
		rate[i] = (double)w->n * times / (now() - start);
	}
	qsort(rate, RUNS, sizeof(*rate), by_size);
	median = rate[RUNS / 2];
	printf("%-24s %8.1f tokens/s (%.1f..%.1f)", w->name, median, rate[0], rate[RUNS - 1]);
	if (w->run == decode_step)
		printf("  %6.2f GB/s of weights",
		       median / w->n * (double)b->weight_bytes * 1e-9);
	printf("\n");
	fflush(stdout);
}

static uint32_t type_of(const char *name)
{
	for (uint32_t type = ENG_F32; type < ENG_TYPE_COUNT; type++)
		if (!strcmp(name, eng_type_name(type)))
			return type;
	return ENG_NONE;
}

int main(int argc, char **argv)
{
	const char *only = argc > 5 ? argv[5] : "";
	const int isa = argc > 3 ? eng_isa_parse(argv[3]) : ENG_ISA_AUTO;
	const uint32_t type = type_of(argc > 2 ? argv[2] : "Q4M");
	const uint32_t threads = argc > 4 ? (uint32_t)atoi(argv[4]) : 2;
	static struct bench b;
	size_t s = 0;

	while (s < sizeof(shapes) / sizeof(*shapes) &&
	       strcmp(argc > 1 ? argv[1] : "smol", shapes[s].name))
		s++;
	if (s == sizeof(shapes) / sizeof(*shapes) || isa < 0 || type == ENG_NONE ||
	    eng_new(&b.eng, (uint32_t)isa, threads)) {
		fprintf(stderr, "eng_bench [smol|1b|tiny [TYPE [ISA [THREADS [CASE]]]]]\n");
		return 2;
	}
	make_model(&b, &shapes[s].config, type);
	if (!b.model.layers || eng_prepare(b.eng, &b.model))
		return 1;
	b.logits = filled((uint64_t)SEQUENCES * b.model.config.vocab_count * sizeof(float));
	printf("%s %s, %s, %u threads, %.1f MB of weights\n", shapes[s].name, eng_type_name(type),
	       eng_isa_name(eng_isa(b.eng)), threads, (double)b.weight_bytes * 1e-6);
	for (size_t i = 0; i < sizeof(works) / sizeof(*works); i++)
		if (!strncmp(works[i].name, only, strlen(only)))
			measure(&b, &works[i]);
	eng_free(&b.eng);
	return 0;
}
