/* SPDX-License-Identifier: MIT */
#include "mhs_seg.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Newer than some C libraries that mhost builds with. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL		0x0008U
#endif
#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB		(21U << 26)
#endif
#ifndef MFD_HUGE_1GB
#define MFD_HUGE_1GB		(30U << 26)
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif

#define SMALL_BYTES	((size_t)4096)
#define LARGE_BYTES	((size_t)2 << 20)
#define GIANT_BYTES	((size_t)1 << 30)
#define SEG_MODE	0440	/* a read-only descriptor cannot be reopened for writing */

const char *mhs_pages_name(enum mhs_pages pages)
{
	static const char *const names[] = { "1G", "2M", "THP", "4K" };

	return (unsigned int)pages <= MHS_PAGES_4K ? names[pages] : "?";
}

size_t mhs_pages_bytes(enum mhs_pages pages)
{
	static const size_t sizes[] = { GIANT_BYTES, LARGE_BYTES, LARGE_BYTES, SMALL_BYTES };

	return (unsigned int)pages <= MHS_PAGES_4K ? sizes[pages] : SMALL_BYTES;
}

/* @bytes rounded up to @unit (a power of two), 0 when that does not fit an off_t. */
static size_t round_up(size_t bytes, size_t unit)
{
	size_t max = (size_t)INT64_MAX & ~(unit - 1);

	return bytes > max ? 0 : (bytes + unit - 1) & ~(unit - 1);
}

static int memfd_open(const char *name, unsigned int flags)
{
	int fd = memfd_create(name, flags | MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)	/* kernel before 6.3 */
		fd = memfd_create(name, flags | MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd < 0 ? -errno : fd;
}

static int close_with(int fd, int err)
{
	close(fd);
	return err;
}

int mhs_seg_allocate(int fd, uint64_t offset_bytes, uint64_t bytes)
{
	int err;

	do {
		err = fallocate(fd, 0, (off_t)offset_bytes, (off_t)bytes) ? -errno : 0;
	} while (err == -EINTR);
	return err;
}

int mhs_seg_create(const char *name, size_t bytes)
{
	size_t seg_bytes = round_up(bytes, SMALL_BYTES);
	int fd, err;

	if (seg_bytes == 0)
		return -EINVAL;
	fd = memfd_open(name, 0);
	if (fd < 0)
		return fd;
	if (ftruncate(fd, (off_t)seg_bytes) || fchmod(fd, SEG_MODE))
		return close_with(fd, -errno);
	err = mhs_seg_allocate(fd, 0, seg_bytes);
	if (err)
		return close_with(fd, err);
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return close_with(fd, -errno);
	return fd;
}

/* MemAvailable in bytes, or SIZE_MAX when the kernel does not say. */
static size_t memory_available(void)
{
	char text[1024], *line;
	ssize_t n;
	int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return SIZE_MAX;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return SIZE_MAX;
	text[n] = '\0';
	line = strstr(text, "MemAvailable:");
	if (!line)
		return SIZE_MAX;
	return (size_t)strtoull(line + strlen("MemAvailable:"), NULL, 10) * 1024;
}

/*
 * Have the pages of a THP arena allocated as large ones where the kernel allows. Best effort: what
 * it refuses stays 4 KiB, and mhs_seg_huge_bytes() tells.
 */
static void prefer_large(int fd, size_t seg_bytes)
{
	struct mhs_map map;

	if (mhs_seg_map_rw(fd, seg_bytes, &map))
		return;
	madvise(map.addr, seg_bytes, MADV_HUGEPAGE);
	if (madvise(map.addr, seg_bytes, MADV_POPULATE_WRITE) == 0 &&
	    mhs_seg_huge_bytes(&map) < (int64_t)seg_bytes)
		madvise(map.addr, seg_bytes, MADV_COLLAPSE);
	mhs_seg_unmap(&map);
}

/* An arena's file on rung @pages, with its length but no page yet. */
static int arena_open(const char *name, size_t bytes, enum mhs_pages pages, size_t *seg_bytes)
{
	static const unsigned int flags[] = {
		MFD_HUGETLB | MFD_HUGE_1GB, MFD_HUGETLB | MFD_HUGE_2MB, 0, 0
	};
	size_t total;
	int fd;

	if ((unsigned int)pages > MHS_PAGES_4K)
		return -EINVAL;
	/* a THP arena may end in small pages */
	total = round_up(bytes, pages == MHS_PAGES_THP ? SMALL_BYTES : mhs_pages_bytes(pages));
	if (total == 0)
		return -EINVAL;
	fd = memfd_open(name, flags[pages]);
	if (fd < 0)
		return fd == -ENOENT || fd == -ENODEV ? -ENOMEM : fd;	/* no such page size */
	if (ftruncate(fd, (off_t)total) || fchmod(fd, SEG_MODE))
		return close_with(fd, -errno);
	*seg_bytes = total;
	return fd;
}

int mhs_seg_open_arena(const char *name, size_t bytes, enum mhs_pages pages, size_t *seg_bytes)
{
	int fd;

	if (pages == MHS_PAGES_THP)
		return -EINVAL;
	fd = arena_open(name, bytes, pages, seg_bytes);
	/* A pool refuses by itself; plain memory would wake the out-of-memory killer. */
	if (fd >= 0 && pages == MHS_PAGES_4K && *seg_bytes > memory_available())
		return close_with(fd, -ENOMEM);
	return fd;
}

int mhs_seg_create_arena(const char *name, size_t bytes, enum mhs_pages pages, size_t *seg_bytes)
{
	bool huge = pages == MHS_PAGES_1G || pages == MHS_PAGES_2M;
	size_t total = 0;
	int fd = arena_open(name, bytes, pages, &total), err;

	if (fd < 0)
		return fd;
	if (!huge && total > memory_available())
		return close_with(fd, -ENOMEM);
	if (pages == MHS_PAGES_THP)
		prefer_large(fd, total);
	err = mhs_seg_allocate(fd, 0, total);
	if (err)
		return close_with(fd, err);
	*seg_bytes = total;
	return fd;
}

int mhs_seg_seal_arena(int fd)
{
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -errno;
	return 0;
}

int mhs_seg_check_seals(int fd, unsigned int seals)
{
	int have = fcntl(fd, F_GET_SEALS);

	if (have < 0)
		return -errno;
	return ((unsigned int)have & seals) == seals ? 0 : -EPERM;
}

int mhs_seg_reopen_ro(int fd)
{
	char path[32];
	int ro;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	return ro < 0 ? -errno : ro;
}

/*
 * An address range of @bytes that starts at a multiple of @align, nothing mapped in it; large pages
 * can be mapped whole only there.
 */
static int range_reserve(size_t bytes, size_t align, void **addr)
{
	size_t slack = align - SMALL_BYTES;
	uint8_t *raw, *start;
	size_t before;

	if (bytes > SIZE_MAX - slack)
		return -ENOMEM;
	raw = mmap(NULL, bytes + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		   0);
	if (raw == MAP_FAILED)
		return -errno;
	before = (align - ((uintptr_t)raw & (align - 1))) & (align - 1);
	start = raw + before;
	if (before)
		munmap(raw, before);
	if (slack > before)
		munmap(start + bytes, slack - before);
	*addr = start;
	return 0;
}

/* The page size of the segment, and that it is long enough: a touch past its end is a SIGBUS. */
static int seg_measure(int fd, size_t bytes, size_t *unit, size_t *map_bytes)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) || fstatfs(fd, &fs))
		return -errno;
	*unit = fs.f_type == HUGETLBFS_MAGIC ? (size_t)fs.f_bsize : SMALL_BYTES;
	*map_bytes = round_up(bytes, *unit);
	if (*map_bytes == 0 || st.st_size < 0 || *map_bytes > (size_t)st.st_size)
		return -EINVAL;
	return 0;
}

