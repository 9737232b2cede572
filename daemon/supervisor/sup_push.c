/* SPDX-License-Identifier: MIT */
/* sup_push.c: from what a client pushed to an image. */
#include "sup_push.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sto_adapter_pack.h"
#include "sto_temp.h"
#include "sup_load.h"

#define SEALS		(F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)
#define CONFIG_NAME	"adapter_config.json"
#define WEIGHTS_NAME	"adapter_model.safetensors"

/* ---- taken ------------------------------------------------------------------------------------- */

/*
 * Sealed memory, or a file: that is read piece by piece as an import does, each piece once, and refused
 * when it changed meanwhile. Memory that is not sealed tells nobody of changes.
 */
static int weights_check(int fd, uint64_t max_bytes, struct sto_error *error)
{
	int seals = fcntl(fd, F_GET_SEALS);	/* F_SEAL_SEAL alone: a file of a tmpfs */
	struct stat st;

	if (seals >= 0 && !(seals & F_SEAL_SEAL) && (seals & SEALS) != SEALS)
		sto_fail(error, "the weights are in a memfd that is not sealed: F_SEAL_WRITE, F_SEAL_SHRINK and "
			 "F_SEAL_GROW are needed, so that nobody changes them while they are read");
	else if (fstat(fd, &st) || !S_ISREG(st.st_mode) || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY)
		sto_fail(error, "the weights are in no file that can be read; send a sealed memfd, or the file");
	else if (st.st_size < 8 || (uint64_t)st.st_size > max_bytes)
		sto_fail(error, "the weights have %lld bytes; 8 to %llu fit (adapter_bytes)",
			 (long long)st.st_size, (unsigned long long)max_bytes);
	else
		return 0;
	return -EINVAL;
}

/* The text as a file, for those that read one. */
static int text_file(const char *text, struct sto_error *error)
{
	size_t bytes = strlen(text);
	int fd = memfd_create("mhost:config", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, text, bytes) == (ssize_t)bytes)
		return fd;
	sto_fail(error, "no memory for the configuration: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

struct sup_push *sup_push_new(int weights, const char *config, uint64_t max_bytes, bool keep,
			      struct sto_error *error)
{
	struct sup_push *push = calloc(1, sizeof(*push));

	if (!push) {
		sto_fail(error, "out of memory");
		close(weights);
		return NULL;
	}
	*push = (struct sup_push){ .weights_fd = weights, .config_fd = -1, .keep = keep };
	if (strlen(config) > SUP_PUSH_CONFIG_BYTES)
		sto_fail(error, "the configuration has %zu bytes; at most %u fit", strlen(config),
			 SUP_PUSH_CONFIG_BYTES);
	else if (weights_check(weights, max_bytes, error) == 0)
		push->config_fd = text_file(config, error);
	if (push->config_fd < 0)
		sup_push_free(&push);
	return push;
}

uint64_t sup_push_bytes(const struct sup_push *push)
{
	struct stat st = { 0 };

	fstat(push->weights_fd, &st);
	return (uint64_t)st.st_size;
}

void sup_push_free(struct sup_push **push)
{
	if (!*push)
		return;
	close((*push)->weights_fd);
	if ((*push)->config_fd >= 0)
		close((*push)->config_fd);
	free(*push);
	*push = NULL;
}

/* ---- into memory --------------------------------------------------------------------------------- */

int sup_push_pack(struct sup_load *load, size_t *seg_bytes)
{
	struct sto_version base;
	struct sto_adapter_pack pack = {
		.model = load->model, .adapter = load->adapter, .version = load->version, .path = "pushed",
		.config_fd = load->push->config_fd, .weights_fd = load->push->weights_fd, .base = &base,
		.pages = sup_pages_small_large(sup_push_bytes(load->push), load->hugepages) ? MHS_PAGES_2M :
			 MHS_PAGES_4K,
	};
	int fd = sto_version_open(&base, load->store, load->model, load->push->base, &load->error);

	if (fd)
		return fd;
	fd = sto_adapter_pack(&pack, &load->header, seg_bytes, &load->error);
	sto_version_close(&base);
	return fd;
}

/* ---- into the store -------------------------------------------------------------------------------- */

static int file_copy(int from, const struct sto_temp *temp, const char *name, struct sto_error *error)
{
	int fd = openat(temp->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	char block[65536];
	off_t offset = 0;
	ssize_t n = 1;

	while (fd >= 0 && n > 0) {
		n = pread(from, block, sizeof(block), offset);
		if (n > 0 && write(fd, block, (size_t)n) != n)
			n = -1;
		offset += n > 0 ? n : 0;
	}
	if (fd >= 0)
		close(fd);
	return fd >= 0 && n == 0 ? 0 : sto_io_error(error, name, "written");
}

static int temp_import(struct sup_load *load, const struct sto_temp *temp)
{
	struct sto_adapter_import import = { .store = load->store, .why = "pushed" };
	struct sto_adapter_result result;
	struct sto_error ignored;
	char path[1200];
	int err = file_copy(load->push->config_fd, temp, CONFIG_NAME, &load->error);

	if (!err)
		err = file_copy(load->push->weights_fd, temp, WEIGHTS_NAME, &load->error);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/tmp/%s", load->store, temp->name);
	import.path = path;
	memcpy(import.model, load->model, sizeof(import.model));
	memcpy(import.adapter, load->adapter, sizeof(import.adapter));
	memcpy(import.version, load->version, sizeof(import.version));
	memcpy(import.base, load->push->base, sizeof(import.base));
	err = sto_adapter_import(&import, &result, &load->error);
	if (!err)
		sto_adapter_log(&import, &result, &ignored);
	return err;
}

int sup_push_import(struct sup_load *load)
{
	struct sto_temp temp;
	int err = sto_temp_open(&temp, load->store, &load->error);

	if (err)
		return err;
	err = temp_import(load, &temp);
	sto_temp_close(&temp, 0);
	return err;
}
