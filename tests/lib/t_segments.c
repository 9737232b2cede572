/* SPDX-License-Identifier: MIT */
#include "t_segments.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mhs_attach.h"
#include "sto_adapter.h"
#include "sto_version.h"
#include "t.h"

/* A sealed segment of the bytes of @file. */
static int segment_of(int file, uint64_t bytes)
{
	size_t seg_bytes;
	int fd = mhs_seg_create_arena("test", bytes, MHS_PAGES_4K, &seg_bytes);
	void *all = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, file, 0);

	if (all == MAP_FAILED || fd < 0 || pwrite(fd, all, bytes, 0) != (ssize_t)bytes)
		return -EIO;
	munmap(all, bytes);
	return mhs_seg_seal_arena(fd) ? -EIO : fd;
}

int t_segments(const char *model, const char *version, struct hrt_msg *msg, int *fds)
{
	struct sto_error error = { "" };
	struct sto_version v;
	int err = sto_version_open(&v, t_path("store"), model, version, &error);

	if (err) {
		printf("# %s\n", error.text);
		return err;
	}
	msg->attach.file_bytes = v.header.file_bytes;
	msg->attach.fd_count = 1 + v.header.pack_count;
	memcpy(msg->attach.content_hash, v.header.content_hash, MHS_HASH_BYTES);
	fds[0] = segment_of(v.fd, v.header.file_bytes);
	for (uint32_t i = 0; i < v.header.pack_count; i++)
		fds[1 + i] = segment_of(sto_version_pack(&v, i, &error),
					mhs_image_packs(&v.header, v.base)[i].pack_bytes);
	for (uint32_t i = 0; i < msg->attach.fd_count; i++)
		err = fds[i] < 0 ? fds[i] : err;
	sto_version_close(&v);
	return err;
}

int t_segments_adapter(const char *model, const char *adapter, const char *version, struct hrt_msg *msg,
		       int *fds)
{
	struct mhs_image_header header;
	struct sto_error error = { "" };
	int file = sto_adapter_open(t_path("store"), model, adapter, version, &header, &error);

	if (file < 0) {
		printf("# %s\n", error.text);
		return file;
	}
	msg->attach.file_bytes = header.image_bytes;
	msg->attach.fd_count = 1;
	memcpy(msg->attach.content_hash, header.content_hash, MHS_HASH_BYTES);
	fds[0] = segment_of(file, header.image_bytes);
	close(file);
	return fds[0] < 0 ? fds[0] : 0;
}
