/* SPDX-License-Identifier: MIT */
/*
 * meta_ini.c: an INI file of metadata. inih splits lines into keys and values; it cuts long ones in
 * silence and tells its handler no line, so lines are handed out here.
 */
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "meta.h"

#define SECTION_MAX	48u	/* bytes; inih holds 49 */

struct parse {
	const struct cmd *cmd;
	const char *path;
	const char *at, *end;	/* text not yet handed out */
	int line;		/* of the one handed out last, from 1 */
	int status;		/* not CMD_OK: the reason has been printed */
	json_t *object;
};

/* inih's reader, like fgets(): one whole line without indentation (no continuations). */
static char *line_next(char *out, int cap, void *arg)
{
	struct parse *p = arg;
	size_t bytes, indent;

	if (p->status || p->at >= p->end)
		return NULL;
	p->line++;
	bytes = strcspn(p->at, "\n");
	if (bytes + 2 > (size_t)cap || (*p->at == '[' && strcspn(p->at, "]\n") > SECTION_MAX)) {
		p->status = cmd_fail(p->cmd, CMD_FAILED, "%.200s:%d: line: has %zu bytes, limit %d (a "
				     "section's name: %u); write it as JSON", p->path, p->line, bytes,
				     cap - 2, SECTION_MAX);
		return NULL;
	}
	indent = strspn(p->at, " \t");
	memcpy(out, p->at + indent, bytes - indent);
	out[bytes - indent] = '\0';
	p->at += strcspn(p->at, "\n");
	p->at += p->at < p->end;
	return out;
}

/* The object that @section names, made when it is not there yet. NULL: its name is taken. */
static json_t *section_of(struct parse *p, const char *section)
{
	json_t *object = section[0] ? json_object_get(p->object, section) : p->object;

	if (!object) {
		object = json_object();
		json_object_set_new(p->object, section, object);
	}
	return json_is_object(object) ? object : NULL;
}

/* inih's handler; 0 for an error. */
static int key_found(void *arg, const char *section, const char *key, const char *value)
{
	struct parse *p = arg;
	json_t *object = section_of(p, section);

	if (p->status)
		return 0;
	if (!object || json_object_get(object, key))
		p->status = cmd_fail(p->cmd, CMD_FAILED, "%.200s:%d: [%s] %.80s: given twice, limit once; "
				     "remove one", p->path, p->line, section, key);
	else if (json_object_set_new(object, key, json_string(value)))
		p->status = cmd_fail(p->cmd, CMD_FAILED, "%.200s:%d: is not UTF-8; convert it, for example "
				     "with iconv", p->path, p->line);
	return !p->status;
}

int meta_parse_ini(const struct cmd *cmd, const char *path, const char *text, size_t bytes,
		   json_t **object)
{
	struct parse p = { .cmd = cmd, .path = path, .at = text, .end = text + bytes };
	int line;

	*object = NULL;
	if (strlen(text) != bytes || !sto_utf8_valid(text, bytes, true))
		return cmd_fail(cmd, CMD_FAILED, "%.200s: is neither JSON nor text in UTF-8; correct the "
				"file", path);
	p.object = json_object();
	line = ini_parse_stream(line_next, &p, key_found, &p);
	if (line && !p.status)
		p.status = cmd_fail(cmd, CMD_FAILED, "%.200s:%d: neither a [section] nor KEY = VALUE (nor a "
				    "JSON object); correct the file", path, line);
	if (!p.status)
		*object = p.object;
	else
		json_decref(p.object);
	return p.status;
}
