/* SPDX-License-Identifier: MIT */
#include "sup_loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

uint64_t sup_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SUP_NS_PER_S + (uint64_t)ts.tv_nsec;
}

int sup_loop_open(struct sup_loop *loop)
{
	*loop = (struct sup_loop){ .epoll = epoll_create1(EPOLL_CLOEXEC) };
	return loop->epoll < 0 ? -errno : 0;
}

void sup_loop_close(struct sup_loop *loop)
{
	if (loop->epoll >= 0)
		close(loop->epoll);
	loop->epoll = -1;
}

/* The first timer, if it is due; taken off. */
static struct sup_timer *timer_due(struct sup_loop *loop, uint64_t now)
{
	struct sup_timer *timer = loop->timers;

	if (!timer || timer->due_ns > now)
		return NULL;
	loop->timers = timer->next;
	timer->due_ns = 0;
	return timer;
}

int sup_loop_turn(struct sup_loop *loop)
{
	uint64_t now = sup_now_ns(), wait = 0;
	struct sup_timer *timer = timer_due(loop, now);
	struct sup_source *source;
	struct epoll_event event;
	struct timespec ts;
	int n;

	/* Timers and events by turns: neither can starve the other, level-triggered events stay. */
	if (timer) {
		timer->fn(timer);
		now = sup_now_ns();
	}
	if (loop->timers && loop->timers->due_ns > now)
		wait = loop->timers->due_ns - now;
	ts = (struct timespec){ (time_t)(wait / SUP_NS_PER_S), (long)(wait % SUP_NS_PER_S) };
	/* One event at a time: what its callback closes can not come after it in the same batch. */
	n = epoll_pwait2(loop->epoll, &event, 1, loop->timers || timer ? &ts : NULL, NULL);
	if (n < 0 && errno != EINTR)
		return -errno;
	if (n < 1)
		return 0;
	source = event.data.ptr;
	source->fn(source, event.events);
	return 0;
}

int sup_source_open(struct sup_loop *loop, struct sup_source *source, int fd, uint32_t events,
		    sup_source_fn fn)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	*source = (struct sup_source){ .fd = -1, .events = events, .fn = fn };
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event))
		return -errno;
	source->fd = fd;
	return 0;
}

void sup_source_change(struct sup_loop *loop, struct sup_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	if (source->events == events)
		return;
	source->events = events;
	if (source->fd >= 0)
		epoll_ctl(loop->epoll, EPOLL_CTL_MOD, source->fd, &event);
}

void sup_source_close(struct sup_loop *loop, struct sup_source *source)
{
	if (source->fd < 0)
		return;
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->fd, NULL);
	close(source->fd);
	source->fd = -1;
}

void sup_timer_off(struct sup_loop *loop, struct sup_timer *timer)
{
	struct sup_timer **at = &loop->timers;

	if (timer->due_ns == 0)
		return;
	while (*at && *at != timer)
		at = &(*at)->next;
	if (*at)
		*at = timer->next;
	timer->due_ns = 0;
}

void sup_timer_set(struct sup_loop *loop, struct sup_timer *timer, uint64_t delay_ns,
		   sup_timer_fn fn)
{
	struct sup_timer **at = &loop->timers;

	sup_timer_off(loop, timer);
	timer->due_ns = sup_now_ns() + delay_ns;
	timer->fn = fn;
	while (*at && (*at)->due_ns <= timer->due_ns)
		at = &(*at)->next;
	timer->next = *at;
	*at = timer;
}
