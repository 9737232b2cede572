/* SPDX-License-Identifier: MIT */
/* The control socket: the protocol, what breaks it, and noise. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "t.h"
#include "t_host.h"
#include "t_image.h"

static pid_t host;

/* All that comes back for @bytes of @data, the writing side then closed. */
static const char *talk(const void *data, size_t bytes)
{
	static char answer[1 << 20];
	int sock = t_host_connect(".ctl", SOCK_STREAM);
	size_t done = 0, got = 0;
	ssize_t n;

	answer[0] = '\0';
	if (sock < 0)
		return answer;
	while (done < bytes && (n = send(sock, (const char *)data + done, bytes - done, MSG_NOSIGNAL)) > 0)
		done += (size_t)n;
	shutdown(sock, SHUT_WR);
	while (got < sizeof(answer) - 1 && (n = read(sock, answer + got, sizeof(answer) - 1 - got)) > 0)
		got += (size_t)n;
	answer[got] = '\0';
	close(sock);
	return answer;
}

static const char *say(const char *text)
{
	return talk(text, strlen(text));
}

static int lines_of(const char *text)
{
	int lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

static void broken_requests(void)
{
	static const struct { const char *request, *word; } bad[] = {
		{ "{\n", "not JSON" },
		{ "nonsense\n", "not JSON" },
		{ "[]\n", "not a JSON object" },
		{ "7\n", "not JSON" },
		{ "{}\n", "no text under" },
		{ "{\"command\": 5}\n", "no text under" },
		{ "{\"command\": \"reboot\"}\n", "unknown command" },
		{ "{\"command\": \"status\", \"command\": \"status\"}\n", "not JSON" },
		{ "{\"command\": \"status\", \"model\": \"m\"}\n", "unknown key" },
		{ "{\"command\": \"load\"}\n", "needs model and version" },
		{ "{\"command\": \"load\", \"model\": \"m\"}\n", "needs model and version" },
		{ "{\"command\": \"load\", \"model\": \"m\", \"version\": 1}\n", "not a text" },
		{ "{\"command\": \"load\", \"model\": \"m\", \"version\": \"1\"}\n", "is no version" },
		{ "{\"command\": \"load\", \"model\": \"../x\", \"version\": \"1.0.0\"}\n", "" },
		{ "{\"command\": \"load\", \"model\": \"\", \"version\": \"1.0.0\"}\n", "" },
		{ "{\"command\": \"load\", \"model\": \"a\\u0000b\", \"version\": \"1.0.0\"}\n", "not JSON" },
		{ "{\"command\": \"rollback\", \"model\": \"m\", \"version\": \"1.0.0\"}\n", "unknown key" },
		{ "{\"command\": \"\xff\xfe\"}\n", "not JSON" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *answer = say(bad[i].request);

		if (!t_ok(strncmp(answer, "{\"ok\":false", 11) == 0 && strstr(answer, bad[i].word) &&
			  lines_of(answer) == 1))
			printf("# %s got: %s\n", bad[i].request, answer);
	}
}

static void long_lines(void)
{
	size_t bytes = 200000;
	char *line = malloc(bytes);

	t_need(line);
	memset(line, ' ', bytes);
	t_ok(strstr(talk(line, bytes), "longer than 65536 bytes"));
	memcpy(line + 65000, "{\"command\":\"status\"}\n", 21);
	t_ok(strstr(talk(line, 65021), "\"ok\":true"));
	free(line);
}

static void many_in_a_row(void)
{
	char text[64 * 600] = "";
	const char *answer;

	for (int i = 0; i < 500; i++)
		strcat(text, i % 2 ? "{\"command\":\"workers\"}\n" : "{\"command\":\"list\"}\n");
	answer = say(text);
	t_eq(lines_of(answer), 500);
	t_ok(!strstr(answer, "\"ok\":false"));
	t_eq(lines_of(say("{\"command\":\"list\"}")), 0);	/* half a line is none */
	t_eq(lines_of(say("\n")), 1);				/* an empty one is a bad one */
}

static void a_slow_request_holds_up_nobody(void)
{
	int sock = t_host_connect(".ctl", SOCK_STREAM);
	struct pollfd poller = { .fd = sock, .events = POLLIN };
	char line[4096];
	ssize_t n;
	const char *request = "{\"command\":\"load\",\"model\":\"m\",\"version\":\"1.0.0\"}\n";

	t_need(sock >= 0);
	t_host_mode("refuse");
	t_ok(write(sock, request, strlen(request)) > 0);
	t_ok(strstr(say("{\"command\":\"status\"}\n"), "\"ok\":true"));
	t_ok(poll(&poller, 1, 10000) == 1);
	n = read(sock, line, sizeof(line) - 1);
	line[n > 0 ? n : 0] = '\0';
	t_ok(strstr(line, "\"ok\":false") || strstr(line, "progress"));
	t_host_mode("");
	close(sock);
	/* one that leaves while its request runs takes nothing with it */
	for (int i = 0; i < 20; i++) {
		sock = t_host_connect(".ctl", SOCK_STREAM);
		t_ok(write(sock, request, strlen(request)) > 0);
		close(sock);
	}
	json_decref(t_host_ok("{\"command\":\"load\",\"model\":\"m\",\"version\":\"1.0.0\"}"));
	json_decref(t_host_ok("{\"command\":\"unload\",\"model\":\"m\",\"version\":\"1.0.0\"}"));
}

/* A peer that never reads is let go of, or waits; others are served, and memory stays bounded. */
static void a_peer_that_does_not_read(void)
{
	const char *request = "{\"command\":\"workers\"}\n";
	int sock = t_host_connect(".ctl", SOCK_STREAM | SOCK_NONBLOCK);

	t_need(sock >= 0);
	for (int i = 0; i < 20000; i++)
		if (send(sock, request, strlen(request), MSG_NOSIGNAL) < 0)
			break;
	t_ok(strstr(say("{\"command\":\"status\"}\n"), "\"ok\":true"));
	close(sock);
}

static void noise(void)
{
	static const char *const seeds[] = {
		"{\"command\":\"status\"}\n",
		"{\"command\":\"load\",\"model\":\"m\",\"version\":\"1.0.0\"}\n",
		"{\"command\":\"rollback\",\"model\":\"m\"}\n",
	};
	int before = t_host_fds(host);
	uint64_t seed = 99;
	char text[512];

	for (int i = 0; i < 2000; i++) {
		size_t bytes = strlen(seeds[i % 3]);

		memcpy(text, seeds[i % 3], bytes);
		for (uint64_t k = t_random(&seed) % 4 + 1; k; k--)
			text[t_random(&seed) % bytes] = (char)t_random(&seed);
		talk(text, t_random(&seed) % (bytes + 1));
	}
	t_ok(strstr(say("{\"command\":\"status\"}\n"), "\"ok\":true"));
	t_eq(t_host_fds(host), before);
}

static void everything_in_the_answers(void)
{
	static const char *const status[] = { "version", "pid", "uptime_s", "store", "socket", "epoch", "isa",
		"workers", "threads", "pages", "loader", "numa", "memory", "clients", "models" };
	static const char *const worker[] = { "pid", "state", "node", "running", "queued", "seen_epoch",
		"steps", "restarts", "pins", "stats" };
	static const char *const show[] = { "model", "version", "state", "bytes", "content_hash", "path",
		"config", "manifest" };
	json_t *answer = t_host_ok("{\"command\":\"status\"}"), *row;

	for (size_t i = 0; i < sizeof(status) / sizeof(status[0]); i++)
		if (!t_ok(json_object_get(answer, status[i])))
			printf("# status lacks %s\n", status[i]);
	json_decref(answer);
	answer = t_host_ok("{\"command\":\"workers\"}");
	row = json_array_get(json_object_get(answer, "workers"), 0);
	for (size_t i = 0; i < sizeof(worker) / sizeof(worker[0]); i++)
		if (!t_ok(json_object_get(row, worker[i])))
			printf("# workers lacks %s\n", worker[i]);
	json_decref(answer);
	answer = t_host_ok("{\"command\":\"show\",\"model\":\"m\",\"version\":\"1.0.0\"}");
	for (size_t i = 0; i < sizeof(show) / sizeof(show[0]); i++)
		if (!t_ok(json_object_get(answer, show[i])))
			printf("# show lacks %s\n", show[i]);
	json_decref(answer);
	json_decref(t_host_refused("{\"command\":\"show\",\"model\":\"m\",\"version\":\"8.0.0\"}",
				   "is not in the store"));
}

static void stop_ends_it(void)
{
	t_ok(strstr(say("{\"command\":\"stop\"}\n"), "{\"ok\":true}"));
	t_eq(t_host_wait(host, 15), 0);
	t_ok(access(t_path("s"), F_OK) != 0);
	t_ok(access(t_path("s.ctl"), F_OK) != 0);
}

int main(void)
{
	t_host_main();
	t_image_write(t_path("store"), "m", "1.0.0", 100000, 1, 0);
	host = t_host_start(NULL);
	if (!t_host_worker(0, "ready"))
		return 1;
	T_RUN(broken_requests);
	T_RUN(long_lines);
	T_RUN(many_in_a_row);
	T_RUN(a_slow_request_holds_up_nobody);
	T_RUN(a_peer_that_does_not_read);
	T_RUN(noise);
	T_RUN(everything_in_the_answers);
	T_RUN(stop_ends_it);
	return t_done();
}
