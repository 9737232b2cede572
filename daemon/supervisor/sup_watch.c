/* SPDX-License-Identifier: MIT */
/*
 * sup_watch.c: [model NAME] watch = DIR. `mhost watch` does it, as a child: it imports files from
 * outside, which we never parse, and asks for releases as a person would.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>

#include "log.h"
#include "sup_child.h"

#define AGAIN_NS	(5 * SUP_NS_PER_S)	/* after one that ended by itself */

struct sup_watch {
	struct sup *sup;
	struct sup_watch *next;
	char model[MHS_NAME_BYTES], dir[SUP_PATH_BYTES];
	uint32_t on_new;
	struct sup_child *child;	/* NULL: not yet again */
	struct sup_timer timer;
};

static void watch_start(struct sup_timer *timer);

static void watch_over(struct sup_child *child)
{
	struct sup_watch *watch = child->owner;
	char line[200];

	watch->child = NULL;
	sup_child_line(child, line, sizeof(line));
	log_warning("%s: the watch over %s ended (%s); it begins again in 5 s", watch->model, watch->dir,
		    line);
	sup_timer_set(&watch->sup->loop, &watch->timer, AGAIN_NS, watch_start);
}

static void watch_start(struct sup_timer *timer)
{
	struct sup_watch *watch = sup_owner(timer, struct sup_watch, timer);
	struct sup *sup = watch->sup;
	char socket[SUP_SOCKET_BYTES + 16];
	const char *argv[] = { "mhost", "watch", watch->dir, watch->model, "--on-new",
			       sup_on_new_name(watch->on_new), "--store", sup->conf.store, NULL };
	const char *env[] = { socket, NULL };
	struct sup_child_plan plan = { .kind = SUP_CHILD_WATCH, .argv = argv, .env = env, .over = watch_over, .owner = watch };
	struct sto_error error;

	snprintf(socket, sizeof(socket), "MHOST_SOCKET=%s", sup->conf.socket);
	watch->child = sup_child_start(sup, &plan, &error);
	if (watch->child)
		return;
	log_warning("%s: watch: %s", watch->model, error.text);
	sup_timer_set(&sup->loop, &watch->timer, AGAIN_NS, watch_start);
}

/* It finishes the import that runs; children that are left at our end are killed. */
static void watch_end(struct sup_watch *watch)
{
	sup_timer_off(&watch->sup->loop, &watch->timer);
	if (watch->child) {
		watch->child->over = NULL;
		pidfd_send_signal(watch->child->pidfd.fd, SIGTERM, NULL, 0);
	}
	free(watch);
}

static bool is_wanted(const struct sup *sup, const struct sup_watch *watch)
{
	const struct sup_model_conf *conf = sup_conf_model_find(&sup->conf, watch->model);

	return sup->state != SUP_STOPPING && conf && strcmp(conf->watch, watch->dir) == 0 &&
	       conf->on_new == watch->on_new;
}

static bool is_watched(const struct sup *sup, const struct sup_model_conf *conf)
{
	for (const struct sup_watch *w = sup->watches; w; w = w->next)
		if (strcmp(w->model, conf->name) == 0)
			return true;
	return false;
}

void sup_watches_adjust(struct sup *sup)
{
	for (struct sup_watch **at = &sup->watches; *at;) {
		struct sup_watch *watch = *at;

		if (is_wanted(sup, watch)) {
			at = &watch->next;
			continue;
		}
		*at = watch->next;
		watch_end(watch);
	}
	for (uint32_t i = 0; sup->state == SUP_SERVING && i < sup->conf.model_count; i++) {
		const struct sup_model_conf *conf = &sup->conf.models[i];
		struct sup_watch *watch;

		if (!conf->watch[0] || is_watched(sup, conf))
			continue;
		watch = calloc(1, sizeof(*watch));
		if (!watch)
			return;
		watch->sup = sup;
		watch->on_new = conf->on_new;
		memcpy(watch->model, conf->name, sizeof(watch->model));
		memcpy(watch->dir, conf->watch, sizeof(watch->dir));
		watch->next = sup->watches;
		sup->watches = watch;
		sup_timer_set(&sup->loop, &watch->timer, 0, watch_start);
	}
}
