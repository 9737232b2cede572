/* SPDX-License-Identifier: MIT */
/*
 * wrk_kv.c: KV pages. One pool per page size; pages come from slabs of anonymous memory. Some free
 * ones are touched ahead, while the worker idles, so that the kernel need not clear memory in the
 * middle of a prompt; the others when they are used. A slab that no request holds a page of goes
 * back when another pool needs the room.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "wrk.h"

#define SLAB_BYTES	(UINT64_C(8) << 20)
#define READY_BYTES	(UINT64_C(32) << 20)	/* free and touched, of each pool, after idling */

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif

struct wrk_slab {
	struct wrk_slab *next;
	struct wrk_pool *pool;
	uint8_t *memory;
	size_t bytes;
	uint32_t page_count;
	uint32_t held_count;		/* pages that requests hold */
	uint32_t free_count;
	uint32_t touched;		/* pages from the first on */
	uint32_t *free;			/* stack of page numbers, [page_count] */
	struct wrk_page pages[];
};

struct wrk_pool {
	struct wrk_pool *next;
	struct wrk *w;
	size_t page_bytes;
	uint64_t free_count;
	uint64_t idle_count;		/* kept by the cache alone */
	struct wrk_page *oldest, *newest;	/* of those */
	struct wrk_slab *slabs;
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

static struct wrk_slab *slab_new(struct wrk_pool *pool, uint32_t count)
{
	struct wrk_slab *slab = calloc(1, sizeof(*slab) + count * sizeof(slab->pages[0]));

	if (!slab)
		return NULL;
	slab->bytes = count * pool->page_bytes;
	slab->free = malloc(count * sizeof(slab->free[0]));
	slab->memory = mmap(NULL, slab->bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (slab->memory == MAP_FAILED || !slab->free) {
		if (slab->memory != MAP_FAILED)
			munmap(slab->memory, slab->bytes);
		free(slab->free);
		free(slab);
		return NULL;
	}
	madvise(slab->memory, slab->bytes, MADV_HUGEPAGE);
	slab->pool = pool;
	slab->page_count = slab->free_count = count;
	for (uint32_t i = 0; i < count; i++) {
		slab->free[i] = count - 1 - i;
		slab->pages[i].memory = slab->memory + i * pool->page_bytes;
		slab->pages[i].slab = slab;
	}
	return slab;
}

/*
 * As large as the limit leaves, up to a full slab; @beyond: one page even when it leaves nothing.
 */
static bool slab_add(struct wrk *w, struct wrk_pool *pool, bool beyond)
{
	uint64_t left = w->limits.kv_bytes > w->kv_bytes_used ?
			w->limits.kv_bytes - w->kv_bytes_used : 0;
	uint64_t count = (left < SLAB_BYTES ? left : SLAB_BYTES) / pool->page_bytes;
	struct wrk_slab *slab;

	if (!count && (beyond || left >= pool->page_bytes))
		count = 1;
	slab = count ? slab_new(pool, (uint32_t)count) : NULL;
	if (!slab)
		return false;
	slab->next = pool->slabs;
	pool->slabs = slab;
	pool->free_count += count;
	w->kv_bytes_used += slab->bytes;
	return true;
}

static void slab_free(struct wrk_slab **at)
{
	struct wrk_slab *slab = *at;

	for (uint32_t i = 0; i < slab->page_count; i++)
		wrk_prefix_forget(&slab->pages[i]);
	*at = slab->next;
	slab->pool->free_count -= slab->page_count;
	slab->pool->w->kv_bytes_used -= slab->bytes;
	munmap(slab->memory, slab->bytes);
	free(slab->free);
	free(slab);
}

/* One slab of another pool that no request holds a page of. */
static bool slab_reclaim(struct wrk *w, const struct wrk_pool *keep)
{
	for (struct wrk_pool *pool = w->pools; pool; pool = pool->next) {
		for (struct wrk_slab **at = &pool->slabs; pool != keep && *at; at = &(*at)->next) {
			if ((*at)->held_count)
				continue;
			slab_free(at);
			return true;
		}
	}
	return false;
}

static void idle_add(struct wrk_pool *pool, struct wrk_page *page)
{
	page->newer = NULL;
	page->older = pool->newest;
	if (pool->newest)
		pool->newest->newer = page;
	else
		pool->oldest = page;
	pool->newest = page;
	pool->idle_count++;
}

static void idle_remove(struct wrk_pool *pool, struct wrk_page *page)
{
	if (page->newer)
		page->newer->older = page->older;
	else
		pool->newest = page->older;
	if (page->older)
		page->older->newer = page->newer;
	else
		pool->oldest = page->newer;
	page->newer = page->older = NULL;
	pool->idle_count--;
}

static void page_free(struct wrk_page *page)
{
	struct wrk_slab *slab = page->slab;

	slab->free[slab->free_count++] = (uint32_t)(page - slab->pages);
	slab->pool->free_count++;
}

static struct wrk_page *free_pop(struct wrk_pool *pool)
{
	struct wrk_slab *slab = pool->slabs;
	struct wrk_page *page;

