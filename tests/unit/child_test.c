/* SPDX-License-Identifier: MIT */
/* child_test.c: programs beside the supervisor's loop: how they end, what of them is kept, that nothing stays. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sup_child.h"
#include "t.h"

#define LONG_MS	600000u

static struct sup sup;

/* What the callback saw. */
static struct ended {
	uint32_t count;
	int status;
	bool timed_out;
	size_t out_bytes;
	char out[SUP_CHILD_OUT_BYTES + 1], line[64];
} ended;

static void over(struct sup_child *child)
{
	t_ok(child->owner == &ended);
	ended.count++;
	ended.status = child->status;
	ended.timed_out = child->timed_out;
	ended.out_bytes = child->out_bytes;
	memcpy(ended.out, child->out, sizeof(ended.out));
	sup_child_line(child, ended.line, sizeof(ended.line));
}

static struct sup_child *start(const char *command, const char *input, const char *const *env,
			       uint32_t limit_ms)
{
	const char *argv[] = { "/bin/sh", "-c", command, NULL };
	struct sup_child_plan plan = { .argv = argv, .env = env, .input = input, .limit_ms = limit_ms,
				       .over = over, .owner = &ended };
	struct sto_error error = { "" };
	struct sup_child *child;

	memset(&ended, 0, sizeof(ended));
	child = sup_child_start(&sup, &plan, &error);
	if (!child)
		printf("# %s: %s\n", command, error.text);
	return child;
}

