/* SPDX-License-Identifier: MIT */
/* sup_arena_small.c: tables of packed images, and adapters: many, small, often in the page cache. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "sup_arena_priv.h"
#include "sup_load.h"
#include "sup_place.h"

/*
 * Through the kernel, from the page cache: each page comes by one copy, without a fault and without
 * being cleared first. Some file systems cannot; those are read and written.
 */
static int small_copy(struct sup_load *load, int from, int to, uint64_t bytes)
{
	char block[65536];
	off_t at = 0;
	ssize_t n = 1;

	while (n > 0 && (uint64_t)at < bytes) {
		n = sendfile(to, from, &at, bytes - (uint64_t)at);
		if (n < 0 && errno == EINTR)
			n = 1;
	}
	while ((uint64_t)at < bytes && n) {
		n = pread(from, block, sizeof(block), at);
		if (n > 0 && pwrite(to, block, (size_t)n, at) != n)
			n = -1;
		if (n <= 0)
			break;
		at += n;
	}
	load->read_bytes += (uint64_t)at;
	if ((uint64_t)at >= bytes)
		return 0;
	n = n < 0 ? -errno : 0;
	sup_read_fail((uint64_t)at, (int)n, &load->error);
	return n ? (int)n : -EIO;
}

/* On pages of 4 KiB. */
static int small_fill(struct sup_load *load, int from, const char *name, struct sup_arenas *arenas,
		      size_t *seg_bytes)
{
	int fd = mhs_seg_open_arena(name, arenas->file_bytes, MHS_PAGES_4K, seg_bytes), err;

	if (fd < 0) {
		sto_fail(&load->error, "%llu KiB of memory: %s; unload a version first",
			 (unsigned long long)(arenas->file_bytes >> 10), strerror(-fd));
		return fd;
	}
	err = small_copy(load, from, fd, arenas->file_bytes);
	if (err)
		close(fd);
	return err ? err : fd;
}

/* On large ones, if there are any: half the work, and fewer misses for those who read it. */
static int large_fill(struct sup_load *load, int from, const char *name, struct sup_arenas *arenas,
		      size_t *seg_bytes)
{
	struct sup_pages pages;
	int err = sup_pages_small(name, arenas->file_bytes, load->hugepages, &pages);

	if (err)
		return err;
	err = sup_head_read(load, from, arenas->file_bytes, pages.map.addr);
	*seg_bytes = pages.seg_bytes;
	sup_pages_finish(&pages);
	arenas->rung = MHS_PAGES_2M;
	if (err)
		close(pages.fd);
	return err ? err : pages.fd;
}

int sup_arenas_small(struct sup_load *load, int fd, uint64_t file_bytes,
		     int (*check)(struct sup_load *load, const void *base), struct sup_arenas *arenas)
{
	char name[192];
	size_t seg_bytes = 0;
	int memory = -1;

	*arenas = (struct sup_arenas){ .file_bytes = file_bytes, .rung = MHS_PAGES_4K,
				       .method = SUP_METHOD_BUFFERED };
	snprintf(name, sizeof(name), "mhost:%s%s%s@%s", load->model, load->adapter[0] ? "/" : "",
		 load->adapter, load->version);
	if (load->adapter[0])
		memory = large_fill(load, fd, name, arenas, &seg_bytes);
	if (memory < 0)
		memory = small_fill(load, fd, name, arenas, &seg_bytes);
	if (memory < 0)
		return memory;
	return sup_arena_finish(load, memory, (struct sup_arena){ -1, SUP_NODE_ANY, seg_bytes }, check, arenas);
}

int sup_arenas_take(struct sup_load *load, int fd, uint64_t seg_bytes,
		    int (*check)(struct sup_load *load, const void *base), struct sup_arenas *arenas)
{
	bool large = seg_bytes % mhs_pages_bytes(MHS_PAGES_2M) == 0;

	*arenas = (struct sup_arenas){ .file_bytes = load->header.image_bytes,
				       .rung = large ? MHS_PAGES_2M : MHS_PAGES_4K,
				       .method = SUP_METHOD_BUFFERED };
	return sup_arena_keep(load, fd, (struct sup_arena){ -1, SUP_NODE_ANY, seg_bytes }, check, arenas);
}
