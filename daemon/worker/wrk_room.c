/* SPDX-License-Identifier: MIT */
/*
 * wrk_room.c: which running request gets the KV pages that there are. A request is admitted when
 * its prompt fits beside what the others are owed: the rest of their prompts, and a page each to
 * grow. Later every one takes pages as it goes. When there are none, the youngest are preempted
 * for the older ones. Who needs more than the limit in all is refused before it starts, so the
 * oldest always gets to its end.
 */
#include <errno.h>
#include <stdlib.h>

#include "wrk.h"

int wrk_room_init(struct wrk_request *r, uint32_t tokens)
{
	uint32_t count = wrk_pages_for(tokens);

	if (count <= r->page_cap)
		return 0;
	free(r->pages);
	free(r->held);
	r->pages = calloc(count, sizeof(*r->pages));
	r->held = calloc(count, sizeof(struct wrk_page *));
	r->page_cap = r->pages && r->held ? count : 0;
	return r->page_cap ? 0 : -ENOMEM;
}

/* Pages that @r still needs before it can give one token more, and one to grow. */
static uint64_t owed(const struct wrk_request *r)
{
	uint32_t need = wrk_pages_for(r->token_count + 1) + 1;

	return need > r->page_count ? need - r->page_count : 0;
}

/* What running requests of @pool's page size are owed; preempted ones are owed nothing. */
static uint64_t pool_owed(const struct wrk *w, const struct wrk_pool *pool)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < w->running_count; i++) {
		const struct wrk_request *r = w->running[i];

		if (r->version->pool == pool && r->state != WRK_PREEMPTED)
			count += owed(r);
	}
	return count;
}

bool wrk_room_for(struct wrk *w, const struct wrk_request *r, const struct wrk_version *v)
{
	uint64_t need = pool_owed(w, v->pool) + owed(r);

	return wrk_pool_room(w, v->pool) >= need ||
	       (wrk_shadow_yield(w) && wrk_pool_room(w, v->pool) >= need);
}

bool wrk_room_waited(const struct wrk *w)
{
	for (uint32_t i = 0; i < w->running_count; i++)
		if (w->running[i]->state == WRK_PREEMPTED)
			return true;
	return false;
}

/* From the last page to the first, so that the cache evicts them in this order. */
void wrk_room_drop(struct wrk_request *r)
{
	while (r->page_count)
		wrk_page_drop(r->held[--r->page_count]);
	r->published = 0;
}

static void preempt(struct wrk *w, struct wrk_request *r)
{
	wrk_prefix_publish(w, r);
	wrk_room_drop(r);
	r->state = WRK_PREEMPTED;
	r->computed = 0;
	r->row_count = 0;	/* also of the step that is planned */
	r->stalled_ns = 0;
	r->preempted++;
}

/* Takes the pages of the youngest request that has any and is younger than @r. */
static bool preempt_younger(struct wrk *w, const struct wrk_request *r)
{
	for (uint32_t i = w->running_count; i-- > 0 && w->running[i] != r;) {
		if (!w->running[i]->page_count)
			continue;
		preempt(w, w->running[i]);
		return true;
	}
	return false;
}

static bool holds_alone(const struct wrk *w, const struct wrk_request *r)
{
	for (uint32_t i = 0; i < w->running_count; i++)
		if (w->running[i] != r && w->running[i]->page_count)
			return false;
	return true;
}

static bool page_add(struct wrk *w, struct wrk_request *r, bool beyond)
{
	struct wrk_page *page = wrk_page_take(w, r->version->pool, beyond);

	if (!page)
		return false;
	r->held[r->page_count] = page;
	r->pages[r->page_count++] = page->memory;
	return true;
}

bool wrk_room_try(struct wrk *w, struct wrk_request *r, uint32_t tokens)
{
	uint32_t count = wrk_pages_for(tokens);

	while (r->page_count < count)
		if (!page_add(w, r, false))
			return false;
	return true;
}

bool wrk_room_cover(struct wrk *w, struct wrk_request *r, uint32_t tokens)
{
	while (!wrk_room_try(w, r, tokens)) {
		if (preempt_younger(w, r))
			continue;
		if (!holds_alone(w, r)) {
			preempt(w, r);
			return false;
		}
		/*
		 * Only a limit lowered since it began can bring it here: it still gets to its end.
		 */
		if (page_add(w, r, true))
			continue;
		wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_INTERNAL,
				"the system has no memory for the KV cache");
		return false;
	}
	return true;
}

void wrk_room_resume(struct wrk *w)
{
	for (uint32_t i = 0; i < w->running_count; i++) {
		struct wrk_request *r = w->running[i];

		if (r->state != WRK_PREEMPTED)
			continue;
		if (!holds_alone(w, r) && !wrk_room_for(w, r, r->version))
			return;
		r->state = WRK_PREFILL;
	}
}
