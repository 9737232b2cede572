/* SPDX-License-Identifier: MIT */
/* ctl.c: one request on the control socket, one JSON object a line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmd.h"

bool ctl_absent(const struct cmd *cmd)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s.ctl", cmd->socket);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool absent = fd >= 0 && n >= 0 && (size_t)n < sizeof(addr.sun_path) &&
		      connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 &&
		      (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR);

	if (fd >= 0)
		close(fd);
	return absent;
}

FILE *ctl_connect(const struct cmd *cmd, char why[CTL_WHY_BYTES])
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, n;
	FILE *f;

	n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s.ctl", cmd->socket);
	if (n < 0 || (size_t)n >= sizeof(addr.sun_path)) {
		snprintf(why, CTL_WHY_BYTES, "socket path %.200s: limit %zu bytes; choose a shorter one",
			 cmd->socket, sizeof(addr.sun_path) - 5);
		return NULL;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		snprintf(why, CTL_WHY_BYTES, "cannot reach the host at %s: %s; %s", addr.sun_path,
			 strerror(errno), errno == EACCES ? "ask its owner for control access, see "
			 "mhost.ini(5)" : "is mhostd running?");
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	f = fdopen(fd, "r+");
	if (!f)
		close(fd);
	return f;
}

FILE *ctl_open(const struct cmd *cmd)
{
	char why[CTL_WHY_BYTES] = "out of memory; free some";
	FILE *f = ctl_connect(cmd, why);

	if (!f)
		cmd_fail(cmd, CMD_FAILED, "%s", why);
	return f;
}

static void show_progress(const json_t *progress)
{
	double bytes = (double)json_integer_value(json_object_get(progress, "bytes"));
	double total = (double)json_integer_value(json_object_get(progress, "total"));

	if (isatty(STDERR_FILENO) && total > 0)
		fprintf(stderr, "\r%5.1f %% of %.0f MB ", 100 * bytes / total, total / 1e6);
}

/* The first line that is no progress. */
static json_t *final_line(FILE *f)
{
	bool shown = false;
	char *line = NULL;
	size_t cap = 0;
	json_t *answer = NULL, *progress;

	while (getline(&line, &cap, f) > 0) {
		answer = json_loads(line, JSON_ALLOW_NUL, NULL);
		progress = json_object_get(answer, "progress");
		if (!progress)
			break;
		show_progress(progress);
		shown = true;
		json_decref(answer);
		answer = NULL;
	}
	if (shown && isatty(STDERR_FILENO))
		fprintf(stderr, "\r%30s\r", "");
	free(line);
	return answer;
}

json_t *ctl_call(const struct cmd *cmd, json_t *request)
{
	FILE *f = ctl_open(cmd);
	json_t *answer = NULL;
	char *line = json_dumps(request, JSON_COMPACT);

	json_decref(request);
	if (!f) {
		free(line);
		return NULL;
	}
	if (fprintf(f, "%s\n", line) > 0 && fflush(f) == 0)
		answer = final_line(f);
	free(line);
	fclose(f);
	if (!answer) {
		cmd_fail(cmd, CMD_FAILED, "the host at %s.ctl closed the connection without an "
			 "answer; see its log", cmd->socket);
		return NULL;
	}
	if (json_is_true(json_object_get(answer, "ok")))
		return answer;
	cmd_fail(cmd, CMD_FAILED, "%s", json_string_value(json_object_get(answer, "error")) ?:
		 "refused without a reason");
	json_decref(answer);
	return NULL;
}

int ctl_show(const struct cmd *cmd, json_t *request, ctl_print_fn print)
{
	json_t *answer = ctl_call(cmd, request);

	if (!answer)
		return CMD_FAILED;
	json_object_del(answer, "ok");
	if (cmd->json)
		cmd_json_print(json_incref(answer));
	else
		print(answer);
	json_decref(answer);
	return CMD_OK;
}
