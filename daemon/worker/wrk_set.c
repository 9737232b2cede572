/* SPDX-License-Identifier: MIT */
/*
 * wrk_set.c: the adapters of a request. All are pinned in the turn in which its version is, so what it
 * runs on belongs together from its BEGIN to its END, whatever the routes do.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wrk.h"

#define SCALE_USUAL	2.0f	/* beyond it a failure may be the client's own doing */

/* -- what a client may ask for ----------------------------------------------------------------- */

static const char *check_ref(const struct mhs_adapter_ref *refs, uint32_t i, char *text)
{
	const struct mhs_adapter_ref *ref = &refs[i];

	if (!ref->name[0])
		return "adapter: a name is empty";
	if (!isfinite(ref->scale)) {
		snprintf(text, MHS_MESSAGE_BYTES, "adapter \"%s\": scale is %g, must be finite", ref->name,
			 (double)ref->scale);
		return text;
	}
	for (uint32_t k = 0; k < i; k++)
		if (!strcmp(refs[k].name, ref->name)) {
			snprintf(text, MHS_MESSAGE_BYTES, "adapter \"%s\": named twice, name it once",
				 ref->name);
			return text;
		}
	return NULL;
}

const char *wrk_set_check(const struct mhs_request *rq, uint32_t kind, const uint8_t *payload,
			  char text[MHS_MESSAGE_BYTES])
{
	struct mhs_adapter_ref refs[MHS_ADAPTERS_MAX];
	const char *wrong = NULL;

	if (rq->adapter_count > MHS_ADAPTERS_MAX) {
		snprintf(text, MHS_MESSAGE_BYTES, "%u adapters asked for, at most %u", rq->adapter_count,
			 MHS_ADAPTERS_MAX);
		return text;
	}
	if (!rq->adapter_count)
		return NULL;
	memcpy(refs, payload + rq->stop_bytes + rq->prompt_bytes, rq->adapter_count * sizeof(refs[0]));
	for (uint32_t i = 0; i < rq->adapter_count; i++)
		if (refs[i].reserved0 || !wrk_name_ok(refs[i].name, MHS_NAME_BYTES) ||
		    !wrk_name_ok(refs[i].semver, MHS_SEMVER_BYTES))
			return "";
	if (!wrk_takes_steps(kind))
		return "adapter: has no part in tokenizing";
	for (uint32_t i = 0; !wrong && i < rq->adapter_count; i++)
		wrong = check_ref(refs, i, text);
	return wrong;
}

int wrk_set_init(struct wrk_request *r)
{
	if (!r->rq.adapter_count)
		return 0;
	r->set = calloc(1, sizeof(*r->set));
	if (!r->set)
		return -ENOMEM;
	r->set->count = r->rq.adapter_count;
	memcpy(r->set->refs, r->payload + r->rq.stop_bytes + r->rq.prompt_bytes,
	       r->set->count * sizeof(r->set->refs[0]));
	return 0;
}

/* -- pins -------------------------------------------------------------------------------------- */

/* The route's choice, pinned and attached here; negative errno. */
static int pin_routed(struct wrk *w, struct wrk_request *r, uint32_t i)
{
	const struct mhs_adapter_ref *ref = &r->set->refs[i];
	int entry = wrk_board_find(w, r->rq.model, ref->name), index;
	struct mhs_route route;

	if (entry < 0)
		return entry;
	index = mhs_pin_route(w->board, w->slot, (uint32_t)entry,
			      wrk_trial_adapter_point(w, r, i, (uint32_t)entry), &route);
	if (index < 0)
		return index;
	r->set->places[i].candidate = (uint32_t)index != route.active;
	r->set->adapters[i] = w->adapters.by_index[index];
	if (r->set->adapters[i])
		return 0;
	mhs_unpin(w->slot, (uint32_t)index);
	return -ENOENT;
}

static int pin_named(struct wrk *w, struct wrk_request *r, uint32_t i)
{
	const struct mhs_adapter_ref *ref = &r->set->refs[i];
	struct wrk_adapter *a = wrk_adapter_by_name(w, r->rq.model, ref->name, ref->semver);

	if (!a || mhs_pin_version(w->board, w->slot, a->index))
		return -ENOENT;
	r->set->adapters[i] = a;
	return 0;
}

