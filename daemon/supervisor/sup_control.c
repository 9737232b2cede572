/* SPDX-License-Identifier: MIT */
/*
 * sup_control.c: the control socket. One JSON object a line, one request at a time per connection;
 * further lines wait in the buffer. Nothing here blocks: what a peer does not read is kept up to a
 * limit, then the peer goes.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "sup_control.h"

#define LINE_BYTES	(64u << 10)
#define OUT_BYTES_MAX	(16u << 20)
#define PROGRESS_MAX	(64u << 10)	/* waiting output beyond which progress is left out */

struct sup_conn {
	struct sup *sup;
	struct sup_conn *next;
	struct sup_source sock;
	struct sup_timer timer;		/* reads the next line: never from within a command */
	uint32_t uid;			/* from the kernel */
	bool busy;			/* a request runs */
	bool ending;			/* close once everything is written */
	bool hung_up;			/* no more input */
	int fd;				/* that came with the input, one at a time; -1: none */
	size_t in_bytes, out_bytes, out_cap;
	char *out;
	char in[LINE_BYTES + 1];
};

static void conn_free(struct sup_conn *conn)
{
	struct sup *sup = conn->sup;
	struct sup_conn **at = &sup->conns;

	while (*at != conn)
		at = &(*at)->next;
	*at = conn->next;
	sup->conn_count--;
	sup_ops_forget(sup, conn);
	sup_timer_off(&sup->loop, &conn->timer);
	sup_source_close(&sup->loop, &conn->sock);
	if (conn->fd >= 0)
		close(conn->fd);
	free(conn->out);
	free(conn);
}

static void conn_end(struct sup_timer *timer)
{
	conn_free(sup_owner(timer, struct sup_conn, timer));
}

/* Soon, not now: callers may still use it. */
static void conn_drop(struct sup_conn *conn)
{
	conn->ending = true;
	conn->out_bytes = 0;
	sup_timer_set(&conn->sup->loop, &conn->timer, 0, conn_end);
}

/* ---- out ------------------------------------------------------------------------------------ */

static void conn_watch(struct sup_conn *conn)
{
	bool room = conn->in_bytes < LINE_BYTES && !conn->hung_up && !conn->ending;

	sup_source_change(&conn->sup->loop, &conn->sock,
			  (room ? EPOLLIN : 0u) | (conn->out_bytes ? EPOLLOUT : 0u));
}

static void conn_flush(struct sup_conn *conn)
{
	while (conn->out_bytes) {
		ssize_t n = send(conn->sock.fd, conn->out, conn->out_bytes, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			conn_drop(conn);
			return;
		}
		if (n < 0)
			break;
		conn->out_bytes -= (size_t)n;
		memmove(conn->out, conn->out + n, conn->out_bytes);
	}
	if (conn->ending && conn->out_bytes == 0)
		conn_drop(conn);
	else
		conn_watch(conn);
}

static int out_append(struct sup_conn *conn, const char *text, size_t bytes)
{
	if (conn->out_bytes + bytes > OUT_BYTES_MAX)
		return -ENOBUFS;
	if (conn->out_bytes + bytes > conn->out_cap) {
		size_t cap = (conn->out_bytes + bytes) * 2;
		char *out = realloc(conn->out, cap);

		if (!out)
			return -ENOMEM;
		conn->out = out;
		conn->out_cap = cap;
	}
	memcpy(conn->out + conn->out_bytes, text, bytes);
	conn->out_bytes += bytes;
	return 0;
}

/* Takes the reference. */
static void conn_write(struct sup_conn *conn, json_t *object)
{
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	int err = text ? out_append(conn, text, strlen(text)) : -ENOMEM;

	json_decref(object);
	free(text);
	if (!err)
		err = out_append(conn, "\n", 1);
	if (err)
		conn_drop(conn);
	else
		conn_flush(conn);
}

static void conn_lines(struct sup_timer *timer);

/* The request is over; what waits in the buffer comes next. */
static void conn_done(struct sup_conn *conn, json_t *object)
{
	conn->busy = false;
	conn_write(conn, object);
	if (!conn->ending)
		sup_timer_set(&conn->sup->loop, &conn->timer, 0, conn_lines);
}

