/* SPDX-License-Identifier: MIT */
/* t_image.h: a store with images whose weights are noise: enough for the loader and the supervisor. */
#ifndef T_IMAGE_H
#define T_IMAGE_H

#include "mhs_image.h"

/*
 * Write STORE/models/MODEL/VERSION/image.mhi of at least @bytes, filled from @seed. Its whole content, or
 * NULL when @keep is 0. The caller frees it. Exits when the disk refuses.
 */
uint8_t *t_image_write(const char *store, const char *model, const char *version, uint64_t bytes,
		       uint64_t seed, int keep);
/* Where it is; eight static buffers in turn. */
const char *t_image_path(const char *store, const char *model, const char *version);
/* Overwrite @bytes at @offset of that image. */
void t_image_patch(const char *store, const char *model, const char *version, uint64_t offset,
		   const void *data, size_t bytes);
/* Hash the header of @image again after a change. */
void t_image_reseal(struct mhs_image_header *image);

#endif
