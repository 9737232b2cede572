/* SPDX-License-Identifier: MIT */
/*
 * sup_loop.h: one thread, one epoll, timers. Sources and timers are embedded in their owners and
 * belong to them; a callback may close or free its own or any other.
 */
#ifndef SUP_LOOP_H
#define SUP_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SUP_NS_PER_MS	UINT64_C(1000000)
#define SUP_NS_PER_S	UINT64_C(1000000000)

/* The struct that @member of @type is part of. */
#define sup_owner(ptr, type, member)	\
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

struct sup_source;
struct sup_timer;
typedef void (*sup_source_fn)(struct sup_source *source, uint32_t events);
typedef void (*sup_timer_fn)(struct sup_timer *timer);

struct sup_source {
	int fd;			/* -1: not watched */
	uint32_t events;	/* watched for */
	sup_source_fn fn;
};

struct sup_timer {
	uint64_t due_ns;	/* CLOCK_MONOTONIC; 0: off */
	sup_timer_fn fn;
	struct sup_timer *next;
};

struct sup_loop {
	int epoll;
	struct sup_timer *timers;	/* soonest first */
};

uint64_t sup_now_ns(void);

int sup_loop_open(struct sup_loop *loop);
void sup_loop_close(struct sup_loop *loop);
/* Wait for one event or the next timer and call whom it concerns. 0 or negative errno. */
int sup_loop_turn(struct sup_loop *loop);

/*
 * Watch @fd for @events (EPOLL*). 0 or negative errno; on failure source->fd is -1 and @fd still
 * the caller's.
 */
int sup_source_open(struct sup_loop *loop, struct sup_source *source, int fd, uint32_t events,
		    sup_source_fn fn);
void sup_source_change(struct sup_loop *loop, struct sup_source *source, uint32_t events);
/* Stop watching and close the descriptor. Harmless when closed. */
void sup_source_close(struct sup_loop *loop, struct sup_source *source);

/* Call @fn once, @delay_ns from now; replaces what was set. */
void sup_timer_set(struct sup_loop *loop, struct sup_timer *timer, uint64_t delay_ns,
		   sup_timer_fn fn);
void sup_timer_off(struct sup_loop *loop, struct sup_timer *timer);

#endif
