/* SPDX-License-Identifier: MIT */
/* prune_test.c: what may go, what the history holds, and removal that a crash cannot halve. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sto_history.h"
#include "sto_prune.h"
#include "t.h"
#include "t_gguf.h"
#include "t_import.h"

static char store[256];
static struct sto_error error;

static void put(const char *version)
{
	char path[128];

	snprintf(path, sizeof(path), "store/models/m/%s", version);
	mkdir(t_path(path), 0755);
	snprintf(path, sizeof(path), "store/models/m/%s/image.mhi", version);
	t_write_file(t_path(path), "0123456789", 10);
	snprintf(path, sizeof(path), "store/models/m/%s/manifest.json", version);
	t_write_file(t_path(path), "{}", 2);
}

static const char *joined(json_t *list)
{
	static char text[512];
	json_t *version;
	size_t i;

	text[0] = '\0';
	json_array_foreach(list, i, version) {
		strcat(text, json_string_value(version));
		strcat(text, " ");
	}
	return text;
}

static void check_choice(uint32_t keep, json_t *protect, const char *remove, const char *spared)
{
	json_t *go = json_array(), *stay = json_array();
	uint32_t count;

	t_eq(sto_prune_choose(store, "m", keep, protect, go, stay, &count, &error), 0);
	t_eq(count, 5);
	t_str_eq(joined(go), remove);
	t_str_eq(joined(stay), spared);
	json_decref(go);
	json_decref(stay);
}

static void chooses_the_oldest(void)
{
	json_t *protect = json_object();

	check_choice(5, protect, "", "");
	check_choice(1000000, protect, "", "");
	check_choice(2, protect, "1.2.0 1.9.0 1.10.0-rc.1 ", "");
	json_object_set_new(protect, "1.9.0", json_string("active"));
	json_object_set_new(protect, "2.0.0", json_string("kept anyway"));
	check_choice(2, protect, "1.2.0 1.10.0-rc.1 ", "1.9.0 ");
	check_choice(1, protect, "1.2.0 1.10.0-rc.1 1.10.0 ", "1.9.0 ");
	json_decref(protect);
}

static void log_event(const char *event, const char *model, const char *version, const char *from)
{
	json_t *line = json_pack("{s:s, s:s, s:s, s:s?}", "event", event, "model", model, "version",
				 version, "from", from);

	t_eq(sto_history_append(store, line, &error), 0);
	json_decref(line);
}

static void check_history(const char *wanted)
{
	json_t *protect = json_object(), *keys = json_array(), *why;
	const char *version;

	t_eq(sto_prune_history(store, "m", protect, &error), 0);
	json_object_foreach(protect, version, why)
		json_array_append_new(keys, json_string(version));
	t_str_eq(joined(keys), wanted);
	json_decref(keys);
	json_decref(protect);
}

static void learns_from_the_history(void)
{
	char version[32];

	check_history("");
	log_event("import", "m", "1.2.0", NULL);
	log_event("load", "m", "1.2.0", NULL);
	check_history("");
	log_event("flip", "m", "1.2.0", NULL);
	log_event("flip", "other", "9.0.0", NULL);
	log_event("flip", "m", "1.9.0", "1.2.0");
	check_history("1.2.0 1.9.0 ");
	log_event("release", "m", "1.10.0", "1.9.0");
	log_event("step", "m", "2.0.0", NULL);
	check_history("1.2.0 1.9.0 2.0.0 ");	/* the last event of a release alone */
	for (uint32_t i = 0; i < STO_PRUNE_FLIPS; i++) {
		snprintf(version, sizeof(version), "3.0.%u", i % 2);
		log_event(i % 2 ? "flip" : "rollback", "m", version, NULL);
	}
	check_history("3.0.0 3.0.1 2.0.0 ");	/* older flips are forgotten */
}

/* A rollback history may be older than the last flips. */
static void learns_from_the_state(void)
{
	const char *path = t_path("store/state/m.json");
	const char *state = "{\"active\": \"3.0.1\", \"history\": [\"1.2.0\", 7, \"../x\"], \"release\": {\"version\": "
			    "\"1.10.0\"}}";
	json_t *protect = json_object();

	mkdir(t_path("store/state"), 0755);
	t_write_file(path, state, strlen(state));
	check_history("3.0.0 3.0.1 2.0.0 1.2.0 1.10.0 ");
	t_write_file(path, "{", 1);
	t_eq(sto_prune_history(store, "m", protect, &error), -EINVAL);
	t_ok(strstr(error.text, "state/m.json"));
	unlink(path);
	json_decref(protect);
}

static void removes_whole(void)
{
	uint64_t bytes;

	t_eq(sto_prune_remove(store, "m", "1.2.0", &bytes, &error), 0);
	t_eq(bytes, 12);
	t_ok(access(t_path("store/models/m/1.2.0"), F_OK) != 0);
	t_ok(t_store_has_no_tmp(store));
	t_eq(sto_prune_remove(store, "m", "1.2.0", &bytes, &error), -ENOENT);
	t_ok(strstr(error.text, "1.2.0: cannot be removed: No such file"));
	t_eq(sto_prune_remove(store, "nosuch", "1.2.0", &bytes, &error), -ENOENT);
}

/* A crash after the rename: the version is gone, and the next import deletes its files. */
static void a_crash_leaves_nothing_behind(void)
{
	struct t_gguf g;

	mkdir(t_path("store/tmp"), 0755);
	t_eq(rename(t_path("store/models/m/1.9.0"), t_path("store/tmp/import-pruned-1-0")), 0);
	t_gguf_init(&g, ENG_SRC_F16, 1);
	t_gguf_write(&g, t_path("in.gguf"));
	t_gguf_free(&g);
	t_eq(t_import(store, "n@1.0.0", t_path("in.gguf"), &error), 0);
	t_ok(t_store_has_no_tmp(store));
}

/* What two versions have in common is given back with the last of them. */
static void gives_back_what_nobody_has(void)
{
	struct stat image, manifest;
	uint64_t first, last;

	t_eq(t_import(store, "s@1.0.0", t_path("in.gguf"), &error), 0);
	t_eq(t_import(store, "s@1.1.0", t_path("in.gguf"), &error), 0);
	t_eq(stat(t_path("store/models/s/1.0.0/image.mhi"), &image), 0);
	t_eq(stat(t_path("store/models/s/1.0.0/manifest.json"), &manifest), 0);
	t_eq(sto_prune_remove(store, "s", "1.0.0", &first, &error), 0);
	t_eq(first, image.st_size + manifest.st_size);
	t_eq(t_count_files(t_path("store/models/s")), 3);
	t_eq(sto_prune_remove(store, "s", "1.1.0", &last, &error), 0);
	t_ok(last > 2 * first);
	t_eq(t_count_files(t_path("store/models/s")), 0);
	t_ok(t_store_has_no_tmp(store));
}

int main(void)
{
	static const char *const versions[] = { "2.0.0", "1.10.0", "1.9.0", "1.10.0-rc.1", "1.2.0" };

	snprintf(store, sizeof(store), "%s", t_path("store"));
	mkdir(store, 0755);
	mkdir(t_path("store/models"), 0755);
	mkdir(t_path("store/models/m"), 0755);
	for (int i = 0; i < 5; i++)
		put(versions[i]);
	T_RUN(chooses_the_oldest);
	T_RUN(learns_from_the_history);
	T_RUN(learns_from_the_state);
	T_RUN(removes_whole);
	T_RUN(a_crash_leaves_nothing_behind);
	T_RUN(gives_back_what_nobody_has);
	return t_done();
}
