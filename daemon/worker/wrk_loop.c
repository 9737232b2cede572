/* SPDX-License-Identifier: MIT */
/* wrk_loop.c: the turn, and how a worker sleeps, wakes and ends. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "log.h"
#include "wrk.h"

#define STOP_FLUSH_NS	UINT64_C(2000000000)	/* for clients to take their last events */
#define NAP_MS		20			/* sleep while something waits for room or time */
/* between looks at the control socket while awake */
#define CONTROL_NS	UINT64_C(50000)
#define CONTROL_BUSY_NS	UINT64_C(10000000)	/* the same while requests run */
#define SPIN_TURNS	64			/* looks at the rings between two turns */
#define CPU_SETS	8			/* 8 x 1024 CPUs */
/* a yield that takes longer let somebody else run */
#define SHARED_NS	UINT64_C(1500)
#define MOVE_NS		UINT64_C(2000000)	/* between moves to another CPU */

uint64_t wrk_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int map_segments(struct wrk *w, const int fds[5])
{
	int err = mhs_seg_map_ro(fds[0], sizeof(struct mhs_board), 0, &w->board_map);

	if (!err)
		err = mhs_seg_map_rw(fds[1], sizeof(struct mhs_slot), &w->slot_map);
	if (!err)
		err = mhs_seg_map_rw(fds[2], sizeof(struct mhs_stats), &w->stats_map);
	if (!err)
		err = mhs_seg_map_rw(fds[3], sizeof(struct mhs_replies), &w->replies_map);
	if (err)
		return err;
	w->board = w->board_map.addr;
	w->slot = w->slot_map.addr;
	w->stats = w->stats_map.addr;
	w->replies = w->replies_map.addr;
	if (mhs_header_check(&w->board->head, MHS_MAGIC_BOARD, w->board_map.bytes, NULL, NULL) ||
	    mhs_header_check(&w->slot->head, MHS_MAGIC_SLOT, w->slot_map.bytes, NULL, NULL) ||
	    mhs_header_check(&w->stats->head, MHS_MAGIC_STATS, w->stats_map.bytes, NULL, NULL) ||
	    mhs_header_check(&w->replies->head, MHS_MAGIC_REPLIES, w->replies_map.bytes, NULL, NULL))
		return -EPROTO;
	return 0;
}

static int watch(struct wrk *w, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };

	return epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

/* Takes the five descriptors in every case. */
int wrk_init(struct wrk *w, const struct hrt_msg *msg, const int fds[5],
	     char text[HERITAGE_TEXT_BYTES])
{
	const struct hrt_init *init = &msg->init;
	int err = map_segments(w, fds);

	for (int i = 0; i < 4; i++)
		close(fds[i]);
	w->bell.fd = fds[4];
	w->index = init->worker;
	w->limits = init->limits;
	w->record = malloc(WRK_RECORD_BYTES);
	if (!err && !w->record)
		err = -ENOMEM;
	if (!err)
		err = watch(w, w->bell.fd, WRK_BELL_EVENTS);
	if (!err)
		err = eng_new(&w->eng, init->isa, init->threads);
	if (err && !eng_isa_usable(init->isa))
		snprintf(text, HERITAGE_TEXT_BYTES, "isa %s: this CPU does not have it; choose auto, or %s",
			 eng_isa_name(init->isa), eng_isa_name(eng_isa_best()));
	else if (err)
		snprintf(text, HERITAGE_TEXT_BYTES, "worker %u cannot start (isa %s, %u threads): %s",
			 init->worker, eng_isa_name(init->isa), init->threads, strerror(-err));
	w->initialised = !err;
	return err;
}

static void control_lost(struct wrk *w)
{
	log_warning("the supervisor is gone; going on until idle for %d s", HERITAGE_ORPHAN_MS / 1000);
	epoll_ctl(w->epoll, EPOLL_CTL_DEL, w->control, NULL);
	w->orphan = true;
	wrk_wants_lost(w);
}

/*
 * A system call: not in each turn. A message or hang-up ends a sleep, and then it is due at once.
 */
static void control_look(struct wrk *w, uint64_t now)
{
	/* an answer that requests wait for is looked for as if nothing ran */
	bool busy = w->running_count && !w->wants;

	if (w->orphan || now - w->control_ns < (busy ? CONTROL_BUSY_NS : CONTROL_NS))
		return;
	w->control_ns = now;
	wrk_wants_say(w);
	if (wrk_control_poll(w))
		control_lost(w);
}

static void publish_load(struct wrk *w)
{
	atomic_store_explicit(&w->slot->running, w->running_count, memory_order_relaxed);
	atomic_store_explicit(&w->slot->queued, w->queued_count, memory_order_relaxed);
}

/* One turn. True: something was done. */
static bool turn(struct wrk *w)
{
	uint64_t now = wrk_now_ns();
	bool worked;

	/* The epoch comes first: only routes read after it are covered by the grace period. */
	w->epoch = mhs_epoch_adopt(w->board, w->slot, now);
	wrk_shadow_look(w);
	control_look(w, now);
	worked = wrk_lanes_take(w) > 0;
	wrk_lanes_ring(w);	/* what needs no step is not to wait for one */
	if (worked && w->idle_since_ns)
		mhs_spin_learn(&w->spin, now - w->idle_since_ns, w->spin_ns);
	wrk_requests_expire(w, now);
	wrk_room_resume(w);
	wrk_admit(w);
	wrk_requests_flush(w);
	if (wrk_batch_step(w))
		worked = true;
	wrk_requests_flush(w);
	wrk_lanes_ring(w);
	wrk_requests_reap(w);
	publish_load(w);
	if (wrk_shadow_step(w))
		worked = true;
	return worked;
}

