/* SPDX-License-Identifier: MIT */
/* sto_history.c: append to and read the log of what happened to the versions. */
#include "sto_history.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATH_BYTES	4096u
#define LOCK_TRY_MS	5u

static int history_path(const char *store, char path[PATH_BYTES], struct sto_error *error)
{
	int n = snprintf(path, PATH_BYTES, "%s/%s", store, STO_HISTORY_NAME);

	if (n >= 0 && n < (int)PATH_BYTES)
		return 0;
	sto_fail(error, "%s: path too long, limit %u bytes; move the store", store, PATH_BYTES - 1);
	return -ENAMETOOLONG;
}

static int fail_errno(struct sto_error *error, const char *path, const char *what, const char *remedy)
{
	int err = errno ? -errno : -EIO;

	sto_fail(error, "%s: cannot be %s: %s; %s", path, what, strerror(-err), remedy);
	return err;
}

/* Whoever may read the file may lock it, so nobody waits for ever. */
static int lock_within(int fd, int operation)
{
	const struct timespec pause = { .tv_nsec = LOCK_TRY_MS * 1000000L };

	for (uint32_t waited = 0; flock(fd, operation | LOCK_NB); waited += LOCK_TRY_MS) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (waited >= STO_HISTORY_LOCK_MS)
			return -EBUSY;
		nanosleep(&pause, NULL);
	}
	return 0;
}

/* ---- the line ---------------------------------------------------------------------------- */

json_t *sto_history_time(void)
{
	struct timespec now;
	struct tm utc;
	char day[32], text[48];

	clock_gettime(CLOCK_REALTIME, &now);
	if (!gmtime_r(&now.tv_sec, &utc) || !strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &utc))
		return json_null();
	snprintf(text, sizeof(text), "%s.%03ldZ", day, now.tv_nsec / 1000000);
	return json_string(text);
}

/* Whose name was asked for last: a batch is mostly one user's, and the name service may be far. */
struct user {
	uid_t uid;
	json_t *name;	/* NULL: nobody's yet */
};

/* Name of @uid, a new reference; null when it has none. */
static json_t *user_name(struct user *last, uid_t uid)
{
	struct passwd entry, *found = NULL;
	char room[4096];

	if (last->name && last->uid == uid)
		return json_incref(last->name);
	json_decref(last->name);
	last->uid = uid;
	last->name = NULL;
	if (getpwuid_r(uid, &entry, room, sizeof(room), &found) == 0 && found)
		last->name = json_string(found->pw_name);
	if (!last->name)
		last->name = json_null();
	return json_incref(last->name);
}

/* The event's own values win; time comes first whoever gave it. */
static json_t *complete(json_t *event, struct user *last)
{
	json_t *line = json_object();
	json_t *uid;

	json_object_set_new(line, "time", sto_history_time());
	json_object_update(line, event);
	uid = json_object_get(line, "uid");
	if (!uid) {
		json_object_set_new(line, "uid", json_integer((json_int_t)getuid()));
		uid = json_object_get(line, "uid");
	}
	if (!json_object_get(line, "user"))
		json_object_set_new(line, "user", json_is_integer(uid) ?
				    user_name(last, (uid_t)json_integer_value(uid)) : json_null());
	return line;
}

/* The line of one event with its newline; free() it. NULL: see *@err. */
static char *line_text(json_t *event, struct user *last, int *err, struct sto_error *error)
{
	json_t *line;
	char *text, *ended = NULL;

	*err = -EINVAL;
	sto_fail(error, "history: event: is absent or no text, limit a JSON object with \"event\"; "
		 "correct the caller");
	if (!json_is_string(json_object_get(event, "event")))
		return NULL;
	line = complete(event, last);
	text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9));
	json_decref(line);
	*err = text && strlen(text) + 1 > STO_HISTORY_LINE_MAX ? -E2BIG : -ENOMEM;
	if (*err == -E2BIG)
		sto_fail(error, "history: event: has %zu bytes, limit %u; shorten it", strlen(text) + 1,
			 STO_HISTORY_LINE_MAX);
	else
		sto_fail(error, "history: out of memory; free some");
	if (text && *err != -E2BIG && asprintf(&ended, "%s\n", text) < 0)
		ended = NULL;
	free(text);
	return ended;
}

