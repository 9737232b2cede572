/* SPDX-License-Identifier: MIT */
/* cmd_push.c: `mhost adapter push`: a PEFT folder into a host's memory, past the store. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd_adapter.h"

#define CONFIG_BYTES_MAX	(60u << 10)

static const char synopsis[] = "MODEL NAME[@VERSION] PEFT_DIR [--load-only] [--keep] [--json]";

/* Path of @name in @dir, opened; -1: told. */
static int file_open(const struct cmd *cmd, const char *dir, const char *name, struct stat *st)
{
	char path[4096];
	int fd = -1;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path))
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_size > 0)
		return fd;
	cmd_fail(cmd, CMD_FAILED, "%s: %s", path, fd < 0 ? strerror(errno) : "not a file with something in it");
	if (fd >= 0)
		close(fd);
	return -1;
}

static int config_read(const struct cmd *cmd, const char *dir, char *text)
{
	struct stat st;
	int fd = file_open(cmd, dir, "adapter_config.json", &st), status = CMD_OK;
	ssize_t n;

	if (fd < 0)
		return CMD_FAILED;
	n = read(fd, text, CONFIG_BYTES_MAX + 1);
	close(fd);
	if (n < 0 || n > CONFIG_BYTES_MAX)
		return cmd_fail(cmd, CMD_FAILED, "%s/adapter_config.json: %s", dir, n < 0 ? strerror(errno) :
				"more than 60 KiB");
	text[n] = '\0';
	if (strlen(text) != (size_t)n)
		status = cmd_fail(cmd, CMD_FAILED, "%s/adapter_config.json: holds a zero byte", dir);
	return status;
}

/* The host reads it: no copy is made here. */
static int weights_open(const struct cmd *cmd, const char *dir, struct mhost_push *push)
{
	struct stat st;

	push->weights_fd = file_open(cmd, dir, "adapter_model.safetensors", &st);
	if (push->weights_fd < 0)
		return CMD_FAILED;
	push->weights_bytes = (size_t)st.st_size;
	return CMD_OK;
}

static void print_pushed(const struct cmd *cmd, const struct mhost_push *push, const struct mhost_pushed *pushed)
{
	char hash[2 * MHS_HASH_BYTES + 1];

	cmd_hex(pushed->content_hash, MHS_HASH_BYTES, hash);
	if (cmd->json)
		cmd_json_print(json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "model", push->model, "adapter",
			push->adapter, "version", pushed->version, "content_hash", hash, "epoch",
			(json_int_t)pushed->epoch, "load_ns", (json_int_t)pushed->load_ns));
	else
		printf("pushed %s/%s@%s: %.2f MB in %.2f ms, content %.16s...%s\n", push->model, push->adapter,
		       pushed->version, (double)push->weights_bytes / 1e6, (double)pushed->load_ns / 1e6, hash,
		       pushed->epoch ? ", routed" : "");
}

int cmd_adapter_push(struct cmd *cmd, int argc, char **argv)
{
	static const struct option longs[] = { { "load-only", no_argument, NULL, 'l' },
					       { "keep", no_argument, NULL, 'k' }, { 0 } };
	static char config[CONFIG_BYTES_MAX + 2];
	struct mhost_push push = MHOST_PUSH_INIT;
	struct mhost_pushed pushed;
	int opt;

	push.socket = cmd->socket;
	push.config = config;
	while ((opt = cmd_getopt(cmd, argc, argv, ":", longs)) != -1) {
		if (opt != 'l' && opt != 'k')
			return CMD_USAGE;
		push.flags |= opt == 'l' ? MHOST_PUSH_LOAD_ONLY : MHOST_PUSH_KEEP;
	}
	if (argc - optind != 3)
		return cmd_usage(cmd, synopsis);
	push.model = argv[optind];
	if (cmd_split_ref(cmd, argv[optind + 1], &push.adapter, &push.version))
		return CMD_USAGE;
	if (config_read(cmd, argv[optind + 2], config) || weights_open(cmd, argv[optind + 2], &push))
		return CMD_FAILED;
	if (mhost_adapter_push(&push, &pushed))
		return cmd_fail(cmd, CMD_FAILED, "%s", pushed.message);
	print_pushed(cmd, &push, &pushed);
	return CMD_OK;
}
