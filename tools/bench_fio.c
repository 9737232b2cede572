/* SPDX-License-Identifier: MIT */
/* bench_fio.c: fio on the same file, where it is installed: a second opinion about the disk. */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define READ_KIB_FIELD	7	/* of a terse line, from 1: KiB/s read */

extern char **environ;

/* A colon in a name would be two files to fio. */
static void name_option(const char *path, char *out, size_t bytes)
{
	size_t n = (size_t)snprintf(out, bytes, "--filename=");

	for (; *path && n + 3 < bytes; path++) {
		if (*path == ':')
			out[n++] = '\\';
		out[n++] = *path;
	}
	out[n] = '\0';
}

/* Run fio with its output in @text. 0 or negative errno; not found is -ENOENT. */
static int fio_run(char *const *argv, char *text, size_t bytes)
{
	posix_spawn_file_actions_t actions;
	int ends[2], status = 0, err;
	size_t have = 0;
	ssize_t n = 0;
	pid_t pid;

	if (pipe(ends))
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	posix_spawn_file_actions_addclose(&actions, ends[0]);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", 1, 0);
	err = -posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	while (!err && have < bytes - 1 && (n = read(ends[0], text + have, bytes - 1 - have)) > 0)
		have += (size_t)n;
	text[have] = '\0';
	close(ends[0]);
	if (!err && (waitpid(pid, &status, 0) != pid || status))
		err = -EIO;
	return err;
}

double bench_fio_read(const char *path, const struct bench_way *way)
{
	char file[4096], block[32], depth[32], text[4096], *at = text;
	char *argv[] = { "fio", "--name=raw", file, block, depth, "--readonly", "--rw=read", "--direct=1",
			 "--ioengine=io_uring", "--fixedbufs", "--registerfiles", "--minimal", NULL };
	int err;

	name_option(path, file, sizeof(file));
	snprintf(block, sizeof(block), "--bs=%u", way->block_bytes);
	snprintf(depth, sizeof(depth), "--iodepth=%u", way->depth);
	/* large pages for its buffers too */
	setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1", 0);
	err = fio_run(argv, text, sizeof(text));
	for (int i = 1; !err && at && i < READ_KIB_FIELD; i++) {
		at = strchr(at, ';');
		at = at ? at + 1 : NULL;
	}
	if (err || !at || atof(at) <= 0)
		return err ? err : -EPROTO;
	return atof(at) * 1024 / 1e9;
}
