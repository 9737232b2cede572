/* SPDX-License-Identifier: MIT */
/* eng_tables.h: the tables behind eng_kernels_get(); only the generic one is for any CPU. */
#ifndef ENG_TABLES_H
#define ENG_TABLES_H

#include "eng_kernels.h"

extern const struct eng_kernels eng_kernels_generic;
#ifdef __x86_64__
extern const struct eng_kernels eng_kernels_avx2;
extern const struct eng_kernels eng_kernels_avx512;
/* In the AVX-512 table's place for matmul_q; only with the kernel's leave to use tiles. */
void eng_amx_matmul_q(const struct eng_matrix *m, uint32_t first_panel, uint32_t panel_count,
		      const struct eng_act *act, uint32_t row_count, float *out,
		      size_t out_stride);
#endif

#endif
