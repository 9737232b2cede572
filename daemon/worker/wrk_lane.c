/* SPDX-License-Identifier: MIT */
/*
 * wrk_lane.c: the rings of each client. Everything in them is hostile: a record is copied once,
 * checked, then used; a client that breaks a rule loses its lane and nobody else notices.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "wrk.h"

static void lane_free(struct wrk *w, struct wrk_lane *lane)
{
	epoll_ctl(w->epoll, EPOLL_CTL_DEL, lane->submit_bell.fd, NULL);
	mhs_seg_unmap(&lane->map);
	close(lane->submit_bell.fd);
	close(lane->event_bell);
	free(lane);
}

/* Takes the three descriptors in every case. */
int wrk_lane_open(struct wrk *w, const struct hrt_lane *given, const int fds[3])
{
	struct wrk_lane *lane = calloc(1, sizeof(*lane));
	struct epoll_event ev = { .events = WRK_BELL_EVENTS, .data.fd = fds[1] };
	int err = -ENOMEM;

	if (!lane)
		goto fail;
	err = mhs_seg_check_seals(fds[0], F_SEAL_SHRINK | F_SEAL_GROW);
	if (!err)
		err = mhs_seg_map_rw(fds[0], sizeof(struct mhs_lane), &lane->map);
	if (err)
		goto fail;
	err = epoll_ctl(w->epoll, EPOLL_CTL_ADD, fds[1], &ev) ? -errno : 0;
	if (err)
		goto unmap;
	close(fds[0]);
	lane->id = given->id;
	lane->uid = given->uid;
	lane->submit_bell.fd = fds[1];
	lane->event_bell = fds[2];
	lane->submit = mhs_lane_submit_end(lane->map.addr);
	lane->event = mhs_lane_event_end(lane->map.addr);
	lane->next = w->lanes;
	w->lanes = lane;
	return 0;
unmap:
	mhs_seg_unmap(&lane->map);
fail:
	free(lane);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	return err;
}

void wrk_lane_close(struct wrk *w, uint32_t id)
{
	for (struct wrk_lane **at = &w->lanes; *at; at = &(*at)->next) {
		struct wrk_lane *lane = *at;

		if (lane->id != id)
			continue;
		wrk_requests_drop_lane(w, lane);
		wrk_queue_drop_lane(w, lane);
		*at = lane->next;
		lane_free(w, lane);
		return;
	}
}

/*
 * The lane stays listed (the supervisor closes it), but nothing is read from it or written to it.
 */
void wrk_lane_reject(struct wrk *w, struct wrk_lane *lane, const char *why)
{
	if (lane->bad)
		return;
	lane->bad = true;
	wrk_requests_drop_lane(w, lane);
	wrk_control_say(w, HRT_LANE_BAD, lane->id, 0, -EPROTO, why);
}

static void ref_take(struct wrk *w, struct wrk_lane *lane, uint32_t type, uint32_t bytes)
{
	struct mhs_ref ref;

	if (bytes != sizeof(ref)) {
		wrk_lane_reject(w, lane, "ping or cancel record has the wrong length");
		return;
	}
	memcpy(&ref, w->record, sizeof(ref));
	if (type == MHS_REC_CANCEL)
		wrk_request_cancel(w, lane, ref.request_id);
	else
		wrk_lane_put(lane, MHS_REC_PONG, &(struct mhs_piece){ &ref, sizeof(ref) }, 1);
}

static void record_take(struct wrk *w, struct wrk_lane *lane, uint32_t type, uint32_t bytes)
{
	switch (type) {
	case MHS_REC_GENERATE:
	case MHS_REC_SCORE:
	case MHS_REC_TOKENIZE:
	case MHS_REC_DETOKENIZE:
	case MHS_REC_EMBED:
		wrk_request_take(w, lane, type, bytes);
		break;
	case MHS_REC_PING:
	case MHS_REC_CANCEL:
		ref_take(w, lane, type, bytes);
		break;
	default:
		wrk_lane_reject(w, lane, "unknown record type");
	}
}

static uint32_t lane_take(struct wrk *w, struct wrk_lane *lane)
{
	uint32_t taken = 0, type;

	if (lane->damaged)
		wrk_lane_reject(w, lane, "event ring is damaged");
	while (!lane->bad && taken < WRK_LANE_RECORDS) {
		int64_t n = mhs_ring_get(&lane->submit, &type, w->record, WRK_RECORD_BYTES);

		if (n == -EAGAIN)
			break;
		if (n < 0)
			wrk_lane_reject(w, lane, "submit ring is damaged");
		else
			record_take(w, lane, type, (uint32_t)n);
		taken++;
	}
	if (taken && !lane->bad && mhs_ring_should_feed(&lane->submit))
		lane->ring_bell = true;
	return taken;
}

uint32_t wrk_lanes_take(struct wrk *w)
{
	uint32_t taken = 0;

	for (struct wrk_lane *lane = w->lanes; lane; lane = lane->next)
		taken += lane_take(w, lane);
	return taken;
}

bool wrk_lanes_pending(struct wrk *w)
{
	for (struct wrk_lane *lane = w->lanes; lane; lane = lane->next)
		if (!lane->bad && !mhs_ring_is_empty(&lane->submit))
			return true;
	return false;
}

static void lane_arm(struct wrk_lane *lane)
{
	/* once for a record, once for room that the client made */
	mhs_bell_make_room(&lane->submit_bell, 2);
	mhs_ring_arm(&lane->submit);
}

void wrk_lanes_arm(struct wrk *w)
{
	for (struct wrk_lane *lane = w->lanes; lane; lane = lane->next)
		if (!lane->bad)
			lane_arm(lane);
}

void wrk_lanes_disarm(struct wrk *w)
{
	for (struct wrk_lane *lane = w->lanes; lane; lane = lane->next)
		if (!lane->bad)
			mhs_ring_disarm(&lane->submit);
}

void wrk_lanes_ring(struct wrk *w)
{
	for (struct wrk_lane *lane = w->lanes; lane; lane = lane->next) {
		if (!lane->ring_bell)
			continue;
		lane->ring_bell = false;
		mhs_bell_ring(lane->event_bell);
	}
}

/*
 * Puts one record; false: no room now. A damaged ring costs the client its lane at the next take.
 */
bool wrk_lane_put(struct wrk_lane *lane, uint32_t type, const struct mhs_piece *pieces,
		  uint32_t count)
{
	int err;

	if (lane->bad || lane->damaged)
		return true;
	err = mhs_ring_put(&lane->event, type, pieces, count);
	if (err == -EPROTO)
		lane->damaged = true;
	if (err)
		return false;
	if (mhs_ring_should_wake(&lane->event))
		lane->ring_bell = true;
	return true;
}
