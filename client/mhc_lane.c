/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <unistd.h>

#include "mhc_priv.h"

void mhc_lane_free(struct mhc_lane **lane)
{
	struct mhc_lane *l = *lane;

	*lane = NULL;
	mhs_seg_unmap(&l->map);
	close(l->submit_bell);
	free(l);
}

void mhc_lane_ring(struct mhost *s, struct mhc_lane *lane)
{
	s->rang = true;
	mhs_bell_ring(lane->submit_bell);
}

struct mhc_lane *mhc_lane_least(struct mhost *s)
{
	struct mhc_lane *best = NULL;

	for (struct mhc_lane *lane = s->lanes; lane; lane = lane->next)
		if (!lane->down && (!best || lane->open_count < best->open_count))
			best = lane;
	return best;
}

void mhc_lanes_arm(struct mhost *s)
{
	for (struct mhc_lane *lane = s->lanes; lane; lane = lane->next) {
		mhs_bell_make_room(&s->bell, 1);
		mhs_ring_arm(&lane->event);
	}
}

void mhc_lanes_disarm(struct mhost *s)
{
	for (struct mhc_lane *lane = s->lanes; lane; lane = lane->next)
		mhs_ring_disarm(&lane->event);
}

bool mhc_lanes_pending(struct mhost *s)
{
	for (struct mhc_lane *lane = s->lanes; lane; lane = lane->next)
		if (!mhs_ring_is_empty(&lane->event))
			return true;
	return false;
}
