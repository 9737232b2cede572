/* SPDX-License-Identifier: MIT */
/* bench_proc.c: the programs that a measurement needs, and a private directory for them. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define STOP_MS		20000

static void short_sleep(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
}

int bench_find(const struct cmd *cmd, const char *name, char *path, size_t cap)
{
	static const char *const places[] = { "", "../tools/", "../../tools/", "../sbin/",
					      "../share/mhost/" };
	char self[2048];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[n > 0 ? n : 0] = 0;
	slash = strrchr(self, '/');
	if (slash)
		slash[1] = 0;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		n = snprintf(path, cap, "%s%s%s", self, places[i], name);
		if (n > 0 && (size_t)n < cap && access(path, R_OK) == 0)
			return CMD_OK;
	}
	return cmd_fail(cmd, CMD_FAILED, "%s is neither beside mhost nor in ../tools, ../sbin or "
			"../share/mhost", name);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	return remove(path);
}

void bench_dir_remove(const char *dir)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Lives until the measurement has ended, however that came: removes its directory. */
static void tidy_up(const char *dir, int alive)
{
	char byte;

	setsid();
	while (read(alive, &byte, 1) < 0 && errno == EINTR)
		;
	/* A program that ends with us may still write its last. */
	for (int i = 0; i < 100 && nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS); i++)
		short_sleep();
	_exit(0);
}

int bench_dir_make(const struct cmd *cmd, char *dir, size_t cap)
{
	const char *base = getenv("TMPDIR");
	int pipes[2];

	/* Not /tmp: where that is memory, nothing can be read past the page cache. */
	snprintf(dir, cap, "%s/mhost-bench.XXXXXX", base && base[0] ? base : "/var/tmp");
	if (!mkdtemp(dir) || pipe2(pipes, O_CLOEXEC))
		return cmd_fail(cmd, CMD_FAILED, "%s: %s", dir, strerror(errno));
	fflush(NULL);
	switch (fork()) {
	case -1:
		return cmd_fail(cmd, CMD_FAILED, "cannot fork: %s", strerror(errno));
	case 0:
		close(pipes[1]);
		tidy_up(dir, pipes[0]);
	}
	close(pipes[0]);
	return CMD_OK;	/* pipes[1] stays open until we end */
}

/* In the child. Ends with its parent, so that nothing outlives a measurement that was killed. */
static void run_child(const struct bench_program *p, int out)
{
	int log = p->log ? open(p->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) :
			   open("/dev/null", O_WRONLY | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (!p->is_told)
		dup2(log, STDERR_FILENO);
	dup2(out >= 0 ? out : log, STDOUT_FILENO);
	if (p->libraries)
		setenv("LD_LIBRARY_PATH", p->libraries, 1);
	execvp(p->argv[0], (char *const *)(uintptr_t)p->argv);
	_exit(127);
}

int bench_program_start(const struct cmd *cmd, const struct bench_program *p, int out, pid_t *pid)
{
	*pid = fork();
	if (*pid == 0)
		run_child(p, out);
	if (*pid > 0)
		return CMD_OK;
	return cmd_fail(cmd, CMD_FAILED, "%s: cannot start it: %s", p->argv[0], strerror(errno));
}

void bench_program_stop(pid_t *pid)
{
	double until = bench_now_s() + STOP_MS / 1e3;

	if (*pid <= 0)
		return;
	kill(*pid, SIGTERM);
	while (waitpid(*pid, NULL, WNOHANG) == 0) {
		if (bench_now_s() > until)
			kill(*pid, SIGKILL);
		short_sleep();
	}
	*pid = 0;
}

int bench_wait(pid_t pid, double seconds, bool (*is_ready)(void *), void *arg)
{
	double until = bench_now_s() + seconds;

	while (!is_ready(arg)) {
		siginfo_t info = { 0 };

		/* WNOWAIT: bench_program_stop() still collects it. */
		if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid)
			return -ECHILD;
		if (bench_now_s() > until)
			return -ETIMEDOUT;
		short_sleep();
	}
	return 0;
}

static char *read_all(int fd)
{
	size_t cap = 1 << 16, have = 0;
	char *text = malloc(cap);
	ssize_t n;

	while (text && (n = read(fd, text + have, cap - have - 1)) > 0) {
		have += (size_t)n;
		if (cap - have > 1)
			continue;
		cap *= 2;
		text = realloc(text, cap);
	}
	if (text)
		text[have] = 0;
	return text;
}

char *bench_program_output(const struct cmd *cmd, const struct bench_program *p)
{
	char *text = NULL;
	int pipes[2], status = -1;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC)) {
		cmd_fail(cmd, CMD_FAILED, "%s", strerror(errno));
		return NULL;
	}
	if (bench_program_start(cmd, p, pipes[1], &pid) == CMD_OK) {
		close(pipes[1]);
		text = read_all(pipes[0]);
		waitpid(pid, &status, 0);
	} else {
		close(pipes[1]);
	}
	close(pipes[0]);
	if (text && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return text;
	free(text);
	cmd_fail(cmd, CMD_FAILED, "%s failed (status %d)%s%s", p->argv[0],
		 WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status),
		 p->log ? "; see " : "", p->log ? p->log : "");
	return NULL;
}
