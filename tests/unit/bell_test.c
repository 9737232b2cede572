/* SPDX-License-Identifier: MIT */
/* Bells: each ring is an edge, no ring is lost for want of room, and neither side can make the other wait. */
#include "mhs_bell.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "t.h"

#define SLEEPS	20000

static int watch(const struct mhs_bell *bell, uint32_t events)
{
	struct epoll_event ev = { .events = events };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	return epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, bell->fd, &ev) ? -1 : epoll;
}

static bool rang(int epoll)
{
	struct epoll_event ev;

	return epoll_wait(epoll, &ev, 1, 0) == 1;
}

static void make_blocking(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
}

static void each_ring_is_an_edge(void)
{
	int fds[2], epoll;
	struct mhs_bell bell = { 0 };

	t_need(mhs_bell_open(fds) == 0);
	bell.fd = fds[0];
	epoll = watch(&bell, EPOLLIN | EPOLLET);
	t_need(epoll >= 0);
	t_ok(!rang(epoll));
	/* More than the pipe holds, and nobody reads but make_room. */
	for (int i = 0; i < SLEEPS; i++) {
		mhs_bell_make_room(&bell, 2);
		mhs_bell_ring(fds[1]);
		mhs_bell_ring(fds[1]);
		t_need(rang(epoll));
		t_need(!rang(epoll));
	}
	close(epoll), close(fds[0]), close(fds[1]);
}

static void by_level_until_hushed(void)
{
	int fds[2], epoll;
	struct mhs_bell bell = { 0 };

	t_need(mhs_bell_open(fds) == 0);
	bell.fd = fds[0];
	epoll = watch(&bell, EPOLLIN);
	mhs_bell_ring(fds[1]);
	t_ok(rang(epoll));
	t_ok(rang(epoll));
	mhs_bell_hush(&bell);
	t_ok(!rang(epoll));
	mhs_bell_hush(&bell);	/* nothing there: does not wait */
	close(epoll), close(fds[0]), close(fds[1]);
}

/* SIGALRM ends the test if anything waits. */
static void a_sleeper_cannot_hold_up_a_ringer(void)
{
	int fds[2];

	t_need(mhs_bell_open(fds) == 0);
	make_blocking(fds[0]);
	fcntl(fds[0], F_SETPIPE_SZ, 4096);
	for (int i = 0; i < 70000; i++)
		mhs_bell_ring(fds[1]);
	close(fds[0]);
	mhs_bell_ring(fds[1]);	/* no SIGPIPE */
	t_ok(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
	close(fds[1]);
}

static void a_ringer_cannot_hold_up_a_sleeper(void)
{
	struct mhs_bell bell = { 0 };
	char taken[8192];
	int fds[2];

	t_need(mhs_bell_open(fds) == 0);
	bell.fd = fds[0];
	make_blocking(fds[1]);
	mhs_bell_ring(fds[1]);
	t_eq(read(fds[1], taken, sizeof(taken)), 1);	/* takes back its own ring */
	mhs_bell_hush(&bell);
	mhs_bell_make_room(&bell, 4096);
	mhs_bell_make_room(&bell, 4096);
	close(fds[0]), close(fds[1]);
}

int main(void)
{
	alarm(60);
	T_RUN(each_ring_is_an_edge);
	T_RUN(by_level_until_hushed);
	T_RUN(a_sleeper_cannot_hold_up_a_ringer);
	T_RUN(a_ringer_cannot_hold_up_a_sleeper);
	return t_done();
}
