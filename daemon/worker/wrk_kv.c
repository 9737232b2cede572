/* SPDX-License-Identifier: MIT */
/*
 * wrk_kv.c: KV pages. One pool per page size; pages come from slabs of anonymous memory that are touched
 * only when used. A pool's free slabs go back when another pool needs room under limits.kv_bytes.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "wrk.h"

#define SLAB_BYTES	(UINT64_C(8) << 20)

struct slab {
	struct slab *next;
	uint8_t *memory;
	size_t bytes;
	uint32_t page_count, used_count;
	uint32_t free_count;
	uint32_t free[];		/* stack of free page numbers, [page_count] */
};

struct wrk_pool {
	struct wrk_pool *next;
	struct wrk *w;
	size_t page_bytes;
	uint64_t free_count;
	struct slab *slabs;
};

struct wrk_pool *wrk_pool_get(struct wrk *w, size_t page_bytes)
{
	struct wrk_pool *pool;

	for (pool = w->pools; pool; pool = pool->next)
		if (pool->page_bytes == page_bytes)
			return pool;
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return NULL;
	pool->w = w;
	pool->page_bytes = page_bytes;
	pool->next = w->pools;
	w->pools = pool;
	return pool;
}

static uint32_t slab_pages(const struct wrk_pool *pool)
{
	uint64_t n = SLAB_BYTES / pool->page_bytes;

	return n ? (uint32_t)n : 1;
}

static int slab_add(struct wrk *w, struct wrk_pool *pool)
{
	uint32_t n = slab_pages(pool);
	struct slab *slab = malloc(sizeof(*slab) + n * sizeof(slab->free[0]));

	if (!slab)
		return -ENOMEM;
	slab->bytes = n * pool->page_bytes;
	slab->memory = mmap(NULL, slab->bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (slab->memory == MAP_FAILED) {
		free(slab);
		return -ENOMEM;
	}
	madvise(slab->memory, slab->bytes, MADV_HUGEPAGE);
	slab->page_count = slab->free_count = n;
	slab->used_count = 0;
	for (uint32_t i = 0; i < n; i++)
		slab->free[i] = n - 1 - i;
	slab->next = pool->slabs;
	pool->slabs = slab;
	pool->free_count += n;
	w->kv_bytes_used += slab->bytes;
	return 0;
}

/* Give wholly free slabs of every pool but @keep back to the kernel. */
static void slabs_trim(struct wrk *w, const struct wrk_pool *keep)
{
	for (struct wrk_pool *pool = w->pools; pool; pool = pool->next) {
		struct slab **at = &pool->slabs;

		while (pool != keep && *at) {
			struct slab *slab = *at;

			if (slab->used_count) {
				at = &slab->next;
				continue;
			}
			*at = slab->next;
			pool->free_count -= slab->page_count;
			w->kv_bytes_used -= slab->bytes;
			munmap(slab->memory, slab->bytes);
			free(slab);
		}
	}
}

static int pool_grow(struct wrk *w, struct wrk_pool *pool, uint32_t count)
{
	uint64_t slab_bytes = slab_pages(pool) * (uint64_t)pool->page_bytes;
	int err;

	if ((uint64_t)count * pool->page_bytes > w->limits.kv_bytes)
		return -ENOMEM;
	while (pool->free_count < count) {
		if (w->kv_bytes_used + slab_bytes > w->limits.kv_bytes)
			slabs_trim(w, pool);
		/* A limit below one slab still allows what it allows: the check above holds. */
		if (w->kv_bytes_used + slab_bytes > w->limits.kv_bytes && w->kv_bytes_used)
			return -EBUSY;
		err = slab_add(w, pool);
		if (err)
			return err;
	}
	return 0;
}

int wrk_pages_take(struct wrk *w, struct wrk_pool *pool, void **pages, uint32_t count)
{
	uint32_t got = 0;
	int err = pool_grow(w, pool, count);

	if (err)
		return err;
	for (struct slab *slab = pool->slabs; slab && got < count; slab = slab->next) {
		while (slab->free_count && got < count) {
			uint32_t page = slab->free[--slab->free_count];

			pages[got++] = slab->memory + page * pool->page_bytes;
			slab->used_count++;
		}
	}
	pool->free_count -= count;
	return 0;
}

static void page_give(struct wrk_pool *pool, uint8_t *page)
{
	for (struct slab *slab = pool->slabs; slab; slab = slab->next) {
		if (page < slab->memory || page >= slab->memory + slab->bytes)
			continue;
		slab->free[slab->free_count++] =
			(uint32_t)((size_t)(page - slab->memory) / pool->page_bytes);
		slab->used_count--;
		pool->free_count++;
		return;
	}
}

void wrk_pages_give(struct wrk_pool *pool, void **pages, uint32_t count)
{
	for (uint32_t i = count; i-- > 0;)
		page_give(pool, pages[i]);
}
