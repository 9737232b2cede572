/* SPDX-License-Identifier: MIT */
/*
 * kernels_bench.c: what the kernels reach, beside a plain read of the same memory. Not part of any
 * check.
 *     kernels_bench [THREADS]
 * Decode: GB of weights per second at 1..8 rows over a matrix far beyond the caches, and the share
 * of a plain read of the same bytes, which takes turns with it. Prompt: GMAC/s at 256 rows over one
 * that stays in them. Medians of 7 runs in wall time, from the first thread's start to the last
 * one's end: for an otherwise idle machine.
 */
#include <math.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

#include "kernels_lib.h"

#define RUNS		7
#define THREADS_MAX	16u
#define BYTES		(192u << 20)

static uint32_t threads = 2;
static pthread_barrier_t gate;	/* all threads start together */

struct share {
	void (*work)(struct share *share);
	const struct eng_kernels *kernels;
	struct eng_matrix m;
	struct eng_act act;
	const float *x;
	float *out;
	void *scratch;
	uint32_t first, count, rows;
	bool blas;
	uint64_t sum;
	double start, end;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void *thread_main(void *arg)
{
	struct share *share = arg;

	pthread_barrier_wait(&gate);
	share->start = now();
	share->work(share);
	share->end = now();
	return NULL;
}

static int by_size(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, RUNS, sizeof(*values), by_size);
	return values[RUNS / 2];
}

/* Seconds of the work split over the threads by panels. */
static double run_once(const struct share *whole)
{
	const uint32_t panels = (whole->m.rows + 15) / 16;
	struct share shares[THREADS_MAX];
	pthread_t ids[THREADS_MAX];
	double start, end;

	for (uint32_t i = 0; i < threads; i++) {
		shares[i] = *whole;
		shares[i].first = (uint32_t)((uint64_t)panels * i / threads);
		shares[i].count =
			(uint32_t)((uint64_t)panels * (i + 1) / threads) - shares[i].first;
		if (i && pthread_create(&ids[i], NULL, thread_main, &shares[i]))
			abort();
	}
	thread_main(&shares[0]);
	start = shares[0].start;
	end = shares[0].end;
	for (uint32_t i = 1; i < threads; i++) {
		pthread_join(ids[i], NULL);
		start = fmin(start, shares[i].start);
		end = fmax(end, shares[i].end);
	}
	return end - start;
}

static double measure(const struct share *whole)
{
	double seconds[RUNS];

	for (int run = 0; run < RUNS; run++)
		seconds[run] = run_once(whole);
	return median(seconds);
}

static void work_read(struct share *s)
{
	const uint64_t bytes = eng_panel_bytes(s->m.type, s->m.cols);
	const uint64_t *p = (const uint64_t *)((const uint8_t *)s->m.data + s->first * bytes);
	const uint64_t *end = p + s->count * bytes / 8;
	uint64_t a = 0, b = 0, c = 0, d = 0;

	for (; p + 8 <= end; p += 8) {		/* one word of each half line: all lines travel */
		a += p[0];
		b += p[2];
		c += p[4];
		d += p[6];
	}
	s->sum = a + b + c + d;
	__asm__ volatile("" : : "r"(s->sum));
}

/* In turns with a plain read: *@share becomes the speed as a share of that read's. */
static double measure_beside_read(const struct share *whole, double *share)
{
	struct share reading = *whole;
	double seconds[RUNS], shares[RUNS];

	reading.work = work_read;
	for (int run = 0; run < RUNS; run++) {
		const double read = run_once(&reading);

		seconds[run] = run_once(whole);
		shares[run] = read / seconds[run];
	}
	*share = median(shares);
	return median(seconds);
}

static void work_matmul(struct share *s)
{
	void *scratch = s->blas ? klib_alloc(eng_blas_scratch_bytes(s->m.cols)) : NULL;

	if (s->blas)
		eng_blas_matmul(&s->m, s->first, s->count, s->x, s->m.cols, s->rows, s->out,
				s->m.rows, scratch);
	else if (s->m.type < ENG_Q8)
		s->kernels->matmul_f(&s->m, s->first, s->count, s->x, s->m.cols, s->rows, s->out,
				     s->m.rows);
	else
		s->kernels->matmul_q(&s->m, s->first, s->count, &s->act, s->rows, s->out,
				     s->m.rows);
	free(scratch);
}

