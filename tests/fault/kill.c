/* SPDX-License-Identifier: MIT */
/*
 * kill.c: workers die by SIGKILL at random moments under load. Every request ends exactly once, with the exact
 * reply or a retriable WORKER_LOST; other workers' requests never notice.
 *	kill SOCKET MODEL[/ADAPTER] VERSION_A VERSION_B VOCAB KILLS CLIENTS
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "t.h"
#include "t_storm.h"

static json_t *workers(struct storm *storm)
{
	return ctl_call(&storm->cmd, json_pack("{s:s}", "command", "workers"));
}

/* A ready worker's pid, chosen at random; 0 when none is ready. */
static pid_t pick(struct storm *storm, uint64_t *seed)
{
	json_t *answer = workers(storm), *row;
	pid_t pids[64];
	size_t i, n = 0;

	json_array_foreach(json_object_get(answer, "workers"), i, row)
		if (n < 64 && !strcmp(json_string_value(json_object_get(row, "state")) ?: "", "ready"))
			pids[n++] = (pid_t)json_integer_value(json_object_get(row, "pid"));
	json_decref(answer);
	return n ? pids[t_random(seed) % n] : 0;
}

/* Kill one worker in @ms milliseconds or less from now. */
static bool kill_one(struct storm *storm, uint64_t *seed)
{
	pid_t pid = 0;

	for (int i = 0; i < 2000 && !pid; i++) {
		pid = pick(storm, seed);
		if (!pid)
			usleep(5000);
	}
	if (!pid) {
		printf("# no worker became ready within 10 s\n");
		return false;
	}
	usleep((useconds_t)(t_random(seed) % 30000));
	return kill(pid, SIGKILL) == 0 || errno == ESRCH;
}

int main(int argc, char **argv)
{
	static struct storm storm = { .cmd = { .verb = "kill" }, .may_lose = true };
	struct storm_client total;
	unsigned long kills, done = 0;
	uint64_t seed = 42;
	bool ok;

	if (argc != 8)
		return 2;
	storm.cmd.socket = argv[1];
	storm_target(&storm, argv[2]);
	storm.versions[0] = argv[3];
	storm.versions[1] = argv[4];
	kills = strtoul(argv[6], NULL, 10);
	storm.client_count = (uint32_t)strtoul(argv[7], NULL, 10);
	ok = storm_control(&storm, "load", argv[4]) &&
	     storm_start(&storm, (uint32_t)strtoul(argv[5], NULL, 10));
	for (; ok && done < kills; done++)
		ok = kill_one(&storm, &seed);
	ok = storm_finish(&storm, &total) && ok;
	printf("%lu kills; %llu requests: %llu exact, %llu lost with their worker, %llu wrong\n", done,
	       (unsigned long long)total.submitted, (unsigned long long)total.exact,
	       (unsigned long long)total.lost, (unsigned long long)total.wrong);
	return ok && total.exact ? 0 : 1;
}
