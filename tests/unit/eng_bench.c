/* SPDX-License-Identifier: MIT */
/*
 * eng_bench.c: whole steps of the engine over made-up weights, without daemon. Not part of any check.
 *     eng_bench [SHAPE [TYPE [ISA [THREADS [CASE [RANK [ADAPTER_TYPE]]]]]]]
 * SHAPE: smol (135 M), 1b (Llama 3.2), tiny. TYPE: a packed type (Q4M). ISA: auto. CASE: the first
 * letters of the cases to run. Every weight byte is the same: only the time depends on them, and it
 * does not. Cases with adapters (RANK 16, F16, on all matrices of the layers) take turns with the
 * same steps without, and say which share of their speed is left.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "eng_lora.h"

#define FILL		0x21		/* as f16 0.0098, as float 5e-19, as quants 33 or 1 and 2 */
#define RUNS		9
#define SEQUENCES	64u
#define PAGES_MAX	257u
#define ADAPTERS	16u
#define TURNS		100u

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
	struct eng_lora loras[ADAPTERS];
	struct eng_adapter adapters[ADAPTERS];
	uint32_t adapter_count;			/* different ones in a step */
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

/* Of an adapter's image: one after the other in huge pages. */
static void *placed(uint64_t bytes)
{
	const uint64_t chunk = 32u << 20;
	static uint8_t *at, *end;
	uint8_t *p = at;

	bytes = (bytes + 63) / 64 * 64;
	if (bytes > chunk)
		return filled(bytes);
	if ((uint64_t)(end - at) < bytes) {
		p = filled(chunk);
		end = p + chunk;
	}
	at = p + bytes;
	return p;
}

static struct eng_lora_pair pair(const struct eng_matrix *m, uint32_t type, uint32_t rank)
{
	const uint64_t a_bytes = (uint64_t)rank * m->cols * (type == ENG_F32 ? 4 : 2);

	return (struct eng_lora_pair){
		.rank = rank, .type = type, .rows = m->rows, .cols = m->cols, .scale = 1,
		.a = placed(a_bytes), .b = placed(eng_packed_bytes(type, m->rows, rank)),
	};
}

static void make_lora(struct bench *b, uint32_t i, uint32_t type, uint32_t rank)
{
	const struct eng_config *c = &b->model.config;
	struct eng_lora_layer *layers = calloc(c->layer_count, sizeof(*layers));
	struct eng_lora *lora = &b->loras[i];
	const char *field = "memory";

	for (uint32_t l = 0; layers && l < c->layer_count; l++) {
		const struct eng_layer *base = &b->model.layers[l];

		layers[l] = (struct eng_lora_layer){ {
			pair(&base->q, type, rank), pair(&base->k, type, rank),
			pair(&base->v, type, rank), pair(&base->o, type, rank),
			pair(&base->gate, type, rank), pair(&base->up, type, rank),
			pair(&base->down, type, rank),
		} };
	}
	*lora = (struct eng_lora){ .layer_count = c->layer_count, .layers = layers };
	b->adapters[i] = (struct eng_adapter){ lora, 1 };
	if (!layers || eng_lora_check(lora, &b->model, &field, NULL) ||
	    eng_lora_prepare(b->eng, lora)) {
		fprintf(stderr, "eng_bench: no adapter: %s\n", field);
		exit(1);
	}
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
	for (uint32_t i = 0; b->adapter_count && i < rows; i++) {
		b->rows[i].adapters = &b->adapters[i % b->adapter_count];
		b->rows[i].adapter_count = 1;
	}
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
	uint32_t n, position, sequences, adapters;
} works[] = {
	{ "decode 1 at 128", decode_step, 1, 128, 1, 0 },
	{ "decode 4 at 128", decode_step, 4, 128, 4, 0 },
	{ "decode 16 at 128", decode_step, 16, 128, 16, 0 },
	{ "decode 64 at 128", decode_step, 64, 128, 64, 0 },
	{ "long decode 1 at 2048", decode_step, 1, 2048, 1, 0 },
	{ "long decode 1 at 8192", decode_step, 1, 8192, 1, 0 },
	{ "prompt 128", prompt_steps, 128, 0, 1, 0 },
	{ "prompt 512", prompt_steps, 512, 0, 1, 0 },
	{ "xlong prompt 2048", prompt_steps, 2048, 0, 1, 0 },
	{ "adapter decode 1 at 128", decode_step, 1, 128, 1, 1 },
	{ "adapter decode 4 at 128", decode_step, 4, 128, 4, 1 },
	{ "adapter decode 16 at 128", decode_step, 16, 128, 16, 1 },
	{ "adapters decode 16 of 16", decode_step, 16, 128, 16, 16 },
	{ "adapter prompt 512", prompt_steps, 512, 0, 1, 1 },
};