/* Bytes 0x21: every f16 and every float made of them is an ordinary small number. */
static struct share prepare(uint32_t type, uint32_t cols, uint64_t about, uint32_t rows,
			    uint8_t *memory)
{
	const uint64_t panel = eng_panel_bytes(type, cols);
	struct share s = { .work = work_matmul, .rows = rows };

	s.m = (struct eng_matrix){ type, (uint32_t)(about / panel) * 16, cols, memory };
	s.x = klib_floats((size_t)rows * cols, 1);
	s.out = klib_alloc((size_t)rows * s.m.rows * sizeof(float));
	s.act.cols = cols;
	if (type >= ENG_Q8)
		s.act = klib_act(eng_kernels_get(ENG_ISA_GENERIC), s.x, rows, cols);
	return s;
}

static void finish(struct share *s)
{
	free(s->act.block);
	free((void *)(uintptr_t)s->x);
	free(s->out);
}

static void print_rate(const struct share *s)
{
	const double bytes = (double)eng_packed_bytes(s->m.type, s->m.rows, s->m.cols);
	double share;
	const double seconds = measure_beside_read(s, &share);

	printf("  %6.1f %3.0f%%", bytes / seconds * 1e-9, share * 100);
}

static void decode(uint32_t type, uint8_t *memory)
{
	for (uint32_t isa = ENG_ISA_AVX2; isa < ENG_ISA_AMX; isa++) {
		printf("%-6s %-7s", eng_type_name(type), eng_isa_name(isa));
		for (uint32_t rows = 1; rows <= 8; rows *= 2) {
			struct share s = prepare(type, 2048, BYTES, rows, memory);

			s.kernels = eng_kernels_get(isa);
			if (s.kernels)
				print_rate(&s);
			finish(&s);
		}
		printf("\n");
		fflush(stdout);
	}
}

static void prompt(uint32_t type, uint8_t *memory, bool blas)
{
	for (uint32_t isa = blas ? ENG_ISA_AVX512 : ENG_ISA_AVX2; isa <= (blas ? ENG_ISA_AVX512 : ENG_ISA_AMX); isa++) {
		printf("%-6s %-7s", eng_type_name(type), blas ? "blas" : eng_isa_name(isa));
		for (uint32_t cols = 512; cols <= 2048; cols *= 2) {
			struct share s = prepare(type, cols, 2 << 20, 256, memory);

			s.kernels = eng_kernels_get(isa);
			s.blas = blas;
			if (s.kernels)
				printf("  %6.1f",
				       (double)s.m.rows * cols * 256 / measure(&s) * 1e-9);
			finish(&s);
		}
		printf("\n");
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	uint8_t *memory = aligned_alloc(2 << 20, BYTES);
	struct share reading;

	if (argc > 1)
		threads = (uint32_t)atoi(argv[1]);
	if (!threads || threads > THREADS_MAX)
		return 2;
	pthread_barrier_init(&gate, NULL, threads);
	if (!memory)
		return 1;
	madvise(memory, BYTES, MADV_HUGEPAGE);
	memset(memory, 0x21, BYTES);
	eng_blas_init();
	reading = prepare(ENG_Q8, 2048, BYTES, 1, memory);
	reading.work = work_read;
	printf("%u threads; plain read %.1f GB/s\n", threads,
	       (double)eng_packed_bytes(ENG_Q8, reading.m.rows, 2048) / measure(&reading) * 1e-9);
	finish(&reading);
	printf("decode, GB/s and share of the plain read at 1, 2, 4, 8 rows\n");
	for (uint32_t type = ENG_F32; type < ENG_TYPE_COUNT; type++)
		decode(type, memory);
	printf("prompt of 256 rows, GMAC/s at 512, 1024, 2048 columns\n");
	for (uint32_t type = ENG_F32; type < ENG_TYPE_COUNT; type++)
		prompt(type, memory, false);
	for (uint32_t type = ENG_F32; type <= ENG_BF16; type++)
		prompt(type, memory, true);
	free(memory);
	return 0;
}
