/* SPDX-License-Identifier: MIT */
/* Workers that die, hang or lie; their number changes; the host ends cleanly all the same. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "t.h"
#include "t_host.h"
#include "t_image.h"

#define ACTIVATE(v)	"{\"command\":\"activate\",\"model\":\"m\",\"version\":\"" v "\"}"
#define WORKERS		"{\"command\":\"workers\"}"

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static size_t worker_count(void)
{
	json_t *answer = t_host_ok(WORKERS);
	size_t count = json_array_size(json_object_get(answer, "workers"));

	json_decref(answer);
	return count;
}

static bool wait_for_count(size_t count)
{
	for (int i = 0; i < 500 && worker_count() != count; i++)
		usleep(10000);
	return t_eq(worker_count(), count);
}

/* The next message of @type; *@value is its number. Milliseconds it took, or -1. */
static double wait_for(int sock, uint32_t type, uint64_t *value)
{
	double begin = now_ms();
	struct mhs_sock msg;
	int fds;

	while (t_client_recv(sock, &msg, &fds, 5000) == 0) {
		*value = msg.value;
		if (msg.type == type)
			return now_ms() - begin;
	}
	return -1;
}

/* A client hears of a death at once, and of the new worker soon. 20 deaths, no descriptor lost. */
static void deaths_are_told(void)
{
	pid_t pid = t_host_start((const char *const[]){ "--workers", "2", NULL }), victim;
	double worst = 0, took;
	int sock, before;
	uint64_t down, up, first;

	json_decref(t_host_ok(ACTIVATE("1.0.0")));
	t_need(t_host_worker(0, "ready") && t_host_worker(1, "ready"));
	sock = t_client_open();
	t_need(wait_for(sock, MHS_SOCK_WELCOME, &first) >= 0);
	t_need(wait_for(sock, MHS_SOCK_LANE, &first) >= 0 && wait_for(sock, MHS_SOCK_LANE, &up) >= 0);
	before = t_host_fds(pid);
	for (int i = 0; i < 20; i++) {
		victim = t_host_worker((size_t)i % 2, "ready");
		t_need(victim > 0 && kill(victim, SIGKILL) == 0);
		took = wait_for(sock, MHS_SOCK_LANE_DOWN, &down);
		t_need(took >= 0);
		worst = took > worst ? took : worst;
		t_need(wait_for(sock, MHS_SOCK_LANE, &up) >= 0);
		t_ok(up != down);
	}
	printf("# slowest notice of a death: %.1f ms\n", worst);
	t_ok(worst < 4000);	/* on a crowded machine; the kill campaign measures */
	t_need(t_host_worker(0, "ready") && t_host_worker(1, "ready"));
	t_eq(t_host_fds(pid), before);
	close(sock);
	t_eq(t_host_stop(pid), 0);
}

static void liars_are_replaced(void)
{
	pid_t pid = t_host_start((const char *const[]){ "--workers", "2", NULL });
	json_t *answer;

	t_host_mode("garbage");
	answer = t_host_refused(ACTIVATE("1.0.0"), "workers died while they attached it");
	json_decref(answer);
	t_ok(strstr(t_host_log(), "sent a message that breaks the rules"));
	t_host_mode("");
	t_ok(t_host_worker(0, "ready") && t_host_worker(1, "ready"));
	json_decref(t_host_ok(ACTIVATE("1.0.0")));
	t_eq(t_host_stop(pid), 0);
}

static bool logged(const char *word)
{
	for (int i = 0; i < 1000; i++) {
		if (strstr(t_host_log(), word))
			return true;
		usleep(10000);
	}
	printf("# not in the log: %s\n", word);
	return false;
}

/* A load needs every live worker: one that hangs is named, and once it is dead the load goes on without. */
static void a_hung_worker(void)
{
	pid_t pid = t_host_start((const char *const[]){ "--workers", "2", NULL }), hung;
	const char *request = ACTIVATE("1.1.0") "\n";
	char line[512] = "";
	int sock;

	json_decref(t_host_ok(ACTIVATE("1.0.0")));
	hung = t_host_worker(0, "ready");
	t_need(hung > 0 && t_host_worker(1, "ready") > 0);
	kill(hung, SIGSTOP);
	sock = t_host_connect(".ctl", SOCK_STREAM);
	t_ok(write(sock, request, strlen(request)) > 0);
	t_ok(logged("worker 0 (pid"));
	t_ok(logged("has not attached it after 5 s"));
	json_decref(t_host_ok("{\"command\":\"status\"}"));
	kill(hung, SIGKILL);
	t_host_final(sock, line, sizeof(line));
	t_ok(strstr(line, "\"ok\":true") != NULL);
	close(sock);
	t_eq(t_host_stop(pid), 0);
}

static size_t release_count(void)
{
	json_t *answer = t_host_ok("{\"command\":\"releases\"}");
	size_t count = json_array_size(json_object_get(answer, "releases"));

	json_decref(answer);
	return count;
}

