/* SPDX-License-Identifier: MIT */
/*
 * mhs_seg.h: create, seal, map and unmap shared segments (memfd, hugetlb memfd).
 * Returns 0 or negative errno; never logs, never allocates from the heap.
 */
#ifndef MHS_SEG_H
#define MHS_SEG_H

#include <stddef.h>
#include <stdint.h>

/* The page ladder, best first. MHS_PAGES_4K is what every machine has. */
enum mhs_pages { MHS_PAGES_1G = 0, MHS_PAGES_2M = 1, MHS_PAGES_THP = 2, MHS_PAGES_4K = 3 };

struct mhs_map {
	void *addr;		/* NULL: not mapped */
	size_t bytes;		/* length of the mapping, a multiple of the page size */
};

const char *mhs_pages_name(enum mhs_pages pages);	/* "1G", "2M", "THP", "4K" */
size_t mhs_pages_bytes(enum mhs_pages pages);		/* 1 GiB, 2 MiB, 2 MiB, 4 KiB */

/*
 * Create a control segment: 4 KiB pages, @bytes long, all zero, sealed against resize
 * (SHRINK|GROW|SEAL), close-on-exec, not executable. Returns a descriptor or negative errno.
 */
int mhs_seg_create(const char *name, size_t bytes);

/*
 * Create an arena segment of at least @bytes on rung @pages, fully allocated before return, so a
 * later touch never raises SIGBUS. *@seg_bytes gets the rounded length. Not sealed yet.
 * MHS_PAGES_THP is a wish: what the kernel gave shows in mhs_seg_huge_bytes() once mapped.
 * Returns a descriptor; -ENOMEM or -ENOSPC when the rung has too few pages (THP and 4K: less than
 * MemAvailable) or the machine has no such page size; negative errno.
 */
int mhs_seg_create_arena(const char *name, size_t bytes, enum mhs_pages pages, size_t *seg_bytes);

/*
 * The same in steps, for who wants to use the first pages while later ones are still being cleared.
 * MHS_PAGES_1G and MHS_PAGES_2M: mhs_seg_map_rw() then reserves every page (-ENOMEM when the
 * pool is too small), and mhs_seg_allocate() makes those of one range. No page may be touched
 * before that. MHS_PAGES_4K: for who writes all of it, write(2) brings the pages. Not THP.
 */
int mhs_seg_open_arena(const char *name, size_t bytes, enum mhs_pages pages, size_t *seg_bytes);
int mhs_seg_allocate(int fd, uint64_t offset_bytes, uint64_t bytes);

/*
 * Seal an arena for ever: WRITE|SHRINK|GROW|SEAL. The caller has unregistered io_uring buffers and
 * unmapped writable views before (else -EBUSY).
 */
int mhs_seg_seal_arena(int fd);

/* 0 when @fd carries at least the seals given (F_SEAL_*), -EPERM when not, negative errno. */
int mhs_seg_check_seals(int fd, unsigned int seals);

/* Reopen read-only through /proc/self/fd, for descriptors that are sent to others. */
int mhs_seg_reopen_ro(int fd);

/*
 * Map whole pages of @fd, shared; from 2 MiB on, at an address that large pages fit. @populate
 * faults all pages in now. -EINVAL when the segment is shorter than @bytes, negative errno.
 */
int mhs_seg_map_ro(int fd, size_t bytes, int populate, struct mhs_map *map);
int mhs_seg_map_rw(int fd, size_t bytes, struct mhs_map *map);
void mhs_seg_unmap(struct mhs_map *map);	/* clears *map; harmless when not mapped */

/*
 * Bytes of a mapping that pages of 2 MiB or more back now, so far as this mapping has faulted them
 * in; negative errno. Reads /proc/self/smaps: not for hot paths.
 */
int64_t mhs_seg_huge_bytes(const struct mhs_map *map);

#endif
