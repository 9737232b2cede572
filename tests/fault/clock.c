/* SPDX-License-Identifier: MIT */
/* clock.c: preloaded, the wall clock jumps by a day at every look, back and forth. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	static atomic_int looks;
	int err = (int)syscall(SYS_clock_gettime, clock, ts);

	if (clock == CLOCK_REALTIME && err == 0)
		ts->tv_sec += atomic_fetch_add(&looks, 1) % 2 ? 86400 : -86400;
	return err;
}
