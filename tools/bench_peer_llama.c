/* SPDX-License-Identifier: MIT */
/* bench_peer_llama.c: llama.cpp's own programs: its bench, and its server over HTTP. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench_peer.h"

#define START_SECONDS	60
#define REPLY_SECONDS	60

int llama_find(struct llama *l)
{
	char script[2048], *text;
	const char *argv[] = { "sh", script, NULL };
	struct bench_program p = { .argv = argv, .is_told = true };

	if (bench_find(l->cmd, "bench_peer_build.sh", script, sizeof(script)))
		return CMD_FAILED;
	text = bench_program_output(l->cmd, &p);
	if (!text)
		return CMD_FAILED;
	snprintf(l->home, sizeof(l->home), "%.*s", (int)strcspn(text, "\n"), text);
	free(text);
	return CMD_OK;
}

static void libraries(const struct llama *l, bool avx2, char *text, size_t cap)
{
	if (avx2)
		snprintf(text, cap, "%s/avx2/bin:%s/native/bin", l->home, l->home);
	else
		snprintf(text, cap, "%s/native/bin", l->home);
}

/* Two objects: one of the prompt, one of decode. */
static int read_rates(const struct llama *l, const char *text, double *prompt_rate,
		      double *decode_rate)
{
	json_t *list = json_loads(text, 0, NULL), *one;
	size_t i;

	*prompt_rate = *decode_rate = 0;
	json_array_foreach(list, i, one) {
		double rate = json_number_value(json_object_get(one, "avg_ts"));

		if (json_integer_value(json_object_get(one, "n_gen")))
			*decode_rate = rate;
		else
			*prompt_rate = rate;
	}
	json_decref(list);
	return *prompt_rate > 0 && *decode_rate > 0 ? CMD_OK :
	       cmd_fail(l->cmd, CMD_FAILED, "llama-bench told no speed");
}

int llama_bench(const struct llama *l, const char *file, bool avx2, uint32_t prompt,
		uint32_t output, double *prompt_rate, double *decode_rate)
{
	char program[2100], libs[4200], log[2100], threads[16], p[16], n[16], *text;
	const char *argv[] = { program, "-m", file, "-t", threads, "-p", p, "-n", n, "-r", "1",
			       "-o", "json", NULL };
	struct bench_program run = { .argv = argv, .log = log, .libraries = libs };
	int err;

	snprintf(program, sizeof(program), "%s/native/bin/llama-bench", l->home);
	snprintf(log, sizeof(log), "%s/llama-bench.log", l->dir);
	snprintf(threads, sizeof(threads), "%u", l->threads);
	snprintf(p, sizeof(p), "%u", prompt);
	snprintf(n, sizeof(n), "%u", output);
	libraries(l, avx2, libs, sizeof(libs));
	text = bench_program_output(l->cmd, &run);
	err = text ? read_rates(l, text, prompt_rate, decode_rate) : CMD_FAILED;
	free(text);
	return err;
}

/* ---- the server ----------------------------------------------------------------------------- */

static struct sockaddr_in loopback(uint16_t port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return addr;
}

/* Some port that nobody has now. */
static uint16_t free_port(void)
{
	struct sockaddr_in addr = loopback(0);
	socklen_t size = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, size) ||
	    getsockname(fd, (struct sockaddr *)&addr, &size))
		addr.sin_port = 0;
	if (fd >= 0)
		close(fd);
	return ntohs(addr.sin_port);
}

/* One connection with @request sent; the answer is to be read. NULL on any failure. */
static FILE *http_send(uint16_t port, const char *request, size_t bytes)
{
	struct sockaddr_in addr = loopback(port);
	struct timeval limit = { .tv_sec = REPLY_SECONDS };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FILE *f;

	if (fd < 0)
		return NULL;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    send(fd, request, bytes, MSG_NOSIGNAL) != (ssize_t)bytes || !(f = fdopen(fd, "r"))) {
		close(fd);
		return NULL;
	}
	return f;
}

