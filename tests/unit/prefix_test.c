/* SPDX-License-Identifier: MIT */
/*
 * prefix_test.c: the prefix cache and the queue of a worker, without an engine: who finds which pages, what
 * goes when memory is short or a version goes, and in which order clients are admitted.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../../daemon/worker/wrk.h"
#include "t.h"

#define PAGE_BYTES	4096u
#define TOKENS		(8u * ENG_PAGE_TOKENS)

static struct wrk w;
static struct mhs_image_header images[2];
static struct wrk_version versions[2];
static uint32_t prompt[TOKENS + 1];

/* In place of the worker's own: everything is admitted; the order is kept. */
static uint32_t order[64], order_count;

bool wrk_admit_one(struct wrk *worker, struct wrk_request *r)
{
	wrk_queue_remove(worker, r);
	order[order_count++] = (uint32_t)r->rq.request_id;
	return true;
}

static void world_make(uint64_t pages)
{
	memset(&w, 0, sizeof(w));
	w.limits.prefix_cache = 1;
	w.limits.kv_bytes = pages * PAGE_BYTES;
	for (uint32_t i = 0; i < 2; i++) {
		images[i].content_hash[0] = (uint8_t)(i + 1);
		versions[i].image = &images[i];
		versions[i].pool = wrk_pool_get(&w, PAGE_BYTES);
		versions[i].float_rows = false;
	}
	for (uint32_t i = 0; i <= TOKENS; i++)
		prompt[i] = i * 7 % 100;
}

static void world_free(void)
{
	wrk_pools_fini(&w);
	free(w.prefix);
}

static void begin(struct wrk_request *r, uint32_t version, uint32_t uid, uint32_t tokens)
{
	memset(r, 0, sizeof(*r));
	r->kind = MHS_REC_GENERATE;
	r->state = WRK_PREFILL;
	r->version = &versions[version];
	r->tokens = prompt;
	r->token_count = r->prompt_count = tokens;
	t_need(wrk_room_init(r, TOKENS + 1) == 0);
	r->space = wrk_space_get(&w, r->version, r->set, uid);
	w.running[w.running_count++] = r;
	wrk_prefix_follow(&w, r);
}

static void end(struct wrk_request *r)
{
	wrk_prefix_publish(&w, r);
	wrk_room_drop(r);
	wrk_space_put(&r->space);
	w.running_count--;
	free(r->pages);
	free(r->held);
}

/* A request computes @tokens of the prompt and is gone. */
static void compute(uint32_t version, uint32_t uid, uint32_t tokens)
{
	struct wrk_request r;

	begin(&r, version, uid, tokens);
	t_ok(wrk_room_cover(&w, &r, tokens));
	r.computed = tokens;
	r.token_count++;		/* and its answer */
	end(&r);
}

/* Tokens of the prompt that a new request would find. */
static uint32_t found(uint32_t version, uint32_t uid, uint32_t tokens)
{
	struct wrk_request r;
	uint32_t count;

	begin(&r, version, uid, tokens);
	count = r.cached_count;
	t_eq(count, r.computed);
	t_eq(count, r.page_count * ENG_PAGE_TOKENS);
	end(&r);
	return count;
}

static void only_the_same_user_and_contents(void)
{
	world_make(64);
	compute(0, 1000, TOKENS);
	t_eq(found(0, 1000, TOKENS + 1), TOKENS);
	t_eq(found(0, 1000, TOKENS), TOKENS - ENG_PAGE_TOKENS);	/* the last row answers */
	t_eq(found(0, 1000, 40), ENG_PAGE_TOKENS);
	t_eq(found(0, 1001, TOKENS), 0);
	t_eq(found(1, 1000, TOKENS), 0);
	prompt[ENG_PAGE_TOKENS + 3]++;
	t_eq(found(0, 1000, TOKENS), ENG_PAGE_TOKENS);	/* the chain breaks there for good */
	world_free();
}

static void goes_with_the_version(void)
{
	struct wrk_request r;

	world_make(64);
	compute(0, 1, TOKENS);
	compute(1, 1, TOKENS);
	begin(&r, 0, 1, TOKENS);
	wrk_prefix_drop_contents(&w, images[0].content_hash);
	t_eq(r.page_count, TOKENS / ENG_PAGE_TOKENS - 1);	/* who runs keeps its pages */
	end(&r);
	t_eq(found(0, 1, TOKENS), 0);
	t_eq(found(1, 1, TOKENS + 1), TOKENS);
	wrk_prefix_drop_all(&w);
	t_eq(found(1, 1, TOKENS + 1), 0);
	t_eq(wrk_pool_room(&w, versions[0].pool), 64);		/* nothing is lost */
	world_free();
}

/* Room for ten pages, eight of them cached: three new ones take the deepest of the old. */
static void the_deepest_pages_go_first(void)
{
	world_make(10);
	compute(0, 1, TOKENS);
	compute(1, 1, 5 * ENG_PAGE_TOKENS);
	t_eq(found(0, 1, TOKENS + 1), TOKENS - 3 * ENG_PAGE_TOKENS);
	t_eq(found(1, 1, TOKENS + 1), 5 * ENG_PAGE_TOKENS);
	world_free();
}

