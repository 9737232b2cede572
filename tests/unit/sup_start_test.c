/* SPDX-License-Identifier: MIT */
/* Starting beside what is there already: sockets of the living and the dead, other files, odd settings. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t.h"
#include "t_host.h"

static bool log_has(const char *word)
{
	bool found = strstr(t_host_log(), word) != NULL;

	if (!found)
		printf("# not in the log: %s\n", word);
	unlink(t_path("log"));
	return found;
}

static void sockets_of_the_living(void)
{
	pid_t first = t_host_start(NULL), second;

	second = t_host_spawn(NULL);
	t_eq(t_host_wait(second, 10), 1);
	t_ok(log_has("another mhostd answers there"));
	json_decref(t_host_ok("{\"command\":\"status\"}"));	/* its sockets are untouched */
	t_eq(t_host_stop(first), 0);
	t_ok(access(t_path("s"), F_OK) != 0);
}

static void sockets_of_the_dead(void)
{
	pid_t pid = t_host_start(NULL);
	int status;

	t_need(t_host_worker(0, "ready") > 0);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	t_need(access(t_path("s"), F_OK) == 0 && access(t_path("s.ctl"), F_OK) == 0);
	pid = t_host_start(NULL);
	json_decref(t_host_ok("{\"command\":\"status\"}"));
	t_eq(t_host_stop(pid), 0);
}

static void other_files_stay(void)
{
	t_write_file(t_path("s"), "precious", 8);
	t_eq(t_host_wait(t_host_spawn(NULL), 10), 1);
	t_ok(log_has("there is something else of that name"));
	t_ok(access(t_path("s"), F_OK) == 0);
	unlink(t_path("s"));
	t_need(symlink("/dev/null", t_path("s.ctl")) == 0);
	t_eq(t_host_wait(t_host_spawn(NULL), 10), 1);
	t_ok(log_has("there is something else of that name"));
	unlink(t_path("s.ctl"));
	t_ok(access(t_path("s"), F_OK) != 0);	/* the first was made, then taken away again */
}

static void odd_settings(void)
{
	t_eq(t_host_wait(t_host_spawn((const char *const[]){ "--numa", "bind:77", NULL }), 10), 1);
	t_ok(log_has("numa = bind:77: this machine has"));
	t_write_file(t_path("ini"), "[mhostd]\nstore = /nowhere/at/all\n", 33);
	rename(t_path("store"), t_path("elsewhere"));
	t_eq(t_host_wait(t_host_spawn(NULL), 10), 1);
	t_ok(log_has("no such directory; mhost import makes one"));
	rename(t_path("elsewhere"), t_path("store"));
}

/* Told to the service manager, once it serves and when it stops. */
static void the_service_manager_hears(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct timeval limit = { .tv_sec = 10 };
	char text[64] = "";
	pid_t pid;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", t_path("notify"));
	t_need(bind(sock, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setenv("NOTIFY_SOCKET", addr.sun_path, 1);
	pid = t_host_start(NULL);
	unsetenv("NOTIFY_SOCKET");
	t_ok(recv(sock, text, sizeof(text) - 1, 0) == 7);
	t_str_eq(text, "READY=1");
	t_eq(t_host_stop(pid), 0);
	t_ok(recv(sock, text, sizeof(text) - 1, 0) == 10);
	t_str_eq(text, "STOPPING=1");
	close(sock);
}

/* A connection made before it serves waits, and is served. */
static void early_clients_wait(void)
{
	struct mhs_sock msg;
	int sock, fds;
	pid_t pid;

	t_host_mode("die_start");	/* no worker for the moment */
	pid = t_host_start(NULL);
	sock = t_client_open();
	t_need(sock >= 0);
	t_host_mode("");
	t_need(t_client_recv(sock, &msg, &fds, 5000) == 0);
	t_eq(msg.type, MHS_SOCK_WELCOME);
	t_eq(msg.lane_count, 1);
	close(sock);
	t_eq(t_host_stop(pid), 0);
}

int main(void)
{
	t_host_main();
	mkdir(t_path("store"), 0755);
	T_RUN(sockets_of_the_living);
	T_RUN(sockets_of_the_dead);
	T_RUN(other_files_stay);
	T_RUN(odd_settings);
	T_RUN(the_service_manager_hears);
	T_RUN(early_clients_wait);
	return t_done();
}
