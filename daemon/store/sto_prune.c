/* SPDX-License-Identifier: MIT */
/* sto_prune.c: choose and remove old versions. */
#include "sto_prune.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sto_history.h"

#define PATH_BYTES	4096u

/* ---- what the history names -------------------------------------------------------------- */

struct routes {
	const char *target;
	json_t *flips[STO_PRUNE_FLIPS];	/* in turn */
	uint32_t count;
	json_t *release;		/* the last event of one */
};

static bool is_one_of(const char *text, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(text, *list) == 0)
			return true;
	return false;
}

/* Whether it tells of @target, "MODEL" or "MODEL/ADAPTER". */
static bool is_of(const json_t *event, const char *target)
{
	const char *model = json_string_value(json_object_get(event, "model"));
	const char *adapter = json_string_value(json_object_get(event, "adapter"));
	char subject[2 * MHS_NAME_BYTES];

	snprintf(subject, sizeof(subject), "%.63s%s%.63s", model ? model : "", adapter ? "/" : "",
		 adapter ? adapter : "");
	return strcmp(subject, target) == 0;
}

static int note_route(void *arg, json_t *event)
{
	static const char *const flips[] = { "flip", "rollback", "promote", NULL };
	static const char *const releases[] = { "release", "step", "hold", "resume", "abort", NULL };
	const char *kind = json_string_value(json_object_get(event, "event"));
	struct routes *routes = arg;
	json_t **place = NULL;

	if (!is_of(event, routes->target))
		return 0;
	if (is_one_of(kind, flips))
		place = &routes->flips[routes->count++ % STO_PRUNE_FLIPS];
	else if (is_one_of(kind, releases))
		place = &routes->release;
	if (place) {
		json_decref(*place);
		*place = json_incref(event);
	}
	return 0;
}

static void protect_named(json_t *protect, const json_t *event)
{
	static const char *const keys[] = { "version", "from", "to", "active", "stable", "candidate" };
	const char *kind = json_string_value(json_object_get(event, "event"));

	for (size_t i = 0; event && i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *version = json_string_value(json_object_get(event, keys[i]));
		uint32_t parts[3];

		if (version && sto_semver_parse(version, parts, NULL) == 0)
			json_object_set_new(protect, version,
					    json_sprintf("in the history: %s at %s", kind,
							 json_string_value(json_object_get(event, "time")) ?: "?"));
	}
}

static void protect_text(json_t *protect, const json_t *version, const char *why)
{
	const char *text = json_string_value(version);
	uint32_t parts[3];

	if (text && sto_semver_parse(text, parts, NULL) == 0)
		json_object_set_new(protect, text, json_string(why));
}

/* A rollback history may be older than the last flips. */
int sto_prune_state(const char *store, const char *target, json_t *protect, struct sto_error *error)
{
	const json_t *history, *version;
	char path[PATH_BYTES];
	json_error_t why;
	json_t *state;
	size_t i;
	int n = snprintf(path, sizeof(path), "%s/state/%s%s.json", store, strchr(target, '/') ? "adapters/" : "",
			 target);

	if (n < 0 || n >= (int)sizeof(path) || access(path, F_OK))
		return 0;
	state = json_load_file(path, 0, &why);
	if (!json_is_object(state)) {
		sto_fail(error, "%s: %s; what it keeps for rollbacks is not known, start the host or move it away",
			 path, state ? "not an object" : why.text);
		json_decref(state);
		return -EINVAL;
	}
	history = json_object_get(state, "history");
	json_array_foreach(history, i, version)
		protect_text(protect, version, "in the rollback history");
	protect_text(protect, json_object_get(state, "active"), "active when the host ended");
	protect_text(protect, json_object_get(json_object_get(state, "release"), "version"),
		     "candidate when the host ended");
	json_decref(state);
	return 0;
}

