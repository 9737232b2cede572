/* SPDX-License-Identifier: MIT */
/*
 * fuzz_control.c: the input is what a peer writes to the control socket of a supervisor without workers. It gets
 * one JSON line for each of its own, whatever stands there, and nothing is left when it is gone.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <stdio.h>
#include <unistd.h>

#include "log.h"
#include "sup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define check(cond)	((cond) ? (void)0 : abort())

static struct sup sup;
static char dir[] = "/tmp/mhost-fuzz-XXXXXX";

static void remove_dir(void)
{
	char path[128];

	sup_finish(&sup);
	snprintf(path, sizeof(path), "%s/store", dir);
	rmdir(path);
	rmdir(dir);
}

static void world_make(void)
{
	struct sto_error error;

	static bool made;

	check(made || mkdtemp(dir) != NULL);
	memset(&sup, 0, sizeof(sup));
	sup.board_fd = -1;
	sup.signals.fd = sup.loads.fd = sup.client_socket.fd = sup.control_socket.fd = -1;
	sup_conf_defaults(&sup.conf);
	snprintf(sup.conf.store, sizeof(sup.conf.store), "%s/store", dir);
	snprintf(sup.conf.socket, sizeof(sup.conf.socket), "%s/s", dir);
	check(made || mkdir(sup.conf.store, 0700) == 0);
	log_init("fuzz", LOG_LVL_ERROR);
	check(sup_loop_open(&sup.loop) == 0);
	check(sup_board_open(&sup, &error) == 0);
	check(sup_sock_listen(&sup, &sup.control_socket, 1, sup_control_accept, &error) == 0);
	if (!made)
		atexit(remove_dir);
	made = true;
}

static int peer_connect(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s.ctl", dir);
	check(connect(sock, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	return sock;
}

/* Lines of answers so far; each must be a JSON object that says whether it is ok. */
static size_t answers_read(int sock, char *text, size_t *have, size_t cap)
{
	ssize_t n = recv(sock, text + *have, cap - *have, MSG_DONTWAIT);
	size_t lines = 0;
	char *line = text, *end;

	*have += n > 0 ? (size_t)n : 0;
	while ((end = memchr(line, '\n', *have - (size_t)(line - text)))) {
		json_t *object = json_loadb(line, (size_t)(end - line), 0, NULL);

		check(json_is_boolean(json_object_get(object, "ok")) ||
		      json_object_get(object, "progress"));
		json_decref(object);
		lines++;
		line = end + 1;
	}
	*have -= (size_t)(line - text);
	memmove(text, line, *have);
	return lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[1 << 18];
	size_t have = 0, wanted = 0, got = 0;
	int sock;

	if (!sup.board)
		world_make();
	if (size > 60000)	/* more than the socket takes at once would only wait */
		return 0;
	for (size_t i = 0; i < size; i++)
		wanted += data[i] == '\n';
	sock = peer_connect();
	check(send(sock, data, size, MSG_NOSIGNAL) == (ssize_t)size);
	shutdown(sock, SHUT_WR);
	for (int i = 0; i < 1000000 && !sup.ended && (got < wanted || sup.conn_count == 0); i++) {
		check(sup_loop_turn(&sup.loop) == 0);
		got += answers_read(sock, text, &have, sizeof(text));
	}
	close(sock);
	if (sup.state == SUP_STOPPING) {
		sup_finish(&sup);	/* the next input meets a new one */
		return 0;
	}
	check(got == wanted && have == 0);
	while (sup.conn_count || sup.ops)
		check(sup_loop_turn(&sup.loop) == 0);
	check(!sup.versions && sup.model_count == 0);
	return 0;
}
