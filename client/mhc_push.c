/* SPDX-License-Identifier: MIT */
/*
 * mhc_push.c: an adapter out of the caller's memory, over the control socket: one line of JSON with the
 * weights' memfd beside it, lines with progress back, then the answer. Both are flat objects of our
 * own making, so they are written and read here without a library.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "mhc_priv.h"

#define SEALS		(F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)
#define CONFIG_MAX	(60u << 10)	/* the host's limit */
#define LINE_MAX_BYTES	(64u << 10)

struct push {
	const struct mhost_push *what;
	struct mhost_pushed *out;
	int sock, memory;
	uint64_t until_ns;		/* UINT64_MAX: for ever */
	char line[LINE_MAX_BYTES];	/* request, then answers */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

__attribute__((format(printf, 3, 4)))
static int fail(struct push *p, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(p->out->message, sizeof(p->out->message), format, args);
	va_end(args);
	return code;
}

/* ---- the weights ------------------------------------------------------------------------------- */

static int bytes_write(int fd, const char *from, size_t bytes)
{
	while (bytes) {
		ssize_t n = write(fd, from, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		from += n;
		bytes -= (size_t)n;
	}
	return 0;
}

/* Written, not mapped: each page then comes by one copy. */
static int memory_make(struct push *p)
{
	int err;

	p->memory = memfd_create("mhost-push", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	err = p->memory < 0 ? -errno : bytes_write(p->memory, p->what->weights, p->what->weights_bytes);
	if (!err && fcntl(p->memory, F_ADD_SEALS, SEALS))
		err = -errno;
	return err ? fail(p, err, "weights: %zu bytes of memory: %s", p->what->weights_bytes, strerror(-err)) : 0;
}

/* A memfd, sealed by now; or a file, which the host reads itself and tells whether it changed. */
static int memory_take(struct push *p)
{
	int fd = p->what->weights_fd, seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || seals == F_SEAL_SEAL)	/* no memfd; a tmpfs has files that nobody can seal */
		return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? 0 :
		       fail(p, MHOST_E_INVALID, "weights_fd %d is no file: give one, a memfd, or the bytes", fd);
	if ((seals & SEALS) != SEALS && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
		seals = SEALS;
	if ((seals & SEALS) == SEALS)
		return 0;
	return fail(p, MHOST_E_INVALID, "weights_fd %d cannot be sealed: give a memfd made with "
		    "MFD_ALLOW_SEALING and not mapped for writing, or the bytes themselves", fd);
}

/* ---- the request --------------------------------------------------------------------------------- */

/* Append @text as a JSON string's inside. False: no room. */
static bool escape(struct push *p, size_t *at, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (*at + 8 > sizeof(p->line))
			return false;
		if (c == '"' || c == '\\')
			p->line[(*at)++] = '\\';
		if (c < 0x20)
			*at += (size_t)sprintf(p->line + *at, "\\u%04x", c);
		else
			p->line[(*at)++] = (char)c;
	}
	return true;
}

/* ,"key":"text" */
static bool add(struct push *p, size_t *at, const char *key, const char *text)
{
	if (*at + strlen(key) + 16 > sizeof(p->line))
		return false;
	*at += (size_t)sprintf(p->line + *at, "%s\"%s\":\"", *at ? "," : "{", key);
	if (!escape(p, at, text))
		return false;
	p->line[(*at)++] = '"';
	return true;
}

/* 0, or MHOST_E_INVALID; *@bytes of line are to be sent. */
static int request_make(struct push *p, size_t *bytes)
{
	const struct mhost_push *q = p->what;
	char target[160];
	bool fits;

	*bytes = 0;
	if (snprintf(target, sizeof(target), "%s/%s", q->model, q->adapter) >= (int)sizeof(target))
		return fail(p, MHOST_E_INVALID, "model and adapter: names of at most 63 characters");
	if (strlen(q->config) > CONFIG_MAX)
		return fail(p, MHOST_E_INVALID, "config has %zu bytes, at most %u fit", strlen(q->config), CONFIG_MAX);
	fits = add(p, bytes, "command", "push") && add(p, bytes, "model", target) &&
	       (!q->version || add(p, bytes, "version", q->version)) &&
	       add(p, bytes, "route", q->flags & MHOST_PUSH_LOAD_ONLY ? "no" : "yes") &&
	       add(p, bytes, "keep", q->flags & MHOST_PUSH_KEEP ? "yes" : "no") &&
	       add(p, bytes, "config", q->config) && *bytes + 2 <= sizeof(p->line);
	if (!fits)
		return fail(p, MHOST_E_INVALID, "config is too long as a JSON text, at most %u bytes fit", LINE_MAX_BYTES);
	p->line[(*bytes)++] = '}';
	p->line[(*bytes)++] = '\n';
	return 0;
}

/* ---- the socket ------------------------------------------------------------------------------------ */

static int sock_open(struct push *p)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *socket_path = mhc_socket_path(p->what->socket);
	int err;

	if (snprintf(addr.sun_path, sizeof(addr.sun_path), "%s.ctl", socket_path) >= (int)sizeof(addr.sun_path))
		return fail(p, -ENAMETOOLONG, "socket path %.200s is too long", socket_path);
	p->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->sock >= 0 && connect(p->sock, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return 0;
	err = -errno;
	return fail(p, err, "cannot reach the host at %s: %s", addr.sun_path, strerror(-err));
}

/* Wait for @events; 0, -ETIMEDOUT or another negative errno. */
static int sock_wait(const struct push *p, short events)
{
	struct pollfd pfd = { p->sock, events, 0 };
	uint64_t now = now_ns();
	int ms = p->until_ns == UINT64_MAX ? -1 : now >= p->until_ns ? 0 :
		 (int)((p->until_ns - now) / 1000000 + 1);
	int n = poll(&pfd, 1, ms);

	return n > 0 || (n < 0 && errno == EINTR) ? 0 : n ? -errno : -ETIMEDOUT;
}

/* The descriptor goes with the first byte. */
static int request_send(struct push *p, size_t bytes)
{
	int fd = p->memory >= 0 ? p->memory : p->what->weights_fd, err;
	union { struct cmsghdr align; char bytes[CMSG_SPACE(sizeof(int))]; } control = { .bytes = { 0 } };
	struct iovec iov = { p->line, bytes };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	while (iov.iov_len) {
		ssize_t n = sendmsg(p->sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return fail(p, -errno, "the host closed the connection: %s", strerror(errno));
		if (n < 0) {
			err = sock_wait(p, POLLOUT);
			if (err)
				return fail(p, err, "sending to the host: %s", strerror(-err));
			continue;
		}
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
	}
	return 0;
}

/* ---- the answer ------------------------------------------------------------------------------------ */

/* What stands behind "key": in the flat object; "" when it is not there. */
static const char *value_of(const char *line, const char *key)
{
	char quoted[40];
	const char *at;

	snprintf(quoted, sizeof(quoted), "\"%s\":", key);
	at = strstr(line, quoted);
	return at ? at + strlen(quoted) : "";
}

/* The text of a string value, escapes taken out where they stand for one byte. */
static void text_take(const char *value, char *out, size_t bytes)
{
	size_t n = 0;

	if (*value++ == '"')
		for (; *value && *value != '"' && n + 1 < bytes; value++) {
			if (*value == '\\' && value[1])
				value++;
			out[n++] = *value;
		}
	out[n] = '\0';
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int answer_read(struct push *p)
{
	const char *hash = value_of(p->line, "content_hash");
	struct mhost_pushed *out = p->out;

	if (strncmp(value_of(p->line, "ok"), "true", 4)) {
		text_take(value_of(p->line, "error"), out->message, sizeof(out->message));
		return out->message[0] ? MHOST_E_REFUSED : fail(p, MHOST_E_PROTOCOL, "the host's answer is none");
	}
	text_take(value_of(p->line, "version"), out->version, sizeof(out->version));
	out->epoch = strtoull(value_of(p->line, "epoch"), NULL, 10);
	out->load_ns = strtoull(value_of(p->line, "load_ns"), NULL, 10);
	for (uint32_t i = 0; i < sizeof(out->content_hash); i++) {
		int high = *hash ? hex_digit(hash[1 + 2 * i]) : -1, low = high < 0 ? -1 : hex_digit(hash[2 + 2 * i]);

		if (low < 0)
			return fail(p, MHOST_E_PROTOCOL, "the host's answer has no content_hash");
		out->content_hash[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

/* The first line that is no progress. */
static int answer_wait(struct push *p)
{
	size_t have = 0;

	for (;;) {
		int err = sock_wait(p, POLLIN);
		ssize_t n = err ? 0 : recv(p->sock, p->line + have, sizeof(p->line) - 1 - have, MSG_DONTWAIT);
		char *end;

		if (err)
			return fail(p, err, "waiting for the host: %s", strerror(-err));
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return fail(p, MHOST_E_GONE, "the host closed the connection without an answer; see its log");
		have += (size_t)n;
		p->line[have] = '\0';
		while ((end = strchr(p->line, '\n'))) {
			*end++ = '\0';
			if (strncmp(p->line, "{\"progress\"", 11))
				return answer_read(p);
			have -= (size_t)(end - p->line);
			memmove(p->line, end, have + 1);
		}
	}
}

static int push_run(struct push *p)
{
	size_t bytes;
	int err = p->what->weights_fd >= 0 ? memory_take(p) : memory_make(p);

	if (!err)
		err = request_make(p, &bytes);
	if (!err)
		err = sock_open(p);
	if (!err)
		err = request_send(p, bytes);
	return err ? err : answer_wait(p);
}

MHC_PUBLIC int mhost_adapter_push(const struct mhost_push *push, struct mhost_pushed *pushed)
{
	struct push *p;
	int err;

	memset(pushed, 0, sizeof(*pushed));
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	*p = (struct push){ .what = push, .out = pushed, .sock = -1, .memory = -1, .until_ns = UINT64_MAX };
	if (push->timeout_ms >= 0)
		p->until_ns = now_ns() + (uint64_t)push->timeout_ms * 1000000;
	if (push->size != sizeof(*push) || !push->model || !push->adapter || !push->config ||
	    (push->weights_fd < 0 && !push->weights))
		err = fail(p, MHOST_E_INVALID, "size, model, adapter, config and weights or weights_fd are needed");
	else
		err = push_run(p);
	if (p->sock >= 0)
		close(p->sock);
	if (p->memory >= 0)
		close(p->memory);
	free(p);
	return err;
}