int sto_prune_history(const char *store, const char *target, json_t *protect, struct sto_error *error)
{
	struct routes routes = { .target = target };
	int err = sto_history_each(store, note_route, &routes, NULL, error);

	for (uint32_t i = 0; i < STO_PRUNE_FLIPS; i++) {
		protect_named(protect, routes.flips[(routes.count + i) % STO_PRUNE_FLIPS]);
		json_decref(routes.flips[(routes.count + i) % STO_PRUNE_FLIPS]);
	}
	protect_named(protect, routes.release);
	json_decref(routes.release);
	return err ? err : sto_prune_state(store, target, protect, error);
}

/* ---- the choice -------------------------------------------------------------------------- */

static int note_version(void *arg, const char *model, const char *version)
{
	(void)model;
	return json_array_append_new(arg, json_string(version)) ? -ENOMEM : 0;
}

int sto_prune_choose(const char *store, const char *folder, uint32_t keep, const json_t *protect,
		     json_t *remove, json_t *spared, uint32_t *count, struct sto_error *error)
{
	json_t *all = json_array(), *version;
	int err = sto_versions_each(store, folder, note_version, all, error);
	size_t i;

	*count = (uint32_t)json_array_size(all);
	json_array_foreach(all, i, version) {
		bool old = !err && *count > keep && i < *count - keep;

		if (old)
			json_array_append(json_object_get(protect, json_string_value(version)) ? spared :
					  remove, version);
	}
	json_decref(all);
	return err;
}

/* ---- removal ----------------------------------------------------------------------------- */

static int fail(struct sto_error *error, const char *path, const char *what)
{
	int err = errno ? -errno : -EIO;

	sto_fail(error, "%s: cannot be %s: %s; check the store and its permissions", path, what,
		 strerror(-err));
	return err;
}

static int open_dir(const char *path, struct sto_error *error)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? fail(error, path, "opened") : fd;
}

/* It has no name in the store any more; an import that begins now may delete it too. */
static int delete_all(int tmp_fd, const char *name, uint64_t *bytes)
{
	int fd = openat(tmp_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	struct stat st;
	int err = 0;

	if (!dir) {
		err = errno == ENOENT ? 0 : -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	while (!err && (entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		/* a pack that another version has too stays on the disk */
		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
		    st.st_nlink == 1)
			*bytes += (uint64_t)st.st_size;
		if (unlinkat(fd, entry->d_name, 0) && errno != ENOENT)
			err = -errno;
	}
	closedir(dir);
	if (!err && unlinkat(tmp_fd, name, AT_REMOVEDIR) && errno != ENOENT)
		err = -errno;
	return err;
}

/* The name is that of an import's temporary, which the next import clears away. */
static int move_away(int model_fd, int tmp_fd, const char *version, char name[64])
{
	for (uint32_t i = 0; i < 100; i++) {
		snprintf(name, 64, "import-pruned-%ld-%u", (long)getpid(), i);
		if (renameat2(model_fd, version, tmp_fd, name, RENAME_NOREPLACE) == 0)
			return fsync(model_fd) || fsync(tmp_fd) ? -errno : 0;
		if (errno != EEXIST && errno != ENOTEMPTY)
			return -errno;
	}
	return -EEXIST;
}

int sto_prune_remove(const char *store, const char *folder, const char *version, uint64_t *bytes,
		     struct sto_error *error)
{
	char path[PATH_BYTES], tmp[PATH_BYTES], name[64];
	int model_fd, tmp_fd = -1, err;

	*bytes = 0;
	snprintf(path, sizeof(path), "%s/models/%s", store, folder);
	snprintf(tmp, sizeof(tmp), "%s/tmp", store);
	if (mkdir(tmp, 0755) && errno != EEXIST)
		return fail(error, tmp, "made");
	model_fd = open_dir(path, error);
	err = model_fd < 0 ? model_fd : 0;
	if (!err) {
		tmp_fd = open_dir(tmp, error);
		err = tmp_fd < 0 ? tmp_fd : 0;
	}
	if (!err) {
		err = move_away(model_fd, tmp_fd, version, name);
		if (!err)
			err = delete_all(tmp_fd, name, bytes);
		errno = -err;
		if (err)
			fail(error, version, "removed");
	}
	if (tmp_fd >= 0)
		close(tmp_fd);
	if (model_fd >= 0)
		close(model_fd);
	return err;
}
