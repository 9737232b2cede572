/* SPDX-License-Identifier: MIT */
/* Versions in a real supervisor: loaded, attached, flipped, rolled back, drained, freed; and refused. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "t.h"
#include "t_host.h"
#include "t_image.h"

#define LOAD(v)		"{\"command\":\"load\",\"model\":\"m\",\"version\":\"" v "\"}"
#define UNLOAD(v)	"{\"command\":\"unload\",\"model\":\"m\",\"version\":\"" v "\"}"
#define ACTIVATE(v)	"{\"command\":\"activate\",\"model\":\"m\",\"version\":\"" v "\"}"
#define RELEASE(v)	"{\"command\":\"release\",\"model\":\"m\",\"version\":\"" v "\",\"interval\":\"1h\"}"
#define ROLLBACK	"{\"command\":\"rollback\",\"model\":\"m\"}"
#define ROLLBACK_TO(v)	"{\"command\":\"rollback\",\"model\":\"m\",\"to\":\"" v "\"}"
#define NS_PER_S	UINT64_C(1000000000)
#define OVERDUE_NS	(NS_PER_S / 3)
#define STATUS		"{\"command\":\"status\"}"
#define LIST		"{\"command\":\"list\"}"

static long long number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static void run_ok(const char *request)
{
	json_decref(t_host_ok(request));
}

static void run_refused(const char *request, const char *word)
{
	json_decref(t_host_refused(request, word));
}

/* State of @version as `list` says it. */
static const char *state_of(const char *version)
{
	static char state[32];
	json_t *answer = t_host_ok(LIST), *row;
	size_t i;

	state[0] = '\0';
	json_array_foreach(json_object_get(answer, "versions"), i, row)
		if (strcmp(text(row, "version"), version) == 0)
			snprintf(state, sizeof(state), "%s", text(row, "state"));
	json_decref(answer);
	return state;
}

static long long arena_bytes(void)
{
	json_t *answer = t_host_ok(STATUS);
	long long bytes = number(json_object_get(answer, "memory"), "arena_bytes");

	json_decref(answer);
	return bytes;
}

static json_t *model_row(json_t **answer)
{
	*answer = t_host_ok(STATUS);
	return json_array_get(json_object_get(*answer, "models"), 0);
}

