/* SPDX-License-Identifier: MIT */
/*
 * fuzz_gguf.c: the input is a GGUF file. It is refused, or becomes an image that passes its own
 * checks and whose tokenizer opens.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eng_tok.h"
#include "sto_image_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file in memory with these bytes; its path by way of the descriptor. */
static int file_make(int fd, const uint8_t *data, size_t size, char path[64])
{
	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	snprintf(path, 64, "/proc/self/fd/%d", fd);
	return fd;
}

/* STORE/models/fuzz/1.0.0, an empty directory below a temporary one. */
static int version_make(char store[64])
{
	char path[128];

	strcpy(store, "/tmp/fuzz_gguf.XXXXXX");
	if (!mkdtemp(store))
		abort();
	for (uint32_t i = 0; i < 3; i++) {
		static const char *const below[] = { "models", "models/fuzz", "models/fuzz/1.0.0" };

		snprintf(path, sizeof(path), "%s/%s", store, below[i]);
		if (mkdir(path, 0700))
			abort();
	}
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void version_remove(const char *store, int dir)
{
	static const char *const below[] = { "/models/fuzz/1.0.0", "/models/fuzz", "/models", "" };
	char path[128];

	sto_dir_clear(dir);
	close(dir);
	for (uint32_t i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s%s", store, below[i]);
		if (rmdir(path))
			abort();
	}
}

/* It opens, and so does its tokenizer. */
static void image_check(const char *store)
{
	struct sto_version v;
	struct sto_error error;
	struct eng_tok *tok;
	uint8_t *tables;

	if (sto_version_open(&v, store, "fuzz", "1.0.0", &error))
		abort();
	tables = aligned_alloc(4096, (v.header.tokenizer.length_bytes + 4095) & ~UINT64_C(4095));
	if (!tables || sto_version_read(&v, tables, v.header.tokenizer.length_bytes,
					v.header.tokenizer.offset_bytes, &error) ||
	    eng_tok_open(tables, v.header.tokenizer.length_bytes, &tok))
		abort();
	eng_tok_close(&tok);
	free(tables);
	sto_version_close(&v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int source = -1;
	const struct sto_import import = { .model = "fuzz", .version = "1.0.0", .threads = 1,
					   .quantize = size % 3 ? 0 : ENG_SRC_Q4_0 };
	struct mhs_image_header head;
	struct sto_error error;
	struct sto_model model;
	uint64_t stored;
	char path[64];

	source = file_make(source, data, size, path);
	sto_model_init(&model);
	if (sto_import_gguf(&model, path, &error) == 0) {
		int dir = version_make(path);

		if (sto_image_write(&import, &model, dir, &head, &stored, &error) == 0)
			image_check(path);
		version_remove(path, dir);
	}
	sto_model_fini(&model);
	return 0;
}
