/* SPDX-License-Identifier: MIT */
/* watch_state.c: what was done with which checkpoint, in STORE/watch/MODEL.json. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "watch.h"

#define LOCK_TRIES	50
#define LOCK_WAIT_MS	100

static const char *const fates[] = { "importing", "waiting", "done", "superseded", "refused",
				     "failed" };

#define FATES	(sizeof(fates) / sizeof(fates[0]))

/* ---- entries -------------------------------------------------------------------------------- */

struct watch_item *watch_state_find(struct watch *w, const char *id)
{
	for (uint32_t i = 0; i < w->state.count; i++)
		if (!strcmp(w->state.items[i].id, id))
			return &w->state.items[i];
	return NULL;
}

struct watch_item *watch_state_add(struct watch *w, const char *id, const char *name)
{
	struct watch_state *s = &w->state;
	struct watch_item *item, *grown = reallocarray(s->items, s->count + 1, sizeof(*grown));

	if (!grown) {
		cmd_fail(w->cmd, CMD_FAILED, "out of memory; free some");
		return NULL;
	}
	s->items = grown;
	item = &grown[s->count++];
	*item = (struct watch_item){ .fate = WATCH_IMPORTING };
	snprintf(item->id, sizeof(item->id), "%s", id);
	snprintf(item->name, sizeof(item->name), "%s", name);
	return item;
}

void watch_state_remove(struct watch *w, struct watch_item *item)
{
	struct watch_item *end = w->state.items + w->state.count--;

	memmove(item, item + 1, (size_t)(end - item - 1) * sizeof(*item));
}

void watch_state_prune(struct watch *w)
{
	for (uint32_t i = w->state.count; i-- > 0;) {
		struct watch_item *item = &w->state.items[i];
		bool is_there = item->fate == WATCH_IMPORTING || item->fate == WATCH_WAITING;

		for (uint32_t j = 0; !is_there && j < w->entry_count; j++)
			is_there = !strcmp(w->entries[j].id, item->id);
		if (!is_there)
			watch_state_remove(w, item);
	}
}

/* ---- manifests ------------------------------------------------------------------------------ */

struct search {
	struct watch *w;
	const char *id;
	char version[MHS_SEMVER_BYTES];	/* "": not found */
};

static int look_into(void *arg, const char *model, const char *version)
{
	struct search *search = arg;
	char path[WATCH_PATH_BYTES];
	const char *id;
	json_t *manifest;

	if (sto_version_path(search->w->store, model, version, STO_MANIFEST_NAME, path,
			     sizeof(path)))
		return 0;
	manifest = json_load_file(path, 0, NULL);
	id = json_string_value(json_object_get(json_object_get(manifest, "meta"), "watch_source"));
	if (id && !strcmp(id, search->id))
		snprintf(search->version, sizeof(search->version), "%s", version);
	json_decref(manifest);
	return search->version[0] != '\0';
}

int watch_state_version(struct watch *w, const char *id, char version[MHS_SEMVER_BYTES])
{
	struct search search = { .w = w, .id = id };
	struct sto_error error;
	int err = sto_versions_each(w->store, w->model, look_into, &search, &error);

	memcpy(version, search.version, MHS_SEMVER_BYTES);
	return err < 0 ? cmd_fail(w->cmd, CMD_FAILED, "%s", error.text) : CMD_OK;
}

int watch_state_knows(struct watch *w, const char *id, const char *name, bool *known)
{
	char version[MHS_SEMVER_BYTES] = "";
	struct watch_item *item;
	int err;

	*known = watch_state_find(w, id) != NULL;
	if (*known)
		return CMD_OK;
	err = watch_state_version(w, id, version);
	if (err || !version[0])
		return err;
	*known = true;
	item = watch_state_add(w, id, name);
	if (!item)
		return CMD_FAILED;
	memcpy(item->version, version, sizeof(item->version));
	item->fate = WATCH_DONE;
	return CMD_OK;
}

/* ---- the file ------------------------------------------------------------------------------- */

/* STORE/watch/MODEL@TAIL; false: too long. */
static bool state_path(const struct watch *w, const char *tail, char path[WATCH_PATH_BYTES])
{
	return snprintf(path, WATCH_PATH_BYTES, "%s/watch/%s%s", w->store, w->model, tail) <
	       (int)WATCH_PATH_BYTES;
}

static json_t *item_object(const struct watch_item *item)
{
	return json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s?}", "id", item->id, "name", item->name,
			 "fate", fates[item->fate], "version",
			 item->version[0] ? item->version : NULL, "error",
			 item->error[0] ? item->error : NULL, "sent",
			 item->sent[0] ? item->sent : NULL);
}

static int write_file(const struct watch *w, const char *text)
{
	char path[WATCH_PATH_BYTES], temp[WATCH_PATH_BYTES], dir[WATCH_PATH_BYTES];
	int fd, dir_fd, good;

	state_path(w, ".json", path);
	state_path(w, ".json.tmp", temp);
	snprintf(dir, sizeof(dir), "%s/watch", w->store);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	good = write(fd, text, strlen(text)) == (ssize_t)strlen(text) && !fsync(fd);
	close(fd);
	if (!good || rename(temp, path))
		return errno ? -errno : -EIO;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	good = dir_fd >= 0 && !fsync(dir_fd);
	if (dir_fd >= 0)
		close(dir_fd);
	return good ? 0 : -EIO;
}

