/* SPDX-License-Identifier: MIT */
/* mhc_socket.c: the client socket: greeting, lanes that come, lanes whose worker is dead. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "mhc_priv.h"

#define CONNECT_MS	5000
#define FD_MAX		4

/* Bytes received, 0 at the end, or negative errno. Unwanted descriptors are closed. */
static ssize_t message_recv(int sock, struct mhs_sock *msg, int fds[FD_MAX], uint32_t *fd_count)
{
	union {
		char buf[CMSG_SPACE(FD_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { msg, sizeof(*msg) };
	struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c;
	ssize_t n;

	*fd_count = 0;
	do
		n = recvmsg(sock, &hdr, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	for (c = CMSG_FIRSTHDR(&hdr); c; c = CMSG_NXTHDR(&hdr, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		*fd_count = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), *fd_count * sizeof(int));
	}
	return n;
}

static void close_all(const int *fds, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		close(fds[i]);
}

static int lane_up(struct mhost *s, uint32_t id, const int *fds)
{
	struct mhc_lane *lane = calloc(1, sizeof(*lane));
	int err = lane ? mhs_seg_check_seals(fds[0], F_SEAL_SHRINK | F_SEAL_GROW) : -ENOMEM;

	if (!err)
		err = mhs_seg_map_rw(fds[0], sizeof(struct mhs_lane), &lane->map);
	if (err) {
		free(lane);
		close_all(fds, 2);
		return err;
	}
	close(fds[0]);
	lane->id = id;
	lane->submit_bell = fds[1];
	lane->submit = mhs_lane_submit_end(lane->map.addr);
	lane->event = mhs_lane_event_end(lane->map.addr);
	lane->next = s->lanes;
	s->lanes = lane;
	if (s->epoll >= 0)
		mhs_ring_arm(&lane->event);
	return 0;
}

static void lane_down(struct mhost *s, uint32_t id)
{
	for (struct mhc_lane *lane = s->lanes; lane; lane = lane->next)
		if (lane->id == id)
			lane->down = true;
}

static void host_gone(struct mhost *s)
{
	if (s->host_gone)
		return;
	s->host_gone = true;
	/* it would end every sleep at once */
	epoll_ctl(s->sleeper, EPOLL_CTL_DEL, s->sock, NULL);
	s->gone_ns = mhc_now_ns() + MHC_ORPHAN_NS;
	mhc_epoll_gone(s);
}

/* 0; -EAGAIN: none; negative: refused or gone, with text. *@type is what came. */
static int message_take(struct mhost *s, uint32_t *type, uint32_t *lane_count)
{
	struct mhs_sock msg;
	int fds[FD_MAX];
	uint32_t fd_count;
	ssize_t n = message_recv(s->sock, &msg, fds, &fd_count);

	*type = 0;
	if (n == -EAGAIN)
		return -EAGAIN;
	if (n <= 0)
		return mhc_fail(s, MHOST_E_GONE, "the host closed the connection");
	if (n != sizeof(msg) || msg.magic != MHS_HELLO_MAGIC || msg.abi_major != MHS_ABI_MAJOR) {
		close_all(fds, fd_count);
		return mhc_fail(s, MHOST_E_PROTOCOL,
				"the host speaks ABI %u.%u, this library %u.%u: use one release",
				msg.abi_major, msg.abi_minor, MHS_ABI_MAJOR, MHS_ABI_MINOR);
	}
	s->host_minor = msg.abi_minor;
	*type = msg.type;
	msg.text[sizeof(msg.text) - 1] = 0;
	if (msg.type == MHS_SOCK_WELCOME && fd_count == 1 && s->bell.fd < 0) {
		s->client_id = msg.value;
		s->bell.fd = fds[0];
		*lane_count = msg.lane_count;
		return 0;
	}
	if (msg.type == MHS_SOCK_LANE && fd_count == 2)
		return lane_up(s, (uint32_t)msg.value, fds);
	close_all(fds, fd_count);
	if (msg.type == MHS_SOCK_REFUSED)
		return mhc_fail(s, MHOST_E_REFUSED, "%s", msg.text);
	if (msg.type == MHS_SOCK_LANE_DOWN)
		lane_down(s, (uint32_t)msg.value);
	return 0;
}

void mhc_socket_poll(struct mhost *s)
{
	uint32_t type, lanes;
	int err;

	do
		err = s->host_gone ? -EAGAIN : message_take(s, &type, &lanes);
	while (!err);
	if (err != -EAGAIN)
		host_gone(s);
}

void mhc_socket_glance(struct mhost *s, uint64_t now_ns)
{
	if (now_ns - s->socket_ns < MHC_SOCKET_NS)
		return;
	s->socket_ns = now_ns;
	mhc_socket_poll(s);
}

static int hello(struct mhost *s)
{
	struct mhs_sock msg = { .magic = MHS_HELLO_MAGIC, .abi_major = MHS_ABI_MAJOR,
				.abi_minor = MHS_ABI_MINOR, .type = MHS_SOCK_HELLO };

	if (send(s->sock, &msg, sizeof(msg), MSG_NOSIGNAL) != sizeof(msg) && errno != EPIPE)
		return mhc_fail(s, -errno, "greeting: %s", strerror(errno));
	return 0;	/* a host that refused at once left its reason to be read */
}

/* WELCOME, then as many lanes as it announced. */
static int greeting_wait(struct mhost *s)
{
	uint64_t until = mhc_now_ns() + CONNECT_MS * UINT64_C(1000000);
	uint32_t lanes_due = UINT32_MAX, lanes = 0, type;

	while (lanes < lanes_due) {
		struct pollfd p = { .fd = s->sock, .events = POLLIN };
		uint64_t now = mhc_now_ns();
		int err;

		if (now >= until)
			return mhc_fail(s, -ETIMEDOUT, "no greeting from the host within %d ms",
					CONNECT_MS);
		poll(&p, 1, (int)((until - now) / 1000000u) + 1);
		err = message_take(s, &type, &lanes_due);
		if (err && err != -EAGAIN)
			return err;
		lanes += type == MHS_SOCK_LANE;
	}
	return 0;
}

int mhc_socket_open(struct mhost *s, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int err;

	if (strlen(path) >= sizeof(addr.sun_path))
		return mhc_fail(s, -ENAMETOOLONG, "socket path %s: limit %zu bytes; choose a shorter "
				"one", path, sizeof(addr.sun_path) - 1);
	strcpy(addr.sun_path, path);
	s->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (s->sock < 0)
		return mhc_fail(s, -errno, "socket: %s", strerror(errno));
	if (connect(s->sock, (struct sockaddr *)&addr, sizeof(addr)))
		return mhc_fail(s, -errno, "connect to %s: %s; %s", path, strerror(errno),
				errno == EACCES ? "ask its owner for access, see mhost.ini(5)" :
				"is mhostd running?");
	err = hello(s);
	return err ? err : greeting_wait(s);
}
