/* SPDX-License-Identifier: MIT */
/* bench_host.c: a host of the measurement's own: private store and socket, ended with it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench.h"

#define START_SECONDS	60

int bench_host_import(const struct cmd *cmd, const char *dir, const char *ref, const char *file)
{
	char self[2048], store[2048], *text;
	const char *argv[] = { self, "import", ref, file, "--store", store, NULL };
	struct bench_program p = { .argv = argv, .is_told = true };

	snprintf(store, sizeof(store), "%s/store", dir);
	if (bench_find(cmd, "mhost", self, sizeof(self)))
		return CMD_FAILED;
	text = bench_program_output(cmd, &p);
	free(text);
	return text ? CMD_OK : CMD_FAILED;
}

void bench_host_forget(const char *dir)
{
	char store[2048];

	snprintf(store, sizeof(store), "%s/store", dir);
	bench_dir_remove(store);
}

static int write_config(const struct bench_host *host, const char *dir, const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return cmd_fail(&host->cmd, CMD_FAILED, "%s: cannot be written", path);
	fprintf(f, "[mhostd]\nstore = %s/store\nsocket = %s\nthreads = %u\nisa = %s\n", dir,
		host->socket, host->threads, host->isa);
	fprintf(f, "keep_resident = 64\nlog_level = warning\n");
	fprintf(f, "[limits]\ncontext = 16384\nqueue = 256\nclients_per_uid = 256\n");
	return fclose(f) ? cmd_fail(&host->cmd, CMD_FAILED, "%s: cannot be written", path) : CMD_OK;
}

static bool answers(void *arg)
{
	const struct bench_host *host = arg;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s.ctl", host->socket);
	ok = fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0;
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool has_ready_worker(void *arg)
{
	const struct bench_host *host = arg;
	json_t *all = ctl_call(&host->cmd, json_pack("{s:s}", "command", "workers")), *worker;
	bool ready = false;
	size_t i;

	json_array_foreach(json_object_get(all, "workers"), i, worker) {
		const char *state = json_string_value(json_object_get(worker, "state"));

		ready = ready || (state && !strcmp(state, "ready"));
	}
	json_decref(all);
	return ready;
}

int bench_host_start(struct bench_host *host, const struct cmd *cmd, const char *dir)
{
	char program[2048], config[2048], log[2048];
	const char *argv[] = { program, "--config", config, NULL };
	struct bench_program p = { .argv = argv, .log = log };
	static int count;

	host->cmd = *cmd;
	host->cmd.socket = host->socket;
	snprintf(host->socket, sizeof(host->socket), "%s/s%d", dir, count);
	snprintf(config, sizeof(config), "%s/%d.ini", dir, count);
	snprintf(log, sizeof(log), "%s/%d.log", dir, count++);
	if (write_config(host, dir, config) ||
	    bench_find(cmd, "mhostd", program, sizeof(program)) ||
	    bench_program_start(cmd, &p, -1, &host->pid))
		return CMD_FAILED;
	if (!bench_wait(host->pid, START_SECONDS, answers, host) &&
	    !bench_wait(host->pid, START_SECONDS, has_ready_worker, host))
		return CMD_OK;
	bench_program_stop(&host->pid);
	return bench_log_fail(cmd, "mhostd", log);
}

int bench_host_use(struct bench_host *host, const char *model, struct bench *b)
{
	json_t *done = ctl_call(&host->cmd, json_pack("{s:s, s:s, s:s}", "command", "activate",
						      "model", model, "version", "1.0.0"));

	if (!done)
		return CMD_FAILED;
	json_decref(done);
	*b = (struct bench){ .cmd = &host->cmd, .model = model, .repeat = 1, .out = json_object() };
	return bench_prepare(b);
}

void bench_host_stop(struct bench_host *host)
{
	bench_program_stop(&host->pid);
}

int bench_log_fail(const struct cmd *cmd, const char *what, const char *log)
{
	char line[512], last[512] = "its log is empty";
	FILE *f = fopen(log, "re");

	while (f && fgets(line, sizeof(line), f))
		if (line[0] != '\n')
			snprintf(last, sizeof(last), "%.*s", (int)strcspn(line, "\n"), line);
	if (f)
		fclose(f);
	return cmd_fail(cmd, CMD_FAILED, "%s did not start: %s", what, last);
}
