/* SPDX-License-Identifier: MIT */
/* sup_spawn.c: one life of a worker: its program, its segments, its first message. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "mhs_attach.h"
#include "mhs_bell.h"
#include "sup.h"
#include "sup_place.h"

#define ENV_MAX	1024

extern char **environ;

/* ---- segments of one life ------------------------------------------------------------------- */

/* A control segment with its header, mapped read-only for us. Returns the writable descriptor. */
static int segment_make(const char *name, size_t bytes, uint64_t magic, uint32_t index,
			struct mhs_map *ours)
{
	int fd = mhs_seg_create(name, bytes), err;
	struct mhs_map map = { NULL, 0 };

	if (fd < 0)
		return fd;
	err = mhs_seg_map_rw(fd, bytes, &map);
	if (!err) {
		if (magic == MHS_MAGIC_SLOT)
			mhs_slot_init(map.addr, index);
		else
			mhs_header_init(map.addr, magic, bytes, index);
		mhs_header_publish(map.addr);
		mhs_seg_unmap(&map);
		err = mhs_seg_map_ro(fd, bytes, 0, ours);
	}
	if (!err)
		return fd;
	close(fd);
	return err;
}

static void init_fill(const struct sup_worker *worker, struct hrt_msg *msg)
{
	const struct sup_conf *conf = &worker->sup->conf;

	*msg = (struct hrt_msg){ .type = HRT_INIT };
	msg->init.worker = worker->index;
	msg->init.threads = sup_threads(conf);
	msg->init.isa = conf->isa;
	msg->init.node = worker->node;
	msg->init.limits = conf->limits;
}

/* Fresh slot, stats, replies and bell, and INIT with them. */
static int life_begin(struct sup_worker *worker)
{
	struct hrt_msg msg;
	int fds[5] = { worker->sup->board_fd, -1, -1, -1, -1 }, bell[2] = { -1, -1 }, err = 0;

	fds[1] = segment_make("mhost:slot", sizeof(struct mhs_slot), MHS_MAGIC_SLOT, worker->index,
			      &worker->slot);
	fds[2] = segment_make("mhost:stats", sizeof(struct mhs_stats), MHS_MAGIC_STATS, worker->index,
			      &worker->stats);
	fds[3] = segment_make("mhost:replies", sizeof(struct mhs_replies), MHS_MAGIC_REPLIES,
			      worker->index, &worker->replies);
	for (int i = 1; i < 4 && !err; i++)
		err = fds[i] < 0 ? fds[i] : 0;
	if (!err)
		err = mhs_bell_open(bell);
	fds[4] = bell[0];
	worker->bell = bell[1];
	if (!err) {
		init_fill(worker, &msg);
		sup_worker_send(worker, &msg, fds, 5);
	}
	for (int i = 1; i < 5; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return err;
}

void sup_worker_life_end(struct sup_worker *worker)
{
	struct sup_loop *loop = &worker->sup->loop;

	sup_source_close(loop, &worker->pidfd);
	sup_source_close(loop, &worker->sock);
	sup_worker_queue_free(worker);
	mhs_seg_unmap(&worker->slot);
	mhs_seg_unmap(&worker->stats);
	mhs_seg_unmap(&worker->replies);
	if (worker->bell >= 0)
		close(worker->bell);
	worker->bell = -1;
	worker->pid = 0;
	worker->life = 0;
	worker->initialised = worker->was_ready = false;
	worker->lane_count = 0;
}

/* ---- spawn ---------------------------------------------------------------------------------- */

static void worker_program(const struct sup_conf *conf, char *path, size_t bytes)
{
	ssize_t n;
	char *slash;

	if (conf->worker_path[0]) {
		snprintf(path, bytes, "%s", conf->worker_path);
		return;
	}
	n = readlink("/proc/self/exe", path, bytes - sizeof("mhost-worker"));
	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	strcpy(slash ? slash + 1 : path, "mhost-worker");
}

static const char *level_name(int level)
{
	static const char *const names[] = { "error", "warning", "notice", "info", "debug" };

	return names[level - LOG_LVL_ERROR];
}

/* Our environment, with what a worker must have and without what is ours alone. */
static void worker_environment(int level, char *env[ENV_MAX + 3], char level_text[48])
{
	static char blas[] = "OPENBLAS_NUM_THREADS=1";	/* the engine splits the work itself */
	size_t n = 0;

	for (char **e = environ; *e && n < ENV_MAX; e++)
		if (strncmp(*e, "NOTIFY_SOCKET=", 14) && strncmp(*e, "LISTEN_", 7) &&
		    strncmp(*e, "OPENBLAS_NUM_THREADS=", 21) && strncmp(*e, "MHOST_LOG_LEVEL=", 16))
			env[n++] = *e;
	snprintf(level_text, 48, "MHOST_LOG_LEVEL=%s", level_name(level));
	env[n++] = blas;
	env[n++] = level_text;
	env[n] = NULL;
}

static int spawn_with(const char *path, char **env, int sock, posix_spawn_file_actions_t *actions,
		      posix_spawnattr_t *attr, pid_t *pid)
{
	char *argv[] = { (char *)(uintptr_t)path, NULL };
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(attr, &none);
	posix_spawnattr_setsigdefault(attr, &all);
	posix_spawnattr_setpgroup(attr, 0);	/* a terminal's Ctrl-C is for us alone */
	posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
				 POSIX_SPAWN_SETPGROUP);
	posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(actions, STDERR_FILENO, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(actions, sock, HERITAGE_FD);
	return -posix_spawn(pid, path, actions, attr, argv, env);
}

/* Start the program with @sock as its HERITAGE_FD. All our other descriptors are close-on-exec. */
static int worker_exec(const struct sup_worker *worker, int sock, pid_t *pid)
{
	const struct sup_conf *conf = &worker->sup->conf;
	char path[SUP_PATH_BYTES], level[48], *env[ENV_MAX + 3];
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int err;

	worker_program(conf, path, sizeof(path));
	worker_environment(conf->log_level, env, level);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	sup_place_enter(worker->node);
	err = spawn_with(path, env, sock, &actions, &attr, pid);
	sup_place_leave();
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	if (err)
		log_error("worker %u: cannot start %s: %s", worker->index, path, strerror(-err));
	return err;
}

static int worker_watch(struct sup_worker *worker, int sock)
{
	struct sup_loop *loop = &worker->sup->loop;
	int pidfd = pidfd_open(worker->pid, 0), err;

	if (pidfd < 0)
		return -errno;
	err = sup_source_open(loop, &worker->pidfd, pidfd, EPOLLIN, sup_worker_ended);
	if (err) {
		close(pidfd);
		return err;
	}
	return sup_source_open(loop, &worker->sock, sock, EPOLLIN, sup_worker_hear);
}

int sup_worker_start(struct sup_worker *worker)
{
	int socks[2], err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, socks))
		return -errno;
	err = worker_exec(worker, socks[1], &worker->pid);
	close(socks[1]);
	if (err) {
		worker->pid = 0;
		close(socks[0]);
		return err;
	}
	worker->life = ++worker->sup->next_life;
	worker->spawn_ns = sup_now_ns();
	worker->state = SUP_WORKER_STARTING;
	err = worker_watch(worker, socks[0]);
	if (err) {
		close(socks[0]);
		kill(worker->pid, SIGKILL);	/* our child, not yet reaped: the pid is its own */
		waitpid(worker->pid, NULL, 0);
		sup_worker_life_end(worker);
		return err;
	}
	return life_begin(worker);
}
