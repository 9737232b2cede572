/* SPDX-License-Identifier: MIT */
/* probe.h: prompts on their way to several versions of a model or adapter, and what came of them. */
#ifndef PROBE_H
#define PROBE_H

#include "cmd.h"
#include "mhs_image.h"
#include "prompts.h"

#define PROBE_VERSIONS_MAX	8
#define PROBE_CONCURRENCY_MAX	64u

/* One of the versions. */
struct probe_side {
	char version[MHS_SEMVER_BYTES];
	uint64_t requests, completed, errors, tokens, later_tokens;
	uint32_t deaths;	/* of workers that ran it */
	double death_s;		/* when the last one was seen */
	double decode_s;	/* that later_tokens took */
	double *first_ms, *total_ms;	/* [completed] */
	char error[256];	/* the last one */
};

enum probe_slot_state { PROBE_SLOT_FREE, PROBE_SLOT_WAITING, PROBE_SLOT_RUNNING };

/* One prompt on its way to one version. */
struct probe_slot {
	enum probe_slot_state state;
	uint64_t id;
	uint32_t prompt;
	struct probe_side *side;
	double start_s, first_ms;	/* WAITING: start_s is when to try again */
	uint32_t tokens;
};

struct probe {
	const struct cmd *cmd;
	struct mhost *session;
	const char *adapter;		/* NULL, or the versions are those of this adapter of the model */
	struct cmd_adapters adapters;	/* on top of each version; with @adapter its place is the last */
	char model[MHS_NAME_BYTES];
	struct probe_side sides[PROBE_VERSIONS_MAX];
	struct probe_slot slots[PROBE_CONCURRENCY_MAX];
	uint32_t order[PROBE_VERSIONS_MAX];	/* of this round */
	uint32_t side_count, concurrency, count, max_tokens, limit_s;
	uint64_t next;			/* of count * side_count */
	uint64_t seed;
	const char *file;
	struct prompts prompts;
	const char *ended;		/* NULL until then: "done", "limit", "signal", "error" */
	char message[400];		/* why not done; "" */
};

/*
 * Connect and ask all, until done, over (stop.c) or useless. @p has cmd, model, versions with room
 * for p->count measurements each, prompts and numbers filled in; afterwards the sides' counts, and
 * @ended.
 */
void probe_run(struct probe *p);

#endif
