/* SPDX-License-Identifier: MIT */
#include "t.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int passed, failed, skipped;
static int case_failed, case_skipped;
static char tmpdir[64];

void t_run(const char *name, void (*fn)(void))
{
	case_failed = case_skipped = 0;
	fn();
	if (case_failed)
		failed++;
	else if (case_skipped)
		skipped++;
	else
		passed++;
	printf("%s %s\n", case_failed ? "not ok" : case_skipped ? "skip" : "ok", name);
	fflush(stdout);
}

void t_skip(const char *reason)
{
	printf("# skipped: %s\n", reason);
	case_skipped = 1;
}

int t_done(void)
{
	printf("# %d passed, %d failed, %d skipped\n", passed, failed, skipped);
	if (failed)
		return 1;
	return passed ? 0 : 77;
}

int t_check(int cond, const char *file, int line, const char *text)
{
	if (!cond) {
		printf("# %s:%d: %s\n", file, line, text);
		case_failed = 1;
	}
	return cond;
}

int t_check_eq(long long a, long long b, const char *file, int line, const char *text)
{
	if (a != b)
		printf("# %lld != %lld\n", a, b);
	return t_check(a == b, file, line, text);
}

int t_check_str(const char *a, const char *b, const char *file, int line, const char *text)
{
	int same = a && b && strcmp(a, b) == 0;

	if (!same)
		printf("# \"%s\" != \"%s\"\n", a ? a : "(null)", b ? b : "(null)");
	return t_check(same, file, line, text);
}

int t_check_mem(const void *a, const void *b, size_t n, const char *file, int line,
		const char *text)
{
	return t_check(memcmp(a, b, n) == 0, file, line, text);
}

int t_check_near(double a, double b, double tol, const char *file, int line, const char *text)
{
	int near = fabs(a - b) <= tol;	/* false for NaN */

	if (!near)
		printf("# %.9g against %.9g, tolerance %.3g\n", a, b, tol);
	return t_check(near, file, line, text);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

static void remove_tmpdir(void)
{
	nftw(tmpdir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *t_tmpdir(void)
{
	if (tmpdir[0])
		return tmpdir;
	strcpy(tmpdir, "/tmp/mhost-test-XXXXXX");
	if (!mkdtemp(tmpdir)) {
		perror("mkdtemp");
		exit(1);
	}
	atexit(remove_tmpdir);
	return tmpdir;
}

const char *t_path(const char *name)
{
	static char paths[8][256];
	static unsigned int next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", t_tmpdir(), name);
	return path;
}

void t_write_file(const char *path, const void *data, size_t bytes)
{
	FILE *f = fopen(path, "wb");

	if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f)) {
		perror(path);
		exit(1);
	}
}

uint64_t t_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

float t_random_float(uint64_t *state)
{
	return (float)(t_random(state) >> 40) / (float)(1 << 23) - 1.0f;
}
