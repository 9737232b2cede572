/* SPDX-License-Identifier: MIT */
/*
 * watch_dir.c: which names in the directory are to be looked at. Events only mark entries; what they
 * mean is decided by watch_look(), except for one thing that leaves little trace: a name that came by
 * a rename, from elsewhere or from a hidden or temporary name, came as a whole.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "watch.h"

#define DIR_EVENTS	(IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | \
			 IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define FOLDER_EVENTS	(IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | \
			 IN_ONLYDIR | IN_DONT_FOLLOW)

/* ---- entries -------------------------------------------------------------------------------- */

static struct watch_entry *find(struct watch *w, const char *name)
{
	for (uint32_t i = 0; i < w->entry_count; i++)
		if (!strcmp(w->entries[i].name, name))
			return &w->entries[i];
	return NULL;
}

static struct watch_entry *find_or_add(struct watch *w, const char *name)
{
	struct watch_entry *entry = find(w, name), *grown;

	if (entry || strlen(name) > NAME_MAX)
		return entry;
	grown = reallocarray(w->entries, w->entry_count + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	w->entries = grown;
	entry = &grown[w->entry_count++];
	*entry = (struct watch_entry){ .wd = -1 };
	snprintf(entry->name, sizeof(entry->name), "%s", name);
	return entry;
}

static void drop(struct watch *w, struct watch_entry *entry)
{
	if (entry->wd >= 0)
		inotify_rm_watch(w->inotify_fd, entry->wd);
	*entry = w->entries[--w->entry_count];
}

/* @entry's folder shall tell what happens in it; a file tells by the directory. */
static int watch_folder(struct watch *w, struct watch_entry *entry)
{
	char path[WATCH_PATH_BYTES];

	if (entry->wd >= 0)
		return CMD_OK;
	if (snprintf(path, sizeof(path), "%s/%s", w->dir, entry->name) >= (int)sizeof(path))
		return CMD_OK;
	entry->wd = inotify_add_watch(w->inotify_fd, path, FOLDER_EVENTS);
	if (entry->wd >= 0 || errno != ENOSPC)
		return CMD_OK;
	return cmd_fail(w->cmd, CMD_FAILED, "%s: too many folders to watch; raise "
			"fs.inotify.max_user_watches or remove old checkpoints", w->dir);
}

/* ---- events --------------------------------------------------------------------------------- */

static void take_moved_from(struct watch *w, const struct inotify_event *ev)
{
	struct watch_entry *entry = find(w, ev->name);

	w->move_cookie = ev->cookie;
	w->move_was_visible = watch_is_candidate(ev->name);
	w->move_was_closed = entry && entry->is_closed;
	if (entry)
		drop(w, entry);
}

static void take_moved_to(struct watch *w, const struct inotify_event *ev,
			  struct watch_entry *entry)
{
	bool was_here = ev->cookie && ev->cookie == w->move_cookie && w->move_was_visible;

	/* Something else may have had the name. */
	if (entry->wd >= 0)
		inotify_rm_watch(w->inotify_fd, entry->wd);
	entry->wd = -1;
	entry->is_closed = was_here ? w->move_was_closed : true;
	entry->is_scanned = entry->is_queued = false;
	entry->told = 0;
}

static void take_name(struct watch *w, const struct inotify_event *ev)
{
	struct watch_entry *entry;

	if (ev->mask & IN_MOVED_FROM) {
		take_moved_from(w, ev);
		return;
	}
	if (!watch_is_candidate(ev->name))
		return;
	if (ev->mask & IN_DELETE) {
		entry = find(w, ev->name);
		if (entry)
			drop(w, entry);
		return;
	}
	entry = find_or_add(w, ev->name);
	if (!entry) {
		w->must_scan = true;
		return;
	}
	entry->is_dirty = true;
	if (ev->mask & IN_CREATE) {
		entry->is_closed = entry->is_scanned = false;
		entry->told = 0;
	}
	if (ev->mask & IN_MOVED_TO)
		take_moved_to(w, ev, entry);
	if (ev->mask & IN_CLOSE_WRITE)
		entry->is_closed = true;
}

static int take_event(struct watch *w, const struct inotify_event *ev)
{
	if (ev->mask & IN_Q_OVERFLOW)
		w->must_scan = true;
	if (ev->wd == w->dir_wd && (ev->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)))
		return cmd_fail(w->cmd, CMD_FAILED, "%s: was removed or renamed; make it again and "
				"start the watch again", w->dir);
	if (ev->wd == w->dir_wd && ev->len)
		take_name(w, ev);
	for (uint32_t i = 0; ev->wd != w->dir_wd && i < w->entry_count; i++) {
		if (w->entries[i].wd != ev->wd)
			continue;
		w->entries[i].is_dirty = true;
		if (ev->mask & IN_IGNORED)
			w->entries[i].wd = -1;
	}
	return CMD_OK;
}

