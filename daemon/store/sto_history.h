/* SPDX-License-Identifier: MIT */
/*
 * sto_history.h: STORE/history.jsonl, what happened to the versions: one JSON object a line, only
 * ever appended to. Importers and the supervisor write it from their own processes, each line under
 * flock. Keys that every line has: time (UTC, milliseconds, ISO 8601), event, uid, user; most have
 * model, version and why; an event may have any others.
 */
#ifndef STO_HISTORY_H
#define STO_HISTORY_H

#include <jansson.h>

#include "sto_store.h"

#define STO_HISTORY_NAME	"history.jsonl"
#define STO_HISTORY_LINE_MAX	(1u << 20)	/* bytes, newline included */
#define STO_HISTORY_LOCK_MS	2000u		/* the longest wait for another writer */

/*
 * Append @events (borrowed; an object with "event", or an array of such, at least one: all are written
 * or none), on the disk when this returns. time, uid (of
 * this process) and user (the name of uid) are added where absent. A last line that was cut off is
 * ended first. 0, or negative errno with @error, and then the file is as it was: -EINVAL (no event),
 * -E2BIG (STO_HISTORY_LINE_MAX), -EBUSY (somebody keeps it locked), -ENOSPC, -EACCES and others of
 * the system. May wait for a disk and, to find a user's name, for the name service.
 */
json_t *sto_history_time(void);	/* now, as a line has it */
int sto_history_append(const char *store, json_t *events, struct sto_error *error);

/*
 * Call @fn for each event, oldest first, until it returns non-zero; the event is borrowed. Damaged
 * lines are skipped and added to *@damaged (NULL: not counted). A store without history has no
 * events. 0, what @fn returned when negative, or negative errno with @error.
 */
typedef int (*sto_history_fn)(void *arg, json_t *event);
int sto_history_each(const char *store, sto_history_fn fn, void *arg, uint32_t *damaged,
		     struct sto_error *error);
/* The same from byte *@offset on (0: the first); afterwards *@offset is where to go on later. */
int sto_history_from(const char *store, uint64_t *offset, sto_history_fn fn, void *arg,
		     uint32_t *damaged, struct sto_error *error);
/* Where the first line begins that is whole within the last @back bytes: *@offset. 0 or negative errno. */
int sto_history_back(const char *store, uint64_t back, uint64_t *offset, struct sto_error *error);

#endif
