/* SPDX-License-Identifier: MIT */
/* wrk_trial.c: what a split does to a request (wrk.h). */
#include <stdlib.h>
#include <string.h>

#include "wrk.h"

#define POINTS_APART	157u	/* between the first points of two workers */

static uint32_t place_point(struct wrk *w, struct wrk_place *place, uint64_t key, uint32_t entry)
{
	if (!place->placed)
		place->point = key ? mhs_route_point(key) :
			       mhs_route_turn(w->route_turns[entry]++ + w->index * POINTS_APART);
	place->placed = true;
	return place->point;
}

uint32_t wrk_trial_point(struct wrk *w, struct wrk_request *r, uint32_t model)
{
	return place_point(w, &r->place, r->rq.session_key, model);
}

/* Of each adapter a session has another place, so that two releases at a time are not one. */
uint32_t wrk_trial_adapter_point(struct wrk *w, struct wrk_request *r, uint32_t i, uint32_t entry)
{
	uint64_t key = r->rq.session_key;

	if (key)
		key ^= wrk_name_hash(r->rq.model, r->set->refs[i].name);
	return place_point(w, &r->set->places[i], key, entry);
}

uint32_t wrk_trial_held_bytes(const struct wrk_request *r)
{
	uint64_t prompt = (uint64_t)r->prompt_count * sizeof(*r->tokens);
	uint64_t chunks = prompt / MHS_CHUNK_BYTES + 1;

	/* a record's head and padding: 16 bytes at most */
	return (uint32_t)(sizeof(r->begin) + r->begin.adapter_count * sizeof(r->set->used[0]) + 16 +
			  prompt + chunks * (sizeof(struct mhs_chunk) + 16));
}

/* A prompt that the ring could not hold beside a token is shown at once. */
bool wrk_trial_may_hold(const struct wrk_request *r)
{
	return r->prompt_count < MHS_EVENT_BYTES / 4 / sizeof(*r->tokens);
}

void wrk_trial_show(struct wrk *w, struct wrk_request *r)
{
	if (!r->on_trial)
		return;
	r->on_trial = false;
	wrk_request_flush(w, r);
}

static void place_move(struct wrk_place *place)
{
	if (place->candidate)
		place->point = MHS_ROUTE_WEIGHT_MAX;
	place->candidate = false;
}

void wrk_trial_move(struct wrk_request *r)
{
	free(r->scores);
	free(r->vector);
	free(r->text);
	r->scores = NULL;
	r->vector = NULL;
	r->text = NULL;
	wrk_draft_fini(&r->draft);
	memset(&r->draft, 0, sizeof(r->draft));
	memset(&r->begin, 0, sizeof(r->begin));
	r->token_count = r->prompt_count;
	wrk_grammar_reset(r->grammar);
	r->computed = r->cached_count = r->published = r->preempted = 0;
	r->scores_done = r->text_bytes = 0;
	r->first_ns = r->stalled_ns = r->usual_ns = 0;
	r->compared = 0;
	r->reason = r->error = 0;
	r->on_trial = false;
	r->moved = true;
	place_move(&r->place);
	for (uint32_t i = 0; r->set && i < r->set->count; i++)
		place_move(&r->set->places[i]);
	r->state = WRK_QUEUED;
}
