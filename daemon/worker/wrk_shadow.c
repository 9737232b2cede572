/* SPDX-License-Identifier: MIT */
/* wrk_shadow.c: the queue of what is to be compared (wrk_shadow.h). */
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "wrk.h"

#define RESTARTS_MAX	3u	/* a job that live requests push out so often is dropped */

static void count_drop(struct wrk *w, uint32_t version, uint64_t serial)
{
	mhs_stats_add(&mhs_stats_row(w->stats, version, serial)->shadow_dropped, 1);
}

static void pass_reset(struct wrk_pass *pass)
{
	while (pass->page_count)
		wrk_page_drop(pass->held[--pass->page_count]);
	pass->ns = 0;
}

/* The oldest job is to begin at its first token. */
static void passes_reset(struct wrk_shadow *s)
{
	pass_reset(&s->stable);
	pass_reset(&s->candidate);
	s->computed = s->piece = 0;
	s->tally = (struct wrk_tally){ .first_divergence = UINT32_MAX };
}

static void job_remove(struct wrk *w, uint32_t i, bool dropped)
{
	struct wrk_shadow *s = &w->shadow;
	struct wrk_job *job = &s->jobs[i];

	if (i == 0) {
		passes_reset(s);
		s->restarts = 0;
	}
	if (dropped)
		count_drop(w, job->candidate->index, job->candidate->serial);
	mhs_unpin(w->slot, job->stable->index);
	mhs_unpin(w->slot, job->candidate->index);
	s->token_count -= job->token_count;
	free(job->tokens);
	s->count--;
	memmove(job, job + 1, (s->count - i) * sizeof(*job));
}

void wrk_shadow_end(struct wrk *w, bool dropped)
{
	job_remove(w, 0, dropped);
}

/* In a turn, so after adopt. */
static struct mhs_route route_of(const struct wrk *w, uint32_t model)
{
	/* E3 after E2, as in mhs_pin_route() */
	return mhs_route_unpack(atomic_load_explicit(&w->board->models[model].route,
						     memory_order_seq_cst));
}

static bool route_names(const struct mhs_route *route, const struct wrk_job *job)
{
	return route->mode == MHS_MODE_SHADOW && route->active == job->stable->index &&
	       route->candidate == job->candidate->index;
}

void wrk_shadow_look(struct wrk *w)
{
	struct wrk_shadow *s = &w->shadow;

	if (s->epoch == w->epoch)
		return;
	s->epoch = w->epoch;
	for (uint32_t i = s->count; i-- > 0;) {
		struct mhs_route route = route_of(w, s->jobs[i].model);

		if (!route_names(&route, &s->jobs[i]))
			job_remove(w, i, true);
	}
}

bool wrk_shadow_yield(struct wrk *w)
{
	struct wrk_shadow *s = &w->shadow;

	/* without requests it is the job itself that looks for pages */
	if (!w->running_count || s->stable.page_count + s->candidate.page_count == 0)
		return false;
	if (s->restarts++ < RESTARTS_MAX)
		passes_reset(s);
	else
		job_remove(w, 0, true);
	return true;
}

void wrk_shadow_forget(struct wrk *w, const struct wrk_version *v)
{
	struct wrk_shadow *s = &w->shadow;

	for (uint32_t i = s->count; i-- > 0;)
		if (s->jobs[i].stable == v || s->jobs[i].candidate == v)
			job_remove(w, i, true);
}

static void pass_fini(struct wrk_pass *pass)
{
	free(pass->held);
	free(pass->pages);
}

void wrk_shadow_fini(struct wrk *w)
{
	while (w->shadow.count)
		job_remove(w, 0, false);
	pass_fini(&w->shadow.stable);
	pass_fini(&w->shadow.candidate);
	free(w->shadow.logits);
	memset(&w->shadow, 0, sizeof(w->shadow));
}

/* -- which requests ---------------------------------------------------------------------------- */

