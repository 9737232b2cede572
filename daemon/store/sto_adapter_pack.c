/* SPDX-License-Identifier: MIT */
/* sto_adapter_pack.c: from PEFT's files, or memory like them, to an image in sealed memory. */
#include "sto_adapter_pack.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sto_adapter_priv.h"

#define SEGMENT_NAME	"mhost-adapter"

/*
 * Large pages are mapped and filled in place. Small ones are written: each page then comes by one
 * copy, without a fault and without being cleared first.
 */
static int open_segment(struct sto_adapter_job *job, uint64_t bytes, struct sto_error *error)
{
	struct mhs_map map = { NULL, 0 };

	if (job->pages == MHS_PAGES_2M) {
		job->fd = mhs_seg_create_arena(SEGMENT_NAME, bytes, MHS_PAGES_2M, &job->seg_bytes);
		if (job->fd >= 0 && mhs_seg_map_rw(job->fd, job->seg_bytes, &map) == 0) {
			job->map = map.addr;
			return 0;
		}
		if (job->fd >= 0)
			close(job->fd);
	}
	job->seg_bytes = bytes;
	job->fd = memfd_create(SEGMENT_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (job->fd >= 0 && ftruncate(job->fd, (off_t)bytes) == 0)
		return 0;
	return sto_io_error(error, "memory of the adapter", "made");
}

static int seal(struct sto_adapter_job *job, struct sto_error *error)
{
	struct mhs_map map = { job->map, job->seg_bytes };
	int err;

	mhs_seg_unmap(&map);
	job->map = NULL;
	err = mhs_seg_seal_arena(job->fd);
	if (err)
		sto_fail(error, "memory of the adapter: cannot be sealed: %s; this kernel is too old",
			 strerror(-err));
	return err;
}

static int write_image(const struct sto_adapter_pack *pack, const struct sto_lora *lora,
		       struct mhs_image_header *header, size_t *seg_bytes, struct sto_error *error)
{
	struct sto_adapter_job job = {
		.model = pack->model, .adapter = pack->adapter, .version = pack->version, .fd = -1,
		.quick = true, .pages = pack->pages,
	};
	int err = sto_adapter_image(&job, lora, open_segment, header, error);

	if (!err)
		err = seal(&job, error);
	if (job.map)
		munmap(job.map, job.seg_bytes);
	if (err && job.fd >= 0)
		close(job.fd);
	*seg_bytes = job.seg_bytes;
	return err ? err : job.fd;
}

int sto_adapter_pack(const struct sto_adapter_pack *pack, struct mhs_image_header *header,
		     size_t *seg_bytes, struct sto_error *error)
{
	struct sto_lora lora;
	int err = pack->config_fd < 0 ?
		  sto_lora_read(&lora, pack->path, pack->base, error) :
		  sto_lora_read_fds(&lora, pack->config_fd, pack->weights_fd, pack->path, pack->base, error);

	if (!err)
		err = write_image(pack, &lora, header, seg_bytes, error);
	for (uint32_t i = 0; err >= 0 && i < lora.file_count; i++) {
		int changed = sto_file_unchanged(&lora.files[i], error);

		if (changed) {
			close(err);
			err = changed;
		}
	}
	sto_lora_fini(&lora);
	return err;
}
