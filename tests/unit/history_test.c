/* SPDX-License-Identifier: MIT */
/* history_test.c: the append-only log: whole lines whatever happens to the disk or to writers. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sto_history.h"
#include "t.h"

#define WRITERS		4
#define LINES		200

static struct sto_error error;
static char seen[1024];
static uint32_t count, damaged;

static const char *fresh_store(void)
{
	static char store[64];
	static int number;

	snprintf(store, sizeof(store), "%s", t_path(""));
	snprintf(store + strlen(store), sizeof(store) - strlen(store), "store%d", number++);
	mkdir(store, 0755);
	return store;
}

static const char *file_of(const char *store)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", store, STO_HISTORY_NAME);
	return path;
}

static int append(const char *store, const char *name, const char *why)
{
	json_t *event = json_pack("{s:s, s:s, s:s, s:s}", "event", name, "model", "smol", "version",
				  "1.0.0", "why", why);
	int err = sto_history_append(store, event, &error);

	json_decref(event);
	return err;
}

static int note(void *arg, json_t *event)
{
	size_t n = strlen(seen);

	snprintf(seen + n, sizeof(seen) - n, "%s ",
		 json_string_value(json_object_get(event, "event")));
	count++;
	return arg && count == *(const uint32_t *)arg ? 1 : 0;
}

static int list(const char *store)
{
	seen[0] = '\0';
	count = damaged = 0;
	return sto_history_each(store, note, NULL, &damaged, &error);
}

static void add_raw(const char *store, const void *data, size_t bytes)
{
	int fd = open(file_of(store), O_WRONLY | O_APPEND | O_CREAT, 0644);

	t_eq(write(fd, data, bytes), bytes);
	close(fd);
}

static long long size_of(const char *store)
{
	struct stat st;

	return stat(file_of(store), &st) ? -1 : (long long)st.st_size;
}

static int keep(void *arg, json_t *event)
{
	*(json_t **)arg = json_incref(event);
	return 1;
}

static void adds_who_and_when(void)
{
	const char *store = fresh_store();
	json_t *got = NULL, *own;
	const char *text;

	t_eq(append(store, "import", "a\nline and \"quotes\""), 0);
	t_eq(sto_history_each(store, keep, &got, NULL, &error), 0);
	t_need(got);
	text = json_string_value(json_object_get(got, "time"));
	t_need(text && strlen(text) == 24);
	t_ok(text[4] == '-' && text[10] == 'T' && text[19] == '.' && text[23] == 'Z');
	t_eq(json_integer_value(json_object_get(got, "uid")), getuid());
	t_ok(json_object_get(got, "user"));
	t_str_eq(json_string_value(json_object_get(got, "why")), "a\nline and \"quotes\"");
	json_decref(got);

	store = fresh_store();
	own = json_pack("{s:s, s:i, s:s, s:s, s:[i]}", "event", "flip", "uid", 7, "user", "op",
			"time", "2026-01-02T03:04:05.006Z", "more", 1);
	t_eq(sto_history_append(store, own, &error), 0);
	t_eq(sto_history_each(store, keep, &got, NULL, &error), 0);
	t_ok(json_equal(own, got));
	json_decref(got);
	json_decref(own);
}

static void refuses_what_is_no_event(void)
{
	const char *store = fresh_store();
	json_t *event = json_pack("{s:s}", "model", "smol");
	char *big = malloc(STO_HISTORY_LINE_MAX + 1);

	t_eq(sto_history_append(store, event, &error), -EINVAL);
	t_ok(strstr(error.text, "event"));
	json_decref(event);
	memset(big, 'x', STO_HISTORY_LINE_MAX);
	big[STO_HISTORY_LINE_MAX] = '\0';
	t_eq(append(store, "import", big), -E2BIG);
	t_ok(strstr(error.text, "limit 1048576"));
	free(big);
	t_eq(size_of(store), -1);
	t_eq(list(store), 0);
	t_eq(count, 0);
	t_eq(append("/nowhere/at/all", "import", ""), -ENOENT);
}

static void a_torn_line_costs_only_itself(void)
{
	const char *store = fresh_store();
	static char zeros[5000];
	char *big = malloc(STO_HISTORY_LINE_MAX + 100);

	t_eq(append(store, "one", ""), 0);
	add_raw(store, "{\"event\":\"cut", 13);
	t_eq(list(store), 0);
	t_str_eq(seen, "one ");
	t_eq(damaged, 1);
	t_eq(append(store, "two", ""), 0);
	add_raw(store, zeros, sizeof(zeros));	/* as a power cut may leave */
	t_eq(append(store, "three", ""), 0);
	add_raw(store, "[1]\n{\"no\":1}\n\n{\"event\":\"whole\"}", 31);
	t_eq(append(store, "four", ""), 0);
	memset(big, ' ', STO_HISTORY_LINE_MAX + 100);	/* longer than a line may be */
	add_raw(store, big, STO_HISTORY_LINE_MAX + 100);
	t_eq(append(store, "five", ""), 0);
	free(big);
	t_eq(list(store), 0);
	t_str_eq(seen, "one two three whole four five ");
	t_eq(damaged, 5);
}

