/* SPDX-License-Identifier: MIT */
/* sto_adapter_priv.h: the pieces of importing an adapter. */
#ifndef STO_ADAPTER_PRIV_H
#define STO_ADAPTER_PRIV_H

#include "mhs_seg.h"
#include "sto_adapter.h"
#include "sto_lora.h"
#include "sto_temp.h"

/* One image to write. */
struct sto_adapter_job {
	const char *model, *adapter, *version;
	sto_step_fn step;		/* or NULL */
	void *arg;
	int dir_fd;			/* of the version in the store; unused elsewhere */
	int fd;				/* what is written to: a file that is all zeros */
	uint8_t *map;			/* or its memory, instead; NULL: not mapped */
	bool sync;			/* fsync before the header goes in */
	bool quick;			/* MHS_IMAGE_QUICK_HASH */
	enum mhs_pages pages;		/* in memory: the rung to try first */
	size_t seg_bytes;		/* in memory: what became of it */
};

/*
 * Write the image of @lora: once its length is known @open makes room for it, fd or map. Who calls
 * closes, whatever comes.
 */
int sto_adapter_image(struct sto_adapter_job *job, const struct sto_lora *lora,
		      int (*open)(struct sto_adapter_job *job, uint64_t bytes, struct sto_error *error),
		      struct mhs_image_header *header, struct sto_error *error);
/* Write STO_IMAGE_NAME into the empty directory @dir_fd and fill @header. */
int sto_adapter_write(const struct sto_adapter_import *import, const struct sto_lora *lora, int dir_fd,
		      struct mhs_image_header *header, struct sto_error *error);
/* Write STO_MANIFEST_NAME beside it. The source files are hashed. */
int sto_adapter_manifest_write(const struct sto_adapter_import *import, const struct sto_lora *lora,
			       const struct mhs_image_header *header,
			       const struct sto_adapter_result *result, int dir_fd,
			       struct sto_error *error);
/* sto_step_fn: -EINTR when the import is to end. */
int sto_adapter_step(void *import, uint64_t bytes);

#endif
