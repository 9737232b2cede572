/* SPDX-License-Identifier: MIT */
/*
 * wrk_prefix.c: the prefix cache. A full page is known by its space (contents of the version and of
 * its adapters in order, their scales, client uid), by the page before it and by its own tokens, so by the whole chain
 * of tokens from the first on. The hash only finds it; all three are compared, so nobody can
 * forge a hit.
 *
 * The cache pins nothing and no version waits for it: a page goes when memory is short, and with
 * its version when that is detached, which the supervisor asks for after the grace period as
 * ever.
 *
 * Pages after a page are always evicted before it: who holds a page holds all before it too, and
 * drops them last (wrk_room_drop).
 */
#include <stdlib.h>
#include <string.h>

#include "wrk.h"

#define BUCKETS		(1u << 14)
#define SPACE_BUCKETS	(1u << 10)
#define HASH_FACTOR	UINT64_C(0x9fb21c651e98df25)

struct wrk_space {
	struct wrk_space *next;			/* in its bucket */
	struct wrk_prefix *prefix;
	uint32_t refs;				/* requests and pages */
	bool over;				/* its pages are being forgotten */
	/* the key, compared as bytes */
	struct space_key {
		uint8_t content_hash[MHS_HASH_BYTES];
		uint32_t uid;
		uint32_t adapter_count;
		struct {
			uint8_t content_hash[MHS_HASH_BYTES];
			float scale;
		} adapters[MHS_ADAPTERS_MAX];
	} key;
};

struct wrk_prefix {
	struct wrk_space *spaces[SPACE_BUCKETS];
	uint64_t last_id;
	uint64_t salt;
	struct wrk_page *buckets[BUCKETS];
};

static struct wrk_prefix *prefix_get(struct wrk *w)
{
	if (!w->prefix && w->limits.prefix_cache) {
		w->prefix = calloc(1, sizeof(*w->prefix));
		if (w->prefix)
			w->prefix->salt = w->prefix_salt;
	}
	return w->limits.prefix_cache ? w->prefix : NULL;
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * HASH_FACTOR;
	return hash ^ hash >> 29;
}

static void key_fill(struct space_key *key, const struct wrk_version *v, const struct wrk_set *set,
		     uint32_t uid)
{
	memset(key, 0, sizeof(*key));
	memcpy(key->content_hash, v->image->content_hash, MHS_HASH_BYTES);
	key->uid = uid;
	key->adapter_count = set ? set->count : 0;
	for (uint32_t i = 0; i < key->adapter_count; i++) {
		memcpy(key->adapters[i].content_hash, set->used[i].content_hash, MHS_HASH_BYTES);
		key->adapters[i].scale = set->used[i].scale;
	}
}

static struct wrk_space **space_bucket(struct wrk_prefix *prefix, const struct space_key *key)
{
	uint64_t hash = prefix->salt, word;

	for (size_t at = 0; at + sizeof(word) <= sizeof(*key); at += sizeof(word)) {
		memcpy(&word, (const uint8_t *)key + at, sizeof(word));
		hash = mix(hash, word);
	}
	return &prefix->spaces[hash % SPACE_BUCKETS];
}

struct wrk_space *wrk_space_get(struct wrk *w, const struct wrk_version *v, const struct wrk_set *set,
				uint32_t uid)
{
	struct wrk_prefix *prefix = prefix_get(w);
	struct wrk_space *space, **bucket;
	struct space_key key;

	if (!prefix)
		return NULL;
	key_fill(&key, v, set, uid);
	bucket = space_bucket(prefix, &key);
	for (space = *bucket; space; space = space->next)
		if (!memcmp(&space->key, &key, sizeof(key)))
			break;
	if (!space) {
		space = calloc(1, sizeof(*space));
		if (!space)
			return NULL;
		space->key = key;
		space->prefix = prefix;
		space->next = *bucket;
		*bucket = space;
	}
	space->refs++;
	return space;
}

