/* SPDX-License-Identifier: MIT */
/* mhost.c: sessions and waiting. */
#include "mhost.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "mhc_priv.h"

#define SPIN_TURNS	64	/* looks at the rings between two looks at the clock */

uint64_t mhc_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int mhc_fail(struct mhost *s, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(s->error, sizeof(s->error), format, args);
	va_end(args);
	return code;
}

MHC_PUBLIC uint32_t mhost_abi_version(void)
{
	return (uint32_t)MHOST_ABI_MAJOR << 16 | MHOST_ABI_MINOR;
}

MHC_PUBLIC const char *mhost_strerror(int code)
{
	static const struct {
		int code;
		const char *text;
	} own[] = {
		{ MHOST_E_INVALID, "invalid request" },
		{ MHOST_E_NO_MODEL, "no such model, or it has no active version" },
		{ MHOST_E_NO_VERSION, "that version is not resident" },
		{ MHOST_E_TOO_LONG, "too long for the context" },
		{ MHOST_E_BUSY, "busy, try again later" },
		{ MHOST_E_DEADLINE, "deadline passed" },
		{ MHOST_E_NAN, "the model produced numbers that are not finite" },
		{ MHOST_E_STOPPING, "the host is shutting down" },
		{ MHOST_E_WORKER_LOST, "the worker died, safe to retry" },
		{ MHOST_E_SLOW_READER, "events were not read in time" },
		{ MHOST_E_PROTOCOL, "host and library do not understand each other" },
		{ MHOST_E_INTERNAL, "internal error of the host" },
		{ MHOST_E_REFUSED, "the host refused the connection" },
		{ MHOST_E_GONE, "the host is gone" },
		{ MHOST_E_NO_ADAPTER, "no such adapter, or it does not fit" },
	};

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (own[i].code == code)
			return own[i].text;
	return code > 0 || code < -4095 ? "unknown error" : strerror(-code);
}

MHC_PUBLIC const char *mhost_errmsg(const struct mhost *s)
{
	return s ? s->error : "out of memory";
}

const char *mhc_socket_path(const char *given)
{
	const char *env = getenv("MHOST_SOCKET");

	return given ? given : env && env[0] ? env : MHOST_DEFAULT_SOCKET;
}

/* Descriptor or negative errno, with text. */
static int epoll_make(struct mhost *s, uint32_t bell_events)
{
	struct epoll_event sock = { .events = EPOLLIN, .data.fd = s->sock };
	struct epoll_event bell = { .events = bell_events, .data.fd = s->bell.fd };
	int fd = epoll_create1(EPOLL_CLOEXEC), err;

	if (fd >= 0 && !epoll_ctl(fd, EPOLL_CTL_ADD, s->sock, &sock) &&
	    !epoll_ctl(fd, EPOLL_CTL_ADD, s->bell.fd, &bell))
		return fd;
	err = mhc_fail(s, -errno, "epoll: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return err;
}

MHC_PUBLIC int mhost_connect(struct mhost **session, const char *socket)
{
	struct mhost *s = calloc(1, sizeof(*s));
	int err;

	*session = s;
	if (!s)
		return -ENOMEM;
	s->sock = s->bell.fd = s->sleeper = s->epoll = s->timer = -1;
	s->round = 1;
	s->next_id = 1;
	mhs_spin_init(&s->spin);
	s->record = malloc(MHS_EVENT_BYTES);
	s->scratch = malloc(MHS_EVENT_BYTES);
	if (!s->record || !s->scratch)
		return mhc_fail(s, -ENOMEM, "out of memory");
	err = mhc_socket_open(s, mhc_socket_path(socket));
	if (err)
		return err;
	s->sleeper = epoll_make(s, EPOLLIN | EPOLLET);
	return s->sleeper < 0 ? s->sleeper : 0;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

MHC_PUBLIC void mhost_close(struct mhost **session)
{
	struct mhost *s = *session;

	*session = NULL;
	if (!s)
		return;
	/* The supervisor sees the hang-up and has the workers end what still runs. */
	close_fd(s->sock);
	close_fd(s->epoll);
	close_fd(s->timer);
	close_fd(s->bell.fd);
	close_fd(s->sleeper);
	while (s->requests)
		mhc_request_close(s, s->requests);
	mhc_request_free(&s->finished);
	while (s->lanes) {
		struct mhc_lane *lane = s->lanes;

		s->lanes = lane->next;
		mhc_lane_free(&lane);
	}
	free(s->record);
	free(s->scratch);
	free(s);
}

/* The caller's descriptor leaves the socket, which is readable for good now, for the end of the patience. */
void mhc_epoll_gone(struct mhost *s)
{
	uint64_t at = s->open_count ? s->gone_ns : 1;
	struct itimerspec when = { .it_value = { (time_t)(at / 1000000000u), (long)(at % 1000000000u) } };
	struct epoll_event event = { .events = EPOLLIN };

	if (s->epoll < 0 || s->timer >= 0)
		return;
	s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (s->timer >= 0 && !timerfd_settime(s->timer, TFD_TIMER_ABSTIME, &when, NULL) &&
	    !epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->timer, &event))
		epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->sock, NULL);
}

