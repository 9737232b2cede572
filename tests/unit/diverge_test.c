/* SPDX-License-Identifier: MIT */
/* Two rows of logits compared: right against long doubles, and the same bits on every ISA. */
#include <errno.h>
#include <math.h>
#include <time.h>

#include "eng_diverge.h"
#include "kernels_lib.h"

#define VOCAB	49152u

static float first[VOCAB], second[VOCAB];

/* Logits of a plausible spread, the second's @apart from the first's. */
static void make(uint32_t n, uint64_t seed, float apart)
{
	for (uint32_t i = 0; i < n; i++) {
		first[i] = 12 * t_random_float(&seed) * t_random_float(&seed) - 3;
		second[i] = first[i] + apart * t_random_float(&seed) + 7;
	}
}

static long double naive_total(const float *x, uint32_t n)
{
	long double most = -INFINITY, sum = 0;

	for (uint32_t i = 0; i < n; i++)
		most = fmaxl(most, x[i]);
	for (uint32_t i = 0; i < n; i++)
		sum += expl(x[i] - most);
	return most + logl(sum);
}

static long double naive_kl(uint32_t n)
{
	long double a = naive_total(first, n), b = naive_total(second, n), kl = 0;

	for (uint32_t i = 0; i < n; i++)
		kl += expl(first[i] - a) * ((first[i] - a) - (second[i] - b));
	return kl;
}

static void right_at_any_size(void)
{
	static const uint32_t sizes[] = { 1, 2, 7, 16, 31, 32, 33, 100, 1000, VOCAB };
	static const float aparts[] = { 8, 0.3f, 0.01f };
	struct eng_diverge d;
	uint32_t bad;

	for (uint32_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
		for (uint32_t a = 0; a < 3; a++) {
			const uint32_t n = sizes[s], token = n / 2;
			const double kl = (make(n, s * 3 + a, aparts[a]), (double)naive_kl(n));

			t_eq(eng_diverge(first, second, n, token, &d, &bad), 0);
			t_near(d.kl, kl, 1e-14 + kl * 1e-9);
			t_near(d.logprob[0], first[token] - naive_total(first, n), 1e-12);
			t_near(d.logprob[1], second[token] - naive_total(second, n), 1e-12);
			t_ok(d.kl >= 0 && (n > 1) == (d.kl > 0));
		}
}

static void same_is_zero(void)
{
	struct eng_diverge d;
	uint32_t bad;

	make(1000, 5, 0);
	memcpy(second, first, sizeof(second));
	t_eq(eng_diverge(first, second, 1000, 3, &d, &bad), 0);
	t_ok(d.kl == 0 && d.logprob[0] == d.logprob[1] && d.top1[0] == d.top1[1]);
}

static void far_apart(void)
{
	struct eng_diverge d;
	uint32_t bad;

	memset(first, 0, sizeof(first));
	memset(second, 0, sizeof(second));
	first[7] = 3e38f;
	second[9] = 3e38f;
	t_eq(eng_diverge(first, second, 100, 9, &d, &bad), 0);
	t_near(d.kl, 3e38, 1e32);
	t_eq(d.top1[0], 7);
	t_eq(d.top1[1], 9);
	first[50] = first[7];				/* a tie: the lowest id */
	first[3] = -3e38f;
	t_eq(eng_diverge(first, second, 100, 9, &d, &bad), 0);
	t_eq(d.top1[0], 7);
	t_ok(isfinite(d.kl));
}

static void no_numbers(void)
{
	static const float odd[] = { NAN, INFINITY, -INFINITY };
	struct eng_diverge d;
	uint32_t bad;

	for (uint32_t i = 0; i < 3; i++)
		for (uint32_t at = 0; at < 100; at += 33) {
			make(100, at, 1);
			second[at] = odd[i];
			t_eq(eng_diverge(first, second, 100, 0, &d, &bad), -EDOM);
			t_eq(bad, 2);
			first[99 - at] = odd[i];
			t_eq(eng_diverge(first, second, 100, 0, &d, &bad), -EDOM);
			t_eq(bad, 3);
		}
	make(100, 1, 1);
	t_eq(eng_diverge(first, second, 100, 100, &d, &bad), -EINVAL);
}

static void same_bits_on_every_isa(void)
{
	const struct eng_kernels *generic = eng_kernels_get(ENG_ISA_GENERIC);

	double got[3], want[3];

	for (uint32_t n = 1; n < 200; n += 13) {
		make(n, n, 2);
		for (uint32_t isa = ENG_ISA_GENERIC; isa < ENG_ISA_COUNT; isa++) {
			const struct eng_kernels *k = eng_kernels_get(isa);
			const double most = (double)generic->max(first, n);

			if (!k)
				continue;
			k->diverge(first, second, n, most, 20, got);
			generic->diverge(first, second, n, most, 20, want);
			t_mem_eq(got, want, sizeof(got));
		}
	}
}

static void exponential(void)
{
	const struct eng_kernels *k = eng_kernels_get(eng_isa_best());
	double sums[3];

	for (float x = 0; x > -650; x -= 0.37f) {
		k->diverge(&x, &x, 1, 0, 0, sums);
		t_near(sums[0] / exp((double)x), 1, 6e-16);
		t_ok(sums[1] == sums[0] && sums[2] == 0);
	}
}

static void rate(void)
{
	struct timespec a, b;
	struct eng_diverge d;
	uint32_t bad;

	make(VOCAB, 1, 1);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (uint32_t i = 0; i < 20; i++)
		eng_diverge(first, second, VOCAB, i, &d, &bad);
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("# a row of %u: %.0f us\n", VOCAB,
	       ((double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_nsec - a.tv_nsec) / 1e3) / 20);
}

int main(void)
{
	T_RUN(right_at_any_size);
	T_RUN(same_is_zero);
	T_RUN(far_apart);
	T_RUN(no_numbers);
	T_RUN(same_bits_on_every_isa);
	T_RUN(exponential);
	T_RUN(rate);
	return t_done();
}
