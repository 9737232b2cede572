/* SPDX-License-Identifier: MIT */
/*
 * mhs_bell.h: what wakes a peer that sleeps on descriptors. A bell is a pipe: its two ends are two
 * open files, so that whatever one side does to its own (makes it blocking, lets it run full)
 * never makes the other wait; and the kernel's wake-up of a pipe's reader tells the scheduler that
 * the writer soon sleeps, so that the reader may have this very CPU and no idle one must be woken.
 */
#ifndef MHS_BELL_H
#define MHS_BELL_H

#include <stdint.h>

/*
 * A fresh bell: fds[0] to sleep on, fds[1] to ring; non-blocking, close-on-exec. The ringing end
 * can be read too, so that ringing never raises SIGPIPE. 0 or negative errno.
 */
int mhs_bell_open(int fds[2]);
/* Never blocks; a bell that is full rings already. */
void mhs_bell_ring(int fd);

/* The sleeping end, watched by edges (EPOLLIN | EPOLLET): rings need no read, only room. */
struct mhs_bell {
	int fd;
	uint32_t rings;		/* at most so many are unread */
};
/* Before a sleep after which up to @most rings may have come: makes room when there may be none. */
void mhs_bell_make_room(struct mhs_bell *bell, uint32_t most);
/* Reads what rang, for who watches it by level. */
void mhs_bell_hush(struct mhs_bell *bell);

#endif
