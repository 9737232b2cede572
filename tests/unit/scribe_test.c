/* SPDX-License-Identifier: MIT */
/*
 * scribe_test.c: what the supervisor writes beside its work: events in order, none twice and none left
 * out when the disk refuses for a while; states whole, whenever the process dies.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "sto_history.h"
#include "sup_scribe.h"
#include "t.h"

#define WAIT_MS	20000

static struct sup_scribe scribe;
static char store[128], history[160];

/* A store of its own for each case. */
static void store_make(void)
{
	static int count;
	char name[16];

	snprintf(name, sizeof(name), "store%d", count++);
	snprintf(store, sizeof(store), "%s", t_path(name));
	snprintf(history, sizeof(history), "%s/history.jsonl", store);
	mkdir(store, 0755);
}

static void tell(uint32_t from, uint32_t to)
{
	for (uint32_t n = from; n < to; n++)
		sup_scribe_event(&scribe, json_pack("{s:s, s:i}", "event", "test", "n", (int)n));
}

struct seen {
	uint32_t count;
	bool in_order, timed;
	char last[64];
};

static int see(void *arg, json_t *event)
{
	struct seen *seen = arg;
	const char *time = json_string_value(json_object_get(event, "time"));

	seen->in_order &= json_integer_value(json_object_get(event, "n")) == (json_int_t)seen->count;
	seen->timed &= time && strcmp(time, seen->last) >= 0;
	snprintf(seen->last, sizeof(seen->last), "%s", time ? time : "");
	seen->count++;
	return 0;
}

/* The history is events 0 to @count, each once, in order. */
static void history_is(uint32_t count)
{
	struct seen seen = { .in_order = true, .timed = true };
	struct sto_error error = { "" };
	uint32_t damaged = 0;

	if (!t_eq(sto_history_each(store, see, &seen, &damaged, &error), 0))
		printf("# %s\n", error.text);
	t_eq(damaged, 0);
	t_eq(seen.count, count);
	t_ok(seen.in_order);
	t_ok(seen.timed);
}

/* Until as many events are behind, with or without a reason. */
static bool behind_is(uint64_t want, bool reason, struct sto_error *error)
{
	for (int ms = 0; ms < WAIT_MS; ms++) {
		if (sup_scribe_behind(&scribe, error) == want && !!error->text[0] == reason)
			return true;
		usleep(1000);
	}
	return false;
}

static void in_order_and_all_at_the_end(void)
{
	store_make();
	t_need(sup_scribe_open(&scribe, store) == 0);
	tell(0, 1000);
	sup_scribe_close(&scribe);	/* at once: what waits is written first */
	history_is(1000);
	sup_scribe_close(&scribe);	/* harmless */
}

/* A directory in its place: nothing is lost, and all of it comes when there is room. */
static void a_history_that_cannot_be_written(void)
{
	struct sto_error error;
	json_t *state;

	store_make();
	t_need(mkdir(history, 0755) == 0);
	t_need(sup_scribe_open(&scribe, store) == 0);
	tell(0, 300);
	t_ok(behind_is(300, true, &error));
	t_ok(strstr(error.text, "history.jsonl"));
	sup_scribe_state(&scribe, "m", json_pack("{s:i}", "n", 7));
	for (int ms = 0; ms < WAIT_MS && !(state = sup_scribe_read(store, "m", &error)); ms++)
		usleep(1000);
	t_eq(json_integer_value(json_object_get(state, "n")), 7);	/* that is not held up */
	json_decref(state);
	tell(300, 400);
	t_ok(behind_is(400, true, &error));
	t_need(rmdir(history) == 0);
	t_ok(behind_is(0, false, &error));
	tell(400, 410);
	sup_scribe_close(&scribe);
	history_is(410);
}

static void more_than_may_wait_are_counted(void)
{
	struct sto_error error;

	store_make();
	t_need(mkdir(history, 0755) == 0);
	t_need(sup_scribe_open(&scribe, store) == 0);
	tell(0, SUP_SCRIBE_EVENTS + 100);
	t_ok(behind_is(SUP_SCRIBE_EVENTS + 100, true, &error));
	t_need(rmdir(history) == 0);
	t_ok(behind_is(100, false, &error));	/* lost, and known to be */
	sup_scribe_close(&scribe);
	history_is(SUP_SCRIBE_EVENTS);		/* the oldest */
}