int watch_dir_read(struct watch *w)
{
	union {
		struct inotify_event event;
		char bytes[16384];
	} u;
	int err = CMD_OK;
	ssize_t n;

	while (!err && (n = read(w->inotify_fd, u.bytes, sizeof(u.bytes))) > 0) {
		for (ssize_t at = 0; !err && at < n;) {
			struct inotify_event *ev = (struct inotify_event *)(void *)(u.bytes + at);

			err = take_event(w, ev);
			at += (ssize_t)(sizeof(*ev) + ev->len);
		}
	}
	return err;
}

/* ---- looking -------------------------------------------------------------------------------- */

static int scan(struct watch *w)
{
	int fd = openat(w->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct watch_entry *entry;
	struct dirent *d;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return cmd_fail(w->cmd, CMD_FAILED, "%s: cannot be listed: %s; check its permissions",
				w->dir, strerror(errno));
	}
	w->must_scan = false;
	while ((d = readdir(dir))) {
		if (!watch_is_candidate(d->d_name))
			continue;
		entry = find_or_add(w, d->d_name);
		if (entry)
			entry->is_dirty = entry->is_scanned = true;
	}
	closedir(dir);
	/* Those that went while events were lost. */
	for (uint32_t i = 0; i < w->entry_count; i++)
		w->entries[i].is_dirty = true;
	return CMD_OK;
}

/* What was done with it stays done: from now on only a marker ends a change. */
static void settle(struct watch *w, struct watch_entry *entry)
{
	const struct watch_item *item = watch_state_find(w, entry->id);

	entry->is_queued = false;
	if (item && item->fate != WATCH_FAILED && item->fate != WATCH_IMPORTING)
		entry->is_closed = entry->is_scanned = false;
}

static void tell_once(struct watch *w, struct watch_entry *entry, const char *why)
{
	if (entry->lack != WATCH_LACKS_ALL && !(entry->told >> entry->lack & 1))
		watch_tell(w, "growing", entry->name, NULL, why);
	entry->told |= 1u << entry->lack;
}

static int look(struct watch *w, struct watch_entry *entry)
{
	char why[WATCH_ERROR_BYTES] = "";
	bool known = false;
	int found, err = CMD_OK;

	entry->is_queued = false;
	found = watch_look(w, entry, why);
	if (found == 1)
		err = watch_state_knows(w, entry->id, entry->name, &known);
	if (found == 1 && !err && known)
		settle(w, entry);
	else if (found == 1 && !err)
		entry->is_queued = true;
	else if (found < 0)
		entry->is_closed = false;
	else if (!found)
		tell_once(w, entry, why);
	return err;
}

static bool is_anything_due(const struct watch *w)
{
	for (uint32_t i = 0; i < w->entry_count; i++)
		if (w->entries[i].is_dirty)
			return true;
	return w->must_scan;
}

/* Not kept open: the kernel tells that a directory is gone when nobody holds it any more. */
static int open_dir(struct watch *w)
{
	w->dir_fd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->dir_fd >= 0)
		return CMD_OK;
	return cmd_fail(w->cmd, CMD_FAILED, "%s: cannot be opened: %s; make it again and start the watch "
			"again", w->dir, strerror(errno));
}

static int look_at_all(struct watch *w)
{
	bool had_scan = w->must_scan;
	int err = w->must_scan ? scan(w) : CMD_OK;

	for (uint32_t i = 0; !err && i < w->entry_count; i++) {
		struct watch_entry *entry = &w->entries[i];

		if (!entry->is_dirty)
			continue;
		entry->is_dirty = false;
		err = watch_folder(w, entry);	/* first: what changes from here on is told */
		if (!err)
			err = look(w, entry);
	}
	if (!err && had_scan)
		watch_state_prune(w);
	return err;
}

int watch_dir_look(struct watch *w)
{
	int err;

	if (!is_anything_due(w))
		return CMD_OK;
	err = open_dir(w);
	if (err)
		return err;
	err = look_at_all(w);
	close(w->dir_fd);
	return err;
}

struct watch_entry *watch_dir_next(struct watch *w)
{
	struct watch_entry *next = NULL;

	for (uint32_t i = 0; i < w->entry_count; i++) {
		struct watch_entry *e = &w->entries[i];

		if (!e->is_queued)
			continue;
		if (!next || e->newest_ns < next->newest_ns ||
		    (e->newest_ns == next->newest_ns && strverscmp(e->name, next->name) < 0))
			next = e;
	}
	return next;
}

int watch_dir_open(struct watch *w)
{
	w->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->inotify_fd >= 0)
		w->dir_wd = inotify_add_watch(w->inotify_fd, w->dir, DIR_EVENTS);
	if (w->inotify_fd < 0 || w->dir_wd < 0)
		return cmd_fail(w->cmd, CMD_FAILED, "%s: cannot be watched: %s; %s", w->dir,
				strerror(errno), errno == ENOTDIR ? "name a directory" :
				"check its permissions and fs.inotify.max_user_instances");
	w->must_scan = true;
	return CMD_OK;
}

void watch_dir_close(struct watch *w)
{
	if (w->inotify_fd >= 0)
		close(w->inotify_fd);
	free(w->entries);
}