/* It is pinned. */
static int take(struct wrk *w, struct wrk_request *r, uint32_t i, const struct wrk_version *v)
{
	struct wrk_adapter *a = r->set->adapters[i];
	struct mhs_adapter_used *used = &r->set->used[i];
	const char *field = "";
	int err = wrk_adapter_fit(w, a, v, &field);

	if (err == -ENOMEM)
		wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_INTERNAL, "out of memory for an adapter");
	else if (err)
		wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_NO_ADAPTER,
				"adapter %s@%.47s does not fit %s@%.47s: %s differs", r->set->refs[i].name,
				a->image->semver, r->rq.model, v->image->semver, field);
	if (err)
		return err;
	r->set->list[i] = (struct eng_adapter){ &a->lora, r->set->refs[i].scale };
	used->scale = r->set->refs[i].scale;
	used->version_index = a->index;
	r->set->serials[i] = a->serial;
	memcpy(used->name, a->image->adapter, sizeof(used->name));
	memcpy(used->semver, a->image->semver, sizeof(used->semver));
	memcpy(used->content_hash, a->image->content_hash, sizeof(used->content_hash));
	return 0;
}

bool wrk_set_pin(struct wrk *w, struct wrk_request *r, const struct wrk_version *v)
{
	const struct mhs_adapter_ref *ref;
	int err = 0;

	for (uint32_t i = 0; r->set && !err && i < r->set->count; i++) {
		ref = &r->set->refs[i];
		err = ref->semver[0] ? pin_named(w, r, i) : pin_routed(w, r, i);
		if (!err)
			err = take(w, r, i, v);
		if (!err)
			continue;
		wrk_set_unpin(w, r);
		if (err == -ENOENT)
			wrk_want(w, r, ref);
	}
	return !err;
}

void wrk_set_unpin(struct wrk *w, struct wrk_request *r)
{
	for (uint32_t i = 0; r->set && i < r->set->count; i++) {
		if (r->set->adapters[i])
			mhs_unpin(w->slot, r->set->adapters[i]->index);
		r->set->adapters[i] = NULL;
	}
}

/* -- who is to blame --------------------------------------------------------------------------- */

bool wrk_set_is_candidate(const struct wrk_set *set)
{
	for (uint32_t i = 0; set && i < set->count; i++)
		if (set->places[i].candidate)
			return true;
	return false;
}

bool wrk_set_is_scaled_up(const struct wrk_set *set)
{
	for (uint32_t i = 0; set && i < set->count; i++)
		if (fabsf(set->refs[i].scale) > SCALE_USUAL)
			return true;
	return false;
}

uint32_t wrk_set_parts(const struct wrk_request *r, struct wrk_part parts[WRK_PARTS_MAX])
{
	const struct wrk_set *set = r->set;
	bool split = r->place.candidate || wrk_set_is_candidate(set), scaled;
	uint32_t count = 0;

	parts[count++] = (struct wrk_part){ r->version->index, r->version->serial, false,
					    split ? r->place.candidate : !set, &r->version->row };
	if (!set)
		return count;
	scaled = wrk_set_is_scaled_up(set);
	parts[0].blamed = parts[0].blamed && !scaled;
	for (uint32_t i = 0; i < set->count; i++)
		parts[count++] = (struct wrk_part){
			set->adapters[i]->index, set->adapters[i]->serial, true,
			!scaled && (!split || set->places[i].candidate), &set->adapters[i]->row,
		};
	return count;
}

struct mhs_stats_row *wrk_part_row(struct wrk *w, const struct wrk_part *part)
{
	struct mhs_stats_row *row = part->row ? *part->row : NULL;

	/* another may have claimed it since */
	if (row && mhs_stats_get(&row->version_serial) == (part->serial << 12 | part->index))
		return row;
	row = part->is_adapter ? mhs_stats_adapter_row(w->stats, part->index, part->serial) :
				 mhs_stats_row(w->stats, part->index, part->serial);
	if (part->row)
		*part->row = row;
	return row;
}
