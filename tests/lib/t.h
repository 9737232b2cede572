/* SPDX-License-Identifier: MIT */
/*
 * t.h: the whole test library. A test program is a main() that calls T_RUN(function) for each case
 * and returns t_done(). Exit status: 0 all passed, 1 some failed, 77 skipped as a whole.
 */
#ifndef T_H
#define T_H

#include <stddef.h>
#include <stdint.h>

#define T_RUN(fn)		t_run(#fn, fn)
#define t_ok(cond)		t_check(!!(cond), __FILE__, __LINE__, #cond)
#define t_eq(a, b)		t_check_eq((long long)(a), (long long)(b), __FILE__, __LINE__, #a " == " #b)
#define t_str_eq(a, b)		t_check_str((a), (b), __FILE__, __LINE__, #a " == " #b)
#define t_mem_eq(a, b, n)	t_check_mem((a), (b), (n), __FILE__, __LINE__, #a " == " #b)
#define t_near(a, b, tol)	t_check_near((a), (b), (tol), __FILE__, __LINE__, #a " ~ " #b)
/* Stop the present case at once when a condition fails. */
#define t_need(cond)		do { if (!t_ok(cond)) return; } while (0)

void t_run(const char *name, void (*fn)(void));
void t_skip(const char *reason);		/* the present case counts as skipped */
int t_done(void);				/* prints the tally; value for main() */
int t_check(int cond, const char *file, int line, const char *text);
int t_check_eq(long long a, long long b, const char *file, int line, const char *text);
int t_check_str(const char *a, const char *b, const char *file, int line, const char *text);
int t_check_mem(const void *a, const void *b, size_t n, const char *file, int line,
		const char *text);
int t_check_near(double a, double b, double tol, const char *file, int line, const char *text);

/* A fresh directory, removed with all its content at exit. Never NULL (exits instead). */
const char *t_tmpdir(void);
/* Path inside t_tmpdir(); eight static buffers in turn. */
const char *t_path(const char *name);
void t_write_file(const char *path, const void *data, size_t bytes);
/* Small fast deterministic generator for test data (splitmix64). */
uint64_t t_random(uint64_t *state);
float t_random_float(uint64_t *state);		/* uniform in [-1, 1) */

#endif
