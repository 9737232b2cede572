/* SPDX-License-Identifier: MIT */
/* sto_adapter_priv.h: the pieces of importing an adapter. */
#ifndef STO_ADAPTER_PRIV_H
#define STO_ADAPTER_PRIV_H

#include "sto_adapter.h"
#include "sto_lora.h"

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
