/* SPDX-License-Identifier: MIT */
/*
 * fuzz_gguf_parts.c: the input is the length of a GGUF file in 4 bytes, that file, and another: two
 * parts of a split model. They are refused, or all their tensors lie in one of them.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sto_gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sto_file file_make(char *path, const uint8_t *data, size_t size)
{
	const struct sto_file file = { .path = path, .fd = memfd_create("fuzz", MFD_CLOEXEC),
				       .bytes = size };

	if (file.fd < 0 || write(file.fd, data, size) != (ssize_t)size)
		abort();
	return file;
}

static void check(const struct sto_gguf *gguf, const struct sto_file files[2])
{
	for (uint32_t i = 0; i < gguf->tensor_count; i++) {
		const struct sto_gguf_tensor *t = &gguf->tensors[i];

		if (t->part > 1 || t->offset_bytes + t->bytes > files[t->part].bytes ||
		    sto_gguf_find_tensor(gguf, t->name) != t)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char names[2][24] = { "m-00001-of-00002.gguf", "m-00002-of-00002.gguf" };
	struct sto_file files[2];
	struct sto_error error;
	struct sto_gguf gguf;
	uint32_t first, count;

	if (size < 4)
		return 0;
	memcpy(&first, data, sizeof(first));
	if (first > size - 4)
		return 0;
	files[0] = file_make(names[0], data + 4, first);
	files[1] = file_make(names[1], data + 4 + first, size - 4 - first);
	if (sto_gguf_open(&gguf, &files[0], &error) == 0) {
		if (sto_gguf_part_count(&gguf, &count, &error) == 0 &&
		    sto_gguf_join(&gguf, files, count, &error) == 0)
			check(&gguf, files);
		sto_gguf_close(&gguf);
	}
	close(files[0].fd);
	close(files[1].fd);
	return 0;
}