/* Generated rows of float weights are never taken for a prompt's. */
static void float_replies_are_not_shared(void)
{
	struct wrk_request r;

	world_make(64);
	versions[0].float_rows = true;
	begin(&r, 0, 1, 40);
	t_ok(wrk_room_cover(&w, &r, TOKENS));
	r.computed = r.token_count = TOKENS;
	end(&r);
	t_eq(found(0, 1, TOKENS), ENG_PAGE_TOKENS);
	world_free();
}

/* Two come at once: the younger one waits for pages that the older one is about to have, and no longer. */
static void one_computes_for_both(void)
{
	struct wrk_request first, second, other;

	world_make(64);
	begin(&first, 0, 1, TOKENS);
	begin(&second, 0, 1, TOKENS);
	begin(&other, 0, 2, TOKENS);
	t_ok(!wrk_prefix_awaits(&w, &first));
	t_ok(wrk_prefix_awaits(&w, &second));
	t_ok(!wrk_prefix_awaits(&w, &other));	/* of another user */
	t_ok(wrk_room_cover(&w, &first, ENG_PAGE_TOKENS));
	first.computed = ENG_PAGE_TOKENS;
	wrk_prefix_publish(&w, &first);
	t_ok(wrk_prefix_awaits(&w, &second));	/* the next page */
	wrk_prefix_follow(&w, &second);
	t_eq(second.cached_count, ENG_PAGE_TOKENS);
	first.state = WRK_PREEMPTED;
	t_ok(!wrk_prefix_awaits(&w, &second));
	first.state = WRK_PREFILL;
	first.prompt_count = 2 * ENG_PAGE_TOKENS;	/* its last row may never come */
	t_ok(!wrk_prefix_awaits(&w, &second));
	first.prompt_count = TOKENS;
	end(&other);
	end(&second);
	end(&first);
	world_free();
}

static void the_youngest_gives_way(void)
{
	struct wrk_request a, b;

	world_make(8);
	begin(&a, 0, 1, TOKENS);
	t_ok(wrk_room_cover(&w, &a, TOKENS - 3 * ENG_PAGE_TOKENS));
	begin(&b, 1, 1, TOKENS);
	t_ok(wrk_room_cover(&w, &b, 3 * ENG_PAGE_TOKENS));
	t_ok(!wrk_room_try(&w, &a, TOKENS));
	t_ok(wrk_room_cover(&w, &a, TOKENS));		/* the older one: takes b's pages */
	t_eq(b.state, WRK_PREEMPTED);
	t_eq(b.page_count, 0);
	wrk_room_resume(&w);
	t_eq(b.state, WRK_PREEMPTED);
	w.running[0] = &b;				/* a is gone */
	end(&a);
	wrk_room_resume(&w);
	t_eq(b.state, WRK_PREFILL);
	end(&b);
	world_free();
}

/* A has forty waiting, B three, C one, in this order: they take turns all the same. */
static void clients_take_turns(void)
{
	static const uint32_t counts[] = { 40, 3, 1 };
	static const uint32_t wanted[] = { 0, 100, 200, 1, 101, 2, 102, 3, 4, 5 };
	struct wrk_lane lanes[3] = { { .next = &lanes[1] }, { .next = &lanes[2] } };
	struct wrk_request requests[3][40];

	memset(&w, 0, sizeof(w));
	memset(requests, 0, sizeof(requests));
	w.lanes = lanes;
	w.limits.queue = 40;
	for (uint32_t l = 0; l < 3; l++) {
		for (uint32_t i = 0; i < counts[l]; i++) {
			requests[l][i].lane = &lanes[l];
			requests[l][i].rq.request_id = l * 100 + i;
			wrk_queue_add(&w, &requests[l][i]);
		}
		t_ok(!wrk_queue_is_full(&w, &lanes[l]));	/* who has few is not refused */
	}
	t_ok(wrk_queue_is_full(&w, &lanes[0]));
	wrk_admit(&w);
	t_eq(w.queued_count, 0);
	t_eq(order_count, 44);
	for (uint32_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		t_eq(order[i], wanted[i]);
}

static bool is_in_memory(const struct wrk_page *page)
{
	unsigned char resident = 0;

	return mincore(page->memory, PAGE_BYTES, &resident) == 0 && (resident & 1);
}

/* What idling has made ready is in memory before it is used; the limit holds all the same. */
static void memory_ready_ahead(void)
{
	struct wrk_page *page;
	uint32_t steps = 0;

	world_make(20000);
	while (wrk_pools_prepare(&w))
		steps++;
	t_ok(steps >= (32u << 20) / PAGE_BYTES && w.kv_bytes_used <= 48u << 20);
	t_ok(!wrk_pools_prepare(&w));
	for (uint32_t i = 0; i < 8000; i++) {
		page = wrk_page_take(&w, versions[0].pool, false);
		if (!t_ok(is_in_memory(page)))
			break;
	}
	t_ok(wrk_pools_prepare(&w));		/* so many are to be made again */
	world_free();

	world_make(5);
	for (steps = 0; wrk_pools_prepare(&w); steps++)
		;
	t_ok(steps <= 6 && w.kv_bytes_used == 5 * PAGE_BYTES);
	world_free();
}

int main(void)
{
	T_RUN(only_the_same_user_and_contents);
	T_RUN(goes_with_the_version);
	T_RUN(the_deepest_pages_go_first);
	T_RUN(float_replies_are_not_shared);
	T_RUN(one_computes_for_both);
	T_RUN(the_youngest_gives_way);
	T_RUN(clients_take_turns);
	T_RUN(memory_ready_ahead);
	return t_done();
}