int watch_state_save(struct watch *w)
{
	json_t *list = json_array(), *whole;
	char *text;
	int err;

	for (uint32_t i = 0; i < w->state.count; i++)
		json_array_append_new(list, item_object(&w->state.items[i]));
	whole = json_pack("{s:i, s:o}", "format", 1, "checkpoints", list);
	text = json_dumps(whole, JSON_INDENT(1));
	errno = 0;
	err = text ? write_file(w, text) : -ENOMEM;
	free(text);
	json_decref(whole);
	if (!err)
		return CMD_OK;
	return cmd_fail(w->cmd, CMD_FAILED, "%s/watch/%s.json: cannot be written: %s; make room or "
			"check its permissions", w->store, w->model, strerror(-err));
}

static bool read_item(struct watch *w, const json_t *object)
{
	const char *id = json_string_value(json_object_get(object, "id"));
	const char *name = json_string_value(json_object_get(object, "name"));
	const char *fate = json_string_value(json_object_get(object, "fate"));
	const char *version = json_string_value(json_object_get(object, "version"));
	const char *error = json_string_value(json_object_get(object, "error"));
	const char *sent = json_string_value(json_object_get(object, "sent"));
	struct watch_item *item;
	uint32_t i = 0, parts[3];

	while (fate && i < FATES && strcmp(fate, fates[i]))
		i++;
	if (!id || strlen(id) != WATCH_ID_BYTES - 1 || !name || strlen(name) > NAME_MAX || !fate ||
	    i == FATES || (version && sto_semver_parse(version, parts, NULL)))
		return false;
	item = watch_state_add(w, id, name);
	if (!item)
		return false;
	item->fate = (enum watch_fate)i;
	snprintf(item->version, sizeof(item->version), "%s", version ? version : "");
	snprintf(item->error, sizeof(item->error), "%s", error ? error : "");
	snprintf(item->sent, sizeof(item->sent), "%s", sent ? sent : "");
	return true;
}

static int read_file(struct watch *w)
{
	char path[WATCH_PATH_BYTES];
	json_t *whole, *list, *object;
	bool good;
	size_t i;

	state_path(w, ".json", path);
	if (access(path, F_OK) && errno == ENOENT)
		return CMD_OK;
	whole = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
	list = json_object_get(whole, "checkpoints");
	good = json_integer_value(json_object_get(whole, "format")) == 1 && json_is_array(list);
	json_array_foreach(list, i, object)
		good = good && read_item(w, object);
	json_decref(whole);
	if (good)
		return CMD_OK;
	return cmd_fail(w->cmd, CMD_FAILED, "%s: is damaged; remove it, then what the store holds "
			"counts as done and checkpoints that failed are tried again", path);
}

/*
 * What a run that was cut off left: with a version in the store only its end was not noted, else
 * there is nothing of it.
 */
static int finish_cut_off(struct watch *w)
{
	int err = CMD_OK;

	for (uint32_t i = w->state.count; !err && i-- > 0;) {
		struct watch_item *item = &w->state.items[i];

		if (item->fate == WATCH_WAITING && w->policy == WATCH_IMPORT)
			item->fate = WATCH_DONE;
		if (item->fate != WATCH_IMPORTING)
			continue;
		err = watch_state_version(w, item->id, item->version);
		if (err || !item->version[0])
			watch_state_remove(w, item);
		else
			item->fate = w->policy == WATCH_IMPORT ? WATCH_DONE : WATCH_WAITING;
	}
	return err;
}

/* The lock lives as long as the watch and the import that it has started. */
static int take_lock(struct watch *w)
{
	const struct timespec wait = { .tv_nsec = LOCK_WAIT_MS * 1000000L };
	char path[WATCH_PATH_BYTES];

	state_path(w, ".lock", path);
	w->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (w->lock_fd < 0)
		return cmd_fail(w->cmd, CMD_FAILED, "%s: cannot be made: %s; check the store and its "
				"permissions", path, strerror(errno));
	for (int i = 0; i < LOCK_TRIES && !stop_is_over(); i++) {
		if (!flock(w->lock_fd, LOCK_EX | LOCK_NB))
			return CMD_OK;
		nanosleep(&wait, NULL);
	}
	return cmd_fail(w->cmd, CMD_FAILED, "%s: another watch of this model has it; end that one first",
			path);
}

int watch_state_open(struct watch *w)
{
	char path[WATCH_PATH_BYTES];
	int err;

	if (!state_path(w, ".json.tmp", path))
		return cmd_fail(w->cmd, CMD_FAILED, "%s: path too long; move the store", w->store);
	for (char *p = path + 1; *p; p++) {	/* the store and its folder */
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0755) && errno != EEXIST)
			return cmd_fail(w->cmd, CMD_FAILED, "%s: cannot be made: %s; check the store "
					"and its permissions", path, strerror(errno));
		*p = '/';
	}
	err = take_lock(w);
	if (!err)
		err = read_file(w);
	if (!err)
		err = finish_cut_off(w);
	return err ? err : watch_state_save(w);
}

void watch_state_close(struct watch *w)
{
	if (w->lock_fd >= 0)
		close(w->lock_fd);
	free(w->state.items);
}
