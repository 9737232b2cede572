/* SPDX-License-Identifier: MIT */
/* signals.c: the signals that ask a long verb to give up in good order. */
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

#include "cmd.h"

static _Atomic int stop;

static void on_signal(int number)
{
	(void)number;
	/* relaxed: a request to give up; nothing is published by it */
	atomic_store_explicit(&stop, 1, memory_order_relaxed);
}

const _Atomic int *cmd_catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };

	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	return &stop;
}