static void goes_on_where_it_stopped(void)
{
	const char *store = fresh_store();
	uint64_t offset = 0;
	uint32_t two = 2;

	t_eq(append(store, "one", ""), 0);
	t_eq(append(store, "two", ""), 0);
	t_eq(append(store, "three", ""), 0);
	seen[0] = '\0', count = 0;
	t_eq(sto_history_from(store, &offset, note, &two, NULL, &error), 0);
	t_str_eq(seen, "one two ");
	t_eq(sto_history_from(store, &offset, note, NULL, NULL, &error), 0);
	t_str_eq(seen, "one two three ");
	t_eq(offset, size_of(store));
	t_eq(append(store, "four", ""), 0);
	t_eq(sto_history_from(store, &offset, note, NULL, NULL, &error), 0);
	t_str_eq(seen, "one two three four ");
}

/* Every place to begin at gives whole lines to the end. */
static void from_the_end(void)
{
	const char *store = t_path("end");
	uint64_t offset, whole[4] = { 0 };
	json_t *event;

	mkdir(store, 0755);
	t_eq(sto_history_back(store, 100, &offset, &error), 0);
	t_eq(offset, 0);
	for (int i = 1; i < 4; i++) {
		event = json_pack("{s:s, s:i}", "event", "step", "n", i);
		t_eq(sto_history_append(store, event, &error), 0);
		json_decref(event);
		t_eq(sto_history_from(store, &whole[i], note, NULL, NULL, &error), 0);
	}
	for (uint64_t back = 0; back < whole[3] + 10; back++) {
		uint64_t begin = whole[3] > back ? whole[3] - back : 0, wanted = 0;

		for (int i = 3; i >= 0; i--)
			wanted = whole[i] >= begin ? whole[i] : wanted;
		t_eq(sto_history_back(store, back, &offset, &error), 0);
		t_eq(offset, wanted);
	}
}

static void write_many(const char *store, int writer)
{
	char why[600];

	for (int i = 0; i < LINES; i++) {
		memset(why, 'a' + writer, sizeof(why) - 1);
		why[(i * 37) % 599] = '\0';
		if (append(store, "step", why))
			_exit(1);
	}
	_exit(0);
}

static int check_step(void *arg, json_t *event)
{
	const char *why = json_string_value(json_object_get(event, "why"));
	int *next = arg, writer;

	count++;
	if (!why[0])	/* a writer's first line, and no other of its 200 */
		return 0;
	writer = why[0] - 'a';
	next[writer]++;
	t_eq(strlen(why), (next[writer] * 37) % 599);
	t_eq(strspn(why, (char[]){ why[0], '\0' }), strlen(why));
	return 0;
}

static void writers_do_not_mix(void)
{
	const char *store = fresh_store();
	pid_t pids[WRITERS];
	int status, next[WRITERS] = { 0 };

	for (int i = 0; i < WRITERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			write_many(store, i);
	}
	for (int i = 0; i < WRITERS; i++) {
		t_eq(waitpid(pids[i], &status, 0), pids[i]);
		t_eq(status, 0);
	}
	count = damaged = 0;
	t_eq(sto_history_each(store, check_step, next, &damaged, &error), 0);
	t_eq(count, WRITERS * LINES);
	t_eq(damaged, 0);
}

