/* SPDX-License-Identifier: MIT */
/*
 * import_test.c: whole imports. Good files become versions; an import that is stopped, runs out of
 * room or meets another leaves no trace.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sto_version.h"
#include "t.h"
#include "t_bad.h"
#include "t_gguf.h"
#include "t_import.h"

/* ---- good files -------------------------------------------------------------------------- */

static void import_all(const char *list[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct sto_error error;
		char ref[32];

		snprintf(ref, sizeof(ref), "m%zu@1.0.0", i);
		if (!t_ok(t_import(t_path("good"), ref, list[i], &error) == 0))
			printf("# %s\n", error.text);
	}
	t_eq(t_count_files(t_path("good")), 3 * (long long)count);	/* image, pack, manifest */
	t_ok(t_store_has_no_tmp(t_path("good")));
	t_remove_tree(t_path("good"));
}

static void imports_the_reference_models(void)
{
#define M(name) T_REFERENCE "/models/" name
#define G(name) T_REFERENCE "/gguf/" name ".gguf"
#define C(name) T_REFERENCE "/bad/" name
	const char *all[] = { M("tied_f32"),	   M("llama3_bf16"),  M("linear_f16"),
			      M("terse_f32"),	   G("f32"),	      G("f16"),
			      G("bf16_ropefreqs"), G("q8_0_linear"),  G("q4_0"),
			      G("q4_1_align64"),   G("q5_0"),	      G("q5_1"),
			      G("k_quants"),	   C("control"),      C("control_sharded"),
			      C("control_extras"), C("control.gguf"), C("control_q4.gguf") };

	T_NEED_REFERENCE(T_REFERENCE "/bad/bad.json");
	import_all(all, sizeof(all) / sizeof(all[0]));
}

static void follows_symbolic_links(void)
{
	struct sto_error error;
	struct t_gguf g;

	t_gguf_init(&g, ENG_SRC_F16, 1);
	t_gguf_write(&g, t_path("blob"));
	t_gguf_free(&g);
	t_eq(symlink("blob", t_path("link.gguf")), 0);
	t_eq(t_import(t_path("linked"), "m@1.0.0", t_path("link.gguf"), &error), 0);
}

/* ---- what happens meanwhile -------------------------------------------------------------- */

struct disturb {
	_Atomic int stop;
	int (*act)(struct disturb *d);
	const char *path;
	uint64_t after_bytes;
	int done;
};

static void disturb_progress(void *arg, const char *step, uint64_t done, uint64_t all)
{
	struct disturb *d = arg;

	(void)step, (void)all;
	if (!d->done && done >= d->after_bytes)
		d->done = d->act(d);
}

static int act_stop(struct disturb *d)
{
	d->stop = 1;
	return 1;
}

static int act_touch(struct disturb *d)
{
	int fd = open(d->path, O_WRONLY | O_APPEND);

	if (write(fd, "x", 1) != 1)
		exit(1);
	close(fd);
	return 1;
}

static int act_shrink(struct disturb *d)
{
	return truncate(d->path, 4000) == 0;
}

static int import_disturbed(struct disturb *d, struct sto_error *error)
{
	struct sto_import import = { .store = t_path("hurt"), .path = d->path, .model = "m",
				     .version = "1.0.0", .threads = 1, .stop = &d->stop,
				     .progress = disturb_progress, .progress_arg = d };
	struct sto_import_result result;
	struct t_gguf g;

	t_gguf_init(&g, ENG_SRC_F32, 1);
	t_gguf_write(&g, d->path);
	t_gguf_free(&g);
	return sto_import(&import, &result, error);
}