	while (!slab->free_count)
		slab = slab->next;
	page = &slab->pages[slab->free[--slab->free_count]];
	if (slab->touched <= page - slab->pages)
		slab->touched = (uint32_t)(page - slab->pages) + 1;
	pool->free_count--;
	slab->held_count++;
	page->refs = 1;
	return page;
}

struct wrk_page *wrk_page_take(struct wrk *w, struct wrk_pool *pool, bool beyond)
{
	while (!pool->free_count) {
		if (slab_add(w, pool, false))
			break;
		if (pool->oldest)
			wrk_prefix_forget(pool->oldest);
		else if (!slab_reclaim(w, pool) && !wrk_shadow_yield(w) &&
			 !(beyond && slab_add(w, pool, true)))
			return NULL;
	}
	return free_pop(pool);
}

void wrk_page_hold(struct wrk_page *page)
{
	if (page->refs++)
		return;
	page->slab->held_count++;
	idle_remove(page->slab->pool, page);
}

void wrk_page_drop(struct wrk_page *page)
{
	if (--page->refs)
		return;
	page->slab->held_count--;
	if (page->space)
		idle_add(page->slab->pool, page);
	else
		page_free(page);
}

void wrk_page_uncached(struct wrk_page *page)
{
	if (page->refs)
		return;
	idle_remove(page->slab->pool, page);
	page_free(page);
}

/* What the others were promised stays theirs: wrk_room.c keeps count in pages of each pool. */
uint64_t wrk_pool_room(const struct wrk *w, const struct wrk_pool *pool)
{
	uint64_t bytes = w->limits.kv_bytes > w->kv_bytes_used ?
			 w->limits.kv_bytes - w->kv_bytes_used : 0;

	for (const struct wrk_pool *other = w->pools; other; other = other->next)
		for (const struct wrk_slab *slab = other->slabs; slab; slab = slab->next)
			if (other != pool && !slab->held_count)
				bytes += slab->bytes;
	return pool->free_count + pool->idle_count + bytes / pool->page_bytes;
}

bool wrk_pool_holds(const struct wrk *w, const struct wrk_pool *pool, uint64_t count)
{
	return count <= w->limits.kv_bytes / pool->page_bytes;
}

/* The next page of a slab; where the kernel cannot, it is touched when it is used. */
static void page_touch(struct wrk_slab *slab)
{
	const uintptr_t mask = ~(uintptr_t)4095;
	uintptr_t begin = (uintptr_t)slab->pages[slab->touched].memory;
	uintptr_t end = begin + slab->pool->page_bytes;

	slab->touched++;
	(void)madvise((void *)(begin & mask), (end & mask) - (begin & mask), MADV_POPULATE_WRITE);
}

/* One page more of what is to be ready; false: there is enough, or no room for more. */
static bool pool_prepare(struct wrk *w, struct wrk_pool *pool)
{
	struct wrk_slab *next = NULL;
	uint64_t untouched = 0;

	for (struct wrk_slab *slab = pool->slabs; slab; slab = slab->next) {
		untouched += slab->page_count - slab->touched;
		if (slab->touched < slab->page_count)
			next = slab;
	}
	if ((pool->free_count - untouched) * pool->page_bytes >= READY_BYTES)
		return false;
	if (!next)
		return slab_add(w, pool, false);
	page_touch(next);
	return true;
}

bool wrk_pools_prepare(struct wrk *w)
{
	for (struct wrk_pool *pool = w->pools; pool; pool = pool->next)
		if (pool_prepare(w, pool))
			return true;
	return false;
}

static void pool_forget(struct wrk_pool *pool, wrk_over_fn is_over)
{
	for (struct wrk_slab *slab = pool->slabs; slab; slab = slab->next)
		for (uint32_t i = 0; i < slab->page_count; i++)
			if (slab->pages[i].space && is_over(slab->pages[i].space))
				wrk_prefix_forget(&slab->pages[i]);
}

void wrk_pools_forget(struct wrk *w, wrk_over_fn is_over)
{
	for (struct wrk_pool *pool = w->pools; pool; pool = pool->next)
		pool_forget(pool, is_over);
}

void wrk_pools_fini(struct wrk *w)
{
	while (w->pools) {
		struct wrk_pool *pool = w->pools;

		while (pool->slabs)
			slab_free(&pool->slabs);
		w->pools = pool->next;
		free(pool);
	}
}
