/* SPDX-License-Identifier: MIT */
/*
 * mhs_attach.h: publish a control segment, attach to one, and validate everything before use.
 */
#ifndef MHS_ATTACH_H
#define MHS_ATTACH_H

#include "mhs_image.h"
#include "mhs_layout.h"
#include "mhs_seg.h"

enum mhs_attach_result {
	MHS_ATTACH_OK = 0,
	MHS_ATTACH_NOT_YET = 1,		/* ready is still 0: try again */
	MHS_ATTACH_INCOMPATIBLE = 2,	/* other ABI major, or unknown feature bits */
	MHS_ATTACH_CORRUPT = 3,		/* wrong magic, length or kind */
};

/* Fill the header of a fresh zeroed segment, all but ready. @owner: see struct mhs_header. */
void mhs_header_init(struct mhs_header *head, uint64_t magic, uint64_t segment_bytes,
		     uint32_t owner);
/* Store ready (release); pairs with mhs_header_check (acquire). */
void mhs_header_publish(struct mhs_header *head);
/* Check a mapped segment of @mapped_bytes. Copies abi numbers out for messages when non-NULL. */
enum mhs_attach_result mhs_header_check(const struct mhs_header *head, uint64_t magic,
					uint64_t mapped_bytes, uint16_t *abi_major,
					uint16_t *abi_minor);

/*
 * Validate an image header page (private copy or sealed memory): magic, ABI, lengths, spans in
 * order and in bounds, counts, configuration limits, header hash when @check_hash is given.
 * @image_bytes: size of the file. Returns 0, or with *@field naming the field and its limit (static
 * text) -EINVAL, -EBADMSG (header hash) or -ENOTSUP (another ABI major, unknown feature bits).
 */
typedef void (*mhs_hash128_fn)(const void *data, size_t bytes, uint8_t out[16]);
int mhs_image_check_header(const struct mhs_image_header *image, uint64_t image_bytes,
			   mhs_hash128_fn check_hash, const char **field);
/*
 * Validate the tensor table in a mapped image: offsets aligned, in the data range, without overlap
 * past the end or with each other, rows and cols not zero, names terminated. @image has passed
 * mhs_image_check_header() and @base maps image_bytes. Lengths against types are the engine's. As
 * above.
 */
int mhs_image_check_tensors(const struct mhs_image_header *image, const void *base,
			    const char **field);
/* The tensor of @role and @layer, or NULL. */
const struct mhs_image_tensor *mhs_image_tensor_find(const struct mhs_image_header *image,
						     const void *base, uint32_t role,
						     uint32_t layer);

#endif
