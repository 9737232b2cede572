/* SPDX-License-Identifier: MIT */
/* gguf_parts_test.c: models split over several GGUF files, whole and with a part that is not theirs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sto_gguf.h"
#include "sto_import.h"
#include "t.h"
#include "t_gguf.h"

#define PARTS	3u

/* What a part says of itself, and the tensors that it has. */
struct part {
	uint32_t no, count, total, first, end;
};

static const struct part parts[PARTS] = {
	{ 0, PARTS, 11, 0, 4 }, { 1, PARTS, 11, 4, 8 }, { 2, PARTS, 11, 8, T_GGUF_TENSORS },
};

static const char *part_path(const char *folder, uint32_t number)
{
	static char paths[2][512];	/* for two in one call */
	static uint32_t turn;
	char *path = paths[turn++ % 2];

	snprintf(path, sizeof(paths[0]), "%s/m-%05u-of-%05u.gguf", t_path(folder), number, PARTS);
	return path;
}

/* As llama.cpp's tool does it: the first has the metadata, in the others it is @kv alone. */
static void write_part(const char *path, const struct part *p, uint32_t type, uint64_t seed,
		       const char *arch)
{
	struct t_gguf g;

	t_gguf_init(&g, type, seed);
	g.bare = p->first > 0;
	for (uint32_t i = 0; i < T_GGUF_TENSORS; i++)
		if (i < p->first || i >= p->end)
			g.tensors[i].bytes = 0;
	if (p->count)
		t_kv_u32(&g.kv, "split.count", p->count);
	t_kv_u32(&g.kv, "split.no", p->no);
	t_kv_u32(&g.kv, "split.tensors.count", p->total);
	if (g.bare && arch)
		t_kv_text(&g.kv, "general.architecture", arch);
	g.kv_count = 2 + (p->count > 0) + (g.bare && arch);
	t_gguf_write(&g, path);
	t_gguf_free(&g);
}

static void write_parts(const char *folder)
{
	mkdir(t_path(folder), 0700);
	for (uint32_t i = 0; i < PARTS; i++)
		write_part(part_path(folder, i + 1), &parts[i], ENG_SRC_IQ4_NL, 1, NULL);
}

static int import(const char *path, const char *version, struct sto_import_result *result,
		  struct sto_error *error)
{
	struct sto_import what = { .store = t_path("store"), .path = path, .model = "m", .threads = 1 };

	snprintf(what.version, sizeof(what.version), "%s", version);
	return sto_import(&what, result, error);
}

static void refused(const char *path, const char *expect)
{
	struct sto_import_result result;
	struct sto_error error = { "" };

	t_ok(import(path, "9.0.0", &result, &error) < 0);
	if (!t_ok(strstr(error.text, expect)))
		printf("# wanted \"%s\", got \"%s\"\n", expect, error.text);
}

/* @change in the place of part @number. */
static void refused_with(uint32_t number, struct part change, const char *expect)
{
	write_parts("bad");
	write_part(part_path("bad", number), &change, ENG_SRC_IQ4_NL, 1, NULL);
	refused(part_path("bad", 1), expect);
}

/* The first part, the folder, and the whole in one file: the same version. */
static void reads_all_parts(void)
{
	const struct part whole = { 0, 0, 11, 0, T_GGUF_TENSORS };
	struct sto_import_result one, split, folder;
	struct sto_error error = { "" };

	write_parts("good");
	write_part(t_path("whole.gguf"), &whole, ENG_SRC_IQ4_NL, 1, NULL);
	t_need(import(t_path("whole.gguf"), "1.0.0", &one, &error) == 0);
	t_need(import(part_path("good", 1), "1.0.1", &split, &error) == 0);
	t_need(import(t_path("good"), "1.0.2", &folder, &error) == 0);
	t_mem_eq(split.content_hash, one.content_hash, sizeof(one.content_hash));
	t_mem_eq(folder.content_hash, one.content_hash, sizeof(one.content_hash));
	t_eq(split.tensor_count, one.tensor_count);
}

static void first_part_without_tensors(void)
{
	static const struct part bare[PARTS] = {
		{ 0, PARTS, 11, 0, 0 }, { 1, PARTS, 11, 0, 1 }, { 2, PARTS, 11, 1, T_GGUF_TENSORS },
	};
	struct sto_import_result result;
	struct sto_error error = { "" };

	mkdir(t_path("bare"), 0700);
	for (uint32_t i = 0; i < PARTS; i++)
		write_part(part_path("bare", i + 1), &bare[i], ENG_SRC_Q8_0, 1, NULL);
	if (!t_ok(import(part_path("bare", 1), "2.0.0", &result, &error) == 0))
		printf("# %s\n", error.text);
}

