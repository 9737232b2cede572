/* SPDX-License-Identifier: MIT */
/* bench.h: inside of `mhost bench`. Each part measures against its baseline, in turns. */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <sys/types.h>

#include "cmd.h"

struct bench {
	const struct cmd *cmd;
	const char *model;
	char name[64];			/* of the model, when found */
	char active[48], other[48];	/* versions; other is "" when there is only one */
	char path[4096];		/* image of the version that load uses */
	uint32_t vocab, context;
	uint32_t repeat;
	const char *const *stream_versions;	/* the version of each stream; NULL: as routed */
	uint16_t peer_port;			/* of another server, for its source */
	json_t *out;			/* results, one object per part */
};

#define BENCH_REPEAT_MAX	1000u
#define BENCH_ISA_MAX		4u

/* The command line. */
struct bench_options {
	const char *only, *isa, *sweep, *svg;	/* lists by commas, and a folder; NULL: not given */
	char **files;
	int file_count;
	uint32_t threads, repeat, seconds;	/* 0: not given */
	bool peer;
};

/* Sorted copy statistics. */
struct spread {
	double min, p50, p90, p95, p99, max;
	size_t n;
};

struct spread bench_spread(double *values, size_t n);	/* sorts */
json_t *bench_spread_json(const struct spread *s);
double bench_now_s(void);
void bench_sleep(double seconds);

/* One control call by verb; NULL with the reason printed. */
json_t *bench_call(const struct bench *b, const char *command, const char *version);
int bench_prepare(struct bench *b);	/* fills in all but cmd, model, repeat and out */

/* ---- bench_streams.c: requests kept running on many streams, until stopped ------------------ */

#define BENCH_STREAMS_MAX	64u

struct bench_load;

/* One stream, as its source sees it. */
struct bench_stream {
	const struct bench *b;
	struct bench_load *load;
	void *state;			/* the source's */
	uint32_t index;
	uint32_t *prompt;		/* of this request */
	uint32_t prompt_tokens, max_tokens;
	double request_start;
	uint64_t request_tokens, requests, failed;
	_Atomic uint64_t tokens;	/* relaxed: read once more when all have ended */
	double *first_ms;
	uint32_t first_count;
};

/* A server. request() calls bench_stream_token() as tokens come; false from it: give up. */
struct bench_source {
	bool (*open)(struct bench_stream *st);
	bool (*request)(struct bench_stream *st);
	void (*close)(struct bench_stream *st);
};

struct bench_totals {
	uint64_t requests, failed;
	uint64_t tokens;	/* until the stop */
	double seconds;
	struct spread first_token_ms;
};

struct bench_load *bench_load_start_on(const struct bench *b, const struct bench_source *source,
				       uint32_t streams, uint32_t prompt_tokens,
				       uint32_t max_tokens);
/* The same on the host of @b. */
struct bench_load *bench_load_start(const struct bench *b, uint32_t streams, uint32_t prompt_tokens,
				    uint32_t max_tokens);
bool bench_stream_token(struct bench_stream *st, uint64_t count);
uint64_t bench_load_tokens(const struct bench_load *load);	/* until now */
struct bench_totals bench_load_stop(struct bench_load **load);

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

/* A prompt that depends on @salt and this process alone. */
void bench_prompt(uint32_t *ids, uint32_t count, uint32_t vocab, uint32_t salt);

/* One request to its end. False when it failed; mhost_errmsg() may know why. */
struct bench_run {
	double first_ms;		/* submit to first token, seen by the client */
	double prefill_ms, decode_ms;	/* told by the worker; decode: first token to last */
	double decode_rate;		/* tokens/s after the first, by the slower of both clocks */
	uint64_t tokens;
};
bool bench_run(const struct bench *b, struct mhost *s, const uint32_t *prompt,
	       uint32_t prompt_tokens, uint32_t max_tokens, struct bench_run *run);

/* One request of one token on @version. 0 or CMD_FAILED with the reason printed. */
int bench_one_token(const struct bench *b, const char *version);

/* ---- bench_proc.c: programs beside the measurement ------------------------------------------ */

struct bench_program {
	const char *const *argv;
	const char *log;	/* gets its standard error, and its output unless read; or NULL */
	const char *libraries;	/* LD_LIBRARY_PATH, or NULL */
	bool is_told;		/* its standard error is ours */
};

/* Path of a program or script that belongs to mhost. */
int bench_find(const struct cmd *cmd, const char *name, char *path, size_t cap);
/* A private directory, gone when this process is. */
int bench_dir_make(const struct cmd *cmd, char *dir, size_t cap);
void bench_dir_remove(const char *dir);
int bench_program_start(const struct cmd *cmd, const struct bench_program *p, int out, pid_t *pid);
void bench_program_stop(pid_t *pid);
/* Run it to its end: its standard output, malloc'd, or NULL with the reason printed. */
char *bench_program_output(const struct cmd *cmd, const struct bench_program *p);
/* Until @is_ready. 0, -ECHILD when the program ended, -ETIMEDOUT. */
int bench_wait(pid_t pid, double seconds, bool (*is_ready)(void *), void *arg);

/* ---- bench_host.c: a private host ----------------------------------------------------------- */

struct bench_host {
	struct cmd cmd;		/* of it; a copy of the caller's otherwise */
	char socket[100];
	const char *isa;	/* both set before the start */
	uint32_t threads;
	pid_t pid;
};

int bench_host_import(const struct cmd *cmd, const char *dir, const char *ref, const char *file);
void bench_host_forget(const char *dir);	/* all that was imported there */
/* Serves what was imported below @dir; one worker, ready when this returns. */
int bench_host_start(struct bench_host *host, const struct cmd *cmd, const char *dir);
/* Make MODEL@1.0.0 active and prepare @b for it; b->out is the caller's to free. */
int bench_host_use(struct bench_host *host, const char *model, struct bench *b);
void bench_host_stop(struct bench_host *host);
/* "WHAT did not start: last line of its log". */
int bench_log_fail(const struct cmd *cmd, const char *what, const char *log);

/* ---- bench_machine.c: what it runs on ------------------------------------------------------- */

/* The levels in @list (NULL: all) that this CPU has, the best first. */
int bench_isa_levels(const struct cmd *cmd, const char *list, const char **isas, uint32_t *count);
void bench_machine(json_t *out, uint32_t threads);	/* adds "cpu", "cpus", "threads" */
void bench_machine_print(const json_t *out);
double bench_read_gb_per_s(uint32_t threads);	/* plain reads of memory, the best of some */

/* The private measurements. 0 or CMD_FAILED with the reason printed; text for people is printed. */
int bench_peer(const struct cmd *cmd, const struct bench_options *options, json_t *out);
int bench_sweep(const struct cmd *cmd, const struct bench_options *options, json_t *out);

bool bench_is_wanted(const char *only, const char *name);

/* One "activate" or "rollback": store to adoption beyond the running step, and with it. */
int bench_flip(struct bench *b, const char *command, const char *version, double *us,
	       double *wall_us, double *read_bytes);

/* Parts: 0 or CMD_FAILED with the reason printed. */
int bench_part_load(struct bench *b);
int bench_part_flip(struct bench *b);
int bench_part_rtt(struct bench *b);
int bench_part_speed(struct bench *b);
int bench_part_storm(struct bench *b);
int bench_part_memory(struct bench *b);
int bench_part_mixed(struct bench *b);

#endif
