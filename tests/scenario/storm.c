/* SPDX-License-Identifier: MIT */
/*
 * storm.c: flips and rollbacks between two versions while clients stream. Every reply must be bit-identical
 * to the reference of the one version it is stamped with; none lost, none failed.
 *	storm SOCKET MODEL VERSION_A VERSION_B VOCAB FLIPS CLIENTS      (A is active)
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "t_storm.h"

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* From A to B and back. */
static bool flip(struct storm *storm, unsigned long done)
{
	const char *left = storm->versions[done % 2], *next = storm->versions[1 - done % 2];
	bool ok = done % 2 ? storm_control(storm, "rollback", NULL) :
			     storm_control(storm, "activate", next);

	if (ok && storm->adapter && done % 4 >= 2)
		ok = storm_control(storm, "unload", left);
	return ok;
}

int main(int argc, char **argv)
{
	static struct storm storm = { .cmd = { .verb = "storm" } };
	struct storm_client total;
	unsigned long flips, done = 0;
	double start;
	bool ok;

	if (argc != 8)
		return 2;
	storm.cmd.socket = argv[1];
	storm_target(&storm, argv[2]);
	storm.versions[0] = argv[3];
	storm.versions[1] = argv[4];
	flips = strtoul(argv[6], NULL, 10);
	storm.client_count = (uint32_t)strtoul(argv[7], NULL, 10);
	ok = storm_control(&storm, "load", argv[4]) &&
	     storm_start(&storm, (uint32_t)strtoul(argv[5], NULL, 10));
	start = now_s();
	while (ok && done < flips)
		ok = flip(&storm, done++);
	ok = storm_finish(&storm, &total) && ok;
	printf("%lu flips in %.1f s; %llu replies, all exact: %llu of A, %llu of B; %llu wrong\n", done,
	       now_s() - start, (unsigned long long)total.exact, (unsigned long long)total.replies[0],
	       (unsigned long long)total.replies[1], (unsigned long long)total.wrong);
	if (!total.replies[0] || !total.replies[1]) {
		printf("# one version answered nothing: the storm proves nothing\n");
		ok = false;
	}
	return ok ? 0 : 1;
}
