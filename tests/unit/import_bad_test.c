/* SPDX-License-Identifier: MIT */
/*
 * import_bad_test.c: damaged files are refused in one line with nothing left behind: those of the
 * reference data, cut files, what is no file at all, and an index that lies.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "t.h"
#include "t_bad.h"
#include "t_import.h"

static void check_refusal(const json_t *entry, int err, const struct sto_error *error)
{
	const char *expect = json_string_value(json_object_get(entry, "expect"));
	int good = strcmp(expect, "refuse") != 0;

	if (err < 0)
		good = strstr(error->text, ": ") && !strchr(error->text, '\n') &&
		       t_count_files(t_path("bad")) == 0;
	good = good && t_store_has_no_tmp(t_path("bad"));
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
			err = t_import(t_path("bad"), "bad@1.0.0", path, &error);
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
	T_NEED_REFERENCE(T_REFERENCE "/bad/bad.json");
	refuse_list("cases");
}

static void refuses_what_is_no_plain_file(void)
{
	T_NEED_REFERENCE(T_REFERENCE "/bad/bad.json");
	refuse_list("made");
}

/* Cut at the end of each field. */
static void refuses_cut_files(void)
{
	json_t *root = t_bad_load(), *lengths;
	struct sto_error error;

	T_NEED_REFERENCE(T_REFERENCE "/bad/bad.json");
	lengths = json_object_get(json_object_get(root, "cuts"), "lengths");
	t_need(json_array_size(lengths) > 10);
	t_copy_file(T_REFERENCE "/bad/control.gguf", t_path("cut.gguf"));
	for (size_t i = json_array_size(lengths); i-- > 0;) {
		t_eq(truncate(t_path("cut.gguf"),
			      (off_t)json_integer_value(json_array_get(lengths, i))),
		     0);
		t_ok(t_import(t_path("bad"), "bad@1.0.0", t_path("cut.gguf"), &error) < 0);
	}
	t_eq(t_count_files(t_path("bad")), 0);
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

	T_NEED_REFERENCE(T_REFERENCE "/bad/control/model.safetensors");
	t_copy_folder(T_REFERENCE "/bad/control", t_path("index"));
	t_copy_file(t_path("index/model.safetensors"), t_path("outside.safetensors"));
	t_copy_file(t_path("index/model.safetensors"), t_path("index/.hidden.safetensors"));
	t_eq(rename(t_path("index/model.safetensors"), t_path("index/all.safetensors")), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		int n = snprintf(text, sizeof(text),
				 "{\"weight_map\":{\"model.norm.weight\":\"%s\"}}", cases[i].shard);

		t_write_file(t_path("index/model.safetensors.index.json"), text, (size_t)n);
		t_ok(t_import(t_path("bad"), "bad@1.0.0", t_path("index"), &error) < 0);
		if (!t_ok(strstr(error.text, cases[i].expect)))
			printf("# %s\n", error.text);
	}
}

/* By what they are, and not only because they look empty. */
static void names_what_is_no_file(void)
{
	struct sto_error error;

	t_eq(mkfifo(t_path("fifo.gguf"), 0600), 0);
	t_ok(t_import(t_path("bad"), "bad@1.0.0", t_path("fifo.gguf"), &error) < 0);
	t_ok(strstr(error.text, "fifo.gguf: not a regular file"));
	t_ok(t_import(t_path("bad"), "bad@1.0.0", "/dev/zero", &error) < 0);
	t_ok(strstr(error.text, "/dev/zero: not a regular file"));
	t_ok(t_import(t_path("bad"), "bad@1.0.0", "/proc/self/status", &error) < 0);
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
