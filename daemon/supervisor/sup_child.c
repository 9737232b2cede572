/* SPDX-License-Identifier: MIT */
#include "sup_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

#define ENV_MAX		512u
#define OUT_READS	32u	/* of up to 4 KiB */

extern char **environ;

/* ---- its end -------------------------------------------------------------------------------- */

static void child_free(struct sup_child *child)
{
	struct sup *sup = child->sup;
	struct sup_child **at = &sup->children;

	while (*at != child)
		at = &(*at)->next;
	*at = child->next;
	sup->child_counts[child->kind]--;
	sup_timer_off(&sup->loop, &child->timer);
	sup_source_close(&sup->loop, &child->pidfd);
	sup_source_close(&sup->loop, &child->pipe);
	free(child);
}

/*
 * What is in the pipe now; the rest of more than we keep is thrown away. A pipe's worth at a time:
 * one that is filled as fast as we read must not keep us.
 */
static void out_read(struct sup_child *child)
{
	char waste[4096];
	ssize_t n = 1;

	for (uint32_t i = 0; i < OUT_READS && child->pipe.fd >= 0 && n > 0; i++) {
		size_t room = SUP_CHILD_OUT_BYTES - child->out_bytes;

		n = read(child->pipe.fd, room ? child->out + child->out_bytes : waste,
			 room ? room : sizeof(waste));
		if (n > 0 && room)
			child->out_bytes += (size_t)n;
	}
	child->out[child->out_bytes] = '\0';
	if (n == 0)
		sup_source_close(&child->sup->loop, &child->pipe);
}

static void out_came(struct sup_source *source, uint32_t events)
{
	(void)events;
	out_read(sup_owner(source, struct sup_child, pipe));
}

