/* SPDX-License-Identifier: MIT */
/* eng_unroll.h: loops with constant bounds must vanish, or their arrays would live in memory. */
#ifndef ENG_UNROLL_H
#define ENG_UNROLL_H

#ifdef __clang__
#define ENG_UNROLL	_Pragma("clang loop unroll(full)")
#else
#define ENG_UNROLL	_Pragma("GCC unroll 16")
#endif

/* Checked builds get small tiles: the large ones would take them minutes to compile. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ENG_CHECKED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ENG_CHECKED
#endif
#endif

#define ENG_INLINE	static inline __attribute__((always_inline))

#endif
