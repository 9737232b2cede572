/* SPDX-License-Identifier: MIT */
/* bench_rtt.c: a null round trip over a lane against an echo over a Unix socket, spinning and asleep. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define WARM_TRIPS	2000u	/* one after another: the peer is awake */
#define COLD_TRIPS	200u	/* with pauses: the peer sleeps */
#define PAUSE_US	3000

typedef int (*trip_fn)(void *arg);

static int lane_trip(void *arg)
{
	struct mhost_request rq = MHOST_REQUEST_INIT;
	const struct mhost_event *ev;
	uint64_t id;
	int err;

	rq.kind = MHOST_PING;
	err = mhost_submit(arg, &rq, &id);
	while (!err) {
		err = mhost_next(arg, 1000, &ev);
		if (!err && ev->type == MHOST_EVENT_END)
			return ev->error;
	}
	return err;
}

static int socket_trip(void *arg)
{
	char byte[64] = { 0 };
	int fd = *(int *)arg;

	return send(fd, byte, sizeof(byte), MSG_NOSIGNAL) == sizeof(byte) &&
	       recv(fd, byte, sizeof(byte), 0) == sizeof(byte) ? 0 : -1;
}

/* A child that echoes until the socket closes. */
static pid_t echo_start(int *fd)
{
	int pair[2];
	char byte[64];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -1;
	pid = fork();
	if (pid == 0) {
		close(pair[0]);
		while (recv(pair[1], byte, sizeof(byte), 0) > 0)
			if (send(pair[1], byte, sizeof(byte), MSG_NOSIGNAL) < 0)
				break;
		_exit(0);
	}
	close(pair[1]);
	*fd = pair[0];
	return pid;
}

static int trips(trip_fn trip, void *arg, uint32_t count, useconds_t pause, json_t *out,
		 const char *key)
{
	double *us = calloc(count, sizeof(*us));
	struct spread s;
	int err = us ? 0 : -1;

	for (uint32_t i = 0; !err && i < count; i++) {
		double start;

		if (pause)
			usleep(pause);
		start = bench_now_s();
		err = trip(arg);
		us[i] = (bench_now_s() - start) * 1e6;
	}
	if (!err) {
		s = bench_spread(us, count);
		json_object_set_new(out, key, bench_spread_json(&s));
	}
	free(us);
	return err;
}

int bench_part_rtt(struct bench *b)
{
	json_t *out = json_object();
	struct mhost *s = NULL;
	int fd = -1, err;
	pid_t pid = echo_start(&fd);

	json_object_set_new(b->out, "rtt", out);
	err = pid < 0 ? -1 : mhost_connect(&s, b->cmd->socket);
	if (!err)
		err = trips(lane_trip, s, WARM_TRIPS, 0, out, "lane_us") ||
		      trips(socket_trip, &fd, WARM_TRIPS, 0, out, "unix_socket_us") ||
		      trips(lane_trip, s, COLD_TRIPS, PAUSE_US, out, "lane_asleep_us") ||
		      trips(socket_trip, &fd, COLD_TRIPS, PAUSE_US, out, "unix_socket_asleep_us");
	if (err)
		cmd_fail(b->cmd, CMD_FAILED, "round trips: %s", mhost_errmsg(s));
	mhost_close(&s);
	close(fd);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return err ? CMD_FAILED : CMD_OK;
}
