/* SPDX-License-Identifier: MIT */
/* wrk_main.c: mhost-worker. Started by mhostd with one socket (heritage.h); of no use by hand. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "wrk.h"

static int is_heritage(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

int main(int argc, char **argv)
{
	static struct wrk w = { .control = HERITAGE_FD };
	const char *level = getenv("MHOST_LOG_LEVEL");
	int err;

	if (argc != 1 || !is_heritage(HERITAGE_FD)) {
		fprintf(stderr, "%s: started by mhostd, not by hand; see mhostd(8)\n", argv[0]);
		return 2;
	}
	log_init("worker", level && log_level_parse(level) > 0 ? log_level_parse(level) : LOG_LVL_INFO);
	signal(SIGPIPE, SIG_IGN);
	/* a terminal's Ctrl-C is for the supervisor, which says STOP */
	signal(SIGINT, SIG_IGN);
	err = wrk_run(&w);
	if (err)
		log_error("ends: %s", strerror(-err));
	wrk_fini(&w);
	return err ? 1 : 0;
}
