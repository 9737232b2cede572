/* SPDX-License-Identifier: MIT */
/* The client socket: greetings good and bad, quotas, credentials, clients that leave or do not read. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t.h"
#include "t_host.h"

static pid_t host;

static uint32_t clients(void)
{
	json_t *answer = t_host_ok("{\"command\":\"status\"}");
	json_int_t count = json_integer_value(json_object_get(answer, "clients"));

	json_decref(answer);
	return (uint32_t)count;
}

static bool wait_for_clients(uint32_t count)
{
	for (int i = 0; i < 300 && clients() != count; i++)
		usleep(10000);
	return t_eq(clients(), count);
}

/* What the first answer is: its type, or negative errno. */
static int answer_type(int sock, struct mhs_sock *msg)
{
	int fds, err = t_client_recv(sock, msg, &fds, 8000);

	return err ? err : (int)msg->type;
}

static void greeted(void)
{
	int sock = t_client_open(), fds;
	struct mhs_sock msg;

	t_need(sock >= 0);
	t_need(t_client_recv(sock, &msg, &fds, 5000) == 0);
	t_eq(msg.type, MHS_SOCK_WELCOME);
	t_eq(msg.magic, MHS_HELLO_MAGIC);
	t_eq(msg.lane_count, 2);
	t_eq(fds, 1);
	for (uint32_t i = 0; i < 2; i++) {
		t_need(t_client_recv(sock, &msg, &fds, 5000) == 0);
		t_eq(msg.type, MHS_SOCK_LANE);
		t_eq(fds, 2);
	}
	t_eq(t_client_recv(sock, &msg, &fds, 50), -ETIMEDOUT);
	t_eq(clients(), 1);
	close(sock);
	wait_for_clients(0);
}

static void refused(int sock, const char *word)
{
	struct mhs_sock msg;
	int fds;

	if (t_eq(answer_type(sock, &msg), MHS_SOCK_REFUSED)) {
		msg.text[sizeof(msg.text) - 1] = '\0';
		if (!t_ok(strstr(msg.text, word)))
			printf("# \"%s\" without \"%s\"\n", msg.text, word);
	}
	t_eq(t_client_recv(sock, &msg, &fds, 5000), -EPIPE);
	close(sock);
}

static void bad_greetings(void)
{
	struct mhs_sock msg = { .magic = MHS_HELLO_MAGIC, .abi_major = MHS_ABI_MAJOR,
				.type = MHS_SOCK_HELLO };
	char big[4096] = { 0 };
	int sock, fds;

	sock = t_host_connect("", SOCK_SEQPACKET);
	t_client_hello(sock, 12345, MHS_ABI_MAJOR, MHS_SOCK_HELLO);
	refused(sock, "not one of mhost's");
	sock = t_host_connect("", SOCK_SEQPACKET);
	t_client_hello(sock, MHS_HELLO_MAGIC, MHS_ABI_MAJOR + 1, MHS_SOCK_HELLO);
	refused(sock, "ABI of another release");
	sock = t_host_connect("", SOCK_SEQPACKET);
	t_client_hello(sock, MHS_HELLO_MAGIC, MHS_ABI_MAJOR, MHS_SOCK_LANE);
	refused(sock, "no HELLO");
	sock = t_host_connect("", SOCK_SEQPACKET);
	t_ok(send(sock, &msg, sizeof(msg) - 1, 0) > 0);
	refused(sock, "not one of mhost's");
	sock = t_host_connect("", SOCK_SEQPACKET);
	t_ok(send(sock, big, sizeof(big), 0) > 0);
	refused(sock, "not one of mhost's");
	sock = t_host_connect("", SOCK_SEQPACKET);
	msg.value = 1;
	t_ok(send(sock, &msg, sizeof(msg), 0) > 0);
	refused(sock, "not zero");
	sock = t_client_open();
	for (int i = 0; i < 3; i++)
		t_need(t_client_recv(sock, &msg, &fds, 5000) == 0);
	t_client_hello(sock, MHS_HELLO_MAGIC, MHS_ABI_MAJOR, MHS_SOCK_HELLO);
	refused(sock, "greeted twice");
	wait_for_clients(0);
}

/* Descriptors that a client sends along are closed, whatever else is wrong. */
static void uninvited_descriptors(void)
{
	char control[CMSG_SPACE(sizeof(int) * 200)] __attribute__((aligned(8)));
	struct mhs_sock msg = { .magic = MHS_HELLO_MAGIC, .abi_major = MHS_ABI_MAJOR,
				.type = MHS_SOCK_HELLO };
	int before = t_host_fds(host), fds[200];

	for (int n = 1; n <= 200; n += 66) {
		struct iovec iov = { &msg, sizeof(msg) };
		struct msghdr head = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				       .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n) };
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&head);
		int sock = t_host_connect("", SOCK_SEQPACKET);

		for (int i = 0; i < n; i++)
			fds[i] = 0;
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * (size_t)n);
		t_ok(sendmsg(sock, &head, 0) == (ssize_t)sizeof(msg));
		t_eq(answer_type(sock, &msg), MHS_SOCK_WELCOME);
		msg = (struct mhs_sock){ .magic = MHS_HELLO_MAGIC, .abi_major = MHS_ABI_MAJOR,
					 .type = MHS_SOCK_HELLO };
		close(sock);
	}
	wait_for_clients(0);
	t_eq(t_host_fds(host), before);
}

