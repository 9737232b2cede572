/* SPDX-License-Identifier: MIT */
/*
 * t_storm.h: clients that stream without pause and know the one right answer: for each version and prompt a
 * reference reply, taken first while nothing else runs. Used by the storm and kill tests.
 */
#ifndef T_STORM_H
#define T_STORM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "cmd.h"
#include "mhost.h"

#define STORM_PROMPTS	12u
#define STORM_TOKENS	24u
#define STORM_CLIENTS	16u

struct storm_reply {
	uint32_t count;
	uint32_t tokens[STORM_TOKENS];
	char version[48];
	uint8_t hash[32];
};

struct storm;

struct storm_client {
	pthread_t thread;
	struct storm *storm;
	uint64_t seed;
	uint64_t submitted, ended, exact, lost, replies[2];
	uint64_t wrong;			/* anything that must never happen; the first is printed */
};

struct storm {
	struct cmd cmd;
	const char *model;
	const char *adapter;		/* NULL, or the versions are those of this adapter of @model */
	const char *versions[2];
	uint32_t client_count;
	uint32_t prompts[STORM_PROMPTS][8];
	struct storm_reply reference[2][STORM_PROMPTS];
	bool may_lose;			/* workers are being killed: WORKER_LOST is a right end */
	_Atomic int stop;		/* relaxed: only ends loops */
	struct storm_client clients[STORM_CLIENTS];
};

/* @target: "MODEL" or "MODEL/ADAPTER", cut in place. */
void storm_target(struct storm *storm, char *target);
/* Take references (both versions loaded), then start the clients. False with the reason printed. */
bool storm_start(struct storm *storm, uint32_t vocab);
/* Stop the clients and sum them up into @total. True when no client saw anything wrong. */
bool storm_finish(struct storm *storm, struct storm_client *total);
/* One control command to the model, or to its adapter; false with the reason printed. */
bool storm_control(struct storm *storm, const char *command, const char *version);

#endif
