/* SPDX-License-Identifier: MIT */
/* bench_peer.h: inside of `mhost bench --peer`. */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "bench.h"

/* llama.cpp as bench_peer_build.sh left it. */
struct llama {
	const struct cmd *cmd;
	const char *dir;	/* our private directory, for logs */
	char home[2048];	/* holds native/bin and avx2/bin */
	uint32_t threads;
};

struct llama_server {
	pid_t pid;
	uint16_t port;
};

/* Find it, or build it into the cache. */
int llama_find(struct llama *l);
/* llama-bench once: tokens/s of a prompt and of decode. @avx2: with its kernels for AVX2 alone. */
int llama_bench(const struct llama *l, const char *file, bool avx2, uint32_t prompt,
		uint32_t output, double *prompt_rate, double *decode_rate);
/* llama-server on loopback, with a slot for each of @streams. */
int llama_server_start(const struct llama *l, const char *file, uint32_t streams, uint32_t context,
		       struct llama_server *server);
void llama_server_stop(struct llama_server *server);

/* Streams of the server whose port is @stream->b->peer_port. */
extern const struct bench_source llama_source;

/* -- one comparison ---------------------------------------------------------------------------- */

#define PEER_PROMPT	512u
#define PEER_OUTPUT	128u

struct pair {
	double mhost[BENCH_REPEAT_MAX], llama[BENCH_REPEAT_MAX], ratio[BENCH_REPEAT_MAX];
};

/* One ISA level on one file. */
struct level {
	const char *isa;
	struct bench_host host;
	struct bench bench;
	struct mhost *session;
	struct pair *decode, *prompt;
};

struct peer {
	const struct cmd *cmd;
	const struct bench_options *options;
	struct llama llama;
	char dir[1024];
	struct level levels[BENCH_ISA_MAX];
	uint32_t level_count, stream_files;
	/* sums of logarithms of the small files' ratios */
	double log_decode[BENCH_ISA_MAX], log_prompt[BENCH_ISA_MAX];
	uint32_t mean_count;
	json_t *out, *files;
};

static inline bool peer_is_text(const struct peer *p)
{
	return !p->cmd->json;
}

/* bench_peer_measure.c: rows of @file, which the hosts of @p->levels serve. 0 or an exit status. */
int peer_speed(struct peer *p, json_t *file, const char *path, bool is_small);
/* The level that the host takes by itself, against llama-server. */
int peer_streams(struct peer *p, json_t *file, const char *path);

#endif
