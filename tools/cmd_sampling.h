/* SPDX-License-Identifier: MIT */
/* cmd_sampling.h: options of further ways to choose tokens; those with several numbers take them with commas. */
#ifndef CMD_SAMPLING_H
#define CMD_SAMPLING_H

#include "cmd.h"

#define CMD_BIAS_MAX		64u
#define CMD_STOP_TOKENS_MAX	64u

struct cmd_sampling {
	struct mhost_bias bias[CMD_BIAS_MAX];
	uint32_t stop_tokens[CMD_STOP_TOKENS_MAX];
};

/* Rows of an option table, with values from @first on. */
#define CMD_SAMPLING_OPTIONS(first)						\
	{ "frequency-penalty", required_argument, NULL, (first) + 0 },		\
	{ "presence-penalty", required_argument, NULL, (first) + 1 },		\
	{ "top-n-sigma", required_argument, NULL, (first) + 2 },		\
	{ "typical-p", required_argument, NULL, (first) + 3 },			\
	{ "min-tokens", required_argument, NULL, (first) + 4 },			\
	{ "dry", required_argument, NULL, (first) + 5 },			\
	{ "dynatemp", required_argument, NULL, (first) + 6 },			\
	{ "xtc", required_argument, NULL, (first) + 7 },			\
	{ "mirostat", required_argument, NULL, (first) + 8 },			\
	{ "bias", required_argument, NULL, (first) + 9 },			\
	{ "stop-token", required_argument, NULL, (first) + 10 }

/* Take option @which (from 0) into @s and @rq; false: out of range. */
bool cmd_sampling_take(struct cmd_sampling *s, struct mhost_request *rq, int which, const char *text);
void cmd_sampling_set(const struct cmd_sampling *s, struct mhost_request *rq);	/* the lists */
const char *cmd_sampling_limit(int which);	/* what it takes, for people */

#endif
