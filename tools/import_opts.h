/* SPDX-License-Identifier: MIT */
/* import_opts.h: what the verbs that make versions share: `mhost import`, `mhost adapter merge`. */
#ifndef IMPORT_OPTS_H
#define IMPORT_OPTS_H

#include "cmd.h"
#include "sto_import.h"

#define IMPORT_CONTEXT_MAX	(1u << 20)	/* --context: positions stay exact in a float */

/* --bump, --why. CMD_OK, or CMD_USAGE with the reason printed. */
int import_parse_bump(const struct cmd *cmd, const char *text, enum sto_bump *bump);
int import_parse_why(const struct cmd *cmd, const char *text, const char **why);
/* --golden: the cases, whole and checked; what is read here is what is stored. @path NULL: none. */
int import_load_golden(const struct cmd *cmd, const char *path, struct sto_import *import);
/* Import with a bar, and tell the history. CMD_OK, or CMD_FAILED with the reason printed. */
int import_run(const struct cmd *cmd, struct sto_import *import, struct sto_import_result *result);

#endif
