/* SPDX-License-Identifier: MIT */
/*
 * bench_rtt.c: a null round trip over a lane against an echo over a Unix socket, spinning and
 * asleep.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define WARM_TRIPS	4000u	/* one after another: the peer is awake */
#define WARM_UP_S	0.05
#define COLD_TRIPS	400u	/* with pauses: the peer sleeps */
#define PAUSE_US	3000
#define BLOCKS		8u	/* of one side and of the other, in turns */

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

/* One side of a comparison, measured in blocks, in turns with the other. */
struct side {
	const char *key;
	trip_fn trip;
	void *arg;
	double *us;
	uint32_t count;
};

static int block(struct side *side, uint32_t count, useconds_t pause)
{
	for (uint32_t i = 0; i < count; i++) {
		double start;
		int err;

		if (pause)
			usleep(pause);
		start = bench_now_s();
		err = side->trip(side->arg);
		if (err)
			return err;
		side->us[side->count++] = (bench_now_s() - start) * 1e6;
	}
	return 0;
}

/* Until the peer is awake, and where the scheduler wants it. */
static int warm_up(const struct side *side)
{
	double until = bench_now_s() + WARM_UP_S;
	int err = 0;

	while (!err && bench_now_s() < until)
		err = side->trip(side->arg);
	return err;
}

static int compare(struct side sides[2], uint32_t count, useconds_t pause, json_t *out)
{
	int err = 0;

	for (int i = 0; i < 2; i++) {
		sides[i].us = calloc(count, sizeof(double));
		err = err ? err : sides[i].us ? 0 : -1;
	}
	for (uint32_t i = 0; !err && i < 2 * BLOCKS; i++) {
		err = pause ? 0 : warm_up(&sides[i % 2]);
		if (!err)
			err = block(&sides[i % 2], count / BLOCKS, pause);
	}
	for (int i = 0; i < 2; i++) {
		struct spread s = bench_spread(sides[i].us, sides[i].us ? sides[i].count : 0);

		if (!err)
			json_object_set_new(out, sides[i].key, bench_spread_json(&s));
		free(sides[i].us);
	}
	return err;
}

static int measure(struct mhost *s, int *fd, json_t *out)
{
	struct side warm[2] = { { .key = "lane_us", .trip = lane_trip, .arg = s },
				{ .key = "unix_socket_us", .trip = socket_trip, .arg = fd } };
	struct side cold[2] = { { .key = "lane_asleep_us", .trip = lane_trip, .arg = s },
				{ .key = "unix_socket_asleep_us", .trip = socket_trip, .arg = fd } };
	int err = compare(warm, WARM_TRIPS, 0, out);

	return err ? err : compare(cold, COLD_TRIPS, PAUSE_US, out);
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
		err = measure(s, &fd, out);
	if (err)
		cmd_fail(b->cmd, CMD_FAILED, "round trips: %s", mhost_errmsg(s));
	mhost_close(&s);
	close(fd);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return err ? CMD_FAILED : CMD_OK;
}