/* Whether an id means the same bytes in both, so that one may be asked about the other's tokens. */
static bool tokens_fit(const struct wrk_version *a, const struct wrk_version *b)
{
	const struct mhs_image_span *x = &a->image->tokenizer, *y = &b->image->tokenizer;

	const void *a_tables = wrk_image_at(a, x->offset_bytes, x->length_bytes);
	const void *b_tables = wrk_image_at(b, y->offset_bytes, y->length_bytes);

	if (a->model.config.vocab_count != b->model.config.vocab_count)
		return false;
	if (x->length_bytes == y->length_bytes && a_tables && b_tables &&
	    (a_tables == b_tables || !memcmp(a_tables, b_tables, x->length_bytes)))
		return true;
	if (eng_tok_count(a->tok) != eng_tok_count(b->tok))
		return false;
	for (uint32_t id = 0; id < eng_tok_count(a->tok); id++) {
		uint32_t m = 0, n = 0;
		const char *p = eng_tok_bytes(a->tok, id, &m), *q = eng_tok_bytes(b->tok, id, &n);

		if (m != n || (m && memcmp(p, q, m)) ||
		    eng_tok_is_special(a->tok, id) != eng_tok_is_special(b->tok, id))
			return false;
	}
	return true;
}

/* Looked at once for each candidate: several models may be in shadow at a time. */
static bool pair_fits(const struct wrk_version *a, struct wrk_version *b)
{
	if (b->paired_with == a->serial)
		return b->pair_fits;
	b->paired_with = a->serial;
	b->pair_fits = tokens_fit(a, b);
	if (!b->pair_fits)
		log_warning("%.63s@%.47s cannot be compared with %.47s: their tokens differ",
			    b->image->model, b->image->semver, a->image->semver);
	return b->pair_fits;
}

/* A reply that the route chose the active version for, whole. */
static bool is_routed_reply(const struct wrk_request *r)
{
	return r->kind == MHS_REC_GENERATE && r->place.placed && !r->moved && !r->rq.semver[0] && !r->set &&
	       (r->reason == MHS_END_STOP || r->reason == MHS_END_LENGTH) &&
	       r->token_count > r->prompt_count && r->prompt_count;
}

static bool has_room(const struct wrk_shadow *s, const struct wrk_request *r)
{
	return s->count < WRK_SHADOW_JOBS && r->token_count <= WRK_SHADOW_TOKENS - s->token_count;
}

/* Both versions are pinned. False: it cannot be. */
static bool job_add(struct wrk *w, struct wrk_request *r, uint32_t model,
		    const struct mhs_route *route)
{
	struct wrk_shadow *s = &w->shadow;
	struct wrk_version *stable = wrk_version_by_index(w, route->active);
	struct wrk_version *candidate = wrk_version_by_index(w, route->candidate);
	uint32_t *tokens;

	if (!stable || !candidate || !has_room(s, r) || !pair_fits(stable, candidate) ||
	    r->token_count - 1 > candidate->model.config.context_max)
		return false;
	tokens = realloc(r->tokens, r->token_count * sizeof(*tokens));
	if (!tokens)
		return false;
	r->tokens = NULL;
	if (!s->count)
		passes_reset(s);
	s->jobs[s->count++] = (struct wrk_job){
		.model = model, .stable = stable, .candidate = candidate, .tokens = tokens,
		.prompt_count = r->prompt_count, .token_count = r->token_count,
	};
	s->token_count += r->token_count;
	s->epoch = w->epoch;
	return true;
}

/*
 * The route is read anew: it is the one that the job's pins live under. A reply of a version that
 * is not active any more is nothing to compare with.
 */
void wrk_shadow_offer(struct wrk *w, struct wrk_request *r)
{
	int model = is_routed_reply(r) ? wrk_board_find(w, r->rq.model, "") : -1;
	struct mhs_route route;

	if (model < 0 || w->stopping)
		return;
	route = route_of(w, (uint32_t)model);
	if (route.mode != MHS_MODE_SHADOW || !route.candidate || r->place.point >= route.weight ||
	    route.active != r->begin.version_index || route.candidate == route.active)
		return;
	if (mhs_pin_version(w->board, w->slot, route.active))
		return;
	if (mhs_pin_version(w->board, w->slot, route.candidate)) {
		mhs_unpin(w->slot, route.active);
		return;
	}
	if (w->board->versions[route.active].serial == r->tokens_of &&
	    job_add(w, r, (uint32_t)model, &route))
		return;
	count_drop(w, route.candidate, w->board->versions[route.candidate].serial);
	mhs_unpin(w->slot, route.candidate);
	mhs_unpin(w->slot, route.active);
}