MHC_PUBLIC int mhost_fd(struct mhost *s)
{
	if (s->epoll < 0)
		s->epoll = epoll_make(s, EPOLLIN);
	if (s->host_gone)
		mhc_epoll_gone(s);
	mhc_lanes_arm(s);
	return s->epoll;
}

MHC_PUBLIC uint32_t mhost_open_count(const struct mhost *s)
{
	return s->open_count;
}

MHC_PUBLIC uint32_t mhost_worker_count(const struct mhost *s)
{
	uint32_t n = 0;

	for (const struct mhc_lane *lane = s->lanes; lane; lane = lane->next)
		n += !lane->down;
	return n;
}

/* The next event for the caller in @lane's ring. 0 with s->event, or -EAGAIN. */
static int lane_get(struct mhost *s, struct mhc_lane *lane)
{
	int err = -EAGAIN;

	while (err == -EAGAIN) {
		uint32_t type;
		int64_t n = mhs_ring_get(&lane->event, &type, s->record, MHS_EVENT_BYTES);

		if (n == -EAGAIN)
			return -EAGAIN;
		err = n < 0 ? (int)n : mhc_event_take(s, type, (uint32_t)n);
		if (mhs_ring_should_feed(&lane->event))
			mhc_lane_ring(s, lane);
	}
	if (err)
		lane->down = true;	/* a ring that makes no sense is as good as dead */
	return err ? -EAGAIN : 0;
}

/*
 * One event, of each lane that has some one a round: a reader that is slower than its workers keeps none of them waiting
 * for the others' ends. 0 with s->event, or -EAGAIN.
 */
static int lanes_get(struct mhost *s)
{
	for (int rounds = 0; rounds < 2; rounds++) {
		for (struct mhc_lane *lane = s->lanes; lane; lane = lane->next) {
			if (lane->round == s->round || lane_get(s, lane))
				continue;
			lane->round = s->round;
			return 0;
		}
		s->round++;
	}
	return -EAGAIN;
}

/* Requests on dead lanes: send them again where nothing was told, else make their END. */
static int lost_get(struct mhost *s)
{
	struct mhc_request *r = s->requests;

	while (r && !(r->lane && r->lane->down) && !(s->host_gone && mhc_now_ns() > s->gone_ns))
		r = r->next;
	if (!r)
		return -EAGAIN;
	if (r->lane)
		r->lane->open_count--;
	r->lane = NULL;
	if (!s->host_gone && !r->told && r->body && !(r->flags & MHOST_NO_REPLAY) &&
	    mhc_request_put(s, r) == 0)
		return -EAGAIN;
	if (s->host_gone)
		mhc_event_lost(s, r, MHOST_E_GONE, "the host is gone");
	else
		mhc_event_lost(s, r, MHOST_E_WORKER_LOST, "the worker died; safe to retry");
	return 0;
}

/* Lanes that are down and have nobody waiting. */
static void lanes_reap(struct mhost *s)
{
	struct mhc_lane **at = &s->lanes;

	while (*at) {
		struct mhc_lane *lane = *at;

		if (!lane->down || lane->open_count) {
			at = &lane->next;
			continue;
		}
		*at = lane->next;
		mhc_lane_free(&lane);
	}
}

