/* SPDX-License-Identifier: MIT */
/* eng_k_amx.c: AMX-INT8 for prompts; all else is the AVX-512 table's. */
#include <immintrin.h>
#include <math.h>

#include "eng_model.h"
#include "eng_tables.h"
#include "eng_tmm.h"

#include "eng_bits_avx512.h"
#include "eng_lanes_avx512.h"

ENG_INLINE void unpack_type(uint32_t type, const uint8_t *weights, int8_t *q)
{
	const __m512i offset = _mm512_set1_epi8((char)unsigned_offset(type));
	__m512i w[8];

	load_weights(type, weights, w);
	ENG_UNROLL
	for (int i = 0; i < 8; i++)
		_mm512_store_si512(q + 64 * i, _mm512_sub_epi8(w[i], offset));
}

/* Weights of less than 8 bits; types of as many bits and the same offset are alike. */
static void unpack_weights(uint32_t type, const uint8_t *weights, int8_t *q)
{
	switch (type) {
	case ENG_Q4:
		unpack_type(ENG_Q4, weights, q);
		break;
	case ENG_Q4M:
	case ENG_Q4K:
		unpack_type(ENG_Q4M, weights, q);
		break;
	case ENG_Q5:
		unpack_type(ENG_Q5, weights, q);
		break;
	case ENG_Q5M:
	case ENG_Q5K:
		unpack_type(ENG_Q5M, weights, q);
		break;
	case ENG_Q6K:
		unpack_type(ENG_Q6K, weights, q);
		break;
	case ENG_Q3K:
		unpack_type(ENG_Q3K, weights, q);
		break;
	case ENG_N4:
	case ENG_N4K:
		unpack_type(ENG_N4, weights, q);
		break;
	case ENG_E4:
		unpack_type(ENG_E4, weights, q);
		break;
	}
}

/* The compiler's tile loads do not say that they read memory. */
#define tmm_load(tile, base, stride)				\
	do {							\
		__asm__ volatile("" ::: "memory");		\
		_tile_loadd(tile, base, stride);		\
	} while (0)
#define tmm_store(tile, base, stride)				\
	do {							\
		_tile_stored(tile, base, stride);		\
		__asm__ volatile("" ::: "memory");		\
	} while (0)
#define tmm_zero(tile)		_tile_zero(tile)
#define tmm_dot(sum, a, b)	_tile_dpbssd(sum, a, b)
#define tmm_start(config)	_tile_loadconfig(config)
#define tmm_end()		_tile_release()

#include "eng_amx_impl.h"

void eng_amx_matmul_q(const struct eng_matrix *m, uint32_t first_panel, uint32_t panel_count,
		      const struct eng_act *act, uint32_t row_count, float *out, size_t out_stride)
{
	const uint32_t done =
		amx_rows(m, first_panel, panel_count, act, row_count, out, out_stride);
	const struct eng_act rest = eng_act_from(act, done);

	if (done < row_count)
		eng_kernels_avx512.matmul_q(m, first_panel, panel_count, &rest, row_count - done,
					    out + done * out_stride, out_stride);
}
