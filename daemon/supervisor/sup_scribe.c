/* SPDX-License-Identifier: MIT */
#include "sup_scribe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "sto_history.h"

#define RETRY_MS	1000
#define BATCH		256u	/* events in one write */
/* A storm of flips is written in batches, not flip by flip: each sync takes a CPU from the streams. */
#define BURST		16u	/* writes that need not wait, */
#define PAUSE_NS	UINT64_C(100000000)	/* and one more after each of these */

/* ---- state files ---------------------------------------------------------------------------- */

static int state_path(const char *store, const char *model, const char *end, char *path, size_t bytes)
{
	int n = snprintf(path, bytes, "%s/state/%s%s.json%s", store, strchr(model, '/') ? "adapters/" : "",
			 model, end);

	return n < 0 || (size_t)n >= bytes ? -ENAMETOOLONG : 0;
}

static int text_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644), err = 0;
	size_t bytes = strlen(text);

	if (fd < 0)
		return -errno;
	errno = ENOSPC;
	if (write(fd, text, bytes) != (ssize_t)bytes || fsync(fd))
		err = -errno;
	close(fd);
	return err;
}

/* The folders below @store that @path lies in. */
static int folders_make(const char *store, char *path)
{
	int err = 0;

	for (char *slash = path + strlen(store) + 1; !err && (slash = strchr(slash, '/')); *slash++ = '/') {
		*slash = '\0';
		err = mkdir(path, 0755) && errno != EEXIST ? -errno : 0;
	}
	return err;
}

/* Whole or not at all: written beside it, then renamed. */
static int state_write(const char *store, const char *model, const json_t *state)
{
	char path[1300], fresh[1300], *text = json_dumps(state, JSON_INDENT(1) | JSON_ENCODE_ANY);
	int err = text ? state_path(store, model, "", path, sizeof(path)) : -ENOMEM;

	if (!err && json_is_null(state)) {
		err = unlink(path) && errno != ENOENT ? -errno : 0;
		goto out;
	}
	if (!err)
		err = state_path(store, model, ".new", fresh, sizeof(fresh));
	if (!err)
		err = folders_make(store, path);
	if (!err)
		err = text_write(fresh, text);
	if (!err && rename(fresh, path))
		err = -errno;
out:
	free(text);
	return err;
}

json_t *sup_scribe_read(const char *store, const char *model, struct sto_error *error)
{
	json_error_t why;
	char path[1300];
	json_t *state;

	error->text[0] = '\0';
	if (state_path(store, model, "", path, sizeof(path)) || access(path, F_OK))
		return NULL;
	state = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
	if (json_is_object(state))
		return state;
	sto_fail(error, "%s: %s; it is left aside", path, state ? "not an object" : why.text);
	json_decref(state);
	return NULL;
}

/* ---- the thread ----------------------------------------------------------------------------- */

/* What is written leaves @states; one that cannot be does not stop the others. */
static int states_write(const char *store, json_t *states, struct sto_error *error)
{
	const char *model;
	json_t *state;
	void *next;
	int err, first = 0;

	json_object_foreach_safe(states, next, model, state) {
		err = state_write(store, model, state);
		if (err && !first) {
			first = err;
			sto_fail(error, "%s/state/%s.json: cannot be written: %s; check the store's disk",
				 store, model, strerror(-err));
		}
		if (!err)
			json_object_del(states, model);
	}
	return first;
}

/* Batch by batch; what is written leaves @events. */
static int events_write(const char *store, json_t *events, struct sto_error *error)
{
	int err = 0;

	while (!err && json_array_size(events)) {
		json_t *batch = json_array();

		for (size_t i = 0; i < json_array_size(events) && i < BATCH; i++)
			json_array_append(batch, json_array_get(events, i));
		err = sto_history_append(store, batch, error);
		for (size_t i = json_array_size(batch); !err && i; i--)
			json_array_remove(events, 0);
		json_decref(batch);
	}
	return err;
}

/* What could not be written comes first again, unless the state was told anew meanwhile. */
static void put_back(struct sup_scribe *scribe, json_t *events, json_t *states)
{
	json_t *waiting = scribe->events;

	scribe->events = events;
	json_array_extend(events, waiting);
	json_decref(waiting);
	json_object_update_missing(scribe->states, states);
	json_decref(states);
}

static bool has_work(const struct sup_scribe *scribe)
{
	return json_array_size(scribe->events) || json_object_size(scribe->states);
}

static void wait_ms(struct sup_scribe *scribe, long ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	pthread_cond_timedwait(&scribe->moved, &scribe->lock, &until);
}

