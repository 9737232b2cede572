/* SPDX-License-Identifier: MIT */
/*
 * sup_scribe.h: what is written to the store while we run: the history and the state of each model.
 * A thread of its own does it, so that no flip waits for a disk. A disk that is full or gone stops
 * nothing else: what could not be written is tried again and, beyond a limit, counted as lost.
 */
#ifndef SUP_SCRIBE_H
#define SUP_SCRIBE_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>

#include "sto_store.h"

#define SUP_SCRIBE_EVENTS	8192u	/* waiting; more are lost */

struct sup_scribe {
	char store[1024];
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t moved, urgent;	/* something to write; the end */
	uint64_t due_ns;		/* of the thread: when a write after those so far is due */
	/* under lock */
	bool stop;
	json_t *events;			/* array, oldest first */
	size_t taken;			/* events that the thread is writing, before those */
	json_t *states;			/* object: the latest of each model */
	uint64_t lost;
	struct sto_error error;		/* of the last write; empty: it worked */
};

int sup_scribe_open(struct sup_scribe *scribe, const char *store);
/* Reference taken. The time is now. */
void sup_scribe_event(struct sup_scribe *scribe, json_t *event);
/*
 * STORE/state/MODEL.json, STORE/state/adapters/MODEL/ADAPTER.json of MODEL/ADAPTER, is to hold @state
 * (reference taken); null: is to go.
 */
void sup_scribe_state(struct sup_scribe *scribe, const char *model, json_t *state);
/* Events not in the history (waiting or lost), and why; for status. */
uint64_t sup_scribe_behind(struct sup_scribe *scribe, struct sto_error *error);
/* Write what waits, if it can be written, and end. */
void sup_scribe_close(struct sup_scribe *scribe);

/* The state written last, or NULL: none, or damaged (then with text). */
json_t *sup_scribe_read(const char *store, const char *model, struct sto_error *error);

#endif
