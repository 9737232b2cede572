/* SPDX-License-Identifier: MIT */
/*
 * wrk_kv.h: memory of the KV cache. A page holds ENG_PAGE_TOKENS positions of one sequence. A
 * request takes pages as it grows; full ones can be shared and are found again by the prefix
 * cache.
 *
 * When memory is short, in this order: pages that only the cache keeps go, least recently used
 * first; then the request admitted last loses its pages and waits (PREEMPTED). It computes them
 * again, with the same bits, when there is room. What a comparison holds (wrk_shadow.h) goes before
 * that. The oldest request is never preempted, so
 * something always gets to its end.
 */
#ifndef WRK_KV_H
#define WRK_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eng_model.h"
#include "mhs_layout.h"

struct wrk;
struct wrk_request;
struct wrk_set;
struct wrk_version;
struct wrk_pool;
struct wrk_slab;
struct wrk_space;

struct wrk_page {
	void *memory;
	struct wrk_slab *slab;
	uint32_t refs;				/* requests that hold it */
	/* What the prefix cache knows of it; space is NULL when it is not in there. */
	struct wrk_space *space;
	/* of this page and of the one before it, never used again */
	uint64_t id, parent;
	uint64_t hash;
	uint32_t tokens[ENG_PAGE_TOKENS];
	struct wrk_page *bucket_next;
	struct wrk_page *older, *newer;		/* of those that only the cache keeps */
};

/* wrk_kv.c: pages of one size; memory comes in slabs, within limits.kv_bytes */
struct wrk_pool *wrk_pool_get(struct wrk *w, size_t page_bytes);
/* @beyond: over the limit if need be. NULL: nothing is free and nothing can be evicted. */
struct wrk_page *wrk_page_take(struct wrk *w, struct wrk_pool *pool, bool beyond);
void wrk_page_hold(struct wrk_page *page);
/* The last one to drop a page frees it, unless the prefix cache keeps it. */
void wrk_page_drop(struct wrk_page *page);
/* Pages that could be taken now, were no request to grow. */
uint64_t wrk_pool_room(const struct wrk *w, const struct wrk_pool *pool);
/* Whether @count pages can ever be had. */
bool wrk_pool_holds(const struct wrk *w, const struct wrk_pool *pool, uint64_t count);
/*
 * Some work (up to a few milliseconds) towards free pages whose memory is there already; for a worker
 * with nothing to do. False: all is ready.
 */
bool wrk_pools_prepare(struct wrk *w);
/* Every page that the cache knows in a space of which @is_over says so is forgotten. */
typedef bool (*wrk_over_fn)(const struct wrk_space *space);
void wrk_pools_forget(struct wrk *w, wrk_over_fn is_over);
void wrk_pools_fini(struct wrk *w);
/* For wrk_prefix.c: @page left the cache; frees it when nobody holds it. */
void wrk_page_uncached(struct wrk_page *page);

/* wrk_room.c: which request gets the pages that there are */
static inline uint32_t wrk_pages_for(uint32_t tokens)
{
	return (tokens + ENG_PAGE_TOKENS - 1) / ENG_PAGE_TOKENS;
}
/* Page tables for up to @tokens. 0 or -ENOMEM. */
int wrk_room_init(struct wrk_request *r, uint32_t tokens);
/* Whether @r may start (or go on, when it was preempted) without harm to those that run. */
bool wrk_room_for(struct wrk *w, const struct wrk_request *r, const struct wrk_version *v);
/*
 * Pages for the first @tokens of @r, which was started; younger requests are preempted for it.
 * False: older ones need the memory, @r was preempted itself.
 */
bool wrk_room_cover(struct wrk *w, struct wrk_request *r, uint32_t tokens);
/* The same from what is free or only cached; @r keeps what it has. For guesses. */
bool wrk_room_try(struct wrk *w, struct wrk_request *r, uint32_t tokens);
bool wrk_room_waited(const struct wrk *w);	/* some request is preempted: admit nothing new */
void wrk_room_drop(struct wrk_request *r);
void wrk_room_resume(struct wrk *w);	/* preempted requests, oldest first */

/* wrk_prefix.c: full pages found again by what they hold */
/*
 * Where the pages of (content, contents and scales of the adapters in order, client uid) are kept;
 * never by a name, never across uids, whose timing would tell what others have asked. @set: pinned,
 * or NULL. NULL: off or out of memory; every call takes it.
 */
struct wrk_space *wrk_space_get(struct wrk *w, const struct wrk_version *v, const struct wrk_set *set,
				uint32_t uid);
void wrk_space_put(struct wrk_space **space);
/* At a page's border: take over the pages that the cache knows, all but the row that answers. */
void wrk_prefix_follow(struct wrk *w, struct wrk_request *r);
/* Make known what @r has computed. */
void wrk_prefix_publish(struct wrk *w, struct wrk_request *r);
/* Whether an older request is on its way to publish the next page of @r's prompt, which is then not computed twice. */
bool wrk_prefix_awaits(const struct wrk *w, const struct wrk_request *r);
void wrk_prefix_forget(struct wrk_page *page);
/* All that a version or adapter of these contents had a part in. */
void wrk_prefix_drop_contents(struct wrk *w, const uint8_t content_hash[MHS_HASH_BYTES]);
void wrk_prefix_drop_all(struct wrk *w);

#endif