/* A candidate that new workers cannot attach: it goes, the workers come back. */
static void a_candidate_that_keeps_workers_away(void)
{
	static const char *const modes[] = { "die2", "deny2" };
	pid_t pid = t_host_start((const char *const[]){ "--workers", "2", NULL });

	json_decref(t_host_ok(ACTIVATE("1.0.0")));
	for (int i = 0; i < 2; i++) {
		json_decref(t_host_ok("{\"command\":\"release\",\"model\":\"m\",\"version\":\"1.1.0\","
				      "\"interval\":\"1h\",\"steps\":\"10\"}"));
		t_host_mode(modes[i]);
		kill(t_host_worker(0, "ready"), SIGKILL);
		for (int k = 0; k < 1000 && release_count(); k++)
			usleep(10000);
		t_eq(release_count(), 0);
		t_ok(t_host_worker(0, "ready") > 0);
		t_ok(t_host_worker(1, "ready") > 0);
		t_host_mode("");
	}
	t_ok(strstr(t_host_log(), "3 workers could not attach it: they died"));
	t_ok(strstr(t_host_log(), "3 workers could not attach it: smoke test"));
	t_eq(t_host_stop(pid), 0);
}

/* Anything in the reply ring and the slot of a worker: a release may end of it, the host does not. */
static void scribbled_evidence(void)
{
	pid_t pid = t_host_start((const char *const[]){ "--workers", "2", NULL });

	json_decref(t_host_ok(ACTIVATE("1.0.0")));
	for (int i = 0; i < 4; i++) {
		json_decref(t_host_ok("{\"command\":\"release\",\"model\":\"m\",\"version\":\"1.1.0\","
				      "\"interval\":\"1s\",\"steps\":\"10\"}"));
		t_host_mode(i % 2 ? "scribble" : "scribble last");
		usleep(1500000);
		t_host_mode("");
		json_decref(t_host_ok("{\"command\":\"status\"}"));
		json_decref(t_host_call("{\"command\":\"abort\",\"model\":\"m\"}"));
	}
	t_eq(worker_count(), 2);
	t_eq(t_host_stop(pid), 0);
}

static void a_stuck_worker_does_not_stop_the_stop(void)
{
	pid_t pid = t_host_start(NULL);

	t_need(t_host_worker(0, "ready") > 0);
	t_host_mode("stuck");
	kill(pid, SIGTERM);
	usleep(200000);
	t_eq(kill(pid, 0), 0);		/* it waits for the worker */
	kill(pid, SIGTERM);		/* asked twice: no more patience */
	t_eq(t_host_wait(pid, 10), 0);
	t_ok(strstr(t_host_log(), "has not ended in time"));
	t_host_mode("");
}

static void no_worker_can_start(void)
{
	pid_t pid;

	t_host_mode("die_start");
	pid = t_host_spawn(NULL);
	t_eq(t_host_wait(pid, 15), 1);
	t_ok(strstr(t_host_log(), "no worker could be started"));
	t_host_mode("bad_init");
	pid = t_host_spawn(NULL);
	t_eq(t_host_wait(pid, 15), 1);
	t_ok(strstr(t_host_log(), "isa avx1024 is not usable here"));
	t_host_mode("");
	pid = t_host_spawn((const char *const[]){ "--config", t_path("nowhere.ini"), NULL });
	t_eq(t_host_wait(pid, 15), 1);
}

static void write_ini(const char *text)
{
	char all[512];

	snprintf(all, sizeof(all), "[mhostd]\n%s\n", text);
	t_write_file(t_path("ini"), all, strlen(all));
}

static void reload_changes_what_it_may(void)
{
	pid_t pid;

	write_ini("workers = 1");
	pid = t_host_start((const char *const[]){ "--config", t_path("ini"), NULL });
	t_need(t_host_worker(0, "ready") > 0);
	write_ini("workers = 3");
	kill(pid, SIGHUP);
	t_ok(wait_for_count(3));
	t_ok(t_host_worker(2, "ready") > 0);
	json_decref(t_host_ok(ACTIVATE("1.0.0")));
	write_ini("workers = 3\nkeep_resident = many");
	kill(pid, SIGHUP);
	t_ok(logged("keep_resident: \"many\" is no number"));
	t_ok(logged("the old configuration stays in force"));
	t_eq(worker_count(), 3);
	write_ini("workers = 1\nnuma = replicate\n[limits]\nqueue = 3");
	kill(pid, SIGHUP);
	t_ok(logged("[mhostd] numa changed; that needs a restart"));
	t_ok(wait_for_count(1));
	t_ok(t_host_worker(0, "ready") > 0);
	t_eq(t_host_stop(pid), 0);
}

int main(void)
{
	t_host_main();
	t_image_write(t_path("store"), "m", "1.0.0", 100000, 1, 0);
	t_image_write(t_path("store"), "m", "1.1.0", 100000, 2, 0);
	T_RUN(deaths_are_told);
	T_RUN(liars_are_replaced);
	T_RUN(a_hung_worker);
	T_RUN(a_candidate_that_keeps_workers_away);
	T_RUN(scribbled_evidence);
	T_RUN(a_stuck_worker_does_not_stop_the_stop);
	T_RUN(no_worker_can_start);
	T_RUN(reload_changes_what_it_may);
	return t_done();
}
