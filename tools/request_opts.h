/* SPDX-License-Identifier: MIT */
/* request_opts.h: the options that `mhost run` and `mhost chat` share; mhost(1) lists them. */
#ifndef REQUEST_OPTS_H
#define REQUEST_OPTS_H

#include "cmd_sampling.h"

struct request_opts {
	struct mhost_request rq;	/* points into the rest, and into argv */
	struct cmd_adapters adapters;
	struct cmd_sampling sampling;
	const char *stops[16];
	uint32_t *ids;			/* --tokens */
	char *messages;			/* the file of --messages */
	char *grammar;			/* of --grammar or --schema */
	const char *system;		/* --system */
	uint32_t choices, best_of;	/* --choices, --best-of; 0: not given */
	bool echo;			/* --echo */
	bool parsed;			/* --parse, */
	uint32_t form;			/* MESSAGE_FORM_AUTO, or that form */
};

/* Take all options out of argv. CMD_OK, or CMD_USAGE or CMD_FAILED with the reason printed. */
int request_opts_take(struct cmd *cmd, int argc, char **argv, struct request_opts *o);
void request_opts_free(struct request_opts *o);

#endif