static void wait_for_state(const char *version, const char *state)
{
	for (int i = 0; i < 500 && strcmp(state_of(version), state) != 0; i++)
		usleep(10000);
	t_str_eq(state_of(version), state);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void images(void)
{
	static const char *const versions[] = { "1.0.0", "1.1.0", "1.2.0", "1.3.0" };

	for (size_t i = 0; i < 4; i++)
		t_image_write(t_path("store"), "m", versions[i], 100000, i + 1, 0);
}

static void flip_and_roll_back(void)
{
	pid_t pid = t_host_start((const char *const[]){ "--workers", "2", NULL });
	int before = t_host_fds(pid);
	json_t *a;

	t_str_eq(state_of("1.0.0"), "stored");
	a = t_host_ok(LOAD("1.0.0"));
	t_ok(json_is_false(json_object_get(a, "already")));
	t_ok(number(a, "read_bytes") == number(a, "bytes") && number(a, "load_ns") > 0);
	json_decref(a);
	t_str_eq(state_of("1.0.0"), "ready");
	a = t_host_ok(LOAD("1.0.0"));
	t_ok(json_is_true(json_object_get(a, "already")));
	t_eq(number(a, "read_bytes"), 0);
	json_decref(a);

	a = t_host_ok(ACTIVATE("1.0.0"));
	t_ok(json_is_null(json_object_get(a, "from")));
	t_eq(number(a, "read_bytes"), 0);
	t_eq(number(a, "workers"), 2);
	t_eq(number(a, "workers_pending"), 0);
	t_ok(number(a, "flip_ns") > 0 && number(a, "flip_wall_ns") >= number(a, "flip_ns"));
	json_decref(a);
	a = t_host_ok(ACTIVATE("1.1.0"));
	t_str_eq(text(a, "from"), "1.0.0");
	t_ok(number(a, "read_bytes") > 0);
	json_decref(a);
	t_str_eq(state_of("1.0.0"), "resident");
	t_str_eq(state_of("1.1.0"), "active");
	run_refused(UNLOAD("1.1.0"), "is active");
	run_refused(ROLLBACK_TO("1.1.0"), "is active already");

	a = t_host_ok(ROLLBACK);
	t_str_eq(text(a, "version"), "1.0.0");
	t_eq(number(a, "read_bytes"), 0);
	json_decref(a);
	run_refused(ROLLBACK, "no earlier version");
	a = t_host_ok(ACTIVATE("1.0.0"));	/* to what is active already: nothing happens */
	t_str_eq(text(a, "from"), "1.0.0");
	json_decref(a);

	a = t_host_ok(UNLOAD("1.1.0"));
	t_ok(number(a, "freed_bytes") > 0);
	json_decref(a);
	t_str_eq(state_of("1.1.0"), "stored");
	run_refused(UNLOAD("1.1.0"), "is not in memory");
	a = t_host_ok(ROLLBACK_TO("1.1.0"));	/* to a stored one: it loads first */
	t_ok(number(a, "read_bytes") > 0);
	json_decref(a);
	run_ok(ACTIVATE("1.0.0"));
	run_ok(UNLOAD("1.1.0"));
	t_eq(t_host_fds(pid), before + 1);	/* one arena, the active one */
	t_eq(t_host_stop(pid), 0);
}

static void keep_resident_trims(void)
{
	pid_t pid = t_host_start((const char *const[]){ "--keep-resident", "1", NULL });
	json_t *answer, *row;

	run_ok(ACTIVATE("1.0.0"));
	run_ok(ACTIVATE("1.1.0"));
	t_str_eq(state_of("1.0.0"), "resident");
	run_ok(ACTIVATE("1.2.0"));
	wait_for_state("1.0.0", "stored");
	t_str_eq(state_of("1.1.0"), "resident");
	row = model_row(&answer);
	t_eq(json_array_size(json_object_get(row, "resident")), 2);
	t_eq(json_array_size(json_object_get(row, "history")), 2);
	t_str_eq(text(row, "active"), "1.2.0");
	json_decref(answer);
	run_ok(LOAD("1.3.0"));		/* loaded by hand: stays */
	run_ok(ROLLBACK);
	answer = t_host_ok(ROLLBACK);		/* 1.0.0 was trimmed: read again */
	t_str_eq(text(answer, "version"), "1.0.0");
	t_ok(number(answer, "read_bytes") > 0);
	json_decref(answer);
	t_str_eq(state_of("1.3.0"), "ready");
	t_eq(t_host_stop(pid), 0);
}

static void pins_hold_a_version(void)
{
	pid_t pid = t_host_start((const char *const[]){ "--workers", "2", NULL });
	int sock;
	char line[256];

	run_ok(ACTIVATE("1.0.0"));
	t_host_mode("pin");
	usleep(50000);		/* both workers pin what they have */
	run_ok(ACTIVATE("1.1.0"));
	sock = t_host_connect(".ctl", SOCK_STREAM);
	t_need(sock >= 0);
	t_ok(write(sock, UNLOAD("1.0.0") "\n", strlen(UNLOAD("1.0.0")) + 1) > 0);
	usleep(200000);
	t_str_eq(state_of("1.0.0"), "draining");
	t_ok(recv(sock, line, sizeof(line), MSG_DONTWAIT) < 0);
	/* wanted again while it drains: back at once, nothing is read */
	json_decref(t_host_ok(LOAD("1.0.0")));
	t_str_eq(state_of("1.0.0"), "resident");
	t_need(poll(&(struct pollfd){ .fd = sock, .events = POLLIN }, 1, 10000) == 1);
	t_ok(read(sock, line, sizeof(line)) > 0 && strstr(line, "was asked for again"));
	close(sock);
	sock = t_host_connect(".ctl", SOCK_STREAM);
	t_ok(write(sock, UNLOAD("1.0.0") "\n", strlen(UNLOAD("1.0.0")) + 1) > 0);
	usleep(50000);
	t_host_mode("");
	t_ok(read(sock, line, sizeof(line)) > 0);
	t_ok(strncmp(line, "{\"ok\":true", 10) == 0);
	close(sock);
	t_str_eq(state_of("1.0.0"), "stored");
	t_eq(t_host_stop(pid), 0);
}

static void a_dead_worker_holds_nothing(void)
{
	pid_t pid = t_host_start((const char *const[]){ "--workers", "2", NULL });

	run_ok(ACTIVATE("1.0.0"));
	t_host_mode("pin");
	usleep(50000);
	run_ok(ACTIVATE("1.1.0"));
	t_host_mode("pin deaf");
	kill(t_host_worker(0, "ready"), SIGKILL);
	kill(t_host_worker(1, "ready"), SIGKILL);
	t_host_mode("");
	run_ok(UNLOAD("1.0.0"));
	t_eq(t_host_stop(pid), 0);
}

static int send_request(const char *request)
{
	int sock = t_host_connect(".ctl", SOCK_STREAM);

	t_ok(sock >= 0 && dprintf(sock, "%s\n", request) > 0);
	return sock;
}

/* Back and forth, each begun while all before it still wait, until the answer of @sock is there. */
static uint32_t flip_until_answered(int sock)
{
	static const char *const versions[] = { "1.0.0", "1.1.0" };
	static const char *const requests[] = { ACTIVATE("1.0.0"), ACTIVATE("1.1.0") };
	struct pollfd answer = { .fd = sock, .events = POLLIN };
	uint32_t flips = 0;

	while (flips < 500 && poll(&answer, 1, 10) == 0) {
		int other = send_request(requests[flips % 2]);

		wait_for_state(versions[flips % 2], "active");
		close(other);
		flips++;
	}
	return flips;
}

/* What the flip whose answer waits on @sock was told of its workers. */
static void answered_without_one(int sock)
{
	char line[1024];
	ssize_t bytes = recv(sock, line, sizeof(line), MSG_DONTWAIT);
	json_t *answer = bytes > 0 ? json_loadb(line, (size_t)bytes, 0, NULL) : NULL;

	t_ok(json_is_true(json_object_get(answer, "ok")));
	t_eq(number(answer, "workers"), 2);
	t_eq(number(answer, "workers_pending"), 1);
	json_decref(answer);
}

/*
 * A worker that never takes up an epoch holds an answer until the limit, and no longer: here each
 * flip puts off the next look by more than the test takes.
 */
static void a_storm_puts_off_no_overdue_answer(void)
{
	pid_t pid, still;
	uint64_t begin;
	uint32_t flips;
	int sock;

	t_host_adopt_max_ns = 600 * NS_PER_S;
	t_host_adopt_limit_ns = OVERDUE_NS;
	pid = t_host_start((const char *const[]){ "--workers", "2", NULL });
	t_host_adopt_max_ns = t_host_adopt_limit_ns = 0;
	run_ok(ACTIVATE("1.0.0"));
	run_ok(LOAD("1.1.0"));
	still = t_host_worker(0, "ready");
	t_need(still > 0 && kill(still, SIGSTOP) == 0);
	begin = now_ns();
	sock = send_request(ACTIVATE("1.1.0"));
	wait_for_state("1.1.0", "active");
	flips = flip_until_answered(sock);
	t_ok(flips > 0 && flips < 500);
	t_ok(now_ns() - begin >= OVERDUE_NS);
	answered_without_one(sock);
	close(sock);
	kill(still, SIGCONT);
	t_eq(t_host_stop(pid), 0);
}

static void refused_by_a_worker(void)
{
	pid_t pid = t_host_start((const char *const[]){ "--workers", "2", NULL });
	long long before;

	run_ok(ACTIVATE("1.0.0"));
	before = arena_bytes();
	t_host_mode("refuse");
	run_refused(LOAD("1.1.0"), "refused by a worker: smoke test: logits are not finite");
	wait_for_state("1.1.0", "stored");
	t_eq(arena_bytes(), before);
	t_host_mode("die_attach");
	run_refused(ACTIVATE("1.1.0"), "workers died while they attached it");
	wait_for_state("1.1.0", "stored");
	t_host_mode("");
	t_ok(t_host_worker(0, "ready") > 0);
	t_ok(t_host_worker(1, "ready") > 0);
	t_str_eq(state_of("1.0.0"), "active");
	run_ok(ACTIVATE("1.1.0"));
	t_eq(t_host_stop(pid), 0);
}

static void refused_by_the_loader(void)
{
	pid_t pid = t_host_start(NULL);
	uint8_t byte = 0;

	t_image_write(t_path("store"), "m", "2.0.0", 100000, 9, 0);
	t_image_patch(t_path("store"), "m", "2.0.0", 50000, &byte, 1);
	run_ok(ACTIVATE("1.0.0"));
	run_refused(ACTIVATE("2.0.0"), "chunk 0 of 1");
	run_refused(LOAD("7.7.7"), "is not in the store");
	run_refused("{\"command\":\"activate\",\"model\":\"other\",\"version\":\"1.0.0\"}",
		    "is not in the store");
	run_refused("{\"command\":\"rollback\",\"model\":\"other\"}", "no version is active");
	t_str_eq(state_of("1.0.0"), "active");
	t_eq(t_host_stop(pid), 0);
}

/* At the start: what the configuration names is active before anybody is served, or nothing is. */
static void active_at_start(void)
{
	char ini[256];
	pid_t pid;

	snprintf(ini, sizeof(ini), "[model m]\nactive = 1.1.0\n");
	t_write_file(t_path("ini"), ini, strlen(ini));
	pid = t_host_start((const char *const[]){ "--config", t_path("ini"), NULL });
	wait_for_state("1.1.0", "active");
	t_eq(t_host_stop(pid), 0);
	snprintf(ini, sizeof(ini), "[model m]\nactive = 6.6.6\n");
	t_write_file(t_path("ini"), ini, strlen(ini));
	pid = t_host_spawn((const char *const[]){ "--config", t_path("ini"), NULL });
	t_eq(t_host_wait(pid, 10), 1);
	t_ok(strstr(t_host_log(), "m@6.6.6 is not in the store"));
}

/* What the last daemon is to have left behind. */
static void write_state(const char *text_of_it)
{
	mkdir(t_path("store/state"), 0755);
	t_write_file(t_path("store/state/m.json"), text_of_it, strlen(text_of_it));
}

static const char *state_file(void)
{
	static char text_of_it[4096];
	FILE *f = fopen(t_path("store/state/m.json"), "r");
	size_t n = f ? fread(text_of_it, 1, sizeof(text_of_it) - 1, f) : 0;

	if (f)
		fclose(f);
	text_of_it[n] = '\0';
	return text_of_it;
}

/* An operator who is faster than the start has decided; what was active before does not come back over it. */
static void activated_while_starting(void)
{
	pid_t pid;

	write_state("{\"active\": \"1.0.0\", \"configured\": \"\", \"history\": []}");
	t_host_mode("hold1");
	pid = t_host_start((const char *const[]){ "--restore", "yes", NULL });
	run_ok(ACTIVATE("1.1.0"));
	t_host_mode("");
	wait_for_state("1.0.0", "stored");
	t_str_eq(state_of("1.1.0"), "active");
	t_ok(t_host_worker(0, "ready") > 0);
	t_ok(strstr(t_host_log(), "1.1.0 was made active meanwhile, 1.0.0 is left aside"));
	t_eq(t_host_stop(pid), 0);
	t_ok(strstr(state_file(), "\"active\": \"1.1.0\""));
}

/* Stopped before a release of the last daemon has begun again: the next one still goes on with it. */
static void stopped_while_a_release_comes_back(void)
{
	pid_t pid;

	write_state("{\"active\": \"1.0.0\", \"configured\": \"\", \"history\": [], \"release\": {\"version\": "
		    "\"1.1.0\", \"shadow\": false, \"canary\": true, \"shadow_weight\": 1000, \"steps\": [1000, "
		    "2000], \"interval_s\": 3600, \"why\": \"\", \"in_shadow\": false, \"held\": false, \"step\": 1, "
		    "\"spent_s\": 1.5, \"uid\": 0}}");
	for (int i = 0; i < 2; i++) {
		t_host_mode("hold2");
		pid = t_host_start((const char *const[]){ "--restore", "yes", NULL });
		wait_for_state("1.1.0", "loading");
		t_eq(t_host_stop(pid), 0);
		t_ok(strstr(state_file(), "\"release\""));
	}
	t_host_mode("");
	pid = t_host_start((const char *const[]){ "--restore", "yes", NULL });
	wait_for_state("1.1.0", "candidate");
	run_refused(ACTIVATE("1.2.0"), "a release of 1.1.0 is in progress");
	t_eq(t_host_stop(pid), 0);
	t_ok(strstr(state_file(), "\"step\": 1"));
}

/* A version that was loaded for traffic that another took is not left in memory. */
static void overtaken_while_it_loads(void)
{
	const char *request = ACTIVATE("1.2.0") "\n";
	char line[512] = "";
	long long before;
	pid_t pid;
	int sock;

	unlink(t_path("store/state/m.json"));
	pid = t_host_start(NULL);
	run_ok(ACTIVATE("1.0.0"));
	run_ok(RELEASE("1.1.0"));
	before = arena_bytes();
	run_ok("{\"command\":\"abort\",\"model\":\"m\"}");
	run_ok(UNLOAD("1.1.0"));
	t_host_mode("hold2");
	sock = t_host_connect(".ctl", SOCK_STREAM);
	t_ok(write(sock, request, strlen(request)) > 0);
	wait_for_state("1.2.0", "loading");
	run_ok(RELEASE("1.1.0"));
	t_host_mode("");
	t_host_final(sock, line, sizeof(line));
	t_ok(strstr(line, "a release of 1.1.0 is in progress") != NULL);
	close(sock);
	wait_for_state("1.2.0", "stored");
	t_eq(arena_bytes(), before);
	t_eq(t_host_stop(pid), 0);
}

int main(void)
{
	t_host_main();
	images();
	T_RUN(flip_and_roll_back);
	T_RUN(keep_resident_trims);
	T_RUN(pins_hold_a_version);
	T_RUN(a_dead_worker_holds_nothing);
	T_RUN(a_storm_puts_off_no_overdue_answer);
	T_RUN(refused_by_a_worker);
	T_RUN(refused_by_the_loader);
	T_RUN(active_at_start);
	T_RUN(activated_while_starting);
	T_RUN(stopped_while_a_release_comes_back);
	T_RUN(overtaken_while_it_loads);
	return t_done();
}
