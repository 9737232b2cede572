/* SPDX-License-Identifier: MIT */
/*
 * wrk_queue.c: who is admitted next. Each lane, so each connection, has a queue of its own; they
 * take turns, one request each, so that a hundred requests of one client delay another's by one.
 */
#include "wrk.h"

static void put(struct wrk_request *r)
{
	struct wrk_request **at = &r->lane->queue;

	while (*at)
		at = &(*at)->queue_next;
	*at = r;
	r->state = WRK_QUEUED;
}

static void take(struct wrk_request *r)
{
	struct wrk_request **at = &r->lane->queue;

	while (*at != r)
		at = &(*at)->queue_next;
	*at = r->queue_next;
	r->queue_next = NULL;	/* it may come back */
}

/*
 * Places are shared by those who wait: over the limit, only who has more than a share is refused.
 */
bool wrk_queue_is_full(const struct wrk *w, const struct wrk_lane *lane)
{
	uint32_t waiting = 0;

	if (w->queued_count <= w->limits.queue)
		return false;
	for (const struct wrk_lane *l = w->lanes; l; l = l->next)
		waiting += l->queued_count != 0;
	return lane->queued_count > 1 && lane->queued_count > w->limits.queue / waiting;
}

void wrk_queue_add(struct wrk *w, struct wrk_request *r)
{
	put(r);
	r->lane->queued_count++;
	w->queued_count++;
}

void wrk_queue_remove(struct wrk *w, struct wrk_request *r)
{
	if (r->state == WRK_QUEUED)
		take(r);
	r->lane->queued_count--;
	w->queued_count--;
}

void wrk_queue_park(struct wrk_request *r)
{
	take(r);
	r->state = WRK_WAITING;
}

void wrk_queue_return(struct wrk_request *r)
{
	put(r);
}

void wrk_queue_drop_lane(struct wrk *w, const struct wrk_lane *lane)
{
	if (w->admit_lane == lane)
		w->admit_lane = lane->next;
}

/* Ends when no lane in a whole round has anything that can go. */
void wrk_admit(struct wrk *w)
{
	const struct wrk_lane *round = NULL;

	while (w->queued_count && w->running_count < WRK_BATCH_MAX) {
		struct wrk_lane *lane = w->admit_lane ? w->admit_lane : w->lanes;
		struct wrk_request *r = lane->queue;

		if (r && !wrk_admit_one(w, r))
			return;		/* its turn stays: it goes first when there is memory */
		w->admit_lane = lane->next;
		if (r && lane->queue != r)
			round = NULL;
		else if (lane == round)
			return;
		else if (!round)
			round = lane;
	}
}