/* A newline (for a line that was cut off) and the lines of all events; free() it. NULL: see *@err. */
static char *make_text(json_t *events, size_t *bytes, int *err, struct sto_error *error)
{
	size_t count = json_is_array(events) ? json_array_size(events) : 1;
	struct user last = { .name = NULL };
	char *all = NULL, *line;
	FILE *f = open_memstream(&all, bytes);

	*err = -ENOMEM;
	if (!f)
		return NULL;
	fputc('\n', f);
	for (size_t i = 0; i < count; i++) {
		line = line_text(json_is_array(events) ? json_array_get(events, i) : events, &last, err,
				 error);
		if (!line)
			break;
		fputs(line, f);
		free(line);
		*err = 0;
	}
	json_decref(last.name);
	if (fclose(f) == 0 && *err == 0)
		return all;
	free(all);
	return NULL;
}

/* ---- append ------------------------------------------------------------------------------ */

/* A file made by root in a service user's store is that user's: both append to it. */
static void give_to_owner(int fd, const char *store)
{
	struct stat st;

	if (geteuid() == 0 && stat(store, &st) == 0 && st.st_uid != 0 &&
	    fchown(fd, st.st_uid, st.st_gid))
		return;	/* the owner will be told when he appends */
}

static int open_append(const char *store, const char *path, struct sto_error *error)
{
	const int flags = O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
	int fd = open(path, flags);
	struct stat st;

	if (fd < 0 && errno == ENOENT) {
		fd = open(path, flags | O_CREAT, 0644);
		if (fd >= 0)
			give_to_owner(fd, store);
	}
	if (fd < 0)
		return fail_errno(error, path, "opened", "check its owner and the store's");
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	sto_fail(error, "%s: not a regular file; move it away", path);
	return -EINVAL;
}

static int sync_store(const char *store)
{
	int fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int failed = fd < 0 || fsync(fd);

	if (fd >= 0)
		close(fd);
	return failed;
}

/* All of @text or nothing: one write, taken back when it or its sync fails. */
static int append_locked(int fd, const char *store, const char *path, const char *text, size_t bytes,
			 struct sto_error *error)
{
	const char *remedy = "free space on the store's disk, or check it";
	struct stat st;
	char last = '\n';
	ssize_t n;
	int err;

	if (fstat(fd, &st) || (st.st_size && pread(fd, &last, 1, st.st_size - 1) != 1))
		return fail_errno(error, path, "read", remedy);
	if (last == '\n')	/* the usual case: no line was cut off */
		text++, bytes--;
	errno = 0;
	n = write(fd, text, bytes);
	if (n >= 0 && (size_t)n < bytes)
		errno = ENOSPC;
	if (n == (ssize_t)bytes && fsync(fd) == 0 && (st.st_size || sync_store(store) == 0))
		return 0;
	err = fail_errno(error, path, "appended to", remedy);
	if (n > 0 && ftruncate(fd, st.st_size))
		sto_fail(error, "%s: cannot be appended to: %s; %s (the last line is cut off)", path,
			 strerror(-err), remedy);
	return err;
}

int sto_history_append(const char *store, json_t *events, struct sto_error *error)
{
	char path[PATH_BYTES], *text;
	size_t bytes;
	int fd, err = history_path(store, path, error);

	if (err)
		return err;
	text = make_text(events, &bytes, &err, error);
	if (!text)
		return err;
	fd = open_append(store, path, error);
	err = fd < 0 ? fd : lock_within(fd, LOCK_EX);
	if (fd >= 0 && err)
		sto_fail(error, "%s: cannot be locked: %s; end the process that holds it", path,
			 strerror(-err));
	if (!err)
		err = append_locked(fd, store, path, text, bytes, error);
	if (fd >= 0)
		close(fd);	/* and unlock */
	free(text);
	return err;
}

/* ---- read -------------------------------------------------------------------------------- */

/* The next line into @line without its newline; false at the end. *@bytes over the limit: too long. */
static bool read_line(FILE *f, uint64_t *left, char *line, size_t *bytes)
{
	int c = EOF;

	*bytes = 0;
	while (*left && (c = getc_unlocked(f)) != EOF) {
		(*left)--;
		if (c == '\n')
			return true;
		if (*bytes < STO_HISTORY_LINE_MAX)
			line[*bytes] = (char)c;
		(*bytes)++;
	}
	return *bytes > 0;
}