static void child_ended(struct sup_source *source, uint32_t events)
{
	struct sup_child *child = sup_owner(source, struct sup_child, pidfd);
	siginfo_t info = { 0 };

	(void)events;
	if (waitid(P_PIDFD, (id_t)source->fd, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0)
		return;		/* not yet */
	out_read(child);
	child->status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
	if (child->over)
		child->over(child);
	child_free(child);
}

/* Its group: a shell's children as well. Not yet reaped, so the number is still its own. */
static void child_kill(struct sup_child *child)
{
	kill(-child->pid, SIGKILL);
	pidfd_send_signal(child->pidfd.fd, SIGKILL, NULL, 0);
}

static void child_late(struct sup_timer *timer)
{
	struct sup_child *child = sup_owner(timer, struct sup_child, timer);

	child->timed_out = true;
	child_kill(child);
}

void sup_child_drop(struct sup_child **child)
{
	if (!*child)
		return;
	(*child)->over = NULL;
	child_kill(*child);
	*child = NULL;
}

void sup_child_line(const struct sup_child *child, char *line, size_t bytes)
{
	size_t n = strcspn(child->out, "\n");

	snprintf(line, bytes, "%.*s", n ? (int)n : 9, n ? child->out : "no output");
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

void sup_children_close(struct sup *sup)
{
	while (sup->children) {
		struct sup_child *child = sup->children;

		child_kill(child);
		waitpid(child->pid, NULL, 0);
		child_free(child);
	}
}

/* ---- its beginning -------------------------------------------------------------------------- */

/* A program of ours lies beside us. */
static void program_path(const char *name, char *path, size_t bytes)
{
	ssize_t n = readlink("/proc/self/exe", path, bytes - strlen(name) - 2);
	char *slash;

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	strcpy(slash ? slash + 1 : path, name);
}

static void environment(const char *const *extra, char *env[ENV_MAX + 1])
{
	size_t n = 0;

	for (; extra && *extra && n < ENV_MAX; extra++)
		env[n++] = (char *)(uintptr_t)*extra;
	for (char **e = environ; *e && n < ENV_MAX; e++)
		if (strncmp(*e, "NOTIFY_SOCKET=", 14) && strncmp(*e, "LISTEN_", 7) &&
		    strncmp(*e, "MHOST_", 6))
			env[n++] = *e;
	env[n] = NULL;
}

static int spawn_with(const struct sup_child_plan *plan, int in, int out, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	char path[SUP_PATH_BYTES], *env[ENV_MAX + 1];
	posix_spawnattr_t attr;
	sigset_t none, all;
	int err;

	snprintf(path, sizeof(path), "%s", plan->argv[0]);
	if (!strchr(plan->argv[0], '/'))
		program_path(plan->argv[0], path, sizeof(path));
	environment(plan->env, env);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
				 POSIX_SPAWN_SETPGROUP);
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
	err = -posix_spawn(pid, path, &actions, &attr, (char **)(uintptr_t)plan->argv, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return err;
}

/* The text as a file that a program can read from its start. */
static int input_open(const char *text)
{
	int fd = memfd_create("mhost:input", MFD_CLOEXEC);
	size_t bytes = text ? strlen(text) : 0;

	if (fd >= 0 && bytes && (write(fd, text, bytes) != (ssize_t)bytes ||
				 lseek(fd, 0, SEEK_SET))) {
		close(fd);
		return -EIO;
	}
	return fd < 0 ? -errno : fd;
}

static int child_watch(struct sup_child *child, int out)
{
	struct sup_loop *loop = &child->sup->loop;
	int pidfd = pidfd_open(child->pid, 0), err;

	if (pidfd < 0)
		return -errno;
	err = sup_source_open(loop, &child->pidfd, pidfd, EPOLLIN, child_ended);
	if (err) {
		close(pidfd);
		return err;
	}
	fcntl(out, F_SETFL, O_NONBLOCK);
	return sup_source_open(loop, &child->pipe, out, EPOLLIN, out_came);
}

static int child_begin(struct sup_child *child, const struct sup_child_plan *plan)
{
	int in = input_open(plan->input), out[2] = { -1, -1 }, err;

	err = in < 0 ? in : pipe2(out, O_CLOEXEC) ? -errno : 0;
	if (!err)
		err = spawn_with(plan, in, out[1], &child->pid);
	if (in >= 0)
		close(in);
	if (out[1] >= 0)
		close(out[1]);
	if (!err) {
		err = child_watch(child, out[0]);
		if (err) {
			kill(-child->pid, SIGKILL);
			waitpid(child->pid, NULL, 0);
		}
	}
	if (err && out[0] >= 0 && child->pipe.fd < 0)
		close(out[0]);
	return err;
}

/* One metric, probe and watch a model are no more than there are models. */
static uint32_t most_of(enum sup_child_kind kind)
{
	return kind == SUP_CHILD_GATE || kind == SUP_CHILD_HOOK ? SUP_CHILD_MAX : SUP_CONF_MODELS_MAX;
}

struct sup_child *sup_child_start(struct sup *sup, const struct sup_child_plan *plan,
				  struct sto_error *error)
{
	struct sup_child *child = NULL;
	int err = sup->child_counts[plan->kind] < most_of(plan->kind) ? 0 : -EAGAIN;

	if (!err)
		child = calloc(1, sizeof(*child));
	if (!err && !child)
		err = -ENOMEM;
	if (err) {
		sto_fail(error, "%s: cannot be started: %s", plan->argv[0], err == -EAGAIN ?
			 "too many of its kind run already" : strerror(-err));
		return NULL;
	}
	child->sup = sup;
	child->pidfd.fd = child->pipe.fd = -1;
	child->next = sup->children;
	sup->children = child;
	child->kind = plan->kind;
	sup->child_counts[child->kind]++;
	child->over = plan->over;
	child->owner = plan->owner;
	err = child_begin(child, plan);
	if (err) {
		sto_fail(error, "%s: cannot be started: %s", plan->argv[0], strerror(-err));
		child_free(child);
		return NULL;
	}
	if (plan->limit_ms)
		sup_timer_set(&sup->loop, &child->timer, plan->limit_ms * SUP_NS_PER_MS, child_late);
	return child;
}