/* One model's state cannot be written: others and the history are. */
static void a_state_that_cannot_be_written(void)
{
	struct sto_error error;
	char path[200];
	json_t *state;

	store_make();
	snprintf(path, sizeof(path), "%s/state", store);
	t_need(mkdir(path, 0755) == 0);
	snprintf(path, sizeof(path), "%s/state/a.json", store);
	t_need(mkdir(path, 0755) == 0);
	t_need(sup_scribe_open(&scribe, store) == 0);
	sup_scribe_state(&scribe, "a", json_pack("{s:i}", "n", 1));
	t_ok(behind_is(0, true, &error));
	t_ok(strstr(error.text, "state/a.json: cannot be written"));
	sup_scribe_state(&scribe, "b", json_pack("{s:i}", "n", 2));
	sup_scribe_state(&scribe, "a", json_pack("{s:i}", "n", 3));	/* the latest counts */
	tell(0, 5);
	for (int ms = 0; ms < WAIT_MS && !(state = sup_scribe_read(store, "b", &error)); ms++)
		usleep(1000);
	t_eq(json_integer_value(json_object_get(state, "n")), 2);
	json_decref(state);
	t_ok(behind_is(0, true, &error));
	history_is(5);
	t_need(rmdir(path) == 0);
	t_ok(behind_is(0, false, &error));
	state = sup_scribe_read(store, "a", &error);
	t_eq(json_integer_value(json_object_get(state, "n")), 3);
	json_decref(state);
	sup_scribe_close(&scribe);
}

/* It ends, whatever the disk does. */
static void an_end_without_a_disk(void)
{
	int log = open(t_path("log"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), to = dup(STDERR_FILENO);
	char told[4096] = "";

	store_make();
	t_need(mkdir(history, 0755) == 0);
	snprintf(told, sizeof(told), "%s/state", store);
	t_write_file(told, "", 0);	/* where the directory belongs */
	t_need(sup_scribe_open(&scribe, store) == 0);
	dup2(log, STDERR_FILENO);
	tell(0, 3);
	sup_scribe_state(&scribe, "smol", json_object());
	sup_scribe_close(&scribe);
	dup2(to, STDERR_FILENO);
	t_ok(!scribe.started);
	t_ok(pread(log, told, sizeof(told) - 1, 0) > 0);
	t_ok(strstr(told, "3 events are not in the history"));
	t_ok(strstr(told, "smol: its state is not in the store"));
	close(log);
	close(to);
}

/* Its text can be told from its number. */
static json_t *big_state(uint32_t n)
{
	size_t bytes = 20000 + n % 7 * 9000;
	char *text = malloc(bytes + 1);
	json_t *state;

	memset(text, 'a' + (int)(n % 26), bytes);
	text[bytes] = '\0';
	state = json_pack("{s:i, s:s}", "n", (int)n, "text", text);
	free(text);
	return state;
}

static void write_for_ever(void)
{
	if (sup_scribe_open(&scribe, store))
		_exit(1);
	for (uint32_t n = 1;; n++) {
		sup_scribe_state(&scribe, "m", big_state(n));
		usleep(n % 3 * 50);
	}
}

/* 0: not there yet; -1: damaged. */
static json_int_t state_number(void)
{
	struct sto_error error;
	json_t *state = sup_scribe_read(store, "m", &error), *whole;
	json_int_t n = json_integer_value(json_object_get(state, "n"));

	if (!state)
		return error.text[0] ? -1 : 0;
	whole = big_state((uint32_t)n);
	if (!json_equal(state, whole))
		n = -1;
	json_decref(whole);
	json_decref(state);
	return n;
}

static void states_are_whole_files(void)
{
	uint64_t seed = 1;
	json_int_t n = 0;

	store_make();
	for (int round = 0; round < 30 && n >= 0; round++) {
		json_int_t before = n;
		pid_t pid = fork();

		if (pid == 0)
			write_for_ever();
		t_need(pid > 0);
		for (int ms = 0; ms < WAIT_MS && n == before; ms++) {
			n = state_number();
			usleep(t_random(&seed) % 1500);
		}
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		t_ok(n > 0 && n != before);
		n = state_number();
	}
	t_ok(n > 0);
}

static void what_is_read(void)
{
	struct sto_error error;
	char path[200];

	store_make();
	t_ok(sup_scribe_read(store, "m", &error) == NULL);
	t_str_eq(error.text, "");
	snprintf(path, sizeof(path), "%s/state", store);
	t_need(mkdir(path, 0755) == 0);
	snprintf(path, sizeof(path), "%s/state/m.json", store);
	t_write_file(path, "{\"active\": 7", 12);
	t_ok(sup_scribe_read(store, "m", &error) == NULL);
	t_ok(strstr(error.text, "state/m.json: ") && strstr(error.text, "; it is left aside"));
	t_write_file(path, "[]", 2);
	t_ok(sup_scribe_read(store, "m", &error) == NULL);
	t_ok(strstr(error.text, "not an object"));
	t_write_file(path, "{\"a\": 1, \"a\": 2}", 16);
	t_ok(sup_scribe_read(store, "m", &error) == NULL);
	t_ok(error.text[0]);
}

int main(void)
{
	log_init("scribe_test", LOG_LVL_ERROR);
	T_RUN(in_order_and_all_at_the_end);
	T_RUN(a_history_that_cannot_be_written);
	T_RUN(more_than_may_wait_are_counted);
	T_RUN(a_state_that_cannot_be_written);
	T_RUN(an_end_without_a_disk);
	T_RUN(states_are_whole_files);
	T_RUN(what_is_read);
	return t_done();
}