static json_t *parse_line(const char *line, size_t bytes)
{
	json_t *event = bytes <= STO_HISTORY_LINE_MAX ? json_loadb(line, bytes, 0, NULL) : NULL;

	if (event && json_is_string(json_object_get(event, "event")))
		return event;
	json_decref(event);
	return NULL;
}

/* The lines of the next @left bytes; *@offset moves behind each that was taken. */
static int each_line(FILE *f, uint64_t left, uint64_t *offset, sto_history_fn fn, void *arg,
		     uint32_t *damaged)
{
	uint64_t end = *offset + left;
	char *line = malloc(STO_HISTORY_LINE_MAX);
	size_t bytes;
	int stop = line ? 0 : -ENOMEM;

	while (!stop && read_line(f, &left, line, &bytes)) {
		json_t *event = bytes ? parse_line(line, bytes) : NULL;

		*offset = end - left;
		if (event)
			stop = fn(arg, event);
		else if (bytes && damaged)
			(*damaged)++;
		json_decref(event);
	}
	free(line);
	return stop < 0 ? stop : 0;
}

/* Bytes of whole lines: what a writer is in the midst of is behind them. */
static int settled_bytes(int fd, uint64_t *bytes)
{
	struct stat st;
	int locked = lock_within(fd, LOCK_SH) == 0;	/* else as it is */
	int failed = fstat(fd, &st);

	if (locked)
		flock(fd, LOCK_UN);
	if (!failed && !S_ISREG(st.st_mode)) {
		errno = EINVAL;
		failed = 1;
	}
	*bytes = failed ? 0 : (uint64_t)st.st_size;
	return failed;
}

/* Its first *@bytes are whole lines. *@f NULL: there is none. 0 or negative errno. */
static int open_read(const char *store, FILE **f, uint64_t *bytes, struct sto_error *error)
{
	char path[PATH_BYTES];
	int fd, err = history_path(store, path, error);

	*f = NULL;
	if (err)
		return err;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return 0;
	*f = fd < 0 || settled_bytes(fd, bytes) ? NULL : fdopen(fd, "r");
	if (*f)
		return 0;
	err = fail_errno(error, path, "read", "check the store and its permissions");
	if (fd >= 0)
		close(fd);
	return err;
}

int sto_history_from(const char *store, uint64_t *offset, sto_history_fn fn, void *arg,
		     uint32_t *damaged, struct sto_error *error)
{
	uint64_t bytes = 0;
	FILE *f;
	int err = open_read(store, &f, &bytes, error);

	if (err || !f)
		return err;
	if (fseeko(f, (off_t)*offset, SEEK_SET)) {
		err = fail_errno(error, STO_HISTORY_NAME, "read", "check the store");
	} else if (bytes > *offset) {
		sto_fail(error, "%s: out of memory; free some", STO_HISTORY_NAME);
		err = each_line(f, bytes - *offset, offset, fn, arg, damaged);
	}
	fclose(f);
	return err;
}

int sto_history_back(const char *store, uint64_t back, uint64_t *offset, struct sto_error *error)
{
	uint64_t bytes = 0;
	FILE *f;
	int c = 0, err = open_read(store, &f, &bytes, error);

	*offset = 0;
	if (err || !f)
		return err;
	/* the byte before may end a line: then the next one is whole */
	if (bytes > back && fseeko(f, (off_t)(bytes - back - 1), SEEK_SET))
		err = fail_errno(error, STO_HISTORY_NAME, "read", "check the store");
	for (*offset = bytes > back ? bytes - back - 1 : 0; !err && bytes > back && *offset < bytes; ++*offset)
		if (c == '\n' || (c = getc_unlocked(f)) == EOF)
			break;
	fclose(f);
	return err;
}

int sto_history_each(const char *store, sto_history_fn fn, void *arg, uint32_t *damaged,
		     struct sto_error *error)
{
	uint64_t offset = 0;

	return sto_history_from(store, &offset, fn, arg, damaged, error);
}