static void print_rate(const struct bench *b, const struct work *w, double rate[RUNS])
{
	double median;

	qsort(rate, RUNS, sizeof(*rate), by_size);
	median = rate[RUNS / 2];
	printf("%-26s %8.1f tokens/s (%.1f..%.1f)", w->name, median, rate[0], rate[RUNS - 1]);
	if (w->run == decode_step)
		printf("  %6.2f GB/s of weights",
		       median / w->n * (double)b->weight_bytes * 1e-9);
	printf("\n");
}

static double rate_of(struct bench *b, const struct work *w, uint32_t times, uint32_t adapters)
{
	const double start = now();

	b->adapter_count = adapters;
	for (uint32_t k = 0; k < times; k++)
		w->run(b, w->n, w->position);
	b->adapter_count = 0;
	return (double)w->n * times / (now() - start);
}

/* Median and range of tokens a second, each run some steps of about 0.1 s. */
static void measure(struct bench *b, const struct work *w)
{
	double rate[RUNS];
	uint32_t times;

	rate_of(b, w, 1, 0);
	times = 1 + (uint32_t)(0.1 * rate_of(b, w, 1, 0) / w->n);
	for (int i = 0; i < RUNS; i++)
		rate[i] = rate_of(b, w, times, 0);
	print_rate(b, w, rate);
}

/*
 * Steps with and without adapters take turns, so that whatever else the machine does meets both; the
 * quickest twentieth and the median of each are compared.
 */
static void measure_adapters(struct bench *b, const struct work *w)
{
	const uint32_t turns = w->n > 16 ? TURNS / 5 : TURNS;
	double rate[2][TURNS];

	for (uint32_t i = 0; i < turns; i++)
		for (uint32_t with = 0; with < 2; with++) {
			rate_of(b, w, 1, with ? w->adapters : 0);
			rate[with][i] = rate_of(b, w, 2, with ? w->adapters : 0);
		}
	for (uint32_t with = 0; with < 2; with++)
		qsort(rate[with], turns, sizeof(rate[with][0]), by_size);
	printf("%-26s", w->name);
	for (uint32_t i = 0; i < 2; i++) {
		const uint32_t at = i ? turns / 2 : turns - 1 - turns / 20;

		printf("%s %.1f, without %.1f tokens/s: %.3f", i ? "; median" : " quick",
		       rate[1][at], rate[0][at], rate[1][at] / rate[0][at]);
	}
	printf("\n");
}

static void run_work(struct bench *b, const struct work *w)
{
	need_pages(b, w->sequences, w->position ? w->position : w->n);
	if (w->adapters)
		measure_adapters(b, w);
	else
		measure(b, w);
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
	const uint32_t rank = argc > 6 ? (uint32_t)atoi(argv[6]) : 16;
	const uint32_t lora_type = type_of(argc > 7 ? argv[7] : "F16");
	static struct bench b;
	size_t s = 0;

	while (s < sizeof(shapes) / sizeof(*shapes) &&
	       strcmp(argc > 1 ? argv[1] : "smol", shapes[s].name))
		s++;
	if (s == sizeof(shapes) / sizeof(*shapes) || isa < 0 || type == ENG_NONE ||
	    eng_new(&b.eng, (uint32_t)isa, threads)) {
		fprintf(stderr, "eng_bench [smol|1b|tiny [TYPE [ISA [THREADS [CASE [RANK [TYPE]]]]]]]\n");
		return 2;
	}
	make_model(&b, &shapes[s].config, type);
	if (!b.model.layers || eng_prepare(b.eng, &b.model))
		return 1;
	for (uint32_t i = 0; i < ADAPTERS; i++)
		make_lora(&b, i, lora_type, rank);
	b.logits = filled((uint64_t)SEQUENCES * b.model.config.vocab_count * sizeof(float));
	printf("%s %s, %s, %u threads, %.1f MB of weights\n", shapes[s].name, eng_type_name(type),
	       eng_isa_name(eng_isa(b.eng)), threads, (double)b.weight_bytes * 1e-6);
	for (size_t i = 0; i < sizeof(works) / sizeof(*works); i++)
		if (!strncmp(works[i].name, only, strlen(only)))
			run_work(&b, &works[i]);
	eng_free(&b.eng);
	return 0;
}
