/* SPDX-License-Identifier: MIT */
/* cmd_adapter.h: verbs on the adapters of a store. They need no daemon. */
#ifndef CMD_ADAPTER_H
#define CMD_ADAPTER_H

#include "cmd.h"
#include "sto_adapter.h"

/* Import and tell; signals end it. CMD_OK, or CMD_FAILED with the reason printed. */
int cmd_adapter_import(const struct cmd *cmd, struct sto_adapter_import *import, bool json);
/* `mhost show MODEL/ADAPTER@VERSION`, `mhost list --adapters [MODEL]`. */
int cmd_adapter_show(const struct cmd *cmd, int argc, char **argv);
int cmd_adapter_list(const struct cmd *cmd, int argc, char **argv);
/* `mhost adapter merge MODEL@VERSION ADAPTER@VERSION...`; argv[0] is "merge". */
int cmd_adapter_push(struct cmd *cmd, int argc, char **argv);
int cmd_adapter_merge(const struct cmd *cmd, int argc, char **argv);

/* Append a row for each stored version of each adapter of @model (NULL: of all). 0 or negative errno. */
int cmd_adapter_rows(const char *store, const char *model, json_t *rows, struct sto_error *error);

#endif
