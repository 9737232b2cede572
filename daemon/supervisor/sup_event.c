/* SPDX-License-Identifier: MIT */
/* sup_event.c: what happened, into the history and to the operator's command. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "sup_child.h"
#include "sup_control.h"

static void hook_over(struct sup_child *child)
{
	char line[200];

	if (child->status == 0)
		return;
	sup_child_line(child, line, sizeof(line));
	log_warning("hook: %s (%s)", child->timed_out ? "took too long and was ended" : "failed", line);
}

/* The event as JSON on its standard input; its name, model and version in the environment too. */
static void hook_run(struct sup *sup, const json_t *event)
{
	const struct sup_release_conf *conf = &sup->conf.release;
	const char *argv[] = { "/bin/sh", "-c", conf->hook, NULL };
	static const char *const keys[] = { "event", "model", "adapter", "version" };
	char text[4][192], *input = json_dumps(event, JSON_COMPACT);
	const char *env[] = { text[0], text[1], text[2], text[3], NULL };
	struct sup_child_plan plan = { .kind = SUP_CHILD_HOOK, .argv = argv, .env = env, .input = input,
				       .limit_ms = conf->hook_timeout_s * 1000, .over = hook_over };
	struct sto_error error;

	for (int i = 0; i < 4; i++) {
		const char *value = json_string_value(json_object_get(event, keys[i]));

		snprintf(text[i], sizeof(text[i]), "MHOST_%s=%s", keys[i], value ? value : "");
		for (char *p = text[i] + 6; *p && *p != '='; p++)
			*p = (char)(*p - 'a' + 'A');
	}
	if (input && !sup_child_start(sup, &plan, &error))
		log_warning("hook: %s", error.text);
	free(input);
}

void sup_event(struct sup *sup, const char *name, const char *model, const char *version,
	       uint32_t uid, const char *why, json_t *more)
{
	json_t *event;

	sup_flips_tell(sup);
	event = json_pack("{s:s}", "event", name);
	if (model)
		event = sup_target_show(event, model);
	if (version)
		json_object_set_new(event, "version", json_string(version));
	if (uid != SUP_UID_SELF)
		json_object_set_new(event, "uid", json_integer(uid));
	else
		json_object_set_new(event, "by", json_string("mhostd"));
	if (why && *why)
		json_object_set_new(event, "why", sup_json_text(why));
	if (more)
		json_object_update(event, more);
	json_decref(more);
	if (sup->conf.release.hook[0] && sup->state != SUP_STOPPING)
		hook_run(sup, event);
	sup_scribe_event(&sup->scribe, event);
}