static void quota(void)
{
	int socks[4];
	struct mhs_sock msg;

	for (int i = 0; i < 3; i++) {
		socks[i] = t_client_open();
		t_eq(answer_type(socks[i], &msg), MHS_SOCK_WELCOME);
	}
	socks[3] = t_client_open();
	refused(socks[3], "clients_per_uid allows 3");
	close(socks[0]);
	wait_for_clients(2);
	socks[3] = t_client_open();
	t_eq(answer_type(socks[3], &msg), MHS_SOCK_WELCOME);
	close(socks[1]), close(socks[2]), close(socks[3]);
	wait_for_clients(0);
}

/* Come and go, in every state, many times: nothing is left. */
static void come_and_go(void)
{
	int before = t_host_fds(host), sock, fds;
	uint64_t seed = 7;
	struct mhs_sock msg;

	for (int i = 0; i < 300; i++) {
		uint64_t how = t_random(&seed) % 4;

		sock = how ? t_client_open() : t_host_connect("", SOCK_SEQPACKET);
		if (sock < 0)
			continue;
		for (uint64_t k = 1; k < how; k++)
			t_client_recv(sock, &msg, &fds, 1000);
		close(sock);
	}
	wait_for_clients(0);
	t_eq(t_host_fds(host), before);
}

static void a_silent_peer_is_sent_away(void)
{
	int sock = t_host_connect("", SOCK_SEQPACKET);

	refused(sock, "no greeting came");
}

/* What user 12345 gets at the two sockets: 0 for let in. */
static int as_another_user(void)
{
	int status = 0, sock, err;
	struct mhs_sock msg;
	char line[256] = "";
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		signal(SIGPIPE, SIG_IGN);	/* a refused connection is closed */
		if (setgid(12345) || setuid(12345))
			_exit(9);
		sock = t_client_open();
		err = sock < 0 ? 1 : answer_type(sock, &msg) == MHS_SOCK_REFUSED ? 2 : 0;
		sock = t_host_connect(".ctl", SOCK_STREAM);
		if (sock < 0)
			_exit(err | 4);
		if (write(sock, "{\"command\":\"status\"}\n", 21) < 0)
			line[0] = '\0';
		_exit(err | (read(sock, line, sizeof(line) - 1) > 0 && strstr(line, "true") ? 0 : 8));
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void credentials(void)
{
	const char *ini = "[access]\nuse_users = 12345\n";
	struct stat st;

	t_need(stat(t_path("s"), &st) == 0);
	t_eq(st.st_mode & 0777, 0600);
	if (geteuid() != 0) {
		t_skip("needs root to become another user");
		return;
	}
	chmod(t_tmpdir(), 0755);
	t_eq(as_another_user(), 1 | 4);		/* the files themselves are closed */
	t_eq(t_host_stop(host), 0);
	t_write_file(t_path("ini"), ini, strlen(ini));
	host = t_host_start((const char *const[]){ "--config", t_path("ini"), NULL });
	t_need(t_host_worker(0, "ready") > 0);
	t_eq(as_another_user(), 4);		/* may use, not control */
	t_need(stat(t_path("s"), &st) == 0 && (st.st_mode & 0777) == 0666);
	ini = "[access]\nuse_users = 12346\ncontrol_users = 12346\n";
	t_write_file(t_path("ini"), ini, strlen(ini));
	kill(host, SIGHUP);
	for (int i = 0; i < 300 && (stat(t_path("s.ctl"), &st) || (st.st_mode & 0777) != 0666); i++)
		usleep(10000);
	t_eq(as_another_user(), 2 | 8);		/* refused by credentials */
}

int main(void)
{
	const char *ini = "[limits]\nclients_per_uid = 3\n";

	t_host_main();
	mkdir(t_path("store"), 0755);
	t_write_file(t_path("ini"), ini, strlen(ini));
	host = t_host_start((const char *const[]){ "--workers", "2", "--config", t_path("ini"), NULL });
	if (!t_host_worker(0, "ready") || !t_host_worker(1, "ready"))
		return 1;
	T_RUN(greeted);
	T_RUN(bad_greetings);
	T_RUN(uninvited_descriptors);
	T_RUN(quota);
	T_RUN(come_and_go);
	T_RUN(a_silent_peer_is_sent_away);
	T_RUN(credentials);
	if (t_host_stop(host) != 0)
		return 1;
	return t_done();
}
