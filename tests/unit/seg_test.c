/* SPDX-License-Identifier: MIT */
#include "mhs_seg.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "t.h"

#define MIB		((size_t)1 << 20)
#define CONTROL_SEALS	(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define ARENA_SEALS	(CONTROL_SEALS | F_SEAL_WRITE)
#define SEAL_EXEC	0x0020	/* F_SEAL_EXEC, Linux 6.3 */

static int count_lines(const char *path)
{
	FILE *f = fopen(path, "r");
	int c, lines = 0;

	while (f && (c = fgetc(f)) != EOF)
		lines += c == '\n';
	if (f)
		fclose(f);
	return lines;
}

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count;
}

static int rw_map_errno(int fd, size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return errno;
	munmap(p, bytes);
	return 0;
}

static void names(void)
{
	t_str_eq(mhs_pages_name(MHS_PAGES_1G), "1G");
	t_str_eq(mhs_pages_name(MHS_PAGES_2M), "2M");
	t_str_eq(mhs_pages_name(MHS_PAGES_THP), "THP");
	t_str_eq(mhs_pages_name(MHS_PAGES_4K), "4K");
	t_str_eq(mhs_pages_name((enum mhs_pages)9), "?");
	t_eq(mhs_pages_bytes(MHS_PAGES_1G), 1024 * MIB);
	t_eq(mhs_pages_bytes(MHS_PAGES_2M), 2 * MIB);
	t_eq(mhs_pages_bytes(MHS_PAGES_THP), 2 * MIB);
	t_eq(mhs_pages_bytes(MHS_PAGES_4K), 4096);
}

static void control_segment(void)
{
	static const uint8_t zeros[8192];
	struct mhs_map rw, ro;
	struct stat st;
	int fd = mhs_seg_create("test", 4097);

	t_need(fd >= 0);
	t_need(fstat(fd, &st) == 0);
	t_eq(st.st_size, 8192);
	t_eq(st.st_mode & 0777, 0440);
	t_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	t_eq(mhs_seg_check_seals(fd, CONTROL_SEALS), 0);
	t_eq(mhs_seg_check_seals(fd, F_SEAL_WRITE), -EPERM);
	t_eq(ftruncate(fd, 4096), -1);
	t_eq(ftruncate(fd, 16384), -1);
	if (fcntl(fd, F_GET_SEALS) & SEAL_EXEC)
		t_eq(fchmod(fd, 0550), -1);
	t_need(mhs_seg_map_rw(fd, 4097, &rw) == 0);
	t_need(mhs_seg_map_ro(fd, 4097, 1, &ro) == 0);
	t_eq(rw.bytes, 8192);
	t_mem_eq(ro.addr, zeros, 8192);
	memset(rw.addr, 0x5a, 8192);
	t_mem_eq(ro.addr, rw.addr, 8192);
	mhs_seg_unmap(&rw);
	mhs_seg_unmap(&rw);
	t_ok(!rw.addr && !rw.bytes);
	mhs_seg_unmap(&ro);
	close(fd);
}

static void bad_sizes(void)
{
	struct mhs_map map;
	size_t got;
	int before = count_fds(), fd;

	t_eq(mhs_seg_create("test", 0), -EINVAL);
	t_eq(mhs_seg_create("test", SIZE_MAX), -EINVAL);
	t_eq(mhs_seg_create_arena("test", 0, MHS_PAGES_4K, &got), -EINVAL);
	t_eq(mhs_seg_create_arena("test", SIZE_MAX - 4096, MHS_PAGES_2M, &got), -EINVAL);
	t_eq(mhs_seg_create_arena("test", 4096, (enum mhs_pages)4, &got), -EINVAL);
	fd = mhs_seg_create("test", 4096);
	t_need(fd >= 0);
	t_eq(mhs_seg_map_ro(fd, 4097, 0, &map), -EINVAL);
	t_ok(!map.addr);
	t_eq(mhs_seg_map_rw(fd, 0, &map), -EINVAL);
	t_eq(mhs_seg_map_rw(fd, SIZE_MAX, &map), -EINVAL);
	close(fd);
	t_eq(mhs_seg_map_ro(-1, 4096, 0, &map), -EBADF);
	t_eq(count_fds(), before);
}

