/* SPDX-License-Identifier: MIT */
/* bench.h: inside of `mhost bench`. Each part measures against its baseline in the same run, in turns. */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>

#include "cmd.h"

struct bench {
	const struct cmd *cmd;
	const char *model;
	char active[48], other[48];	/* versions; other is "" when there is only one */
	char path[4096];		/* image of the version that load uses */
	uint32_t vocab, context;
	uint32_t repeat;
	json_t *out;			/* results, one object per part */
};

/* Sorted copy statistics. */
struct spread {
	double min, p50, p90, p99, max;
	size_t n;
};

struct spread bench_spread(double *values, size_t n);	/* sorts */
json_t *bench_spread_json(const struct spread *s);
double bench_now_s(void);

/* One control call by verb; NULL with the reason printed. */
json_t *bench_call(const struct bench *b, const char *command, const char *version);
/* Requests of @kind kept running on @streams sessions by threads, until stopped. */
struct bench_load;
struct bench_load *bench_load_start(const struct bench *b, uint32_t streams, uint32_t prompt_tokens,
				    uint32_t max_tokens);
struct bench_totals {
	uint64_t requests, failed, tokens;
	double seconds;
	struct spread first_token_ms;
};
struct bench_totals bench_load_stop(struct bench_load **load);

/* Parts: 0 or CMD_FAILED with the reason printed. */
int bench_part_load(struct bench *b);
int bench_part_flip(struct bench *b);
int bench_part_rtt(struct bench *b);
int bench_part_speed(struct bench *b);
int bench_part_memory(struct bench *b);

#endif