/* Of killed groups: we adopt them, as init does for a daemon. */
static void orphans_reap(void)
{
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static uint32_t child_count(void)
{
	uint32_t count = 0;

	for (int kind = 0; kind < SUP_CHILD_KINDS; kind++)
		count += sup.child_counts[kind];
	return count;
}

static void turn_until_none(void)
{
	while (sup.children && sup_loop_turn(&sup.loop) == 0)
		;
	t_eq(child_count(), 0);
	t_ok(!sup.children);
}

static void run(const char *command)
{
	t_need(start(command, NULL, NULL, LONG_MS));
	turn_until_none();
	t_eq(ended.count, 1);
}

static void how_it_ended(void)
{
	run("exit 0");
	t_eq(ended.status, 0);
	t_str_eq(ended.line, "no output");
	run("exit 7");
	t_eq(ended.status, 7);
	run("kill -SEGV $$");
	t_eq(ended.status, 128 + SIGSEGV);
	t_ok(!ended.timed_out);
	t_need(start("exit 5", NULL, NULL, 0));	/* no limit */
	t_ok(!sup.loop.timers);
	turn_until_none();
	t_eq(ended.status, 5);
	run("kill -PIPE $$; exit 1");	/* we ignore it, it does not */
	t_eq(ended.status, 128 + SIGPIPE);
}

static void what_it_said(void)
{
	run("echo one; echo two >&2; printf 'th\\033[2Jree'");
	t_str_eq(ended.out, "one\ntwo\nth\033[2Jree");
	t_str_eq(ended.line, "one");
	run("printf 'a\\033[2Jb\\tc\\n'");
	t_str_eq(ended.line, "a?[2Jb?c");
	run("echo; echo two");
	t_str_eq(ended.line, "no output");
}

static void what_it_is_given(void)
{
	const char *env[] = { "MHOST_MODEL=smol", NULL };
	char *big = malloc(500001);

	setenv("MHOST_SECRET", "x", 1);
	setenv("OTHER", "y", 1);
	t_need(start("echo \"$MHOST_MODEL $MHOST_SECRET $OTHER\"; cat", "the input\n", env, LONG_MS));
	turn_until_none();
	t_str_eq(ended.out, "smol  y\nthe input\n");
	t_need(start("cat", NULL, NULL, LONG_MS));
	turn_until_none();
	t_str_eq(ended.out, "");
	memset(big, 'i', 500000);	/* more than a pipe holds: nobody waits for a reader */
	big[500000] = '\0';
	t_need(start("wc -c", big, NULL, LONG_MS));
	turn_until_none();
	t_eq(atoi(ended.out), 500000);
	t_need(start("exit 3", big, NULL, LONG_MS));
	turn_until_none();
	t_eq(ended.status, 3);
	free(big);
}

static void more_than_is_kept(void)
{
	run("yes 12345678901234567890123456789 | head -c 1000000; exit 4");
	t_eq(ended.status, 4);
	t_eq(ended.out_bytes, SUP_CHILD_OUT_BYTES);
	t_eq(strlen(ended.out), SUP_CHILD_OUT_BYTES);
	t_ok(strncmp(ended.out, "12345678901234567890123456789\n123", 33) == 0);
}

/* The loop goes on with other things meanwhile, its end among them. */
static void output_without_end(void)
{
	t_need(start("cat /dev/zero; exit 1", NULL, NULL, 300));
	turn_until_none();
	orphans_reap();
	t_ok(ended.timed_out);
	t_eq(ended.status, 128 + SIGKILL);
	t_eq(ended.out_bytes, SUP_CHILD_OUT_BYTES);
}

/* Until it has printed @lines. */
static void turn_until_lines(const struct sup_child *child, uint32_t lines)
{
	uint32_t count = 0;

	while (count < lines && sup_loop_turn(&sup.loop) == 0) {
		count = 0;
		for (size_t i = 0; i < child->out_bytes; i++)
			count += child->out[i] == '\n';
	}
}

/* We adopt orphans: how the grandchild ended. */
static int status_of(pid_t pid)
{
	int status = 0;

	return waitpid(pid, &status, 0) == pid ? status : -1;
}

static void its_group_ends_with_it(void)
{
	struct sup_child *child = start("trap '' TERM INT HUP; sleep 1000 & echo $!\n"
					"(trap '' TERM; sleep 1000) & echo $!; wait; sleep 1000", NULL, NULL, LONG_MS);
	pid_t first, second;
	char *end;

	t_need(child);
	turn_until_lines(child, 2);
	first = (pid_t)strtol(child->out, &end, 10);
	second = (pid_t)strtol(end, NULL, 10);
	t_need(first > 0 && second > 0);
	kill(child->pid, SIGTERM);	/* it does not care */
	sup_timer_set(&sup.loop, &child->timer, 0, child->timer.fn);	/* its time is over */
	turn_until_none();
	t_eq(ended.count, 1);
	t_ok(ended.timed_out);
	t_eq(ended.status, 128 + SIGKILL);
	t_eq(status_of(first), SIGKILL);
	t_eq(status_of(second), SIGKILL);
	orphans_reap();		/* the sleep of the second */
}

/* Over when it is, though a child of its own holds its output. */
static void what_it_leaves_is_not_waited_for(void)
{
	run("sleep 1000 & echo $!");
	t_eq(ended.status, 0);
	t_need(atoi(ended.out) > 0);
	kill(atoi(ended.out), SIGKILL);
	t_eq(status_of(atoi(ended.out)), SIGKILL);
}

static void dropped(void)
{
	struct sup_child *child = start("echo $$; exec sleep 1000", NULL, NULL, LONG_MS), *none = NULL;

	t_need(child);
	turn_until_lines(child, 1);
	sup_child_drop(&child);
	t_ok(!child);
	turn_until_none();
	t_eq(ended.count, 0);
	sup_child_drop(&none);
	/* one that ended already, and nobody has looked */
	child = start("exit 0", NULL, NULL, LONG_MS);
	t_need(child);
	waitid(P_PID, (id_t)child->pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	sup_child_drop(&child);
	turn_until_none();
	t_eq(ended.count, 0);
}

static void refused(void)
{
	const char *absent[] = { "/no/such/program", NULL };
	struct sup_child_plan plan = { .argv = absent, .limit_ms = LONG_MS, .over = over, .owner = &ended };
	struct sto_error error;

	memset(&ended, 0, sizeof(ended));
	t_ok(!sup_child_start(&sup, &plan, &error));
	t_str_eq(error.text, "/no/such/program: cannot be started: No such file or directory");
	t_eq(child_count(), 0);
	for (uint32_t i = 0; i < SUP_CHILD_MAX; i++)
		t_need(start("exec sleep 1000", NULL, NULL, LONG_MS));
	plan.argv = (const char *const []){ "/bin/true", NULL };
	plan.kind = SUP_CHILD_HOOK;
	t_need(sup_child_start(&sup, &plan, &error));	/* hooks have places of their own */
	plan.kind = SUP_CHILD_GATE;
	t_ok(!sup_child_start(&sup, &plan, &error));
	t_str_eq(error.text, "/bin/true: cannot be started: too many of its kind run already");
	sup_children_close(&sup);
	t_eq(child_count(), 0);
	t_eq(ended.count, 0);
}

static void a_program_beside_us(void)
{
	const char *argv[] = { "child_test", "--hello", NULL };
	struct sup_child_plan plan = { .argv = argv, .limit_ms = LONG_MS, .over = over, .owner = &ended };
	struct sto_error error;

	memset(&ended, 0, sizeof(ended));
	t_need(sup_child_start(&sup, &plan, &error));
	turn_until_none();
	t_str_eq(ended.out, "hello\n");
	t_eq(ended.status, 9);
}

static uint32_t descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint32_t count = 0;

	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count;
}

static uint32_t descriptors_before;

static void nothing_is_left(void)
{
	t_eq(descriptors(), descriptors_before);
	t_ok(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);	/* no zombie either */
	t_ok(!sup.loop.timers);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--hello") == 0)
		return printf("hello\n"), 9;
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (sup_loop_open(&sup.loop))
		return 1;
	descriptors_before = descriptors();
	T_RUN(how_it_ended);
	T_RUN(what_it_said);
	T_RUN(what_it_is_given);
	T_RUN(more_than_is_kept);
	T_RUN(output_without_end);
	T_RUN(its_group_ends_with_it);
	T_RUN(what_it_leaves_is_not_waited_for);
	T_RUN(dropped);
	T_RUN(refused);
	T_RUN(a_program_beside_us);
	T_RUN(nothing_is_left);
	sup_loop_close(&sup.loop);
	return t_done();
}
