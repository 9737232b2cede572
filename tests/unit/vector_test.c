/* SPDX-License-Identifier: MIT */
/* Norms, softmax, rotation and attention: right against doubles, and the same bits on every ISA. */
#include <math.h>

#include "kernels_lib.h"

#define N_MAX	100u

static const struct eng_kernels *generic;

#define EACH_ISA(k)								\
	(uint32_t isa_ = ENG_ISA_GENERIC; isa_ < ENG_ISA_COUNT; isa_++)		\
		for (const struct eng_kernels *k = eng_kernels_get(isa_); k; k = NULL)

/* @got has @n values like @want's bits and then the mark that stood there before. */
static void check_same(const float *got, const float *want, size_t n)
{
	t_mem_eq(got, want, n * sizeof(*got));
	t_ok(got[n] == 12345);
}

static void mark(float *out, const float *in, size_t n)
{
	memcpy(out, in, n * sizeof(*out));
	out[n] = 12345;
}

static void check_rms_norm(uint32_t n)
{
	float *x = klib_floats(n, n), *w = klib_floats(n, n + 1), want[N_MAX], got[N_MAX + 1];
	double sum = 0;

	generic->rms_norm(want, x, w, n, 1e-5f);
	for (uint32_t i = 0; i < n; i++)
		sum += (double)x[i] * x[i];
	for (uint32_t i = 0; i < n; i++)
		t_near(want[i], x[i] / sqrt(sum / n + 1e-5) * w[i], 1e-6 + fabs(want[i]) * 1e-6);
	for EACH_ISA(k) {
		mark(got, x, n);
		k->rms_norm(got, got, w, n, 1e-5f);
		check_same(got, want, n);
	}
	free(x);
	free(w);
}

static void check_elements(uint32_t n)
{
	float *x = klib_floats(n, n), *y = klib_floats(n, n + 1), want[N_MAX], got[N_MAX + 1];

	generic->silu_mul(want, x, y, n);
	for (uint32_t i = 0; i < n; i++)
		t_near(want[i], x[i] / (1 + exp(-(double)x[i])) * y[i], fabs(want[i]) * 1e-6);
	for EACH_ISA(k) {
		mark(got, x, n);
		k->silu_mul(got, got, y, n);
		check_same(got, want, n);
		mark(got, x, n);
		k->add(got, y, n);
		for (uint32_t i = 0; i < n; i++)
			t_ok(got[i] == x[i] + y[i]);
		t_ok(got[n] == 12345);
	}
	free(x);
	free(y);
}

static void check_softmax(uint32_t n)
{
	float *x = klib_floats(n, n), want[N_MAX], got[N_MAX + 1], most = x[0], top;
	double sum = 0;

	for (uint32_t i = 0; i < n; i++)
		most = fmaxf(most, x[i]);
	for (uint32_t i = 0; i < n; i++)
		sum += exp((double)x[i] - most);
	memcpy(want, x, n * sizeof(*x));
	t_near(generic->softmax_part(want, n, &top), sum, sum * 1e-6);
	for (uint32_t i = 0; i < n; i++)
		t_near(want[i], exp((double)x[i] - most), 1e-30 + fabs(want[i]) * 2e-6);
	t_near(generic->sum_exp(x, n, most), sum, sum * 1e-6);
	for EACH_ISA(k) {
		const float total = k->sum_exp(x, n, most), expected = generic->sum_exp(x, n, most);

		t_ok(k->max(x, n) == most);
		t_mem_eq(&total, &expected, sizeof(total));
		mark(got, x, n);
		t_ok(k->softmax_part(got, n, &top) == total && top == most);
		check_same(got, want, n);
	}
	free(x);
}

static void check_rope(uint32_t half)
{
	float *x = klib_floats(2 * half, half), c[N_MAX], s[N_MAX], want[2 * N_MAX],
	      got[2 * N_MAX + 1];

	for (uint32_t i = 0; i < half; i++) {
		c[i] = cosf((float)i + 0.3f);
		s[i] = sinf((float)i + 0.3f);
	}
	memcpy(want, x, 2 * half * sizeof(*x));
	generic->rope(want, c, s, half);
	for (uint32_t i = 0; i < half; i++) {
		t_near(want[i], (double)x[i] * c[i] - (double)x[half + i] * s[i], 4e-6);
		t_near(want[half + i], (double)x[half + i] * c[i] + (double)x[i] * s[i], 4e-6);
	}
	for EACH_ISA(k) {
		mark(got, x, 2 * half);
		k->rope(got, c, s, half);
		check_same(got, want, 2 * half);
	}
	free(x);
}

static void test_vectors(void)
{
	for (uint32_t n = 1; n < N_MAX; n++) {
		check_rms_norm(n);
		check_elements(n);
		check_softmax(n);
		check_rope(n);
	}
}