static void refuses_missing_parts(void)
{
	write_parts("few");
	t_eq(unlink(part_path("few", 2)), 0);
	refused(part_path("few", 1), "m-00002-of-00003.gguf: is missing, part 2 of 3");
	refused(t_path("few"), "m-00002-of-00003.gguf: is missing");
	t_eq(unlink(part_path("few", 1)), 0);
	refused(t_path("few"), "m-00001-of-00003.gguf: cannot be opened");
	refused(part_path("few", 3), "is part 3 of 3; give the first part");
}

static void refuses_parts_in_another_order(void)
{
	write_parts("order");
	t_eq(rename(part_path("order", 2), t_path("x")), 0);
	t_eq(rename(part_path("order", 3), t_path("y")), 0);
	t_eq(rename(t_path("x"), part_path("order", 3)), 0);
	t_eq(rename(t_path("y"), part_path("order", 2)), 0);
	refused(part_path("order", 1), "m-00002-of-00003.gguf: split.no: is 2, limit 1");
	t_eq(rename(part_path("order", 2), part_path("order", 1)), 0);
	refused(part_path("order", 1), "m-00001-of-00003.gguf: split.no: is 2, limit 0");
}

static void refuses_foreign_parts(void)
{
	const struct part *p = parts;

	refused_with(2, (struct part){ 1, 0, 11, 4, 8 }, "m-00002-of-00003.gguf: split.count: is absent");
	refused_with(2, (struct part){ 1, 4, 11, 4, 8 }, "m-00002-of-00003.gguf: split.count: is 4, limit 3");
	refused_with(3, (struct part){ 2, PARTS, 12, 8, T_GGUF_TENSORS },
		     "m-00003-of-00003.gguf: split.tensors.count: is not what");
	refused_with(2, (struct part){ 1, PARTS, 11, 4, 9 }, "split.tensors.count: is 11, limit 12");
	refused_with(2, (struct part){ 1, PARTS, 11, 5, 9 }, "tensor blk.0.ffn_up.weight: is in ");
	refused_with(1, (struct part){ 0, 0, 11, 0, 4 }, "m-00001-of-00003.gguf: split.count: is absent");
	refused_with(1, (struct part){ 0, 2, 11, 0, 4 }, "m-00001-of-00003.gguf: split.count: is 2, limit 3");
	refused_with(1, (struct part){ 0, 5000, 11, 0, 4 }, "split.count: is 5000, limit 1000");
	write_parts("bad");
	write_part(part_path("bad", 3), &p[2], ENG_SRC_IQ4_NL, 1, "qwen2");
	refused(part_path("bad", 1), "m-00003-of-00003.gguf: general.architecture: is not what");
}

static void refuses_other_names(void)
{
	write_part(t_path("plain.gguf"), &parts[0], ENG_SRC_IQ4_NL, 1, NULL);
	refused(t_path("plain.gguf"), "plain.gguf: split.count: is 3, limit 1 for a name that");
	write_parts("two");
	write_part(t_path("two/a.gguf"), &parts[0], ENG_SRC_IQ4_NL, 1, NULL);
	refused(t_path("two"), "holds a.gguf and m-00001-of-00003.gguf, limit one GGUF model");
}

static void names(void)
{
	uint32_t number = 0, count = 0;
	char path[64];

	t_ok(sto_gguf_part_name("d/m-00002-of-00010.gguf", &number, &count) && number == 2 &&
	     count == 10);
	t_eq(sto_gguf_part_path("d/m-00002-of-00010.gguf", 7, path, sizeof(path)), 0);
	t_str_eq(path, "d/m-00007-of-00010.gguf");
	t_eq(sto_gguf_part_path("d/m-00002-of-00010.gguf", 7, path, 23), -ENAMETOOLONG);
	t_ok(!sto_gguf_part_name("-00001-of-00002.gguf", &number, &count));
	t_ok(!sto_gguf_part_name("m-00003-of-00002.gguf", &number, &count));
	t_ok(!sto_gguf_part_name("m-00000-of-00002.gguf", &number, &count));
	t_ok(!sto_gguf_part_name("m-0000x-of-00002.gguf", &number, &count));
	t_ok(!sto_gguf_part_name("m-00001-of-00002.ggu", &number, &count));
	t_ok(!sto_gguf_part_name("gguf", &number, &count));
}

int main(void)
{
	mkdir(t_path("store"), 0700);
	T_RUN(names);
	T_RUN(reads_all_parts);
	T_RUN(first_part_without_tensors);
	T_RUN(refuses_missing_parts);
	T_RUN(refuses_parts_in_another_order);
	T_RUN(refuses_foreign_parts);
	T_RUN(refuses_other_names);
	return t_done();
}