/* A limit on the file's size cuts the write short, as a full disk does. */
static void full_disk_child(const char *store)
{
	long long before = size_of(store);
	struct rlimit limit = { (rlim_t)before + 40, (rlim_t)before + 40 };

	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	if (append(store, "lost", "a line longer than what is left") != -ENOSPC)
		_exit(1);
	if (size_of(store) != before)
		_exit(2);
	if (!strstr(error.text, "cannot be appended to: No space left"))
		_exit(3);
	limit.rlim_cur = limit.rlim_max = (rlim_t)before;	/* not even a byte */
	setrlimit(RLIMIT_FSIZE, &limit);
	if (append(store, "lost", "") != -EFBIG || size_of(store) != before)
		_exit(4);
	_exit(0);
}

static void a_full_disk_leaves_whole_lines(void)
{
	const char *store = fresh_store();
	int status;
	pid_t pid;

	t_eq(append(store, "one", ""), 0);
	pid = fork();
	if (pid == 0)
		full_disk_child(store);
	t_eq(waitpid(pid, &status, 0), pid);
	t_eq(status, 0);
	t_eq(append(store, "two", ""), 0);
	t_eq(list(store), 0);
	t_str_eq(seen, "one two ");
	t_eq(damaged, 0);
}

static void nobody_waits_for_ever(void)
{
	const char *store = fresh_store();
	int fd;

	t_eq(append(store, "one", ""), 0);
	fd = open(file_of(store), O_RDONLY);
	t_eq(flock(fd, LOCK_EX), 0);
	t_eq(append(store, "two", ""), -EBUSY);
	t_ok(strstr(error.text, "cannot be locked"));
	t_eq(list(store), 0);	/* a reader goes on without */
	t_str_eq(seen, "one ");
	close(fd);
}

static void other_things_in_its_place(void)
{
	const char *store = fresh_store();

	t_eq(symlink("/dev/null", file_of(store)), 0);
	t_eq(append(store, "one", ""), -ELOOP);
	t_eq(list(store), -ELOOP);
	unlink(file_of(store));
	t_eq(mkfifo(file_of(store), 0600), 0);
	t_eq(append(store, "one", ""), -EINVAL);
	t_ok(strstr(error.text, "not a regular file"));
	t_ok(list(store) < 0);
}

/* Several at once: all or none. */
static void many_at_once(void)
{
	const char *store = fresh_store();
	json_t *events = json_pack("[{s:s}, {s:s}, {s:s}]", "event", "load", "event", "gate", "event",
				   "flip");

	t_eq(sto_history_append(store, events, &error), 0);
	json_array_append_new(events, json_object());
	t_eq(sto_history_append(store, events, &error), -EINVAL);
	json_array_clear(events);
	t_ok(sto_history_append(store, events, &error) < 0);
	json_decref(events);
	seen[0] = '\0';
	t_eq(sto_history_each(store, note, NULL, NULL, &error), 0);
	t_str_eq(seen, "load gate flip ");
}

static int names(void *arg, json_t *event)
{
	const char *name = json_string_value(json_object_get(event, "user"));

	(void)arg;
	snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s ", name ? name : "-");
	return 0;
}

/* A batch of several users; 4294967294 is nobody's number. */
static void each_has_its_own_user(void)
{
	const char *store = fresh_store();
	json_t *events = json_pack("[{s:s,s:i}, {s:s,s:i}, {s:s,s:I}, {s:s,s:I}, {s:s,s:i}]",
				   "event", "a", "uid", 0, "event", "b", "uid", 0,
				   "event", "c", "uid", INT64_C(4294967294),
				   "event", "d", "uid", INT64_C(4294967294), "event", "e", "uid", 0);

	t_eq(sto_history_append(store, events, &error), 0);
	json_decref(events);
	seen[0] = '\0';
	t_eq(sto_history_each(store, names, NULL, NULL, &error), 0);
	t_str_eq(seen, "root root - - root ");
}

int main(void)
{
	T_RUN(adds_who_and_when);
	T_RUN(refuses_what_is_no_event);
	T_RUN(a_torn_line_costs_only_itself);
	T_RUN(goes_on_where_it_stopped);
	T_RUN(from_the_end);
	T_RUN(writers_do_not_mix);
	T_RUN(a_full_disk_leaves_whole_lines);
	T_RUN(nobody_waits_for_ever);
	T_RUN(other_things_in_its_place);
	T_RUN(many_at_once);
	T_RUN(each_has_its_own_user);
	return t_done();
}
