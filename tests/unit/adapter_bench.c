/* SPDX-License-Identifier: MIT */
/*
 * adapter_bench.c: what it takes to bring an adapter from PEFT's files in the page cache to an image in
 * sealed memory. Not a test: adapter_bench STORE MODEL VERSION FOLDER [TURNS] prints medians.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sto_adapter_pack.h"
#include "sto_lora.h"

#define TURNS_MAX	1000u

enum { OPEN, READ, PACK, PARTS };

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void fail(const struct sto_error *error)
{
	fprintf(stderr, "adapter_bench: %s\n", error->text);
	exit(1);
}

/* One turn: the base, what the files say, and all of it to the image. */
static uint64_t turn(char **argv, double ms[PARTS])
{
	struct sto_adapter_pack pack = { .model = argv[2], .adapter = "bench", .version = "1.0.0", .path = argv[4],
					 .config_fd = -1, .weights_fd = -1, .pages = MHS_PAGES_2M };
	struct mhs_image_header header;
	double at[PARTS + 1];
	struct sto_version base;
	struct sto_error error;
	struct sto_lora lora;
	size_t bytes;
	int fd;

	at[OPEN] = now_ms();
	if (sto_version_open(&base, argv[1], argv[2], argv[3], &error))
		fail(&error);
	at[READ] = now_ms();
	if (sto_lora_read(&lora, argv[4], &base, &error))
		fail(&error);
	sto_lora_fini(&lora);
	at[PACK] = now_ms();
	pack.base = &base;
	fd = sto_adapter_pack(&pack, &header, &bytes, &error);
	at[PARTS] = now_ms();
	if (fd < 0)
		fail(&error);
	close(fd);
	sto_version_close(&base);
	for (int i = 0; i < PARTS; i++)
		ms[i] = at[i + 1] - at[i];
	return header.image_bytes;
}

int main(int argc, char **argv)
{
	static double ms[PARTS][TURNS_MAX];
	uint32_t turns = argc > 5 ? (uint32_t)atoi(argv[5]) : 30;
	uint64_t bytes = 0;

	if (argc < 5 || turns < 1 || turns > TURNS_MAX) {
		fprintf(stderr, "usage: adapter_bench STORE MODEL VERSION FOLDER [TURNS]\n");
		return 2;
	}
	for (uint32_t i = 0; i < turns; i++) {
		double one[PARTS];

		bytes = turn(argv, one);
		for (int p = 0; p < PARTS; p++)
			ms[p][i] = one[p];
	}
	for (int p = 0; p < PARTS; p++)
		qsort(ms[p], turns, sizeof(double), by_size);
	printf("%.2f MB; median ms (least): base %.2f (%.2f), read %.2f (%.2f), read and pack %.2f (%.2f)\n",
	       (double)bytes / 1e6, ms[OPEN][turns / 2], ms[OPEN][0], ms[READ][turns / 2], ms[READ][0],
	       ms[PACK][turns / 2], ms[PACK][0]);
	return 0;
}
