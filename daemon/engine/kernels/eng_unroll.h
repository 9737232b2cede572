/* SPDX-License-Identifier: MIT */
/* eng_unroll.h: loops with constant bounds must vanish, or their arrays would live in memory. */
#ifndef ENG_UNROLL_H
#define ENG_UNROLL_H

#ifdef __clang__
#define ENG_UNROLL	_Pragma("clang loop unroll(full)")
#else
#define ENG_UNROLL	_Pragma("GCC unroll 16")
#endif

#define ENG_INLINE	static inline __attribute__((always_inline))

#endif
