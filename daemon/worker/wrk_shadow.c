/* SPDX-License-Identifier: MIT */
/* wrk_shadow.c: the queue of what is to be compared (wrk_shadow.h). */
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "wrk.h"

#define RESTARTS_MAX	3u	/* a job that live requests push out so often is dropped */

static void count_drop(struct wrk *w, const struct wrk_job *job)
{
	mhs_stats_add(&wrk_part_row(w, &job->candidate.parts[job->part])->shadow_dropped, 1);
}

/* The first @count parts. */
static void side_unpin(struct wrk *w, const struct wrk_side *side, uint32_t count)
{
	while (count)
		mhs_unpin(w->slot, side->parts[--count].index);
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
		count_drop(w, job);
	side_unpin(w, &job->stable, 1 + job->stable.adapter_count);
	side_unpin(w, &job->candidate, 1 + job->candidate.adapter_count);
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
static struct mhs_route route_of(const struct wrk *w, uint32_t entry)
{
	/* E3 after E2, as in mhs_pin_route() */
	return mhs_route_unpack(atomic_load_explicit(&w->board->models[entry].route,
						     memory_order_seq_cst));
}

static bool route_names(const struct mhs_route *route, const struct wrk_job *job)
{
	return route->mode == MHS_MODE_SHADOW && route->active == job->stable.parts[job->part].index &&
	       route->candidate == job->candidate.parts[job->part].index;
}

/* Both sides have it, but for the part that differs, which the route vouches for. */
static bool is_withdrawn(const struct wrk *w, const struct wrk_job *job)
{
	for (uint32_t i = 0; i <= job->stable.adapter_count; i++)
		/* after E2, as E4: sees E7 */
		if (atomic_load_explicit(&w->board->versions[job->stable.parts[i].index].state,
					 memory_order_seq_cst) == MHS_STATE_DRAINING)
			return true;
	return false;
}

void wrk_shadow_look(struct wrk *w)
{
	struct wrk_shadow *s = &w->shadow;

	if (s->epoch == w->epoch)
		return;
	s->epoch = w->epoch;
	for (uint32_t i = s->count; i-- > 0;) {
		struct mhs_route route = route_of(w, s->jobs[i].entry);

		if (!route_names(&route, &s->jobs[i]) || is_withdrawn(w, &s->jobs[i]))
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

static bool side_has(const struct wrk_side *side, uint32_t index)
{
	for (uint32_t i = 0; i <= side->adapter_count; i++)
		if (side->parts[i].index == index)
			return true;
	return false;
}

void wrk_shadow_forget(struct wrk *w, uint32_t index)
{
	struct wrk_shadow *s = &w->shadow;

	for (uint32_t i = s->count; i-- > 0;)
		if (side_has(&s->jobs[i].stable, index) || side_has(&s->jobs[i].candidate, index))
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

/* One to compare with: whole, and by nobody's candidate. */
static bool is_sound_reply(const struct wrk_request *r)
{
	return r->kind == MHS_REC_GENERATE && !r->moved &&
	       (r->reason == MHS_END_STOP || r->reason == MHS_END_LENGTH) &&
	       r->token_count > r->prompt_count && r->prompt_count && !wrk_set_is_scaled_up(r->set);
}

/* What @r was made with; nothing of it is pinned any more. */
static void side_of(const struct wrk_request *r, struct wrk_side *side)
{
	const struct wrk_set *set = r->set;

	side->adapter_count = set ? set->count : 0;
	side->parts[0] = (struct wrk_part){ .index = r->begin.version_index, .serial = r->tokens_of };
	for (uint32_t i = 0; i < side->adapter_count; i++) {
		side->parts[1 + i] = (struct wrk_part){ .index = set->used[i].version_index,
							.serial = set->serials[i], .is_adapter = true };
		side->list[i].scale = set->refs[i].scale;
	}
}

/* A part without a serial is whatever is there now. False: one is gone, nothing is pinned. */
static bool side_pin(struct wrk *w, struct wrk_side *side)
{
	for (uint32_t i = 0; i <= side->adapter_count; i++) {
		struct wrk_part *part = &side->parts[i];
		uint64_t serial;

		if (mhs_pin_version(w->board, w->slot, part->index)) {
			side_unpin(w, side, i);
			return false;
		}
		serial = w->board->versions[part->index].serial;
		part->serial = part->serial ? part->serial : serial;
		if (part->serial != serial) {
			side_unpin(w, side, i + 1);
			return false;
		}
	}
	return true;
}

/* What is pinned, for the engine. False: it is not attached here, or does not fit together. */
static bool side_bind(struct wrk *w, struct wrk_side *side)
{
	const char *field;

	side->version = wrk_version_by_index(w, side->parts[0].index);
	for (uint32_t i = 0; side->version && i < side->adapter_count; i++) {
		struct wrk_adapter *a = w->adapters.by_index[side->parts[1 + i].index];

		if (!a || wrk_adapter_fit(w, a, side->version, &field))
			return false;
		side->list[i].lora = &a->lora;
	}
	return side->version;
}

static bool has_room(const struct wrk_shadow *s, const struct wrk_request *r)
{
	return s->count < WRK_SHADOW_JOBS && r->token_count <= WRK_SHADOW_TOKENS - s->token_count;
}

/* Both sides are pinned. False: it cannot be. */
static bool job_add(struct wrk *w, const struct wrk_request *r, struct wrk_job *job)
{
	struct wrk_shadow *s = &w->shadow;
	size_t bytes = r->token_count * sizeof(*job->tokens);

	if (!has_room(s, r) || !side_bind(w, &job->stable) || !side_bind(w, &job->candidate) ||
	    (job->part == 0 && !pair_fits(job->stable.version, job->candidate.version)) ||
	    r->token_count - 1 > job->candidate.version->model.config.context_max)
		return false;
	job->tokens = malloc(bytes);
	if (!job->tokens)
		return false;
	memcpy(job->tokens, r->tokens, bytes);
	job->prompt_count = r->prompt_count;
	job->token_count = r->token_count;
	if (!s->count)
		passes_reset(s);
	s->jobs[s->count++] = *job;
	s->token_count += r->token_count;
	s->epoch = w->epoch;
	return true;
}

/*
 * The route of a part is read anew: it is the one that the job's pins live under. A reply of what is
 * not active any more is nothing to compare with.
 */
static void offer_part(struct wrk *w, const struct wrk_request *r, uint32_t part, const char *adapter,
		       const struct wrk_place *place)
{
	int entry = place->placed ? wrk_board_find(w, r->rq.model, adapter) : -1;
	struct wrk_job job = { .part = part };
	struct mhs_route route;

	if (entry < 0)
		return;
	job.entry = (uint32_t)entry;
	route = route_of(w, job.entry);
	side_of(r, &job.stable);
	if (route.mode != MHS_MODE_SHADOW || !route.candidate || place->point >= route.weight ||
	    route.active != job.stable.parts[part].index || route.candidate == route.active)
		return;
	job.candidate = job.stable;
	job.candidate.parts[part].index = route.candidate;
	job.candidate.parts[part].serial = 0;
	if (!side_pin(w, &job.stable))
		return;
	if (!side_pin(w, &job.candidate)) {
		side_unpin(w, &job.stable, 1 + job.stable.adapter_count);
		return;
	}
	if (job_add(w, r, &job))
		return;
	count_drop(w, &job);
	side_unpin(w, &job.candidate, 1 + job.candidate.adapter_count);
	side_unpin(w, &job.stable, 1 + job.stable.adapter_count);
}

void wrk_shadow_offer(struct wrk *w, struct wrk_request *r)
{
	if (w->stopping || !is_sound_reply(r))
		return;
	offer_part(w, r, 0, "", &r->place);
	for (uint32_t i = 0; r->set && i < r->set->count; i++)
		offer_part(w, r, 1 + i, r->set->refs[i].name, &r->set->places[i]);
}
