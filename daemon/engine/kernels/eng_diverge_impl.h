/* SPDX-License-Identifier: MIT */
/*
 * eng_diverge_impl.h: two rows of logits compared, in double; included once per ISA. Plain loops
 * over blocks that every compiler turns into vectors: no operation is contracted, so the bits are
 * the same on every level. Sums: element i goes to lane i % 8 in the order of i, then lanes are
 * added in order.
 */
#ifndef ENG_DIVERGE_IMPL_H
#define ENG_DIVERGE_IMPL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WIDE_BLOCK	32u
#define WIDE_LANES	8u
/* exp(x) = 2^n exp(r), r = x - n ln 2, |r| <= ln(2)/2; ln 2 in two parts (Cody & Waite 1980) */
#define WIDE_LEAST	-700.0		/* 2^n must stay a normal number */
#define WIDE_MAGIC	0x1.8p52	/* adding it leaves round(x) in the low mantissa bits */
#define WIDE_LOG2E	0x1.71547652b82fep+0
#define WIDE_LN2_HIGH	0x1.62e42fefa0000p-1
#define WIDE_LN2_LOW	0x1.cf79abc9e3b3ap-40

/* @x, at most 0, becomes exp(x): relative error below 6e-16. */
static inline void wide_exp(double x[WIDE_BLOCK])
{
	double power[WIDE_BLOCK];

	for (uint32_t i = 0; i < WIDE_BLOCK; i++) {
		double v = x[i] > WIDE_LEAST ? x[i] : WIDE_LEAST;
		double t = v * WIDE_LOG2E + WIDE_MAGIC;
		double n = t - WIDE_MAGIC;

		power[i] = t;
		x[i] = v - n * WIDE_LN2_HIGH - n * WIDE_LN2_LOW;
	}
	for (uint32_t i = 0; i < WIDE_BLOCK; i++) {
		/* Taylor: the term left out is below 0.35^13 / 13!, 2e-16 */
		double r = x[i], p = 1.0 / 479001600;

		p = p * r + 1.0 / 39916800;
		p = p * r + 1.0 / 3628800;
		p = p * r + 1.0 / 362880;
		p = p * r + 1.0 / 40320;
		p = p * r + 1.0 / 5040;
		p = p * r + 1.0 / 720;
		p = p * r + 1.0 / 120;
		p = p * r + 1.0 / 24;
		p = p * r + 1.0 / 6;
		p = p * r + 0.5;
		p = p * r + 1.0;
		p = p * r + 1.0;
		x[i] = p;
	}
	for (uint32_t i = 0; i < WIDE_BLOCK; i++) {
		uint64_t bits, n;

		memcpy(&bits, &x[i], sizeof(bits));
		memcpy(&n, &power[i], sizeof(n));
		bits += n << 52;
		memcpy(&x[i], &bits, sizeof(bits));
	}
}

static inline double wide_total(const double lanes[WIDE_LANES])
{
	double total = 0;

	for (uint32_t i = 0; i < WIDE_LANES; i++)
		total += lanes[i];
	return total;
}

/* Of one block: below @most, the tail as good as nothing. */
static inline void wide_below(double out[WIDE_BLOCK], const float *x, size_t n, double most)
{
	if (n >= WIDE_BLOCK) {
		for (uint32_t i = 0; i < WIDE_BLOCK; i++)
			out[i] = (double)x[i] - most;
		return;
	}
	for (uint32_t i = 0; i < WIDE_BLOCK; i++)
		out[i] = i < n ? (double)x[i] - most : WIDE_LEAST;
}

static void diverge(const float *a, const float *b, size_t n, double a_most, double b_most,
		    double sums[3])
{
	double lanes[3][WIDE_LANES] = { { 0 } };
	double p[WIDE_BLOCK], q[WIDE_BLOCK], d[WIDE_BLOCK];

	for (size_t at = 0; at < n; at += WIDE_BLOCK) {
		wide_below(p, a + at, n - at, a_most);
		wide_below(q, b + at, n - at, b_most);
		for (uint32_t i = 0; i < WIDE_BLOCK; i++)
			d[i] = p[i] - q[i];
		wide_exp(p);
		wide_exp(q);
		for (uint32_t i = 0; i < WIDE_BLOCK; i += WIDE_LANES)
			for (uint32_t j = 0; j < WIDE_LANES; j++) {
				lanes[0][j] += p[i + j];
				lanes[1][j] += q[i + j];
				lanes[2][j] += p[i + j] * d[i + j];
			}
	}
	for (uint32_t i = 0; i < 3; i++)
		sums[i] = wide_total(lanes[i]);
}

#endif
