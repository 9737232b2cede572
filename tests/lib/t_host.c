/* SPDX-License-Identifier: MIT */
#include "t_host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "sup.h"
#include "t.h"
#include "t_worker.h"

uint64_t t_host_adopt_max_ns, t_host_adopt_limit_ns;

void t_host_main(void)
{
	if (getenv("T_WORKER_MODE"))
		exit(t_worker_main(getenv("T_WORKER_MODE")));
}

void t_host_mode(const char *words)
{
	char temporary[300];

	snprintf(temporary, sizeof(temporary), "%s.new", t_path("mode"));
	t_write_file(temporary, words, strlen(words));
	if (rename(temporary, t_path("mode")))
		exit(1);
}

/* ---- daemon --------------------------------------------------------------------------------- */

static int daemon_main(const char *const *options)
{
	static struct sup sup;
	const char *argv[32] = { "mhostd", "--store", t_path("store"), "--socket", t_path("s"),
				 "--worker-path", "/proc/self/exe", "--threads", "1", "--log-level",
				 "debug", "--restore", "no" };
	char self[512];
	struct sup_options parsed;
	struct sto_error error;
	int argc = 13, log = open(t_path("log"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n > 0 ? n : 0] = '\0';
	argv[6] = self;
	dup2(log, STDERR_FILENO);
	prctl(PR_SET_PDEATHSIG, SIGKILL);	/* not longer than the test */
	setenv("T_WORKER_MODE", t_path("mode"), 1);
	if (options && *options && strcmp(*options, "--restore") == 0)
		argc -= 2;
	while (options && *options && argc < 31)
		argv[argc++] = *options++;
	if (sup_options_parse(argc, (char **)(uintptr_t)argv, &parsed, &error) ||
	    sup_start(&sup, &parsed, &error)) {
		dprintf(STDERR_FILENO, "mhostd: %s\n", error.text);
		sup_finish(&sup);
		return 1;
	}
	sup.adopt_max_ns = t_host_adopt_max_ns ?: sup.adopt_max_ns;
	sup.adopt_limit_ns = t_host_adopt_limit_ns ?: sup.adopt_limit_ns;
	n = sup_run(&sup);
	sup_finish(&sup);
#ifdef __SANITIZE_ADDRESS__
	if (__lsan_do_recoverable_leak_check())
		return 99;
#endif
	return (int)n;
}

pid_t t_host_spawn(const char *const *options)
{
	char mode[256];
	pid_t pid;

	snprintf(mode, sizeof(mode), "%s", t_path("mode"));
	if (access(mode, F_OK))
		t_host_mode("");
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(daemon_main(options));
	if (pid < 0)
		exit(1);
	return pid;
}

pid_t t_host_start(const char *const *options)
{
	pid_t pid = t_host_spawn(options);
	json_t *answer = NULL;

	for (int i = 0; i < 1000 && !answer; i++) {
		answer = t_host_call("{\"command\": \"status\"}");
		if (!answer)
			usleep(10000);
	}
	if (!answer) {
		printf("# the supervisor does not answer; its log:\n%s\n", t_host_log());
		kill(pid, SIGKILL);
		exit(1);
	}
	json_decref(answer);
	return pid;
}

int t_host_wait(pid_t pid, int seconds)
{
	int status;

	for (int i = 0; i < seconds * 100; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		usleep(10000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

int t_host_stop(pid_t pid)
{
	kill(pid, SIGTERM);
	return t_host_wait(pid, 15);
}

const char *t_host_log(void)
{
	static char text[1 << 18];
	int fd = open(t_path("log"), O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
	return text;
}

static int fds_now(pid_t pid)
{
	char path[64];
	DIR *dir;
	int count = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count;
}

int t_host_fds(pid_t pid)
{
	int count = fds_now(pid), same = 0;

	for (int i = 0; i < 400 && same < 10; i++) {
		int now = fds_now(pid);

		same = now == count ? same + 1 : 0;
		count = now;
		usleep(5000);
	}
	return count;
}

/* ---- control -------------------------------------------------------------------------------- */

int t_host_connect(const char *suffix, int type)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s%s", t_path("s"), suffix);
	if (sock >= 0 && connect(sock, (struct sockaddr *)&addr, sizeof(addr))) {
		close(sock);
		return -1;
	}
	return sock;
}

json_t *t_host_call(const char *request)
{
	int sock = t_host_connect(".ctl", SOCK_STREAM);
	json_t *answer = NULL;
	char *line = NULL;
	size_t cap = 0;
	FILE *f;

	if (sock < 0)
		return NULL;
	f = fdopen(sock, "r+");
	fprintf(f, "%s\n", request);
	fflush(f);
	while (!answer && getline(&line, &cap, f) > 0) {
		answer = json_loads(line, 0, NULL);
		if (json_object_get(answer, "progress")) {
			json_decref(answer);
			answer = NULL;
		}
	}
	free(line);
	fclose(f);
	return answer;
}

json_t *t_host_ok(const char *request)
{
	json_t *answer = t_host_call(request);

	if (!t_ok(json_is_true(json_object_get(answer, "ok"))))
		printf("# %s: %s\n", request, json_string_value(json_object_get(answer, "error")) ?:
		       "no answer");
	return answer ? answer : json_object();
}

json_t *t_host_refused(const char *request, const char *word)
{
	json_t *answer = t_host_call(request);
	const char *text = json_string_value(json_object_get(answer, "error"));

	if (!t_ok(json_is_false(json_object_get(answer, "ok")) && text && strstr(text, word)))
		printf("# %s: \"%s\" without \"%s\"\n", request, text ? text : "no answer", word);
	return answer ? answer : json_object();
}

pid_t t_host_worker(size_t index, const char *state)
{
	for (int i = 0; i < 1000; i++) {
		json_t *answer = t_host_call("{\"command\": \"workers\"}");
		const json_t *row = json_array_get(json_object_get(answer, "workers"), index);
		const char *now = json_string_value(json_object_get(row, "state"));
		pid_t pid = (pid_t)json_integer_value(json_object_get(row, "pid"));
		bool match = now && strcmp(now, state) == 0;

		json_decref(answer);
		if (match)
			return pid;
		usleep(10000);
	}
	return 0;
}

/* ---- client --------------------------------------------------------------------------------- */

int t_client_hello(int sock, uint64_t magic, uint16_t major, uint32_t type)
{
	struct mhs_sock msg = { .magic = magic, .abi_major = major, .type = type };

	return send(sock, &msg, sizeof(msg), MSG_NOSIGNAL) == sizeof(msg) ? 0 : -errno;
}

int t_client_open(void)
{
	int sock = t_host_connect("", SOCK_SEQPACKET);

	if (sock >= 0)
		t_client_hello(sock, MHS_HELLO_MAGIC, MHS_ABI_MAJOR, MHS_SOCK_HELLO);
	return sock;
}

int t_client_recv(int sock, struct mhs_sock *msg, int *fd_count, int ms)
{
	char control[CMSG_SPACE(sizeof(int) * 8)] __attribute__((aligned(8)));
	struct iovec iov = { msg, sizeof(*msg) };
	struct msghdr head = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			       .msg_controllen = sizeof(control) };
	struct pollfd poller = { .fd = sock, .events = POLLIN };
	ssize_t n;
	int fd;

	*fd_count = 0;
	if (poll(&poller, 1, ms) < 1)
		return -ETIMEDOUT;
	n = recvmsg(sock, &head, MSG_CMSG_CLOEXEC);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&head); n > 0 && c; c = CMSG_NXTHDR(&head, c)) {
		for (size_t at = 0; at + sizeof(fd) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(fd)) {
			memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
			close(fd);
			(*fd_count)++;
		}
	}
	return n == (ssize_t)sizeof(*msg) ? 0 : -EPIPE;
}

/* Several lines may come at once; the last one says ok. */
void t_host_final(int sock, char *text, size_t bytes)
{
	ssize_t got = 1;
	size_t n = 0;

	text[0] = '\0';
	while (got > 0 && n < bytes - 1 && !strstr(text, "\"ok\"")) {
		got = read(sock, text + n, bytes - 1 - n);
		n += got > 0 ? (size_t)got : 0;
		text[n] = '\0';
	}
}