/* Nobody is left who could ring: what lies in the rings is all that comes. */
static bool bell_is_dead(const struct mhost *s)
{
	struct pollfd p = { .fd = s->bell.fd };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

static int look(struct mhost *s)
{
	int err;

	if (s->host_gone && bell_is_dead(s))
		s->gone_ns = 0;
	err = lanes_get(s);
	if (err)
		err = lost_get(s);
	return err;
}

static uint64_t deadline_of(int timeout_ms)
{
	return timeout_ms < 0 ? UINT64_MAX : mhc_now_ns() + (uint64_t)timeout_ms * 1000000u;
}

/* Sleep until a bell, the socket or @until_ns. */
static void sleep_once(struct mhost *s, uint64_t until_ns)
{
	struct epoll_event events[2];
	uint64_t now = mhc_now_ns(), left = until_ns > now ? until_ns - now : 0;
	uint64_t most = s->host_gone ? 100 : 60000, ms = left / 1000000u + (left % 1000000u != 0);
	int n = 0;

	mhc_lanes_arm(s);
	if (!mhc_lanes_pending(s))
		n = epoll_wait(s->sleeper, events, 2, (int)(ms < most ? ms : most));
	mhc_lanes_disarm(s);
	for (int i = 0; i < n; i++)
		if (events[i].data.fd == s->sock)
			mhc_socket_poll(s);
}

/* Whether something is in a ring before @until_ns, without sleeping. */
static bool spin_once(struct mhost *s, uint64_t until_ns)
{
	do {
		for (int i = 0; i < SPIN_TURNS; i++) {
			if (mhc_lanes_pending(s))
				return true;
			__builtin_ia32_pause();
		}
		sched_yield();	/* the worker may want this very CPU */
	} while (mhc_now_ns() < until_ns);
	return false;
}

/* -EAGAIN: the time is over. */
static int wait_for_event(struct mhost *s, int timeout_ms)
{
	uint64_t begin = mhc_now_ns(), until = deadline_of(timeout_ms), now = begin;
	/* A worker that had to be rung needs a CPU, perhaps this one: sleep at once. */
	uint32_t spin_ns = s->rang ? 0 : mhs_spin_ns(&s->spin);
	bool slept = false;
	int err = -EAGAIN;

	s->rang = false;
	if (spin_ns && spin_once(s, begin + spin_ns < until ? begin + spin_ns : until))
		err = lanes_get(s);
	while (err == -EAGAIN && (now = mhc_now_ns()) < until) {
		sleep_once(s, until);
		slept = true;
		err = look(s);
	}
	now = mhc_now_ns();
	mhs_spin_learn(&s->spin, now - begin, spin_ns);
	if (slept)
		s->socket_ns = now;
	else
		mhc_socket_glance(s, now);
	return err;
}

MHC_PUBLIC int mhost_next(struct mhost *s, int timeout_ms, const struct mhost_event **event)
{
	int err;

	*event = NULL;
	mhc_request_free(&s->finished);
	lanes_reap(s);
	err = lanes_get(s);
	if (err && (timeout_ms == 0 || !s->open_count)) {
		/* No sleep of ours will tell: the caller has its own, on mhost_fd() or a clock. */
		mhc_socket_poll(s);
		if (s->epoll >= 0)
			mhs_bell_hush(&s->bell);
	}
	if (err)
		err = look(s);
	if (err == -EAGAIN && !s->open_count && s->epoll >= 0)
		mhc_lanes_arm(s);	/* the caller may poll after a submit */
	if (err == -EAGAIN && !s->open_count)
		return s->host_gone ? mhc_fail(s, MHOST_E_GONE, "the host is gone") : -ENODATA;
	if (err == -EAGAIN && timeout_ms)
		err = wait_for_event(s, timeout_ms);
	if (err == -EAGAIN && s->epoll >= 0) {
		mhc_lanes_arm(s);
		err = lanes_get(s);	/* what came before the bells were armed */
	}
	if (!err)
		*event = &s->event;
	return err;
}