static bool is_healthy(void *arg)
{
	static const char request[] = "GET /health HTTP/1.1\r\nHost: localhost\r\n"
				      "Connection: close\r\n\r\n";
	const struct llama_server *server = arg;
	FILE *f = http_send(server->port, request, sizeof(request) - 1);
	char line[64] = "";

	if (f && !fgets(line, sizeof(line), f))
		line[0] = 0;
	if (f)
		fclose(f);
	return strstr(line, " 200 ") != NULL;
}

int llama_server_start(const struct llama *l, const char *file, uint32_t streams, uint32_t context,
		       struct llama_server *server)
{
	char program[2100], libs[4200], log[2100], port[16], threads[16], slots[16], tokens[16];
	const char *argv[] = { program, "-m", file, "--host", "127.0.0.1", "--port", port, "-t",
			       threads, "-np", slots, "-c", tokens, "--no-ui", "--offline",
			       "--cache-ram", "0", "--no-cache-prompt", NULL };
	struct bench_program p = { .argv = argv, .log = log, .libraries = libs };

	server->port = free_port();
	snprintf(program, sizeof(program), "%s/native/bin/llama-server", l->home);
	snprintf(log, sizeof(log), "%s/llama-server.log", l->dir);
	snprintf(port, sizeof(port), "%u", server->port);
	snprintf(threads, sizeof(threads), "%u", l->threads);
	snprintf(slots, sizeof(slots), "%u", streams);
	snprintf(tokens, sizeof(tokens), "%u", streams * context);
	libraries(l, false, libs, sizeof(libs));
	if (bench_program_start(l->cmd, &p, -1, &server->pid))
		return CMD_FAILED;
	if (!bench_wait(server->pid, START_SECONDS, is_healthy, server))
		return CMD_OK;
	llama_server_stop(server);
	return bench_log_fail(l->cmd, "llama-server", log);
}

void llama_server_stop(struct llama_server *server)
{
	bench_program_stop(&server->pid);
}

/* ---- its streams: greedy like ours, each prompt computed anew ------------------------------- */

static bool http_open(struct bench_stream *st)
{
	/* 11 bytes an id, and the rest. */
	st->state = malloc(1024 + st->prompt_tokens * 11u);
	return st->state != NULL;
}

static void http_close(struct bench_stream *st)
{
	free(st->state);
}

static size_t http_request_text(const struct bench_stream *st, char *text)
{
	static const char head[] =
		"POST /completion HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
		"Content-Type: application/json\r\nContent-Length: ";
	char *body = text + 256, *at = body;
	int n;

	at += sprintf(at, "{\"stream\":true,\"cache_prompt\":false,\"ignore_eos\":true,"
		      "\"samplers\":[\"top_k\"],\"top_k\":1,\"n_predict\":%u,\"prompt\":[",
		      st->max_tokens);
	for (uint32_t i = 0; i < st->prompt_tokens; i++)
		at += sprintf(at, "%s%u", i ? "," : "", st->prompt[i]);
	at += sprintf(at, "]}");
	n = sprintf(text, "%s%zu\r\n\r\n", head, (size_t)(at - body));
	memmove(text + n, body, (size_t)(at - body));
	return (size_t)n + (size_t)(at - body);
}

/* An event a token, or for several that make one character: it says how many so far. */
static bool http_request(struct bench_stream *st)
{
	size_t bytes = http_request_text(st, st->state), cap = 0;
	FILE *f = http_send(st->b->peer_port, st->state, bytes);
	char *line = NULL;
	bool go_on = f;

	while (go_on && getline(&line, &cap, f) > 0) {
		const char *count = strstr(line, "\"tokens_predicted\":");
		uint64_t n = count ? strtoull(count + 19, NULL, 10) : 0;

		if (strncmp(line, "data: ", 6) == 0 && n > st->request_tokens)
			go_on = bench_stream_token(st, n - st->request_tokens);
	}
	free(line);
	if (f)
		fclose(f);
	return go_on && st->request_tokens == st->max_tokens;
}

const struct bench_source llama_source = { http_open, http_request, http_close };
