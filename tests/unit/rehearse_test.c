/* SPDX-License-Identifier: MIT */
/* rehearse_test.c: MHOST_REHEARSE: what is read of it, and that its shares are exact. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../daemon/worker/wrk.h"
#include "log.h"
#include "t.h"

/* What tiny@1.1.0 is to do by @text, as "slow errors nan crash". */
static const char *read_of(const char *text)
{
	struct wrk_rehearsal r = { .slow = 0 };
	static char out[64];

	if (text)
		setenv("MHOST_REHEARSE", text, 1);
	else
		unsetenv("MHOST_REHEARSE");
	wrk_rehearse_read("tiny", "1.1.0", &r);
	snprintf(out, sizeof(out), "%u %u %u %u", r.slow, r.errors, r.nan, r.crash);
	return out;
}

static void what_is_read(void)
{
	t_str_eq(read_of(NULL), "0 0 0 0");
	t_str_eq(read_of(""), "0 0 0 0");
	t_str_eq(read_of("tiny@1.1.0:slow=30,errors=10"), "30 10 0 0");
	t_str_eq(read_of("tiny@1.1.0:crash=1,nan=2"), "0 0 2 1");
	t_str_eq(read_of("tiny@1.0.0:errors=9;tiny@1.1.0:nan=1;tiny@1.2.0:crash=5"), "0 0 1 0");
	t_str_eq(read_of("tiny@1.0.0:errors=9; tiny@1.1.0:errors=3;"), "0 3 0 0");
	t_str_eq(read_of(";;tiny@1.1.0:slow=5"), "5 0 0 0");
}

static void what_is_not(void)
{
	static const char *const others[] = {
		"tiny@1.1.0", "tiny@1.1.0:", "tiny@1.1.0:errors", "tiny@1.1.0:errors=", "tiny@1.1.01:errors=5",
		"tiny@1.1.0-rc.1:errors=5", "tin@1.1.0:errors=5", "xtiny@1.1.0:errors=5", "tiny:errors=5",
		"tiny@1.1.0:xerrors=5", "tiny@1.1.0:err=5", "tiny@1.1.0:errors=x", "tiny@1.1.0:errors=-5",
		"tiny@1.1.0;errors=5", "tiny@1.1.0:nan;errors=5", "errors=5", ":", ";", "=", "tiny@1.1.0:=5",
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (!t_str_eq(read_of(others[i]), "0 0 0 0"))
			printf("# %s\n", others[i]);
	t_str_eq(read_of("tiny@1.1.0:slow=99999999999999999999,errors=4294967299"), "1000 1000 0 0");
}

/* Requests that fail, and logits made no number, in the 100 replies that begin with the @from-th. */
static void count(struct wrk_rehearsal r, uint64_t from, uint32_t *errors, uint32_t *nans)
{
	*errors = *nans = 0;
	r.replies = from;
	for (int i = 0; i < 100; i++) {
		float logits[2] = { 1, 2 };

		*errors += wrk_rehearse_token(&r, logits) != NULL;
		*nans += isnan(logits[0]) != 0;
		t_ok(logits[1] == 2.0f);
	}
}

static void shares_are_exact(void)
{
	uint32_t errors, nans;

	for (uint32_t n = 0; n <= 100; n++)
		for (uint64_t from = 0; from < 1000; from += 37) {
			count((struct wrk_rehearsal){ .errors = n, .nan = 100 - n }, from, &errors, &nans);
			t_eq(errors, n);
			t_eq(nans, 100 - n);
		}
}

/* Not one after the other: a step of a few dozen requests has its part of them. */
static void shares_are_spread(void)
{
	struct wrk_rehearsal r = { .errors = 10 };
	uint32_t apart = 0, longest = 0;

	for (int i = 0; i < 1000; i++) {
		float logits[1] = { 0 };

		apart = wrk_rehearse_token(&r, logits) ? 0 : apart + 1;
		longest = apart > longest ? apart : longest;
	}
	t_ok(longest <= 20);
}

static void crashes(void)
{
	uint32_t dead = 0;

	for (uint32_t i = 0; i < 100; i++) {
		struct wrk_rehearsal r = { .crash = 7, .replies = i };
		int status = 0;
		pid_t pid = fork();

		if (pid == 0) {
			float logits[1] = { 0 };

			setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
			signal(SIGABRT, SIG_DFL);
			wrk_rehearse_token(&r, logits);
			_exit(0);
		}
		t_need(pid > 0 && waitpid(pid, &status, 0) == pid);
		dead += WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
	}
	t_eq(dead, 7);
}

static void slowness(void)
{
	struct wrk_rehearsal slow = { .slow = 50 }, none = { .slow = 0 };
	uint64_t begin = wrk_now_ns(), least = UINT64_MAX;

	wrk_rehearse_step(&slow, 4000000);
	t_ok(wrk_now_ns() - begin >= 2000000);
	for (int i = 0; i < 100; i++) {
		begin = wrk_now_ns();
		wrk_rehearse_step(&none, 4000000000u);
		least = wrk_now_ns() - begin < least ? wrk_now_ns() - begin : least;
	}
	t_ok(least < 1000000);
}

int main(void)
{
	log_init("rehearse", LOG_LVL_ERROR);
	T_RUN(what_is_read);
	T_RUN(what_is_not);
	T_RUN(shares_are_exact);
	T_RUN(shares_are_spread);
	T_RUN(crashes);
	T_RUN(slowness);
	return t_done();
}