void wrk_space_put(struct wrk_space **spacep)
{
	struct wrk_space *space = *spacep, **at;

	*spacep = NULL;
	if (!space || --space->refs)
		return;
	for (at = space_bucket(space->prefix, &space->key); *at != space;)
		at = &(*at)->next;
	*at = space->next;
	free(space);
}

/* Of the page with @tokens after page @parent (0: the first). */
static uint64_t page_hash(const struct wrk_space *space, uint64_t parent, const uint32_t *tokens)
{
	uint64_t hash = mix(mix(space->prefix->salt, (uintptr_t)space), parent);

	for (uint32_t i = 0; i < ENG_PAGE_TOKENS; i += 2)
		hash = mix(hash, (uint64_t)tokens[i] << 32 | tokens[i + 1]);
	return hash;
}

static struct wrk_page **bucket_of(struct wrk_prefix *prefix, uint64_t hash)
{
	return &prefix->buckets[hash % BUCKETS];
}

static struct wrk_page *find(const struct wrk_space *space, uint64_t parent, const uint32_t *tokens)
{
	uint64_t hash = page_hash(space, parent, tokens);
	struct wrk_page *page = *bucket_of(space->prefix, hash);

	for (; page; page = page->bucket_next)
		if (page->hash == hash && page->space == space && page->parent == parent &&
		    !memcmp(page->tokens, tokens, sizeof(page->tokens)))
			return page;
	return NULL;
}

static void insert(struct wrk_space *space, struct wrk_page *page, uint64_t parent,
		   const uint32_t *tokens)
{
	struct wrk_page **bucket;

	page->hash = page_hash(space, parent, tokens);
	page->id = ++space->prefix->last_id;
	page->parent = parent;
	memcpy(page->tokens, tokens, sizeof(page->tokens));
	page->space = space;
	space->refs++;
	bucket = bucket_of(space->prefix, page->hash);
	page->bucket_next = *bucket;
	*bucket = page;
}

void wrk_prefix_forget(struct wrk_page *page)
{
	struct wrk_page **at;

	if (!page->space)
		return;
	for (at = bucket_of(page->space->prefix, page->hash); *at != page;)
		at = &(*at)->bucket_next;
	*at = page->bucket_next;
	wrk_space_put(&page->space);
	wrk_page_uncached(page);
}

/*
 * Pages of @r that may be shared: for float weights, a generated row has not the bits of a
 * prompt's.
 */
static uint32_t shareable(const struct wrk_request *r, uint32_t tokens)
{
	if (r->version->float_rows && tokens > r->prompt_count)
		tokens = r->prompt_count;
	return tokens / ENG_PAGE_TOKENS;
}

static uint64_t parent_of(const struct wrk_request *r, uint32_t page)
{
	return page ? r->held[page - 1]->id : 0;
}

/* Page @i of @r becomes @page, which has the same bits. */
static void adopt(struct wrk_request *r, uint32_t i, struct wrk_page *page)
{
	wrk_page_hold(page);
	if (i < r->page_count)
		wrk_page_drop(r->held[i]);
	else
		r->page_count++;
	r->held[i] = page;
	r->pages[i] = page->memory;
}

/* Rows whose keys and values are known need not be computed: nobody asks for what they lead to. */
static bool may_skip(const struct wrk_request *r)
{
	return r->kind == MHS_REC_EMBED ? r->rq.pooling == MHS_POOL_LAST : r->kind != MHS_REC_SCORE;
}

void wrk_prefix_follow(struct wrk *w, struct wrk_request *r)
{
	uint32_t at = r->computed / ENG_PAGE_TOKENS, end = shareable(r, r->token_count - 1);

	/* Some want every row; and a page begun by own rows is gone through to its end. */
	if (!r->space || !may_skip(r) || r->computed % ENG_PAGE_TOKENS || r->published != at)
		return;
	for (; at < end; at++) {
		const uint32_t *tokens = r->tokens + (size_t)at * ENG_PAGE_TOKENS;
		struct wrk_page *page = find(r->space, parent_of(r, at), tokens);

		if (!page)
			break;
		adopt(r, at, page);
		r->published = at + 1;
		r->computed += ENG_PAGE_TOKENS;
		if (!r->preempted)
			r->cached_count += ENG_PAGE_TOKENS;
	}
}

