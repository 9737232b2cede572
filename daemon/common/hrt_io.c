/* SPDX-License-Identifier: MIT */
/* hrt_io.c: one struct hrt_msg a message, with up to HERITAGE_FD_MAX descriptors. */
#include "heritage.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	struct cmsghdr head;	/* for its alignment */
	/* Room for more than a peer may send, so that surplus ones are seen and closed. */
	char bytes[CMSG_SPACE(sizeof(int) * 2 * HERITAGE_FD_MAX)];
};

int hrt_send(int sock, const struct hrt_msg *msg, const int *fds, uint32_t fd_count)
{
	struct hrt_msg copy = *msg;
	struct iovec iov = { &copy, sizeof(copy) };
	union control control = { .bytes = { 0 } };
	struct msghdr head = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd_count > HERITAGE_FD_MAX)
		return -EINVAL;
	if (fd_count) {
		head.msg_control = control.bytes;
		head.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(&control.head), fds, sizeof(int) * fd_count);
	}
	do {
		n = sendmsg(sock, &head, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	/* too many descriptors on their way to all peers: some must be taken first */
	if (n < 0)
		return errno == EWOULDBLOCK || errno == ETOOMANYREFS ? -EAGAIN : -errno;
	return n == (ssize_t)sizeof(copy) ? 0 : -EPROTO;
}

/* Keep what fits into @fds, close the rest. */
static void take_fds(struct cmsghdr *cmsg, int fds[HERITAGE_FD_MAX], uint32_t *count)
{
	size_t bytes = cmsg->cmsg_len - CMSG_LEN(0);
	int fd;

	for (size_t at = 0; at + sizeof(fd) <= bytes; at += sizeof(fd)) {
		memcpy(&fd, CMSG_DATA(cmsg) + at, sizeof(fd));
		if (*count < HERITAGE_FD_MAX)
			fds[(*count)++] = fd;
		else
			close(fd);
	}
}

static int drop_fds(int fds[HERITAGE_FD_MAX], uint32_t *count, int err)
{
	while (*count)
		close(fds[--*count]);
	return err;
}

int hrt_recv(int sock, struct hrt_msg *msg, int fds[HERITAGE_FD_MAX], uint32_t *fd_count)
{
	struct iovec iov = { msg, sizeof(*msg) };
	union control control;
	struct msghdr head = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
			       .msg_controllen = sizeof(control.bytes) };
	ssize_t n;

	*fd_count = 0;
	do {
		n = recvmsg(sock, &head, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : errno == ECONNRESET ? -EPIPE : -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&head); c; c = CMSG_NXTHDR(&head, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			take_fds(c, fds, fd_count);
	if (n == 0)
		return drop_fds(fds, fd_count, -EPIPE);
	if (n != (ssize_t)sizeof(*msg) || head.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ||
	    msg->reserved0 != 0)
		return drop_fds(fds, fd_count, -EPROTO);
	return 0;
}
