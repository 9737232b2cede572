/* SPDX-License-Identifier: MIT */
/*
 * replay.c: run a fuzz target over files, without a fuzzer: those given, or, as replay_NAME without
 * arguments, tests/fuzz/corpus/NAME and the damaged files of the reference data. Directories are
 * searched through. A crash or an abort is the failure; so is finding no file.
 */
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INPUT_MAX	(1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned int replayed;

static int replay(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	uint8_t *data;
	size_t size;
	FILE *f;

	(void)ftw;
	if (flag != FTW_F || !S_ISREG(st->st_mode) || st->st_size > INPUT_MAX)
		return 0;
	f = fopen(path, "rb");
	data = malloc((size_t)st->st_size + 1);
	if (!f || !data) {
		perror(path);
		exit(1);
	}
	size = fread(data, 1, (size_t)st->st_size, f);
	fclose(f);
	/* In its own block of the heap, so that a read past the end is seen. */
	data = realloc(data, size ? size : 1);
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	replayed++;
	return 0;
}

static void replay_below(const char *path)
{
	if (nftw(path, replay, 16, FTW_PHYS)) {
		perror(path);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	const char *name = strstr(argv[0], "replay_");
	char corpus[256];

	for (int i = 1; i < argc; i++)
		replay_below(argv[i]);
	if (argc == 1 && name) {
		snprintf(corpus, sizeof(corpus), "tests/fuzz/corpus/%s", name + strlen("replay_"));
		replay_below(corpus);
		replay_below("tests/reference/data/bad");
	}
	printf("# %u inputs\n", replayed);
	return replayed == 0;
}
