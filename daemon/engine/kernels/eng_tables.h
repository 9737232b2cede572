/* SPDX-License-Identifier: MIT */
/* eng_tables.h: the tables behind eng_kernels_get(); only the generic one is for any CPU. */
#ifndef ENG_TABLES_H
#define ENG_TABLES_H

#include "eng_kernels.h"

extern const struct eng_kernels eng_kernels_generic;
#ifdef __x86_64__
extern const struct eng_kernels eng_kernels_avx2;
extern const struct eng_kernels eng_kernels_avx512;
#endif

#endif
