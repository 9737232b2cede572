/* SPDX-License-Identifier: MIT */
/* kernels_lib.h: random matrices and activations for the kernel tests and the kernel bench. */
#ifndef KERNELS_LIB_H
#define KERNELS_LIB_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eng_half.h"
#include "eng_kernels.h"
#include "eng_model.h"
#include "t.h"

static inline void *klib_alloc(size_t bytes)
{
	void *p = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);

	if (!p)
		abort();
	return p;
}

static inline uint32_t klib_source(uint32_t type)
{
	static const uint32_t sources[ENG_TYPE_COUNT] = {
		[ENG_F32] = ENG_SRC_F32, [ENG_F16] = ENG_SRC_F16, [ENG_BF16] = ENG_SRC_BF16,
		[ENG_Q8] = ENG_SRC_Q8_0, [ENG_Q5M] = ENG_SRC_Q5_1, [ENG_Q4] = ENG_SRC_Q4_0,
		[ENG_Q4M] = ENG_SRC_Q4_1, [ENG_Q4K] = ENG_SRC_Q4_K, [ENG_Q5K] = ENG_SRC_Q5_K,
		[ENG_Q6K] = ENG_SRC_Q6_K, [ENG_Q5] = ENG_SRC_Q5_0, [ENG_Q2K] = ENG_SRC_Q2_K,
		[ENG_Q3K] = ENG_SRC_Q3_K, [ENG_N4] = ENG_SRC_IQ4_NL, [ENG_N4K] = ENG_SRC_IQ4_XS,
		[ENG_E4] = ENG_SRC_MXFP4,
	};

	return sources[type];
}

/* Where a source block has its f16 scale, and its f16 minimum; -1: it has none. */
static inline void klib_scales(uint32_t source, int *scale, int *min)
{
	*scale = source == ENG_SRC_Q2_K ? 80 : source == ENG_SRC_Q3_K ? 108 :
		 source == ENG_SRC_Q6_K ? 208 : source == ENG_SRC_MXFP4 ? -1 : 0;
	*min = source == ENG_SRC_Q2_K ? 82 :
	       source == ENG_SRC_Q4_1 || source == ENG_SRC_Q5_1 || source == ENG_SRC_Q4_K ||
	       source == ENG_SRC_Q5_K ? 2 : -1;
}

/* One source block of @source with any quants and sub-scales, and small scales. */
static inline void klib_block(uint32_t source, uint64_t *seed, uint8_t *out)
{
	const uint32_t bytes = eng_source_block_bytes(source);
	const float value = t_random_float(seed);
	uint16_t d = eng_float_f16(value / 16), m = eng_float_f16(t_random_float(seed) / 16);
	int scale, min;

	if (source == ENG_SRC_F32) {
		memcpy(out, &value, 4);
		return;
	}
	if (source == ENG_SRC_F16 || source == ENG_SRC_BF16) {
		d = source == ENG_SRC_F16 ? eng_float_f16(value) : eng_float_bf16(value);
		memcpy(out, &d, 2);
		return;
	}
	for (uint32_t i = 0; i < bytes; i++)
		out[i] = (uint8_t)t_random(seed);
	klib_scales(source, &scale, &min);
	if (scale >= 0)
		memcpy(out + scale, &d, 2);
	else
		out[0] = (uint8_t)(115 + out[0] % 16);
	if (min >= 0)
		memcpy(out + min, &m, 2);
}

/* A random packed matrix; free with klib_free. */
static inline struct eng_matrix klib_matrix(uint32_t type, uint32_t rows, uint32_t cols,
					    uint64_t seed)
{
	const uint32_t source = klib_source(type), bytes = eng_source_block_bytes(source);
	const uint32_t blocks = cols / eng_source_block_values(source);
	const uint64_t panel_bytes = eng_panel_bytes(type, cols);
	uint8_t *data = klib_alloc(eng_packed_bytes(type, rows, cols));
	uint8_t *raw = klib_alloc((size_t)16 * blocks * bytes);
	struct eng_matrix m = { type, rows, cols, data };

	for (uint32_t first = 0; first < rows; first += 16) {
		const uint32_t count = rows - first < 16 ? rows - first : 16;
		const void *src[16];

		for (uint32_t i = 0; i < 16 * blocks; i++)
			klib_block(source, &seed, raw + (size_t)i * bytes);
		for (uint32_t i = 0; i < count; i++)
			src[i] = raw + (size_t)i * blocks * bytes;
		t_eq(eng_pack_panel(type, source, src, count, cols,
				    data + first / 16 * panel_bytes),
		     0);
	}
	free(raw);
	return m;
}

static inline void klib_free(struct eng_matrix *m)
{
	free((void *)(uintptr_t)m->data);
	m->data = NULL;
}

/* Random floats of mixed size, with some exact zeros. */
static inline float *klib_floats(size_t n, uint64_t seed)
{
	float *x = klib_alloc(n * sizeof(*x));

	for (size_t i = 0; i < n; i++) {
		uint64_t kind = t_random(&seed) % 16;

		x[i] = t_random_float(&seed) * (kind == 0 ? 0 : kind == 1 ? 30 : 1);
	}
	return x;
}

static inline struct eng_act klib_act(const struct eng_kernels *k, const float *x, uint32_t rows,
				      uint32_t cols)
{
	struct eng_act act = { klib_alloc(eng_act_bytes(rows, cols)), cols };

	memset(act.block, 0x5a, eng_act_bytes(rows, cols));
	k->quantize(&act, 0, rows, x, cols);
	return act;
}

#endif
