/* SPDX-License-Identifier: MIT */
/* bench_sweep.h: inside of `mhost bench --sweep`. */
#ifndef BENCH_SWEEP_H
#define BENCH_SWEEP_H

#include "bench.h"
#include "bench_svg.h"

struct sweep {
	const struct cmd *cmd;
	const struct bench_options *options;
	const char *file;	/* imported as sweep@1.0.0 and 1.1.0 */
	const char *isa;
	char dir[1024];
	json_t *out;
};

/* A host of @threads that serves "sweep". */
int sweep_host(struct sweep *s, uint32_t threads, struct bench_host *host, struct bench *b);
void sweep_host_stop(struct bench_host *host, struct bench *b);
/* The folder of --svg, if given. */
int sweep_plot(const struct sweep *s, const struct svg_plot *plot, const char *name);

/* One each: a table, an array in s->out, a plot. 0 or CMD_FAILED with the reason printed. */
int sweep_streams(struct sweep *s);
int sweep_context(struct sweep *s);
int sweep_threads(struct sweep *s);
int sweep_versions(struct sweep *s);
int sweep_latency(struct sweep *s);

#endif