static int seg_map(int fd, size_t bytes, int prot, int flags, struct mhs_map *map)
{
	size_t unit, map_bytes, align;
	void *addr = NULL, *at;
	int err;

	*map = (struct mhs_map){ NULL, 0 };
	err = seg_measure(fd, bytes, &unit, &map_bytes);
	if (err)
		return err;
	align = map_bytes >= LARGE_BYTES && unit < LARGE_BYTES ? LARGE_BYTES : unit;
	err = range_reserve(map_bytes, align, &addr);
	if (err)
		return err;
	at = mmap(addr, map_bytes, prot, MAP_SHARED | MAP_FIXED | flags, fd, 0);
	if (at == MAP_FAILED) {
		err = -errno;
		munmap(addr, map_bytes);
		return err;
	}
	*map = (struct mhs_map){ at, map_bytes };
	return 0;
}

int mhs_seg_map_ro(int fd, size_t bytes, int populate, struct mhs_map *map)
{
	return seg_map(fd, bytes, PROT_READ, populate ? MAP_POPULATE : 0, map);
}

int mhs_seg_map_rw(int fd, size_t bytes, struct mhs_map *map)
{
	return seg_map(fd, bytes, PROT_READ | PROT_WRITE, 0, map);
}

void mhs_seg_unmap(struct mhs_map *map)
{
	if (map->addr)
		munmap(map->addr, map->bytes);
	*map = (struct mhs_map){ NULL, 0 };
}

/* kB of a line of smaps that counts large pages, else 0. */
static int64_t smaps_huge_kb(const char *line)
{
	static const char *const names[] = {
		"AnonHugePages:", "ShmemPmdMapped:", "FilePmdMapped:", "Shared_Hugetlb:",
		"Private_Hugetlb:"
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(line, names[i], strlen(names[i])) == 0)
			return (int64_t)strtoll(line + strlen(names[i]), NULL, 10);
	return 0;
}

struct smaps_scan {
	uintptr_t start, end;	/* the mapping asked for */
	bool inside;		/* the lines now read belong to it */
	int64_t kb;
};

static void smaps_line(struct smaps_scan *scan, const char *line)
{
	unsigned long start, end;

	if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
		scan->inside = start < scan->end && end > scan->start;
	else if (scan->inside)
		scan->kb += smaps_huge_kb(line);
}

int64_t mhs_seg_huge_bytes(const struct mhs_map *map)
{
	uintptr_t start = (uintptr_t)map->addr;
	struct smaps_scan scan = { start, start + map->bytes, false, 0 };
	char text[4096];
	size_t have = 0;
	ssize_t n;
	int fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	while ((n = read(fd, text + have, sizeof(text) - 1 - have)) > 0) {
		char *line = text, *end;

		have += (size_t)n;
		text[have] = '\0';
		while ((end = strchr(line, '\n'))) {
			*end = '\0';
			smaps_line(&scan, line);
			line = end + 1;
		}
		have -= (size_t)(line - text);
		memmove(text, line, have);
		if (have == sizeof(text) - 1)	/* a path longer than the buffer: drop it */
			have = 0;
	}
	close(fd);
	return n < 0 ? -EIO : scan.kb * 1024;
}
