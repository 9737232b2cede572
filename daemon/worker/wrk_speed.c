/* SPDX-License-Identifier: MIT */
/*
 * wrk_speed.c: is a candidate slower than the active version, when both run on one worker? Their steps
 * take turns, so a slow one makes the replies of both slow, and latencies do not tell whose fault it
 * is. Steps do: each without prompts is held against what the active version's steps of as many rows
 * take at this time. Only steps that follow one of another version count, on both sides: one that
 * follows its like finds its weights in the cache, and the version with little traffic never does.
 */
#include "wrk.h"

/* The active version of @v's model; NULL: none, or @v is neither it nor its candidate. */
static const struct wrk_version *active_of(struct wrk *w, struct wrk_version *v)
{
	struct mhs_route route;

	if (v->model_index < 0)
		v->model_index = mhs_board_find_model(w->board, v->image->model);
	if (v->model_index < 0)
		return NULL;
	/* relaxed: only compared with, inside a turn */
	route = mhs_route_unpack(atomic_load_explicit(&w->board->models[v->model_index].route,
						      memory_order_relaxed));
	if (!route.candidate || (v->index != route.active && v->index != route.candidate))
		return NULL;
	return wrk_version_by_index(w, route.active);
}

void wrk_speed_note(struct wrk *w, struct wrk_version *v, uint64_t ns)
{
	uint32_t class = w->stepped != v->serial;
	const struct wrk_version *active = active_of(w, v);
	float usual = active ? wrk_costs_between(&active->turn_costs[class], w->row_count) : 0;

	for (uint32_t i = 0; usual > 0 && i < w->row_count; i++) {
		struct wrk_request *r = w->row_owner[i];

		if (w->row_ahead[i])
			continue;	/* one row a request */
		r->own_ns += ns;
		r->usual_ns += (uint64_t)usual;
	}
	if (active == v)
		wrk_costs_add(&v->turn_costs[class], w->row_count, ns);
	w->stepped = v->serial;
}