/* Until the next write is due: a bucket of BURST that fills by one each PAUSE_NS. */
static void pace(struct sup_scribe *scribe)
{
	struct timespec now;
	uint64_t now_ns, due_ns;

	clock_gettime(CLOCK_MONOTONIC, &now);
	now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	due_ns = scribe->due_ns > now_ns ? scribe->due_ns : now_ns;
	scribe->due_ns = due_ns + PAUSE_NS;
	if (due_ns <= now_ns + (BURST - 1) * PAUSE_NS)
		return;
	due_ns -= (BURST - 1) * PAUSE_NS;
	now.tv_sec = (time_t)(due_ns / 1000000000);
	now.tv_nsec = (long)(due_ns % 1000000000);
	while (!scribe->stop && !pthread_cond_timedwait(&scribe->urgent, &scribe->lock, &now))
		;
}

/* One attempt at all that waits, without the lock. */
static int write_all(struct sup_scribe *scribe)
{
	json_t *events = scribe->events, *states = scribe->states;
	struct sto_error error = { "" };
	int err, states_err;

	scribe->events = json_array();
	scribe->states = json_object();
	scribe->taken = json_array_size(events);
	pthread_mutex_unlock(&scribe->lock);
	states_err = states_write(scribe->store, states, &error);
	err = events_write(scribe->store, events, &error);
	err = err ? err : states_err;
	pthread_mutex_lock(&scribe->lock);
	scribe->taken = 0;
	if (err && !scribe->error.text[0])
		log_error("%s; serving goes on, it is tried again", error.text);
	scribe->error = error;
	if (!err)
		scribe->error.text[0] = '\0';
	put_back(scribe, events, states);
	return err;
}

static void *scribe_main(void *arg)
{
	struct sup_scribe *scribe = arg;
	int err = 0;

	pthread_mutex_lock(&scribe->lock);
	while (!scribe->stop || (has_work(scribe) && !err)) {
		if (!has_work(scribe))
			pthread_cond_wait(&scribe->moved, &scribe->lock);
		else if (err)
			wait_ms(scribe, RETRY_MS);
		if (has_work(scribe) && !scribe->stop)
			pace(scribe);
		if (has_work(scribe))
			err = write_all(scribe);
	}
	pthread_mutex_unlock(&scribe->lock);
	return NULL;
}

int sup_scribe_open(struct sup_scribe *scribe, const char *store)
{
	pthread_condattr_t attr;
	int err;

	*scribe = (struct sup_scribe){ .events = json_array(), .states = json_object() };
	snprintf(scribe->store, sizeof(scribe->store), "%s", store);
	pthread_mutex_init(&scribe->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);	/* the other one jumps */
	pthread_cond_init(&scribe->moved, &attr);
	pthread_cond_init(&scribe->urgent, &attr);
	pthread_condattr_destroy(&attr);
	err = -pthread_create(&scribe->thread, NULL, scribe_main, scribe);
	scribe->started = !err;
	return err;
}

static size_t waiting(const struct sup_scribe *scribe)
{
	return scribe->taken + json_array_size(scribe->events);
}

void sup_scribe_event(struct sup_scribe *scribe, json_t *event)
{
	json_object_set_new(event, "time", sto_history_time());
	pthread_mutex_lock(&scribe->lock);
	if (waiting(scribe) < SUP_SCRIBE_EVENTS) {
		json_array_append_new(scribe->events, event);
		event = NULL;
	} else {
		scribe->lost++;
	}
	pthread_cond_signal(&scribe->moved);
	pthread_mutex_unlock(&scribe->lock);
	json_decref(event);
}

void sup_scribe_state(struct sup_scribe *scribe, const char *model, json_t *state)
{
	pthread_mutex_lock(&scribe->lock);
	json_object_set_new(scribe->states, model, state);
	pthread_cond_signal(&scribe->moved);
	pthread_mutex_unlock(&scribe->lock);
}

uint64_t sup_scribe_behind(struct sup_scribe *scribe, struct sto_error *error)
{
	uint64_t behind;

	pthread_mutex_lock(&scribe->lock);
	behind = scribe->lost + (scribe->error.text[0] ? waiting(scribe) : 0);
	*error = scribe->error;
	pthread_mutex_unlock(&scribe->lock);
	return behind;
}

void sup_scribe_close(struct sup_scribe *scribe)
{
	const char *model;
	json_t *state;

	if (!scribe->started)
		return;
	pthread_mutex_lock(&scribe->lock);
	scribe->stop = true;
	pthread_cond_signal(&scribe->moved);
	pthread_cond_signal(&scribe->urgent);
	pthread_mutex_unlock(&scribe->lock);
	pthread_join(scribe->thread, NULL);
	if (json_array_size(scribe->events))
		log_error("%zu events are not in the history: %s", json_array_size(scribe->events),
			  scribe->error.text);
	json_object_foreach(scribe->states, model, state)
		log_error("%s: its state is not in the store, the next start begins from an older one: %s", model,
			  scribe->error.text);
	json_decref(scribe->events);
	json_decref(scribe->states);
	pthread_cond_destroy(&scribe->moved);
	pthread_cond_destroy(&scribe->urgent);
	pthread_mutex_destroy(&scribe->lock);
	scribe->started = false;
}