/* More than any machine has: a clean error on each rung, nothing left behind. */
static void too_large(void)
{
	int before = count_fds();
	size_t got;

	for (int pages = MHS_PAGES_1G; pages <= MHS_PAGES_4K; pages++) {
		int fd = mhs_seg_create_arena("test", (size_t)1 << 45, (enum mhs_pages)pages, &got);

		t_ok(fd == -ENOMEM || fd == -ENOSPC || fd == -EFBIG);
		if (fd >= 0)
			close(fd);
	}
	t_eq(count_fds(), before);
}

static void arena_sealed(void)
{
	size_t bytes = 0;
	struct mhs_map map;
	struct stat st;
	int fd = mhs_seg_create_arena("test", 3 * MIB + 1, MHS_PAGES_4K, &bytes);

	t_need(fd >= 0);
	t_eq(bytes, 3 * MIB + 4096);
	t_need(fstat(fd, &st) == 0);
	t_ok((size_t)st.st_blocks * 512 >= bytes);	/* all of it allocated */
	t_need(mhs_seg_map_rw(fd, bytes, &map) == 0);
	memset(map.addr, 7, bytes);
	t_eq(mhs_seg_seal_arena(fd), -EBUSY);
	t_eq(mhs_seg_check_seals(fd, F_SEAL_WRITE), -EPERM);
	mhs_seg_unmap(&map);
	t_eq(mhs_seg_seal_arena(fd), 0);
	t_eq(mhs_seg_check_seals(fd, ARENA_SEALS), 0);
	t_eq(rw_map_errno(fd, bytes), EPERM);
	t_eq(pwrite(fd, "x", 1, 0), -1);
	t_eq(ftruncate(fd, 0), -1);
	t_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
	t_need(mhs_seg_map_ro(fd, bytes, 1, &map) == 0);
	t_eq(mprotect(map.addr, 4096, PROT_READ | PROT_WRITE), -1);
	t_eq(((uint8_t *)map.addr)[bytes - 1], 7);
	mhs_seg_unmap(&map);
	close(fd);
}

static void seals_of_others(void)
{
	int pipes[2];

	t_need(pipe(pipes) == 0);
	t_eq(mhs_seg_check_seals(pipes[0], F_SEAL_SHRINK), -EINVAL);
	t_ok(mhs_seg_seal_arena(pipes[1]) < 0);
	t_eq(mhs_seg_check_seals(-1, F_SEAL_SHRINK), -EBADF);
	close(pipes[0]);
	close(pipes[1]);
}