/*
 * @q will have the page of @r that ends at @end, and all before it. Its last row may wait for a slow client, so
 * that one does not count. The last page is compared first: prompts that begin alike differ there.
 */
static bool will_have(const struct wrk_request *q, const struct wrk_request *r, uint32_t end)
{
	uint32_t from = end - ENG_PAGE_TOKENS;

	return q->version == r->version && q->space == r->space && q->state == WRK_PREFILL &&
	       q->computed >= r->computed && q->prompt_count > end &&
	       !memcmp(q->tokens + from, r->tokens + from, ENG_PAGE_TOKENS * sizeof(*r->tokens)) &&
	       !memcmp(q->tokens, r->tokens, from * sizeof(*r->tokens));
}

bool wrk_prefix_awaits(const struct wrk *w, const struct wrk_request *r)
{
	uint32_t end = r->computed + ENG_PAGE_TOKENS;

	if (!r->space || !may_skip(r) || r->computed % ENG_PAGE_TOKENS ||
	    r->published != r->computed / ENG_PAGE_TOKENS || end / ENG_PAGE_TOKENS > shareable(r, r->token_count - 1))
		return false;
	/* Oldest first, and nobody waits for a younger one: no circle. */
	for (uint32_t i = 0; i < w->running_count && w->running[i] != r; i++)
		if (will_have(w->running[i], r, end))
			return true;
	return false;
}

void wrk_prefix_publish(struct wrk *w, struct wrk_request *r)
{
	/* The last token's row is not computed yet, or was computed for a guess that failed. */
	uint32_t known = r->computed < r->token_count ? r->computed : r->token_count - 1;
	uint32_t end;

	if (!r->space || !w->limits.prefix_cache)
		return;
	for (end = shareable(r, known); r->published < end; r->published++) {
		const uint32_t *tokens = r->tokens + (size_t)r->published * ENG_PAGE_TOKENS;
		uint64_t parent = parent_of(r, r->published);
		struct wrk_page *page;

		/* The page before was forgotten: what comes after it can no longer be found. */
		if (r->published && !r->held[r->published - 1]->space)
			return;
		page = find(r->space, parent, tokens);
		if (page)
			adopt(r, r->published, page);
		else
			insert(r->space, r->held[r->published], parent, tokens);
	}
}

static bool is_over(const struct wrk_space *space)
{
	return space->over;
}

static bool has_part(const struct space_key *key, const uint8_t *content_hash)
{
	if (!memcmp(key->content_hash, content_hash, MHS_HASH_BYTES))
		return true;
	for (uint32_t i = 0; i < key->adapter_count; i++)
		if (!memcmp(key->adapters[i].content_hash, content_hash, MHS_HASH_BYTES))
			return true;
	return false;
}

/* Running requests keep their pages; nobody else finds them. NULL: of all. */
static void drop(struct wrk *w, const uint8_t *content_hash)
{
	bool found = false;

	for (uint32_t i = 0; w->prefix && i < SPACE_BUCKETS; i++)
		for (struct wrk_space *s = w->prefix->spaces[i]; s; s = s->next) {
			s->over = !content_hash || has_part(&s->key, content_hash);
			found = found || s->over;
		}
	if (found)
		wrk_pools_forget(w, is_over);
}

void wrk_prefix_drop_contents(struct wrk *w, const uint8_t content_hash[MHS_HASH_BYTES])
{
	drop(w, content_hash);
}

void wrk_prefix_drop_all(struct wrk *w)
{
	drop(w, NULL);
}
