/* SPDX-License-Identifier: MIT */
/*
 * abi_test.c: every shared struct, field and constant against the recorded ones of this ABI major,
 * in tests/abi/. `abi_test --print` prints the present ones. What was recorded may never change
 * under one major; what a minor adds (a use of reserved bytes, a new constant) is recorded in the
 * same commit.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "mhs_form.h"
#include "abi_items.h"
#include "t.h"

#define LINE_MAX	160

#define ITEM_COUNT	(sizeof(items) / sizeof(items[0]))

static void item_line(const struct item *item, char line[LINE_MAX])
{
	if (item->bytes == 0)
		snprintf(line, LINE_MAX, "%s %s %#llx\n", item->of, item->field,
			 (unsigned long long)item->at);
	else if (!item->field[0])
		snprintf(line, LINE_MAX, "%s size %llu\n", item->of,
			 (unsigned long long)item->bytes);
	else
		snprintf(line, LINE_MAX, "%s.%s at %llu size %llu\n", item->of, item->field,
			 (unsigned long long)item->at, (unsigned long long)item->bytes);
}

static int is_present(const char *recorded)
{
	char line[LINE_MAX];

	for (size_t i = 0; i < ITEM_COUNT; i++) {
		item_line(&items[i], line);
		if (strcmp(line, recorded) == 0)
			return 1;
	}
	return 0;
}

/* Reserved bytes may be put to use, and a minor grows; all else stays. */
static int may_change(const char *recorded)
{
	return strstr(recorded, ".reserved") || strstr(recorded, "_ABI_MINOR ");
}

static FILE *recorded_open(void)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "tests/abi/shm-%u-image-%u.txt", MHS_ABI_MAJOR,
		 MHS_IMAGE_ABI_MAJOR);
	f = fopen(path, "r");
	if (!f)
		printf("# %s: not found; run from the top folder, record with --print\n", path);
	return f;
}

static void nothing_moved(void)
{
	FILE *f = recorded_open();
	char line[LINE_MAX];
	int lines = 0;

	t_need(f != NULL);
	while (fgets(line, sizeof(line), f)) {
		lines++;
		if (is_present(line) || may_change(line))
			continue;
		printf("# moved or gone: %s", line);
		t_ok(0);
	}
	fclose(f);
	t_ok(lines > 200);
}

static int is_recorded(FILE *f, const char *present)
{
	char line[LINE_MAX];

	rewind(f);
	while (fgets(line, sizeof(line), f))
		if (strcmp(line, present) == 0)
			return 1;
	return 0;
}

static void everything_recorded(void)
{
	FILE *f = recorded_open();
	char line[LINE_MAX];

	t_need(f != NULL);
	for (size_t i = 0; i < ITEM_COUNT; i++) {
		item_line(&items[i], line);
		if (is_recorded(f, line))
			continue;
		printf("# not recorded: %s", line);
		t_ok(0);
	}
	fclose(f);
}

/* No padding that the compiler chose, and no field left out of the table. */
static void no_holes(void)
{
	for (size_t i = 0; i < ITEM_COUNT && items[i].bytes; i++) {
		const struct item *whole = &items[i];
		uint64_t end = 0;

		while (i + 1 < ITEM_COUNT && items[i + 1].field[0] && items[i + 1].bytes) {
			i++;
			if (items[i].at != end)
				printf("# hole before %s.%s\n", items[i].of, items[i].field);
			t_eq(items[i].at, end);
			end = items[i].at + items[i].bytes;
		}
		if (end != whole->bytes)
			printf("# hole at the end of %s\n", whole->of);
		t_eq(end, whole->bytes);
	}
}

/* Each word that crosses processes lies in one line and is lock-free as a whole. */
static void own_lines(void)
{
	t_eq(offsetof(struct mhs_board, epoch) % MHS_LINE_BYTES, 0);
	t_eq(offsetof(struct mhs_slot, seen_epoch) % MHS_LINE_BYTES, 0);
	t_eq(offsetof(struct mhs_ring, head) / MHS_LINE_BYTES, 0);
	t_eq(offsetof(struct mhs_ring, tail) / MHS_LINE_BYTES, 1);
	t_eq(offsetof(struct mhs_ring, asleep) / MHS_LINE_BYTES, 2);
	t_eq(offsetof(struct mhs_ring, starved) / MHS_LINE_BYTES, 3);
	t_eq(offsetof(struct mhs_lane, submit) % MHS_LINE_BYTES, 0);
	t_eq(offsetof(struct mhs_lane, event) % MHS_LINE_BYTES, 0);
	t_ok(__atomic_always_lock_free(8, 0) && __atomic_always_lock_free(4, 0));
}

int main(int argc, char **argv)
{
	char line[LINE_MAX];

	if (argc > 1 && strcmp(argv[1], "--print") == 0) {
		for (size_t i = 0; i < ITEM_COUNT; i++) {
			item_line(&items[i], line);
			fputs(line, stdout);
		}
		return 0;
	}
	T_RUN(nothing_moved);
	T_RUN(everything_recorded);
	T_RUN(no_holes);
	T_RUN(own_lines);
	return t_done();
}