json_t *sup_json_text(const char *text)
{
	json_t *string = json_string(text);
	char *copy;

	if (string)
		return string;
	copy = strdup(text);
	for (char *p = copy; copy && *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	string = json_string(copy ? copy : "out of memory");
	free(copy);
	return string;
}

json_t *sup_json_hash(const uint8_t *hash)
{
	char text[2 * MHS_HASH_BYTES + 1];

	for (uint32_t i = 0; i < MHS_HASH_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", hash[i]);
	return json_string(text);
}

void sup_conn_progress(struct sup_conn *conn, json_t *progress)
{
	if (!conn || conn->out_bytes > PROGRESS_MAX || conn->ending)
		json_decref(progress);
	else
		conn_write(conn, json_pack("{s:o}", "progress", progress));
}

void sup_conn_answer(struct sup_conn *conn, json_t *answer)
{
	json_t *object = conn ? json_pack("{s:b}", "ok", 1) : NULL;

	if (object && answer)
		json_object_update(object, answer);
	json_decref(answer);
	if (conn)
		conn_done(conn, object);
}

void sup_conn_refuse(struct sup_conn *conn, const char *format, ...)
{
	char text[1024];
	va_list args;

	if (!conn)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	conn_done(conn, json_pack("{s:b, s:o}", "ok", 0, "error", sup_json_text(text)));
}

uint32_t sup_conn_uid(const struct sup_conn *conn)
{
	return conn ? conn->uid : SUP_UID_SELF;
}

/* ---- in ------------------------------------------------------------------------------------- */

/* One line, without its end. */
static void conn_line(struct sup_conn *conn, const char *line, size_t bytes)
{
	json_error_t why;
	json_t *request = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, &why);

	conn->busy = true;
	if (json_is_object(request))
		sup_command(conn->sup, conn, request);
	else if (request)
		sup_conn_refuse(conn, "request: not a JSON object");
	else
		sup_conn_refuse(conn, "request: not JSON (column %d: %s)", why.column, why.text);
	json_decref(request);
}

static void conn_lines(struct sup_timer *timer)
{
	struct sup_conn *conn = sup_owner(timer, struct sup_conn, timer);
	char *end = memchr(conn->in, '\n', conn->in_bytes), *line;
	size_t bytes;

	if (conn->busy || conn->ending)
		return;
	if (!end) {
		if (conn->in_bytes >= LINE_BYTES) {
			conn->busy = conn->ending = true;
			sup_conn_refuse(conn, "request: longer than %u bytes", LINE_BYTES);
		} else if (conn->hung_up) {
			conn->ending = true;
			conn_flush(conn);
		}
		return;
	}
	bytes = (size_t)(end - conn->in);
	line = malloc(bytes + 1);
	if (!line) {
		conn_drop(conn);
		return;
	}
	memcpy(line, conn->in, bytes);
	conn->in_bytes -= bytes + 1;
	memmove(conn->in, end + 1, conn->in_bytes);
	conn_watch(conn);
	conn_line(conn, line, bytes);
	free(line);
}

int sup_conn_take_fd(struct sup_conn *conn)
{
	int fd = conn->fd;

	conn->fd = -1;
	return fd;
}

/* Of the descriptors in @msg the first is kept, unless one waits already; the kernel may have cut more off. */
static void fds_take(struct sup_conn *conn, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t count = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS ?
			       (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (conn->fd < 0)
				conn->fd = fd;
			else
				close(fd);
		}
	}
}

/* As read(), with what comes beside the bytes. */
static ssize_t conn_read(struct sup_conn *conn)
{
	union { struct cmsghdr align; char bytes[CMSG_SPACE(4 * sizeof(int))]; } control;
	struct iovec iov = { conn->in + conn->in_bytes, LINE_BYTES - conn->in_bytes };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	ssize_t n = recvmsg(conn->sock.fd, &msg, MSG_CMSG_CLOEXEC);

	if (n >= 0)
		fds_take(conn, &msg);
	return n;
}

static void conn_event(struct sup_source *source, uint32_t events)
{
	struct sup_conn *conn = sup_owner(source, struct sup_conn, sock);
	ssize_t n;

	if (events & (EPOLLHUP | EPOLLERR)) {
		conn_free(conn);	/* both ways: nobody reads an answer */
		return;
	}
	if (events & EPOLLOUT)
		conn_flush(conn);
	if (!(events & EPOLLIN) || conn->ending)
		return;
	n = conn_read(conn);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		conn_free(conn);
		return;
	}
	if (n == 0)
		conn->hung_up = true;	/* its last requests are still answered */
	conn->in_bytes += (size_t)n;
	conn_watch(conn);
	if (!conn->busy)
		sup_timer_set(&conn->sup->loop, &conn->timer, 0, conn_lines);
}

static void conn_new(struct sup *sup, int fd, uint32_t uid, const char *refusal)
{
	struct sup_conn *conn = calloc(1, sizeof(*conn));

	if (!conn || sup_source_open(&sup->loop, &conn->sock, fd, EPOLLIN, conn_event)) {
		free(conn);
		close(fd);
		return;
	}
	conn->sup = sup;
	conn->fd = -1;
	conn->uid = uid;
	conn->next = sup->conns;
	sup->conns = conn;
	sup->conn_count++;
	if (refusal) {
		conn->ending = true;
		sup_conn_refuse(conn, "%s", refusal);
	}
}

void sup_control_accept(struct sup_source *source, uint32_t events)
{
	struct sup *sup = sup_owner(source, struct sup, control_socket);
	char text[96];
	uint32_t uid;
	bool allowed;
	int fd = sup_sock_accept(source->fd, &sup->conf.control, &uid, &allowed);

	(void)events;
	if (fd < 0) {
		sup_sock_pause(sup, fd);
		return;
	}
	if (!allowed) {
		log_notice("uid %u may not control this host", uid);
		snprintf(text, sizeof(text), "user %u may not control this host; see [access]", uid);
		conn_new(sup, fd, uid, text);
	} else if (sup->conn_count >= SUP_CONNS_MAX) {
		snprintf(text, sizeof(text), "%u control connections are open, no more fit",
			 sup->conn_count);
		conn_new(sup, fd, uid, text);
	} else {
		conn_new(sup, fd, uid, NULL);
	}
}

void sup_conns_close(struct sup *sup)
{
	while (sup->conns) {
		sup->conns->ending = true;
		conn_flush(sup->conns);
		conn_free(sup->conns);
	}
}
