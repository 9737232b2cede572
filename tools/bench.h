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

/* One request of one token on @version. 0 or CMD_FAILED with the reason printed. */
int bench_one_token(const struct bench *b, const char *version);

/* How reads are cut and how many are under way at once. */
struct bench_way {
	uint32_t block_bytes, depth;
};
extern const struct bench_way bench_ways[];
extern const uint32_t bench_way_count;

/* Reads of a whole file into memory that is there already. Open: 0 or negative errno. */
struct bench_raw;
int bench_raw_open(const char *path, struct bench_raw **raw);
void bench_raw_close(struct bench_raw **raw);
uint64_t bench_raw_bytes(const struct bench_raw *raw);
const char *bench_raw_memory(const struct bench_raw *raw);	/* "2M pages" */
/* Seconds, or negative errno. */
double bench_raw_read(const struct bench_raw *raw, const struct bench_way *way);
/* GB/s as fio says, or negative errno (-ENOENT: not installed). */
double bench_fio_read(const char *path, const struct bench_way *way);

/* Parts: 0 or CMD_FAILED with the reason printed. */
int bench_part_load(struct bench *b);
int bench_part_flip(struct bench *b);
int bench_part_rtt(struct bench *b);
int bench_part_speed(struct bench *b);
int bench_part_memory(struct bench *b);

#endif
