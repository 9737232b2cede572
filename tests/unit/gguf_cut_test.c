/* SPDX-License-Identifier: MIT */
/* gguf_cut_test.c: GGUF files that end early, shrink while they are read, or are far too long. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "eng_pack.h"
#include "sto_gguf.h"
#include "t.h"
#include "t_gguf.h"

/* Cut at every byte: refused each time, whatever stood there. */
static void refuses_every_cut(void)
{
	struct sto_error error;
	struct sto_file file = { .path = (char[]){ "x.gguf" } };
	struct sto_gguf gguf;
	struct t_bytes raw;
	struct t_gguf g;
	uint32_t accepted = 0;

	t_gguf_init(&g, ENG_SRC_Q4_0, 1);
	raw = t_gguf_build(&g);
	file.fd = memfd_create("cut", MFD_CLOEXEC);
	t_need(file.fd >= 0 && write(file.fd, raw.data, raw.bytes) == (ssize_t)raw.bytes);
	for (file.bytes = raw.bytes - 1; file.bytes > 0; file.bytes -= file.bytes > 4096 ? 61 : 1) {
		t_need(ftruncate(file.fd, (off_t)file.bytes) == 0);
		if (sto_gguf_open(&gguf, &file, &error) == 0) {
			accepted++;
			sto_gguf_close(&gguf);
		}
	}
	t_eq(accepted, 0);
	close(file.fd);
	t_bytes_free(&raw);
	t_gguf_free(&g);
}

/* The file shrinks between fstat and reading: an error, no signal. */
static void survives_a_shrinking_file(void)
{
	struct sto_error error = { "" };
	struct sto_file file;
	struct sto_gguf gguf;
	struct t_gguf g;

	t_gguf_init(&g, ENG_SRC_F32, 1);
	t_gguf_write(&g, t_path("shrink.gguf"));
	t_need(sto_file_open(&file, AT_FDCWD, t_path("shrink.gguf"), "shrink.gguf", &error) == 0);
	t_eq(truncate(t_path("shrink.gguf"), 100), 0);
	t_eq(sto_gguf_open(&gguf, &file, &error), -EINVAL);
	t_ok(strstr(error.text, "shrink.gguf: ends early at byte 100"));
	t_eq(sto_file_unchanged(&file, &error), -EBUSY);
	sto_file_close(&file);
	t_gguf_free(&g);
}

/* A terabyte of nothing behind a good file is refused from its length, without reading it. */
static void refuses_a_sparse_terabyte(void)
{
	struct sto_error error = { "" };
	struct sto_file file;
	struct sto_gguf gguf;
	struct t_gguf g;

	t_gguf_init(&g, ENG_SRC_F32, 1);
	t_gguf_write(&g, t_path("sparse.gguf"));
	if (truncate(t_path("sparse.gguf"), (off_t)1 << 40)) {
		t_gguf_free(&g);
		t_skip("the file system has no room for a sparse terabyte");
		return;
	}
	t_need(sto_file_open(&file, AT_FDCWD, t_path("sparse.gguf"), "sparse.gguf", &error) == 0);
	t_eq(sto_gguf_open(&gguf, &file, &error), -EINVAL);
	t_ok(strstr(error.text, "file size: is 1099511627776"));
	sto_file_close(&file);
	unlink(t_path("sparse.gguf"));
	t_gguf_free(&g);
}

int main(void)
{
	T_RUN(refuses_every_cut);
	T_RUN(survives_a_shrinking_file);
	T_RUN(refuses_a_sparse_terabyte);
	return t_done();
}
