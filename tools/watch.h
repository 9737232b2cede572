/* SPDX-License-Identifier: MIT */
/*
 * watch.h: inside of `mhost watch`: checkpoints that appear in a directory become versions.
 *
 * A checkpoint is known by its id, a hash of what its files are (not of what it is called). What was
 * done with an id is kept in STORE/watch/MODEL.json, and each version made carries the id in its
 * manifest, so that neither a restart nor a crash handles one twice: an import that was cut off is
 * known by the entry without a version, one whose end was not noted by its manifest.
 */
#ifndef WATCH_H
#define WATCH_H

#include <limits.h>
#include <sys/inotify.h>

#include "cmd.h"
#include "sto_store.h"

#define WATCH_META_MAX		16u
#define WATCH_ID_BYTES		33u	/* hex of 128 bits */
#define WATCH_ERROR_BYTES	480u
#define WATCH_SENT_BYTES	48u
#define WATCH_OUTPUT_BYTES	8192u
#define WATCH_PATH_BYTES	4096u

enum watch_policy { WATCH_IMPORT, WATCH_SHADOW, WATCH_CANARY, WATCH_ACTIVATE };

/* What became of a checkpoint. */
enum watch_fate {
	WATCH_IMPORTING,	/* no version yet; after a restart: see its manifest, or begin again */
	WATCH_WAITING,		/* imported, to be released */
	WATCH_DONE,		/* imported, and released where the policy says so */
	WATCH_SUPERSEDED,	/* imported; a newer one was released in its place */
	WATCH_REFUSED,		/* imported; the host does not release it */
	WATCH_FAILED,		/* not imported */
};

struct watch_item {
	char id[WATCH_ID_BYTES];
	char name[NAME_MAX + 1];	/* in the directory, when it was found */
	char version[MHS_SEMVER_BYTES];	/* "": none yet */
	char error[WATCH_ERROR_BYTES];	/* "": none */
	/* "PID EPOCH" of the host when the command was sent; "": not sent, or answered. */
	char sent[WATCH_SENT_BYTES];
	enum watch_fate fate;
};

/* All that is known, oldest first. */
struct watch_state {
	struct watch_item *items;
	uint32_t count;
};

/* What keeps a checkpoint from being complete. */
enum watch_lack {
	WATCH_LACKS_ALL,	/* nothing in it yet */
	WATCH_LACKS_MARKER,
	WATCH_LACKS_NEW_MARKER,	/* the one there is older than a file */
	WATCH_LACKS_CLOSE,	/* a file is open for writing */
	WATCH_LACKS_NAME,	/* its name cannot be kept as text */
	WATCH_LACKS_FOLDER,	/* a part of a model that is split over files */
};

/* A name in the directory that is a checkpoint or may become one. */
struct watch_entry {
	char name[NAME_MAX + 1];
	char id[WATCH_ID_BYTES];	/* of a complete one */
	uint64_t newest_ns;		/* its last file's modification, for the order */
	int wd;				/* of the folder; -1: none */
	bool is_dirty;			/* to be looked at */
	bool is_scanned;		/* found by a scan: nobody saw how it came */
	bool is_closed;			/* renamed into place, or a file whose writer closed it */
	bool is_queued;			/* complete and not known */
	enum watch_lack lack;		/* what an incomplete one lacks */
	uint32_t told;			/* bit by lack: said already */
};

struct watch_child {
	int pid;			/* 0: none */
	int fd;				/* its output */
	size_t used;
	char output[WATCH_OUTPUT_BYTES];	/* its end */
	char id[WATCH_ID_BYTES];
};

struct watch_call {
	FILE *f;			/* NULL: none */
	bool is_asking;			/* status first, then the command */
	char id[WATCH_ID_BYTES];
	size_t used;
	char *line;
	uint64_t next_ns, delay_ns;	/* the next try */
};

struct watch {
	const struct cmd *cmd;
	char *dir;			/* absolute */
	const char *store, *marker, *quantize, *context;	/* but store: NULL when not given */
	char model[MHS_NAME_BYTES];
	const char *meta[WATCH_META_MAX];
	uint32_t meta_count;
	enum watch_policy policy;
	const char *bump;
	bool once, has_failed;
	int lock_fd, inotify_fd, dir_wd;
	int dir_fd;			/* while it is looked at */
	bool must_scan;
	struct watch_entry *entries;
	uint32_t entry_count;
	uint32_t move_cookie;		/* of the last name that went away by a rename */
	bool move_was_visible, move_was_closed;
	struct watch_state state;
	struct watch_child child;
	struct watch_call call;
};

/* ---- cmd_watch.c ------------------------------------------------------------------------------ */

/* One line about a checkpoint, for people or scripts. @version, @error: NULL or "" when none. */
void watch_tell(struct watch *w, const char *event, const char *name, const char *version,
		const char *error);
uint64_t watch_now_ns(void);	/* monotonic */

/* ---- watch_look.c: is it complete, and which is it ------------------------------------------ */

bool watch_is_candidate(const char *name);	/* not hidden, not .tmp or .part */
/*
 * Look at the entry. 1: complete, id and newest_ns are filled in; 0: not yet, lack and @why say what
 * for; -ENOENT: no checkpoint has this name (any more).
 */
int watch_look(const struct watch *w, struct watch_entry *entry, char why[WATCH_ERROR_BYTES]);

/* ---- watch_dir.c: the directory, as inotify tells it ---------------------------------------- */

/* These return CMD_OK, or CMD_FAILED with the reason printed: the watch ends. */
int watch_dir_open(struct watch *w);
int watch_dir_read(struct watch *w);	/* events that are there */
int watch_dir_look(struct watch *w);	/* scan when due; look at what changed, queue what is new */
struct watch_entry *watch_dir_next(struct watch *w);	/* the oldest in the queue, or NULL */
void watch_dir_close(struct watch *w);

/* ---- watch_state.c: what was done ------------------------------------------------------------- */

int watch_state_open(struct watch *w);	/* lock, read; as CMD_ above */
int watch_state_save(struct watch *w);
void watch_state_close(struct watch *w);
/* NULL: not known. */
struct watch_item *watch_state_find(struct watch *w, const char *id);
/* The same, with a look into the manifests: what another run imported counts as done. */
int watch_state_knows(struct watch *w, const char *id, const char *name, bool *known);
struct watch_item *watch_state_add(struct watch *w, const char *id, const char *name);
void watch_state_remove(struct watch *w, struct watch_item *item);
/* Forget what is neither in the directory nor waiting. */
void watch_state_prune(struct watch *w);
/* The version whose manifest says that it was made of @id; "" when there is none. */
int watch_state_version(struct watch *w, const char *id, char version[MHS_SEMVER_BYTES]);

/* ---- watch_import.c: the import, a process of its own ----------------------------------------- */

int watch_import_start(struct watch *w, struct watch_entry *entry);
int watch_import_read(struct watch *w);		/* output, and its end */
int watch_import_stop(struct watch *w);		/* the watch ends: so does the import */

/* ---- watch_release.c: the command to the host ------------------------------------------------- */

/* What waits to be released, the newest, and when; NULL: nothing, or a call runs. */
struct watch_item *watch_release_next(struct watch *w);
int watch_release_start(struct watch *w, struct watch_item *item);
int watch_release_read(struct watch *w);
void watch_release_stop(struct watch *w);

#endif
