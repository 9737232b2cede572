/* SPDX-License-Identifier: MIT */
/*
 * fuzz_gguf.c: the input is a GGUF file. It is refused, or becomes an image that passes its own
 * checks and whose tokenizer opens.
 */
#include <stdlib.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "eng_tok.h"
#include "mhs_attach.h"
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

static void image_check(int fd, const struct mhs_image_header *head)
{
	uint8_t *base = mmap(NULL, head->image_bytes, PROT_READ, MAP_SHARED, fd, 0);
	const char *field = "";
	struct eng_tok *tok;

	if (base == MAP_FAILED || mhs_image_check_tensors(head, base, &field))
		abort();
	if (eng_tok_open(base + head->tokenizer.offset_bytes, head->tokenizer.length_bytes, &tok))
		abort();
	eng_tok_close(&tok);
	munmap(base, head->image_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int source = -1, image = -1;
	const struct sto_import import = { .model = "fuzz", .version = "1.0.0", .threads = 1,
					   .quantize = size % 3 ? 0 : ENG_SRC_Q4_0 };
	struct mhs_image_header head;
	struct sto_error error;
	struct sto_model model;
	char path[64];

	source = file_make(source, data, size, path);
	sto_model_init(&model);
	if (sto_import_gguf(&model, path, &error) == 0) {
		char unused[64];

		image = file_make(image, NULL, 0, unused);
		if (sto_image_write(&import, &model, image, &head, &error) == 0)
			image_check(image, &head);
	}
	sto_model_fini(&model);
	return 0;
}
