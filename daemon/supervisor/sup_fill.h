/* SPDX-License-Identifier: MIT */
/*
 * sup_fill.h: pages of a hugetlb arena are made (and cleared by the kernel) in a thread of its own,
 * in order, while the file is already read into the first ones.
 */
#ifndef SUP_FILL_H
#define SUP_FILL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct sup_fill {
	int fd;
	uint64_t bytes, step_bytes;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	/* under lock */
	uint64_t done_bytes;		/* pages of [0, done) are there */
	int err;			/* negative errno, once it went wrong */
	bool stop;
	/* at work; others in sup_fill_wait(), all of them together */
	uint64_t took_ns, waited_ns;
};

/* Begin. Without a thread to be had it is all done here. */
void sup_fill_start(struct sup_fill *fill, int fd, uint64_t bytes, uint64_t page_bytes);
/* An arena that is there already: nothing to wait for. */
void sup_fill_whole(struct sup_fill *fill, uint64_t bytes);
/* 1: pages of [0, @end) are there; 0: not yet; negative errno: they never will be. */
int sup_fill_ready(struct sup_fill *fill, uint64_t end);
/* The same, but waits. 0 or negative errno. */
int sup_fill_wait(struct sup_fill *fill, uint64_t end);
/* Stop and end the thread. Returns how long it worked, in ns. */
uint64_t sup_fill_end(struct sup_fill *fill);

#endif
