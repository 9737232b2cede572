/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "heritage.h"
#include "log.h"
#include "t.h"

static int fds_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void pair(int socks[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, socks))
		exit(1);
}

static void message_and_fds_arrive(void)
{
	struct hrt_msg out = { .type = HRT_ATTACH, .index = 7, .serial = 9 }, in;
	int socks[2], pipes[2], fds[HERITAGE_FD_MAX], before = fds_open();
	uint32_t count;
	char c = 0;

	pair(socks);
	t_need(pipe(pipes) == 0);
	out.attach.file_bytes = 12345;
	t_eq(hrt_send(socks[0], &out, pipes, 2), 0);
	t_eq(hrt_recv(socks[1], &in, fds, &count), 0);
	t_mem_eq(&out, &in, sizeof(in));
	t_need(count == 2);
	t_ok(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
	t_eq(write(fds[1], "x", 1), 1);
	t_eq(read(pipes[0], &c, 1), 1);
	t_eq(c, 'x');
	t_eq(hrt_recv(socks[1], &in, fds, &count), -EAGAIN);
	close(fds[0]), close(fds[1]);
	close(pipes[0]), close(pipes[1]);
	close(socks[0]);
	t_eq(hrt_recv(socks[1], &in, fds, &count), -EPIPE);
	t_eq(hrt_send(socks[1], &out, NULL, 0), -EPIPE);
	close(socks[1]);
	t_eq(fds_open(), before);
}

static void send_raw(int sock, const void *data, size_t bytes, int fd, uint32_t fd_count)
{
	char control[CMSG_SPACE(sizeof(int) * 128)] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { (void *)(uintptr_t)data, bytes };
	struct msghdr head = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			       .msg_controllen = CMSG_SPACE(sizeof(int) * fd_count) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&head);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
	for (uint32_t i = 0; i < fd_count; i++)
		memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &fd, sizeof(int));
	t_ok(sendmsg(sock, &head, 0) == (ssize_t)bytes);
}

/* However many descriptors come and however wrong the message is, none stays open. */
static void bad_messages_leak_nothing(void)
{
	struct hrt_msg msg = { .type = HRT_READY };
	int socks[2], fds[HERITAGE_FD_MAX], before;
	uint32_t count;
	char big[sizeof(msg) + 1] = { 0 };

	pair(socks);
	before = fds_open();
	send_raw(socks[0], &msg, sizeof(msg), 0, HERITAGE_FD_MAX + 3);
	t_eq(hrt_recv(socks[1], &msg, fds, &count), 0);
	t_need(count == HERITAGE_FD_MAX);
	for (uint32_t i = 0; i < count; i++)
		close(fds[i]);
	t_eq(fds_open(), before);
	send_raw(socks[0], &msg, sizeof(msg), 0, 2 * HERITAGE_FD_MAX + 6);
	t_eq(hrt_recv(socks[1], &msg, fds, &count), -EPROTO);
	send_raw(socks[0], &msg, sizeof(msg) - 1, 0, 2);
	t_eq(hrt_recv(socks[1], &msg, fds, &count), -EPROTO);
	send_raw(socks[0], big, sizeof(big), 0, 2);
	t_eq(hrt_recv(socks[1], &msg, fds, &count), -EPROTO);
	msg.reserved0 = 1;
	send_raw(socks[0], &msg, sizeof(msg), 0, 1);
	t_eq(hrt_recv(socks[1], &msg, fds, &count), -EPROTO);
	t_eq(count, 0);
	t_eq(fds_open(), before);
	t_eq(hrt_send(socks[0], &msg, fds, HERITAGE_FD_MAX + 1), -EINVAL);
	close(socks[0]), close(socks[1]);
}

/* What log_line() writes with standard error in a pipe. */
static void logged(char *text, size_t cap, int level, const char *what)
{
	int saved = dup(2), pipes[2];
	ssize_t n;

	if (pipe2(pipes, O_NONBLOCK))
		exit(1);
	dup2(pipes[1], 2);
	log_line(level, "%s", what);
	dup2(saved, 2);
	n = read(pipes[0], text, cap - 1);
	text[n > 0 ? n : 0] = '\0';
	close(saved), close(pipes[0]), close(pipes[1]);
}

static void log_lines_are_clean(void)
{
	char text[2048], lots[4096];

	log_init("someone", LOG_LVL_NOTICE);
	logged(text, sizeof(text), LOG_LVL_NOTICE, "a\nb\x1b[2Jc");
	t_str_eq(text, "someone: a b [2Jc\n");
	logged(text, sizeof(text), LOG_LVL_ERROR, "broken");
	t_str_eq(text, "someone: error: broken\n");
	logged(text, sizeof(text), LOG_LVL_INFO, "hidden");
	t_str_eq(text, "");
	memset(lots, 'x', sizeof(lots) - 1);
	lots[sizeof(lots) - 1] = '\0';
	logged(text, sizeof(text), LOG_LVL_ERROR, lots);
	t_ok(strlen(text) > 1000 && text[strlen(text) - 1] == '\n');
	t_eq(log_level_parse("debug"), LOG_LVL_DEBUG);
	t_eq(log_level_parse("loud"), -EINVAL);
}

int main(void)
{
	T_RUN(message_and_fds_arrive);
	T_RUN(bad_messages_leak_nothing);
	T_RUN(log_lines_are_clean);
	return t_done();
}
