/* SPDX-License-Identifier: MIT */
/* stop.c: a verb that runs for long ends by a signal or by its limit, and says which. */
#include <signal.h>
#include <time.h>

#include "cmd.h"

static volatile sig_atomic_t signalled;
static struct timespec deadline;	/* zero: none */
static uint32_t limit;

static void on_signal(int number)
{
	signalled = number;
}

void stop_begin(uint32_t limit_s)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	limit = limit_s;
	if (!limit_s)
		return;
	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += limit_s;
}

bool stop_is_signalled(void)
{
	return signalled;
}

bool stop_is_over(void)
{
	struct timespec now;

	if (signalled || !limit)
		return signalled;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > deadline.tv_sec ||
	       (now.tv_sec == deadline.tv_sec && now.tv_nsec >= deadline.tv_nsec);
}

int stop_fail(const struct cmd *cmd)
{
	if (signalled)
		return cmd_fail(cmd, CMD_FAILED, "interrupted by signal %d; start it again", signalled);
	return cmd_fail(cmd, CMD_FAILED, "not done within %u s; raise --limit or ask for less", limit);
}

int stop_parse_limit(const struct cmd *cmd, const char *text, uint32_t *limit_s)
{
	uint64_t value;

	if (!cmd_parse_u64(text, 1, STOP_LIMIT_MAX_S, &value))
		return cmd_fail(cmd, CMD_USAGE, "--limit %.40s: limit 1..%u seconds; correct it", text,
				STOP_LIMIT_MAX_S);
	*limit_s = (uint32_t)value;
	return CMD_OK;
}