static void reopened_read_only(void)
{
	struct mhs_map map;
	int fd = mhs_seg_create("test", 4096), ro;

	t_need(fd >= 0);
	ro = mhs_seg_reopen_ro(fd);
	t_need(ro >= 0);
	t_eq(fcntl(ro, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	t_eq(mhs_seg_map_rw(ro, 4096, &map), -EACCES);
	t_ok(!map.addr);
	t_eq(mhs_seg_map_ro(ro, 4096, 0, &map), 0);
	mhs_seg_unmap(&map);
	t_eq(mhs_seg_check_seals(ro, CONTROL_SEALS), 0);
	close(ro);
	close(fd);
	t_eq(mhs_seg_reopen_ro(-1), -ENOENT);
}

/* Large segments start where a large page may, and nothing of the search for room stays mapped. */
static void alignment(void)
{
	int before, fds = count_fds();
	struct mhs_map maps[8];
	size_t bytes = 0;
	int fd;

	fd = mhs_seg_create_arena("test", 2 * MIB + 4096, MHS_PAGES_4K, &bytes);
	t_need(fd >= 0);
	before = count_lines("/proc/self/maps");
	for (int i = 0; i < 8; i++) {
		t_need(mhs_seg_map_ro(fd, bytes, 0, &maps[i]) == 0);
		t_eq((uintptr_t)maps[i].addr % (2 * MIB), 0);
		t_eq(maps[i].bytes, bytes);
	}
	for (int i = 0; i < 8; i++)
		mhs_seg_unmap(&maps[i]);
	t_eq(count_lines("/proc/self/maps"), before);
	close(fd);
	t_eq(count_fds(), fds);
}

static void rung(enum mhs_pages pages)
{
	size_t bytes = 0, want = pages == MHS_PAGES_1G ? MIB : 5 * MIB;
	int64_t huge;
	struct mhs_map map;
	int fd = mhs_seg_create_arena("test", want, pages, &bytes);

	if (fd == -ENOMEM || fd == -ENOSPC) {
		t_skip("no free pages on this rung");
		return;
	}
	t_need(fd >= 0);
	if (pages == MHS_PAGES_THP)	/* may end in small pages */
		t_eq(bytes, want);
	else
		t_eq(bytes, (want + mhs_pages_bytes(pages) - 1) & ~(mhs_pages_bytes(pages) - 1));
	t_need(mhs_seg_map_rw(fd, bytes, &map) == 0);
	memset(map.addr, 1, bytes);
	mhs_seg_unmap(&map);
	t_eq(mhs_seg_seal_arena(fd), 0);
	t_need(mhs_seg_map_ro(fd, want, 1, &map) == 0);
	t_ok(map.bytes >= want && map.bytes <= bytes);
	t_eq((uintptr_t)map.addr % mhs_pages_bytes(pages), 0);
	huge = mhs_seg_huge_bytes(&map);
	printf("# rung %s: %lld of %zu bytes on large pages\n", mhs_pages_name(pages),
	       (long long)huge, map.bytes);
	t_ok(huge >= 0 && (size_t)huge <= bytes && huge % (int64_t)(2 * MIB) == 0);
	if (pages <= MHS_PAGES_2M)
		t_eq(huge, bytes);
	if (pages == MHS_PAGES_4K)
		t_eq(huge, 0);
	mhs_seg_unmap(&map);
	close(fd);
}

static void rung_1g(void) { rung(MHS_PAGES_1G); }
static void rung_2m(void) { rung(MHS_PAGES_2M); }
static void rung_thp(void) { rung(MHS_PAGES_THP); }
static void rung_4k(void) { rung(MHS_PAGES_4K); }

/* Reserved by mapping, made range by range; only for the two hugetlb rungs. */
static void arena_in_steps(void)
{
	struct mhs_map map;
	size_t bytes = 0;
	int fd;

	t_eq(mhs_seg_open_arena("test", MIB, MHS_PAGES_THP, &bytes), -EINVAL);
	fd = mhs_seg_open_arena("test", MIB + 1, MHS_PAGES_4K, &bytes);
	t_need(fd >= 0);
	t_eq(bytes, MIB + 4096);
	close(fd);
	fd = mhs_seg_open_arena("test", 3 * MIB, MHS_PAGES_2M, &bytes);
	if (fd == -ENOMEM) {
		t_skip("no pages of 2 MiB on this kernel");
		return;
	}
	t_need(fd >= 0);
	t_eq(bytes, 4 * MIB);
	if (mhs_seg_map_rw(fd, bytes, &map)) {
		t_ok(!map.addr);
		t_skip("no free pages of 2 MiB");
	} else {
		t_eq(mhs_seg_allocate(fd, 0, 2 * MIB), 0);
		memset(map.addr, 1, 2 * MIB);
		t_eq(mhs_seg_allocate(fd, 2 * MIB, 2 * MIB), 0);
		memset(map.addr, 2, bytes);
		mhs_seg_unmap(&map);
		t_eq(mhs_seg_seal_arena(fd), 0);
	}
	close(fd);
}

int main(void)
{
	T_RUN(names);
	T_RUN(control_segment);
	T_RUN(bad_sizes);
	T_RUN(too_large);
	T_RUN(arena_sealed);
	T_RUN(seals_of_others);
	T_RUN(reopened_read_only);
	T_RUN(alignment);
	T_RUN(rung_1g);
	T_RUN(rung_2m);
	T_RUN(rung_thp);
	T_RUN(rung_4k);
	T_RUN(arena_in_steps);
	return t_done();
}
