/* SPDX-License-Identifier: MIT */
/* sup_sock.c: the two listening sockets, and who is at the other end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "sup.h"

#define BACKLOG		64
#define GIDS_MAX	256

static int path_of(const struct sup *sup, int which, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return snprintf(addr->sun_path, sizeof(addr->sun_path), "%s%s", sup->conf.socket,
			which ? ".ctl" : "") < (int)sizeof(addr->sun_path) ? 0 : -ENAMETOOLONG;
}

static int type_of(int which)
{
	return (which ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC | SOCK_NONBLOCK;
}

/* Remove what a dead daemon left. Only a socket, and only one that nobody answers at. */
static int stale_remove(const struct sockaddr_un *addr, int which, struct sto_error *error)
{
	const char *path = addr->sun_path;
	struct stat st;
	int fd, err;

	if (lstat(path, &st)) {
		if (errno == ENOENT)
			return 0;
		sto_fail(error, "socket %s: %s", path, strerror(errno));
		return -EINVAL;
	}
	if (!S_ISSOCK(st.st_mode)) {
		sto_fail(error, "socket %s: there is something else of that name; choose another", path);
		return -EEXIST;
	}
	fd = socket(AF_UNIX, type_of(which), 0);
	err = fd < 0 || connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) ? -errno : 0;
	if (fd >= 0)
		close(fd);
	if (err != -ECONNREFUSED) {
		sto_fail(error, "socket %s: %s", path, err == 0 || err == -EAGAIN || err == -EPROTOTYPE ?
			 "another mhostd answers there; stop it or choose another" : strerror(-err));
		return -EADDRINUSE;
	}
	if (unlink(path) && errno != ENOENT) {
		sto_fail(error, "socket %s: left by a daemon that is dead, cannot be removed: %s", path,
			 strerror(errno));
		return -EACCES;
	}
	return 0;
}

static int sock_bind(struct sup *sup, int which, const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, type_of(which), 0), err = 0;
	mode_t before;
	struct stat st;

	if (fd < 0)
		return -errno;
	before = umask(0177);	/* nobody else until sup_sock_modes() */
	if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		err = -errno;
	umask(before);
	if (!err && (listen(fd, BACKLOG) || lstat(addr->sun_path, &st)))
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	sup->socket_dev[which] = st.st_dev;
	sup->socket_ino[which] = st.st_ino;
	return fd;
}

int sup_sock_listen(struct sup *sup, struct sup_source *source, int which, sup_source_fn fn,
		    struct sto_error *error)
{
	struct sockaddr_un addr;
	int fd, err = path_of(sup, which, &addr);

	if (!err)
		err = stale_remove(&addr, which, error);
	if (err)
		return err;
	fd = sock_bind(sup, which, &addr);
	if (fd >= 0) {
		err = sup_source_open(&sup->loop, source, fd, which ? EPOLLIN : 0, fn);
		if (!err)
			return 0;
		close(fd);
		fd = err;
	}
	sto_fail(error, "socket %s: %s", addr.sun_path, strerror(-fd));
	return fd;
}

/* Unlink what we bound, if it is still ours, and take no more. */
void sup_sock_unlisten(struct sup *sup)
{
	struct sup_source *sources[2] = { &sup->client_socket, &sup->control_socket };
	struct sockaddr_un addr;
	struct stat st;

	for (int which = 0; which < 2; which++) {
		if (sources[which]->fd < 0)
			continue;
		path_of(sup, which, &addr);
		if (lstat(addr.sun_path, &st) == 0 && st.st_dev == sup->socket_dev[which] &&
		    st.st_ino == sup->socket_ino[which])
			unlink(addr.sun_path);
		sup_source_close(&sup->loop, sources[which]);
	}
}

/* A list that names others opens the file; who is let in is decided by credentials at accept. */
void sup_sock_modes(struct sup *sup)
{
	const struct sup_access *access[2] = { &sup->conf.use, &sup->conf.control };
	struct sockaddr_un addr;

	for (int which = 0; which < 2; which++) {
		bool others = access[which]->users.count || access[which]->groups.count;

		path_of(sup, which, &addr);
		if (chmod(addr.sun_path, others ? 0666 : 0600))
			log_warning("socket %s: %s", addr.sun_path, strerror(errno));
	}
}

/* The peer's groups, the primary one first. */
static uint32_t peer_groups(int fd, gid_t primary, uint32_t gids[GIDS_MAX])
{
	socklen_t bytes = sizeof(gid_t) * (GIDS_MAX - 1);

	_Static_assert(sizeof(gid_t) == sizeof(uint32_t), "gids are copied as they come");
	gids[0] = primary;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, gids + 1, &bytes))
		return 1;
	return 1 + (uint32_t)(bytes / sizeof(gid_t));
}

void sup_sock_resume(struct sup *sup)
{
	sup_source_change(&sup->loop, &sup->control_socket, EPOLLIN);
	sup_source_change(&sup->loop, &sup->client_socket, sup->state == SUP_SERVING ? EPOLLIN : 0);
}

static void accept_again(struct sup_timer *timer)
{
	sup_sock_resume(sup_owner(timer, struct sup, accept_timer));
}

void sup_sock_pause(struct sup *sup, int err)
{
	if (err == -EAGAIN || err == -ECONNABORTED || err == -EINTR)
		return;
	log_error("cannot accept: %s; trying again in 100 ms", strerror(-err));
	sup_source_change(&sup->loop, &sup->control_socket, 0);
	sup_source_change(&sup->loop, &sup->client_socket, 0);
	sup_timer_set(&sup->loop, &sup->accept_timer, 100 * SUP_NS_PER_MS, accept_again);
}

int sup_sock_accept(int listener, const struct sup_access *access, uint32_t *uid, bool *allowed)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	socklen_t bytes = sizeof(struct ucred);
	uint32_t gids[GIDS_MAX];
	struct ucred cred;

	if (fd < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &bytes)) {
		int err = -errno;

		close(fd);
		return err;
	}
	*uid = cred.uid;
	*allowed = sup_access_allows(access, cred.uid, gids, peer_groups(fd, cred.gid, gids));
	return fd;
}
