/* SPDX-License-Identifier: MIT */
/*
 * meta.h: training metadata of an import: --meta KEY=VALUE, and files of JSON or INI. All go into
 * one object; nothing is overridden, so a key given twice is refused. Functions return CMD_OK, or
 * CMD_USAGE or CMD_FAILED with the reason printed.
 */
#ifndef META_H
#define META_H

#include "cmd.h"
#include "sto_file.h"

#define META_KEYS_MAX	64u		/* keys of the object itself */
#define META_KEY_MAX	64u		/* bytes */
#define META_VALUE_MAX	4096u		/* bytes of one --meta value */
#define META_DEPTH_MAX	32u		/* objects and lists in each other */
#define META_BYTES_MAX	(256u << 10)	/* of a file, and of the whole as JSON */

/* KEY=VALUE, cut in place. */
int meta_add_pair(const struct cmd *cmd, json_t *meta, char *text);
/* What the first character tells: "{" is a JSON object, anything else INI. */
int meta_add_file(const struct cmd *cmd, json_t *meta, const char *path);
/* Take @value (its reference) in as @key; @what begins messages. */
int meta_add(const struct cmd *cmd, json_t *meta, const char *what, const char *key, json_t *value);
/* Whether the whole is within META_BYTES_MAX. */
int meta_check(const struct cmd *cmd, const json_t *meta);

/*
 * meta_ini.c: keys before any section go into the object, each section becomes an object in it;
 * values are text. *@object is the caller's to release.
 */
int meta_parse_ini(const struct cmd *cmd, const char *path, const char *text, size_t bytes,
		   json_t **object);

#endif