static void starve_lanes(struct wrk *w)
{
	for (struct wrk_request *r = w->requests; r; r = r->next)
		if (r->lane && !r->lane->bad)
			mhs_ring_starve(&r->lane->event);
}

static bool has_news(struct wrk *w)
{
	return wrk_lanes_pending(w) || mhs_epoch_moved(w->board, w->epoch);
}

/*
 * Arm every bell, look once more, then sleep. Offline while asleep: no route is read until adopt.
 */
static void sleep_once(struct wrk *w)
{
	struct epoll_event events[16];
	int n = 0;

	mhs_bell_make_room(&w->bell, 1);
	wrk_lanes_arm(w);
	starve_lanes(w);
	mhs_epoch_offline(w->slot);
	eng_rest(w->eng);
	if (!has_news(w))
		n = epoll_wait(w->epoll, events, 16, w->requests ? NAP_MS :
			       w->orphan || w->stopping ? 100 : -1);
	w->control_ns = n > 0 ? wrk_now_ns() : 0;
	for (int i = 0; i < n; i++)
		if (events[i].data.fd == w->control)
			w->control_ns = 0;
	wrk_lanes_disarm(w);
}

/* To another CPU of ours, if there is one; then anywhere again. A refusal costs speed only. */
static void move_away(void)
{
	cpu_set_t all[CPU_SETS], others[CPU_SETS];
	int cpu = sched_getcpu();

	if (cpu < 0 || sched_getaffinity(0, sizeof(all), all))
		return;
	memcpy(others, all, sizeof(all));
	CPU_CLR_S((size_t)cpu, sizeof(others), others);
	if (sched_setaffinity(0, sizeof(others), others) == 0)
		(void)sched_setaffinity(0, sizeof(all), all);
}

/*
 * A bell wakes the client on this CPU as a rule, since its ringer mostly sleeps next. One that
 * spins instead lets the client run, and goes elsewhere: then both spin, and no kernel is between
 * them.
 */
static void yield(struct wrk *w)
{
	uint64_t before = wrk_now_ns(), after;

	sched_yield();
	after = wrk_now_ns();
	if (after - before < SHARED_NS || after - w->moved_ns < MOVE_NS)
		return;
	w->moved_ns = after;
	move_away();
}

/*
 * Nothing to do: spin while that pays, since the next request often follows the last reply, then
 * sleep.
 */
static void idle(struct wrk *w)
{
	uint64_t now = wrk_now_ns();

	if (!w->idle_since_ns) {
		w->idle_since_ns = now;
		w->spin_ns = mhs_spin_ns(&w->spin);
	}
	if (now - w->idle_since_ns < w->spin_ns && !w->requests) {
		for (int i = 0; i < SPIN_TURNS; i++) {
			if (has_news(w))
				return;
			__builtin_ia32_pause();
		}
		yield(w);
		return;
	}
	if (!w->requests && !w->stopping && wrk_pools_prepare(w))
		return;
	sleep_once(w);
}

static bool finished(const struct wrk *w, uint64_t stop_ns)
{
	uint64_t now = wrk_now_ns();

	if (w->orphan && w->idle_since_ns)
		return now - w->idle_since_ns > HERITAGE_ORPHAN_MS * WRK_NS_PER_MS;
	if (!stop_ns || w->running_count)
		return false;
	return !w->requests || now - stop_ns > STOP_FLUSH_NS;
}

static void refuse_queued(struct wrk *w)
{
	for (struct wrk_request *r = w->requests; r; r = r->next)
		if (r->state == WRK_QUEUED || r->state == WRK_WAITING)
			wrk_request_end(w, r, MHS_END_ERROR, MHS_ERR_STOPPING,
					"the host is shutting down");
}

static int wait_for_init(struct wrk *w)
{
	while (!w->initialised) {
		struct epoll_event ev;

		epoll_wait(w->epoll, &ev, 1, -1);
		if (wrk_control_poll(w))
			return -EPIPE;
	}
	return 0;
}

int wrk_run(struct wrk *w)
{
	uint64_t stop_ns = 0;
	int err;

	w->requests_end = &w->requests;
	mhs_spin_init(&w->spin);
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	err = w->epoll < 0 ? -errno : watch(w, w->control, EPOLLIN);
	if (!err && fcntl(w->control, F_SETFL, O_NONBLOCK))
		err = -errno;
	if (!err)
		err = wait_for_init(w);
	if (err)
		return err;
	w->prefix_salt = wrk_now_ns() ^ ((uint64_t)getpid() << 32);
	while (!finished(w, stop_ns)) {
		bool worked = turn(w);

		if (w->stopping && !stop_ns) {
			stop_ns = wrk_now_ns();
			refuse_queued(w);
		}
		if (worked)
			w->idle_since_ns = 0;
		else
			idle(w);
	}
	return 0;
}

void wrk_fini(struct wrk *w)
{
	while (w->lanes)
		wrk_lane_close(w, w->lanes->id);
	wrk_requests_reap(w);
	while (w->versions)
		wrk_version_detach(w, w->versions->index, w->versions->serial);
	wrk_adapters_fini(w);
	wrk_wants_fini(w);
	wrk_shadow_fini(w);
	wrk_pools_fini(w);
	free(w->prefix);
	eng_free(&w->eng);
	free(w->logits);
	free(w->hidden);
	free(w->record);
	mhs_seg_unmap(&w->board_map);
	mhs_seg_unmap(&w->slot_map);
	mhs_seg_unmap(&w->stats_map);
	mhs_seg_unmap(&w->replies_map);
}
