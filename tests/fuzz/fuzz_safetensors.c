/* SPDX-License-Identifier: MIT */
/* fuzz_safetensors.c: the input is a safetensors file. What is accepted lies in the file, apart. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sto_safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct sto_safetensors *st, uint64_t bytes)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < st->tensor_count; i++) {
		const struct sto_st_tensor *t = &st->tensors[i];

		if (t->offset_bytes > bytes || t->bytes > bytes - t->offset_bytes)
			abort();
		if (sto_st_find(st, t->name) != t)
			abort();
		sum += t->bytes;
	}
	if (sum > bytes)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sto_file file = { .path = (char[]){ "fuzz" }, .bytes = size };
	struct sto_error error;
	struct sto_safetensors st;
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	file.fd = fd;
	if (sto_st_open(&st, &file, &error) == 0) {
		check(&st, size);
		sto_st_close(&st);
	}
	return 0;
}
