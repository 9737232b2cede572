/* SPDX-License-Identifier: MIT */
/*
 * import_bad_test.c: damaged files are refused in one line with nothing left behind: those of the
 * reference data, cut files, what is no file at all, and an index that lies.
 */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sto_import.h"
#include "t.h"
#include "t_bad.h"

#define NEED_REFERENCE(path) \
	do { \
		if (access(path, R_OK)) { \
			t_check(0, __FILE__, __LINE__, "run from the root of the source tree"); \
			return; \
		} \
	} while (0)

static int import_to(const char *store, const char *ref, const char *path, struct sto_error *error)
{
	struct sto_import import = { .store = store, .path = path, .threads = 2 };
	struct sto_import_result result;

	error->text[0] = '\0';
	if (sto_ref_parse(ref, 0, import.model, import.version, error))
		return -EINVAL;
	return sto_import(&import, &result, error);
}

static int files_seen;

static int count_file(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)path, (void)st, (void)ftw;
	files_seen += flag != FTW_D && flag != FTW_DP;
	return 0;
}

/* Everything below @path that is not a folder. */
static int count_files(const char *path)
{
	files_seen = 0;
	nftw(path, count_file, 16, FTW_PHYS);
	return files_seen;
}

/* No temporary, finished or not. */
static int tmp_is_empty(const char *store)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/tmp", store);
	return rmdir(path) == 0 || errno == ENOENT;
}

static void check_refusal(const json_t *entry, int err, const struct sto_error *error)
{
	const char *expect = json_string_value(json_object_get(entry, "expect"));
	int good = strcmp(expect, "refuse") != 0;

	if (err < 0)
		good = strstr(error->text, ": ") && !strchr(error->text, '\n') &&
		       count_files(t_path("bad")) == 0;
	good = good && tmp_is_empty(t_path("bad"));
	if (!t_ok(good))
		printf("# %s (%s): %s\n", json_string_value(json_object_get(entry, "name")),
		       json_string_value(json_object_get(entry, "reason")),
		       err ? error->text : "accepted");
}

static void refuse_list(const char *list)
{
	json_t *root = t_bad_load(), *entry;
	size_t i;

	t_need(root != NULL);
	t_need(json_array_size(json_object_get(root, list)) > 10);
	json_array_foreach(json_object_get(root, list), i, entry) {
		struct sto_error error;
		char path[512];
		int err;

		mkdir(t_path("work"), 0755);
		if (t_bad_make(entry, t_path("work"), path, sizeof(path)) == 0) {
			err = import_to(t_path("bad"), "bad@1.0.0", path, &error);
			check_refusal(entry, err, &error);
		} else {
			printf("# cannot be made here: %s\n",
			       json_string_value(json_object_get(entry, "name")));
		}
		t_remove_tree(t_path("work"));
		t_remove_tree(t_path("bad"));
	}
	json_decref(root);
}

static void refuses_the_damaged_files(void)
{
	NEED_REFERENCE(T_REFERENCE "/bad/bad.json");
	refuse_list("cases");
}

static void refuses_what_is_no_plain_file(void)
{
	NEED_REFERENCE(T_REFERENCE "/bad/bad.json");
	refuse_list("made");
}

/* Cut at the end of each field. */
static void refuses_cut_files(void)
{
	json_t *root = t_bad_load(), *lengths;
	struct sto_error error;

	NEED_REFERENCE(T_REFERENCE "/bad/bad.json");
	lengths = json_object_get(json_object_get(root, "cuts"), "lengths");
	t_need(json_array_size(lengths) > 10);
	t_copy_file(T_REFERENCE "/bad/control.gguf", t_path("cut.gguf"));
	for (size_t i = json_array_size(lengths); i-- > 0;) {
		t_eq(truncate(t_path("cut.gguf"),
			      (off_t)json_integer_value(json_array_get(lengths, i))),
		     0);
		t_ok(import_to(t_path("bad"), "bad@1.0.0", t_path("cut.gguf"), &error) < 0);
	}
	t_eq(count_files(t_path("bad")), 0);
	json_decref(root);
}

/* An index that names a good file outside of the folder, or says less than the shards hold. */
static void believes_no_index(void)
{
	static const struct {
		const char *shard, *expect;
	} cases[] = {
		{ "../outside.safetensors", "is not a file of this directory" },
		{ "/outside.safetensors", "is not a file of this directory" },
		{ ".hidden.safetensors", "is not a file of this directory" },
		{ "all.safetensors", "weight_map: lists 1 tensors, limit the 11 of its shards" },
	};
	struct sto_error error;

	NEED_REFERENCE(T_REFERENCE "/bad/control/model.safetensors");
	t_copy_folder(T_REFERENCE "/bad/control", t_path("index"));
	t_copy_file(t_path("index/model.safetensors"), t_path("outside.safetensors"));
	t_copy_file(t_path("index/model.safetensors"), t_path("index/.hidden.safetensors"));
	t_eq(rename(t_path("index/model.safetensors"), t_path("index/all.safetensors")), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		int n = snprintf(text, sizeof(text),
				 "{\"weight_map\":{\"model.norm.weight\":\"%s\"}}", cases[i].shard);

		t_write_file(t_path("index/model.safetensors.index.json"), text, (size_t)n);
		t_ok(import_to(t_path("bad"), "bad@1.0.0", t_path("index"), &error) < 0);
		if (!t_ok(strstr(error.text, cases[i].expect)))
			printf("# %s\n", error.text);
	}
}

/* By what they are, and not only because they look empty. */
static void names_what_is_no_file(void)
{
	struct sto_error error;

	t_eq(mkfifo(t_path("fifo.gguf"), 0600), 0);
	t_ok(import_to(t_path("bad"), "bad@1.0.0", t_path("fifo.gguf"), &error) < 0);
	t_ok(strstr(error.text, "fifo.gguf: not a regular file"));
	t_ok(import_to(t_path("bad"), "bad@1.0.0", "/dev/zero", &error) < 0);
	t_ok(strstr(error.text, "/dev/zero: not a regular file"));
	t_ok(import_to(t_path("bad"), "bad@1.0.0", "/proc/self/status", &error) < 0);
	t_ok(strstr(error.text, "/proc/self/status: empty file"));
}

int main(void)
{
	T_RUN(refuses_the_damaged_files);
	T_RUN(refuses_what_is_no_plain_file);
	T_RUN(refuses_cut_files);
	T_RUN(believes_no_index);
	T_RUN(names_what_is_no_file);
	return t_done();
}
