/* SPDX-License-Identifier: MIT */
/*
 * fuzz_lane.c: the input is what a hostile client left in its submit ring (first 8 bytes: its head word). The worker
 * must take it, or cut the lane, without a bad access; every request taken must end.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "wrk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mhs_board board;
static struct mhs_slot slot;
static struct mhs_stats stats;
static struct wrk w;

static void world_make(void)
{
	int pair[2];

	log_init("fuzz", LOG_LVL_ERROR);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair))
		abort();
	close(pair[1]);
	w.control = pair[0];
	w.orphan = true;
	w.epoll = epoll_create1(0);
	w.board = &board;
	w.slot = &slot;
	w.stats = &stats;
	w.limits.queue = 8;
	w.record = malloc(WRK_RECORD_BYTES);
	w.requests_end = &w.requests;
	w.initialised = true;
}

static struct mhs_lane *lane_make(void)
{
	struct mhs_map map;
	int fds[3] = { mhs_seg_create("fuzz", sizeof(struct mhs_lane)), eventfd(0, EFD_NONBLOCK),
		       eventfd(0, EFD_NONBLOCK) };

	if (mhs_seg_map_rw(fds[0], sizeof(struct mhs_lane), &map) ||
	    wrk_lane_open(&w, &(struct hrt_lane){ .id = 1 }, fds))
		abort();
	return map.addr;
}

static void turns(void)
{
	for (int i = 0; i < 4; i++) {
		wrk_lanes_take(&w);
		wrk_admit(&w);
		wrk_requests_flush(&w);
		wrk_lanes_ring(&w);
		wrk_requests_reap(&w);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mhs_map map;
	uint64_t head;

	if (size < sizeof(head) || size - sizeof(head) > MHS_SUBMIT_BYTES)
		return 0;
	if (!w.initialised)
		world_make();
	map = (struct mhs_map){ lane_make(), sizeof(struct mhs_lane) };
	memcpy(&head, data, sizeof(head));
	memcpy(((struct mhs_lane *)map.addr)->submit_data, data + sizeof(head), size - sizeof(head));
	atomic_store_explicit(&((struct mhs_lane *)map.addr)->submit.head, head,
			      memory_order_release);
	turns();
	wrk_lane_close(&w, 1);
	wrk_requests_reap(&w);
	mhs_seg_unmap(&map);
	if (w.requests || w.lanes || w.queued_count || w.running_count)
		abort();	/* a request was lost */
	return 0;
}
