/* SPDX-License-Identifier: MIT */
/* sup_reload.c: SIGHUP. The file is read wholly first; a bad one changes nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "sup_trial.h"

/* Tell of a key that changed but counts only at start, and keep the old value. */
static void keep(const char *key, bool changed, void *fresh, const void *old, size_t bytes)
{
	if (!changed)
		return;
	log_warning("reload: %s changed; that needs a restart", key);
	memcpy(fresh, old, bytes);
}

#define KEEP(key, field)	\
	keep(key, memcmp(&fresh->field, &old->field, sizeof(fresh->field)) != 0, &fresh->field, \
	     &old->field, sizeof(fresh->field))
#define KEEP_TEXT(key, field)	\
	keep(key, strcmp(fresh->field, old->field) != 0, fresh->field, old->field, \
	     sizeof(fresh->field))

static void keep_fixed(struct sup_conf *fresh, const struct sup_conf *old)
{
	KEEP_TEXT("[mhostd] store", store);
	KEEP_TEXT("[mhostd] socket", socket);
	KEEP_TEXT("[mhostd] worker_path", worker_path);
	KEEP("[mhostd] threads", threads);
	KEEP("[mhostd] isa", isa);
	KEEP("[mhostd] hugepages", hugepages);
	KEEP("[mhostd] numa", numa);
	KEEP("[mhostd] numa", numa_node);
}

static void limits_tell(struct sup *sup)
{
	struct hrt_msg msg = { .type = HRT_LIMITS };

	msg.init.limits = sup->conf.limits;
	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++)
		if (sup_worker_lives(&sup->workers[i]))
			sup_worker_send(&sup->workers[i], &msg, NULL, 0);
}

/* What was measured by another command, or was called something else, is worth nothing now. */
static bool metric_differs(const struct sup_release_conf *a, const struct sup_release_conf *b)
{
	return strcmp(a->metric_command, b->metric_command) || strcmp(a->metric, b->metric) ||
	       a->metric_min < b->metric_min || a->metric_min > b->metric_min ||
	       a->metric_max < b->metric_max || a->metric_max > b->metric_max;
}

static void reload_apply(struct sup *sup, struct sup_conf *fresh)
{
	bool metric = metric_differs(&fresh->release, &sup->conf.release);
	struct sto_error ignored;
	bool limits = memcmp(&fresh->limits, &sup->conf.limits, sizeof(fresh->limits)) != 0;

	keep_fixed(fresh, &sup->conf);
	sup->conf = *fresh;
	log_set_level(sup->conf.log_level);
	sup_sock_modes(sup);
	if (limits)
		limits_tell(sup);
	for (uint32_t i = 0; i < sup->model_count; i++) {
		if (metric && sup->models[i].trial)
			sup_trial_measure_anew(sup->models[i].trial);
		sup_model_trim(sup, &sup->models[i]);
	}
	sup_adapters_room(sup, 0, &ignored);
	sup_workers_adjust(sup);
	sup_watches_adjust(sup);
}

void sup_reload(struct sup *sup)
{
	struct sup_conf *fresh = calloc(1, sizeof(*fresh));
	struct sto_error error = { "out of memory" };
	char text[64];

	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
		 (unsigned long long)(sup_now_ns() / 1000));
	sup_notify(text);
	if (!fresh || sup_conf_read(&sup->options, fresh, &error)) {
		log_error("reload: %s; the old configuration stays in force", error.text);
	} else {
		reload_apply(sup, fresh);
		log_notice("reload: %s is in force", sup->options.config ? sup->options.config :
			   "the command line");
	}
	free(fresh);
	if (sup->state == SUP_SERVING)
		sup_notify("READY=1");
}
