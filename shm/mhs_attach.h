/* SPDX-License-Identifier: MIT */
/*
 * mhs_attach.h: publish a control segment, attach to one, and validate everything before use.
 */
#ifndef MHS_ATTACH_H
#define MHS_ATTACH_H

#include <stdbool.h>

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
 * @file_bytes: size of the file, or of the part of a segment that holds it. Returns 0, or with *@field naming the field and its limit (static
 * text) -EINVAL, -EBADMSG (header hash) or -ENOTSUP (another ABI major, unknown feature bits).
 */
typedef void (*mhs_hash128_fn)(const void *data, size_t bytes, uint8_t out[16]);
int mhs_image_check_header(const struct mhs_image_header *image, uint64_t file_bytes,
			   mhs_hash128_fn check_hash, const char **field);
/*
 * Validate the tensor table in a mapped image: offsets aligned, in the data range, without overlap
 * past the end or with each other, rows and cols not zero, names terminated. @image has passed
 * mhs_image_check_header() and @base maps its file. Lengths against types are the engine's. As
 * above.
 */
int mhs_image_check_tensors(const struct mhs_image_header *image, const void *base,
			    const char **field);
/*
 * Validate extent and pack table of an image (mhs_extent.c): every page of the image lies in exactly
 * one extent, every extent inside its segment, every tensor, tokenizer and template wholly in one
 * extent. For checked header and tensors; an image without packs passes. As above.
 */
int mhs_image_check_extents(const struct mhs_image_header *image, const void *base,
			    const char **field);
/*
 * Where @length_bytes at @offset_bytes of a checked image lie: *@segment (0: the image's own file, i:
 * pack i - 1) and the place in it. -ERANGE: not in the image, or not in one piece.
 */
int mhs_image_locate(const struct mhs_image_header *image, const void *base, uint64_t offset_bytes,
		     uint64_t length_bytes, uint32_t *segment, uint64_t *segment_offset_bytes);
/* The same, shortened to what lies in one piece: bytes from @offset_bytes on, 0: not in the image. */
uint64_t mhs_image_piece(const struct mhs_image_header *image, const void *base, uint64_t offset_bytes,
			 uint32_t *segment, uint64_t *segment_offset_bytes);
/* The tables of a packed image, checked or not. */
const struct mhs_image_extent *mhs_image_extents(const struct mhs_image_header *image,
						 const void *base);
const struct mhs_image_pack *mhs_image_packs(const struct mhs_image_header *image, const void *base);
/* The header page of a pack file of @file_bytes, as mhs_image_check_header(). */
int mhs_pack_check_header(const struct mhs_pack_header *pack, uint64_t file_bytes,
			  mhs_hash128_fn check_hash, const char **field);

/* The tensor of @role and @layer, or NULL. */
const struct mhs_image_tensor *mhs_image_tensor_find(const struct mhs_image_header *image,
						     const void *base, uint32_t role,
						     uint32_t layer);

/* "llama" and the like; NULL when unknown. */
const char *mhs_arch_name(uint32_t arch);
/* Tokens that @layer sees, 0: all. */
uint32_t mhs_shape_window(const struct mhs_image_shape *shape, uint32_t layer);
/* Whether the layer leaves q and k as they are (NoPE). */
bool mhs_shape_is_still(const struct mhs_image_shape *shape, uint32_t layer);
/* Whether the layer has experts in place of one feed-forward. */
bool mhs_experts_in(const struct mhs_image_experts *experts, uint32_t layer);

#endif