static void leaves_nothing_when_disturbed(void)
{
	static const struct {
		int (*act)(struct disturb *d);
		uint64_t after;
		int err;
		const char *expect;
	} cases[] = {
		{ act_stop, 0, -EINTR, "interrupted" }, { act_stop, 100000, -EINTR, "interrupted" },
		{ act_stop, 300000, -EINTR, "interrupted" },
		{ act_touch, 150000, -EBUSY, "changed while it was read" },
		{ act_shrink, 120000, -EIO, "ends early" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct disturb d = { .act = cases[i].act, .path = t_path("hurt.gguf"),
				     .after_bytes = cases[i].after };
		struct sto_error error = { "" };

		t_eq(import_disturbed(&d, &error), cases[i].err);
		t_ok(d.done);
		if (!t_ok(strstr(error.text, cases[i].expect)))
			printf("# case %zu: %s\n", i, error.text);
		t_eq(t_count_files(t_path("hurt")), 0);
		t_ok(t_store_has_no_tmp(t_path("hurt")));
	}
}

/* A limit on file sizes stands for a full disk: both make a write fail. */
static void leaves_nothing_without_room(void)
{
	struct rlimit old, small = { 100000, 100000 };
	struct sto_error error = { "" };
	struct t_gguf g;
	int status;

	t_gguf_init(&g, ENG_SRC_F32, 1);
	t_gguf_write(&g, t_path("room.gguf"));
	t_gguf_free(&g);
	fflush(stdout);
	if (fork() == 0) {
		getrlimit(RLIMIT_FSIZE, &old);
		small.rlim_max = old.rlim_max;
		signal(SIGXFSZ, SIG_IGN);
		if (setrlimit(RLIMIT_FSIZE, &small))
			_exit(2);
		_exit(t_import(t_path("full"), "m@1.0.0", t_path("room.gguf"), &error) == -EFBIG &&
		      strstr(error.text, "no room for") ? 0 : 1);
	}
	t_ok(wait(&status) > 0 && WIFEXITED(status));
	t_eq(WEXITSTATUS(status), 0);
	t_eq(t_count_files(t_path("full")), 0);
	t_ok(t_store_has_no_tmp(t_path("full")));
}

static void refuses_a_version_that_is_there(void)
{
	struct sto_error error;
	struct t_gguf g;
	struct stat before, after;

	t_gguf_init(&g, ENG_SRC_F16, 1);
	t_gguf_write(&g, t_path("twice.gguf"));
	t_gguf_free(&g);
	t_eq(t_import(t_path("twice"), "m@1.0.0", t_path("twice.gguf"), &error), 0);
	t_eq(stat(t_path("twice/models/m/1.0.0/image.mhi"), &before), 0);
	t_eq(t_import(t_path("twice"), "m@1.0.0", t_path("twice.gguf"), &error), -EEXIST);
	t_ok(strstr(error.text, "m@1.0.0: version: is in the store already"));
	t_eq(stat(t_path("twice/models/m/1.0.0/image.mhi"), &after), 0);
	t_eq(before.st_ino, after.st_ino);
	t_eq(t_count_files(t_path("twice")), 3);
}

/* Many at once: one wins, the others are told so, nothing is mixed. */
static void one_of_many_wins(void)
{
	int won = 0, lost = 0, status;
	struct sto_error error;
	struct t_gguf g;

	t_gguf_init(&g, ENG_SRC_F32, 1);
	t_gguf_write(&g, t_path("race.gguf"));
	t_gguf_free(&g);
	fflush(stdout);
	for (int i = 0; i < 6; i++)
		if (fork() == 0)
			_exit(-t_import(t_path("race"), "m@1.0.0", t_path("race.gguf"), &error));
	while (wait(&status) > 0) {
		won += WIFEXITED(status) && WEXITSTATUS(status) == 0;
		lost += WIFEXITED(status) && WEXITSTATUS(status) == EEXIST;
	}
	t_eq(won, 1);
	t_eq(lost, 5);
	t_eq(t_count_files(t_path("race")), 3);
	t_ok(t_store_has_no_tmp(t_path("race")));
}

/* Killed in the middle: the next import clears it away, but not what a living one holds. */
static void clears_what_the_dead_left(void)
{
	struct sto_error error;
	struct t_gguf g;
	int held;

	t_gguf_init(&g, ENG_SRC_F16, 1);
	t_gguf_write(&g, t_path("stale.gguf"));
	t_gguf_free(&g);
	mkdir(t_path("stale"), 0755);
	mkdir(t_path("stale/tmp"), 0755);
	mkdir(t_path("stale/tmp/import-1-0"), 0755);
	mkdir(t_path("stale/tmp/import-2-0"), 0755);
	t_write_file(t_path("stale/tmp/import-1-0/image.mhi"), "x", 1);
	t_write_file(t_path("stale/tmp/import-2-0/image.mhi"), "x", 1);
	held = open(t_path("stale/tmp/import-2-0"), O_RDONLY | O_DIRECTORY);
	t_eq(flock(held, LOCK_EX), 0);
	t_eq(t_import(t_path("stale"), "m@1.0.0", t_path("stale.gguf"), &error), 0);
	t_ok(access(t_path("stale/tmp/import-1-0"), F_OK) != 0);
	t_ok(access(t_path("stale/tmp/import-2-0/image.mhi"), F_OK) == 0);
	close(held);
}

/* ---- the promise of a version ------------------------------------------------------------ */

static int import_changed(const char *ref, uint32_t context, struct sto_error *error)
{
	struct t_gguf g;

	t_gguf_init(&g, ENG_SRC_F16, 1);
	g.context = context;
	t_gguf_write(&g, t_path("changed.gguf"));
	t_gguf_free(&g);
	return t_import(t_path("semver"), ref, t_path("changed.gguf"), error);
}

static void keeps_the_promise_of_a_major(void)
{
	struct sto_error error;

	t_eq(import_changed("m@1.2.0", 128, &error), 0);
	t_eq(import_changed("m@1.3.0", 127, &error), -EINVAL);
	t_ok(strstr(error.text, "context length (may only grow): 127, was 128 in m@1.2.0,"));
	t_eq(import_changed("m@1.1.0", 129, &error), -EINVAL);
	t_eq(import_changed("m@1.3.0", 256, &error), 0);
	t_eq(import_changed("m@2.0.0", 64, &error), 0);
	t_eq(import_changed("m@0.1.0", 64, &error), 0);
	t_eq(import_changed("m@0.2.0", 32, &error), 0);
}

static void keeps_the_tokenizer_within_a_major(void)
{
	struct sto_error error;
	struct t_gguf g;

	t_eq(import_changed("t@1.0.0", 128, &error), 0);
	t_gguf_init(&g, ENG_SRC_F16, 1);
	t_kv_bool(&g.kv, "tokenizer.ggml.add_bos_token", 1);
	g.kv_count = 1;
	t_gguf_write(&g, t_path("bos.gguf"));
	t_gguf_free(&g);
	t_eq(t_import(t_path("semver"), "t@1.0.1", t_path("bos.gguf"), &error), -EINVAL);
	t_ok(strstr(error.text, "tokenizer: tokens put around a text: [33], was [] in t@1.0.0,"));
	t_eq(t_import(t_path("semver"), "t@2.0.0", t_path("bos.gguf"), &error), 0);
}

/* What is allowed is written down, and the promise goes on from there. */
static void records_what_is_allowed(void)
{
	struct sto_import import = { .store = t_path("semver"), .path = t_path("changed.gguf"),
				     .model = "a", .version = "1.0.1", .allow_incompatible = true };
	struct sto_import_result result;
	struct sto_error error;
	json_t *manifest;

	t_eq(import_changed("a@1.0.0", 128, &error), 0);
	t_eq(import_changed("a@1.0.1", 64, &error), -EINVAL);
	t_need(sto_import(&import, &result, &error) == 0);
	t_eq(json_array_size(result.incompatible), 1);
	manifest = json_load_file(t_path("semver/models/a/1.0.1/manifest.json"), 0, NULL);
	t_ok(json_equal(json_object_get(manifest, "incompatible"), result.incompatible));
	t_str_eq(json_string_value(json_array_get(result.incompatible, 0)),
		 "context length (may only grow): 64, was 128");
	json_decref(result.incompatible);
	json_decref(manifest);
	t_eq(import_changed("a@1.0.2", 64, &error), 0);
	manifest = json_load_file(t_path("semver/models/a/1.0.2/manifest.json"), 0, NULL);
	t_ok(manifest && !json_object_get(manifest, "incompatible"));
	json_decref(manifest);
}

static int import_next(const char *path, enum sto_bump bump)
{
	struct sto_import import = { .store = t_path("bump"), .path = path, .model = "m",
				     .bump = bump, .threads = 1, .golden = { "{}\n", 3, 1 } };
	struct sto_import_result result;
	struct sto_error error = { "" };
	int err = sto_import(&import, &result, &error);

	if (err)
		printf("# %s\n", error.text);
	return err;
}

static int check_whole(void *arg, const char *model, const char *version)
{
	char path[128];
	struct sto_error error;
	struct sto_version v;
	json_t *manifest;

	t_eq(sto_version_open(&v, t_path("bump"), model, version, &error), 0);
	t_str_eq(v.header.semver, version);
	sto_version_close(&v);
	snprintf(path, sizeof(path), "bump/models/%s/%s/manifest.json", model, version);
	manifest = json_load_file(t_path(path), 0, NULL);
	t_str_eq(json_string_value(json_object_get(manifest, "version")), version);
	t_str_eq(json_string_value(json_object_get(manifest, "parent")) ?: "", arg);
	json_decref(manifest);
	strcpy(arg, version);
	return 0;
}

/* Many at once: each gets a number of its own, in its image and in its manifest. */
static void everybody_gets_a_number(void)
{
	char last[MHS_SEMVER_BYTES] = "", store[256];
	int status, good = 0;
	struct sto_error error;
	struct t_gguf g;

	t_gguf_init(&g, ENG_SRC_F32, 1);
	t_gguf_write(&g, t_path("bump.gguf"));
	t_gguf_free(&g);
	fflush(stdout);
	for (int i = 0; i < 8; i++)
		if (fork() == 0)
			_exit(import_next(t_path("bump.gguf"), STO_BUMP_MINOR) != 0);
	while (wait(&status) > 0)
		good += WIFEXITED(status) && WEXITSTATUS(status) == 0;
	t_eq(good, 8);
	snprintf(store, sizeof(store), "%s", t_path("bump"));	/* outlives the paths made meanwhile */
	t_eq(sto_versions_each(store, "m", check_whole, last, &error), 0);
	t_str_eq(last, "1.7.0");
	t_eq(t_count_files(t_path("bump")), 8 * 4);	/* image, pack, manifest, golden cases */
	t_ok(t_store_has_no_tmp(t_path("bump")));
	/* A directory without an image holds its number too. */
	mkdir(t_path("bump/models/m/1.8.0"), 0755);
	t_eq(import_next(t_path("bump.gguf"), STO_BUMP_MINOR), 0);
	t_ok(access(t_path("bump/models/m/1.9.0/image.mhi"), F_OK) == 0);
}

int main(void)
{
	T_RUN(imports_the_reference_models);
	T_RUN(follows_symbolic_links);
	T_RUN(leaves_nothing_when_disturbed);
	T_RUN(leaves_nothing_without_room);
	T_RUN(refuses_a_version_that_is_there);
	T_RUN(one_of_many_wins);
	T_RUN(clears_what_the_dead_left);
	T_RUN(keeps_the_promise_of_a_major);
	T_RUN(keeps_the_tokenizer_within_a_major);
	T_RUN(records_what_is_allowed);
	T_RUN(everybody_gets_a_number);
	return t_done();
}
