/* SPDX-License-Identifier: MIT */
/*
 * verify_golden.h: the golden cases of versions, asked while the store is verified: of the host that
 * serves this store, where the version is in its memory, else of a host of our own, which loads one
 * version after the other.
 */
#ifndef VERIFY_GOLDEN_H
#define VERIFY_GOLDEN_H

#include <sys/stat.h>

#include "bench.h"

struct verify_golden {
	const struct cmd *cmd;		/* these two are set by the caller, the rest is zero */
	const char *store;
	const _Atomic int *stop;	/* as in struct sto_verify */
	bool has_looked, is_served;	/* cmd->socket: a host with this store? */
	char dir[2048];			/* of our own host; empty: none yet */
	struct bench_host host;
	char isa[32];			/* of who was asked last */
};

/*
 * All cases of MODEL@VERSION; @problem hears one line for each that fails. CMD_OK with *@cases (0: it has
 * none), or CMD_FAILED when they could not be asked; told.
 */
int verify_golden(struct verify_golden *v, const char *model, const char *version, uint32_t *cases,
		  void (*problem)(void *arg, const char *text), void *arg);
void verify_golden_end(struct verify_golden *v);

#endif
