/* SPDX-License-Identifier: MIT */
/* adapters.c: --adapter NAME[@VERSION][:SCALE], as often as a request may have adapters. */
#include <float.h>
#include <string.h>

#include "cmd.h"

#define EXAMPLE	"write for example style, style@1.0.0 or style@1.0.0:0.5"

static const struct mhost_adapter *find(const struct cmd_adapters *list, const char *name)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (!strcmp(list->list[i].name, name))
			return &list->list[i];
	return NULL;
}

int cmd_take_adapter(const struct cmd *cmd, char *text, struct cmd_adapters *to)
{
	struct mhost_adapter *a = &to->list[to->count];
	char *scale = strchr(text, ':'), *version = strchr(text, '@');

	if (to->count == MHOST_ADAPTERS_MAX)
		return cmd_fail(cmd, CMD_USAGE, "--adapter %.60s: more than %d; name fewer", text,
				MHOST_ADAPTERS_MAX);
	*a = (struct mhost_adapter){ .name = text, .scale = 1 };
	if (scale && !cmd_parse_float(scale + 1, -FLT_MAX, FLT_MAX, &a->scale))
		return cmd_fail(cmd, CMD_USAGE, "--adapter %.60s: the scale is no number; %s", text, EXAMPLE);
	if (scale)
		*scale = '\0';
	if (version && scale && version > scale)
		return cmd_fail(cmd, CMD_USAGE, "--adapter %.60s: the scale comes last; %s", text, EXAMPLE);
	if (version) {
		*version = '\0';
		a->version = version + 1;
	}
	if (!text[0] || (version && !version[1]) || strlen(text) > 63)
		return cmd_fail(cmd, CMD_USAGE, "--adapter \"%.64s%s\": no name of 1..63 bytes with a version "
				"behind its @; %s", text, version ? "@" : "", EXAMPLE);
	if (find(to, text))
		return cmd_fail(cmd, CMD_USAGE, "--adapter %.63s: named twice; name it once", text);
	to->count++;
	return CMD_OK;
}

const char *cmd_cut_adapter(char *target)
{
	char *slash = strchr(target, '/');

	if (slash)
		*slash++ = '\0';
	return slash;
}

void cmd_adapters_set(const struct cmd_adapters *list, struct mhost_request *rq)
{
	rq->adapters = list->list;
	rq->adapter_count = list->count;
}

json_t *cmd_json_adapters(const struct reply *r)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < r->adapter_count; i++) {
		const struct reply_adapter *a = &r->adapters[i];

		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:f}", "adapter", a->name, "version",
						      a->version, "content_hash", a->hash, "scale",
						      (double)a->scale));
	}
	return list;
}
