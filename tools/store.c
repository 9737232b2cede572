/* SPDX-License-Identifier: MIT */
/* store.c: which store a verb works on that needs no daemon. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd.h"

const char *cmd_store(const struct cmd *cmd, const char *given)
{
	static char store[4096];
	const char *env = getenv("MHOST_STORE"), *home = getenv("HOME");
	int n;

	if (given && given[0])
		n = snprintf(store, sizeof(store), "%s", given);
	else if (env && env[0])
		n = snprintf(store, sizeof(store), "%s", env);
	else if (geteuid() == 0)
		n = snprintf(store, sizeof(store), "/var/lib/mhost");
	else if (home && home[0])
		n = snprintf(store, sizeof(store), "%s/.local/share/mhost", home);
	else
		return cmd_fail(cmd, CMD_USAGE, "store: HOME and MHOST_STORE are not set; give "
				"--store DIR"), NULL;
	if (n >= (int)sizeof(store))
		return cmd_fail(cmd, CMD_USAGE, "store: path too long, limit %zu bytes; give a "
				"shorter --store DIR", sizeof(store) - 1), NULL;
	return store;
}
