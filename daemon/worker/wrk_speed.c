/* SPDX-License-Identifier: MIT */
/*
 * wrk_speed.c: is a candidate slower than the active version, when both run on one worker? Their steps
 * take turns, so a slow one makes the replies of both slow, and latencies do not tell whose fault it
 * is. Steps do: each without prompts is held against what the active version's steps of as many rows
 * take at this time. How fast the machine is just now (the level) is learnt quickly, since others use
 * it too; what one more row costs (the shape) slowly, since that belongs to the model. Steps that
 * follow one of another version are a class of their own: one that follows its like finds its weights
 * in the cache, and the version with little traffic seldom does.
 *
 * Steps with adapters are a class too. Rows of an adapter and of its candidate share them, and what they
 * take: a slower candidate shows in those that its rows have for themselves.
 */
#include <math.h>

#include "wrk.h"

#define LEVEL_WEIGHT	0.125f	/* of the newest measurement */
#define SHAPE_WEIGHT	0.02f
#define SHAPE_MIN	8u	/* measurements before a number of rows is relied on */
#define OUTLIER		2.0f	/* times the usual: a step that was interrupted counts as no more */

static bool is_known(const struct wrk_speed *s, uint32_t rows)
{
	return s->count[rows] >= SHAPE_MIN;
}

/* Between numbers of rows that are known; 0: beyond them. */
static float shape_of(const struct wrk_speed *s, uint32_t rows)
{
	uint32_t low = rows, high = rows;

	if (rows > WRK_COST_ROWS)
		return 0;
	while (low && !is_known(s, low))
		low--;
	while (high <= WRK_COST_ROWS && !is_known(s, high))
		high++;
	if (!low || high > WRK_COST_ROWS)
		return 0;
	if (low == high)
		return s->shape[low];
	return s->shape[low] + (s->shape[high] - s->shape[low]) * (float)(rows - low) / (float)(high - low);
}

static void learn(struct wrk_speed *s, uint32_t rows, float ns)
{
	float *shape = &s->shape[rows], weight;

	if (!rows || rows > WRK_COST_ROWS)
		return;
	if (s->level <= 0)
		s->level = ns;
	if (!s->count[rows])
		*shape = ns / s->level;
	weight = fmaxf(1.0f / (float)(s->count[rows] + 1), SHAPE_WEIGHT);
	*shape += (fminf(ns / s->level, OUTLIER * *shape) - *shape) * weight;
	s->level += (fminf(ns / *shape, OUTLIER * s->level) - s->level) * LEVEL_WEIGHT;
	s->count[rows]++;
}

/* The active version of @v's model; NULL: none, or @v is neither it nor its candidate. */
static const struct wrk_version *active_of(struct wrk *w, struct wrk_version *v)
{
	struct mhs_route route;

	if (v->model_index < 0)
		v->model_index = wrk_board_find(w, v->image->model, "");
	if (v->model_index < 0)
		return NULL;
	/* relaxed: only compared with, inside a turn */
	route = mhs_route_unpack(atomic_load_explicit(&w->board->models[v->model_index].route,
						      memory_order_relaxed));
	if (!route.candidate || (v->index != route.active && v->index != route.candidate))
		return NULL;
	return wrk_version_by_index(w, route.active);
}

static bool has_adapters(const struct wrk *w)
{
	for (uint32_t i = 0; i < w->row_count; i++)
		if (w->rows[i].adapter_count)
			return true;
	return false;
}

void wrk_speed_note(struct wrk *w, struct wrk_version *v, uint64_t ns)
{
	uint32_t after = w->stepped != v->serial;
	bool adapted = has_adapters(w);
	const struct wrk_version *active = active_of(w, v);
	const struct wrk_speed *speed;
	float usual = 0;

	/* an adapter may have a candidate while the version below has none */
	if (!active && adapted)
		active = v;
	if (active) {
		speed = &active->speed[adapted][after];
		usual = speed->level * shape_of(speed, w->row_count);
	}
	for (uint32_t i = 0; usual > 0 && i < w->row_count; i++) {
		struct wrk_request *r = w->row_owner[i];

		if (w->row_ahead[i])
			continue;	/* one row a request */
		r->slower[r->compared++ % WRK_SPEED_STEPS] = (float)ns / usual;
		r->usual_ns += (uint64_t)usual;
	}
	if (active == v)
		learn(&v->speed[adapted][after], w->row_count, (float)ns);
	w->stepped = v->serial;
}

/* The median: steps that the machine interrupted do not count for more. */
uint64_t wrk_speed_own_ns(const struct wrk_request *r)
{
	uint32_t n = r->compared < WRK_SPEED_STEPS ? r->compared : WRK_SPEED_STEPS;
	float sorted[WRK_SPEED_STEPS];

	if (!n)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = i;

		for (; at && sorted[at - 1] > r->slower[i]; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = r->slower[i];
	}
	return (uint64_t)((double)r->usual_ns * (double)(sorted[(n - 1) / 2] + sorted[n / 2]) / 2);
}