/* The exponential over its whole range (e^-64 is as good as nothing beside 1), seen through sum_exp of one value. */
static void test_exp(void)
{
	double worst = 0;

	for (float x = -64; x <= 88; x += 0.0037f) {
		const double want = exp((double)x), got = generic->sum_exp(&x, 1, 0);

		worst = fmax(worst, fabs(got - want) / want);
		for EACH_ISA(k)
			t_ok(k->sum_exp(&x, 1, 0) == (float)got);
	}
	t_ok(worst < 1.5e-7);
	for EACH_ISA(k) {
		t_ok(k->sum_exp(&(float){ 0 }, 1, 0) == 1);
		t_ok(k->sum_exp(&(float){ -INFINITY }, 1, 0) < 2e-28f);
		t_ok(isfinite(k->sum_exp(&(float){ 1e30f }, 1, 0)));
		t_ok(isnan(k->sum_exp(&(float){ NAN }, 1, 0)));
	}
}

/* A NaN anywhere reaches the results that it touches, however long the row. */
static void test_nan(void)
{
	for (uint32_t n = 1; n < 40; n++)
		for EACH_ISA(k) {
			float *x = klib_floats(n, n), *w = klib_floats(n, 1), out[40];

			x[n / 2] = NAN;
			k->rms_norm(out, x, w, n, 1e-5f);
			t_ok(isnan(out[0]));
			k->silu_mul(out, x, w, n);
			t_ok(isnan(out[n / 2]));
			t_ok(isnan(k->softmax_part(x, n, out)));
			free(x);
			free(w);
		}
}

/* One page, all of its slots written by @k except those from @tokens on, which hold NaN. */
static void fill_page(const struct eng_kernels *k, bool f32, const float *keys, const float *values,
		      uint32_t dim, uint32_t tokens, void *k_page, void *v_page)
{
	memset(k_page, 0xff, eng_kv_plane_bytes(f32, dim));
	memset(v_page, 0xff, eng_kv_plane_bytes(f32, dim));
	for (uint32_t t = 0; t < tokens; t++)
		k->kv_put(f32, keys + t * dim, values + t * dim, dim, t, k_page, v_page);
}

static float stored(bool f32, float x)
{
	return f32 ? x : eng_f16_float(eng_float_f16(x));
}

struct attention {
	bool f32;
	uint32_t dim, queries, tokens;
	const float *q, *keys, *values;
	float scores[32 * 12], out[12 * 160];
};

/* Scores and weighted sums by @k, @some queries to a call. */
static void attend(const struct eng_kernels *k, struct attention *a, uint32_t some)
{
	void *k_page = klib_alloc(eng_kv_plane_bytes(a->f32, a->dim));
	void *v_page = klib_alloc(eng_kv_plane_bytes(a->f32, a->dim));
	const float *q[12], *probs[12];
	float *scores[12], *out[12];

	fill_page(k, a->f32, a->keys, a->values, a->dim, a->tokens, k_page, v_page);
	for (uint32_t i = 0; i < a->queries; i++) {
		q[i] = a->q + i * a->dim;
		probs[i] = scores[i] = a->scores + 32 * i;
		out[i] = a->out + i * a->dim;
	}
	for (uint32_t i = 0; i < a->queries * a->dim; i++)
		a->out[i] = (float)i / 16;
	for (uint32_t i = 0; i < a->queries; i += some) {
		const uint32_t n = a->queries - i < some ? a->queries - i : some;

		k->attn_scores(a->f32, q + i, n, a->dim, k_page, 0.125f, scores + i,
			       v_page);
		k->attn_mix(a->f32, probs + i, n, a->dim, v_page, a->tokens, out + i,
			    k_page);
	}
	for (uint32_t i = 0; i < 32 * a->queries; i++)
		a->scores[i] = i % 32 < a->tokens ? a->scores[i] : 0;
	free(k_page);
	free(v_page);
}

static void check_attention_values(const struct attention *a)
{
	for (uint32_t i = 0; i < a->queries; i++) {
		for (uint32_t t = 0; t < a->tokens; t++) {
			double want = 0;

			for (uint32_t d = 0; d < a->dim; d++)
				want += (double)a->q[i * a->dim + d] *
					stored(a->f32, a->keys[t * a->dim + d]);
			t_near(a->scores[32 * i + t], want / 8, 2e-3);
		}
		for (uint32_t d = 0; d < a->dim; d++) {
			double want = (float)(i * a->dim + d) / 16, size = fabs(want);

			for (uint32_t t = 0; t < a->tokens; t++) {
				double v = stored(a->f32, a->values[t * a->dim + d]);

				want += a->scores[32 * i + t] * v;
				size += fabs(a->scores[32 * i + t] * v);
			}
			t_near(a->out[i * a->dim + d], want, 1e-6 * size);
		}
	}
}

static void check_attention(bool f32, uint32_t dim, uint32_t queries, uint32_t tokens)
{
	float *q = klib_floats((size_t)queries * dim, 1);
	float *keys = klib_floats(32 * (size_t)dim, 2), *values = klib_floats(32 * (size_t)dim, 3);
	struct attention want = { f32, dim, queries, tokens, q, keys, values, { 0 }, { 0 } },
			 got = want;

	attend(generic, &want, 12);
	check_attention_values(&want);
	for EACH_ISA(k)
		for (uint32_t some = 1; some <= queries; some++) {
			attend(k, &got, some);
			t_mem_eq(got.scores, want.scores, sizeof(got.scores));
			t_mem_eq(got.out, want.out, sizeof(got.out));
		}
	free(q);
	free(keys);
	free(values);
}

