/* SPDX-License-Identifier: MIT */
/* mhs_check_priv.h: what the checks of images, packs and adapters share. */
#ifndef MHS_CHECK_PRIV_H
#define MHS_CHECK_PRIV_H

#include <stdbool.h>

#include "mhs_attach.h"

/* -EINVAL, with @text (static) in *@field. */
int mhs_refuse(const char **field, const char *text);
bool mhs_all_zero(const void *bytes, size_t count);
/*
 * Whether @hash, which lies in the header page @page, is that of the page with zeros in its place. 0,
 * or -EBADMSG with *@field.
 */
int mhs_check_page(const void *page, const uint8_t hash[MHS_CHUNK_HASH_BYTES], mhs_hash128_fn check_hash,
		   const char **field);

/* mhs_shape.c: image->shape; config has been checked. 0, or -EINVAL with *@field. */
int mhs_shape_check(const struct mhs_image_header *image, const char **field);
/* The same for image->experts, once shape has been checked. */
int mhs_experts_check(const struct mhs_image_header *image, const char **field);

#endif
