/* SPDX-License-Identifier: MIT */
#include "mhs_bell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define ROOM	4096u	/* the least that a pipe holds: one page */

int mhs_bell_open(int fds[2])
{
	char path[32];
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[1]);
	fds[0] = ends[0];
	fds[1] = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	close(ends[1]);
	if (fds[1] >= 0)
		return 0;
	close(ends[0]);
	return -errno;
}

void mhs_bell_ring(int fd)
{
	if (write(fd, "", 1) < 0)
		return;
}

void mhs_bell_hush(struct mhs_bell *bell)
{
	char rings[ROOM];

	bell->rings = 0;
	if (read(bell->fd, rings, sizeof(rings)) < 0)
		return;
}

void mhs_bell_make_room(struct mhs_bell *bell, uint32_t most)
{
	if (bell->rings + most > ROOM)
		mhs_bell_hush(bell);
	bell->rings += most;
}