static void test_attention(void)
{
	static const uint32_t dims[] = { 2, 8, 16, 20, 63, 64, 80, 128, 160 };

	for (uint32_t i = 0; i < sizeof(dims) / sizeof(dims[0]); i++)
		for (uint32_t f32 = 0; f32 < 2; f32++) {
			check_attention(f32, dims[i], 1, 32);
			check_attention(f32, dims[i], 3, 1);
			check_attention(f32, dims[i], 4, 17);
			check_attention(f32, dims[i], 12, 31);
		}
}

/* Parts whose maxima differ much: the merge against doubles, and the same bits on every ISA. */
static void check_merge(uint32_t dim, uint32_t count)
{
	const size_t stride = dim + 5;
	float *parts = klib_floats(stride * count, dim + count), want[N_MAX], got[N_MAX + 1];
	double most = -INFINITY, total = 0;

	for (uint32_t p = 0; p < count; p++) {
		parts[p * stride + dim] *= 4;
		parts[p * stride + dim + 1] = fabsf(parts[p * stride + dim + 1]) + 1;
		most = fmax(most, parts[p * stride + dim]);
	}
	for (uint32_t p = 0; p < count; p++)
		total += exp(parts[p * stride + dim] - most) * parts[p * stride + dim + 1];
	generic->attn_merge(parts, stride, count, dim, want);
	for (uint32_t d = 0; d < dim; d++) {
		double sum = 0, size = 0;

		for (uint32_t p = 0; p < count; p++) {
			double x = exp(parts[p * stride + dim] - most) * parts[p * stride + d];

			sum += x;
			size += fabs(x);
		}
		t_near(want[d], sum / total, 2e-6 * size / total + 1e-26);
	}
	for EACH_ISA(k) {
		got[dim] = 12345;
		k->attn_merge(parts, stride, count, dim, got);
		check_same(got, want, dim);
	}
	free(parts);
}

static void test_merge(void)
{
	for (uint32_t dim = 2; dim <= 96; dim += dim % 3 ? 1 : 13)
		for (uint32_t count = 1; count < 12; count += 3)
			check_merge(dim, count);
}

/* F16 storage rounds alike everywhere, large and tiny values included. */
static void test_kv_put(void)
{
	const uint32_t dim = 64;
	float *x = klib_floats(dim, 8);
	uint16_t want[2][64 * 32], got[2][64 * 32];

	for (uint32_t i = 0; i < dim; i++)
		x[i] = ldexpf(x[i], (int)i - 32);
	x[0] = 1e9f;
	x[1] = -65520;
	x[2] = 0x1p-25f;
	fill_page(generic, false, x, x, dim, 1, want[0], want[1]);
	for (uint32_t d = 0; d < dim; d++) {
		t_eq(want[0][d * 32], eng_float_f16(x[d]));
		t_eq(want[1][d], eng_float_f16(x[d]));
	}
	for EACH_ISA(k) {
		fill_page(k, false, x, x, dim, 1, got[0], got[1]);
		t_mem_eq(got, want, sizeof(got));
	}
	free(x);
}

static void test_widen(void)
{
	static const uint32_t types[] = { ENG_F32, ENG_F16, ENG_BF16 };

	for (uint32_t i = 0; i < 3; i++) {
		struct eng_matrix m = klib_matrix(types[i], 16, 37, i);
		float row[37], out[37 * 20];

		for EACH_ISA(k) {
			k->widen(types[i], m.data, 37, out, 20);
			for (uint32_t r = 0; r < 16; r++) {
				eng_unpack_row(&m, r, row);
				for (uint32_t c = 0; c < 37; c++)
					t_ok(row[c] == out[c * 20 + r]);
			}
		}
		klib_free(&m);
	}
}

static void test_names(void)
{
	for (uint32_t isa = 0; isa < ENG_ISA_COUNT; isa++)
		t_eq(eng_isa_parse(eng_isa_name(isa)), isa);
	t_ok(eng_isa_parse("sse") < 0 && eng_isa_parse("") < 0);
	t_str_eq(eng_isa_name(ENG_ISA_COUNT), "?");
	t_ok(eng_isa_usable(ENG_ISA_GENERIC) && eng_isa_usable(eng_isa_best()));
	t_ok(!eng_isa_usable(ENG_ISA_COUNT) && !eng_kernels_get(ENG_ISA_AUTO));
}

int main(void)
{
	generic = eng_kernels_get(ENG_ISA_GENERIC);
	T_RUN(test_names);
	T_RUN(test_vectors);
	T_RUN(test_exp);
	T_RUN(test_nan);
	T_RUN(test_attention);
	T_RUN(test_merge);
	T_RUN(test_kv_put);
	T_RUN(test_widen);
	return t_done();
}
